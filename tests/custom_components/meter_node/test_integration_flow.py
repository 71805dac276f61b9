"""Setting a meter up: no entry is made that a frame has not proven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from homeassistant.config_entries import SOURCE_MQTT, SOURCE_USER, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo
from integration_home import STATUS_TOPIC, AskedMeter, Broker, Meter, RealFrame
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.channel import hdlc, objects, services
from custom_components.meter_node.channel.hello import Hello, hello_topic, push_topic
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.const import DOMAIN, PAIRING_REVOKED
from custom_components.meter_node.proof import AT_LEAST_S, wait_s
from custom_components.meter_node.reader import MeterReader, Verified
from custom_components.meter_node.store import MeterRecord, async_get_store, fingerprint

OTHER = Keys(b"\xaa" * 16, b"\xbb" * 16)
ONE_OTHER = Keys(Meter().keys.encryption, OTHER.authentication)


def hexadecimal(keys: Keys) -> dict[str, str]:
    return {
        "encryption_key": keys.encryption.hex(),
        "authentication_key": keys.authentication.hex(),
    }


@pytest.fixture
def set_up_entry() -> Iterator[AsyncMock]:
    """Make entries and leave them unloaded: the flow alone is looked at."""
    with patch("custom_components.meter_node.async_setup_entry", return_value=True) as set_up:
        yield set_up


@dataclass
class Flow:
    """A flow as a person goes through it, while the meter goes on sending."""

    hass: HomeAssistant
    broker: Broker
    result: Any = field(default_factory=dict)

    async def begin(self) -> Flow:
        """Add the integration by hand."""
        self.result = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_USER}
        )
        return self

    async def discover(self, topic: str, payload: str) -> Flow:
        """Let Home Assistant find a hello."""
        info = MqttServiceInfo(topic, payload, 1, True, "meter_node/+/hello", 0.0)
        self.result = await self.hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_MQTT}, data=info
        )
        return self

    async def go_on(self, result: ConfigFlowResult) -> Flow:
        """Go on with a flow that an entry began."""
        self.result = result
        return self

    async def submit(self, **typed: Any) -> Flow:
        """Fill the form in."""
        assert self.result["type"] is FlowResultType.FORM
        self.result = await self.hass.config_entries.flow.async_configure(
            self.result["flow_id"], typed
        )
        return self

    async def wait(self, topic: str, *frames: bytes) -> Flow:
        """Let frames come while it waits for one, and see what it says then."""
        assert self.result["type"] is FlowResultType.SHOW_PROGRESS
        assert self.result["progress_action"] == "waiting_for_frame"
        await asyncio.sleep(0.05)  # the subscription
        for frame in frames:
            self.broker.send(topic, frame, keep=False)
        await self.hass.async_block_till_done()
        await self.look()
        await self.hass.async_block_till_done()  # an entry that is loaded anew
        return self

    async def look(self) -> Flow:
        """See what the flow shows by now."""
        self.result = await self.hass.config_entries.flow.async_configure(self.result["flow_id"])
        return self

    def shows(self, step: str, **errors: str) -> bool:
        """Whether a form is open with just these errors."""
        assert self.result["type"] is FlowResultType.FORM
        assert (self.result["step_id"], self.result["errors"]) == (step, errors)
        return True

    def ended(self, reason: str) -> bool:
        assert self.result["type"] is FlowResultType.ABORT
        assert self.result["reason"] == reason
        return True

    @property
    def fields(self) -> dict[str, Any]:
        """The form's fields with their defaults."""
        fields = self.result["data_schema"].schema
        return {
            str(field): field.default() if callable(field.default) else None for field in fields
        }


@pytest.fixture
def flow(hass: HomeAssistant, broker: Broker, meter: Meter) -> Flow:
    """A meter says hello; nobody has set it up yet."""
    broker.keep(meter.hello_topic, meter.hello())
    return Flow(hass, broker)


@pytest.fixture
def real_flow(hass: HomeAssistant, broker: Broker, real_hello: Hello) -> Flow:
    """A real meter's bridge says hello."""
    broker.keep(hello_topic(real_hello.system_title), real_hello.to_json())
    return Flow(hass, broker)


