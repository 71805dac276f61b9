"""Prepayment: exact, counted once, and no house is cut at night."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.meter.credit import Credit, CreditSettings
from meter_node.meter.event import Event
from meter_node.meter.refused import RefusedError
from meter_node.meter.token import make
from tests.meter_node.meter.credit_steps import NWH_PER_WH, at, danish, step

KEY = bytes(range(16))
TITLE = b"MTN\x01\x02\x03\x04\x05"
ON = CreditSettings(enabled=True, low_credit_wh=2000, emergency_credit_wh=5000)
MONDAY_NOON = at("2026-01-12 12:00")
SATURDAY_NIGHT = at("2026-01-10 23:00")
OFF_STEP = step(MONDAY_NOON - 1)


def token(sequence: int, credit_wh: int, key: bytes = KEY) -> str:
    return make(key, TITLE, sequence, credit_wh)


def prepaid(
    credit_wh: int = 0, sequence: int = 1, now_s: int = MONDAY_NOON, given_settings: Any = ON
) -> Credit:
    """A meter with prepayment on and so much credit, `now_s` its last step's end."""
    credit = Credit(given_settings, danish(), TITLE, KEY)
    # The first step switches prepayment on; its clock is invalid, so that nothing is cut yet.
    credit.advance(step(now_s - 1, clock_valid=False), 0)
    if credit_wh:
        credit.enter(token(sequence, credit_wh), now_s)
    return credit


def restarted(credit: Credit, given_settings: CreditSettings = ON) -> Credit:
    """The same meter after a power cut: through the JSON of a store."""
    return Credit(given_settings, danish(), TITLE, KEY, json.loads(json.dumps(credit.state())))


def draw(credit: Credit, start_s: int, energy_wh: int, **how: Any) -> list[str]:
    """Names of the events of a step of a second that imports so much."""
    return names(credit.advance(step(start_s, **how), energy_wh * NWH_PER_WH))


def names(events: list[Event]) -> list[str]:
    return [event.code.name for event in events]


def refuse(credit: Credit, text: str, now_s: int) -> str:
    """What the refusal says."""
    with pytest.raises(RefusedError) as refused:
        credit.enter(text, now_s)
    return str(refused.value)


# --- Counting down


def test_credit_is_counted_down_by_what_is_drawn() -> None:
    credit = prepaid(10_000)
    draw(credit, MONDAY_NOON, 3000)
    assert credit.credit_nwh == 7000 * NWH_PER_WH


def test_a_nanowatt_hour_is_not_lost() -> None:
    credit = prepaid(1)
    for second in range(3):
        credit.advance(step(MONDAY_NOON + second), 333_333_333)
    # 10⁹ − 3 · 333 333 333
    assert credit.credit_nwh == 1
    assert not credit.exhausted


def test_without_prepayment_nothing_is_counted_and_nothing_cut() -> None:
    credit = Credit(CreditSettings(), danish(), TITLE, KEY)
    draw(credit, MONDAY_NOON, 5000)
    assert (credit.credit_nwh, credit.cut_wanted, credit.exhausted) == (0, False, False)


def test_switching_it_on_is_told_once() -> None:
    credit = Credit(ON, danish(), TITLE, KEY)
    assert "prepayment_on" in draw(credit, SATURDAY_NIGHT, 0)
    assert "prepayment_on" not in draw(credit, SATURDAY_NIGHT + 1, 0)


def test_low_credit_warns_once_until_a_top_up_above_the_threshold() -> None:
    credit = prepaid(2001)
    assert draw(credit, MONDAY_NOON, 1) == ["credit_low"]
    assert draw(credit, MONDAY_NOON + 1, 1) == []
    credit.enter(token(2, 1), MONDAY_NOON + 2)  # 1999 + 1 = 2000: not above
    assert draw(credit, MONDAY_NOON + 3, 1) == []
    credit.enter(token(3, 2), MONDAY_NOON + 4)  # 1999 + 2 = 2001: above
    assert draw(credit, MONDAY_NOON + 5, 1) == ["credit_low"]


def test_the_warning_survives_a_restart_as_told() -> None:
    credit = prepaid(2001)
    draw(credit, MONDAY_NOON, 1)
    assert draw(restarted(credit), MONDAY_NOON + 1, 1) == []


