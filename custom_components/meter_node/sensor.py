"""Sensors: one table, made from the channel's registers; each appears when first sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    UnitOfApparentPower,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfPower,
    UnitOfReactiveEnergy,
    UnitOfReactivePower,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel.registers import PHASES, QUANTITIES, REGISTERS, Quantity, Register, Unit
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator
from .entity import MeterNodeEntity

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class MeterNodeSensorDescription(SensorEntityDescription):
    """A sensor, and how its value is had from the meter's values."""

    value_fn: Callable[[Mapping[str, float]], float | None]
    placeholders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kind:
    """How Home Assistant shows a physical unit."""

    device_class: SensorDeviceClass | None
    unit: str | None
    precision: int
    suggested_unit: str | None = None
    state_class: SensorStateClass = SensorStateClass.MEASUREMENT


# Energy goes out in whole Wh, as the meter counts, and is shown in kWh with three decimals (a
# precision counts from the suggested unit).
_KINDS: dict[Unit, _Kind] = {
    Unit.WATT_HOUR: _Kind(
        SensorDeviceClass.ENERGY,
        UnitOfEnergy.WATT_HOUR,
        3,
        UnitOfEnergy.KILO_WATT_HOUR,
        SensorStateClass.TOTAL_INCREASING,
    ),
    Unit.VAR_HOUR: _Kind(
        SensorDeviceClass.REACTIVE_ENERGY,
        UnitOfReactiveEnergy.VOLT_AMPERE_REACTIVE_HOUR,
        3,
        UnitOfReactiveEnergy.KILO_VOLT_AMPERE_REACTIVE_HOUR,
        SensorStateClass.TOTAL_INCREASING,
    ),
    Unit.WATT: _Kind(SensorDeviceClass.POWER, UnitOfPower.WATT, 0),
    Unit.VAR: _Kind(SensorDeviceClass.REACTIVE_POWER, UnitOfReactivePower.VOLT_AMPERE_REACTIVE, 0),
    Unit.VOLT_AMPERE: _Kind(SensorDeviceClass.APPARENT_POWER, UnitOfApparentPower.VOLT_AMPERE, 0),
    Unit.VOLT: _Kind(SensorDeviceClass.VOLTAGE, UnitOfElectricPotential.VOLT, 1),
    Unit.AMPERE: _Kind(SensorDeviceClass.CURRENT, UnitOfElectricCurrent.AMPERE, 2),
    Unit.HERTZ: _Kind(SensorDeviceClass.FREQUENCY, UnitOfFrequency.HERTZ, 2),
    Unit.PERCENT: _Kind(None, PERCENTAGE, 1),
    Unit.NONE: _Kind(SensorDeviceClass.POWER_FACTOR, None, 2),
}

# What few homes look at waits, disabled, in the list of entities.
_SELDOM_WANTED = {
    quantity.name
    for quantity in QUANTITIES
    if quantity.unit in (Unit.VAR_HOUR, Unit.VAR, Unit.VOLT_AMPERE)
}
_SELDOM_WANTED_PER_PHASE = _SELDOM_WANTED | {
    "current_thd",
    "voltage_thd",
    "import_active_energy",
    "export_active_energy",
    "import_active_power",
    "export_active_power",
}


def _description(
    name: str,
    unit: Unit,
    value_fn: Callable[[Mapping[str, float]], float | None],
    *,
    phase: int | None = None,
    tariff: int | None = None,
) -> MeterNodeSensorDescription:
    kind = _KINDS[unit]
    part, number = ("phase", f"L{phase}") if phase else ("tariff", f"T{tariff}")
    is_part = phase is not None or tariff is not None
    seldom_wanted = _SELDOM_WANTED if phase is None else _SELDOM_WANTED_PER_PHASE
    return MeterNodeSensorDescription(
        key=f"{name}_{number.lower()}" if is_part else name,
        translation_key=f"{name}_{part}" if is_part else name,
        placeholders={part: number} if is_part else {},
        device_class=kind.device_class,
        state_class=kind.state_class,
        native_unit_of_measurement=kind.unit,
        suggested_unit_of_measurement=kind.suggested_unit,
        suggested_display_precision=kind.precision,
        entity_registry_enabled_default=name not in seldom_wanted,
        value_fn=value_fn,
    )


def _measured(register: Register) -> MeterNodeSensorDescription:
    quantity: Quantity = register.quantity

    def value(values: Mapping[str, float]) -> float | None:
        measured = values.get(register.key)
        if measured is not None and register.is_energy and measured == int(measured):
            return int(measured)  # whole Wh stay whole
        return measured

    return _description(
        quantity.name, quantity.unit, value, phase=register.phase, tariff=register.tariff
    )


def _net_power(phase: int | None) -> MeterNodeSensorDescription:
    """Return import − export: positive from the grid, as the Energy dashboard wants it."""
    suffix = "" if phase is None else f"_l{phase}"

    def value(values: Mapping[str, float]) -> float | None:
        imported = values.get(f"import_active_power{suffix}")
        exported = values.get(f"export_active_power{suffix}")
        if imported is None or exported is None:
            return None
        return round(imported - exported, 3)

    return _description("active_power", Unit.WATT, value, phase=phase)


SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    *(_net_power(phase) for phase in (None, *PHASES)),
    *(_measured(register) for register in REGISTERS if register.quantity.pushed),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add each sensor when the meter first sends its quantity."""
    coordinator = entry.runtime_data
    sent: set[str] = set()
    waiting = list(SENSORS)

    @callback
    def add_new() -> None:
        if coordinator.data.keys() <= sent:
            return
        sent.update(coordinator.data)
        new = [one for one in waiting if one.value_fn(coordinator.data) is not None]
        for one in new:
            waiting.remove(one)
        async_add_entities(MeterNodeSensor(coordinator, one) for one in new)

    entry.async_on_unload(coordinator.async_add_listener(add_new))
    add_new()


class MeterNodeSensor(MeterNodeEntity, SensorEntity):
    """One quantity of the meter."""

    entity_description: MeterNodeSensorDescription

    def __init__(
        self, coordinator: MeterNodeCoordinator, description: MeterNodeSensorDescription
    ) -> None:
        """Show what the description says."""
        super().__init__(coordinator, description.key)
        self.entity_description = description
        self._attr_translation_placeholders = dict(description.placeholders)

    @property
    @override
    def native_value(self) -> float | None:
        """Return the value that was pushed last."""
        return self.entity_description.value_fn(self.coordinator.data)
