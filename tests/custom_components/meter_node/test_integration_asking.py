"""Asking the meter over a broker that drops, holds, repeats, swaps and makes up what it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
from integration_home import CONTROL, AskedMeter, Home

from custom_components.meter_node.allowance import AT_ONCE, LONGEST_WAIT_S, Allowance
from custom_components.meter_node.asking import (
    AFTER_HINT_S,
    ANSWER_WITHIN_S,
    Asker,
    AskError,
    Listening,
)
from custom_components.meter_node.channel import apdu, axdr, objects, services
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.hello import response_topic
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.channel.services import Fault, Result
from custom_components.meter_node.verdicts import Reason

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

IS_ON = services.get(objects.RELAYS[1])
RELAY_ON = services.put(objects.RELAY_COMMANDS[1], axdr.enum(1))
REVOKED = bytes((services.EXCEPTION, 1, Fault.DECIPHERING))
COUNTER = bytes((services.EXCEPTION, 1, Fault.INVOCATION_COUNTER, 0, 0, 0, 9))


def asker_of(home: Home) -> Asker:
    asker = home.coordinator.asker
    assert asker is not None
    return asker


def begin(home: Home, service: bytes) -> asyncio.Task[Any]:
    """Ask, and do not wait for the answer."""
    return home.hass.async_create_task(asker_of(home).async_ask(service), eager_start=True)


async def turn_over(home: Home) -> None:
    """Let messages travel, without waiting for who waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def failure(home: Home, asking: asyncio.Task[Any], *seconds: float) -> AskError:
    """Let time pass until it fails."""
    for wait_s in seconds:
        await turn_over(home)
        home.freezer.tick(wait_s + 0.01)
    await turn_over(home)
    assert asking.done()
    error = asking.exception()
    assert isinstance(error, AskError)
    return error


# --- what is asked and answered ------------------------------------------------------------------


async def test_what_is_read_is_the_meters_own_value(paired: Home, asked: AskedMeter) -> None:
    assert await asker_of(paired).async_ask(IS_ON) is True
    assert await asker_of(paired).async_ask(RELAY_ON) is None
    assert [(one.service, one.which) for one in asked.asked] == [
        (services.GET, objects.RELAYS[1]),
        (services.SET, objects.RELAY_COMMANDS[1]),
    ]


async def test_without_control_keys_nothing_is_asked_and_nobody_listens(home: Home) -> None:
    await home.set_up()
    assert home.coordinator.asker is None
    assert not [topic for topic in home.broker.topics if "/response/" in topic]


async def test_each_start_asks_under_another_title(paired: Home, asked: AskedMeter) -> None:
    await asker_of(paired).async_ask(IS_ON)
    await paired.restart()
    await asker_of(paired).async_ask(IS_ON)
    first, second = asked.requesters
    assert first != second


async def test_a_meters_clock_that_is_an_hour_off_is_asked_by_its_own_time(
    paired: Home, asked: AskedMeter
) -> None:
    asked.ahead = timedelta(hours=1)
    late = paired.meter.body({}, dt_util.utcnow() + asked.ahead, said=asked.values)
    await paired.push(paired.meter.seal(late))
    assert await asker_of(paired).async_ask(RELAY_ON) is None
    assert len(asked.received) == 1


async def test_a_command_that_was_too_old_is_sent_once_more_by_the_time_of_its_refusal(
    paired: Home, asked: AskedMeter
) -> None:
    asked.ahead = timedelta(minutes=5)  # its clock was set since the last push
    assert await asker_of(paired).async_ask(RELAY_ON) is None
    assert len(asked.received) == 2
    assert len(asked.commands()) == 1, "what is too old is not even looked at"


async def test_a_broker_that_holds_all_messages_for_too_long_is_told_of(
    paired: Home, asked: AskedMeter
) -> None:
    answer = asked.answer

    def late(payload: bytes, **keys: Any) -> bytes:
        asked.ahead += timedelta(minutes=1)
        return answer(payload, **keys)

    with patch.object(asked, "answer", late), pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(RELAY_ON)
    assert told.value.reason is Reason.OTHER_TIME
    assert not asked.commands()


async def test_a_response_that_does_not_tell_the_time_is_taken(
    paired: Home, asked: AskedMeter
) -> None:
    seal = asked.seal

    def timeless(inside: bytes, request: apdu.GeneralCiphering, keys: Keys, now: datetime) -> bytes:
        with patch.object(CosemDateTime, "to_bytes", return_value=b""):
            return seal(inside, request, keys, now)

    with patch.object(asked, "seal", timeless):
        assert await asker_of(paired).async_ask(IS_ON) is True


