"""Is the neutral conductor still there? Knows nothing of samples, breakers or who is told.

A lost neutral lets the star point of the house drift with its loads, while the voltages between the
lines stay what the grid makes them. An ordinary sag does the opposite: it moves a line, and with it
the line-to-line voltages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .events import NANO, EventKind, QualityEvent
from .measurement import Measurement
from .polyphase import displacement_v, line_voltages_v

SQRT_3 = 3**0.5


@dataclass(frozen=True, slots=True)
class NeutralLimits:
    """The maker's defaults: 40 V below 230 V, above 253 V, for more than 60 s.

    `displacement_v`: of the star point. 40 V straight towards a phase is just where the maker's
    rule trips (190 V and 2 × 252 V); by this rule it is as far in every other direction. A weak
    grid (65 A through 0.3 Ω of neutral: 20 V) stays below. `line_tolerance`: how far a line-to-line
    voltage may lie from √3 · nominal and still be the grid's usual one: two phases have no third to
    confirm them, so theirs must fit more closely.
    """

    nominal_v: float = 230.0
    low_by_v: float = 40.0
    high_v: float = 253.0
    displacement_v: float = 40.0
    difference_v: float = 40.0
    delay_s: float = 60.0
    line_tolerance: float = 0.10
    two_phase_line_tolerance: float = 0.05


class NeutralState(TypedDict):
    """What a store keeps of a guard."""

    since_ns: int | None
    worst: float
    tripped: bool


class NeutralGuard:
    """Watches for a lost neutral; a trip stays until `clear`: after a cut its cause looks gone.

    Three phases: the maker's rule (one below and two above their limits, or two below and one
    above) or a displaced star point with usual line-to-line voltages. Two phases: unequal voltages
    with a usual line-to-line voltage. One phase cannot know: a lasting over- or under-voltage is a
    suspected fault. All need the condition without a break for more than the delay.
    """

    def __init__(
        self, phases: int, limits: NeutralLimits | None = None, kept: NeutralState | None = None
    ) -> None:
        """`kept` is a `state` of before."""
        self._limits = limits or NeutralLimits()
        self._low_v = self._limits.nominal_v - self._limits.low_by_v
        self._rule = (self._one_phase, self._two_phases, self._three_phases)[phases - 1]
        self._kind = EventKind.SUSPECTED_NEUTRAL_FAULT if phases == 1 else EventKind.NEUTRAL_FAULT
        self._since_ns = kept["since_ns"] if kept else None
        self._worst = kept["worst"] if kept else 0.0
        self.tripped = kept["tripped"] if kept else False

    def advance(self, measurement: Measurement) -> list[QualityEvent]:
        """The event with which the guard trips, in the measurement in which it does."""
        if self.tripped:
            return []
        strength_v = self._rule(measurement)
        if strength_v is None:
            self._since_ns, self._worst = None, 0.0
            return []
        if self._since_ns is None:
            self._since_ns = measurement.start_ns
        self._worst = max(self._worst, strength_v)
        if measurement.end_ns - self._since_ns <= self._limits.delay_s * NANO:
            return []
        self.tripped = True
        return [QualityEvent(self._kind, None, self._since_ns, None, self._worst)]

    def clear(self, at_ns: int) -> list[QualityEvent]:
        """The utility says that it is mended; the event's end. Nothing where nothing tripped."""
        if not self.tripped or self._since_ns is None:
            return []
        ended = QualityEvent(self._kind, None, self._since_ns, at_ns, self._worst)
        self._since_ns, self._worst, self.tripped = None, 0.0, False
        return [ended]

    def state(self) -> NeutralState:
        """For a store to keep."""
        return NeutralState(since_ns=self._since_ns, worst=self._worst, tripped=self.tripped)

    def _three_phases(self, measurement: Measurement) -> float | None:
        voltages_v = [phase.voltage_v for phase in measurement.phases]
        phasors = [phase.voltage_phasor_v for phase in measurement.phases]
        displaced_v = displacement_v(phasors) if all(phasors) else 0.0
        # Nearly always. By either rule below, something is low or the star point is displaced.
        if min(voltages_v) >= self._low_v and displaced_v <= self._limits.displacement_v:
            return None
        low = sum(voltage_v < self._low_v for voltage_v in voltages_v)
        high = sum(voltage_v > self._limits.high_v for voltage_v in voltages_v)
        if low and high and low + high == len(voltages_v):
            return max(displaced_v, self._limits.nominal_v - min(voltages_v))
        if displaced_v > self._limits.displacement_v and self._usual_lines(
            phasors, self._limits.line_tolerance
        ):
            return displaced_v
        return None

    def _two_phases(self, measurement: Measurement) -> float | None:
        one_v, other_v = (phase.voltage_v for phase in measurement.phases)
        phasors = [phase.voltage_phasor_v for phase in measurement.phases]
        difference_v = abs(one_v - other_v)
        if difference_v <= self._limits.difference_v:
            return None
        usual = self._usual_lines(phasors, self._limits.two_phase_line_tolerance)
        return difference_v if usual else None

    def _one_phase(self, measurement: Measurement) -> float | None:
        voltage_v = measurement.phases[0].voltage_v
        if self._low_v <= voltage_v <= self._limits.high_v:
            return None
        return abs(voltage_v - self._limits.nominal_v)

    def _usual_lines(self, phasors: Sequence[complex], tolerance: float) -> bool:
        usual_v = SQRT_3 * self._limits.nominal_v
        return all(
            abs(line_v - usual_v) <= tolerance * usual_v for line_v in line_voltages_v(phasors)
        )
