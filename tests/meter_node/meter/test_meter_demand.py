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


def test_running_demand_grows_over_the_whole_interval_and_its_projection_is_the_mean_so_far() -> (
    None
):
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 300, 3000.0))
    # 3 kW over 5 of 15 min are 1 kW over all of them.
    assert demand.imported.running_mw == 1_000_000
    assert demand.imported.projected_mw == 3_000_000


def test_there_is_no_projection_before_the_first_second() -> None:
    assert new().imported.projected_mw is None


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


def test_a_clock_set_back_over_the_months_end_reopens_the_month() -> None:
    demand = new()
    midnight_s = utc("2026-01-31 23:00")
    january = Peak(4_000_000, midnight_s, WINTER_S)
    feed(demand, minutes(midnight_s - 900, midnight_s, 4000.0))
    feed(demand, minutes(midnight_s, midnight_s + 900, 1000.0))
    demand.clock_changed(midnight_s + 900, midnight_s - 900)
    peaks = [(demand.imported.maximum, demand.imported.previous_maximum)]
    feed(demand, minutes(midnight_s - 900, midnight_s + 60, 500.0))
    peaks.append((demand.imported.maximum, demand.imported.previous_maximum))
    assert peaks == [(january, None), (None, january)]


def test_a_clock_set_far_ahead_and_back_does_not_keep_the_month_from_ending() -> None:
    demand = new()
    feed(demand, minutes(NOON_S, NOON_S + 900, 4000.0))
    wrong_s = utc("2031-07-01 12:00")
    demand.clock_changed(NOON_S + 900, wrong_s)
    feed(demand, minutes(wrong_s, wrong_s + 60))
    demand.clock_changed(wrong_s + 60, NOON_S + 960)
    feed(demand, minutes(NOON_S + 960, NOON_S + 1800) + minutes(NOON_S + 1800, NOON_S + 2700, 7.0))
    february_s = utc("2026-02-10 12:00")
    feed(demand, after_a_cut(minutes(february_s, february_s + 60)))
    assert demand.imported.previous_maximum == Peak(7_000, NOON_S + 2700, WINTER_S)


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
    assert (hourly.imported.maximum, hourly.imported.running_mw) == (None, 0)


def test_a_clock_that_is_set_before_the_first_step_changes_nothing() -> None:
    demand = new()
    before = demand.state()
    demand.clock_changed(NOON_S, NOON_S + 86_400)
    assert demand.state() == before


def test_an_interval_of_7_min_is_refused() -> None:
    with pytest.raises(ValidationError, match="7 min; possible are 5, 10, 15, 20, 30, 60 min"):
        DemandSettings(interval_min=7)
