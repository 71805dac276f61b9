"""What a kWh costs, and what it earns: by tariff, with a spot price on top where one is followed.

Prices are in the currency's own unit (not øre or cent) a kWh. Must not know entities, a clock or a
store: moments come in as arguments, aware, and spot prices as they are heard.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation

from . import calendar_time
from .channel.activity_calendar import LOOK_AHEAD_DAYS, ActivityCalendar
from .channel.presets import Preset

MINOR_UNITS = 100
SPOT_KEPT = timedelta(days=2)
"""For so long back a spot price is known: what is booked later is left to the history."""
LONGEST_GUESS = timedelta(hours=1)
"""Over a span of so long any part with a known price speaks for the rest."""
LONGEST_MEAN = timedelta(days=LOOK_AHEAD_DAYS)
"""A whole year with all its seasons, and then some: what was before speaks for no more."""
_HALF = 2
_AT_ONCE = timedelta(minutes=1)
"""The shortest time between two changes of a calendar."""

_PER_ENERGY = re.compile(r"(?P<money>\S.*?)\s*/\s*(?P<energy>Wh|kWh|MWh)")
_TO_KWH = {"Wh": Decimal(1000), "kWh": Decimal(1), "MWh": Decimal("0.001")}
_MINOR = {"øre", "öre", "ore", "cent", "cents", "ct", "c", "¢", "c€"}
_CODE = re.compile("[A-Z]{3}")


class UnitError(ValueError):
    """A unit that is no price of energy, or one in another currency; the text is its key."""


def per_kwh(value: str, unit: str | None, currency: str) -> Decimal | None:
    """Return a sensor's price in the currency a kWh; None for what is no number.

    Raises UnitError (`spot_unit`, `spot_currency`) for a unit that does not serve.
    """
    factor = unit_factor(unit, currency)
    try:
        price = Decimal(value)
    except InvalidOperation:
        return None
    return price * factor if price.is_finite() else None


def unit_factor(unit: str | None, currency: str) -> Decimal:
    """Return by what a price in this unit is multiplied to be in the currency a kWh."""
    found = _PER_ENERGY.fullmatch(unit or "")
    if found is None:
        raise UnitError("spot_unit")
    money = found["money"]
    if _CODE.fullmatch(money) and money != currency:
        raise UnitError("spot_currency")
    factor = _TO_KWH[found["energy"]]
    return factor / MINOR_UNITS if money.lower() in _MINOR else factor


class SpotPrices:
    """What a price-now sensor said, and since when; it is forgotten after two days."""

    def __init__(self) -> None:
        """Know no price yet."""
        self._since: list[datetime] = []
        self._prices: list[Decimal | None] = []

    def heard(self, moment: datetime, price: Decimal | None) -> bool:
        """Take the price in force from a moment on; None: it is not known from then on.

        Returns whether it is another than before.
        """
        if self._prices and self._prices[-1] == price:
            return False
        self._since.append(moment)
        self._prices.append(price)
        # The one in force at the edge is still wanted.
        old = bisect_right(self._since, moment - SPOT_KEPT) - 1
        if old > 0:
            del self._since[:old], self._prices[:old]
        return True

    def at(self, moment: datetime) -> Decimal | None:
        """Return the price that was in force at a moment, None where it is not known."""
        place = bisect_right(self._since, moment)
        return self._prices[place - 1] if place else None

    def changes(self, after: datetime, until: datetime) -> list[datetime]:
        """Return when it became another between two moments."""
        return [since for since in self._since if after < since < until]


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one direction."""

    per_tariff: Mapping[int, Decimal] = field(default_factory=dict)
    """As they were typed."""
    preset: Preset | None = None
    """It gives what was not typed, as far as it knows."""
    spot: SpotPrices | None = None
    """Comes on top of the tariff's price, which is then nothing where none is given at all."""

    @property
    def any(self) -> bool:
        """Whether there is anything to tell a price by."""
        return bool(self.per_tariff) or self.spot is not None or self._preset_has_some

    @property
    def _preset_has_some(self) -> bool:
        return self.preset is not None and bool(self.preset.prices)

    def price(self, tariff: int | None, moment: datetime, zone: tzinfo) -> Decimal | None:
        """Return the price of a kWh in a tariff at a moment; None where it is not known."""
        price = self._of_tariff(tariff, moment, zone)
        if self.spot is None or price is None:
            return price
        spot = self.spot.at(moment)
        return None if spot is None else price + spot

    def _of_tariff(self, tariff: int | None, moment: datetime, zone: tzinfo) -> Decimal | None:
        if not self.per_tariff and not self._preset_has_some:
            return Decimal(0) if self.spot is not None else None
        if tariff is None:
            return None
        typed = self.per_tariff.get(tariff)
        if typed is not None or self.preset is None:
            return typed
        price = self.preset.price_of(tariff, moment.astimezone(zone).date())
        return None if price is None else price / MINOR_UNITS


