"""Lines for whoever waits: what has happened, and how many seconds after the start."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from .processes import tail

console = Console(stderr=True, highlight=False, soft_wrap=True)
_began = time.monotonic()


def seconds() -> float:
    """Return how long ago the demonstration was started."""
    return time.monotonic() - _began


def say(text: str) -> None:
    """Print one line of progress."""
    console.print(f"[dim]{seconds():5.1f} s[/dim]  {escape(text)}")


def fail(text: str) -> None:
    """Print what went wrong."""
    console.print(f"[bold red]{escape(text)}[/bold red]")


def show_log(log: Path, lines: int = 40) -> None:
    """Print the last lines of a process's log."""
    console.print(f"[dim]the end of {escape(log.name)}:[/dim]")
    console.print(tail(log, lines), markup=False)
