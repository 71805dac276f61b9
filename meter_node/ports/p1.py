"""The P1 port: the meter as a text telegram (DSMR 5.0.2, and its Belgian and Swedish kin).

``telegram`` is pure, ``run`` sends it to all who listen. Must not know how the meter works.

Layouts: P1 companion standard 5.0.2, chapters 5 and 6 (Netherlands); eMUCS-P1 1.7.1 (Belgium); the
branch recommendation of Energiföretagen for local customer interfaces (Sweden).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Literal, override

from pydantic import Field

from meter_node.channel import objects, registers
from meter_node.channel.cosem_time import ClockStatus, CosemDateTime

from . import bearers
from .broadcast import broadcast
from .module import BearerAddress, BearerSettings, MeterView

BAUDRATE = 115_200
_CRC = 0xA001
"""x¹⁶ + x¹⁵ + x² + 1, reflected."""
_KILO = 3
_SUMMER = {True: "S", False: "W"}
MONITORED_VALUE, THRESHOLD_ACTIVE = 2, 3
"""Attributes of the limiter."""
CONTROL_STATE = 3
"""Attribute of a breaker or relay: 0 disconnected, 1 connected, 2 ready for reconnection."""
_NO_LIMIT, _NO_FUSE = "999.9*kW", "999*A"
"""How a Belgian meter says that nothing is limited; what would limit only more than that, too."""
_MAXIMUM = "import_active_demand_maximum"
_LONGEST_LIST = 10
"""Long power failures that the log of a telegram names."""

type Variant = Literal["nl", "be", "se"]


class P1Settings(BearerSettings):
    """``[[meter.module]]`` with ``kind = "p1"``."""

    kind: Literal["p1"]
    bearer: BearerAddress = "listen://127.0.0.1:2100"
    variant: Variant = "nl"
    interval_s: int = Field(default=10, ge=1, le=10)
    """DSMR 5 sends each second, the Swedish ports every 10 s. Each telegram wants a commit."""

    @property
    @override
    def beat_s(self) -> int | None:
        """Nothing is told that is not committed."""
        return self.interval_s


# --- the telegram ---------------------------------------------------------------------------------


def telegram(view: MeterView, variant: Variant) -> bytes:
    """Return the telegram of the committed image. Raises AccessError before there is one."""
    lines = [f"/MTN5MeterNode-{view.identity.model}", "", *_LAYOUTS[variant](view)]
    text = "".join(f"{line}\r\n" for line in lines).encode("ascii") + b"!"
    return text + f"{check_sequence(text):04X}\r\n".encode("ascii")


def check_sequence(data: bytes) -> int:
    """Return CRC-16, begun with 0, from ``/`` to ``!``."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _shifted(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (_CRC if crc & 1 else 0)
    return crc


_TABLE = tuple(_shifted(byte) for byte in range(256))


def _netherlands(view: MeterView) -> Iterator[str]:
    yield "1-3:0.2.8(50)"
    yield f"0-0:1.0.0({_stamp(view.time)})"
    yield f"0-0:96.1.1({_hex(view.identity.meter_number)})"
    yield from _by_tariff(view)
    yield f"0-0:96.14.0({view.tariff:04})"
    yield from _powers(view)
    yield from _failures(view)
    yield from _each_phase(view, "32.32.0 52.32.0 72.32.0", "voltage_sag_count", _count)
    yield from _each_phase(view, "32.36.0 52.36.0 72.36.0", "voltage_swell_count", _count)
    yield f"0-0:96.13.0({_hex(_message(view))})"
    yield from _each_phase(view, "32.7.0 52.7.0 72.7.0", "voltage", _VOLTAGE)
    yield from _each_phase(view, "31.7.0 51.7.0 71.7.0", "current", _AMPERES)
    yield from _each_phase(view, "21.7.0 41.7.0 61.7.0", "import_active_power", _POWER)
    yield from _each_phase(view, "22.7.0 42.7.0 62.7.0", "export_active_power", _POWER)


