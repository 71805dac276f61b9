"""The months' peaks by a capacity rule: which intervals count, what is billed, what it costs.

Must not know readings, entities or a clock: whole intervals come in, and the moment that is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal

from . import calendar_time
from .capacity_window import ClosedWindow
from .channel import capacity
from .channel.capacity import CapacityRule, IntervalMean
from .channel.presets import Preset

_KEPT = 31
"""Of a month's intervals: the highest of each day where a rule takes one a day."""
_MINUTES_AN_HOUR = 60
_MONTHS_A_YEAR = 12
_CENT = Decimal("0.01")

type Kept = dict[str, list[list[int]]]
"""By month (``2026-11``): the UTC second at which an interval began, and its mean power (W)."""


@dataclass(frozen=True, slots=True)
class Peak:
    """One interval that counts; its power is as measured, without the rule's weight."""

    start: datetime
    power_w: int


@dataclass(frozen=True, slots=True)
class Billed:
    """What the rule comes to at a moment; None where nothing was measured yet."""

    peaks: tuple[Peak, ...]
    """Of the month, highest (weighed) first."""
    capacity_w: int | None
    charge: Decimal | None
    """Of one month; None also where no price is known for that day."""


class Months:
    """The peaks of the running month and those before it, as far as the rule looks back."""

    def __init__(self, preset: Preset, rule: CapacityRule, zone: tzinfo) -> None:
        """Know none yet. The preset's own calendar says how intervals weigh."""
        self._preset = preset
        self._rule = rule
        self._zone = zone
        self._months: dict[str, dict[datetime, int]] = {}

    def restore(self, kept: Mapping[str, Iterable[Iterable[int]]]) -> None:
        """Go on from a `state`."""
        self._months = {
            month: {datetime.fromtimestamp(at_s, UTC): power_w for at_s, power_w in windows}
            for month, windows in kept.items()
        }

    def state(self) -> Kept:
        """Return what goes on after a restart."""
        return {
            month: [[int(start.timestamp()), power_w] for start, power_w in windows.items()]
            for month, windows in self._months.items()
        }

    def add(self, windows: Iterable[ClosedWindow]) -> None:
        """Take whole intervals, live ones or from a load profile, in any order, again and again.

        The same interval takes its earlier one's place.
        """
        changed = set()
        for window in windows:
            month = _month(window.start.astimezone(self._zone).date())
            power_w = int(window.energy_wh * _MINUTES_AN_HOUR / self._rule.interval_min)
            self._months.setdefault(month, {})[window.start.astimezone(UTC)] = power_w
            changed.add(month)
        wide = replace(self._rule, count=_KEPT)
        for month in changed:
            chosen = capacity.peaks(wide, self._means(month))
            self._months[month] = {
                mean.start: mean.power_w for mean in chosen if mean.start is not None
            }
        for month in sorted(self._months)[: -(self._rule.months + 1)]:
            del self._months[month]

    def billed(self, now: datetime) -> Billed:
        """Return what the rule comes to, with the running month as if it ended now."""
        today = now.astimezone(self._zone).date()
        means = self._means(_month(today))
        peaks = tuple(
            Peak(mean.start, mean.power_w)
            for mean in capacity.peaks(self._rule, means)
            if mean.start is not None
        )
        monthly_w = [
            capacity.month_w(self._rule, self._means(month))
            for month in _last_months(today, self._rule.months)
            if self._months.get(month)
        ]
        capacity_w = capacity.capacity_w(self._rule, monthly_w) if monthly_w else None
        return Billed(
            peaks,
            capacity_w,
            None if capacity_w is None else self._charge(capacity_w, today),
        )

    def _means(self, month: str) -> list[IntervalMean]:
        calendar = self._preset.calendar
        return [
            IntervalMean(
                start.astimezone(self._zone).date(),
                power_w,
                calendar_time.tariff_at(calendar, start, self._zone),
                start,
            )
            for start, power_w in self._months.get(month, {}).items()
        ]

    def _charge(self, capacity_w: int, today: date) -> Decimal | None:
        charge = self._rule.charge
        if charge is None or not _holds(charge.valid_from, charge.valid_to, today):
            return None
        amount = charge.amount(capacity_w, self._preset.calendar.season_on(today).name)
        return (amount / _MONTHS_A_YEAR if charge.per == "year" else amount).quantize(_CENT)


def _holds(first: date | None, last: date | None, today: date) -> bool:
    return (first is None or first <= today) and (last is None or today <= last)


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _last_months(today: date, count: int) -> list[str]:
    """Return so many months up to today's, oldest first."""
    months = []
    first = today.replace(day=1)
    for _ in range(count):
        months.append(_month(first))
        first = (first - timedelta(days=1)).replace(day=1)
    return months[::-1]
