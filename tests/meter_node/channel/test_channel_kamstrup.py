"""The real meters' list: every value of the captures, and what other firmware sends."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from meter_node.channel import apdu, axdr, frames, kamstrup_v0001, lists
from meter_node.channel.apdu import DataNotification
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.kamstrup_v0001 import LAYOUTS, SCALER_PROFILES, ScalerProfile
from meter_node.channel.reading import ListError, Reading
from meter_node.channel.security import Keys, Receiver
from meter_node.ciphering import PycryptodomeAead
from tests.meter_node.channel.captures import (
    CAPTURES,
    DANISH,
    DUMMY_KEYS,
    KAIFA,
    P1,
    SWEDISH,
    read_axdr,
)

ONE_WH = SCALER_PROFILES["energy_1_wh"]
TEN_WH = SCALER_PROFILES["energy_10_wh"]

# facts/dlms.md, "Object model", with the B = 1 of the real meters; the power of ten of each as
# under "Frame of the real meters": energy 1 Wh, power 1 W, current -2, voltage 0, factor -2.
MEANING = {
    "1.1.1.8.0.255": ("import_active_energy", 1),
    "1.1.2.8.0.255": ("export_active_energy", 1),
    "1.1.3.8.0.255": ("import_reactive_energy", 1),
    "1.1.4.8.0.255": ("export_reactive_energy", 1),
    "1.1.1.7.0.255": ("import_active_power", 1),
    "1.1.2.7.0.255": ("export_active_power", 1),
    "1.1.3.7.0.255": ("import_reactive_power", 1),
    "1.1.4.7.0.255": ("export_reactive_power", 1),
    "1.1.32.7.0.255": ("voltage_l1", 1),
    "1.1.52.7.0.255": ("voltage_l2", 1),
    "1.1.72.7.0.255": ("voltage_l3", 1),
    "1.1.31.7.0.255": ("current_l1", 100),
    "1.1.51.7.0.255": ("current_l2", 100),
    "1.1.71.7.0.255": ("current_l3", 100),
    "1.1.21.7.0.255": ("import_active_power_l1", 1),
    "1.1.41.7.0.255": ("import_active_power_l2", 1),
    "1.1.61.7.0.255": ("import_active_power_l3", 1),
    "1.1.33.7.0.255": ("power_factor_l1", 100),
    "1.1.53.7.0.255": ("power_factor_l2", 100),
    "1.1.73.7.0.255": ("power_factor_l3", 100),
    "1.1.13.7.0.255": ("power_factor", 100),
    "1.1.22.7.0.255": ("export_active_power_l1", 1),
    "1.1.42.7.0.255": ("export_active_power_l2", 1),
    "1.1.62.7.0.255": ("export_active_power_l3", 1),
    "1.1.22.8.0.255": ("export_active_energy_l1", 1),
    "1.1.42.8.0.255": ("export_active_energy_l2", 1),
    "1.1.62.8.0.255": ("export_active_energy_l3", 1),
    "1.1.21.8.0.255": ("import_active_energy_l1", 1),
    "1.1.41.8.0.255": ("import_active_energy_l2", 1),
    "1.1.61.8.0.255": ("import_active_energy_l3", 1),
}
TEXTS = {
    "1.1.0.0.1.255": "meter_number",
    "1.1.0.0.5.255": "gs1_number",
    "1.1.96.1.1.255": "model",
}
CLOCK = "0.1.1.0.0.255"
LAYOUT = {
    DANISH: "three_phase_danish",
    DUMMY_KEYS: "three_phase_danish",
    SWEDISH: "three_phase_10_s",
}
OMNIPOWER = tuple(LAYOUT)


def notification_of(name: str) -> DataNotification:
    """Go the program's whole way from the line to the data-notification."""
    capture = CAPTURES[name]
    data = frames.apdu_of(capture.data)
    if capture.encryption_key:
        keys = Keys(capture.encryption_key, capture.authentication_key)
        title = bytes.fromhex(capture.expected["system_title"])
        data = Receiver(PycryptodomeAead(), title, keys).accept(data).plaintext
    return apdu.decode_data_notification(data)


