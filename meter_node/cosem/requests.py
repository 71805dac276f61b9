"""GET, SET and ACTION requests read, and their responses written (IEC 62056-5-3, xDLMS APDUs).

Must not know objects, nor what was asked before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from meter_node.channel import axdr
from meter_node.channel.axdr import Value
from meter_node.cosem.access import DataAccessResult
from meter_node.cosem.acse import Conformance
from meter_node.cosem.long_value import Data, pieces
from meter_node.cosem.wire import Descriptor, Reader, WireError, attribute, method, octet_string


class Service(IntEnum):
    """A request's tag."""

    GET = 0xC0
    SET = 0xC1
    ACTION = 0xC3


GET_RESPONSE, SET_RESPONSE, ACTION_RESPONSE = 0xC4, 0xC5, 0xC7
_CONFIRMED = 0x40


_NEEDED = {
    Service.GET: Conformance.GET,
    Service.SET: Conformance.SET,
    Service.ACTION: Conformance.ACTION,
}
_NEEDED_FOR_BLOCKS = {
    Service.GET: Conformance.BLOCKS_WITH_GET,
    Service.SET: Conformance.BLOCKS_WITH_SET,
    Service.ACTION: Conformance.BLOCKS_WITH_ACTION,
}


class Kind(Enum):
    """Form of a request."""

    NORMAL = auto()
    LIST = auto()
    NEXT = auto()
    FIRST_BLOCK = auto()
    LIST_FIRST_BLOCK = auto()
    BLOCK = auto()


_KINDS: dict[tuple[Service, int], Kind] = {
    (Service.GET, 1): Kind.NORMAL,
    (Service.GET, 2): Kind.NEXT,
    (Service.GET, 3): Kind.LIST,
    (Service.SET, 1): Kind.NORMAL,
    (Service.SET, 2): Kind.FIRST_BLOCK,
    (Service.SET, 3): Kind.BLOCK,
    (Service.SET, 4): Kind.LIST,
    (Service.SET, 5): Kind.LIST_FIRST_BLOCK,
    (Service.ACTION, 1): Kind.NORMAL,
    (Service.ACTION, 2): Kind.NEXT,
    (Service.ACTION, 3): Kind.LIST,
    (Service.ACTION, 4): Kind.FIRST_BLOCK,
    (Service.ACTION, 5): Kind.LIST_FIRST_BLOCK,
    (Service.ACTION, 6): Kind.BLOCK,
}


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a long request."""

    last: bool
    number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `values` belong to `descriptors` one by one; None where an action has none."""

    service: Service
    kind: Kind
    invoke_id: int
    """With priority and service class, as it goes back."""
    descriptors: tuple[Descriptor, ...] = ()
    values: tuple[Value, ...] = ()
    block: Block | None = None
    number: int = 0
    """Of the block that is asked for (`NEXT`)."""

    @property
    def needs(self) -> int:
        """What must have been agreed on for it, as bits of the conformance block."""
        needs = int(_NEEDED[self.service])
        if self.kind in (Kind.LIST, Kind.LIST_FIRST_BLOCK):
            needs |= Conformance.MULTIPLE_REFERENCES
        if self.block is not None:
            needs |= _NEEDED_FOR_BLOCKS[self.service]
        if any(one.selection is not None for one in self.descriptors):
            needs |= Conformance.SELECTIVE_ACCESS
        return needs

    @property
    def confirmed(self) -> bool:
        """Whether an answer is wanted."""
        return self.service is Service.GET or bool(self.invoke_id & _CONFIRMED)


def read(apdu: bytes) -> Request:
    """Read a request whole. Raises WireError."""
    reader = Reader(apdu)
    try:
        service = Service(reader.unsigned())
        kind = _KINDS[service, reader.unsigned()]
    except (ValueError, KeyError):
        raise WireError("no such request") from None
    invoke_id = reader.unsigned()
    if kind is Kind.NEXT:
        request = Request(service, kind, invoke_id, number=reader.unsigned(4))
    elif kind is Kind.BLOCK:
        request = Request(service, kind, invoke_id, block=_block(reader))
    else:
        request = _with_descriptors(reader, service, kind, invoke_id)
    reader.end()
    return request


def _with_descriptors(reader: Reader, service: Service, kind: Kind, invoke_id: int) -> Request:
    of_list = kind in (Kind.LIST, Kind.LIST_FIRST_BLOCK)
    read_one = method if service is Service.ACTION else attribute
    count = reader.count() if of_list else 1
    descriptors = tuple(read_one(reader) for _ in range(count))
    values: tuple[Value, ...] = ()
    block = None
    if kind in (Kind.FIRST_BLOCK, Kind.LIST_FIRST_BLOCK):
        block = _block(reader)
    elif service is Service.SET or kind is Kind.LIST:
        if service is not Service.GET:
            values = _values(reader, count) if of_list else (reader.data(),)
    elif service is Service.ACTION:
        values = (reader.data() if reader.optional() else None,)
    return Request(service, kind, invoke_id, descriptors, values, block)