# --- found by its hello --------------------------------------------------------------------------


async def test_a_discovered_meter_is_accepted_with_its_pairing_text(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    assert flow.shows("keys")
    assert flow.result["description_placeholders"] == {"meter": "382M (4d544e0100004711)"}
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["title"] == "382M 4711"
    assert flow.result["data"] == meter.entry_data
    assert flow.result["options"] == {}
    assert flow.result["result"].unique_id == meter.title
    set_up_entry.assert_called_once()


async def test_home_assistant_finds_a_hello_by_itself(
    hass: HomeAssistant, broker: Broker, meter: Meter
) -> None:
    """By the manifest's ``mqtt``, with Home Assistant's own discovery switched on."""
    broker.keep(meter.hello_topic, meter.hello())
    mqtt_entry = hass.config_entries.async_entries("mqtt")[0]
    hass.config_entries.async_update_entry(mqtt_entry, options={"discovery": True})
    await hass.config_entries.async_reload(mqtt_entry.entry_id)
    for _ in range(40):
        await asyncio.sleep(0.01)
        await hass.async_block_till_done()
        if flows := hass.config_entries.flow.async_progress_by_handler(DOMAIN):
            break
    assert [found["context"]["unique_id"] for found in flows] == [meter.title]
    assert flows[0]["context"]["title_placeholders"] == {"name": "382M (4d544e0100004711)"}


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "online",
        "[]",
        Meter(b"MTN\x01\x00\x00\x99\x99").hello(),  # on another's topic
        Meter().hello(push_interval=0),
        Meter().hello(system_title="../../x"),
    ],
)
async def test_what_is_no_hello_is_left_alone(flow: Flow, meter: Meter, payload: str) -> None:
    await flow.discover(meter.hello_topic, payload)
    assert flow.ended("invalid_discovery_info")


async def test_a_ciphered_meter_without_a_system_title_is_none(flow: Flow, meter: Meter) -> None:
    await flow.discover(hello_topic("98764711"), meter.hello(system_title="98764711"))
    assert flow.ended("invalid_discovery_info")


