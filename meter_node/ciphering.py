"""AES-128-GCM by pycryptodome, and invocation counters that never give a number twice.

Must not know what is ciphered, nor where a counter is kept: persisting is the caller's function.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from Crypto.Cipher import AES

from meter_node.channel.apdu import TAG_LENGTH
from meter_node.channel.security import LAST_COUNTER, InvalidTagError, Keys


class PycryptodomeAead:
    """The channel's AES-128-GCM with a 12-byte tag."""

    def seal(self, key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
        """Return ciphertext and tag."""
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_LENGTH)
        cipher.update(associated)
        ciphertext, tag = cipher.encrypt_and_digest(plaintext)
        return ciphertext + tag

    def open(self, key: bytes, nonce: bytes, associated: bytes, protected: bytes) -> bytes:
        """Return the plaintext. Raises InvalidTagError when the tag does not fit."""
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_LENGTH)
        cipher.update(associated)
        try:
            return cipher.decrypt_and_verify(protected[:-TAG_LENGTH], protected[-TAG_LENGTH:])
        except ValueError:
            raise InvalidTagError from None

    def unverified(self, key: bytes, nonce: bytes, protected: bytes) -> bytes:
        """Return what the ciphertext would say if its tag fitted: for a diagnosis only."""
        cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_LENGTH)
        return cipher.decrypt(protected[:-TAG_LENGTH])


class KeyWrapError(Exception):
    """What was wrapped is not of this key, or not whole."""


def unwrap(key: bytes, wrapped: bytes) -> bytes:
    """Return the key that was wrapped under another (AES key wrap, RFC 3394).

    Raises KeyWrapError.
    """
    try:
        return AES.new(key, AES.MODE_KW).unseal(wrapped)
    except ValueError:
        raise KeyWrapError("a wrapped key does not open under the master key") from None


def make_keys() -> Keys:
    """Return a fresh pair of keys from the operating system's random numbers."""
    return Keys(secrets.token_bytes(16), secrets.token_bytes(16))


PROOF_LENGTH = 16


def own_proof(secret: bytes, counter: int, text: bytes) -> bytes:
    """Return what proves a text with a counter to whoever made it: a MAC that nobody else makes."""
    made = hmac.digest(secret, counter.to_bytes(4) + text, hashlib.sha256)
    return made[:PROOF_LENGTH]


COUNTER_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
COUNTS_PER_SECOND = 2


WIRELESS_COUNTS_PER_MINUTE = 32
LAST_WIRELESS = 2**29 - 1
"""The session number of EN 13757-4 has 29 bits: minutes, and four bits within one."""


def wireless_floor(now: datetime) -> int:
    """Return the lowest session number that a start at ``now`` may begin with.

    As ``time_floor``, for a key under which no more than half of them are sent.
    """
    minutes = int((now - COUNTER_EPOCH).total_seconds() // 60)
    return max(0, minutes * WIRELESS_COUNTS_PER_MINUTE)


def time_floor(now: datetime) -> int:
    """Return the lowest counter that a start at ``now`` may begin with.

    Two numbers a second since 2026: a data directory restored from a back-up starts above
    whatever was sent since the back-up was taken, as long as no more than one frame a second was
    sent: each start leaves out fewer numbers than it gives. A clock before 2026 gives no floor.
    """
    return max(0, int((now - COUNTER_EPOCH).total_seconds()) * COUNTS_PER_SECOND)


class CounterExhaustedError(Exception):
    """All numbers of a key are used: nothing may be sent until the key is changed."""


class InvocationCounter:
    """Gives each number once, over any kill: what it may give is persisted before it is given."""

    AHEAD = 1024

    def __init__(
        self,
        reserved: int,
        floor: int,
        persist: Callable[[int], None],
        *,
        last: int = LAST_COUNTER,
        ahead: int = AHEAD,
    ) -> None:
        """Go on above everything that was ever reserved.

        ``reserved``: the persisted bound, below which any number may have been used; ``floor``:
        see ``time_floor``; ``persist``: keeps a new bound durably before it returns, or raises;
        ``last``: the highest number that there is; ``ahead``: how many are reserved at once, at
        most. The first are few: a start leaves out fewer than it gives, so that one that fails
        again and again stays below the floor that a back-up put back begins at.
        """
        self._last = last
        self._ahead = ahead
        self._step = 1
        self._reserved = reserved
        self._next = max(reserved, floor)
        self._persist = persist

    def take(self) -> int:
        """Return the next number, never given before.

        Raises CounterExhaustedError behind the last, and whatever ``persist`` raises: then no
        number was given.
        """
        if self._next > self._last:
            raise CounterExhaustedError(
                "the invocation counter is used up: nothing is sent until the keys are changed"
            )
        if self._next >= self._reserved:
            bound = self._next + self._step
            self._persist(bound)
            self._reserved = bound
            self._step = min(2 * self._step, self._ahead)
        number = self._next
        self._next += 1
        return number
