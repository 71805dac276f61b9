"""Our own list: understood without our table, there and back, and refused when it is broken."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import apdu, axdr, lists, meter_node_v1, registers
from meter_node.channel.apdu import DataNotification
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.kamstrup_v0001 import SCALER_PROFILES
from meter_node.channel.meter_node_v1 import LIST_NAME
from meter_node.channel.reading import ListError, LoggedEvent, LogHead, Reading, State
from tests.meter_node.channel.captures import Item, read_axdr

PROFILE = SCALER_PROFILES["energy_1_wh"]
NOON = CosemDateTime.at(datetime(2026, 3, 12, 11, tzinfo=UTC), ZoneInfo("Europe/Copenhagen"))
NOON_BYTES = bytes.fromhex("07EA 03 0C 04 0C 00 00 00 FFC4 00")  # Thursday, 12:00 CET

# Raw integers, and what they mean: power in 0.1 W, voltage in 0.01 V, current in 0.001 A, power
# factor and frequency in 0.001, energy in 1 Wh.
RAW = {
    "import_active_energy": 12_345_678,
    "export_active_energy": 9_999_999_999,
    "import_active_power": 10_835,
    "voltage_l1": 23_012,
    "current_l1": 4_671,
    "power_factor_l1": -987,
    "frequency": 50_012,
}
MEANT = {
    "import_active_energy": 12_345_678,
    "export_active_energy": 9_999_999_999,
    "import_active_power": 1083.5,
    "voltage_l1": 230.12,
    "current_l1": 4.671,
    "power_factor_l1": -0.987,
    "frequency": 50.012,
}
# facts/dlms.md: breaker 70 / 0.0.96.3.10; logs 7 / 0.0.99.98.e; identity is Data, class 1.
BREAKER = bytes((0, 0, 96, 3, 10, 255))
FRAUD_LOG = bytes((0, 0, 99, 98, 1, 255))
METER_NUMBER = bytes((0, 0, 96, 1, 0, 255))
MODEL = bytes((0, 0, 96, 1, 1, 255))
SOFTWARE = bytes((1, 0, 0, 2, 0, 255))

STATES = (
    State(1, METER_NUMBER, 2, "4711"),
    State(1, MODEL, 2, "382M"),
    State(1, SOFTWARE, 2, "0.1.0"),
    State(70, BREAKER, 3, 1),
)
ENCODED_STATES = (
    meter_node_v1.encode_state(1, METER_NUMBER, 2, axdr.visible_string("4711")),
    meter_node_v1.encode_state(1, MODEL, 2, axdr.visible_string("382M")),
    meter_node_v1.encode_state(1, SOFTWARE, 2, axdr.visible_string("0.1.0")),
    meter_node_v1.encode_state(70, BREAKER, 3, axdr.enum(1)),
)
LOGS = (LogHead(FRAUD_LOG, 17, bytes(range(32))),)
EVENTS = (
    LoggedEvent(FRAUD_LOG, 16, NOON, 42, ""),
    LoggedEvent(FRAUD_LOG, 17, NOON, 49, "måler 162M: kode"),
)


def full_push() -> bytes:
    """Return a push with something in each of its parts."""
    body = meter_node_v1.encode(NOON, RAW, ENCODED_STATES, LOGS, EVENTS)
    return apdu.encode_data_notification(7, NOON, body)


def read(body: bytes) -> Reading:
    return lists.read(DataNotification(0, None, axdr.decode_all(body)), PROFILE)


def read_full() -> Reading:
    return lists.read(apdu.decode_data_notification(full_push()), PROFILE)


# --- there and back ------------------------------------------------------------------------------


def test_registers_come_back_in_si_units() -> None:
    assert read_full().values == MEANT


def test_the_time_comes_back() -> None:
    assert read_full().time == NOON


def test_states_come_back() -> None:
    assert read_full().states == STATES


def test_log_heads_come_back() -> None:
    assert read_full().logs == LOGS


def test_events_come_back() -> None:
    assert read_full().events == EVENTS


def test_the_states_that_identify_the_meter_are_its_texts() -> None:
    assert read_full().texts == {"meter_number": "4711", "model": "382M", "software": "0.1.0"}


def test_the_notification_carries_its_number() -> None:
    assert apdu.decode_data_notification(full_push()).invoke_id == 7


def test_a_list_of_nothing_comes_back() -> None:
    assert read(meter_node_v1.encode(NOON, {})) == Reading(LIST_NAME, NOON, {})


@given(
    st.dictionaries(
        st.sampled_from([r.key for r in registers.REGISTERS if r.quantity.wire != 16]),
        st.integers(0, 2**32 - 1),
    )
)
def test_any_registers_come_back_at_their_scaler(raw: dict[str, int]) -> None:
    values = read(meter_node_v1.encode(NOON, raw)).values
    assert values.keys() == raw.keys()
    for key, number in raw.items():
        scaler = registers.BY_KEY[key].quantity.scaler
        assert values[key] == number / 10**-scaler


def test_every_register_of_the_table_fits_a_push() -> None:
    raw = {register.key: 1 for register in registers.REGISTERS}
    assert set(read(meter_node_v1.encode(NOON, raw)).values) == set(raw)


def test_an_energy_register_just_before_its_roll_over_comes_back() -> None:
    # Registers roll over at 10^7 kWh.
    raw = {"import_active_energy": 10**10 - 1}
    assert read(meter_node_v1.encode(NOON, raw)).values["import_active_energy"] == 9_999_999_999


# --- without our table ---------------------------------------------------------------------------


def walked() -> list[Item]:
    """Return the six elements of the push by the tests' own reader, behind its 18 bytes of head."""
    top = read_axdr(full_push()[18:])
    assert (top.tag, len(top.value)) == (2, 6)
    return list(top.value)


