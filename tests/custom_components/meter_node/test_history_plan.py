"""Whatever Home Assistant lived through, its statistics end up as the meter's registers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_recorder import FIVE_S, HOUR_S, PlainRecorder

from custom_components.meter_node.channel.registers import ROLLOVER_WH
from custom_components.meter_node.history.hours import Amount
from custom_components.meter_node.history.plan import (
    Plan,
    Row,
    begin_counter,
    plan_amounts,
)

T0 = 1_792_800_000  # a whole hour: 2026-10-24 00:00 UTC
PER_HOUR = HOUR_S // FIVE_S

# --- a register, and a Home Assistant that was there now and then ---------------------------------

steps = st.lists(st.integers(0, 3000), min_size=4 * PER_HOUR, max_size=30 * PER_HOUR)
beginnings = st.sampled_from((0, 7, 12_345_678, ROLLOVER_WH - 20_000))


def path(begin_wh: int, moved: list[int]) -> list[int]:
    """What the register counts to at each five minutes, over its end too."""
    counts = [begin_wh]
    for one in moved:
        counts.append(counts[-1] + one)
    return counts


def lived(counts: list[int], there: list[bool]) -> PlainRecorder:
    """A recorder that saw the register in those five minutes, each a little late at the hour."""
    recorder = PlainRecorder()
    for place, is_there in enumerate(there):
        if is_there:
            before, now = counts[place], counts[place + 1]
            seen = before + (now - before) * 29 // 30  # the last push is 10 s old
            recorder.compile(T0 + place * FIVE_S, seen % ROLLOVER_WH)
    return recorder


def fill(
    recorder: PlainRecorder, counts: list[int], first: int, last: int, pieces: int = 1
) -> list[Plan]:
    """Fill from hour to hour (counted from T0) as an importer does; return the plans."""
    known = {T0 + hour * HOUR_S: counts[hour * PER_HOUR] for hour in range(first, last + 1)}
    start_s = T0 + (first - 1) * HOUR_S
    older = max((at for at in recorder.hours if at < start_s), default=None)
    before = None if older is None else recorder.hours[older]
    newest = counts[-1] % ROLLOVER_WH
    counter = begin_counter(before, known[T0 + first * HOUR_S], newest)
    plans, ends = [], sorted(known)
    size = -(-len(ends) // pieces)
    for begun in range(0, len(ends), size):
        piece = {at: known[at] for at in ends[begun : begun + size]}
        plan = counter.plan(piece, recorder.hours, recorder.short_term)
        recorder.carry_out(plan)
        plans.append(plan)
        assert min(recorder.energies().values(), default=0) > -0.1
        assert min(row.sum for row in recorder.hours.values()) > -0.1
    return plans


@given(begin=beginnings, moved=steps, data=st.data())
def test_every_hour_is_the_register_s_whatever_was_missed(
    begin: int, moved: list[int], data: st.DataObject
) -> None:
    counts = path(begin, moved)
    hours = len(moved) // PER_HOUR
    there = data.draw(st.lists(st.booleans(), min_size=len(moved), max_size=len(moved)))
    there[-1] = True  # nothing is written before the first live row
    recorder = lived(counts, there)
    begin_hour = data.draw(st.integers(0, hours - 1))
    pieces = data.draw(st.integers(1, 4))

    fill(recorder, counts, begin_hour, hours, pieces)

    energies = recorder.energies()
    for hour in range(begin_hour, hours):
        used = counts[(hour + 1) * PER_HOUR] - counts[hour * PER_HOUR]
        assert energies[T0 + hour * HOUR_S] == pytest.approx(used, abs=0.5)
    assert not any(fill(recorder, counts, begin_hour, hours))


@given(begin=beginnings, moved=steps, data=st.data())
def test_the_hours_after_a_fill_go_on_from_it(
    begin: int, moved: list[int], data: st.DataObject
) -> None:
    hours = len(moved) // PER_HOUR
    counts = path(begin, moved + [100] * (2 * PER_HOUR))
    there = data.draw(st.lists(st.booleans(), min_size=len(moved), max_size=len(moved)))
    there[-1] = True
    recorder = lived(counts, there)
    fill(recorder, counts[: len(moved) + 1], 0, hours)

    for place in range(len(moved), len(counts) - 1):
        recorder.compile(T0 + place * FIVE_S, counts[place + 1] % ROLLOVER_WH)

    energies = recorder.energies()
    assert min(energies.values()) > -0.1
    # Up to a push before the hour may be in the next one, until that is filled.
    late = max(moved[-1], 100) / 30 + 1
    last = max(energies)
    lived_on = sum(moved[hours * PER_HOUR :]) + sum(
        100
        for place in range(len(moved), len(counts) - 1)
        if place < (last - T0 + HOUR_S) // FIVE_S
    )
    after = sum(used for at, used in energies.items() if at >= T0 + hours * HOUR_S)
    assert after == pytest.approx(lived_on, abs=late)


def test_the_first_live_row_begins_at_0_and_is_moved_up_to_the_history() -> None:
    """The trap: 300 Wh imported before a live row of sum 0 made the next hour −299."""
    recorder = PlainRecorder()
    recorder.compile(T0 + 3 * HOUR_S, 1301.0)
    counts = [1000 + 100 * (place // PER_HOUR) for place in range(3 * PER_HOUR + 1)]
    assert recorder.short_term[T0 + 3 * HOUR_S].sum == 0

    fill(recorder, [*counts, 1301], 0, 3)

    assert [row.sum for _, row in sorted(recorder.hours.items())] == [0, 100, 200, 300]
    for five in range(1, PER_HOUR):
        recorder.compile(T0 + 3 * HOUR_S + five * FIVE_S, 1301.0 + five)
    assert recorder.energies()[T0 + 3 * HOUR_S] == 12  # to 1312, the hour's first Wh included


def test_older_statistics_stay_and_are_gone_on_from() -> None:
    recorder = PlainRecorder({T0 - 50 * HOUR_S: Row(900.0, 40.0)}, {T0 + HOUR_S: Row(1110.0, 0.0)})
    fill(recorder, [1000] * PER_HOUR + [1100, 1110], 0, 1)
    assert recorder.hours == {
        T0 - 50 * HOUR_S: Row(900, 40),
        T0 - HOUR_S: Row(1000, 140),
        T0: Row(1100, 240),
    }
    assert recorder.short_term == {T0 + HOUR_S: Row(1110, 250)}


def test_another_meter_s_older_statistics_are_gone_on_from_without_a_fall() -> None:
    recorder = PlainRecorder(
        {T0 - 50 * HOUR_S: Row(45_000.0, 30_000.0)}, {T0 + HOUR_S: Row(110.0, 0.0)}
    )
    fill(recorder, [10] * PER_HOUR + [100, 110], 0, 1)
    assert recorder.hours[T0 - HOUR_S] == Row(10, 30_000)
    assert recorder.hours[T0] == Row(100, 30_090)
    assert recorder.short_term[T0 + HOUR_S].sum == 30_100


def test_an_hour_that_is_begun_from_keeps_its_sum_whatever_its_row_shows() -> None:
    """Its register stands at 1000, then at 1100; nothing lies between an hour and itself."""
    for state in (900.0, 1000.0, 4000.0):
        counter = begin_counter(Row(state, 500.0), 1000, 1100, is_first=True)
        plan = counter.plan({T0: 1000, T0 + HOUR_S: 1100}, {T0 - HOUR_S: Row(state, 500.0)}, {})
        sums = {T0 - HOUR_S: 500.0} | {at: row.sum for at, row in plan.rows.items()}
        assert sums == {T0 - HOUR_S: 500, T0: 600}


def test_a_live_total_below_the_register_of_the_last_hour_makes_no_negative_hour() -> None:
    """Nobody saw that it stood at 1400 at one o'clock before it fell to 1200."""
    recorder = PlainRecorder({}, {T0 + HOUR_S: Row(1200.0, 0.0)})
    plan = begin_counter(None, 1000, 1200).plan(
        {T0: 1000, T0 + HOUR_S: 1400}, {}, recorder.short_term
    )
    recorder.carry_out(plan)
    for five in range(1, PER_HOUR):
        recorder.compile(T0 + HOUR_S + five * FIVE_S, 1200.0 + five)
    assert recorder.energies() == {T0: 400, T0 + HOUR_S: 11}


