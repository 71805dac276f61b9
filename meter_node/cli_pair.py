"""`meter-node pair`: pairings made, listed and revoked, and new push keys.

Must not know what a pairing may do: the object model says that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import segno
import typer
from rich.console import Console

from meter_node import config, keys
from meter_node.channel.pairing import Pairing
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir

DEFAULT_NAME = "home-assistant"
_out = Console()


def pair(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    name: Annotated[
        str | None,
        typer.Option(help=f"What the pairing is called; {DEFAULT_NAME}, or that with a number."),
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Only name the pairings that there are.")
    ] = False,
    revoke: Annotated[
        str | None, typer.Option(metavar="NAME", help="Let this pairing ask no more.")
    ] = None,
    new_push_keys: Annotated[
        bool,
        typer.Option(
            "--new-push-keys",
            help="Make new keys for the pushes: all pairings end, and every display must be "
            "paired anew.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Pair with Home Assistant: make control keys, and show them as a text and a QR code.

    Whoever has the text can read and ask the meter: treat it like a key. It is shown once.
    """
    if [name is not None, show_list, revoke is not None, new_push_keys].count(True) > 1:
        raise config.ConfigError(
            "--name, --list, --revoke and --new-push-keys: one of them at a time"
        )
    chosen_name, chosen = _choose(keys.load(data_dir), meter)
    if show_list:
        _list(chosen_name, chosen, as_json=as_json)
        return
    if revoke is not None:
        _revoke(data_dir, chosen_name, revoke, as_json=as_json)
        return
    if new_push_keys:
        _renew_push(data_dir, chosen_name, chosen, as_json=as_json)
        return
    chosen, name = keys.pair(data_dir, chosen_name, name, DEFAULT_NAME)
    control = chosen.consumers[name]
    text = Pairing(chosen.system_title, chosen.push, control, name).to_text()
    if as_json:
        _write(
            {
                "meter": chosen_name,
                "name": name,
                "system_title": chosen.system_title.hex(),
                "encryption_key": chosen.push.encryption.hex(),
                "authentication_key": chosen.push.authentication.hex(),
                "control_encryption_key": control.encryption.hex(),
                "control_authentication_key": control.authentication.hex(),
                "text": text,
            }
        )
        return
    segno.make(text, error="m").terminal(compact=True, border=2)
    _print(f"Meter {chosen_name}, pairing {name}. Pairing text, to paste into Home Assistant:")
    _print(text)


def _list(name: str, meter: keys.MeterKeys, *, as_json: bool) -> None:
    if as_json:
        _write({"meter": name, "pairings": list(meter.consumers)})
        return
    for one in meter.consumers:
        _print(one)
    if not meter.consumers:
        _print(f"Meter {name} has no pairings.")


def _revoke(data_dir: Path, meter: str, name: str, *, as_json: bool) -> None:
    keys.revoke(data_dir, meter, name)
    if as_json:
        _write({"meter": meter, "revoked": name})
    else:
        _print(
            f"Meter {meter}: {name} may ask no more. It still opens what the meter "
            "pushes to everyone that is paired."
        )


def _renew_push(data_dir: Path, name: str, meter: keys.MeterKeys, *, as_json: bool) -> None:
    keys.renew_push(data_dir, name)
    if as_json:
        _write({"meter": name, "new_push_keys": True, "ended": list(meter.consumers)})
    else:
        _print(
            f"Meter {name} has new push keys. Nobody is paired with it any more: "
            "pair every display anew (meter-node pair)."
        )


def _choose(own_keys: keys.NodeKeys, name: str | None) -> tuple[str, keys.MeterKeys]:
    chosen = config.one_of(own_keys.meters, name)
    return chosen, own_keys.meters[chosen]


def _write(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")


def _print(text: str) -> None:
    _out.print(text, highlight=False, soft_wrap=True)