def test_a_stranger_reads_the_head_of_the_notification() -> None:
    assert full_push()[:18] == b"\x0f" + struct.pack(">I", 7) + b"\x0c" + NOON_BYTES


def test_a_stranger_reads_the_lists_name_and_time() -> None:
    assert walked()[:2] == [Item(10, "MeterNode_V1"), Item(9, NOON_BYTES)]


def test_a_stranger_reads_every_register_with_scaler_and_unit() -> None:
    # OBIS of facts/dlms.md; type tags and units of the Blue Book: Wh 30, W 27, V 35, A 33, Hz 44,
    # none 255.
    expected = {
        (1, 0, 1, 8, 0, 255): (21, 12_345_678, 0, 30),
        (1, 0, 2, 8, 0, 255): (21, 9_999_999_999, 0, 30),
        (1, 0, 1, 7, 0, 255): (6, 10_835, -1, 27),
        (1, 0, 32, 7, 0, 255): (6, 23_012, -2, 35),
        (1, 0, 31, 7, 0, 255): (6, 4_671, -3, 33),
        (1, 0, 33, 7, 0, 255): (16, -987, -3, 255),
        (1, 0, 14, 7, 0, 255): (6, 50_012, -3, 44),
    }
    array = walked()[2]
    found = {}
    for entry in array.value:
        name, value, scaler_unit = entry.value
        scaler, unit = scaler_unit.value
        assert (array.tag, entry.tag, name.tag, scaler_unit.tag) == (1, 2, 9, 2)
        assert (scaler.tag, unit.tag) == (15, 22)
        found[tuple(name.value)] = (value.tag, value.value, scaler.value, unit.value)
    assert found == expected


def test_a_stranger_reads_every_state_with_class_name_and_attribute() -> None:
    array = walked()[3]
    assert array.tag == 1
    assert [[(part.tag, part.value) for part in entry.value] for entry in array.value] == [
        [(18, 1), (9, METER_NUMBER), (15, 2), (10, "4711")],
        [(18, 1), (9, MODEL), (15, 2), (10, "382M")],
        [(18, 1), (9, SOFTWARE), (15, 2), (10, "0.1.0")],
        [(18, 70), (9, BREAKER), (15, 3), (22, 1)],
    ]


