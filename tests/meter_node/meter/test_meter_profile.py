"""Load profile and analysis log: what rows hold, which rows there are, what deletes them."""

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.channel.event_codes import Log
from meter_node.channel.registers import ROLLOVER_WH, registers_of
from meter_node.meter.means import Averages, Integrals
from meter_node.meter.profile import (
    ANALYSIS_LOG,
    LOAD_PROFILE,
    AnalysisSettings,
    Profile,
    ProfileSettings,
)
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import ProfileRow
from meter_node.meter.step import Step
from meter_node.meter.windows import (
    CLOCK_ADJUSTED,
    CLOCK_INVALID,
    DAYLIGHT_SAVING,
    ERROR,
    POWER_DOWN,
)
from tests.meter_node.meter.steps import NANO, Registers, copenhagen, step, utc

NOON_S = utc("2026-01-15 12:00")
IMPORT = "import_active_energy"
EXPORT = "export_active_energy"
KNOWN = tuple(register.key for register in registers_of(3))


class Metering:
    """A profile in its place: registers and integrals are booked between its two calls."""

    def __init__(
        self, settings: ProfileSettings | AnalysisSettings, registers: Registers | None = None
    ) -> None:
        self.settings = settings
        self.name = LOAD_PROFILE if isinstance(settings, ProfileSettings) else ANALYSIS_LOG
        self.registers = registers or Registers()
        self.integrals = Integrals(3)
        self.profile = Profile(self.name, settings, KNOWN, copenhagen(), self.integrals)
        self.rows: list[ProfileRow] = []
        self._is_new = True

    def feed(self, steps: Iterable[Step], fault: bool = False) -> list[ProfileRow]:
        """Go on by these; give the rows that they end."""
        rows: list[ProfileRow] = []
        read = self.registers.read
        for one in steps:
            if one.gap or self._is_new:
                rows += self.profile.resume(one.start_s, read)
                self._is_new = False
            self.registers.book(one)
            self.integrals.advance(one)
            rows += self.profile.advance(one, read, fault)
        self.rows += rows
        return rows

    def set_clock(self, old_s: int, new_s: int) -> list[ProfileRow]:
        """Set the clock; give the row that it cuts off."""
        rows = self.profile.clock_changed(old_s, new_s, self.registers.read)
        self.rows += rows
        return rows

    def restart(self) -> None:
        """Lose everything but what is kept."""
        kept = json.loads(json.dumps([self.profile.state(), self.integrals.state()]))
        self.integrals = Integrals(3, kept[1])
        self.profile = Profile(
            self.name, self.settings, KNOWN, copenhagen(), self.integrals, kept[0]
        )


def minutes(
    start_s: int, end_s: int, power_w: float = 0.0, voltage_v: float = 230.0, gap: bool = False
) -> list[Step]:
    """Steps of a minute at this power and voltage on every phase, power cut before the first."""
    steps = [step(at_s, 60, (power_w,) * 3, (voltage_v,) * 3) for at_s in range(start_s, end_s, 60)]
    return [replace(steps[0], gap=gap), *steps[1:]]


def values(rows: Iterable[ProfileRow]) -> list[tuple[int | None, ...]]:
    """What they hold."""
    return [row.values for row in rows]


def test_absolute_rows_hold_the_registers_at_the_end_of_the_interval() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT, EXPORT)))
    # 3 phases of 1.2 kW are 900 Wh in a quarter.
    metering.feed(
        minutes(NOON_S, NOON_S + 900, 1200.0) + minutes(NOON_S + 900, NOON_S + 1800, -400)
    )
    assert metering.rows == [
        ProfileRow(LOAD_PROFILE, 1, NOON_S + 900, 3600, 0, (900, 0)),
        ProfileRow(LOAD_PROFILE, 2, NOON_S + 1800, 3600, 0, (900, 300)),
    ]


