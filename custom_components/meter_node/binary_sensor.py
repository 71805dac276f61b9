"""Binary sensors: one table, made from the meter's alarms, its load relays and its power."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.binary_sensor import (
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects
from .channel.registers import PHASES
from .coordinator import MeterNodeConfigEntry
from .data import THRESHOLD_ACTIVE, MeterData
from .entity import MeterNodeDescription, MeterNodeValueEntity, add_as_sent, forget

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class MeterNodeBinarySensorDescription(BinarySensorEntityDescription, MeterNodeDescription):
    """A binary sensor, and how it is had from what the meter says."""

    value_fn: Callable[[MeterData], bool | None]


def _always(data: MeterData) -> bool:
    return True


def _has_breaker(data: MeterData) -> bool:
    return data.states.has(objects.BREAKER)


def _has_limit(data: MeterData) -> bool:
    return data.states.has(objects.LIMITER, THRESHOLD_ACTIVE)


def _has_credit(data: MeterData) -> bool:
    return data.states.number(objects.CREDIT) is not None


def _alarm(
    key: str,
    *names: str,
    phase: int | None = None,
    on_while_none: bool = False,
    device_class: BinarySensorDeviceClass = BinarySensorDeviceClass.PROBLEM,
    category: EntityCategory | None = None,
    is_enabled: bool = True,
    where: Callable[[MeterData], bool] = _always,
) -> MeterNodeBinarySensorDescription:
    """Return the sensor that is on while one of the alarms holds, or while none does."""

    def value(data: MeterData) -> bool | None:
        holding = data.alarms
        if holding is None or not where(data):
            return None
        return holding.isdisjoint(names) is on_while_none

    return MeterNodeBinarySensorDescription(
        key=key if phase is None else f"{key}_l{phase}",
        translation_key=key if phase is None else f"{key}_phase",
        translation_placeholders={} if phase is None else {"phase": f"L{phase}"},
        device_class=device_class,
        entity_category=category,
        entity_registry_enabled_default=is_enabled,
        has_fn=lambda data: value(data) is not None,
        value_fn=value,
    )


def _alarm_of_phase(
    key: str,
    name: str,
    phase: int,
    *,
    on_while_none: bool = False,
    device_class: BinarySensorDeviceClass = BinarySensorDeviceClass.PROBLEM,
    is_enabled: bool = False,
) -> MeterNodeBinarySensorDescription:
    return _alarm(
        key,
        f"{name}_l{phase}",
        phase=phase,
        on_while_none=on_while_none,
        device_class=device_class,
        is_enabled=is_enabled,
        where=lambda data: f"voltage_l{phase}" in data.values,  # a flat has one phase
    )


def _voltage(name: str) -> tuple[MeterNodeBinarySensorDescription, ...]:
    """Return the alarm of any phase, and of each one, which few want beside it."""
    return (
        _alarm(name, *(f"{name}_l{phase}" for phase in PHASES)),
        *(_alarm_of_phase(name, name, phase) for phase in PHASES),
    )


def _phase_present(phase: int) -> MeterNodeBinarySensorDescription:
    return _alarm_of_phase(
        "present",
        "missing_voltage",
        phase,
        on_while_none=True,
        device_class=BinarySensorDeviceClass.POWER,
        is_enabled=True,
    )


def _relay(number: int) -> MeterNodeBinarySensorDescription:
    return MeterNodeBinarySensorDescription(
        key=f"relay_{number}",
        translation_key="relay",
        translation_placeholders={"relay": str(number)},
        device_class=BinarySensorDeviceClass.POWER,
        has_fn=lambda data: data.states.flag(objects.RELAYS[number]) is not None,
        value_fn=lambda data: data.states.flag(objects.RELAYS[number]),
    )


def _exporting(data: MeterData) -> bool | None:
    net_w = data.net_power_w()
    return None if net_w is None else net_w < 0


RELAYS: tuple[MeterNodeBinarySensorDescription, ...] = tuple(map(_relay, objects.RELAYS))
"""For those who can't switch them: to all others, switches tell it."""

BINARY_SENSORS: tuple[MeterNodeBinarySensorDescription, ...] = (
    MeterNodeBinarySensorDescription(
        key="exporting",
        translation_key="exporting",
        has_fn=lambda data: _exporting(data) is not None,
        value_fn=_exporting,
    ),
    MeterNodeBinarySensorDescription(
        key="peak_tariff",
        translation_key="peak_tariff",
        by_clock=True,
        has_fn=lambda data: data.tariff.is_peak is not None,
        value_fn=lambda data: data.tariff.is_peak,
    ),
    *RELAYS,
    *map(_phase_present, PHASES),
    *_voltage("under_voltage"),
    *_voltage("over_voltage"),
    _alarm("neutral_fault", "neutral_fault"),
    _alarm("tamper", "cover_open", "magnet", device_class=BinarySensorDeviceClass.TAMPER),
    _alarm("magnet", "magnet", device_class=BinarySensorDeviceClass.TAMPER),
    _alarm("credit_low", "credit_low", "credit_exhausted", where=_has_credit),
    _alarm("limiter_exceeded", "limiter_exceeded", where=_has_limit),
    _alarm("breaker_failure", "breaker_failure", where=_has_breaker),
    _alarm(
        "meter_fault",
        "store_error",
        "memory_error",
        "program_error",
        category=EntityCategory.DIAGNOSTIC,
    ),
    _alarm("clock_invalid", "clock_invalid", category=EntityCategory.DIAGNOSTIC),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add each binary sensor when the meter first sends what it is made from."""
    table = BINARY_SENSORS
    if entry.runtime_data.asker is not None:
        forget(hass, entry, Platform.BINARY_SENSOR, RELAYS)
        table = tuple(row for row in table if row not in RELAYS)
    add_as_sent(entry, async_add_entities, table, MeterNodeBinarySensor)


class MeterNodeBinarySensor(MeterNodeValueEntity, BinarySensorEntity):
    """One thing that is so or not."""

    entity_description: MeterNodeBinarySensorDescription

    @override
    def _take(self) -> bool:
        """Show whether it was so when the meter last pushed."""
        is_on = self.entity_description.value_fn(self.coordinator.data)
        is_new = is_on != self._attr_is_on
        if is_new:
            self._attr_is_on = is_on
        return is_new
