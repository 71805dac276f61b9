"""The serial list and the P1 port, read by programs that nobody here wrote."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mbus_site import full_house
from module_strangers import AMSHAN, DSMR, read

sys.path.insert(0, str(Path(__file__).parents[1] / "meter_node" / "ports"))

from module_house import LIST_KEYS, ONE_PHASE, THREE_PHASES, TWO_PHASES, ModuleHouse, running
from second_decoders import flat_list, opened

from custom_components.meter_node.channel import kamstrup_v0001
from custom_components.meter_node.reader import MeterReader
from meter_node.bridge import Bridge
from meter_node.channel import registers
from meter_node.meter.snapshot import LimiterState
from meter_node.meter.variant import Variant
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import KINDS
from tests.loopback import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

# 2026-07-01 12:00:05 UTC is the house's time; 14:00:05 in Copenhagen and in Amsterdam.
FAILURES = ((1_782_900_005, 301), (1_782_903_605, 240))
# When months' highest intervals ended, and what they were in 0.1 W: thirteen months of summer and
# winter. The first ended with its month: 2026-06-30 22:00 UTC is midnight in Copenhagen.
PAST = (
    (1_782_856_800, 41_230),
    *((1_779_000_300 - 2_629_800 * back, 30_000 + 1_111 * back) for back in range(12)),
)


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


def house(variant: Variant | None = None) -> ModuleHouse:
    """A meter with a different value in each register."""
    shown = full_house()._shown
    counted = {
        **shown.counted,
        "import_active_demand": 23_456,
        **{f"voltage_sag_count_l{phase}": 3 + phase for phase in (1, 2, 3)},
        **{f"voltage_swell_count_l{phase}": 7 + phase for phase in (1, 2, 3)},
    }
    snapshot = replace(
        shown,
        counted=counted,
        tariffs=2,
        tariff=2,
        failures={"power_failure_count_any": 4, "long_power_failure_count_any": 2},
        long_failures=FAILURES,
        limiter=LimiterState("W", 9_200.0, 9_200.0, 4_000.0, 30, 60, False),
        past_maxima={"import_active_demand_maximum": PAST},
    )
    return ModuleHouse(snapshot, variant) if variant else ModuleHouse(snapshot)


OF_PHASES = {1: ONE_PHASE, 2: TWO_PHASES, 3: THREE_PHASES}


def register(meter: ModuleHouse, key: str, step: str, kilo: bool = False) -> Decimal:
    """A register as a format with so many decimals can show it."""
    value = meter.view.value(key)
    assert value is not None
    return value.scaleb(-3 if kilo else 0).quantize(Decimal(step), ROUND_DOWN)


@asynccontextmanager
async def port_of(meter: ModuleHouse, kind: str, **chosen: object) -> AsyncIterator[int]:
    """A port on which images come, each an hour after the one before, so that all is due."""
    number = free_port()
    settings: ModuleSettings = KINDS[kind].settings.model_validate(
        {"kind": kind, "bearer": f"listen://127.0.0.1:{number}", **chosen}
    )

    async def live() -> None:
        while True:
            await asyncio.sleep(0.1)
            meter.view.tell()
            meter.shown = replace(meter.shown, time_ns=meter.shown.time_ns + 3600 * 10**9)
            meter.device.commit(meter.shown)

    async with running(KINDS[kind].run(meter.view, settings)), running(live()):
        yield number


# --- amshan ---------------------------------------------------------------------------------------

# amshan's own names, and how many of a register's units one of its own is.
AMSHAN_POWERS = {
    "active_power_import": "import_active_power",
    "active_power_export": "export_active_power",
    "reactive_power_import": "import_reactive_power",
    "reactive_power_export": "export_reactive_power",
}
AMSHAN_ENERGIES = {
    "active_power_import_total": "import_active_energy",
    "active_power_export_total": "export_active_energy",
    "reactive_power_import_total": "import_reactive_energy",
    "reactive_power_export_total": "export_reactive_energy",
}


def expected_by_amshan(meter: ModuleHouse, phases: int, *, hourly: bool) -> dict[str, Decimal]:
    wanted = {name: register(meter, key, "1") for name, key in AMSHAN_POWERS.items()}
    for phase in range(1, phases + 1):
        wanted[f"voltage_l{phase}"] = register(meter, f"voltage_l{phase}", "1")
        wanted[f"current_l{phase}"] = register(meter, f"current_l{phase}", "0.01")
    if hourly:
        wanted |= {
            name: register(meter, key, "1") // 10 * 10 for name, key in AMSHAN_ENERGIES.items()
        }
    return wanted


@pytest.mark.parametrize("phases", [1, 2, 3])
async def test_amshan_reads_the_10_s_list_and_the_hourly_one(phases: int) -> None:
    meter = house(OF_PHASES[phases])
    async with port_of(meter, "han", scaler_profile="energy_10_wh") as port:
        said = await read(AMSHAN, "amshan_reader.py", port, "2")
    for one, hourly in zip(said, (False, True), strict=True):
        assert one["meter_manufacturer"] == "Kamstrup"
        assert one["list_ver_id"] == "Kamstrup_V0001"
        assert one["meter_id"] == "5706567326590407"
        numbers = {
            name: Decimal(str(value)).quantize(Decimal("0.001"))
            for name, value in one.items()
            if isinstance(value, int | float)
        }
        assert numbers == expected_by_amshan(meter, phases, hourly=hourly)
        assert re.fullmatch(r"2026-07-\d\d \d\d:00:05.*", str(one["meter_datetime"]))


# --- the ciphered list ----------------------------------------------------------------------------


# OBIS of a total; of a phase it is 20, 40, 60 more. Register and what one count is worth.
DANISH_TOTALS = {
    "1.1.1.8.0.255": ("import_active_energy", "1"),
    "1.1.2.8.0.255": ("export_active_energy", "1"),
    "1.1.3.8.0.255": ("import_reactive_energy", "1"),
    "1.1.4.8.0.255": ("export_reactive_energy", "1"),
    "1.1.1.7.0.255": ("import_active_power", "1"),
    "1.1.2.7.0.255": ("export_active_power", "1"),
    "1.1.3.7.0.255": ("import_reactive_power", "1"),
    "1.1.4.7.0.255": ("export_reactive_power", "1"),
    "1.1.13.7.0.255": ("power_factor", "0.01"),
}
DANISH_PHASES = {
    (12, 7): ("voltage", "1"),
    (11, 7): ("current", "0.01"),
    (1, 7): ("import_active_power", "1"),
    (2, 7): ("export_active_power", "1"),
    (13, 7): ("power_factor", "0.01"),
    (1, 8): ("import_active_energy", "1"),
    (2, 8): ("export_active_energy", "1"),
}


@pytest.mark.parametrize(("phases", "items"), [(1, 18), (2, 25), (3, 32)])
async def test_a_second_decoder_opens_the_ciphered_list(phases: int, items: int) -> None:
    meter = house(OF_PHASES[phases])
    async with port_of(meter, "han", ciphered=True) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = await reader.readexactly(3)
        frame = head + await reader.readexactly((int.from_bytes(head[1:]) & 0x7FF) - 1)
        writer.close()
    assert frame[3:6] == b"\x41\x03\x13"
    apdu = frame[frame.index(b"\xe6\xe7\x00") + 3 : -3]
    said = flat_list(opened(apdu, LIST_KEYS.encryption, LIST_KEYS.authentication))
    wanted = dict(DANISH_TOTALS)
    for phase in range(1, phases + 1):
        for (c, d), (name, step) in DANISH_PHASES.items():
            wanted[f"1.1.{c + 20 * phase}.{d}.0.255"] = (f"{name}_l{phase}", step)
    assert len(said) == items
    assert {code: said[code] * Decimal(step) for code, (_, step) in wanted.items()} == {
        code: abs(register(meter, key, step)) for code, (key, step) in wanted.items()
    }
    assert said["1.1.0.0.1.255"] == 326_590_407  # the number's last nine digits
    # 2026-07-01, a Wednesday, at 14:00:05 or an hour that followed.
    assert said["0.1.1.0.0.255"][:5] == bytes.fromhex("07EA 07 01 03")
    assert said["0.1.1.0.0.255"][6:] == bytes.fromhex("00 05 FF 8000 00")
    assert len(said) == len(wanted) + 2


# --- the integration's own reader -----------------------------------------------------------------


@pytest.mark.parametrize("ciphered", [False, True])
async def test_the_integration_takes_either_list_by_way_of_a_bridge(ciphered: bool) -> None:
    meter = house()
    async with port_of(meter, "han", ciphered=ciphered) as port:
        line, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = Heard()
        bridge = Bridge(heard, 10)  # type: ignore[arg-type]
        while len(heard.pushes) < 2:
            for _ in bridge.feed(await line.read(4096)):
                pass
        writer.close()
    title = b"MTN12345".hex() if ciphered else "5706567326590407"
    profile = kamstrup_v0001.SCALER_PROFILES["energy_1_wh"]
    reader = MeterReader(title, LIST_KEYS if ciphered else None, profile)
    values: dict[str, float] = {}
    for topic, push in heard.pushes[:2]:
        assert topic == title
        arrived = datetime.now(UTC)
        values |= reader.read(push, retained=False, arrived=arrived).reading.values
    assert len(values) >= 14
    for key, value in values.items():
        step = "0.01" if "current" in key or "factor" in key else "1"
        assert Decimal(str(value)) == abs(register(meter, key, step)), key


class Heard:
    """Stands in for the MQTT port."""

    status_topic = "meter_node/node/n1/status"

    def __init__(self) -> None:
        self.pushes: list[tuple[str, bytes]] = []

    def announce(self, title: str, greeting: Any) -> None:
        pass

    def push(self, title: str, data: bytes) -> None:
        self.pushes.append((title, data))


# --- dsmr-parser ----------------------------------------------------------------------------------

# Names that dsmr-parser gives, register, decimals, and whether it is in kilo.
TARIFFS = {
    "ELECTRICITY_USED_TARIFF_1": ("import_active_energy_t1", "0.001", True),
    "ELECTRICITY_USED_TARIFF_2": ("import_active_energy_t2", "0.001", True),
    "ELECTRICITY_DELIVERED_TARIFF_1": ("export_active_energy_t1", "0.001", True),
    "ELECTRICITY_DELIVERED_TARIFF_2": ("export_active_energy_t2", "0.001", True),
}
POWERS = {
    "CURRENT_ELECTRICITY_USAGE": ("import_active_power", "0.001", True),
    "CURRENT_ELECTRICITY_DELIVERY": ("export_active_power", "0.001", True),
    **{
        f"INSTANTANEOUS_ACTIVE_POWER_L{phase}_{sign}": (f"{way}_active_power_l{phase}", step, True)
        for phase in (1, 2, 3)
        for sign, way, step in (("POSITIVE", "import", "0.001"), ("NEGATIVE", "export", "0.001"))
    },
    **{
        f"INSTANTANEOUS_VOLTAGE_L{phase}": (f"voltage_l{phase}", "0.1", False)
        for phase in (1, 2, 3)
    },
}


def currents(step: str) -> dict[str, tuple[str, str, bool]]:
    return {
        f"INSTANTANEOUS_CURRENT_L{phase}": (f"current_l{phase}", step, False) for phase in (1, 2, 3)
    }


REACTIVE = {
    **{
        f"ELECTRICITY_{kind}PORTED_TOTAL": (key, "0.001", True)
        for kind, key in (
            ("IM", "import_active_energy"),
            ("EX", "export_active_energy"),
            ("REACTIVE_IM", "import_reactive_energy"),
            ("REACTIVE_EX", "export_reactive_energy"),
        )
    },
    **{
        f"INSTANTANEOUS_REACTIVE_POWER_L{phase}_{sign}": (
            f"{way}_reactive_power_l{phase}", "0.001", True,
        )
        for phase in (1, 2, 3)
        for sign, way in (("POSITIVE", "import"), ("NEGATIVE", "export"))
    },
}  # fmt: skip
COUNTS = {
    f"VOLTAGE_{what.upper()}_L{phase}_COUNT": (f"voltage_{what}_count_l{phase}", "1", False)
    for what in ("sag", "swell")
    for phase in (1, 2, 3)
}
VARIANTS = {
    "nl": ("V5", TARIFFS | POWERS | currents("1") | COUNTS),
    "be": (
        "BELGIUM_FLUVIUS",
        TARIFFS
        | POWERS
        | currents("0.01")
        | {
            "BELGIUM_CURRENT_AVERAGE_DEMAND": ("import_active_demand", "0.001", True),
            "BELGIUM_MAXIMUM_DEMAND_MONTH": ("import_active_demand_maximum", "0.001", True),
        },
    ),
    "se": ("SWEDEN", POWERS | currents("0.1") | REACTIVE),
}


def unit_of(key: str, kilo: bool) -> str | None:
    """As telegrams write the register's unit."""
    unit = {
        registers.Unit.WATT: "W",
        registers.Unit.VAR: "VAr",
        registers.Unit.WATT_HOUR: "Wh",
        registers.Unit.VAR_HOUR: "VArh",
        registers.Unit.VOLT: "V",
        registers.Unit.AMPERE: "A",
    }.get(registers.BY_KEY[key].quantity.unit)
    return f"k{unit}" if kilo else unit