def test_delta_rows_hold_by_how_much_registers_moved() -> None:
    metering = Metering(
        ProfileSettings(captures=(IMPORT, EXPORT), mode="delta"),
        Registers(import_active_energy=5000 * NANO, export_active_energy=70 * NANO),
    )
    metering.feed(
        minutes(NOON_S, NOON_S + 900, 1200.0) + minutes(NOON_S + 900, NOON_S + 1800, -400)
    )
    assert values(metering.rows) == [(900, 0), (0, 300)]


def test_deltas_go_on_over_the_roll_over_of_a_register() -> None:
    metering = Metering(
        ProfileSettings(captures=(IMPORT,), mode="delta"),
        Registers(import_active_energy=(ROLLOVER_WH - 400) * NANO),
    )
    metering.feed(minutes(NOON_S, NOON_S + 900, 1200.0))
    assert metering.registers.read(IMPORT) == 500
    assert values(metering.rows) == [(900,)]


def test_a_counter_that_was_reset_gives_a_negative_delta() -> None:
    metering = Metering(
        ProfileSettings(captures=(IMPORT,), mode="delta"),
        Registers(import_active_energy=5000 * NANO),
    )
    metering.feed(minutes(NOON_S, NOON_S + 600, 1200.0))
    metering.registers.energies_nwh[IMPORT] = 0
    metering.feed(minutes(NOON_S + 600, NOON_S + 900, 1200.0))
    # 3 × 1.2 kW for five minutes are 300 Wh, where 5000 Wh were at the begin.
    assert values(metering.rows) == [(300 - 5000,)]


@given(
    st.sampled_from([5, 15]),
    st.integers(0, ROLLOVER_WH * NANO - 1),
    st.lists(
        st.one_of(
            st.tuples(st.just("on"), st.integers(1, 900), st.integers(-30_000, 30_000)),
            st.tuples(st.just("off"), st.integers(0, 4000), st.just(0)),
            st.tuples(st.just("set"), st.integers(-4000, 4000), st.just(0)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=50,
    ),
)
def test_the_sum_of_deltas_is_the_difference_of_registers(
    interval_min: int, before_nwh: int, course: list[tuple[str, int, int]]
) -> None:
    metering = Metering(
        ProfileSettings(interval_min=interval_min, captures=(IMPORT, EXPORT), mode="delta"),
        Registers(import_active_energy=before_nwh),
    )
    now_s, gap = NOON_S + 77, True
    for what, seconds, power in course:
        if what == "on":
            metering.feed([step(now_s, seconds, (float(power), 7.0, 0.0), gap=gap)])
            now_s, gap = now_s + seconds, False
        elif what == "off":
            now_s, gap = now_s + seconds, True
        elif what == "set":
            metering.set_clock(now_s, now_s + seconds)
            now_s += seconds
        else:
            metering.restart()
    # What is still running ends here, so that all that was booked is in a row.
    metering.set_clock(now_s, now_s)
    for place, (key, before) in enumerate([(IMPORT, before_nwh // NANO), (EXPORT, 0)]):
        deltas = [row.values[place] or 0 for row in metering.rows]
        assert all(delta >= 0 for delta in deltas)
        assert (before + sum(deltas)) % ROLLOVER_WH == metering.registers.read(key)


@given(st.lists(st.integers(-30_000, 30_000), min_size=10, max_size=60), st.integers(0, 10**9))
def test_each_delta_is_the_difference_of_the_absolute_rows_around_it(
    powers: list[int], before_nwh: int
) -> None:
    steps = [step(NOON_S + 60 * n, 60, (float(power),) * 3) for n, power in enumerate(powers)]
    found = {}
    for mode in ("absolute", "delta"):
        settings = ProfileSettings(interval_min=5, captures=(IMPORT,), mode=mode)
        metering = Metering(settings, Registers(import_active_energy=before_nwh))
        metering.feed(steps)
        found[mode] = [row.values[0] or 0 for row in metering.rows]
    ends = [before_nwh // NANO, *found["absolute"]]
    assert found["delta"] == [later - earlier for earlier, later in pairwise(ends)]


@given(
    st.lists(
        st.tuples(st.integers(1, 120), st.integers(-30_000, 30_000), st.integers(180, 260)),
        min_size=5,
        max_size=60,
    ),
    st.sets(st.integers(0, 59), max_size=8),
    st.sets(st.integers(0, 59), max_size=3),
)
def test_a_restart_in_the_middle_of_a_window_yields_the_same_rows(
    course: list[tuple[int, int, int]], restarts: set[int], cuts: set[int]
) -> None:
    settings = AnalysisSettings(
        interval_min=5, captures=("voltage_l1", "import_active_power", "frequency", IMPORT)
    )
    unbroken, broken = Metering(settings), Metering(settings)
    now_s = NOON_S
    for number, (seconds, power, voltage) in enumerate(course):
        gap = number in cuts
        now_s += 200 * gap
        one = step(now_s, seconds, (float(power),) * 3, (float(voltage),) * 3, gap=gap)
        now_s += seconds
        unbroken.feed([one])
        broken.feed([one])
        if number in restarts:
            broken.restart()
    assert broken.rows == unbroken.rows
    assert broken.profile.state() == unbroken.profile.state()


def test_power_down_in_the_middle_of_an_interval_flags_it_and_keeps_its_values() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,), mode="delta"))
    metering.feed(minutes(NOON_S, NOON_S + 300, 1200.0))
    metering.feed(minutes(NOON_S + 600, NOON_S + 900, 1200.0, gap=True))
    # Ten minutes of 3 × 1.2 kW
    assert metering.rows == [
        ProfileRow(LOAD_PROFILE, 1, NOON_S + 900, 3600, POWER_DOWN, (600,)),
    ]


def test_wholly_dark_intervals_are_absent_and_entries_go_on() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,)))
    metering.feed(minutes(NOON_S, NOON_S + 300, 1200.0))
    metering.feed(minutes(NOON_S + 4200, NOON_S + 4500, 1200.0, gap=True))
    assert [(row.entry, row.time_s - NOON_S, row.values) for row in metering.rows] == [
        (1, 900, (300,)),
        (2, 4500, (600,)),
    ]


