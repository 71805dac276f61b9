"""Presets: tariffs of real grid companies as data, one JSON file each in `presets/`.

A new one is a new file, its name the id. Must not know the meter or Home Assistant: both ends
choose from the same list. The files come with the package; nothing else is done with a file here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from .activity_calendar import ActivityCalendar, tariff_at
from .capacity import CapacityCharge, CapacityRule, PricePerKw, Step

_FOLDER = "presets"
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Text:
    """One text in the languages of this project."""

    en: str
    da: str


@dataclass(frozen=True, slots=True)
class TariffLabel:
    """What a tariff is called: `key` for programs (``standard``, ``low``, ``high``, ``peak``)."""

    tariff: int
    key: str
    label: Text


@dataclass(frozen=True, slots=True)
class EnergyPrices:
    """Prices of a kWh by tariff in the minor unit (øre), in one season and between two dates."""

    valid_from: date
    valid_to: date | None
    """The last day; None where no end is known."""
    season: str | None
    """The calendar's season, None: all year."""
    vat_included: bool | None
    """None where the source does not say."""
    per_kwh: dict[int, Decimal]


@dataclass(frozen=True, slots=True)
class Preset:
    """One grid tariff: when which tariff holds, what it is called and what is known of its cost."""

    id: str
    country: str
    """ISO 3166-1, two letters."""
    time_zone: str
    name: Text
    source: str
    facts_date: date | None
    """The day as of which the source gave this; None where it gave none."""
    notes: Text
    currency: str
    minor_unit: str
    calendar: ActivityCalendar
    tariffs: tuple[TariffLabel, ...]
    prices: tuple[EnergyPrices, ...]
    capacity: CapacityRule | None

    def label(self, tariff: int) -> TariffLabel:
        """Return the row of a tariff. Raises KeyError for one that the preset does not have."""
        for row in self.tariffs:
            if row.tariff == tariff:
                return row
        raise KeyError(tariff)

    def price(self, day: date, minute_of_day: int) -> Decimal | None:
        """Return the grid's price of a kWh then, in the minor unit; None where it is not known."""
        return self.price_of(tariff_at(self.calendar, day, minute_of_day), day)

    def price_of(self, tariff: int, day: date) -> Decimal | None:
        """Return what a kWh costs in a tariff that day, in the minor unit; None: not known."""
        season = self.calendar.season_on(day).name
        for prices in self.prices:
            if (
                prices.valid_from <= day
                and (prices.valid_to is None or day <= prices.valid_to)
                and prices.season in (None, season)
            ):
                return prices.per_kwh.get(tariff)
        return None


@cache
def names() -> tuple[str, ...]:
    """Return the ids of all presets, sorted."""
    folder = files(__package__).joinpath(_FOLDER)
    found = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


@cache
def load(preset_id: str) -> Preset:
    """Return a preset. Raises KeyError for an id that is not among `names()`."""
    if preset_id not in names():  # also keeps a stranger's text from becoming a path
        raise KeyError(preset_id)
    file = files(__package__).joinpath(_FOLDER, preset_id + _SUFFIX)
    return _preset(preset_id, json.loads(file.read_text(encoding="utf-8")))


@cache
def load_all() -> dict[str, Preset]:
    """Return all presets by id. The first call reads files, later ones do not."""
    return {preset_id: load(preset_id) for preset_id in names()}


def _preset(preset_id: str, data: dict[str, Any]) -> Preset:
    capacity = data["capacity"]
    return Preset(
        id=preset_id,
        country=data["country"],
        time_zone=data["time_zone"],
        name=Text(**data["name"]),
        source=data["source"],
        facts_date=_date(data["facts_date"]),
        notes=Text(**data["notes"]),
        currency=data["currency"],
        minor_unit=data["minor_unit"],
        calendar=ActivityCalendar.from_json(data["calendar"]),
        tariffs=tuple(
            TariffLabel(row["tariff"], row["key"], Text(row["en"], row["da"]))
            for row in data["tariffs"]
        ),
        prices=tuple(_prices(row) for row in data["prices"]),
        capacity=None if capacity is None else _capacity(capacity),
    )


def _prices(data: dict[str, Any]) -> EnergyPrices:
    return EnergyPrices(
        valid_from=date.fromisoformat(data["valid_from"]),
        valid_to=_date(data["valid_to"]),
        season=data["season"],
        vat_included=data["vat_included"],
        per_kwh={int(tariff): Decimal(price) for tariff, price in data["per_kwh"].items()},
    )


def _capacity(data: dict[str, Any]) -> CapacityRule:
    charge = data["charge"]
    return CapacityRule(
        kind=data["kind"],
        count=data["count"],
        distinct_days=data["distinct_days"],
        interval_min=data["interval_min"],
        months=data["months"],
        minimum_w=data["minimum_w"],
        weight_percent={int(tariff): weight for tariff, weight in data["weight_percent"].items()},
        charge=CapacityCharge(
            per=charge["per"],
            vat_included=charge["vat_included"],
            valid_from=_date(charge["valid_from"]),
            valid_to=_date(charge["valid_to"]),
            per_kw=tuple(
                PricePerKw(row["season"], Decimal(row["amount"])) for row in charge["per_kw"]
            ),
            steps=tuple(Step(row["from_w"], Decimal(row["amount"])) for row in charge["steps"]),
        ),
    )


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