def _belgium(view: MeterView) -> Iterator[str]:
    yield "0-0:96.1.4(50217)"
    yield f"0-0:96.1.1({_hex(view.identity.meter_number)})"
    yield f"0-0:1.0.0({_stamp(view.time)})"
    yield from _by_tariff(view)
    yield f"0-0:96.14.0({view.tariff:04})"
    if (demand_w := view.value("import_active_demand")) is not None:
        yield f"1-0:1.4.0({_POWER(demand_w)})"
    yield from _maxima(view)
    yield from _powers(view)
    yield from _each_phase(view, "21.7.0 41.7.0 61.7.0", "import_active_power", _POWER)
    yield from _each_phase(view, "22.7.0 42.7.0 62.7.0", "export_active_power", _POWER)
    yield from _each_phase(view, "32.7.0 52.7.0 72.7.0", "voltage", _VOLTAGE)
    yield from _each_phase(view, "31.7.0 51.7.0 71.7.0", "current", _HUNDREDTHS)
    yield from _switches(view)
    yield f"0-0:96.13.0({_hex(_message(view))})"


def _sweden(view: MeterView) -> Iterator[str]:
    yield f"0-0:1.0.0({_stamp(view.time)})"
    for name, code in _SWEDISH_REGISTERS.items():
        if (value := view.value(name)) is not None:
            yield f"1-0:{code}({_SWEDISH[registers.BY_KEY[name].quantity.unit](value)})"
    yield from _each_phase(
        view, "21.7.0 41.7.0 61.7.0", "import_active_power", _SWEDISH[registers.Unit.WATT]
    )
    yield from _each_phase(
        view, "22.7.0 42.7.0 62.7.0", "export_active_power", _SWEDISH[registers.Unit.WATT]
    )
    yield from _each_phase(
        view, "23.7.0 43.7.0 63.7.0", "import_reactive_power", _SWEDISH[registers.Unit.VAR]
    )
    yield from _each_phase(
        view, "24.7.0 44.7.0 64.7.0", "export_reactive_power", _SWEDISH[registers.Unit.VAR]
    )
    yield from _each_phase(view, "32.7.0 52.7.0 72.7.0", "voltage", _VOLTAGE)
    yield from _each_phase(view, "31.7.0 51.7.0 71.7.0", "current", _TENTHS)


_LAYOUTS: Mapping[Variant, Callable[[MeterView], Iterator[str]]] = {
    "nl": _netherlands,
    "be": _belgium,
    "se": _sweden,
}
_SWEDISH_REGISTERS = {
    "import_active_energy": "1.8.0",
    "export_active_energy": "2.8.0",
    "import_reactive_energy": "3.8.0",
    "export_reactive_energy": "4.8.0",
    "import_active_power": "1.7.0",
    "export_active_power": "2.7.0",
    "import_reactive_power": "3.7.0",
    "export_reactive_power": "4.7.0",
}


def _by_tariff(view: MeterView) -> Iterator[str]:
    """Two tariffs at least, as readers of the Dutch and Belgian ports want them."""
    for name, c in (("import_active_energy", 1), ("export_active_energy", 2)):
        for tariff in range(1, max(view.tariffs, 2) + 1):
            energy = view.value(f"{name}_t{tariff}") or Decimal(0)
            yield f"1-0:{c}.8.{tariff}({_ENERGY(energy)})"


def _powers(view: MeterView) -> Iterator[str]:
    for name, c in (("import_active_power", 1), ("export_active_power", 2)):
        if (power := view.value(name)) is not None:
            yield f"1-0:{c}.7.0({_POWER(power)})"


def _failures(view: MeterView) -> Iterator[str]:
    yield f"0-0:96.7.21({view.power_failures.count % 100_000:05})"
    yield f"0-0:96.7.9({view.power_failures.long_count % 100_000:05})"
    last = view.power_failures.last_long[-_LONGEST_LIST:]
    entries = [f"({_stamp(end)})({seconds % 10**10:010}*s)" for end, seconds in last]
    # The newest first.
    yield f"1-0:99.97.0({len(last)})(0-0:96.7.19){''.join(reversed(entries))}"


def _maxima(view: MeterView) -> Iterator[str]:
    """This month's, and those of the thirteen months before."""
    maximum = view.maximum(_MAXIMUM)
    if maximum is not None:
        power, end = maximum
        yield f"1-0:1.6.0({_stamp(end)})({_POWER(power)})"
    past = view.past_maxima(_MAXIMUM)
    entries = [
        f"({_stamp(month.month_end)})({_stamp(month.time)})({_POWER(month.value)})"
        for month in past
    ]
    # Behind the count stand the columns: when the month's highest interval ended, and its demand.
    yield f"0-0:98.1.0({len(past)})(1-0:1.6.0)(1-0:1.6.0){''.join(entries)}"


