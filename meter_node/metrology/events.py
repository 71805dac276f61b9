"""Voltage quality and disturbances as events. Knows nothing of samples, logs, alarms or clocks.

A detector of its own, which whoever owns the limits calls with each measurement, and not a part of
the engine: the limits are the meter's parameters, open events belong to what the meter commits (the
engine begins anew after a gap, an event doesn't), and measurements that were never samples (the
phasor-level simulation) are watched by the same rules.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NotRequired, TypedDict

from .measurement import Measurement, PhaseMeasurement
from .polyphase import PhaseOrder

NANO = 10**9
# Less than a cycle has no RMS voltage.
LEAST_NS = NANO // 40


class EventKind(Enum):
    """What can happen to a supply."""

    SAG = "sag"
    SWELL = "swell"
    INTERRUPTION = "interruption"
    POWER_CUT = "power_cut"
    UNDER_VOLTAGE = "under_voltage"
    OVER_VOLTAGE = "over_voltage"
    MISSING_PHASE = "missing_phase"
    WRONG_PHASE_ORDER = "wrong_phase_order"
    OVER_CURRENT = "over_current"
    REVERSED_CURRENT = "reversed_current"
    CURRENT_WITHOUT_VOLTAGE = "current_without_voltage"
    NEUTRAL_FAULT = "neutral_fault"
    SUSPECTED_NEUTRAL_FAULT = "suspected_neutral_fault"


@dataclass(frozen=True, slots=True)
class QualityEvent:
    """An event when it has lasted for its delay (`end_ns` None), and once more when it is over.

    `phase` is 1 to 3, None for the supply as a whole. Times are UTC in ns, each within a cycle (or
    a second): where the half cycle began that brought the voltage beyond the level, and the first
    whole cycle within it. `magnitude` is the worst value so far in the kind's own unit: the
    residual voltage of a sag, the highest of a swell (V), the current (A), the power of a reversed
    current (W, negative), the displacement or difference of a neutral fault (V); 1 for a wrong
    phase order. `interrupted`: samples were missing while it lasted, so that it may have ended, and
    been worse, where nobody looked.
    """

    kind: EventKind
    phase: int | None
    start_ns: int
    end_ns: int | None
    magnitude: float
    interrupted: bool = False

    @property
    def duration_s(self) -> float | None:
        """None while it lasts."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / NANO


