"""Sensors: one table, made from the channel's registers and from the states of its objects."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    EntityCategory,
    UnitOfApparentPower,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfPower,
    UnitOfReactiveEnergy,
    UnitOfReactivePower,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .channel import objects
from .channel.registers import PHASES, QUANTITIES, REGISTERS, Quantity, Register, Unit
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator
from .data import CONTROL_STATE, THRESHOLD_ACTIVE, MeterData
from .entity import MeterNodeValueEntity, add_as_sent
from .sensor_description import MeterNodeSensorDescription, Value
from .tariff_sensor import CAPACITY_SENSORS, TARIFF_SENSORS

PARALLEL_UPDATES = 0


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

# What changes with every push and is watched by nobody from second to second; the parts of a total
# are slow too (one phase, one tariff), the totals themselves are not.
_SLOW = {
    "frequency",
    "power_factor",
    *(quantity.name for quantity in QUANTITIES if quantity.unit in (Unit.PERCENT, Unit.VAR_HOUR)),
}


def _description(
    name: str,
    unit: Unit,
    value_fn: Callable[[MeterData], float | None],
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
        translation_placeholders={part: number} if is_part else {},
        device_class=kind.device_class,
        state_class=kind.state_class,
        native_unit_of_measurement=kind.unit,
        suggested_unit_of_measurement=kind.suggested_unit,
        suggested_display_precision=kind.precision,
        entity_registry_enabled_default=name not in seldom_wanted,
        is_slow=name in _SLOW
        or (kind.state_class is SensorStateClass.TOTAL_INCREASING and is_part),
        has_fn=lambda data: value_fn(data) is not None,
        value_fn=value_fn,
    )


def _measured(register: Register) -> MeterNodeSensorDescription:
    quantity: Quantity = register.quantity
    key = register.key

    def measured(data: MeterData) -> float | None:
        return data.values.get(key)

    def counted(data: MeterData) -> float | None:
        energy = data.values.get(key)
        return int(energy) if energy is not None and energy == int(energy) else energy

    return _description(
        quantity.name,
        quantity.unit,
        counted if register.is_energy else measured,  # whole Wh stay whole
        phase=register.phase,
        tariff=register.tariff,
    )


def _net_power(phase: int | None) -> MeterNodeSensorDescription:
    return _description(
        "active_power", Unit.WATT, lambda data: data.net_power_w(phase), phase=phase
    )


QUANTITY_SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    *(_net_power(phase) for phase in (None, *PHASES)),
    *(_measured(register) for register in REGISTERS if register.quantity.pushed),
)

_BREAKER_STATES = {0: "disconnected", 1: "connected", 2: "ready_for_reconnection"}
"""`control_state` of class 70."""
_NO_CAUSE = "none"
_CAUSES = (_NO_CAUSE, "neutral", "remote", "credit", "limiter", "manual")
_STATUS_WORD = re.compile("[0-9]{7}")
_LATEST_S = 0xFFFFFFFF
"""A time of the channel has four bytes."""


def _breaker_state(data: MeterData) -> str | None:
    state = data.states.number(objects.BREAKER, CONTROL_STATE)
    return None if state is None else _BREAKER_STATES.get(state)


def _supply_off_cause(data: MeterData) -> str | None:
    causes = data.states.text(objects.BREAKER_CAUSES)
    if causes is None:
        return None
    strongest = causes.partition(",")[0] or _NO_CAUSE
    return strongest if strongest in _CAUSES else None


def _limit_w(data: MeterData) -> int | None:
    is_power = data.states.limiter_monitors == objects.MONITORED_POWER
    return data.states.number(objects.LIMITER, THRESHOLD_ACTIVE) if is_power else None


def _status_word(data: MeterData) -> str | None:
    word = data.states.text(objects.STATUS_WORD)
    return word if word and _STATUS_WORD.fullmatch(word) else None


def _relay_pending(number: int) -> MeterNodeSensorDescription:
    def value(data: MeterData) -> datetime | None:
        at_s = data.states.number(objects.RELAY_PENDING[number])
        if at_s is None or not 0 <= at_s <= _LATEST_S:
            return None
        return datetime.fromtimestamp(at_s, UTC)

    return MeterNodeSensorDescription(
        key=f"relay_{number}_pending",
        translation_key="relay_pending",
        translation_placeholders={"relay": str(number)},
        device_class=SensorDeviceClass.TIMESTAMP,
        has_fn=lambda data: data.states.has(objects.RELAY_PENDING[number]),
        value_fn=value,
    )


STATE_SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    MeterNodeSensorDescription(
        key="breaker_state",
        translation_key="breaker_state",
        device_class=SensorDeviceClass.ENUM,
        options=list(_BREAKER_STATES.values()),
        has_fn=lambda data: _breaker_state(data) is not None,
        value_fn=_breaker_state,
    ),
    MeterNodeSensorDescription(
        key="supply_off_cause",
        translation_key="supply_off_cause",
        device_class=SensorDeviceClass.ENUM,
        options=list(_CAUSES),
        has_fn=lambda data: _supply_off_cause(data) is not None,
        value_fn=_supply_off_cause,
    ),
    MeterNodeSensorDescription(
        key="credit",
        translation_key="credit",
        # What is left goes up and down, which Home Assistant has for stored energy alone.
        device_class=SensorDeviceClass.ENERGY_STORAGE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=3,
        has_fn=lambda data: data.states.number(objects.CREDIT) is not None,
        value_fn=lambda data: data.states.number(objects.CREDIT),
    ),
    MeterNodeSensorDescription(
        key="power_limit",
        translation_key="power_limit",
        device_class=SensorDeviceClass.POWER,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        has_fn=lambda data: _limit_w(data) is not None,
        value_fn=_limit_w,
    ),
    MeterNodeSensorDescription(
        key="current_limit",
        translation_key="current_limit",
        device_class=SensorDeviceClass.CURRENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        has_fn=lambda data: data.limit_a is not None,
        value_fn=lambda data: data.limit_a,
    ),
    *map(_relay_pending, objects.RELAY_PENDING),
    MeterNodeSensorDescription(
        key="history_filled_to",
        translation_key="history_filled_to",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        has_fn=lambda data: data.history_filled_to is not None,
        value_fn=lambda data: data.history_filled_to,
    ),
    MeterNodeSensorDescription(
        key="status_word",
        translation_key="status_word",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        has_fn=lambda data: _status_word(data) is not None,
        value_fn=_status_word,
    ),
)
LINK_SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    MeterNodeSensorDescription(
        key="clock_deviation",
        translation_key="clock_deviation",
        device_class=SensorDeviceClass.DURATION,
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=0,
        is_slow=True,
        has_fn=lambda data: data.clock_deviation_s is not None,
        value_fn=lambda data: data.clock_deviation_s,
    ),
    MeterNodeSensorDescription(
        key="link_quality",
        translation_key="link_quality",
        state_class=SensorStateClass.MEASUREMENT,
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=PERCENTAGE,
        suggested_display_precision=0,
        is_slow=True,
        has_fn=lambda data: data.link_quality is not None,
        value_fn=lambda data: data.link_quality,
    ),
)
"""How the meter is heard, by its frames."""
SENSORS = QUANTITY_SENSORS + STATE_SENSORS + LINK_SENSORS + TARIFF_SENSORS + CAPACITY_SENSORS


async def async_setup_entry(
    hass: HomeAssistant,
    entry: MeterNodeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add each sensor when the meter first sends its quantity."""
    add_as_sent(entry, async_add_entities, SENSORS, MeterNodeSensor)


