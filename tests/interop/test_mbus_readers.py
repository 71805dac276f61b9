"""M-Bus and wireless M-Bus, read by programs that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mbus_site import full_house, running, two_ends_of_a_line
from mbus_strangers import IDENTIFICATION as NUMBER
from mbus_strangers import (
    METERBUS_READER,
    OUR_DRIVER,
    Wmbusmeters,
    documents,
    meterbus_python,
    wmbusmeters,
)

from meter_node.channel import registers
from meter_node.ports.mbus import port as mbus
from meter_node.ports.wmbus import port as wmbus
from meter_node.ports.wmbus.frames import format_a, format_b, with_length
from tests.loopback import free_port

__all__ = ["meterbus_python", "wmbusmeters"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

KEY = bytes(range(16)).hex()


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


# --- pyMeterBus, wired ----------------------------------------------------------------------------


async def read_wired(python: Path, port: int, *arguments: str) -> dict[str, Any]:
    command = [str(python), str(METERBUS_READER), "127.0.0.1", str(port), *arguments]
    reader = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await reader.communicate()
    if reader.returncode:
        pytest.fail(f"pyMeterBus ended: {said.decode()[-2000:]}")
    return dict(json.loads(out))


# What EN 13757-3 says: codes without their extension bits to quantity, what pyMeterBus 0.8.5 names
# the unit, and by what its value is still to be divided: it knows no factors of 10⁻¹ and 10⁻³, and
# none of the codes for reactive and apparent power.
QUANTITIES: dict[tuple[int, ...], tuple[str, str, Decimal]] = {
    (0x03,): ("active_energy", "Wh", Decimal(1)),
    (0x7B, 0x02, 0x73): ("reactive_energy", "Reserved", Decimal(1)),  # kvarh and 10⁻³
    (0x2A,): ("active_power", "W", Decimal(1)),
    (0x7B, 0x14, 0x75): ("reactive_power", "Reserved", Decimal(10)),  # 10⁻³ kvar and 10⁻¹
    (0x7B, 0x34, 0x75): ("apparent_power", "Reserved", Decimal(10)),
    (0x7B, 0x2C): ("frequency", "Reserved", Decimal(1000)),  # 10⁻³ Hz
    (0x7D, 0x3A, 0x73): ("power_factor", "none", Decimal(1000)),
    (0x7D, 0x47): ("voltage", "V", Decimal(1)),
    (0x7D, 0x59): ("current", "A", Decimal(1)),
    (0x26,): ("operating_time", "seconds", Decimal(3600)),
    # Of a limit: the lower one's number of exceeds and the last one's seconds, the upper one's.
    (0x7D, 0x49, 0x41): ("voltage_sag_count", "V", Decimal(1)),
    (0x7D, 0x49, 0x49): ("voltage_swell_count", "V", Decimal(1)),
    (0x7D, 0x49, 0x54, 0x73): ("voltage_sag_duration", "V", Decimal(1000)),
    (0x7D, 0x49, 0x5C, 0x73): ("voltage_swell_duration", "V", Decimal(1000)),
}
# What the maker's own codes say behind 7F, as docs/modules.md has it; 10 of a ratio's 10⁻³ are 1 %.
OWN = {(0x7F, 0x01): "voltage_thd", (0x7F, 0x02): "current_thd"}
EXTREMES = {
    "FunctionType.MAXIMUM_VALUE": "voltage_swell_magnitude",
    "FunctionType.MINIMUM_VALUE": "voltage_sag_magnitude",
}
DIRECTED = ("active_energy", "reactive_energy", "active_power", "reactive_power")
OTHER = {
    (0x7C, 0x04): "neutral_current",
    (0x7C, 0x08): "reactive_energy_q1",
    (0x7C, 0x09): "reactive_energy_q2",
    (0x7C, 0x0A): "reactive_energy_q3",
    (0x7C, 0x0B): "reactive_energy_q4",
    (0x7C, 0x0C): "net_active_energy",
    (0x7C, 0x10): "absolute_active_energy",
}


def register_of(record: dict[str, Any]) -> tuple[str, str, Decimal] | None:
    """Which register a record is, by the standard; None: it is no register."""
    codes = tuple(byte & 0x7F for byte in bytes.fromhex(record["vif"]))
    bases = [own for own in QUANTITIES if codes[: len(own)] == own]
    if not bases:
        return None
    base = max(bases, key=len)
    name, unit, divisor = QUANTITIES[base]
    rest = codes[len(base) :]
    if rest[-2:] in OWN:
        name, divisor, rest = OWN[rest[-2:]], divisor / 100, rest[:-2]
    if name in DIRECTED:
        name = ("export_" if rest[:1] == (0x3C,) else "import_") + name
    rest = rest[1:] if rest[:1] == (0x3C,) else rest
    if rest[:2] in OTHER:
        name, rest = OTHER[rest[:2]], rest[2:]
    if name == "voltage" and record["function"] in EXTREMES:
        name = EXTREMES[record["function"]]
    elif record["function"] == "FunctionType.MAXIMUM_VALUE":
        name = name.replace("power", "demand") + "_maximum"
    if record["storage"] == 1:
        is_power = "power" in name
        name = name.replace("power", "demand") + ("_last" if is_power else "_average")
    if rest:
        assert rest[0] == 0x7C, record
        name += f"_l{rest[1]}"
    if record["tariff"]:
        name += f"_t{record['tariff']}"
    return name, unit, divisor


TOLD = [
    "import_active_energy",
    "export_active_energy",
    "import_reactive_energy",
    "export_reactive_energy",
    "reactive_energy_q1",
    "reactive_energy_q2",
    "reactive_energy_q3",
    "reactive_energy_q4",
    "import_active_power",
    "export_active_power",
    "import_reactive_power",
    "export_reactive_power",
    "apparent_power",
    "voltage",
    "current",
    "power_factor",
    "frequency",
    "neutral_current",
    "import_active_demand_last",
    "import_active_demand_maximum",
    "export_active_demand_last",
    "export_active_demand_maximum",
    "absolute_active_energy",
    "net_active_energy",
    "voltage_average",
    "current_average",
    "operating_time",
    "voltage_thd",
    "current_thd",
    "voltage_sag_count",
    "voltage_sag_duration",
    "voltage_sag_magnitude",
    "voltage_swell_count",
    "voltage_swell_duration",
    "voltage_swell_magnitude",
]


async def test_pymeterbus_reads_every_register_by_unit_direction_phase_and_tariff(
    meterbus_python: Path,
) -> None:
    house, port = full_house(), free_port()
    settings = mbus.MbusSettings(kind="mbus", bearer=f"listen://127.0.0.1:{port}", address=9)
    async with running(mbus.run(house.view, settings)):
        read = await read_wired(meterbus_python, port, "9")
    found: dict[str, Decimal] = {}
    for record in read["records"]:
        if (which := register_of(record)) is None:
            continue
        key, unit, divisor = which
        assert record["unit"] == unit, key
        assert key not in found
        found[key] = Decimal(record["value"]) / divisor
    wanted = {one.key for one in registers.REGISTERS if one.quantity.name in TOLD}
    assert set(found) == wanted
    for key, value in found.items():
        step = Decimal(1).scaleb(registers.BY_KEY[key].quantity.scaler)
        # pyMeterBus goes by way of binary fractions.
        assert abs(value - (house.view.value(key) or 0)) < step / 2, key
    assert read["telegrams"] > 2


async def test_pymeterbus_reads_who_the_meter_is_and_when_it_was(meterbus_python: Path) -> None:
    house, port = full_house(), free_port()
    settings = mbus.MbusSettings(kind="mbus", bearer=f"listen://127.0.0.1:{port}")
    async with running(mbus.run(house.view, settings)):
        read = await read_wired(meterbus_python, port, "0")
    assert read["header"]["manufacturer"] == "MTN"
    assert read["header"]["medium"] == "0x2"
    assert read["secondary"][:8] == NUMBER
    by_vif = {(one["vif"], one["function"]): one["value"] for one in read["records"]}
    now, highest = "FunctionType.INSTANTANEOUS_VALUE", "FunctionType.MAXIMUM_VALUE"
    # 12:00:05 UTC on 1 July is 14:00 in Copenhagen; the maximum ended an hour before.
    assert by_vif["6d", now] == "2026-07-01T14:00"
    assert by_vif["6d", highest] == by_vif["ed3c", highest] == "2026-07-01T13:00"
    assert by_vif["78", now] == "4711000123"
    assert by_vif["fd0c", now] == "382M"
    assert by_vif["fd0f", now] == "0.1.0"


async def test_pymeterbus_finds_the_meter_by_a_secondary_address_with_wildcards(
    meterbus_python: Path,
) -> None:
    house, port = full_house(), free_port()
    settings = mbus.MbusSettings(kind="mbus", bearer=f"listen://127.0.0.1:{port}")
    async with running(mbus.run(house.view, settings)):
        for selection, is_there in (
            ("11FFFFFFFFFFFFFF", True),
            ("FFFFFFFFFFFFFF02", True),
            ("12FFFFFFFFFFFFFF", False),
            ("FFFFFFFFFFFFFF07", False),
        ):
            told = await read_wired(meterbus_python, port, selection, "--find")
            assert told["found"] is is_there, selection
        read = await read_wired(meterbus_python, port, f"{NUMBER}FFFFFFFF")
    energies = [one for one in read["records"] if one["vif"] == "03" and not one["tariff"]]
    assert Decimal(energies[0]["value"]) == house.view.value("import_active_energy")


# --- wmbusmeters, wired ---------------------------------------------------------------------------


async def polled(
    wmbusmeters: Wmbusmeters, house: Any, driver: str, address: str, *options: str
) -> list[dict[str, Any]]:
    """What it prints while it polls the meter over a line for some seconds."""
    async with two_ends_of_a_line() as (ours, theirs):
        settings = mbus.MbusSettings(kind="mbus", bearer=f"serial://{ours}")
        async with running(mbus.run(house.view, settings)):
            reader = await asyncio.create_subprocess_exec(
                *wmbusmeters.command,
                *options,
                "--format=json",
                "--pollinterval=3s",
                "--exitafter=12s",
                f"MAIN={theirs}:mbus:2400",
                "house",
                f"{driver}:MAIN:mbus",
                address,
                "NOKEY",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                stdin=asyncio.subprocess.DEVNULL,
            )
            out, said = await reader.communicate()
    readings = documents(out.decode().splitlines())
    assert readings, said.decode()
    return readings


@pytest.mark.parametrize("address", [NUMBER, "p0"])
async def test_wmbusmeters_polls_the_meter_over_two_wires(
    wmbusmeters: Wmbusmeters, address: str
) -> None:
    house = full_house()
    readings = await polled(wmbusmeters, house, "omnipower", address)
    assert_omnipower(readings[-1], house, energy_step=1, power_step=Decimal("0.1"))


# What our driver calls registers, and how many of the register's unit one of its unit is.
DRIVER_FIELDS = {
    "total_energy_consumption_kwh": ("import_active_energy", 1000),
    "total_energy_production_kwh": ("export_active_energy", 1000),
    "current_power_consumption_kw": ("import_active_power", 1000),
    "current_power_production_kw": ("export_active_power", 1000),
    **{
        f"total_energy_consumption_tariff_{tariff}_kwh": (f"import_active_energy_t{tariff}", 1000)
        for tariff in registers.TARIFFS
    },
    **{
        f"{name}_at_phase_{phase}_{unit}": (f"{name}_l{phase}", 1)
        for name, unit in (("voltage", "v"), ("current", "a"))
        for phase in registers.PHASES
    },
}
WIRED_DRIVER_FIELDS = DRIVER_FIELDS | {
    "total_reactive_energy_consumption_kvarh": ("import_reactive_energy", 1000),
    "total_reactive_energy_production_kvarh": ("export_reactive_energy", 1000),
    "maximum_power_consumption_kw": ("import_active_demand_maximum", 1000),
    "frequency_hz": ("frequency", 1),
    "cos_phi_factor": ("power_factor", 1),
    **{
        f"total_energy_production_tariff_{tariff}_kwh": (f"export_active_energy_t{tariff}", 1000)
        for tariff in registers.TARIFFS
    },
    **{
        f"total_energy_consumption_at_phase_{phase}_kwh": (f"import_active_energy_l{phase}", 1000)
        for phase in registers.PHASES
    },
    **{
        f"current_power_consumption_at_phase_{phase}_kw": (f"import_active_power_l{phase}", 1000)
        for phase in registers.PHASES
    },
}


def assert_fields(reading: dict[str, Any], house: Any, fields: dict[str, tuple[str, int]]) -> None:
    for field, (key, factor) in fields.items():
        assert Decimal(str(reading[field])) * factor == house.view.value(key), field
    assert reading["meter_datetime_datetime"] == "2026-07-01 14:00"  # local time


async def test_with_our_driver_wmbusmeters_reads_phases_tariffs_and_the_date_over_two_wires(
    wmbusmeters: Wmbusmeters,
) -> None:
    house = full_house()
    readings = await polled(wmbusmeters, house, "meternode", NUMBER, f"--driver={OUR_DRIVER}")
    assert_fields(readings[-1], house, WIRED_DRIVER_FIELDS)


def test_with_our_driver_wmbusmeters_reads_phases_tariffs_and_the_date_of_profile_a(
    wmbusmeters: Wmbusmeters,
) -> None:
    house = full_house()
    settings = wmbus.WmbusSettings(kind="wmbus", protection="profile_a")
    body = wmbus.body(house.view, settings, bytes.fromhex(KEY), 77, is_long=True)
    (reading,) = wmbusmeters.read(
        with_length(body).hex(), "meternode", KEY, f"--driver={OUR_DRIVER}"
    )
    assert_fields(reading, house, DRIVER_FIELDS)


# --- wmbusmeters, wireless ------------------------------------------------------------------------


def assert_omnipower(
    reading: dict[str, Any], house: Any, *, energy_step: int, power_step: Decimal
) -> None:
    """What it shows is the register, cut off to the format's resolution."""
    assert reading["id"] == NUMBER
    assert reading["media"] == "electricity"
    for field, key, step in (
        ("total_energy_consumption_kwh", "import_active_energy", Decimal(energy_step)),
        ("total_energy_production_kwh", "export_active_energy", Decimal(energy_step)),
        ("current_power_consumption_kw", "import_active_power", power_step),
        ("current_power_production_kw", "export_active_power", power_step),
    ):
        value = house.view.value(key)
        assert Decimal(str(reading[field])) * 1000 == value // step * step, field


