"""Block demand: means over whole intervals, the month's highest, nothing from partial ones."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.meter.demand import Demand, DemandSettings, Peak
from meter_node.meter.step import Step
from meter_node.meter.windows import month_of
from tests.meter_node.meter.steps import copenhagen, step, utc

NOON_S = utc("2026-01-15 12:00")
WINTER_S, SUMMER_S = 3600, 7200


def minutes(start_s: int, end_s: int, power_w: float = 0.0) -> list[Step]:
    """Steps of a minute at this power on L1."""
    return [step(at_s, 60, (power_w, 0.0, 0.0)) for at_s in range(start_s, end_s, 60)]


def after_a_cut(steps: list[Step]) -> list[Step]:
    """The same, as they are when power was off before the first."""
    return [replace(steps[0], gap=True), *steps[1:]]


def feed(demand: Demand, steps: Iterable[Step]) -> None:
    """Book individually summed energy."""
    for one in steps:
        measured = one.measurement
        demand.advance(one, measured.import_active_energy_nwh, measured.export_active_energy_nwh)


def new(interval_min: int = 15) -> Demand:
    """A new meter's demand."""
    return Demand(DemandSettings(interval_min=interval_min), copenhagen())


def restarted(demand: Demand) -> Demand:
    """What a power cut leaves of it."""
    return Demand(demand.settings, copenhagen(), json.loads(json.dumps(demand.state())))


@pytest.mark.parametrize("interval_min", [5, 10, 15, 20, 30, 60])
def test_demand_is_the_mean_power_of_the_interval(interval_min: int) -> None:
    demand = new(interval_min)
    half = NOON_S + interval_min * 30 // 60 * 60
    feed(demand, minutes(NOON_S, half, 1200.0))
    feed(demand, minutes(half, NOON_S + interval_min * 60, 2400.0))
    first_min = interval_min * 30 // 60
    mean_mw = (1_200_000 * first_min + 2_400_000 * (interval_min - first_min)) // interval_min
    assert demand.imported.last == Peak(mean_mw, NOON_S + interval_min * 60, WINTER_S)


def test_running_demand_grows_over_the_whole_interval() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 300, 3000.0))
    # 3 kW over 5 of 15 min are 1 kW over all of them.
    assert demand.imported.running_mw == 1_000_000


def test_import_and_export_have_demands_of_their_own() -> None:
    demand = new()
    feed(
        demand,
        [step(NOON_S + 60 * n, 60, (1000.0, -1000.0, -500.0)) for n in range(15)],
    )
    assert demand.registers_mw == {
        "import_active_demand": 0,
        "import_active_demand_last": 1_000_000,
        "import_active_demand_maximum": 1_000_000,
        "export_active_demand": 0,
        "export_active_demand_last": 1_500_000,
        "export_active_demand_maximum": 1_500_000,
    }


def test_the_maximum_is_the_first_of_the_highest_intervals() -> None:
    demand = new()
    for number, power_w in enumerate([1000.0, 3000.0, 3000.0, 2000.0]):
        feed(demand, minutes(NOON_S + 900 * number, NOON_S + 900 * (number + 1), power_w))
    assert demand.imported.maximum == Peak(3_000_000, NOON_S + 1800, WINTER_S)


def test_a_partial_window_sets_no_peak() -> None:
    demand = new()
    feed(demand, minutes(NOON_S + 300, NOON_S + 900, 9000.0))  # switched on at 12:05
    feed(demand, minutes(NOON_S + 900, NOON_S + 1800, 1000.0))
    feed(demand, minutes(NOON_S + 1800, NOON_S + 2640, 9000.0))  # off at 12:44
    feed(demand, after_a_cut(minutes(NOON_S + 2700, NOON_S + 3600, 500.0)))
    assert demand.imported.maximum == Peak(1_000_000, NOON_S + 1800, WINTER_S)


def test_what_was_measured_before_a_dark_boundary_is_not_in_the_next_interval() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 840, 9000.0))
    feed(demand, after_a_cut(minutes(NOON_S + 1800, NOON_S + 2700, 600.0)))
    assert demand.imported.last == Peak(600_000, NOON_S + 2700, WINTER_S)