async def by_dsmr(meter: ModuleHouse, variant: str) -> dict[str, Any]:
    async with port_of(meter, "p1", variant=variant) as port:
        (said,) = await read(DSMR, "dsmr_reader.py", port, VARIANTS[variant][0])
    return said


@pytest.mark.parametrize("variant", VARIANTS)
async def test_dsmr_parser_reads_every_value_as_the_register_has_it(variant: str) -> None:
    meter = house()
    said = await by_dsmr(meter, variant)
    wanted = {
        name: register(meter, key, step, kilo)
        for name, (key, step, kilo) in VARIANTS[variant][1].items()
    }
    assert {name: Decimal(str(said[name]["value"])) for name in wanted} == wanted
    assert {name: said[name]["unit"] for name in wanted} == {
        name: unit_of(key, kilo) for name, (key, _, kilo) in VARIANTS[variant][1].items()
    }
    # Nothing is told that is not looked at here, but who and when, and the switches.
    assert said.keys() - wanted.keys() <= {
        "P1_MESSAGE_HEADER", "P1_MESSAGE_TIMESTAMP", "EQUIPMENT_IDENTIFIER", "TEXT_MESSAGE",
        "ELECTRICITY_ACTIVE_TARIFF", "SHORT_POWER_FAILURE_COUNT", "LONG_POWER_FAILURE_COUNT",
        "POWER_EVENT_FAILURE_LOG", "BELGIUM_VERSION_INFORMATION", "BELGIUM_EQUIPMENT_IDENTIFIER",
        "ACTUAL_SWITCH_POSITION", "ACTUAL_TRESHOLD_ELECTRICITY", "FUSE_THRESHOLD_L1",
        "BELGIUM_MAXIMUM_DEMAND_13_MONTHS",
    }  # fmt: skip