async def test_one_request_after_the_other_is_on_its_way(paired: Home, asked: AskedMeter) -> None:
    asked.silent = True
    asking = [begin(paired, IS_ON) for _ in range(3)]
    await turn_over(paired)
    assert len(asked.received) == 1
    for sent in range(1, 4):
        asked.send(asked.answer(asked.received[-1]))
        await turn_over(paired)
        assert len(asked.received) == min(sent + 1, 3)
    assert [one.result() for one in asking] == [True, True, True]


async def test_a_meter_is_asked_less_often_than_it_looks(
    hass: HomeAssistant, asked: AskedMeter, freezer: FrozenDateTimeFactory
) -> None:
    carrier = Direct(asked)
    with patch("custom_components.meter_node.allowance.AT_ONCE", 3.0):
        asker = Asker(hass, carrier, asked.meter.system_title, CONTROL, lambda: None)
        asking = [
            hass.async_create_task(asker.async_ask(IS_ON), eager_start=True) for _ in range(5)
        ]
        for ticked_s, looked_at in ((0, 3), (0.24, 3), (0.02, 4), (0.24, 4), (0.02, 5)):
            freezer.tick(ticked_s)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(asked.received) == looked_at
        assert all(one.done() for one in asking)
    asker.async_close()


@pytest.fixture
def real_allowance() -> Iterator[Allowance]:
    """What the program goes by, which other tests don't wait for."""
    with patch("custom_components.meter_node.allowance.AT_ONCE", AT_ONCE):
        yield Allowance(0.0)


@pytest.mark.parametrize("took_s", [0.0, 0.02, 0.3, 1.0])
def test_a_meter_that_works_long_on_an_answer_drops_no_request(
    real_allowance: Allowance, took_s: float
) -> None:
    """Played against the meter's own allowance: 20 at once, 5 a second, 50 ms of work each."""
    allowance, now_s, left = real_allowance, 0.0, 20.0
    for _ in range(500):
        wait_s = allowance.wait_s(now_s)
        now_s += wait_s
        left = min(20.0, left + wait_s * 5)
        assert left >= 1, "it would have been dropped"
        allowance.asked(now_s)
        left -= max(1.0, took_s / 0.05)
        now_s += took_s
        left = min(20.0, left + took_s * 5)
        allowance.answered(took_s)


def test_a_slow_broker_holds_nobody_back_for_long(real_allowance: Allowance) -> None:
    for _ in range(20):
        real_allowance.asked(0.0)
        real_allowance.answered(9.9)
    assert real_allowance.wait_s(0.0) == LONGEST_WAIT_S


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "key"),
    [
        (Result.READ_WRITE_DENIED, "ask_not_allowed"),
        (Result.OBJECT_UNDEFINED, "ask_not_there"),
        (Result.HARDWARE_FAULT, "ask_not_kept"),
        (Result.OTHER_REASON, "ask_refused"),
        (Result.TEMPORARY_FAILURE, "ask_refused"),
    ],
)
async def test_a_refusal_says_why_and_is_not_asked_again(
    paired: Home, asked: AskedMeter, result: Result, key: str
) -> None:
    asked.refuses[objects.RELAY_COMMANDS[1]] = result
    with pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(RELAY_ON)
    assert (told.value.reason, told.value.result) == (Reason.REFUSED, result)
    assert told.value.translation_key == key
    assert len(asked.commands()) == 1


async def test_a_refusal_in_words_tells_the_words(paired: Home, asked: AskedMeter) -> None:
    asked.refuses[objects.RELAY_COMMANDS[1]] = Result.OTHER_REASON
    asked.sentence = "the utility does not let\nthe consumer command relay 1" + "!" * 300
    with pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(RELAY_ON)
    assert told.value.translation_key == "ask_refused_in_words"
    words = (told.value.translation_placeholders or {})["said"]
    assert words.startswith("the utility does not letthe consumer command relay 1!")
    assert len(words) == 200


@pytest.mark.parametrize("answer", [Result.OBJECT_UNDEFINED, axdr.unsigned(7)])
async def test_a_meter_that_has_no_words_for_it_is_told_of_by_its_result(
    paired: Home, asked: AskedMeter, answer: bytes | Result
) -> None:
    asked.serve = lambda one: answer if one.which == objects.REFUSAL else Result.OTHER_REASON
    with pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(RELAY_ON)
    assert told.value.translation_key == "ask_refused"


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (bytes((services.EXCEPTION, 1, Fault.PDU_TOO_LONG)), Reason.TOO_LONG),
        (bytes((services.EXCEPTION, 1, Fault.OPERATION_NOT_POSSIBLE)), Reason.NOT_NOW),
        (bytes((services.EXCEPTION, 1, Fault.SERVICE_NOT_SUPPORTED)), Reason.NOT_UNDERSTOOD),
        (b"\xc5\x01\xc1\x00", Reason.NOT_UNDERSTOOD),
    ],
)
async def test_an_answer_that_is_none_is_told_of(
    paired: Home, asked: AskedMeter, inside: bytes, reason: Reason
) -> None:
    with patch.object(asked, "_serve", return_value=inside), pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(IS_ON)
    assert told.value.reason is reason
    assert told.value.result is None


