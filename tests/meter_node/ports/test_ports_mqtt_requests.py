"""Consumers' requests through a broker that holds, repeats, reorders, swaps, cuts and mixes them.

The whole meter stands behind the port, with its roles and its numbers; the broker is made up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from meter_node.channel import axdr, hello, objects, services
from meter_node.channel.event_codes import Log
from meter_node.channel.registers import BY_KEY
from meter_node.channel.requests import (
    MAX_RESPONSE_BYTES,
    Request,
    Requester,
    Response,
    UnprovenRefusalError,
)
from meter_node.channel.security import Keys, RefusedError
from meter_node.ciphering import PycryptodomeAead
from meter_node.cosem import credentials
from meter_node.cosem.access import Client
from meter_node.cosem.credentials import Credential
from meter_node.cosem.server import MOST_REFUSALS
from meter_node.meter.parameters import Parameters
from meter_node.meter.relays import RelaySettings
from meter_node.ports import mqtt_requests, requests
from meter_node.ports.mqtt import Listener
from tests.meter_node.cosem.site import CONSUMER, TITLE, Site, Store

METER = hello.topic_title(TITLE)
IMPORT = objects.CosemObject(objects.ClassId.REGISTER, BY_KEY["import_active_energy"].logical_name)
READ = services.get(IMPORT)
ON, OFF, AUTOMATIC = axdr.enum(1), axdr.enum(2), axdr.enum(0)
CHOSEN = objects.RELAY_COMMANDS[1]
RELAY_ON, RELAY_OFF = services.put(CHOSEN, ON), services.put(CHOSEN, OFF)
PARAMETERS = Parameters(relays=(RelaySettings(), RelaySettings(consumer_may_command=False)))


class Broker:
    """What it was given to carry; a test decides what of it goes where."""

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.said: list[tuple[str, bytes]] = []

    def listen(self, topic_filter: str, listener: Listener) -> None:
        assert topic_filter == f"meter_node/{METER}/request/+"
        self.listener = listener

    def say(self, topic: str, payload: bytes) -> None:
        self.said.append((topic, payload))


class House:
    """A meter with its port, and the time that limits go by."""

    def __init__(self, store: Store | None = None) -> None:
        self.site = Site(parameters=PARAMETERS, store=store)
        self.broker = Broker()
        self.now_s = 0.0
        self.settled = 0
        self.busy = False
        self.off_ns = 0
        self.knows_the_time = True
        self.port = requests.Requests(
            METER,
            lambda source: self.site.server.connect(source, MAX_RESPONSE_BYTES),
            lambda: self.site.now_ns + self.off_ns if self.knows_the_time else None,
            self._settled,
            misled=lambda source: self.site._count("decryption_failed", source),
            clock=lambda: self.now_s,
        )
        mqtt_requests.listen(self.broker, METER, self.port)  # type: ignore[arg-type]

    async def _settled(self) -> None:
        self.settled += 1
        if self.busy:
            raise TimeoutError

    @property
    def time(self) -> datetime:
        """The meter's."""
        return datetime.fromtimestamp((self.site.now_ns + self.off_ns) / 1e9, UTC)

    def requester(self, title: bytes = b"HOMEHOME", keys: Keys = CONSUMER) -> Requester:
        return Requester(PycryptodomeAead(), keys, TITLE, title)

    async def deliver(
        self, payload: bytes, title: bytes = b"HOMEHOME", *, retained: bool = False
    ) -> list[bytes]:
        """Hand a message over; return what is answered on that requester's topic."""
        assert self.broker.listener is not None
        before = len(self.broker.said)
        self.broker.listener(hello.request_topic(METER, title.hex()), payload, retained)
        for _ in range(20):
            await asyncio.sleep(0)
        said = self.broker.said[before:]
        assert all(topic == hello.response_topic(METER, title.hex()) for topic, _ in said)
        return [payload for _, payload in said]

    async def ask(self, home: Requester, service: bytes) -> object:
        """Ask as an undisturbed requester does."""
        (answer,) = await self.deliver(home.request(service, self.time).apdu, home.title)
        return home.accept(answer).value()

    @property
    def chosen(self) -> str:
        """What the consumer has chosen for relay 1."""
        return str(self.site.meter.snapshot().relays[0].consumer_command)

    def logged(self) -> list[tuple[int, str]]:
        self.site.commit()
        return self.site.log(Log.COMMUNICATION)


