"""The status byte of a profile's row: its bits as IDIS has them, once for both ends.

Must not know how an interval is metered.
"""

from __future__ import annotations

POWER_DOWN = 1 << 7
"""A part of the interval was not measured: power was off, or the meter or profile began in it."""
CLOCK_ADJUSTED = 1 << 5
"""The interval was cut short by a step of the clock, or begins with one."""
DAYLIGHT_SAVING = 1 << 3
"""Daylight saving was in force while the interval ran (at its begin, as its tariff)."""
DATA_NOT_VALID = 1 << 2
"""A converter stood at the end of its range: values are too small."""
CLOCK_INVALID = 1 << 1
"""The clock had been lost and was not yet set."""
ERROR = 1 << 0
"""A self-test had failed."""

BITS = {
    "power_down": POWER_DOWN,
    "clock_adjusted": CLOCK_ADJUSTED,
    "daylight_saving": DAYLIGHT_SAVING,
    "data_not_valid": DATA_NOT_VALID,
    "clock_invalid": CLOCK_INVALID,
    "error": ERROR,
}
"""By name, the highest first."""


def names(status: int) -> list[str]:
    """Return what a status says."""
    return [name for name, bit in BITS.items() if status & bit]
