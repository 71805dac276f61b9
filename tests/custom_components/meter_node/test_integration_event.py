"""What the meter's event logs tell in Home Assistant: each entry once, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from integration_home import NOON, THREE_PHASES, Home, Meter, heads_of, logged

from custom_components.meter_node.channel.event_codes import CODES, LOGS, Log
from custom_components.meter_node.channel.reading import LogHead
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.coordinator import NEWS_KEPT
from custom_components.meter_node.event import EVENTS

MINUTE = timedelta(minutes=1)
type Told = list[tuple[str, str, int]]


@pytest.fixture
def told(home: Home) -> Told:
    """What is told from now on: entity, event and entry, in turn."""
    fired: Told = []
    known: set[tuple[str, str]] = set()

    @callback
    def listen(event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        if state is None or state.domain != "event" or state.attributes.get("event_type") is None:
            return
        # A state that comes back after a restart is the same moment once more.
        if (state.entity_id, state.state) not in known:
            known.add((state.entity_id, state.state))
            name = state.entity_id.removeprefix("event.382m_4711_")
            fired.append((name, state.attributes["event_type"], state.attributes["entry"]))

    home.hass.bus.async_listen(EVENT_STATE_CHANGED, listen)
    return fired


async def test_each_kind_of_event_has_its_entity(home: Home, told: Told) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("power_up", 1)))
    await home.push(
        home.meter.telling(
            logged("sag_l2", 4),
            logged("neutral_fault", 2),
            logged("magnet_on", 7),
            logged("local_disconnection", 3),
            logged("credit_low", 1),
            logged("clock_new", 9),
            logged("replay", 5),
        )
    )
    assert sorted(told) == [
        ("clock", "clock_new", 9),
        ("power_quality", "neutral_fault", 2),
        ("power_quality", "sag_l2", 4),
        ("status", "power_up", 1),
        ("status", "replay", 5),
        ("supply", "credit_low", 1),
        ("supply", "local_disconnection", 3),
        ("tampering", "magnet_on", 7),
    ]


async def test_an_event_brings_its_entry_its_time_and_its_detail(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("sag_l1", 4, NOON, "182.4 V, 120 ms")))
    shown = home.shown("power_quality", "event")
    assert shown is not None
    told = {key: shown.attributes[key] for key in ("event_type", "log", "entry", "time", "detail")}
    assert told == {
        "event_type": "sag_l1",
        "log": "power_quality",
        "entry": 4,
        "time": "2026-11-20T12:00:00+00:00",
        "detail": "182.4 V, 120 ms",
    }


async def test_entities_are_there_before_the_first_event(home: Home, told: Told) -> None:
    await home.set_up()
    heads = [LogHead(LOGS[Log.STATUS].logical_name, 3, bytes(32))]
    await home.push(home.meter.telling(heads=heads))
    assert {row.key for row in EVENTS if home.state(row.key, "event") == "unknown"} == {
        "power_quality",
        "tamper",
        "supply",
        "clock",
        "status",
    }
    assert told == []


async def test_a_meter_without_logs_has_no_events(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    assert not any(home.entity_id(row.key, "event") for row in EVENTS)


async def test_a_meter_that_switches_nothing_has_no_events_of_supply(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body(THREE_PHASES, events=[logged("power_up", 1)])))
    assert home.entity_id("supply", "event") is None
    assert home.entity_id("status", "event") is not None


async def test_an_entry_is_told_once_though_it_is_sent_again(home: Home, told: Told) -> None:
    await home.set_up()
    first = logged("magnet_on", 1)
    await home.push(home.meter.telling(first))
    await home.push(home.meter.telling(first))
    await home.push(home.meter.telling(first, logged("magnet_off", 2)))
    assert told == [("tampering", "magnet_on", 1), ("tampering", "magnet_off", 2)]


async def test_logs_count_apart(home: Home, told: Told) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("power_up", 20)))
    await home.push(home.meter.telling(logged("clock_new", 1)))
    assert [entry for _, _, entry in told] == [20, 1]


async def test_going_and_coming_back_tells_nothing_anew(home: Home, told: Told) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("magnet_on", 1)))
    await home.wait(31)
    assert home.state("tamper", "event") == "unavailable"
    await home.push(home.meter.saying())
    assert told == [("tampering", "magnet_on", 1)]


def flipped(meter: Meter, frame: bytes) -> bytes:
    return frame[:40] + bytes((frame[40] ^ 1,)) + frame[41:]


def older(meter: Meter, frame: bytes) -> bytes:
    body = meter.body(THREE_PHASES, events=[logged("magnet_on", 1)])
    return meter.seal(body, counter=meter.counter - 5)


def plain(meter: Meter, frame: bytes) -> bytes:
    return meter.body(THREE_PHASES, events=[logged("magnet_on", 1)])


@pytest.mark.parametrize("damage", [flipped, older, plain])
async def test_a_refused_frame_tells_nothing(
    home: Home, told: Told, damage: Callable[[Meter, bytes], bytes]
) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("power_up", 1)))
    await home.push(damage(home.meter, home.meter.telling(logged("magnet_on", 1))))
    assert told == [("status", "power_up", 1)]
    assert sum(home.coordinator.refused.values()) == 1


async def test_codes_and_logs_of_a_newer_meter_are_passed_over(
    home: Home, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    known = logged("magnet_on", 2)
    free = next(code for code in range(256) if code not in {row.code for row in CODES})
    await home.push(
        home.meter.telling(
            replace(known, entry=1, code=free),
            replace(known, logical_name=bytes((0, 0, 99, 98, 77, 255))),
            replace(known, entry=2, code=logged("power_up", 1).code),  # in the log of frauds
            replace(known, entry=3),
        )
    )
    assert told == [("tampering", "magnet_on", 3)]
    assert "Traceback" not in caplog.text


async def test_any_log_may_be_cleared(home: Home, told: Told) -> None:
    await home.set_up()
    cleared = logged("log_cleared", 8)
    await home.push(
        home.meter.telling(*(replace(cleared, logical_name=LOGS[log].logical_name) for log in Log))
    )
    assert len(told) == len(Log)
    assert {name for name, _, _ in told} == {
        "power_quality",
        "tampering",
        "supply",
        "clock",
        "status",
    }


async def test_a_burst_is_told_whole(home: Home, told: Told) -> None:
    """The most that one push carries."""
    await home.set_up()
    await home.push(
        home.meter.telling(*(logged("sag_l1", entry) for entry in range(1, NEWS_KEPT + 1)))
    )
    assert [entry for _, _, entry in told] == list(range(1, NEWS_KEPT + 1))


def test_each_log_is_told_by_one_entity() -> None:
    assert sorted(log for row in EVENTS for log in row.logs) == sorted(Log)


# --- over a restart ------------------------------------------------------------------------------


async def test_what_was_told_is_not_told_again_after_a_restart(home: Home, told: Told) -> None:
    await home.set_up()
    first = logged("magnet_on", 1)
    await home.push(home.meter.telling(first))
    await home.restart()  # the broker hands the same frame over once more
    await home.push(home.meter.telling(first, logged("magnet_off", 2)))
    assert told == [("tampering", "magnet_on", 1), ("tampering", "magnet_off", 2)]


async def test_the_last_event_is_still_shown_after_a_restart(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("magnet_on", 1)))
    before = home.shown("tamper", "event")
    await home.restart()
    after = home.shown("tamper", "event")
    assert before is not None
    assert after is not None
    assert after.state == before.state
    assert after.attributes["event_type"] == "magnet_on"


async def test_the_numbers_are_on_disk_seconds_after_their_frame(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("magnet_on", 4), logged("power_up", 9)))
    await home.wait(3)
    kept = hass_storage[DOMAIN]["data"][home.meter.title]
    assert kept["entries"] == {"fraud": 4, "status": 9}


async def test_what_was_kept_by_an_earlier_version_is_taken_over(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    kept = hass_storage[DOMAIN]["data"][home.meter.title]
    del kept["entries"]
    await home.restart()
    await home.push(voltage_l1=22_000)
    assert home.state("voltage_l1") == "220.0"


async def test_what_happened_while_away_is_not_told_late_but_remembered(
    home: Home, told: Told
) -> None:
    """Three intervals of 10 s before the start: 31 s ago is missed, 29 s ago is not."""
    long_ago = dt_util.utcnow() - timedelta(seconds=31)
    just_now = dt_util.utcnow() - timedelta(seconds=29)
    missed, seen = logged("magnet_on", 1, long_ago), logged("magnet_off", 2, just_now)
    await home.set_up()
    await home.push(home.meter.telling(missed, seen))
    await home.push(home.meter.telling(missed, seen))
    assert told == [("tampering", "magnet_off", 2)]


async def test_a_kept_frame_of_long_ago_tells_nothing(home: Home, told: Told) -> None:
    home.broker.keep(home.meter.push_topic, home.meter.telling(logged("magnet_on", 1)))
    home.freezer.tick(MINUTE)
    await home.set_up()
    await home.push(home.meter.telling(logged("magnet_on", 1), logged("magnet_off", 2)))
    assert told == [("tampering", "magnet_off", 2)]


async def test_a_kept_frame_of_just_now_tells_what_came_with_it(home: Home, told: Told) -> None:
    home.broker.keep(home.meter.push_topic, home.meter.telling(logged("magnet_on", 1)))
    home.freezer.tick(20)
    await home.set_up()
    assert told == [("tampering", "magnet_on", 1)]


async def test_what_a_meter_tells_late_is_told_to_those_who_were_there(
    home: Home, told: Told
) -> None:
    """Its supply was off for an hour: the entries of then come with the first push after it."""
    await home.set_up()
    await home.push(home.meter.saying())
    off = dt_util.utcnow()
    home.freezer.tick(60 * MINUTE)
    await home.push(home.meter.telling(logged("power_down", 1, off), logged("power_up", 2)))
    assert [event for _, event, _ in told] == ["power_down", "power_up"]


async def test_what_happened_after_the_start_is_told_though_the_meter_speaks_late(
    home: Home, told: Told
) -> None:
    await home.set_up()
    off = dt_util.utcnow()
    home.freezer.tick(60 * MINUTE)
    await home.push(
        home.meter.telling(logged("power_down", 1, off - MINUTE), logged("power_up", 2, off))
    )
    assert [event for _, event, _ in told] == ["power_up"]


@pytest.mark.parametrize("years", [-6, 6])
async def test_a_wrong_clock_hides_no_event(home: Home, told: Told, years: int) -> None:
    """How long ago something happened, the meter's clock tells all the same."""
    by_its_clock = dt_util.utcnow() + timedelta(days=365 * years)
    events = [
        logged("magnet_on", 1, by_its_clock - MINUTE),
        logged("magnet_off", 2, by_its_clock),
    ]
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body({}, by_its_clock, events=events)))
    assert told == [("tampering", "magnet_off", 2)]


