"""A row of the sensors' tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeassistant.components.sensor import SensorEntityDescription

from .data import MeterData
from .entity import MeterNodeDescription

type Value = str | float | datetime | None


@dataclass(frozen=True, kw_only=True)
class MeterNodeSensorDescription(SensorEntityDescription, MeterNodeDescription):
    """A sensor, and how its value is had from what the meter says."""

    value_fn: Callable[[MeterData], Value]
    unit_fn: Callable[[MeterData], str | None] | None = None
    """Where the unit is not the same for everybody: money."""
    since_fn: Callable[[MeterData], datetime | None] | None = None
    """When a total began at nothing: statistics begin another cycle with another moment."""
    attributes_fn: Callable[[MeterData], dict[str, Any]] | None = None
