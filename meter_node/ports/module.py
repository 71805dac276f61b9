"""What every further way out has: one meter's committed image to read, and settings of its own.

Must not know which modules there are, nor what any of them sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, Protocol, override
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, field_validator

from meter_node.channel import axdr, registers
from meter_node.channel.axdr import Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.objects import CosemObject
from meter_node.channel.security import Keys
from meter_node.cosem.access import AccessError, Client
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import VALUE, LogicalDevice

from . import bearers


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a module takes of the numbers of one of its meter's keys.

    Where a back-up was put back they go on by the clock: whoever takes more than those of the time
    that went by would take some twice.
    """

    key: str
    """In words: all modules of a meter that name the same take from the same row."""
    a_minute: Fraction
    most_a_minute: int
    """To all of them: half of what the clock gives, as a start leaves out fewer than it gives."""


class ModuleSettings(BaseModel):
    """What the configuration says of a module; each kind adds its own, ``kind`` first."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str

    @property
    def beat_s(self) -> int | None:
        """At each multiple of it an image is committed; None: the meter's own beat will do."""
        return None

    def fit(self, phases: int, maximum_current_a: int) -> None:
        """Raise ValueError where a meter of such a range is none for it."""

    @property
    def places(self) -> tuple[bearers.Place, ...]:
        """What no other port of the node can have beside it."""
        return ()

    def name_on_bus(self, meter_number: str | None) -> tuple[str, ...] | None:
        """Return what readers tell meters apart by; None: by nothing that can be the same."""
        return None

    @property
    def numbers(self) -> Numbers | None:
        """What it takes of the numbers of a key; None: nothing is numbered."""
        return None


class BearerSettings(ModuleSettings):
    """The same of a module whose bytes go over a bearer."""

    usual_baudrate: ClassVar[int]
    """A serial line's, where its address names none."""
    bearer: str

    @field_validator("bearer")
    @classmethod
    def _is_one(cls, address: str) -> str:
        # It raises ValueError, which says what is right.
        bearers.of(address, "", baudrate=cls.usual_baudrate)
        return address

    @property
    @override
    def places(self) -> tuple[bearers.Place, ...]:
        """What its bearer has for itself."""
        return bearers.places_of(self.bearer)


@dataclass(frozen=True, slots=True)
class PowerFailures:
    """Failures of any phase, of all lengths and of the long ones, and the last long ones."""

    count: int
    long_count: int
    last_long: tuple[tuple[CosemDateTime, int], ...]
    """When each was over, and its seconds; the oldest first."""


@dataclass(frozen=True, slots=True)
class PastMaximum:
    """A month's maximum: when the month was over, when its interval ended, and the value."""

    month_end: CosemDateTime
    time: CosemDateTime
    value: Decimal


class Keeping(Protocol):
    """What a module has of the node's store and keys, beside the image. Raises StoreError."""

    @property
    def wireless_key(self) -> bytes:
        """The key that only wireless telegrams of this meter are under (16 bytes)."""

    async def wireless_number(self) -> int:
        """Return a number (29 bits) that was never given for this key, over any restart.

        Raises CounterExhaustedError.
        """

    @property
    def list_keys(self) -> Keys:
        """The keys that only the ciphered serial list of this meter is under."""

    async def list_number(self) -> int:
        """Return a number that was never given for these keys, over any restart.

        Raises CounterExhaustedError.
        """

    async def kept(self, what: str) -> str | None:
        """Return what a module kept under this name; None: nothing."""

    async def keep(self, what: str, text: str) -> None:
        """Keep a text: durable when it returns."""


class Led(Protocol):
    """The meter's metering LED."""

    def led_follows(self, constant: int) -> AbstractContextManager[None]:
        """Meanwhile it blinks with pulses of so many a kWh, whoever else has it blink."""

    def blink(self) -> None:
        """A pulse begins."""


