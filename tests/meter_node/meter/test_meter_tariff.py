"""Tariff control: the tariff of every step, activations, overrides, and what outlives a cut."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from calendars import calendars, plain_day
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.channel import presets
from meter_node.channel.activity_calendar import ActivityCalendar, DaySchedule, Season, Week
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step
from meter_node.meter.tariff import TariffControl, TariffSettings
from meter_node.metrology.measurement import Measurement

ZONE = ZoneInfo("Europe/Copenhagen")
NOTHING = Measurement(0, 0, None, ())
HOUR_S = 3600
DAY_S = 86_400
DENMARK = presets.load("denmark_n1").calendar


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def local(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def one_day(*switches: tuple[int, int], name: str = "test", tariffs: int = 8) -> ActivityCalendar:
    """A calendar with the same day all year."""
    return ActivityCalendar(
        name,
        tariffs,
        (DaySchedule(1, switches),),
        (Week("all", (1,) * 7),),
        (Season("all", 1, 1, "all"),),
    )


def control(
    calendar: ActivityCalendar = DENMARK, kept: dict[str, Any] | None = None
) -> TariffControl:
    return TariffControl(TariffSettings(calendar=calendar), LocalTime(ZONE), kept)


def step(at_s: int, *, valid: bool = True, gap: bool = False) -> Step:
    return Step(at_s, at_s + 1, NOTHING, clock_valid=valid, gap=gap)


def restarted(before: TariffControl, calendar: ActivityCalendar = DENMARK) -> TariffControl:
    return control(calendar, json.loads(json.dumps(before.state())))


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.code.name, event.detail) for event in events]


NOON = local("2026-01-07 12:00")  # high
EVENING = local("2026-01-07 18:00")  # peak
NIGHT = local("2026-01-08 03:00")  # low


def at(time_s: int, calendar: ActivityCalendar = DENMARK) -> TariffControl:
    running = control(calendar)
    assert running.advance(step(time_s)) == []
    return running


# --- settings ------------------------------------------------------------------------------------


def test_a_meter_has_one_tariff_until_told_otherwise() -> None:
    running = TariffControl(TariffSettings(), LocalTime(ZONE))
    running.advance(step(EVENING))
    assert (running.tariff, running.calendar.tariffs) == (1, 1)


def test_settings_come_back_from_json() -> None:
    kept = TariffSettings(calendar=DENMARK)
    assert TariffSettings.model_validate_json(kept.model_dump_json()) == kept


def test_nine_tariffs_are_refused_as_a_setting() -> None:
    data = DENMARK.to_json() | {"tariffs": 9}
    with pytest.raises(ValidationError, match="9 tariffs; possible are 1 to 8"):
        TariffSettings.model_validate({"calendar": data})


def test_overlapping_seasons_are_refused_as_a_setting() -> None:
    data = DENMARK.to_json()
    data["seasons"][1]["start"] = data["seasons"][0]["start"]
    with pytest.raises(ValidationError, match="overlap: both start on 04-01"):
        TariffSettings.model_validate({"calendar": data})


# --- the calendar --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "tariff"),
    [
        # Winter, UTC+1: peak from 16:00 to 20:00 UTC.
        ("2026-01-07 15:59:59", 2),
        ("2026-01-07 16:00:00", 3),
        ("2026-01-07 19:59:59", 3),
        ("2026-01-07 20:00:00", 2),
        ("2026-01-07 22:59:59", 2),
        ("2026-01-07 23:00:00", 1),
        # Summer, UTC+2: an hour earlier.
        ("2026-07-08 14:59:59", 2),
        ("2026-07-08 15:00:00", 3),
    ],
)
def test_a_step_has_the_tariff_of_the_wall_at_its_start(moment: str, tariff: int) -> None:
    assert at(utc(moment)).tariff == tariff


def test_the_tariff_changes_with_the_first_step_of_its_minute() -> None:
    running = at(local("2026-01-07 16:59:58"))
    seen = []
    for second in range(4):
        running.advance(step(local("2026-01-07 16:59:58") + second))
        seen.append(running.tariff)
    assert seen == [2, 2, 3, 3]


def test_a_switch_within_a_quarter_hour_is_in_time() -> None:
    running = at(local("2026-01-07 13:00"), one_day((0, 1), (787, 2), (788, 3)))  # 13:07, 13:08
    seen = {}
    for second in range(900):
        running.advance(step(local("2026-01-07 13:00") + second))
        seen.setdefault(running.tariff, second)
    assert seen == {1: 0, 2: 7 * 60, 3: 8 * 60}


def test_the_tariff_is_right_after_hours_without_power() -> None:
    running = at(NOON)
    running.advance(step(EVENING, gap=True))
    assert running.tariff == 3


def test_a_clock_set_back_brings_the_earlier_tariff_back() -> None:
    running = at(EVENING)
    running.clock_changed(EVENING, NOON)
    running.advance(step(NOON))
    assert running.tariff == 2


# T2 from 02:30 to 04:00, inside the hours that daylight saving moves.
NIGHT_SWITCHES = one_day((0, 1), (150, 2), (240, 1))


def minutes_of(calendar: ActivityCalendar, day: date) -> Counter[int]:
    running = control(calendar)
    begin = local(f"{day} 00:00")
    end = local(f"{day + timedelta(days=1)} 00:00")
    found: Counter[int] = Counter()
    for now in range(begin, end, 60):
        running.advance(step(now))
        found[running.tariff] += 1
    return found


def test_the_repeated_hour_has_its_tariffs_twice() -> None:
    # 02:30–03:00 twice and 03:00–04:00 once: 30 + 30 + 60 minutes of a day of 25 hours.
    assert minutes_of(NIGHT_SWITCHES, date(2026, 10, 25)) == {2: 120, 1: 25 * 60 - 120}


def test_a_switch_in_the_missing_hour_holds_from_its_end() -> None:
    # 02:00 becomes 03:00: T2 from 03:00 to 04:00, of a day of 23 hours.
    assert minutes_of(NIGHT_SWITCHES, date(2026, 3, 29)) == {2: 60, 1: 23 * 60 - 60}


@settings(max_examples=2)
@given(calendars())
def test_every_minute_of_a_year_has_exactly_one_tariff(calendar: ActivityCalendar) -> None:
    running = control(calendar)
    begin, end = local("2026-01-01 00:00"), local("2027-01-01 00:00")
    zone = LocalTime(ZONE)
    found: Counter[int] = Counter()
    plain: dict[date, list[int]] = {}
    for now in range(begin, end, 60):
        running.advance(step(now))
        found[running.tariff] += 1
        day = zone.day(now)
        if day not in plain:
            plain[day] = plain_day(calendar, day)
        assert running.tariff == plain[day][zone.minute_of_day(now)]
    assert sum(found[tariff] for tariff in range(1, 9)) == 525_600


# --- an invalid clock ----------------------------------------------------------------------------


def test_the_tariff_stays_when_the_clock_becomes_invalid() -> None:
    running = at(EVENING)
    running.advance(step(NIGHT, valid=False))
    assert running.tariff == 3


def test_a_clock_lost_in_a_cut_gives_tariff_1() -> None:
    running = restarted(at(EVENING))
    running.advance(step(EVENING + 60, valid=False, gap=True))
    assert running.tariff == 1


def test_a_new_meter_with_an_invalid_clock_has_tariff_1() -> None:
    running = control(one_day((0, 4)))
    running.advance(step(EVENING, valid=False))
    assert running.tariff == 1


def test_a_restart_while_the_clock_is_invalid_changes_nothing() -> None:
    running = at(EVENING)
    running.advance(step(NIGHT, valid=False))
    again = restarted(running)
    again.advance(step(NIGHT + 60, valid=False, gap=True))
    assert again.tariff == 3


def test_the_calendar_rules_again_once_the_clock_is_set() -> None:
    running = control()
    running.advance(step(EVENING, valid=False))
    running.clock_changed(EVENING, EVENING + 1)
    running.advance(step(EVENING + 1))
    assert running.tariff == 3


def test_a_clock_lost_in_a_cut_ends_an_override() -> None:
    running = at(NOON)
    running.override(1, NOON + HOUR_S, NOON)
    again = restarted(running)
    events = again.advance(step(NOON + 60, valid=False, gap=True))
    assert told(events) == [("tariff_override", "T1, 0 s")]


def test_nothing_is_activated_by_an_invalid_clock() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    assert running.advance(step(EVENING, valid=False)) == []
    assert running.calendar == DENMARK


def test_an_invalid_clock_knows_no_next_change() -> None:
    running = at(NOON)
    running.advance(step(NOON + 1, valid=False))
    assert running.next_change(NOON + 1) is None


def test_an_invalid_clock_keeps_no_tariff_that_an_activated_calendar_lacks() -> None:
    running = at(EVENING)
    running.advance(step(EVENING + 1, valid=False))
    running.upload(one_day((0, 2), tariffs=2).to_json(), None, EVENING + 1)
    running.activate_now(EVENING + 1)
    running.advance(step(EVENING + 2, valid=False))
    assert running.tariff == 1


# --- the passive calendar ------------------------------------------------------------------------

NEW = one_day((0, 4), name="new")


def test_an_upload_changes_nothing_yet() -> None:
    running = at(NOON)
    events = running.upload(NEW.to_json(), EVENING, NOON)
    assert told(events) == [("calendar_programmed", "new, 2026-01-07 17:00:00 UTC")]
    running.advance(step(EVENING - 1))
    assert (running.tariff, running.calendar, running.passive) == (3, DENMARK, NEW)


def test_a_passive_calendar_is_activated_at_its_second() -> None:
    at_s = local("2026-01-07 12:34:56")
    running = at(NOON)
    running.upload(NEW.to_json(), at_s, NOON)
    running.advance(step(at_s - 1))
    assert running.tariff == 2
    assert told(running.advance(step(at_s))) == [("calendar_activated", "new")]
    assert (running.tariff, running.calendar, running.passive) == (4, NEW, None)


def test_a_calendar_whose_date_came_without_power_is_activated_with_the_first_step() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    again = restarted(running)
    events = again.advance(step(NIGHT, gap=True))
    assert [(event.code.name, event.time_s) for event in events] == [("calendar_activated", NIGHT)]
    assert again.tariff == 4


def test_an_activation_asks_for_a_snapshot_of_billing_until_it_is_taken() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    assert not running.billing_due
    running.advance(step(EVENING))
    assert running.billing_due
    assert restarted(running).billing_due
    running.billing_taken()
    assert not running.billing_due


def test_a_calendar_without_a_date_waits_for_the_command() -> None:
    running = at(NOON)
    assert told(running.upload(NEW.to_json(), None, NOON)) == [("calendar_programmed", "new")]
    running.advance(step(NOON + 300 * DAY_S))
    assert running.calendar == DENMARK
    now = NOON + 300 * DAY_S + 1
    assert told(running.activate_now(now)) == [("calendar_activated", "new")]
    running.advance(step(now))
    assert (running.tariff, running.billing_due) == (4, True)


def test_activation_within_the_minute_does_not_wait_for_the_next() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.activate_now(NOON + 5)
    running.advance(step(NOON + 5))
    assert running.tariff == 4


def test_without_a_passive_calendar_nothing_can_be_activated() -> None:
    with pytest.raises(RefusedError, match="there is no passive calendar"):
        at(NOON).activate_now(NOON)


def test_a_second_upload_takes_the_place_of_the_first() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.upload(one_day((0, 5), name="newer").to_json(), NIGHT, NOON)
    assert running.advance(step(EVENING)) == []
    assert told(running.advance(step(NIGHT))) == [("calendar_activated", "newer")]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tariffs": 9}, "9 tariffs; possible are 1 to 8"),
        ({"seasons": "always"}, "seasons: 'always' is no list"),
    ],
)
def test_a_bad_upload_is_refused_whole(change: dict[str, Any], sentence: str) -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    before = running.state()
    with pytest.raises(RefusedError, match=sentence):
        running.upload(NEW.to_json() | change, NIGHT, NOON)
    assert running.state() == before


@pytest.mark.parametrize(
    ("at_s", "sentence"),
    [
        (NOON, "activation 0 s ago"),
        (NOON - 60, "activation 60 s ago"),
        (NOON + 3653 * DAY_S + 1, "at most ten years"),
    ],
)
def test_an_upload_for_an_impossible_date_is_refused_whole(at_s: int, sentence: str) -> None:
    running = at(NOON)
    before = running.state()
    with pytest.raises(RefusedError, match=sentence):
        running.upload(NEW.to_json(), at_s, NOON)
    assert running.state() == before


def test_a_clock_that_is_set_does_not_move_a_date() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.clock_changed(NOON, NOON + 600)
    assert running.activate_at_s == EVENING


# --- overrides -----------------------------------------------------------------------------------


def test_an_override_holds_until_its_second() -> None:
    running = at(NOON)
    assert told(running.override(1, NOON + 90, NOON)) == [("tariff_override", "T1, 90 s")]
    running.advance(step(NOON + 89))
    assert running.tariff == 1
    assert told(running.advance(step(NOON + 90))) == [("tariff_override", "T1, 0 s")]
    assert running.tariff == 2


def test_an_override_holds_at_once() -> None:
    running = at(NOON)
    running.override(3, NOON + 90, NOON)
    assert running.tariff == 3


def test_an_override_outranks_the_calendars_own_changes() -> None:
    running = at(NOON)
    running.override(1, NOON + DAY_S, NOON)
    running.advance(step(EVENING))
    assert running.tariff == 1


def test_an_override_ends_with_the_command() -> None:
    running = at(NOON)
    running.override(1, NOON + DAY_S, NOON)
    assert told(running.end_override(NOON + 60)) == [("tariff_override", "T1, 0 s")]
    running.advance(step(NOON + 60))
    assert running.tariff == 2


def test_ending_no_override_does_nothing() -> None:
    assert at(NOON).end_override(NOON) == []


def test_a_second_override_takes_the_place_of_the_first() -> None:
    running = at(NOON)
    running.override(1, NOON + 60, NOON)
    running.override(3, NOON + 120, NOON)
    running.advance(step(NOON + 60))
    assert running.tariff == 3


def test_an_override_is_over_when_its_end_came_without_power() -> None:
    running = at(NOON)
    running.override(1, NOON + 60, NOON)
    again = restarted(running)
    assert told(again.advance(step(EVENING, gap=True))) == [("tariff_override", "T1, 0 s")]
    assert again.tariff == 3


def test_an_override_goes_on_after_a_short_cut() -> None:
    running = at(NOON)
    running.override(1, NOON + HOUR_S, NOON)
    again = restarted(running)
    again.advance(step(NOON + 60, gap=True))
    assert (again.tariff, again.overridden_until_s) == (1, NOON + HOUR_S)


def test_an_override_keeps_its_time_when_the_clock_is_set() -> None:
    running = at(NOON)
    running.override(1, NOON + HOUR_S, NOON)
    running.clock_changed(NOON + 60, NOON + 660)
    assert running.overridden_until_s == NOON + 600 + HOUR_S


@pytest.mark.parametrize(
    ("tariff", "for_s", "sentence"),
    [
        (0, 60, "tariff 0; the calendar 'Tarifmodel 3.0' has 1 to 3"),
        (4, 60, "tariff 4; the calendar 'Tarifmodel 3.0' has 1 to 3"),
        (1, 0, "an override of 0 s; possible are 1 to 2678400 s"),
        (1, 31 * DAY_S + 1, "an override of 2678401 s; possible are 1 to 2678400 s"),
    ],
)
def test_an_impossible_override_is_refused(tariff: int, for_s: int, sentence: str) -> None:
    running = at(NOON)
    running.override(3, NOON + 60, NOON)
    before = running.state()
    with pytest.raises(RefusedError, match=sentence):
        running.override(tariff, NOON + for_s, NOON)
    assert running.state() == before


def test_an_activated_calendar_ends_an_override_to_a_tariff_that_it_lacks() -> None:
    running = at(NOON)
    running.override(3, NOON + HOUR_S, NOON)
    running.upload(one_day((0, 2), tariffs=2).to_json(), NOON + 60, NOON)
    events = running.advance(step(NOON + 60))
    assert told(events) == [("calendar_activated", "test"), ("tariff_override", "T3, 0 s")]
    assert running.tariff == 2


# --- the next change -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "change", "tariff"),
    [
        ("2026-01-07 12:00", "2026-01-07 17:00", 3),
        ("2026-01-07 22:00", "2026-01-08 00:00", 1),
        # 02:00 becomes 03:00 on 29 March: 06:00 is five hours after midnight.
        ("2026-03-29 00:00", "2026-03-29 06:00", 2),
        ("2026-10-25 00:00", "2026-10-25 06:00", 2),
    ],
)
def test_the_next_change_of_the_calendar(now: str, change: str, tariff: int) -> None:
    assert at(local(now)).next_change(local(now)) == (local(change), tariff)


def test_the_next_change_is_the_end_of_an_override() -> None:
    running = at(NOON)
    running.override(1, NOON + 600, NOON)
    assert running.next_change(NOON) == (NOON + 600, 2)


def test_an_override_to_the_calendars_own_tariff_ends_unseen() -> None:
    running = at(NOON)
    running.override(2, NOON + 600, NOON)
    assert running.next_change(NOON) == (local("2026-01-07 17:00"), 3)


def test_the_next_change_is_an_activation() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), NOON + 600, NOON)
    assert running.next_change(NOON) == (NOON + 600, 4)


def test_a_single_tariff_has_no_next_change() -> None:
    assert at(NOON, one_day((0, 1))).next_change(NOON) is None


def test_an_upload_is_seen_by_whoever_had_asked_before() -> None:
    running = at(NOON, one_day((0, 1)))
    assert running.next_change(NOON) is None
    running.upload(NEW.to_json(), NOON + 600, NOON)
    assert running.next_change(NOON + 1) == (NOON + 600, 4)


@settings(max_examples=25)
@given(
    calendars(),
    st.sampled_from(["2026-03-28 12:00", "2026-10-24 12:00"]),
    st.integers(0, 1439),
    st.none() | st.tuples(st.integers(1, 8), st.integers(1, 1440)),
    st.none() | st.tuples(calendars(), st.integers(1, 2880)),
)
def test_the_next_change_is_what_the_following_steps_do(
    calendar: ActivityCalendar,
    day: str,
    minute: int,
    override: tuple[int, int] | None,
    upload: tuple[ActivityCalendar, int] | None,
) -> None:
    """Across the nights of daylight saving, from minute to minute."""
    now = local(day) + 60 * minute
    running = at(now, calendar)
    if override is not None and override[0] <= calendar.tariffs:
        running.override(override[0], now + 60 * override[1], now)
    if upload is not None:
        running.upload(upload[0].to_json(), now + 60 * upload[1], now)
    change = running.next_change(now)
    begun = running.tariff
    for later in range(now, now + 3 * DAY_S, 60):
        running.advance(step(later))
        if running.tariff != begun:
            assert change == (later, running.tariff)
            return
    assert change is None or change.at_s >= now + 3 * DAY_S


# --- what outlives a power cut -------------------------------------------------------------------


def test_an_activated_calendar_outlives_a_cut() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.advance(step(EVENING))
    assert restarted(running).calendar == NEW


def test_the_settings_in_force_hold_the_activated_calendar() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.advance(step(EVENING))
    assert running.settings == TariffSettings(calendar=NEW)
    assert restarted(running, NEW).calendar == NEW


def test_newer_settings_take_the_place_of_an_activated_calendar() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    running.advance(step(EVENING))
    newest = one_day((0, 7), name="newest")
    assert restarted(running, newest).calendar == newest


def test_a_passive_calendar_outlives_a_cut() -> None:
    running = at(NOON)
    running.upload(NEW.to_json(), EVENING, NOON)
    again = restarted(running)
    assert (again.passive, again.activate_at_s) == (NEW, EVENING)


def test_newer_settings_with_fewer_tariffs_end_an_override() -> None:
    running = at(NOON)
    running.override(3, NOON + HOUR_S, NOON)
    again = restarted(running, one_day((0, 1), tariffs=1))
    again.advance(step(NOON + 1, gap=True))
    assert (again.tariff, again.overridden_until_s) == (1, None)


def test_the_tariff_before_a_cut_is_known_before_the_first_step() -> None:
    assert restarted(at(EVENING)).tariff == 3


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from(["step", "far", "override", "upload", "activate", "invalid", "set"]),
        max_size=25,
    ),
    st.integers(0, 25),
)
def test_a_restart_anywhere_changes_nothing(commands: list[str], cut: int) -> None:
    through, cut_off = control(), control()
    now = NOON
    valid = True
    for number, command in enumerate(commands):
        if number == cut:
            through.advance(step(now, valid=valid))
            cut_off.advance(step(now, valid=valid))
            cut_off = restarted(cut_off)
        seen = []
        for one in (through, cut_off):
            events: list[Event] = []
            if command == "override":
                events = one.override(1, now + 5 * HOUR_S, now)
            elif command == "upload":
                calendar = one_day((0, 2), (60 * (number % 23 + 1), 3), name=f"c{number}")
                events = one.upload(calendar.to_json(), now + 7 * HOUR_S, now)
            elif command == "activate" and one.passive is not None:
                events = one.activate_now(now)
            elif command == "set":
                one.clock_changed(now, now + 900)
            seen.append((events, one.state(), one.tariff, one.next_change(now)))
        assert seen[0] == seen[1]
        now += {"step": 1, "far": 4 * HOUR_S, "set": 900}.get(command, 60)
        valid = command != "invalid"
        events_now = [one.advance(step(now, valid=valid)) for one in (through, cut_off)]
        assert events_now[0] == events_now[1]