def reading_of(name: str, profile: ScalerProfile = ONE_WH) -> Reading:
    return lists.read(notification_of(name), profile)


def obis(text: str) -> bytes:
    return bytes(int(group) for group in text.split("."))


def flat_list(*elements: Any) -> DataNotification:
    """Return a push whose list was put together here, element by element."""
    return DataNotification(0, None, ("Kamstrup_V0001", *elements))


def local_time(published: str) -> datetime:
    """Return the local time of ``2020-01-07T14:47:20 dev=n/a status=00``."""
    return datetime.fromisoformat(published.split(maxsplit=1)[0])


# --- the captures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [(name, code) for name in OMNIPOWER for code in CAPTURES[name].values if code in MEANING],
)
def test_a_real_frame_gives_each_published_value(name: str, code: str) -> None:
    key, per_unit = MEANING[code]
    assert reading_of(name).values[key] == CAPTURES[name].values[code] / per_unit


@pytest.mark.parametrize("name", OMNIPOWER)
def test_a_real_frame_gives_nothing_that_was_not_sent(name: str) -> None:
    sent = {MEANING[code][0] for code in CAPTURES[name].values if code in MEANING}
    assert set(reading_of(name).values) == sent


@pytest.mark.parametrize("name", OMNIPOWER)
def test_a_real_frame_gives_the_texts_that_identify_its_meter(name: str) -> None:
    published = CAPTURES[name].values
    assert reading_of(name).texts == {
        TEXTS[code]: str(value) for code, value in published.items() if code in TEXTS
    }


@pytest.mark.parametrize("name", OMNIPOWER)
def test_a_real_frame_gives_the_meters_clock_without_a_deviation(name: str) -> None:
    expected = CAPTURES[name].expected
    published = expected["values"].get(CLOCK, expected["apdu_dt"])
    assert reading_of(name).time == CosemDateTime(local_time(published), None, 0)


@pytest.mark.parametrize("name", OMNIPOWER)
def test_a_real_frames_notification_has_the_published_time_and_number(name: str) -> None:
    expected = CAPTURES[name].expected
    notification = notification_of(name)
    assert notification.time == CosemDateTime(local_time(expected["apdu_dt"]), None, 0)
    assert notification.invoke_id == int(expected["long_invoke"], 16)


@pytest.mark.parametrize("name", OMNIPOWER)
def test_a_real_frames_list_is_named(name: str) -> None:
    assert reading_of(name).list_name == CAPTURES[name].expected["values"]["list"]


@pytest.mark.parametrize("name", OMNIPOWER)
def test_the_list_written_from_the_published_values_is_the_captured_one_to_the_byte(
    name: str,
) -> None:
    published = CAPTURES[name].values
    expected = CAPTURES[name].expected
    clock = local_time(published.get(CLOCK, expected["apdu_dt"]))
    written = kamstrup_v0001.encode(
        LAYOUTS[LAYOUT[name]],
        ONE_WH,
        CosemDateTime(clock, None, 0),
        {
            key: published[code] / per_unit
            for code, (key, per_unit) in MEANING.items()
            if code in published
        },
        {TEXTS[code]: str(value) for code, value in published.items() if code in TEXTS},
    )
    # 0F, four bytes of number, 0C and twelve of time stand before the list.
    assert written == CAPTURES[name].plaintext[18:]


def test_the_kaifa_frame_is_refused_by_its_makers_name() -> None:
    with pytest.raises(frames.ForeignError, match=r"M-Bus .*Kaifa"):
        frames.apdu_of(CAPTURES[KAIFA].data)


def test_the_p1_telegram_is_refused_by_its_protocols_name() -> None:
    with pytest.raises(frames.ForeignError, match=r"P1 telegram .*/KAM5"):
        frames.apdu_of(CAPTURES[P1].data)


# --- scaler profiles -----------------------------------------------------------------------------


def test_a_norwegian_meter_counts_ten_watt_hours() -> None:
    raw = CAPTURES[DANISH].values["1.1.1.8.0.255"]
    assert reading_of(DANISH, TEN_WH).values["import_active_energy"] == raw * 10