# --- At zero


def test_at_zero_in_working_hours_supply_is_cut_and_pay_is_shown() -> None:
    credit = prepaid(10)
    assert "credit_exhausted" in draw(credit, MONDAY_NOON, 10)
    assert credit.cut_wanted
    assert credit.exhausted


def test_one_nanowatt_hour_left_is_not_zero() -> None:
    credit = prepaid(10)
    credit.advance(step(MONDAY_NOON), 10 * NWH_PER_WH - 1)
    assert (credit.cut_wanted, credit.exhausted) == (False, False)


def test_zero_on_a_saturday_night_is_cut_on_monday_at_nine() -> None:
    credit = prepaid(10, now_s=SATURDAY_NIGHT)
    assert "credit_exhausted" in draw(credit, SATURDAY_NIGHT, 10)
    monday_nine = at("2026-01-12 09:00")
    cut_at = None
    for start_s in range(SATURDAY_NIGHT + 1, monday_nine + 120, 60):
        credit.advance(step(start_s, 59), NWH_PER_WH)
        credit.advance(step(start_s + 59, 1), 0)
        if credit.cut_wanted:
            cut_at = start_s + 60
            break
    # Steps end at one second past the minute; 23:00:01 on Saturday is 34 h before 09:00:01.
    assert cut_at == monday_nine + 1
    assert credit.exhausted


def test_pay_is_shown_on_a_saturday_night_though_nothing_is_cut() -> None:
    credit = prepaid(10, now_s=SATURDAY_NIGHT)
    draw(credit, SATURDAY_NIGHT, 11)
    assert (credit.cut_wanted, credit.exhausted) == (False, True)
    assert credit.credit_nwh == -NWH_PER_WH


def test_a_top_up_on_sunday_saves_the_monday() -> None:
    credit = prepaid(10, now_s=SATURDAY_NIGHT)
    draw(credit, SATURDAY_NIGHT, 40)  # 30 Wh drawn without credit
    credit.enter(token(2, 31), at("2026-01-11 10:00"))
    draw(credit, at("2026-01-12 09:00"), 0)
    assert (credit.cut_wanted, credit.credit_nwh) == (False, NWH_PER_WH)


@pytest.mark.parametrize(
    ("local", "is_cut"),
    [
        ("2026-01-12 08:59", False),
        ("2026-01-12 09:00", True),
        ("2026-01-12 17:59", True),
        ("2026-01-12 18:00", False),
        ("2026-01-13 00:00", False),
        ("2026-01-16 17:59", True),
        ("2026-01-17 12:00", False),
        ("2026-01-18 12:00", False),
        # Summer: 09:00 on the wall is 07:00 UTC.
        ("2026-07-06 08:59", False),
        ("2026-07-06 09:00", True),
    ],
)
def test_friendly_hours_are_those_of_the_wall_clock(local: str, is_cut: bool) -> None:
    credit = prepaid(now_s=at(local) - 1)
    draw(credit, at(local) - 1, 1)
    assert credit.cut_wanted is is_cut


def test_a_special_day_is_no_working_day() -> None:
    christmas = ON.model_copy(update={"non_working_days": (date(2026, 12, 25),)})
    noon = at("2026-12-25 12:00")  # a Friday
    assert date(2026, 12, 25).weekday() == 4
    credit = prepaid(now_s=noon, given_settings=christmas)
    draw(credit, noon, 1)
    assert not credit.cut_wanted


def test_hours_that_begin_where_they_end_are_none() -> None:
    always = ON.model_copy(update={"friendly_from_minute": 0, "friendly_until_minute": 0})
    midnight = at("2026-01-13 00:00")
    credit = prepaid(now_s=midnight, given_settings=always)
    draw(credit, midnight, 1)
    assert credit.cut_wanted


def test_an_evening_does_not_reconnect_who_was_cut_at_noon() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    draw(credit, at("2026-01-12 20:00"), 0)
    assert credit.cut_wanted


def test_an_invalid_clock_does_not_cut() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10, clock_valid=False)
    assert not credit.cut_wanted
    draw(credit, MONDAY_NOON + 1, 0)
    assert credit.cut_wanted


