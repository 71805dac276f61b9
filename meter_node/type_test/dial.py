"""What a register and a pulse output show on the bench: starting, no load, the meter constant.

Must not know what else is tested.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from meter_node.meter.meter import Meter
from meter_node.ports.pulse_train import NWH_PER_KWH, PulseOutput, PulseSettings

from .bench import SETTLING_S, Bench
from .limits import (
    BALANCED,
    NO_LOAD_K,
    NO_LOAD_VOLTAGE,
    ONE,
    SINE_ONE,
    STARTING_SHARE,
    Factor,
    Quantity,
    limits_at,
)
from .loads import UN_V, Load

STARTING_S = 20
DIAL_S = 30
# The pulses of the last second go out in the next; a few more let a queue run empty.
DRAIN_S = 5
NO_LOAD_RATE_HZ = 2000
REACTIVE_STARTING_SHARE = 0.005  # [M], see limits.


@dataclass(frozen=True, slots=True)
class Reading:
    """One line of the report."""

    quantity: Quantity
    current_a: float
    factor: Factor
    condition: str
    error_percent: float
    limits: dict[str, float]


def readings(bench: Bench) -> Iterator[Reading]:
    """All of them, in the order of a report."""
    yield starting(bench, "active", ONE, STARTING_SHARE, {"1": 100.0, "B": 100.0})
    yield starting(bench, "reactive", SINE_ONE[0], REACTIVE_STARTING_SHARE, {"reactive 2": 100.0})
    yield no_load(bench)
    yield from register_and_pulses(bench)


READINGS = 5


def starting(
    bench: Bench, quantity: Quantity, factor: Factor, share: float, limits: dict[str, float]
) -> Reading:
    """At the starting current the meter starts and goes on: to miss all of it is 100 % of error."""
    load = _load(bench, quantity, share * bench.variant.base_current_a, factor)
    counted = list(bench.play(load, SETTLING_S + STARTING_S))[SETTLING_S:]
    energies = [
        second.active_energy_nwh if quantity == "active" else second.reactive_energy_nvarh
        for second in counted
    ]
    error = 100 * (sum(energies) / bench.true_energy(load, STARTING_S) - 1)
    if not all(energies):
        error = -100.0
    return Reading(quantity, load.current_a, factor, "starting", error, limits)


def no_load(bench: Bench) -> Reading:
    """1.15 Un and no current, as long as class 1 wants it: the error is in hundredths of a pulse.

    Sampled at 2 kHz: the fewer samples a second, the more of the noise is left in its mean.
    """
    variant = bench.variant
    constant = PulseSettings(100).largest_constant(variant.phases, variant.maximum_current_a)
    minutes = NO_LOAD_K * 1e6 / (constant * variant.phases * UN_V * variant.maximum_current_a)
    noisy = any(front_end.noise_codes for front_end in bench.front_ends)
    load = replace(_load(bench, "active", 0.0, ONE), voltages=(NO_LOAD_VOLTAGE,) * variant.phases)
    slow = replace(bench, sampling_rate_hz=NO_LOAD_RATE_HZ)
    registered = sum(
        abs(phase.active_energy_nwh)
        for second in slow.play(load, math.ceil(60 * minutes) if noisy else STARTING_S)
        for phase in second.phases
    )
    error = 100 * registered * constant / NWH_PER_KWH
    return Reading("active", 0.0, ONE, "no load at 1.15 Un", error, {"1": 100.0, "B": 100.0})


def register_and_pulses(bench: Bench) -> Iterator[Reading]:
    """The register against the closed formula, and the pulses against the register, at Imax.

    Of the pulses, one that is missing or too many is 100 %.
    """
    variant = bench.variant
    load = _load(bench, "active", float(variant.maximum_current_a), ONE)
    largest = PulseSettings(100).largest_constant(variant.phases, variant.maximum_current_a)
    settings = PulseSettings(largest)
    meter, output, pulses, registered = Meter(variant), PulseOutput(settings), 0, 0
    now_ns = 0
    for second, measurement in enumerate(bench.play(load, SETTLING_S + DIAL_S)):
        if second < SETTLING_S:
            continue
        meter.advance(measurement)
        shown = meter.snapshot().energies_nwh["import_active_energy"]
        pulses += len(output.release(shown - registered, now_ns, now_ns + 10**9))
        registered, now_ns = shown, now_ns + 10**9
    pulses += len(output.release(0, now_ns, now_ns + DRAIN_S * 10**9))
    error = 100 * (registered / bench.true_energy(load, DIAL_S) - 1)
    share = load.current_a / variant.base_current_a
    limits = limits_at(BALANCED["active"], ONE, share)
    yield Reading("active", load.current_a, ONE, "register", error, limits)
    off = abs(pulses - registered * settings.constant // NWH_PER_KWH)
    condition = f"S0, {settings.constant} imp/kWh"
    one_pulse = {"1": 100.0, "B": 100.0}
    yield Reading("active", load.current_a, ONE, condition, 100.0 * off, one_pulse)


def _load(bench: Bench, quantity: Quantity, current_a: float, factor: Factor) -> Load:
    voltages = (1.0,) * bench.variant.phases
    return Load(quantity, current_a, factor, voltages, bench.nominal_frequency_hz)