async def sent(house: Any, path: Path, telegrams: int, **settings: object) -> None:
    chosen = wmbus.WmbusSettings.model_validate(
        {"kind": "wmbus", "bearer": f"file:{path}", **settings}
    )
    async with running(wmbus.run(house.view, chosen)):
        for _ in range(telegrams):
            house.later(10)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["C1", "T1"])
async def test_wmbusmeters_reads_long_and_compact_telegrams_with_its_omnipower_driver(
    wmbusmeters: Wmbusmeters, tmp_path: Path, mode: str
) -> None:
    path, house = tmp_path / "telegrams.txt", full_house()
    await sent(house, path, 10, mode=mode)
    readings = wmbusmeters.read(f"{path}:rtlwmbus", "omnipower", KEY)
    assert len(readings) == 10
    for number, reading in enumerate(readings, start=1):
        assert_omnipower(reading, house, energy_step=10, power_step=Decimal(1))
        # The first image is of 12:00:05, each is ten seconds later.
        minutes, seconds = divmod(5 + 10 * number, 60)
        assert reading["timestamp"] == f"2026-07-01T12:{minutes:02}:{seconds:02}Z"


async def test_wmbusmeters_reads_telegrams_as_they_come_over_tcp(
    wmbusmeters: Wmbusmeters,
) -> None:
    house, port = full_house(), free_port()
    settings = wmbus.WmbusSettings(kind="wmbus", bearer=f"listen://127.0.0.1:{port}")
    async with running(wmbus.run(house.view, settings)):
        stream, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = b""
        for _ in range(3):
            await asyncio.sleep(0.05)
            house.later(10)
            lines += await stream.readline()
        writer.close()
    readings = wmbusmeters.read("stdin:rtlwmbus", "omnipower", KEY, given=lines.decode())
    assert len(readings) == 3
    assert_omnipower(readings[-1], house, energy_step=10, power_step=Decimal(1))


