"""HDLC: the check sequence, one frame, and a line on which anything may come."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meter_node.channel import frames, hdlc
from meter_node.channel.hdlc import Damaged, Frame, FrameReader, HdlcError
from tests.meter_node.channel.captures import CAPTURES, DANISH, DUMMY_KEYS, SWEDISH

REAL = {name: CAPTURES[name].data for name in (DANISH, DUMMY_KEYS, SWEDISH)}
DANISH_FRAME = REAL[DANISH]
SHORT = Frame(b"\x03", b"\x21", 0x13, b"")


def read(data: bytes) -> list[Frame | Damaged]:
    return FrameReader().feed(data)


def good(found: list[Frame | Damaged]) -> list[Frame]:
    return [item for item in found if isinstance(item, Frame)]


def crc_x25(data: bytes) -> int:
    """CRC-16/X-25 bit by bit (ISO/IEC 13239): mirrored 0x1021, from 0xFFFF, inverted."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x8408 if register & 1 else 0)
    return register ^ 0xFFFF


# --- check sequence ------------------------------------------------------------------------------


def test_the_check_sequence_has_the_published_check_value_low_byte_first() -> None:
    assert hdlc.check_sequence(b"123456789") == (0x906E).to_bytes(2, "little")


@given(st.binary(max_size=100))
def test_the_check_sequence_is_that_of_the_standards_loop(data: bytes) -> None:
    assert hdlc.check_sequence(data) == crc_x25(data).to_bytes(2, "little")


# --- one frame -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_a_real_frame_has_its_published_addresses_and_control(name: str) -> None:
    frame = hdlc.decode(REAL[name])
    assert {
        "dst": frame.destination.hex(),
        "src": frame.source.hex(),
        "ctl": frame.control,
    } == CAPTURES[name].expected["hdlc"]


@pytest.mark.parametrize("name", REAL)
def test_a_real_frame_is_written_as_it_was_read(name: str) -> None:
    assert hdlc.encode(hdlc.decode(REAL[name])) == REAL[name]


ADDRESSES = st.one_of(
    st.integers(0, 127).map(lambda high: bytes([high << 1 | 1])),
    st.tuples(st.integers(0, 127), st.integers(0, 127)).map(
        lambda two: bytes([two[0] << 1, two[1] << 1 | 1])
    ),
    st.lists(st.integers(0, 127), min_size=4, max_size=4).map(
        lambda four: bytes([four[0] << 1, four[1] << 1, four[2] << 1, four[3] << 1 | 1])
    ),
)
FRAMES = st.builds(
    Frame, ADDRESSES, ADDRESSES, st.integers(0, 255), st.binary(min_size=1, max_size=300)
)


@given(FRAMES)
@example(SHORT)
def test_a_frame_comes_back(frame: Frame) -> None:
    assert hdlc.decode(hdlc.encode(frame)) == frame


def test_the_longest_frame_comes_back() -> None:
    # 2 047 bytes between the flags: 2 of format, 1 and 1 address, 1 control, 2 and 2 checks.
    frame = Frame(b"\x03", b"\x21", 0x13, bytes(2047 - 9))
    assert hdlc.decode(hdlc.encode(frame)) == frame


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(HdlcError, match="do not fit"):
        hdlc.encode(Frame(b"\x03", b"\x21", 0x13, bytes(2047 - 8)))


def test_every_flipped_bit_of_the_real_frame_is_damage() -> None:
    assert len(DANISH_FRAME) == 491
    for bit in range(8 * len(DANISH_FRAME)):
        altered = bytearray(DANISH_FRAME)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(HdlcError):
            hdlc.decode(bytes(altered))


def test_every_flipped_bit_of_the_real_frame_behind_its_flag_is_told_as_damage() -> None:
    for bit in range(8, 8 * len(DANISH_FRAME)):
        altered = bytearray(DANISH_FRAME)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(frames.DamagedError):
            frames.apdu_of(bytes(altered))


def test_every_flipped_bit_of_the_opening_flag_makes_it_no_frame_of_the_channel() -> None:
    for bit in range(8):
        altered = bytes([DANISH_FRAME[0] ^ 1 << bit]) + DANISH_FRAME[1:]
        with pytest.raises(frames.ForeignError):
            frames.apdu_of(altered)