def test_a_stranger_reads_every_logs_head() -> None:
    array = walked()[4]
    assert array.tag == 1
    assert [[(part.tag, part.value) for part in entry.value] for entry in array.value] == [
        [(9, FRAUD_LOG), (6, 17), (9, bytes(range(32)))]
    ]


def test_a_stranger_reads_every_event() -> None:
    array = walked()[5]
    assert array.tag == 1
    assert [[(part.tag, part.value) for part in entry.value] for entry in array.value] == [
        [(9, FRAUD_LOG), (6, 16), (9, NOON_BYTES), (17, 42), (9, b"")],
        [(9, FRAUD_LOG), (6, 17), (9, NOON_BYTES), (17, 49), (9, "måler 162M: kode".encode())],
    ]


# --- newer and other meters ----------------------------------------------------------------------


def entry(name: bytes, value: bytes, scaler: int, unit: int) -> bytes:
    return axdr.structure(
        axdr.octet_string(name),
        value,
        axdr.structure(axdr.integer(scaler), axdr.enum(unit)),
    )


def list_of(*entries: bytes) -> bytes:
    return axdr.structure(
        axdr.visible_string(LIST_NAME),
        axdr.octet_string(NOON_BYTES),
        axdr.array(*entries),
        axdr.array(),
        axdr.array(),
        axdr.array(),
    )


VOLTAGE_L1 = bytes((1, 0, 32, 7, 0, 255))


def test_a_newer_meters_unknown_register_is_passed_over() -> None:
    newer = entry(bytes((1, 0, 92, 7, 0, 255)), axdr.long(5), -3, 33)
    voltage = entry(VOLTAGE_L1, axdr.long_unsigned(23012), -2, 35)
    assert read(list_of(newer, voltage)).values == {"voltage_l1": 230.12}


def test_an_unknown_register_may_hold_any_value() -> None:
    unknown = entry(bytes((1, 0, 92, 7, 0, 255)), axdr.octet_string(b"?"), -3, 33)
    assert read(list_of(unknown)).values == {}


def test_a_register_in_another_unit_is_passed_over() -> None:
    in_watts = entry(VOLTAGE_L1, axdr.long_unsigned(23012), -2, 27)
    assert read(list_of(in_watts)).values == {}


def test_the_scaler_on_the_wire_is_believed_before_the_tables() -> None:
    in_millivolts = entry(VOLTAGE_L1, axdr.double_long_unsigned(230_125), -3, 35)
    assert read(list_of(in_millivolts)).values == {"voltage_l1": 230.125}


def test_a_register_with_b_of_1_is_the_same_one() -> None:
    of_channel_1 = entry(b"\x01\x01" + VOLTAGE_L1[2:], axdr.long_unsigned(23012), -2, 35)
    assert read(list_of(of_channel_1)).values == {"voltage_l1": 230.12}


# --- what is broken ------------------------------------------------------------------------------

GOOD_PARTS = (LIST_NAME, NOON_BYTES, [], [], [], [])