async def test_dsmr_parser_reads_time_tariff_number_and_the_failures() -> None:
    said = await by_dsmr(house(), "nl")
    assert re.fullmatch(r"2026-07-\d\dT\d\d:00:05\+00:00", said["P1_MESSAGE_TIMESTAMP"]["value"])
    assert bytes.fromhex(said["EQUIPMENT_IDENTIFIER"]["value"]) == b"5706567326590407"
    assert said["ELECTRICITY_ACTIVE_TARIFF"]["value"] == "0002"
    assert said["SHORT_POWER_FAILURE_COUNT"]["value"] == 4
    assert said["LONG_POWER_FAILURE_COUNT"]["value"] == 2
    log = said["POWER_EVENT_FAILURE_LOG"]["buffer"]
    assert [(one["datetime"], one["value"], one["unit"]) for one in log] == [
        ("2026-07-01T11:00:05+00:00", 240, "s"),
        ("2026-07-01T10:00:05+00:00", 301, "s"),
    ]


async def test_dsmr_parser_reads_the_belgian_switches() -> None:
    said = await by_dsmr(house(), "be")
    assert said["ACTUAL_SWITCH_POSITION"]["value"] == 1
    assert said["ACTUAL_TRESHOLD_ELECTRICITY"] == {"value": 9.2, "unit": "kW"}
    assert said["FUSE_THRESHOLD_L1"] == {"value": 999, "unit": "A"}
    assert said["BELGIUM_MAXIMUM_DEMAND_MONTH"]["unit"] == "kW"