class MeterNodeSensor(MeterNodeValueEntity, SensorEntity):
    """One quantity or state of the meter."""

    entity_description: MeterNodeSensorDescription

    _value: Value = None

    @override
    def __init__(
        self, coordinator: MeterNodeCoordinator, description: MeterNodeSensorDescription
    ) -> None:
        """Have a unit, that of money as the prices have it."""
        super().__init__(coordinator, description)
        self._value_fn = description.value_fn
        self._attributes_fn = description.attributes_fn
        self._since_fn = description.since_fn
        self._shares_context = description.state_class is not None
        if description.unit_fn is not None:
            self._attr_native_unit_of_measurement = description.unit_fn(coordinator.data)

    @property
    @override
    def native_value(self) -> Value:
        """As it was taken last; a cache of Home Assistant's would be void with each push."""
        return self._value

    @override
    def _take(self) -> bool:
        """Show what was pushed last, and what belongs to it."""
        data = self.coordinator.data
        value = self._value_fn(data)
        is_new = value != self._value
        self._value = value
        if self._since_fn is not None:
            since = self._since_fn(data)
            is_new = is_new or since != self._attr_last_reset
            self._attr_last_reset = since
        if self._attributes_fn is not None:
            attributes = self._attributes_fn(data)
            is_new = is_new or attributes != self._attr_extra_state_attributes
            self._attr_extra_state_attributes = attributes
        return is_new
