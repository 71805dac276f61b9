"""Load relays follow tariff, table and commands, and go on after a delay nobody can foresee."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from supply_steps import START_S, Seconds, names, step

from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.refused import RefusedError
from meter_node.meter.relays import PRIORITIES, Relay, RelayDay, RelaySettings, Source
from meter_node.meter.step import Step

COPENHAGEN = LocalTime(ZoneInfo("Europe/Copenhagen"))
LOW, PEAK = 1, 3
LOW_TARIFF: dict[str, Any] = {"own": "tariff", "tariffs": (LOW,)}
SEED = "meter 12345678"


def relay(number: int = 1, seed: str = SEED, **settings: Any) -> Relay:
    return Relay(number, RelaySettings(**settings), seed)


def restarted(one: Relay, seed: str = SEED) -> Relay:
    return Relay(one.number, one.settings, seed, json.loads(json.dumps(one.state())))


def follow(one: Relay, time: Seconds, seconds: int, tariff: int, **what: Any) -> list[Event]:
    def advance(step: Step) -> list[Event]:
        return one.advance(step, tariff, COPENHAGEN)

    return time.through(advance, seconds, **what)


def local_s(text: str) -> int:
    """UTC seconds of a Danish wall-clock time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=COPENHAGEN.zone).timestamp())


def test_it_is_on_in_its_tariffs_and_off_in_the_others() -> None:
    one, time = relay(**LOW_TARIFF), Seconds()
    assert follow(one, time, 10, PEAK) == []
    (event,) = follow(one, time, 10, LOW)
    assert (event.code.name, event.detail) == ("relay_switched", "relay 1 on, tariff")
    assert one.on_wanted
    (event,) = follow(one, time, 10, PEAK)
    assert event.detail == "relay 1 off, tariff"
    assert not one.on_wanted


WEEK = (
    RelayDay(days=(0, 1, 2, 3, 4), changes=((6 * 60, True), (17 * 60, False), (21 * 60, True))),
    RelayDay(days=(5,), changes=((8 * 60 + 1, False),)),
)


@pytest.mark.parametrize(
    ("at", "on"),
    [
        # Sunday has no changes: Saturday's last, off, runs on until Monday 06:00.
        ("2026-03-02T05:59", False),
        ("2026-03-02T06:00", True),
        ("2026-03-02T16:59", True),
        ("2026-03-02T17:00", False),
        ("2026-03-02T20:59", False),
        ("2026-03-02T21:00", True),
        ("2026-03-03T00:00", True),
        # The friday's last, on, runs on until Saturday 08:01.
        ("2026-03-07T08:00", True),
        ("2026-03-07T08:01", False),
        ("2026-03-08T12:00", False),
        # Daylight saving: the wall decides. 29 March 2026 is the Sunday of the change.
        ("2026-03-30T05:59", False),
        ("2026-03-30T06:00", True),
    ],
)
def test_its_own_table_goes_by_the_wall_to_the_minute(at: str, on: bool) -> None:
    one = relay(own="table", table=WEEK)
    one.advance(step(local_s(at)), LOW, COPENHAGEN)
    assert one.on_wanted is on


def test_without_a_valid_clock_it_stays_as_it_is() -> None:
    one = relay(own="table", table=WEEK)
    one.advance(step(local_s("2026-03-02T12:00")), LOW, COPENHAGEN)
    assert one.advance(step(0, clock_valid=False), LOW, COPENHAGEN) == []
    assert one.on_wanted


def test_the_priorities_are_utility_then_consumer_then_its_own() -> None:
    assert [row.source for row in PRIORITIES] == ["utility", "consumer", "own"]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("consumer", ["automatic", "on", "off"])
@pytest.mark.parametrize("utility", ["automatic", "on", "off"])
def test_the_strongest_source_that_commands_decides(utility: Any, consumer: Any, own: bool) -> None:
    one, time = relay(**LOW_TARIFF), Seconds()
    one.command(consumer, START_S, by="consumer")
    one.command(utility, START_S, by="utility")
    follow(one, time, 2, LOW if own else PEAK)
    decided = next((word for word in (utility, consumer) if word != "automatic"), None)
    assert one.on_wanted is (own if decided is None else decided == "on")