def test_only_the_hour_that_differs_is_rewritten() -> None:
    counts = [place * 10 for place in range(5 * PER_HOUR + 1)]
    recorder = lived(counts, [True] * (5 * PER_HOUR))
    fill(recorder, counts, 0, 5)
    recorder.hours[T0 + 2 * HOUR_S] = Row(350.0, 350.0)  # true: 3 × 120 = 360
    [plan] = fill(recorder, counts, 0, 5)
    assert not plan.shifts
    assert plan.rows == {T0 + 2 * HOUR_S: Row(360, 360)}


@given(
    moved=steps,
    breaks_off_after=st.integers(0, 2),
    data=st.data(),
)
def test_a_power_cut_between_two_writes_is_made_good_by_the_next_run(
    moved: list[int], breaks_off_after: int, data: st.DataObject
) -> None:
    counts = path(12_345, moved)
    hours = len(moved) // PER_HOUR
    begin = data.draw(st.integers(0, len(moved) - 1))
    there = [place >= begin for place in range(len(moved))]
    recorder = lived(counts, there)
    known = {T0 + hour * HOUR_S: counts[hour * PER_HOUR] for hour in range(hours + 1)}
    counter = begin_counter(None, counts[0], counts[-1])
    plan = counter.plan(known, recorder.hours, recorder.short_term)
    recorder.carry_out(plan, breaks_off_after=breaks_off_after)

    fill(recorder, counts, 0, hours)

    for hour in range(hours):
        used = counts[(hour + 1) * PER_HOUR] - counts[hour * PER_HOUR]
        assert recorder.energies()[T0 + hour * HOUR_S] == pytest.approx(used, abs=0.5)
    newest = recorder.short_term[max(recorder.short_term)]
    assert newest.sum == pytest.approx(newest.state - counts[0], abs=0.2)


