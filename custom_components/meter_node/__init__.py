"""The Meter Node integration: a household electricity meter over its own channel."""

from __future__ import annotations

from homeassistant.const import EVENT_CORE_CONFIG_UPDATE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.core_config import Config
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.typing import ConfigType

from . import dashboard, history, issues, unused
from .actions import async_setup_actions
from .channel import presets
from .const import CONF_SYSTEM_TITLE, DOMAIN, PLATFORMS
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator
from .store import async_get_store

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set up what is there before any meter is."""
    async_setup_actions(hass)
    await dashboard.async_serve(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> bool:
    """Set up one meter."""
    await hass.async_add_executor_job(presets.load_all)
    coordinator = MeterNodeCoordinator(hass, entry, await async_get_store(hass))
    await coordinator.async_config_entry_first_refresh()
    entry.runtime_data = coordinator
    coordinator.history = await history.async_importer_of(coordinator)
    if coordinator.history is None and (rescaling := coordinator.rescaling) is not None:
        await coordinator.async_rescaled(*rescaling.totals)  # there are no statistics
    unused.async_forget_unused(hass, entry)
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    if coordinator.history is not None:
        entry.async_on_unload(coordinator.history.async_start())
    dashboard.async_load_in_pages(hass)
    issues.async_watch(hass, entry)
    _reload_with_home(hass, entry)
    return True


def _reload_with_home(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> None:
    """Load an entry anew when the home's time zone or currency is another."""
    known = _zone_and_currency(hass.config)

    @callback
    def reload(_event: Event) -> None:
        if _zone_and_currency(hass.config) != known:
            hass.config_entries.async_schedule_reload(entry.entry_id)

    entry.async_on_unload(hass.bus.async_listen(EVENT_CORE_CONFIG_UPDATE, reload))


def _zone_and_currency(config: Config) -> tuple[str, str]:
    return config.time_zone, config.currency


async def async_unload_entry(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> bool:
    """Unload one meter."""
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    if not hass.config_entries.async_loaded_entries(DOMAIN):
        dashboard.async_leave_pages(hass)
    return True


async def async_remove_entry(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> None:
    """Forget what was kept of the meter."""
    issues.async_forget(hass, entry.entry_id)
    store = await async_get_store(hass)
    store.records.pop(entry.data[CONF_SYSTEM_TITLE], None)
    store.async_changed()
    await store.async_save()
