"""Serves the dashboard's module to the browser. Must not know what is on the dashboard.

Home Assistant gives an integration no way to create a dashboard; it gives one to load a module,
whose strategy the user chooses when he adds a dashboard.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from homeassistant.components.http.server import StaticPathConfig
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN

_MODULE = Path(__file__).with_name("frontend") / "meter-node-strategy.js"
_URL: HassKey[str] = HassKey(f"{DOMAIN}_dashboard_url")


async def async_serve(hass: HomeAssistant) -> None:
    """Serve the module, once a run: a web server's path can't be taken back.

    Its address changes with its content, so that browsers may keep it and still get a new one. The
    path stays: a browser that kept a page of before an update asks for the old address once more,
    and gets the module of today.
    """
    content = await hass.async_add_executor_job(_MODULE.read_bytes)
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = f"/{DOMAIN}/{_MODULE.name}"
    hass.data[_URL] = f"{path}?v={digest}"
    await hass.http.async_register_static_paths([StaticPathConfig(path, str(_MODULE), True)])


@callback
def async_load_in_pages(hass: HomeAssistant) -> None:
    """Have every page load the module from now on; nothing where there are no pages."""
    if "frontend" in hass.config.components:
        from homeassistant.components.frontend import add_extra_js_url

        add_extra_js_url(hass, hass.data[_URL])


@callback
def async_leave_pages(hass: HomeAssistant) -> None:
    """Have no page load it any more: the last meter is gone."""
    if "frontend" in hass.config.components:
        from homeassistant.components.frontend import remove_extra_js_url

        remove_extra_js_url(hass, hass.data[_URL])
