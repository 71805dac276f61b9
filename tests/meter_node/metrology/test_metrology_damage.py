"""Whatever a damaged source brings: a clear error, or an interval that says so. Never a guess."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.metrology import Detector, Engine, Measurement, NeutralGuard, SampleBlock
from meter_node.metrology.block import CODE_MAX, CODE_MIN
from meter_node.metrology.engine import StreamError
from tests.meter_node.metrology.waveforms import START_NS, block, calibration, part, wave

RATE_HZ = 2000
RECORDING = block(
    [wave(230, 50, -2.094 * p, seconds=4, rate_hz=RATE_HZ) for p in range(3)],
    [wave(5, 50, -2.094 * p - 0.3, seconds=4, rate_hz=RATE_HZ) for p in range(3)],
    RATE_HZ,
)


def test_a_clipped_converter_flags_its_phase_and_second_alone() -> None:
    current = RECORDING.current.copy()
    current[1, 2500:2510] = CODE_MAX
    clipped = SampleBlock(RECORDING.voltage, current, RATE_HZ, 0, START_NS, 23.0)
    seconds = Engine(calibration(3), 3, RATE_HZ).push(clipped)
    assert [second.clipped for second in seconds] == [False, True, False, False]
    assert [phase.clipped for phase in seconds[1].phases] == [False, True, False]


def test_a_converter_of_fewer_bits_clips_earlier() -> None:
    loud = block([wave(230, 50)], [wave(5, 50)])
    limit = int(loud.voltage.max())
    seconds = Engine(calibration(), 1, 8000, full_scale_codes=limit).push(loud)
    assert all(second.clipped for second in seconds)


def test_clipping_flags_the_same_second_however_the_stream_is_cut() -> None:
    voltage = RECORDING.voltage.copy()
    voltage[2, 3999] = CODE_MIN
    whole = SampleBlock(voltage, RECORDING.current, RATE_HZ, 0, START_NS, 23.0)
    engine = Engine(calibration(3), 3, RATE_HZ)
    flags = [
        second.phases[2].clipped
        for start, stop in pairwise((0, 3990, 4010, 8000))
        for second in engine.push(part(whole, start, stop))
    ]
    assert flags == [False, True, False, False]


def sane(second: Measurement) -> bool:
    """Nothing that is not a number, nothing negative that cannot be."""
    numbers = [
        value
        for phase in second.phases
        for value in (
            phase.voltage_v,
            phase.current_a,
            phase.active_power_w,
            phase.reactive_power_var,
            phase.apparent_power_va,
            phase.power_factor,
            *phase.voltage_harmonics_v,
            *phase.half_cycle_voltages_v,
        )
    ]
    assert second.neutral_current_a is not None
    return bool(np.isfinite([*numbers, second.neutral_current_a]).all()) and all(
        phase.voltage_v >= 0 and phase.current_a >= 0 for phase in second.phases
    )


# What may happen to the next stretch of a stream: its length, samples lost before it, a jump of
# its clock, a phase that goes dead, a converter that sticks, another rate.
STRETCHES = st.lists(
    st.tuples(
        st.integers(1, 3000),
        st.one_of(st.just(0), st.integers(-50, 5000)),
        st.one_of(st.just(0), st.integers(-(10**9), 10**10)),
        st.sampled_from([None, 0, 1, 2]),
        st.sampled_from([None, 0, CODE_MAX, CODE_MIN]),
        st.sampled_from([RATE_HZ, RATE_HZ, RATE_HZ, 4000]),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(STRETCHES)
def test_damage_of_any_kind_is_refused_or_flagged_and_never_counted_twice(
    stretches: list[tuple[int, int, int, int | None, int | None, int]],
) -> None:
    engine, detector, guard = Engine(calibration(3), 3, RATE_HZ), Detector(3), NeutralGuard(3)
    place, clock_ns, taken = 0, START_NS, 0
    seconds: list[Measurement] = []
    for length, lost, jump_ns, dead, stuck, rate_hz in stretches:
        codes = np.array((RECORDING.voltage[:, :length], RECORDING.current[:, :length]))
        if dead is not None:
            codes[0, dead] = 0
        if stuck is not None:
            codes[:, 1] = stuck
        first = max(place + lost, 0)
        start_ns = clock_ns + lost * 10**9 // RATE_HZ + jump_ns
        damaged = SampleBlock(codes[0], codes[1], rate_hz, first, start_ns, 23.0)
        try:
            seconds += engine.push(damaged)
        except StreamError:
            continue
        taken += length
        place, clock_ns = first + length, start_ns + length * 10**9 // RATE_HZ
    rest = engine.flush()
    seconds += [rest] if rest else []
    for second in seconds:
        assert sane(second)
        detector.advance(second)
        guard.advance(second)
    for earlier, later in pairwise(seconds):
        assert earlier.end_ns <= later.start_ns + 20_000_000
    spans_ns = sum(second.end_ns - second.start_ns for second in seconds)
    assert spans_ns == pytest.approx(taken * 10**9 / RATE_HZ, abs=25_000_000 * len(seconds) + 1)
    whole = [second for second in seconds if second.complete]
    assert all(second.end_ns - second.start_ns == pytest.approx(10**9, abs=3e7) for second in whole)
