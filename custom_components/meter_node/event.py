"""Event entities: what the meter writes into its event logs, each entry once, as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects
from .channel.event_codes import CODES, Log
from .coordinator import MeterNodeConfigEntry
from .data import MeterData
from .entity import MeterNodeDescription, MeterNodeEntity, add_as_sent

PARALLEL_UPDATES = 0

LOG_CLEARED = "log_cleared"
"""Written into whichever log was cleared."""


@dataclass(frozen=True, kw_only=True)
class MeterNodeEventDescription(EventEntityDescription, MeterNodeDescription):
    """An event entity, and the logs that it tells of."""

    logs: tuple[Log, ...]


def _is_switched(data: MeterData) -> bool:
    return any(map(data.states.has, (objects.BREAKER, *objects.RELAYS.values())))


def _told_by(
    key: str, *logs: Log, where: Callable[[MeterData], bool] = lambda data: True
) -> MeterNodeEventDescription:
    """Return the entity of some logs, for meters that keep logs and where these can fill."""
    names = [code.name for code in CODES if code.log in logs]
    return MeterNodeEventDescription(
        key=key,
        translation_key=key,
        event_types=[*names, *(() if LOG_CLEARED in names else (LOG_CLEARED,))],
        logs=logs,
        has_fn=lambda data: data.keeps_logs and where(data),
    )


EVENTS: tuple[MeterNodeEventDescription, ...] = (
    _told_by("power_quality", Log.POWER_QUALITY, Log.NEUTRAL_FAULT),
    _told_by("tamper", Log.FRAUD),
    _told_by("supply", Log.DISCONNECTOR, Log.CREDIT, where=_is_switched),
    _told_by("clock", Log.CLOCK),
    _told_by("status", Log.STATUS, Log.COMMUNICATION, Log.PROFILE_CHANGES),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add all of them when the meter first sends where its logs stand."""
    add_as_sent(entry, async_add_entities, EVENTS, MeterNodeEvent)


class MeterNodeEvent(MeterNodeEntity, EventEntity):
    """What some of the meter's logs tell."""

    entity_description: MeterNodeEventDescription
    _next_serial = 0

    @override
    async def async_added_to_hass(self) -> None:
        """Tell what came with the frame for which it was added, too.

        Not yet now: a state is not written before this is done, and each entry wants one.
        """
        await super().async_added_to_hass()
        waiting = self.hass.loop.call_soon(self._tell_news)
        self.async_on_remove(waiting.cancel)

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Tell what is new, and show whether the meter is there."""
        self._tell_news()
        super()._handle_coordinator_update()

    @callback
    def _tell_news(self) -> None:
        """Fire each new entry of these logs, with a state of its own."""
        for news in self.coordinator.data.news:
            if news.serial < self._next_serial:
                continue
            self._next_serial = news.serial + 1
            entry = news.entry
            if entry.log in self.entity_description.logs and entry.name in self.event_types:
                self._trigger_event(
                    entry.name,
                    {
                        "log": str(entry.log),
                        "entry": entry.number,
                        "time": entry.time.isoformat(),
                        "detail": entry.detail,
                    },
                )
                self.async_write_ha_state()