def test_a_row_that_ends_in_the_dark_holds_the_registers_when_power_failed() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,), mode="delta"))
    metering.feed(minutes(NOON_S, NOON_S + 300, 1200.0))
    rows = metering.feed(minutes(NOON_S + 1200, NOON_S + 1260, 60_000.0, gap=True))
    # 3 × 60 kW in the first minute of light, 3000 Wh, are the next row's.
    assert values(rows) == [(300,)]
    assert values(metering.feed(minutes(NOON_S + 1260, NOON_S + 1800))) == [(3000,)]


def test_a_clock_set_back_leaves_duplicate_stamps_under_numbers_of_their_own() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,), mode="delta"))
    metering.feed(minutes(NOON_S, NOON_S + 1200, 1200.0))
    metering.set_clock(NOON_S + 1200, NOON_S + 600)
    metering.feed(minutes(NOON_S + 600, NOON_S + 1800, 1200.0))
    # A minute of 3 × 1.2 kW is 60 Wh.
    assert [(r.entry, r.time_s - NOON_S, r.status, r.values) for r in metering.rows] == [
        (1, 900, 0, (900,)),
        (2, 1200, CLOCK_ADJUSTED, (300,)),
        (3, 900, CLOCK_ADJUSTED, (300,)),
        (4, 1800, 0, (900,)),
    ]


