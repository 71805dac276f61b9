"""A home with a broker and a meter, ready for a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from homeassistant.core import HomeAssistant
from integration_home import NOON, STATUS_TOPIC, AskedMeter, Broker, Home, Meter, RealFrame
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.channel import kamstrup_v0001
from custom_components.meter_node.channel.hello import Hello
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.const import DOMAIN

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

REAL_FRAMES = Path(__file__).parents[2] / "fixtures" / "real_frames.json"


@pytest.fixture(autouse=True)
def _custom_integrations(enable_custom_integrations: None) -> None:
    """Let Home Assistant see this project's integration."""


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Take the pauses out in which Home Assistant gathers subscriptions, and shorten our own."""
    client = "homeassistant.components.mqtt.client"
    ours = "custom_components.meter_node"
    with (
        patch(f"{client}.INITIAL_SUBSCRIBE_COOLDOWN", 0),
        patch(f"{client}.SUBSCRIBE_COOLDOWN", 0),
        patch(f"{client}.UNSUBSCRIBE_COOLDOWN", 0),
        patch(f"{client}.DISCOVERY_COOLDOWN", 0),
        patch(f"{client}.MQTT._async_start_misc_periodic"),  # paho's keep-alive: nothing to keep
        patch(f"{ours}.config_flow.HEAR_S", 0.1),
        patch(f"{ours}.proof.INTERVALS", 0.02),
        patch(f"{ours}.allowance.AT_ONCE", 1000),
        patch(f"{ours}.proof.AT_LEAST_S", 0.2),
        patch(f"{ours}.proof.ANSWER_S", 0.5),
    ):
        yield


@pytest.fixture
def mqtt_config_entry_options() -> dict[str, Any]:
    """Leave Home Assistant's search for other makers' devices out, which takes its time."""
    return {"birth_message": {}, "discovery": False}


@pytest.fixture
async def broker(hass: HomeAssistant, mqtt_client_mock: Any, mqtt_mock: Any) -> Broker:
    """Home Assistant's MQTT, connected to a broker."""
    broker = Broker(hass)
    acknowledge = mqtt_client_mock.subscribe.side_effect
    publish = mqtt_client_mock.publish.side_effect
    end = mqtt_client_mock.unsubscribe.side_effect

    def unsubscribe(topics: list[str]) -> Any:
        broker.topics.difference_update(topics)
        return end(topics)

    def published(topic: str, payload: Any, *args: Any, **kwargs: Any) -> Any:
        acknowledged = publish(topic, payload, *args, **kwargs)
        broker.published(topic, payload, *args[:2])
        return acknowledged

    def subscribe(topics: Any, *args: Any, **kwargs: Any) -> Any:
        broker.subscribed(topics)
        return acknowledge(topics, *args, **kwargs)

    mqtt_client_mock.subscribe.side_effect = subscribe
    mqtt_client_mock.publish.side_effect = published
    mqtt_client_mock.unsubscribe.side_effect = unsubscribe
    return broker


@pytest.fixture
def meter() -> Meter:
    """A three-phase meter that pushes every ten seconds."""
    return Meter()


@pytest.fixture
def entry(hass: HomeAssistant, meter: Meter) -> MockConfigEntry:
    """The meter's entry, not loaded yet."""
    entry = MockConfigEntry(
        domain=DOMAIN, title="382M 4711", unique_id=meter.title, data=meter.entry_data
    )
    entry.add_to_hass(hass)
    return entry


@pytest.fixture
async def home(
    hass: HomeAssistant,
    broker: Broker,
    meter: Meter,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> Home:
    """The meter's hello is kept by the broker; nothing is loaded yet."""
    freezer.move_to(NOON)
    broker.keep(meter.hello_topic, meter.hello())
    return Home(hass, broker, meter, entry, freezer)


@pytest.fixture
def asked(meter: Meter, broker: Broker) -> Iterator[AskedMeter]:
    """The meter's other side, which answers whoever has its control keys.

    It is asked for what a test wants alone: the calendar, that is wanted unasked, has other tests.
    """
    asked = AskedMeter(meter, broker)
    broker.listeners.append(asked.take)
    with patch("custom_components.meter_node.tariff.Tariffs.ask_if_due"):
        yield asked


@pytest.fixture
async def paired(
    hass: HomeAssistant, asked: AskedMeter, entry: MockConfigEntry, home: Home
) -> Home:
    """A home that has control keys, and has heard the meter say that all is well."""
    hass.config_entries.async_update_entry(entry, data=asked.entry_data)
    await home.set_up()
    await home.push(home.meter.saying())
    return home


@pytest.fixture(scope="session")
def real_frames() -> dict[str, RealFrame]:
    """The captures by name."""
    frames = {}
    for capture in json.loads(REAL_FRAMES.read_text()):
        encryption, authentication = capture["key_encryption"], capture["key_authentication"]
        frames[capture["name"]] = RealFrame(
            bytes.fromhex(capture["hex"]),
            Keys(bytes.fromhex(encryption), bytes.fromhex(authentication))
            if encryption and authentication
            else None,
            capture["expected"].get("system_title", ""),
            capture["expected"].get("values", {}),
        )
    return frames


@pytest.fixture
def danish(real_frames: dict[str, RealFrame]) -> RealFrame:
    """A real Danish meter's own ciphertext."""
    return real_frames["omnipower_3p_dk_ciphered"]


@pytest.fixture
def real_hello(danish: RealFrame) -> Hello:
    """What a bridge says of the Danish meter."""
    return Hello(kamstrup_v0001.LIST_NAME, danish.title, "OMNIPOWER", "0.1.0", 10, STATUS_TOPIC)
