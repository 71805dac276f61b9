"""When the street's supply fails: a schedule drawn from a seed. Knows nothing of houses or meters.

A pure function of the seed: who simulates and who checks the simulation ask it independently.
"""

import math
from dataclasses import dataclass

from .noise import uniform

DAY_S = 86_400
QUARTER_HOUR_S = 900
NANO = 10**9
MILLI_NS = 10**6
MILLI = 1000


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Some phases (from 1) have only the share `residual` of their voltage, from start up to end.

    Times are UTC in ns, whole milliseconds. A residual of 0 is an outage.
    """

    start_ns: int
    end_ns: int
    phases: tuple[int, ...]
    residual: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of these in every `period_days`; durations are spread evenly over their logarithm."""

    stream: int
    period_days: int
    shortest_ms: int
    longest_ms: int
    grain_ms: int
    of_one_phase: bool = False
    least_residual: float = 0.0
    most_residual: float = 0.0


# Whole outages four a year, of one phase three in two years, as a rural Danish grid may have them;
# sags one a month, as long as a fault is there until its fuse blows (EN 50160's usual dips).
_OUTAGE = _Kind(900, 91, 2000, 3 * 3600 * MILLI, MILLI)
_PHASE_OUTAGE = _Kind(920, 243, 2000, 3 * 3600 * MILLI, MILLI, of_one_phase=True)
_SAG = _Kind(940, 30, 100, 2000, 10, True, 0.4, 0.88)
_KINDS = (_OUTAGE, _PHASE_OUTAGE, _SAG)


def disturbances(seed: int, start_s: int, end_s: int, phases: int) -> list[Disturbance]:
    """All that touch the time from start up to end (UTC, s), whole, in order of their starts.

    A house of one phase has no outage of one of its phases; its sags are as others'.
    """
    found = []
    for kind in _KINDS:
        if kind is _PHASE_OUTAGE and phases == 1:
            continue
        period_s = kind.period_days * DAY_S
        # None reaches beyond its own period.
        for slot in range(start_s // period_s, (end_s - 1) // period_s + 1):
            one = _draw(kind, seed, slot, phases)
            if one.start_ns < end_s * MILLI * MILLI_NS and one.end_ns > start_s * MILLI * MILLI_NS:
                found.append(one)
    return sorted(found, key=lambda one: (one.start_ns, one.end_ns))


def outages(seed: int, start_s: int, end_s: int, phases: int) -> list[Disturbance]:
    """Those of the disturbances in which a phase, or all of them, have no voltage."""
    return [one for one in disturbances(seed, start_s, end_s, phases) if not one.residual]


def dark_stretches_ns(seed: int, start_s: int, end_s: int, phases: int) -> list[tuple[int, int]]:
    """From when to when no phase has a voltage (UTC, ns), whole ones, in order."""
    return [
        (one.start_ns, one.end_ns)
        for one in outages(seed, start_s, end_s, phases)
        if len(one.phases) == phases
    ]


def dark_quarter_hours(seed: int, start_s: int, end_s: int, phases: int) -> list[int]:
    """Ends (UTC, s) of the quarter-hours within start and end that are dark throughout.

    By their ends, as a load profile stamps its rows: just these it hasn't. An outage begins and
    ends with the nearest whole second, as on a meter's clock: of less than half a second of light
    at an edge a meter measures no second, and gives no row.
    """
    dark: list[int] = []
    for start_ns, end_ns in dark_stretches_ns(seed, start_s, end_s, phases):
        first_s, last_s = max(round(start_ns / NANO), start_s), min(round(end_ns / NANO), end_s)
        first_s = -(-first_s // QUARTER_HOUR_S) * QUARTER_HOUR_S
        dark += range(first_s + QUARTER_HOUR_S, last_s + 1, QUARTER_HOUR_S)
    return dark


def _draw(kind: _Kind, seed: int, slot: int, phases: int) -> Disturbance:
    """The one of this slot of the kind's periods."""

    def chance(number: int) -> float:
        return uniform(seed, kind.stream + number, slot)

    ratio = kind.longest_ms / kind.shortest_ms
    duration_ms = _grains(kind.shortest_ms * math.exp(math.log(ratio) * chance(0)), kind)
    period_ms = kind.period_days * DAY_S * MILLI
    start_ms = slot * period_ms + _grains((period_ms - duration_ms) * chance(1), kind)
    concerned = (1 + int(chance(2) * phases),) if kind.of_one_phase else tuple(range(1, phases + 1))
    residual = kind.least_residual + (kind.most_residual - kind.least_residual) * chance(3)
    return Disturbance(
        start_ms * MILLI_NS, (start_ms + duration_ms) * MILLI_NS, concerned, residual
    )


def _grains(time_ms: float, kind: _Kind) -> int:
    return int(time_ms // kind.grain_ms) * kind.grain_ms
