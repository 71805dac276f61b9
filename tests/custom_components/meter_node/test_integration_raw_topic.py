"""Real meters: whichever way their frames come, what a home then shows; readers with own topics."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from homeassistant.config_entries import SOURCE_USER
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from integration_home import Broker, Home, Meter, RealFrame
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.channel import apdu, frames, hdlc, security
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.ciphering import AesGcm
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.raw_topic import is_topic, whose

TOPIC = "amsreader/raw"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
ONE_PHASE_TITLE = b"KAME\x01\x4e\x99\x59"

# What each capture must show, from its raw integers: Wh or tens of Wh, W, V, hundredths of A.
SHOWN: dict[str, tuple[str, str, dict[str, float]]] = {
    "omnipower_3p_dk_ciphered": (
        "4b414d4501a4dc52",
        "energy_1_wh",
        {"import_active_energy": 866.636, "voltage_l1": 224, "voltage_l3": 223, "active_power": 0},
    ),
    "omnipower_3p_ciphered_dummy_keys": ("4b414d4501349083", "energy_1_wh", {}),
    "omnipower_3p_se_10s_plain": (
        "5706567326590407",
        "energy_1_wh",
        {"active_power": 826, "voltage_l2": 233, "current_l1": 2.37},
    ),
    "omnipower_3p_se_hourly_plain": (
        "5706567331323526",
        "energy_1_wh",
        {"import_active_energy": 32_014.158, "active_power": 2269, "current_l2": 5.99},
    ),
    "omnipower_3p_no_hourly_plain": (
        "5706567202753025",
        "energy_10_wh",
        {"import_active_energy": 85_823.28, "export_active_energy": 4540.83, "voltage_l3": 236},
    ),
    "omnipower_1p_no_10s_plain": (
        "5706567271533207",
        "energy_10_wh",
        {"active_power": 396, "voltage_l1": 224, "current_l1": 2.09},
    ),
    "omnipower_1p_dk_plaintext": (
        "21928281",
        "energy_1_wh",
        {"import_active_energy": 1352.997, "power_factor": 0.94, "current_l1": 2.44},
    ),
}


def entry_of(
    hass: HomeAssistant, title: str, profile: str, keys: Keys | None, topic: str | None = TOPIC
) -> MockConfigEntry:
    data = {"system_title": title}
    if topic is not None:
        data["raw_topic"] = topic
    if keys is not None:
        data["encryption_key"] = keys.encryption.hex()
        data["authentication_key"] = keys.authentication.hex()
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Kamstrup meter 1234",
        unique_id=title,
        data=data,
        options={"scaler_profile": profile},
    )
    entry.add_to_hass(hass)
    return entry


async def home_with(
    home: Home, title: str, profile: str, keys: Keys | None, topic: str | None = TOPIC
) -> Home:
    """A home whose only meter is a real one."""
    home.entry = entry_of(home.hass, title, profile, keys, topic)
    await home.set_up()
    return home


async def hear(home: Home, payload: bytes, topic: str = TOPIC) -> None:
    home.broker.send(topic, payload, keep=False)
    await home.settle()


@pytest.mark.parametrize("name", SHOWN)
async def test_every_capture_of_a_real_meter_is_shown_as_it_must_be(
    home: Home, real_frames: dict[str, RealFrame], name: str
) -> None:
    title, profile, shown = SHOWN[name]
    frame = real_frames[name]
    await home_with(home, title, profile, frame.keys)
    await hear(home, frame.payload)
    assert home.coordinator.accepted == 1
    assert {key: float(home.state(key) or "nan") for key in shown} == shown


@pytest.mark.parametrize("name", SHOWN)
async def test_a_capture_means_the_same_on_the_topic_of_a_bridge(
    home: Home, real_frames: dict[str, RealFrame], name: str
) -> None:
    title, profile, shown = SHOWN[name]
    await home_with(home, title, profile, real_frames[name].keys, topic=None)
    await hear(home, frames.apdu_of(real_frames[name].payload), f"meter_node/{title}/push")
    assert {key: float(home.state(key) or "nan") for key in shown} == shown


@pytest.mark.parametrize("name", ["omnipower_1p_no_10s_plain", "omnipower_1p_dk_plaintext"])
async def test_a_one_phase_meter_has_no_entities_for_other_phases(
    home: Home, real_frames: dict[str, RealFrame], name: str
) -> None:
    title, profile, _ = SHOWN[name]
    await home_with(home, title, profile, None)
    await hear(home, real_frames[name].payload)
    assert home.state("voltage_l1") is not None
    assert home.state("voltage_l2") is home.state("current_l3") is None


async def test_a_ciphered_one_phase_list_is_shown(
    home: Home, real_frames: dict[str, RealFrame]
) -> None:
    plain = real_frames["omnipower_1p_dk_plaintext"].payload
    sealed = security.seal(AesGcm(), KEYS, ONE_PHASE_TITLE, 5, plain)
    data = hdlc.LLC_TO_CLIENT + apdu.encode_general_glo_ciphering(sealed)
    await home_with(home, ONE_PHASE_TITLE.hex(), "energy_1_wh", KEYS)
    await hear(home, hdlc.encode(hdlc.Frame(b"\x41", b"\x03", hdlc.UI, data)))
    assert home.state("import_active_energy") == "1352.997"


# --- the forms that readers give it -----------------------------------------------------------


def forms(frame: bytes) -> dict[str, bytes]:
    """The same frame as different readers publish it."""
    bare = frames.apdu_of(frame)
    return {
        "bytes": frame,
        "hexadecimal": frame.hex().upper().encode(),
        "hexadecimal in lines": frame.hex(" ", 16).replace(" ", "\r\n").encode(),
        "lower case": frame.hex().encode(),
        "base64": base64.b64encode(frame),
        "apdu": bare,
        "apdu in hexadecimal": bare.hex().encode(),
        "apdu in base64": base64.b64encode(bare),
        "behind a header of the reader's": b"\x08\xdc\xd9\x02" + frame,
        "several": b"\x08" + frame + frame,
    }


FORMS = forms(hdlc.encode(hdlc.Frame(b"\x2b", b"\x21", hdlc.UI, hdlc.LLC_TO_CLIENT + b"\x0f")))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["omnipower_3p_dk_ciphered", "omnipower_1p_no_10s_plain"])
async def test_a_frame_is_understood_in_each_form(
    home: Home, real_frames: dict[str, RealFrame], name: str, form: str
) -> None:
    title, profile, shown = SHOWN[name]
    await home_with(home, title, profile, real_frames[name].keys)
    await hear(home, forms(real_frames[name].payload)[form])
    assert {key: float(home.state(key) or "nan") for key in shown} == shown
    assert {*home.coordinator.refused} <= {"duplicate"}


async def test_the_list_alone_as_text_is_understood_too(
    home: Home, real_frames: dict[str, RealFrame]
) -> None:
    # Published by a reader that takes the APDU's head away; the list tells no time then.
    whole = frames.apdu_of(real_frames["omnipower_3p_se_10s_plain"].payload)
    alone = whole[6 + whole[5] :]
    assert alone.hex().upper().startswith("02190A0E4B616D7374727570")
    await home_with(home, "5706567326590407", "energy_1_wh", None)
    await hear(home, alone.hex().upper().encode())
    assert home.state("active_power") == "826.0"


@pytest.mark.parametrize(
    "payload",
    [b"", b"hello", b'{"P": 826}', b"7E", b"ABCD", b"a" * 200_000, b"\xff" * 50, b"\x7e" * 3000],
    ids=["empty", "text", "JSON", "flag", "digits", "oversized", "bytes", "flags"],
)
async def test_what_holds_no_frame_is_refused_once(
    home: Home, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await home_with(home, "5706567326590407", "energy_1_wh", None)
    for _ in range(3):
        await hear(home, payload)
    assert home.coordinator.accepted == 0
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1
    assert "Traceback" not in caplog.text


async def test_such_a_meter_is_there_as_long_as_its_frames_come(
    home: Home, real_frames: dict[str, RealFrame]
) -> None:
    title, profile, _ = SHOWN["omnipower_3p_se_10s_plain"]
    payload = real_frames["omnipower_3p_se_10s_plain"].payload
    await home_with(home, title, profile, None)
    assert not [one for one in home.broker.retained if "status" in one]
    await hear(home, payload)
    assert home.coordinator.available
    await home.wait(29)
    assert home.coordinator.available
    await home.wait(2)
    assert not home.coordinator.available
    assert home.state("active_power") == "unavailable"


async def test_a_hello_of_another_does_not_reach_such_a_meter(home: Home) -> None:
    title = "5706567326590407"
    await home_with(home, title, "energy_1_wh", None)
    said = replace(Meter(), push_interval=3600).hello(system_title=title, ciphered=False)
    await home.say(f"meter_node/{title}/hello", said)
    assert home.coordinator.hello is None


# --- setting it up --------------------------------------------------------------------------


@pytest.fixture
def set_up_entry() -> Any:
    with (
        patch("custom_components.meter_node.async_setup_entry", return_value=True) as set_up,
        patch("custom_components.meter_node.raw_topic.FIND_S", 0.3),
    ):
        yield set_up


class Flow:
    """The flow as a person goes through it."""

    def __init__(self, hass: HomeAssistant, broker: Broker) -> None:
        self.hass, self.broker = hass, broker
        self.result: Any = {}

    async def give(self, topic: str, **more: Any) -> None:
        flows = self.hass.config_entries.flow
        self.result = await flows.async_init(DOMAIN, context={"source": SOURCE_USER})
        await self.submit(raw_topic=topic, **more)

    async def submit(self, **typed: Any) -> None:
        assert self.result["type"] is FlowResultType.FORM
        flows = self.hass.config_entries.flow
        self.result = await flows.async_configure(self.result["flow_id"], typed)

    async def hear(self, *payloads: bytes) -> None:
        """Let frames come while it waits."""
        assert self.result["type"] is FlowResultType.SHOW_PROGRESS
        await asyncio.sleep(0.05)
        for payload in payloads:
            self.broker.send(TOPIC, payload, keep=False)
        await self.hass.async_block_till_done()
        self.result = await self.hass.config_entries.flow.async_configure(self.result["flow_id"])
        await self.hass.async_block_till_done()  # an entry may be loaded anew


@pytest.fixture
def flow(hass: HomeAssistant, broker: Broker, set_up_entry: AsyncMock) -> Flow:
    return Flow(hass, broker)


async def test_a_plain_meter_is_found_by_its_frames_and_asked_for_its_scale_alone(
    flow: Flow, real_frames: dict[str, RealFrame]
) -> None:
    frame = real_frames["omnipower_3p_no_hourly_plain"].payload
    await flow.give(TOPIC)
    await flow.hear(frame.hex().encode())
    assert flow.result["step_id"] == "scale"
    await flow.submit(scaler_profile="energy_10_wh")
    await flow.hear(frame.hex().encode())
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["title"] == "Kamstrup meter 3025"
    assert flow.result["data"] == {"system_title": "5706567202753025", "raw_topic": TOPIC}
    assert flow.result["options"] == {"scaler_profile": "energy_10_wh"}
    assert flow.result["result"].unique_id == "5706567202753025"


async def test_a_ciphered_meter_is_asked_for_its_keys(flow: Flow, danish: RealFrame) -> None:
    assert danish.keys is not None
    await flow.give(TOPIC)
    await flow.hear(danish.payload)
    assert flow.result["step_id"] == "keys"
    await flow.submit(
        encryption_key=danish.keys.encryption.hex(),
        authentication_key=danish.keys.authentication.hex(),
        scaler_profile="energy_1_wh",
    )
    await flow.hear(danish.payload)
    assert flow.result["type"] is FlowResultType.CREATE_ENTRY
    assert flow.result["result"].unique_id == danish.title
    assert flow.result["data"]["raw_topic"] == TOPIC


async def test_wrong_keys_are_told_and_asked_for_again(flow: Flow, danish: RealFrame) -> None:
    await flow.give(TOPIC)
    await flow.hear(danish.payload)
    await flow.submit(
        encryption_key="00" * 16, authentication_key="11" * 16, scaler_profile="energy_1_wh"
    )
    await flow.hear(danish.payload)
    assert (flow.result["step_id"], flow.result["errors"]) == ("keys", {"base": "wrong_keys"})


async def test_a_silent_topic_is_told_and_asked_for_again(flow: Flow) -> None:
    await flow.give(TOPIC)
    await flow.hear(b"no frame")
    while flow.result["type"] is FlowResultType.SHOW_PROGRESS:
        await flow.hear()
    assert flow.result["step_id"] == "user"
    assert flow.result["errors"] == {"raw_topic": "topic_silent"}


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"raw_topic": "amsreader/#"}, "topic_invalid"),
        ({"raw_topic": "+/raw"}, "topic_invalid"),
        ({"raw_topic": "$SYS/broker"}, "topic_invalid"),
        ({"raw_topic": "meter_node/4b414d4501a4dc52/push"}, "topic_invalid"),
        ({"raw_topic": "t" * 251}, "topic_invalid"),
        ({"raw_topic": "a\nb"}, "topic_invalid"),
        ({"raw_topic": TOPIC, "pairing_text": Meter().pairing_text}, "topic_alone"),
    ],
)
async def test_a_topic_that_does_not_serve_is_refused(
    flow: Flow, typed: dict[str, str], error: str
) -> None:
    topic = typed.pop("raw_topic")
    await flow.give(topic, **typed)
    assert flow.result["step_id"] == "user"
    assert flow.result["errors"] == {"raw_topic": error}


@pytest.fixture
def by_bluetooth_alone(flow: Flow) -> Iterator[None]:
    """There is another channel, and MQTT is not set up any more."""
    ours = "custom_components.meter_node"
    with (
        patch(f"{ours}.bluetooth.is_ready", return_value=True),
        patch(f"{ours}.mqtt.async_ready", return_value=False),
        patch(f"{ours}.bluetooth.advertised", return_value={}),
    ):
        yield


@pytest.mark.usefixtures("by_bluetooth_alone")
async def test_a_topic_without_mqtt_is_told_in_its_field(flow: Flow) -> None:
    await flow.give(TOPIC)
    assert flow.result["step_id"] == "user"
    assert flow.result["errors"] == {"raw_topic": "topic_needs_mqtt"}


async def test_mqtt_that_is_taken_away_while_a_topic_is_looked_at_is_told(
    flow: Flow, danish: RealFrame
) -> None:
    ours = "custom_components.meter_node"
    with patch(f"{ours}.raw_topic.async_subscribe", side_effect=HomeAssistantError("gone")):
        await flow.give(TOPIC)
        await flow.hear()
    assert flow.result["step_id"] == "user"
    assert flow.result["errors"] == {"raw_topic": "topic_needs_mqtt"}
    await flow.submit(raw_topic=TOPIC)  # it is there again
    await flow.hear(danish.payload)
    assert flow.result["step_id"] == "keys"


async def test_a_reader_does_not_move_where_mqtt_is_missing(
    flow: Flow, danish: RealFrame, by_bluetooth_alone: None
) -> None:
    entry = entry_of(flow.hass, danish.title, "energy_1_wh", danish.keys, topic="old/topic")
    flow.result = await entry.start_reconfigure_flow(flow.hass)
    await flow.submit(raw_topic=TOPIC)
    assert flow.result["errors"] == {"raw_topic": "topic_needs_mqtt"}
    assert entry.data["raw_topic"] == "old/topic"


async def test_new_keys_of_a_readers_meter_wait_for_mqtt(
    flow: Flow, danish: RealFrame, by_bluetooth_alone: None
) -> None:
    assert danish.keys is not None
    entry = entry_of(flow.hass, danish.title, "energy_1_wh", KEYS)
    flow.result = await entry.start_reauth_flow(flow.hass)
    await flow.submit(
        encryption_key=danish.keys.encryption.hex(),
        authentication_key=danish.keys.authentication.hex(),
    )
    assert flow.result["errors"] == {"base": "topic_needs_mqtt"}


async def test_a_meter_that_is_set_up_already_is_not_set_up_twice(
    flow: Flow, danish: RealFrame
) -> None:
    entry_of(flow.hass, danish.title, "energy_1_wh", danish.keys, topic=None)
    await flow.give(TOPIC)
    await flow.hear(danish.payload)
    assert flow.result["type"] is FlowResultType.ABORT
    assert flow.result["reason"] == "already_configured"


async def test_new_keys_keep_the_topic(flow: Flow, danish: RealFrame) -> None:
    assert danish.keys is not None
    entry = entry_of(flow.hass, danish.title, "energy_1_wh", KEYS)
    flow.result = await entry.start_reauth_flow(flow.hass)
    await flow.submit(
        encryption_key=danish.keys.encryption.hex(),
        authentication_key=danish.keys.authentication.hex(),
    )
    await flow.hear(danish.payload)
    assert flow.result["reason"] == "reauth_successful"
    assert entry.data["raw_topic"] == TOPIC
    assert entry.data["encryption_key"] == danish.keys.encryption.hex()


async def test_the_reader_may_move_to_another_topic(flow: Flow, danish: RealFrame) -> None:
    assert danish.keys is not None
    entry = entry_of(flow.hass, danish.title, "energy_1_wh", danish.keys, topic="old/topic")
    flow.result = await entry.start_reconfigure_flow(flow.hass)
    fields = flow.result["data_schema"].schema
    [field] = [field for field in fields if field == "raw_topic"]
    assert field.description == {"suggested_value": "old/topic"}
    await flow.submit(raw_topic="new/#")
    assert flow.result["errors"] == {"raw_topic": "topic_invalid"}
    await flow.submit(raw_topic=TOPIC)
    await flow.hear(danish.payload)
    assert flow.result["reason"] == "reconfigure_successful"
    assert entry.data["raw_topic"] == TOPIC
    assert entry.data["encryption_key"] == danish.keys.encryption.hex()


async def test_a_plain_meters_reader_may_move_too(
    flow: Flow, real_frames: dict[str, RealFrame]
) -> None:
    entry = entry_of(flow.hass, "5706567202753025", "energy_10_wh", None, topic="old/topic")
    flow.result = await entry.start_reconfigure_flow(flow.hass)
    assert set(flow.result["data_schema"].schema) == {"raw_topic"}
    await flow.submit(raw_topic=TOPIC)
    await flow.hear(real_frames["omnipower_3p_no_hourly_plain"].payload)
    assert flow.result["reason"] == "reconfigure_successful"
    assert entry.data == {"system_title": "5706567202753025", "raw_topic": TOPIC}


def test_a_topic_is_a_topic() -> None:
    assert is_topic("amsreader/raw")
    assert is_topic("måler/han 1")
    assert not is_topic("")


def test_a_frame_that_does_not_say_whose_it_is_belongs_to_nobody() -> None:
    assert whose(b"") is whose(b"\xdb\x08") is whose(b"\x0f\x00") is None
