"""What a recording's measurements add up to: means, extremes, energies, events.

Must not know a recording's format, nor how a summary is shown.
"""

from __future__ import annotations

import cmath
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from meter_node.meter.energy import BOOKED
from meter_node.metrology import (
    Detector,
    Engine,
    Limit,
    Limits,
    Measurement,
    NeutralGuard,
    PhaseMeasurement,
    QualityEvent,
    SampleBlock,
    Unbalance,
)
from meter_node.sources import Damage

NANO = 10**9
# Where each interval of IEC 61000-4-30 ends on the grid of the recording's seconds.
LONG_FREQUENCY_NS = 10 * NANO
OVER_CURRENT, OVER_CURRENT_RELEASE = 1.05, 1.03
OVER_CURRENT_S = 10


@dataclass(slots=True)
class Mean:
    """Over time; `square`: the mean is of the squares, as RMS values add."""

    square: bool = False
    total: float = 0.0
    seconds: float = 0.0

    def add(self, value: float | None, seconds: float) -> None:
        """A value that stood for so long; None is none."""
        if value is not None:
            self.total += seconds * (value * value if self.square else value)
            self.seconds += seconds

    @property
    def value(self) -> float | None:
        """None where there never was one."""
        if not self.seconds:
            return None
        mean = self.total / self.seconds
        return math.sqrt(mean) if self.square else mean


@dataclass(frozen=True, slots=True)
class Quantity[Of]:
    """A mean over the recording: its key, its name and unit, and where it comes from."""

    key: str
    name: str
    unit: str
    decimals: int
    value: Callable[[Of], float | None]
    square: bool = False


OF_PHASES: tuple[Quantity[PhaseMeasurement], ...] = (
    Quantity("voltage_v", "voltage", "V", 3, lambda phase: phase.voltage_v, square=True),
    Quantity("current_a", "current", "A", 4, lambda phase: phase.current_a, square=True),
    Quantity("active_power_w", "active power", "W", 2, lambda phase: phase.active_power_w),
    Quantity(
        "reactive_power_var", "reactive power", "var", 2, lambda phase: phase.reactive_power_var
    ),
    Quantity("apparent_power_va", "apparent power", "VA", 2, lambda phase: phase.apparent_power_va),
)


def _negative(unbalance: Unbalance | None) -> float | None:
    return None if unbalance is None else unbalance.negative_percent


def _zero(unbalance: Unbalance | None) -> float | None:
    return None if unbalance is None else unbalance.zero_percent


OF_SUPPLY: tuple[Quantity[Measurement], ...] = (
    Quantity("frequency_hz", "frequency", "Hz", 4, lambda second: second.frequency_hz),
    Quantity(
        "neutral_current_a",
        "neutral current",
        "A",
        4,
        lambda second: second.neutral_current_a if len(second.phases) > 1 else None,
        square=True,
    ),
    Quantity(
        "voltage_unbalance_negative_percent",
        "voltage unbalance, negative sequence",
        "%",
        3,
        lambda second: _negative(second.voltage_unbalance),
        square=True,
    ),
    Quantity(
        "voltage_unbalance_zero_percent",
        "voltage unbalance, zero sequence",
        "%",
        3,
        lambda second: _zero(second.voltage_unbalance),
        square=True,
    ),
    Quantity(
        "current_unbalance_negative_percent",
        "current unbalance, negative sequence",
        "%",
        3,
        lambda second: _negative(second.current_unbalance),
        square=True,
    ),
    Quantity(
        "current_unbalance_zero_percent",
        "current unbalance, zero sequence",
        "%",
        3,
        lambda second: _zero(second.current_unbalance),
        square=True,
    ),
    Quantity(
        "voltage_deviation_percent",
        "voltage, largest deviation",
        "%",
        3,
        lambda second: second.voltage_deviation_percent,
    ),
    Quantity(
        "current_deviation_percent",
        "current, largest deviation",
        "%",
        3,
        lambda second: second.current_deviation_percent,
    ),
)


@dataclass(slots=True)
class Harmonics:
    """RMS by order, the fundamental first, each over the time in which it was measured."""

    orders: list[Mean] = field(default_factory=list)

    def add(self, rms: tuple[float, ...], seconds: float) -> None:
        """One second's; nothing where there are none."""
        while len(self.orders) < len(rms):
            self.orders.append(Mean(square=True))
        for mean, value in zip(self.orders, rms, strict=False):
            mean.add(value, seconds)

    @property
    def rms(self) -> list[float]:
        """From order 1 on."""
        return [mean.value or 0.0 for mean in self.orders]

    @property
    def percents(self) -> list[float]:
        """Of the fundamental, from order 2 on; none without a fundamental."""
        rms = self.rms
        return [100 * value / rms[0] for value in rms[1:]] if rms and rms[0] else []

    @property
    def thd_percent(self) -> float | None:
        """All harmonics over the fundamental."""
        percents = self.percents
        return math.hypot(*percents) if percents else None

    @property
    def largest(self) -> tuple[int, float] | None:
        """Order and per cent of the fundamental."""
        percents = self.percents
        if not percents:
            return None
        worst = max(percents)
        return 2 + percents.index(worst), worst


