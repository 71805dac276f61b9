"""The framing of live samples: whole blocks only, and nothing lost without a word."""

import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.metrology import DigitalInputs
from meter_node.sources import framing
from meter_node.sources.framing import Damaged, Decoder, Event, Lost, Restarted, StreamBlock, encode

DOCUMENT = Path(__file__).parents[3] / "docs" / "front-end.md"


def a_block(
    number: int = 0, *, phases: int = 2, samples: int = 10, sequence: int = -1
) -> StreamBlock:
    """The block of this number in a stream, with codes that no other block has."""
    first = number * samples
    codes = np.arange(2 * phases * samples, dtype=np.int32).reshape(2 * phases, samples)
    codes = codes * 1000 + first - 40_000
    return StreamBlock(
        number if sequence < 0 else sequence, first, 8000, codes[:phases], codes[phases:]
    )


def same(one: StreamBlock, other: StreamBlock) -> bool:
    return (
        np.array_equal(one.voltage, other.voltage)
        and np.array_equal(one.current, other.current)
        and (one.sequence, one.first_sample, one.time_ns, one.inputs, one.clipped)
        == (other.sequence, other.first_sample, other.time_ns, other.inputs, other.clipped)
    )


def decoded(*pieces: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("width", [3, 4])
@pytest.mark.parametrize("phases", [1, 2, 3])
def test_a_block_comes_out_as_it_went_in(width: int, phases: int) -> None:
    block = replace(
        a_block(7, phases=phases),
        time_ns=1_767_225_600_123_456_789,
        shunt_temperature_c=-12.34,
        inputs=DigitalInputs(False, meter_cover_open=True, button=True),
        clipped=True,
    )
    (event,) = decoded(encode(block, width))
    assert isinstance(event, StreamBlock)
    assert same(event, block)
    assert event.shunt_temperature_c == -12.34


def test_sixteen_bit_codes_have_their_own_end() -> None:
    codes = np.array([[-32_768, 32_767]], dtype=np.int32)
    (event,) = decoded(encode(StreamBlock(0, 0, 8000, codes, codes), 2))
    assert isinstance(event, StreamBlock)
    np.testing.assert_array_equal(event.voltage, codes)
    assert event.code_bits == 16


def test_the_documents_example_is_what_the_encoder_writes() -> None:
    text = DOCUMENT.read_text("utf-8").split("## A worked example")[1].split("\n## ")[0]
    dump = re.findall(r"^\d{4}  ((?:[0-9a-f]{2} ?)+)", text, re.MULTILINE)
    example = bytes.fromhex("".join(dump))
    (event,) = decoded(example)
    assert isinstance(event, StreamBlock)
    assert event.voltage.tolist() == [[1000, -1000]]
    assert event.current.tolist() == [[20, -20]]
    assert encode(event, 3) == example


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_bytes_may_come_in_pieces_of_any_size(size: int) -> None:
    sent = [a_block(number) for number in range(5)]
    line = b"".join(map(encode, sent))
    events = decoded(*(line[at : at + size] for at in range(0, len(line), size)))
    assert len(events) == 5
    for event, block in zip(events, sent, strict=True):
        assert isinstance(event, StreamBlock)
        assert same(event, block)


def test_a_lost_block_is_noticed_with_its_samples() -> None:
    events = decoded(*(encode(a_block(number)) for number in (0, 1, 4)))
    assert events[2] == Lost(2, 20, 20)


def test_the_sequence_may_wrap() -> None:
    last = replace(a_block(0), sequence=2**32 - 1)
    next_one = replace(a_block(1), sequence=0)
    assert [type(event) for event in decoded(encode(last), encode(next_one))] == [StreamBlock] * 2


def test_samples_that_the_sender_left_out_are_noticed() -> None:
    late = replace(a_block(1), first_sample=35)
    assert decoded(encode(a_block(0)), encode(late))[1] == Lost(0, 10, 25)


def test_a_block_that_comes_twice_is_counted_once() -> None:
    events = decoded(encode(a_block(0)), encode(a_block(1)), encode(a_block(1)))
    assert [type(event) for event in events] == [StreamBlock, StreamBlock, Damaged]


def test_a_front_end_that_begins_again_is_a_new_stream() -> None:
    events = decoded(encode(a_block(8)), encode(a_block(9)), encode(a_block(0)))
    assert [type(event) for event in events] == [StreamBlock, StreamBlock, Restarted, StreamBlock]


@pytest.mark.parametrize(
    ("place", "reason"),
    [(0, "no beginning"), (12, "header's check"), (50, "samples' check"), (-1, "samples' check")],
)
def test_one_wrong_byte_costs_one_block_and_is_told(place: int, reason: str) -> None:
    damaged = bytearray(encode(a_block(1)))
    damaged[place] ^= 0x55
    events = decoded(encode(a_block(0)), bytes(damaged), encode(a_block(2)))
    assert [type(event) for event in events] == [StreamBlock, Damaged, Lost, StreamBlock]
    assert isinstance(events[1], Damaged)
    assert events[1].octets == len(damaged)
    assert reason in events[1].reason
    assert events[2] == Lost(1, 10, 10)


def resealed(header_place: int, value: int) -> bytes:
    """A block with one octet of its header changed and the header's check made right again."""
    block = bytearray(encode(a_block(1)))
    block[header_place] = value
    block[40:44] = zlib.crc32(bytes(block[:40])).to_bytes(4, "little")
    return bytes(block)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (4, 2, "version 2 of the framing"),
        (6, 4, "4 phases"),
        (6, 0, "0 phases"),
        (7, 5, "5 bytes"),
        (33, 0xFF, "bytes of samples"),
    ],
)
def test_a_header_of_something_else_is_told(place: int, value: int, reason: str) -> None:
    events = decoded(resealed(place, value), encode(a_block(2)))
    assert isinstance(events[0], Damaged)
    assert reason in events[0].reason
    assert isinstance(events[1], StreamBlock)


