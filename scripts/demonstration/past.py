"""How much of a meter's past Home Assistant shows, and whether its money is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from . import bill
from .client import Client
from .meters import PAST_DAYS
from .view import View

DAYS = PAST_DAYS - 1
"""Whole ones, whenever it was started."""
_LOOK_BACK = timedelta(days=400)
_LOOK_EVERY_S = 2.0
_TOTALS = {
    "import": "import_active_energy",
    "export": "export_active_energy",
    "cost": "import_cost",
    "compensation": "export_compensation",
}
_S_MS = 1000
_SAME_AMOUNT = 0.01
_SAME_KW = 0.002
"""The meter's intervals are whole watts."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the hours before the start: what Home Assistant says, and what is due."""

    days: int = 0
    """Whole ones, up to the start, of which each hour has its energy at the price of then."""
    said: float = 0.0
    due: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether all hours together are, too."""
        return abs(self.said - self.due) < _SAME_AMOUNT


@dataclass(frozen=True, slots=True)
class Past:
    """What was found of one meter."""

    history_days: int = 0
    """Whole days up to now of which each hour has its energy."""
    cost: Money = Money()
    compensation: Money = Money()
    shown_kw: float | None = None
    """The billed capacity that is shown."""
    billed_kw: float | None = None
    """The mean of the month's three highest hours; None in its first hour."""

    def lacking(self) -> list[str]:
        """Return in words what of the month is not there yet, or wrong."""
        found = []
        if self.history_days < DAYS:
            found.append(f"of the house's past only {self.history_days} days are shown")
        for name, money in (("cost", self.cost), ("compensation", self.compensation)):
            if money.days < DAYS or not money.is_right:
                found.append(
                    f"the {name} of {money.days} days is right, in all {money.said:.2f} "
                    f"where {money.due:.2f} is due"
                )
        shown_kw, due_kw = self.shown_kw, self.billed_kw
        if due_kw is not None and (shown_kw is None or abs(due_kw - shown_kw) > _SAME_KW):
            found.append(f"the billed capacity is {shown_kw} kW where {due_kw} is due")
        return found


async def until_filled(
    client: Client, view: View, began: datetime, zone: tzinfo
) -> AsyncIterator[Past]:
    """Yield what there is of the house's past, again and again, until it lacks nothing.

    Home Assistant fills it once it has first statistics of its own, within six minutes. Money is
    judged up to the hour in which all began: what is live is settled only when its hour is over.
    """
    while True:
        await view.look(client)
        past = await _look(client, view, began, zone)
        yield past
        if not past.lacking():
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _look(client: Client, view: View, began: datetime, zone: tzinfo) -> Past:
    title = view.meters.house.system_title
    ids = {what: view.ids.get(f"{title}_{key}", "") for what, key in _TOTALS.items()}
    sums = await _hours(client, [sensor for sensor in ids.values() if sensor])
    of = {what: sums.get(sensor, {}) for what, sensor in ids.items()}
    until_s = int(began.timestamp()) // bill.HOUR_S * bill.HOUR_S
    imported, exported = (_until(of[what], until_s) for what in ("import", "export"))
    return Past(
        bill.whole_days({at: share >= 0 for at, share in bill.shares(of["import"]).items()}),
        _money(bill.amounts(imported, bill.IMPORT_PRICES, zone), _until(of["cost"], until_s)),
        _money(
            bill.amounts(exported, bill.EXPORT_PRICES, zone), _until(of["compensation"], until_s)
        ),
        view.number(title, "billed_capacity"),
        bill.billed_kw(imported, zone, began.astimezone(zone)),
    )


def _money(due: Mapping[int, float], said: bill.Hours) -> Money:
    return Money(bill.priced_days(due, said), sum(bill.shares(said).values()), sum(due.values()))


def _until(sums: bill.Hours, until_s: int) -> dict[int, float]:
    return {at: total for at, total in sums.items() if at < until_s}


async def _hours(client: Client, sensors: list[str]) -> dict[str, dict[int, float]]:
    if not sensors:
        return {}
    found = await client.ask(
        "recorder/statistics_during_period",
        start_time=(datetime.now(UTC) - _LOOK_BACK).isoformat(),
        statistic_ids=sensors,
        period="hour",
        types=["sum"],
    )
    return {
        sensor: {row["start"] // _S_MS: row["sum"] for row in rows}
        for sensor, rows in found.items()
    }
