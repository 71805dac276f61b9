"""The tariff of one meter: its calendar, its prices, what they say now, and when that changes.

The calendar is the meter's own, asked for by the consumer's keys and kept, or that of a preset.
Must not know entities, nor how a meter is asked.
"""

from __future__ import annotations

import logging
from asyncio import Task
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT
from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_registry import EventEntityRegistryUpdatedData
from homeassistant.helpers.event import (
    async_track_entity_registry_updated_event,
    async_track_point_in_time,
    async_track_state_change_event,
)
from homeassistant.util import dt as dt_util

from . import calendar_time
from .calendar_time import Change
from .channel import calendar_data, objects, presets, registers, services
from .channel.activity_calendar import ActivityCalendar, CalendarError, single_tariff
from .channel.axdr import Value
from .channel.presets import Preset
from .channel.typed import TypeMismatchError
from .choices import Choices
from .const import CONF_EXPORT_SPOT, CONF_IMPORT_SPOT
from .costs import Costs
from .data import States, Tariff
from .log_entries import NewEntry
from .pricing import Prices, Pricing, SpotPrices, UnitError, per_kwh
from .store import MeterRecord

_LOGGER = logging.getLogger(__name__)

ASK_EVERY = timedelta(days=1)
ASK_AGAIN = timedelta(minutes=10)
"""After it went wrong."""
ASK_WHEN_AT_ODDS = timedelta(hours=1)
"""A tariff that the calendar does not say may be an override as well, which may last for weeks."""
_CALENDAR_EVENTS = {"calendar_activated", "calendar_programmed"}

COUNTERS = tuple(
    register.key
    for register in registers.REGISTERS
    if register.quantity.name in ("import_active_energy", "export_active_energy")
    and register.phase is None
)
"""What costs are counted by: the totals, and those by tariff."""


class _Override(NamedTuple):
    """The tariff that the meter says where its calendar says another."""

    tariff: int
    until: datetime
    """As far as it is believed of a meter that says nothing any more: how long it lasts is nowhere
    to be read, and people who act on it must not wait for the meter's return."""


class Asks(Protocol):
    """Whoever carries a service to the meter and brings its value back."""

    async def async_ask(self, service: bytes) -> Value:
        """Return the value. Raises HomeAssistantError where none comes."""


