"""Names and limits that more than one file of the integration uses."""

from __future__ import annotations

from typing import Final

from homeassistant.const import Platform

DOMAIN: Final = "meter_node"
PLATFORMS: Final = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.CALENDAR,
    Platform.EVENT,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
]

CONF_RAW_TOPIC: Final = "raw_topic"
CONF_SYSTEM_TITLE: Final = "system_title"
CONF_ENCRYPTION_KEY: Final = "encryption_key"
CONF_AUTHENTICATION_KEY: Final = "authentication_key"
CONF_CONTROL_ENCRYPTION_KEY: Final = "control_encryption_key"
CONF_CONTROL_AUTHENTICATION_KEY: Final = "control_authentication_key"
CONF_PAIRING_NAME: Final = "pairing_name"
PAIRING_REVOKED: Final = "pairing_revoked"
"""Tells a flow of reauthentication that it is about the control keys."""
CONF_SCALER_PROFILE: Final = "scaler_profile"

CONF_CAPACITY_LIMIT: Final = "capacity_limit"
"""kW"""
CONF_CAPACITY_PRESET: Final = "capacity_preset"
CONF_EXPORT_PRICES: Final = "export_prices"
CONF_EXPORT_SPOT: Final = "export_spot"
CONF_IMPORT_PRICES: Final = "import_prices"
CONF_IMPORT_SPOT: Final = "import_spot"
CONF_MAIN_FUSE: Final = "main_fuse"
"""A"""
CONF_TARIFF_PRESET: Final = "tariff_preset"

MISSED_PUSHES: Final = 3
"""So many push intervals without a good frame, and a meter counts as gone (``patience``)."""

DEFAULT_PUSH_INTERVAL_S: Final = 10
"""What meters commonly keep to: it serves until a meter says or shows otherwise."""
