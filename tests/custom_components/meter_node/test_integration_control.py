"""Relays and the breaker: what is shown is what the meter said, whatever somebody wished for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from integration_home import THREE_PHASES, AskedMeter, Home, Said

from custom_components.meter_node.asking import AskError
from custom_components.meter_node.channel import axdr, objects, services
from custom_components.meter_node.channel.services import Result
from custom_components.meter_node.control import asker_of
from custom_components.meter_node.verdicts import Reason

COMMAND = objects.RELAY_COMMANDS[2]
ON, OFF, AUTOMATIC = axdr.enum(1), axdr.enum(2), axdr.enum(0)

OPEN: Said = {
    (objects.BREAKER, 2): axdr.boolean(value=False),
    (objects.BREAKER, 3): axdr.enum(2),
    (objects.BREAKER_CAUSES, 2): axdr.visible_string(""),
    (objects.RECONNECTION, 2): axdr.enum(3),
}


async def call(home: Home, domain: str, action: str, key: str, **data: Any) -> None:
    """Call an action of one entity."""
    entity_id = home.entity_id(key, domain)
    assert entity_id is not None
    await home.hass.services.async_call(
        domain, action, {"entity_id": entity_id, **data}, blocking=True
    )


def relays(home: Home) -> list[str | None]:
    return [home.state(f"relay_{number}", "switch") for number in (1, 2)]


def choices(home: Home) -> list[str | None]:
    return [home.state(f"relay_{number}_choice", "select") for number in (1, 2)]


# --- which there are -----------------------------------------------------------------------------


async def test_each_relay_has_a_switch_with_its_state_and_a_choice(
    paired: Home, asked: AskedMeter
) -> None:
    assert relays(paired) == ["on", "off"]
    assert choices(paired) == ["automatic", "on"]
    assert paired.entity_id("relay_1", "binary_sensor") is None


async def test_a_meter_without_relays_has_none_of_them(
    home: Home, asked: AskedMeter, hass: Any
) -> None:
    hass.config_entries.async_update_entry(home.entry, data=asked.entry_data)
    await home.set_up()
    await home.push()
    for key, platform in (
        ("relay_1", "switch"),
        ("relay_1_choice", "select"),
        ("reconnect", "button"),
    ):
        assert home.entity_id(key, platform) is None


async def test_who_has_no_control_keys_sees_the_relays_and_can_not_switch_them(
    home: Home, asked: AskedMeter
) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    assert home.state("relay_1", "binary_sensor") == "on"
    for key, platform in (
        ("relay_1", "switch"),
        ("relay_1_choice", "select"),
        ("reconnect", "button"),
    ):
        assert home.entity_id(key, platform) is None


async def test_with_other_keys_the_entities_are_others_and_none_is_left_over(
    paired: Home, asked: AskedMeter
) -> None:
    def of_relay_1() -> set[str]:
        entries = er.async_entries_for_config_entry(
            er.async_get(paired.hass), paired.entry.entry_id
        )
        return {
            entry.domain
            for entry in entries
            if entry.unique_id.removeprefix(f"{paired.entry.unique_id}_")
            in ("relay_1", "relay_1_choice", "reconnect")
        }

    assert of_relay_1() == {"switch", "select", "button"}
    paired.hass.config_entries.async_update_entry(paired.entry, data=paired.meter.entry_data)
    await paired.restart()
    await paired.push(paired.meter.saying())
    assert of_relay_1() == {"binary_sensor"}
    paired.hass.config_entries.async_update_entry(paired.entry, data=asked.entry_data)
    await paired.restart()
    await paired.push(paired.meter.saying())
    assert of_relay_1() == {"switch", "select", "button"}


@pytest.mark.parametrize("value", [axdr.enum(3), axdr.null_data(), axdr.integer(-1)])
async def test_a_choice_that_a_newer_meter_may_know_is_no_choice(
    paired: Home, value: bytes
) -> None:
    await paired.push(paired.meter.saying({(COMMAND, 2): value}))
    assert choices(paired) == ["automatic", "unknown"]


# --- switching -----------------------------------------------------------------------------------


async def test_a_switch_shows_at_once_what_the_meter_says_it_has_done(
    paired: Home, asked: AskedMeter
) -> None:
    await call(paired, "switch", "turn_on", "relay_2")
    assert (relays(paired)[1], choices(paired)[1]) == ("on", "on")
    await call(paired, "switch", "turn_off", "relay_2")
    assert (relays(paired)[1], choices(paired)[1]) == ("off", "off")
    assert [(one.which, one.number, one.rest) for one in asked.commands()] == [
        (COMMAND, 2, b"\x00" + ON),
        (COMMAND, 2, b"\x00" + OFF),
    ]


async def test_a_select_gives_the_choice_back_to_the_meter(paired: Home, asked: AskedMeter) -> None:
    await call(paired, "select", "select_option", "relay_2_choice", option="automatic")
    assert choices(paired)[1] == "automatic"
    (command,) = asked.commands()
    assert (command.which, command.rest) == (COMMAND, b"\x00" + AUTOMATIC)


async def test_an_option_that_no_relay_has_is_not_sent(paired: Home, asked: AskedMeter) -> None:
    with pytest.raises(ServiceValidationError):
        await call(paired, "select", "select_option", "relay_2_choice", option="maybe")
    assert not asked.received


async def test_a_relay_that_the_utility_holds_stays_off_though_on_was_chosen(
    paired: Home, asked: AskedMeter
) -> None:
    def held(one: Any) -> bytes | Result:
        done = asked.do(one)
        asked.values[objects.RELAYS[2], 2] = axdr.boolean(value=False)
        return done

    asked.serve = held
    await call(paired, "switch", "turn_on", "relay_2")
    assert (relays(paired)[1], choices(paired)[1]) == ("off", "on")


async def test_a_refused_command_leaves_the_switch_as_it_was(
    paired: Home, asked: AskedMeter
) -> None:
    asked.refuses[COMMAND] = Result.OTHER_REASON
    asked.sentence = "the utility does not let the consumer command relay 2"
    with pytest.raises(HomeAssistantError, match="does not let the consumer command relay 2"):
        await call(paired, "switch", "turn_on", "relay_2")
    assert relays(paired) == ["on", "off"]


async def test_without_an_answer_the_switch_stays_as_it_was_until_the_meter_says_how_it_is(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    calling = paired.hass.async_create_task(call(paired, "switch", "turn_on", "relay_2"))
    await until_asked(paired, asked, 1)
    await pass_by(paired, 10.1)
    error = calling.exception()
    assert isinstance(error, AskError)
    assert error.reason is Reason.NO_ANSWER
    assert relays(paired)[1] == "off"
    assert len(asked.commands()) == 1, "never sent twice"
    # behind the caller's back it is read, and the meter answers again
    asked.silent = False
    await pass_by(paired, 10.1)
    await paired.settle()
    assert relays(paired)[1] == "on"
    assert len(asked.commands()) == 1


async def test_a_read_back_that_is_not_answered_leaves_all_to_the_next_push(
    paired: Home, asked: AskedMeter
) -> None:
    asked.refuses[objects.RELAYS[2]] = Result.OBJECT_UNAVAILABLE
    await call(paired, "switch", "turn_on", "relay_2")
    assert relays(paired)[1] == "off"
    await paired.push(asked.push())
    assert relays(paired)[1] == "on"


async def test_what_was_done_and_not_kept_is_told_and_shown(
    paired: Home, asked: AskedMeter
) -> None:
    def not_kept(one: Any) -> bytes | Result:
        done = asked.do(one)
        return done if one.service == services.GET else Result.HARDWARE_FAULT

    asked.serve = not_kept
    with pytest.raises(AskError) as told:
        await call(paired, "switch", "turn_on", "relay_2")
    assert told.value.translation_key == "ask_not_kept"
    await paired.settle()
    assert relays(paired)[1] == "on"


async def test_what_is_gone_can_not_be_switched(paired: Home, asked: AskedMeter) -> None:
    await paired.say("meter_node/node/attic/status", "offline")
    assert relays(paired) == [STATE_UNAVAILABLE] * 2
    assert choices(paired) == [STATE_UNAVAILABLE] * 2


async def until_asked(home: Home, asked: AskedMeter, times: int) -> None:
    for _ in range(50):
        if len(asked.received) >= times:
            return
        await pass_by(home, 0)
    raise AssertionError("it was not asked")


async def pass_by(home: Home, seconds: float) -> None:
    """Let time pass, and what is due begin."""
    home.freezer.tick(seconds)
    for _ in range(30):
        await asyncio.sleep(0)


# --- the breaker ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "breaker", "pressable"),
    [
        (0, False, False),
        (1, False, False),
        (2, False, True),
        (3, False, True),
        (4, False, False),
        (3, True, False),
    ],
)
async def test_reconnecting_is_offered_only_where_it_would_work(
    paired: Home, who: int, breaker: bool, pressable: bool
) -> None:
    said: Said = {
        (objects.BREAKER, 2): axdr.boolean(value=breaker),
        (objects.RECONNECTION, 2): axdr.enum(who),
    }
    await paired.push(paired.meter.saying(OPEN, said))
    assert paired.state("reconnect", "button") == ("unknown" if pressable else STATE_UNAVAILABLE)


async def test_a_reconnected_supply_is_shown_at_once(paired: Home, asked: AskedMeter) -> None:
    def closes(one: Any) -> bytes | Result:
        if one.service == services.ACTION:
            asked.values[objects.BREAKER, 2] = axdr.boolean(value=True)
            asked.values[objects.BREAKER, 3] = axdr.enum(1)
            asked.values[objects.RECONNECTION, 2] = axdr.enum(0)
        return asked.do(one)

    asked.serve = closes
    asked.values |= OPEN
    await paired.push(asked.push())
    assert paired.state("breaker_state") == "ready_for_reconnection"
    await call(paired, "button", "press", "reconnect")
    assert paired.state("breaker_state") == "connected"
    assert paired.state("reconnect", "button") == STATE_UNAVAILABLE
    (command,) = asked.commands()
    assert (command.which, command.number) == (objects.BREAKER, 2)


async def test_a_refused_reconnection_says_why(paired: Home, asked: AskedMeter) -> None:
    asked.refuses[objects.BREAKER] = Result.OTHER_REASON
    asked.sentence = "control mode 5 wants the button on the meter"
    await paired.push(paired.meter.saying(OPEN))
    with pytest.raises(HomeAssistantError, match="wants the button on the meter"):
        await call(paired, "button", "press", "reconnect")
    assert paired.state("breaker_state") == "ready_for_reconnection"


async def test_a_meter_that_is_only_listened_to_is_not_asked(home: Home) -> None:
    await home.set_up()
    with pytest.raises(ServiceValidationError, match="382M 4711 can only be listened to"):
        asker_of(home.coordinator)


async def test_an_older_push_that_comes_late_does_not_overturn_what_the_meter_answered(
    paired: Home, asked: AskedMeter
) -> None:
    late = asked.push()
    paired.freezer.tick(1)
    await call(paired, "switch", "turn_off", "relay_1")
    assert relays(paired)[0] == "off"
    await paired.push(late)
    assert relays(paired)[0] == "off"
    assert paired.state("relay_1_choice", "select") == "off"
    paired.freezer.tick(1)
    asked.values[objects.RELAYS[1], 2] = axdr.boolean(value=True)
    await paired.push(asked.push())
    assert relays(paired)[0] == "on"


async def test_a_clock_that_was_set_back_does_not_hold_an_answer_for_ever(
    paired: Home, asked: AskedMeter
) -> None:
    await call(paired, "switch", "turn_off", "relay_1")
    asked.values[objects.RELAYS[1], 2] = axdr.boolean(value=True)
    paired.freezer.tick(61)
    at = dt_util.utcnow() - timedelta(hours=1)
    await paired.push(paired.meter.seal(paired.meter.body(THREE_PHASES, at, said=asked.values)))
    assert relays(paired)[0] == "on"