def _switches(view: MeterView) -> Iterator[str]:
    """Breaker and limiter. Not the relays: readers take 0-1:96.3.10 for another meter's valve."""
    breaker = view.state(objects.BREAKER, CONTROL_STATE)
    if isinstance(breaker, int):
        yield f"0-0:96.3.10({breaker})"
    limit, fuse = _NO_LIMIT, _NO_FUSE
    threshold = view.state(objects.LIMITER, THRESHOLD_ACTIVE)
    if isinstance(threshold, int):
        match view.state(objects.LIMITER, MONITORED_VALUE):
            case (_, objects.MONITORED_POWER, _):
                limit = _LIMIT(Decimal(threshold))
            case (_, objects.MONITORED_CURRENT, _):
                fuse = _FUSE(Decimal(threshold))
    yield f"0-0:17.0.0({limit})"
    yield f"1-0:31.4.0({fuse})"


def _each_phase(
    view: MeterView, codes: str, name: str, shown: Callable[[Decimal], str]
) -> Iterator[str]:
    for phase, code in enumerate(codes.split(), start=1):
        if (value := view.value(f"{name}_l{phase}")) is not None:
            yield f"1-0:{code}({shown(value)})"


def _message(view: MeterView) -> str:
    """What a display should tell: why the supply is off, else nothing."""
    causes = view.state(objects.BREAKER_CAUSES)
    return f"supply off: {causes}" if isinstance(causes, str) and causes else ""


# --- forms ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Form:
    """How a quantity is shown: digits before the point and behind it, unit; over 10^``down``."""

    digits: int
    decimals: int
    unit: str
    down: int = 0
    rolls_over: bool = False

    def __call__(self, value: Decimal) -> str:
        """Return it truncated. What has more digits is the highest that there is, or rolls over."""
        step = Decimal(1).scaleb(-self.decimals)
        shown = value.scaleb(-self.down).quantize(step, ROUND_DOWN)
        limit = Decimal(10**self.digits)
        shown = shown % limit if self.rolls_over else min(shown, limit - step)
        width = self.digits + (1 + self.decimals if self.decimals else 0)
        return f"{shown:0{width}.{self.decimals}f}*{self.unit}"


_ENERGY = _Form(6, 3, "kWh", _KILO, rolls_over=True)
_POWER = _Form(2, 3, "kW", _KILO)
_LONG_POWER = _Form(4, 3, "kW", _KILO)
_LONG_VAR = _Form(4, 3, "kVAr", _KILO)
_VOLTAGE = _Form(3, 1, "V")
_AMPERES, _TENTHS, _HUNDREDTHS = (_Form(3, decimals, "A") for decimals in range(3))
_LIMIT = _Form(3, 1, "kW", _KILO)
_FUSE = _Form(3, 0, "A", _KILO)
_SWEDISH = {
    registers.Unit.WATT_HOUR: _Form(8, 3, "kWh", _KILO, rolls_over=True),
    registers.Unit.VAR_HOUR: _Form(8, 3, "kVArh", _KILO, rolls_over=True),
    registers.Unit.WATT: _LONG_POWER,
    registers.Unit.VAR: _LONG_VAR,
}


def _count(value: Decimal) -> str:
    return f"{int(value) % 100_000:05}"


def _hex(text: str) -> str:
    """Return text as the telegram carries it: the hexadecimal codes of its characters."""
    return text.encode("ascii", "replace").hex().upper()


def _stamp(time: CosemDateTime) -> str:
    local: datetime = time.local
    is_summer = bool((time.status or 0) & ClockStatus.DAYLIGHT_SAVING)
    return f"{local:%y%m%d%H%M%S}{_SUMMER[is_summer]}"


# --- sending --------------------------------------------------------------------------------------


async def run(view: MeterView, settings: P1Settings) -> None:
    """Send a telegram each interval to whoever listens, until cancelled."""
    sent_in: int | None = None

    async def make(second: int) -> bytes:
        nonlocal sent_in
        # By the clock's intervals, so that telegrams keep step.
        interval = second // settings.interval_s
        if interval == sent_in:
            return b""
        sent_in = interval
        return telegram(view, settings.variant)

    bearer = bearers.of(settings.bearer, f"{view.name}: p1", baudrate=BAUDRATE)
    await broadcast(view, bearer, make)
