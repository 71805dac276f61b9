"""A top-up token: credit for one meter, as text that a person can type.

Not a token of STS (IEC 62055-41): those need tables that only its members get. Must not know who is
served by the credit, how often somebody may try, or where a key is kept.

25 bytes are 40 symbols of Crockford's base32, in groups of five, and a check symbol:

    version (1) ‖ system title (8) ‖ sequence (4) ‖ credit in Wh (4) ‖ MAC (8)

Numbers are big-endian. The MAC is AES-CMAC (RFC 4493) over all that stands before it, cut to its
first eight bytes (RFC 4493, section 2.4). The check symbol is Crockford's: the number modulo 37.
Since 37 is a prime above 32, no single wrong symbol and no two swapped neighbours pass it, so that
a typing error is told from a forgery without looking at the MAC.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum

from Crypto.Cipher import AES
from Crypto.Hash import CMAC

from meter_node.channel.apdu import TITLE_LENGTH

VERSION = 1
KEY_LENGTH = 16
MAC_LENGTH = 8
HIGHEST = 2**32 - 1
"""The last sequence number, and the most that one token carries in Wh."""
SYMBOLS = 40
_GROUP = 5
_BODY_LENGTH = SYMBOLS * 5 // 8 - MAC_LENGTH
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECK_ALPHABET = _ALPHABET + "*~$=U"
_VALUES = {symbol: value for value, symbol in enumerate(_ALPHABET)}
# What people write for a symbol, and what they write between symbols.
_READ_AS = str.maketrans("OIL", "011", "-‐‑‒–—−_.")


class TokenFault(StrEnum):
    """Why a text is no token for this meter."""

    MISTYPED = "mistyped"
    OTHER_VERSION = "other_version"
    OTHER_METER = "other_meter"
    FORGED = "forged"


_SAID = {
    TokenFault.MISTYPED: "the token is mistyped: compare it with what you were given",
    TokenFault.OTHER_VERSION: "the token is of a kind that this meter does not know",
    TokenFault.OTHER_METER: "the token was made for another meter",
    TokenFault.FORGED: "the token is not genuine",
}


class TokenError(ValueError):
    """A text that is no token for this meter; `fault` says why, the text says it to people."""

    def __init__(self, fault: TokenFault) -> None:
        super().__init__(_SAID[fault])
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Token:
    """What a text says. Only `verify` tells whether it is true."""

    version: int
    system_title: bytes
    sequence: int
    credit_wh: int
    mac: bytes

    @property
    def body(self) -> bytes:
        """What the MAC covers."""
        return (
            bytes([self.version])
            + self.system_title
            + self.sequence.to_bytes(4)
            + self.credit_wh.to_bytes(4)
        )


def make(key: bytes, system_title: bytes, sequence: int, credit_wh: int) -> str:
    """Return the text of a token.

    A meter takes `sequence` (1 to 2³²−1) only if it is higher than any that it took before: tokens
    are to be entered in the order in which they were sold. Raises ValueError for what fits no
    token.
    """
    if len(system_title) != TITLE_LENGTH:
        raise ValueError(f"a system title has {TITLE_LENGTH} bytes, not {len(system_title)}")
    if not 1 <= sequence <= HIGHEST:
        raise ValueError(f"a sequence of {sequence}; possible are 1 to {HIGHEST}")
    if not 1 <= credit_wh <= HIGHEST:
        raise ValueError(f"a credit of {credit_wh} Wh; possible are 1 to {HIGHEST} Wh")
    body = Token(VERSION, system_title, sequence, credit_wh, b"").body
    number = int.from_bytes(body + aes_cmac(key, body)[:MAC_LENGTH])
    text = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(SYMBOLS)))
    groups = [text[start : start + _GROUP] for start in range(0, SYMBOLS, _GROUP)]
    return "-".join([*groups, _CHECK_ALPHABET[number % len(_CHECK_ALPHABET)]])


def read(text: str) -> Token:
    """Return what a text says, however it is grouped, spaced and capitalised.

    O is read as 0, I and L as 1. Raises TokenError: mistyped, or of another version.
    """
    symbols = "".join(text.split()).upper().translate(_READ_AS)
    if len(symbols) != SYMBOLS + 1:
        raise TokenError(TokenFault.MISTYPED)
    number = 0
    for symbol in symbols[:-1]:
        value = _VALUES.get(symbol)
        if value is None:
            raise TokenError(TokenFault.MISTYPED)
        number = number << 5 | value
    if symbols[-1] != _CHECK_ALPHABET[number % len(_CHECK_ALPHABET)]:
        raise TokenError(TokenFault.MISTYPED)
    content = number.to_bytes(_BODY_LENGTH + MAC_LENGTH)
    if content[0] != VERSION:
        raise TokenError(TokenFault.OTHER_VERSION)
    return Token(
        version=content[0],
        system_title=content[1:9],
        sequence=int.from_bytes(content[9:13]),
        credit_wh=int.from_bytes(content[13:17]),
        mac=content[17:],
    )


def verify(key: bytes, system_title: bytes, token: Token) -> None:
    """Raise TokenError where the token is another meter's or its MAC is not of this key."""
    if token.system_title != system_title:
        raise TokenError(TokenFault.OTHER_METER)
    # In constant time: how long it takes must not say how many bytes were right.
    if not hmac.compare_digest(aes_cmac(key, token.body)[:MAC_LENGTH], token.mac):
        raise TokenError(TokenFault.FORGED)


def aes_cmac(key: bytes, message: bytes) -> bytes:
    """Return the 16 bytes of AES-CMAC (RFC 4493). Raises ValueError for another length of key."""
    if len(key) != KEY_LENGTH:
        raise ValueError(f"a vending key has {KEY_LENGTH} bytes, not {len(key)}")
    return CMAC.new(key, message, ciphermod=AES).digest()
