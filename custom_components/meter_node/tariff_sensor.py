"""Sensors of tariff, prices, costs and capacity: one table beside that of what the meter measures.

Must not know how any of it is worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import UnitOfElectricCurrent, UnitOfEnergy, UnitOfPower

from .channel.registers import PHASES, TARIFFS
from .costs import EXPORT_COMPENSATION, IMPORT_COST
from .data import MeterData
from .sensor_description import MeterNodeSensorDescription

_TARIFFS = [f"t{tariff}" for tariff in TARIFFS]
_PLACES = 4
"""Of an amount of money: a push costs less than a cent."""


def _tariff(tariff: int | None) -> str | None:
    return f"t{tariff}" if tariff in TARIFFS else None


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else round(float(amount), _PLACES)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _price(key: str, value_fn: Callable[[MeterData], Decimal | None]) -> MeterNodeSensorDescription:
    return MeterNodeSensorDescription(
        key=key,
        translation_key=key,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=_PLACES,
        by_clock=True,
        has_fn=lambda data: value_fn(data) is not None,
        unit_fn=lambda data: f"{data.tariff.currency}/kWh",
        value_fn=lambda data: _number(value_fn(data)),
    )


def _total(key: str) -> MeterNodeSensorDescription:
    return MeterNodeSensorDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.MONETARY,
        state_class=SensorStateClass.TOTAL,
        suggested_display_precision=2,
        has_fn=lambda data: key in data.tariff.costs,
        unit_fn=lambda data: data.tariff.currency,
        value_fn=lambda data: _number(data.tariff.costs.get(key)),
        since_fn=lambda data: data.tariff.costs_since.get(key),
    )


TARIFF_SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    MeterNodeSensorDescription(
        key="active_tariff",
        translation_key="active_tariff",
        device_class=SensorDeviceClass.ENUM,
        options=_TARIFFS,
        by_clock=True,
        has_fn=lambda data: _tariff(data.tariff.in_force) is not None,
        value_fn=lambda data: _tariff(data.tariff.in_force),
    ),
    MeterNodeSensorDescription(
        key="next_tariff",
        translation_key="next_tariff",
        device_class=SensorDeviceClass.ENUM,
        options=_TARIFFS,
        by_clock=True,
        has_fn=lambda data: data.tariff.next_tariff is not None,
        value_fn=lambda data: _tariff(data.tariff.next_tariff),
    ),
    MeterNodeSensorDescription(
        key="next_tariff_change",
        translation_key="next_tariff_change",
        device_class=SensorDeviceClass.TIMESTAMP,
        by_clock=True,
        has_fn=lambda data: data.tariff.next_change is not None,
        value_fn=lambda data: data.tariff.next_change,
    ),
    _price("import_price", lambda data: data.tariff.import_price),
    _price("export_price", lambda data: data.tariff.export_price),
    _total(IMPORT_COST),
    _total(EXPORT_COMPENSATION),
)


def _peaks(data: MeterData) -> dict[str, Any]:
    """Return the intervals that count, with the time at which each began."""
    return {
        "peaks": [
            {"start": peak.start.isoformat(), "power": peak.power_w} for peak in data.capacity.peaks
        ]
    }


def _of_capacity(
    key: str,
    device_class: SensorDeviceClass,
    unit: str,
    value_fn: Callable[[MeterData], float | None],
    *,
    attributes_fn: Callable[[MeterData], dict[str, Any]] | None = None,
) -> MeterNodeSensorDescription:
    """Return a sensor that is there once a rule is chosen and it had its first value."""
    is_energy = device_class is SensorDeviceClass.ENERGY_STORAGE
    return MeterNodeSensorDescription(
        key=key,
        translation_key=key,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=unit,
        suggested_unit_of_measurement=(
            UnitOfEnergy.KILO_WATT_HOUR if is_energy else UnitOfPower.KILO_WATT
        ),
        suggested_display_precision=2,
        has_fn=lambda data: value_fn(data) is not None,
        value_fn=lambda data: _whole(value_fn(data)),
        attributes_fn=attributes_fn,
    )


def _month_peak_w(data: MeterData) -> float | None:
    """Return the highest of the month as it was measured, whatever weight it has."""
    return max((peak.power_w for peak in data.capacity.peaks), default=None)


def _headroom(phase: int) -> MeterNodeSensorDescription:
    return MeterNodeSensorDescription(
        key=f"current_headroom_l{phase}",
        translation_key="current_headroom_phase",
        translation_placeholders={"phase": f"L{phase}"},
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=1,
        has_fn=lambda data: data.headroom_a(phase) is not None,
        value_fn=lambda data: data.headroom_a(phase),
    )


CAPACITY_SENSORS: tuple[MeterNodeSensorDescription, ...] = (
    _of_capacity(
        "window_mean_power",
        SensorDeviceClass.POWER,
        UnitOfPower.WATT,
        lambda data: data.capacity.mean_w,
    ),
    _of_capacity(
        "window_projected_power",
        SensorDeviceClass.POWER,
        UnitOfPower.WATT,
        lambda data: data.capacity.projected_w,
    ),
    _of_capacity(
        "window_energy_left",
        # What is left goes up and down, which Home Assistant has for stored energy alone.
        SensorDeviceClass.ENERGY_STORAGE,
        UnitOfEnergy.WATT_HOUR,
        lambda data: data.capacity.energy_left_wh,
    ),
    _of_capacity(
        "month_peak_power",
        SensorDeviceClass.POWER,
        UnitOfPower.WATT,
        _month_peak_w,
        attributes_fn=_peaks,
    ),
    _of_capacity(
        "billed_capacity",
        SensorDeviceClass.POWER,
        UnitOfPower.WATT,
        lambda data: data.capacity.capacity_w,
    ),
    MeterNodeSensorDescription(
        key="capacity_charge",
        translation_key="capacity_charge",
        device_class=SensorDeviceClass.MONETARY,
        suggested_display_precision=2,
        has_fn=lambda data: data.capacity.charge is not None,
        unit_fn=lambda data: data.capacity.currency,
        value_fn=lambda data: _number(data.capacity.charge),
    ),
    *map(_headroom, PHASES),
)