@pytest.mark.parametrize(
    ("begin", "end", "quarters", "changed", "offsets"),
    [
        ("2026-03-28 23:00", "2026-03-29 22:00", 92, "2026-03-29 01:00", (3600, 7200)),
        ("2026-10-24 22:00", "2026-10-25 23:00", 100, "2026-10-25 01:00", (7200, 3600)),
    ],
)
def test_days_of_92_and_100_quarters_have_one_row_each(
    begin: str, end: str, quarters: int, changed: str, offsets: tuple[int, int]
) -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,), mode="delta"))
    metering.feed(minutes(utc(begin), utc(end), 1200.0))
    assert len(metering.rows) == quarters
    assert {row.values for row in metering.rows} == {(900,)}
    # The offset is that on the wall at the stamp, the end; the flag is the interval's.
    for row in metering.rows:
        assert row.offset_s == offsets[row.time_s >= utc(changed)]
        summer = offsets[row.time_s > utc(changed)] == 7200
        assert row.status == (DAYLIGHT_SAVING if summer else 0)


def test_an_invalid_clock_and_a_failed_self_test_are_flagged() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,)))
    lost = [replace(one, clock_valid=False) for one in minutes(NOON_S, NOON_S + 900)]
    metering.feed(lost)
    metering.feed(minutes(NOON_S + 900, NOON_S + 1800), fault=True)
    assert [row.status for row in metering.rows] == [CLOCK_INVALID, ERROR]


def test_the_load_profile_goes_back_400_days_to_the_quarter() -> None:
    metering = Metering(ProfileSettings(interval_min=60, captures=(IMPORT,)))
    # 400 days of 24 hours, and one hour for the autumn's: entry 9602 pushes out entry 1.
    hours = [step(NOON_S + 3600 * hour, 3600) for hour in range(9602)]
    metering.feed(hours[:9601])
    assert (metering.profile.first_entry, metering.profile.last_entry) == (1, 9601)
    metering.feed(hours[9601:])
    assert (metering.profile.first_entry, metering.profile.last_entry) == (2, 9602)


def test_a_change_of_interval_deletes_the_profile_and_is_logged() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,)))
    metering.feed(minutes(NOON_S, NOON_S + 3000, 1200.0))
    assert metering.profile.last_entry == 3
    (event,) = metering.profile.reconfigure(
        ProfileSettings(captures=(IMPORT,), interval_min=30),
        NOON_S + 3000,
        metering.registers.read,
    )
    assert (event.code.name, event.code.log) == ("profile_changed", Log.PROFILE_CHANGES)
    assert (event.time_s, event.detail) == (NOON_S + 3000, "load_profile: 15 min > 30 min")
    assert metering.profile.deleted_before_entry == metering.profile.first_entry == 4
    # The first interval began before the profile did: it says so.
    rows = metering.feed(minutes(NOON_S + 3000, NOON_S + 5400, 1200.0))
    assert [(row.entry, row.time_s - NOON_S, row.status) for row in rows] == [
        (4, 3600, POWER_DOWN),
        (5, 5400, 0),
    ]


def test_a_change_of_mode_deletes_and_deltas_begin_at_the_change() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,)))
    metering.feed(minutes(NOON_S, NOON_S + 1200, 1200.0))
    (event,) = metering.profile.reconfigure(
        ProfileSettings(captures=(IMPORT,), mode="delta"), NOON_S + 1200, metering.registers.read
    )
    assert event.detail == "load_profile: absolute > delta"
    assert values(metering.feed(minutes(NOON_S + 1200, NOON_S + 1800, 1200.0))) == [(600,)]


def test_a_change_of_depth_alone_deletes_only_what_is_too_old() -> None:
    metering = Metering(AnalysisSettings(captures=(IMPORT,), depth=100))
    metering.feed(minutes(NOON_S, NOON_S + 900 * 20))
    shallow = AnalysisSettings(captures=(IMPORT,), depth=5)
    assert metering.profile.reconfigure(shallow, NOON_S + 900 * 20, metering.registers.read) == []
    assert metering.profile.deleted_before_entry == 1
    assert metering.profile.first_entry == 16


