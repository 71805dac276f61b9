"""meter-node show: a meter's display in the terminal, from the running node or from its store.

Must not know how a face comes about, nor start anything.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live

from meter_node import __version__, config, keys, runner, store
from meter_node.config import ConfigError
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir
from meter_node.ports.display import face, terminal, views
from meter_node.ports.display.lcd import Level
from meter_node.ports.display.reading import Reading

_PATIENCE_S = 2.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


@dataclass(frozen=True, slots=True)
class Shown:
    """One meter's faces (as JSON), and until when it metered where no node answered."""

    meter: str
    model: str
    now: dict[str, Any]
    faces: list[dict[str, Any]]
    metered_until: str | None
    """Of the store; None where the faces are the running node's own."""


def command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", "-c", help=f"Another file than {config.FILE_NAME} in there."),
    ] = None,
    meter: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    view: Annotated[str | None, typer.Option(help="This view, by its key.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All views that the meter has.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Draw again each second.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one document.")] = False,
    language: Annotated[str | None, typer.Option(help="en or da.")] = None,
) -> None:
    """Show the meters' displays, as the running node shows them or as last committed."""
    path = config_file or data_dir / config.FILE_NAME
    settings = config.load(path)
    try:
        views.check_keys(() if view is None else (view,))
    except ValueError as error:
        raise ConfigError(f"--view: {error}") from None
    if view is not None and every:
        raise ConfigError("--view: with --all there is no choice")
    if language not in (None, "en", "da"):
        raise ConfigError(f"--language: {language!r} is neither en nor da")
    chosen: views.Language | None = "da" if language == "da" else "en" if language else None
    names = [each.name for each in settings.meter]
    if meter is not None and meter not in names:
        raise ConfigError(f"--meter: no meter {meter!r}; there are: {', '.join(names) or 'none'}")
    asked = [each for each in settings.meter if meter in (None, each.name)]

    def look() -> list[Shown]:
        return list(_look(settings, data_dir, asked, chosen))

    if as_json:
        document = {shown.meter: _document(shown, view, every) for shown in look()}
        sys.stdout.write(json.dumps(document) + "\n")
        return
    out = Console(highlight=False)
    plain = terminal.is_plain(out.encoding)
    if not live:
        for shown in look():
            _print(out, shown, view, every, plain)
        return
    try:
        with Live(console=out, auto_refresh=False) as drawn:
            while True:
                panels = [
                    terminal.draw(drawn_face, _title(shown), plain=plain)
                    for shown in look()
                    for drawn_face in _chosen(shown, view, every)
                ]
                drawn.update(Group(*panels), refresh=True)
                time.sleep(1)
    except KeyboardInterrupt:
        pass


def _look(
    settings: config.Config,
    data_dir: Path,
    asked: list[config.MeterConfig],
    language: views.Language | None,
) -> Iterator[Shown]:
    own_keys: keys.NodeKeys | None = None
    for meter in asked:
        document = _ask(settings.display, meter.name, language)
        if document is not None:
            yield Shown(meter.name, meter.model, document["now"], document["faces"], None)
            continue
        own_keys = own_keys or keys.load(data_dir)
        if meter.name in own_keys.meters:
            yield _from_store(
                meter, own_keys.meters[meter.name], data_dir / store.DATABASE, language
            )


def _ask(
    display: config.DisplayConfig | None, meter: str, language: views.Language | None
) -> dict[str, Any] | None:
    """Ask the running node's page; None where nothing of ours answers."""
    if display is None:
        return None
    host = _ANYWHERE.get(display.host, display.host)
    shown_host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"http://{shown_host}:{display.port}/meter/{meter}/faces",
        headers={"Accept-Language": language} if language else {},
    )
    # The page is on this machine or beside it: a proxy of the surroundings has no part in it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_PATIENCE_S) as answer:
            document = json.load(answer)
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not {"now", "faces"} <= document.keys():
        return None
    return document


def _from_store(
    meter: config.MeterConfig,
    own_keys: keys.MeterKeys,
    path: Path,
    language: views.Language | None,
) -> Shown:
    if not path.exists():
        raise store.StoreError(f"{path}: nothing was metered yet; run meter-node run first")
    with closing(store.Store(path)) as database:
        kept = database.kept(own_keys.system_title)
    title = own_keys.system_title
    identity = Identity(title, runner.meter_number(meter, title), meter.model, __version__)
    device = LogicalDevice(identity, meter.variant(), meter.zone())
    snapshot = replace(meter.meter(kept).snapshot(), time_ns=kept.time_ns)
    device.commit(snapshot)
    reading = Reading(device)
    settings = meter.display.settings()
    settings = replace(settings, language=language or settings.language)
    automatic, manual = face.lists(reading, settings)
    faces = [
        replace(face.of_view(reading, key, settings), level=level).as_json()
        for level, listed in ((Level.AUTOMATIC, automatic), (Level.MANUAL, manual))
        for key in listed
    ]
    clock = reading.clock()
    until = clock[0].isoformat(sep=" ", timespec="seconds") if clock and kept.time_ns else "never"
    return Shown(meter.name, meter.model, faces[0], faces, until)


def _chosen(shown: Shown, view: str | None, every: bool) -> list[dict[str, Any]]:
    if every:
        return shown.faces
    if view is None:
        return [shown.now]
    found = [it for it in shown.faces if it["view"] == view]
    if not found:
        raise ConfigError(f"--view: meter {shown.meter} has no {view!r} to show now")
    return found


def _document(shown: Shown, view: str | None, every: bool) -> dict[str, Any]:
    return {
        "model": shown.model,
        "running": shown.metered_until is None,
        "metered_until": shown.metered_until,
        "faces": _chosen(shown, view, every),
    }


def _title(shown: Shown) -> str:
    return f"Meter Node {shown.model}: {shown.meter}"


def _print(out: Console, shown: Shown, view: str | None, every: bool, plain: bool) -> None:
    if shown.metered_until is not None:
        out.print(
            f"{shown.meter}: no node answers; as it was last committed, metered until "
            f"{shown.metered_until}",
            soft_wrap=True,
        )
    for drawn in _chosen(shown, view, every):
        out.print(terminal.draw(drawn, _title(shown), plain=plain))
