"""Repairs that Home Assistant can do itself, each after the homeowner has seen what it changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, override

import probatio as vol
from homeassistant.components.repairs import RepairsFlow, RepairsFlowResult
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import EntitySelector, EntitySelectorConfig

from . import energy_dashboard
from .channel import registers
from .channel.registers import Unit
from .const import DOMAIN
from .coordinator import MeterNodeConfigEntry
from .energy_dashboard import NotValidError, Proposal
from .issues import ENERGY_DASHBOARD, TOTAL_FELL

_UNITS = {Unit.WATT_HOUR: "kWh", Unit.VAR_HOUR: "kvarh"}
_SHOWN = EntitySelector(EntitySelectorConfig(read_only=True))


class MeterRepairFlow(RepairsFlow, ABC):
    """What the repairs of a meter share: its entry, which must be loaded."""

    def __init__(self, entry_id: str) -> None:
        """Know which meter it is."""
        self._entry_id = entry_id

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> RepairsFlowResult:
        """Begin with what will be changed."""
        return await self.async_step_confirm()

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Show it, and do it when it was confirmed."""
        entry = self.hass.config_entries.async_get_entry(self._entry_id)
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        return await self._async_confirm(entry, confirmed=user_input is not None)

    @abstractmethod
    async def _async_confirm(
        self, entry: MeterNodeConfigEntry, *, confirmed: bool
    ) -> RepairsFlowResult:
        """Show what will be changed, or change it."""


class EnergyDashboardFlow(MeterRepairFlow):
    """Adds the meter to the Energy dashboard."""

    _shown: Proposal | None = None

    async def async_step_complete(
        self, user_input: dict[str, Any] | None = None
    ) -> RepairsFlowResult:
        """Do it for a connection that is there: only its text is another."""
        return await self.async_step_confirm(user_input)

    @override
    async def _async_confirm(
        self, entry: MeterNodeConfigEntry, *, confirmed: bool
    ) -> RepairsFlowResult:
        if confirmed and self._shown is not None:
            try:
                await energy_dashboard.async_add(self.hass, self._shown)
            except NotValidError as error:
                return self.async_abort(
                    reason="not_valid", description_placeholders={"error": str(error)}
                )
            return self.async_create_entry(data={})
        self._shown = await energy_dashboard.async_proposal(self.hass, entry)
        if self._shown is None:  # done by hand meanwhile
            return self.async_create_entry(data={})
        statistics = self._shown.added
        return self.async_show_form(
            step_id="complete" if self._shown.is_there else "confirm",
            data_schema=vol.Schema(
                {vol.Optional(name, default=value): _SHOWN for name, value in statistics.items()}
            ),
            description_placeholders={"meter": entry.title, "kept": str(self._shown.kept)},
        )


class TotalFellFlow(MeterRepairFlow):
    """Takes registers that went back as they are."""

    @override
    async def _async_confirm(
        self, entry: MeterNodeConfigEntry, *, confirmed: bool
    ) -> RepairsFlowResult:
        meter = entry.runtime_data
        if confirmed:
            meter.async_count_on()
            return self.async_create_entry(data={})
        lines = [
            f"- {self._name(entry, key)}: {shown / 1000:.3f} → {register / 1000:.3f} "
            f"{_UNITS[registers.BY_KEY[key].quantity.unit]}"
            for key, (shown, register) in meter.totals.fallen.items()
        ]
        return self.async_show_form(
            step_id="confirm",
            data_schema=vol.Schema({}),
            description_placeholders={"meter": entry.title, "totals": "\n".join(lines)},
        )

    def _name(self, entry: MeterNodeConfigEntry, key: str) -> str:
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "sensor", DOMAIN, f"{entry.unique_id}_{key}"
        )
        state = self.hass.states.get(entity_id) if entity_id else None
        return key if state is None else state.name


_FLOWS: dict[str, type[MeterRepairFlow]] = {
    ENERGY_DASHBOARD: EnergyDashboardFlow,
    TOTAL_FELL: TotalFellFlow,
}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that repairs an issue of ours."""
    assert data is not None  # every issue has it: issues.Watch
    return _FLOWS[str(data["problem"])](str(data["entry_id"]))
