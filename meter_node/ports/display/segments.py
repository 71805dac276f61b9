"""Which of the seven segments a character lights. Must not know what is written, nor how drawn.

Bits 0 to 6 are the segments a to g: top, upper right, lower right, bottom, lower left, upper left,
middle.
"""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.ports.display.digits import CELLS

_LIT = {
    " ": "",
    "-": "g",
    "_": "d",
    "0": "abcdef",
    "1": "bc",
    "2": "abdeg",
    "3": "abcdg",
    "4": "bcfg",
    "5": "acdfg",
    "6": "acdefg",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
    "A": "abcefg",
    "b": "cdefg",
    "C": "adef",
    "d": "bcdeg",
    "E": "adefg",
    "F": "aefg",
    "G": "acdef",
    "H": "bcefg",
    "I": "ef",
    "J": "bcde",
    "L": "def",
    "n": "ceg",
    "o": "cdeg",
    "P": "abefg",
    "q": "abcfg",
    "r": "eg",
    "t": "defg",
    "U": "bcdef",
    "y": "bcdfg",
}
SEGMENTS: dict[str, int] = {
    character: sum(1 << "abcdefg".index(segment) for segment in lit)
    for character, lit in _LIT.items()
}
"""A character to its segments. Letters stand where seven segments can draw them unmistakably."""
UNDRAWABLE = SEGMENTS["_"]
ALL = 0x7F
_MARKS = ".:"


@dataclass(frozen=True, slots=True)
class Cell:
    """One place: its lit segments, and the point or colon behind it ("" for none)."""

    segments: int = 0
    mark: str = ""


def cells(text: str, count: int = CELLS) -> tuple[Cell, ...]:
    """Return a text in cells, to the right; a letter in the case that can be drawn.

    A letter that seven segments can't draw is a line at the bottom. Raises ValueError for a text
    that is too long.
    """
    found: list[Cell] = []
    for character in text:
        if character in _MARKS and found and not found[-1].mark:
            found[-1] = Cell(found[-1].segments, character)
            continue
        lit = next(
            (
                SEGMENTS[it]
                for it in (character, character.upper(), character.lower())
                if it in _LIT
            ),
            UNDRAWABLE,
        )
        found.append(Cell(lit))
    if len(found) > count:
        raise ValueError(f"{text!r} needs {len(found)} cells; there are {count}")
    return (Cell(),) * (count - len(found)) + tuple(found)
