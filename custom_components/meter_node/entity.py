"""What all entities of a meter have in common."""

from __future__ import annotations

from typing import override

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import MeterNodeCoordinator


class MeterNodeEntity(CoordinatorEntity[MeterNodeCoordinator]):
    """An entity of the meter's device, which the coordinator describes."""

    _attr_has_entity_name = True

    def __init__(self, coordinator: MeterNodeCoordinator, key: str) -> None:
        """Belong to the meter under a key of its own."""
        super().__init__(coordinator)
        self._attr_unique_id = f"{coordinator.config_entry.unique_id}_{key}"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, coordinator.title)})

    @property
    @override
    def available(self) -> bool:
        """Whether the meter is there."""
        return self.coordinator.available