def test_a_norwegian_meter_counts_reactive_energy_in_tens_too() -> None:
    raw = CAPTURES[DANISH].values["1.1.3.8.0.255"]
    assert reading_of(DANISH, TEN_WH).values["import_reactive_energy"] == raw * 10


def test_the_ten_watt_hour_profile_changes_energy_alone() -> None:
    one, ten = reading_of(DUMMY_KEYS).values, reading_of(DUMMY_KEYS, TEN_WH).values
    assert {key for key in one if one[key] != ten[key]} == {
        MEANING[code][0]
        for code, raw in CAPTURES[DUMMY_KEYS].values.items()
        if code.split(".")[3] == "8" and raw != 0
    }


def test_norway_is_offered_ten_watt_hours_by_default_and_its_neighbours_one() -> None:
    profile_of = {
        country: kamstrup_v0001.SCALER_PROFILE_OF_COUNTRY.get(
            country, kamstrup_v0001.DEFAULT_SCALER_PROFILE
        )
        for country in ("NO", "SE", "DK")
    }
    assert {country: SCALER_PROFILES[key].energy for country, key in profile_of.items()} == {
        "NO": 1,
        "SE": 0,
        "DK": 0,
    }


def test_firmware_of_2025_sends_voltages_in_hundredths() -> None:
    reading = lists.read(flat_list(obis("1.1.32.7.0.255"), 22199), ONE_WH)
    assert reading.values["voltage_l1"] == 221.99


def test_a_dead_phase_is_read_in_hundredths_beside_a_live_one() -> None:
    push = flat_list(obis("1.1.32.7.0.255"), 23005, obis("1.1.52.7.0.255"), 412)
    assert lists.read(push, ONE_WH).values["voltage_l2"] == 4.12


def test_the_highest_voltage_of_a_400_volt_line_still_counts_in_volts() -> None:
    # 400 V between phases of an IT net, 10 % over.
    push = flat_list(obis("1.1.32.7.0.255"), 440)
    assert lists.read(push, ONE_WH).values["voltage_l1"] == 440


def test_a_profile_that_knows_the_voltages_scaler_is_believed() -> None:
    push = flat_list(obis("1.1.32.7.0.255"), 412)
    reading = lists.read(push, ScalerProfile("hundredths", energy=0, voltage=-2))
    assert reading.values["voltage_l1"] == 4.12


# --- the other lists -----------------------------------------------------------------------------

_TEN_SECONDS = [
    ("1.1.0.0.5.255", "5706567326590407"),
    ("1.1.96.1.1.255", "6841121BN243101040"),
    ("1.1.1.7.0.255", 1083),
    ("1.1.2.7.0.255", 0),
    ("1.1.3.7.0.255", 0),
    ("1.1.4.7.0.255", 250),
    ("1.1.31.7.0.255", 467),
    ("1.1.51.7.0.255", None),
    ("1.1.71.7.0.255", None),
    ("1.1.32.7.0.255", 231),
    ("1.1.52.7.0.255", None),
    ("1.1.72.7.0.255", None),
]
_HOUR = bytes.fromhex("07EA 03 0C 04 0F 00 05 FF 8000 00")  # Thursday 2026-03-12 15:00:05


def one_phase_push() -> bytes:
    """Return the 10 s list of a one-phase meter: null-data in place of names and of values."""
    elements = [axdr.visible_string("Kamstrup_V0001")]
    for code, value in _TEN_SECONDS:
        if value is None:
            elements += [b"\x00", b"\x00"]
        else:
            elements.append(b"\x09\x06" + obis(code))
            elements.append(
                b"\x0a" + bytes([len(value)]) + value.encode()
                if isinstance(value, str)
                else b"\x06" + value.to_bytes(4)
            )
    assert len(elements) == 25
    assert elements.count(b"\x00") == 8
    return b"\x0f\0\0\0\0\x0c" + _HOUR + b"\x02\x19" + b"".join(elements)