@dataclass(frozen=True, slots=True)
class Pricing:
    """The prices of both directions, and the calendar that says which tariff is in force."""

    currency: str
    zone: tzinfo
    """The meter's local time."""
    calendar: ActivityCalendar | None
    """None: not known yet, so that no price that depends on the tariff is either."""
    imported: Prices
    exported: Prices

    def import_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh from the grid costs at an aware moment; None where it is not known."""
        return self.imported.price(self.tariff_at(moment), moment, self.zone)

    def export_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh to the grid earns at an aware moment; None where it is not known."""
        return self.exported.price(self.tariff_at(moment), moment, self.zone)

    def tariff_at(self, moment: datetime) -> int | None:
        """Return the calendar's tariff at a moment."""
        if self.calendar is None:
            return None
        return calendar_time.tariff_at(self.calendar, moment, self.zone)

    def mean(
        self, prices: Prices, start: datetime, end: datetime, tariff: int | None = None
    ) -> Decimal | None:
        """Return the mean price over a span, by time, from what is known of it.

        With a tariff: over the parts in which it was in force, or over all where the calendar says
        that it never was (the utility had overridden it). Of a longer span its last 400 days count,
        so that no span, however wrong a clock was, is walked through for seconds. None where less
        than half is known of more than an hour, or nothing at all.
        """
        if end - start > LONGEST_MEAN:
            start = end - LONGEST_MEAN
        if end - start <= _AT_ONCE:  # nearly each push: the price is the same at both ends
            price = self._price_at(prices, start, tariff)
            if price is not None and price == self._price_at(prices, end, tariff):
                return price
        parts = self._parts(prices, start, end)
        if tariff is not None:
            own = [part for part in parts if self.tariff_at(part[0]) == tariff]
            parts = own or parts
        known_s = total_s = 0.0
        weighed = Decimal(0)
        for begun, ended in parts:
            seconds = (ended - begun).total_seconds()
            total_s += seconds
            price = self._price_at(prices, begun, tariff)
            if price is not None:
                known_s += seconds
                weighed += price * Decimal(seconds)
        if known_s == 0 or (end - start > LONGEST_GUESS and known_s * _HALF < total_s):
            return None
        return weighed / Decimal(known_s)

    def _price_at(self, prices: Prices, moment: datetime, tariff: int | None) -> Decimal | None:
        in_force = self.tariff_at(moment) if tariff is None else tariff
        return prices.price(in_force, moment, self.zone)

    def _parts(
        self, prices: Prices, start: datetime, end: datetime
    ) -> list[tuple[datetime, datetime]]:
        """Return a span in parts, in each of which the price is one."""
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        cuts = {end}
        if self.calendar is not None:
            changes = calendar_time.changes(self.calendar, start, end, self.zone)
            cuts.update(change.at for change in changes)
        if prices.spot is not None:
            cuts.update(prices.spot.changes(start, end))
        midnight = calendar_time.next_midnight(start, self.zone)  # a preset's prices have dates
        while midnight < end:
            cuts.add(midnight)
            midnight = calendar_time.next_midnight(midnight, self.zone)
        ends = sorted(cuts)
        return list(zip([start, *ends], ends, strict=False))