@asynccontextmanager
async def answering(house: House) -> AsyncIterator[House]:
    task = asyncio.create_task(house.port.run())
    try:
        yield house
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with answering(House()) as made:
        yield made


# --- what a consumer may --------------------------------------------------------------------------


async def test_a_consumer_reads_his_register_and_commands_his_relay(house: House) -> None:
    home = house.requester()
    assert await house.ask(home, READ) == house.site.meter.raw("import_active_energy")
    assert await house.ask(home, RELAY_ON) is None
    assert house.chosen == "on"
    assert house.settled == 2, "each answer waits until what it tells of is committed"


FORBIDDEN = services.put(objects.RELAY_COMMANDS[2], ON)


async def test_who_was_refused_is_told_why_and_nobody_else(house: House) -> None:
    home = house.requester()
    with pytest.raises(services.RefusedError):
        await house.ask(home, FORBIDDEN)
    for _ in range(2):
        told = await house.ask(home, services.get(objects.REFUSAL))
        assert told == "the utility does not let the consumer command relay 2"
    stranger = house.requester(b"NEIGHBOR")
    told = await house.ask(stranger, services.get(objects.REFUSAL))
    assert told == ""


async def test_refusals_of_more_titles_than_any_home_has_do_not_pile_up(house: House) -> None:
    titles = [number.to_bytes(8) for number in range(MOST_REFUSALS + 1)]
    homes = {title: house.requester(title) for title in titles}
    for home in homes.values():
        house.now_s += 1
        with pytest.raises(services.RefusedError):
            await house.ask(home, FORBIDDEN)
    told = [
        await house.ask(homes[title], services.get(objects.REFUSAL))
        for title in (titles[0], titles[1], titles[-1])
    ]
    assert [bool(one) for one in told] == [False, True, True]


async def test_a_profile_is_read_by_range(house: House) -> None:
    house.site.run(minutes=120)
    selection = services.between(house.time - timedelta(hours=1), house.time)
    home = house.requester()
    rows = await house.ask(home, services.get(objects.LOAD_PROFILE, 2, selection))
    assert isinstance(rows, (list, tuple))
    assert len(rows) == 4  # quarter-hours


async def test_a_log_is_read_by_entry_numbers(house: House) -> None:
    stranger = house.requester(keys=Keys(b"x" * 16, b"y" * 16))
    await house.deliver(stranger.request(READ, house.time).apdu)
    assert house.logged() == [(49, "mqtt, client 20, 1")]
    which = objects.CosemObject(objects.ClassId.PROFILE_GENERIC, bytes((0, 0, 99, 98, 5, 255)))
    selection = services.entries(which, 1, 1)
    rows = await house.ask(house.requester(), services.get(which, 2, selection))
    assert isinstance(rows, (list, tuple))
    (row,) = rows
    assert 49 in row


async def test_a_consumer_does_not_close_what_the_utility_opened(house: House) -> None:
    house.site.commands.disconnect(who="utility")
    house.site.commit()
    with pytest.raises(services.RefusedError) as refused:
        await house.ask(house.requester(), services.act(objects.BREAKER, 2))
    assert refused.value.result is services.Result.OTHER_REASON


@pytest.mark.parametrize(
    ("service", "result"),
    [
        (services.act(objects.BREAKER, 1), services.Result.READ_WRITE_DENIED),
        (
            services.put(objects.PARAMETERS, axdr.utf8_string("{}")),
            services.Result.READ_WRITE_DENIED,
        ),
        (services.get(objects.PARAMETERS), services.Result.READ_WRITE_DENIED),
        (services.act(objects.ACTIVITY_CALENDAR, 1), services.Result.READ_WRITE_DENIED),
        (services.put(objects.RELAY_UTILITY_COMMANDS[1], ON), services.Result.READ_WRITE_DENIED),
        # where the utility does not allow it
        (services.put(objects.RELAY_COMMANDS[2], ON), services.Result.OTHER_REASON),
        (services.act(objects.RELAYS[2], 2), services.Result.OTHER_REASON),
        (
            services.act(objects.TOKEN_GATEWAY, 1, axdr.octet_string(b"1")),
            services.Result.OTHER_REASON,
        ),
    ],
)
async def test_what_a_consumer_may_not_is_refused_under_the_tag(
    house: House, service: bytes, result: services.Result
) -> None:
    with pytest.raises(services.RefusedError) as refused:
        await house.ask(house.requester(), service)
    assert refused.value.result is result


