"""What modules keep: in the node's store, by its thread, so that metering never waits for a disk.

Must not know which modules there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from meter_node.channel.security import Keys
from meter_node.ciphering import (
    LAST_WIRELESS,
    WIRELESS_COUNTS_PER_MINUTE,
    InvocationCounter,
    time_floor,
    wireless_floor,
)
from meter_node.keys import MeterKeys, list_counter, wireless_counter
from meter_node.store import Store

COUNTED = "counted "
"""What begins so follows a register: where that was put back, it is forgotten."""


def mark_name(system_title: bytes, what: str) -> str:
    """Return under which name a meter's modules keep something in the store."""
    return f"module {system_title.hex()} {what}"


class ModuleKeeping:
    """One meter's: wireless key, serial list's keys, the numbers of both, and texts by name."""

    def __init__(self, store: Store, meter: MeterKeys, thread: ThreadPoolExecutor) -> None:
        """Read nothing yet: a store that was put back is raised first."""
        self._store = store
        self._meter = meter
        self._thread = thread
        self._counter: InvocationCounter | None = None
        self._list_counter: InvocationCounter | None = None

    @property
    def wireless_key(self) -> bytes:
        """The key that only wireless telegrams of this meter are under (16 bytes)."""
        if self._meter.wireless is None:
            raise LookupError("the key file has no wireless key of this meter")
        return self._meter.wireless

    async def wireless_number(self) -> int:
        """Return a number that was never given for this key.

        Raises CounterExhaustedError, StoreError.
        """
        return await self._in_thread(self._next_number)

    @property
    def list_keys(self) -> Keys:
        """The keys that only the ciphered serial list of this meter is under."""
        if self._meter.serial_list is None:
            raise LookupError("the key file has no keys of this meter's serial list")
        return self._meter.serial_list

    async def list_number(self) -> int:
        """Return a number that was never given for these keys.

        Raises CounterExhaustedError, StoreError.
        """
        return await self._in_thread(self._next_list_number)

    async def kept(self, what: str) -> str | None:
        """Return what was kept under this name, None for nothing. Raises StoreError."""
        return await self._in_thread(partial(self._store.mark, self._mark(what)))

    async def keep(self, what: str, text: str) -> None:
        """Keep a text, durably. Raises StoreError."""
        await self._in_thread(partial(self._store.set_mark, self._mark(what), text))

    def _mark(self, what: str) -> str:
        return mark_name(self._meter.system_title, what)

    def _next_list_number(self) -> int:
        if self._list_counter is None:
            name = list_counter(self._meter)
            self._list_counter = InvocationCounter(
                self._store.reserved_counter(name),
                time_floor(datetime.now(UTC)),
                partial(self._store.reserve_counter, name),
            )
        return self._list_counter.take()

    def _next_number(self) -> int:
        if self._counter is None:
            name = wireless_counter(self._meter)
            self._counter = InvocationCounter(
                self._store.reserved_counter(name),
                wireless_floor(datetime.now(UTC)),
                partial(self._store.reserve_counter, name),
                last=LAST_WIRELESS,
                # A minute's, at most: the clock soon catches up.
                ahead=WIRELESS_COUNTS_PER_MINUTE,
            )
        return self._counter.take()

    async def _in_thread[Found](self, doing: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._thread, doing)