async def test_a_meter_is_not_discovered_twice(
    flow: Flow, meter: Meter, entry: MockConfigEntry
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    assert flow.ended("already_configured")


async def test_a_discovered_plain_meter_asks_for_its_scale_alone(
    flow: Flow, real_frames: dict[str, RealFrame], set_up_entry: AsyncMock
) -> None:
    flow.hass.config.country = "SE"
    swedish = real_frames["omnipower_3p_se_10s_plain"]
    number = swedish.expected["1.1.0.0.5.255"]
    hello = Hello("Kamstrup_V0001", number, "OMNIPOWER", "1", 10, STATUS_TOPIC, ciphered=False)
    await flow.discover(hello_topic(number), hello.to_json())
    assert flow.shows("scale")
    assert flow.fields == {"scaler_profile": "energy_1_wh"}
    await flow.submit(scaler_profile="energy_1_wh")
    await flow.wait(push_topic(number), swedish.payload)
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["title"] == f"OMNIPOWER {number[-4:]}"
    assert flow.result["data"] == {"system_title": number}
    assert flow.result["options"] == {"scaler_profile": "energy_1_wh"}


async def test_a_meter_that_calls_itself_plain_and_ciphers_is_not_accepted(
    flow: Flow, meter: Meter
) -> None:
    await flow.discover(meter.hello_topic, meter.hello(ciphered=False))
    await flow.submit(scaler_profile="energy_1_wh")
    await flow.wait(meter.push_topic, meter.push())
    assert flow.shows("scale", base="ciphered")


# --- a real meter's two keys ---------------------------------------------------------------------


async def test_a_real_meter_is_accepted_with_its_two_keys(
    real_flow: Flow, danish: RealFrame, real_hello: Hello, set_up_entry: AsyncMock
) -> None:
    assert danish.keys is not None
    await real_flow.discover(hello_topic(danish.title), real_hello.to_json())
    typed = {
        "encryption_key": danish.keys.encryption.hex(" ").upper(),  # as letters print them
        "authentication_key": danish.keys.authentication.hex("-"),
    }
    await real_flow.submit(**typed, scaler_profile="energy_1_wh")
    await real_flow.wait(push_topic(danish.title), danish.payload)
    assert real_flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert real_flow.result["title"] == "OMNIPOWER 1522"
    assert real_flow.result["data"] == {"system_title": danish.title} | hexadecimal(danish.keys)
    assert real_flow.result["options"] == {"scaler_profile": "energy_1_wh"}


@pytest.mark.parametrize(
    ("country", "profile"),
    [("NO", "energy_10_wh"), ("DK", "energy_1_wh"), ("SE", "energy_1_wh"), (None, "energy_1_wh")],
)
async def test_the_scale_is_the_countrys_where_nothing_else_is_chosen(
    real_flow: Flow, real_hello: Hello, country: str | None, profile: str
) -> None:
    real_flow.hass.config.country = country
    await real_flow.discover(hello_topic(real_hello.system_title), real_hello.to_json())
    assert real_flow.fields["scaler_profile"] == profile


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda keys: Keys(OTHER.encryption, keys.authentication), "wrong_keys"),
        (lambda keys: Keys(keys.encryption, OTHER.authentication), "authentication_key"),
    ],
    ids=["encryption", "authentication"],
)
async def test_keys_that_fail_a_live_frame_are_told_at_once_and_how(
    real_flow: Flow,
    danish: RealFrame,
    real_hello: Hello,
    spoil: Callable[[Keys], Keys],
    told: str,
) -> None:
    assert danish.keys is not None
    await real_flow.discover(hello_topic(danish.title), real_hello.to_json())
    with patch("custom_components.meter_node.proof.AT_LEAST_S", 60):
        await real_flow.submit(**hexadecimal(spoil(danish.keys)), scaler_profile="energy_1_wh")
        async with asyncio.timeout(10):
            await real_flow.wait(push_topic(danish.title), danish.payload)
    assert real_flow.shows("keys", base=told)
    assert real_flow.fields["scaler_profile"] == "energy_1_wh"


async def test_after_a_wrong_key_the_right_one_is_accepted(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(**hexadecimal(OTHER))
    await flow.wait(meter.push_topic, meter.push())
    assert flow.shows("keys", base="wrong_keys")
    await flow.submit(**hexadecimal(meter.keys))
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        ({}, {"base": "text_or_keys"}),
        ({"encryption_key": "00" * 16}, {"authentication_key": "key_missing"}),
        ({"authentication_key": "00" * 16}, {"encryption_key": "key_missing"}),
        (
            {"encryption_key": "0g" * 16, "authentication_key": "00" * 16},
            {"encryption_key": "key_not_hexadecimal"},
        ),
        (
            {"encryption_key": "00" * 16, "authentication_key": "00" * 15},
            {"authentication_key": "key_length"},
        ),
        ({"pairing_text": "00" * 16}, {"pairing_text": "no_pairing_text"}),
        ({"pairing_text": Meter().pairing_text[:-1]}, {"pairing_text": "pairing_text_mistyped"}),
        (
            {"pairing_text": Meter(b"MTN\x01\x00\x00\x99\x99").pairing_text},
            {"pairing_text": "pairing_text_of_other_meter"},
        ),
        (
            {"pairing_text": Meter().pairing_text, "encryption_key": "00" * 16},
            {"base": "text_or_keys"},
        ),
    ],
)
async def test_what_is_mistyped_is_told_at_its_field(
    flow: Flow, meter: Meter, typed: dict[str, str], errors: dict[str, str]
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(**typed)
    assert flow.shows("keys", **errors)


# --- the proof -----------------------------------------------------------------------------------


def test_one_and_a_half_intervals_are_waited() -> None:
    with (
        patch("custom_components.meter_node.proof.INTERVALS", 1.5),
        patch("custom_components.meter_node.proof.AT_LEAST_S", AT_LEAST_S),
    ):
        assert wait_s(10) == 15
        assert wait_s(3600) == 5400
        assert wait_s(1) == 15  # it may be forged, and 10 s is what meters commonly keep to


async def test_no_frame_in_time_makes_no_entry_and_may_be_tried_again(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic)
    assert flow.shows("keys", base="no_frame")
    set_up_entry.assert_not_called()
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("interval", [1, 10, 900, 3600])
async def test_a_kept_frame_alone_proves_nothing(flow: Flow, meter: Meter, interval: int) -> None:
    meter.push_interval = interval
    flow.broker.keep(meter.push_topic, meter.push())
    await flow.discover(meter.hello_topic, meter.hello())
    with patch("custom_components.meter_node.proof.INTERVALS", 0.001):
        await flow.submit(pairing_text=meter.pairing_text)
        await flow.wait(meter.push_topic)
    assert flow.shows("keys", base="no_frame")


def under_other_keys(meter: Meter) -> bytes:
    return meter.seal(meter.body({}), keys=OTHER)


@pytest.mark.parametrize(
    "kept", [under_other_keys, lambda meter: meter.body({}), lambda meter: b"/KAM5\r\n"]
)
async def test_a_kept_frame_condemns_no_keys(
    flow: Flow, meter: Meter, kept: Callable[[Meter], bytes], set_up_entry: AsyncMock
) -> None:
    flow.broker.keep(meter.push_topic, kept(meter))
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (under_other_keys, "kept_not_opened"),
        (lambda meter: meter.seal(meter.body({}), keys=ONE_OTHER), "kept_not_opened"),
        (lambda meter: meter.body({}), "downgrade"),
        (lambda meter: b"/KAM5\r\n", "foreign"),
    ],
)
async def test_a_refused_kept_frame_is_told_of_where_no_live_one_came(
    flow: Flow, meter: Meter, kept: Callable[[Meter], bytes], told: str
) -> None:
    flow.broker.keep(meter.push_topic, kept(meter))
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic)
    assert flow.shows("keys", base=told)


