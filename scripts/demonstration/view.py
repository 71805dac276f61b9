"""What Home Assistant shows of the meters, kept from look to look.

Entities are found through the registry by meter and quantity, whatever they are called. Must not
decide whether it is good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .client import Client
from .meters import CAPTURED_IMPORT_KWH, CAPTURED_VOLTAGES_V, Meters

_LOOK_EVERY_S = 0.5
_PLATFORM = "meter_node"
_NO_VALUE = {"unavailable", "unknown"}


@dataclass(slots=True)
class View:
    """The present state of every entity of ours, and what was seen since the beginning."""

    meters: Meters
    states: Mapping[str, str] = field(default_factory=dict)
    """By unique id: ``<system title>_<quantity>``."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Entity ids, by unique id."""
    units: Mapping[str, str] = field(default_factory=dict)
    first_reading_at: float | None = None
    """When anything of any meter was first shown, on the monotonic clock."""
    power_seen: dict[str, set[str]] = field(default_factory=dict)
    """By system title: every power that was shown."""
    captured_import_kwh: float | None = None
    captured_voltages_v: tuple[float, ...] | None = None
    continued_import_kwh: float | None = None
    lowest_import_kwh: float | None = None
    """Since the capture was shown."""

    @property
    def captured(self) -> bool:
        """Whether the captured frame was shown for what it is."""
        return self.captured_import_kwh is not None

    @property
    def alive(self) -> bool:
        """Whether every meter has shown its power and nothing of ours is unavailable."""
        return not self.unavailable and all(
            meter.system_title in self.power_seen for meter in self.meters
        )

    @property
    def unavailable(self) -> list[str]:
        """Entities of ours that are unavailable now."""
        return sorted(key for key, state in self.states.items() if state == "unavailable")

    async def look(self, client: Client) -> None:
        """Ask Home Assistant once. Raises ClientError."""
        registry = await client.ask("config/entity_registry/list")
        shown = await client.states()
        self.ids = {
            entry["unique_id"]: entry["entity_id"]
            for entry in registry
            if entry["platform"] == _PLATFORM
            and entry["entity_id"] in shown
            # One is unavailable wherever pressing it would do nothing.
            and not entry["entity_id"].startswith("button.")
        }
        ours = {key: shown[entity_id] for key, entity_id in self.ids.items()}
        self.states = {key: state["state"] for key, state in ours.items()}
        self.units = {
            key: state["attributes"].get("unit_of_measurement", "") for key, state in ours.items()
        }
        for meter in self.meters:
            power = self.states.get(f"{meter.system_title}_active_power")
            if power is not None and power not in _NO_VALUE:
                self.power_seen.setdefault(meter.system_title, set()).add(power)
        if self.first_reading_at is None and set(self.states.values()) - _NO_VALUE:
            self.first_reading_at = time.monotonic()
        self._look_at_real_meter()

    async def until(self, client: Client, condition: Callable[[], Any]) -> None:
        """Look again and again until the condition holds."""
        while not condition():
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.look(client)

    def number(self, system_title: str, quantity: str) -> float | None:
        """Return the value shown now, None where there is none."""
        state = self.states.get(f"{system_title}_{quantity}")
        return None if state is None or state in _NO_VALUE else float(state)

    def _look_at_real_meter(self) -> None:
        title = self.meters.real.system_title
        if self.units.get(f"{title}_import_active_energy") != "kWh":
            return
        import_kwh = self.number(title, "import_active_energy")
        voltages = tuple(self.number(title, f"voltage_l{phase}") for phase in (1, 2, 3))
        if import_kwh is None:
            return
        if self.captured:
            self.lowest_import_kwh = min(import_kwh, self.lowest_import_kwh or import_kwh)
            if import_kwh > CAPTURED_IMPORT_KWH:
                self.continued_import_kwh = import_kwh
        elif round(import_kwh, 3) == CAPTURED_IMPORT_KWH and voltages == CAPTURED_VOLTAGES_V:
            self.captured_import_kwh = round(import_kwh, 3)
            self.captured_voltages_v = CAPTURED_VOLTAGES_V
