"""Opening and releasing an association: AARQ, AARE, RLRQ, RLRE (IEC 62056-5-3, ACSE in BER).

Must not know who may associate, nor any key: what is ciphered in them stays so here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from meter_node.channel import axdr
from meter_node.cosem.wire import Reader, WireError, octet_string

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
INITIATE_REQUEST, INITIATE_RESPONSE = 0x01, 0x08
CONFIRMED_SERVICE_ERROR = 0x0E

_CONTEXT = bytes.fromhex("60857405 08 01")
_MECHANISM = bytes.fromhex("60857405 08 02")
LN, LN_CIPHERED = 1, 3
"""Application contexts by logical names; those by short names (2, 4) are not served."""
DLMS_VERSION = 6
VAA_NAME_LN = b"\x00\x07"
_CONFORMANCE_TAG = bytes.fromhex("5f1f0400")


class Mechanism(IntEnum):
    """How a client proves who it is (last arc of the mechanism name)."""

    NONE = 0
    LLS = 1
    HLS_GMAC = 5


class Result(IntEnum):
    """Association result."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class Diagnostic(IntEnum):
    """Result source diagnostic of the ACSE service user."""

    NULL = 0
    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED = 11
    AUTHENTICATION_MECHANISM_NAME_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class InitiateError(IntEnum):
    """ServiceError initiate, of a confirmed-service-error."""

    OTHER = 0
    DLMS_VERSION_TOO_LOW = 1
    INCOMPATIBLE_CONFORMANCE = 2
    PDU_SIZE_TOO_SHORT = 3


class Conformance(IntEnum):
    """The bits of the conformance block in use here, the first bit the highest of 24."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    PRIORITY = 1 << 14
    BLOCKS_WITH_GET = 1 << 12
    BLOCKS_WITH_SET = 1 << 11
    BLOCKS_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    ACTION = 1


SERVED = sum(Conformance)
"""All that this server does."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """An AARQ. `context` and `mechanism` are the last arcs of their names."""

    context: int
    mechanism: int
    calling_title: bytes
    authentication: bytes
    """The password, or the client's challenge; empty for none."""
    user_information: bytes
    """An initiate-request, plain or ciphered."""


def read_request(apdu: bytes) -> AssociationRequest:
    """Read an AARQ; fields that nothing here depends on are passed over. Raises WireError."""
    reader = Reader(apdu)
    if reader.unsigned() != AARQ:
        raise WireError("not an AARQ")
    fields = _fields(Reader(reader.octets()))
    reader.end()
    context = _arc(fields, 0xA1, _CONTEXT, wrapped=True)
    mechanism = _arc(fields, 0x8B, _MECHANISM, wrapped=False) if 0x8B in fields else 0
    information = fields.get(0xBE, b"")
    return AssociationRequest(
        context,
        mechanism,
        _inner(fields[0xA6], 0x04) if 0xA6 in fields else b"",
        _inner(fields[0xAC], 0x80) if 0xAC in fields else b"",
        _inner(information, 0x04) if information else b"",
    )


def request(asked: AssociationRequest) -> bytes:
    """Return an AARQ."""
    parts = [_field(0xA1, _field(0x06, context_name(asked.context)))]
    if asked.calling_title:
        parts.append(_field(0xA6, _field(0x04, asked.calling_title)))
    if asked.mechanism:
        parts.append(_field(0x8A, b"\x07\x80"))
        parts.append(_field(0x8B, mechanism_name(asked.mechanism)))
        parts.append(_field(0xAC, _field(0x80, asked.authentication)))
    parts.append(_field(0xBE, _field(0x04, asked.user_information)))
    return _field(AARQ, b"".join(parts))


@dataclass(frozen=True, slots=True)
class AssociationResponse:
    """An AARE. `challenge` is the server's, where the mechanism has one."""

    context: int
    result: Result
    diagnostic: Diagnostic
    user_information: bytes
    mechanism: int = 0
    responding_title: bytes = b""
    challenge: bytes = b""


def response(answer: AssociationResponse) -> bytes:
    """Return an AARE."""
    parts = [
        _field(0xA1, _field(0x06, _CONTEXT + bytes((answer.context,)))),
        _field(0xA2, _field(0x02, bytes((answer.result,)))),
        _field(0xA3, _field(0xA1, _field(0x02, bytes((answer.diagnostic,))))),
    ]
    if answer.responding_title:
        parts.append(_field(0xA4, _field(0x04, answer.responding_title)))
    if answer.challenge:
        parts.append(_field(0x88, b"\x07\x80"))
        parts.append(_field(0x89, _MECHANISM + bytes((answer.mechanism,))))
        parts.append(_field(0xAA, _field(0x80, answer.challenge)))
    parts.append(_field(0xBE, _field(0x04, answer.user_information)))
    return _field(AARE, b"".join(parts))


def read_response(apdu: bytes) -> AssociationResponse:
    """Read an AARE. Raises WireError."""
    reader = Reader(apdu)
    if reader.unsigned() != AARE:
        raise WireError("not an AARE")
    fields = _fields(Reader(reader.octets()))
    reader.end()
    source = Reader(fields.get(0xA3, b""))
    source.unsigned()  # the service user's or the provider's
    try:
        result = Result(int.from_bytes(_inner(fields.get(0xA2, b""), 0x02)))
        diagnostic = Diagnostic(int.from_bytes(_inner(source.octets(), 0x02)))
    except ValueError as error:
        raise WireError(f"no such answer to an AARQ: {error}") from None
    information = fields.get(0xBE, b"")
    return AssociationResponse(
        _arc(fields, 0xA1, _CONTEXT, wrapped=True),
        result,
        diagnostic,
        _inner(information, 0x04) if information else b"",
        _arc(fields, 0x89, _MECHANISM, wrapped=False) if 0x89 in fields else 0,
        _inner(fields[0xA4], 0x04) if 0xA4 in fields else b"",
        _inner(fields[0xAA], 0x80) if 0xAA in fields else b"",
    )


