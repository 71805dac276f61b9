"""S0 pulses: the register to the last pulse, never two too close."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.variant import CURRENT_RANGES, Variant
from meter_node.ports.pulse_train import Pulse, PulseConstantError, PulseOutput, PulseSettings

SECOND_NS = 10**9
WH_NWH = 10**9

settings = st.builds(
    PulseSettings, st.integers(min_value=100, max_value=1000), st.sampled_from([30, 80])
)
# Up to 100 kW for a second, which outruns every constant, so that queues form.
energies_nwh = st.lists(st.integers(min_value=0, max_value=28 * WH_NWH), max_size=60)


def played(
    output: PulseOutput, energies_nwh: list[int], start_ns: int = 5 * SECOND_NS
) -> list[Pulse]:
    pulses: list[Pulse] = []
    for number, energy_nwh in enumerate(energies_nwh):
        begin_ns = start_ns + number * SECOND_NS
        pulses += output.release(energy_nwh, begin_ns, begin_ns + SECOND_NS)
    return pulses


@given(settings, energies_nwh)
def test_pulses_over_the_constant_are_the_register_to_the_last_pulse(
    settings: PulseSettings, energies_nwh: list[int]
) -> None:
    # So long a time without load after it that every pulse that waited has gone.
    pulses = played(PulseOutput(settings), energies_nwh + [0] * 300)
    assert len(pulses) == sum(energies_nwh) * settings.constant // 10**12


@given(settings, energies_nwh)
def test_no_pulse_and_no_pause_is_ever_too_short(
    settings: PulseSettings, energies_nwh: list[int]
) -> None:
    pulses = played(PulseOutput(settings), energies_nwh)
    assert all(pulse.off_ns - pulse.on_ns == settings.pulse_ms * 10**6 for pulse in pulses)
    assert all(later.on_ns - pulse.off_ns >= 30 * 10**6 for pulse, later in pairwise(pulses))


@given(settings, energies_nwh, st.integers(min_value=0, max_value=60))
def test_a_restart_loses_no_pulse_and_sends_none_twice(
    settings: PulseSettings, energies_nwh: list[int], cut: int
) -> None:
    output = PulseOutput(settings)
    pulses = played(output, energies_nwh[:cut])
    output = PulseOutput.from_backlog(settings, output.backlog)
    pulses += played(output, energies_nwh[cut:] + [0] * 300, start_ns=100 * SECOND_NS)
    assert len(pulses) == sum(energies_nwh) * settings.constant // 10**12


@given(
    st.sampled_from(sorted(CURRENT_RANGES)),
    st.integers(min_value=1, max_value=3),
    st.sampled_from([30, 80]),
    st.integers(min_value=100, max_value=1000),
)
def test_a_constant_that_is_accepted_never_falls_behind(
    current_range: str, phases: int, pulse_ms: int, constant: int
) -> None:
    variant = Variant("382M", phases, current_range)
    settings = PulseSettings(constant, pulse_ms)  # type: ignore[arg-type]
    try:
        settings.check(variant.phases, variant.maximum_current_a)
    except PulseConstantError:
        return
    highest_w = 1.15 * 230 * variant.maximum_current_a * phases
    energy_nwh = int(highest_w / 3600 * WH_NWH)
    output = PulseOutput(settings)
    played(output, [energy_nwh] * 60)
    assert output.backlog["queued"] <= 2


def test_pulses_are_spread_evenly_over_the_interval() -> None:
    # 14.4 kW at 1000 imp/kWh are four pulses a second; the first interval begins a period late.
    pulses = played(PulseOutput(PulseSettings()), [4 * WH_NWH] * 2)
    assert [pulse.on_ns - 6 * SECOND_NS for pulse in pulses[4:]] == [
        0, 250_000_000, 500_000_000, 750_000_000
    ]  # fmt: skip


def test_less_than_a_pulse_waits_for_the_rest_of_it() -> None:
    output = PulseOutput(PulseSettings(constant=1000))
    assert output.release(WH_NWH - 1, 0, SECOND_NS) == ()
    assert len(output.release(1, SECOND_NS, 2 * SECOND_NS)) == 1


def test_three_phases_of_100_a_outrun_a_thousand_pulses_a_kwh() -> None:
    # 3 × 264.5 V × 100 A = 79.35 kW; 60 ms a pulse carry 60 000 / constant kW.
    with pytest.raises(PulseConstantError, match=r"79\.3 kW; at most 756 imp/kWh"):
        PulseSettings(1000).check(3, 100)
    PulseSettings(756).check(3, 100)


def test_a_range_of_65_a_needs_the_short_pulse_for_a_thousand_a_kwh() -> None:
    # 3 × 264.5 V × 65 A = 51.6 kW; 110 ms a pulse carry 32.7 kW at 1000 imp/kWh, 634 at most.
    PulseSettings(1000, 30).check(3, 65)
    with pytest.raises(PulseConstantError, match=r"32\.7 kW.*at most 634.*30 ms"):
        PulseSettings(1000, 80).check(3, 65)


@pytest.mark.parametrize("constant", [0, 99, 1001])
def test_a_constant_outside_100_to_1000_is_refused(constant: int) -> None:
    with pytest.raises(PulseConstantError, match="possible are 100 to 1000"):
        PulseSettings(constant)


def test_a_pulse_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="30 or 80 ms, not 50 ms"):
        PulseSettings(1000, 50)  # type: ignore[arg-type]


def test_a_register_that_goes_back_and_a_clock_that_goes_back_are_refused() -> None:
    output = PulseOutput(PulseSettings())
    with pytest.raises(ValueError, match="never goes back"):
        output.release(-1, 0, SECOND_NS)
    output.release(0, 0, SECOND_NS)
    with pytest.raises(ValueError, match="time goes back"):
        output.release(0, SECOND_NS - 1, 2 * SECOND_NS)


def test_a_backlog_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not a backlog"):
        PulseOutput.from_backlog(PulseSettings(), {"queued": -1, "rest": 0, "constant": 1000})