def _block(reader: Reader) -> Block:
    return Block(reader.optional(), reader.unsigned(4), reader.octets())


def _values(reader: Reader, wanted: int) -> tuple[Value, ...]:
    count = reader.count()
    if count != wanted:
        raise WireError(f"{count} values for {wanted} objects")
    return tuple(reader.data() for _ in range(count))


def assembled(raw: bytes, count: int, *, of_list: bool) -> tuple[Value, ...]:
    """Return the values of a request that came in blocks. Raises WireError."""
    reader = Reader(raw)
    values = _values(reader, count) if of_list else (reader.data(),)
    reader.end()
    return values


# --- responses ------------------------------------------------------------------------------------

type Result = Data | DataAccessResult
"""Data, or why there is none."""
HEAD = 3
"""Bytes before a response's content: tag, choice, invoke-id."""


def get_refused(invoke_id: int, result: DataAccessResult) -> bytes:
    """Return a get-response-normal without data."""
    return bytes((GET_RESPONSE, 1, invoke_id, 1, result))


def get_normal_head(invoke_id: int) -> bytes:
    """Return what stands before the data of a get-response-normal."""
    return bytes((GET_RESPONSE, 1, invoke_id, 0))


def get_list_head(invoke_id: int) -> bytes:
    """Return what stands before the results of a get-response-with-list."""
    return bytes((GET_RESPONSE, 3, invoke_id))


def got_list(results: Sequence[Result]) -> Iterator[bytes]:
    """Yield a list of get-data-results, piece by piece."""
    yield axdr.encode_length(len(results))
    for result in results:
        if isinstance(result, DataAccessResult):
            yield bytes((1, result))
        else:
            yield b"\x00"
            yield from pieces(result)


def get_block(invoke_id: int, block: Block) -> bytes:
    """Return a get-response-with-datablock."""
    return _get_block(invoke_id, block.last, block.number) + b"\x00" + octet_string(block.raw)


def get_block_refused(invoke_id: int, number: int, result: DataAccessResult) -> bytes:
    """Return a get-response-with-datablock that ends the transfer."""
    return _get_block(invoke_id, True, number) + b"\x01" + bytes((result,))


def _get_block(invoke_id: int, last: bool, number: int) -> bytes:
    return bytes((GET_RESPONSE, 2, invoke_id, last)) + number.to_bytes(4)


BLOCK_OVERHEAD = 12
"""Bytes of a response with a data block before its raw data, at most."""


def set_normal(invoke_id: int, result: DataAccessResult) -> bytes:
    """Return a set-response-normal."""
    return bytes((SET_RESPONSE, 1, invoke_id, result))


def set_list(invoke_id: int, results: Sequence[DataAccessResult]) -> bytes:
    """Return a set-response-with-list."""
    return bytes((SET_RESPONSE, 5, invoke_id)) + octet_string(bytes(results))


def set_block(invoke_id: int, number: int) -> bytes:
    """Return a set-response-datablock: the next one is awaited."""
    return bytes((SET_RESPONSE, 2, invoke_id)) + number.to_bytes(4)


def set_last_block(invoke_id: int, number: int, results: Sequence[DataAccessResult]) -> bytes:
    """Return a set-response-last-datablock, of one object or of a list."""
    if len(results) == 1:
        return bytes((SET_RESPONSE, 3, invoke_id, results[0])) + number.to_bytes(4)
    listed = octet_string(bytes(results))
    return bytes((SET_RESPONSE, 4, invoke_id)) + listed + number.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action."""

    result: int
    answer: bytes | None = None


def _done(done: Done) -> bytes:
    returned = b"\x00" if done.answer is None else b"\x01\x00" + done.answer
    return bytes((done.result,)) + returned


def action_normal(invoke_id: int, done: Done) -> bytes:
    """Return an action-response-normal."""
    return bytes((ACTION_RESPONSE, 1, invoke_id)) + _done(done)


def action_list(invoke_id: int, done: Sequence[Done]) -> bytes:
    """Return an action-response-with-list."""
    head = bytes((ACTION_RESPONSE, 3, invoke_id))
    return head + axdr.encode_length(len(done)) + b"".join(_done(one) for one in done)


def action_answer_block(invoke_id: int, block: Block) -> bytes:
    """Return an action-response-with-pblock: a part of what stands behind a response's head."""
    head = bytes((ACTION_RESPONSE, 2, invoke_id, block.last)) + block.number.to_bytes(4)
    return head + octet_string(block.raw)


def action_block(invoke_id: int, number: int) -> bytes:
    """Return an action-response-next-pblock: the next one is awaited."""
    return bytes((ACTION_RESPONSE, 4, invoke_id)) + number.to_bytes(4)