def test_an_invalid_clock_does_not_reconnect() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    draw(credit, MONDAY_NOON + 1, 0, clock_valid=False)
    assert credit.cut_wanted


def test_power_lost_while_exhausted_leaves_it_cut_and_tells_nothing_twice() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    again = restarted(credit)
    assert (again.cut_wanted, again.exhausted) == (True, True)
    # The power comes back in the evening: friendly hours lift nothing.
    assert draw(again, at("2026-01-12 20:00"), 0, gap=True) == []
    assert again.cut_wanted


def test_power_lost_on_sunday_while_exhausted_is_still_cut_on_monday() -> None:
    credit = prepaid(10, now_s=SATURDAY_NIGHT)
    draw(credit, SATURDAY_NIGHT, 10)
    again = restarted(credit)
    draw(again, at("2026-01-12 09:00"), 0, gap=True)
    assert again.cut_wanted


# --- Top-ups


def test_a_top_up_counts_and_is_told() -> None:
    credit = prepaid()
    events = credit.enter(token(7, 12_000), MONDAY_NOON)
    assert [(event.code.name, event.detail) for event in events] == [
        ("token_accepted", "12000 Wh, 7")
    ]
    assert (credit.credit_nwh, credit.sequence) == (12_000 * NWH_PER_WH, 7)


def test_a_token_counts_once() -> None:
    credit = prepaid(10_000)
    said = refuse(credit, token(1, 10_000), MONDAY_NOON)
    assert said == "token 1 is spent: the meter has counted token 1"
    assert credit.credit_nwh == 10_000 * NWH_PER_WH


def test_a_token_counts_once_though_the_power_went_in_between() -> None:
    credit = restarted(prepaid(10_000))
    refuse(credit, token(1, 10_000), MONDAY_NOON)
    assert credit.credit_nwh == 10_000 * NWH_PER_WH


def test_credit_and_sequence_are_in_one_state() -> None:
    state = prepaid(10_000, sequence=4).state()
    assert (state["credit_nwh"], state["sequence"]) == (10_000 * NWH_PER_WH, 4)


def test_an_earlier_token_after_a_later_one_is_void() -> None:
    credit = prepaid(10_000, sequence=5)
    refuse(credit, token(4, 10_000), MONDAY_NOON)
    assert credit.credit_nwh == 10_000 * NWH_PER_WH


def test_a_restored_meter_takes_no_token_up_to_the_published_one() -> None:
    credit = prepaid(10_000, sequence=5)
    credit.spent_up_to(9)
    refuse(credit, token(9, 1), MONDAY_NOON)
    credit.enter(token(10, 1), MONDAY_NOON)
    credit.spent_up_to(3)
    assert credit.sequence == 10


@pytest.mark.parametrize("top_up_first", [True, False])
def test_a_top_up_at_the_moment_of_zero_counts_exactly_once(top_up_first: bool) -> None:
    credit = prepaid(10)
    if top_up_first:
        credit.enter(token(2, 100), MONDAY_NOON + 1)
        assert draw(credit, MONDAY_NOON, 10) == []
    else:
        draw(credit, MONDAY_NOON, 10)
        assert credit.cut_wanted
        credit.enter(token(2, 100), MONDAY_NOON + 1)
    # 10 − 10 + 100
    assert credit.credit_nwh == 100 * NWH_PER_WH
    assert (credit.cut_wanted, credit.exhausted) == (False, False)


def test_a_top_up_that_only_pays_what_was_overdrawn_closes_nothing() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 25)
    credit.enter(token(2, 15), MONDAY_NOON + 1)
    assert (credit.credit_nwh, credit.cut_wanted) == (0, True)


def test_zero_is_told_again_after_a_top_up() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    credit.enter(token(2, 1), MONDAY_NOON + 1)
    assert draw(credit, MONDAY_NOON + 1, 1) == ["credit_exhausted"]


