"""What the Energy dashboard lacks of a meter, and how it is put there without touching the rest.

Home Assistant replaces its preferences whole and unchecked, so they are read, completed and checked
here. Its energy and recorder integrations are imported when needed and not before. Must not know
how the homeowner is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, cast

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .const import DOMAIN

if TYPE_CHECKING:
    from homeassistant.components.energy.data import EnergyManager, GridSourceType, SourceType
    from homeassistant.config_entries import ConfigEntry

_NEEDED = ("energy", "recorder")


class NotValidError(Exception):
    """Home Assistant would not take the completed preferences; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GridConnection:
    """A meter as the Energy dashboard wants it: statistics by what they are to it."""

    name: str
    stat_energy_from: str
    stat_energy_to: str | None = None
    stat_cost: str | None = None
    stat_compensation: str | None = None
    stat_rate: str | None = None

    @property
    def statistics(self) -> dict[str, str]:
        """Return those that there are, by their field."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if name != "name" and value}

    def source(self) -> GridSourceType:
        """Return it as Home Assistant stores it; costs are the meter's own or none."""
        source: GridSourceType = {
            "type": "grid",
            "name": self.name,
            "stat_energy_from": self.stat_energy_from,
            "stat_energy_to": self.stat_energy_to,
            "stat_cost": self.stat_cost,
            "entity_energy_price": None,
            "number_energy_price": None,
            "stat_compensation": self.stat_compensation,
            "entity_energy_price_export": None,
            "number_energy_price_export": None,
            "cost_adjustment_day": 0.0,
        }
        if self.stat_rate is not None:
            source["stat_rate"] = self.stat_rate
        return source


# Which of the meter's quantities serves for which statistic.
_QUANTITIES: Mapping[str, str] = {
    "stat_energy_from": "import_active_energy",
    "stat_energy_to": "export_active_energy",
    "stat_cost": "import_cost",
    "stat_compensation": "export_compensation",
    "stat_rate": "active_power",
}


# How money is told of a direction: whoever chose any of these has chosen.
_MONEY: Mapping[str, tuple[str, ...]] = {
    "stat_cost": ("stat_cost", "entity_energy_price", "number_energy_price"),
    "stat_compensation": (
        "stat_compensation",
        "entity_energy_price_export",
        "number_energy_price_export",
    ),
}
_ENERGY_OF_MONEY = {"stat_cost": "stat_energy_from", "stat_compensation": "stat_energy_to"}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be added, and how many sources stay as they are."""

    connection: GridConnection
    kept: int
    is_there: bool = False
    """Whether the connection is there, and lacks only the money that these statistics tell."""

    @property
    def added(self) -> dict[str, str]:
        """Return the statistics that would be added, by their field."""
        found = self.connection.statistics
        if not self.is_there:
            return found
        return {name: statistic for name, statistic in found.items() if name in _MONEY}


def is_there(sources: Sequence[SourceType], statistic: str) -> bool:
    """Whether a grid connection takes this import already, whoever made it."""
    return any(
        source["type"] == "grid" and source.get("stat_energy_from") == statistic
        for source in sources
    )


async def async_missing(hass: HomeAssistant, entry: ConfigEntry) -> Proposal | None:
    """Return a meter that is not there with all that it could bring; without asking a database."""
    manager = await _async_manager(hass)
    if manager is None:
        return None
    connection = _connection(hass, entry)
    sources = _sources(manager)
    if connection is None:
        return None
    if not is_there(sources, connection.stat_energy_from):
        is_chosen = _is_chosen(manager, connection)
        return None if is_chosen else Proposal(connection, len(sources))
    lacking = _lacking(sources, connection)
    if lacking is None:
        return None
    return Proposal(lacking, len(sources) - 1, is_there=True)


async def async_proposal(hass: HomeAssistant, entry: ConfigEntry) -> Proposal | None:
    """Return what is missing of a meter; None when it is there, or has no statistics yet."""
    missing = await async_missing(hass, entry)
    if missing is None:
        return None
    connection = missing.connection
    existing = await _async_existing(hass, set(connection.statistics.values()))
    if connection.stat_energy_from not in existing:
        return None
    there = {
        name: statistic
        for name, statistic in connection.statistics.items()
        if statistic in existing
    }
    found = replace(missing, connection=GridConnection(name=connection.name, **there))
    return found if found.added else None


async def async_add(hass: HomeAssistant, proposal: Proposal) -> None:
    """Add it to the preferences as they are now. Raises NotValidError, and changes nothing then."""
    import probatio as vol
    from homeassistant.components.energy.data import ENERGY_SOURCE_SCHEMA

    manager = await _async_manager(hass)
    if manager is None:
        raise NotValidError("energy")
    sources = _sources(manager)
    completed = _completed(sources, proposal)
    if completed == sources:
        return
    try:
        ENERGY_SOURCE_SCHEMA(completed)
    except vol.Invalid as error:
        raise NotValidError(str(error)) from None
    preferences = manager.data or manager.default_preferences()
    await manager.async_update({**preferences, "energy_sources": completed})


def _is_of(source: SourceType, connection: GridConnection) -> bool:
    return (
        source["type"] == "grid" and source.get("stat_energy_from") == connection.stat_energy_from
    )


def _fits(source: Mapping[str, object], connection: GridConnection, money: str) -> bool:
    """Whether a source takes the connection's energy, and nobody chose what it costs or earns."""
    energy = _ENERGY_OF_MONEY[money]
    return source.get(energy) == getattr(connection, energy) and all(
        source.get(name) is None for name in _MONEY[money]
    )


