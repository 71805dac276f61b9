"""Capacity charges: what a month's highest intervals come to, by a rule that is data.

Norway, Flanders and Sweden bill households by their peaks, each in its own way; a rule says which
intervals count, how heavily, and what is averaged. Must not know a clock: whoever asks brings the
means of the intervals, each with its day and the tariff in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from heapq import nlargest
from typing import Literal, NamedTuple

from .activity_calendar import MAX_TARIFFS

FULL_WEIGHT = 100
_W_A_KW = 1000

type CapacityKind = Literal["mean_of_highest"]
type BillingTime = Literal["month", "year"]


class IntervalMean(NamedTuple):
    """The mean import of one interval (15 or 60 minutes by the rule)."""

    day: date
    """The local date on which the interval began."""
    power_w: int
    tariff: int
    """The tariff in force at its start: rules weigh by it."""
    start: datetime | None = None
    """When it began, for who shows it; no rule looks at it."""


class PricePerKw(NamedTuple):
    """What a kW costs each billing time, in the season of that name (None: always)."""

    season: str | None
    amount: Decimal


class Step(NamedTuple):
    """A flat charge from this power on, the power itself included."""

    from_w: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CapacityCharge:
    """What the capacity costs, in the preset's currency: by the kW or in steps."""

    per: BillingTime
    vat_included: bool | None
    """None where the source does not say."""
    valid_from: date | None
    valid_to: date | None
    """The last day; None where no end is known."""
    per_kw: tuple[PricePerKw, ...] = ()
    steps: tuple[Step, ...] = ()

    def amount(self, power_w: int, season: str | None = None) -> Decimal:
        """Return the charge of one billing time (`per`) for a capacity in that season.

        Steps are reached exactly at their power. Raises ValueError where there is no price for it.
        """
        if self.steps:
            reached = [step.amount for step in self.steps if step.from_w <= power_w]
            if not reached:
                raise ValueError(f"no step for {power_w} W")
            return reached[-1]
        for price in self.per_kw:
            if price.season in (None, season):
                return price.amount * power_w / _W_A_KW
        raise ValueError(f"no price in season {season!r}")


@dataclass(frozen=True, slots=True)
class CapacityRule:
    """Which intervals are averaged into the capacity that is billed.

    Each month's `count` highest interval means (`distinct_days`: at most one a day) are averaged
    and raised to `minimum_w`; the capacity is the mean of the last `months` such figures.
    """

    kind: CapacityKind
    count: int
    distinct_days: bool
    interval_min: int
    months: int
    minimum_w: int = 0
    weight_percent: Mapping[int, int] = field(default_factory=dict)
    """By tariff, 100 where none is given; 0: intervals in that tariff do not count."""
    charge: CapacityCharge | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.months < 1 or self.minimum_w < 0:
            raise ValueError("a rule averages at least one interval of at least one month")
        if self.interval_min not in (15, 60):
            raise ValueError(f"an interval of {self.interval_min} min; possible are 15 and 60 min")
        for tariff, weight in self.weight_percent.items():
            if not 1 <= tariff <= MAX_TARIFFS or not 0 <= weight <= FULL_WEIGHT:
                raise ValueError(f"a weight of {weight} % for tariff {tariff}")


def peaks(rule: CapacityRule, means: Iterable[IntervalMean]) -> list[IntervalMean]:
    """Return the intervals of one month that count, highest weighed power first.

    At most `rule.count`; fewer where the month has not had as many yet. Their powers are as
    measured, without the weight.
    """
    counting = [mean for mean in means if _weight(rule, mean) > 0]
    if rule.distinct_days:
        highest: dict[date, IntervalMean] = {}
        for mean in counting:
            best = highest.get(mean.day)
            if best is None or _weighed(rule, mean) > _weighed(rule, best):
                highest[mean.day] = mean
        counting = list(highest.values())
    return nlargest(rule.count, counting, key=lambda mean: _weighed(rule, mean))


def month_w(rule: CapacityRule, means: Iterable[IntervalMean]) -> int:
    """Return the figure of one month (W, rounded down) from the means of its intervals.

    Early in a month, with fewer peaks than the rule counts, their mean; the rule's minimum where
    there is none. Rounding down keeps a step from being reached by less than its power.
    """
    chosen = peaks(rule, means)
    if not chosen:
        return rule.minimum_w
    weighed = sum(_weighed(rule, mean) for mean in chosen)
    return max(rule.minimum_w, weighed // (FULL_WEIGHT * len(chosen)))


def capacity_w(rule: CapacityRule, monthly_w: Sequence[int]) -> int:
    """Return the capacity that is billed (W, rounded down) from months' figures, oldest first.

    The last `rule.months` of them count, or all where there are fewer; 0 where there is none. Each
    is raised to the rule's minimum, so that figures from elsewhere may be given.
    """
    last = [max(rule.minimum_w, figure) for figure in monthly_w[-rule.months :]]
    return sum(last) // len(last) if last else 0


def _weight(rule: CapacityRule, mean: IntervalMean) -> int:
    return rule.weight_percent.get(mean.tariff, FULL_WEIGHT)


def _weighed(rule: CapacityRule, mean: IntervalMean) -> int:
    """Return the power in hundredths of a watt, so that nothing is rounded while averaging."""
    return mean.power_w * _weight(rule, mean)