class PhaseSummary:
    """One phase's. Energies in nWh and nvarh."""

    def __init__(self) -> None:
        self.means = {quantity.key: Mean(quantity.square) for quantity in OF_PHASES}
        self.energies = dict.fromkeys(BOOKED, 0)
        self.lowest_voltage_v = math.inf
        self.highest_voltage_v = 0.0
        self.voltage_harmonics = Harmonics()
        self.current_harmonics = Harmonics()
        self._voltage_phasor = 0j
        self._apparent = 0j

    def add(self, phase: PhaseMeasurement, seconds: float) -> None:
        """The next second's."""
        for quantity in OF_PHASES:
            self.means[quantity.key].add(quantity.value(phase), seconds)
        for name, of_phase in BOOKED.items():
            self.energies[name] += of_phase(phase)
        self.lowest_voltage_v = min(self.lowest_voltage_v, phase.lowest_voltage_v)
        self.highest_voltage_v = max(self.highest_voltage_v, phase.highest_voltage_v)
        # Without a voltage or a load there are no harmonics worth telling, and no angles.
        if phase.voltage_thd_percent is not None:
            self.voltage_harmonics.add(phase.voltage_harmonics_v, seconds)
        if phase.current_thd_percent is not None:
            self.current_harmonics.add(phase.current_harmonics_a, seconds)
        if phase.voltage_angle_deg is not None:
            self._voltage_phasor += seconds * phase.voltage_phasor_v
        if phase.phase_angle_deg is not None:
            power = phase.voltage_phasor_v * phase.current_phasor_a.conjugate()
            self._apparent += seconds * power

    def mean(self, key: str) -> float:
        """Of a quantity that each second has."""
        return self.means[key].value or 0.0

    @property
    def power_factor(self) -> float:
        """P/S with the sign of P, 1.0 without load."""
        return power_factor(self.mean("active_power_w"), self.mean("apparent_power_va"))

    @property
    def voltage_angle_deg(self) -> float | None:
        """Of the mean phasor, from the voltage of L1."""
        return _angle_deg(self._voltage_phasor)

    @property
    def phase_angle_deg(self) -> float | None:
        """How far the current's fundamental lags, of the mean power."""
        return _angle_deg(self._apparent)


class Summary:
    """What a recording adds up to. `start_ns` is the time of its sample 0."""

    def __init__(self, phases: int, start_ns: int = 0) -> None:
        self.start_ns = start_ns
        self.phases = [PhaseSummary() for _ in range(phases)]
        self.means = {quantity.key: Mean(quantity.square) for quantity in OF_SUPPLY}
        self.seconds = 0.0
        self.incomplete = 0
        self.clipped = 0
        self.frequencies_10s: list[tuple[float, float]] = []
        """Since when (s from the beginning) and how many hertz."""
        self.damage: list[Damage] = []
        self.events: list[QualityEvent] = []
        self._orders: Counter[str] = Counter()

    def add(self, measurement: Measurement) -> None:
        """Take the next measurement."""
        seconds = (measurement.end_ns - measurement.start_ns) / NANO
        self.seconds += seconds
        self.incomplete += not measurement.complete
        self.clipped += measurement.clipped
        for quantity in OF_SUPPLY:
            self.means[quantity.key].add(quantity.value(measurement), seconds)
        for summary, phase in zip(self.phases, measurement.phases, strict=True):
            summary.add(phase, seconds)
        if order := measurement.phase_order:
            self._orders[order.value] += 1
        # The engine shows the last interval's until the next one is over.
        past_ns = measurement.end_ns - self.start_ns
        if measurement.frequency_10s_hz is not None and past_ns % LONG_FREQUENCY_NS == 0:
            since_s = (past_ns - LONG_FREQUENCY_NS) / NANO
            self.frequencies_10s.append((since_s, measurement.frequency_10s_hz))

    @property
    def phase_order(self) -> str | None:
        """That of most seconds."""
        return self._orders.most_common(1)[0][0] if self._orders else None

    def since_s(self, time_ns: int) -> float:
        """Seconds from the beginning of the recording."""
        return (time_ns - self.start_ns) / NANO

    def total(self, key: str) -> float:
        """All phases' of a power."""
        return sum(phase.mean(key) for phase in self.phases)

    def energies(self, name: str) -> list[int]:
        """Of each phase."""
        return [phase.energies[name] for phase in self.phases]


def power_factor(active_power_w: float, apparent_power_va: float) -> float:
    """P/S with the sign of P, 1.0 without load."""
    return active_power_w / apparent_power_va if apparent_power_va else 1.0


def limits_of(maximum_current_a: float) -> Limits:
    """The usual ones, the current's by the meter's Imax."""
    return Limits(
        over_current=Limit(
            OVER_CURRENT * maximum_current_a,
            OVER_CURRENT_RELEASE * maximum_current_a,
            OVER_CURRENT_S,
        )
    )


def summarise(
    engine: Engine, summary: Summary, limits: Limits, items: Iterable[SampleBlock | Damage]
) -> None:
    """Run a source's items through an engine, to the end."""
    detector = Detector(len(summary.phases), limits)
    guard = NeutralGuard(len(summary.phases))
    for measurement in _measurements(engine, items, summary.damage):
        summary.add(measurement)
        summary.events += detector.advance(measurement)
        summary.events += guard.advance(measurement)


def _measurements(
    engine: Engine, items: Iterable[SampleBlock | Damage], damage: list[Damage]
) -> Iterator[Measurement]:
    for item in items:
        if isinstance(item, Damage):
            damage.append(item)
        else:
            yield from engine.push(item)
    rest = engine.flush()
    if rest is not None:
        yield rest


def _angle_deg(phasor: complex) -> float | None:
    return math.degrees(cmath.phase(phasor)) if phasor else None