# --- money ---------------------------------------------------------------------------------------


def amounts(*totals: str | tuple[str, int]) -> dict[int, Amount]:
    """Totals at the hours from T0 on; with a number: intervals without a price so far."""
    return {
        T0 + hour * HOUR_S: Amount(Decimal(one))
        if isinstance(one, str)
        else Amount(Decimal(one[0]), one[1])
        for hour, one in enumerate(totals)
    }


def settle(recorder: PlainRecorder, totals: dict[int, Amount]) -> Plan | None:
    """Plan and carry out."""
    first_s = min(totals) - HOUR_S
    older = max((at for at in recorder.hours if at < first_s), default=None)
    before = None if older is None else recorder.hours[older]
    hours = {at: row for at, row in recorder.hours.items() if at >= first_s}
    plan = plan_amounts(totals, before, hours, recorder.short_term)
    if plan is not None:
        recorder.carry_out(plan)
    return plan


def test_a_new_cost_gets_its_past_and_the_live_sum_goes_on_from_it() -> None:
    recorder = PlainRecorder()
    recorder.compile(T0 + 3 * HOUR_S, 0.0)  # the cost sensor begins at nothing
    settle(recorder, amounts("0", "1.50", "1.50", "4.25"))
    assert [row.sum for _, row in sorted(recorder.hours.items())] == [0, 1.5, 1.5, 4.25]
    for five in range(1, PER_HOUR):
        recorder.compile(T0 + 3 * HOUR_S + five * FIVE_S, 0.125 * five)
    assert recorder.energies()[T0 + 3 * HOUR_S] == pytest.approx(0.125 * 11)
    assert not settle(recorder, amounts("0", "1.50", "1.50", "4.25", "5.625"))


def test_cost_waits_for_a_live_row_at_the_last_hour() -> None:
    recorder = PlainRecorder({T0: Row(0.0, 0.0)}, {T0 + HOUR_S - FIVE_S: Row(0.0, 0.0)})
    assert settle(recorder, amounts("0", "1", "2", "3")) is None
    assert recorder.hours == {T0: Row(0, 0)}


def test_a_gap_that_was_priced_at_the_price_of_the_return_is_priced_hour_by_hour() -> None:
    """Two hours of 1 kWh at 1 and at 3, seen as 2 kWh at 3 when Home Assistant came back."""
    recorder = PlainRecorder({T0 - HOUR_S: Row(7.0, 7.0)}, {T0 - FIVE_S: Row(7.0, 7.0)})
    recorder.compile(T0 + 2 * HOUR_S + 6 * FIVE_S, 13.0)
    settle(recorder, amounts("0", "1", "4"))
    assert [recorder.hours[T0 + hour * HOUR_S].sum for hour in (-1, 0, 1)] == [7, 8, 11]
    assert recorder.short_term[T0 + 2 * HOUR_S + 6 * FIVE_S].sum == 11


def test_an_hour_of_unknown_price_keeps_what_its_live_row_says() -> None:
    recorder = PlainRecorder()
    for place in range(3 * PER_HOUR):
        recorder.compile(T0 + place * FIVE_S, place / PER_HOUR)
    live = recorder.hours[T0 + HOUR_S].sum - recorder.hours[T0].sum
    settle(recorder, amounts("0", "2", ("2", 4), ("3", 4)))
    energies = recorder.energies()
    assert energies[T0 + HOUR_S] == pytest.approx(live)
    assert energies[T0 + 2 * HOUR_S] == pytest.approx(1)
    assert not settle(recorder, amounts("0", "2", ("2", 4), ("3", 4)))


def test_nothing_is_said_of_the_cost_before_the_first_known_price() -> None:
    recorder = PlainRecorder({}, {T0 + 3 * HOUR_S: Row(0.0, 0.0)})
    settle(recorder, amounts("0", ("0", 4), ("0", 8), ("1", 8)))
    assert {at: row.sum for at, row in recorder.hours.items()} == {
        T0 + HOUR_S: 0,
        T0 + 2 * HOUR_S: 1,
    }


def test_a_price_below_nothing_lowers_the_cost() -> None:
    recorder = PlainRecorder({}, {T0 + 2 * HOUR_S: Row(0.0, 0.0)})
    settle(recorder, amounts("0", "1.0", "0.75"))
    assert recorder.energies()[T0 + HOUR_S] == -0.25


def test_a_power_cut_after_the_live_cost_was_moved_is_made_good() -> None:
    recorder = PlainRecorder({}, {T0 + 2 * HOUR_S: Row(0.0, 0.0)})
    plan = plan_amounts(amounts("0", "1.0", "3.0"), None, {}, recorder.short_term)
    assert plan is not None
    recorder.carry_out(plan, breaks_off_after=1)
    settle(recorder, amounts("0", "1.0", "3.0"))
    assert recorder.short_term[T0 + 2 * HOUR_S].sum == 3
    assert [row.sum for _, row in sorted(recorder.hours.items())] == [0, 1, 3]