class MeterView:
    """One meter as a module sees it: its last committed image, as its consumer may read it."""

    def __init__(
        self,
        name: str,
        device: LogicalDevice,
        keeping: Keeping | None = None,
        led: Led | None = None,
    ) -> None:
        """``name`` is the meter's in the configuration; ``keeping`` is for who keeps something."""
        self.name = name
        self.led = led
        self._device = device
        self._keeping = keeping
        self._next = asyncio.Event()
        self.beats_s: frozenset[int] = frozenset()
        """How often the modules want an image, those that aren't content with the meter's beat."""
        self.own_beats_s: frozenset[int] = frozenset({1})
        """The meter's own: at the multiples of each of these there is an image, whoever wants it.

        An image a second is the most that there can be.
        """

    @property
    def interval_s(self) -> int:
        """From one image to the next, of those that come evenly: the shortest of all beats.

        There is one at each multiple, and others between them where other beats or events want it.
        """
        return min(self.own_beats_s | self.beats_s)

    @property
    def keeping(self) -> Keeping:
        """What the meter's modules keep. Raises LookupError where there is no store."""
        if self._keeping is None:
            raise LookupError(f"{self.name}: nothing can be kept here")
        return self._keeping

    @property
    def identity(self) -> Identity:
        """Who the meter is."""
        return self._device.identity

    @property
    def zone(self) -> ZoneInfo:
        """Its local time zone."""
        return self._device.zone

    @property
    def registers(self) -> tuple[registers.Register, ...]:
        """The registers that a meter of its make has, in the table's order."""
        return self._device.registers

    @property
    def tariffs(self) -> int:
        """How many tariffs its calendar has. Raises AccessError before the first commit."""
        return self._device.committed.tariffs

    @property
    def tariff(self) -> int:
        """The tariff in force. Raises AccessError before the first commit."""
        return self._device.committed.tariff

    @property
    def second(self) -> int:
        """The whole second (since 1970) that the image is of.

        A live source's seconds end a little before or after the clock's: the nearest counts.
        Raises AccessError before the first commit.
        """
        return round(self._device.committed.time_ns / 1e9)

    @property
    def utc(self) -> datetime:
        """That second, aware. Raises AccessError before the first commit."""
        return datetime.fromtimestamp(self.second, UTC)

    @property
    def time(self) -> CosemDateTime:
        """That second as local time. Raises AccessError before the first commit."""
        invalid = not self._device.committed.clock_valid
        return CosemDateTime.at(self.utc, self.zone, clock_invalid=invalid)

    def raw(self, key: str) -> int | None:
        """Return a register in units of its scaler; None where it has no value, or isn't there.

        Raises AccessError before the first commit.
        """
        register = registers.BY_KEY[key]
        if register not in self.registers:
            return None
        return self._device.raw(Client.CONSUMER, register)

    def value(self, key: str) -> Decimal | None:
        """Return a register in its unit (Wh, W, V, A …), None as for ``raw``."""
        raw = self.raw(key)
        return None if raw is None else Decimal(raw).scaleb(registers.BY_KEY[key].quantity.scaler)

    def state(self, which: CosemObject, attribute: int = VALUE) -> Value:
        """Return what stands in an object; None where it has no value or the meter no such object.

        Raises AccessError before the first commit.
        """
        self._device.committed  # noqa: B018 - "nothing yet" is another thing than "no such object"
        try:
            data = self._device.get(Client.CONSUMER, which.class_id, which.logical_name, attribute)
        except AccessError:
            return None
        return axdr.decode_all(data)

    @property
    def power_failures(self) -> PowerFailures:
        """Failures of any phase. Raises AccessError before the first commit."""
        shown = self._device.committed
        return PowerFailures(
            shown.failures.get("power_failure_count_any", 0),
            shown.failures.get("long_power_failure_count_any", 0),
            tuple((self._local(end_s), length_s) for end_s, length_s in shown.long_failures),
        )

    def maximum(self, key: str) -> tuple[Decimal, CosemDateTime] | None:
        """Return a maximum of this month and when its interval ended; None while there is none.

        Raises AccessError before the first commit.
        """
        end_s = self._device.committed.maxima_s.get(key)
        value = self.value(key)
        return None if end_s is None or value is None else (value, self._local(end_s))

    def past_maxima(self, key: str) -> tuple[PastMaximum, ...]:
        """Return that maximum of the months before, the newest first; thirteen months at most.

        Raises AccessError before the first commit.
        """
        scaler = registers.BY_KEY[key].quantity.scaler
        return tuple(
            PastMaximum(self._month_end(time_s), self._local(time_s), Decimal(raw).scaleb(scaler))
            for time_s, raw in self._device.committed.past_maxima.get(key, ())
        )

    def _month_end(self, time_s: int) -> CosemDateTime:
        """Return the midnight that ended the month of an interval that ended then."""
        # What ends at midnight of the first was measured in the month before.
        within = datetime.fromtimestamp(time_s - 1, self.zone)
        years, month = divmod(within.month, 12)
        end = datetime(within.year + years, month + 1, 1, tzinfo=self.zone)
        return CosemDateTime.at(end, self.zone)

    def _local(self, time_s: int) -> CosemDateTime:
        return CosemDateTime.at(datetime.fromtimestamp(time_s, UTC), self.zone)

    async def committed(self) -> None:
        """Return when the next image is committed."""
        await self._next.wait()

    def tell(self) -> None:
        """An image was committed: whoever waits for it goes on."""
        self._next.set()
        self._next = asyncio.Event()


type Run[S: ModuleSettings] = Callable[[MeterView, S], Coroutine[None, None, None]]
"""Runs a module until cancelled. What comes out of it is told, and it is begun again."""


@dataclass(frozen=True, slots=True)
class Kind[S: ModuleSettings]:
    """One kind of module: a row of the table in ``modules``."""

    settings: type[S]
    run: Run[S]
