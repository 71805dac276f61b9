"""COSEM services from the asking side (IEC 62056-5-3): GET, SET and ACTION made, answers read.

Must not know how they are ciphered or carried, nor what an object is for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum

from . import axdr, registers
from .axdr import Value
from .cosem_time import CosemDateTime
from .objects import ENTRY, ClassId, CosemObject, column

GET, SET, ACTION = 0xC0, 0xC1, 0xC3
_ANSWERS = {0xC4: GET, 0xC5: SET, 0xC7: ACTION}
EXCEPTION = 0xD8
_NORMAL = 1
_INVOKE_ID = 0xC1
"""Invoke-id 1, confirmed, high priority: a transaction of the channel has but one."""
_RANGE = 1
_CLOCK = CosemObject(ClassId.CLOCK, registers.CLOCK)
_SUCCESS = 0


class ServiceError(ValueError):
    """The bytes are no answer to the service that was asked for."""


class Result(IntEnum):
    """Why an object was not read, written or called (data-access-result)."""

    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    OTHER_REASON = 250


class Fault(IntEnum):
    """Why a request was not even looked at (exception-response, service-error)."""

    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER = 3
    PDU_TOO_LONG = 4
    DECIPHERING = 5
    INVOCATION_COUNTER = 6


class RefusedError(Exception):
    """The meter refused a service; nothing was changed, but where its store failed.

    ``HARDWARE_FAULT`` says that it was done and could not be kept: a power cut would undo it.

    ``result`` tells why an object refused, ``fault`` why nothing was looked at; where the meter
    says what this program does not know, it is ``OTHER_REASON`` or ``OTHER``.
    """

    def __init__(self, result: Result | None = None, fault: Fault | None = None) -> None:
        """One of the two is given."""
        reason = result if result is not None else fault
        super().__init__(reason.name.lower().replace("_", " ") if reason is not None else "")
        self.result = result
        self.fault = fault


def get(which: CosemObject, attribute: int = 2, selection: bytes | None = None) -> bytes:
    """Return a get-request; ``selection``: a part of a buffer, see ``between``."""
    return _request(GET, which, attribute) + (b"\x00" if selection is None else b"\x01" + selection)


def put(which: CosemObject, value: bytes, attribute: int = 2) -> bytes:
    """Return a set-request; ``value`` is A-XDR."""
    return _request(SET, which, attribute) + b"\x00" + value


def act(which: CosemObject, method: int, parameter: bytes | None = None) -> bytes:
    """Return an action-request; ``parameter`` is A-XDR (integer 0 where the method wants none)."""
    given = axdr.integer(0) if parameter is None else parameter
    return _request(ACTION, which, method) + b"\x01" + given


def _request(service: int, which: CosemObject, number: int) -> bytes:
    return b"".join(
        (
            bytes((service, _NORMAL, _INVOKE_ID)),
            which.class_id.to_bytes(2),
            which.logical_name,
            number.to_bytes(1, signed=True),
        )
    )


# --- parts of a buffer ----------------------------------------------------------------------------


def between(first: datetime, last: datetime) -> bytes:
    """Return the selection of rows stamped from one aware moment to another, both included."""
    return _range(_CLOCK, _moment(first), _moment(last))


def entries(buffer: CosemObject, first: int, last: int) -> bytes:
    """Return the selection of a log's or profile's entry numbers, both included."""
    which = column(buffer.logical_name, ENTRY)
    return _range(which, axdr.double_long_unsigned(first), axdr.double_long_unsigned(last))


def _range(which: CosemObject, first: bytes, last: bytes) -> bytes:
    restricting = axdr.structure(
        axdr.long_unsigned(which.class_id),
        axdr.octet_string(which.logical_name),
        axdr.integer(2),
        axdr.long_unsigned(0),
    )
    return bytes((_RANGE,)) + axdr.structure(restricting, first, last, axdr.array())


def _moment(moment: datetime) -> bytes:
    return axdr.octet_string(CosemDateTime.at(moment, UTC).to_bytes())


# --- answers --------------------------------------------------------------------------------------


def read(answer: bytes, service: int) -> Value:
    """Return what a service gave: of GET the value, of ACTION what it returned, else None.

    Raises RefusedError where the meter refused, ServiceError for what is no answer to it.
    """
    if answer[:1] == bytes((EXCEPTION,)):
        raise RefusedError(fault=read_exception(answer))
    if len(answer) < 4 or _ANSWERS.get(answer[0]) != service:
        raise ServiceError(f"no answer to this service: {answer[:4].hex()}")
    if answer[1:3] != bytes((_NORMAL, _INVOKE_ID)):
        raise ServiceError(f"an answer of another kind: {answer[:4].hex()}")
    if service == GET:
        return _got(answer[3:])
    if answer[3] != _SUCCESS:
        raise RefusedError(_result(answer[3]))
    if service == SET:
        _end(answer, 4)
        return None
    returned = answer[4:]
    if returned[:1] == b"\x00":
        _end(returned, 1)
        return None
    if returned[:1] != b"\x01":
        raise ServiceError("an action's answer cut short")
    return _got(returned[1:])


def read_exception(answer: bytes) -> Fault:
    """Return what an exception-response says. Raises ServiceError for what is none."""
    if len(answer) not in (3, 7) or answer[0] != EXCEPTION:
        raise ServiceError(f"no exception-response: {answer[:8].hex()}")
    try:
        return Fault(answer[2])
    except ValueError:
        return Fault.OTHER


def _got(data: bytes) -> Value:
    if data[:1] == b"\x01":
        if len(data) != 2:
            raise ServiceError("a result with something behind it")
        raise RefusedError(_result(data[1]))
    if data[:1] != b"\x00":
        raise ServiceError("neither data nor a result")
    try:
        return axdr.decode_all(data[1:])
    except axdr.AxdrError as error:
        raise ServiceError(str(error)) from None


def _result(number: int) -> Result:
    try:
        return Result(number)
    except ValueError:
        return Result.OTHER_REASON


def _end(data: bytes, length: int) -> None:
    if len(data) != length:
        raise ServiceError(f"{len(data) - length} bytes left over")
