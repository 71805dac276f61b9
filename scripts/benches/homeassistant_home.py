"""One Home Assistant with many meters, measured from within: a worker of the bench.

Started with a configuration folder that holds the entries. It says on standard output that all is
set up, measures after a line on standard input, and prints what it found.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

from homeassistant import bootstrap, runner
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity_platform import async_get_platforms
from homeassistant.helpers.event import async_track_state_change_event

from custom_components.meter_node.channel.hello import push_topic
from custom_components.meter_node.sensor import MeterNodeSensor
from scripts.benches.homeassistant_street import (
    FAST,
    INTERVAL_S,
    WATCHED,
    WATCHED_REGISTER,
    title,
)

DOMAIN = "meter_node"
_CURRENT, _FUTURE = 1, 2
"""Flags of ``mlockall(2)``."""


def want_all() -> None:
    """Have the integration make the bench's thirty entities enabled, as a user might."""
    from custom_components.meter_node import sensor

    sensor.SENSORS = tuple(
        dataclasses.replace(row, entity_registry_enabled_default=True) if row.key in FAST else row
        for row in sensor.SENSORS
    )


def hold_memory() -> bool:
    """Keep all memory where it is; return whether the system let us.

    A thousand meters' memory is touched once in ten seconds: a kernel that takes back what is
    seldom used has Home Assistant pay for fetching it again, which is the machine's share.
    """
    libc = ctypes.CDLL(None)
    return bool(libc.mlockall(_CURRENT | _FUTURE) == 0)


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


async def watch(hass: HomeAssistant, meters: int) -> list[float]:
    """Note how long after its message a watched entity's state is written, in seconds.

    A message's time is that at which Home Assistant's MQTT client had it.
    """
    from homeassistant.components import mqtt

    waits: list[float] = []
    came: dict[str, float] = {}
    topics: dict[str, str] = {}

    @callback
    def received(message: mqtt.ReceiveMessage) -> None:
        came[message.topic] = message.timestamp

    for number in range(0, meters, meters // WATCHED or 1):
        topic = push_topic(title(number).hex())
        topics[entity_id(hass, number, WATCHED_REGISTER) or ""] = topic
        await mqtt.async_subscribe(hass, topic, received, 1, encoding=None)

    @callback
    def written(event: Event[EventStateChangedData]) -> None:
        topic, written_at = topics[event.data["entity_id"]], time.monotonic()
        # The bench's own subscription may be served after the integration's.
        hass.loop.call_soon(lambda: waits.append(written_at - came.get(topic, written_at)))

    async_track_state_change_event(hass, topics, written)
    return waits


def changed(hass: HomeAssistant, meters: int, since: float) -> float:
    """Return how many entities of a meter changed since then, by the mean of all meters."""
    states = hass.states.async_all("sensor")
    return sum(1 for state in states if state.last_updated_timestamp >= since) / meters


def writing_s(hass: HomeAssistant) -> float:
    """Return the CPU seconds of one state write of Home Assistant's own, by the same entities.

    Meter by meter, as pushes come: what one meter's entities hold is not in the processor's cache.
    """
    count, began = 0, time.process_time()
    for platform in async_get_platforms(hass, DOMAIN):
        for entity in platform.entities.values():
            if isinstance(entity, MeterNodeSensor) and entity.entity_description.key in FAST:
                entity._value = float(count)
                entity.async_write_ha_state()
                count += 1
    return (time.process_time() - began) / count


async def live(folder: str, meters: int, turns: int) -> None:
    """Start, wait for the word, measure for so many turns, end."""
    sys.path.insert(0, folder)
    want_all()
    config = runner.RuntimeConfig(folder, skip_pip=True, log_file=str(Path(folder) / "ha.log"))
    hass = await bootstrap.async_setup_hass(config)
    if hass is None:
        raise RuntimeError("Home Assistant did not start")
    await hass.async_start()
    await until(hass, meters)
    held = hold_memory()
    waits = await watch(hass, meters)
    print(json.dumps({"states": len(hass.states.async_all())}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(INTERVAL_S)  # the first turn: what is new is made
    waits.clear()
    shares = []
    for _ in range(turns):
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(INTERVAL_S)
        shares.append((time.process_time() - cpu) / (time.monotonic() - began))
    found = {
        "shares": shares,
        "memory_held": held,
        "state_ms": 1000 * median(waits),
        "changed": changed(hass, meters, time.time() - INTERVAL_S),
        "writing_s": min(writing_s(hass) for _ in range(3)),
    }
    print(json.dumps(found), flush=True)
    os._exit(0)  # what it holds is a temporary folder's


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