def test_an_interval_cut_by_a_step_of_the_clock_sets_no_peak() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 840, 9000.0))
    demand.clock_changed(NOON_S + 840, NOON_S + 960)
    feed(demand, minutes(NOON_S + 960, NOON_S + 1800, 9000.0))
    assert demand.imported.maximum is None
    feed(demand, minutes(NOON_S + 1800, NOON_S + 2700, 100.0))
    assert demand.imported.maximum == Peak(100_000, NOON_S + 2700, WINTER_S)


def test_the_months_peak_resets_at_local_midnight() -> None:
    demand = new()
    midnight_s = utc("2026-01-31 23:00")
    feed(demand, minutes(midnight_s - 900, midnight_s, 4000.0))
    # The interval that ends at midnight is January's, and at midnight it still stands.
    january = Peak(4_000_000, midnight_s, WINTER_S)
    assert (demand.imported.maximum, demand.imported.previous_maximum) == (january, None)
    feed(demand, minutes(midnight_s, midnight_s + 60, 1000.0))
    assert (demand.imported.maximum, demand.imported.previous_maximum) == (None, january)
    feed(demand, minutes(midnight_s + 60, midnight_s + 900, 1000.0))
    assert demand.imported.maximum == Peak(1_000_000, midnight_s + 900, WINTER_S)


def test_a_month_that_ends_in_the_dark_ends_when_power_returns() -> None:
    demand = new()
    noon_s = utc("2026-01-31 12:00")
    feed(demand, minutes(noon_s, noon_s + 900, 4000.0))
    feed(demand, after_a_cut(minutes(noon_s + 86_400, noon_s + 86_400 + 900, 1000.0)))
    assert demand.imported.previous_maximum == Peak(4_000_000, noon_s + 900, WINTER_S)
    assert demand.imported.maximum == Peak(1_000_000, noon_s + 86_400 + 900, WINTER_S)


def test_a_month_does_not_end_by_a_clock_that_is_not_valid() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 900, 4000.0))
    lost = [
        replace(one, clock_valid=False)
        for one in after_a_cut(minutes(utc("2026-03-01 00:00"), utc("2026-03-01 00:15"), 100.0))
    ]
    feed(demand, lost)
    assert demand.imported.maximum == Peak(4_000_000, NOON_S + 900, WINTER_S)


def test_a_clock_set_back_over_the_months_end_reopens_the_month_and_then_the_next() -> None:
    demand = new()
    midnight_s = utc("2026-01-31 23:00")
    january = Peak(4_000_000, midnight_s, WINTER_S)
    february = Peak(1_000_000, midnight_s + 900, WINTER_S)
    feed(demand, minutes(midnight_s - 900, midnight_s, 4000.0))
    feed(demand, minutes(midnight_s, midnight_s + 900, 1000.0))
    demand.clock_changed(midnight_s + 900, midnight_s - 900)
    peaks = [(demand.imported.maximum, demand.imported.previous_maximum)]
    feed(demand, minutes(midnight_s - 900, midnight_s + 60, 500.0))
    peaks.append((demand.imported.maximum, demand.imported.previous_maximum))
    assert peaks == [(january, None), (february, january)]


def at_wrong_time(demand: Demand, true_s: int, wrong_s: int, power_w: float = 9000.0) -> None:
    """The clock is set wrong by mistake at `true_s`, and corrected half an hour later."""
    demand.clock_changed(true_s, wrong_s)
    feed(demand, minutes(wrong_s, wrong_s + 1800, power_w))
    demand.clock_changed(wrong_s + 1800, true_s + 1800)
    feed(demand, minutes(true_s + 1800, true_s + 1860, 100.0))


def in_november(*hours: tuple[int, float]) -> Demand:
    """15 min at each power (W), one of each listed hour from 10 November 2026 12:00 UTC on."""
    demand = new()
    for number, (hour, power_w) in enumerate(hours):
        start_s = NOVEMBER_S + 3600 * hour
        steps = minutes(start_s, start_s + 900, power_w)
        feed(demand, after_a_cut(steps) if number else steps)
    return demand