def test_no_flipped_bit_of_the_real_frame_gets_through_the_line() -> None:
    for bit in range(8 * len(DANISH_FRAME)):
        altered = bytearray(DANISH_FRAME)
        altered[bit // 8] ^= 1 << bit % 8
        assert good(read(bytes(altered))) == []


def test_two_flipped_bits_of_the_real_frame_are_damage() -> None:
    # The polynomial finds every pair of wrong bits in fewer than 32 767.
    chance = random.Random(2026)
    for _ in range(2000):
        altered = bytearray(DANISH_FRAME)
        for bit in chance.sample(range(8, 8 * len(DANISH_FRAME) - 8), 2):
            altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(HdlcError):
            hdlc.decode(bytes(altered))


def test_the_real_frame_cut_anywhere_is_damage() -> None:
    for end in range(len(DANISH_FRAME)):
        with pytest.raises(HdlcError):
            hdlc.decode(DANISH_FRAME[:end])


def with_checks(header: bytes, information: bytes = b"") -> bytes:
    """Return a frame whose check sequences fit, whatever its header says."""
    body = header + crc_x25(header).to_bytes(2, "little")
    if information:
        body += information
        body += crc_x25(body).to_bytes(2, "little")
    return b"\x7e" + body + b"\x7e"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(with_checks(b"\xa8\x0a\x03\x21\x13", b"x"), "segmented", id="segmented"),
        pytest.param(with_checks(b"\x90\x0a\x03\x21\x13", b"x"), "not type 3", id="format"),
        pytest.param(with_checks(b"\xa0\x0b\x03\x21\x13", b"x"), "says 11 bytes", id="length"),
        pytest.param(with_checks(b"\xa0\x0e\x02\x02\x02\x02\x02\x21\x13", b"x"), "address", id="a"),
        pytest.param(with_checks(b"\xa0\x0e\x03\x02\x02\x02\x02\x02\x13", b"x"), "address", id="b"),
        pytest.param(b"\x7e\x7e", "between flags", id="empty"),
        pytest.param(b"\x7e\xa0\x06\x03\x21\x13\x00\x00\x7e", "7 bytes|says 6", id="short"),
        pytest.param(b"", "between flags", id="nothing"),
    ],
)
def test_a_frame_that_is_none_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(HdlcError, match=reason):
        hdlc.decode(data)


def test_a_header_whose_own_check_does_not_fit_is_damage() -> None:
    header = b"\xa0\x0a\x03\x21\x13"
    body = header + b"\0\0" + b"x"
    with pytest.raises(HdlcError, match="header check"):
        hdlc.decode(b"\x7e" + body + crc_x25(body).to_bytes(2, "little") + b"\x7e")


@given(FRAMES)
def test_a_segment_comes_back_where_segments_are_taken(frame: Frame) -> None:
    segment = replace(frame, segmented=True)
    assert hdlc.decode(hdlc.encode(segment), segmented=True) == segment
    assert FrameReader(segmented=True).feed(hdlc.encode(segment)) == [segment]


# --- a line --------------------------------------------------------------------------------------

PUSHES = [hdlc.decode(REAL[name]) for name in REAL]
LINE = b"".join(REAL.values())
DAMAGED_FRAME = DANISH_FRAME[:200] + bytes([DANISH_FRAME[200] ^ 0x10]) + DANISH_FRAME[201:]


def test_frames_in_a_row_are_all_found() -> None:
    assert read(LINE) == PUSHES


def test_a_line_read_byte_by_byte_gives_the_same_frames() -> None:
    reader = FrameReader()
    assert [item for byte in LINE for item in reader.feed(bytes([byte]))] == PUSHES


@given(st.lists(st.integers(0, len(LINE)), max_size=20))
def test_a_line_cut_anywhere_gives_the_same_frames(cuts: list[int]) -> None:
    reader = FrameReader()
    edges = [0, *sorted(cuts), len(LINE)]
    found = []
    for begin, end in pairwise(edges):
        found += reader.feed(LINE[begin:end])
    assert found == PUSHES


def test_a_frame_is_given_with_its_last_byte() -> None:
    reader = FrameReader()
    assert reader.feed(DANISH_FRAME[:-1]) == []
    assert reader.feed(DANISH_FRAME[-1:]) == [PUSHES[0]]


def test_one_flag_may_close_a_frame_and_open_the_next() -> None:
    shared = REAL[DANISH] + REAL[DUMMY_KEYS][1:] + REAL[SWEDISH][1:]
    assert read(shared) == PUSHES


def test_idle_flags_between_frames_are_passed_over() -> None:
    assert read((b"\x7e" * 50).join(REAL.values())) == PUSHES


def test_a_frame_without_information_is_found_between_others() -> None:
    assert read(DANISH_FRAME + hdlc.encode(SHORT) + DANISH_FRAME) == [PUSHES[0], SHORT, PUSHES[0]]


def test_a_line_joined_in_the_middle_of_a_frame_gives_the_next_one() -> None:
    for start in range(1, len(DANISH_FRAME)):
        assert good(read(DANISH_FRAME[start:] + REAL[SWEDISH])) == [hdlc.decode(REAL[SWEDISH])]


