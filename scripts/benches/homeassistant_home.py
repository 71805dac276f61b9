"""One Home Assistant with many meters, measured from within: a worker of the bench.

Started with a configuration folder that holds the entries. A line on standard input begins and ends
the measurement; JSON lines on standard output tell that it is ready and what it found.
"""

from __future__ import annotations

import asyncio
import cProfile
import dataclasses
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, runner
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event

from scripts.benches.homeassistant_street import FAST, WATCHED, WATCHED_REGISTER, title

DOMAIN = "meter_node"


def want_all() -> None:
    """Have the integration make the bench's thirty entities enabled, as a user might."""
    from custom_components.meter_node import sensor

    sensor.SENSORS = tuple(
        dataclasses.replace(row, entity_registry_enabled_default=True) if row.key in FAST else row
        for row in sensor.SENSORS
    )


def entity_id(hass: HomeAssistant, number: int, key: str) -> str | None:
    """Find an entity."""
    unique_id = f"{title(number).hex()}_{key}"
    return er.async_get(hass).async_get_entity_id("sensor", DOMAIN, unique_id)


async def until(hass: HomeAssistant, meters: int) -> None:
    """Wait until every meter's entities are there and the start is over."""
    while entity_id(hass, meters - 1, WATCHED_REGISTER) is None or not hass.is_running:
        await asyncio.sleep(0.5)
    await hass.async_block_till_done()
    while any(
        hass.states.get(entity_id(hass, n, WATCHED_REGISTER) or "") is None for n in range(meters)
    ):
        await asyncio.sleep(0.5)


def watch(hass: HomeAssistant, meters: int) -> list[tuple[int, float, float]]:
    """Note when the watched entities' states are written: (meter, value, monotonic seconds)."""
    seen: list[tuple[int, float, float]] = []
    step = meters // WATCHED or 1
    numbers = {
        entity_id(hass, number, WATCHED_REGISTER): number for number in range(0, meters, step)
    }

    @callback
    def written(event: Event[EventStateChangedData]) -> None:
        state = event.data["new_state"]
        if state is not None:
            seen.append((numbers[event.data["entity_id"]], float(state.state), time.monotonic()))

    async_track_state_change_event(hass, [one for one in numbers if one], written)
    return seen


def changed(hass: HomeAssistant, meters: int, since: float) -> float:
    """Return how many entities of a meter changed since then, by the mean of all meters."""
    count = sum(
        1 for state in hass.states.async_all("sensor") if state.last_updated_timestamp >= since
    )
    return count / meters


async def live(folder: str, meters: int) -> None:
    """Start, wait for the word, measure until the next, stop."""
    sys.path.insert(0, folder)
    want_all()
    config = runner.RuntimeConfig(
        config_dir=folder, skip_pip=True, log_file=str(Path(folder) / "ha.log")
    )
    hass = await bootstrap.async_setup_hass(config)
    assert hass is not None
    await hass.async_start()
    await until(hass, meters)
    gc.collect()
    gc.freeze()
    print(json.dumps({"ready": True, "states": len(hass.states.async_all())}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    seen = watch(hass, meters)
    profile = cProfile.Profile() if os.environ.get("METER_NODE_PROFILE") else None
    if profile is not None:
        profile.enable()
    began, cpu = time.monotonic(), time.process_time()
    await asyncio.to_thread(sys.stdin.readline)
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    if profile is not None:
        profile.disable()
        profile.dump_stats(os.environ["METER_NODE_PROFILE"])
    found: dict[str, Any] = {
        "share": cpu_s / took_s,
        "seen": seen,
        "changed": changed(hass, meters, time.time() - 10.5),
    }
    print(json.dumps(found), flush=True)
    os._exit(0)  # what it holds is a temporary folder's


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], int(sys.argv[2])))
