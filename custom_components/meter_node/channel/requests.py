"""Requests to a meter and its responses, under general-ciphering: the asking side.

Whom an answer is for, to which request, and that it is the meter's, is all under the tag. Must not
know a cipher library, a clock or how messages travel: they can be held, repeated, swapped or lost.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from . import apdu, services
from .apdu import AUTHENTICATED_AND_ENCRYPTED, TAG_LENGTH, TITLE_LENGTH, GeneralCiphering
from .axdr import Value
from .cosem_time import CosemDateTime
from .security import LAST_COUNTER, Aead, InvalidTagError, Keys, Refusal, RefusedError
from .services import Fault

LONGEST_AGE_S = 10
"""A meter takes a request that is within so many seconds of its own clock, before or after."""
MAX_REQUEST_BYTES = 2048
MAX_RESPONSE_BYTES = 262_144
MOST_WAITING = 64
"""Requests without an answer yet; the oldest is given up for a further one."""
_TRANSACTION_LENGTH = 8


class UnprovenRefusalError(Exception):
    """A refusal that anybody on the broker could have sent: the meter can't cipher it.

    It says so where the tag does not fit (keys that were revoked or changed) or a number is not
    new. It belongs to no request and ends none; it is a hint for one that gets no answer.
    """

    def __init__(self, fault: Fault) -> None:
        """Keep what it says."""
        super().__init__(fault.name.lower().replace("_", " "))
        self.fault = fault


class NumbersUsedUpError(Exception):
    """This requester has sent all it may: a new one, with another title, must go on."""


def seal(
    aead: Aead,
    keys: Keys,
    envelope: GeneralCiphering,
    plaintext: bytes,
) -> bytes:
    """Return the APDU with the plaintext under encryption and authentication.

    The caller answers for the counter: the same (key, originator, counter) twice breaks GCM wholly.
    """
    nonce = envelope.originator + envelope.invocation_counter.to_bytes(4)
    sealed = aead.seal(keys.encryption, nonce, _associated(keys, envelope), plaintext)
    return apdu.encode_general_ciphering(replace(envelope, protected=sealed))


def unseal(aead: Aead, keys: Keys, envelope: GeneralCiphering) -> bytes:
    """Return the plaintext. Raises InvalidTagError."""
    nonce = envelope.originator + envelope.invocation_counter.to_bytes(4)
    return aead.open(keys.encryption, nonce, _associated(keys, envelope), envelope.protected)


def _associated(keys: Keys, envelope: GeneralCiphering) -> bytes:
    return bytes((envelope.security_control,)) + keys.authentication + envelope.header


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its number, by which the response is known, and what is sent."""

    transaction_id: bytes
    apdu: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The meter's own response to a request of ours that waited for one."""

    transaction_id: bytes
    meter_time: datetime | None
    """When it answered, by its clock (UTC)."""
    answer: bytes
    _service: int

    def value(self) -> Value:
        """Return what was asked for; see ``services.read``.

        Raises services.RefusedError where the meter refused, services.ServiceError for nonsense.
        """
        return services.read(self.answer, self._service)


class MeterTime:
    """What time a meter's clock shows, as its messages tell."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._ahead: timedelta | None = None

    def heard(self, meter_time: datetime, now: datetime) -> None:
        """Take note of a verified, live message's time, and of the own time at which it came."""
        self._ahead = meter_time - now

    def at(self, now: datetime) -> datetime:
        """Return the meter's time at an own time; the same before anything was heard."""
        return now if self._ahead is None else now + self._ahead


class Requester:
    """One start of one program that asks one meter. Never kept: each start takes a new title."""

    def __init__(
        self, aead: Aead, keys: Keys, meter_title: bytes, title: bytes | None = None
    ) -> None:
        """Ask with a pairing's control keys. ``title``: for tests; left out it is random."""
        self.title = secrets.token_bytes(TITLE_LENGTH) if title is None else title
        if len(self.title) != TITLE_LENGTH or self.title == meter_title:
            raise ValueError("a requester has eight bytes of its own for a title")
        self._aead = aead
        self._keys = keys
        self._meter_title = meter_title
        self._counter = 0
        self._waiting: dict[bytes, int] = {}

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    def request(self, service: bytes, meter_time: datetime) -> Request:
        """Return a request that was never sent before.

        ``service``: as ``services`` makes it; ``meter_time``: aware, by the meter's clock (see
        ``MeterTime``), since a meter takes none of another time. A request that got no answer may
        have been carried out: asking again is a new request. Raises ValueError for one that no
        meter takes, NumbersUsedUpError.
        """
        if self._counter >= LAST_COUNTER:
            raise NumbersUsedUpError
        number = self._counter + 1
        transaction_id = number.to_bytes(_TRANSACTION_LENGTH)
        envelope = GeneralCiphering(
            transaction_id,
            self.title,
            self._meter_title,
            CosemDateTime.at(meter_time, UTC).to_bytes(),
            AUTHENTICATED_AND_ENCRYPTED,
            number,
            b"",
        )
        self._counter = number
        sealed = seal(self._aead, self._keys, envelope, service)
        if len(sealed) > MAX_REQUEST_BYTES:
            raise ValueError(f"a request of {len(sealed)} bytes; at most {MAX_REQUEST_BYTES}")
        while len(self._waiting) >= MOST_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[transaction_id] = service[0]
        return Request(transaction_id, sealed)

    def forget(self, transaction_id: bytes) -> None:
        """Wait no longer for the response to a request: one that comes later is refused."""
        self._waiting.pop(transaction_id, None)

    def accept(self, data: bytes) -> Response:
        """Return the response to one of the requests that wait, each once.

        Raises security.RefusedError for what is not that (nothing has changed then), and
        UnprovenRefusalError.
        """
        envelope = self._envelope(data)
        try:
            plaintext = unseal(self._aead, self._keys, envelope)
        except InvalidTagError:
            raise RefusedError(Refusal.FORGED, "the tag does not fit the pairing's keys") from None
        service = self._waiting.pop(envelope.transaction_id, None)
        if service is None:
            raise RefusedError(Refusal.REPLAY, "a response to a request that waits for none")
        return Response(envelope.transaction_id, _moment(envelope.date_time), plaintext, service)

    def _envelope(self, data: bytes) -> GeneralCiphering:
        if len(data) > MAX_RESPONSE_BYTES:
            raise RefusedError(Refusal.DAMAGED, f"a response of {len(data)} bytes")
        if data[:1] == bytes((services.EXCEPTION,)):
            try:
                fault = services.read_exception(data)
            except services.ServiceError as error:
                raise RefusedError(Refusal.DAMAGED, str(error)) from None
            raise UnprovenRefusalError(fault)
        try:
            envelope = apdu.decode_general_ciphering(data)
        except apdu.ApduError as error:
            raise RefusedError(Refusal.DAMAGED, str(error)) from None
        if envelope.originator != self._meter_title:
            raise RefusedError(Refusal.OTHER_METER, f"a response of {envelope.originator.hex()}")
        if envelope.recipient != self.title:
            raise RefusedError(Refusal.OTHER_METER, "a response to somebody else")
        if envelope.security_control != AUTHENTICATED_AND_ENCRYPTED:
            raise RefusedError(
                Refusal.DOWNGRADE,
                f"security control 0x{envelope.security_control:02X} in place of 0x30",
            )
        if len(envelope.protected) <= TAG_LENGTH:
            raise RefusedError(Refusal.DAMAGED, "too short for a ciphertext and its tag")
        return envelope


def _moment(raw: bytes) -> datetime | None:
    try:
        return CosemDateTime.from_bytes(raw).utc()
    except ValueError:
        return None