def test_codes_of_more_than_24_bits_are_no_samples() -> None:
    codes = np.array([[1 << 23]], dtype=np.int32)
    events = decoded(encode(StreamBlock(0, 0, 8000, codes, codes), 4), encode(a_block(1)))
    assert isinstance(events[0], Damaged)
    assert "more than 24 bits" in events[0].reason


def test_what_does_not_fit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="don't fit 2 bytes"):
        encode(a_block(0), 2)
    still = np.zeros((3, 20_000), dtype=np.int32)
    with pytest.raises(ValueError, match="more than 262144"):
        encode(StreamBlock(0, 0, 8000, still, still))
    with pytest.raises(ValueError, match="codes of 2, 3 or 4 bytes"):
        encode(a_block(0), 5)


def test_endless_noise_is_held_in_little_memory() -> None:
    decoder = Decoder()
    told = 0
    for _ in range(8):
        told += sum(
            event.octets
            for event in decoder.feed(b"\xb1MNS" * 40_000)
            if isinstance(event, Damaged)
        )
        assert len(decoder._held) <= framing.MOST_PAYLOAD
    assert told > 7 * 160_000


@settings(deadline=None)
@given(
    st.data(),
    st.lists(st.integers(0, 11), unique=True, max_size=4),
    st.binary(max_size=60),
)
def test_however_a_line_is_damaged_no_wrong_block_comes_out(
    data: st.DataObject, dropped: list[int], noise: bytes
) -> None:
    sent = [a_block(number, phases=1, samples=8) for number in range(12)]
    line = bytearray(b"".join(encode(b) for n, b in enumerate(sent) if n not in dropped))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(line) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "add"])):
            case "flip":
                line[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del line[at : at + data.draw(st.integers(1, 200))]
            case _:
                line[at:at] = noise
        if not line:
            break
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=20))
    decoder = Decoder()
    events: list[Event] = []
    at = 0
    while at < len(line):
        size = sizes[at % len(sizes)]
        events += decoder.feed(bytes(line[at : at + size]))
        at += size
    due: int | None = None
    for before, event in zip([None, *events], events, strict=False):
        if isinstance(event, StreamBlock):
            assert same(event, sent[event.sequence])
            # What is missing between two blocks was told, to the sample.
            if due is not None and not isinstance(before, Restarted):
                missing = event.first_sample - due
                assert missing == (before.samples if isinstance(before, Lost) else 0)
            due = event.first_sample + event.samples
