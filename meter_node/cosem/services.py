"""GET, SET and ACTION on the object table, with long transfers in either direction.

One of these belongs to one association. Must not know ciphering or transports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from meter_node.channel.axdr import Value
from meter_node.cosem import requests
from meter_node.cosem.access import (
    LONG_ACTION_ABORTED,
    NO_LONG_ACTION_IN_PROGRESS,
    AccessError,
    DataAccessResult,
)
from meter_node.cosem.exceptions import ExceptionResponse, Fault
from meter_node.cosem.long_value import pieces
from meter_node.cosem.requests import Block, Done, Kind, Request, Result, Service
from meter_node.cosem.table import Caller, ObjectTable
from meter_node.cosem.wire import Descriptor, WireError

LONGEST_REQUEST = 65_536
"""Bytes of one value that comes in blocks: a client that goes on is not listened to."""
LONGEST_WHOLE = 262_144
"""Bytes of an answer that is made at once: longer ones are made block by block, or not at all."""


@dataclass(slots=True)
class _Outgoing:
    """A long answer: no more of it is made than is sent next."""

    service: Service
    source: Iterator[bytes]
    number: int = 0
    size: int = 0
    """Bytes of a block."""
    made: bytearray = field(default_factory=bytearray)

    def fits(self, size: int) -> bool:
        """Make what fits and a little more. Whether this is all. Raises AccessError."""
        while len(self.made) <= size:
            piece = next(self.source, None)
            if piece is None:
                return True
            self.made += piece
        return False

    def next(self) -> Block:
        """Return the next block. Raises AccessError."""
        last = self.fits(self.size)
        self.number += 1
        raw = bytes(self.made[: self.size])
        del self.made[: self.size]
        return Block(last, self.number, raw)


@dataclass(slots=True)
class _Incoming:
    request: Request
    raw: bytearray = field(default_factory=bytearray)
    number: int = 0

    @property
    def of_list(self) -> bool:
        return self.request.kind is Kind.LIST_FIRST_BLOCK


class Services:
    """The services of one association."""

    def __init__(self, table: ObjectTable) -> None:
        """Serve these objects."""
        self._table = table
        self._outgoing: _Outgoing | None = None
        self._incoming: _Incoming | None = None

    def answer(
        self,
        request: Request,
        caller: Caller,
        limit: int,
        *,
        blocks: Collection[Service],
        longest: int = LONGEST_WHOLE,
    ) -> bytes:
        """Return the response to one request.

        `limit`: bytes of a block's APDU, 0 for any; `blocks`: the services whose longer answers may
        go in data blocks; `longest`: bytes of an answer that can't (what is read and longer is
        refused, what was done is answered all the same). Raises ExceptionResponse for one that is
        too long to be made at once.
        """
        if request.kind is not Kind.NEXT:
            self._outgoing = None
        if request.kind is not Kind.BLOCK:
            self._incoming = None
        limit = limit if request.service in blocks else 0
        match request.service:
            case Service.GET:
                return self._get(request, caller, limit, min(longest, LONGEST_WHOLE))
            case Service.SET:
                return self._set(request, caller)
            case Service.ACTION:
                return self._act(request, caller, limit)

    def _whole_or_first(
        self,
        service: Service,
        head: bytes,
        source: Iterator[bytes],
        limit: int,
        longest: int = LONGEST_WHOLE,
    ) -> bytes | Block:
        """Return an answer whole behind its head, or the first block of it. Raises AccessError."""
        outgoing = _Outgoing(service, source)
        if outgoing.fits((limit or longest) - len(head)):
            return head + bytes(outgoing.made)
        if not limit and longest < LONGEST_WHOLE:
            raise AccessError(
                DataAccessResult.DATA_BLOCK_UNAVAILABLE,
                f"longer than the {longest} bytes that the client takes without blocks",
            )
        if not limit:
            raise ExceptionResponse(Fault.PDU_TOO_LONG)
        outgoing.size = limit - requests.BLOCK_OVERHEAD
        self._outgoing = outgoing
        return outgoing.next()

    # --- GET -------------------------------------------------------------------------------------

    def _get(self, request: Request, caller: Caller, limit: int, longest: int) -> bytes:
        invoke_id = request.invoke_id
        if request.kind is Kind.NEXT:
            return self._next_block(request)
        results = [self._read(descriptor, caller) for descriptor in request.descriptors]
        if request.kind is Kind.NORMAL:
            (result,) = results
            if isinstance(result, DataAccessResult):
                return requests.get_refused(invoke_id, result)
            head, source = requests.get_normal_head(invoke_id), pieces(result)
        else:
            head, source = requests.get_list_head(invoke_id), requests.got_list(results)
        try:
            answer = self._whole_or_first(Service.GET, head, source, limit, longest)
        except AccessError as error:
            caller.association.refusal = str(error)
            return requests.get_refused(invoke_id, error.result)
        return requests.get_block(invoke_id, answer) if isinstance(answer, Block) else answer

    def _read(self, descriptor: Descriptor, caller: Caller) -> Result:
        try:
            return self._table.get(
                caller,
                descriptor.class_id,
                descriptor.logical_name,
                descriptor.number,
                descriptor.selection,
            )
        except AccessError as error:
            caller.association.refusal = str(error)
            return error.result

    def _next_block(self, request: Request) -> bytes:
        try:
            block = self._next(request, DataAccessResult.NO_LONG_GET_IN_PROGRESS)
        except AccessError as error:
            return requests.get_block_refused(request.invoke_id, request.number, error.result)
        return requests.get_block(request.invoke_id, block)

    def _next(self, request: Request, without: DataAccessResult) -> Block:
        """Return the block behind the one that is named. Raises AccessError; then it has ended."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is None or outgoing.service is not request.service:
            raise AccessError(without, "no long answer is under way")
        if request.number != outgoing.number:
            raise AccessError(DataAccessResult.DATA_BLOCK_NUMBER_INVALID, "not the last block")
        block = outgoing.next()
        if not block.last:
            self._outgoing = outgoing
        return block

    # --- SET -------------------------------------------------------------------------------------

    def _set(self, request: Request, caller: Caller) -> bytes:
        invoke_id = request.invoke_id
        if request.block is None:
            results = self._write(request.descriptors, request.values, caller)
            if request.kind is Kind.NORMAL:
                return requests.set_normal(invoke_id, results[0])
            return requests.set_list(invoke_id, results)
        block = request.block
        fault = self._take(request, block)
        if fault is not None:
            return requests.set_last_block(invoke_id, block.number, [fault])
        if not block.last:
            return requests.set_block(invoke_id, block.number)
        incoming, values = self._assembled()
        if values is None:
            result = DataAccessResult.LONG_SET_ABORTED
            return requests.set_last_block(invoke_id, block.number, [result])
        results = self._write(incoming.request.descriptors, values, caller)
        return requests.set_last_block(invoke_id, block.number, results)

    def _write(
        self, descriptors: tuple[Descriptor, ...], values: tuple[Value, ...], caller: Caller
    ) -> list[DataAccessResult]:
        return [
            self._write_one(descriptor, value, caller)
            for descriptor, value in zip(descriptors, values, strict=True)
        ]

    def _write_one(self, descriptor: Descriptor, value: Value, caller: Caller) -> DataAccessResult:
        try:
            if descriptor.selection is not None:
                raise AccessError(
                    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, "a part can't be written"
                )
            self._table.set(
                caller, descriptor.class_id, descriptor.logical_name, descriptor.number, value
            )
        except AccessError as error:
            caller.association.refusal = str(error)
            return error.result
        return DataAccessResult.SUCCESS

    # --- ACTION ----------------------------------------------------------------------------------

    def _act(self, request: Request, caller: Caller, limit: int) -> bytes:
        invoke_id = request.invoke_id
        if request.kind is Kind.NEXT:
            try:
                block = self._next(request, DataAccessResult.NO_LONG_GET_IN_PROGRESS)
            except AccessError as error:
                ended = error.result is DataAccessResult.DATA_BLOCK_NUMBER_INVALID
                result = LONG_ACTION_ABORTED if ended else NO_LONG_ACTION_IN_PROGRESS
                return requests.action_normal(invoke_id, Done(result))
            return requests.action_answer_block(invoke_id, block)
        if request.block is None:
            return self._call(request, request.values, caller, limit)
        fault = self._take(request, request.block)
        if fault is not None:
            aborted = fault is DataAccessResult.NO_LONG_SET_IN_PROGRESS
            result = NO_LONG_ACTION_IN_PROGRESS if aborted else LONG_ACTION_ABORTED
            return requests.action_normal(invoke_id, Done(result))
        if not request.block.last:
            return requests.action_block(invoke_id, request.block.number)
        incoming, values = self._assembled()
        if values is None:
            return requests.action_normal(invoke_id, Done(LONG_ACTION_ABORTED))
        return self._call(replace(incoming.request, invoke_id=invoke_id), values, caller, limit)

    def _call(
        self, request: Request, values: tuple[Value, ...], caller: Caller, limit: int
    ) -> bytes:
        done = [
            self._call_one(descriptor, value, caller)
            for descriptor, value in zip(request.descriptors, values, strict=True)
        ]
        invoke_id = request.invoke_id
        if request.kind in (Kind.NORMAL, Kind.FIRST_BLOCK):
            whole = requests.action_normal(invoke_id, done[0])
        else:
            whole = requests.action_list(invoke_id, done)
        head, body = whole[: requests.HEAD], whole[requests.HEAD :]
        answer = self._whole_or_first(Service.ACTION, head, iter((body,)), limit)
        if isinstance(answer, Block):
            return requests.action_answer_block(invoke_id, answer)
        return answer

    def _call_one(self, descriptor: Descriptor, value: Value, caller: Caller) -> Done:
        try:
            answer = self._table.act(
                caller, descriptor.class_id, descriptor.logical_name, descriptor.number, value
            )
        except AccessError as error:
            caller.association.refusal = str(error)
            return Done(error.result)
        return Done(DataAccessResult.SUCCESS, answer)

    # --- blocks that come in ---------------------------------------------------------------------

    def _take(self, request: Request, block: Block) -> DataAccessResult | None:
        """Add a block to what came before; None, or why not."""
        if request.kind is not Kind.BLOCK:
            self._incoming = _Incoming(request)
        incoming = self._incoming
        if incoming is None or incoming.request.service is not request.service:
            return DataAccessResult.NO_LONG_SET_IN_PROGRESS
        incoming.number += 1
        if block.number != incoming.number:
            self._incoming = None
            return DataAccessResult.DATA_BLOCK_NUMBER_INVALID
        # An empty block that is not the last gets nobody anywhere.
        if len(incoming.raw) + len(block.raw) > LONGEST_REQUEST or not (block.raw or block.last):
            self._incoming = None
            return DataAccessResult.LONG_SET_ABORTED
        incoming.raw += block.raw
        return None

    def _assembled(self) -> tuple[_Incoming, tuple[Value, ...] | None]:
        incoming, self._incoming = self._incoming, None
        assert incoming is not None  # a block was just taken
        count = len(incoming.request.descriptors)
        try:
            values = requests.assembled(bytes(incoming.raw), count, of_list=incoming.of_list)
        except WireError:
            return incoming, None
        return incoming, values
