"""The DLMS server: one connection's APDUs in, answers out. Sans-I/O.

Associations, ciphering, numbers and what is refused before any object is asked; objects are the
table's. Must not know a transport, a clock or a store.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

from meter_node.channel.apdu import AUTHENTICATED_AND_ENCRYPTED
from meter_node.channel.security import InvalidTagError, Keys
from meter_node.ciphering import CounterExhaustedError
from meter_node.cosem import acse, envelopes, general_blocks, handshake, requests
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.association import OpenAssociation, prove
from meter_node.cosem.credentials import Credential, Security
from meter_node.cosem.envelopes import Envelope, Form
from meter_node.cosem.exceptions import ExceptionResponse, Fault, StateError
from meter_node.cosem.services import LONGEST_WHOLE
from meter_node.cosem.table import Caller, ObjectTable
from meter_node.cosem.wire import WireError
from meter_node.meter.snapshot import NANO, Snapshot

_LOGGER = logging.getLogger(__name__)

MOST_RECEIVED = 2048
"""Bytes of an APDU that are taken: longer values come in blocks."""
SERVER_SAPS = (1, 16)
"""The meter's one logical device, as IDIS and as the real meter name it."""
LONGEST_AGE_S = 10
"""A request without an association says when it was made: older ones are refused."""
_IN_BLOCKS = {
    requests.Service.GET: acse.Conformance.BLOCKS_WITH_GET,
    requests.Service.ACTION: acse.Conformance.BLOCKS_WITH_ACTION,
}
"""Whose answers may go in data blocks."""
_GENERAL_BLOCKS = acse.Conformance.GENERAL_BLOCK_TRANSFER
MOST_REFUSALS = 64
"""Of so many who never associate, it is known why their last request was refused."""
_REPLY_TO_HLS = (15, b"\x00\x00\x28\x00\x00\xff", 1)