async def test_numbers_that_jump_are_followed(home: Home, told: Told) -> None:
    """A restored meter's do, to no less than the seconds since 2026; no lower one comes again."""
    await home.set_up()
    await home.push(home.meter.telling(logged("parameters_changed", 40)))
    await home.push(home.meter.telling(logged("restored", 27_950_400)))
    await home.push(home.meter.telling(logged("parameters_changed", 41)))
    assert [(event, entry) for _, event, entry in told] == [
        ("parameters_changed", 40),
        ("restored", 27_950_400),
    ]


async def test_new_keys_begin_with_numbers_of_their_own(home: Home, told: Told) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("magnet_on", 40)))
    home.meter = Meter(counter=5)
    home.meter.keys = replace(home.meter.keys, encryption=b"\xaa" * 16)
    home.hass.config_entries.async_update_entry(home.entry, data=home.meter.entry_data)
    await home.restart()
    await home.push(home.meter.telling(logged("magnet_on", 1)))
    assert [entry for _, _, entry in told] == [40, 1]


async def test_a_disabled_entity_keeps_nothing_back(home: Home, told: Told) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("power_up", 1)))
    entity_id = home.entity_id("tamper", "event")
    assert entity_id is not None
    er.async_get(home.hass).async_update_entity(
        entity_id, disabled_by=er.RegistryEntryDisabler.USER
    )
    await home.restart()
    await home.push(home.meter.telling(logged("magnet_on", 1), heads=heads_of([])))
    assert told == [("status", "power_up", 1)]
