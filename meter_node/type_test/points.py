"""Every point of the type test, as loads and limits. Must not know how they are measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise, product

from meter_node.meter.variant import Variant

from .limits import (
    ACTIVE_FACTORS,
    BALANCED,
    HALF,
    IMIN,
    INFLUENCE,
    ITR,
    MID,
    MID_FACTORS,
    ONE,
    ONE_PHASE_LOADED,
    REACTIVE_FACTORS,
    REPEATABILITY_SHARE,
    TEST_CURRENTS,
    Factor,
    Limit,
    Quantity,
    limits_at,
)
from .loads import Load, Waveform

ErrorOf = Callable[[Load], float]

TEMPERATURES_C = (-40.0, -25.0, -10.0, 5.0, 23.0, 40.0, 55.0, 70.0)
"""Neighbours are 15 to 18 K apart: each gives a coefficient, where IEC 62053-21 asks for 20 K."""

TRANSIENT_VOLTAGES: dict[str, tuple[float, ...]] = {
    "voltage ±10 %": (0.9, 1.1),
    "voltage −20/+15 %": (0.8, 1.15),
}
REPEATS = 3
# Their spread is to be the meter's and not the noise of a short measurement.
REPEATS_LEAST_S, WEAK_REPEATS_LEAST_S = 4, 200
# Its limit is a quarter of the error's own.
PHASE_ORDER_LEAST_S = 20


class Kind(Enum):
    """How the error of a point follows from the errors of its loads."""

    ERROR = "the error itself"
    VARIATION = "against the second load"
    PER_KELVIN = "against the second load, divided by the degrees between them"
    SPREAD = "the largest less the smallest"
    COMPOSITE = "the error and each group's largest variation, as a root of squares"


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the report: what is applied, and which limits (%) hold for what follows.

    `loads[0]` is the point's own; what the others are for, `kind` says. In a composite they are
    compared with it in groups by what differs: voltage, frequency or temperature.
    """

    condition: str
    kind: Kind
    loads: tuple[Load, ...]
    limits: dict[str, float]

    def error_percent(self, error_of: ErrorOf) -> float:
        """From what the bench says of each load."""
        return _ERRORS[self.kind](self.loads, error_of)


def _variation(loads: Sequence[Load], error_of: ErrorOf) -> float:
    return error_of(loads[0]) - error_of(loads[1])


def _per_kelvin(loads: Sequence[Load], error_of: ErrorOf) -> float:
    return _variation(loads, error_of) / (loads[0].temperature_c - loads[1].temperature_c)


def _spread(loads: Sequence[Load], error_of: ErrorOf) -> float:
    errors = [error_of(load) for load in loads]
    return max(errors) - min(errors)


def _composite(loads: Sequence[Load], error_of: ErrorOf) -> float:
    """√(e² + δ²(T) + δ²(U) + δ²(f)).

    Directive 2014/32/EU, annex V, point 3: each effect by itself, all others at their reference.
    How they are put together is a picture in the copies that were read; the root of squares is [M].
    """
    own = loads[0]
    largest: dict[str, float] = {}
    for load in loads[1:]:
        name = next(
            name
            for name in ("temperature_c", "voltages", "frequency_hz")
            if getattr(load, name) != getattr(own, name)
        )
        change = abs(error_of(load) - error_of(own))
        largest[name] = max(largest.get(name, 0.0), change)
    return math.hypot(error_of(own), *largest.values())


