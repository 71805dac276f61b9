"""What a house draws and feeds in at any instant. Knows nothing of samples, meters or clocks.

Everything is a pure function of the instant and the seed, so a simulation that was stopped goes on
where the world would be by now. Habits follow the sun (UTC + longitude / 15°): no time zones here.
"""

import cmath
import math
from dataclasses import dataclass
from functools import lru_cache

from .noise import uniform, wander
from .sun import clear_sky_plane_kw_per_m2

NANO = 10**9
HOUR_S = 3600
DAY_S = 86_400
YEAR_S = 365.2425 * DAY_S

HARMONIC_ORDERS = (3, 5, 7)
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


_HARMONICS_PER_W = {
    kind: _harmonics_per_w(kind) for kind in (HEATER, MOTOR, HOUSEHOLD, CHARGER, INVERTER)
}


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
            [(HOUSEHOLD, self._base_power_w(time_s, phase))] for phase in range(self.config.phases)
        ]
        if self._fridge_runs(time_s):
            drawn[0].append((MOTOR, FRIDGE_W))
        solar_time_s = time_s + self.config.longitude_deg / 360 * DAY_S
        today = int(solar_time_s // DAY_S)
        for day in (today - 1, today):
            for start_s, stop_s, phase, kind, power_w in self._pulses_of_day(day):
                if start_s <= solar_time_s < stop_s:
                    drawn[phase].append((kind, power_w))
        if self.config.solar_peak_w:
            share_w = self._solar_power_w(time_s) / self.config.phases
            for phase_loads in drawn:
                phase_loads.append((INVERTER, -share_w))
        frequency_hz = self.frequency_hz(at_ns)
        return tuple(
            self._phase_load(time_s, phase, frequency_hz, phase_loads)
            for phase, phase_loads in enumerate(drawn)
        )

    def frequency_hz(self, at_ns: int) -> float:
        """Within 20 mHz of the nominal one."""
        seed, time_s = self.config.seed, at_ns / NANO
        return (
            self.config.nominal_frequency_hz
            + 0.014 * wander(seed, _FREQUENCY, time_s, 300.0)
            + 0.006 * wander(seed, _FREQUENCY + 1, time_s, 20.0)
        )

    def _phase_load(
        self,
        time_s: float,
        phase: int,
        frequency_hz: float,
        drawn: list[tuple[LoadKind, float]],
    ) -> PhaseLoad:
        seed = self.config.seed
        active_power_w = sum(power_w for _, power_w in drawn)
        reactive_power_var = sum(kind.reactive_share * power_w for kind, power_w in drawn)
        voltage_v = (
            NOMINAL_VOLTAGE_V
            + 4.0 * wander(seed, _VOLTAGE + phase, time_s, 900.0)
            + 1.0 * wander(seed, _VOLTAGE + 10 + phase, time_s, 20.0)
            - GRID_RESISTANCE_OHM * active_power_w / NOMINAL_VOLTAGE_V
        )
        third, fifth, seventh = 0j, 0j, 0j
        for kind, power_w in drawn:
            per_w = _HARMONICS_PER_W[kind]
            third += power_w * per_w[0]
            fifth += power_w * per_w[1]
            seventh += power_w * per_w[2]
        harmonic_currents_a = third / voltage_v, fifth / voltage_v, seventh / voltage_v
        return PhaseLoad(
            active_power_w, reactive_power_var, voltage_v, frequency_hz, harmonic_currents_a
        )

    def _base_power_w(self, time_s: float, phase: int) -> float:
        """What is always on: the Danish day and year, and a restlessness of a few per cent."""
        seed, stream = self.config.seed, _BASE + 10 * phase
        hour, place = divmod((time_s / HOUR_S + self.config.longitude_deg / 15) % 24 - 0.5, 1.0)
        here, there = HOURLY_SHAPE[int(hour) % 24], HOURLY_SHAPE[(int(hour) + 1) % 24]
        day_shape = (here + (there - here) * place) / HOURLY_MEAN
        year_shape = 1 + WINTER_SHARE * math.cos(2 * math.pi * (time_s / YEAR_S - 15 / 365))
        restless = (
            1
            + 0.15 * wander(seed, stream, time_s, 1200.0)
            + 0.05 * wander(seed, stream + 1, time_s, 60.0)
            + 0.02 * (2 * uniform(seed, stream + 2, int(time_s // 3)) - 1)
        )
        return self._base_w * self._base_shares[phase] * day_shape * year_shape * restless

    def _fridge_runs(self, time_s: float) -> bool:
        cycle, place = divmod(time_s / FRIDGE_PERIOD_S, 1.0)
        start = (1 - FRIDGE_DUTY) * uniform(self.config.seed, _FRIDGE, int(cycle))
        return start <= place < start + FRIDGE_DUTY

    def _plan_day(self, day: int) -> tuple[tuple[float, float, int, LoadKind, float], ...]:
        """Start, stop (seconds of solar time), phase, kind and power of the day's pulses."""
        seed, midnight_s = self.config.seed, float(day * DAY_S)
        pulses = []
        for number, item in enumerate(APPLIANCES):
            stream = _APPLIANCES + 2 * number
            if uniform(seed, stream, day) < item.probability * self._habit:
                chance = 2 * uniform(seed, stream + 1, day) - 1
                start_s = midnight_s + (item.hour + item.spread_h * chance) * HOUR_S
                phase = item.phase % self.config.phases
                pulses.append((start_s, start_s + item.duration_s, phase, HEATER, item.power_w))
        if self.config.car and uniform(seed, _CAR, day) < CAR_PROBABILITY:
            chance = 2 * uniform(seed, _CAR + 1, day) - 1
            start_s = midnight_s + (CAR_HOUR + CAR_SPREAD_H * chance) * HOUR_S
            duration_s = CAR_SHORTEST_S + (CAR_LONGEST_S - CAR_SHORTEST_S) * uniform(
                seed, _CAR + 2, day
            )
            power_w = CAR_CURRENT_A * NOMINAL_VOLTAGE_V
            pulses += [
                (start_s, start_s + duration_s, phase, CHARGER, power_w)
                for phase in range(self.config.phases)
            ]
        return tuple(pulses)

    def _solar_power_w(self, time_s: float) -> float:
        """The inverter's output: panels at 35° towards the equator, 15 % lost, clouds passing."""
        config = self.config
        light_kw_per_m2 = clear_sky_plane_kw_per_m2(
            time_s, config.latitude_deg, config.longitude_deg, tilt_deg=35.0
        )
        if not light_kw_per_m2:
            return 0.0
        cover = (
            0.45
            + 0.45 * wander(config.seed, _CLOUDS, time_s, 6 * HOUR_S)
            + 0.20 * wander(config.seed, _CLOUDS + 1, time_s, 900.0)
            + 0.08 * wander(config.seed, _CLOUDS + 2, time_s, 30.0)
        )
        clear_share = 1 - 0.8 * min(max(cover, 0.0), 1.0)
        return min(0.85 * light_kw_per_m2 * clear_share, 1.0) * config.solar_peak_w