NOVEMBER_S = utc("2026-11-10 12:00")
NOVEMBER_PEAK = Peak(4_800_000, NOVEMBER_S + 900, WINTER_S)


@pytest.mark.parametrize("days", [365, 31, 3650, -31, -45, -62, -365])
def test_the_true_months_peak_is_back_when_a_clock_that_was_set_wrong_is_corrected(
    days: int,
) -> None:
    demand = in_november((0, 4800.0))
    at_wrong_time(demand, NOVEMBER_S + 900, NOVEMBER_S + 900 + 86_400 * days)
    assert demand.imported.maximum == NOVEMBER_PEAK


@pytest.mark.parametrize("days", [365, -31, -45, -62])
def test_while_its_clock_is_wrong_it_shows_no_peak_of_another_month(days: int) -> None:
    demand = in_november((0, 4800.0))
    wrong_s = NOVEMBER_S + 900 + 86_400 * days
    demand.clock_changed(NOVEMBER_S + 900, wrong_s)
    feed(demand, minutes(wrong_s, wrong_s + 60, 9000.0))
    shown = [demand.imported.maximum]
    feed(demand, minutes(wrong_s + 60, wrong_s + 1800, 9000.0))
    shown.append(demand.imported.maximum)
    # The first of both intervals is cut by the step of the clock; the second counts, if whole.
    whole_s = -(-wrong_s // 900) * 900 + 900
    offset_s = copenhagen().offset_s(whole_s)
    assert shown == [None, Peak(9_000_000, whole_s, offset_s)]


def test_a_month_ends_after_a_clock_was_set_far_ahead_and_back() -> None:
    demand = in_november((0, 4800.0))
    at_wrong_time(demand, NOVEMBER_S + 900, utc("2031-07-01 12:00"))
    december_s = utc("2026-12-10 12:00")
    feed(demand, after_a_cut(minutes(december_s, december_s + 900, 7.0)))
    december = Peak(7_000, december_s + 900, WINTER_S)
    assert (demand.imported.maximum, demand.imported.previous_maximum) == (december, NOVEMBER_PEAK)


def test_a_peak_after_the_correction_is_held_against_those_of_before_the_mistake() -> None:
    demand = in_november((0, 4800.0))
    at_wrong_time(demand, NOVEMBER_S + 900, NOVEMBER_S + 900 - 45 * 86_400)
    later_s = NOVEMBER_S + 86_400
    for hour, power_w in enumerate([4000.0, 6000.0]):
        start_s = later_s + 3600 * hour
        feed(demand, after_a_cut(minutes(start_s, start_s + 900, power_w)))
    assert demand.imported.maximum == Peak(6_000_000, later_s + 3600 + 900, WINTER_S)


def test_the_true_month_survives_five_wrong_ones() -> None:
    demand = in_november((0, 4800.0))
    at_s = NOVEMBER_S + 900
    for days in (-31, -62, 365, 730, 1095):
        at_wrong_time(demand, at_s, at_s + 86_400 * days)
        at_s += 1860
    assert demand.imported.maximum == NOVEMBER_PEAK


def test_no_more_months_are_kept_than_are_told() -> None:
    demand = new()
    for month in range(16):
        start_s = utc(f"{2025 + month // 12}-{month % 12 + 1:02}-10 12:00")
        feed(demand, after_a_cut(minutes(start_s, start_s + 900, 1000.0)))
    kept = [month % 12 + 1 for month, *_ in demand.state()["import"]["maxima"]]
    # March 2025 to April 2026: thirteen months and the running one.
    assert kept == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4]


def test_the_maxima_of_thirteen_months_before_are_shown_the_newest_first() -> None:
    demand = new()
    stamps = []
    for month in range(16):
        start_s = utc(f"{2025 + month // 12}-{month % 12 + 1:02}-10 12:00")
        feed(demand, after_a_cut(minutes(start_s, start_s + 900, 1200.0 + 60 * month)))
        stamps.append(start_s + 900)
    past = demand.imported.past_maxima
    assert [peak.time_s for peak in past] == stamps[2:15][::-1]
    assert [peak.demand_mw for peak in past] == [1_200_000 + 60_000 * n for n in range(14, 1, -1)]


