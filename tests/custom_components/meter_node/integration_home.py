"""A broker that keeps what is retained, a meter that seals frames, and a home that hears both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_mqtt_message,
    async_fire_time_changed,
)

from custom_components.meter_node.channel import (
    apdu,
    axdr,
    meter_node_v1,
    registers,
    security,
)
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.hello import Hello, hello_topic, push_topic
from custom_components.meter_node.channel.pairing import Pairing
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.ciphering import AesGcm
from custom_components.meter_node.const import DOMAIN
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


@dataclass
class Broker:
    """Hands live messages on, and what it keeps to whoever subscribes."""

    hass: HomeAssistant
    retained: dict[str, bytes] = field(default_factory=dict)

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
            "0.1.0",
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

    def body(self, values: dict[str, int], at: datetime | None = None) -> bytes:
        """One push before it is sealed."""
        moment = CosemDateTime.at(at or dt_util.utcnow(), UTC)
        states = [
            meter_node_v1.encode_state(1, name, 2, axdr.visible_string(text))
            for name, text in (
                (registers.METER_NUMBER, "98764711"),
                (registers.MODEL, "382M-3"),
                (registers.SOFTWARE, "0.1.0"),
            )
        ]
        return apdu.encode_data_notification(
            0, moment, meter_node_v1.encode(moment, values, states)
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

    def entity_id(self, key: str) -> str | None:
        """Find the entity by the meter's name for the quantity."""
        return er.async_get(self.hass).async_get_entity_id(
            "sensor", DOMAIN, f"{self.entry.unique_id}_{key}"
        )

    def state(self, key: str) -> str | None:
        """What an entity shows; None where there is none."""
        entity_id = self.entity_id(key)
        state = entity_id and self.hass.states.get(entity_id)
        return state.state if state else None

    def states(self) -> dict[str, str]:
        """What all entities show."""
        return {state.entity_id: state.state for state in self.hass.states.async_all("sensor")}

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
