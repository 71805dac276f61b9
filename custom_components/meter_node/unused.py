"""Takes away the entities of options that were emptied: they would stay, unavailable for ever.

Must not know how an entity is made.
"""

from __future__ import annotations

from collections.abc import Iterator

from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback

from .binary_sensor import BINARY_SENSORS
from .calendar import CALENDARS
from .channel.registers import PHASES
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator, control_keys_of
from .entity import MeterNodeDescription, forget
from .tariff_sensor import CAPACITY_SENSORS, TARIFF_SENSORS

_HEADROOM = {f"current_headroom_l{phase}" for phase in PHASES}
_BY_CALENDAR = {"next_tariff", "next_tariff_change", "peak_tariff", "tariffs"}
_TABLES: dict[Platform, tuple[MeterNodeDescription, ...]] = {
    Platform.BINARY_SENSOR: BINARY_SENSORS,
    Platform.CALENDAR: CALENDARS,
    Platform.SENSOR: TARIFF_SENSORS + CAPACITY_SENSORS,
}


@callback
def async_forget_unused(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> None:
    """Take away what the options have no use for; what the meter may send stays until it did.

    The current left under a fuse may also be that under the meter's own limit: the first frame
    tells.
    """
    meter = entry.runtime_data
    _forget(hass, entry, set(_unused(meter)))
    if meter.data.main_fuse_a is not None:
        return

    has_looked = False

    @callback
    def look() -> None:
        nonlocal has_looked
        if not has_looked and meter.reading is not None:
            has_looked = True
            if meter.data.limit_a is None:
                _forget(hass, entry, _HEADROOM)

    entry.async_on_unload(meter.async_add_listener(look))


def _unused(meter: MeterNodeCoordinator) -> Iterator[str]:
    if meter.capacity is None:
        yield from (row.key for row in CAPACITY_SENSORS if row.key not in _HEADROOM)
    imported, exported = meter.tariffs.priced
    if not imported:
        yield "import_price"  # what was paid until then stands still, and is shown
    if not exported:
        yield "export_price"
    entry = meter.config_entry
    if meter.calendar is None and control_keys_of(entry) is None:
        yield from _BY_CALENDAR


def _forget(hass: HomeAssistant, entry: MeterNodeConfigEntry, keys: set[str]) -> None:
    for platform, table in _TABLES.items():
        forget(hass, entry, platform, [row for row in table if row.key in keys])
