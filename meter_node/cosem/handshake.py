"""How an association comes about: an AARQ judged by its client's rules, or a request without one.

Must not know objects, nor what is asked later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from meter_node.channel.apdu import TITLE_LENGTH
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.security import Keys
from meter_node.cosem import acse, envelopes
from meter_node.cosem.access import Client
from meter_node.cosem.acse import (
    AssociationRequest,
    AssociationResponse,
    Diagnostic,
    InitiateError,
    Mechanism,
    Result,
)
from meter_node.cosem.association import (
    LONGEST_CHALLENGE,
    SHORTEST_CHALLENGE,
    OpenAssociation,
    Proof,
    password_fits,
)
from meter_node.cosem.credentials import Credential, Security
from meter_node.cosem.envelopes import Envelope
from meter_node.cosem.exceptions import ExceptionResponse
from meter_node.cosem.services import Services
from meter_node.cosem.table import ObjectTable
from meter_node.meter.snapshot import NANO

SMALLEST_PDU = 128
"""A client that takes less gets no association: an answer's head and tag alone take half of it."""
_CHALLENGE = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """How a client may associate: mechanisms with plain, and with ciphered APDUs."""

    plain: frozenset[Mechanism]
    ciphered: frozenset[Mechanism]


RULES: dict[Client, Rule] = {
    Client.PUBLIC: Rule(frozenset({Mechanism.NONE}), frozenset()),
    Client.CONSUMER: Rule(
        frozenset({Mechanism.LLS}),
        frozenset({Mechanism.NONE, Mechanism.LLS, Mechanism.HLS_GMAC}),
    ),
    Client.MANAGEMENT: Rule(frozenset(), frozenset({Mechanism.HLS_GMAC})),
}
"""Plain ones need a credential with a password, ciphered ones a credential with keys."""


class _RejectedError(Exception):
    def __init__(
        self,
        diagnostic: Diagnostic,
        initiate: InitiateError = InitiateError.OTHER,
        event: str | None = None,
    ) -> None:
        super().__init__(diagnostic.name)
        self.diagnostic = diagnostic
        self.initiate = initiate
        self.event = event


type Verify = Callable[[Client, list[Credential], Envelope, bytes], tuple[Credential, Keys, bytes]]