def test_a_command_is_logged_with_its_source_and_repeating_it_is_harmless() -> None:
    one = relay()
    told, switched = one.command("on", START_S, by="consumer")
    assert (told.code.name, told.detail) == ("relay_commanded", "relay 1 on, consumer")
    assert switched.detail == "relay 1 on, consumer"
    assert one.command("on", START_S + 1, by="consumer") == []
    assert (one.consumer_command, one.utility_command) == ("on", "automatic")
    assert names(one.command("automatic", START_S + 2, by="consumer")) == [
        "relay_commanded",
        "relay_switched",
    ]


def test_a_consumer_s_command_under_a_utility_s_waits_for_it() -> None:
    one = relay()
    one.command("off", START_S, by="utility")
    assert names(one.command("on", START_S, by="consumer")) == ["relay_commanded"]
    assert not one.on_wanted
    assert one.source is Source.UTILITY
    one.command("automatic", START_S + 1, by="utility")
    assert one.on_wanted


def test_a_consumer_who_may_not_command_is_refused() -> None:
    one = relay(consumer_may_command=False)
    before = one.state()
    with pytest.raises(RefusedError, match="does not let the consumer command relay 1"):
        one.command("on", START_S, by="consumer")
    assert one.state() == before


def test_a_permission_taken_away_ends_the_consumer_s_command() -> None:
    one, time = relay(**LOW_TARIFF), Seconds()
    one.command("on", START_S, by="consumer")
    one.configure(RelaySettings(**LOW_TARIFF, consumer_may_command=False))
    assert names(follow(one, time, 1, PEAK)) == ["relay_switched"]
    assert not one.on_wanted


def test_it_goes_on_when_the_delay_is_over_and_says_when_that_is() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=600), Seconds()
    assert follow(one, time, 1, LOW) == []
    due_s = one.pending_s
    assert due_s is not None
    assert START_S + 1 <= due_s <= START_S + 601
    assert follow(one, time, due_s - time.now_s - 1, LOW) == []
    assert not one.on_wanted
    (event,) = follow(one, time, 1, LOW)
    assert event.time_s == due_s
    assert one.pending_s is None


def test_there_is_no_delay_towards_off() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=10_800), Seconds()
    follow(one, time, 10_802, LOW)
    assert one.on_wanted
    assert names(follow(one, time, 1, PEAK)) == ["relay_switched"]
    assert not one.on_wanted


def test_a_tariff_that_is_over_before_the_delay_switches_nothing() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=10_800), Seconds()
    follow(one, time, 1, LOW)
    assert one.pending_s is not None
    assert follow(one, time, 1, PEAK) == []
    assert one.pending_s is None


def test_a_consumer_s_own_command_waits_for_nothing_and_a_utility_s_does() -> None:
    mine, theirs = relay(delay_s=10_800), relay(delay_s=10_800)
    mine.command("on", START_S, by="consumer")
    assert mine.on_wanted
    theirs.command("on", START_S, by="utility")
    assert not theirs.on_wanted
    assert theirs.pending_s is not None


def drawn_delays(count: int, number: int = 1, seed: str = SEED) -> list[int]:
    """The delays of so many activations."""
    one, delays, now_s = relay(number, seed, **LOW_TARIFF, delay_s=10_800), [], START_S
    for _ in range(count):
        one.advance(step(now_s), LOW, COPENHAGEN)
        delays.append((one.pending_s or now_s + 1) - (now_s + 1))
        one.advance(step(now_s + 1), PEAK, COPENHAGEN)
        now_s += 2
    return delays


