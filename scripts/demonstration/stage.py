"""The demonstration from first to last process, in the order in which they need each other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from . import broker, home_assistant, meters
from .client import Client
from .meters import ZONE, Meters
from .ports import LOOPBACK, free_ports
from .processes import Children
from .view import View

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What is running, once ``begin`` has returned."""

    client: Client
    view: View
    line_port: int
    display_port: int
    """Where the simulated meters' displays are."""
    began: datetime
    fresh: bool
    """Whether Home Assistant has never seen the captured frame: it takes a counter only once."""


async def begin(
    children: Children,
    folder: Path,
    port: int,
    client: Client,
    say: Say,
    *,
    zone: ZoneInfo = ZONE,
    first_minutes: bool = False,
) -> Stage:
    """Start everything but the real meter; return when Home Assistant listens.

    In the first minutes only the meters of house and roof are set up, and the roof's alone is on
    the Energy dashboard. Raises ChildError and ClientError.
    """
    began = datetime.now(UTC)
    fresh = not (folder / "home_assistant").exists()
    broker_port, line_port, display_port = free_ports(3)
    say("making the meters' keys, and a month of the past")
    all_meters = await meters.prepare(children, folder, line_port, zone)
    users = _users(all_meters)
    await broker.start(children, folder / "mosquitto", broker_port, list(users))
    say(f"Mosquitto listens on port {broker_port}, with a password for each of its three users")
    node, bridge, listener = users
    meters.connect(folder, broker_port, node, bridge, display_port)
    sun = home_assistant.solar(all_meters.roof)
    grids = [home_assistant.grid(one) for one in all_meters if one is not all_meters.roof]
    # The interpreters of both need a core for seconds: Home Assistant, the longer, goes first.
    await home_assistant.start(
        children,
        folder / "home_assistant",
        port,
        broker_port,
        listener,
        zone,
        (all_meters.house, all_meters.roof) if first_minutes else all_meters,
        [sun, *(() if first_minutes else grids)],
    )
    say("Home Assistant is starting (4 to 30 s)")
    await meters.start_node(children, folder)
    say("three simulated meters are starting")
    credit = await meters.top_up(folder, display_port)
    say(f"their displays are at http://{LOOPBACK}:{display_port}; the flat's credit is {credit}")
    await client.connect()
    say("Home Assistant is there")
    return Stage(client, View(all_meters), line_port, display_port, began, fresh)


async def show_real_meter(
    children: Children, folder: Path, stage: Stage, say: Say, patience_s: float | None = None
) -> None:
    """Send the captured frame; when it is shown, let its continuation take its place.

    After ``patience_s`` the continuation comes in any case.
    """
    await meters.start_bridge(children, folder)
    if stage.fresh:
        capture = await meters.start_line(children, stage.line_port, continued=False)
        say("the real meter's captured frame is on its way, as it was captured")
        await _wait_for_capture(stage, say, patience_s)
        await children.end(capture)
    else:
        say(
            "the captured frame was shown in an earlier run: again, it would be refused as a replay"
        )
    await meters.start_line(children, stage.line_port, continued=True)
    say("the captured frame's continuation is being sent")


async def _wait_for_capture(stage: Stage, say: Say, patience_s: float | None) -> None:
    view = stage.view
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience_s):
            await view.until(stage.client, lambda: view.captured)
    except TimeoutError:
        say(f"the captured frame was not shown within {patience_s:.0f} s")
        return
    voltages = "/".join(f"{voltage:.0f}" for voltage in view.captured_voltages_v or ())
    say(
        f"Home Assistant opened it with its keys {time.monotonic() - began:.1f} s later: "
        f"{view.captured_import_kwh} kWh, {voltages} V"
    )


def _users(all_meters: Meters) -> tuple[broker.User, broker.User, broker.User]:
    """Each may say what it has to say, and hear what it has to hear."""
    simulated = [meter.system_title for meter in all_meters if meter.simulated]
    return (
        broker.meter_user("node", simulated, all_meters.node),
        broker.meter_user("bridge", [all_meters.real.system_title], all_meters.bridge),
        broker.home_assistant_user(),
    )