def test_a_one_phase_meters_null_data_are_passed_over() -> None:
    reading = lists.read(apdu.decode_data_notification(one_phase_push()), ONE_WH)
    assert reading.values == {
        "import_active_power": 1083,
        "export_active_power": 0,
        "import_reactive_power": 0,
        "export_reactive_power": 250,
        "current_l1": 4.67,
        "voltage_l1": 231,
    }


def test_a_lone_null_in_place_of_an_item_does_not_shift_what_follows() -> None:
    push = flat_list(None, obis("1.1.32.7.0.255"), 231, None, obis("1.1.31.7.0.255"), 467)
    assert lists.read(push, ONE_WH).values == {"voltage_l1": 231, "current_l1": 4.67}


def test_a_one_phase_meters_name_with_a_null_value_is_passed_over() -> None:
    push = flat_list(obis("1.1.52.7.0.255"), None, obis("1.1.32.7.0.255"), 231)
    assert lists.read(push, ONE_WH).values == {"voltage_l1": 231}


def test_a_one_phase_danish_list_of_37_elements_is_read() -> None:
    # No capture of one is published. The three-phase list's 32 items less the seven quantities of
    # each of L2 and L3 leave 18, which with the list's name are the 37 elements that were reported.
    missing = {f"1.1.{c}.7.0.255" for c in (52, 72, 51, 71, 41, 61, 53, 73, 42, 62)}
    missing |= {f"1.1.{c}.8.0.255" for c in (42, 62, 41, 61)}
    sent = {code: raw for code, raw in CAPTURES[DANISH].values.items() if code not in missing}
    push = flat_list(
        *(
            part
            for code, raw in sent.items()
            for part in (obis(code), _HOUR if code == CLOCK else raw)
        )
    )
    assert isinstance(push.body, tuple)
    assert len(push.body) == 37
    assert lists.read(push, ONE_WH).values == {
        MEANING[code][0]: raw / MEANING[code][1] for code, raw in sent.items() if code in MEANING
    }


def hourly_push() -> DataNotification:
    elements: list[Any] = []
    for code in CAPTURES[SWEDISH].values:
        elements += [obis(code), CAPTURES[SWEDISH].values[code]]
    elements += [obis(CLOCK), _HOUR]
    for number, raw in enumerate((600_123, 0, 3_456, 78_901), 1):
        elements += [obis(f"1.1.{number}.8.0.255"), raw]
    push = flat_list(*elements)
    assert isinstance(push.body, tuple)
    assert len(push.body) == 35
    return push


def test_the_hourly_list_brings_the_four_totals() -> None:
    values = lists.read(hourly_push(), ONE_WH).values
    assert {key: value for key, value in values.items() if key.endswith("energy")} == {
        "import_active_energy": 600_123,
        "export_active_energy": 0,
        "import_reactive_energy": 3_456,
        "export_reactive_energy": 78_901,
    }


def test_the_hourly_lists_own_clock_is_the_readings_time() -> None:
    reading = lists.read(hourly_push(), ONE_WH)
    assert reading.time == CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("key", "elements"),
    [
        ("three_phase_10_s", 25),
        ("three_phase_hourly", 35),
        ("three_phase_danish", 65),
        ("two_phase_10_s", 25),
        ("two_phase_hourly", 35),
        ("two_phase_danish", 65),
        ("one_phase_10_s", 25),
        ("one_phase_hourly", 35),
        ("one_phase_danish", 37),
    ],
)
def test_a_layout_has_as_many_elements_as_the_real_meters(key: str, elements: int) -> None:
    assert LAYOUTS[key].elements == elements


def test_the_hourly_list_is_written_with_the_elements_it_announces() -> None:
    layout = LAYOUTS["three_phase_hourly"]
    values = {key: 1.0 for key, _ in MEANING.values()}
    texts = {"gs1_number": "5706567326590407", "model": "6841138BN245101090"}
    clock = CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001
    written = kamstrup_v0001.encode(layout, ONE_WH, clock, values, texts)
    assert len(read_axdr(written).value) == 35


