"""One push after another: read by what is new in it, and never otherwise than when read whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import apdu, axdr, lists, meter_node_v1, registers
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.kamstrup_v0001 import SCALER_PROFILES
from meter_node.channel.reading import LoggedEvent, LogHead, Reading
from meter_node.channel.shape import Shape, shape

PROFILE = SCALER_PROFILES["energy_1_wh"]
KEYS = [register.key for register in registers.REGISTERS if register.quantity.wire != 16]
BREAKER = bytes((0, 0, 96, 3, 10, 255))
MODEL = bytes((0, 0, 96, 1, 1, 255))
FRAUD_LOG = bytes((0, 0, 99, 98, 1, 255))
NOON = datetime(2026, 3, 12, 11, tzinfo=UTC)


def push(
    raw: dict[str, int], *, turn: int = 0, connected: int = 1, entries: int = 0, number: int = 0
) -> bytes:
    """Return a push's plaintext, so many turns of ten seconds after noon."""
    moment = CosemDateTime.at(NOON + timedelta(seconds=10 * turn), UTC)
    states = (
        meter_node_v1.encode_state(1, MODEL, 2, axdr.visible_string("382M")),
        meter_node_v1.encode_state(70, BREAKER, 3, axdr.enum(connected)),
    )
    logs = (LogHead(FRAUD_LOG, entries, bytes(range(32))),)
    events = [LoggedEvent(FRAUD_LOG, entry, moment, 42, "") for entry in range(entries)]
    body = meter_node_v1.encode(moment, raw, states, logs, events)
    return apdu.encode_data_notification(number, moment, body)


def whole(data: bytes) -> Reading:
    return lists.read(apdu.decode_data_notification(data), PROFILE)


def outcome(read: object, data: bytes) -> str:
    """Return the reading as a text, in which not-a-number equals itself, or the refusal."""
    try:
        return repr(read(data))  # type: ignore[operator]
    except (apdu.ApduError, lists.ListError) as error:
        return repr(error)


RAW = st.dictionaries(st.sampled_from(KEYS), st.integers(0, 2**32 - 1), max_size=12)
PUSHES = st.builds(
    push,
    st.just(dict.fromkeys(KEYS[:5], 7)) | RAW,
    turn=st.integers(0, 5),
    connected=st.integers(0, 2),
    entries=st.integers(0, 2),
    number=st.integers(0, 2**32 - 1),
)


@given(st.lists(PUSHES, min_size=1, max_size=5))
def test_whatever_a_meter_sends_next_is_read_as_if_it_were_the_first(sent: list[bytes]) -> None:
    pushes = lists.Pushes(PROFILE)
    for data in sent:
        assert pushes.read(data) == whole(data)


@given(PUSHES, st.data())
def test_a_damaged_push_behind_a_good_one_is_judged_as_if_it_were_the_first(
    good: bytes, draw: st.DataObject
) -> None:
    pushes = lists.Pushes(PROFILE)
    pushes.read(good)
    damaged = bytearray(good)
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(0, len(good) - 1))] = draw.draw(st.integers(0, 255))
    data = bytes(damaged)[: draw.draw(st.sampled_from([len(good)] * 3 + [len(good) - 1]))]
    data += draw.draw(st.sampled_from([b"", b"", b"\x00"]))
    assert outcome(pushes.read, data) == outcome(whole, data)
    assert pushes.read(good) == whole(good)


def test_each_time_of_a_known_push_must_be_a_time() -> None:
    pushes = lists.Pushes(PROFILE)
    good = push({"frequency": 50_000})
    pushes.read(good)
    stamp = good.index(axdr.octet_string(good[6:18])) + 2
    for place, error in ((6, apdu.ApduError), (stamp, lists.ListError)):
        thirteenth = good[: place + 2] + b"\x0d" + good[place + 3 :]
        with pytest.raises(error):
            pushes.read(thirteenth)


def test_a_push_with_other_numbers_alone_is_not_read_whole_again() -> None:
    pushes = lists.Pushes(PROFILE)
    pushes.read(push({"frequency": 50_000, "voltage_l1": 23_000}))
    with patch.object(apdu, "decode_data_notification", side_effect=AssertionError):
        reading = pushes.read(push({"frequency": 49_980, "voltage_l1": 23_114}, turn=1, number=9))
    assert reading.values == {"frequency": 49.98, "voltage_l1": 231.14}
    assert reading.texts == {"model": "382M"}
    assert reading.time is not None
    assert reading.time.utc() == NOON + timedelta(seconds=10)


def test_a_push_with_other_states_needs_its_registers_read_by_their_places_only() -> None:
    pushes = lists.Pushes(PROFILE)
    pushes.read(push({"frequency": 50_000}))
    after = push({"frequency": 50_010}, connected=0, entries=1)
    with patch.object(apdu, "decode_data_notification", side_effect=AssertionError):
        reading = pushes.read(after)
    assert reading == whole(after)
    assert len(reading.events) == 1


def test_a_push_without_a_time_of_its_own_is_read_whole_each_time() -> None:
    timed = push({"frequency": 50_000})
    untimed = timed[:5] + b"\x00" + timed[18:]
    pushes = lists.Pushes(PROFILE)
    assert pushes.read(untimed) == pushes.read(untimed) == whole(timed)


def test_meters_that_send_alike_share_a_shape() -> None:
    data = push({"frequency": 50_000})
    fields = ((1, axdr.number_places(b"\x06\x00\x00\x00\x01", 0)[0][0][1]),)
    assert shape(data, fields) is shape(data[:1] + b"\x00\x00\x00\x05" + data[5:], fields)


def test_a_shape_reads_its_fields_and_nothing_else() -> None:
    ((at, form),), end = axdr.number_places(axdr.double_long(-2), 0)
    assert (at, end) == (1, 5)
    one = Shape(b"ab" + b"\x00" * 4 + b"cd", [(2, form)])
    assert one.read(b"ab\xff\xff\xff\xfecd and more") == (-2,)
    assert one.read(b"aB\xff\xff\xff\xfecd") is None
    assert one.read(b"ab\xff\xff\xff\xfec") is None
