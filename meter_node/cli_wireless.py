"""`meter-node wireless-key`: what a reader of wireless M-Bus must be given.

Must not know telegrams.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from meter_node import config, keys
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir
from meter_node.ports.mbus.address import identification_of
from meter_node.ports.wmbus.port import WmbusSettings
from meter_node.runner import meter_number


def wireless_key(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Show a meter's wireless M-Bus identification and key.

    Whoever has the key can read what the meter sends by radio, and nothing else.
    """
    settings = config.load(data_dir / config.FILE_NAME)
    meters = {each.name: each for each in settings.meter}
    chosen = meters[config.one_of(meters, meter)]
    own = keys.load(data_dir).meters.get(chosen.name)
    if own is None or own.wireless is None:
        raise keys.KeyFileError(
            f"{data_dir / keys.FILE_NAME}: meter {chosen.name} has no wireless key yet; "
            "it is made when the node starts"
        )
    modules = [each for each in chosen.module if isinstance(each, WmbusSettings)]
    if not modules:
        raise config.ConfigError(
            f'meter {chosen.name}: it sends no telegrams; write a module with kind = "wmbus"'
        )
    of_meter = identification_of(meter_number(chosen, own.system_title))
    for number in dict.fromkeys(module.identification or of_meter for module in modules):
        if as_json:
            document = {"meter": chosen.name, "identification": number, "key": own.wireless.hex()}
            sys.stdout.write(json.dumps(document) + "\n")
        else:
            sys.stdout.write(f"{chosen.name} omnipower {number} {own.wireless.hex()}\n")
