"""M-Bus records: bytes by EN 13757-3, and which register is which."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from display_meters import SNAPSHOT
from mbus_meter import House

from meter_node.channel import registers
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.ports.mbus import table
from meter_node.ports.mbus.address import SecondaryAddress, identification_of
from meter_node.ports.mbus.records import (
    Function,
    Record,
    Status,
    integer,
    long_header,
    telegrams,
    text,
    type_f,
    type_i,
)

COPENHAGEN = ZoneInfo("Europe/Copenhagen")


def at(*moment: int) -> CosemDateTime:
    return CosemDateTime.at(datetime(*moment, tzinfo=COPENHAGEN), COPENHAGEN)


def test_the_standards_own_date_and_time_has_the_standards_bytes() -> None:
    # EN 13757-3, table P.1: 31.05.2008 23:50 is 32 37 1F 15, told without the summer time's bit.
    winter = CosemDateTime(datetime(2008, 5, 31, 23, 50), None, 0)  # noqa: DTZ001
    assert type_f(winter).hex() == "32371f15"


def test_a_summer_evening_says_that_it_is_summer() -> None:
    assert type_f(at(2026, 7, 1, 14, 0))[1] == 14 | 1 << 5 | 1 << 7


def test_a_clock_that_was_lost_says_so() -> None:
    lost = CosemDateTime.at(datetime(2026, 1, 1, tzinfo=COPENHAGEN), COPENHAGEN, clock_invalid=True)
    assert type_f(lost)[0] == 0x80
    assert type_i(lost)[1] == 0x80


def test_type_i_tells_seconds_day_of_the_week_and_leap_year() -> None:
    # 2028 is a leap year and 29 February 2028 a Tuesday (2): 28 = 0b0011100.
    assert list(type_i(at(2028, 2, 29, 13, 14, 15))) == [
        15 | 0x80,
        14,
        13 | 2 << 5,
        29 | 0b100 << 5,
        2 | 0b0011 << 4,
        0,
    ]


def test_type_i_tells_summer_and_leap_year_in_bits_of_their_own() -> None:
    # EN 13757-3, data type I: bit 6 is the summer time's, bit 7 the leap year's (2026 is none).
    assert type_i(at(2026, 7, 1, 14, 0, 5))[0] == 5 | 1 << 6
    assert type_i(at(2028, 7, 1, 14, 0, 5))[0] == 5 | 1 << 6 | 1 << 7


def test_tariff_and_storage_number_go_into_as_many_extensions_as_they_need() -> None:
    # Storage 5 = 0b101: one bit in the DIF, 0b10 in the first DIFE; tariff 6 = 0b0110: two and two.
    record = Record((0x03,), integer(1, 4), storage=5, tariff=6)
    assert record.to_bytes().hex() == "c4" + "a2" + "10" + "03" + "01000000"


def test_a_maximum_has_its_function_and_an_extended_unit_its_extension_bits() -> None:
    record = Record((0x7D, 0x47, 0x7C, 0x01), integer(-2, 2), Function.MAXIMUM)
    assert record.to_bytes().hex() == "12" + "fdc7fc01" + "feff"


def test_text_goes_last_letter_first_behind_its_length() -> None:
    assert Record((0x78,), text("AB1"), is_text=True).to_bytes() == b"\x0d\x78\x03" + b"1BA"


def test_the_manufacturer_is_five_bits_a_letter() -> None:
    # M is 13, T 20, N 14.
    code = 13 << 10 | 20 << 5 | 14
    who = SecondaryAddress("12345678")
    assert who.manufacturer_code == code.to_bytes(2, "little")
    assert long_header(who, 7, 0).hex() == "78563412" + "8e36" + "01" + "02" + "07" + "00" + "0000"


@pytest.mark.parametrize(
    ("number", "digits"),
    [("4711000123", "11000123"), ("A12", "00000012"), ("12³4", "00000124")],
)
def test_the_identification_is_what_the_number_ends_with(number: str, digits: str) -> None:
    assert identification_of(number) == digits


def test_a_number_without_digits_has_an_identification_of_its_own() -> None:
    # SHA-256 of "abc" (FIPS 180-4): its last eight decimal digits.
    of_abc = 0xBA7816BF_8F01CFEA_414140DE_5DAE2223_B00361A3_96177A9C_B410FF61_F20015AD
    assert identification_of("abc") == f"{of_abc % 10**8:08}"
    assert len({identification_of(number) for number in ("abc", "ABC", "XYZ", "x")}) == 4


def test_telegrams_that_others_follow_end_by_saying_so() -> None:
    ten = Record((0x03,), integer(0, 8)).to_bytes()
    assert len(ten) == 10
    assert telegrams([Record((0x03,), integer(0, 8))] * 5, 21) == [
        ten * 2 + b"\x1f",
        ten * 2 + b"\x1f",
        ten,
    ]


@pytest.mark.parametrize(
    ("key", "head"),
    [
        ("import_active_energy", "06 03"),
        ("export_active_energy", "06 83 3c"),
        ("import_active_energy_t3", "86 30 03"),
        ("import_active_energy_t8", "86 80 20 03"),
        ("export_active_energy_l2", "06 83 bc fc 02"),
        ("import_reactive_energy", "06 fb 82 73"),
        ("reactive_energy_q4", "06 fb 82 f3 fc 0b"),
        ("net_active_energy", "06 83 fc 0c"),
        ("import_active_power", "04 2a"),
        ("export_active_power_l3", "04 aa bc fc 03"),
        ("import_reactive_power_l1", "04 fb 94 f5 fc 01"),
        ("apparent_power", "04 fb b4 75"),
        ("voltage_l1", "04 fd c7 fc 01"),
        ("voltage_average_l1", "44 fd c7 fc 01"),
        ("current_l3", "04 fd d9 fc 03"),
        ("neutral_current", "04 fd d9 fc 04"),
        ("power_factor", "04 fd ba 73"),
        ("frequency", "04 fb 2c"),
        ("import_active_demand_last", "44 2a"),
        ("export_active_demand_maximum", "14 aa 3c"),
        ("operating_time", "04 26"),
        # A ratio in 10⁻³, of L1, then the maker's own: 01 of voltage, 02 of current.
        ("voltage_thd_l1", "04 fd ba f3 fc 81 ff 01"),
        ("current_thd_l3", "04 fd ba f3 fc 83 ff 02"),
        # Table of combinable codes: E100u001 number of exceeds, E101ufnn length of the last (f 1)
        # in seconds (nn 00), u 0 of the lower limit and 1 of the upper one.
        ("voltage_sag_count_l1", "04 fd c9 c1 fc 01"),
        ("voltage_swell_count_l2", "04 fd c9 c9 fc 02"),
        ("voltage_sag_duration_l1", "06 fd c9 d4 f3 fc 01"),
        ("voltage_swell_duration_l2", "06 fd c9 dc f3 fc 02"),
        ("voltage_sag_magnitude_l1", "24 fd c7 fc 01"),
        ("voltage_swell_magnitude_l2", "14 fd c7 fc 02"),
    ],
)
def test_a_register_says_what_it_is(key: str, head: str) -> None:
    assert table.BY_KEY[key].record(0).head == bytes.fromhex(head)


def test_no_two_registers_say_that_they_are_the_same() -> None:
    heads = [row.record(0).head for row in table.ROWS]
    assert len(set(heads)) == len(heads)


def test_every_energy_fits_up_to_its_roll_over() -> None:
    for row in table.ROWS:
        if row.register.is_energy:
            record = row.record(registers.ROLLOVER_WH - 1)
            # 10¹⁰ − 1 in the six bytes of a 48-bit integer, the lowest first (EN 13757-3, type B).
            assert record.data == (10**10 - 1).to_bytes(6, "little")


def test_only_tariffs_of_the_calendar_and_registers_with_a_value_are_told() -> None:
    told = {record.head for record in table.readout(House().view, table.ALL)}
    assert table.BY_KEY["voltage_l3"].record(0).head in told
    assert table.BY_KEY["current_l2"].record(0).head not in told  # it has none in this image
    assert table.BY_KEY["import_active_energy_t8"].record(0).head in told


def test_a_readouts_minute_is_that_of_the_second_that_ended_a_little_early() -> None:
    house = House()  # of 12:00:05
    house.later(54.9998)
    time = next(table.readout(house.view, table.ALL))
    assert time.data[0] & 0x3F == 1  # the minute's six bits: 12:01:00


def told_of(**counted: int) -> dict[bytes, bytes]:
    shown = replace(SNAPSHOT, counted={**SNAPSHOT.counted, **counted})
    return {one.head: one.data for one in table.readout(House(shown).view, table.ALL)}


def head(key: str) -> bytes:
    return table.BY_KEY[key].record(0).head


def test_without_a_sag_none_is_counted_and_the_last_ones_values_are_absent() -> None:
    told = told_of(voltage_sag_count_l1=0, voltage_sag_duration_l1=0, voltage_sag_magnitude_l1=0)
    assert told[head("voltage_sag_count_l1")] == bytes(4)
    assert head("voltage_sag_duration_l1") not in told
    assert head("voltage_sag_magnitude_l1") not in told
    assert head("voltage_swell_count_l1") not in told  # it has no such counter
    assert head("voltage_thd_l1") not in told  # nothing is measured yet


def test_with_a_sag_the_last_ones_length_and_depth_are_told() -> None:
    # A voltage that stays low for 90 days is one long sag: 7.776 · 10⁹ ms.
    lasted = 90 * 86_400_000
    told = told_of(
        voltage_sag_count_l1=1, voltage_sag_duration_l1=lasted, voltage_sag_magnitude_l1=20_301
    )
    assert told[head("voltage_sag_duration_l1")] == lasted.to_bytes(6, "little")
    assert told[head("voltage_sag_magnitude_l1")] == (20_301).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("group", "is_told", "is_not_told"),
    [
        (table.USER_DATA, "import_active_energy", "import_active_energy_t1"),
        (table.MULTI_TARIFF, "import_active_energy_t1", "import_active_energy"),
        (table.INSTANTANEOUS, "voltage_l1", "import_active_energy"),
    ],
)
def test_a_master_may_want_a_group_alone(group: int, is_told: str, is_not_told: str) -> None:
    told = {record.head for record in table.readout(House().view, group)}
    assert table.BY_KEY[is_told].record(0).head in told
    assert table.BY_KEY[is_not_told].record(0).head not in told


def test_the_status_byte_tells_a_faulty_memory_and_an_open_cover_apart() -> None:
    # The image's status word is 1000100: from the right, 3 is the magnet and 7 the cover.
    assert table.status(House().view) == Status.TEMPORARY_ERROR