def test_a_meter_that_starts_with_another_layout_deletes_the_profile_and_says_so() -> None:
    metering = Metering(ProfileSettings(captures=(IMPORT,)))
    metering.feed(minutes(NOON_S, NOON_S + 1800, 1200.0))
    metering.settings = ProfileSettings(captures=(IMPORT, EXPORT))
    metering.restart()
    profile = metering.profile
    assert (profile.deleted_before_entry, profile.last_entry) == (3, 2)
    assert profile.changed_at_start == (
        "load_profile: import_active_energy > import_active_energy,export_active_energy"
    )


def test_u_and_i_are_interval_means_weighted_by_time() -> None:
    metering = Metering(AnalysisSettings(captures=("voltage_l1", "current_l3", "voltage_l2")))
    metering.feed(
        [
            step(NOON_S, 300, voltage_v=(220.0, 0.0, 230.0), current_a=(0.0, 0.0, 1.0)),
            step(NOON_S + 300, 600, voltage_v=(235.0, 240.0, 230.0), current_a=(0.0, 0.0, 4.0)),
        ]
    )
    # (300·220 + 600·235)/900 = 230 V; (300·1 + 600·4)/900 = 3 A; 600·240/900 = 160 V
    assert values(metering.rows) == [(23_000, 3_000, 16_000)]


def test_p_and_q_are_interval_means_in_each_direction() -> None:
    captures = (
        "import_active_power",
        "export_active_power",
        "export_active_power_l2",
        "import_reactive_power",
        "export_reactive_power",
        "apparent_power_l1",
    )
    metering = Metering(AnalysisSettings(captures=captures))
    first = step(NOON_S, 300, (3000.0, -1500.0, 0.0), reactive_power_var=(4000.0, 0.0, -600.0))
    metering.feed([first, step(NOON_S + 300, 600)])
    # A third of each, in 0.1 W: phases are not netted. S of L1 is 5 kVA.
    assert values(metering.rows) == [(10_000, 5_000, 5_000, 13_333, 2_000, 16_667)]


def test_means_of_a_partly_dark_interval_are_those_of_its_light() -> None:
    metering = Metering(AnalysisSettings(captures=("voltage_l1", "import_active_power_l1")))
    metering.feed(minutes(NOON_S, NOON_S + 300, 1200.0, voltage_v=220.0))
    metering.feed(minutes(NOON_S + 1200, NOON_S + 1800, 600.0, voltage_v=240.0, gap=True))
    # The first minute after the dark is no part of the row that ended in it.
    assert [(row.status, row.values) for row in metering.rows] == [
        (POWER_DOWN, (22_000, 12_000)),
        (POWER_DOWN, (24_000, 6_000)),
    ]


def test_means_of_an_interval_with_a_cut_in_it_are_those_of_both_its_ends() -> None:
    metering = Metering(AnalysisSettings(captures=("voltage_l1", "import_active_power_l1")))
    metering.feed(minutes(NOON_S, NOON_S + 300, 1200.0, voltage_v=220.0))
    metering.feed(minutes(NOON_S + 600, NOON_S + 900, 600.0, voltage_v=240.0, gap=True))
    # Five minutes of each: 230 V and 900 W
    assert values(metering.rows) == [(23_000, 9_000)]


def test_an_interval_inside_one_step_has_no_mean_of_its_own() -> None:
    metering = Metering(AnalysisSettings(interval_min=5, captures=("voltage_l1", IMPORT)))
    # 3 × 1.2 kW for ten minutes; what a step measured belongs to where it begins.
    metering.feed([step(NOON_S, 600, (1200.0,) * 3)])
    assert values(metering.rows) == [(23_000, 600), (None, 600)]


