"""Which prices were in force when: what is over is priced by those of then, and not of now.

Must not know Home Assistant, a clock or a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
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

type Spans = Sequence[Sequence[int]]
"""Of hours (UTC, since 1970), as a store keeps them: the first and the last of each."""

type Eras = Sequence[Mapping[str, Any]]
"""As a store keeps them, the oldest first: ``since_s`` (UTC), ``currency``, and ``options``."""


def noted(
    eras: Eras, options: Mapping[str, Any], currency: str, now_s: int
) -> list[Mapping[str, Any]]:
    """Note the prices that an entry's options give now; those of another currency serve nobody."""
    era = {
        "since_s": now_s,
        "currency": currency,
        "options": {key: options[key] for key in _OPTIONS if key in options},
    }
    if not eras or eras[-1]["currency"] != currency:
        return [era]
    return [*eras] if eras[-1]["options"] == era["options"] else [*eras, era][-ERAS_KEPT:]


def overridden(spans: Spans, at_s: int) -> list[list[int]]:
    """Note that the utility had overridden the calendar at a moment (UTC seconds)."""
    hour, noted = at_s // _HOUR_S, [[*span] for span in spans]
    if is_overridden(spans, at_s):
        return noted
    if noted and noted[-1][1] == hour - 1:
        noted[-1][1] = hour
        return noted
    return [*noted, [hour, hour]][-SPANS_KEPT:]


def is_overridden(spans: Spans, at_s: int) -> bool:
    """Whether the calendar does not tell the tariff of an hour, or of some of it."""
    return any(first <= at_s // _HOUR_S <= last for first, last in spans)


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
    ) -> None:
        """Know the prices of now, and the calendar that counts where no preset was chosen.

        In the hours of ``spans`` it did not count: their cost was counted as they went.
        """
        self._spans = spans
        self._until = [
            (after["since_s"], _pricing(era["options"], now, own_calendar))
            for era, after in pairwise(eras)
        ]
        self._now = now

    def import_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh from the grid cost at an aware moment; None where it is not known."""
        then = self._at(moment)
        return None if then is None else then.import_price(moment)

    def export_price(self, moment: datetime) -> Decimal | None:
        """Return what a kWh to the grid earned at an aware moment; None where it is not known."""
        then = self._at(moment)
        return None if then is None else then.export_price(moment)

    def _at(self, moment: datetime) -> Pricing | None:
        at_s = int(moment.timestamp())
        if is_overridden(self._spans, at_s):
            return None
        return next((pricing for until_s, pricing in self._until if at_s < until_s), self._now)


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
