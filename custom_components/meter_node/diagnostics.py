"""What a homeowner may post in an issue: all that helps, and nothing that names his meter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant

from .channel import obis
from .channel.reading import Reading
from .const import (
    CONF_AUTHENTICATION_KEY,
    CONF_CONTROL_AUTHENTICATION_KEY,
    CONF_CONTROL_ENCRYPTION_KEY,
    CONF_ENCRYPTION_KEY,
    CONF_PAIRING_NAME,
    CONF_RAW_TOPIC,
    CONF_SYSTEM_TITLE,
)
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator

# A real meter's system title is its serial number, and a topic holds it too; whoever chose a topic
# or a pairing's name may have put his own into it.
TO_REDACT = {
    CONF_AUTHENTICATION_KEY,
    CONF_CONTROL_AUTHENTICATION_KEY,
    CONF_CONTROL_ENCRYPTION_KEY,
    CONF_ENCRYPTION_KEY,
    CONF_PAIRING_NAME,
    CONF_RAW_TOPIC,
    CONF_SYSTEM_TITLE,
    "gs1_number",
    "meter_number",
    "status_topic",
}

_DEVICE_ID = bytes((96, 1))
"""Groups C and D of a logical name (IEC 62056-61)."""


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: MeterNodeConfigEntry
) -> dict[str, Any]:
    """Return the state of one meter's entry, of one that could not be loaded too."""
    told: dict[str, Any] = {
        "entry": {
            "state": entry.state.value,
            "data": async_redact_data(entry.data, TO_REDACT),
            "options": dict(entry.options),
        }
    }
    if entry.state is ConfigEntryState.LOADED:
        told |= _heard(entry.runtime_data)
    return told


def _heard(meter: MeterNodeCoordinator) -> dict[str, Any]:
    """Return what is known of a meter that is listened to."""
    reading = meter.reading
    return {
        "hello": meter.hello and async_redact_data(asdict(meter.hello), TO_REDACT),
        "available": meter.available,
        "links": meter.links.bringing,
        "can_be_asked": meter.asker is not None,
        "push_interval_s": meter.push_interval_s,
        "observed_interval_s": meter.observed_interval_s,
        "last_good_frame": meter.last_good and meter.last_good.isoformat(),
        "accepted": meter.accepted,
        "refused": dict(meter.refused),
        "invocation_counter": meter.invocation_counter,
        "reading": reading
        and {
            "list": reading.list_name,
            "time": reading.time and reading.time.local.isoformat(),
            "clock_status": reading.time and reading.time.status,
            "texts": async_redact_data(reading.texts, TO_REDACT),
            "values": dict(reading.values),
            "states": _states(reading),
            "logs": {obis.text(log.logical_name): log.last_entry for log in reading.logs},
        },
        "values": dict(meter.data.values),
        "history": {key: list(mark) for key, mark in meter.history_marks.items()},
        "calendar": meter.calendar and meter.calendar.to_json(),
        "tariff": meter.data.tariff.in_force,
        "costs": meter.tariffs.costs.state(),
        "capacity": meter.capacity and meter.capacity.state(),
    }


def _states(reading: Reading) -> dict[str, str]:
    """Return what stands in each attribute, but for device IDs, which name the meter."""
    return {
        f"{obis.text(state.logical_name)} {state.attribute}": repr(state.value)
        for state in reading.states
        if state.logical_name[2:4] != _DEVICE_ID
    }