def test_anything_else_is_the_value_at_the_end() -> None:
    metering = Metering(AnalysisSettings(captures=("frequency", IMPORT)))
    steps = minutes(NOON_S, NOON_S + 1800, 1200.0)
    steps[14] = step(NOON_S + 840, 60, (1200.0,) * 3, frequency_hz=49.95)
    steps[29] = step(NOON_S + 1740, 60, (1200.0,) * 3, frequency_hz=None)
    metering.feed(steps)
    assert values(metering.rows) == [(49_950, 900), (None, 1800)]


def test_the_analysis_log_takes_any_sixteen_registers() -> None:
    for first in range(len(KNOWN) - 15):
        captures = KNOWN[first : first + 16]
        metering = Metering(AnalysisSettings(captures=captures))
        assert metering.profile.layout.captures == captures
        (row,) = metering.feed(minutes(NOON_S, NOON_S + 900, 1200.0))
        assert len(row.values) == 16


def test_reconfiguration_of_the_analysis_log_deletes_it_and_is_logged() -> None:
    metering = Metering(AnalysisSettings())
    metering.feed(minutes(NOON_S, NOON_S + 900, 1200.0))
    wanted = AnalysisSettings(captures=("frequency",), interval_min=5)
    (event,) = metering.profile.reconfigure(wanted, NOON_S + 900, metering.registers.read)
    assert event.detail.startswith("analysis_log: 15 min > 5 min; import_active_power,")
    assert event.detail.endswith(",current_l3 > frequency")
    rows = metering.feed(minutes(NOON_S + 900, NOON_S + 1200))
    assert [(row.entry, row.status, row.values) for row in rows] == [(2, 0, (50_000,))]


def test_the_analysis_log_holds_p_q_u_and_i_by_default_of_the_phases_there_are() -> None:
    known = tuple(register.key for register in registers_of(1))
    assert AnalysisSettings().layout(known).captures == (
        "import_active_power",
        "export_active_power",
        "import_reactive_power",
        "export_reactive_power",
        "voltage_l1",
        "current_l1",
    )
    assert AnalysisSettings().interval_min == 15


def test_seventeen_captured_registers_are_refused() -> None:
    with pytest.raises(ValidationError, match="17 captured registers; possible are 1 to 16"):
        AnalysisSettings(captures=KNOWN[:17])


@pytest.mark.parametrize("captures", [(), KNOWN[:5]])
def test_the_load_profile_takes_one_to_four_energies(captures: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match=r"[05] captured registers; possible are 1 to 4"):
        ProfileSettings(captures=captures)


def test_the_load_profile_takes_nothing_but_energies() -> None:
    with pytest.raises(ValidationError, match="voltage_l1 is no energy"):
        ProfileSettings(captures=(IMPORT, "voltage_l1"))


def test_a_register_captured_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="import_active_energy is captured twice"):
        ProfileSettings(captures=(IMPORT, EXPORT, IMPORT))


@pytest.mark.parametrize(
    ("settings", "possible"),
    [(ProfileSettings, "5, 15, 30, 60"), (AnalysisSettings, "5, 10, 15, 30, 60")],
)
def test_an_interval_of_7_min_is_refused(
    settings: type[ProfileSettings | AnalysisSettings], possible: str
) -> None:
    with pytest.raises(ValidationError, match=f"of 7 min; possible are {possible} min"):
        settings(interval_min=7)


def test_a_register_that_the_meter_has_not_is_refused_and_nothing_changes() -> None:
    metering = Metering(AnalysisSettings(captures=("frequency",)))
    metering.feed(minutes(NOON_S, NOON_S + 1200))
    before = metering.profile.state()
    with pytest.raises(RefusedError, match="no register 'temperature' to capture"):
        metering.profile.reconfigure(
            AnalysisSettings(captures=("frequency", "temperature")),
            NOON_S + 1200,
            metering.registers.read,
        )
    assert metering.profile.state() == before