def test_a_top_up_above_the_maximum_is_refused_and_stays_good() -> None:
    small = ON.model_copy(update={"maximum_credit_wh": 15_000})
    credit = prepaid(10_000, given_settings=small)
    said = refuse(credit, token(2, 5001), MONDAY_NOON)
    assert said == "the credit would be 15001 Wh; at most 15000 Wh. The token stays good"
    draw(credit, MONDAY_NOON, 1)
    credit.enter(token(2, 5001), MONDAY_NOON + 1)
    assert credit.credit_nwh == 15_000 * NWH_PER_WH


def test_without_a_vending_key_no_token_is_taken() -> None:
    credit = Credit(ON, danish(), TITLE, None)
    credit.advance(OFF_STEP, 0)
    assert "no vending key" in refuse(credit, token(1, 1), MONDAY_NOON)


def test_without_prepayment_no_token_is_used_up() -> None:
    credit = Credit(CreditSettings(), danish(), TITLE, KEY)
    assert "prepayment is off" in refuse(credit, token(1, 1), MONDAY_NOON)
    assert credit.sequence == 0


# --- Tries


def forged(credit: Credit, times: int, now_s: int) -> None:
    for _ in range(times):
        refuse(credit, token(9, 1000, key=bytes(16)), now_s)


def test_after_five_tries_a_sixth_is_not_looked_at_for_an_hour() -> None:
    credit = prepaid()
    forged(credit, 5, MONDAY_NOON)
    said = refuse(credit, token(1, 1000), MONDAY_NOON + 600)
    assert said == "5 tries within an hour; the next is possible in 3000 s"
    refuse(credit, token(1, 1000), MONDAY_NOON + 3599)
    assert credit.credit_nwh == 0
    credit.enter(token(1, 1000), MONDAY_NOON + 3600)
    assert credit.credit_nwh == 1000 * NWH_PER_WH


def test_four_tries_leave_one() -> None:
    credit = prepaid()
    forged(credit, 4, MONDAY_NOON)
    credit.enter(token(1, 1000), MONDAY_NOON)
    assert credit.credit_nwh == 1000 * NWH_PER_WH


def test_tries_are_not_given_back_by_pulling_the_plug() -> None:
    credit = prepaid()
    forged(credit, 5, MONDAY_NOON)
    assert "5 tries" in refuse(restarted(credit), token(1, 1000), MONDAY_NOON + 1)


def test_a_mistyped_token_uses_up_no_try() -> None:
    credit = prepaid()
    mistyped = token(1, 1000)[:-1] + ("0" if token(1, 1000)[-1] != "0" else "1")
    for _ in range(20):
        assert "mistyped" in refuse(credit, mistyped, MONDAY_NOON)
    credit.enter(token(1, 1000), MONDAY_NOON)
    assert credit.credit_nwh == 1000 * NWH_PER_WH


def test_a_spent_token_uses_up_no_try() -> None:
    credit = prepaid(1000)
    for _ in range(20):
        refuse(credit, token(1, 1000), MONDAY_NOON)
    credit.enter(token(2, 1000), MONDAY_NOON)
    assert credit.credit_nwh == 2000 * NWH_PER_WH


def test_the_neighbours_token_uses_up_a_try() -> None:
    credit = prepaid()
    for _ in range(5):
        refuse(credit, make(KEY, b"MTN\x00\x00\x00\x00\x01", 1, 1000), MONDAY_NOON)
    assert "5 tries" in refuse(credit, token(1, 1000), MONDAY_NOON)


def test_a_clock_that_is_set_moves_the_hour_along() -> None:
    credit = prepaid()
    forged(credit, 5, MONDAY_NOON)
    credit.clock_changed(MONDAY_NOON, MONDAY_NOON + 86_400)
    assert "in 3600 s" in refuse(credit, token(1, 1000), MONDAY_NOON + 86_400)


def test_a_clock_that_was_lost_locks_for_an_hour_and_not_for_years() -> None:
    credit = prepaid()
    forged(credit, 5, MONDAY_NOON)
    lost = at("2020-01-01 00:00")
    assert "in 3600 s" in refuse(credit, token(1, 1000), lost)
    credit.enter(token(1, 1000), lost + 3600)
    assert credit.credit_nwh == 1000 * NWH_PER_WH


