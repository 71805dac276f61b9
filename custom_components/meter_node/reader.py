"""From what stands on a meter's push topic to a verified reading, or the reason why not.

What the coordinator and the config flow share. Must not know a transport, a store or a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite

from .channel import apdu, frames, lists
from .channel.kamstrup_v0001 import ScalerProfile
from .channel.reading import ListError, Reading
from .channel.security import Keys, Receiver, ReceiverState, Refusal, RefusedError
from .ciphering import AesGcm

FOREIGN = "foreign"
"""Bytes of another protocol."""
CIPHERED = "ciphered"
"""A ciphered frame, where the entry has no keys."""
UNKNOWN_LIST = "unknown_list"
"""A good frame with a list that this version does not understand."""

MAX_PUSH_BYTES = 8192
"""A full push of three phases has some 1.6 kB, an HDLC frame 2 kB at most; more is not read."""

KEY_REASONS = frozenset({Refusal.WRONG_KEYS, Refusal.AUTHENTICATION_KEY, Refusal.FORGED, CIPHERED})
"""Reasons that other keys could mend."""


class NotTakenError(Exception):
    """A payload was not taken: ``reason`` is the key under which a user is told."""

    def __init__(self, reason: str, text: str) -> None:
        """Keep the reason beside the text."""
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verified:
    """A reading from a good frame; ``repeated`` when it may be shown only if it is young."""

    reading: Reading
    repeated: bool


@dataclass(frozen=True, slots=True)
class Past:
    """A reading from a good frame of any age, with its counter (None: a plain one has none)."""

    reading: Reading
    counter: int | None


class MeterReader:
    """Takes the payloads of one meter, at the level of ciphering that was pinned when paired."""

    def __init__(
        self,
        title: str,
        keys: Keys | None,
        profile: ScalerProfile,
        state: ReceiverState | None = None,
    ) -> None:
        """Listen to the meter of that topic title; without keys to its plain frames alone."""
        self._title = title
        self._pushes = lists.Pushes(profile)
        self._receiver = (
            None if keys is None else Receiver(AesGcm(), bytes.fromhex(title), keys, state)
        )
        self._last_plain = b""

    @property
    def state(self) -> ReceiverState:
        """What to keep over a restart."""
        return ReceiverState() if self._receiver is None else self._receiver.state

    def read(self, payload: bytes, *, retained: bool) -> Verified:
        """Return the reading of a good frame. Raises NotTakenError with the reason."""
        with _refusals(payload):
            data = frames.apdu_of(payload)
            if self._receiver is None:
                return self._read_plain(data, retained)
            accepted = self._receiver.accept(data, retained=retained)
            return Verified(self._decode(accepted.plaintext), accepted.repeated)

    def read_past(self, payload: bytes) -> Past:
        """Return the reading of a good frame of any age, and move nothing by it.

        For history and never for the present. Raises NotTakenError with the reason.
        """
        with _refusals(payload):
            data = frames.apdu_of(payload)
            if self._receiver is None:
                return Past(self._open_plain(data), None)
            verified = self._receiver.verify(data)
            return Past(self._decode(verified.plaintext), verified.counter)

    def _read_plain(self, data: bytes, retained: bool) -> Verified:
        """Take a plain frame: with no counter to go by, a retained one must prove its youth."""
        if data == self._last_plain:
            raise RefusedError(Refusal.DUPLICATE, "the same frame once more")
        reading = self._open_plain(data)
        self._last_plain = data
        return Verified(reading, repeated=retained)

    def _open_plain(self, data: bytes) -> Reading:
        if data[0] == apdu.GENERAL_GLO_CIPHERING:
            raise NotTakenError(CIPHERED, "a ciphered frame, and there are no keys for it")
        reading = self._decode(data)
        numbers = {reading.texts.get(name) for name in ("meter_number", "gs1_number")} - {None}
        if numbers and self._title not in {number.lower() for number in numbers if number}:
            raise RefusedError(Refusal.OTHER_METER, "a frame of another meter")
        return reading

    def _decode(self, plaintext: bytes) -> Reading:
        try:
            reading = self._pushes.read(plaintext)
        except apdu.ApduError as error:
            raise NotTakenError(Refusal.DAMAGED, str(error)) from None
        except ListError as error:
            raise NotTakenError(UNKNOWN_LIST, str(error)) from None
        if all(map(isfinite, reading.values.values())):
            return reading
        values = {key: value for key, value in reading.values.items() if isfinite(value)}
        return replace(reading, values=values)


@contextmanager
def _refusals(payload: bytes) -> Iterator[None]:
    """Give each refusal its reason. Raises NotTakenError."""
    if len(payload) > MAX_PUSH_BYTES:  # before anything that takes its time with each byte
        raise NotTakenError(
            Refusal.DAMAGED, f"{len(payload)} bytes, and no push has more than {MAX_PUSH_BYTES}"
        )
    try:
        yield
    except RefusedError as error:
        raise NotTakenError(error.reason, str(error)) from None
    except frames.DamagedError as error:
        raise NotTakenError(Refusal.DAMAGED, str(error)) from None
    except frames.ForeignError as error:
        raise NotTakenError(FOREIGN, str(error)) from None
