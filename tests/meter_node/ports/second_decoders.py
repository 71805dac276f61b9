"""Second decoders of what modules send, by the standards' text and with nothing of the program.

Must not know registers: what comes out has the names and the numbers that stand on the wire.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def crc(data: bytes, polynomial: int, start: int, *, reflected: bool) -> int:
    """A CRC of 16 bits, bit by bit, before any inversion."""
    word = start
    for byte in data:
        for place in range(8):
            bit = byte >> (place if reflected else 7 - place) & 1
            out = word & 1 if reflected else word >> 15
            word = word >> 1 if reflected else word << 1 & 0xFFFF
            word ^= polynomial if out ^ bit else 0
    return word


# --- the serial list ------------------------------------------------------------------------------


def hdlc_information(frame: bytes) -> bytes:
    """What is in a frame of IEC 62056-46, its check sequences looked at."""
    assert frame[0] == frame[-1] == 0x7E
    inner = frame[1:-1]
    assert int.from_bytes(inner[:2]) & 0x7FF == len(inner)
    for end in (7, len(inner)):
        check = crc(inner[: end - 2], 0x8408, 0xFFFF, reflected=True) ^ 0xFFFF
        assert inner[end - 2 : end] == check.to_bytes(2, "little")
    assert inner[7:10] == b"\xe6\xe7\x00"
    return inner[10:-2]


def opened(apdu: bytes, key: bytes, authentication: bytes) -> bytes:
    """The text of a general-glo-ciphering APDU; raises InvalidTag."""
    assert apdu[:2] == b"\xdb\x08"
    title, rest = apdu[2:10], apdu[10:]
    rest = rest[1 + (rest[0] & 0x7F if rest[0] & 0x80 else 0) :]
    control, counter, text, tag = rest[:1], rest[1:5], rest[5:-12], rest[-12:]
    mode = modes.GCM(title + counter, tag, min_tag_length=12)
    decryptor = Cipher(algorithms.AES(key), mode).decryptor()
    decryptor.authenticate_additional_data(control + authentication)
    return decryptor.update(text) + decryptor.finalize()


def flat_list(notification: bytes) -> dict[str, Any]:
    """A data-notification with a flat list: OBIS to its value, null-data left out."""
    assert notification[0] == 0x0F
    at = 6 + notification[5]
    assert notification[at] == 0x02
    count, at = notification[at + 1], at + 2
    values: list[Any] = []
    for _ in range(count):
        tag = notification[at]
        size = {0x00: 1, 0x06: 5, 0x12: 3}.get(tag) or 2 + notification[at + 1]
        raw = notification[at : at + size]
        numbers = {0x06: ">I", 0x12: ">H"}
        values.append(
            None
            if tag == 0
            else struct.unpack(numbers[tag], raw[1:])[0]
            if tag in numbers
            else raw[2:]
        )
        at += size
    assert at == len(notification)
    pairs = zip(values[1::2], values[2::2], strict=True)
    return {".".join(map(str, name)): value for name, value in pairs if name is not None}


# --- the text telegram ----------------------------------------------------------------------------


def telegram_lines(telegram: bytes) -> dict[str, list[str]]:
    """OBIS to what stands in its brackets, the check sequence looked at."""
    body, check = telegram[:-6], telegram[-6:]
    assert body.endswith(b"!")
    assert check == f"{crc(body, 0xA001, 0, reflected=True):04X}\r\n".encode()
    head, empty, *lines = body[:-1].decode("ascii").split("\r\n")
    assert re.fullmatch(r"/[A-Z]{3}5\S+", head)
    assert empty == "" == lines.pop()
    found = {}
    for line in lines:
        code, brackets = re.fullmatch(r"(\d-\d:\d+\.\d+\.\d+)((?:\([^()]*\))+)", line).groups()  # type: ignore[union-attr]
        assert code not in found
        found[code] = re.findall(r"\(([^()]*)\)", brackets)
    return found


def quantity(text: str) -> tuple[Decimal, str, tuple[int, int]]:
    """Number, unit, and the digits before the point and behind it."""
    number, unit = text.split("*")
    before, _, behind = number.partition(".")
    assert (before + behind).isdecimal()
    return Decimal(number), unit, (len(before), len(behind))


# --- M-Bus ----------------------------------------------------------------------------------------

_LENGTHS = {0x1: 1, 0x2: 2, 0x3: 3, 0x4: 4, 0x6: 6, 0x7: 8}
_FUNCTIONS = ("INSTANTANEOUS", "MAXIMUM", "MINIMUM", "ERROR_STATE")


@dataclass(frozen=True)
class MbusRecord:
    """A data record: what it is, as the stranger names it, and its number (None: a text)."""

    vif: str
    function: str
    storage: int
    tariff: int
    number: int | None
    length: int

    @property
    def as_a_stranger_says(self) -> dict[str, Any]:
        return {
            "vif": self.vif,
            "function": f"FunctionType.{self.function}_VALUE",
            "storage": self.storage,
            "tariff": self.tariff,
        }


def mbus_records(data: bytes) -> Iterator[MbusRecord]:
    """The data records of EN 13757-3, to the end or to the one that says that more follow."""
    while data and data[0] != 0x1F:
        dif, data = data[0], data[1:]
        storage, tariff, place, more = dif >> 6 & 1, 0, 0, dif
        while more & 0x80:
            more, data = data[0], data[1:]
            storage |= (more & 0xF) << 1 + 4 * place
            tariff |= (more >> 4 & 3) << 2 * place
            place += 1
        end = next(place for place, code in enumerate(data) if not code & 0x80) + 1
        vif, data = data[:end], data[end:]
        is_text = dif & 0xF == 0xD
        length = 1 + data[0] if is_text else _LENGTHS[dif & 0xF]
        number = None if is_text else int.from_bytes(data[:length], "little", signed=True)
        function = _FUNCTIONS[dif >> 4 & 3]
        yield MbusRecord(vif.hex(), function, storage, tariff, number, length)
        data = data[length:]


def mbus_answer(frame: bytes) -> bytes:
    """The records of a long frame that answers REQ_UD2, behind the twelve bytes of its header."""
    length = frame[1]
    assert frame[:1] + frame[3:4] == b"\x68\x68"
    assert frame[2] == length
    assert len(frame) == length + 6
    body = frame[4:-2]
    assert frame[-2:] == bytes((sum(body) & 0xFF, 0x16))
    assert body[0] == 0x08
    assert body[2] == 0x72
    return body[15:]


# --- wireless M-Bus -------------------------------------------------------------------------------


def wireless_crc(data: bytes) -> int:
    return crc(data, 0x3D65, 0, reflected=False) ^ 0xFFFF


def without_checks(frame: bytes, frame_format: str) -> bytes:
    """Control field, address and data of a frame of EN 13757-4, its check sequences looked at."""
    ends = {
        "A": [0, 12, *range(12 + 18, len(frame), 18), len(frame)],
        "B": [0, *([128] if len(frame) > 128 else []), len(frame)],
    }[frame_format]
    found = b""
    for start, end in pairwise(ends):
        block = frame[start:end]
        assert wireless_crc(block[:-2]).to_bytes(2) == block[-2:]
        found += block[:-2]
    assert found[0] == (len(found) - 1 if frame_format == "A" else len(frame) - 1)
    return found[1:]


def extended_link(body: bytes, key: bytes) -> bytes:
    """What is under AES-128-CTR in an extended link layer (8D), its check sequence looked at."""
    assert body[9] == 0x8D
    vector = body[1:9] + body[10:11] + body[12:16] + bytes(3)
    decryptor = Cipher(algorithms.AES(key), modes.CTR(vector)).decryptor()
    plain = decryptor.update(body[16:])
    assert int.from_bytes(plain[:2], "little") == wireless_crc(plain[2:])
    return plain[2:]


def profile_a(body: bytes, key: bytes) -> bytes:
    """The records under AES-128-CBC (mode 5) behind a short header (7A)."""
    assert body[9] == 0x7A
    vector = body[1:9] + body[10:11] * 8
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    plain = decryptor.update(body[14:])
    assert plain[:2] == b"\x2f\x2f"
    return plain[2:].rstrip(b"\x2f")