@dataclass(frozen=True, slots=True)
class Release:
    """An RLRQ."""

    reason: bytes
    user_information: bytes


def read_release(apdu: bytes) -> Release:
    """Read an RLRQ. Raises WireError."""
    reader = Reader(apdu)
    if reader.unsigned() != RLRQ:
        raise WireError("not an RLRQ")
    fields = _fields(Reader(reader.octets()))
    reader.end()
    information = fields.get(0xBE, b"")
    return Release(fields.get(0x80, b"\x00"), _inner(information, 0x04) if information else b"")


def release_request() -> bytes:
    """Return an RLRQ: released normally."""
    return _field(RLRQ, _field(0x80, b"\x00"))


def release_response(user_information: bytes = b"") -> bytes:
    """Return an RLRE: released normally."""
    information = _field(0xBE, _field(0x04, user_information)) if user_information else b""
    return _field(RLRE, _field(0x80, b"\x00") + information)


@dataclass(frozen=True, slots=True)
class Initiate:
    """An xDLMS initiate-request, or the answer to one."""

    has_dedicated_key: bool
    version: int
    conformance: int
    max_pdu: int
    """What its sender can receive; 0 is no limit."""


def read_initiate(data: bytes) -> Initiate:
    """Read an initiate-request. Raises WireError."""
    reader = Reader(data)
    if reader.unsigned() != INITIATE_REQUEST:
        raise WireError("not an initiate-request")
    dedicated = reader.optional()
    if dedicated:
        reader.octets()
    if reader.optional():  # response-allowed, which is true by default
        reader.unsigned()
    if reader.optional():  # proposed quality of service: none is known
        reader.unsigned()
    version = reader.unsigned()
    conformance = _conformance(reader)
    max_pdu = reader.unsigned(2)
    reader.end()
    return Initiate(dedicated, version, conformance, max_pdu)


def initiate_request(conformance: int, max_pdu: int) -> bytes:
    """Return an initiate-request: what is proposed, and what this client can receive."""
    head = bytes((INITIATE_REQUEST, 0, 0, 0, DLMS_VERSION))
    return head + _CONFORMANCE_TAG + conformance.to_bytes(3) + max_pdu.to_bytes(2)


def read_initiate_response(data: bytes) -> Initiate:
    """Read what a server negotiated; `max_pdu` is what it can receive. Raises WireError."""
    reader = Reader(data)
    if reader.unsigned() != INITIATE_RESPONSE:
        raise WireError("not an initiate-response")
    if reader.optional():  # quality of service
        reader.unsigned()
    version = reader.unsigned()
    conformance = _conformance(reader)
    max_pdu = reader.unsigned(2)
    if reader.take(2) != VAA_NAME_LN:
        raise WireError("an association by short names")
    reader.end()
    return Initiate(False, version, conformance, max_pdu)


def _conformance(reader: Reader) -> int:
    tag = reader.take(1)
    if tag == b"\x5f":
        tag = reader.take(1)
        if tag == b"\x1f":  # its tag is 31 of the application class, in two bytes as BER wants
            tag = reader.take(1)
    if tag != b"\x04" or reader.unsigned() != 0:  # four bytes, no unused bits
        raise WireError("no conformance block")
    return reader.unsigned(3)


def initiate_response(conformance: int, max_pdu: int) -> bytes:
    """Return an initiate-response: what was negotiated, and what this server can receive."""
    return b"".join(
        (
            bytes((INITIATE_RESPONSE, 0, DLMS_VERSION)),
            _CONFORMANCE_TAG,
            conformance.to_bytes(3),
            max_pdu.to_bytes(2),
            VAA_NAME_LN,
        )
    )


def initiate_error(error: InitiateError) -> bytes:
    """Return a confirmed-service-error of the initiate service."""
    return bytes((CONFIRMED_SERVICE_ERROR, 1, 6, error))


def context_name(context: int) -> bytes:
    """Return the seven bytes of an application context's name."""
    return _CONTEXT + bytes((context,))


def mechanism_name(mechanism: int) -> bytes:
    """Return the seven bytes of a mechanism's name."""
    return _MECHANISM + bytes((mechanism,))


def _fields(reader: Reader) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while reader.left:
        tag = reader.unsigned()
        if tag in found:
            raise WireError(f"field 0x{tag:02X} twice")
        found[tag] = reader.octets()
    return found


def _arc(fields: dict[int, bytes], tag: int, name: bytes, *, wrapped: bool) -> int:
    raw = fields.get(tag, b"")
    if wrapped:
        raw = _inner(raw, 0x06)
    if len(raw) != len(name) + 1 or not raw.startswith(name):
        raise WireError(f"field 0x{tag:02X}: no name of DLMS")
    return raw[-1]


def _inner(data: bytes, tag: int) -> bytes:
    reader = Reader(data)
    if reader.unsigned() != tag:
        raise WireError(f"a field without its tag 0x{tag:02X}")
    value = reader.octets()
    reader.end()
    return value


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + octet_string(value)


CONFORMANCE_BITS = 24


def conformance_data(conformance: int) -> bytes:
    """Return a conformance block as COSEM data."""
    return axdr.bit_string(axdr.BitString(conformance, CONFORMANCE_BITS))