def test_the_delay_is_spread_evenly_over_its_whole_range() -> None:
    delays = drawn_delays(2000)
    assert min(delays) >= 0
    assert max(delays) <= 10_800
    # Ten equal classes of 200 expected each: χ² with 9 degrees of freedom is above 27.9 once in a
    # thousand.
    classes = [0] * 10
    for delay in delays:
        classes[delay * 10 // 10_801] += 1
    assert sum((found - 200) ** 2 / 200 for found in classes) < 27.9
    # The mean of 2000 draws: 5400 ± four times 10800/√12/√2000 = 279.
    assert abs(sum(delays) / 2000 - 5400) < 279


def test_the_shortest_and_the_longest_delay_are_possible() -> None:
    one, seen, now_s = relay(**LOW_TARIFF, delay_s=2), set(), START_S
    for _ in range(100):
        one.advance(step(now_s), LOW, COPENHAGEN)
        seen.add(0 if one.on_wanted else (one.pending_s or 0) - now_s - 1)
        one.advance(step(now_s + 1), PEAK, COPENHAGEN)
        now_s += 2
    assert seen == {0, 1, 2}


def test_two_relays_and_two_meters_draw_apart() -> None:
    first, second = drawn_delays(200, 1), drawn_delays(200, 2)
    elsewhere = drawn_delays(200, 1, "meter 12345679")
    for other in (second, elsewhere):
        # Chance makes two of 10 801 equal once in 54 times among 200 pairs.
        assert sum(one == two for one, two in zip(first, other, strict=True)) <= 2


def test_two_relays_are_switched_apart() -> None:
    heater, charger = relay(1), relay(2)
    heater.command("on", START_S, by="consumer")
    assert (heater.on_wanted, charger.on_wanted) == (True, False)


def test_a_restart_in_the_middle_of_a_delay_keeps_its_end() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=10_800), Seconds()
    follow(one, time, 1, LOW)
    due_s = one.pending_s
    assert due_s is not None
    again = restarted(one)
    time.now_s = due_s - 10
    assert follow(again, time, 9, LOW) == []
    assert again.pending_s == due_s
    assert names(follow(again, time, 1, LOW)) == ["relay_switched"]


def test_a_delay_that_ended_while_the_power_was_off_is_over() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=10_800), Seconds()
    follow(one, time, 1, LOW)
    time.now_s += 10_801
    assert names(follow(restarted(one), time, 1, LOW, gap=True)) == ["relay_switched"]


def test_a_restart_does_not_repeat_a_draw() -> None:
    one, now_s, dues = relay(**LOW_TARIFF, delay_s=10_800), START_S, []
    for _ in range(5):
        one = restarted(one)
        one.advance(step(now_s), LOW, COPENHAGEN)
        dues.append((one.pending_s or 0) - now_s)
        one.advance(step(now_s), PEAK, COPENHAGEN)
    assert len(set(dues)) == 5


def test_a_delay_moves_with_the_clock() -> None:
    one, time = relay(**LOW_TARIFF, delay_s=10_800), Seconds()
    follow(one, time, 1, LOW)
    due_s = one.pending_s
    assert due_s is not None
    one.clock_changed(time.now_s, time.now_s - 3600)
    assert one.pending_s == due_s - 3600


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"delay_s": 10_801}, "a delay of 10801 s; possible are 0 to 10800 s"),
        ({"delay_s": -1}, "a delay of -1 s"),
        ({"tariffs": (9,)}, "tariff 9; possible are 1 to 8"),
        ({"table": [{"days": (7,), "changes": ()}]}, "day 7"),
        ({"table": [{"days": (0,), "changes": ((1440, True),)}]}, "0 to 1439"),
        ({"table": [{"days": (0,), "changes": ((5, True), (5, False))}]}, "do not rise"),
        (
            {"table": [{"days": (0,), "changes": tuple((m, True) for m in range(9))}]},
            "9 changes a day; possible are 8",
        ),
        (
            {"table": [{"days": (0, 1), "changes": ()}, {"days": (1,), "changes": ()}]},
            "a day of the week twice",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RelaySettings(**settings)


@given(
    acts=st.lists(
        st.one_of(
            st.tuples(st.just("time"), st.integers(1, 40), st.sampled_from([LOW, PEAK])),
            st.tuples(
                st.sampled_from(["utility", "consumer"]),
                st.sampled_from(["automatic", "on", "off"]),
                st.just(0),
            ),
        ),
        max_size=20,
    ),
    delay_s=st.sampled_from([0, 20]),
)
def test_restarting_anywhere_changes_nothing(
    acts: list[tuple[str, Any, int]], delay_s: int
) -> None:
    straight, broken = relay(**LOW_TARIFF, delay_s=delay_s), relay(**LOW_TARIFF, delay_s=delay_s)
    now_s = START_S
    for who, what, tariff in acts:
        broken = restarted(broken)
        for one in (straight, broken):
            if who == "time":
                follow(one, Seconds(now_s), what, tariff)
            else:
                one.command(what, now_s, by=who)  # type: ignore[arg-type]
        now_s += what if who == "time" else 0
        assert broken.state() == straight.state()
        assert not (straight.on_wanted and straight.pending_s)


def test_monday_is_the_first_day_of_the_table() -> None:
    assert datetime.fromtimestamp(START_S, UTC).weekday() == 0
