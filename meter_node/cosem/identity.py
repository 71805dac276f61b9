"""Who a meter is: the fixed texts of its identification objects and its system title."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """A meter's system title (8 bytes) and the texts of its identification objects."""

    system_title: bytes
    meter_number: str
    model: str
    software: str