def test_refusals_are_logged_at_most_once_a_quarter_hour_with_their_count() -> None:
    credit = prepaid(100_000)
    spent = token(1, 100_000)
    entries: list[tuple[int, str]] = []
    for second in range(2000):
        now_s = MONDAY_NOON + second
        refuse(credit, spent, now_s)
        events = credit.advance(step(now_s), 0)
        entries += [(event.time_s - MONDAY_NOON, event.detail) for event in events]
    # The first at once, then all 900 of a quarter-hour together.
    assert entries == [(1, "1 × spent"), (901, "900 × spent"), (1801, "900 × spent")]


def test_what_was_refused_and_not_yet_logged_survives_a_restart() -> None:
    credit = prepaid(100_000)
    forged(credit, 2, MONDAY_NOON)
    events = restarted(credit).advance(step(MONDAY_NOON), 0)
    assert [(event.code.name, event.detail) for event in events] == [
        ("token_refused", "2 × forged")
    ]


# --- Emergency credit


def test_emergency_credit_reconnects_and_is_repaid_first() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    assert names(credit.take_emergency(MONDAY_NOON + 1)) == ["emergency_credit"]
    assert (credit.cut_wanted, credit.credit_nwh) == (False, 5000 * NWH_PER_WH)
    draw(credit, MONDAY_NOON + 1, 5000)
    assert credit.cut_wanted
    credit.enter(token(2, 6000), MONDAY_NOON + 2)
    # 6000 less the 5000 that are owed
    assert (credit.credit_nwh, credit.debt_nwh) == (1000 * NWH_PER_WH, 0)


def test_emergency_credit_is_given_once_until_it_is_repaid() -> None:
    credit = prepaid(10)
    credit.take_emergency(MONDAY_NOON)
    credit.enter(token(2, 4999), MONDAY_NOON)
    with pytest.raises(RefusedError, match="1 Wh are to be repaid first"):
        restarted(credit).take_emergency(MONDAY_NOON + 1)
    credit.enter(token(3, 1), MONDAY_NOON + 1)
    draw(credit, MONDAY_NOON + 1, 5000)
    credit.take_emergency(MONDAY_NOON + 2)
    assert credit.debt_nwh == 5000 * NWH_PER_WH


def test_emergency_credit_is_for_low_credit() -> None:
    credit = prepaid(2001)
    with pytest.raises(RefusedError, match="the credit is above 2000 Wh"):
        credit.take_emergency(MONDAY_NOON)
    assert credit.debt_nwh == 0


def test_emergency_credit_that_would_not_suffice_is_refused() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 5010)
    with pytest.raises(RefusedError, match="5000 Wh were drawn without credit"):
        credit.take_emergency(MONDAY_NOON + 1)
    assert credit.debt_nwh == 0


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        (CreditSettings(), "prepayment is off"),
        (ON.model_copy(update={"emergency_credit_wh": 0}), "gives no emergency credit"),
    ],
)
def test_where_there_is_no_emergency_credit_it_is_refused(
    given_settings: CreditSettings, said: str
) -> None:
    credit = Credit(given_settings, danish(), TITLE, KEY)
    credit.advance(OFF_STEP, 0)
    with pytest.raises(RefusedError, match=said):
        credit.take_emergency(MONDAY_NOON)


# --- Switching off


def test_switching_prepayment_off_resets_the_credit_and_lifts_the_cause() -> None:
    credit = prepaid(10)
    credit.take_emergency(MONDAY_NOON)
    draw(credit, MONDAY_NOON, 5010)
    assert credit.cut_wanted
    events = credit.change(CreditSettings(), MONDAY_NOON + 1)
    assert names(events) == ["prepayment_off"]
    assert (credit.credit_nwh, credit.debt_nwh, credit.cut_wanted) == (0, 0, False)
    assert not credit.exhausted


def test_a_token_that_was_spent_before_prepayment_was_off_stays_spent() -> None:
    credit = prepaid(10_000, sequence=3)
    credit.change(CreditSettings(), MONDAY_NOON)
    assert names(credit.change(ON, MONDAY_NOON + 1)) == ["prepayment_on"]
    refuse(credit, token(3, 10_000), MONDAY_NOON + 2)
    assert credit.credit_nwh == 0


