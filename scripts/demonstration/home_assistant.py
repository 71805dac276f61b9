"""Home Assistant as the demonstration runs it: its folder, its entries, its process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import storage
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
    meters: Iterable[Meter],
    on_energy_dashboard: Iterable[Meter],
) -> Child:
    """Write the folder and start Home Assistant in it; it serves on ``port`` of this machine.

    The meters are set up; those on the Energy dashboard stand there already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in _FILES.glob("*.yaml"):
        shutil.copy(file, folder)
    ours = folder / "custom_components"
    ours.unlink(missing_ok=True)
    ours.symlink_to(ROOT / "custom_components", target_is_directory=True)
    entries = [storage.mqtt_entry(broker_port, user), *(_entry(meter) for meter in meters)]
    storage.write(folder, port, entries, [_grid(meter) for meter in on_energy_dashboard])
    # Without compiled files each start would take five seconds longer.
    environment = {k: v for k, v in children.environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return await children.start(
        "home assistant",
        [sys.executable, "-P", "-m", "homeassistant", "--skip-pip", "--config", folder],
        environment=environment,
        again_after=_RESTART,
    )


def energy_sensor(meter: Meter, direction: str) -> str:
    """Return the id of a meter's total; ``direction``: import or export."""
    return f"sensor.{meter.name.lower().replace(' ', '_')}_{direction}_energy"


def _entry(meter: Meter) -> Entry:
    return Entry(
        "meter_node",
        meter.name,
        data=meter.data,
        # Only a real meter's list leaves its scale open.
        options={} if meter.simulated else {"scaler_profile": "energy_1_wh"},
        unique_id=meter.system_title,
    )


def _grid(meter: Meter) -> dict[str, Any]:
    """Return the meter as a grid connection of the Energy dashboard."""
    sensor = f"sensor.{meter.name.lower().replace(' ', '_')}"
    return {
        "type": "grid",
        "name": meter.name,
        "stat_energy_from": energy_sensor(meter, "import"),
        "stat_energy_to": energy_sensor(meter, "export"),
        "stat_rate": f"{sensor}_power",
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
        "stat_compensation": None,
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0,
    }
