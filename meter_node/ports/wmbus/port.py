"""The wireless M-Bus port: a telegram each interval, to a transmitter or a file.

Must not know how telegrams are made up nor ciphered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Literal, Self, override

from pydantic import Field, model_validator

from meter_node.channel import registers
from meter_node.ciphering import WIRELESS_COUNTS_PER_MINUTE
from meter_node.ports import bearers
from meter_node.ports.broadcast import Audience
from meter_node.ports.conversation import Line
from meter_node.ports.mbus import table
from meter_node.ports.mbus.address import (
    MANUFACTURER,
    SecondaryAddress,
    identification_of,
    name_on_bus,
)
from meter_node.ports.mbus.records import DATE_TIME, Record, integer, type_i
from meter_node.ports.module import BearerSettings, MeterView, Numbers

from . import telegram
from .frames import FORMATS, FrameFormat, with_length

BAUDRATE = 115_200
SHORTEST_INTERVAL_S = 8
"""Two modules of a meter may send at this pace: sixteen telegrams a minute have numbers."""

type Protection = Literal["ell", "profile_a"]


class WmbusSettings(BearerSettings):
    """``[[meter.module]]`` with ``kind = "wmbus"``."""

    kind: Literal["wmbus"]
    usual_baudrate = BAUDRATE
    bearer: str = "listen://127.0.0.1:2102"
    mode: Literal["C1", "T1"] = "C1"
    frame_format: FrameFormat | None = None
    """None: B in mode C1, as the real meters; mode T1 has A alone."""
    protection: Protection = "ell"
    interval_s: int = Field(default=10, ge=SHORTEST_INTERVAL_S, le=3600)
    long_every: int = Field(default=8, ge=1, le=100)
    """Of so many telegrams one is long, the others are compact."""
    form: Literal["rtl_wmbus", "hex"] = "rtl_wmbus"
    identification: str | None = Field(default=None, pattern=r"^[0-9]{8}$")
    manufacturer: str = Field(default=MANUFACTURER, pattern=r"^[A-Z]{3}$")

    @model_validator(mode="after")
    def _radio_has_it(self) -> Self:
        if self.mode == "T1" and self.frame_format == "B":
            raise ValueError("frame_format: mode T1 has format A alone")
        if self.protection == "profile_a" and "long_every" in self.model_fields_set:
            raise ValueError('long_every: with protection = "profile_a" every telegram is long')
        return self

    @override
    def name_on_bus(self, meter_number: str | None) -> tuple[str, ...] | None:
        """Return identification and manufacturer, as far as the configuration says them."""
        return name_on_bus(self.identification, self.manufacturer, meter_number)

    @property
    @override
    def numbers(self) -> Numbers:
        """One a telegram."""
        a_minute = Fraction(60, self.interval_s)
        return Numbers("wireless key", a_minute, WIRELESS_COUNTS_PER_MINUTE // 2)

    @property
    @override
    def beat_s(self) -> int | None:
        """Nothing is told that is not committed."""
        return self.interval_s


# --- what is told ---------------------------------------------------------------------------------

_OMNIPOWER = (
    ("import_active_energy", (0x04,), -1),
    ("export_active_energy", (0x04, 0x3C), -1),
    ("import_active_power", (0x2B,), 0),
    ("export_active_power", (0x2B, 0x3C), 0),
)
"""As the real meters tell them: 10 Wh and 1 W, each in four bytes. Register, VIF, decimals."""
_PROFILE_A = (
    "import_active_energy",
    "export_active_energy",
    "import_active_power",
    "export_active_power",
    *(f"{name}_l{phase}" for name in ("voltage", "current") for phase in registers.PHASES),
)


def as_omnipower(view: MeterView) -> Iterator[Record]:
    """Yield the four records of the real meters. Raises AccessError before the first commit."""
    for key, vif, decimals in _OMNIPOWER:
        value = view.value(key) or Decimal(0)
        yield Record(vif, integer(int(value.scaleb(decimals)), 4))


def as_profile_a(view: MeterView) -> Iterator[Record]:
    """Yield time, energies, tariffs, powers, voltages, currents. Raises AccessError.

    The time comes first, to the second: no two telegrams begin alike.
    """
    yield Record((DATE_TIME,), type_i(view.time))
    tariffs = [f"import_active_energy_t{tariff}" for tariff in range(1, view.tariffs + 1)]
    for key in (*_PROFILE_A, *(tariffs if len(tariffs) > 1 else ())):
        if (raw := view.raw(key)) is not None:
            yield table.BY_KEY[key].record(raw)


def body(
    view: MeterView, settings: WmbusSettings, key: bytes, number: int, *, is_long: bool
) -> bytes:
    """Return a telegram from its control field on. Raises AccessError before the first commit."""
    who = address(view, settings)
    if settings.protection == "profile_a":
        data = telegram.whole(list(as_profile_a(view)))
        return telegram.security_profile_a(who, key, number, table.status(view), data)
    records = list(as_omnipower(view))
    payload = telegram.full(records) if is_long else telegram.compact(records)
    return telegram.extended_link(who, key, number, payload)


def address(view: MeterView, settings: WmbusSettings) -> SecondaryAddress:
    """Return who the telegrams are from."""
    number = settings.identification or identification_of(view.identity.meter_number)
    return SecondaryAddress(number, settings.manufacturer)


def line_of(view: MeterView, settings: WmbusSettings, body: bytes) -> bytes:
    """Return a telegram as a line: for readers of rtl_wmbus's output, or for a transmitter.

    The former is without check sequences, the latter the whole frame in hexadecimal.
    """
    if settings.form == "hex":
        frame_format = settings.frame_format or ("A" if settings.mode == "T1" else "B")
        return FORMATS[frame_format](body).hex().encode() + b"\n"
    who = address(view, settings).identification
    stamp = f"{view.utc:%Y-%m-%d %H:%M:%S}.000"
    # Check sequence and line code are good; no strength was received.
    return f"{settings.mode};1;1;{stamp};0;0;{who};0x{with_length(body).hex()}\n".encode()


# --- sending --------------------------------------------------------------------------------------


class _Ether(Audience):
    """Whoever listens gets each line once, at the same time; who is busy misses it, as in radio."""

    def __init__(self) -> None:
        super().__init__()
        self.somebody_new = False
        """Who came must have a long telegram before it understands the others."""

    @override
    async def talk(self, line: Line, who: str) -> str:
        """Send until the other side is gone."""
        self.somebody_new = True
        return await super().talk(line, who)


async def run(view: MeterView, settings: WmbusSettings) -> None:
    """Send a telegram each interval for as long as anyone listens, until cancelled."""
    ether = _Ether()
    bearer = bearers.of(settings.bearer, f"{view.name}: wireless M-Bus", baudrate=BAUDRATE)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bearer.carry(ether.talk))
        tasks.create_task(_send(view, settings, ether))


async def _send(view: MeterView, settings: WmbusSettings, ether: _Ether) -> None:
    keeping = view.keeping
    sent_in: int | None = None
    since_long = 0
    while True:
        await view.committed()
        # By the clock's intervals, so that telegrams keep step.
        interval = view.second // settings.interval_s
        if interval == sent_in or not ether.listeners:
            continue
        sent_in = interval
        is_long = ether.somebody_new or since_long >= settings.long_every - 1
        ether.somebody_new = False
        since_long = 0 if is_long else since_long + 1
        number = await keeping.wireless_number()
        made = body(view, settings, keeping.wireless_key, number, is_long=is_long)
        ether.send(line_of(view, settings, made))
