"""The serial list: to the byte what real meters send, and when."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from module_house import (
    LIST_KEYS,
    ONE_PHASE,
    TWO_PHASES,
    ModuleHouse,
    pseudo_terminal,
    running,
    snapshot_of,
)

from meter_node.channel import apdu, frames, hdlc, kamstrup_v0001, lists, security
from meter_node.channel.reading import Reading
from meter_node.ciphering import PycryptodomeAead
from meter_node.ports import han
from tests.meter_node.channel.captures import CAPTURES, DANISH, SWEDISH
from tests.meter_node.channel.test_channel_kamstrup import MEANING

HOUR_S = 1_782_910_800  # 2026-07-01 13:00:00 UTC


def settings(**chosen: object) -> han.HanSettings:
    return han.HanSettings.model_validate({"kind": "han", **chosen})


def house_of(name: str, time: datetime, **identity: str) -> ModuleHouse:
    """A meter that stands as a captured one did."""
    published = CAPTURES[name].values
    values = {
        key: published[code] / per_unit
        for code, (key, per_unit) in MEANING.items()
        if code in published
    }
    return ModuleHouse(snapshot_of(values, int(time.timestamp()) * 10**9), **identity)


def read(frame: bytes, profile: str = "energy_1_wh") -> Reading:
    return lists.read(
        apdu.decode_data_notification(frames.apdu_of(frame)),
        kamstrup_v0001.SCALER_PROFILES[profile],
    )


def test_the_plain_list_is_a_captured_frame_but_for_the_model() -> None:
    # 18:58:50 in Sweden in January is 17:58:50 UTC.
    house = house_of(SWEDISH, datetime(2022, 1, 24, 17, 58, 50, tzinfo=UTC))
    captured = CAPTURES[SWEDISH].data
    model = b"6841138BN245101090"
    ours = b"382M 0.1.0        "
    written = han.plain(house.view, "energy_1_wh", hourly=False)
    assert len(written) == len(captured)
    theirs = hdlc.decode(captured)
    assert hdlc.decode(written) == hdlc.Frame(
        theirs.destination, theirs.source, theirs.control, theirs.information.replace(model, ours)
    )


def test_under_its_cipher_the_danish_list_is_a_captured_one_to_the_byte() -> None:
    # 14:47:20 in Denmark in January is 13:47:20 UTC.
    house = house_of(
        DANISH, datetime(2020, 1, 7, 13, 47, 20, tzinfo=UTC), number="27581522", model="382M"
    )
    written = han.ciphered(house.view, "energy_1_wh", LIST_KEYS, 77)
    captured = hdlc.decode(CAPTURES[DANISH].data)
    frame = hdlc.decode(written)
    assert (frame.destination, frame.source, frame.control) == (
        captured.destination, captured.source, captured.control
    )  # fmt: skip
    assert len(written) == len(CAPTURES[DANISH].data)
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    assert receiver.accept(frames.apdu_of(written)).plaintext == CAPTURES[DANISH].plaintext


def test_a_one_phase_meter_sends_its_shorter_lists() -> None:
    values = {"import_active_power": 100.0, "voltage_l1": 231.0, "current_l1": 0.43}
    house = ModuleHouse(snapshot_of(values, HOUR_S * 10**9), ONE_PHASE)
    for hourly, elements in ((False, 25), (True, 35)):
        notification = apdu.decode_data_notification(
            frames.apdu_of(han.plain(house.view, "energy_1_wh", hourly=hourly))
        )
        assert isinstance(notification.body, tuple)
        assert len(notification.body) == elements
        assert notification.body.count(None) == 8
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    sealed = han.ciphered(house.view, "energy_1_wh", LIST_KEYS, 1)
    plaintext = receiver.accept(frames.apdu_of(sealed)).plaintext
    body = apdu.decode_data_notification(plaintext).body
    assert isinstance(body, tuple)
    assert len(body) == 37
    assert None not in body


@pytest.mark.parametrize(
    ("hourly", "elements"),
    # Name, two texts, four powers, three currents, three voltages; then a clock and four energies.
    [(False, 1 + 2 * (2 + 4 + 3 + 3)), (True, 1 + 2 * (2 + 4 + 3 + 3 + 1 + 4))],
)
def test_a_two_phase_meter_has_null_data_where_l3_would_be(hourly: bool, elements: int) -> None:
    values = {f"{what}_l{phase}": 1.0 for what in ("voltage", "current") for phase in (1, 2)}
    house = ModuleHouse(snapshot_of(values, HOUR_S * 10**9), TWO_PHASES)
    frame = han.plain(house.view, "energy_1_wh", hourly=hourly)
    body = apdu.decode_data_notification(frames.apdu_of(frame)).body
    assert isinstance(body, tuple)
    assert len(body) == elements
    # Name and value of a current and of a voltage.
    assert body.count(None) == 4
    told = read(frame).values
    assert {key for key in told if "_l" in key} == values.keys()


def test_a_two_phase_meters_ciphered_list_has_null_data_for_all_of_l3() -> None:
    house = ModuleHouse(variant=TWO_PHASES)
    sealed = han.ciphered(house.view, "energy_1_wh", LIST_KEYS, 1)
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    plaintext = receiver.accept(frames.apdu_of(sealed)).plaintext
    notification = apdu.decode_data_notification(plaintext)
    assert isinstance(notification.body, tuple)
    assert len(notification.body) == 65
    # Voltage, current, power factor; power and energy in both directions: name and value of seven.
    assert notification.body.count(None) == 14
    told = lists.read(notification, kamstrup_v0001.SCALER_PROFILES["energy_1_wh"]).values
    assert "voltage_l2" in told
    assert not [key for key in told if key.endswith("_l3")]


def test_norwegian_energy_is_in_tens_and_cut_off() -> None:
    house = ModuleHouse()  # 12 345 999 Wh
    frame = han.plain(house.view, "energy_10_wh", hourly=True)
    assert read(frame, "energy_10_wh").values["import_active_energy"] == 12_345_990
    assert read(frame, "energy_1_wh").values["import_active_energy"] == 1_234_599


def test_in_summer_the_list_has_local_time_without_saying_so() -> None:
    house = ModuleHouse()  # 14:00:05 in Copenhagen in July
    time = read(han.plain(house.view, "energy_1_wh", hourly=True)).time
    assert time is not None
    assert (time.local.hour, time.deviation_minutes, time.status) == (14, None, 0)


def test_every_10_s_a_list_and_at_five_past_the_hour_the_longer_one() -> None:
    due = han.Due()
    sent = [
        (second - HOUR_S, *lists)
        for second in range(HOUR_S - 20, HOUR_S + 21, 5)
        if any(lists := due.lists(second))
    ]
    assert sent == [
        (-20, True, False), (-10, True, False), (0, True, False), (5, False, True),
        (10, True, False), (20, True, False),
    ]  # fmt: skip


def test_an_hourly_list_comes_once_an_hour_and_late_where_the_image_was() -> None:
    due = han.Due()
    hours = [second for second in range(HOUR_S, HOUR_S + 7_200, 10) if due.lists(second)[1]]
    assert hours == [HOUR_S + 10, HOUR_S + 3_610]


def test_an_hour_that_began_before_the_module_gets_no_list() -> None:
    due = han.Due()
    assert not any(due.lists(second)[1] for second in range(HOUR_S + 70, HOUR_S + 3_600, 5))


def test_a_plain_module_wants_an_image_every_5_s_and_a_ciphered_one_every_10() -> None:
    assert settings().beat_s == 5
    assert settings(ciphered=True).beat_s == 10


async def test_lists_go_into_a_file_and_each_number_once(tmp_path: Path) -> None:
    house, path = ModuleHouse(), tmp_path / "lists"
    async with running(han.run(house.view, settings(bearer=f"file:{path}", ciphered=True))):
        await house.play(5)
    found = hdlc.FrameReader().feed(path.read_bytes())
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    numbers = [
        receiver.accept(frames.information_apdu(frame)).counter
        for frame in found
        if isinstance(frame, hdlc.Frame)
    ]
    assert numbers == [1000, 1001, 1002, 1003, 1004]


async def test_lists_go_over_a_serial_line(socket_enabled: None) -> None:
    master, slave = pseudo_terminal()
    house = ModuleHouse()  # 14:00:05
    bearer = f"serial://{os.ttyname(slave)}?baudrate=2400"
    async with running(han.run(house.view, settings(bearer=bearer))):
        await house.play(3)
        got = os.read(master, 4096)
    os.close(master)
    os.close(slave)
    found = [frame for frame in hdlc.FrameReader().feed(got) if isinstance(frame, hdlc.Frame)]
    read = [apdu.decode_data_notification(frames.information_apdu(frame)) for frame in found]
    # The first image is of a minute after the hour.
    assert [(one.time.local.second, len(one.body)) for one in read] == [
        (15, 25), (15, 35), (25, 25), (35, 25)
    ]  # fmt: skip


@pytest.mark.parametrize("number", ["1", "AB-12", "12345678901234567"])
def test_texts_are_as_long_as_real_ones_whatever_the_meters_number(number: str) -> None:
    texts = han.texts(ModuleHouse(number=number[:16]).view.identity)
    assert len(texts["gs1_number"]) == 16
    assert len(texts["model"]) == 18
    assert 0 <= int(texts["meter_number"]) < 2**32


def test_two_numbers_without_digits_are_two_in_the_list() -> None:
    first, second = (
        han.texts(ModuleHouse(number=number).view.identity)["meter_number"]
        for number in ("ABC", "XYZ")
    )
    assert first != second
