"""What was shown of a register that once went back, at any moment of its past."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_recorder import FIVE_S, HOUR_S, PlainRecorder

from custom_components.meter_node import falls
from custom_components.meter_node.channel.registers import ROLLOVER_WH
from custom_components.meter_node.falls import STEPS_KEPT, Step, dated
from custom_components.meter_node.history.hours import Walk, decided
from custom_components.meter_node.history.plan import begin_counter
from custom_components.meter_node.history.readings import Reading, as_shown
from custom_components.meter_node.meter_time import BELIEVED

KEY = "import_active_energy"
T0 = 1_792_800_000  # a whole hour: 2026-10-24 00:00 UTC
PER_HOUR = HOUR_S // FIVE_S
BELIEVED_S = BELIEVED.total_seconds()
assert datetime.fromtimestamp(T0, UTC).minute == 0

FALL = Step(1000, 1300, 2000, 0, 0, 9000)
"""Held at 9000 since 1300 s; seen as before at 1000 s."""
TAKEN = falls.with_base([[*FALL]], 6900)
"""It stood at 2100 when its user took it as it was: 9000 go on from there."""


@pytest.mark.parametrize(
    ("at_s", "register_wh", "shown_wh"),
    [
        (900, 8900, 8900),
        (1000, 9000, 9000),
        (1100, 9050, 9000),  # nobody saw that
        (1200, 1950, 9000),
        (1300, 2000, 9000),
        (1400, 2100, 9000),
        (1500, 2150, 9050),
        (9999, 9000, 15900),  # long after it is where it fell from: that is no return
    ],
)
def test_a_reading_has_the_base_of_its_own_time(
    at_s: int, register_wh: float, shown_wh: float
) -> None:
    assert falls.shown_wh(TAKEN, 6900, at_s, register_wh) == shown_wh


def test_a_fall_that_is_held_shows_what_it_fell_from_until_that_is_reached() -> None:
    held = falls.with_fall([], FALL, None)
    shown = [falls.shown_wh(held, 0, 2000, wh) for wh in (2000, 8999, 9000, 9001)]
    assert shown == [9000, 9000, 9000, 9001]


def test_a_register_that_never_fell_is_shown_with_what_is_added_to_it() -> None:
    assert falls.shown_wh([], 500, 1, 100) == 600


def test_a_fall_that_goes_on_is_one_step_and_a_lower_one_another() -> None:
    """Again after a restart, and while it is held: 2000 → 2500, then down to 400."""
    noted = falls.with_fall([], FALL, None)
    again = FALL._replace(last_s=1300, first_s=1400, to_wh=2100)
    assert falls.with_fall(noted, again, None) == falls.with_fall(noted, again, 2000) == noted
    lower = Step(1500, 1600, 400, 0, 0, 9000)
    both = falls.with_base(falls.with_fall(noted, lower, 2500), 8600)
    shown = [falls.shown_wh(both, 8600, *one) for one in ((1500, 2500), (1600, 400), (1700, 450))]
    assert shown == [9000, 9000, 9050]


def test_a_fall_that_was_made_good_within_its_hour_is_forgotten() -> None:
    noted = falls.with_fall([], FALL, None)
    assert falls.made_good(noted, HOUR_S - 1) == []
    assert falls.made_good(noted, HOUR_S) == [[*FALL._replace(to_wh=9000)]]
    assert falls.made_good(TAKEN, HOUR_S - 1) == TAKEN


def test_a_register_that_falls_again_from_where_it_was_makes_another_step() -> None:
    noted = falls.made_good(falls.with_fall([], FALL, None), HOUR_S)
    again = Step(2 * HOUR_S, 2 * HOUR_S + 10, 2000, 0, 0, 9000)
    taken = falls.with_base(falls.with_fall(noted, again, None), 7000)
    assert falls.shown_wh(taken, 7000, HOUR_S, 9000) == 9000


def test_a_roll_over_after_a_fall_is_not_held_at_what_was_shown_then() -> None:
    high = 0.95 * ROLLOVER_WH
    noted = falls.with_fall([], Step(0, 10, high - 500, 0, 0, high), None)
    assert falls.shown_wh(noted, 0, 999, 70) == 70


def test_steps_are_bounded() -> None:
    noted: list[list[float]] = []
    for number in range(100, 0, -1):
        noted = falls.with_fall(noted, Step(0, number, number - 1, 0, 0, number), None)
    assert len(noted) == STEPS_KEPT


def test_a_base_without_a_moment_serves_what_comes_after_the_last_hour_that_was_filled() -> None:
    noted = falls.undated(7000, (), 9100, 7200, 9999)
    assert falls.shown_wh(noted, 7000, 7200, 2100) == 9100
    assert falls.shown_wh(noted, 7000, 6300, 8900) == 8900


def test_a_base_without_a_moment_is_told_by_what_readings_hold() -> None:
    """The register fell from 9000 to 2100 after 7200 s; at 9999 s it is 2200, and shown is 9100."""
    noted = falls.undated(6900, (9000, 2100, 0), 9100, 7200, 9999)
    read = [(7200, 8900), (8100, 8990), (9000, 2100), (9900, 2200), (10800, 2300)]
    assert [falls.shown_wh(noted, 6900, *one) for one in read] == [8900, 8990, 9000, 9100, 9200]


def test_a_base_without_a_moment_whose_register_is_half_way_back_serves_all_since() -> None:
    noted = falls.undated(6900, (9000, 2100, 0), 15000, 7200, 9999)
    assert falls.shown_wh(noted, 6900, 8100, 8050) == 14950


def test_steps_in_another_power_of_ten_are_at_the_same_moments() -> None:
    assert falls.rescaled([[1, 2, 30, 40, 50, 60]], -1) == [[1, 2, 3, 4, 5, 6]]


# --- a home that lives through falls --------------------------------------------------------------


class Sensor:
    """A total as it is shown: held while its register is lower, until its user agrees."""

    def __init__(self, register_wh: int) -> None:
        self.total = float(register_wh)
        self.base = 0.0
        self.register = register_wh
        self.came_s = T0
        self.steps: list[list[float]] = []
        self.is_held = False

    def push(self, at_s: int, register_wh: int, now_s: int, filled_s: int) -> None:
        """Take a frame of a moment; the moment of a step is as ``Totals`` dates it."""
        sent_s = at_s
        at_s = dated(at_s, max(self.came_s, filled_s), now_s)
        if register_wh + self.base < self.total:
            last_s = min(max(self.came_s, filled_s), at_s)
            step = Step(last_s, at_s, register_wh, self.base, self.base, self.total)
            held_wh = self.register if self.is_held else None
            self.steps = falls.with_fall(self.steps, step, held_wh)
            self.is_held = True
        else:
            if self.is_held:
                self.steps = falls.made_good(self.steps, at_s)
            self.is_held = False
            self.total = register_wh + self.base
        self.register, self.came_s = register_wh, sent_s

    def count_on(self) -> None:
        if self.is_held:
            self.base = self.total - self.register
            self.steps = falls.with_base(self.steps, self.base)
            self.is_held = False

    def shown(self, key: str, at_s: int, register_wh: float) -> float:
        return falls.shown_wh(self.steps, self.base, at_s, register_wh)


class Life:
    """A register, its readings each five minutes, a sensor, and a recorder that is filled.

    The meter's clock is ``off_s`` ahead.
    """

    def __init__(self, begin_wh: int) -> None:
        self.sensor = Sensor(begin_wh)
        self.recorder = PlainRecorder()
        self.readings = [Reading(0, T0 - FIVE_S, T0, {KEY: begin_wh})]
        self.mark: tuple[int, int] | None = None
        self.now_s = T0
        self.off_s = 0

    def live(self, register_wh: int, *, is_there: bool) -> None:
        begun_s, self.now_s = self.now_s, self.now_s + FIVE_S
        at_s = self.now_s + self.off_s
        entry = self.readings[-1].entry + 1
        self.readings.append(Reading(entry, at_s - FIVE_S, at_s, {KEY: register_wh}))
        if is_there:
            sent_s = at_s if abs(self.off_s) <= BELIEVED_S else self.now_s
            self.sensor.push(sent_s, register_wh, self.now_s, self.mark[1] if self.mark else 0)
            self.recorder.compile(begun_s, self.sensor.total)

    def fill(self, *, anew: bool = False) -> bool:
        """Fill up to the last hour that is shown, as a passage does; whether there was a need."""
        since = None if anew else self.mark
        entry, hour_s = (0, 0) if since is None else since
        until_s = min(self.sensor.came_s, self.now_s) // HOUR_S * HOUR_S
        read = [as_shown(one, self.sensor.shown) for one in self.readings if one.entry >= entry]
        found = decided(Walk({}, since, until_s + HOUR_S).take(read), until_s)
        if not found or not self.recorder.short_term:
            return False
        first_s, hours = min(found) - HOUR_S, self.recorder.hours
        older = max((at for at in hours if at < first_s), default=None)
        before = hours.get(hour_s - HOUR_S) if since else None
        if before is None and older is not None:
            before = hours[older]
        counts = {at: one.counts_wh[KEY] for at, one in found.items() if one.is_known}
        is_first = bool(since) and hour_s == min(counts)
        newest_wh = round(self.sensor.total)
        counter = begin_counter(before, counts[min(counts)], newest_wh, is_first=is_first)
        plan = counter.plan(counts, hours, self.recorder.short_term)
        self.recorder.carry_out(plan)
        self.mark = found[max(found)].entry, max(found)
        return bool(plan)


FALLS_WH = {"fall": 1_500_000, "fall a little": 5_000}
happenings = st.sampled_from((*["use"] * 20, "fall", "fall a little", "agree", "fill", "fill anew"))


@given(
    begin=st.integers(2_000_000, 9_000_000),
    steps=st.lists(
        st.tuples(happenings, st.integers(0, 3000), st.booleans()),
        min_size=3 * PER_HOUR,
        max_size=8 * PER_HOUR,
    ),
    always_there=st.booleans(),
)
def test_falls_are_never_consumption_and_never_make_a_negative_hour(
    begin: int, steps: list[tuple[str, int, bool]], always_there: bool
) -> None:
    """Less is used while nobody listens than a fall loses: 96 times 15 Wh at most."""
    life, register, shown = Life(begin), begin, {T0: float(begin)}
    for what, used, is_there in [*steps, ("use", 0, True)]:
        if what in FALLS_WH and register >= FALLS_WH[what]:
            register -= FALLS_WH[what]
        elif what == "agree":
            life.sensor.count_on()
        elif what in {"fill", "fill anew"}:
            life.fill(anew=what == "fill anew")
        is_seen = is_there or always_there
        register += used if is_seen else used // 200
        life.live(register, is_there=is_seen)
        shown[life.readings[-1].end_s] = life.sensor.total
        assert min(life.recorder.energies().values(), default=0) > -0.6
    life.fill()
    again = PlainRecorder(dict(life.recorder.hours), dict(life.recorder.short_term))
    energies = life.recorder.energies()
    assert min(energies.values(), default=0) > -0.6
    if always_there:
        first = min(life.recorder.hours)
        for at, energy in energies.items():
            if at > first:
                assert energy == pytest.approx(shown[at + HOUR_S] - shown[at], abs=1.1)
    assert not life.fill(anew=True)
    assert life.recorder == again


MINUTE_S, DAY_S = 60, 86_400
OFF_S = [
    sign * one
    for sign in (-1, 1)
    for one in (
        *(7 * MINUTE_S, 35 * MINUTE_S, HOUR_S, 2 * HOUR_S, 5 * HOUR_S),
        *(DAY_S, 3 * DAY_S, 20 * DAY_S, 40 * DAY_S, 200 * DAY_S, 400 * DAY_S, 9000 * DAY_S),
    )
]


@given(
    stretches=st.lists(
        st.tuples(
            st.sampled_from((0, *OFF_S)),  # its clock
            st.integers(1, 30 * PER_HOUR),  # for so many five minutes
            st.booleans(),  # whether somebody listens
            st.sampled_from((None, None, "fall", "agree")),
        ),
        min_size=1,
        max_size=6,
    ),
    used=st.integers(0, 9),
)
def test_whatever_a_clock_does_no_hour_is_negative_and_none_that_was_filled_changes(
    stretches: list[tuple[int, int, bool, str | None]], used: int
) -> None:
    """In the end the clock is right, and its user agrees to what fell.

    It falls while its clock is right or behind, and once again when that was seen.
    """
    life, register, ahead = Life(5_000_000), 5_000_000, False
    for off_s, count, is_there, what in [
        (0, 2 * PER_HOUR, True, None),
        *stretches,
        (0, PER_HOUR, True, None),
        (0, 8 * PER_HOUR, True, "agree"),
    ]:
        life.off_s = off_s
        ahead |= off_s > 0
        is_seen = life.sensor.register <= register
        if what == "fall" and register > 2_000_000 and is_seen and not ahead:
            register -= 2_000_000
        elif what == "agree":
            life.sensor.count_on()
        for _ in range(count):
            register += used
            life.live(register, is_there=is_there)
            if is_there and life.now_s % HOUR_S == FIVE_S:
                until_s = life.mark[1] if life.mark else 0
                done = {at: row for at, row in life.recorder.hours.items() if at < until_s}
                life.fill()
                now = {at: row for at, row in life.recorder.hours.items() if at < until_s}
                assert now == done
                assert min(life.recorder.energies().values(), default=0) > -0.6
                filled = dict(life.recorder.hours)
                life.fill()
                assert life.recorder.hours == filled
    hours = life.recorder.hours
    first, last = hours[min(hours)], hours[max(hours)]
    assert last.sum - first.sum == pytest.approx(last.state - first.state, abs=1.1)
