"""The house at phasor level: the same house as at waveform level, exact, and dark when it says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.metrology import (
    Detector,
    DigitalInputs,
    Engine,
    EventKind,
    Limits,
    Measurement,
    PhaseOrder,
)
from meter_node.sources import outages as supply
from meter_node.sources.front_end import FrontEnd
from meter_node.sources.house import House, HouseConfig
from meter_node.sources.noise import flicker, uniform, wander
from meter_node.sources.outages import Disturbance, disturbances, outages
from meter_node.sources.phasor_house import PhasorHouse
from meter_node.sources.simulated import SimulatedSource

NANO = 10**9
DAY_S = 86_400
NEW_YEAR_S = 1_767_225_600  # 2026-01-01 00:00 UTC
MIDSUMMER_S = 1_781_992_800  # 2026-06-20 22:00 UTC, midnight in Aarhus
BREAKFAST_S = MIDSUMMER_S + 6 * 3600
SUNNY = HouseConfig(solar_peak_w=6000, car=True)


def played(
    config: HouseConfig, start_s: int, end_s: int, step_s: int = 60, *, disturbed: bool = False
) -> list[Measurement]:
    return list(
        PhasorHouse(House(config), step_s, disturbed=disturbed).measurements(start_s, end_s)
    )


def failing(
    monkeypatch: pytest.MonkeyPatch, config: HouseConfig, event: Disturbance
) -> list[Measurement]:
    """Ten minutes of breakfast in which only this happens."""
    monkeypatch.setattr(
        "meter_node.sources.phasor_house.disturbances", lambda seed, start_s, end_s, phases: [event]
    )
    return played(config, BREAKFAST_S, BREAKFAST_S + 600, disturbed=True)


# --- the same house at both levels ---------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 77])
def test_an_array_of_instants_meets_the_chance_that_each_of_them_meets(seed: int) -> None:
    times_s = NEW_YEAR_S + np.arange(0, 5000, 7) / 3
    for draw in (wander, flicker):
        one_by_one = [draw(seed, 100, time_s, 20.0) for time_s in times_s.tolist()]
        assert draw(seed, 100, times_s, 20.0).tolist() == one_by_one
    slots = np.arange(-5, 5)
    assert uniform(seed, 3, slots).tolist() == [uniform(seed, 3, slot) for slot in range(-5, 5)]


def test_an_hour_of_waveforms_and_an_hour_of_phasors_have_the_same_energy() -> None:
    house, start_s = House(SUNNY), MIDSUMMER_S - 6 * 3600  # kettle, fridge, evening sun
    source = SimulatedSource(house, FrontEnd(), 2000, start_s * NANO)
    engine = Engine(
        source.calibration,
        3,
        2000,
        50,
        starting_current_a=1e-6,  # the no-load lock is the meter's, not the house's
        full_scale_codes=source.full_scale_codes,
    )
    seconds = [second for _ in range(3601) for second in engine.push(source.next_block())][:3600]
    minutes = list(PhasorHouse(house, disturbed=False).measurements(start_s, start_s + 3600))
    assert (seconds[0].start_ns, seconds[-1].end_ns) == (minutes[0].start_ns, minutes[-1].end_ns)
    for phase in range(3):
        # The engine is exact, the house's few samples a minute are not; a front-end's offset of
        # 0.1 code is all that is left beside: 1e-4 and 0.2 W for an hour are far beyond both, and
        # a kettle of 3 minutes (100 Wh) that one of them missed is not.
        waves_nwh = sum(second.phases[phase].active_energy_nwh for second in seconds)
        phasors_nwh = sum(minute.phases[phase].active_energy_nwh for minute in minutes)
        assert phasors_nwh == pytest.approx(waves_nwh, rel=1e-4, abs=0.2 * NANO)
        waves_nvarh = sum(second.phases[phase].reactive_energy_nvarh for second in seconds)
        phasors_nvarh = sum(minute.phases[phase].reactive_energy_nvarh for minute in minutes)
        assert phasors_nvarh == pytest.approx(waves_nvarh, rel=1e-3, abs=0.2 * NANO)


def test_what_a_step_shows_is_what_the_engine_shows_of_the_same_second() -> None:
    house, start_s = House(SUNNY), BREAKFAST_S
    source = SimulatedSource(house, FrontEnd(), 8000, start_s * NANO)
    engine = Engine(
        source.calibration,
        3,
        8000,
        50,
        starting_current_a=0.02,
        full_scale_codes=source.full_scale_codes,
    )
    seconds = [second for _ in range(5) for second in engine.push(source.next_block())]
    steps = list(PhasorHouse(house, 1, disturbed=False).measurements(start_s, start_s + 4))
    # Of the first second the engine has less to go by.
    for seen, step in zip(seconds[1:4], steps[1:4], strict=True):
        assert step.frequency_hz == pytest.approx(seen.frequency_hz, abs=1e-3)
        assert step.neutral_current_a == pytest.approx(seen.neutral_current_a, rel=0.01, abs=0.01)
        for ours, theirs in zip(step.phases, seen.phases, strict=True):
            assert ours.voltage_v == pytest.approx(theirs.voltage_v, rel=1e-4)
            assert ours.current_a == pytest.approx(theirs.current_a, rel=0.01)
            assert ours.active_power_w == pytest.approx(theirs.active_power_w, rel=1e-3, abs=0.2)
            assert ours.power_factor == pytest.approx(theirs.power_factor, abs=0.01)
            assert ours.voltage_phasor_v == pytest.approx(theirs.voltage_phasor_v, rel=1e-3)
            assert ours.current_phasor_a == pytest.approx(theirs.current_phasor_a, rel=0.02)


# --- a year --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def year() -> list[Measurement]:
    """A year by the quarter of an hour, panels and no car."""
    config = HouseConfig(solar_peak_w=6000)
    return played(config, NEW_YEAR_S, NEW_YEAR_S + 365 * DAY_S, 900)


def test_a_year_has_every_one_of_its_steps(year: list[Measurement]) -> None:
    assert len(year) == 35_040
    assert year[0].start_ns == NEW_YEAR_S * NANO
    assert all(before.end_ns == after.start_ns for before, after in pairwise(year))


def test_a_year_draws_what_the_house_is_configured_for() -> None:
    config = HouseConfig(annual_consumption_kwh=4000)
    steps = played(config, NEW_YEAR_S, NEW_YEAR_S + 365 * DAY_S, 900)
    # Chance decides how often the oven is used: 365 days of 0.5 ± 0.5 · 1.33 kWh are ± 13 kWh, all
    # appliances together some 25; the slow restlessness of 15 % over 26 000 knots is nothing.
    assert sum(step.import_active_energy_nwh for step in steps) / 1e12 == pytest.approx(
        4000, rel=0.025
    )


def test_the_house_feeds_in_by_day_only(year: list[Measurement]) -> None:
    # The sun of Aarhus (10.2° E) is never up from 21:00 to 02:00 UTC: sunset on 21 June is 20:15.
    nights = [step for step in year if not 2 <= step.start_ns // NANO % DAY_S / 3600 < 21]
    assert sum(step.export_active_energy_nwh for step in nights) == 0


def test_the_panels_feed_in_more_in_june_than_in_december(year: list[Measurement]) -> None:
    def exported_nwh(first_day: int) -> int:
        month = year[first_day * 96 : (first_day + 30) * 96]
        return sum(step.export_active_energy_nwh for step in month)

    june, december = exported_nwh(151), exported_nwh(334)
    assert june > 5 * december > 0


def test_voltage_rises_with_what_is_fed_in_and_stays_where_a_grid_keeps_it(
    year: list[Measurement],
) -> None:
    plain = played(HouseConfig(), MIDSUMMER_S, MIDSUMMER_S + DAY_S, 900)
    sunny = played(HouseConfig(solar_peak_w=6000), MIDSUMMER_S, MIDSUMMER_S + DAY_S, 900)
    noon = 48
    assert sunny[noon].phases[0].voltage_v > plain[noon].phases[0].voltage_v
    voltages_v = [phase.voltage_v for step in year for phase in step.phases]
    assert 220 < min(voltages_v) < max(voltages_v) < 238


def test_frequency_stays_within_20_mhz(year: list[Measurement]) -> None:
    assert all(step.frequency_hz and abs(step.frequency_hz - 50) <= 0.02 for step in year)


def test_the_phases_follow_each_other_and_nothing_is_amiss(year: list[Measurement]) -> None:
    limits = replace(Limits(), reversed_current=None)
    detector = Detector(3, limits)
    assert {step.phase_order for step in year[:96]} == {PhaseOrder.L1_L2_L3}
    assert [event for step in year for event in detector.advance(step)] == []


# --- exact energies ------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 1000),
    start_s=st.integers(NEW_YEAR_S, NEW_YEAR_S + 365 * DAY_S),
    length_s=st.integers(1, 7000),
    phases=st.sampled_from([1, 2, 3]),
)
def test_energies_add_up_to_the_powers_shown_to_the_last_unit(
    seed: int, start_s: int, length_s: int, phases: int
) -> None:
    config = HouseConfig(seed=seed, phases=phases, solar_peak_w=6000)
    steps = played(config, start_s, start_s + length_s, disturbed=True)
    for phase in range(phases):
        # 1 nWh is 3.6e-6 J: 3600 of a microwatt for a millisecond.
        active, reactive = 0, 0
        for step in steps:
            duration_ms = (step.end_ns - step.start_ns) // 10**6
            active += round(step.phases[phase].active_power_w * 1e6) * duration_ms
            reactive += round(step.phases[phase].reactive_power_var * 1e6) * duration_ms
        assert sum(step.phases[phase].active_energy_nwh for step in steps) == active // 3600
        assert sum(step.phases[phase].reactive_energy_nvarh for step in steps) == reactive // 3600


def test_a_step_never_runs_against_its_own_power() -> None:
    for step in played(SUNNY, BREAKFAST_S, BREAKFAST_S + 6 * 3600):
        for phase in step.phases:
            assert phase.active_energy_nwh * phase.active_power_w >= 0
            assert phase.reactive_energy_nvarh * phase.reactive_power_var >= 0


def test_apparent_power_is_never_less_than_active_power() -> None:
    for step in played(SUNNY, BREAKFAST_S, BREAKFAST_S + 6 * 3600):
        for phase in step.phases:
            assert phase.apparent_power_va == pytest.approx(phase.voltage_v * phase.current_a)
            assert abs(phase.active_power_w) <= phase.apparent_power_va
            assert phase.power_factor * phase.apparent_power_va == pytest.approx(
                phase.active_power_w, abs=1e-5
            )


# --- times ---------------------------------------------------------------------------------------


def test_a_start_within_a_minute_gives_a_shorter_first_step() -> None:
    steps = played(SUNNY, BREAKFAST_S + 17, BREAKFAST_S + 150)
    spans_s = [
        (step.start_ns / NANO - BREAKFAST_S, step.end_ns / NANO - BREAKFAST_S) for step in steps
    ]
    assert spans_s == [(17, 60), (60, 120), (120, 150)]
    assert [step.complete for step in steps] == [False, True, False]


def test_the_same_minute_is_the_same_wherever_the_simulation_began() -> None:
    def last(start_s: int) -> list[tuple[float, complex]]:
        step = played(SUNNY, start_s, BREAKFAST_S + 3600)[-1]
        return [(phase.active_power_w, phase.voltage_phasor_v) for phase in step.phases]

    assert last(BREAKFAST_S) == pytest.approx(last(BREAKFAST_S + 1860), rel=1e-12)


def test_a_simulation_of_before_is_played_again_to_the_last_bit() -> None:
    end_s = BREAKFAST_S + DAY_S
    assert played(SUNNY, BREAKFAST_S, end_s) == played(SUNNY, BREAKFAST_S, end_s)
    assert played(replace(SUNNY, seed=2), BREAKFAST_S, end_s) != played(SUNNY, BREAKFAST_S, end_s)


@pytest.mark.parametrize("step_s", [0, -60, 7, 7200])
def test_a_step_that_does_not_divide_an_hour_is_refused(step_s: int) -> None:
    with pytest.raises(ValueError, match="divides an hour"):
        PhasorHouse(House(SUNNY), step_s)


# --- when the supply fails -----------------------------------------------------------------------


def test_an_outage_cuts_its_first_and_its_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ns = (BREAKFAST_S + 95) * NANO
    end_ns = (BREAKFAST_S + 310) * NANO
    steps = failing(monkeypatch, SUNNY, Disturbance(start_ns, end_ns, (1, 2, 3)))
    spans_s = [
        (step.start_ns / NANO - BREAKFAST_S, step.end_ns / NANO - BREAKFAST_S) for step in steps
    ]
    assert spans_s == [
        (0, 60), (60, 95), (310, 360), (360, 420), (420, 480), (480, 540), (540, 600),
    ]  # fmt: skip
    assert [step.complete for step in steps[:4]] == [True, False, False, True]


def test_an_outage_within_a_minute_leaves_both_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ns, end_ns = (BREAKFAST_S + 65) * NANO, (BREAKFAST_S + 67) * NANO
    steps = failing(monkeypatch, SUNNY, Disturbance(start_ns, end_ns, (1, 2, 3)))
    assert [step.end_ns - step.start_ns for step in steps[:4]] == [
        60 * NANO, 5 * NANO, 53 * NANO, 60 * NANO,
    ]  # fmt: skip


def test_a_phase_without_voltage_draws_nothing_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_ns, end_ns = (BREAKFAST_S + 60) * NANO, (BREAKFAST_S + 180) * NANO
    steps = failing(monkeypatch, SUNNY, Disturbance(start_ns, end_ns, (1,)))
    assert len(steps) == 10
    dead, l2, l3 = steps[1].phases
    assert (dead.voltage_v, dead.current_a, dead.active_energy_nwh, dead.power_factor) == (
        0.0, 0.0, 0, 1.0,
    )  # fmt: skip
    assert l2.voltage_v > 220
    # Angles count from the first phase that there is: L3 is then where L2 was.
    assert l2.voltage_angle_deg == pytest.approx(0)
    assert l3.voltage_angle_deg == pytest.approx(-120)


def test_a_phase_without_voltage_is_an_event_of_just_that_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_ns, end_ns = (BREAKFAST_S + 70) * NANO, (BREAKFAST_S + 90) * NANO
    steps = failing(monkeypatch, SUNNY, Disturbance(start_ns, end_ns, (2,)))
    detector = Detector(3, replace(Limits(), reversed_current=None))
    events = [event for step in steps for event in detector.advance(step)]
    missing = [event for event in events if event.kind is EventKind.MISSING_PHASE][-1]
    assert (missing.phase, missing.start_ns, missing.end_ns) == (2, start_ns, end_ns)


def test_a_sag_is_a_piece_of_its_own_with_its_residual_voltage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_ns = (BREAKFAST_S + 70) * NANO
    end_ns = start_ns + 250_000_000
    steps = failing(monkeypatch, SUNNY, Disturbance(start_ns, end_ns, (2,), 0.6))
    before, sag, after = steps[1:4]
    assert (sag.start_ns, sag.end_ns) == (start_ns, end_ns)
    assert sag.phases[1].voltage_v == pytest.approx(0.6 * before.phases[1].voltage_v)
    assert sag.phases[1].active_power_w == pytest.approx(0.36 * before.phases[1].active_power_w)
    assert after.phases[1].voltage_v == before.phases[1].voltage_v
    detector = Detector(3, replace(Limits(), reversed_current=None))
    events = [event for step in steps for event in detector.advance(step)]
    told = {(event.kind, event.phase) for event in events if event.end_ns == end_ns}
    assert told == {(EventKind.SAG, 2), (EventKind.SAG, None)}


def test_an_open_breaker_leaves_the_voltage_and_no_current() -> None:
    house = PhasorHouse(House(SUNNY), inputs=DigitalInputs(breaker_closed=True))
    steps = house.measurements(BREAKFAST_S, BREAKFAST_S + 300)
    closed = next(steps)
    house.digital_inputs = DigitalInputs(breaker_closed=False)
    opened = next(steps)
    assert closed.active_energy_nwh != 0
    assert (opened.active_energy_nwh, opened.neutral_current_a) == (0, 0.0)
    for phase in opened.phases:
        assert phase.current_a == 0
        assert phase.voltage_v > 220


# --- the schedule --------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), phases=st.sampled_from([1, 2, 3]))
def test_about_four_outages_a_year_and_of_one_phase_one_or_two(seed: int, phases: int) -> None:
    year_end_s = NEW_YEAR_S + 365 * DAY_S
    found = outages(seed, NEW_YEAR_S, year_end_s, phases)
    whole = [event for event in found if len(event.phases) == phases]
    # One in every 91 days, wherever in them; one of a single phase in every 243.
    assert 3 <= len(whole) <= 6
    assert 0 <= len(found) - len(whole) <= 3
    assert phases > 1 or len(found) == len(whole)
    for event in found:
        assert 2 <= (event.end_ns - event.start_ns) / NANO <= 3 * 3600
        assert event.start_ns % NANO == event.end_ns % NANO == 0


@given(
    seed=st.integers(0, 10_000),
    cut_s=st.integers(NEW_YEAR_S + 1, NEW_YEAR_S + 365 * DAY_S - 1),
)
def test_a_schedule_is_the_same_in_whatever_pieces_it_is_asked_for(seed: int, cut_s: int) -> None:
    end_s = NEW_YEAR_S + 365 * DAY_S
    pieces = disturbances(seed, NEW_YEAR_S, cut_s, 3) + disturbances(seed, cut_s, end_s, 3)
    at_once = disturbances(seed, NEW_YEAR_S, end_s, 3)
    assert sorted(set(pieces), key=repr) == sorted(set(at_once), key=repr)


def test_nothing_is_measured_in_the_dark_and_everything_else_is() -> None:
    end_s = NEW_YEAR_S + 365 * DAY_S
    dark_ns = supply.dark_stretches_ns(5, NEW_YEAR_S, end_s, 1)
    assert dark_ns
    config = HouseConfig(seed=5, phases=1)
    for start_ns, stop_ns in dark_ns:
        first_s, last_s = start_ns // NANO - 600, stop_ns // NANO + 600
        steps = played(config, first_s, last_s, disturbed=True)
        gaps = [
            (before.end_ns, after.start_ns)
            for before, after in pairwise(steps)
            if before.end_ns != after.start_ns
        ]
        assert gaps == [(start_ns, stop_ns)]


def test_a_quarter_hour_is_dark_when_all_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # From 00:10 to 01:00 of the day: 00:15 to 00:30, to 00:45 and to 01:00 are dark from end to
    # end, 00:00 to 00:15 is not.
    event = Disturbance((NEW_YEAR_S + 600) * NANO, (NEW_YEAR_S + 3600) * NANO, (1, 2, 3))
    monkeypatch.setattr(supply, "disturbances", lambda *_: [event])
    ends_s = supply.dark_quarter_hours(1, NEW_YEAR_S, NEW_YEAR_S + DAY_S, 3)
    assert [end_s - NEW_YEAR_S for end_s in ends_s] == [1800, 2700, 3600]


def test_a_quarter_hour_with_less_than_half_a_second_of_light_is_dark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # From 00:15:00.4 to 00:44:59.6, which a meter's clock has as 00:15:00 and 00:45:00.
    event = Disturbance(
        NEW_YEAR_S * NANO + 900_400_000_000, NEW_YEAR_S * NANO + 2_699_600_000_000, (1, 2, 3)
    )
    monkeypatch.setattr(supply, "disturbances", lambda *_: [event])
    ends_s = supply.dark_quarter_hours(1, NEW_YEAR_S, NEW_YEAR_S + DAY_S, 3)
    assert [end_s - NEW_YEAR_S for end_s in ends_s] == [1800, 2700]


def test_a_missing_phase_makes_no_quarter_hour_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Disturbance(NEW_YEAR_S * NANO, (NEW_YEAR_S + 3600) * NANO, (2,))
    monkeypatch.setattr(supply, "disturbances", lambda *_: [event])
    assert supply.dark_quarter_hours(1, NEW_YEAR_S, NEW_YEAR_S + DAY_S, 3) == []
