"""Meters whose every register is known, for the display's tests."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.profile_entry import ProfileReader
from meter_node.meter.rows import ProfileRow
from meter_node.meter.snapshot import (
    NANO,
    BreakerState,
    CreditState,
    RelayState,
    Snapshot,
)
from meter_node.meter.variant import Variant

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
# 2026-07-01 12:00:05 UTC, 14:00:05 in Copenhagen
NOON_NS = 1_782_907_205 * NANO
HOUSE = Variant("382M", 3, "5(65)", breaker=True, relays=2)
FLAT = Variant("162M", 1, "5(65)", breaker=True)


def wh(**registers: float) -> dict[str, int]:
    """Registers in Wh as a snapshot holds them, with all but a nWh of the next one."""
    return {key: int(value) * NANO + NANO - 1 for key, value in registers.items()}


SNAPSHOT = Snapshot(
    NOON_NS,
    wh(
        import_active_energy=12_345_999,
        export_active_energy=7_654_321,
        import_active_energy_l1=4_000_100,
        import_active_energy_l2=4_100_200,
        import_active_energy_l3=4_245_699,
        export_active_energy_l1=2_000_999,
        export_active_energy_l2=2_600_000,
        export_active_energy_l3=3_053_322,
        import_reactive_energy=1_500_000,
        export_reactive_energy=800_000,
        reactive_energy_q1=1_000_001,
        reactive_energy_q2=499_999,
        reactive_energy_q3=300_000,
        reactive_energy_q4=500_000,
        **{f"import_active_energy_t{tariff}": 1_000_000 * tariff for tariff in range(1, 9)},
        **{f"export_active_energy_t{tariff}": 0 for tariff in range(1, 9)},
        **{f"import_reactive_energy_t{tariff}": 0 for tariff in range(1, 9)},
        **{f"export_reactive_energy_t{tariff}": 0 for tariff in range(1, 9)},
    ),
    {
        "import_active_power": 2345.67,
        "export_active_power": 500.0,
        "import_reactive_power": 0.0,
        "export_reactive_power": 120.0,
        "import_active_power_l1": 2345.67,
        "export_active_power_l1": 0.0,
        "import_active_power_l2": 0.0,
        "export_active_power_l2": 500.0,
        "import_active_power_l3": 0.0,
        "export_active_power_l3": 0.0,
        "voltage_l1": 230.19,
        "voltage_l2": 231.0,
        "voltage_l3": 159.99,
        "current_l1": 10.2345,
        "power_factor": -0.985,
        "frequency": 49.987,
    },
    {"net_active_energy": 4_691_678, "operating_time": 8760},
    breaker=BreakerState(True, 1, 4, closed_wanted=True),
    relays=(RelayState(True), RelayState(False)),
    tariff=3,
    tariffs=8,
    status_word="1000100",
)


def device(
    snapshot: Snapshot = SNAPSHOT, variant: Variant = HOUSE, number: str = "8675309", **fields: Any
) -> LogicalDevice:
    """A committed device; `fields` replace those of the snapshot."""
    made = LogicalDevice(Identity(b"MTN12345", number, variant.model, "0.1.0"), variant, COPENHAGEN)
    made.commit(replace(snapshot, **fields))
    return made


def flat() -> LogicalDevice:
    """A 162M whose credit is used up: 12 Wh too much were drawn before it opened."""
    return device(
        Snapshot(
            NOON_NS,
            wh(import_active_energy=8_412_700, import_active_energy_l1=8_412_700),
            {"voltage_l1": 229.0},
            breaker=BreakerState(False, 0, 4, closed_wanted=False, causes=("credit",)),
            credit=CreditState(-12, 0, exhausted=True),
            alarms=frozenset({"credit_exhausted"}),
        ),
        FLAT,
    )


def profile_reader(
    rows: Mapping[int, tuple[int | None, ...]],
    captures: tuple[str, ...] = ("import_active_energy", "export_active_energy"),
) -> ProfileReader:
    """Rows by number, each a quarter of an hour after the one before, the newest at noon UTC."""
    numbers = sorted(rows, reverse=True)

    def row(back: int) -> ProfileRow | None:
        if back >= len(numbers):
            return None
        number = numbers[back]
        time_s = 1_782_907_200 - 900 * back
        return ProfileRow("load_profile", number, time_s, 7200, 0, rows[number])

    return ProfileReader(row, lambda: captures)
