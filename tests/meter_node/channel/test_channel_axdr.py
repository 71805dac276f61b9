"""A-XDR: each type there and back, and nothing but AxdrError for bytes that are none."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import axdr
from meter_node.channel.axdr import AxdrError, BitString
from tests.meter_node.channel.captures import CAPTURES, DANISH, DUMMY_KEYS, SWEDISH

# --- known encodings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", None),
        ("03 00", False),
        ("03 01", True),
        ("03 FF", True),
        ("04 05 B8", BitString(0b10111, 5)),
        ("04 09 01 80", BitString(0b000000011, 9)),
        ("04 00", BitString(0, 0)),
        ("05 FFFFFFFF", -1),
        ("06 FFFFFFFF", 4294967295),
        ("09 06 0100010800FF", bytes.fromhex("0100010800FF")),
        ("09 00", b""),
        ("0A 03 4B414D", "KAM"),
        ("0C 03 E282AC", "€"),
        ("0D 80", -128),
        ("0F 80", -128),
        ("10 FFFE", -2),
        ("11 FF", 255),
        ("12 FFFF", 65535),
        ("14 FFFFFFFFFFFFFFFF", -1),
        ("15 FFFFFFFFFFFFFFFF", 18446744073709551615),
        ("16 FF", 255),
        ("17 3FC00000", 1.5),
        ("18 BFF8000000000000", -1.5),
        ("19 07EA01010400000000FFC400", bytes.fromhex("07EA01010400000000FFC400")),
        ("1A 07EA010104", bytes.fromhex("07EA010104")),
        ("1B 0C000000", bytes.fromhex("0C000000")),
        ("01 02 11 01 11 02", [1, 2]),
        ("01 00", []),
        ("02 02 0F FE 16 23", (-2, 35)),
        ("02 00", ()),
        ("02 82 00 01 00", (None,)),
    ],
)
def test_each_type_of_the_blue_book_is_read(encoded: str, value: axdr.Value) -> None:
    decoded = axdr.decode_all(bytes.fromhex(encoded))
    assert (decoded, type(decoded)) == (value, type(value))


def test_a_float_that_is_no_number_is_read_as_such() -> None:
    decoded = axdr.decode_all(bytes.fromhex("17 7FC00000"))
    assert isinstance(decoded, float)
    assert math.isnan(decoded)


@pytest.mark.parametrize(
    ("length", "encoded"),
    [
        (0, "00"),
        (127, "7F"),
        (128, "8180"),
        (255, "81FF"),
        (256, "820100"),
        (65535, "82FFFF"),
        (65536, "83010000"),
        (2**24, "8401000000"),
    ],
)
def test_a_length_is_spelt_as_shortly_as_ber_allows(length: int, encoded: str) -> None:
    assert axdr.encode_length(length) == bytes.fromhex(encoded)


@given(st.integers(0, 2**32 - 1))
def test_a_length_comes_back(length: int) -> None:
    encoded = axdr.encode_length(length)
    assert axdr.decode_length(encoded, 0) == (length, len(encoded))


# --- there and back ------------------------------------------------------------------------------

INTEGERS: list[tuple[Callable[[int], bytes], int, int, int]] = [
    (axdr.integer, 15, -(2**7), 2**7 - 1),
    (axdr.long, 16, -(2**15), 2**15 - 1),
    (axdr.double_long, 5, -(2**31), 2**31 - 1),
    (axdr.unsigned, 17, 0, 2**8 - 1),
    (axdr.long_unsigned, 18, 0, 2**16 - 1),
    (axdr.double_long_unsigned, 6, 0, 2**32 - 1),
    (axdr.long64_unsigned, 21, 0, 2**64 - 1),
    (axdr.enum, 22, 0, 2**8 - 1),
]
EACH_INTEGER = pytest.mark.parametrize(
    ("encode", "tag", "lowest", "highest"), INTEGERS, ids=[row[0].__name__ for row in INTEGERS]
)


@EACH_INTEGER
@given(data=st.data())
def test_an_integer_comes_back(
    encode: Callable[[int], bytes], tag: int, lowest: int, highest: int, data: st.DataObject
) -> None:
    number = data.draw(st.integers(lowest, highest))
    assert axdr.decode_all(encode(number)) == number


@EACH_INTEGER
def test_an_integer_at_its_bounds_stands_big_endian_under_its_tag(
    encode: Callable[[int], bytes], tag: int, lowest: int, highest: int
) -> None:
    size = (highest - lowest + 1).bit_length() // 8
    for number in (lowest, highest):
        assert encode(number) == bytes([tag]) + number.to_bytes(size, signed=lowest < 0)


@EACH_INTEGER
def test_an_integer_beyond_its_bounds_is_refused(
    encode: Callable[[int], bytes], tag: int, lowest: int, highest: int
) -> None:
    for number in (lowest - 1, highest + 1):
        with pytest.raises(AxdrError, match="does not fit"):
            encode(number)


@given(st.floats(allow_nan=False))
def test_a_double_comes_back(number: float) -> None:
    assert axdr.decode_all(axdr.number(24, number)) == number


@given(st.floats(allow_nan=False, width=32))
def test_a_float_of_32_bits_comes_back(number: float) -> None:
    assert axdr.decode_all(axdr.number(23, number)) == number


@given(st.binary(max_size=400))
def test_an_octet_string_comes_back(raw: bytes) -> None:
    assert axdr.decode_all(axdr.octet_string(raw)) == raw


@given(st.text(st.characters(max_codepoint=127), max_size=400))
def test_a_visible_string_comes_back(text: str) -> None:
    assert axdr.decode_all(axdr.visible_string(text)) == text


def test_a_visible_string_is_ascii() -> None:
    with pytest.raises(AxdrError, match="ASCII"):
        axdr.visible_string("Måler")


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_comes_back(value: bool) -> None:
    assert axdr.decode_all(axdr.boolean(value)) is value


def test_null_data_comes_back() -> None:
    assert axdr.decode_all(axdr.null_data()) is None


@given(st.lists(st.booleans(), max_size=80))
def test_a_bit_string_has_its_first_bit_highest(bits: list[bool]) -> None:
    digits = "".join("01"[bit] for bit in bits)
    padded = digits + "0" * (-len(digits) % 8)
    raw = int(padded or "0", 2).to_bytes(len(padded) // 8)
    decoded = axdr.decode_all(bytes([4, len(bits)]) + raw)
    assert decoded == BitString(int(digits or "0", 2), len(bits))


type Pair = tuple[bytes, Any]

LEAVES: st.SearchStrategy[Pair] = st.one_of(
    st.just((axdr.null_data(), None)),
    st.booleans().map(lambda value: (axdr.boolean(value), value)),
    st.integers(0, 2**32 - 1).map(lambda value: (axdr.double_long_unsigned(value), value)),
    st.integers(-(2**15), 2**15 - 1).map(lambda value: (axdr.long(value), value)),
    st.binary(max_size=20).map(lambda value: (axdr.octet_string(value), value)),
    st.text(st.characters(max_codepoint=127), max_size=20).map(
        lambda value: (axdr.visible_string(value), value)
    ),
)


def _branch(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    items = st.lists(children, max_size=5)
    return st.one_of(
        items.map(lambda pairs: (axdr.array(*(p[0] for p in pairs)), [p[1] for p in pairs])),
        items.map(
            lambda pairs: (axdr.structure(*(p[0] for p in pairs)), tuple(p[1] for p in pairs))
        ),
    )


@given(st.recursive(LEAVES, _branch, max_leaves=30))
def test_arrays_and_structures_come_back_whatever_they_hold(pair: Pair) -> None:
    encoded, value = pair
    assert axdr.decode_all(encoded) == value


def test_an_array_of_more_than_127_items_comes_back() -> None:
    assert axdr.decode_all(axdr.array(*(axdr.unsigned(7) for _ in range(300)))) == [7] * 300


# --- what is none --------------------------------------------------------------------------------

LISTS = {name: CAPTURES[name].plaintext[18:] for name in (DANISH, DUMMY_KEYS, SWEDISH)}


@pytest.mark.parametrize("name", LISTS)
def test_a_real_list_cut_anywhere_is_no_value(name: str) -> None:
    for end in range(len(LISTS[name])):
        with pytest.raises(AxdrError):
            axdr.decode_all(LISTS[name][:end])


@pytest.mark.parametrize(
    "encoded",
    [
        "04 09 01 80",
        "09 06 0100010800FF",
        "18 BFF8000000000000",
        "19 07EA01010400000000FFC400",
        "1A 07EA010104",
        "1B 0C000000",
        "01 02 02 02 0F FE 16 23 02 01 03 01",
    ],
)
def test_any_type_cut_anywhere_is_no_value(encoded: str) -> None:
    whole = bytes.fromhex(encoded)
    for end in range(len(whole)):
        with pytest.raises(AxdrError):
            axdr.decode_all(whole[:end])


@pytest.mark.parametrize("name", LISTS)
def test_bytes_left_over_are_told(name: str) -> None:
    with pytest.raises(AxdrError, match="1 bytes left over"):
        axdr.decode_all(LISTS[name] + b"\0")


@pytest.mark.parametrize("tag", [1, 2, 4, 9, 10, 12])
@pytest.mark.parametrize(
    "length", ["7F", "81FF", "82FFFF", "83FFFFFF", "84FFFFFFFF", "80", "85FFFFFFFFFF", "FF"]
)
def test_a_length_that_lies_is_refused_at_once(tag: int, length: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(AxdrError):
        axdr.decode_all(bytes([tag]) + bytes.fromhex(length) + bytes(100))
    assert time.perf_counter() - begun < 1  # it neither counts that far nor makes room for it


def test_a_list_that_claims_more_at_each_level_is_refused_at_once() -> None:
    begun = time.perf_counter()
    with pytest.raises(AxdrError):
        axdr.decode_all(bytes.fromhex("01 82 FF FF") * 15 + bytes(1000))
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("opening", ["01 01", "02 01", "02 02 00", "01 82 00 01"])
def test_nesting_without_end_is_refused_at_once(opening: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(AxdrError, match="nested deeper than 16"):
        axdr.decode_all(bytes.fromhex(opening) * 50_000)
    assert time.perf_counter() - begun < 1


def test_a_number_of_elements_that_lies_is_told() -> None:
    with pytest.raises(AxdrError, match="101 elements announced"):
        axdr.decode_all(b"\x01\x65" + bytes(100))


@pytest.mark.parametrize("tag", [9, 10, 12])
def test_a_string_that_lies_about_its_length_is_told(tag: int) -> None:
    with pytest.raises(AxdrError, match="101 bytes goes beyond the end"):
        axdr.decode_all(bytes([tag, 101]) + bytes(100))


def test_seventeen_levels_are_too_many() -> None:
    with pytest.raises(AxdrError, match="nested deeper than 16"):
        axdr.decode_all(b"\x02\x01" * 17 + b"\x11\x07")


def test_sixteen_levels_are_read() -> None:
    value = axdr.decode_all(b"\x02\x01" * 16 + b"\x11\x07")
    for _ in range(16):
        assert isinstance(value, tuple)
        (value,) = value
    assert value == 7


KNOWN_TAGS = {0, 1, 2, 3, 4, 5, 6, 9, 10, 12, 13, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27}


def test_each_unknown_type_is_named() -> None:
    for tag in set(range(256)) - KNOWN_TAGS:
        with pytest.raises(AxdrError, match=f"type tag {tag}$"):
            axdr.decode_all(bytes([tag]) + bytes(8))


@pytest.mark.parametrize("encoded", ["0A 01 80", "0C 02 C328", "0C 03 EDA080"])
def test_a_string_that_is_no_text_is_refused(encoded: str) -> None:
    with pytest.raises(AxdrError, match="no text"):
        axdr.decode_all(bytes.fromhex(encoded))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_axdr_error(data: bytes) -> None:
    try:
        axdr.decode_all(data)
    except AxdrError:
        return


@given(
    st.lists(
        st.sampled_from(
            [bytes([tag]) for tag in sorted(KNOWN_TAGS)] + [b"\x81\x01", b"\x82", b"\xff"]
        ),
        max_size=60,
    )
)
def test_any_row_of_type_tags_is_a_value_or_an_axdr_error(pieces: list[bytes]) -> None:
    try:
        axdr.decode_all(b"".join(pieces))
    except AxdrError:
        return


def test_a_number_under_a_wrong_type_is_refused() -> None:
    with pytest.raises(AxdrError):
        axdr.number(17, 1.5)


def test_a_float_too_large_for_32_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        struct.pack(">f", 1e300)  # what the encoder must not let through
    with pytest.raises(AxdrError):
        axdr.number(23, 1e300)
