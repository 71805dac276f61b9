"""The M-Bus port: the slave on serial lines and TCP.

Must not know frames nor records; what a master asks is the slave's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Literal, override

from pydantic import AfterValidator, Field

from meter_node.cosem.access import AccessError
from meter_node.ports import bearers
from meter_node.ports.conversation import Line
from meter_node.ports.module import BearerAddress, BearerSettings, MeterView

from . import table
from .address import MANUFACTURER, SecondaryAddress, identification_of, name_on_bus
from .link import LONGEST_FRAME
from .slave import BAUDRATES, HIGHEST_PRIMARY, Conversation, Readout, Slave

_LOGGER = logging.getLogger(__name__)

BAUDRATE = 2400
LINE_SILENCE_S, NETWORK_SILENCE_S = 0.1, 1.0
"""How long a frame may pause. A master waits 0.2 s for an answer; a network may stutter."""
LOOK_S = 5.0
SILENT_OUT_S = 10.0
"""A master that asked nothing for so long makes room for another one."""
_BYTE_BITS = 11
BACK_AFTER_S = 120.0
"""A rate at which no master was heard for so long is given up for the one before, as by real
slaves. One at which he was heard stays: many masters ask once an hour or once a day."""
_PAUSE_BITS = 11
"""A slave answers no sooner (EN 13757-2)."""


def _asked(address: str) -> str:
    if address.startswith(("file:", "stdout:")):
        raise ValueError(f"{address!r}: an M-Bus slave is asked, and nobody can ask there")
    if address.startswith("serial:"):
        bearers.serial_line(address, BAUDRATE, rates=tuple(BAUDRATES.values()))
    return address


class MbusSettings(BearerSettings):
    """``[[meter.module]]`` with ``kind = "mbus"``."""

    kind: Literal["mbus"]
    bearer: Annotated[BearerAddress, AfterValidator(_asked)] = "listen://127.0.0.1:2101"
    address: int = Field(default=0, ge=0, le=HIGHEST_PRIMARY)
    """The primary address, until a master sets another."""
    identification: str | None = Field(default=None, pattern=r"^[0-9]{8}$")
    manufacturer: str = Field(default=MANUFACTURER, pattern=r"^[A-Z]{3}$")

    @override
    def name_on_bus(self, meter_number: str | None) -> tuple[str, ...] | None:
        """Return identification and manufacturer, as far as the configuration says them."""
        return name_on_bus(self.identification, self.manufacturer, meter_number)


async def run(view: MeterView, settings: MbusSettings) -> None:
    """Answer masters until cancelled."""
    who = SecondaryAddress(
        settings.identification or identification_of(view.identity.meter_number),
        settings.manufacturer,
    )
    slave = Slave(who, await _address(view, settings), lambda group: _read(view, group))
    address = _KeptAddress(view, settings, slave)
    bearer = bearers.of(
        settings.bearer,
        f"{view.name}: M-Bus",
        baudrate=BAUDRATE,
        parity="E",
        silent_out_s=SILENT_OUT_S,
    )

    async def talk(line: Line, who: str) -> str:
        return await _Talk(slave, address, line, who).carry()

    await bearer.carry(talk)


class _Talk:
    """One line with a master."""

    def __init__(self, slave: Slave, address: _KeptAddress, line: Line, who: str) -> None:
        self._address = address
        self._line = line
        self._who = who
        self._conversation = Conversation(slave, _frame_s(line))
        self._before: int | None = None
        """The rate to go back to while none was heard at the new one."""
        self._heard_s = 0.0

    async def carry(self) -> str:
        """Answer until the line ends; return why it did. Raises OSError, StoreError."""
        silence_s = _silence_s(self._line)
        wait_s = LOOK_S
        while True:
            data = await self._line.read(wait_s)
            if data == b"":
                return "the other side closed it"
            if data is None:
                self._conversation.silence()
                wait_s = LOOK_S
                await self._go_back_if_unheard()
                continue
            wait_s = silence_s
            await self._answer(data)

    async def _answer(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        heard = self._conversation.heard
        for answer in self._conversation.feed(data, now_s):
            if self._line.baudrate is not None:
                await asyncio.sleep(_PAUSE_BITS / self._line.baudrate)
            await self._address.keep(self._who)
            await self._line.write(answer)
            await asyncio.sleep(0)  # many requests in one chunk don't hold up the metering
        await self._address.keep(self._who)  # a broadcast has no answer
        if self._conversation.heard != heard:
            self._heard_s, self._before = now_s, None
        await self._change_baudrate(now_s)

    async def _change_baudrate(self, now_s: float) -> None:
        wanted, self._conversation.baudrate = self._conversation.baudrate, None
        if wanted is None or self._line.baudrate in (None, wanted):
            return
        self._before, self._heard_s = self._line.baudrate, now_s
        await self._set_baudrate(wanted)
        _LOGGER.info("%s: %d Bd from now on", self._who, wanted)

    async def _go_back_if_unheard(self) -> None:
        unheard_s = asyncio.get_running_loop().time() - self._heard_s
        if self._before is not None and unheard_s >= BACK_AFTER_S:
            _LOGGER.warning("%s: nobody was heard; back at %d Bd", self._who, self._before)
            await self._set_baudrate(self._before)
            self._before = None

    async def _set_baudrate(self, baudrate: int) -> None:
        await self._line.set_baudrate(baudrate)
        self._conversation.pace(_frame_s(self._line))


def _silence_s(line: Line) -> float:
    return NETWORK_SILENCE_S if line.baudrate is None else LINE_SILENCE_S


def _frame_s(line: Line) -> float:
    """How long the longest frame takes, with a pause; behind a network there is a line too."""
    return LONGEST_FRAME * _BYTE_BITS / (line.baudrate or BAUDRATE) + _silence_s(line)


def _read(view: MeterView, group: int) -> Readout | None:
    try:
        return Readout(list(table.readout(view, group)), table.status(view))
    except AccessError:  # nothing is committed yet
        return None


# --- the address that a master set ----------------------------------------------------------------


def _name(settings: MbusSettings) -> str:
    return f"mbus {settings.bearer}"


async def _address(view: MeterView, settings: MbusSettings) -> int:
    """Return what a master set while the configuration said what it says now, or the latter."""
    kept = await view.keeping.kept(_name(settings))
    configured, _, found = (kept or "").partition(" ")
    return int(found) if found and configured == str(settings.address) else settings.address


class _KeptAddress:
    """Keeps the address that a master gives, whichever line it comes over."""

    def __init__(self, view: MeterView, settings: MbusSettings, slave: Slave) -> None:
        self._view = view
        self._settings = settings
        self._slave = slave
        self._kept = slave.address

    async def keep(self, who: str) -> None:
        """Keep it where it is another one. Raises StoreError."""
        address = self._slave.address
        if address == self._kept:
            return
        await self._view.keeping.keep(_name(self._settings), f"{self._settings.address} {address}")
        self._kept = address
        _LOGGER.info("%s: its primary address is %d from now on", who, address)
