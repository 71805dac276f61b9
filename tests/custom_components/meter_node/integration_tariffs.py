"""A meter that is asked for its calendar, and one that limits the current."""

from __future__ import annotations

import asyncio
from datetime import datetime

from integration_home import Said

from custom_components.meter_node.channel import axdr, calendar_data, objects
from custom_components.meter_node.channel.activity_calendar import ActivityCalendar
from custom_components.meter_node.channel.axdr import Value

CURRENTS = {"current_l1": 6_000, "current_l2": 30_000, "current_l3": 10_000}


def limited(to_ma: int) -> Said:
    """A limiter that monitors the current."""
    monitored = axdr.structure(
        axdr.long_unsigned(3), axdr.octet_string(objects.MONITORED_CURRENT), axdr.integer(2)
    )
    return {
        (objects.LIMITER, 2): monitored,
        (objects.LIMITER, 3): axdr.double_long_unsigned(to_ma),
    }


class CalendarAsker:
    """A meter that answers with its calendar, or does not."""

    def __init__(self, calendar: ActivityCalendar, fault: Exception | None = None) -> None:
        self.calendar = calendar
        self.fault = fault
        self.services: list[bytes] = []

    def heard(self, sent: datetime) -> None:
        """Need no time of the meter."""

    async def async_ask(self, service: bytes) -> Value:
        self.services.append(service)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        told = self.calendar.to_json()
        name, attribute = service[5:11], service[11]
        if name == objects.SPECIAL_DAYS.logical_name:
            return axdr.decode_all(calendar_data.special_days(told["special_days"]))
        assert name == objects.ACTIVITY_CALENDAR.logical_name
        (piece,) = [piece for piece in calendar_data.PIECES if piece.number == attribute]
        return axdr.decode_all(piece.write(told[piece.key]))