def _lacking(sources: Sequence[SourceType], connection: GridConnection) -> GridConnection | None:
    """Return the connection with the money alone that its source lacks, None where it lacks none.

    Where several take this import, it is nobody's guess which one should have it.
    """
    found = [source for source in sources if _is_of(source, connection)]
    if len(found) != 1:
        return None
    source = found[0]
    cost, compensation = (
        getattr(connection, name) if _fits(source, connection, name) else None for name in _MONEY
    )
    if cost is None and compensation is None:
        return None
    return replace(connection, stat_cost=cost, stat_compensation=compensation)


def _completed(sources: Sequence[SourceType], proposal: Proposal) -> list[SourceType]:
    """Return the sources with what is proposed, as far as nobody has chosen it meanwhile."""
    connection = proposal.connection
    if not is_there(sources, connection.stat_energy_from):
        return [*sources, connection.source()]
    lacking = _lacking(sources, connection)
    if lacking is None:
        return list(sources)
    money = {name: value for name in _MONEY if (value := getattr(lacking, name)) is not None}
    return [
        cast("SourceType", {**source, **money}) if _is_of(source, connection) else source
        for source in sources
    ]


def _is_chosen(manager: EnergyManager, connection: GridConnection) -> bool:
    """Whether somebody has made the meter something else: solar, a battery, a device's."""
    if manager.data is None:
        return False
    named = {
        statistic
        for source in manager.data["energy_sources"]
        for field in _ENERGY_OF_MONEY.values()
        if isinstance(statistic := source.get(field), str)
    }
    named |= {device["stat_consumption"] for device in manager.data["device_consumption"]}
    return not named.isdisjoint({connection.stat_energy_from, connection.stat_energy_to})


def _sources(manager: EnergyManager) -> list[SourceType]:
    return [] if manager.data is None else list(manager.data["energy_sources"])


async def _async_manager(hass: HomeAssistant) -> EnergyManager | None:
    if not hass.config.components.issuperset(_NEEDED):
        return None
    from homeassistant.components.energy.data import async_get_manager

    return await async_get_manager(hass)


def _connection(hass: HomeAssistant, entry: ConfigEntry) -> GridConnection | None:
    """Return the meter with all that it could bring, by the entities that are enabled."""
    registry = er.async_get(hass)
    found: dict[str, str] = {}
    for name, quantity in _QUANTITIES.items():
        entity_id = registry.async_get_entity_id(
            Platform.SENSOR, DOMAIN, f"{entry.unique_id}_{quantity}"
        )
        entity = registry.async_get(entity_id) if entity_id else None
        if entity is not None and not entity.disabled:
            found[name] = entity.entity_id
    return GridConnection(name=entry.title, **found) if "stat_energy_from" in found else None


async def _async_existing(hass: HomeAssistant, statistics: set[str]) -> set[str]:
    """Return those of which the recorder has something."""
    from homeassistant.components.recorder.statistics import get_metadata
    from homeassistant.helpers.recorder import get_instance

    metadata = await get_instance(hass).async_add_executor_job(
        lambda: get_metadata(hass, statistic_ids=statistics)
    )
    return set(metadata)
