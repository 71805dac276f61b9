"""How much of a meter's past Home Assistant shows, and whether its money is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from . import bill
from .client import Client

_LOOK_BACK = timedelta(days=400)
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
    billed_kw: float | None = None
    """The mean of the month's three highest hours; None before there are three days of it."""

    def lacking(self, days: int, shown_kw: float | None) -> list[str]:
        """Return in words what is not there yet, or wrong, of so many days.

        ``shown_kw`` is the billed capacity that is shown.
        """
        found = []
        if self.history_days < days:
            found.append(f"of the house's past only {self.history_days} days are shown")
        for name, money in (("cost", self.cost), ("compensation", self.compensation)):
            if money.days < days or not money.is_right:
                found.append(
                    f"the {name} of {money.days} days is right, in all {money.said:.2f} "
                    f"where {money.due:.2f} is due"
                )
        if shown_kw is None or (
            self.billed_kw is not None and abs(self.billed_kw - shown_kw) > _SAME_KW
        ):
            found.append(f"the billed capacity is {shown_kw} kW where {self.billed_kw} is due")
        return found


async def look(client: Client, sensors: Mapping[str, str], began: datetime, zone: tzinfo) -> Past:
    """Ask for the hours of ``sensors`` (``import``, ``export``, ``cost``, ``compensation``).

    Money is judged up to the hour in which all began: what is live is settled only when its hour is
    over.
    """
    sums = await _hours(client, list(sensors.values()))
    of = {what: sums.get(sensor, {}) for what, sensor in sensors.items()}
    until_s = int(began.timestamp()) // bill.HOUR_S * bill.HOUR_S
    imported, exported = (_until(of[what], until_s) for what in ("import", "export"))
    return Past(
        bill.whole_days({at: share >= 0 for at, share in bill.shares(of["import"]).items()}),
        _money(bill.amounts(imported, bill.IMPORT_PRICES, zone), _until(of["cost"], until_s)),
        _money(
            bill.amounts(exported, bill.EXPORT_PRICES, zone), _until(of["compensation"], until_s)
        ),
        bill.billed_kw(imported, zone, began.astimezone(zone)),
    )


def _money(due: Mapping[int, float], said: bill.Hours) -> Money:
    return Money(bill.priced_days(due, said), sum(bill.shares(said).values()), sum(due.values()))


def _until(sums: bill.Hours, until_s: int) -> dict[int, float]:
    return {at: total for at, total in sums.items() if at < until_s}


async def _hours(client: Client, sensors: list[str]) -> dict[str, dict[int, float]]:
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
