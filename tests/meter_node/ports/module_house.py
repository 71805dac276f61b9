"""A meter as the list, text and pulse modules see it, whose image a test commits when it wants."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from display_meters import COPENHAGEN, SNAPSHOT
from mbus_meter import KeptInMemory

from meter_node.channel.security import Keys
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant
from meter_node.ports.module import MeterView

THREE_PHASES = Variant("382M", 3, "5(65)", breaker=True, relays=2)
TWO_PHASES = Variant("382M", 2, "5(65)")
ONE_PHASE = Variant("162M", 1, "5(65)")
LIST_KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))


class Kept(KeptInMemory):
    """What modules keep, in memory: it outlives the module as the store outlives the process."""

    list_keys = LIST_KEYS

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def list_number(self) -> int:
        return await self.wireless_number()

    async def keep(self, what: str, text: str) -> None:
        self.writes += 1
        await super().keep(what, text)


class Lamp:
    """The page's LED."""

    def __init__(self) -> None:
        self.constant: int | None = None
        self.blinked = 0

    def led_follows(self, constant: int | None) -> None:
        self.constant = constant

    def blink(self) -> None:
        self.blinked += 1


class ModuleHouse:
    """One meter."""

    def __init__(
        self,
        snapshot: Snapshot = SNAPSHOT,
        variant: Variant = THREE_PHASES,
        number: str = "5706567326590407",
        model: str | None = None,
        software: str = "0.1.0",
    ) -> None:
        identity = Identity(b"MTN12345", number, model or variant.model, software)
        self.device = LogicalDevice(identity, variant, COPENHAGEN)
        self.keeping = Kept()
        self.lamp = Lamp()
        self.view = MeterView("house", self.device, self.keeping, self.lamp)
        self.shown = snapshot
        self.device.commit(snapshot)

    def later(self, seconds: float, **wh: int) -> None:
        """Commit an image so much later, with so many Wh more, and tell of it."""
        energies = dict(self.shown.energies_nwh)
        for key, energy_wh in wh.items():
            energies[key] += energy_wh * NANO
        time_ns = self.shown.time_ns + round(seconds * NANO)
        self.shown = replace(self.shown, time_ns=time_ns, energies_nwh=energies)
        self.device.commit(self.shown)
        self.view.tell()

    async def play(self, times: int, step_s: float = 10) -> None:
        """Commit so many images, one after the other, as fast as they are taken."""
        for _ in range(times):
            self.later(step_s)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(port: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a port meanwhile."""
    task = asyncio.create_task(port)
    await asyncio.sleep(0.05)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def reader_of(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Somebody who is connected."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def pseudo_terminal() -> tuple[int, int]:
    """Both ends; the first does not block."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return master, slave


def snapshot_of(values: Mapping[str, float], time_ns: int) -> Snapshot:
    """An image of registers in their units (Wh, W, V, A), and nothing else."""
    energies = {key: round(value) * NANO for key, value in values.items() if "energy" in key}
    others = {key: value for key, value in values.items() if "energy" not in key}
    return Snapshot(time_ns, energies, others)
