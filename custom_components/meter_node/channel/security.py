"""The channel's protection (DLMS security suite 0, NIST SP 800-38D), on both ends alike.

What is authenticated, in which order a receiver decides, and how it tells failures apart. Must
not know a cipher library or a store: each end passes its own AES-128-GCM, and keeps the
receiver's state where it keeps such things.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from . import apdu
from .apdu import AUTHENTICATED_AND_ENCRYPTED, TAG_LENGTH, GeneralGloCiphering

LAST_COUNTER = 0xFFFFFFFF
"""A counter may not pass this: new keys are needed (Green Book, invocation counter)."""


class InvalidTagError(Exception):
    """The authentication tag does not fit the ciphertext and the keys."""


class Aead(Protocol):
    """AES-128-GCM with a 12-byte nonce and a 12-byte tag, by whichever library."""

    def seal(self, key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
        """Return ciphertext and tag."""

    def open(self, key: bytes, nonce: bytes, associated: bytes, protected: bytes) -> bytes:
        """Return the plaintext. Raises InvalidTagError, and then reveals nothing."""

    def unverified(self, key: bytes, nonce: bytes, protected: bytes) -> bytes:
        """Return what the ciphertext would say if its tag fitted: for a diagnosis, never a use."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """A pair of 16-byte keys (in the trade GPK60 and GPK61); never shown by ``repr``."""

    encryption: bytes
    authentication: bytes

    def __post_init__(self) -> None:
        """Refuse keys of another length."""
        for name, key in (
            ("encryption", self.encryption),
            ("authentication", self.authentication),
        ):
            if len(key) != 16:
                raise ValueError(f"the {name} key has {len(key)} bytes, not 16")

    def __repr__(self) -> str:
        """Return a text without the keys."""
        return "Keys(…)"


def seal(
    aead: Aead, keys: Keys, system_title: bytes, counter: int, plaintext: bytes
) -> GeneralGloCiphering:
    """Return the plaintext under encryption and authentication.

    The caller answers for the counter: the same (key, title, counter) twice breaks GCM wholly.
    Raises ValueError beyond the last counter.
    """
    if not 0 <= counter <= LAST_COUNTER:
        raise ValueError(f"invocation counter {counter} is used up: the key must be changed")
    protected = aead.seal(
        keys.encryption,
        system_title + counter.to_bytes(4),
        bytes((AUTHENTICATED_AND_ENCRYPTED,)) + keys.authentication,
        plaintext,
    )
    return GeneralGloCiphering(system_title, AUTHENTICATED_AND_ENCRYPTED, counter, protected)


class Refusal(StrEnum):
    """Why a frame was not taken; the value is the key under which a user is told."""

    DAMAGED = "damaged"
    OTHER_METER = "other_meter"
    DOWNGRADE = "downgrade"
    AUTHENTICATION_KEY = "authentication_key"
    WRONG_KEYS = "wrong_keys"
    FORGED = "forged"
    DUPLICATE = "duplicate"
    REPLAY = "replay"


class RefusedError(Exception):
    """A frame was refused; ``reason`` says why, the text says it for a log."""

    def __init__(self, reason: Refusal, text: str) -> None:
        """Keep the reason beside the text."""
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What must outlive a restart: the highest verified counter and the digest of its frame."""

    highest: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A verified frame; ``repeated`` when it is the last one shown once more after a start."""

    plaintext: bytes
    counter: int
    repeated: bool


class Receiver:
    """Takes ciphered APDUs of one (system title, keys, stream): each good one once, in order."""

    def __init__(
        self, aead: Aead, system_title: bytes, keys: Keys, state: ReceiverState | None = None
    ) -> None:
        """Go on from ``state``; ``system_title`` is the only sender listened to."""
        self._aead = aead
        self._system_title = system_title
        self._keys = keys
        self._state = state or ReceiverState()
        self._accepted_since_start = False

    @property
    def state(self) -> ReceiverState:
        """What to keep over a restart."""
        return self._state

    def accept(self, data: bytes, *, retained: bool = False) -> Accepted:
        """Return the plaintext of a good frame. Raises RefusedError with the reason.

        ``retained``: a broker handed it over from its memory. If it is the very last frame and
        nothing was accepted since the start, it is given once more, marked as repeated; whether
        it is young enough to be shown is the caller's to judge.
        """
        envelope = self._envelope(data)
        digest = hashlib.sha256(data).hexdigest()
        plaintext = self._open(envelope)
        highest = self._state.highest
        if highest is not None and envelope.invocation_counter <= highest:
            if envelope.invocation_counter == highest and digest == self._state.digest:
                if retained and not self._accepted_since_start:
                    self._accepted_since_start = True
                    return Accepted(plaintext, highest, repeated=True)
                raise RefusedError(Refusal.DUPLICATE, "the same frame once more")
            raise RefusedError(
                Refusal.REPLAY,
                f"counter {envelope.invocation_counter} is not above {highest}: a replay",
            )
        self._accepted_since_start = True
        self._state = ReceiverState(envelope.invocation_counter, digest)
        return Accepted(plaintext, envelope.invocation_counter, repeated=False)

    def verify(self, data: bytes) -> Accepted:
        """Return the plaintext of a good frame of any age, and move nothing by it.

        For history and never for the present: it may be a replay. Raises RefusedError.
        """
        envelope = self._envelope(data)
        return Accepted(self._open(envelope), envelope.invocation_counter, repeated=True)

    def _envelope(self, data: bytes) -> GeneralGloCiphering:
        if data[:1] == bytes((apdu.DATA_NOTIFICATION,)):
            raise RefusedError(
                Refusal.DOWNGRADE, "a plain frame, where only ciphered ones are taken"
            )
        try:
            envelope = apdu.decode_general_glo_ciphering(data)
        except apdu.ApduError as error:
            raise RefusedError(Refusal.DAMAGED, str(error)) from None
        if envelope.system_title != self._system_title:
            raise RefusedError(
                Refusal.OTHER_METER, f"a frame of another meter, {envelope.system_title.hex()}"
            )
        if envelope.security_control != AUTHENTICATED_AND_ENCRYPTED:
            raise RefusedError(
                Refusal.DOWNGRADE,
                f"security control 0x{envelope.security_control:02X} in place of 0x30",
            )
        if len(envelope.protected) <= TAG_LENGTH:
            raise RefusedError(Refusal.DAMAGED, "too short for a ciphertext and its tag")
        return envelope

    def _open(self, envelope: GeneralGloCiphering) -> bytes:
        nonce = envelope.system_title + envelope.invocation_counter.to_bytes(4)
        associated = bytes((envelope.security_control,)) + self._keys.authentication
        try:
            return self._aead.open(self._keys.encryption, nonce, associated, envelope.protected)
        except InvalidTagError:
            pass
        if self._state.highest is not None:
            raise RefusedError(Refusal.FORGED, "the tag does not fit, with keys that fitted before")
        guess = self._aead.unverified(self._keys.encryption, nonce, envelope.protected)
        if _parses(guess):
            raise RefusedError(
                Refusal.AUTHENTICATION_KEY,
                "the encryption key opens the frame and its tag does not fit: "
                "the authentication key is wrong",
            )
        raise RefusedError(Refusal.WRONG_KEYS, "the keys do not open the frame")


def _parses(plaintext: bytes) -> bool:
    try:
        apdu.decode_data_notification(plaintext)
    except apdu.ApduError:
        return False
    return True