def test_a_profile_that_nobody_resumed_after_the_dark_still_loses_nothing() -> None:
    registers, integrals = Registers(), Integrals(3)
    settings = ProfileSettings(captures=(IMPORT,), mode="delta")
    profile = Profile(LOAD_PROFILE, settings, KNOWN, copenhagen(), integrals)
    rows = profile.resume(NOON_S, registers.read)
    for one in minutes(NOON_S, NOON_S + 300, 1200.0) + minutes(
        NOON_S + 1200, NOON_S + 1800, 1200.0, gap=True
    ):
        registers.book(one)
        integrals.advance(one)
        rows += profile.advance(one, registers.read)
    # 15 min of 3 × 1.2 kW; the first minute of light is in the row before.
    assert values(rows) == [(360,), (540,)]


def averages_fed(steps: Iterable[Step], restart: bool = False) -> Averages:
    """Interval means of U and I after these steps."""
    integrals = Integrals(3)
    averages = Averages(15, 3, copenhagen(), integrals)
    for one in steps:
        if one.gap:
            averages.resume(one.start_s)
        integrals.advance(one)
        averages.advance(one)
        if restart:
            kept = json.loads(json.dumps([integrals.state(), averages.state()]))
            integrals = Integrals(3, kept[0])
            averages = Averages(15, 3, copenhagen(), integrals, kept[1])
    return averages


TWO_QUARTERS = (
    minutes(NOON_S, NOON_S + 900, 2300.0)
    + minutes(NOON_S + 900, NOON_S + 1200, 2300.0, voltage_v=220.0)
    + minutes(NOON_S + 1200, NOON_S + 1800, 2300.0, voltage_v=250.0)
)


def test_average_registers_hold_the_last_whole_interval() -> None:
    averages = averages_fed(TWO_QUARTERS)
    # (5·220 + 10·250)/15 = 240 V; 2300 W are 10.4545 A and 9.2 A: 9.6182 A
    assert averages.time_s == NOON_S + 1800
    assert averages.values == {
        f"{quantity}_average_l{phase}": mean
        for quantity, mean in (("voltage", 24_000), ("current", 9_618))
        for phase in (1, 2, 3)
    }


def test_average_registers_have_no_value_before_the_first_whole_interval() -> None:
    assert set(averages_fed(TWO_QUARTERS[1:16]).values.values()) == {None}


def test_a_partial_interval_leaves_the_average_registers_as_they_are() -> None:
    steps = TWO_QUARTERS + minutes(NOON_S + 2000, NOON_S + 2720, 0.0, voltage_v=100.0, gap=True)
    assert averages_fed(steps).values == averages_fed(TWO_QUARTERS).values


def test_a_restart_changes_no_average() -> None:
    assert averages_fed(TWO_QUARTERS, restart=True).values == averages_fed(TWO_QUARTERS).values


def test_average_registers_keep_their_values_under_another_interval() -> None:
    integrals = Integrals(3)
    kept = averages_fed(TWO_QUARTERS).state()
    hourly = Averages(60, 3, copenhagen(), integrals, kept)
    assert hourly.values == averages_fed(TWO_QUARTERS).values
    with pytest.raises(ValueError, match="an interval of 7 min"):
        Averages(7, 3, copenhagen(), integrals)


def test_a_clock_step_cuts_the_interval_of_the_averages() -> None:
    integrals = Integrals(3)
    averages = Averages(15, 3, copenhagen(), integrals)

    def feed(steps: Iterable[Step]) -> None:
        for one in steps:
            integrals.advance(one)
            averages.advance(one)

    feed(minutes(NOON_S, NOON_S + 600, voltage_v=100.0))
    averages.clock_changed(NOON_S + 600, NOON_S + 660)
    feed(minutes(NOON_S + 660, NOON_S + 900, voltage_v=100.0))
    assert averages.time_s is None
    feed(minutes(NOON_S + 900, NOON_S + 1800, voltage_v=231.0))
    assert averages.values["voltage_average_l1"] == 23_100
