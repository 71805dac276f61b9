"""Which frames move an entity, and what becomes of the others."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from integration_home import NOON, STATUS_TOPIC, THREE_PHASES, Home, Meter
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_fire_time_changed

from custom_components.meter_node.channel import hdlc
from custom_components.meter_node.channel.hello import Hello, hello_topic, push_topic
from custom_components.meter_node.channel.kamstrup_v0001 import SCALER_PROFILES
from custom_components.meter_node.channel.registers import REGISTERS, ROLLOVER_WH
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.ciphering import AesGcm
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.reader import MAX_PUSH_BYTES, MeterReader, NotTakenError
from custom_components.meter_node.store import MeterStore, async_get_store

OURS = "custom_components.meter_node"
OTHER = Keys(b"\xaa" * 16, b"\xbb" * 16)
P1_TELEGRAM = b"/KAM5\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n!0000\r\n"
UNKNOWN_LIST = bytes.fromhex("0f00000000000203 0a0558595a5631 0600000001 00".replace(" ", ""))
"""A data-notification without time: structure {"XYZV1", 1, null}."""

# A general-glo-ciphering begins DB 08 <8 bytes of title> <length 82 hi lo> <security control>.
SECURITY_CONTROL = 13
TAG = 12


def stripped(frame: bytes) -> bytes:
    """Make a frame "encrypted only": control 0x20, its tag cut off, its lengths right again."""
    length = int.from_bytes(frame[11:13]) - TAG
    assert frame[10] == 0x82
    return frame[:11] + length.to_bytes(2) + b"\x20" + frame[SECURITY_CONTROL + 1 : -TAG]


def flipped(frame: bytes) -> bytes:
    """Change one bit of the ciphertext."""
    return frame[:40] + bytes((frame[40] ^ 1,)) + frame[41:]


def of_another(meter: Meter) -> bytes:
    return Meter(b"MTN\x01\x00\x00\x99\x99", meter.keys).push()


REFUSED: dict[str, Any] = {
    "replay": lambda meter: meter.push(counter=900),
    "forged": lambda meter: flipped(meter.push()),
    "downgrade": lambda meter: stripped(meter.push()),
    "damaged": lambda meter: meter.push()[:-5],
    "other_meter": of_another,
    "foreign": lambda meter: P1_TELEGRAM,
    "unknown_list": lambda meter: meter.seal(UNKNOWN_LIST),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith(OURS)
    ]


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_refused_frame_moves_nothing_and_is_told_once(
    home: Home, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    before = home.states()
    for _ in range(2):
        home.broker.send(home.meter.push_topic, REFUSED[reason](home.meter), keep=False)
        await home.settle()
    assert home.states() == before
    assert home.coordinator.refused == {reason: 2}
    assert len(warnings(caplog)) == 1
    assert "Traceback" not in caplog.text


async def test_each_kind_of_refusal_is_warned_of_once_an_hour(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    for _ in range(4):  # good frames between make no difference
        await home.push()
        await home.push(P1_TELEGRAM)
        await home.push(of_another(home.meter))
        await home.wait(900)
    assert len(warnings(caplog)) == 2
    await home.push(P1_TELEGRAM)
    assert len(warnings(caplog)) == 3
    assert home.coordinator.refused == {"foreign": 5, "other_meter": 4}


@pytest.mark.parametrize(
    ("size", "reason"),
    [(MAX_PUSH_BYTES, "forged"), (MAX_PUSH_BYTES + 1, "damaged")],
)
async def test_a_frame_beyond_all_measure_is_refused_before_the_cipher(
    home: Home, size: int, reason: str
) -> None:
    await home.set_up()
    await home.push()
    header = b"\xdb\x08" + home.meter.system_title + b"\x82"
    behind = size - len(header) - 2
    frame = header + behind.to_bytes(2) + b"\x30" + (2000).to_bytes(4) + bytes(behind - 5)
    assert len(frame) == size
    with patch.object(AesGcm, "open", autospec=True, side_effect=AesGcm.open) as opened:
        await home.push(frame)
    assert home.coordinator.refused == {reason: 1}
    assert opened.called == (reason == "forged")


def test_a_full_push_is_far_from_the_limit(meter: Meter) -> None:
    everything = {register.key: 1 for register in REGISTERS if register.quantity.pushed}
    assert 3 * len(meter.seal(meter.body(everything, NOON))) < MAX_PUSH_BYTES


async def test_plain_frames_are_refused_where_there_are_keys(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.push(home.meter.body({"import_active_energy": 99_999_999}))
    assert home.state("import_active_energy") == "12345.678"
    assert home.coordinator.refused == {"downgrade": 1}


async def test_an_empty_message_is_no_frame(home: Home) -> None:
    await home.set_up()
    home.broker.send(home.meter.push_topic, b"")
    await home.settle()
    assert home.coordinator.refused == {"damaged": 1}


async def test_a_frame_may_come_in_hdlc_too(home: Home) -> None:
    await home.set_up()
    information = hdlc.LLC_TO_CLIENT + home.meter.push()
    await home.push(hdlc.encode(hdlc.Frame(b"\x41", b"\x03", hdlc.UI, information)))
    assert home.state("import_active_energy") == "12345.678"


async def test_a_duplicate_is_dropped_in_silence(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    frame = home.meter.push()
    await home.push(frame)
    await home.push(frame)
    assert warnings(caplog) == []
    assert home.coordinator.accepted == 1


async def test_the_same_counter_with_other_bytes_is_a_replay(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.push(home.meter.push(counter=home.meter.counter, voltage_l1=1))
    assert home.state("voltage_l1") == "230.12"
    assert home.coordinator.refused == {"replay": 1}


async def test_a_forged_frame_does_not_move_the_counter(home: Home) -> None:
    await home.set_up()
    await home.push()
    forged = home.meter.seal(home.meter.body({}), counter=0xFFFFFFF0, keys=OTHER)
    await home.push(forged)
    await home.push(voltage_l1=23_500)
    assert home.state("voltage_l1") == "235.0"


# --- over a restart ------------------------------------------------------------------------------


async def test_a_frame_of_before_the_restart_is_a_replay_after_it(home: Home) -> None:
    await home.set_up()
    old = home.meter.push(voltage_l1=1)
    await home.push()
    await home.restart()
    await home.push(old)
    assert home.coordinator.refused == {"replay": 1}
    assert home.state("voltage_l1") == "230.12"


async def test_a_good_frame_counts_even_if_its_list_is_not_understood(home: Home) -> None:
    await home.set_up()
    old = home.meter.push()
    await home.push(home.meter.seal(UNKNOWN_LIST))
    await home.restart()
    await home.push(old)
    assert home.coordinator.refused["replay"] == 1
    assert home.states() == {}


async def test_the_counter_is_on_disk_half_a_minute_after_its_frame(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    kept = hass_storage[DOMAIN]["data"][home.meter.title]
    assert kept["highest"] == 1001


async def test_pushes_each_second_do_not_put_the_saving_off(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    for _ in range(35):
        await home.push()
        await home.wait(1)
    assert hass_storage[DOMAIN]["data"][home.meter.title]["highest"] >= 1025


async def test_the_last_frame_is_shown_once_more_after_a_restart_while_it_is_young(
    home: Home,
) -> None:
    await home.set_up()
    await home.push()
    home.freezer.tick(29)
    await home.restart()
    assert home.state("import_active_energy") == "12345.678"
    assert home.coordinator.available


async def test_an_old_last_frame_is_not_shown_after_a_restart(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    home.freezer.tick(31)
    await home.restart()
    assert home.state("import_active_energy") == "unavailable"
    assert warnings(caplog) == []


async def test_a_kept_frame_that_came_while_away_is_shown(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.freezer.tick(timedelta(hours=5))
    home.broker.keep(home.meter.push_topic, home.meter.push(import_active_energy=12_400_000))
    home.freezer.tick(29)
    await home.set_up()
    assert home.state("import_active_energy") == "12400.0"


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_an_old_kept_frame_gives_entities_their_shape_and_no_life(
    home: Home, known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if known:
        await home.set_up()
        await home.push()
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.broker.keep(home.meter.push_topic, home.meter.push(import_active_energy=12_400_000))
    home.freezer.tick(31)
    await home.set_up()
    assert home.state("import_active_energy") == home.state("voltage_l1") == "unavailable"
    assert home.coordinator.data.values["import_active_energy"] == 12_400_000
    assert warnings(caplog) == []
    await home.push(import_active_energy=12_400_001, voltage_l1=22_000)
    assert home.state("import_active_energy") == "12400.001"
    assert home.state("voltage_l1") == "220.0"


async def test_the_totals_of_an_old_kept_frame_hold(home: Home) -> None:
    home.broker.keep(home.meter.push_topic, home.meter.push(import_active_energy=5_000))
    home.freezer.tick(timedelta(days=1))
    await home.set_up()
    await home.push(import_active_energy=4_999)
    assert home.state("import_active_energy") == "5.0"


async def test_an_old_kept_frame_that_opens_does_not_keep_new_keys_from_being_asked_for(
    home: Home,
) -> None:
    old = home.meter.push()
    home.freezer.tick(timedelta(days=1))
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body({}), keys=OTHER))
    home.broker.hand_over(home.meter.push_topic, old)
    await home.settle()
    assert home.coordinator.accepted == 1
    await home.wait(31)
    assert len(home.reauthentications()) == 1


@pytest.mark.parametrize("years", [-6, 6])
async def test_a_live_frame_is_shown_whatever_the_meters_clock_says(home: Home, years: int) -> None:
    await home.set_up()
    for _ in range(6):
        at = dt_util.utcnow() + timedelta(days=365 * years)
        await home.push(home.meter.seal(home.meter.body(THREE_PHASES, at)))
        await home.wait(29)
        assert home.state("voltage_l1") == "230.12"


async def test_new_keys_begin_with_a_counter_of_their_own(home: Home) -> None:
    await home.set_up()
    await home.push()
    home.meter.keys, home.meter.counter = OTHER, 5
    home.hass.config_entries.async_update_entry(home.entry, data=home.meter.entry_data)
    await home.restart()
    await home.push(voltage_l1=22_000)
    assert home.state("voltage_l1") == "220.0"


async def test_the_file_gives_no_key_away(home: Home, hass_storage: dict[str, Any]) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    kept = str(hass_storage[DOMAIN])
    assert home.meter.keys.encryption.hex() not in kept
    assert home.meter.keys.authentication.hex() not in kept


async def test_two_meters_keep_their_counters_apart(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    second = Meter(b"MTN\x01\x00\x00\x08\x15", OTHER, counter=7)
    entry = MockConfigEntry(
        domain=DOMAIN, title="162M 0815", unique_id=second.title, data=second.entry_data
    )
    entry.add_to_hass(home.hass)
    home.broker.keep(second.hello_topic, second.hello())
    await home.set_up()  # sets all entries of the integration up
    await home.push()
    await home.push(second.push())  # on the first one's topic: not listened to
    home.broker.send(second.push_topic, second.push())
    await home.settle()
    await home.wait(31)
    kept = hass_storage[DOMAIN]["data"]
    assert kept[home.meter.title]["highest"] == 1001
    assert kept[second.title]["highest"] == 9
    assert home.coordinator.refused == {"other_meter": 1}


async def test_a_removed_meter_is_forgotten(home: Home, hass_storage: dict[str, Any]) -> None:
    await home.set_up()
    await home.push()
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    await home.settle()
    assert hass_storage[DOMAIN]["data"] == {}


async def test_unloading_leaves_no_subscription_no_timer_and_no_waiting_write(
    home: Home, mqtt_client_mock: Any, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    await home.push()
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.freezer.tick(1)
    async_fire_time_changed(home.hass)
    await home.settle()
    left = {topic for call in mqtt_client_mock.unsubscribe.call_args_list for topic in call.args[0]}
    assert left == {home.meter.hello_topic, home.meter.push_topic, STATUS_TOPIC}
    assert hass_storage[DOMAIN]["data"][home.meter.title]["highest"] == 1001
    names = [str(handle) for handle in home.hass.loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert not [name for name in names if "meter_node" in name]
    assert home.entry.state is ConfigEntryState.NOT_LOADED


async def test_without_mqtt_the_entry_is_tried_again_later(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    assert not await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "no_channel"


# --- totals --------------------------------------------------------------------------------------


async def test_a_total_never_goes_down(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    await home.set_up()
    await home.push(import_active_energy=5_000)
    await home.push(import_active_energy=4_999)
    await home.push(import_active_energy=0)
    assert home.state("import_active_energy") == "5.0"
    assert len(warnings(caplog)) == 1
    await home.push(import_active_energy=5_001)
    assert home.state("import_active_energy") == "5.001"


async def test_a_total_does_not_go_down_over_a_restart_either(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=5_000)
    await home.restart()
    await home.push(import_active_energy=10)
    assert home.state("import_active_energy") == "5.0"


async def test_a_total_may_roll_over(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    await home.set_up()
    await home.push(import_active_energy=ROLLOVER_WH - 3)
    await home.push(import_active_energy=4)
    assert home.state("import_active_energy") == "0.004"
    assert len(warnings(caplog)) == 1


async def test_a_zero_that_the_meter_signed_is_shown(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=0)
    assert home.state("import_active_energy") == "0.0"


async def test_a_quantity_that_goes_up_and_down_is_shown_as_it_comes(home: Home) -> None:
    await home.set_up()
    await home.push(voltage_l1=23_012)
    await home.push(voltage_l1=22_990)
    assert home.state("voltage_l1") == "229.9"


# --- plain meters --------------------------------------------------------------------------------

PLAIN_NUMBER = "98764711"


@pytest.fixture
def plain() -> MeterReader:
    """The reader of a meter that was paired without keys."""
    return MeterReader(PLAIN_NUMBER, None, SCALER_PROFILES["energy_1_wh"])


def test_a_plain_frame_that_the_broker_kept_must_prove_its_youth(
    plain: MeterReader, meter: Meter
) -> None:
    assert plain.read(meter.body({"frequency": 50_000}, NOON), retained=True).repeated
    later = NOON + timedelta(seconds=10)
    assert not plain.read(meter.body({"frequency": 50_000}, later), retained=False).repeated


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (lambda meter: meter.push(), "ciphered"),
        (lambda meter: b"\x0f\x00\x00", "damaged"),
        (lambda meter: meter.body({}, NOON).replace(b"98764711", b"11112222"), "other_meter"),
    ],
)
def test_a_plain_entry_takes_plain_frames_of_its_meter_only(
    plain: MeterReader, meter: Meter, frame: Any, reason: str
) -> None:
    with pytest.raises(NotTakenError) as refused:
        plain.read(frame(meter), retained=False)
    assert refused.value.reason == reason


def test_the_same_plain_frame_twice_is_a_duplicate(plain: MeterReader, meter: Meter) -> None:
    frame = meter.body({}, NOON)
    plain.read(frame, retained=False)
    with pytest.raises(NotTakenError) as refused:
        plain.read(frame, retained=True)
    assert refused.value.reason == "duplicate"


async def test_a_plain_frame_without_time_is_not_shown_from_the_brokers_memory(
    home: Home, meter: Meter
) -> None:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Plain",
        unique_id=PLAIN_NUMBER,
        data={"system_title": PLAIN_NUMBER},
        options={"scaler_profile": "energy_1_wh"},
    )
    entry.add_to_hass(home.hass)
    hello = Hello("Kamstrup_V0001", PLAIN_NUMBER, "Plain", "1", 10, STATUS_TOPIC, ciphered=False)
    home.broker.keep(hello_topic(PLAIN_NUMBER), hello.to_json())
    # {"Kamstrup_V0001", 1.1.32.7.0.255, 230}, a long-unsigned, in a push without a time
    frame = bytes.fromhex("0f0000000000") + bytes.fromhex("0203") + b"\x0a\x0eKamstrup_V0001"
    frame += bytes.fromhex("0906010120 0700ff 1200e6".replace(" ", ""))
    home.broker.keep(push_topic(PLAIN_NUMBER), frame)
    home.entry = entry
    await home.set_up()
    assert home.state("voltage_l1") is None
    home.broker.send(push_topic(PLAIN_NUMBER), frame.replace(b"\x00\xe6", b"\x00\xe7"))
    await home.settle()
    assert home.state("voltage_l1") == "231.0"


async def test_ten_minutes_of_pushes_are_written_twenty_times_at_most(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    written: list[int] = []
    content = MeterStore._content

    def count(store: MeterStore) -> Any:
        written.append(1)
        return content(store)

    monkeypatch.setattr(MeterStore, "_content", count)
    for number in range(60):
        await home.push(import_active_energy=20_000_000 + number)
        await home.wait(10)
    assert 10 <= len(written) <= 20


async def test_what_cannot_wait_does_not_wait_for_the_pushes(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    await home.set_up()
    await home.push()  # to be written in half a minute
    home.coordinator.async_mark_history("import_active_energy", [7, 0])
    await home.push()
    await home.wait(3)
    kept = hass_storage[DOMAIN]["data"][home.meter.title]
    assert (kept["history"], kept["highest"]) == ({"import_active_energy": [7, 0]}, 1002)


async def test_what_a_newer_version_kept_besides_is_passed_over(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    kept = {"keys": "", "scaler_profile": "energy_1_wh", "of_the_future": 1, "totals": {"x": 1.0}}
    hass_storage[DOMAIN] = {"version": 1, "key": DOMAIN, "data": {"0815": kept}}
    await home.set_up()
    records = (await async_get_store(home.hass)).records
    assert records["0815"].totals == {"x": 1.0}