async def test_the_customers_own_counter_can_be_reset(house: House) -> None:
    which = objects.CosemObject(
        objects.ClassId.REGISTER, BY_KEY["import_active_energy_customer"].logical_name
    )
    home = house.requester()
    house.site.run(minutes=60)
    assert await house.ask(home, services.get(which)) != 0
    await house.ask(home, services.act(which, 1))
    assert await house.ask(home, services.get(which)) == 0


async def test_an_answer_that_is_too_long_says_so(house: House) -> None:
    house.port._connect = lambda source: house.site.server.connect(source, 400)
    with pytest.raises(services.RefusedError) as refused:
        await house.ask(house.requester(), services.get(objects.ASSOCIATION, 2))
    assert refused.value.fault is services.Fault.PDU_TOO_LONG


async def test_an_answer_waits_for_the_commit_and_none_comes_without_it(house: House) -> None:
    home = house.requester()
    house.busy = True
    sent = home.request(RELAY_ON, house.time).apdu
    assert await house.deliver(sent) == []
    house.busy = False
    with pytest.raises(UnprovenRefusalError):  # it was taken: its copy is a replay
        home.accept((await house.deliver(sent))[0])


# --- age ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "taken"), [(9.9, True), (10.1, False), (-9.9, True), (-10.1, False)]
)
async def test_a_request_is_taken_within_ten_seconds_of_the_meters_clock(
    house: House, age_s: float, taken: bool
) -> None:
    home = house.requester()
    sent = home.request(RELAY_ON, house.time - timedelta(seconds=age_s))
    (answer,) = await house.deliver(sent.apdu)
    response = home.accept(answer)
    if taken:
        assert response.value() is None
    else:
        with pytest.raises(services.RefusedError):
            response.value()
    assert house.chosen == ("on" if taken else "automatic")
    assert house.logged() == ([] if taken else [(50, "mqtt, client 20, 1")])


async def test_a_request_that_is_held_for_too_long_is_refused_and_stays_so(house: House) -> None:
    home = house.requester()
    sent = home.request(RELAY_ON, house.time)
    house.off_ns = 10_100_000_000
    (answer,) = await house.deliver(sent.apdu)
    response = home.accept(answer)
    assert response.meter_time is not None
    # the refusal tells the meter's own time, so that the next request is in time
    assert abs(response.meter_time - house.time) < timedelta(seconds=1)
    house.off_ns = 0  # even a clock that is put back does not revive it
    await house.deliver(sent.apdu)
    assert house.chosen == "automatic"


async def test_it_is_the_meters_clock_that_counts_not_the_requesters(house: House) -> None:
    house.off_ns = -86_400 * 10**9  # a day behind
    home = house.requester()
    wrong = home.request(RELAY_ON, house.time + timedelta(days=1))
    with pytest.raises(services.RefusedError):
        home.accept((await house.deliver(wrong.apdu))[0]).value()
    assert await house.ask(home, RELAY_ON) is None


async def test_before_the_meter_knows_the_time_an_old_request_waits_and_is_refused_then(
    house: House,
) -> None:
    home = house.requester()
    held = home.request(RELAY_ON, house.time)
    house.knows_the_time = False  # as after a start: its clock stands where it was switched off
    assert await house.deliver(held.apdu) == []
    house.off_ns = 3600 * 10**9
    house.knows_the_time = True
    await asyncio.sleep(0.3)
    ((_, answer),) = house.broker.said
    with pytest.raises(services.RefusedError):
        home.accept(answer).value()
    assert house.chosen == "automatic"