class Opening:
    """Answers AARQs."""

    def __init__(
        self,
        table: ObjectTable,
        security: Security,
        max_receive: int,
        verify: Verify,
        now_ns: int,
    ) -> None:
        """`verify`: see `Connection.verify`; `now_ns`: UTC by the meter's clock."""
        self._now_ns = now_ns
        self._table = table
        self._security = security
        self._max_receive = max_receive
        self._verify = verify

    def answer(
        self, client: Client, server_sap: int, apdu: bytes, refused: Callable[[str, Client], None]
    ) -> tuple[OpenAssociation | None, bytes]:
        """Return the association, None where it is refused, and the AARE. Raises WireError.

        `refused`: counts an event.
        """
        request = acse.read_request(apdu)
        try:
            return self._open(client, server_sap, request)
        except _RejectedError as rejected:
            if rejected.event is not None:
                refused(rejected.event, client)
            return None, acse.response(
                AssociationResponse(
                    request.context if request.context in (acse.LN, acse.LN_CIPHERED) else acse.LN,
                    Result.REJECTED_PERMANENT,
                    rejected.diagnostic,
                    acse.initiate_error(rejected.initiate),
                )
            )

    def _open(
        self, client: Client, server_sap: int, request: AssociationRequest
    ) -> tuple[OpenAssociation, bytes]:
        mechanism, ciphered = self._allowed(client, request)
        credential, envelope, keys, plaintext = None, None, None, request.user_information
        if ciphered:
            credential, envelope, keys, plaintext = self._decipher(client, request)
        if mechanism is Mechanism.LLS:
            credential = self._by_password(client, credential, request.authentication)
        initiate = self._negotiable(plaintext)
        association = OpenAssociation(
            client,
            server_sap,
            mechanism,
            ciphered,
            initiate.conformance & acse.SERVED,
            initiate.max_pdu,
            self._max_receive,
            Services(self._table),
            request.calling_title,
            credential,
        )
        challenge = b""
        if mechanism is Mechanism.HLS_GMAC:
            if not SHORTEST_CHALLENGE <= len(request.authentication) <= LONGEST_CHALLENGE:
                raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE)
            challenge = self._security.random(_CHALLENGE)
            association.proof = Proof(request.authentication, challenge)
        information = acse.initiate_response(association.conformance, self._max_receive)
        if envelope is not None and keys is not None:
            number = self._security.numbers.take(keys.encryption)
            information = envelopes.seal(
                self._security.aead,
                keys,
                self._security.title,
                number,
                information,
                envelope,
                b"",
            )
        diagnostic = Diagnostic.AUTHENTICATION_REQUIRED if association.proof else Diagnostic.NULL
        return association, acse.response(
            AssociationResponse(
                request.context,
                Result.ACCEPTED,
                diagnostic,
                information,
                mechanism,
                self._security.title if ciphered else b"",
                challenge,
            )
        )

    def _allowed(self, client: Client, request: AssociationRequest) -> tuple[Mechanism, bool]:
        if request.context not in (acse.LN, acse.LN_CIPHERED):
            raise _RejectedError(Diagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        try:
            mechanism = Mechanism(request.mechanism)
        except ValueError:
            raise _RejectedError(Diagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED) from None
        ciphered = request.context == acse.LN_CIPHERED
        rule = RULES[client]
        allowed = rule.ciphered if ciphered else rule.plain
        if not allowed:
            raise _RejectedError(Diagnostic.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
        if mechanism not in allowed:
            required = mechanism is Mechanism.NONE
            raise _RejectedError(
                Diagnostic.AUTHENTICATION_REQUIRED
                if required
                else Diagnostic.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED
            )
        return mechanism, ciphered

    def _decipher(
        self, client: Client, request: AssociationRequest
    ) -> tuple[Credential, Envelope, Keys, bytes]:
        title = request.calling_title
        # Whoever calls himself by our name would have us answer our own proofs.
        if len(title) != TITLE_LENGTH or title == self._security.title:
            raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE)
        if not request.user_information or not envelopes.is_ciphered(request.user_information):
            raise _RejectedError(Diagnostic.AUTHENTICATION_REQUIRED)
        envelope = envelopes.read(request.user_information)
        if envelope.title not in (b"", title):
            raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE)
        candidates = self._security.credentials.with_keys(client)
        try:
            credential, keys, plaintext = self._verify(client, candidates, envelope, title)
        except ExceptionResponse:
            raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE) from None
        return credential, envelope, keys, plaintext

    def _by_password(
        self, client: Client, credential: Credential | None, given: bytes
    ) -> Credential:
        candidates = self._security.credentials.of(client) if credential is None else [credential]
        if credential is None:
            candidates = [one for one in candidates if one.keys is None]
        if self._security.credentials.are_locked(self._now_ns):
            raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE)
        found = password_fits(candidates, given)
        if found is None:
            self._security.credentials.was_wrong(self._now_ns)
            raise _RejectedError(Diagnostic.AUTHENTICATION_FAILURE, event="authentication_failed")
        return found

    def _negotiable(self, plaintext: bytes) -> acse.Initiate:
        initiate = acse.read_initiate(plaintext)
        if initiate.has_dedicated_key:  # not served
            raise _RejectedError(Diagnostic.NO_REASON_GIVEN)
        if initiate.version < acse.DLMS_VERSION:
            raise _RejectedError(Diagnostic.NO_REASON_GIVEN, InitiateError.DLMS_VERSION_TOO_LOW)
        if not initiate.conformance & acse.Conformance.GET:
            raise _RejectedError(Diagnostic.NO_REASON_GIVEN, InitiateError.INCOMPATIBLE_CONFORMANCE)
        if 0 < initiate.max_pdu < SMALLEST_PDU:
            raise _RejectedError(Diagnostic.NO_REASON_GIVEN, InitiateError.PDU_SIZE_TOO_SHORT)
        return initiate


def pre_established(
    table: ObjectTable,
    client: Client,
    server_sap: int,
    credential: Credential,
    title: bytes,
    max_pdu: int,
) -> OpenAssociation:
    """Return the association that a request without one is served in: it ends with its answer."""
    return OpenAssociation(
        client,
        server_sap,
        Mechanism.NONE,
        True,
        acse.SERVED & ~acse.Conformance.BLOCKS_WITH_GET & ~acse.Conformance.GENERAL_BLOCK_TRANSFER,
        max_pdu,
        0,
        Services(table),
        title,
        credential,
        is_single=True,
    )


def is_fresh(date_time: bytes, now_ns: int, most_ns: int) -> bool:
    """Whether a date-time with a deviation is within so many ns of now, before or after."""
    try:
        made = CosemDateTime.from_bytes(date_time)
    except ValueError:
        return False
    if made.deviation_minutes is None:
        return False
    made_ns = round(made.utc().timestamp() * 1000) * (NANO // 1000)
    return abs(now_ns - made_ns) <= most_ns


def utc_date_time(now_ns: int) -> bytes:
    """Return a moment as a date-time in UTC."""
    moment = datetime.fromtimestamp(now_ns // NANO, UTC)
    return CosemDateTime.at(moment.replace(microsecond=now_ns % NANO // 1000), UTC).to_bytes()
