"""Who a meter is: the fixed texts of its identification objects and its system title."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_DERIVED_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """A meter's system title (8 bytes) and the texts of its identification objects."""

    system_title: bytes
    meter_number: str
    model: str
    software: str


def digits_of(meter_number: str) -> str:
    """Return a number's digits, for what has room for nothing else.

    Where it has none they are derived from its letters: always the same eight, and others for
    another meter.
    """
    digits = "".join(letter for letter in meter_number if letter.isascii() and letter.isdecimal())
    if digits:
        return digits
    derived = int.from_bytes(hashlib.sha256(meter_number.encode()).digest())
    return f"{derived % 10**_DERIVED_DIGITS:0{_DERIVED_DIGITS}}"
