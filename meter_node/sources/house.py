"""What a house draws and feeds in at any instant. Knows nothing of samples, meters or clocks.

Everything is a pure function of the instant and the seed, so a simulation that was stopped goes on
where the world would be by now. What changes all the time is asked for one instant (seconds since
1970, UTC) or for an array of them, so that waveforms and phasors are of the same house. Habits
follow the sun (UTC + longitude / 15°): no time zones here.
"""

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .noise import Instants, flicker, uniform, wander
from .sun import clear_sky_plane_kw_per_m2

NANO = 10**9
HOUR_S = 3600
DAY_S = 86_400
YEAR_S = 365.2425 * DAY_S

HARMONIC_ORDERS = (3, 5, 7)
# The street's voltage, HARMONIC_ORDERS over the fundamental, as EN 50160 would find it well within.
VOLTAGE_HARMONICS = (0.004, 0.015, 0.008)
NOMINAL_VOLTAGE_V = 230.0
# The house's share of the street's cable: 16 A pull its voltage down by 3 V.
GRID_RESISTANCE_OHM = 0.19
CAR_CURRENT_A = 16.0
REFERENCE_ANNUAL_KWH = 4000.0
LEAST_ANNUAL_KWH = 500.0

# A Danish house, hour over mean (facts/metrology.md), from midnight.
HOURLY_SHAPE = (
    0.73, 0.63, 0.59, 0.58, 0.60, 0.67, 0.82, 0.92, 0.95, 0.97, 1.01, 1.10,
    1.12, 1.07, 1.03, 1.04, 1.13, 1.31, 1.47, 1.50, 1.42, 1.29, 1.14, 0.91,
)  # fmt: skip
HOURLY_MEAN = sum(HOURLY_SHAPE) / len(HOURLY_SHAPE)
# From the middle of the last hour of the day before to that of the first of the day after.
_SHAPE_HOURS = np.arange(-0.5, 25.0)
_SHAPE = np.array((HOURLY_SHAPE[-1], *HOURLY_SHAPE, HOURLY_SHAPE[0])) / HOURLY_MEAN
WINTER_SHARE = 0.15  # so much more in mid January, so much less in mid July

# How what doesn't switch is spread over the phases.
BASE_SHARES = {1: (1.0,), 2: (0.6, 0.4), 3: (0.5, 0.3, 0.2)}


@dataclass(frozen=True, slots=True)
class LoadKind:
    """How a kind of load draws its current.

    `reactive_share`: Q over P of the fundamental, positive inductive. `harmonics`: each of
    HARMONIC_ORDERS over the fundamental, negative where it is in antiphase (a rectifier's current
    peaks where the voltage does).
    """

    reactive_share: float
    harmonics: tuple[float, float, float]


HEATER = LoadKind(0.0, (0.0, 0.0, 0.0))
MOTOR = LoadKind(0.6, (0.08, 0.03, 0.01))
HOUSEHOLD = LoadKind(0.05, (-0.18, 0.09, -0.04))  # electronics, light, pumps: what is always on
CHARGER = LoadKind(-0.05, (0.02, 0.03, 0.02))
INVERTER = LoadKind(0.02, (0.01, 0.015, 0.01))


def _harmonics_per_w(kind: LoadKind) -> tuple[complex, complex, complex]:
    """Harmonic phasors of one watt at one volt; all orders odd, so export just turns the sign."""
    size, angle = cmath.polar(complex(1, -kind.reactive_share))
    third, fifth, seventh = (
        cmath.rect(size * share, order * angle)
        for share, order in zip(kind.harmonics, HARMONIC_ORDERS, strict=True)
    )
    return third, fifth, seventh


