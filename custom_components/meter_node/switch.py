"""Switches: each load relay as it really is; turning one is a wish that the meter may not grant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects
from .coordinator import MeterNodeConfigEntry
from .entity import MeterNodeDescription, MeterNodeEntity, add_where_asked
from .relays import async_choose, has_relay

PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class MeterNodeSwitchDescription(SwitchEntityDescription, MeterNodeDescription):
    """The switch of one load relay."""

    relay: int


def _relay(number: int) -> MeterNodeSwitchDescription:
    return MeterNodeSwitchDescription(
        key=f"relay_{number}",
        translation_key="relay",
        translation_placeholders={"relay": str(number)},
        has_fn=has_relay(number),
        relay=number,
    )


SWITCHES: tuple[MeterNodeSwitchDescription, ...] = tuple(map(_relay, objects.RELAYS))


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add each relay's switch when the meter first sends it, where the meter can be asked."""
    add_where_asked(hass, entry, async_add_entities, Platform.SWITCH, SWITCHES, MeterNodeSwitch)


class MeterNodeSwitch(MeterNodeEntity, SwitchEntity):
    """One load relay."""

    entity_description: MeterNodeSwitchDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the load is on, as the meter said last."""
        return self.coordinator.data.states.flag(objects.RELAYS[self.entity_description.relay])

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Choose on; the utility's own choice is the stronger."""
        await async_choose(self.coordinator, self.entity_description.relay, "on")

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Choose off."""
        await async_choose(self.coordinator, self.entity_description.relay, "off")
