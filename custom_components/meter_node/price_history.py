"""Which prices were in force when: what is over is priced by those of then, and not of now.

Must not know Home Assistant, a clock or a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import dropwhile, pairwise
from typing import Any

from .channel.activity_calendar import ActivityCalendar, CalendarError, single_tariff
from .choices import Choices
from .const import (
    CONF_EXPORT_PRICES,
    CONF_EXPORT_SPOT,
    CONF_IMPORT_PRICES,
    CONF_IMPORT_SPOT,
    CONF_TARIFF_PRESET,
)
from .costs import EXPORT_COMPENSATION, IMPORT_COST
from .pricing import Prices, Pricing, SpotPrices

ERAS_KEPT = 24
"""Whoever tries prices out must not fill the store."""
_OPTIONS = (
    CONF_EXPORT_PRICES,
    CONF_EXPORT_SPOT,
    CONF_IMPORT_PRICES,
    CONF_IMPORT_SPOT,
    CONF_TARIFF_PRESET,
)

SPANS_KEPT = 200
"""Of hours with an override: half a year of one a day."""
_HOUR_S = 3600
_ROW_S = 300
"""A silence of one row of statistics moves no cost that could be told."""

type Spans = Sequence[Sequence[int]]
"""Of hours (UTC, since 1970), as a store keeps them: the first and the last of each."""

type Eras = Sequence[Mapping[str, Any]]
"""As a store keeps them, the oldest first: ``since_s`` (UTC), ``currency``, and ``options``."""


def noted(
    eras: Eras, options: Mapping[str, Any], currency: str | None, now_s: int
) -> list[Mapping[str, Any]]:
    """Note the prices that an entry's options give now; those of another currency serve nobody.

    ``currency`` is None where they give none: nothing has a price from now on. Before any was given
    that is not noted, since the first prices serve for all that was before.
    """
    if currency is None and not eras:
        return []
    currency = currency or eras[-1]["currency"]
    era = {
        "since_s": now_s,
        "currency": currency,
        "options": {key: options[key] for key in _OPTIONS if key in options},
    }
    if not eras or eras[-1]["currency"] != currency:
        return [era]
    return [*eras] if eras[-1]["options"] == era["options"] else [*eras, era][-ERAS_KEPT:]


def heard(
    spans: list[list[int]],
    stretch: Sequence[int],
    at_s: int,
    patience_s: int,
    *,
    is_overridden: bool,
) -> tuple[list[list[int]], list[int]]:
    """Take a frame of a moment (UTC seconds); return the spans, and the stretch that is heard now.

    A stretch has the moments of its first and its last frame. An absence (a longer silence than
    that, or five minutes) ends it; the hours in which one begins and ends were not counted live
    from edge to edge, so their overrides are not noted. Within an hour it is no harm.
    """
    begun_s = stretch[0] if stretch else at_s
    if stretch and _is_absence(stretch[1], at_s, patience_s):
        spans, begun_s = _without(spans, stretch[1] // _HOUR_S), at_s
    hour = at_s // _HOUR_S
    if is_overridden and begun_s <= hour * _HOUR_S:
        spans = _with(spans, hour)
    return spans, [begun_s, at_s]


def _is_absence(last_s: int, at_s: int, patience_s: int) -> bool:
    is_long = at_s - last_s > max(patience_s, _ROW_S)
    return is_long and at_s // _HOUR_S != last_s // _HOUR_S


def _with(spans: list[list[int]], hour: int) -> list[list[int]]:
    if any(first <= hour <= last for first, last in spans):
        return spans
    if spans and spans[-1][1] == hour - 1:
        return [*spans[:-1], [spans[-1][0], hour]]
    return [*spans, [hour, hour]][-SPANS_KEPT:]


def _without(spans: list[list[int]], hour: int) -> list[list[int]]:
    """Take the last hour that was noted back, if it is that one."""
    if not spans or spans[-1][1] != hour:
        return spans
    first, last = spans[-1]
    return [*spans[:-1], [first, last - 1]] if first < last else spans[:-1]


def own_calendar(
    choices: Choices, now: Pricing, kept: Mapping[str, Any] | None
) -> ActivityCalendar | None:
    """Return the calendar that counts without a preset: the meter's, as it was last read."""
    if choices.tariff_preset is None:
        return now.calendar
    if choices.is_bridged:
        return single_tariff()
    try:
        return None if kept is None else ActivityCalendar.from_json(kept)
    except CalendarError:  # another version kept it
        return None


class PricesOfThen:
    """The price of a kWh at any moment, by what was in force then; the oldest serve before, too."""

    def __init__(
        self,
        eras: Eras,
        now: Pricing,
        own_calendar: ActivityCalendar | None,
        spans: Spans,
        since_s: Mapping[str, int],
    ) -> None:
        """Know the prices of now, and the calendar that counts where no preset was chosen.

        In the hours of ``spans`` it did not count: their cost was counted as they went. The eras
        that were over at the moment of ``since_s`` (UTC seconds, by amount) serve it no more.
        """
        self._spans = spans
        until = [
            (after["since_s"], _pricing(era["options"], now, own_calendar))
            for era, after in pairwise(eras)
        ]
        late = {
            key: [one for one in until if one[0] > since_s.get(key, 0)]
            for key in (IMPORT_COST, EXPORT_COMPENSATION)
        }
        # One direction may have been given its first prices later than the other.
        self._imported = [*dropwhile(lambda one: not one[1].imported.any, late[IMPORT_COST])]
        self._exported = [
            *dropwhile(lambda one: not one[1].exported.any, late[EXPORT_COMPENSATION])
        ]
        self._now = now

    def import_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh from the grid cost at an aware moment; None where it is not known."""
        then = self._at(moment, self._imported)
        return None if then is None else then.import_price(moment)

    def export_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh to the grid earned at an aware moment; None where it is not known."""
        then = self._at(moment, self._exported)
        return None if then is None else then.export_price(moment)

    def _at(self, moment: datetime, until: Sequence[tuple[int, Pricing]]) -> Pricing | None:
        at_s = int(moment.timestamp())
        if any(first <= at_s // _HOUR_S <= last for first, last in self._spans):
            return None
        return next((pricing for until_s, pricing in until if at_s < until_s), self._now)


def _pricing(
    options: Mapping[str, Any], now: Pricing, own_calendar: ActivityCalendar | None
) -> Pricing:
    """Return the prices of earlier options; what a price-now sensor said then is not known."""
    choices = Choices.of(options)
    preset = choices.tariff_preset
    calendar = own_calendar if preset is None else preset.calendar
    return replace(
        now,
        calendar=calendar,
        imported=Prices(choices.import_prices, preset, _unheard(choices.import_spot)),
        exported=Prices(choices.export_prices, None, _unheard(choices.export_spot)),
    )


def _unheard(sensor: str | None) -> SpotPrices | None:
    return None if sensor is None else SpotPrices()