@dataclass(frozen=True, slots=True)
class Limit:
    """From where on and for how long. `release` is where the value is back: the hysteresis."""

    level: float
    release: float
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if self.delay_s < 0:
            raise ValueError(f"a delay must not be negative, not {self.delay_s} s")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is watched for; None is not watched. Voltages in V, currents in A, power in W.

    Defaults: sag and swell 90 and 110 %, interruption 5 %, hysteresis 2 % of 230 V (usual with
    IEC 61000-4-30); the maker's power cut (160 V for 1 s), under- and over-voltage (10 % for 60 s
    and 15 s). `over_current` (105 % of 65 A) follows the meter's Imax; `reversed_current` is to be
    None where the house feeds in.
    """

    sag: Limit | None = Limit(207, 211.6)
    swell: Limit | None = Limit(253, 248.4)
    interruption: Limit | None = Limit(11.5, 16.1)
    power_cut: Limit | None = Limit(160, 164.6, 1)
    under_voltage: Limit | None = Limit(207, 211.6, 60)
    over_voltage: Limit | None = Limit(253, 248.4, 15)
    missing_phase: Limit | None = Limit(115, 160, 5)
    over_current: Limit | None = Limit(68.25, 66.95, 10)
    reversed_current: Limit | None = Limit(-20, -10, 10)
    current_without_voltage: Limit | None = Limit(0.25, 0.1, 10)
    wrong_phase_order: Limit | None = Limit(0.5, 0.5, 5)
    expected_phase_order: PhaseOrder = PhaseOrder.L1_L2_L3
    voltage_present_v: float = 115.0
    """Below this a phase has no voltage: for a missing phase, and a current without voltage."""


class OpenEvent(TypedDict):
    """One event that has begun, as a store can keep it."""

    kind: str
    phase: int | None
    start_ns: int
    worst: float
    reported: bool
    interrupted: NotRequired[bool]


class Watch:
    """One value held against one limit."""

    __slots__ = (
        "_interrupted",
        "_kind",
        "_limit",
        "_phase",
        "_reported",
        "_sign",
        "_start_ns",
        "_worst",
    )

    def __init__(self, kind: EventKind, phase: int | None, limit: Limit, *, low: bool) -> None:
        self._kind = kind
        self._phase = phase
        # Low limits are watched with all signs turned: one way round to think about is enough.
        self._sign = -1.0 if low else 1.0
        self._limit = Limit(self._sign * limit.level, self._sign * limit.release, limit.delay_s)
        self._start_ns: int | None = None
        self._worst = 0.0
        self._reported = False
        self._interrupted = False

    @property
    def name(self) -> tuple[str, int | None]:
        """What tells it from the other watches."""
        return self._kind.value, self._phase

    @property
    def is_open(self) -> bool:
        """Whether an event has begun, reported or not."""
        return self._start_ns is not None

    def concerns(self, worst: float) -> bool:
        """Whether a stretch whose worst value is this one can change anything."""
        return self._start_ns is not None or self._sign * worst > self._limit.level

    def see(self, back_ns: int, start_ns: int, end_ns: int, value: float) -> Iterator[QualityEvent]:
        """One value: new from start to end, and made of what was from `back_ns` on.

        What takes the value beyond the level came within its newest part; what brings it back was
        there as soon as the whole of it was good.
        """
        signed = self._sign * value
        if self._start_ns is None:
            if signed <= self._limit.level:
                return
            self._start_ns, self._worst, self._reported = start_ns, value, False
            self._interrupted = False
        elif signed <= self._limit.release:
            over_ns = back_ns if back_ns > self._start_ns else start_ns
            # Not reported and yet too old: it ended where nobody looked, in a gap.
            if self._reported or self._is_due(over_ns):
                yield self._event(over_ns)
            self._start_ns = None
            return
        elif signed > self._sign * self._worst:
            self._worst = value
        if not self._reported and self._is_due(end_ns):
            self._reported = True
            yield self._event(None)

    def miss(self) -> None:
        """Samples are missing: what has begun may have ended there."""
        self._interrupted = self._start_ns is not None

    def state(self) -> OpenEvent | None:
        """The event that has begun, None where none has."""
        if self._start_ns is None:
            return None
        return OpenEvent(
            kind=self._kind.value,
            phase=self._phase,
            start_ns=self._start_ns,
            worst=self._worst,
            reported=self._reported,
            interrupted=self._interrupted,
        )

    def restore(self, kept: OpenEvent) -> None:
        """Goes on with an event of before."""
        self._start_ns, self._worst = kept["start_ns"], kept["worst"]
        self._reported = kept["reported"]
        self._interrupted = kept.get("interrupted", False)

    def _is_due(self, at_ns: int) -> bool:
        return self._start_ns is not None and at_ns - self._start_ns >= self._limit.delay_s * NANO

    def _event(self, end_ns: int | None) -> QualityEvent:
        assert self._start_ns is not None
        return QualityEvent(
            self._kind, self._phase, self._start_ns, end_ns, self._worst, self._interrupted
        )


@dataclass(frozen=True, slots=True)
class _HalfCycleRule:
    """Watched by the half cycle: per phase, and over all phases by the voltage that decides."""

    kind: EventKind
    limit: Callable[[Limits], Limit | None]
    low: bool
    together: Callable[[Sequence[float]], float]


# IEC 61000-4-30: a polyphase sag or swell lasts from the first phase to the last, an interruption
# only while all phases are interrupted.
_BY_HALF_CYCLE = (
    _HalfCycleRule(EventKind.SAG, lambda limits: limits.sag, True, min),
    _HalfCycleRule(EventKind.SWELL, lambda limits: limits.swell, False, max),
    _HalfCycleRule(EventKind.INTERRUPTION, lambda limits: limits.interruption, True, max),
    _HalfCycleRule(EventKind.POWER_CUT, lambda limits: limits.power_cut, True, max),
)


@dataclass(frozen=True, slots=True)
class _SecondRule:
    """Watched by the second, a phase at a time."""

    kind: EventKind
    limit: Callable[[Limits], Limit | None]
    low: bool
    value: Callable[[PhaseMeasurement, Measurement, Limits], float]


def _voltage_if_missing(phase: PhaseMeasurement, second: Measurement, limits: Limits) -> float:
    """A phase is missing only while another one is there; without any it is a power cut."""
    if max(other.voltage_v for other in second.phases) < limits.voltage_present_v:
        return inf
    return phase.voltage_v


def _current_if_no_voltage(phase: PhaseMeasurement, _: Measurement, limits: Limits) -> float:
    return phase.current_a if phase.voltage_v < limits.voltage_present_v else 0.0


_BY_SECOND = (
    _SecondRule(
        EventKind.UNDER_VOLTAGE, lambda x: x.under_voltage, True, lambda p, _, __: p.voltage_v
    ),
    _SecondRule(
        EventKind.OVER_VOLTAGE, lambda x: x.over_voltage, False, lambda p, _, __: p.voltage_v
    ),
    _SecondRule(EventKind.MISSING_PHASE, lambda x: x.missing_phase, True, _voltage_if_missing),
    _SecondRule(
        EventKind.OVER_CURRENT, lambda x: x.over_current, False, lambda p, _, __: p.current_a
    ),
    _SecondRule(
        EventKind.REVERSED_CURRENT,
        lambda x: x.reversed_current,
        True,
        lambda p, _, __: p.active_power_w,
    ),
    _SecondRule(
        EventKind.CURRENT_WITHOUT_VOLTAGE,
        lambda x: x.current_without_voltage,
        False,
        _current_if_no_voltage,
    ),
)


class _Bounds:
    """What a measurement keeps within while no limit is near: then no watch needs to look at it."""

    __slots__ = ("_least_v", "_least_w", "_most_a", "_most_v", "_order")

    def __init__(self, limits: Limits) -> None:
        low = (limits.sag, limits.interruption, limits.power_cut)
        low_second = (limits.under_voltage, limits.missing_phase)
        high = (limits.swell, limits.over_voltage)
        levels_v = [limit.level for limit in (*low, *low_second) if limit]
        if limits.current_without_voltage:
            levels_v.append(limits.voltage_present_v)
        self._least_v = max(levels_v, default=-inf)
        self._most_v = min((limit.level for limit in high if limit), default=inf)
        self._most_a = limits.over_current.level if limits.over_current else inf
        self._least_w = limits.reversed_current.level if limits.reversed_current else -inf
        self._order = limits.expected_phase_order if limits.wrong_phase_order else None

    def hold(self, measurement: Measurement) -> bool:
        """Whether nothing in it can begin an event."""
        least_v, most_v = self._least_v, self._most_v
        for phase in measurement.phases:
            if phase.voltage_range_v:
                low_v, high_v = phase.voltage_range_v
                if not (low_v >= least_v and high_v <= most_v):
                    return False
            # What is no number holds no bound.
            if not (
                least_v <= phase.voltage_v <= most_v
                and phase.current_a <= self._most_a
                and phase.active_power_w >= self._least_w
            ):
                return False
        if self._order is None or len(measurement.phases) == 1:
            return True
        return measurement.phase_order is self._order


class Detector:
    """Watches one meter's measurements; see `Limits` for what, `QualityEvent` for what comes out.

    Voltages are watched by the half cycle (one-cycle RMS refreshed each half cycle) where the
    measurement has them, else by the second.
    """

    def __init__(
        self, phases: int, limits: Limits | None = None, kept: Sequence[OpenEvent] = ()
    ) -> None:
        """`kept` is a `state` of before: its events go on. One without a rule now is forgotten."""
        self._limits = limits or Limits()
        self._fast = [
            (rule, watch, phase)
            for rule in _BY_HALF_CYCLE
            for phase, watch in self._watches(rule, [*range(phases), *([None] * (phases > 1))])
        ]
        self._slow = [
            (rule, watch, phase)
            for rule in _BY_SECOND
            for phase, watch in self._watches(rule, range(phases))
            if phase is not None
        ]
        order = self._limits.wrong_phase_order
        self._order = (
            Watch(EventKind.WRONG_PHASE_ORDER, None, order, low=False)
            if order and phases > 1
            else None
        )
        self._bounds = _Bounds(self._limits)
        self._seen_to_ns: int | None = None
        by_name = {(event["kind"], event["phase"]): event for event in kept}
        for watch in self._all():
            if event := by_name.get(watch.name):
                watch.restore(event)
        self._is_open = self._any_open()

    def advance(self, measurement: Measurement) -> list[QualityEvent]:
        """The events of the next measurement, in order of time. Raises nothing."""
        if self._seen_to_ns is not None and measurement.start_ns - self._seen_to_ns > LEAST_NS:
            for watch in self._all():
                watch.miss()
        self._seen_to_ns = measurement.end_ns
        if not self._is_open and self._bounds.hold(measurement):
            return []
        found = [*self._by_half_cycle(measurement), *self._by_second(measurement)]
        self._is_open = self._any_open()
        return sorted(found, key=lambda event: event.end_ns or event.start_ns)

    def state(self) -> list[OpenEvent]:
        """Every event that has begun and is not over, reported or not: for a store to keep."""
        return [state for watch in self._all() if (state := watch.state())]

    def _watches(
        self, rule: _HalfCycleRule | _SecondRule, phases: Sequence[int | None]
    ) -> Iterator[tuple[int | None, Watch]]:
        limit = rule.limit(self._limits)
        for phase in phases if limit else ():
            assert limit
            number = None if phase is None else phase + 1
            yield phase, Watch(rule.kind, number, limit, low=rule.low)

    def _any_open(self) -> bool:
        return any(watch.is_open for watch in self._all())

    def _all(self) -> Iterator[Watch]:
        for _, watch, _ in self._fast:
            yield watch
        for _, watch, _ in self._slow:
            yield watch
        if self._order:
            yield self._order

    def _by_half_cycle(self, measurement: Measurement) -> Iterator[QualityEvent]:
        series = _voltages(measurement)
        if not series:
            return
        lowest = [phase.lowest_voltage_v for phase in measurement.phases]
        highest = [phase.highest_voltage_v for phase in measurement.phases]
        for rule, watch, phase in self._fast:
            extremes = lowest if rule.low else highest
            if not watch.concerns(rule.together(extremes) if phase is None else extremes[phase]):
                continue
            values = (
                map(rule.together, zip(*series, strict=True)) if phase is None else series[phase]
            )
            for span, value in zip(_spans(measurement), values, strict=True):
                yield from watch.see(*span, value)

    def _by_second(self, measurement: Measurement) -> Iterator[QualityEvent]:
        start_ns, end_ns = measurement.start_ns, measurement.end_ns
        for rule, watch, phase in self._slow:
            value = rule.value(measurement.phases[phase], measurement, self._limits)
            if watch.concerns(value):
                yield from watch.see(start_ns, start_ns, end_ns, value)
        order = measurement.phase_order if self._order else None
        # While too few phases have a voltage there is no order, neither a right nor a wrong one.
        if self._order and order:
            wrong = float(order is not self._limits.expected_phase_order)
            yield from self._order.see(start_ns, start_ns, end_ns, wrong)


def _voltages(measurement: Measurement) -> list[Sequence[float]]:
    """Each phase's by the half cycle, its one of the second where there are none.

    Nothing where a moment's worth of samples has not even a cycle.
    """
    if measurement.half_cycle_ends_ns:
        return [phase.half_cycle_voltages_v for phase in measurement.phases]
    if measurement.end_ns - measurement.start_ns < LEAST_NS:
        return []
    return [(phase.voltage_v,) for phase in measurement.phases]


def _spans(measurement: Measurement) -> Iterator[tuple[int, int, int]]:
    """For each of these: since when it is made of, and from when to when it is the newest."""
    ends_ns = measurement.half_cycle_ends_ns
    if len(ends_ns) < 2:
        return iter([(measurement.start_ns, measurement.start_ns, measurement.end_ns)])
    half_ns = ends_ns[1] - ends_ns[0]
    before_ns = ends_ns[0] - half_ns
    return zip(
        (before_ns - half_ns, before_ns, *ends_ns), (before_ns, *ends_ns), ends_ns, strict=False
    )