class Server:
    """What all connections to one meter have in common."""

    def __init__(
        self,
        table: ObjectTable,
        security: Security,
        shown: Callable[[], Snapshot],
        count: Callable[[str, str], None],
        knows_time: Callable[[], bool] = lambda: True,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve this table.

        `shown`: the last committed image, or AccessError. `count`: logs an event of a source, as
        `Commands.count` does. `knows_time`: false as long as the meter's clock stands where it was
        switched off: how old a request is can't be told then. `look`: is called before whatever a
        consumer sends is looked at, and ends what was revoked meanwhile.
        """
        self.table = table
        self.security = security
        self.shown = shown
        self.count = count
        self.knows_time = knows_time
        self.look = look

    def connect(self, source: str, max_pdu: int) -> Connection:
        """Return a new connection.

        `source`: who it is from, for the logs; `max_pdu`: bytes of an APDU that its transport
        sends, 0 for any.
        """
        return Connection(self, source, max_pdu)


class Connection:
    """One connection: whoever is at its other end, with an association for each of his SAPs."""

    def __init__(self, server: Server, source: str, max_pdu: int) -> None:
        self._server = server
        self._security = server.security
        self._source = source
        self._max_pdu = max_pdu
        self._associations: dict[tuple[Client, int], OpenAssociation] = {}
        self._refusals: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        """Return the answer to one APDU, None where there is none.

        `now_ns`: UTC by the meter's clock. Whatever comes, nothing is raised, and what is not
        proved to be of somebody who may changes nothing.
        """
        if server_sap not in SERVER_SAPS or not apdu:
            return None
        try:
            client = Client(client_sap)
        except ValueError:
            return ExceptionResponse(Fault.OTHER).encode()
        try:
            if client is Client.CONSUMER:
                self._server.look()
            self._end_revoked()
            if len(apdu) > MOST_RECEIVED:
                raise ExceptionResponse(Fault.PDU_TOO_LONG)
            return self._receive(client, server_sap, apdu, now_ns)
        except ExceptionResponse as error:
            return error.encode()
        except WireError as error:
            _LOGGER.debug("%s: %s", self._source, error)
            return ExceptionResponse(Fault.OTHER).encode()
        except AccessError as error:
            _LOGGER.debug("%s: %s", self._source, error)
            return ExceptionResponse(Fault.OPERATION_NOT_POSSIBLE).encode()
        except CounterExhaustedError as error:
            _LOGGER.error("%s: %s", self._source, error)
            return ExceptionResponse(Fault.OPERATION_NOT_POSSIBLE).encode()
        except Exception:
            # A fault of ours must neither end a transport nor tell anybody anything.
            _LOGGER.exception("an APDU from %s could not be answered", self._source)
            return ExceptionResponse(Fault.OTHER).encode()

    @property
    def proven(self) -> bool:
        """Whether a client has proved who he is, on an association that is open."""
        return any(one.is_proven for one in self._associations.values())

    def closed(self) -> None:
        """The other end is gone, or was silent for too long: associations end."""
        self._associations.clear()
        self._keep_numbers()

    # --- one APDU --------------------------------------------------------------------------------

    def _receive(self, client: Client, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        in_blocks = apdu[0] == general_blocks.GENERAL_BLOCK_TRANSFER
        association = self._associations.get((client, server_sap))
        if in_blocks:
            if association is None:
                raise ExceptionResponse(Fault.OTHER)
            whole, block = association.blocks.take(apdu)
            if whole is None:
                return block
            if not whole or whole[0] == general_blocks.GENERAL_BLOCK_TRANSFER:
                raise WireError("blocks within blocks")
            apdu = whole
        answer = self._answer(client, server_sap, apdu, now_ns)
        if answer is None or association is None:
            return answer
        limit = self._send_limit(association)
        agreed = association.conformance & _GENERAL_BLOCKS
        if in_blocks or (agreed and limit and len(answer) > limit):
            return association.blocks.begin(answer, limit or len(answer) + general_blocks.OVERHEAD)
        return answer

    def _answer(self, client: Client, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        tag = apdu[0]
        if tag == acse.AARQ:
            return self._associate(client, server_sap, apdu, now_ns)
        if tag == acse.RLRQ:
            acse.read_release(apdu)
            self._associations.pop((client, server_sap), None)
            self._keep_numbers()
            return acse.release_response()
        association = self._associations.get((client, server_sap))
        if envelopes.is_ciphered(apdu):
            return self._ciphered(client, server_sap, association, apdu, now_ns)
        if tag in (requests.Service.GET, requests.Service.SET, requests.Service.ACTION):
            if association is None or association.ciphered:
                # Where keys are agreed on nothing plain is taken: no downgrade.
                raise ExceptionResponse(Fault.OTHER)
            return self._serve(association, apdu, now_ns, None)
        raise ExceptionResponse(Fault.SERVICE_NOT_SUPPORTED, StateError.SERVICE_UNKNOWN)

    def _associate(self, client: Client, server_sap: int, apdu: bytes, now_ns: int) -> bytes:
        self._associations.pop((client, server_sap), None)
        opening = handshake.Opening(
            self._server.table, self._security, MOST_RECEIVED, self.verify, now_ns
        )
        association, answer = opening.answer(client, server_sap, apdu, self._refused)
        if association is not None:
            association.prove_by = self._prove
            self._associations[client, server_sap] = association
        return answer

    def _prove(self, association: OpenAssociation, proof: bytes) -> bytes:
        security = self._security
        try:
            return prove(security.aead, security.numbers, security.title, association, proof)
        except (InvalidTagError, WireError) as error:
            self._associations.pop((association.client, association.server_sap), None)
            self._refused("authentication_failed", association.client)
            raise AccessError(
                DataAccessResult.OTHER_REASON, "the proof of identity does not hold"
            ) from error

    def _end_revoked(self) -> None:
        for key, one in list(self._associations.items()):
            if one.credential is not None and one.credential.is_revoked:
                del self._associations[key]

    def _keep_numbers(self) -> None:
        try:
            self._security.numbers.keep()
        except Exception:  # only reads could be repeated then
            _LOGGER.warning("%s: its last numbers could not be kept", self._source, exc_info=True)

    def _refused(self, event: str, client: Client) -> None:
        self._server.count(event, f"{self._source}, client {int(client)}")

    # --- ciphering -------------------------------------------------------------------------------

    def verify(
        self,
        client: Client,
        candidates: list[Credential],
        envelope: Envelope,
        title: bytes,
        *,
        told: bool = True,
    ) -> tuple[Credential, Keys, bytes]:
        """Return whose APDU it is, the keys and the plaintext; its number is used up by then.

        `told`: see `Numbers.received`. Raises ExceptionResponse, and has counted why.
        """
        numbers = self._security.numbers
        if envelope.security_control != AUTHENTICATED_AND_ENCRYPTED:
            self._refused("decryption_failed", client)
            raise ExceptionResponse(Fault.DECIPHERING)
        if envelope.recipient not in (b"", self._security.title):
            raise ExceptionResponse(Fault.OTHER)
        for credential in candidates:
            keys = credential.keys
            if keys is None:
                continue
            try:
                plaintext = envelope.open(self._security.aead, keys, title)
            except InvalidTagError:
                continue
            expected = numbers.expected(title, keys.encryption)
            if envelope.counter < expected:
                self._refused("replay", client)
                raise ExceptionResponse(Fault.INVOCATION_COUNTER, counter=expected)
            durable = plaintext[0] != requests.Service.GET
            numbers.received(title, keys.encryption, envelope.counter, durable=durable, told=told)
            if envelope.inside not in (None, plaintext[0]):
                raise WireError("another service inside than its envelope says")
            return credential, keys, plaintext
        self._refused("decryption_failed", client)
        raise ExceptionResponse(Fault.DECIPHERING)

    def _ciphered(
        self,
        client: Client,
        server_sap: int,
        association: OpenAssociation | None,
        apdu: bytes,
        now_ns: int,
    ) -> bytes | None:
        envelope = envelopes.read(apdu)
        if association is None:
            return self._pre_established(client, server_sap, envelope, now_ns)
        credential = association.credential
        if credential is None or not association.ciphered:
            raise ExceptionResponse(Fault.OTHER)
        if envelope.form is not Form.SERVICE_SPECIFIC and envelope.title != association.title:
            self._refused("decryption_failed", client)
            raise ExceptionResponse(Fault.DECIPHERING)
        _, keys, plaintext = self.verify(client, [credential], envelope, association.title)
        answer = self._inside(association, plaintext, now_ns, envelope)
        return self._seal(answer, envelope, keys, now_ns)

    def _pre_established(
        self, client: Client, server_sap: int, envelope: Envelope, now_ns: int
    ) -> bytes | None:
        """Answer one who never associates: everything that an association holds is in the APDU."""
        general = envelope.form is Form.GENERAL and envelope.recipient
        if not general or client is not Client.CONSUMER:
            raise ExceptionResponse(Fault.OTHER)
        if envelope.title == self._security.title:  # as with an AARQ: nobody else has that name
            raise ExceptionResponse(Fault.OTHER)
        if not self._server.knows_time():  # before its number is used up: it may come again
            raise ExceptionResponse(Fault.OPERATION_NOT_POSSIBLE)
        candidates = [
            one for one in self._security.credentials.with_keys(client) if one.pre_established
        ]
        credential, keys, plaintext = self.verify(
            client, candidates, envelope, envelope.title, told=False
        )
        answer = self._in_its_own_association(
            client, server_sap, credential, envelope, plaintext, now_ns
        )
        return self._seal(answer, envelope, keys, now_ns)

    def _in_its_own_association(
        self,
        client: Client,
        server_sap: int,
        credential: Credential,
        envelope: Envelope,
        plaintext: bytes,
        now_ns: int,
    ) -> bytes | None:
        """Answer what was verified: a refusal, too, goes back under the tag, to whom it concerns.

        What was taken before never comes here, so that a refusal always means: not carried out.
        """
        try:
            if not handshake.is_fresh(envelope.date_time, now_ns, LONGEST_AGE_S * NANO):
                self._refused("replay", client)
                raise ExceptionResponse(Fault.OTHER)
            association = handshake.pre_established(
                self._server.table, client, server_sap, credential, envelope.title, self._max_pdu
            )
            asking = credential.name, envelope.title
            association.refusal = self._refusals.get(asking, "")
            answer = self._inside(association, plaintext, now_ns, envelope)
            self._remember_refusal(asking, association.refusal)
        except ExceptionResponse as error:
            return error.encode()
        except WireError:
            return ExceptionResponse(Fault.OTHER).encode()
        except AccessError:
            return ExceptionResponse(Fault.OPERATION_NOT_POSSIBLE).encode()
        limit = self._send_limit(association)
        if answer is not None and limit and len(answer) + envelopes.overhead(envelope) > limit:
            # Only what is read is so long: nothing was changed.
            return ExceptionResponse(Fault.PDU_TOO_LONG).encode()
        return answer

    def _remember_refusal(self, asking: tuple[str, bytes], refusal: str) -> None:
        """Keep why a request was refused for the next of the same pairing and title."""
        if refusal:
            self._refusals[asking] = refusal
            self._refusals.move_to_end(asking)
        if len(self._refusals) > MOST_REFUSALS:
            self._refusals.popitem(last=False)

    def _inside(
        self, association: OpenAssociation, plaintext: bytes, now_ns: int, envelope: Envelope
    ) -> bytes | None:
        if plaintext[0] not in (
            requests.Service.GET,
            requests.Service.SET,
            requests.Service.ACTION,
        ):
            raise ExceptionResponse(Fault.SERVICE_NOT_SUPPORTED, StateError.SERVICE_UNKNOWN)
        return self._serve(association, plaintext, now_ns, envelope)

    def _seal(
        self, answer: bytes | None, envelope: Envelope, keys: Keys, now_ns: int
    ) -> bytes | None:
        """Cipher an answer under the keys of its request, whatever the request has changed."""
        if answer is None:
            return None
        security = self._security
        number = security.numbers.take(keys.encryption)
        date = handshake.utc_date_time(now_ns)
        return envelopes.seal(security.aead, keys, security.title, number, answer, envelope, date)

    # --- services --------------------------------------------------------------------------------

    def _serve(
        self, association: OpenAssociation, apdu: bytes, now_ns: int, envelope: Envelope | None
    ) -> bytes | None:
        request = requests.read(apdu)
        if not _is_proof(request):
            if association.proof is not None:
                raise ExceptionResponse(Fault.OTHER)
            if request.needs & ~association.conformance:
                raise ExceptionResponse(Fault.SERVICE_NOT_SUPPORTED)
        caller = Caller(
            association.client, association.name, self._server.shown(), now_ns, association
        )
        overhead = 0 if envelope is None else envelopes.overhead(envelope)
        limit, longest = self._send_limit(association), association.max_send
        limit -= overhead if limit else 0
        if association.is_single or association.conformance & _GENERAL_BLOCKS:
            longest = 0
        blocks = {
            service for service, agreed in _IN_BLOCKS.items() if association.conformance & agreed
        }
        answer = association.services.answer(
            request,
            caller,
            max(limit, handshake.SMALLEST_PDU // 2) if limit else 0,
            blocks=blocks,
            longest=max(longest - overhead, 1) if longest else LONGEST_WHOLE,
        )
        return answer if request.confirmed else None

    def _send_limit(self, association: OpenAssociation) -> int:
        limits = [limit for limit in (association.max_send, self._max_pdu) if limit]
        return min(limits, default=0)


def _is_proof(request: requests.Request) -> bool:
    return (
        request.service is requests.Service.ACTION
        and request.kind is requests.Kind.NORMAL
        and all(
            (one.class_id, one.logical_name, one.number) == _REPLY_TO_HLS
            for one in request.descriptors
        )
    )