class Tariffs:
    """Which tariff is in force and what it costs, of one meter."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        choices: Choices,
        record: MeterRecord,
        turned: Callable[[], None],
    ) -> None:
        """Know what was chosen and kept. `turned` is called when time or a price changed it."""
        self._hass = hass
        self._entry = entry
        self._choices = choices
        self._record = record
        self._turned = turned
        self._zone = dt_util.get_default_time_zone()
        self._import_spot = SpotPrices() if choices.import_spot else None
        self._export_spot = SpotPrices() if choices.export_spot else None
        self.costs = Costs()
        self.costs.restore(record.costs)
        self._override: _Override | None = None
        self._next: Change | None = None
        self._asked_at: datetime | None = None  # with success
        self._ask_at: datetime | None = None  # not before
        self._asking: Task[None] | None = None
        self._told_refusal = False
        self._told_units: set[str] = set()
        self._cancel_timer: CALLBACK_TYPE | None = None
        self._leave_spots: list[CALLBACK_TYPE] = []
        self._use(self._kept_calendar())
        if self.pricing is None:  # what is used meanwhile is nobody's to price later
            record.costs.pop("counted", None)

    # --- what is known -------------------------------------------------------------------------

    @property
    def pricing(self) -> Pricing | None:
        """The prices, None where nothing is known of any."""
        known = self._pricing.imported.any or self._pricing.exported.any
        return self._pricing if known else None

    @property
    def priced(self) -> tuple[bool, bool]:
        """Whether there is anything to price import by, and export."""
        return self._pricing.imported.any, self._pricing.exported.any

    @property
    def is_overridden(self) -> bool:
        """Whether the meter says that another tariff is in force than its calendar says.

        A calendar that is not known yet says nothing that could be overridden.
        """
        return self._override is not None and self.calendar is not None

    def label(self, tariff: int) -> str:
        """Return a tariff's name in the user's language, its number where it has no name."""
        rows = () if self._labels is None else self._labels.tariffs
        text = {row.tariff: row.label for row in rows}.get(tariff)
        if text is None:
            return f"T{tariff}"
        return text.da if self._hass.config.language == "da" else text.en

    def now(self, *, is_there: bool) -> Tariff:
        """Return what calendar, meter and prices say now; `is_there`: whether the meter is."""
        pricing, calendar = self._pricing, self.calendar
        moment, override = dt_util.utcnow(), self._override
        holds = override is not None and (is_there or moment < override.until)
        tariff = override.tariff if override is not None and holds else None
        if calendar is None and tariff is None and self.pricing is None:
            return Tariff(
                currency=pricing.currency,
                costs=dict(self.costs.totals),
                costs_since=dict(self.costs.since),
            )
        if tariff is None and calendar is not None:
            tariff = calendar_time.tariff_at(calendar, moment, self._zone)
        # A bridged meter without a calendar has one price at all hours.
        priced = pricing.tariff_at(moment) if tariff is None else tariff
        used = [] if calendar is None else calendar_time.tariffs_of(calendar)
        return Tariff(
            tariff,
            tariff == used[-1] if len(used) > 1 else None,
            None if self._next is None else self._next.at,
            None if self._next is None else self._next.tariff,
            pricing.currency,
            pricing.imported.price(priced, moment, self._zone),
            pricing.exported.price(priced, moment, self._zone),
            dict(self.costs.totals),
            dict(self.costs.since),
        )

    def _use(self, calendar: ActivityCalendar | None) -> None:
        """Go by a calendar from now on."""
        choices, preset = self._choices, self._choices.tariff_preset
        self.calendar = calendar
        self._labels = preset or _preset_with(calendar)
        self._pricing = Pricing(
            choices.currency(self._hass.config.currency),
            self._zone,
            single_tariff() if calendar is None and choices.is_bridged else calendar,
            Prices(choices.import_prices, preset, self._import_spot),
            Prices(choices.export_prices, None, self._export_spot),
        )

    def _kept_calendar(self) -> ActivityCalendar | None:
        if self._choices.tariff_preset is not None:
            return self._choices.tariff_preset.calendar
        if self._record.calendar is None:
            return None
        try:
            return ActivityCalendar.from_json(self._record.calendar)
        except CalendarError:  # another version kept it
            return None

    # --- time and spot prices ------------------------------------------------------------------

    @callback
    def async_start(self) -> None:
        """Follow the clock and the price-now sensors."""
        self._follow()
        self._look_ahead()

    @callback
    def async_stop(self) -> None:
        """Follow nothing any more."""
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
        self._leave_prices()
        if self._asking is not None:
            self._asking.cancel()

    def _look_ahead(self) -> None:
        """Find the next change, and wake when it comes, or at midnight: prices have dates."""
        now = dt_util.utcnow()
        if self.calendar is not None:
            self._next = calendar_time.next_change(self.calendar, now, self._zone)
        wake = calendar_time.next_turn(self.calendar, now, self._zone)
        if self._cancel_timer is not None:
            self._cancel_timer()
        self._cancel_timer = async_track_point_in_time(self._hass, self._on_time, wake)

    @callback
    def _on_time(self, _now: datetime) -> None:
        self._cancel_timer = None
        self._look_ahead()
        self._turned()

    def _follow(self) -> None:
        """Hear what the price-now sensors say now and from now on, whatever they are called."""
        followed = self._followed()
        for entity_id in followed:
            if (state := self._hass.states.get(entity_id)) is not None:
                self._hear_price(entity_id, state, state.last_changed)
        if followed:
            self._leave_spots = [
                async_track_state_change_event(self._hass, list(followed), self._on_price),
                async_track_entity_registry_updated_event(
                    self._hass, list(followed), self._on_registry
                ),
            ]

    def _leave_prices(self) -> None:
        for leave in self._leave_spots:
            leave()
        self._leave_spots = []

    @property
    def missing_prices(self) -> list[str]:
        """The price-now sensors (entity ids) that Home Assistant does not know now."""
        return [one for one in self._followed() if self._hass.states.get(one) is None]

    def _followed(self) -> Mapping[str, list[SpotPrices]]:
        """Return the price-now sensors, with what is told by each: one may serve both ways."""
        found: dict[str, list[SpotPrices]] = {}
        for entity_id, spot in (
            (self._choices.import_spot, self._import_spot),
            (self._choices.export_spot, self._export_spot),
        ):
            if entity_id is not None and spot is not None:
                found.setdefault(entity_id, []).append(spot)
        return found

    @callback
    def _on_registry(self, event: Event[EventEntityRegistryUpdatedData]) -> None:
        """Go on with a price-now sensor that was given another name, and keep that name."""
        if event.data["action"] != "update" or "old_entity_id" not in event.data:
            return
        before, after = event.data["old_entity_id"], event.data["entity_id"]
        options = {**self._entry.options}
        for option in (CONF_IMPORT_SPOT, CONF_EXPORT_SPOT):
            if options.get(option) == before:
                options[option] = after
        self._choices = Choices.of(options)
        self._hass.config_entries.async_update_entry(self._entry, options=options)
        self._leave_prices()
        self._follow()
        self._turned()

    @callback
    def _on_price(self, event: Event[EventStateChangedData]) -> None:
        entity_id = event.data["entity_id"]
        if self._hear_price(entity_id, event.data["new_state"], event.time_fired):
            self._turned()

    def _hear_price(self, entity_id: str, state: State | None, moment: datetime) -> bool:
        """Take what a price-now sensor says; return whether it is another price."""
        price = None
        if state is not None:
            unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
            try:
                price = per_kwh(state.state, unit, self._pricing.currency)
            except UnitError:
                if entity_id not in self._told_units and unit is not None:
                    self._told_units.add(entity_id)
                    _LOGGER.warning(
                        "%s is in %s, which is no price of a kWh in %s; it is left out",
                        entity_id,
                        unit,
                        self._pricing.currency,
                    )
        is_other = [spot.heard(moment, price) for spot in self._followed()[entity_id]]
        return any(is_other)

    # --- what the meter says -------------------------------------------------------------------

    @callback
    def heard(self, sent: datetime, counters_wh: Mapping[str, float], states: States) -> None:
        """Take a frame, sent at a time of the meter: book its counters, see its tariff."""
        own = self._choices.tariff_preset is None
        pushed = states.number(objects.ACTIVE_TARIFF) if own else None
        if pushed not in registers.TARIFFS:
            pushed = None
        said = None
        if self.calendar is not None:
            said = calendar_time.tariff_at(self.calendar, sent, self._zone)
        self._override = None
        if pushed is not None and pushed != said:
            as_of = min(sent, dt_util.utcnow())
            until = calendar_time.next_turn(self.calendar, as_of, self._zone)
            self._override = _Override(pushed, until)
        if self._override is not None and self._asked_at is not None and self._ask_at is not None:
            self._ask_at = min(self._ask_at, self._asked_at + ASK_WHEN_AT_ODDS)
        if self.pricing is not None:
            self.costs.book(self._pricing, counters_wh, sent, by_tariff=own)
            self._record.costs = self.costs.state()

    @callback
    def told(self, news: tuple[NewEntry, ...]) -> None:
        """See in the meter's log that it has another calendar."""
        if any(one.entry.name in _CALENDAR_EVENTS for one in news):
            self._ask_at = None

    @callback
    def ask_if_due(self, asker: Asks | None) -> None:
        """Ask the meter for its calendar: at first, each day, and when it seems to be another."""
        if asker is None or self._choices.tariff_preset is not None:
            return
        if self._asking is not None and not self._asking.done():
            return
        now = dt_util.utcnow()
        if self._ask_at is not None and now < self._ask_at:
            return
        self._asking = self._entry.async_create_background_task(
            self._hass, self._async_ask(asker), f"{self._entry.title}: the meter's calendar"
        )

    async def _async_ask(self, asker: Asks) -> None:
        try:
            calendar = await async_read_calendar(asker)
        except (HomeAssistantError, TypeMismatchError, ValueError) as error:
            self._ask_at = dt_util.utcnow() + ASK_AGAIN
            level = logging.DEBUG if self._told_refusal else logging.WARNING
            self._told_refusal = True
            _LOGGER.log(level, "%s: no calendar was read: %s", self._entry.title, error)
            return
        self._asked_at = dt_util.utcnow()
        self._ask_at = self._asked_at + ASK_EVERY
        self._told_refusal = False
        if calendar != self.calendar:
            self._record.calendar = calendar.to_json()
            self._use(calendar)
            self._override = None  # the next frame tells
            self._look_ahead()
        self._turned()


async def async_read_calendar(asker: Asks) -> ActivityCalendar:
    """Return the calendar that is in force in the meter, special days included.

    Raises HomeAssistantError where the meter does not answer or refuses, TypeMismatchError and
    ValueError for what is no calendar.
    """
    found: dict[str, Any] = {}
    for piece in calendar_data.PIECES:
        service = services.get(objects.ACTIVITY_CALENDAR, piece.number)
        found[piece.key] = piece.read(await asker.async_ask(service))
    days = await asker.async_ask(services.get(objects.SPECIAL_DAYS))
    found["special_days"] = calendar_data.read_special_days(days)
    return ActivityCalendar.from_json(found | {"tariffs": calendar_data.tariffs(found["days"])})


def _preset_with(calendar: ActivityCalendar | None) -> Preset | None:
    """Return the preset that has this calendar, and so its tariffs' names."""
    for preset in presets.load_all().values():
        if preset.calendar == calendar:
            return preset
    return None
