"""A DLMS client without I/O: association, HLS and ciphering, GET, SET and ACTION with blocks.

Every service is a generator: it yields an APDU to send and is sent the one that came back. Whatever
a meter answers is checked before it is used, tag, title, counter and kind; after the first answer
that is not genuine this client is of no more use. Must not know links, files or objects.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from meter_node.channel import axdr
from meter_node.channel.apdu import AUTHENTICATED_AND_ENCRYPTED, GENERAL_GLO_CIPHERING
from meter_node.channel.objects import ASSOCIATION
from meter_node.channel.security import Aead, InvalidTagError, Keys
from meter_node.cosem import acse, envelopes
from meter_node.cosem.access import Client as ClientSap
from meter_node.cosem.access import DataAccessResult
from meter_node.cosem.acse import AssociationRequest, Diagnostic, Mechanism
from meter_node.cosem.association import LONGEST_CHALLENGE, SHORTEST_CHALLENGE
from meter_node.cosem.envelopes import Envelope, Form
from meter_node.cosem.exceptions import Fault
from meter_node.cosem.requests import Block, Service
from meter_node.cosem.wire import WireError
from meter_node.utility import requests
from meter_node.utility.errors import NotGenuineError, RefusedError, RejectedError, UtilityError
from meter_node.utility.requests import Result, Wanted

type Talk[T] = Generator[bytes, bytes, T]
"""Yields APDUs to send and takes what comes back; the result is its return value."""

LONGEST_VALUE = 16 * 1024 * 1024
"""Bytes of one value that comes in blocks: a meter that goes on is not listened to."""
_RECEIVES = 0xFFFF
_CONFORMANCE = acse.SERVED & ~acse.Conformance.GENERAL_BLOCK_TRANSFER
_CHALLENGE = 16
_REPLY = Wanted(ASSOCIATION.class_id, ASSOCIATION.logical_name, 1)
_EXCEPTION, _SERVICE_ERROR = 0xD8, 0x0E
_FAULTS = {
    Fault.OPERATION_NOT_POSSIBLE: "it is not possible now",
    Fault.SERVICE_NOT_SUPPORTED: "it does not know this service",
    Fault.OTHER: "it will not listen to this client (the association is gone?)",
    Fault.PDU_TOO_LONG: "the request is too long for it",
    Fault.DECIPHERING: "it can't open what was sent: the keys are not the meter's",
    Fault.INVOCATION_COUNTER: "it has had a higher invocation counter of this client",
}
_FORM = Envelope(Form.GENERAL_GLO, GENERAL_GLO_CIPHERING, AUTHENTICATED_AND_ENCRYPTED, 0, b"")
_OVERHEAD = envelopes.overhead(_FORM) + 32
"""Bytes of a request that are not its block's: envelope, descriptor and block's head."""


@dataclass(slots=True)
class Protection:
    """What a client with keys ciphers with.

    `take` gives the next invocation counter of a key, never one twice; `meter` is the system title
    that alone may answer.
    """

    aead: Aead
    keys: Keys
    title: bytes
    meter: bytes
    take: Callable[[bytes], int]
    random: Callable[[int], bytes] = secrets.token_bytes


class DlmsClient:
    """One client's end of one association."""

    def __init__(self, protection: Protection | None = None) -> None:
        """Without protection it is the public client (16), with it the management client (1)."""
        self.sap = ClientSap.PUBLIC if protection is None else ClientSap.MANAGEMENT
        self._protection = protection
        self._heard = -1
        """The highest counter of the meter."""
        self._invoked = -1
        self._max_send = 0
        self._broken = ""

    # --- association -----------------------------------------------------------------------------

    def associate(self) -> Talk[None]:
        """Open the association; with keys, each side proves to the other who it is.

        Raises RejectedError, NotGenuineError.
        """
        if self._protection is None:
            yield from self._open_plain()
        else:
            yield from self._open_ciphered(self._protection)

    def _open_plain(self) -> Talk[None]:
        initiate = acse.initiate_request(_CONFORMANCE, _RECEIVES)
        asked = AssociationRequest(acse.LN, Mechanism.NONE, b"", b"", initiate)
        answer = yield from self._ask_to_open(asked)
        self._negotiated(answer.user_information)

    def _open_ciphered(self, own: Protection) -> Talk[None]:
        initiate = acse.initiate_request(_CONFORMANCE, _RECEIVES)
        challenge = own.random(_CHALLENGE)
        sealed = self._seal(own, initiate)
        answer = yield from self._ask_to_open(
            AssociationRequest(acse.LN_CIPHERED, Mechanism.HLS_GMAC, own.title, challenge, sealed)
        )
        if (answer.context, answer.mechanism) != (acse.LN_CIPHERED, Mechanism.HLS_GMAC):
            raise self._break("the meter offers less security than is wanted")
        if answer.responding_title != own.meter:
            raise self._break(
                f"another meter answers: {answer.responding_title.hex() or 'without a title'} in "
                f"place of {own.meter.hex()}"
            )
        theirs = answer.challenge
        if not SHORTEST_CHALLENGE <= len(theirs) <= LONGEST_CHALLENGE or theirs == challenge:
            raise self._break("the meter's challenge can't be answered")
        self._negotiated(self._open(own, answer.user_information))
        number = own.take(own.keys.encryption)
        proof = envelopes.gmac(own.aead, own.keys, own.title, number, theirs)
        highest = self._heard
        result, value = yield from self._act(_REPLY, axdr.octet_string(proof))
        if result is not DataAccessResult.SUCCESS:
            raise RejectedError("the meter does not take this client's proof", keys=True)
        if not isinstance(value, bytes):
            raise self._break("the meter gives no proof that it is the one")
        try:
            given = envelopes.check_gmac(own.aead, own.keys, own.meter, value, challenge)
        except (InvalidTagError, WireError):
            raise self._break("the meter's proof that it is the one does not hold") from None
        if given <= highest or given == self._heard:
            raise self._break("the meter's proof has a number that was used before")
        self._heard = max(self._heard, given)

    def _ask_to_open(
        self, asked: AssociationRequest
    ) -> Generator[bytes, bytes, acse.AssociationResponse]:
        apdu = yield acse.request(asked)
        self._check_fault(apdu)
        try:
            answer = acse.read_response(apdu)
        except WireError as error:
            raise self._break(f"no answer to an association ({error})") from None
        if answer.result is acse.Result.ACCEPTED:
            return answer
        if answer.diagnostic is Diagnostic.AUTHENTICATION_FAILURE:
            raise RejectedError("the meter does not take these keys", keys=True)
        said = answer.diagnostic.name.lower().replace("_", " ")
        raise RejectedError(f"the meter does not let client {int(self.sap)} in: {said}")

    def _negotiated(self, initiate: bytes) -> None:
        try:
            found = acse.read_initiate_response(initiate)
        except WireError as error:
            raise self._break(f"nothing was negotiated ({error})") from None
        self._max_send = found.max_pdu
        if 0 < self._max_send <= 2 * _OVERHEAD:
            raise self._break(f"the meter takes {self._max_send} bytes at once, which is too few")

    def release(self) -> Talk[None]:
        """End the association; what the meter says to that does not matter."""
        if not self._broken:
            yield acse.release_request()

    # --- services --------------------------------------------------------------------------------

    def get(
        self,
        wanted: Sequence[Wanted],
        progress: Callable[[int], None] = lambda _: None,
    ) -> Talk[list[Result]]:
        """Read attributes; of each the A-XDR data, or why there is none.

        `progress`: told after each block how many bytes have come. Raises NotGenuineError.
        """
        invoke_id = self._invoke_id()
        apdu = requests.get(invoke_id, wanted)
        raw, number = bytearray(), 0
        while True:
            answer = yield from self._exchange(apdu)
            found = self._read(requests.read_get, answer, invoke_id, len(wanted))
            if isinstance(found, DataAccessResult):
                raise RefusedError("a long read", found)
            if isinstance(found, list):
                if number:
                    raise self._break("an answer in blocks that ends without one")
                return found
            number += 1
            if found.number != number or not (found.raw or found.last):
                raise self._break("a block that is not the next one")
            raw += found.raw
            if len(raw) > LONGEST_VALUE:
                raise self._break("an answer without an end")
            progress(len(raw))
            if found.last:
                break
            apdu = requests.get_next(invoke_id, number)
        if len(wanted) > 1:
            return self._read(requests.read_list, bytes(raw), len(wanted))
        return [bytes(raw)]

    def put(self, wanted: Wanted, value: bytes) -> Talk[DataAccessResult]:
        """Write an attribute; return what the meter says. Raises NotGenuineError."""
        invoke_id = self._invoke_id()
        apdu = requests.put(invoke_id, wanted, value)
        if self._fits(apdu):
            answer = yield from self._exchange(apdu)
        else:
            answer = yield from self._in_blocks(Service.SET, invoke_id, wanted, value)
        return self._read(requests.read_put, answer, invoke_id)

    def act(
        self, wanted: Wanted, value: bytes | None = None
    ) -> Talk[tuple[DataAccessResult, axdr.Value]]:
        """Call a method; return what the meter says, and gives. Raises NotGenuineError."""
        return (yield from self._act(wanted, value))

    def _act(
        self, wanted: Wanted, value: bytes | None
    ) -> Talk[tuple[DataAccessResult, axdr.Value]]:
        invoke_id = self._invoke_id()
        apdu = requests.act(invoke_id, wanted, value)
        if value is None or self._fits(apdu):
            answer = yield from self._exchange(apdu)
        else:
            answer = yield from self._in_blocks(Service.ACTION, invoke_id, wanted, value)
        return self._read(requests.read_act, answer, invoke_id)

    def _fits(self, apdu: bytes) -> bool:
        return not self._max_send or len(apdu) + _OVERHEAD <= self._max_send

    def _in_blocks(
        self, service: Service, invoke_id: int, wanted: Wanted, value: bytes
    ) -> Talk[bytes]:
        size = self._max_send - _OVERHEAD
        starts = range(0, len(value), size)
        answer = b""
        for number, start in enumerate(starts, start=1):
            block = Block(number == len(starts), number, value[start : start + size])
            if number == 1:
                apdu = requests.first_block(service, invoke_id, wanted, block)
            else:
                apdu = requests.next_block(service, invoke_id, block)
            answer = yield from self._exchange(apdu)
            if block.last or not self._read(
                requests.read_taken, answer, service, invoke_id, number
            ):
                break
        return answer

    # --- one APDU --------------------------------------------------------------------------------

    def _invoke_id(self) -> int:
        self._invoked = (self._invoked + 1) % 16
        return requests.NORMAL_PRIORITY_CONFIRMED | self._invoked

    def _exchange(self, apdu: bytes) -> Talk[bytes]:
        if self._broken:
            raise NotGenuineError(self._broken)
        own = self._protection
        answer = yield (apdu if own is None else self._seal(own, apdu))
        self._check_fault(answer)
        return answer if own is None else self._open(own, answer)

    def _seal(self, own: Protection, plaintext: bytes) -> bytes:
        number = own.take(own.keys.encryption)
        return envelopes.seal(own.aead, own.keys, own.title, number, plaintext, _FORM, b"")

    def _open(self, own: Protection, apdu: bytes) -> bytes:
        try:
            envelope = envelopes.read(apdu)
        except (WireError, IndexError):
            raise self._break("an answer that is not ciphered, or cut short") from None
        if envelope.form is not Form.GENERAL_GLO or envelope.title != own.meter:
            raise self._break("an answer of another meter, or in another form")
        if envelope.security_control != AUTHENTICATED_AND_ENCRYPTED:
            raise self._break("an answer with less protection than is wanted")
        try:
            plaintext = envelope.open(own.aead, own.keys, own.meter)
        except InvalidTagError:
            raise self._break("an answer whose tag does not fit: forged, or other keys") from None
        if envelope.counter <= self._heard:
            raise self._break("an answer that was sent before: a replay")
        self._heard = envelope.counter
        return plaintext

    def _check_fault(self, apdu: bytes) -> None:
        """Raise UtilityError for an exception-response or a confirmed-service-error."""
        if not apdu:
            raise self._break("an empty answer")
        if apdu[0] == _EXCEPTION and len(apdu) >= 3:
            try:
                fault = Fault(apdu[2])
            except ValueError:
                raise UtilityError(f"the meter refused the request (fault {apdu[2]})") from None
            said = f"the meter refused the request: {_FAULTS[fault]}"
            if fault is Fault.DECIPHERING:
                raise RejectedError(said, keys=True)
            raise UtilityError(said)
        if apdu[0] == _SERVICE_ERROR:
            raise UtilityError(f"the meter refused the service ({apdu.hex()})")

    def _read[**P, T](self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except WireError as error:
            raise self._break(str(error)) from None

    def _break(self, why: str) -> NotGenuineError:
        self._broken = f"what came back is not a genuine answer: {why}"
        return NotGenuineError(self._broken)
