"""Selects: what the homeowner has chosen for each load relay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects
from .coordinator import MeterNodeConfigEntry
from .entity import MeterNodeDescription, MeterNodeEntity, add_where_asked
from .relays import CHOICES, async_choose, chosen, has_relay

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class MeterNodeSelectDescription(SelectEntityDescription, MeterNodeDescription):
    """The choice for one load relay."""

    relay: int


def _relay(number: int) -> MeterNodeSelectDescription:
    return MeterNodeSelectDescription(
        key=f"relay_{number}_choice",
        translation_key="relay_choice",
        translation_placeholders={"relay": str(number)},
        options=list(CHOICES),
        has_fn=has_relay(number),
        relay=number,
    )


SELECTS: tuple[MeterNodeSelectDescription, ...] = tuple(map(_relay, objects.RELAY_COMMANDS))


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add each relay's choice when the meter first sends it, where the meter can be asked."""
    add_where_asked(hass, entry, async_add_entities, Platform.SELECT, SELECTS, MeterNodeSelect)


class MeterNodeSelect(MeterNodeEntity, SelectEntity):
    """What was chosen for one load relay."""

    entity_description: MeterNodeSelectDescription

    @property
    @override
    def current_option(self) -> str | None:
        """Return what was chosen, as the meter said last."""
        return chosen(self.coordinator.data, self.entity_description.relay)

    @override
    async def async_select_option(self, option: str) -> None:
        """Choose."""
        await async_choose(self.coordinator, self.entity_description.relay, option)