def with_part(index: int, part: object) -> tuple[object, ...]:
    return (*GOOD_PARTS[:index], part, *GOOD_PARTS[index + 1 :])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((LIST_NAME,), id="a name alone"),
        pytest.param(GOOD_PARTS[:5], id="five parts"),
        pytest.param((*GOOD_PARTS, []), id="seven parts"),
        pytest.param(with_part(1, None), id="no time"),
        pytest.param(with_part(1, NOON_BYTES[:11]), id="a time of eleven bytes"),
        pytest.param(with_part(1, [7, 234, 3, 12, 4, 12, 0, 0, 0, 255, 196, 0]), id="a time array"),
        pytest.param(with_part(1, [2**63] * 12), id="a time of huge numbers"),
        pytest.param(with_part(1, b"\x07\xea\x0d" + NOON_BYTES[3:]), id="month 13"),
        *(
            pytest.param(with_part(index, part), id=f"part {index} is {part!r}")
            for index in (2, 3, 4, 5)
            for part in (None, 5, b"", "abc", (), [5], ["abc"], [None], [()], [(1, 2)])
        ),
        pytest.param(with_part(2, [(VOLTAGE_L1, "230", (-2, 35))]), id="a text for a number"),
        pytest.param(with_part(2, [(VOLTAGE_L1, True, (-2, 35))]), id="a boolean for a number"),
        pytest.param(with_part(2, [(VOLTAGE_L1, 230, (127, 35))]), id="a scaler of 127"),
        pytest.param(with_part(2, [(VOLTAGE_L1, 230, ("0", 35))]), id="a scaler that is a text"),
        pytest.param(with_part(2, [(VOLTAGE_L1, 230, (0.5, 35))]), id="a broken scaler"),
        pytest.param(with_part(2, [(VOLTAGE_L1, 230, 35)]), id="no scaler"),
        pytest.param(with_part(2, [([1], 230, (0, 35))]), id="a register named by an array"),
        pytest.param(with_part(2, [(VOLTAGE_L1[:5], 230, (0, 35))]), id="a register of 5 bytes"),
        pytest.param(with_part(3, [(1, [1], 2, "x")]), id="a state named by an array"),
        pytest.param(with_part(3, [("1", MODEL, 2, "x")]), id="a state's class is a text"),
        pytest.param(with_part(3, [(1, MODEL, None, "x")]), id="a state without attribute"),
        pytest.param(with_part(4, [(FRAUD_LOG, "1", b"")]), id="a log's entry is a text"),
        pytest.param(with_part(4, [(FRAUD_LOG, 1, "head")]), id="a log's head is a text"),
        pytest.param(with_part(5, [(FRAUD_LOG, 1, b"", 42, b"")]), id="an event without time"),
        pytest.param(with_part(5, [(FRAUD_LOG, 1, NOON_BYTES, 42, "")]), id="detail is a text"),
        pytest.param(with_part(5, [(FRAUD_LOG, 1, NOON_BYTES, 42, b"\xff")]), id="no UTF-8"),
        pytest.param(with_part(5, [(FRAUD_LOG, 1, NOON_BYTES, None, b"")]), id="no code"),
    ],
)
def test_a_broken_list_is_refused(body: axdr.Value) -> None:
    with pytest.raises(ListError, match="MeterNode_V1: its structure is broken"):
        lists.read(DataNotification(0, None, body), PROFILE)


def test_a_model_that_is_no_text_is_a_state_and_no_text() -> None:
    body = with_part(3, [(1, MODEL, 2, 382)])
    reading = meter_node_v1.decode(DataNotification(0, None, body))  # type: ignore[arg-type]
    assert (reading.texts, reading.states) == ({}, (State(1, MODEL, 2, 382),))


VALUES: st.SearchStrategy[axdr.Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=12)
    | st.binary(max_size=12)
    | st.sampled_from([VOLTAGE_L1, MODEL, FRAUD_LOG, NOON_BYTES, 35, -2]),
    lambda inner: st.lists(inner, max_size=6) | st.lists(inner, max_size=6).map(tuple),
    max_leaves=12,
)


@given(st.lists(VALUES, min_size=5, max_size=5))
def test_whatever_stands_in_the_lists_parts_it_is_read_or_refused(parts: list[axdr.Value]) -> None:
    for body in (
        (LIST_NAME, *parts),
        (LIST_NAME, NOON_BYTES, *parts[1:]),
        (LIST_NAME, NOON_BYTES, [(VOLTAGE_L1, parts[0], (parts[1], 35))], [], [], []),
        (LIST_NAME, NOON_BYTES, [], [(1, parts[0], parts[1], parts[2])], [], []),
        (LIST_NAME, NOON_BYTES, [], [], [(parts[0], parts[1], parts[2])], []),
        (LIST_NAME, NOON_BYTES, [], [], [], [tuple(parts)]),
    ):
        try:
            lists.read(DataNotification(0, None, body), PROFILE)  # type: ignore[arg-type]
        except ListError:
            continue


def test_another_list_is_not_read_as_ours() -> None:
    body = with_part(0, "Kamstrup_V0001")
    with pytest.raises(ListError, match="not a MeterNode_V1 list"):
        meter_node_v1.decode(DataNotification(0, None, body))  # type: ignore[arg-type]
