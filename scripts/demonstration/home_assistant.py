"""Home Assistant as the demonstration runs it: its folder, its entries, its process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from . import bill, storage
from .broker import User
from .meters import ROOT, Meter
from .processes import Child, Children
from .storage import Entry

_FILES = Path(__file__).with_name("configuration")
_RESTART = 100
"""Home Assistant's exit code when its user has chosen to restart it."""


async def start(
    children: Children,
    folder: Path,
    port: int,
    broker_port: int,
    user: User,
    zone: ZoneInfo,
    meters: Iterable[Meter],
    energy_sources: Sequence[Mapping[str, Any]],
) -> Child:
    """Write the folder and start Home Assistant in it; it serves on ``port`` of this machine.

    The meters are set up; the sources stand on the Energy dashboard.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in _FILES.glob("*.yaml"):
        shutil.copy(file, folder)
    ours = folder / "custom_components"
    ours.unlink(missing_ok=True)
    ours.symlink_to(ROOT / "custom_components", target_is_directory=True)
    entries = [storage.mqtt_entry(broker_port, user), *(_entry(meter) for meter in meters)]
    storage.write(folder, port, zone, entries, energy_sources)
    # Without compiled files each start would take five seconds longer.
    environment = {k: v for k, v in children.environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return await children.start(
        "home assistant",
        [sys.executable, "-P", "-m", "homeassistant", "--skip-pip", "--config", folder],
        environment=environment,
        again_after=_RESTART,
    )


def _totals(meter: Meter) -> dict[str, str]:
    """Return the ids of a meter's totals: of energy, and of money where it has prices."""
    sensor = f"sensor.{meter.name.lower().replace(' ', '_')}"
    energy = {"import": f"{sensor}_import_energy", "export": f"{sensor}_export_energy"}
    money = {"cost": f"{sensor}_import_cost", "compensation": f"{sensor}_export_compensation"}
    return energy | money if meter.has_prices else energy


def _entry(meter: Meter) -> Entry:
    return Entry(
        "meter_node",
        meter.name,
        data=meter.data,
        options=_options(meter),
        unique_id=meter.system_title,
    )


def _options(meter: Meter) -> dict[str, Any]:
    if not meter.simulated:  # its list leaves its scale open, and has no calendar
        return {"scaler_profile": "energy_1_wh", "tariff_preset": "denmark_n1"}
    if not meter.has_prices:
        return {}
    return {
        "import_prices": bill.IMPORT_PRICES,
        "export_prices": bill.EXPORT_PRICES,
        "capacity_preset": bill.CAPACITY_RULE,
        "capacity_limit": bill.CAPACITY_LIMIT_KW,
        "main_fuse": bill.MAIN_FUSE_A,
    }


def solar(meter: Meter) -> dict[str, Any]:
    """Return what a meter sends out as a solar source of the Energy dashboard."""
    return {
        "type": "solar",
        "name": meter.name,
        "stat_energy_from": _totals(meter)["export"],
        "config_entry_solar_forecast": None,
    }


def grid(meter: Meter) -> dict[str, Any]:
    """Return the meter as a grid connection of the Energy dashboard."""
    of = _totals(meter)
    return {
        "type": "grid",
        "name": meter.name,
        "stat_energy_from": of["import"],
        "stat_energy_to": of["export"],
        "stat_rate": of["import"].replace("_import_energy", "_power"),
        "stat_cost": of.get("cost"),
        "entity_energy_price": None,
        "number_energy_price": None,
        "stat_compensation": of.get("compensation"),
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0,
    }