async def test_wmbusmeters_reads_security_profile_a(
    wmbusmeters: Wmbusmeters, tmp_path: Path
) -> None:
    path, house = tmp_path / "telegrams.txt", full_house()
    await sent(house, path, 3, mode="T1", protection="profile_a")
    readings = wmbusmeters.read(f"{path}:rtlwmbus", "omnipower", KEY)
    assert len(readings) == 3
    for reading in readings:
        assert_omnipower(reading, house, energy_step=1, power_step=Decimal("0.1"))


@pytest.mark.parametrize("frame", [format_a, format_b])
def test_wmbusmeters_finds_the_check_sequences_of_a_transmitters_frame_right(
    wmbusmeters: Wmbusmeters, frame: Any
) -> None:
    house = full_house()
    settings = wmbus.WmbusSettings(kind="wmbus")
    body = wmbus.body(house.view, settings, bytes.fromhex(KEY), 77, is_long=True)
    (reading,) = wmbusmeters.read(frame(body).hex(), "omnipower", KEY)
    assert_omnipower(reading, house, energy_step=10, power_step=Decimal(1))


@pytest.mark.parametrize("protection", ["ell", "profile_a"])
async def test_with_another_key_wmbusmeters_reads_nothing(
    wmbusmeters: Wmbusmeters, tmp_path: Path, protection: str
) -> None:
    path, house = tmp_path / "telegrams.txt", full_house()
    await sent(house, path, 2, protection=protection)
    assert wmbusmeters.read(f"{path}:rtlwmbus", "omnipower", "00" * 16) == []


async def test_a_compact_telegram_alone_tells_wmbusmeters_nothing(
    wmbusmeters: Wmbusmeters, tmp_path: Path
) -> None:
    path, house = tmp_path / "telegrams.txt", full_house()
    await sent(house, path, 2)
    second = path.read_text().splitlines()[1] + "\n"
    assert wmbusmeters.read("stdin:rtlwmbus", "omnipower", KEY, given=second) == []