async def test_what_came_live_is_told_before_what_was_kept(flow: Flow, meter: Meter) -> None:
    flow.broker.keep(meter.push_topic, under_other_keys(meter))
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, b"/KAM5\r\n")
    assert flow.shows("keys", base="foreign")


async def test_old_keys_that_open_the_kept_frame_alone_are_not_accepted(
    flow: Flow, meter: Meter
) -> None:
    flow.broker.keep(meter.push_topic, meter.push())
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, under_other_keys(meter))
    assert flow.shows("keys", base="forged")


async def test_the_kept_frame_sent_once_more_is_no_live_frame(flow: Flow, meter: Meter) -> None:
    frame = meter.push()
    flow.broker.keep(meter.push_topic, frame)
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, frame, meter.push(counter=5))
    assert flow.shows("keys", base="no_frame")


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (lambda meter: meter.body({}), "downgrade"),
        (lambda meter: b"/KAM5\r\n", "foreign"),
        (lambda meter: meter.push()[:-1], "damaged"),
        (lambda meter: Meter(b"MTN\x01\x00\x00\x99\x99").push(), "other_meter"),
        (
            lambda meter: meter.seal(bytes.fromhex("0f0000000000") + b"\x02\x01\x0a\x01X"),
            "unknown_list",
        ),
    ],
)
async def test_what_came_in_place_of_a_good_frame_is_told(
    flow: Flow, meter: Meter, frame: Callable[[Meter], bytes], told: str
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, frame(meter))
    assert flow.shows("keys", base=told)


