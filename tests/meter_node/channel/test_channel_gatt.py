"""Bluetooth LE: what is advertised, and messages that arrive whole or not at all."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import gatt
from meter_node.channel.gatt import Assembler, Message

TITLE = bytes.fromhex("4d544e0100004711")
MOST = 4096

messages = st.binary(min_size=1, max_size=600)
payloads = st.integers(min_value=20, max_value=600)


def put_together(chunks: list[bytes], most: int = MOST) -> list[bytes]:
    assembler = Assembler(most)
    return [found.payload for chunk in chunks if (found := assembler.feed(chunk)) is not None]


# --- what is advertised --------------------------------------------------------------------------


def test_an_advertisement_is_flags_and_service_data_of_31_bytes_at_most() -> None:
    data = gatt.advertisement(TITLE)
    # Length and kind of each structure (Core Specification Supplement, Part A): flags 0x06, then
    # 128-bit service data: the UUID in little-endian, a version, the title.
    uuid = bytes.fromhex("b2a30e97fba44e93e746d5a401002f83")
    assert data == bytes.fromhex("020106") + bytes((1 + 16 + 1 + 8, 0x21)) + uuid + b"\x01" + TITLE
    assert len(data) == 30


def test_a_scan_response_has_the_service_and_as_much_of_a_name_as_fits() -> None:
    data = gatt.scan_response("382M with solar panels")
    assert len(data) == 31
    assert data[:2] == bytes((17, 0x07))
    assert data[18:] == bytes((12, 0x09)) + b"382M with s"


def test_the_title_of_an_advertisement_is_found_again() -> None:
    assert gatt.advertised_title(gatt.service_data(TITLE)) == TITLE.hex()
    assert gatt.advertised_title(gatt.service_data(TITLE) + b"later") == TITLE.hex()


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01" + TITLE[:-1], b"\x02" + TITLE])
def test_other_service_data_has_no_title(data: bytes) -> None:
    assert gatt.advertised_title(data) is None


# --- chunks --------------------------------------------------------------------------------------


def test_a_chunk_has_number_and_sequence_and_the_first_one_length_and_check() -> None:
    message = bytes(range(20))
    first, second = gatt.chunks(message, 0x0102, gatt.payload_of(23), kept=True)
    assert first == (
        b"\x01\x02" + b"\x00\x00" + b"\x01" + b"\x00\x00\x14"
        + zlib.crc32(message).to_bytes(4) + message[:8]
    )  # fmt: skip
    assert second == b"\x01\x02" + b"\x00\x01" + message[8:]
    assert max(len(first), len(second)) <= 23 - 3


def test_the_longest_response_fits_the_smallest_chunks() -> None:
    message = bytes(262_144)
    found = list(gatt.chunks(message, 0, gatt.payload_of(23)))
    assert len(found) == 16_385  # 8 bytes in the first, 16 in each further one
    assert put_together(found, len(message)) == [message]


@pytest.mark.parametrize("mtu", [0, 22, 23])
def test_a_smaller_mtu_than_the_standards_is_none(mtu: int) -> None:
    assert gatt.payload_of(mtu) == 20


@given(messages, payloads, st.integers(0, 2**40), st.booleans())
def test_a_message_arrives_as_it_was(message: bytes, payload: int, number: int, kept: bool) -> None:
    assembler = Assembler(MOST)
    chunks = list(gatt.chunks(message, number, payload, kept=kept))
    assert all(len(chunk) <= payload for chunk in chunks)
    assert [assembler.feed(chunk) for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert assembler.feed(chunks[-1]) == Message(message, kept)
    assert (assembler.held, assembler.dropped) == (0, 0)


@pytest.mark.parametrize(("message", "payload"), [(b"", 20), (b"x", 19), (bytes(2**20), 20)])
def test_what_no_chunks_can_carry_is_refused(message: bytes, payload: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        list(gatt.chunks(message, 0, payload))


@given(
    st.lists(st.tuples(messages, payloads), min_size=1, max_size=6, unique_by=lambda pair: pair[0]),
    st.data(),
)
def test_lost_repeated_swapped_and_mixed_chunks_never_make_a_wrong_message(
    sent: list[tuple[bytes, int]], data: st.DataObject
) -> None:
    chunks = [
        chunk
        for number, (message, payload) in enumerate(sent)
        for chunk in gatt.chunks(message, number, payload)
    ]
    order = data.draw(st.lists(st.sampled_from(range(len(chunks))), max_size=2 * len(chunks)))
    arrived = put_together([chunks[index] for index in order])
    assert set(arrived) <= {message for message, _ in sent}


@given(st.lists(messages, min_size=2, max_size=4), st.data())
def test_a_lost_chunk_costs_no_message_but_its_own(sent: list[bytes], data: st.DataObject) -> None:
    cut = [list(gatt.chunks(message, number, 20)) for number, message in enumerate(sent)]
    lossy = data.draw(st.sampled_from(range(len(sent))))
    del cut[lossy][data.draw(st.sampled_from(range(len(cut[lossy]))))]
    arrived = put_together([chunk for chunks in cut for chunk in chunks])
    assert arrived == [message for number, message in enumerate(sent) if number != lossy]


@given(messages, st.data())
def test_a_flipped_bit_costs_the_message(message: bytes, data: st.DataObject) -> None:
    chunks = list(gatt.chunks(message, 7, 20))
    which = data.draw(st.sampled_from(range(len(chunks))))
    # Not the flag of what was kept: it is not under the check, and says nothing of the bytes.
    bit = data.draw(st.integers(0, 8 * len(chunks[which]) - 1).filter(lambda bit: bit // 8 != 4))
    flipped = int.from_bytes(chunks[which]) ^ (1 << (8 * len(chunks[which]) - 1 - bit))
    chunks[which] = flipped.to_bytes(len(chunks[which]))
    assert put_together(chunks) in ([], [message] if len(chunks) == 1 and bit < 16 else [])


@given(st.lists(st.binary(max_size=64), max_size=30))
def test_noise_gives_no_message_and_is_not_gathered(noise: list[bytes]) -> None:
    assembler = Assembler(100)
    for chunk in noise:
        assembler.feed(chunk)
        assert assembler.held <= 100


def test_a_message_longer_than_is_taken_is_not_even_begun() -> None:
    assembler = Assembler(100)
    for chunk in gatt.chunks(bytes(101), 0, 20):
        assert assembler.feed(chunk) is None
        assert assembler.held == 0


def test_more_than_was_announced_is_no_message() -> None:
    first, second = gatt.chunks(bytes(20), 0, 20)
    assembler = Assembler(MOST)
    assert assembler.feed(first) is None
    assert assembler.feed(second + b"more") is None
    assert assembler.held == 0


def test_a_kept_message_is_told_from_a_live_one() -> None:
    (chunk,) = gatt.chunks(b"old", 0, 20, kept=True)
    assert Assembler(MOST).feed(chunk) == Message(b"old", kept=True)
