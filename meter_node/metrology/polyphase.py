"""What the phases say together: order, unbalance, displaced star point. Knows nothing of time."""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

PHASES = 3
TURN = cmath.rect(1.0, 2 * math.pi / PHASES)
BACK = TURN.conjugate()


class PhaseOrder(Enum):
    """How the voltages follow each other."""

    L1_L2_L3 = "L1-L2-L3"
    L1_L3_L2 = "L1-L3-L2"


@dataclass(frozen=True, slots=True)
class Unbalance:
    """Negative and zero sequence over the positive one, in per cent (IEC 61000-4-30)."""

    negative_percent: float
    zero_percent: float


def symmetrical_components(phasors: Sequence[complex]) -> tuple[complex, complex, complex]:
    """Zero, positive and negative sequence of three phasors (Fortescue)."""
    l1, l2, l3 = phasors
    return (
        (l1 + l2 + l3) / PHASES,
        (l1 + TURN * l2 + BACK * l3) / PHASES,
        (l1 + BACK * l2 + TURN * l3) / PHASES,
    )


def phase_order(voltages_v: Sequence[complex], least_v: float) -> PhaseOrder | None:
    """The order of two or three phases, of which two at least must have `least_v`.

    None where they have none: a split phase, or two terminals on one conductor.
    """
    present = [(place, u) for place, u in enumerate(voltages_v) if abs(u) >= least_v]
    if len(present) < 2:
        return None
    if len(present) == PHASES:
        l1, l2, l3 = voltages_v
        positive, negative = abs(l1 + TURN * l2 + BACK * l3), abs(l1 + BACK * l2 + TURN * l3)
        if positive > negative:
            return PhaseOrder.L1_L2_L3 if positive >= 2 * negative else None
        return PhaseOrder.L1_L3_L2 if negative >= 2 * positive else None
    (first, one), (last, other) = present
    # Each phase stands 120° ahead of the next one, and so L3 of L1.
    ahead_deg = math.degrees(cmath.phase(one / other))
    if last - first == 2:
        ahead_deg = -ahead_deg
    if not 60 < abs(ahead_deg) < 165:
        return None
    return PhaseOrder.L1_L2_L3 if ahead_deg > 0 else PhaseOrder.L1_L3_L2


def unbalance(phasors: Sequence[complex], least: float) -> Unbalance | None:
    """None but for three phases, and where the positive sequence is not above `least`."""
    if len(phasors) != PHASES:
        return None
    zero, positive, negative = map(abs, symmetrical_components(phasors))
    if positive <= least:
        return None
    return Unbalance(100 * negative / positive, 100 * zero / positive)


def largest_deviation(magnitudes: Sequence[float]) -> float | None:
    """The largest deviation from the mean, in per cent of it; None for one phase or all zero."""
    mean = sum(magnitudes) / len(magnitudes)
    if len(magnitudes) < 2 or not mean:
        return None
    return 100 * max(abs(value - mean) for value in magnitudes) / mean


def displacement_v(voltages_v: Sequence[complex]) -> float:
    """How far the star point lies from the middle of three voltages: |U1 + U2 + U3| / 3."""
    return abs(sum(voltages_v)) / PHASES


def line_voltages_v(voltages_v: Sequence[complex]) -> list[float]:
    """Between each phase and the next, and between the last and the first of three."""
    lines = [abs(one - other) for one, other in pairwise(voltages_v)]
    if len(voltages_v) == PHASES:
        lines.append(abs(voltages_v[-1] - voltages_v[0]))
    return lines
