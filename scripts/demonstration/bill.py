"""What the demonstration's house must have paid, worked out from its hours alone.

The made-up prices stand here too, with the hours of the Danish tariff and the Norwegian rule of
capacity in a few lines of their own, so that the integration is held against something else than
itself. Must not know Home Assistant, nor a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from statistics import fmean

CURRENCY = "DKK"
IMPORT_PRICES = {"1": 1.42, "2": 1.67, "3": 2.61}
EXPORT_PRICES = {"1": 0.55, "2": 0.6, "3": 0.8}
"""A kWh by tariff: made up, of a likely size."""
CAPACITY_RULE = "norway_elvia"
"""Few homes in Denmark pay for capacity; it is there to be seen."""
CAPACITY_LIMIT_KW = 5.0
MAIN_FUSE_A = 25.0

HOUR_S = 3600
_HOURS_A_DAY = 24
_SAME = 0.001
"""Of an hour's amount: its prices have two decimals, and its energy three."""
_PEAKS = 3

type Hours = Mapping[int, float]
"""Running sums by when their hours begin (UTC seconds)."""


def tariff_at(hour: int) -> str:
    """Return the tariff in force in an hour of the day: low, high or peak (Tarifmodel 3.0)."""
    if hour < 6:
        return "1"
    return "3" if 17 <= hour < 21 else "2"


def shares(sums: Hours) -> dict[int, float]:
    """Return what each hour adds to the one before; the first tells nothing."""
    ordered = sorted(sums.items())
    return {at: total - before for (last, before), (at, total) in pairwise(ordered)}


def whole_days(fits: Mapping[int, bool]) -> int:
    """Return for how many whole days up to the last hour each hour is there and fits."""
    hours = 0
    for last, at in pairwise(sorted(fits)):
        hours = hours + 1 if fits[at] and at - last == HOUR_S else 0
    return hours // _HOURS_A_DAY


def amounts(energy: Hours, prices: Mapping[str, float], zone: tzinfo) -> dict[int, float]:
    """Return what each hour's energy (kWh) costs or earns at the price of its tariff."""
    return {
        at: kwh * prices[tariff_at(_local(at, zone).hour)] for at, kwh in shares(energy).items()
    }


def priced_days(due: Mapping[int, float], money: Hours) -> int:
    """Return for how many whole days up to the last hour the statistics say what is due."""
    said = shares(money)
    return whole_days(
        {at: at in said and abs(said[at] - amount) < _SAME for at, amount in due.items()}
    )


def billed_kw(energy: Hours, zone: tzinfo, now: datetime) -> float | None:
    """Return the mean of the month's three highest hours, each of another day, or of fewer.

    None in its first hour.
    """
    highest: dict[int, float] = {}
    for at, kwh in shares(energy).items():
        begun = _local(at, zone)
        if (begun.year, begun.month) == (now.year, now.month):
            highest[begun.day] = max(kwh, highest.get(begun.day, 0.0))
    peaks = sorted(highest.values(), reverse=True)[:_PEAKS]
    return fmean(peaks) if peaks else None


def _local(at_s: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone)