# --- a hostile broker -----------------------------------------------------------------------------


async def test_a_duplicate_gets_the_same_answer_once_and_acts_once(house: House) -> None:
    home = house.requester()
    sent = home.request(RELAY_ON, house.time).apdu
    first = await house.deliver(sent)
    await house.ask(home, RELAY_OFF)
    assert await house.deliver(sent) == first
    assert await house.deliver(sent) == []
    assert house.chosen == "off", "the duplicate did not switch it on again"
    assert house.logged() == []


async def test_a_copy_that_is_not_quite_the_same_is_a_replay(house: House) -> None:
    home = house.requester()
    sent = home.request(RELAY_ON, house.time).apdu
    await house.deliver(sent)
    await house.ask(home, RELAY_OFF)
    head = sent.index(b"\x01\x00\x00", 40)
    copy = sent[:head] + b"\x00" + sent[head + 3 :]  # names no key: not under the tag
    (answer,) = await house.deliver(copy)
    # in the clear: under the tag it would say of a request that was carried out that it was not
    with pytest.raises(UnprovenRefusalError):
        home.accept(answer)
    assert house.chosen == "off"
    assert house.logged() == [(50, "mqtt, client 20, 1")]


async def test_requests_in_the_wrong_order_are_carried_out_in_theirs_or_not_at_all(
    house: House,
) -> None:
    home = house.requester()
    on, off = (home.request(one, house.time).apdu for one in (RELAY_ON, RELAY_OFF))
    await house.deliver(off)
    await house.deliver(on)
    assert house.chosen == "off", "what was asked first comes too late"


async def test_responses_that_are_swapped_or_of_another_are_not_taken(house: House) -> None:
    home, phone = house.requester(), house.requester(b"PHONE001")
    house.site.security.credentials.add(
        Credential(Client.CONSUMER, "phone", Keys(b"p" * 16, b"q" * 16), pre_established=True)
    )
    phone = house.requester(b"PHONE001", Keys(b"p" * 16, b"q" * 16))
    asked = home.request(READ, house.time)
    (to_home,) = await house.deliver(asked.apdu)
    (to_phone,) = await house.deliver(phone.request(READ, house.time).apdu, b"PHONE001")
    for whose, data in ((home, to_phone), (phone, to_home)):
        with pytest.raises(RefusedError):
            whose.accept(data)
    assert home.accept(to_home).transaction_id == asked.transaction_id


async def test_a_request_on_anothers_topic_is_not_looked_at_and_is_counted(house: House) -> None:
    home = house.requester()
    assert await house.deliver(home.request(RELAY_ON, house.time).apdu, b"SOMEBODY") == []
    assert house.chosen == "automatic"
    assert house.logged() == [(49, "mqtt, 1")]


async def test_a_retained_request_is_none(house: House) -> None:
    sent = house.requester().request(RELAY_ON, house.time).apdu
    assert await house.deliver(sent, retained=True) == []
    assert house.chosen == "automatic"


@pytest.mark.parametrize("size", [0, 2049, 100_000])
async def test_what_is_empty_or_too_long_is_not_looked_at(house: House, size: int) -> None:
    assert await house.deliver(bytes(size)) == []


async def test_a_request_cut_anywhere_or_with_a_flipped_bit_does_nothing(house: House) -> None:
    home = house.requester()
    length = len(home.request(RELAY_ON, house.time).apdu)
    head = 1 + 9 + 9 + 9 + 13 + 1
    for at in range(length):
        if head <= at < head + 3:  # which key it is: not under the tag, and looked at before
            continue
        house.now_s += 10
        sent = home.request(RELAY_ON, house.time).apdu
        assert all(answer[0] == 0xD8 for answer in await house.deliver(sent[:at]))
        bad = bytearray(sent)
        bad[at] ^= 0x10
        assert all(answer[0] == 0xD8 for answer in await house.deliver(bytes(bad)))
    assert house.chosen == "automatic"


async def test_a_request_for_another_meter_is_refused(house: House) -> None:
    stray = Requester(PycryptodomeAead(), CONSUMER, b"MTNOTHER", b"HOMEHOME")
    answers = await house.deliver(stray.request(RELAY_ON, house.time).apdu)
    assert answers == [b"\xd8\x01\x03"]
    assert house.chosen == "automatic"