def test_a_dark_month_is_left_out_of_the_past_and_moves_nothing() -> None:
    demand = in_november((0, 4800.0))
    january_s = utc("2027-01-10 12:00")
    feed(demand, after_a_cut(minutes(january_s, january_s + 900, 5.0)))
    assert demand.imported.past_maxima == (NOVEMBER_PEAK,)


def test_a_month_that_a_clock_was_set_to_by_mistake_is_no_past_one() -> None:
    demand = in_november((0, 4800.0))
    at_wrong_time(demand, NOVEMBER_S + 900, utc("2031-07-01 12:00"))
    december_s = utc("2026-12-10 12:00")
    feed(demand, after_a_cut(minutes(december_s, december_s + 900, 7.0)))
    assert demand.imported.past_maxima == (NOVEMBER_PEAK,)


def test_what_was_measured_more_than_thirteen_months_ago_is_not_shown() -> None:
    demand = in_november((0, 4800.0))
    for start_s in (utc("2027-12-10 12:00"), utc("2028-01-10 12:00")):
        feed(demand, after_a_cut(minutes(start_s, start_s + 900, 7.0)))
        shown = [peak for peak in demand.imported.past_maxima if peak == NOVEMBER_PEAK]
        assert len(shown) == (start_s < utc("2028-01-01 00:00"))


def test_the_month_before_one_that_was_dark_throughout_is_not_shown_as_the_previous_one() -> None:
    demand = in_november((0, 4800.0))
    january_s = utc("2027-01-10 12:00")
    feed(demand, after_a_cut(minutes(january_s, january_s + 60)))
    assert demand.imported.previous_maximum is None


def test_what_was_measured_before_the_clock_is_confirmed_counts_by_its_stamp() -> None:
    demand = in_november((0, 4800.0))
    december_s = utc("2026-12-10 12:00")
    lost = [
        replace(one, clock_valid=False)
        for one in after_a_cut(minutes(december_s, december_s + 900, 6000.0))
    ]
    feed(demand, lost)
    shown = [demand.imported.maximum]
    feed(demand, minutes(december_s + 900, december_s + 960))
    shown.append(demand.imported.maximum)
    assert shown == [NOVEMBER_PEAK, Peak(6_000_000, december_s + 900, WINTER_S)]


def of_before(demand: Demand, maximum: list[int] | None, previous: list[int] | None) -> Demand:
    """Go on from a state as it was kept before maxima were kept by month."""
    state = json.loads(json.dumps(demand.state()))
    for name in ("import", "export"):
        del state[name]["maxima"]
        state[name] |= {"maximum": maximum, "previous_maximum": previous}
    return Demand(demand.settings, copenhagen(), state)


def test_an_older_state_is_read() -> None:
    october_s = utc("2026-10-31 23:00")  # its last interval ended at midnight
    older = of_before(
        in_november((0, 1.0)),
        [4_800_000, NOVEMBER_S + 900, WINTER_S],
        [3_000_000, october_s, WINTER_S],
    )
    assert older.imported.maximum == NOVEMBER_PEAK
    assert older.imported.previous_maximum == Peak(3_000_000, october_s, WINTER_S)


def test_a_peak_of_another_month_in_an_older_state_is_not_shown_as_this_months() -> None:
    wrong_s = utc("2027-11-10 12:00")
    older = of_before(in_november((0, 1.0)), [9_000_000, wrong_s, WINTER_S], None)
    assert older.imported.maximum is None


@given(st.lists(st.tuples(st.integers(-800, 800), st.integers(0, 9000)), max_size=12))
def test_a_months_peak_always_has_a_stamp_of_the_month(sets: list[tuple[int, int]]) -> None:
    demand, at_s = in_november((0, 4800.0)), NOVEMBER_S + 900
    for days, power_w in sets:
        old_s, at_s = at_s, NOVEMBER_S + 86_400 * days
        demand.clock_changed(old_s, at_s)
        feed(demand, minutes(at_s, at_s + 1800, power_w))
        at_s += 1800
        for peak in (demand.imported.maximum, demand.exported.maximum):
            assert peak is None or month_of(copenhagen(), peak.time_s - 1) == month_of(
                copenhagen(), at_s - 1
            )


