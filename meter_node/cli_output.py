"""Where a command's results go: a console wide enough for its tables, a file that can be written.

Must not know what the results are.
"""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from meter_node.config import ConfigError

# Wide enough for the widest table; a file or a pipe has no edge.
PIPED_WIDTH = 160


def console() -> Console:
    """For the standard output: as wide as the terminal, or as the widest table needs."""
    own = Console()
    return own if own.is_terminal else Console(width=PIPED_WIDTH)


def check_writable(option: str, path: Path) -> None:
    """Before the work begins. Raises ConfigError where the file could not be written."""
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"{option}: {path}: there is no folder {folder}")
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{option}: {path} can't be written")
