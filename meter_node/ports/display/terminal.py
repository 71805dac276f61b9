"""Draws a face in a terminal, in seven-segment figures. Must not know where the face came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import ASCII, ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_GLASS = "bold #10180c on #b4c09f"
_A, _B, _C, _D, _E, _F, _G = (1 << bit for bit in range(7))
# Each row of a figure: what is drawn, by the segment that lights it.
_ROWS: tuple[tuple[tuple[str, int], ...], ...] = (
    ((" ", 0), ("━━", _A), (" ", 0)),
    (("┃", _F), ("  ", 0), ("┃", _B)),
    ((" ", 0), ("━━", _G), (" ", 0)),
    (("┃", _E), ("  ", 0), ("┃", _C)),
    ((" ", 0), ("━━", _D), (" ", 0)),
)
_COLON_ROWS, _POINT_ROW = (1, 3), 4
_ARROWS = {"import": "▶", "export": "◀", "idle": " "}
_ASCII = str.maketrans(
    {"━": "-", "┃": "|", "▪": ".", "▶": ">", "◀": "<", "⚠": "!", "─": "-", "●": "o", "╱": "/"}
)
_QUADRANTS = {1: "Q1", 2: "Q2", 3: "Q3", 4: "Q4"}
_BREAKER = {"closed": "─●─", "open": "─╱ ─", "ready": "─╱·─"}


def is_plain(encoding: str) -> bool:
    """Whether a terminal of this encoding can't show the figures' strokes."""
    try:
        "".join(map(chr, _ASCII)).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def draw(face: Mapping[str, Any], title: str, *, plain: bool = False) -> RenderableType:
    """Return a face (as `Face.as_json` gives it) as a panel; `plain`: of ASCII alone."""

    def text(written: str) -> str:
        if not plain:
            return written
        return written.translate(_ASCII).encode("ascii", "replace").decode("ascii")

    digits = Text(style=_GLASS)
    rows = figure_rows(face["cells"])
    for row in rows:
        unit = face["unit"] if row is rows[-1] else ""
        digits.append(f"  {text(row)}  {unit:<6}\n")
    head = Table.grid(expand=True)
    head.add_column(ratio=1)
    head.add_column(justify="right")
    head.add_row(f"  {face['code']}", f"T{face['tariff']}  " if face["tariff"] else "")
    below = Text(f"  {text(phases(face))}   {text(symbols(face))}\n", style=_GLASS)
    below.append(f"  {text(face['hint'] or face['caption'])}")
    box = ASCII if plain else ROUNDED
    return Panel(Group(head, digits, below), title=title, width=64, style=_GLASS, box=box)


def figure_rows(cells: Sequence[Sequence[Any]]) -> list[str]:
    """Return lit cells ([segments, mark] each) as five rows of characters."""
    rows = []
    for number, row in enumerate(_ROWS):
        line = ""
        for segments, mark in cells:
            line += "".join(
                text if not lit or segments & lit else " " * len(text) for text, lit in row
            )
            has_mark = (mark == ":" and number in _COLON_ROWS) or (
                mark == "." and number == _POINT_ROW
            )
            line += "▪ " if has_mark else "  "
        rows.append(line)
    return rows


def phases(face: Mapping[str, Any]) -> str:
    """Return the phases that are present, with the direction of each."""
    return "  ".join(
        f"{mark['name'] if mark['present'] else '--'}{_ARROWS[mark['direction']]}"
        for mark in face["phases"]
    )


def symbols(face: Mapping[str, Any]) -> str:
    """Return what is lit beside the phases."""
    lit = face["symbols"]
    shown = [
        _QUADRANTS.get(face["quadrant"], ""),
        "PAY" if lit["pay"] else "",
        "⚠" if lit["alarm"] else "",
        _BREAKER.get(lit["breaker"] or "", ""),
        *(f"R{number}" for number, on in enumerate(lit["relays"], 1) if on),
        "clock?" if lit["clock_invalid"] else "",
    ]
    return "  ".join(text for text in shown if text)