async def test_a_response_sent_back_as_a_request_does_nothing(house: House) -> None:
    home = house.requester()
    (answer,) = await house.deliver(home.request(READ, house.time).apdu)
    assert await house.deliver(answer, TITLE) == [b"\xd8\x01\x03"]
    assert await house.deliver(answer) == [], "it is the meter's, on another's topic"


async def test_keys_of_nobody_are_refused_and_counted(house: House) -> None:
    stranger = house.requester(keys=Keys(b"x" * 16, b"y" * 16))
    for _ in range(5):
        assert await house.deliver(stranger.request(RELAY_ON, house.time).apdu) == [b"\xd8\x01\x05"]
    assert house.logged() == [(49, "mqtt, client 20, 1")]
    assert house.site.counted == [("decryption_failed", "mqtt, client 20")] * 5


async def test_a_revoked_pairing_is_refused_at_once_and_not_in_silence(house: House) -> None:
    home = house.requester()
    await house.ask(home, READ)
    house.site.security.credentials.remove("home")
    (answer,) = await house.deliver(home.request(RELAY_ON, house.time).apdu)
    with pytest.raises(UnprovenRefusalError) as hint:
        home.accept(answer)
    assert hint.value.fault is services.Fault.DECIPHERING
    assert house.chosen == "automatic"


async def test_only_general_ciphering_is_a_request(house: House) -> None:
    for noise in (READ, RELAY_ON, bytes.fromhex("601da109060760857405080101"), b"\xdb\x08HOMEHOME"):
        assert await house.deliver(noise) == []


async def test_whatever_a_broker_does_each_request_is_carried_out_once_at_the_most(
    house: House,
) -> None:
    """Every message is repeated, held, mixed and damaged at random, by a fixed seed."""
    chance = random.Random(5)
    home = house.requester()
    carried_out: list[str] = []
    act = house.site.commands.command_relay

    def command_relay(number: int, command: str, by: str) -> None:
        carried_out.append(command)
        act(number, command, by)  # type: ignore[arg-type]

    house.site.commands.command_relay = command_relay  # type: ignore[method-assign, assignment]
    held: list[tuple[Request, bytes]] = []
    responses: list[bytes] = []
    believed: dict[bytes, Response] = {}
    wanted = [chance.choice((RELAY_ON, RELAY_OFF)) for _ in range(60)]
    for service in wanted:
        house.now_s += 30
        held.append((home.request(service, house.time), service))
        for _ in range(chance.randrange(4)):
            request, _ = chance.choice(held[-4:])
            payload = bytearray(request.apdu)
            if chance.random() < 0.2:
                payload[chance.randrange(len(payload))] ^= 1 << chance.randrange(8)
            title = b"SOMEBODY" if chance.random() < 0.1 else home.title
            retained = chance.random() < 0.1
            responses += await house.deliver(bytes(payload), title, retained=retained)
        for _ in range(chance.randrange(3)):
            if responses:
                with suppress(RefusedError, UnprovenRefusalError):
                    response = home.accept(chance.choice(responses))
                    assert response.transaction_id not in believed
                    believed[response.transaction_id] = response
    assert len(carried_out) <= len(wanted)
    assert len(believed) > 10, "some got through"
    # Each believed response is to its own request, which was carried out.
    for response in believed.values():
        assert response.value() is None
    assert len(believed) <= len(carried_out)
    # What was carried out is a part of what was wanted, in that order.
    names = ["on" if service == RELAY_ON else "off" for service in wanted]
    left = iter(names)
    assert all(any(one == name for one in left) for name in carried_out)


# --- restart, limits and memory -------------------------------------------------------------------


async def test_after_a_restart_a_duplicate_is_a_replay() -> None:
    store = Store()
    async with answering(House(store)) as house:
        home = house.requester()
        sent = home.request(RELAY_ON, house.time).apdu
        await house.deliver(sent)
        assert house.chosen == "on"
    async with answering(House(store)) as again:
        (answer,) = await again.deliver(sent)
        assert answer[:3] == b"\xd8\x01\x06"
        assert again.chosen == "automatic", "a new meter on the old numbers did not do it again"
        assert again.site.counted == [("replay", "mqtt, client 20")]
        assert await again.ask(home, READ) is not None, "the same requester goes on"


