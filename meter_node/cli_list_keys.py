"""`meter-node list-keys`: what a reader of the ciphered serial list must be given.

Must not know the list.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from meter_node import config, keys
from meter_node.channel.pairing import Pairing
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir


def list_keys(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Show the keys of a meter's ciphered serial list, and the pairing text that holds them.

    Whoever has them can read the list, and nothing else.
    """
    meters = keys.load(data_dir).meters
    meter = config.one_of(meters, meter)
    own = meters[meter]
    if own.serial_list is None:
        raise keys.KeyFileError(
            f"{data_dir / keys.FILE_NAME}: meter {meter} has no keys of a serial list yet; they "
            "are made when the node starts"
        )
    shown = {
        "meter": meter,
        "system_title": own.system_title.hex(),
        "encryption_key": own.serial_list.encryption.hex(),
        "authentication_key": own.serial_list.authentication.hex(),
        "text": Pairing(own.system_title, own.serial_list).to_text(),
    }
    if as_json:
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    for name, value in shown.items():
        sys.stdout.write(f"{name.replace('_', ' ') + ':':20} {value}\n")