def test_a_one_phase_list_is_written_with_null_data_as_real_ones_have_it() -> None:
    layout = LAYOUTS["one_phase_10_s"]
    values = {MEANING[code][0]: 1 for code, value in _TEN_SECONDS if code in MEANING}
    texts = {"gs1_number": "5706567326590407", "model": "6841138BN245101090"}
    clock = CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001
    written = read_axdr(kamstrup_v0001.encode(layout, ONE_WH, clock, values, texts)).value
    places = [place for place, element in enumerate(written) if element.value is None]
    # Behind name, 2 texts, 4 powers and a current of two elements each: 15 to 18; then a voltage.
    assert places == [15, 16, 17, 18, 21, 22, 23, 24]


def test_an_exact_value_is_cut_off_at_the_lists_resolution() -> None:
    layout = LAYOUTS["three_phase_hourly"]
    values = {key: Decimal("1999.99") for key, _ in MEANING.values()}
    texts = {"gs1_number": "5706567326590407", "model": "6841138BN245101090"}
    clock = CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001
    written = read_axdr(kamstrup_v0001.encode(layout, TEN_WH, clock, values, texts)).value
    energies = written[-7::2]  # four pairs of name and value
    assert [element.value for element in energies] == [199, 199, 199, 199]


def test_an_energy_beyond_32_bits_rolls_over() -> None:
    layout = LAYOUTS["three_phase_hourly"]
    values = {key: Decimal(0) for key, _ in MEANING.values()}
    values["import_active_energy"] = Decimal(2**32 + 5)
    texts = {"gs1_number": "5706567326590407", "model": "6841138BN245101090"}
    clock = CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001
    written = read_axdr(kamstrup_v0001.encode(layout, ONE_WH, clock, values, texts)).value
    assert written[-7].value == 5


def test_a_value_that_the_layout_wants_and_nobody_gave_is_an_error() -> None:
    clock = CosemDateTime(datetime(2026, 3, 12, 15, 0, 5), None, 0)  # noqa: DTZ001
    with pytest.raises(KeyError):
        kamstrup_v0001.encode(LAYOUTS["three_phase_10_s"], ONE_WH, clock, {}, {})


def test_a_quantity_that_this_version_does_not_know_is_passed_over() -> None:
    push = flat_list(obis("1.1.92.7.0.255"), 5, obis("1.1.32.7.0.255"), 231)
    assert lists.read(push, ONE_WH).values == {"voltage_l1": 231}


# --- what is not one -----------------------------------------------------------------------------


def test_an_unknown_list_is_refused_by_its_name() -> None:
    with pytest.raises(ListError, match="AIDON_V0001"):
        lists.read(DataNotification(0, None, ("AIDON_V0001", b"\x01")), ONE_WH)


@pytest.mark.parametrize(
    "body", [None, 5, "Kamstrup_V0001", [], (), (b"Kamstrup_V0001",), ["Kamstrup_V0001"]]
)
def test_a_push_without_a_named_list_is_refused(body: axdr.Value) -> None:
    with pytest.raises(ListError, match="no named list"):
        lists.read(DataNotification(0, None, body), ONE_WH)


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param((obis("1.1.1.7.0.255"),), id="a name without a value"),
        pytest.param((obis("1.1.1.7.0"), 5), id="a name of five bytes"),
        pytest.param((7, 5), id="a number in place of a name"),
        pytest.param((obis("1.1.1.7.0.255"), "5"), id="a text in place of a number"),
        pytest.param((obis("1.1.1.7.0.255"), True), id="a boolean in place of a number"),
        pytest.param((obis("1.1.1.7.0.255"), [5]), id="an array in place of a number"),
        pytest.param((obis(CLOCK), b"\x07\xea\x0d"), id="a clock cut short"),
        pytest.param((obis(CLOCK), _HOUR[:2] + b"\x0d" + _HOUR[3:]), id="a clock in month 13"),
    ],
)
def test_a_broken_list_is_refused(elements: tuple[Any, ...]) -> None:
    with pytest.raises(ListError, match="Kamstrup_V0001"):
        lists.read(flat_list(*elements), ONE_WH)