async def test_no_state_that_was_pushed_out_lets_a_replay_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MOST_REMEMBERED", 4)
    home = house.requester()
    sent = home.request(RELAY_ON, house.time).apdu
    await house.deliver(sent)
    await house.ask(home, RELAY_OFF)
    for number in range(requests.MOST_REQUESTERS + 5):
        house.now_s += 10
        await house.ask(house.requester(number.to_bytes(8)), READ)
    assert len(house.site.security.numbers._bounds) <= 4
    assert len(house.port._requesters) == requests.MOST_REQUESTERS
    (answer,) = await house.deliver(sent)
    assert answer[:3] == b"\xd8\x01\x06"
    assert house.chosen == "off"


async def test_a_requester_is_heard_twenty_times_at_once_then_five_times_a_second(
    house: House,
) -> None:
    home = house.requester()

    async def heard(count: int) -> int:
        answers = [await house.deliver(home.request(READ, house.time).apdu) for _ in range(count)]
        return sum(map(len, answers))

    assert await heard(30) == 20
    house.now_s += 1
    assert await heard(30) == 5
    other = house.requester(b"PHONE001")
    assert await house.ask(other, READ) is not None, "who does not flood is heard"


async def test_ever_new_requesters_are_limited_together_and_take_no_memory(house: House) -> None:
    noise = house.requester(keys=Keys(b"x" * 16, b"y" * 16))
    assert house.broker.listener is not None
    answered = 0
    for number in range(1000):
        title = number.to_bytes(8)
        noise.title = title
        answered += len(await house.deliver(noise.request(READ, house.time).apdu, title))
    assert answered == 80
    assert len(house.port._allowances) <= 256
    assert len(house.port._requesters) == 0
    assert len(house.site.store.numbers) < 10


async def test_a_read_that_takes_long_counts_as_several(house: House) -> None:
    connection = house.site.server.connect(mqtt_requests.SOURCE, MAX_RESPONSE_BYTES)
    receive: Callable[..., bytes | None] = connection.receive

    class Slow:
        proven = False

        def receive(self, *given: object) -> bytes | None:
            house.now_s += 0.5
            return receive(*given)

        def closed(self) -> None: ...

    house.port._connect = lambda _: Slow()
    home = house.requester()
    answered = 0
    for _ in range(100):
        answered += len(await house.deliver(home.request(READ, house.time).apdu))
    # 20 at first, each takes 10 and brings 2.5 back in its half second
    assert answered <= 4


async def test_many_who_ask_for_much_leave_three_quarters_of_the_time(house: House) -> None:
    connection = house.site.server.connect(mqtt_requests.SOURCE, MAX_RESPONSE_BYTES)
    receive: Callable[..., bytes | None] = connection.receive

    class Slow:
        proven = False

        def receive(self, *given: object) -> bytes | None:
            house.now_s += 0.05
            return receive(*given)

        def closed(self) -> None: ...

    house.port._connect = lambda _: Slow()
    homes = [house.requester(b"HOME%04d" % number) for number in range(20)]
    began_s, answered = house.now_s, 0
    while house.now_s - began_s < 60:
        for home in homes:
            answered += len(await house.deliver(home.request(READ, house.time).apdu, home.title))
        house.now_s += 0.1
    # a second that was saved before, then a quarter, and the request that goes over it
    assert answered * 0.05 <= 1.0 + 0.25 * (house.now_s - began_s) + 0.05


async def test_an_answer_is_kept_only_for_the_last_few_requests(house: House) -> None:
    home = house.requester()
    sent = []
    for _ in range(requests.MOST_ANSWERS + 1):
        house.now_s += 1
        sent.append(home.request(READ, house.time).apdu)
        await house.deliver(sent[-1])
    assert (await house.deliver(sent[0]))[0][:3] == b"\xd8\x01\x06"
    assert (await house.deliver(sent[-1]))[0][0] == 0xDD