KINDS = (HEATER, MOTOR, HOUSEHOLD, CHARGER, INVERTER)
HARMONICS_PER_W = {kind: _harmonics_per_w(kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Pulse:
    """A load that is there, whole, from `start_s` up to `stop_s` (UTC), on a phase from 0."""

    start_s: float
    stop_s: float
    phase: int
    kind: LoadKind
    power_w: float


@dataclass(frozen=True, slots=True)
class Appliance:
    """A pulse of power on one phase, at about an hour of the day, with a probability a day."""

    power_w: float
    phase: int
    hour: float
    spread_h: float
    duration_s: float
    probability: float


APPLIANCES = (
    Appliance(2000.0, 1, 6.5, 1.0, 180.0, 0.9),  # kettle
    Appliance(2000.0, 1, 9.5, 1.5, 150.0, 0.6),
    Appliance(2000.0, 1, 15.0, 2.0, 180.0, 0.6),
    Appliance(2000.0, 1, 19.5, 1.5, 150.0, 0.7),
    Appliance(2000.0, 2, 17.5, 1.0, 2400.0, 0.5),  # oven
    Appliance(2000.0, 0, 11.0, 3.0, 1200.0, 0.5),  # washing machine heating
    Appliance(2000.0, 2, 20.0, 1.0, 1200.0, 0.6),  # dishwasher heating
)
FRIDGE_W, FRIDGE_PERIOD_S, FRIDGE_DUTY = 100.0, 2700.0, 1 / 3
CAR_PROBABILITY, CAR_HOUR, CAR_SPREAD_H = 0.6, 23.0, 1.5
CAR_SHORTEST_S, CAR_LONGEST_S = 3600.0, 3 * 3600.0

# One stream of chance for each thing that is left to it; phases and appliances count on from there.
_FREQUENCY, _VOLTAGE, _BASE, _CLOUDS, _FRIDGE, _CAR, _APPLIANCES = range(100, 800, 100)


@dataclass(frozen=True, slots=True)
class _Drift:
    """One restlessness of a value: how far, how fast, by which of the value's streams."""

    amount: float
    period_s: float
    stream: int


_FREQUENCY_DRIFTS = (_Drift(0.014, 300.0, 0), _Drift(0.006, 20.0, 1))
_VOLTAGE_DRIFTS = (_Drift(4.0, 900.0, 0), _Drift(1.0, 20.0, 10))
_BASE_DRIFTS = (_Drift(0.15, 1200.0, 0), _Drift(0.05, 60.0, 1))
_BASE_FLICKER = _Drift(0.02, 3.0, 2)
_CLOUD_DRIFTS = (_Drift(0.45, 6.0 * HOUR_S, 0), _Drift(0.20, 900.0, 1), _Drift(0.08, 30.0, 2))


@dataclass(frozen=True, slots=True)
class HouseConfig:
    """A house. `annual_consumption_kwh` is without the car; `solar_peak_w` 0 means no panels."""

    phases: int = 3
    nominal_frequency_hz: float = 50.0
    annual_consumption_kwh: float = REFERENCE_ANNUAL_KWH
    solar_peak_w: float = 0.0
    car: bool = False
    seed: int = 1
    latitude_deg: float = 56.16
    longitude_deg: float = 10.20

    def __post_init__(self) -> None:
        if self.phases not in BASE_SHARES:
            raise ValueError(f"1 to 3 phases, not {self.phases}")
        if self.nominal_frequency_hz not in (50.0, 60.0):
            raise ValueError(f"50 or 60 Hz, not {self.nominal_frequency_hz}")
        if self.annual_consumption_kwh < LEAST_ANNUAL_KWH:
            raise ValueError(f"a house uses at least {LEAST_ANNUAL_KWH} kWh a year")
        if self.solar_peak_w < 0:
            raise ValueError("solar peak power must not be negative")


@dataclass(frozen=True, slots=True)
class PhaseLoad:
    """One phase at one instant. Import is positive; powers are those of the fundamental.

    `harmonic_currents_a`: RMS phasors of HARMONIC_ORDERS, their angles counted from as many times
    the fundamental voltage's angle.
    """

    active_power_w: float
    reactive_power_var: float
    voltage_v: float
    frequency_hz: float
    harmonic_currents_a: tuple[complex, ...]

    @property
    def current_a(self) -> complex:
        """The fundamental's RMS phasor, the voltage's angle being zero."""
        return complex(self.active_power_w, -self.reactive_power_var) / self.voltage_v


class House:
    """A house as a function of time."""

    def __init__(self, config: HouseConfig) -> None:
        self.config = config
        self._base_shares = BASE_SHARES[config.phases]
        self._solar_offset_s = config.longitude_deg / 360 * DAY_S
        # A thrifty house cooks less often; the pulses themselves stay what they are.
        self._habit = min(config.annual_consumption_kwh / REFERENCE_ANNUAL_KWH, 1.0)
        pulses_w = sum(item.power_w * item.duration_s * item.probability for item in APPLIANCES)
        self._base_w = (
            config.annual_consumption_kwh * 1000 * HOUR_S / YEAR_S
            - pulses_w * self._habit / DAY_S
            - FRIDGE_W * FRIDGE_DUTY
        )
        self._pulses_of_day = lru_cache(maxsize=8)(self._plan_day)

    def loads(self, at_ns: int) -> tuple[PhaseLoad, ...]:
        """Every phase, L1 first, at this instant (UTC, ns since 1970)."""
        time_s = at_ns / NANO
        drawn: list[list[tuple[LoadKind, float]]] = [
            [(HOUSEHOLD, base_w)] for base_w in self.base_powers_w(time_s)
        ]
        for pulse in self._pulses_about(time_s, time_s):
            if pulse.start_s <= time_s < pulse.stop_s:
                drawn[pulse.phase].append((pulse.kind, pulse.power_w))
        if self.config.solar_peak_w:
            share_w = float(self.solar_power_w(time_s)) / self.config.phases
            for phase_loads in drawn:
                phase_loads.append((INVERTER, -share_w))
        frequency_hz = self.frequency_hz(time_s)
        return tuple(
            self._phase_load(time_s, phase, frequency_hz, phase_loads)
            for phase, phase_loads in enumerate(drawn)
        )

    def pulses(self, start_s: float, stop_s: float) -> list[Pulse]:
        """What is switched on at some time from start up to stop (UTC)."""
        return [
            pulse
            for pulse in self._pulses_about(start_s, stop_s)
            if pulse.start_s < stop_s and pulse.stop_s > start_s
        ]

    def frequency_hz[T: (float, Instants)](self, time_s: T) -> T:
        """Within 20 mHz of the nominal one."""
        return self.config.nominal_frequency_hz + self._drift(_FREQUENCY, _FREQUENCY_DRIFTS, time_s)

    def idle_voltage_v[T: (float, Instants)](self, time_s: T, phase: int) -> T:
        """What the phase (from 0) has without load; RMS of the fundamental."""
        return NOMINAL_VOLTAGE_V + self._drift(_VOLTAGE + phase, _VOLTAGE_DRIFTS, time_s)

    def base_powers_w[T: (float, Instants)](self, time_s: T) -> list[T]:
        """What is always on, phase by phase: the Danish day and year, and a restlessness."""
        solar_hour = (time_s / HOUR_S + self.config.longitude_deg / 15) % 24
        year_shape = 1 + WINTER_SHARE * np.cos(2 * math.pi * (time_s / YEAR_S - 15 / 365))
        usual_w = self._base_w * np.interp(solar_hour, _SHAPE_HOURS, _SHAPE) * year_shape
        return [
            usual_w * share * (1 + self._unrest(time_s, phase))
            for phase, share in enumerate(self._base_shares)
        ]

    def solar_power_w[T: (float, Instants)](self, time_s: T) -> T:
        """The inverter's output: panels at 35° towards the equator, 15 % lost, clouds passing."""
        config = self.config
        light_kw_per_m2 = clear_sky_plane_kw_per_m2(
            time_s, config.latitude_deg, config.longitude_deg, tilt_deg=35.0
        )
        cover = 0.45 + self._drift(_CLOUDS, _CLOUD_DRIFTS, time_s)
        clear_share = 1 - 0.8 * np.minimum(np.maximum(cover, 0.0), 1.0)
        share: T = np.minimum(0.85 * light_kw_per_m2 * clear_share, 1.0)
        return share * config.solar_peak_w

    def _unrest[T: (float, Instants)](self, time_s: T, phase: int) -> T:
        """Of what is always on: a few per cent, a little of it every few seconds."""
        stream = _BASE + 10 * phase
        part = _BASE_FLICKER
        quick = flicker(self.config.seed, stream + part.stream, time_s, part.period_s)
        return self._drift(stream, _BASE_DRIFTS, time_s) + part.amount * quick

    def _drift[T: (float, Instants)](self, stream: int, parts: tuple[_Drift, ...], time_s: T) -> T:
        first, *others = parts
        seed = self.config.seed
        total = first.amount * wander(seed, stream + first.stream, time_s, first.period_s)
        for part in others:
            total += part.amount * wander(seed, stream + part.stream, time_s, part.period_s)
        return total

    def _phase_load(
        self,
        time_s: float,
        phase: int,
        frequency_hz: float,
        drawn: list[tuple[LoadKind, float]],
    ) -> PhaseLoad:
        active_power_w = sum(power_w for _, power_w in drawn)
        reactive_power_var = sum(kind.reactive_share * power_w for kind, power_w in drawn)
        voltage_v = (
            self.idle_voltage_v(time_s, phase)
            - GRID_RESISTANCE_OHM * active_power_w / NOMINAL_VOLTAGE_V
        )
        third, fifth, seventh = 0j, 0j, 0j
        for kind, power_w in drawn:
            per_w = HARMONICS_PER_W[kind]
            third += power_w * per_w[0]
            fifth += power_w * per_w[1]
            seventh += power_w * per_w[2]
        harmonic_currents_a = third / voltage_v, fifth / voltage_v, seventh / voltage_v
        return PhaseLoad(
            active_power_w, reactive_power_var, voltage_v, frequency_hz, harmonic_currents_a
        )

    def _pulses_about(self, start_s: float, stop_s: float) -> Iterator[Pulse]:
        """All that may be on then, and more."""
        for cycle in range(int(start_s // FRIDGE_PERIOD_S), int(stop_s // FRIDGE_PERIOD_S) + 1):
            yield self._fridge_pulse(cycle)
        first, last = self._solar_day(start_s), self._solar_day(stop_s)
        for day in range(first - 1, last + 1):
            yield from self._pulses_of_day(day)

    def _solar_day(self, time_s: float) -> int:
        return int((time_s + self._solar_offset_s) // DAY_S)

    def _fridge_pulse(self, cycle: int) -> Pulse:
        place = (1 - FRIDGE_DUTY) * uniform(self.config.seed, _FRIDGE, cycle)
        start_s = (cycle + place) * FRIDGE_PERIOD_S
        return Pulse(start_s, start_s + FRIDGE_DUTY * FRIDGE_PERIOD_S, 0, MOTOR, FRIDGE_W)

    def _plan_day(self, day: int) -> tuple[Pulse, ...]:
        """What the house switches on in one day of solar time."""
        seed, midnight_s = self.config.seed, day * DAY_S - self._solar_offset_s
        pulses = []
        for number, item in enumerate(APPLIANCES):
            stream = _APPLIANCES + 2 * number
            if uniform(seed, stream, day) < item.probability * self._habit:
                chance = 2 * uniform(seed, stream + 1, day) - 1
                start_s = midnight_s + (item.hour + item.spread_h * chance) * HOUR_S
                phase = item.phase % self.config.phases
                stop_s = start_s + item.duration_s
                pulses.append(Pulse(start_s, stop_s, phase, HEATER, item.power_w))
        if self.config.car and uniform(seed, _CAR, day) < CAR_PROBABILITY:
            chance = 2 * uniform(seed, _CAR + 1, day) - 1
            start_s = midnight_s + (CAR_HOUR + CAR_SPREAD_H * chance) * HOUR_S
            duration_s = CAR_SHORTEST_S + (CAR_LONGEST_S - CAR_SHORTEST_S) * uniform(
                seed, _CAR + 2, day
            )
            power_w = CAR_CURRENT_A * NOMINAL_VOLTAGE_V
            pulses += [
                Pulse(start_s, start_s + duration_s, phase, CHARGER, power_w)
                for phase in range(self.config.phases)
            ]
        return tuple(pulses)
