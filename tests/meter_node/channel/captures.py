"""The real frames, and readers and sealers of the tests' own: nothing here uses the program."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

FIXTURE = Path(__file__).parents[2] / "fixtures" / "real_frames.json"

DANISH = "omnipower_3p_dk_ciphered"
DUMMY_KEYS = "omnipower_3p_ciphered_dummy_keys"
SWEDISH = "omnipower_3p_se_10s_plain"
KAIFA = "kaifa_mbus_ciphered"
P1 = "omnia_p1_telegram"

HDLC_HEADER = 1 + 2 + 1 + 1 + 1 + 2
"""Opening flag, format, one byte for each address, control, header check sequence."""
LLC = 3
HDLC_TRAILER = 2 + 1
"""Frame check sequence and closing flag."""


@dataclass(frozen=True)
class Capture:
    """One frame of a real meter, and what it must mean."""

    data: bytes
    encryption_key: bytes
    authentication_key: bytes
    expected: dict[str, Any]

    @property
    def apdu(self) -> bytes:
        """The APDU, by counting bytes."""
        return self.data[HDLC_HEADER + LLC : -HDLC_TRAILER]

    @property
    def values(self) -> dict[str, Any]:
        """The list's items as published, by OBIS code."""
        return {name: value for name, value in self.expected["values"].items() if name != "list"}

    @property
    def plaintext(self) -> bytes:
        """The data-notification: opened and verified by ``cryptography`` where it is ciphered."""
        if not self.encryption_key:
            return self.apdu
        return opened(self.apdu, self.encryption_key, self.authentication_key)


def _key(text: str | None) -> bytes:
    return bytes.fromhex(text) if text else b""


CAPTURES = {
    entry["name"]: Capture(
        bytes.fromhex(entry["hex"]),
        _key(entry["key_encryption"]),
        _key(entry["key_authentication"]),
        entry["expected"],
    )
    for entry in json.loads(FIXTURE.read_text())
}


# --- general-glo-ciphering by hand (Green Book, suite 0) -----------------------------------------


def ber_length(length: int) -> bytes:
    """Return a definite BER length up to 65535."""
    if length < 128:
        return bytes([length])
    return bytes([0x81, length]) if length < 256 else bytes([0x82, length >> 8, length & 0xFF])


def envelope(title: bytes, control: int, counter: int, protected: bytes) -> bytes:
    """Return a general-glo-ciphering APDU."""
    content = bytes([control]) + struct.pack(">I", counter) + protected
    return b"\xdb\x08" + title + ber_length(len(content)) + content


def sealed(
    counter: int, plaintext: bytes, encryption: bytes, authentication: bytes, title: bytes
) -> bytes:
    """Return the APDU of a push, ciphered and authenticated (security control 0x30)."""
    nonce = title + struct.pack(">I", counter)
    full = AESGCM(encryption).encrypt(nonce, plaintext, b"\x30" + authentication)
    return envelope(title, 0x30, counter, full[:-4])  # 12 bytes of the tag's 16 travel


def opened(data: bytes, encryption: bytes, authentication: bytes) -> bytes:
    """Return the verified plaintext of an APDU; cryptography's InvalidTag where it is not good."""
    title, rest = data[2:10], data[10:]
    size = 1 if rest[0] < 0x80 else 1 + (rest[0] & 0x7F)
    control, counter, protected = rest[size : size + 1], rest[size + 1 : size + 5], rest[size + 5 :]
    gcm = modes.GCM(title + counter, protected[-12:], min_tag_length=12)
    decryptor = Cipher(AES(encryption), gcm).decryptor()
    decryptor.authenticate_additional_data(control + authentication)
    return decryptor.update(protected[:-12]) + decryptor.finalize()


# --- a reader of A-XDR of the tests' own ---------------------------------------------------------

_NUMBERS = {5: ">i", 6: ">I", 15: ">b", 16: ">h", 17: ">B", 18: ">H", 21: ">Q", 22: ">B"}


@dataclass(frozen=True)
class Item:
    """One A-XDR value under its type tag."""

    tag: int
    value: Any


def read_axdr(data: bytes) -> Item:
    """Return the one value in the bytes, tags kept (IEC 61334-6 with the Blue Book's tags)."""
    item, end = _read(data, 0)
    assert end == len(data)
    return item


def _read(data: bytes, at: int) -> tuple[Item, int]:
    tag, at = data[at], at + 1
    if tag in _NUMBERS:
        size = struct.calcsize(_NUMBERS[tag])
        return Item(tag, struct.unpack(_NUMBERS[tag], data[at : at + size])[0]), at + size
    if tag == 0:
        return Item(0, None), at
    length, at = data[at], at + 1
    if length >= 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size]), at + size
    if tag in (9, 10):
        raw = data[at : at + length]
        return Item(tag, raw.decode("ascii") if tag == 10 else raw), at + length
    assert tag in (1, 2), f"tag {tag}"
    items = []
    for _ in range(length):
        item, at = _read(data, at)
        items.append(item)
    return Item(tag, items), at
