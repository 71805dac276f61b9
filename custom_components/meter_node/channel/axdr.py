"""A-XDR (IEC 61334-6 as DLMS uses it): COSEM data to plain Python values, and back to bytes.

Must not know what the data is for. Decoding gives plain values (None, bool, int, float, str,
bytes, BitString, list for an array, tuple for a structure); encoding is one function a type, and
each returns bytes, so that the caller says the type that a standard demands.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error

type Value = bool | int | float | str | bytes | BitString | list[Value] | tuple[Value, ...] | None

MAX_DEPTH = 16
"""Deeper nesting than any COSEM attribute has: a message that goes on is an attack."""


class AxdrError(ValueError):
    """The bytes are not A-XDR: cut short, an unknown tag, or nested without end."""


@dataclass(frozen=True, slots=True)
class BitString:
    """A bit-string: its bits as an integer, the first bit the highest."""

    bits: int
    length: int


# --- decoding -----------------------------------------------------------------------------------

_FIXED: dict[int, Struct] = {
    5: Struct(">i"),
    6: Struct(">I"),
    13: Struct(">b"),
    15: Struct(">b"),
    16: Struct(">h"),
    17: Struct(">B"),
    18: Struct(">H"),
    20: Struct(">q"),
    21: Struct(">Q"),
    22: Struct(">B"),
    23: Struct(">f"),
    24: Struct(">d"),
}
_NUMBERS = tuple(
    (_FIXED[tag].unpack_from, 1 + _FIXED[tag].size) if tag in _FIXED else None for tag in range(256)
)
"""By tag: how a number is read, and how far to go on behind its tag."""
_TAGGED = {tag: Struct(f">B{fixed.format[1:]}") for tag, fixed in _FIXED.items()}
_RAW_LENGTH = {25: 12, 26: 5, 27: 4}
_NAME = b"\x09\x06"
"""How a logical name begins: an octet-string of six bytes."""
_REGISTER = b"\x02\x03" + _NAME
"""How a structure {logical name, number, {scaler, unit}} begins, of which pushes consist."""
_SCALER_AND_UNIT = {
    b"\x02\x02\x0f" + scaler.to_bytes(signed=True) + bytes((22, unit)): (scaler, unit)
    for scaler in range(-6, 7)
    for unit in range(256)
}


def _number_cut_short(offset: int) -> AxdrError:
    return AxdrError(f"cut short at byte {offset}: a number is missing")


def decode_length(data: bytes, offset: int) -> tuple[int, int]:
    """Return (length, offset behind it) of a definite BER length."""
    try:
        first = data[offset]
    except IndexError:
        raise AxdrError(f"cut short at byte {offset}: a length is missing") from None
    if first < 0x80:
        return first, offset + 1
    size = first & 0x7F
    end = offset + 1 + size
    if not 1 <= size <= 4 or end > len(data):
        raise AxdrError(f"byte {offset}: no valid length (0x{first:02X})")
    return int.from_bytes(data[offset + 1 : end]), end


def decode(data: bytes, offset: int = 0, depth: int = 0) -> tuple[Value, int]:
    """Return (value, offset behind it). Raises AxdrError with the place of the fault."""
    try:
        tag = data[offset]
    except IndexError:
        raise AxdrError(f"cut short at byte {offset}: a value is missing") from None
    offset += 1
    fixed = _FIXED.get(tag)
    if fixed is not None:
        try:
            (number,) = fixed.unpack_from(data, offset)
        except struct_error:
            raise _number_cut_short(offset) from None
        return number, offset + fixed.size
    if tag in (9, 10, 12):
        length, offset = decode_length(data, offset)
        end = offset + length
        if end > len(data):
            raise AxdrError(f"byte {offset}: a string of {length} bytes goes beyond the end")
        raw = data[offset:end]
        if tag == 9:
            return raw, end
        try:
            return raw.decode("ascii" if tag == 10 else "utf-8"), end
        except UnicodeDecodeError:
            raise AxdrError(f"byte {offset}: a string holds bytes that are no text") from None
    if tag in (1, 2):
        return _decode_sequence(data, offset, depth, tag)
    if tag == 0:
        return None, offset
    return _decode_rare(data, offset, tag)


def _decode_sequence(data: bytes, offset: int, depth: int, tag: int) -> tuple[Value, int]:
    if depth >= MAX_DEPTH:
        raise AxdrError(f"byte {offset}: nested deeper than {MAX_DEPTH}")
    count, offset = decode_length(data, offset)
    if count > len(data) - offset:  # each element takes a byte at least: a length that lies
        raise AxdrError(f"byte {offset}: {count} elements announced, fewer bytes left")
    items: list[Value] = []
    depth += 1
    size_of_data = len(data)
    for _ in range(count):
        # Most elements of a push are numbers and short octet-strings: here without a call for each.
        fixed = _NUMBERS[data[offset]] if offset < size_of_data else None
        if fixed is not None:
            unpack_from, size = fixed
            try:
                items += unpack_from(data, offset + 1)
            except struct_error:
                raise _number_cut_short(offset + 1) from None
            offset += size
        elif data.startswith(_NAME, offset) and offset + 8 <= size_of_data:
            items.append(data[offset + 2 : offset + 8])
            offset += 8
        elif data.startswith(_REGISTER, offset) and (found := _register(data, offset)):
            item, offset = found
            items.append(item)
        else:
            item, offset = decode(data, offset, depth)
            items.append(item)
    return (items if tag == 1 else tuple(items)), offset


def _register(data: bytes, offset: int) -> tuple[Value, int] | None:
    """Read the commonest structure in one go; None where it is another after all."""
    fixed = _NUMBERS[data[offset + 10]] if offset + 10 < len(data) else None
    if fixed is None:
        return None
    unpack_from, size = fixed
    end = offset + 10 + size
    scaler_and_unit = _SCALER_AND_UNIT.get(data[end : end + 6])
    if scaler_and_unit is None:
        return None
    (number,) = unpack_from(data, offset + 11)
    return (data[offset + 4 : offset + 10], number, scaler_and_unit), end + 6


def _decode_rare(data: bytes, offset: int, tag: int) -> tuple[Value, int]:
    if tag == 3:
        if offset >= len(data):
            raise AxdrError(f"cut short at byte {offset}: a boolean is missing")
        return data[offset] != 0, offset + 1
    if tag == 4:
        length, offset = decode_length(data, offset)
        size = (length + 7) // 8
        if offset + size > len(data):
            raise AxdrError(f"byte {offset}: a bit-string of {length} bits goes beyond the end")
        bits = int.from_bytes(data[offset : offset + size]) >> (size * 8 - length)
        return BitString(bits, length), offset + size
    if tag in _RAW_LENGTH:
        end = offset + _RAW_LENGTH[tag]
        if end > len(data):
            raise AxdrError(f"byte {offset}: a date or time goes beyond the end")
        return data[offset:end], end
    raise AxdrError(f"byte {offset - 1}: unknown type tag {tag}")


def decode_all(data: bytes) -> Value:
    """Return the one value that the bytes hold. Raises AxdrError when bytes are left over."""
    value, end = decode(data)
    if end != len(data):
        raise AxdrError(f"{len(data) - end} bytes left over behind the value")
    return value


def number_places(data: bytes, offset: int) -> tuple[list[tuple[int, Struct]], int]:
    """Return where each number of a value stands and in which form, and the offset behind it.

    The value must have been decoded already: what is broken is not looked for again.
    """
    tag = data[offset]
    fixed = _NUMBERS[tag]
    if fixed is not None:
        return [(offset + 1, _FIXED[tag])], offset + fixed[1]
    if tag not in (1, 2):
        return [], decode(data, offset)[1]
    count, offset = decode_length(data, offset + 1)
    places: list[tuple[int, Struct]] = []
    for _ in range(count):
        inner, offset = number_places(data, offset)
        places += inner
    return places, offset


# --- encoding -----------------------------------------------------------------------------------


def encode_length(length: int) -> bytes:
    """Return the shortest BER length."""
    if length < 0x80:
        return bytes((length,))
    raw = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(raw),)) + raw


def number(tag: int, value: float) -> bytes:
    """Return a number under its type tag. Raises AxdrError when it does not fit."""
    try:
        return _TAGGED[tag].pack(tag, value)
    except (struct_error, OverflowError):
        raise AxdrError(f"{value} does not fit the type with tag {tag}") from None


def null_data() -> bytes:
    """Return null-data."""
    return b"\x00"


def boolean(value: bool) -> bytes:
    """Return a boolean."""
    return b"\x03\x01" if value else b"\x03\x00"


def integer(value: int) -> bytes:
    """Return an integer (8 bits, signed)."""
    return number(15, value)


def long(value: int) -> bytes:
    """Return a long (16 bits, signed)."""
    return number(16, value)


def double_long(value: int) -> bytes:
    """Return a double-long (32 bits, signed)."""
    return number(5, value)


def long64(value: int) -> bytes:
    """Return a long64 (64 bits, signed)."""
    return number(20, value)


def unsigned(value: int) -> bytes:
    """Return an unsigned (8 bits)."""
    return number(17, value)


def long_unsigned(value: int) -> bytes:
    """Return a long-unsigned (16 bits)."""
    return number(18, value)


def double_long_unsigned(value: int) -> bytes:
    """Return a double-long-unsigned (32 bits)."""
    return number(6, value)


def long64_unsigned(value: int) -> bytes:
    """Return a long64-unsigned (64 bits)."""
    return number(21, value)


def enum(value: int) -> bytes:
    """Return an enum."""
    return number(22, value)


def octet_string(value: bytes) -> bytes:
    """Return an octet-string."""
    return b"\x09" + encode_length(len(value)) + value


def visible_string(value: str) -> bytes:
    """Return a visible-string (ASCII). Raises AxdrError for other characters."""
    try:
        raw = value.encode("ascii")
    except UnicodeEncodeError:
        raise AxdrError(f"a visible-string is ASCII: {value!r}") from None
    return b"\x0a" + encode_length(len(raw)) + raw


def utf8_string(value: str) -> bytes:
    """Return a utf8-string."""
    raw = value.encode()
    return b"\x0c" + encode_length(len(raw)) + raw


def bit_string(value: BitString) -> bytes:
    """Return a bit-string, its last byte filled with zeros."""
    size = (value.length + 7) // 8
    bits = value.bits << (size * 8 - value.length)
    return b"\x04" + encode_length(value.length) + bits.to_bytes(size)


def array(*items: bytes) -> bytes:
    """Return an array of encoded items."""
    return b"\x01" + encode_length(len(items)) + b"".join(items)


def structure(*items: bytes) -> bytes:
    """Return a structure of encoded items."""
    return b"\x02" + encode_length(len(items)) + b"".join(items)
