"""Buttons: reconnecting the supply, where the meter says that this command would do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects, services
from .control import async_command
from .coordinator import MeterNodeConfigEntry
from .data import CONTROL_STATE, VALUE, MeterData
from .entity import MeterNodeDescription, MeterNodeEntity, add_where_asked

PARALLEL_UPDATES = 1

_RECONNECT = 2
"""The method of the breaker."""
_BY_CONSUMER = frozenset({2, 3})
"""Who could close it now: the consumer's command, alone or beside the button."""


@dataclass(frozen=True, kw_only=True)
class MeterNodeButtonDescription(ButtonEntityDescription, MeterNodeDescription):
    """A button."""


BUTTONS: tuple[MeterNodeButtonDescription, ...] = (
    MeterNodeButtonDescription(
        key="reconnect",
        translation_key="reconnect",
        has_fn=lambda data: data.states.number(objects.RECONNECTION) is not None,
    ),
)


def _would_work(data: MeterData) -> bool:
    open_now = data.states.flag(objects.BREAKER) is False
    return open_now and data.states.number(objects.RECONNECTION) in _BY_CONSUMER


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the button when the meter first says who may reconnect, where it can be asked."""
    add_where_asked(
        hass, entry, async_add_entities, Platform.BUTTON, BUTTONS, MeterNodeReconnectButton
    )


class MeterNodeReconnectButton(MeterNodeEntity, ButtonEntity):
    """Closes the breaker again."""

    @property
    @override
    def available(self) -> bool:
        """Whether the breaker is open and would follow."""
        return super().available and _would_work(self.coordinator.data)

    @override
    async def async_press(self) -> None:
        """Reconnect."""
        await async_command(
            self.coordinator,
            services.act(objects.BREAKER, _RECONNECT),
            (objects.BREAKER, VALUE),
            (objects.BREAKER, CONTROL_STATE),
            (objects.BREAKER_CAUSES, VALUE),
            (objects.RECONNECTION, VALUE),
        )