_ERRORS: dict[Kind, Callable[[Sequence[Load], ErrorOf], float]] = {
    Kind.ERROR: lambda loads, error_of: error_of(loads[0]),
    Kind.VARIATION: _variation,
    Kind.PER_KELVIN: _per_kelvin,
    Kind.SPREAD: _spread,
    Kind.COMPOSITE: _composite,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """All points of one variant at one nominal frequency."""

    variant: Variant
    frequency_hz: float

    def points(self) -> Iterator[Point]:
        """In the order of a report."""
        yield from self._accuracy("active", ACTIVE_FACTORS)
        yield from self._exported()
        yield from self._accuracy("reactive", REACTIVE_FACTORS)
        yield from self._repeatability()
        yield from self._voltage_and_frequency()
        yield from self._temperature()
        if self.variant.phases > 1:
            yield from self._polyphase()
        yield from self._waveforms()
        yield from self._mid()

    def load(self, quantity: Quantity, current_a: float, factor: Factor) -> Load:
        """Under reference conditions, all phases loaded."""
        voltages = (1.0,) * self.variant.phases
        return Load(quantity, current_a, factor, voltages, self.frequency_hz)

    def _currents_a(self) -> tuple[float, ...]:
        base_a, maximum_a = self.variant.base_current_a, self.variant.maximum_current_a
        return (*(share * base_a for share in TEST_CURRENTS), maximum_a / 2, float(maximum_a))

    def _influenced_a(self, least: float = ITR) -> tuple[float, ...]:
        """Where influences are applied: from this share of Ib to Imax."""
        base_a = self.variant.base_current_a
        return least * base_a, float(base_a), float(self.variant.maximum_current_a)

    def _accuracy(self, quantity: Quantity, factors: tuple[Factor, ...]) -> Iterator[Point]:
        several = self.variant.phases > 1
        loadings: list[tuple[str, dict[Quantity, tuple[Limit, ...]], int | None]] = [
            ("balanced" if several else "reference", BALANCED, None)
        ]
        if several:
            loadings += [
                (f"L{phase + 1} only", ONE_PHASE_LOADED, phase)
                for phase in range(self.variant.phases)
            ]
        for condition, table, only in loadings:
            for factor in factors:
                for current_a in self._currents_a():
                    share = current_a / self.variant.base_current_a
                    limits = limits_at(table[quantity], factor, share)
                    if limits:
                        load = replace(self.load(quantity, current_a, factor), only=only)
                        yield Point(condition, Kind.ERROR, (load,), limits)

    def _exported(self) -> Iterator[Point]:
        for factor in (ONE, HALF):
            for current_a in self._currents_a()[3:]:
                share = current_a / self.variant.base_current_a
                load = replace(self.load("active", current_a, factor), exported=True)
                limits = limits_at(BALANCED["active"], factor, share)
                yield Point("exported", Kind.ERROR, (load,), limits)

    def _repeatability(self) -> Iterator[Point]:
        base_a = self.variant.base_current_a
        for factor in (ONE, HALF):
            for current_a in self._influenced_a():
                limits = {
                    of_class: REPEATABILITY_SHARE * percent
                    for of_class, percent in limits_at(
                        BALANCED["active"], factor, current_a / base_a
                    ).items()
                }
                load = self.load("active", current_a, factor)
                weak = current_a < base_a
                load = replace(load, least_s=WEAK_REPEATS_LEAST_S if weak else REPEATS_LEAST_S)
                loads = tuple(replace(load, number=number) for number in range(REPEATS))
                yield Point("repeatability", Kind.SPREAD, loads, limits)

    def _varied(self, quantity: Quantity, condition: str, change: Change) -> Iterator[Point]:
        """For each factor that the influence has a limit for.

        From 0.05 Ib on at a factor of 1, and from 0.1 Ib at 0.5: IEC 62053-21:2003, table 8.
        """
        for factor, limits in INFLUENCE[quantity][condition].items():
            for current_a in self._influenced_a(IMIN if factor[0] == 1 else ITR):
                load = self.load(quantity, current_a, factor)
                yield Point(condition, Kind.VARIATION, (change(load), load), limits)

    def _voltage_and_frequency(self) -> Iterator[Point]:
        for quantity, influences in INFLUENCE.items():
            for condition, shares in TRANSIENT_VOLTAGES.items():
                if condition in influences:
                    for share in shares:
                        yield from self._varied(quantity, condition, at_voltage(share))
            for share in (0.98, 1.02):
                yield from self._varied(quantity, "frequency ±2 %", at_frequency(share))

    def _temperature(self) -> Iterator[Point]:
        """From 0.1 Ib on, as IEC 62053-21:2003, table 8, and at 0.5 as class 0.2S, from 0.1 In."""
        condition = "temperature, per K"
        for quantity, influences in INFLUENCE.items():
            for (factor, limits), current_a in product(
                influences[condition].items(), self._influenced_a()
            ):
                load = self.load(quantity, current_a, factor)
                for cold_c, warm_c in pairwise(TEMPERATURES_C):
                    loads = (at_temperature(warm_c)(load), at_temperature(cold_c)(load))
                    yield Point(condition, Kind.PER_KELVIN, loads, limits)

    def _polyphase(self) -> Iterator[Point]:
        limits = INFLUENCE["active"]
        for current_a in (ITR * self.variant.base_current_a, float(self.variant.base_current_a)):
            load = replace(self.load("active", current_a, ONE), least_s=PHASE_ORDER_LEAST_S)
            turned = (replace(load, reversed_order=True), load)
            yield Point("reversed phase order", Kind.VARIATION, turned,
                        limits["reversed phase order"][ONE])  # fmt: skip
        load = self.load("active", float(self.variant.base_current_a), ONE)
        for phase in range(self.variant.phases):
            alone = tuple(float(other == phase) for other in range(self.variant.phases))
            without = tuple(float(other != phase) for other in range(self.variant.phases))
            for voltages in {alone, without}:
                lost = (replace(load, voltages=voltages), load)
                yield Point("voltage unbalance", Kind.VARIATION, lost,
                            limits["voltage unbalance"][ONE])  # fmt: skip

    def _waveforms(self) -> Iterator[Point]:
        base_a, maximum_a = self.variant.base_current_a, self.variant.maximum_current_a
        for waveform, current_a in (
            (Waveform.FIFTH, maximum_a / 2),
            (Waveform.BURST, base_a / 2),
            (Waveform.FIRED, base_a / 2),
            # Half a sine of Imax has an RMS of Imax/√2.
            (Waveform.HALF_WAVE, float(maximum_a)),
        ):
            load = self.load("active", current_a, ONE)
            limits = INFLUENCE["active"][waveform.value][ONE]
            changed = (replace(load, waveform=waveform), load)
            yield Point(waveform.value, Kind.VARIATION, changed, limits)

    def _mid(self) -> Iterator[Point]:
        base_a, maximum_a = self.variant.base_current_a, self.variant.maximum_current_a
        shares = (IMIN, ITR, 1.0, maximum_a / base_a)
        for factor in MID_FACTORS:
            for share in shares:
                load = self.load("active", share * base_a, factor)
                changes = [at_voltage(0.9), at_voltage(1.1), at_frequency(0.98), at_frequency(1.02)]
                for band in MID:
                    changes += [at_temperature(at_c) for at_c in band.temperatures_c]
                    limits = band.from_imin if share < ITR else band.from_itr
                    loads = (load, *(change(load) for change in changes))
                    yield Point(f"MID, {band.name}", Kind.COMPOSITE, loads, limits)


type Change = Callable[[Load], Load]


def at_voltage(share: float) -> Change:
    """All voltages times this."""
    return lambda load: replace(load, voltages=tuple(share * it for it in load.voltages))


def at_frequency(share: float) -> Change:
    """The frequency times this, without what floating point adds to it."""
    return lambda load: replace(load, frequency_hz=round(share * load.frequency_hz, 6))


def at_temperature(temperature_c: float) -> Change:
    """At another ambient temperature."""
    return lambda load: replace(load, temperature_c=temperature_c)
