"""Whether the demonstration does what it should: each condition with the words for its absence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .client import Client
from .meters import CAPTURED_IMPORT_KWH, CAPTURED_VOLTAGES_V
from .storage import DASHBOARD
from .view import View

_MODULE = re.compile(r"/meter_node/[^\"']+[.]js[^\"']*")
_RELAY, _CHOICE = "switch.house_load_relay_1", "select.house_load_relay_1_control"

_NOT_YET = frozenset({"statistics_not_defined"})
"""What Home Assistant says of an energy source until its first statistics, after five minutes."""


def missing(view: View) -> list[str]:
    """Return what is still to come, in words; empty when all has been seen."""
    return list(_missing(view))


def _missing(view: View) -> Iterator[str]:
    for meter in view.meters:
        if meter.simulated and len(view.power_seen.get(meter.system_title, ())) < 2:
            yield f"the power of {meter.name} did not change"
    if not view.captured:
        volts = ", ".join(str(voltage) for voltage in CAPTURED_VOLTAGES_V)
        shown = {
            quantity: view.number(view.meters.real.system_title, quantity)
            for quantity in ("import_active_energy", "voltage_l1", "voltage_l2", "voltage_l3")
        }
        yield (
            f"the captured frame was not shown as {CAPTURED_IMPORT_KWH} kWh and {volts} V "
            f"(now: {shown})"
        )
    elif view.continued_import_kwh is None:
        yield f"the real meter's import did not go on from {CAPTURED_IMPORT_KWH} kWh"
    if view.unavailable:
        yield f"unavailable: {', '.join(view.unavailable)}"


async def faults(client: Client, view: View, *, has_statistics: bool) -> list[str]:
    """Return what is wrong although everything was seen.

    With ``has_statistics`` the Energy dashboard has to have what it names, too.
    """
    found = []
    if view.lowest_import_kwh is not None and view.lowest_import_kwh < CAPTURED_IMPORT_KWH:
        found.append(f"the real meter's import went back to {view.lowest_import_kwh} kWh")
    found += [
        f"logged: {' '.join(entry['message'])}"
        for entry in await client.ask("system_log/list")
        if _is_our_error(entry)
    ]
    found += await _relay_faults(client)
    found += await _dashboard_faults(client)
    found += await _energy_faults(client, frozenset() if has_statistics else _NOT_YET)
    return found


def _is_our_error(entry: Mapping[str, Any]) -> bool:
    told = (entry["name"], str(entry["source"]), entry["exception"], *entry["message"])
    return entry["level"] in ("ERROR", "CRITICAL") and any("meter_node" in text for text in told)


async def _relay_faults(client: Client) -> list[str]:
    """Switch a relay of the house from Home Assistant, and give it back to the meter."""
    found = []
    for action, wanted in (("turn_on", "on"), ("turn_off", "off")):
        await client.act("switch", action, _RELAY)
        shown = (await client.states())[_RELAY]["state"]
        if shown != wanted:
            found.append(f"{_RELAY} is {shown} after {action}")
    await client.act("select", "select_option", _CHOICE, option="automatic")
    shown = (await client.states())[_CHOICE]["state"]
    return found if shown == "automatic" else [*found, f"{_CHOICE} is {shown}"]


async def _dashboard_faults(client: Client) -> list[str]:
    """Look for what the browser makes the dashboard with: the module that every page loads."""
    page = await client.ask("lovelace/config", url_path=DASHBOARD)
    strategy = page["strategy"]["type"].removeprefix("custom:")
    address = _MODULE.search(await client.text("/"))
    if address is None:
        return ["the pages load no module for the dashboard"]
    if f'"{strategy}"' not in await client.text(address[0]):
        return [f"the dashboard's module does not bring the strategy {strategy}"]
    return []


async def _energy_faults(client: Client, borne: frozenset[str]) -> list[str]:
    """Have Home Assistant judge the energy preferences."""
    answer = await client.ask("energy/validate")
    return [
        f"energy: {issue['type']}: {issue['affected_entities']}"
        for source in answer["energy_sources"]
        for issue in source
        if issue["type"] not in borne
    ]
