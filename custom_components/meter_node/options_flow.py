"""The options of a meter: scale, tariff, prices, capacity and fuse; nothing is kept half.

Two forms, since how many prices are asked for depends on the tariff that was chosen, and a third
one where the scale is another. Must not know what prices and rules are for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import probatio as vol
from homeassistant.config_entries import (
    ConfigEntryState,
    ConfigFlowResult,
    OptionsFlowWithReload,
)
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    Platform,
    UnitOfElectricCurrent,
    UnitOfPower,
)
from homeassistant.data_entry_flow import section
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import (
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.util import dt as dt_util

from . import scale
from .channel import presets
from .channel.activity_calendar import ActivityCalendar
from .channel.kamstrup_v0001 import SCALER_PROFILES
from .channel.presets import Preset
from .channel.reading import scaled
from .channel.registers import TARIFFS
from .choices import Choices
from .const import (
    CONF_CAPACITY_LIMIT,
    CONF_CAPACITY_PRESET,
    CONF_EXPORT_PRICES,
    CONF_EXPORT_SPOT,
    CONF_IMPORT_PRICES,
    CONF_IMPORT_SPOT,
    CONF_MAIN_FUSE,
    CONF_SCALER_PROFILE,
    CONF_SYSTEM_TITLE,
    CONF_TARIFF_PRESET,
    DOMAIN,
)
from .coordinator import MeterNodeCoordinator
from .pricing import MINOR_UNITS, UnitError, unit_factor
from .store import async_get_store

SECTION_SCALE = "scale"
SECTION_TARIFF = "tariff"
SECTION_CAPACITY = "capacity"
SECTION_IMPORT = "import"
SECTION_EXPORT = "export"

TARIFFS_WITHOUT_CALENDAR = 4
"""So many prices are asked for while the meter's calendar is not known, and those that are given
already: few have more tariffs."""

_ALWAYS_CHOSEN = frozenset({CONF_IMPORT_PRICES, CONF_EXPORT_PRICES})
"""What stands in the options once they were submitted: a fuse that lacks then was emptied."""

_SHOWN = ("import_active_energy", "export_active_energy")
_WH_A_KWH = 1000

_DIRECTIONS = (
    (SECTION_IMPORT, CONF_IMPORT_PRICES, CONF_IMPORT_SPOT),
    (SECTION_EXPORT, CONF_EXPORT_PRICES, CONF_EXPORT_SPOT),
)

PROFILE = SelectSelector(
    SelectSelectorConfig(
        options=list(SCALER_PROFILES),
        mode=SelectSelectorMode.LIST,
        translation_key=CONF_SCALER_PROFILE,
    )
)
_SENSOR = EntitySelector(EntitySelectorConfig(domain=["sensor", "input_number", "number"]))


def _number(least: float, most: float, step: float | Literal["any"], unit: str) -> NumberSelector:
    return NumberSelector(
        NumberSelectorConfig(
            min=least,
            max=most,
            step=step,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement=unit,
        )
    )


_LIMIT = _number(0.1, 100, "any", UnitOfPower.KILO_WATT)
_FUSE = _number(1, 100, 1, UnitOfElectricCurrent.AMPERE)


class MeterNodeOptionsFlow(OptionsFlowWithReload):
    """Changes what a user may choose of a meter; the entry is loaded anew with it."""

    def __init__(self) -> None:
        """Have chosen nothing yet."""
        self._chosen: dict[str, Any] = {}

    # --- scale, tariff, capacity ---------------------------------------------------------------

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all but the prices."""
        await self.hass.async_add_executor_job(presets.load_all)
        errors: dict[str, str] = {}
        typed: Mapping[str, Any] = self.config_entry.options
        if user_input is not None:
            typed = _flat(user_input)
            if CONF_CAPACITY_LIMIT in typed and CONF_CAPACITY_PRESET not in typed:
                errors[SECTION_CAPACITY] = "limit_without_rule"
            if self._exponent(typed) and self._is_rescaling:
                errors[SECTION_SCALE] = "rescaling"
            if not errors:
                self._chosen = dict(typed)
                return await self.async_step_prices()
        is_new = not self.config_entry.options.keys() & _ALWAYS_CHOSEN
        if is_new and user_input is None and self._limit_a is not None:
            typed = {**typed, CONF_MAIN_FUSE: self._limit_a}
        return self.async_show_form(
            step_id="init", data_schema=self._schema_of_init(typed), errors=errors
        )

    def _schema_of_init(self, typed: Mapping[str, Any]) -> vol.Schema:
        sections: dict[vol.Marker, Any] = {}
        if CONF_SCALER_PROFILE in self.config_entry.options:
            default = typed[CONF_SCALER_PROFILE]
            fields = {vol.Required(CONF_SCALER_PROFILE, default=default): PROFILE}
            sections[vol.Required(SECTION_SCALE)] = section(vol.Schema(fields))
        tariff = {
            _optional(CONF_TARIFF_PRESET, typed): self._presets(
                lambda preset: preset.calendar.tariffs > 1
            )
        }
        capacity = {
            _optional(CONF_CAPACITY_PRESET, typed): self._presets(
                lambda preset: preset.capacity is not None
            ),
            _optional(CONF_CAPACITY_LIMIT, typed): _LIMIT,
            _optional(CONF_MAIN_FUSE, typed): _FUSE,
        }
        sections[vol.Required(SECTION_TARIFF)] = section(vol.Schema(tariff))
        sections[vol.Required(SECTION_CAPACITY)] = section(vol.Schema(capacity))
        return vol.Schema(sections)

    def _presets(self, serves: Callable[[Preset], bool]) -> SelectSelector:
        """Return the choice of presets, those of this country first."""
        country = self.hass.config.country
        found = [preset for preset in presets.load_all().values() if serves(preset)]
        found.sort(key=lambda preset: (preset.country != country, preset.name.en))
        is_danish = self.hass.config.language == "da"
        options = [
            SelectOptionDict(value=preset.id, label=preset.name.da if is_danish else preset.name.en)
            for preset in found
        ]
        return SelectSelector(
            SelectSelectorConfig(options=options, mode=SelectSelectorMode.DROPDOWN)
        )

    # --- prices --------------------------------------------------------------------------------

    async def async_step_prices(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for what a kWh costs and earns, tariff by tariff."""
        choices = Choices.of(self._chosen)
        currency = choices.currency(self.hass.config.currency)
        tariffs = self._tariffs(choices)
        errors: dict[str, str] = {}
        typed: Mapping[str, Any] = self.config_entry.options
        if user_input is not None:
            typed = _prices_from(user_input)
            errors = self._errors(typed, choices, tariffs, currency)
            if not errors:
                self._chosen = self._with_hidden(typed, choices)
                return await self.async_step_rescale()
        return self.async_show_form(
            step_id="prices",
            data_schema=_schema_of_prices(typed, tariffs, currency),
            errors=errors,
            description_placeholders={
                "currency": currency,
                "tariffs": ", ".join(self._described(tariff, choices) for tariff in tariffs),
            },
        )

    def _with_hidden(self, typed: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
        """Return the options: prices of tariffs that the meter's own calendar lacks now stay.

        Where all that was asked for was emptied, no price is wanted.
        """
        options, before = {**self._chosen, **typed}, self.config_entry.options
        if choices.tariff_preset is None and CONF_TARIFF_PRESET not in before:
            asked = {str(tariff) for tariff in self._tariffs(choices)}
            for _, prices, _ in _DIRECTIONS:
                known: Mapping[str, float] = before.get(prices, {}) if typed[prices] else {}
                hidden = {tariff: known[tariff] for tariff in known.keys() - asked}
                options[prices] = dict(sorted((hidden | typed[prices]).items()))
        return options

    def _errors(
        self, typed: Mapping[str, Any], choices: Choices, tariffs: range, currency: str
    ) -> dict[str, str]:
        """Return by section what does not serve: its text says which field."""
        errors: dict[str, str] = {}
        for name, prices, spot in _DIRECTIONS:
            may_lack = name == SECTION_IMPORT and choices.has_preset_prices
            if 0 < len(typed[prices]) < len(tariffs) and not may_lack:
                errors[name] = f"{name}_prices_incomplete"
            elif (why := self._why_no_price(typed.get(spot), currency)) is not None:
                errors[name] = f"{name}_{why}"
        return errors

    def _why_no_price(self, entity_id: str | None, currency: str) -> str | None:
        if entity_id is None:
            return None
        if (state := self.hass.states.get(entity_id)) is None:
            return "spot_missing"
        entity = er.async_get(self.hass).async_get(entity_id)
        if entity is not None and entity.config_entry_id == self.config_entry.entry_id:
            return "spot_own"
        try:
            unit_factor(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT), currency)
        except UnitError as error:
            return str(error)
        return None

    def _tariffs(self, choices: Choices) -> range:
        """Return the tariffs that have a price: those of the calendar in force."""
        calendar = self._calendar(choices)
        if calendar is not None:
            return range(1, calendar.tariffs + 1)
        if choices.is_bridged:
            return range(1, 2)
        priced = (
            int(tariff)
            for _, prices, _ in _DIRECTIONS
            for tariff in self.config_entry.options.get(prices, ())
        )
        return range(1, max(TARIFFS_WITHOUT_CALENDAR, *priced, 0) + 1)

    def _calendar(self, choices: Choices) -> ActivityCalendar | None:
        if choices.tariff_preset is not None:
            return choices.tariff_preset.calendar
        # What a running meter goes by is a preset's only where one had been chosen before.
        was_preset = CONF_TARIFF_PRESET in self.config_entry.options
        return None if self._meter is None or was_preset else self._meter.calendar

    def _described(self, tariff: int, choices: Choices) -> str:
        """Return a tariff with its name and what the preset knows of its price."""
        preset = choices.tariff_preset
        if preset is None:
            label = f"T{tariff}" if self._meter is None else self._meter.tariffs.label(tariff)
            return f"T{tariff}" if label == f"T{tariff}" else f"T{tariff} {label}"
        text = preset.label(tariff).label
        name = f"T{tariff} {text.da if self.hass.config.language == 'da' else text.en}"
        price = preset.price_of(tariff, dt_util.now().date())
        return name if price is None else f"{name} ({price / MINOR_UNITS})"

    # --- another scale -------------------------------------------------------------------------

    async def async_step_rescale(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Where the scale is another, show what becomes of what was counted, and have it agreed."""
        exponent = self._exponent(self._chosen)
        record = (await async_get_store(self.hass)).records.get(
            self.config_entry.data[CONF_SYSTEM_TITLE]
        )
        if user_input is not None or not exponent or record is None or not record.totals:
            return self.async_create_entry(data=self._chosen)
        lines = [
            f"- {self._name(key)}: {wh / _WH_A_KWH:.3f} → "
            f"{scaled(wh, exponent) / _WH_A_KWH:.3f} kWh"
            for key, wh in record.totals.items()
            if key in _SHOWN
        ]
        return self.async_show_form(
            step_id="rescale",
            data_schema=vol.Schema({}),
            description_placeholders={
                "factor": f"{'×' if exponent > 0 else '÷'} {10 ** abs(exponent)}",
                "totals": "\n".join(lines),
            },
            last_step=True,
        )

    def _exponent(self, chosen: Mapping[str, Any]) -> int:
        """Return by which power of ten energy would be greater."""
        before = self.config_entry.options.get(CONF_SCALER_PROFILE)
        after = chosen.get(CONF_SCALER_PROFILE)
        return 0 if before is None or after is None else scale.exponent_between(before, after)

    @property
    def _is_rescaling(self) -> bool:
        """Whether statistics are half in another scale: one is enough at a time."""
        rescaling = None if self._meter is None else self._meter.rescaling
        return rescaling is not None and rescaling.since_s is not None

    def _name(self, key: str) -> str:
        entity_id = er.async_get(self.hass).async_get_entity_id(
            Platform.SENSOR, DOMAIN, f"{self.config_entry.unique_id}_{key}"
        )
        state = self.hass.states.get(entity_id) if entity_id else None
        return key if state is None else state.name

    # --- the meter as it runs ------------------------------------------------------------------

    @property
    def _meter(self) -> MeterNodeCoordinator | None:
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return None
        meter: MeterNodeCoordinator = self.config_entry.runtime_data
        return meter

    @property
    def _limit_a(self) -> float | None:
        return None if self._meter is None else self._meter.data.limit_a


def _optional(name: str, typed: Mapping[str, Any]) -> vol.Optional:
    """Return a field that may be emptied, with what it has now."""
    return vol.Optional(name, description={"suggested_value": typed.get(name)})


def _flat(user_input: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of all sections, without those that were left empty."""
    return {
        name: value
        for fields in user_input.values()
        for name, value in fields.items()
        if value is not None
    }


def _schema_of_prices(typed: Mapping[str, Any], tariffs: range, currency: str) -> vol.Schema:
    price = _number(-100, 1000, "any", f"{currency}/kWh")
    sections: dict[vol.Marker, Any] = {}
    for name, prices, spot in _DIRECTIONS:
        given = typed.get(prices, {})
        fields: dict[vol.Marker, Any] = {
            vol.Optional(
                f"price_t{tariff}", description={"suggested_value": given.get(str(tariff))}
            ): price
            for tariff in tariffs
        }
        fields[_optional(spot, typed)] = _SENSOR
        sections[vol.Required(name)] = section(vol.Schema(fields))
    return vol.Schema(sections)


def _prices_from(user_input: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the options that the form of prices stands for."""
    found: dict[str, Any] = {}
    for name, prices, spot in _DIRECTIONS:
        fields = user_input[name]
        found[prices] = {
            str(tariff): fields[f"price_t{tariff}"]
            for tariff in TARIFFS
            if fields.get(f"price_t{tariff}") is not None
        }
        if fields.get(spot):
            found[spot] = fields[spot]
    return found
