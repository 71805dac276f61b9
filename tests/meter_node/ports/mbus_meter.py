"""A meter whose every register is known, as modules see it, and what they keep in memory."""

from __future__ import annotations

from dataclasses import replace

from display_meters import COPENHAGEN, HOUSE, SNAPSHOT

from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.snapshot import Snapshot
from meter_node.ports.module import MeterView

NUMBER = "4711000123"
IDENTIFICATION = "11000123"
"""The last eight digits of it."""
KEY = bytes(range(16))


class KeptInMemory:
    """A module's store that ends with the test."""

    wireless_key = KEY

    def __init__(self, first_number: int = 1000) -> None:
        self.texts: dict[str, str] = {}
        self.number = first_number

    async def wireless_number(self) -> int:
        self.number += 1
        return self.number - 1

    async def kept(self, what: str) -> str | None:
        return self.texts.get(what)

    async def keep(self, what: str, text: str) -> None:
        self.texts[what] = text


class House:
    """One meter and what its modules see of it."""

    def __init__(self, snapshot: Snapshot | None = SNAPSHOT) -> None:
        identity = Identity(b"MTN12345", NUMBER, "382M", "0.1.0")
        self.device = LogicalDevice(identity, HOUSE, COPENHAGEN)
        self.keeping = KeptInMemory()
        self.view = MeterView("house", self.device, self.keeping)
        self._shown = snapshot or SNAPSHOT
        if snapshot is not None:
            self.device.commit(snapshot)

    def later(self, seconds: float) -> None:
        """Commit an image that is so much later, and tell of it."""
        self._shown = replace(self._shown, time_ns=self._shown.time_ns + round(seconds * 10**9))
        self.device.commit(self._shown)
        self.view.tell()
