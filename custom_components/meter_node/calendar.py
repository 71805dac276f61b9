"""The calendar of tariffs: the periods above the lowest one, named in the user's language.

Must not know where the meter's calendar comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import override

from homeassistant.components.calendar import (
    CalendarEntity,
    CalendarEntityDescription,
    CalendarEvent,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from . import calendar_time
from .calendar_time import Period
from .channel.activity_calendar import LOOK_AHEAD_DAYS, ActivityCalendar
from .coordinator import MeterNodeConfigEntry
from .entity import MeterNodeDescription, MeterNodeEntity, add_as_sent

PARALLEL_UPDATES = 0

REACH = timedelta(days=LOOK_AHEAD_DAYS)


@dataclass(frozen=True, kw_only=True)
class MeterNodeCalendarDescription(CalendarEntityDescription, MeterNodeDescription):
    """A calendar."""


CALENDARS = (
    MeterNodeCalendarDescription(
        key="tariffs",
        translation_key="tariffs",
        by_clock=True,
        has_fn=lambda data: data.tariff.is_peak is not None,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add it when a calendar of more than one tariff is known."""
    add_as_sent(entry, async_add_entities, CALENDARS, MeterNodeCalendar)


class MeterNodeCalendar(MeterNodeEntity, CalendarEntity):
    """The periods above the lowest tariff: all of them would touch, and it would always be on."""

    entity_description: MeterNodeCalendarDescription
    _shown: tuple[ActivityCalendar | None, datetime | None] | None = None

    @property
    @override
    def event(self) -> CalendarEvent | None:
        """Return the period that runs, else the next one."""
        calendar = self._calendar
        now, zone = dt_util.utcnow(), dt_util.get_default_time_zone()
        period = calendar_time.period_at(calendar, now, zone)
        if self._is_lowest(period, calendar):  # what follows a lowest one is above it
            if calendar_time.next_change(calendar, now, zone) is None:
                return None
            period = calendar_time.period_at(calendar, period.end, zone)
        return self._event(period)

    @override
    async def async_get_events(
        self, hass: HomeAssistant, start_date: datetime, end_date: datetime
    ) -> list[CalendarEvent]:
        """Return the periods of a span, whole, as far as a calendar is looked ahead and back.

        Whoever may read may ask for ten thousand years, and even what is given takes its time.
        """
        calendar, now = self._calendar, dt_util.utcnow()
        first, last = max(start_date, now - REACH), min(end_date, now + REACH)
        if first >= last:
            return []
        zone = dt_util.get_default_time_zone()
        return [
            self._event(period)
            for period in await hass.async_add_executor_job(
                calendar_time.periods, calendar, first, last, zone
            )
            if not self._is_lowest(period, calendar)
        ]

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Show another period or calendar; a push alone changes nothing here."""
        shown = (self.coordinator.calendar, self.coordinator.data.tariff.next_change)
        if shown != self._shown:
            self._shown = shown
            super()._handle_coordinator_update()

    @property
    def _calendar(self) -> ActivityCalendar:
        """The calendar in force: this entity is there since one was known."""
        assert self.coordinator.calendar is not None
        return self.coordinator.calendar

    def _is_lowest(self, period: Period, calendar: ActivityCalendar) -> bool:
        return period.tariff == calendar_time.tariffs_of(calendar)[0]

    def _event(self, period: Period) -> CalendarEvent:
        return CalendarEvent(
            dt_util.as_local(period.start),
            dt_util.as_local(period.end),
            self.coordinator.tariffs.label(period.tariff),
        )