async def test_a_request_that_no_meter_takes_is_not_sent(paired: Home, asked: AskedMeter) -> None:
    service = services.put(objects.TOKEN_GATEWAY, axdr.octet_string(bytes(2048)))
    with pytest.raises(AskError) as told:
        await asker_of(paired).async_ask(service)
    assert told.value.reason is Reason.TOO_LONG
    assert not asked.received


# --- no answer -----------------------------------------------------------------------------------


async def test_a_read_without_an_answer_is_asked_once_more(paired: Home, asked: AskedMeter) -> None:
    asked.silent = True
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    asked.silent = False
    paired.freezer.tick(ANSWER_WITHIN_S + 0.01)
    await turn_over(paired)
    assert asking.result() is True
    assert len(asked.received) == 2


async def test_a_read_that_is_never_answered_fails_after_two_tries(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    error = await failure(paired, begin(paired, IS_ON), ANSWER_WITHIN_S, ANSWER_WITHIN_S)
    assert (error.reason, error.translation_key) == (Reason.NO_ANSWER, "ask_no_answer")
    assert len(asked.received) == 2


@pytest.mark.parametrize("service", [RELAY_ON, services.act(objects.BREAKER, 2)])
async def test_a_command_without_an_answer_is_never_sent_again(
    paired: Home, asked: AskedMeter, service: bytes
) -> None:
    asked.silent = True
    error = await failure(paired, begin(paired, service), ANSWER_WITHIN_S)
    assert (error.reason, error.translation_key) == (Reason.NO_ANSWER, "ask_no_answer_to_command")
    assert len(asked.received) == 1


async def test_a_response_that_comes_too_late_is_nothing_to_the_next_request(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    await failure(paired, begin(paired, RELAY_ON), ANSWER_WITHIN_S)
    late = asked.answer(asked.received[0])
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    asked.send(late)
    await turn_over(paired)
    assert not asking.done()
    asked.send(asked.answer(asked.received[-1]))
    await turn_over(paired)
    assert asking.result() is True


async def test_there_is_no_way_while_the_broker_is_gone(paired: Home, asked: AskedMeter) -> None:
    with (
        patch("homeassistant.components.mqtt.is_connected", return_value=False),
        pytest.raises(AskError) as told,
    ):
        await asker_of(paired).async_ask(RELAY_ON)
    assert told.value.reason is Reason.NO_LINK
    assert not asked.received, "it would have been kept, and sent later"


# --- what others send ----------------------------------------------------------------------------


def replayed(asked: AskedMeter, first: bytes) -> bytes:
    return first


def of_other_keys(asked: AskedMeter, first: bytes) -> bytes:
    return asked.answer(asked.received[-1], keys=Keys(bytes(16), bytes(16)))


def of_another_meter(asked: AskedMeter, first: bytes) -> bytes:
    right = asked.answer(asked.received[-1])
    return right.replace(asked.meter.system_title, b"MTN\x01\x00\x00\x47\x12")


def to_another_requester(asked: AskedMeter, first: bytes) -> bytes:
    envelope = apdu.decode_general_ciphering(asked.received[-1])
    other = apdu.GeneralCiphering(
        envelope.transaction_id,
        b"NEIGHBOR",
        envelope.recipient,
        envelope.date_time,
        envelope.security_control,
        envelope.invocation_counter,
        b"",
    )
    return asked.seal(b"\xc4\x01\xc1\x00\x03\x00", other, CONTROL, dt_util.utcnow())


def one_bit_changed(asked: AskedMeter, first: bytes) -> bytes:
    right = asked.answer(asked.received[-1])
    return right[:-20] + bytes((right[-20] ^ 1,)) + right[-19:]


def cut_short(asked: AskedMeter, first: bytes) -> bytes:
    return asked.answer(asked.received[-1])[:-5]


def the_request_itself(asked: AskedMeter, first: bytes) -> bytes:
    return asked.received[-1]


def much_too_long(asked: AskedMeter, first: bytes) -> bytes:
    return b"\xdd" * 300_000


def noise(asked: AskedMeter, first: bytes) -> bytes:
    return b"\xd8\x01"


def another_exception(asked: AskedMeter, first: bytes) -> bytes:
    return bytes((services.EXCEPTION, 1, Fault.OPERATION_NOT_POSSIBLE))


@pytest.mark.parametrize(
    "made_up",
    [
        replayed,
        of_other_keys,
        of_another_meter,
        to_another_requester,
        one_bit_changed,
        cut_short,
        the_request_itself,
        much_too_long,
        noise,
        another_exception,
    ],
)
async def test_what_a_hostile_broker_sends_is_no_answer_and_hinders_none(
    paired: Home,
    asked: AskedMeter,
    made_up: Callable[[AskedMeter, bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await asker_of(paired).async_ask(IS_ON)
    asked.values[objects.RELAYS[1], 2] = axdr.boolean(value=False)
    first = asked.answer(asked.received[0])
    asked.silent = True
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    for _ in range(3):
        asked.send(made_up(asked, first))
    await turn_over(paired)
    assert not asking.done()
    asked.send(asked.answer(asked.received[-1]))
    await turn_over(paired)
    assert asking.result() is False
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_responses_that_were_swapped_are_no_answers(paired: Home, asked: AskedMeter) -> None:
    """A broker holds the first back and gives it to the second, which asks for something else."""
    asked.silent = True
    await failure(paired, begin(paired, RELAY_ON), ANSWER_WITHIN_S)
    held = asked.answer(asked.received[0])
    asking = begin(paired, services.put(objects.RELAY_COMMANDS[1], axdr.enum(2)))
    await turn_over(paired)
    asked.send(held)
    error = await failure(paired, asking, ANSWER_WITHIN_S)
    assert error.reason is Reason.NO_ANSWER


async def test_a_response_that_the_broker_kept_is_none(paired: Home, asked: AskedMeter) -> None:
    asked.silent = True
    asking = begin(paired, RELAY_ON)
    await turn_over(paired)
    topic = response_topic(asked.meter.title, asked.requesters[-1])
    paired.broker.hand_over(topic, asked.answer(asked.received[-1]))
    await turn_over(paired)
    assert not asking.done()
    asked.send(asked.answer(asked.received[-1]))
    await turn_over(paired)
    assert asking.result() is None


async def test_a_response_that_comes_twice_counts_once(paired: Home, asked: AskedMeter) -> None:
    asked.silent = True
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    response = asked.answer(asked.received[-1])
    asked.send(response)
    asked.send(response)
    await turn_over(paired)
    assert asking.result() is True


# --- hints ---------------------------------------------------------------------------------------


async def test_a_hint_of_revocation_is_believed_when_the_meter_says_nothing_else(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    asked.send(REVOKED)
    error = await failure(paired, asking, AFTER_HINT_S)
    assert (error.reason, error.translation_key) == (Reason.REVOKED, "ask_revoked")
    assert len(asked.received) == 1
    assert not paired.reauthentications(), "once may be anybody's doing"


async def test_a_hint_that_is_not_true_ends_no_request(paired: Home, asked: AskedMeter) -> None:
    asked.silent = True
    asking = begin(paired, RELAY_ON)
    await turn_over(paired)
    asked.send(REVOKED)
    await turn_over(paired)
    paired.freezer.tick(AFTER_HINT_S / 2)
    asked.send(asked.answer(asked.received[-1]))
    await turn_over(paired)
    assert asking.result() is None


async def test_a_hint_near_the_end_makes_nobody_wait_longer(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    asking = begin(paired, RELAY_ON)
    await turn_over(paired)
    paired.freezer.tick(ANSWER_WITHIN_S - AFTER_HINT_S / 2)
    asked.send(REVOKED)
    error = await failure(paired, asking, AFTER_HINT_S / 2)
    assert error.reason is Reason.REVOKED


async def test_a_hint_without_a_request_is_passed_over(paired: Home, asked: AskedMeter) -> None:
    await asker_of(paired).async_ask(IS_ON)
    asked.send(REVOKED)
    await turn_over(paired)
    assert await asker_of(paired).async_ask(IS_ON) is True


async def revoked_twice(home: Home, asked: AskedMeter) -> None:
    asked.control = Keys(bytes(16), bytes(16))
    for _ in range(2):
        error = await failure(home, begin(home, RELAY_ON), AFTER_HINT_S)
        assert error.reason is Reason.REVOKED
    await home.settle()


async def test_a_pairing_that_was_revoked_is_asked_for_anew(
    paired: Home, asked: AskedMeter
) -> None:
    await revoked_twice(paired, asked)
    (flow,) = paired.reauthentications()
    assert flow["context"]["entry_id"] == paired.entry.entry_id
    assert paired.coordinator.available, "the push keys are everybody's"


async def test_an_answer_in_between_takes_the_suspicion_away(
    paired: Home, asked: AskedMeter
) -> None:
    for _ in range(3):
        asked.control = Keys(bytes(16), bytes(16))
        await failure(paired, begin(paired, RELAY_ON), AFTER_HINT_S)
        asked.control = CONTROL
        assert await asker_of(paired).async_ask(IS_ON) is True
    await paired.settle()
    assert not paired.reauthentications()


async def test_a_number_that_is_not_new_makes_it_go_on_under_another_title(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    asking = begin(paired, IS_ON)
    await turn_over(paired)
    asked.silent = False
    asked.send(COUNTER)
    await turn_over(paired)
    paired.freezer.tick(AFTER_HINT_S + 0.01)
    await turn_over(paired)
    await paired.settle()
    assert asking.result() is True
    first, second = asked.requesters
    assert first != second
    assert paired.broker.topics >= {response_topic(asked.meter.title, second)}
    assert response_topic(asked.meter.title, first) not in paired.broker.topics


async def test_a_command_whose_number_was_not_new_is_not_repeated(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    asking = begin(paired, RELAY_ON)
    await turn_over(paired)
    asked.send(COUNTER)
    error = await failure(paired, asking, AFTER_HINT_S)
    assert error.reason is Reason.NO_ANSWER
    assert len(asked.received) == 1


# --- the end -------------------------------------------------------------------------------------


async def test_unloading_ends_what_waits_and_leaves_no_subscription(
    paired: Home, asked: AskedMeter
) -> None:
    asked.silent = True
    asking, next_one = begin(paired, RELAY_ON), begin(paired, RELAY_ON)
    await turn_over(paired)
    await paired.hass.config_entries.async_unload(paired.entry.entry_id)
    assert (await failure(paired, asking)).reason is Reason.NO_LINK
    assert (await failure(paired, next_one)).reason is Reason.NO_LINK
    await paired.settle()
    assert len(asked.received) == 1
    assert not [topic for topic in paired.broker.topics if topic.startswith("meter_node/")]


async def test_a_reload_listens_at_one_place_only(paired: Home) -> None:
    for _ in range(3):
        await paired.restart()
    own = [topic for topic in paired.broker.topics if "/response/" in topic]
    assert own == [response_topic(paired.meter.title, asker_of(paired).requester)]


class Direct:
    """Has a meter at its other end, and nothing between."""

    def __init__(self, asked: AskedMeter) -> None:
        self.asked = asked
        self.on_response: Callable[[bytes], None] = lambda _: None

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        self.on_response = on_response
        ready = asyncio.Event()
        ready.set()
        return Listening(lambda: None, ready)

    async def async_send(self, requester: str, request: bytes) -> None:
        self.asked.received.append(request)
        self.on_response(self.asked.answer(request))


class SlowCarrier:
    """Takes its time to listen, and goes on handing on what comes after it was left."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.left = 0
        self.on_response: Callable[[bytes], None] = lambda _: None
        self.sent: list[bytes] = []

    def _leave(self) -> None:
        self.left += 1

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        await self.go_on.wait()
        self.on_response = on_response
        ready = asyncio.Event()
        ready.set()
        return Listening(self._leave, ready)

    async def async_send(self, requester: str, request: bytes) -> None:
        self.sent.append(request)


async def test_who_is_unloaded_while_he_begins_to_listen_leaves_nothing(
    hass: HomeAssistant, asked: AskedMeter
) -> None:
    carrier = SlowCarrier()
    asker = Asker(hass, carrier, asked.meter.system_title, CONTROL, lambda: None)
    starting = hass.async_create_task(asker.async_start(), eager_start=True)
    asker.async_close()
    carrier.go_on.set()
    with pytest.raises(HomeAssistantError):
        await starting
    assert carrier.left == 1


async def test_a_response_after_the_end_is_nobodys(hass: HomeAssistant, asked: AskedMeter) -> None:
    carrier = SlowCarrier()
    carrier.go_on.set()
    asker = Asker(hass, carrier, asked.meter.system_title, CONTROL, lambda: None)
    asking = hass.async_create_task(asker.async_ask(IS_ON), eager_start=True)
    asker.async_close()
    asker.async_close()
    carrier.on_response(asked.answer(carrier.sent[0]))
    with pytest.raises(AskError) as told:
        await asking
    assert told.value.reason is Reason.NO_LINK
