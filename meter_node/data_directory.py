"""A data directory's beginning: configuration and keys. Must not know what is metered in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meter_node import config

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        "-d",
        envvar="METER_NODE_DATA",
        help="Where configuration, keys and registers of this node are.",
    ),
]
DEFAULT_DATA_DIR = Path("meter-node-data")


def write_configuration(data_dir: Path, model: str) -> bool:
    """Make the directory and an example configuration of this model; False where one was there."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / config.FILE_NAME
    if path.exists():
        return False
    path.touch(mode=0o600)  # a password may come to stand in it
    path.write_text(config.EXAMPLE.format(model=model, seed=1), "utf-8")
    return True
