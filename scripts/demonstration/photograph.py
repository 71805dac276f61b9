"""Pictures of the demonstration's pages for the documentation: scripts/photograph."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from . import meters, past, stage
from .client import Client, ClientError
from .life import folder_for, until_done
from .meters import ROOT
from .photographer import Picture
from .ports import free_ports
from .processes import ChildError, Children
from .progress import fail, say, show_log
from .storage import DASHBOARD

IMAGES = ROOT / "docs" / "images"
_GRAPHS_S = 540.0
"""The graphs of the page show the last minutes: so long after the start they are full."""
_REPAIR_WITHIN_S = 150.0
"""It is looked for once a minute."""
_STILL_THERE_S = 10.0
_RELAY = "switch.house_load_relay_2"
_SUBMIT = ("dialog-data-entry-flow", "ha-button[slot=primaryAction]")
_NARROW_SIDE = (("dockedSidebar", '"auto"'),)
_YESTERDAY = (*_NARROW_SIDE, ("energy-default-period-_energy_dashboard", "yesterday"))
_DANISH = (*_NARROW_SIDE, ("selectedLanguage", '"da"'))
_DANISH_PICTURES = (
    Picture(f"/{DASHBOARD}/house", "dashboard-da.png", 1680, 1640, remembered=_DANISH),
)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/photograph",
        description="Starts the demonstration on free ports as it is in the first minutes, has the "
        "house's month filled, and takes pictures of set-up, repair, dashboard, prices, device "
        "page and Energy dashboard (ten minutes).",
    )
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder (docs/images)")
    arguments = parser.parse_args()
    with folder_for(None) as folder:
        children = Children(folder / "logs")
        work = _photograph(children, folder, arguments.into.resolve())
        return asyncio.run(until_done(children, work))


async def _photograph(children: Children, folder: Path, images: Path) -> int:
    [port] = free_ports(1)
    try:
        async with children, Client(port) as client:
            await children.while_all_run(_take_all(children, folder, images, port, client))
    except asyncio.CancelledError:
        return 1
    except (ChildError, ClientError) as error:
        fail(str(error))
        show_log(getattr(error, "log", None) or children.logs / "home_assistant.log")
        return 1
    return 0


async def _take_all(
    children: Children, folder: Path, images: Path, port: int, client: Client
) -> None:
    zone = meters.sunny_zone(datetime.now(UTC))
    running = await stage.begin(children, folder, port, client, say, zone=zone, first_minutes=True)
    graphs_at = time.monotonic() + _GRAPHS_S
    say("waiting for the house's month of history and what it cost (up to six minutes)")
    async for _ in past.until_filled(client, running.view, running.began, zone):
        pass
    await _have_events(client)
    await _wait_for_repair(client)
    say(f"letting the graphs grow for {max(graphs_at - time.monotonic(), 0):.0f} s more")
    while time.monotonic() < graphs_at:
        await asyncio.sleep(_STILL_THERE_S)
        await client.ask("get_config")  # who is silent is let go of
    await _take(children, folder, images, client, zone, await _pictures(client))
    await client.connect()  # who was silent for so long has been let go of
    await _speak_danish(client)
    await _take(children, folder, images, client, zone, _DANISH_PICTURES)


async def _take(
    children: Children,
    folder: Path,
    images: Path,
    client: Client,
    zone: ZoneInfo,
    pictures: Sequence[Picture],
) -> None:
    pictures = [replace(picture, file=str(images / picture.file)) for picture in pictures]
    say(f"taking {len(pictures)} pictures (20 s each)")
    await children.run(
        "photographer",
        [
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.photographer",
            client.address,
            str(zone),
            folder / "browser",
            *(picture.to_text() for picture in pictures),
        ],
    )
    for picture in pictures:
        say(f"written: {picture.file}")


async def _have_events(client: Client) -> None:
    """Switch a relay to and fro, and give it back to the meter, which writes it into its log."""
    for action in ("turn_on", "turn_off"):
        await client.act("switch", action, _RELAY)
    await client.act(
        "select", "select_option", "select.house_load_relay_2_control", option="automatic"
    )


async def _wait_for_repair(client: Client) -> None:
    async with asyncio.timeout(_REPAIR_WITHIN_S):
        while not (await client.ask("repairs/list_issues"))["issues"]:
            await asyncio.sleep(1)


async def _speak_danish(client: Client) -> None:
    """Change the home's language, and have the meters' entities named in it."""
    await client.ask("config/core/update", language="da")
    for entry in await client.ask("config_entries/get", domain="meter_node"):
        await client.ask(
            "call_service",
            domain="homeassistant",
            service="reload_config_entry",
            service_data={"entry_id": entry["entry_id"]},
        )
    await asyncio.sleep(_STILL_THERE_S)  # a push comes every ten seconds


async def _pictures(client: Client) -> list[Picture]:
    """Return those in English, in the order in which a homeowner comes by."""
    devices = await client.ask("config/device_registry/list")
    [house] = [device["id"] for device in devices if device["name"] == "House"]
    return [
        Picture(
            "/config/integrations/dashboard",
            "set-up.png",
            1200,
            800,
            (("ha-config-flow-card", "ha-button[appearance=filled]"),),
        ),
        Picture(
            "/config/repairs",
            "repair.png",
            1200,
            960,
            (("ha-config-repairs", "ha-list-item-button"),),
            (_SUBMIT,),
        ),
        Picture(f"/{DASHBOARD}/house", "dashboard.png", 1680, 1640, remembered=_NARROW_SIDE),
        Picture("/energy/electricity", "energy.png", 1400, 1560, remembered=_YESTERDAY),
        Picture(
            "/config/integrations/integration/meter_node",
            "prices.png",
            1000,
            1460,
            (("ha-config-entry-row", "ha-icon-button[slot=end]"), _SUBMIT),
        ),
        Picture(f"/config/devices/device/{house}", "device.png", 1400, 1300),
        Picture(f"/{DASHBOARD}/house", "phone.png", 412, 915, is_phone=True),
    ]


if __name__ == "__main__":
    sys.exit(main())
