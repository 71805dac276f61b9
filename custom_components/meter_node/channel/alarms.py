"""The alarm register: what is wrong or wants attention now, one bit a row, with texts for people.

Must not know what finds it. The standard leaves the bits to the maker (IEC 62056-6-2, "Alarm
register"): a bit is never given another meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """One row: its bit, its name in code and JSON, and its text for people."""

    bit: int
    name: str
    english: str
    danish: str


def _per_phase(first: int, name: str, english: str, danish: str) -> tuple[Alarm, ...]:
    return tuple(
        Alarm(first + phase - 1, f"{name}_l{phase}", f"{english} L{phase}", f"{danish} L{phase}")
        for phase in (1, 2, 3)
    )


ALARMS: tuple[Alarm, ...] = (
    Alarm(0, "clock_invalid", "Clock invalid", "Ur ugyldigt"),
    Alarm(1, "store_error", "Store faulty", "Lagerfejl"),
    Alarm(2, "memory_error", "Memory faulty", "Hukommelsesfejl"),
    Alarm(3, "program_error", "Program checksum wrong", "Programfejl"),
    Alarm(4, "magnet", "Strong magnetic field", "Kraftigt magnetfelt"),
    Alarm(5, "cover_open", "Cover open", "Dæksel åbent"),
    Alarm(6, "breaker_failure", "Breaker does not follow", "Afbryder følger ikke"),
    Alarm(7, "neutral_fault", "Neutral fault", "Fejl på nulleder"),
    Alarm(8, "limiter_exceeded", "Power limit exceeded", "Effektgrænse overskredet"),
    Alarm(9, "credit_low", "Credit low", "Lav saldo"),
    Alarm(10, "credit_exhausted", "Credit used up", "Saldo opbrugt"),
    *_per_phase(12, "under_voltage", "Under-voltage", "Underspænding"),
    *_per_phase(16, "over_voltage", "Over-voltage", "Overspænding"),
    *_per_phase(20, "missing_voltage", "Missing voltage", "Manglende spænding"),
)
BITS = {alarm.name: alarm.bit for alarm in ALARMS}


def register(names: Iterable[str]) -> int:
    """Return the alarm register (32 bits) that says these. Raises KeyError for no such alarm."""
    return sum(1 << BITS[name] for name in set(names))


def names(bits: int) -> frozenset[str]:
    """Return the alarms of a register; bits that this version does not know are passed over."""
    return frozenset(alarm.name for alarm in ALARMS if bits >> alarm.bit & 1)
