"""meter-node simulate: a simulated house's past, metered into a data directory in no time.

Reads the wall clock once, to know what is past. Must not know how a meter books or a house lives.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from meter_node import config, data_directory, feeds, keys, node, store
from meter_node.channel.registers import QUANTITIES, TARIFFS
from meter_node.cli_output import console
from meter_node.meter.local_time import DAY_S, LocalTime
from meter_node.meter.meter import Meter
from meter_node.meter.profile import LOAD_PROFILE
from meter_node.meter.rows import Image
from meter_node.meter.snapshot import NANO, ROLLOVER_NWH, Snapshot
from meter_node.metrology import DigitalInputs
from meter_node.sources import outages
from meter_node.sources.phasor_house import PhasorHouse

STEP_S = 60
QUARTER_HOUR_S = 900
DEFAULT_MODEL = "382M"
TARIFF_KEY = "import_active_energy_t"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when (UTC, s, whole minutes), and the local midnights after its start."""

    start_s: int
    end_s: int
    midnights_s: tuple[int, ...]


@dataclass(slots=True)
class Tally:
    """What was played."""

    steps: int = 0
    daily_snapshots: int = 0
    quarter_hours: int = 0
    load_profile_rows: int = 0
    load_profile_interval_min: int = 0
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0))


def simulate(
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir",
            "-d",
            envvar="METER_NODE_DATA",
            help="Metered into this one; it is made where there is none.",
        ),
    ] = Path("meter-node-data"),
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help=f"Another file than {config.FILE_NAME} in the data dir."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many.")] = 365,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The local day it begins with; else so that it ends now.",
        ),
    ] = None,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Meter the past of a simulated house, minute by minute; meter-node run then goes on from it.

    The supply fails now and then, as the house's seed has it.
    """
    if config_file is None:
        data_directory.write_configuration(data_dir, DEFAULT_MODEL)
    settings = config.load(config_file or data_dir / config.FILE_NAME)
    chosen = _choose(settings, meter)
    if not isinstance(chosen.source, config.SimulatedSourceConfig):
        raise config.ConfigError(
            f"--meter: {chosen.name} measures a source of kind {chosen.source.kind!r}; only a "
            "simulated house has a past that can be played"
        )
    local = LocalTime(chosen.zone())
    span = _span(local, start.date() if start else None, days, int(time.time()))
    with store.lock(data_dir):
        own_keys = node.own_keys(settings, data_dir).meters[chosen.name]
        title = own_keys.system_title
        database = store.Store(data_dir / node.DATABASE)
        try:
            _check_untouched(database.kept(title), chosen.name, span)
            errors, begun_s = Console(stderr=True), time.perf_counter()
            with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
                task = bar.add_task(f"{chosen.name}: {days} days", total=span.end_s - span.start_s)
                tally = _play(
                    chosen,
                    database,
                    own_keys,
                    span,
                    lambda at_s: bar.update(task, completed=at_s - span.start_s),
                )
            seconds = time.perf_counter() - begun_s
        finally:
            database.close()
    document = _document(chosen, local, span, tally) | {
        "days": days,
        "seconds": round(seconds, 3),
    }
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        _print(console(), chosen.name, document)


def _play(
    settings: config.MeterConfig,
    database: store.Store,
    own_keys: keys.MeterKeys,
    span: Span,
    told: Callable[[int], None],
) -> Tally:
    """Step the meter through the house, committing at local midnights and at the end.

    The only place here that knows meter and store.
    """
    assert isinstance(settings.source, config.SimulatedSourceConfig)
    variant = settings.variant()
    title = own_keys.system_title
    meter = settings.meter(database.kept(title), title, own_keys.vending)
    supply = meter.supply
    # The breaker follows at once: an open one cuts the house off from the next step on.
    inputs = DigitalInputs(supply.breaker.closed_wanted if supply else None)
    house = PhasorHouse(feeds.house(settings.source, variant.phases), STEP_S, inputs=inputs)
    midnights_s = [*reversed(span.midnights_s)]
    tally, quarter_hour = Tally(), -1
    last_quarter_hour = span.end_s // QUARTER_HOUR_S - 1
    for measurement in house.measurements(span.start_s, span.end_s):
        meter.advance(measurement, house.inputs())
        if supply is not None:
            house.digital_inputs = DigitalInputs(supply.breaker.closed_wanted)
        tally.steps += 1
        begun = measurement.start_ns // (QUARTER_HOUR_S * NANO)
        if begun != quarter_hour:
            quarter_hour = begun
            tally.quarter_hours += begun <= last_quarter_hour
        while midnights_s and measurement.end_ns >= midnights_s[-1] * NANO:
            tally.load_profile_rows += _load_profile_rows(_keep(meter, database, title), span)
            told(midnights_s.pop())
            tally.daily_snapshots += 1
    tally.snapshot = meter.snapshot()
    tally.load_profile_rows += _load_profile_rows(_keep(meter, database, title), span)
    (load_profile,) = (profile for profile in meter.profiles if profile.name == LOAD_PROFILE)
    tally.load_profile_interval_min = load_profile.layout.interval_min
    return tally


def _keep(meter: Meter, database: store.Store, title: bytes) -> Image:
    image = meter.image()
    database.commit(title, image)
    meter.is_kept(image)
    return image


def _load_profile_rows(image: Image, span: Span) -> int:
    """How many of them end within the span: an older one may have waited for the first step."""
    return sum(
        row.profile == LOAD_PROFILE and span.start_s < row.time_s <= span.end_s
        for row in image.profile_rows
    )


def _choose(settings: config.Config, name: str | None) -> config.MeterConfig:
    meters = {meter.name: meter for meter in settings.meter}
    names = ", ".join(meters) or "none"
    if name is None:
        if len(meters) != 1:
            raise config.ConfigError(f"--meter: which one? There are: {names}")
        return settings.meter[0]
    if name not in meters:
        raise config.ConfigError(f"--meter: no meter {name!r}; there are: {names}")
    return meters[name]


def _span(local: LocalTime, first_day: date | None, days: int, now_s: int) -> Span:
    """Local days from a day on, or as many times 24 hours up to the last whole minute.

    These begin on a quarter of an hour, so that no load profile lacks its first row. Raises
    ConfigError for days that are not over yet: a meter's clock does not go back to the present.
    """
    if first_day is None:
        end_s = now_s // STEP_S * STEP_S
        start_s = (end_s - days * DAY_S) // QUARTER_HOUR_S * QUARTER_HOUR_S
    else:
        start_s = _midnight_s(local, first_day)
        end_s = _midnight_s(local, first_day + timedelta(days=days))
    if end_s > now_s:
        raise config.ConfigError(
            f"--start: {days} days from {first_day} on are not over yet; only the past is played"
        )
    return Span(start_s, end_s, tuple(_midnights_s(local, start_s, end_s)))


def _midnights_s(local: LocalTime, start_s: int, end_s: int) -> Iterator[int]:
    day = local.day(start_s)
    while True:
        day += timedelta(days=1)
        midnight_s = _midnight_s(local, day)
        if midnight_s > end_s:
            return
        yield midnight_s


def _midnight_s(local: LocalTime, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=local.zone).timestamp())


def _check_untouched(kept: store.Kept, name: str, span: Span) -> None:
    """Raises ConfigError where the meter has metered what would be played once more."""
    if kept.time_ns > span.start_s * NANO:
        until = datetime.fromtimestamp(kept.time_ns // NANO, UTC).isoformat()
        raise config.ConfigError(
            f"--data-dir: {name} has metered until {until} already; take another data directory, "
            "or a --start after that"
        )


def _document(
    settings: config.MeterConfig, local: LocalTime, span: Span, tally: Tally
) -> dict[str, Any]:
    assert isinstance(settings.source, config.SimulatedSourceConfig)
    dark_s = outages.dark_quarter_hours(
        settings.source.seed, span.start_s, span.end_s, settings.variant().phases
    )
    snapshot = tally.snapshot
    return {
        "ok": True,
        "meter": settings.name,
        "start": _iso(span.start_s),
        "end": _iso(span.end_s),
        "steps": tally.steps,
        "daily_snapshots": tally.daily_snapshots,
        "quarter_hours": tally.quarter_hours,
        "dark_quarter_hours": [_iso(end_s) for end_s in dark_s],
        "load_profile_interval_min": tally.load_profile_interval_min,
        "load_profile_rows": tally.load_profile_rows,
        "import_wh": snapshot.raw("import_active_energy"),
        "export_wh": snapshot.raw("export_active_energy"),
        "tariffs_wh": {
            f"t{key.removeprefix(TARIFF_KEY)}": snapshot.raw(key)
            for key in snapshot.energies_nwh
            if key.startswith(TARIFF_KEY)
        },
        "tariffs_add_up": _tariffs_add_up(snapshot),
        "daylight_saving": list(_daylight_saving(local, span)),
    }


def _tariffs_add_up(snapshot: Snapshot) -> bool:
    """Whether T1 to T8 of every quantity that has them are its total, to the last nWh or nvarh."""
    energies = snapshot.energies_nwh
    return all(
        sum(energies[f"{quantity.name}_t{tariff}"] for tariff in TARIFFS) % ROLLOVER_NWH
        == energies[quantity.name]
        for quantity in QUANTITIES
        if quantity.per_tariff
    )


def _daylight_saving(local: LocalTime, span: Span) -> Iterator[dict[str, Any]]:
    """Each change of local time within the span, and the offset from UTC after it."""
    offset_s = local.offset_s(span.start_s)
    first_s = span.start_s // QUARTER_HOUR_S * QUARTER_HOUR_S + QUARTER_HOUR_S
    for at_s in range(first_s, span.end_s, QUARTER_HOUR_S):
        if local.offset_s(at_s) != offset_s:
            offset_s = local.offset_s(at_s)
            yield {"at": _iso(at_s), "local": local.at(at_s).isoformat(), "offset_s": offset_s}


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def _print(out: Console, name: str, document: dict[str, Any]) -> None:
    took, dark = document["seconds"], document["dark_quarter_hours"]
    imported_kwh, exported_kwh = document["import_wh"] / 1000, document["export_wh"] / 1000
    snapshots, quarters = document["daily_snapshots"], document["quarter_hours"]
    lines = [
        f"{name}: {document['start']} to {document['end']}, {document['steps']} steps in {took} s",
        f"import {imported_kwh:.3f} kWh, export {exported_kwh:.3f} kWh",
        f"{snapshots} daily snapshots, {quarters} quarter-hours, {len(dark)} in the dark",
    ]
    if dark:
        lines.append(f"dark until {', '.join(dark)}")
    for line in lines:
        out.print(line, highlight=False, markup=False)
