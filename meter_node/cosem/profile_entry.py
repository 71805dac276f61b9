"""One row of a profile as a client reads it, and who gives it; not where rows are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from meter_node.meter.profile import LOAD_PROFILE
from meter_node.meter.rows import ProfileRow

__all__ = ["LOAD_PROFILE", "ProfileEntry", "ProfileReader"]


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One interval: its number, its end as the meter's local time, status bits, and values.

    `values`: register key to raw value in units of its scaler, None where there was none.
    """

    entry: int
    local: datetime
    status: int
    values: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class ProfileReader:
    """Reads kept rows of one meter's load profile.

    `row(back)`: the newest for 0, the one before it for 1, None where there are no more.
    `captures()`: the register keys that its values belong to.
    """

    row: Callable[[int], ProfileRow | None]
    captures: Callable[[], Sequence[str]]
