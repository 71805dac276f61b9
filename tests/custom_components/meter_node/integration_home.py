"""A broker that keeps what is retained, a meter that seals frames, and a home that hears both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_mqtt_message,
    async_fire_time_changed,
)

from custom_components.meter_node.channel import (
    alarms,
    apdu,
    axdr,
    meter_node_v1,
    objects,
    registers,
    requests,
    security,
    services,
)
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.event_codes import BY_NAME, LOGS
from custom_components.meter_node.channel.hello import (
    Hello,
    hello_topic,
    push_topic,
    request_topic,
    response_topic,
)
from custom_components.meter_node.channel.objects import CosemObject
from custom_components.meter_node.channel.pairing import Pairing
from custom_components.meter_node.channel.reading import LoggedEvent, LogHead
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.ciphering import AesGcm
from custom_components.meter_node.const import DOMAIN, PLATFORMS
from custom_components.meter_node.coordinator import MeterNodeCoordinator

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

STATUS_TOPIC = "meter_node/node/attic/status"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

# One push of a three-phase meter, in the table's scalers: Wh, 0.1 W, 0.01 V, mA, thousandths.
THREE_PHASES = {
    "import_active_energy": 12_345_678,
    "export_active_energy": 4_321,
    "import_reactive_energy": 77,
    "import_active_energy_l1": 4_000_000,
    "import_active_power": 15_004,
    "export_active_power": 0,
    "import_active_power_l1": 5_004,
    "export_active_power_l1": 0,
    "import_reactive_power": 120,
    "apparent_power": 15_010,
    "voltage_l1": 23_012,
    "voltage_l2": 22_987,
    "voltage_l3": 23_100,
    "current_l1": 2_180,
    "power_factor": 998,
    "power_factor_l1": 997,
    "frequency": 50_012,
}

type Said = Mapping[tuple[CosemObject, int], bytes]

# What a prepaid meter with breaker and two relays says beside its registers, while all is well.
ALL_IS_WELL: Said = {
    (objects.ACTIVE_TARIFF, 2): axdr.unsigned(2),
    (objects.STATUS_WORD, 2): axdr.visible_string("0000000"),
    (objects.ALARMS, 2): axdr.double_long_unsigned(0),
    (objects.BREAKER, 2): axdr.boolean(value=True),
    (objects.BREAKER, 3): axdr.enum(1),
    (objects.BREAKER, 4): axdr.enum(5),
    (objects.BREAKER_CAUSES, 2): axdr.visible_string(""),
    (objects.RECONNECTION, 2): axdr.enum(0),
    (objects.CREDIT, 2): axdr.double_long(123_456),
    (objects.LIMITER, 2): axdr.structure(
        axdr.long_unsigned(3), axdr.octet_string(objects.MONITORED_POWER), axdr.integer(2)
    ),
    (objects.LIMITER, 3): axdr.double_long_unsigned(9000),
    (objects.RELAYS[1], 2): axdr.boolean(value=True),
    (objects.RELAY_PENDING[1], 2): axdr.null_data(),
    (objects.RELAY_COMMANDS[1], 2): axdr.enum(0),
    (objects.RELAYS[2], 2): axdr.boolean(value=False),
    (objects.RELAY_PENDING[2], 2): axdr.double_long_unsigned(1_795_176_900),
    (objects.RELAY_COMMANDS[2], 2): axdr.enum(1),
}


def alarm(*names: str) -> Said:
    """The alarm register while these hold."""
    return {(objects.ALARMS, 2): axdr.double_long_unsigned(alarms.register(names))}


def logged(name: str, entry: int, at: datetime | None = None, detail: str = "") -> LoggedEvent:
    """An entry of the log to which an event belongs, of now or of then."""
    row = BY_NAME[name]
    moment = CosemDateTime.at(at or dt_util.utcnow(), UTC)
    return LoggedEvent(LOGS[row.log].logical_name, entry, moment, row.code, detail)


def heads_of(events: Sequence[LoggedEvent]) -> list[LogHead]:
    """Where the logs stand in which these are the last entries."""
    last = {event.logical_name: event.entry for event in events}
    return [LogHead(name, entry, bytes(32)) for name, entry in last.items()]


@dataclass
class Broker:
    """Hands live messages on, and what it keeps to whoever subscribes."""

    hass: HomeAssistant
    retained: dict[str, bytes] = field(default_factory=dict)
    topics: set[str] = field(default_factory=set)
    """What Home Assistant is subscribed to."""
    listeners: list[Callable[[str, bytes], None]] = field(default_factory=list)
    """Who else is connected, and hears what Home Assistant sends."""

    def published(self, topic: str, payload: bytes | str, qos: int, retain: bool) -> None:
        """Hand on what Home Assistant has sent."""
        if isinstance(payload, bytes):
            assert (qos, retain) == (1, False), topic
            for listener in self.listeners:
                listener(topic, payload)

    def keep(self, topic: str, payload: bytes | str) -> None:
        """Have a message kept from before Home Assistant was there."""
        self.retained[topic] = payload.encode() if isinstance(payload, str) else payload

    def send(self, topic: str, payload: bytes | str, *, keep: bool = True) -> None:
        """Send a message to all that listen now."""
        if keep:
            self.keep(topic, payload)
        async_fire_mqtt_message(self.hass, topic, payload, qos=1)

    def subscribed(self, topics: str | list[tuple[str, int]]) -> None:
        """Hand over what is kept, as a broker does after each SUBSCRIBE."""
        wanted = [topics] if isinstance(topics, str) else [topic for topic, _ in topics]
        self.topics.update(wanted)
        for topic, payload in self.retained.items():
            head, _, tail = topic.partition("/")
            any_meter = f"{head}/+/{tail.partition('/')[2]}"
            if topic in wanted or any_meter in wanted:
                self.hass.loop.call_soon(self.hand_over, topic, payload)

    def hand_over(self, topic: str, payload: bytes) -> None:
        """Send what is kept, marked as such."""
        async_fire_mqtt_message(self.hass, topic, payload, qos=1, retain=True)


@dataclass
class Meter:
    """A meter of our own: its keys, and frames sealed by them."""

    system_title: bytes = b"MTN\x01\x00\x00\x47\x11"
    keys: Keys = field(default_factory=lambda: Keys(bytes(range(16)), bytes(range(16, 32))))
    push_interval: int = 10
    model: str = "382M"
    software: str = "0.1.0"
    counter: int = 1000

    @property
    def title(self) -> str:
        """As topics hold it."""
        return self.system_title.hex()

    @property
    def hello_topic(self) -> str:
        return hello_topic(self.title)

    @property
    def push_topic(self) -> str:
        return push_topic(self.title)

    def hello(self, **changes: Any) -> str:
        """What the meter says of itself."""
        said = Hello(
            meter_node_v1.LIST_NAME,
            self.title,
            self.model,
            self.software,
            self.push_interval,
            STATUS_TOPIC,
        )
        return replace(said, **changes).to_json()

    @property
    def pairing_text(self) -> str:
        return Pairing(self.system_title, self.keys).to_text()

    @property
    def entry_data(self) -> dict[str, str]:
        return {
            "system_title": self.title,
            "encryption_key": self.keys.encryption.hex(),
            "authentication_key": self.keys.authentication.hex(),
        }

    def body(
        self,
        values: dict[str, int],
        at: datetime | None = None,
        *,
        said: Said | None = None,
        events: Sequence[LoggedEvent] = (),
        heads: Sequence[LogHead] | None = None,
    ) -> bytes:
        """One push before it is sealed: registers, states by object and attribute, log entries."""
        moment = CosemDateTime.at(at or dt_util.utcnow(), UTC)
        states = [
            meter_node_v1.encode_state(1, name, 2, axdr.visible_string(text))
            for name, text in (
                (registers.METER_NUMBER, "98764711"),
                (registers.MODEL, "382M-3"),
                (registers.SOFTWARE, self.software),
            )
        ]
        states += [
            meter_node_v1.encode_state(which.class_id, which.logical_name, attribute, value)
            for (which, attribute), value in (said or {}).items()
        ]
        heads = heads_of(events) if heads is None else heads
        return apdu.encode_data_notification(
            0, moment, meter_node_v1.encode(moment, values, states, heads, events)
        )

    def seal(
        self, plaintext: bytes, *, counter: int | None = None, keys: Keys | None = None
    ) -> bytes:
        """Cipher a plaintext under the next counter, or under a given one."""
        if counter is None:
            self.counter += 1
            counter = self.counter
        envelope = security.seal(AesGcm(), keys or self.keys, self.system_title, counter, plaintext)
        return apdu.encode_general_glo_ciphering(envelope)

    def push(self, *, counter: int | None = None, **values: int) -> bytes:
        """One sealed push: a three-phase meter's, with some values of one's own."""
        return self.seal(self.body(THREE_PHASES | values), counter=counter)

    def saying(self, *said: Said) -> bytes:
        """One sealed push with all that is well, but for what is said."""
        together = dict(ALL_IS_WELL)
        for states in said:
            together |= states
        return self.seal(self.body(THREE_PHASES, said=together))

    def telling(self, *events: LoggedEvent, heads: Sequence[LogHead] | None = None) -> bytes:
        """One sealed push with new log entries."""
        return self.seal(self.body(THREE_PHASES, said=ALL_IS_WELL, events=events, heads=heads))


CONTROL = Keys(bytes(range(32, 48)), bytes(range(48, 64)))
PAIRING_NAME = "home-assistant"


@dataclass(frozen=True)
class Asked:
    """One service as the meter understood it."""

    service: int
    which: CosemObject
    number: int
    rest: bytes

    @classmethod
    def of(cls, plaintext: bytes) -> Asked:
        which = CosemObject(objects.ClassId(int.from_bytes(plaintext[3:5])), bytes(plaintext[5:11]))
        return cls(plaintext[0], which, plaintext[11], plaintext[12:])


type Serve = Callable[[Asked], bytes | services.Result]


@dataclass
class AskedMeter:
    """The meter's other side: it opens requests, and seals what ``serve`` answers to them."""

    meter: Meter
    broker: Broker
    control: Keys = CONTROL
    silent: bool = False
    asked: list[Asked] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    requesters: list[str] = field(default_factory=list)
    values: dict[tuple[CosemObject, int], bytes] = field(default_factory=lambda: dict(ALL_IS_WELL))
    refuses: dict[CosemObject, services.Result] = field(default_factory=dict)
    sentence: str = ""
    ahead: timedelta = timedelta(0)
    """What its clock is ahead of Home Assistant's."""
    number: int = 0
    serve: Serve | None = None

    @property
    def entry_data(self) -> dict[str, str]:
        return self.meter.entry_data | {
            "control_encryption_key": self.control.encryption.hex(),
            "control_authentication_key": self.control.authentication.hex(),
            "pairing_name": PAIRING_NAME,
        }

    @property
    def pairing_text(self) -> str:
        meter = self.meter
        return Pairing(meter.system_title, meter.keys, self.control, PAIRING_NAME).to_text()

    def take(self, topic: str, payload: bytes) -> None:
        """Take what was sent, and answer it at once."""
        requester = topic.rpartition("/")[2]
        if topic != request_topic(self.meter.title, requester):
            return
        self.received.append(payload)
        self.requesters.append(requester)
        answer = self.answer(payload)
        if not self.silent:
            self.send(answer)

    def send(self, payload: bytes, requester: str | None = None) -> None:
        """Send a response to who asked last, or to another."""
        topic = response_topic(self.meter.title, requester or self.requesters[-1])
        self.broker.send(topic, payload, keep=False)

    def answer(self, payload: bytes, *, keys: Keys | None = None) -> bytes:
        """Answer one request as the meter would."""
        envelope = apdu.decode_general_ciphering(payload)
        try:
            plaintext = requests.unseal(AesGcm(), self.control, envelope)
        except security.InvalidTagError:
            return bytes((services.EXCEPTION, 1, services.Fault.DECIPHERING))
        now = dt_util.utcnow() + self.ahead
        sent = CosemDateTime.from_bytes(envelope.date_time).utc()
        if abs(now - sent) > timedelta(seconds=requests.LONGEST_AGE_S):
            inside = bytes((services.EXCEPTION, 1, services.Fault.OTHER))
        else:
            inside = self._serve(Asked.of(plaintext))
        return self.seal(inside, envelope, keys or self.control, now)

    def seal(
        self, inside: bytes, request: apdu.GeneralCiphering, keys: Keys, now: datetime
    ) -> bytes:
        """Cipher an answer to a request."""
        self.number += 1
        answer = replace(
            request,
            originator=self.meter.system_title,
            recipient=request.originator,
            date_time=CosemDateTime.at(now, UTC).to_bytes(),
            invocation_counter=self.number,
        )
        return requests.seal(AesGcm(), keys, answer, inside)

    def _serve(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        given = self.refuses.get(asked.which)
        if given is None:
            given = (self.serve or self.do)(asked)
        if asked.service == services.GET:
            head = b"\xc4\x01\xc1"
            if isinstance(given, services.Result):
                return head + bytes((1, given))
            return head + b"\x00" + given
        result = given if isinstance(given, services.Result) else 0
        if asked.service == services.SET:
            return b"\xc5\x01\xc1" + bytes((result,))
        return b"\xc7\x01\xc1" + bytes((result, 0))

    def do(self, asked: Asked) -> bytes | services.Result:
        """Read and write plain values; a relay follows what the consumer chooses."""
        if asked.which == objects.REFUSAL:
            return axdr.utf8_string(self.sentence)
        if asked.which == objects.PUSH_INTERVAL:
            return axdr.double_long_unsigned(self.meter.push_interval)
        place = (asked.which, asked.number)
        if asked.service == services.GET:
            return self.values.get(place, services.Result.OBJECT_UNDEFINED)
        if asked.service == services.SET:
            value = asked.rest[1:]
            self.values[place] = value
            for number, commands in objects.RELAY_COMMANDS.items():
                if asked.which == commands:
                    self.values[objects.RELAYS[number], 2] = axdr.boolean(value == axdr.enum(1))
        return b""

    def commands(self) -> list[Asked]:
        """What it was asked to change."""
        return [one for one in self.asked if one.service != services.GET]

    def push(self) -> bytes:
        """One sealed push of how its values stand now."""
        return self.meter.saying(self.values)


@dataclass
class Home:
    """Home Assistant with one meter set up, and the broker that the meter speaks through."""

    hass: HomeAssistant
    broker: Broker
    meter: Meter
    entry: MockConfigEntry
    freezer: FrozenDateTimeFactory

    @property
    def coordinator(self) -> MeterNodeCoordinator:
        coordinator: MeterNodeCoordinator = self.entry.runtime_data
        return coordinator

    async def set_up(self) -> None:
        """Load the entry and let it hear what the broker keeps."""
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.settle()

    async def settle(self) -> None:
        """Let all that is due happen."""
        for _ in range(5):  # subscribing, its acknowledgement, what is kept, what follows from it
            self.freezer.tick(0.001)
            await asyncio.sleep(0)
            await self.hass.async_block_till_done()

    async def restart(self) -> None:
        """Load the entry anew, as after a restart."""
        assert await self.hass.config_entries.async_reload(self.entry.entry_id)
        await self.settle()

    async def push(self, payload: bytes | None = None, **values: int) -> None:
        """Send a push and let it arrive."""
        self.broker.send(self.meter.push_topic, payload or self.meter.push(**values))
        await self.settle()

    async def say(self, topic: str, payload: str) -> None:
        """Send a text and let it arrive."""
        self.broker.send(topic, payload)
        await self.settle()

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.freezer.tick(timedelta(seconds=seconds))
        async_fire_time_changed(self.hass)
        await self.hass.async_block_till_done()

    def entity_id(self, key: str, platform: str = "sensor") -> str | None:
        """Find the entity by the meter's name for the quantity."""
        return er.async_get(self.hass).async_get_entity_id(
            platform, DOMAIN, f"{self.entry.unique_id}_{key}"
        )

    def shown(self, key: str, platform: str = "sensor") -> State | None:
        """What an entity shows, with its attributes; None where there is none."""
        entity_id = self.entity_id(key, platform)
        return self.hass.states.get(entity_id) if entity_id else None

    def state(self, key: str, platform: str = "sensor") -> str | None:
        """What an entity shows; None where there is none."""
        state = self.shown(key, platform)
        return state.state if state else None

    def states(self) -> dict[str, str]:
        """What all entities show."""
        return {state.entity_id: state.state for state in self.hass.states.async_all(PLATFORMS)}

    def disabled(self) -> set[str]:
        """The keys of the entities that wait until somebody wants them."""
        return {
            entity.unique_id.removeprefix(f"{self.entry.unique_id}_")
            for entity in er.async_entries_for_config_entry(
                er.async_get(self.hass), self.entry.entry_id
            )
            if entity.disabled_by is er.RegistryEntryDisabler.INTEGRATION
        }

    @property
    def device(self) -> dr.DeviceEntry:
        device = dr.async_get(self.hass).async_get_device_by_identifier(
            (DOMAIN, str(self.entry.unique_id)), self.entry.entry_id
        )
        assert device is not None
        return device

    def reauthentications(self) -> list[Any]:
        """The flows that ask for new keys."""
        return [
            flow
            for flow in self.hass.config_entries.flow.async_progress()
            if flow["context"]["source"] == "reauth"
        ]


@dataclass(frozen=True)
class RealFrame:
    """A capture of a real meter, with what it must mean."""

    payload: bytes
    keys: Keys | None
    title: str
    expected: dict[str, Any]
