"""What any list of the channel means once it is decoded: values by register key, in SI units.

Must not know formats or keys; each list's own file fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .cosem_time import CosemDateTime


@dataclass(frozen=True, slots=True)
class State:
    """One attribute of one COSEM object that is no register: breaker, relay, calendar, identity."""

    class_id: int
    logical_name: bytes
    attribute: int
    value: object


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where one event log stands: number of its last entry and head of its hash chain."""

    logical_name: bytes
    last_entry: int
    head: bytes


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One entry of an event log."""

    logical_name: bytes
    entry: int
    time: CosemDateTime
    code: int
    detail: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One push. ``values`` are in Wh, varh, W, var, VA, V, A, Hz; a power factor is a ratio."""

    list_name: str
    time: CosemDateTime | None
    values: Mapping[str, float]
    texts: Mapping[str, str] = field(default_factory=dict)
    """``meter_number``, ``model``, ``software``, ``gs1_number``, where the list carries them."""
    states: tuple[State, ...] = ()
    logs: tuple[LogHead, ...] = ()
    events: tuple[LoggedEvent, ...] = ()


class ListError(ValueError):
    """The data is not a list that this program knows; the text names what it is."""


_TENS = tuple(10.0**power for power in range(16))


def scale(scaler: int) -> Callable[[float], float]:
    """Return what ``scaled`` does for this scaler, where many numbers have the same."""
    if scaler >= 0:
        return _TENS[scaler].__mul__
    return _TENS[-scaler].__rtruediv__


def scaled(raw: float, scaler: int) -> float:
    """Return raw × 10^scaler, correctly rounded (22199, −2 → 221.99); scaler −15 to 15."""
    return raw * _TENS[scaler] if scaler >= 0 else raw / _TENS[-scaler]