def test_stamps_of_peaks_ignore_daylight_saving_and_carry_the_offset() -> None:
    demand = new(60)
    # 25 October 2026: 02:00-03:00 on the wall twice, 00:00-01:00 and 01:00-02:00 UTC.
    summer_s = utc("2026-10-25 00:00")
    feed(demand, minutes(summer_s - 3600, summer_s, 2400.0))
    assert demand.imported.maximum == Peak(2_400_000, summer_s, SUMMER_S)
    feed(demand, minutes(summer_s, summer_s + 7200, 3000.0))
    assert demand.imported.maximum == Peak(3_000_000, summer_s + 3600, WINTER_S)
    assert demand.imported.last == Peak(3_000_000, summer_s + 7200, WINTER_S)


@given(
    st.lists(st.integers(-20_000, 20_000), min_size=1, max_size=120),
    st.sets(st.integers(0, 119), max_size=6),
)
def test_a_restart_at_any_moment_changes_no_demand(powers: list[int], restarts: set[int]) -> None:
    steps = [step(NOON_S + 60 * n, 60, (float(power),)) for n, power in enumerate(powers)]
    unbroken, cut = new(), new()
    for number, one in enumerate(steps):
        feed(unbroken, [one])
        feed(cut, [one])
        if number in restarts:
            cut = restarted(cut)
    assert cut.state() == unbroken.state()


@given(st.lists(st.integers(0, 20_000), min_size=15, max_size=90))
def test_the_maximum_is_that_of_all_whole_intervals(powers: list[int]) -> None:
    demand = new()
    feed(demand, [step(NOON_S + 60 * n, 60, (float(power),)) for n, power in enumerate(powers)])
    whole = [powers[n : n + 15] for n in range(0, len(powers) - 14, 15)]
    # A minute of one watt is 1/60 Wh, rounded to nWh: the mean is right to a milliwatt.
    highest_mw = max(sum(block) * 1000 / 15 for block in whole)
    assert demand.imported.maximum is not None
    assert abs(demand.imported.maximum.demand_mw - highest_mw) <= 1


def test_another_interval_begins_the_months_maximum_anew() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 1200, 9000.0))
    demand.reconfigure(DemandSettings(interval_min=60))
    assert demand.imported.maximum is None
    feed(demand, minutes(NOON_S + 1200, NOON_S + 7200, 1000.0))
    # 12:20 to 13:00 was no whole hour.
    assert demand.imported.maximum == Peak(1_000_000, NOON_S + 7200, WINTER_S)


def test_the_same_interval_again_changes_nothing() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 1200, 9000.0))
    before = demand.state()
    demand.reconfigure(DemandSettings(interval_min=15))
    assert demand.state() == before


def test_a_meter_that_starts_with_another_interval_keeps_the_previous_month() -> None:
    demand = new()
    midnight_s = utc("2026-01-31 23:00")
    feed(demand, minutes(midnight_s - 900, midnight_s + 1200, 4000.0))
    hourly = Demand(DemandSettings(interval_min=60), copenhagen(), demand.state())
    assert hourly.imported.previous_maximum == Peak(4_000_000, midnight_s, WINTER_S)
    assert hourly.imported.past_maxima == (hourly.imported.previous_maximum,)
    assert (hourly.imported.maximum, hourly.imported.running_mw) == (None, 0)


def test_a_clock_that_is_set_before_the_first_step_changes_nothing() -> None:
    demand = new()
    before = demand.state()
    demand.clock_changed(NOON_S, NOON_S + 86_400)
    assert demand.state() == before


def test_an_interval_of_7_min_is_refused() -> None:
    with pytest.raises(ValidationError, match="7 min; possible are 5, 10, 15, 20, 30, 60 min"):
        DemandSettings(interval_min=7)