def test_switched_off_while_the_power_was_away_is_told_at_the_first_step() -> None:
    credit = prepaid(10)
    draw(credit, MONDAY_NOON, 10)
    again = restarted(credit, CreditSettings())
    assert draw(again, MONDAY_NOON + 60, 0) == ["prepayment_off"]
    assert not again.cut_wanted


def test_other_parameters_are_no_switching() -> None:
    credit = prepaid(10_000)
    assert credit.change(ON.model_copy(update={"low_credit_wh": 9000}), MONDAY_NOON) == []
    assert draw(credit, MONDAY_NOON, 1000) == ["credit_low"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low_credit_wh": -1}, "an amount of -1 Wh; possible are 0 to 4294967295 Wh"),
        ({"friendly_from_minute": 1440}, "minute 1440 of a day; possible are 0 to 1439"),
        ({"non_working_weekdays": (7,)}, r"weekday 7; possible are 0 \(Monday\) to 6 \(Sunday\)"),
        ({"non_working_days": (date(2026, 1, 1),) * 101}, "101 exception days; at most 100"),
        ({"owed": 1}, "Extra inputs are not permitted"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CreditSettings(**wrong)


def test_parameters_go_through_json_and_back() -> None:
    some = ON.model_copy(update={"non_working_days": (date(2026, 12, 25),)})
    assert CreditSettings.model_validate_json(some.model_dump_json()) == some


# --- Always

actions = st.one_of(
    st.tuples(st.just("draw"), st.integers(0, 10**13)),
    st.tuples(st.just("top_up"), st.integers(1, 20_000)),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("forge"), st.integers(1, 20_000)),
    st.tuples(st.just("emergency"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("off_and_on"), st.just(0)),
)


@settings(max_examples=200)
@given(st.lists(actions, max_size=40))
def test_credit_less_debt_is_what_was_paid_less_what_was_drawn(
    played: list[tuple[str, int]],
) -> None:
    credit = prepaid(now_s=SATURDAY_NIGHT)
    paid = drawn = sequence = 0
    debt = 0
    sold: list[str] = []
    now_s = SATURDAY_NIGHT
    for action, amount in played:
        now_s += 1200  # so that never five tries fall into an hour
        if action == "draw":
            credit.advance(step(now_s - 1), amount)
            drawn += amount
        elif action == "top_up":
            sequence += 1
            sold.append(token(sequence, amount))
            credit.enter(sold[-1], now_s)
            paid += amount * NWH_PER_WH
            debt = max(0, debt - amount * NWH_PER_WH)
        elif action == "again" and amount < len(sold):
            refuse(credit, sold[amount], now_s)
        elif action == "forge":
            refuse(credit, token(sequence + 1, amount, key=bytes(16)), now_s)
        elif action == "emergency":
            left = paid - drawn + debt
            if not debt and left <= 2000 * NWH_PER_WH and left + 5000 * NWH_PER_WH > 0:
                credit.take_emergency(now_s)
                debt = 5000 * NWH_PER_WH
            else:
                with pytest.raises(RefusedError):
                    credit.take_emergency(now_s)
        elif action == "restart":
            credit = restarted(credit)
        elif action == "off_and_on":
            credit.change(CreditSettings(), now_s)
            credit.change(ON, now_s)
            paid = drawn = debt = 0
        assert credit.debt_nwh == debt
        assert credit.credit_nwh - credit.debt_nwh == paid - drawn
        assert credit.sequence == sequence
        if credit.cut_wanted:
            assert credit.exhausted, "cut with credit left"


@given(st.integers(0, 14 * 1440), st.booleans())
def test_nobody_is_ever_newly_cut_outside_working_hours(minute: int, clock_valid: bool) -> None:
    end_s = at("2026-01-05 00:00") + 60 * minute  # a Monday; no change of daylight saving near
    credit = prepaid(now_s=end_s - 1)
    credit.advance(step(end_s - 1, clock_valid=clock_valid), 1)
    of_day, weekday = minute % 1440, minute // 1440 % 7
    works = weekday < 5 and 9 * 60 <= of_day < 18 * 60
    assert credit.cut_wanted is (works and clock_valid)
