"""What all entities of a meter share: one device, and that each appears when first sent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import override

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import SLOW, MeterNodeConfigEntry, MeterNodeCoordinator
from .data import MeterData


@dataclass(frozen=True, kw_only=True)
class MeterNodeDescription(EntityDescription):
    """A row of an entity table: Home Assistant's description, and what ours says beside it."""

    has_fn: Callable[[MeterData], bool]
    """Whether the meter sends it."""
    is_slow: bool = False
    """Whether once a minute is often enough (``pace``)."""
    by_clock: bool = False
    """Whether it goes by calendar and clock, and so stands while the meter is away."""


class MeterNodeEntity(CoordinatorEntity[MeterNodeCoordinator]):
    """An entity of the meter's device, which the coordinator describes."""

    _attr_has_entity_name = True

    def __init__(
        self, coordinator: MeterNodeCoordinator, description: MeterNodeDescription
    ) -> None:
        """Belong to the meter, and show what the description says."""
        super().__init__(coordinator, SLOW if description.is_slow else None)
        self.entity_description = description
        self._by_clock = description.by_clock
        self._attr_unique_id = f"{coordinator.config_entry.unique_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, coordinator.title)})

    @property
    @override
    def available(self) -> bool:
        """Whether the meter is there, or what is shown does not depend on it."""
        if self._by_clock and self.coordinator.calendar is not None:
            return True
        return self.coordinator.available


class MeterNodeValueEntity(MeterNodeEntity):
    """An entity whose state is one value: written when it is another, a slow one once a minute."""

    entity_description: MeterNodeDescription
    _was_available = False
    """As it was written last."""
    _shares_context = False
    """Whether its changes count as one with those of the same push: not in a logbook."""

    @abstractmethod
    def _take(self) -> bool:
        """Show what the meter says now, as attributes; return whether it is anything else."""

    @override
    async def async_added_to_hass(self) -> None:
        """Begin with the state that Home Assistant writes now."""
        await super().async_added_to_hass()
        self._was_available = self.available
        self._take()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Write the state where it is another."""
        available = self.available
        if not self._take() and available == self._was_available:
            return
        self._was_available = available
        if self._shares_context:
            self.async_set_context(self.coordinator.context)
        self.async_write_ha_state()


def add_as_sent[D: MeterNodeDescription](
    entry: MeterNodeConfigEntry,
    add_entities: AddConfigEntryEntitiesCallback,
    table: Iterable[D],
    entity: Callable[[MeterNodeCoordinator, D], MeterNodeEntity],
) -> None:
    """Add the entity of each row when the meter first sends its quantity."""
    coordinator = entry.runtime_data
    waiting = list(table)

    @callback
    def look() -> None:
        if coordinator.is_remade:
            add_new()

    def add_new() -> None:
        new = [row for row in waiting if row.has_fn(coordinator.data)]
        for row in new:
            waiting.remove(row)
        if new:
            add_entities(entity(coordinator, row) for row in new)

    entry.async_on_unload(coordinator.async_add_listener(look))
    add_new()


@callback
def add_where_asked[D: MeterNodeDescription](
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    add_entities: AddConfigEntryEntitiesCallback,
    platform: Platform,
    table: Iterable[D],
    entity: Callable[[MeterNodeCoordinator, D], MeterNodeEntity],
) -> None:
    """Add entities that command, as they are sent; without control keys have them forgotten."""
    if entry.runtime_data.asker is None:
        forget(hass, entry, platform, table)
    else:
        add_as_sent(entry, add_entities, table, entity)


@callback
def forget(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    platform: Platform,
    table: Iterable[MeterNodeDescription],
) -> None:
    """Take away what an entry had and, with other keys, has no more."""
    registry = er.async_get(hass)
    gone = {f"{entry.unique_id}_{row.key}" for row in table}
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        if entity.domain == platform and entity.unique_id in gone:
            registry.async_remove(entity.entity_id)