def test_a_damaged_frame_is_told() -> None:
    told = Damaged("frame check sequence does not fit", DAMAGED_FRAME)
    assert told in read(DAMAGED_FRAME)


def test_the_good_frame_behind_a_damaged_one_is_found() -> None:
    assert good(read(DAMAGED_FRAME + DANISH_FRAME)) == [PUSHES[0]]


def test_the_good_frame_that_shares_a_damaged_ones_flag_is_found() -> None:
    assert good(read(DAMAGED_FRAME + DANISH_FRAME[1:])) == [PUSHES[0]]


def test_the_good_frame_behind_any_flipped_bit_of_a_header_is_found_at_once() -> None:
    # Above all a longer length, which would swallow what comes behind.
    for bit in range(8, 8 * 8):
        altered = bytearray(DANISH_FRAME)
        altered[bit // 8] ^= 1 << bit % 8
        assert good(read(bytes(altered) + DANISH_FRAME)) == [PUSHES[0]]


def test_the_good_frame_behind_one_that_lost_a_byte_is_found() -> None:
    for lost in range(len(DANISH_FRAME) - 1):  # for its last flag the next one's would do
        short = DANISH_FRAME[:lost] + DANISH_FRAME[lost + 1 :]
        assert good(read(short + DANISH_FRAME)) == [PUSHES[0]]


def test_the_good_frame_behind_one_that_broke_off_is_found_with_the_one_after_it() -> None:
    # What is missing is made up of the next push, and is given back.
    for end in range(1, len(DANISH_FRAME), 7):
        line = DANISH_FRAME[:end] + DANISH_FRAME + DANISH_FRAME
        assert good(read(line)) == [PUSHES[0], PUSHES[0]]


NOISE = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([0x7E, 0xA0, 0xA1, 0xA7, 0xFF, 0x03, 0x13, 0x00]), max_size=60).map(
        bytes
    ),
)


@given(st.lists(NOISE, min_size=4, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
def test_frames_among_noise_are_all_found(noise: list[bytes], cuts: list[int]) -> None:
    line = b"".join(
        piece for pair in zip(noise, (*REAL.values(), b""), strict=True) for piece in pair
    )
    reader = FrameReader()
    edges = [0, *sorted(cut for cut in cuts if cut < len(line)), len(line)]
    found = []
    for begin, end in pairwise(edges):
        found += reader.feed(line[begin:end])
    assert good(found) == PUSHES


def test_what_looks_like_a_header_does_not_hold_up_a_short_frame() -> None:
    # Seven bytes between the flags are fewer than the longest header that might be meant.
    assert good(read(b"\x7e\xa7" + hdlc.encode(SHORT))) == [SHORT]


def test_a_reader_that_restarts_knows_nothing_of_the_frame_before() -> None:
    reader = FrameReader()
    reader.feed(DANISH_FRAME[:100])
    reader.restart()
    assert reader.feed(hdlc.encode(SHORT)) == [SHORT]


# --- what it keeps -------------------------------------------------------------------------------

LARGEST_STATE = 2 * (hdlc.MAX_FRAME + 2)
"""Bytes of a pickled reader: one frame of the longest kind, and what pickle itself writes."""


@given(st.lists(NOISE, max_size=40))
def test_noise_never_makes_the_reader_keep_more_than_a_frame(pieces: list[bytes]) -> None:
    reader = FrameReader()
    for piece in pieces:
        reader.feed(piece)
        assert len(pickle.dumps(reader)) < LARGEST_STATE


@pytest.mark.parametrize(
    "pattern",
    [
        b"\x7e",
        b"\xa7",
        b"\x7e\xa7\xff",
        with_checks(b"\xa7\xff\x03\x03\x13")[:-1],  # a good header of the longest frame, each time
    ],
)
def test_a_line_that_repeats_itself_never_makes_the_reader_keep_more_than_a_frame(
    pattern: bytes,
) -> None:
    reader = FrameReader()
    for _ in range(20):
        reader.feed(pattern * (4096 // len(pattern)))
        assert len(pickle.dumps(reader)) < LARGEST_STATE


def test_a_megabyte_of_noise_leaves_a_reader_that_still_finds_a_frame() -> None:
    chance = random.Random(2026)
    reader = FrameReader()
    for _ in range(256):
        reader.feed(chance.randbytes(4096))
    assert len(pickle.dumps(reader)) < LARGEST_STATE
    assert good(reader.feed(bytes(hdlc.MAX_FRAME) + DANISH_FRAME)) == [PUSHES[0]]
