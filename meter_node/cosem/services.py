"""GET, SET and ACTION on the object table, with long transfers in either direction.

One of these belongs to one association. Must not know ciphering or transports.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meter_node.channel.axdr import Value
from meter_node.cosem import requests
from meter_node.cosem.access import (
    LONG_ACTION_ABORTED,
    NO_LONG_ACTION_IN_PROGRESS,
    AccessError,
    DataAccessResult,
)
from meter_node.cosem.requests import Block, Done, Kind, Request, Result, Service
from meter_node.cosem.table import Caller, ObjectTable
from meter_node.cosem.wire import Descriptor, WireError

LONGEST_REQUEST = 65_536
"""Bytes of one value that comes in blocks: a client that goes on is not listened to."""


@dataclass(slots=True)
class _Outgoing:
    invoke_id: int
    data: bytes
    size: int
    """Bytes of a block."""
    number: int = 0
    at: int = 0

    def next(self) -> Block:
        self.number += 1
        raw = self.data[self.at : self.at + self.size]
        self.at += len(raw)
        return Block(self.at >= len(self.data), self.number, raw)


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

    def answer(self, request: Request, caller: Caller, limit: int, *, blocks: bool) -> bytes:
        """Return the response to one request.

        `limit`: bytes that it may have, 0 for any; `blocks`: whether a longer answer to GET may
        go in data blocks (without, it is given whole, for others to cut).
        """
        if request.kind is not Kind.NEXT:
            self._outgoing = None
        if request.kind is not Kind.BLOCK:
            self._incoming = None
        match request.service:
            case Service.GET:
                return self._get(request, caller, limit if blocks else 0)
            case Service.SET:
                return self._set(request, caller)
            case Service.ACTION:
                return self._act(request, caller)

    # --- GET -------------------------------------------------------------------------------------

    def _get(self, request: Request, caller: Caller, limit: int) -> bytes:
        invoke_id = request.invoke_id
        if request.kind is Kind.NEXT:
            return self._next_block(request)
        results = [self._read(descriptor, caller) for descriptor in request.descriptors]
        if request.kind is Kind.NORMAL:
            (result,) = results
            whole = requests.get_normal(invoke_id, result)
            data = b"" if isinstance(result, DataAccessResult) else result
        else:
            whole = requests.get_list(invoke_id, results)
            data = requests.got_list(results)
        if not limit or len(whole) <= limit or not data:
            return whole
        self._outgoing = _Outgoing(invoke_id, data, limit - requests.GET_BLOCK_OVERHEAD)
        return requests.get_block(invoke_id, self._outgoing.next())

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
        outgoing = self._outgoing
        if outgoing is None:
            return requests.get_block_refused(
                request.invoke_id, request.number, DataAccessResult.NO_LONG_GET_IN_PROGRESS
            )
        if request.number != outgoing.number:
            self._outgoing = None
            return requests.get_block_refused(
                request.invoke_id, request.number, DataAccessResult.DATA_BLOCK_NUMBER_INVALID
            )
        block = outgoing.next()
        if block.last:
            self._outgoing = None
        return requests.get_block(request.invoke_id, block)

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

    def _act(self, request: Request, caller: Caller) -> bytes:
        invoke_id = request.invoke_id
        if request.kind is Kind.NEXT:  # no answer here is so long
            return requests.action_normal(invoke_id, Done(NO_LONG_ACTION_IN_PROGRESS))
        if request.block is None:
            return self._call(request, request.values, caller, invoke_id)
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
        return self._call(incoming.request, values, caller, invoke_id)

    def _call(
        self, request: Request, values: tuple[Value, ...], caller: Caller, invoke_id: int
    ) -> bytes:
        done = [
            self._call_one(descriptor, value, caller)
            for descriptor, value in zip(request.descriptors, values, strict=True)
        ]
        if request.kind in (Kind.NORMAL, Kind.FIRST_BLOCK):
            return requests.action_normal(invoke_id, done[0])
        return requests.action_list(invoke_id, done)

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