async def test_noise_does_not_keep_a_good_frame_from_being_taken(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, b"noise", meter.push(), meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_forged_frame_between_a_kept_and_a_live_one_is_passed_over(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    flow.broker.keep(meter.push_topic, meter.push())
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.seal(meter.body({}), keys=OTHER), meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_frame_in_hdlc_proves_as_well(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    frame = hdlc.Frame(b"\x41", b"\x03", hdlc.UI, hdlc.LLC_TO_CLIENT + meter.push())
    await flow.wait(meter.push_topic, hdlc.encode(frame))
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


async def test_closing_the_window_ends_the_waiting(
    flow: Flow, meter: Meter, mqtt_client_mock: Any
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    with patch("custom_components.meter_node.proof.AT_LEAST_S", 60):
        await flow.submit(pairing_text=meter.pairing_text)
        await asyncio.sleep(0.02)
        flow.hass.config_entries.flow.async_abort(flow.result["flow_id"])
        await asyncio.sleep(0.02)
    await flow.hass.async_block_till_done()
    left = {topic for call in mqtt_client_mock.unsubscribe.call_args_list for topic in call.args[0]}
    assert meter.push_topic in left


async def test_a_meter_is_shown_from_the_frame_that_proved_it(
    flow: Flow, meter: Meter, hass: HomeAssistant
) -> None:
    """The entry goes on from the counter just proven, and shows that frame, which is young."""
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=meter.pairing_text)
    frame = meter.push()
    flow.broker.keep(meter.push_topic, meter.push(counter=900, voltage_l1=1))  # an old one
    await flow.wait(meter.push_topic, frame)
    entry = flow.result["result"]
    await asyncio.sleep(0.05)
    await hass.async_block_till_done()
    assert entry.runtime_data.invocation_counter == meter.counter
    assert entry.runtime_data.refused == {"replay": 1}
    flow.broker.keep(meter.push_topic, frame)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await asyncio.sleep(0.05)
    await hass.async_block_till_done()
    state = hass.states.get("sensor.382m_4711_voltage_l1")
    assert state is not None
    assert state.state == "230.12"


# --- by hand -------------------------------------------------------------------------------------


async def test_a_meter_is_chosen_from_those_that_are_heard(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.begin()
    assert flow.shows("user")
    assert flow.result["description_placeholders"] == {"count": "1"}
    options = flow.result["data_schema"].schema["meter"].config["options"]
    assert options == [{"value": meter.title, "label": "382M (4d544e0100004711)"}]
    await flow.submit(meter=meter.title)
    assert flow.shows("keys")
    assert "scaler_profile" not in flow.fields
    await flow.submit(**hexadecimal(meter.keys))
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_pairing_text_says_which_meter(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.begin()
    await flow.submit(pairing_text=f" {meter.pairing_text.lower()}\n")
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["data"] == meter.entry_data


async def test_a_real_meters_pairing_text_still_asks_for_the_scale(
    real_flow: Flow, danish: RealFrame, set_up_entry: AsyncMock
) -> None:
    assert danish.keys is not None
    paired = Meter(bytes.fromhex(danish.title), danish.keys)
    await real_flow.begin()
    await real_flow.submit(pairing_text=paired.pairing_text)
    assert real_flow.shows("scale")
    await real_flow.submit(scaler_profile="energy_10_wh")
    await real_flow.wait(push_topic(danish.title), danish.payload)
    assert real_flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert real_flow.result["options"] == {"scaler_profile": "energy_10_wh"}


async def test_a_pairing_text_whose_keys_fail_is_asked_for_again(
    real_flow: Flow, danish: RealFrame
) -> None:
    paired = Meter(bytes.fromhex(danish.title), OTHER)
    await real_flow.begin()
    await real_flow.submit(pairing_text=paired.pairing_text)
    await real_flow.submit(scaler_profile="energy_10_wh")
    await real_flow.wait(push_topic(danish.title), danish.payload)
    assert real_flow.shows("keys", base="wrong_keys")
    assert real_flow.fields["scaler_profile"] == "energy_10_wh"


async def test_without_any_meter_a_pairing_text_or_a_topic_can_be_given(
    hass: HomeAssistant, broker: Broker, meter: Meter
) -> None:
    flow = await Flow(hass, broker).begin()
    assert set(flow.fields) == {"pairing_text", "raw_topic"}
    await flow.submit(pairing_text=meter.pairing_text)
    assert flow.shows("user", base="meter_not_heard")
    broker.keep(meter.hello_topic, meter.hello())  # the node is started meanwhile
    await flow.submit(pairing_text="MN1:")
    assert flow.shows("user", pairing_text="pairing_text_mistyped")
    assert set(flow.fields) == {"meter", "pairing_text", "raw_topic"}


async def test_a_meter_that_is_set_up_is_not_offered_again(
    flow: Flow, entry: MockConfigEntry, meter: Meter
) -> None:
    await flow.begin()
    assert set(flow.fields) == {"pairing_text", "raw_topic"}
    await flow.submit(pairing_text=meter.pairing_text)
    assert flow.ended("already_configured")


async def test_one_has_to_say_which_meter(flow: Flow) -> None:
    await flow.begin()
    await flow.submit()
    assert flow.shows("user", base="meter_or_text")


async def test_a_choice_and_a_pairing_text_must_mean_the_same_meter(
    flow: Flow, meter: Meter
) -> None:
    await flow.begin()
    other = Meter(b"MTN\x01\x00\x00\x99\x99")
    await flow.submit(meter=meter.title, pairing_text=other.pairing_text)
    assert flow.shows("user", pairing_text="pairing_text_of_other_meter")


async def test_by_hand_works_beside_a_waiting_discovery_and_ends_it(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.begin()
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.hass.config_entries.flow.async_progress() == []


async def test_without_mqtt_it_is_said_what_to_do(hass: HomeAssistant) -> None:
    result = await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_channel"


# --- new keys, other settings --------------------------------------------------------------------


async def test_new_keys_are_accepted_when_they_open_a_live_frame(
    flow: Flow, meter: Meter, entry: MockConfigEntry, set_up_entry: AsyncMock
) -> None:
    new = replace(meter, keys=OTHER)
    known = MeterRecord(
        fingerprint(meter.keys),
        "wh",
        highest=2000,
        digest="old",
        bases={"import_active_energy": 5.0},
        costs={"totals": {"import_cost": "99.8"}},
    )
    (await async_get_store(flow.hass)).records[meter.title] = known
    await flow.go_on(await entry.start_reauth_flow(flow.hass))
    assert flow.shows("reauth_confirm")
    await flow.submit(pairing_text=new.pairing_text)
    await flow.wait(meter.push_topic, new.push())
    assert flow.ended("reauth_successful")
    assert entry.data == new.entry_data
    records = (await async_get_store(flow.hass)).records
    record = records[meter.title]
    assert record.highest == new.counter
    assert (record.bases, record.costs) == (known.bases, known.costs)
    assert known.highest == 2000  # the running meter's own, until it is loaded anew
    await flow.hass.async_block_till_done()
    set_up_entry.assert_called_once()


async def test_new_keys_that_open_nothing_leave_the_old_ones(
    flow: Flow, meter: Meter, entry: MockConfigEntry
) -> None:
    await flow.go_on(await entry.start_reauth_flow(flow.hass))
    await flow.submit(**hexadecimal(OTHER))
    await flow.wait(meter.push_topic, meter.push())
    assert flow.shows("reauth_confirm", base="wrong_keys")
    assert entry.data == meter.entry_data


async def test_a_meter_that_is_not_heard_cannot_be_proven(
    hass: HomeAssistant, broker: Broker, meter: Meter, entry: MockConfigEntry
) -> None:
    flow = await Flow(hass, broker).go_on(await entry.start_reauth_flow(hass))
    await flow.submit(pairing_text=meter.pairing_text)
    assert flow.shows("reauth_confirm", base="meter_not_heard")


async def test_new_keys_need_mqtt(
    hass: HomeAssistant, meter: Meter, entry: MockConfigEntry
) -> None:
    result = await entry.start_reauth_flow(hass)
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {"pairing_text": meter.pairing_text}
    )
    assert result["reason"] == "no_channel"


async def test_a_plain_meter_that_begins_to_cipher_gets_its_keys(
    flow: Flow, meter: Meter, set_up_entry: AsyncMock
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN, unique_id=meter.title, data={"system_title": meter.title}
    )
    entry.add_to_hass(flow.hass)
    await flow.go_on(await entry.start_reauth_flow(flow.hass))
    await flow.submit()
    assert flow.shows("reauth_confirm", base="text_or_keys")
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.ended("reauth_successful")
    assert entry.data == meter.entry_data


@pytest.fixture
def real_entry(hass: HomeAssistant, danish: RealFrame) -> MockConfigEntry:
    """A real meter's entry."""
    assert danish.keys is not None
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id=danish.title,
        data={"system_title": danish.title} | hexadecimal(danish.keys),
        options={"scaler_profile": "energy_10_wh"},
    )
    entry.add_to_hass(hass)
    return entry


async def test_keys_left_empty_stay_as_they_are(
    real_flow: Flow, real_entry: MockConfigEntry, danish: RealFrame, set_up_entry: AsyncMock
) -> None:
    real_flow.hass.config_entries.async_update_entry(
        real_entry, options={**real_entry.options, "main_fuse": 25}
    )
    before = dict(real_entry.data)
    await real_flow.go_on(await real_entry.start_reconfigure_flow(real_flow.hass))
    assert real_flow.shows("reconfigure")
    assert "scaler_profile" not in real_flow.fields  # another one changes the past: an option
    assert real_flow.fields["encryption_key"] is None
    await real_flow.submit()
    await real_flow.wait(push_topic(danish.title), danish.payload)
    assert real_flow.ended("reconfigure_successful")
    assert real_entry.data == before
    assert real_entry.options == {"scaler_profile": "energy_10_wh", "main_fuse": 25}


async def test_a_reconfiguration_under_the_same_keys_leaves_the_counter_where_it_is(
    flow: Flow, meter: Meter, entry: MockConfigEntry, set_up_entry: AsyncMock
) -> None:
    records = (await async_get_store(flow.hass)).records
    records[meter.title] = MeterRecord(fingerprint(meter.keys), "energy_1_wh", highest=900_000)
    await flow.go_on(await entry.start_reconfigure_flow(flow.hass))
    await flow.submit()
    await flow.wait(meter.push_topic, meter.push())
    assert flow.ended("reconfigure_successful")
    assert records[meter.title].highest == 900_000


async def test_a_reconfiguration_is_proven_like_everything_else(
    real_flow: Flow, real_entry: MockConfigEntry, danish: RealFrame
) -> None:
    await real_flow.go_on(await real_entry.start_reconfigure_flow(real_flow.hass))
    await real_flow.submit()
    await real_flow.wait(push_topic(danish.title))
    assert real_flow.shows("reconfigure", base="no_frame")
    assert real_entry.options == {"scaler_profile": "energy_10_wh"}


async def test_a_plain_meters_reconfiguration_asks_for_no_keys(
    flow: Flow, real_frames: dict[str, RealFrame], set_up_entry: AsyncMock
) -> None:
    swedish = real_frames["omnipower_3p_se_10s_plain"]
    number = swedish.expected["1.1.0.0.5.255"]
    hello = Hello("Kamstrup_V0001", number, "OMNIPOWER", "1", 10, STATUS_TOPIC, ciphered=False)
    flow.broker.keep(hello_topic(number), hello.to_json())
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id=number,
        data={"system_title": number},
        options={"scaler_profile": "energy_1_wh"},
    )
    entry.add_to_hass(flow.hass)
    await flow.go_on(await entry.start_reconfigure_flow(flow.hass))
    assert set(flow.fields) == set()
    await flow.submit()
    await flow.wait(push_topic(number), swedish.payload)
    assert flow.ended("reconfigure_successful")
    assert entry.data == {"system_title": number}


# --- control keys --------------------------------------------------------------------------------


@pytest.fixture
def paired_entry(entry: MockConfigEntry, asked: AskedMeter, hass: HomeAssistant) -> MockConfigEntry:
    """The meter's entry, made with a text that has control keys."""
    hass.config_entries.async_update_entry(entry, data=asked.entry_data)
    return entry


async def test_a_text_with_control_keys_lets_the_meter_be_asked(
    flow: Flow, meter: Meter, asked: AskedMeter, set_up_entry: AsyncMock
) -> None:
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=asked.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["data"] == asked.entry_data
    assert [one.service for one in asked.asked] == [services.GET], "it was tried, and reads only"
    assert not [topic for topic in flow.broker.topics if "/response/" in topic]


async def test_by_hand_a_text_with_control_keys_does_too(
    flow: Flow, meter: Meter, asked: AskedMeter, set_up_entry: AsyncMock
) -> None:
    await flow.begin()
    await flow.submit(pairing_text=asked.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["data"] == asked.entry_data


async def test_a_pairing_that_the_meter_does_not_know_makes_no_entry(
    flow: Flow, meter: Meter, asked: AskedMeter, set_up_entry: AsyncMock
) -> None:
    text, asked.control = asked.pairing_text, OTHER
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=text)
    with patch("custom_components.meter_node.asking.AFTER_HINT_S", 0.05):
        await flow.wait(meter.push_topic, meter.push())
    assert flow.shows("keys", base="control_keys_refused")
    await flow.submit(pairing_text=meter.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["data"] == meter.entry_data, "without control keys it is read only"


@pytest.mark.parametrize("answers", [False, True])
async def test_silence_or_a_refusal_keeps_nobody_from_setting_it_up(
    flow: Flow, meter: Meter, asked: AskedMeter, set_up_entry: AsyncMock, answers: bool
) -> None:
    asked.silent = not answers
    asked.refuses[objects.PUSH_INTERVAL] = services.Result.READ_WRITE_DENIED
    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=asked.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.result["data"] == asked.entry_data
    assert asked.received


async def test_a_frame_that_does_not_tell_the_time_keeps_nobody_from_it_either(
    flow: Flow, meter: Meter, asked: AskedMeter, set_up_entry: AsyncMock
) -> None:
    read = MeterReader.read

    def timeless(
        self: MeterReader, payload: bytes, *, retained: bool, arrived: datetime
    ) -> Verified:
        verified = read(self, payload, retained=retained, arrived=arrived)
        return replace(verified, reading=replace(verified.reading, time=None))

    await flow.discover(meter.hello_topic, meter.hello())
    await flow.submit(pairing_text=asked.pairing_text)
    with patch.object(MeterReader, "read", timeless):
        await flow.wait(meter.push_topic, meter.push())
    assert flow.result["data"] == asked.entry_data


async def test_a_revoked_pairing_is_replaced_by_another(
    flow: Flow,
    meter: Meter,
    asked: AskedMeter,
    paired_entry: MockConfigEntry,
    set_up_entry: AsyncMock,
) -> None:
    paired_entry.async_start_reauth(flow.hass, data={PAIRING_REVOKED: True})
    await flow.hass.async_block_till_done()
    (begun,) = flow.hass.config_entries.flow.async_progress()
    await flow.go_on(await flow.hass.config_entries.flow.async_configure(begun["flow_id"]))
    assert flow.shows("reauth_pairing")
    assert set(flow.fields) == {"pairing_text"}
    await flow.submit()
    assert flow.shows("reauth_pairing", pairing_text="pairing_text_missing")
    asked.control = OTHER
    await flow.submit(pairing_text=asked.pairing_text)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.ended("reauth_successful")
    assert paired_entry.data == asked.entry_data
    assert paired_entry.data["control_encryption_key"] == OTHER.encryption.hex()


async def test_keys_that_are_left_empty_stay_with_those_for_control(
    flow: Flow,
    meter: Meter,
    asked: AskedMeter,
    paired_entry: MockConfigEntry,
    set_up_entry: AsyncMock,
) -> None:
    await flow.go_on(await paired_entry.start_reconfigure_flow(flow.hass))
    await flow.submit()
    await flow.wait(meter.push_topic, meter.push())
    assert flow.ended("reconfigure_successful")
    assert paired_entry.data == asked.entry_data


@pytest.mark.parametrize("kind", ["text", "keys"])
async def test_what_has_no_control_keys_takes_them_away(
    flow: Flow,
    meter: Meter,
    paired_entry: MockConfigEntry,
    set_up_entry: AsyncMock,
    kind: str,
) -> None:
    await flow.go_on(await paired_entry.start_reconfigure_flow(flow.hass))
    typed = {"pairing_text": meter.pairing_text} if kind == "text" else hexadecimal(meter.keys)
    await flow.submit(**typed)
    await flow.wait(meter.push_topic, meter.push())
    assert flow.ended("reconfigure_successful")
    assert paired_entry.data == meter.entry_data