async def test_dsmr_parser_reads_the_belgian_peaks_of_the_thirteen_months_before() -> None:
    said = await by_dsmr(house(), "be")
    zone = ZoneInfo("Europe/Copenhagen")
    wanted = []
    for time_s, tenths in PAST:
        within = datetime.fromtimestamp(time_s - 1, zone)
        following = within.year * 12 + within.month
        over = datetime(following // 12, following % 12 + 1, 1, tzinfo=zone)
        wanted.append(
            (
                over.astimezone(UTC),
                datetime.fromtimestamp(time_s, UTC),
                (Decimal(tenths) / 10_000).quantize(Decimal("0.001"), ROUND_DOWN),
                "kW",
            )
        )
    assert len({over for over, *_ in wanted}) == 13
    assert [
        (
            datetime.fromisoformat(one["datetime"]),
            datetime.fromisoformat(one["occurred"]),
            Decimal(str(one["value"])),
            one["unit"],
        )
        for one in said["BELGIUM_MAXIMUM_DEMAND_13_MONTHS"]
    ] == wanted


async def test_dsmr_parser_reads_a_belgian_meter_in_its_first_month() -> None:
    meter = house()
    meter.device.commit(replace(meter.shown, past_maxima={}))
    meter.shown = meter.device.committed
    said = await by_dsmr(meter, "be")
    assert said["BELGIUM_MAXIMUM_DEMAND_13_MONTHS"] == []


async def test_dsmr_parser_reads_the_swedish_units() -> None:
    said = await by_dsmr(house(), "se")
    assert said["ELECTRICITY_IMPORTED_TOTAL"]["unit"] == "kWh"
    assert said["ELECTRICITY_REACTIVE_IMPORTED_TOTAL"]["unit"] == "kVArh"
    assert said["INSTANTANEOUS_REACTIVE_POWER_L1_POSITIVE"]["unit"] == "kVAr"
    assert said["INSTANTANEOUS_CURRENT_L1"]["unit"] == "A"


async def test_dsmr_parser_reads_a_one_phase_meter() -> None:
    meter = house(ONE_PHASE)
    said = await by_dsmr(meter, "nl")
    assert Decimal(str(said["INSTANTANEOUS_VOLTAGE_L1"]["value"])) == register(
        meter, "voltage_l1", "0.1"
    )
    assert not [name for name in said if "_L2" in name or "_L3" in name]
