"""Wireless M-Bus telegrams: full and compact frames, extended link layer, security profile A. Pure.

Must not know the meter, nor where numbers and keys are kept.

EN 13757-4 (extended link layer), EN 13757-7 (security mode 5), EN 13757-3 (compact frame).
"""

from __future__ import annotations

from collections.abc import Sequence

from Crypto.Cipher import AES

from meter_node.ports.mbus.address import SecondaryAddress
from meter_node.ports.mbus.records import Record

from .frames import check_sequence

SEND_NO_REPLY = 0x44
_FULL, _COMPACT, _SHORT_HEADER, _EXTENDED_LINK = 0x78, 0x79, 0x7A, 0x8D
_SYNCHRONISED = 0x20
"""Communication control: telegrams come in step, nobody is listened to."""
_AES_CTR = 1 << 29
"""Encryption field of the session number: AES-128 in counter mode."""
_MODE_5 = 0x0500
_BLOCK = 16
MOST_BLOCKS = 15
IDLE = b"\x2f"
"""A filler; two of them tell the reader that its key fits."""


def full(records: Sequence[Record]) -> bytes:
    """Return the long frame: what each value is, and the values."""
    return bytes((_FULL,)) + whole(records)


def compact(records: Sequence[Record]) -> bytes:
    """Return the compact frame: values alone, and the check sequences of the long one.

    Who has seen the long frame knows what they are.
    """
    heads = b"".join(record.head for record in records)
    signatures = _low_first(check_sequence(heads)), _low_first(check_sequence(whole(records)))
    values = b"".join(record.data for record in records)
    return bytes((_COMPACT,)) + b"".join(signatures) + values


def whole(records: Sequence[Record]) -> bytes:
    """Return records with what each of them is."""
    return b"".join(record.to_bytes() for record in records)


def link_address(who: SecondaryAddress) -> bytes:
    """Return manufacturer and address as a link layer carries them: eight bytes."""
    return who.manufacturer_code + who.identification_code + bytes((who.version, who.medium))


def extended_link(who: SecondaryAddress, key: bytes, number: int, payload: bytes) -> bytes:
    """Return a telegram whose payload is under AES-128-CTR, from the control field on.

    ``number`` has 29 bits and must never have been used with this key.
    """
    session = (_AES_CTR | number).to_bytes(4, "little")
    nonce = link_address(who) + bytes((_SYNCHRONISED,)) + session + bytes(2)  # frame number 0
    cipher = AES.new(key, AES.MODE_CTR, nonce=nonce, initial_value=0)
    ciphered = cipher.encrypt(_low_first(check_sequence(payload)) + payload)
    head = bytes((_EXTENDED_LINK, _SYNCHRONISED, number & 0xFF)) + session
    return bytes((SEND_NO_REPLY,)) + link_address(who) + head + ciphered


def security_profile_a(
    who: SecondaryAddress, key: bytes, number: int, status: int, data: bytes
) -> bytes:
    """Return a telegram whose data records are under AES-128-CBC (mode 5).

    The initial vector holds only the lowest eight bits of ``number``: the first block must differ
    from telegram to telegram by itself. Raises ValueError where the records are too many.
    """
    plain = IDLE * 2 + data
    plain += IDLE * (-len(plain) % _BLOCK)
    blocks = len(plain) // _BLOCK
    if blocks > MOST_BLOCKS:
        raise ValueError(f"{blocks} blocks do not fit into a telegram")
    access = bytes((number & 0xFF,))
    cipher = AES.new(key, AES.MODE_CBC, iv=link_address(who) + access * 8)
    configuration = _low_first(_MODE_5 | blocks << 4)
    head = bytes((_SHORT_HEADER,)) + access + bytes((status,)) + configuration
    return bytes((SEND_NO_REPLY,)) + link_address(who) + head + cipher.encrypt(plain)


def _low_first(word: int) -> bytes:
    return word.to_bytes(2, "little")
