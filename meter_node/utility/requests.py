"""GET, SET and ACTION requests written, and their responses read (IEC 62056-5-3, xDLMS APDUs).

The server's direction stands in `cosem/requests.py`. Must not know objects, keys or links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meter_node.channel import axdr
from meter_node.cosem.access import DataAccessResult
from meter_node.cosem.requests import (
    ACTION_RESPONSE,
    GET_RESPONSE,
    SET_RESPONSE,
    Block,
    Service,
)
from meter_node.cosem.wire import Reader, WireError, octet_string

NORMAL_PRIORITY_CONFIRMED = 0xC0
"""High priority and confirmed, as most clients ask; the low four bits number the request."""


type Result = bytes | DataAccessResult
"""An attribute's A-XDR, or why there is none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attribute or a method, with the selected part of an attribute as A-XDR."""

    class_id: int
    logical_name: bytes
    number: int
    selection: tuple[int, bytes] | None = None

    def encode(self) -> bytes:
        """Return the descriptor."""
        number = self.number.to_bytes(1, signed=True)
        return self.class_id.to_bytes(2) + self.logical_name + number

    def with_selection(self) -> bytes:
        """Return the attribute's descriptor and its selection."""
        if self.selection is None:
            return self.encode() + b"\x00"
        selector, parameters = self.selection
        return self.encode() + bytes((1, selector)) + parameters


# --- requests -------------------------------------------------------------------------------------


def get(invoke_id: int, wanted: Sequence[Wanted]) -> bytes:
    """Return a get-request of one attribute, or of a list."""
    if len(wanted) == 1:
        return bytes((Service.GET, 1, invoke_id)) + wanted[0].with_selection()
    head = bytes((Service.GET, 3, invoke_id)) + axdr.encode_length(len(wanted))
    return head + b"".join(one.with_selection() for one in wanted)


def get_next(invoke_id: int, number: int) -> bytes:
    """Return the request for the block behind this one."""
    return bytes((Service.GET, 2, invoke_id)) + number.to_bytes(4)


def put(invoke_id: int, wanted: Wanted, value: bytes) -> bytes:
    """Return a set-request."""
    return bytes((Service.SET, 1, invoke_id)) + wanted.with_selection() + value


def act(invoke_id: int, wanted: Wanted, value: bytes | None) -> bytes:
    """Return an action-request."""
    data = b"\x00" if value is None else b"\x01" + value
    return bytes((Service.ACTION, 1, invoke_id)) + wanted.encode() + data


_FIRST = {Service.SET: 2, Service.ACTION: 4}
_FURTHER = {Service.SET: 3, Service.ACTION: 6}


def first_block(service: Service, invoke_id: int, wanted: Wanted, block: Block) -> bytes:
    """Return the first part of a long request."""
    what = wanted.with_selection() if service is Service.SET else wanted.encode()
    return bytes((service, _FIRST[service], invoke_id)) + what + _block(block)


def next_block(service: Service, invoke_id: int, block: Block) -> bytes:
    """Return another part of a long request."""
    return bytes((service, _FURTHER[service], invoke_id)) + _block(block)


def _block(block: Block) -> bytes:
    return bytes((block.last,)) + block.number.to_bytes(4) + octet_string(block.raw)


# --- responses ------------------------------------------------------------------------------------


def _begin(apdu: bytes, tag: int, invoke_id: int) -> tuple[Reader, int]:
    """Return the reader behind the head, and which choice of the response it is."""
    reader = Reader(apdu)
    found = reader.unsigned()
    if found != tag:
        raise WireError(f"an answer 0x{found:02X} to a request that wants 0x{tag:02X}")
    choice, number = reader.unsigned(), reader.unsigned()
    if number != invoke_id:
        raise WireError("the answer to another request")
    return reader, choice


def _result(number: int) -> DataAccessResult:
    try:
        return DataAccessResult(number)
    except ValueError:
        return DataAccessResult.OTHER_REASON


def _data_result(reader: Reader, data: bytes) -> Result:
    """Read a get-data-result; `data` is all that the reader reads from."""
    if reader.optional():
        return _result(reader.unsigned())
    start = len(data) - reader.left
    reader.data()
    return data[start : len(data) - reader.left]


def read_get(apdu: bytes, invoke_id: int, count: int) -> list[Result] | Block | DataAccessResult:
    """Read a get-response: the results, or a block, or why there is none. Raises WireError."""
    reader, choice = _begin(apdu, GET_RESPONSE, invoke_id)
    found: list[Result] | Block | DataAccessResult
    if choice == 1 and count == 1:
        found = [_data_result(reader, apdu)]
    elif choice == 3 and count > 1:
        found = _list(reader, apdu, count)
    elif choice == 2:
        last, number = reader.optional(), reader.unsigned(4)
        if reader.optional():
            found = _result(reader.unsigned())
        else:
            found = Block(last, number, reader.octets())
    else:
        raise WireError(f"no such get-response: {choice}")
    reader.end()
    return found


def read_list(data: bytes, count: int) -> list[Result]:
    """Read the results of a list that came in blocks. Raises WireError."""
    reader = Reader(data)
    found = _list(reader, data, count)
    reader.end()
    return found


def _list(reader: Reader, data: bytes, count: int) -> list[Result]:
    if reader.count() != count:
        raise WireError("another number of results than was asked for")
    return [_data_result(reader, data) for _ in range(count)]


def read_put(apdu: bytes, invoke_id: int) -> DataAccessResult:
    """Read what came of a set-request, or of its last block. Raises WireError."""
    reader, choice = _begin(apdu, SET_RESPONSE, invoke_id)
    if choice not in (1, 3):
        raise WireError(f"no such set-response: {choice}")
    result = _result(reader.unsigned())
    if choice == 3:
        reader.unsigned(4)
    reader.end()
    return result


def read_act(apdu: bytes, invoke_id: int) -> tuple[DataAccessResult, axdr.Value]:
    """Read what came of an action-request, and what it returned. Raises WireError."""
    reader, choice = _begin(apdu, ACTION_RESPONSE, invoke_id)
    if choice != 1:
        raise WireError(f"no such action-response: {choice}")
    result, value = _result(reader.unsigned()), None
    if reader.optional():
        if reader.optional():
            result = result or _result(reader.unsigned())
        else:
            value = reader.data()
    reader.end()
    return result, value


def read_taken(apdu: bytes, service: Service, invoke_id: int, number: int) -> bool:
    """Whether a block was taken and the next is awaited; False: the transfer has ended.

    Raises WireError.
    """
    tag, awaited = (SET_RESPONSE, 2) if service is Service.SET else (ACTION_RESPONSE, 4)
    reader, choice = _begin(apdu, tag, invoke_id)
    if choice != awaited:
        return False
    if reader.unsigned(4) != number:
        raise WireError("the answer to another block")
    reader.end()
    return True
