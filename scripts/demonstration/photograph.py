"""Pictures of the demonstration's pages for the documentation: scripts/photograph."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from . import photographer, stage
from .client import Client, ClientError
from .life import folder_for, until_done
from .meters import ROOT
from .photographer import Picture
from .ports import free_ports
from .processes import ChildError, Children
from .progress import fail, say, show_log
from .storage import DASHBOARD

IMAGES = ROOT / "docs" / "images"
_AFTER_THE_HOUR_S = 90.0
"""Home Assistant has the first energy statistics a moment after a full hour, and not before."""
_CAPTURE_PATIENCE_S = 20.0
_STILL_THERE_S = 20.0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/photograph",
        description="Starts the demonstration on free ports, with one meter not set up yet, and "
        "takes pictures of set-up, dashboard, device page, Energy dashboard and its repair.",
    )
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder (docs/images)")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="how long the graphs may grow first (default: until after the next full hour, when "
        "the Energy page has something to show, and a quarter of an hour at least)",
    )
    arguments = parser.parse_args()
    if missing := photographer.missing_programs():
        fail(f"missing: {' and '.join(missing)}")
        say("Debian, Ubuntu: apt-get install chromium chromium-driver")
        return 1
    with folder_for(None) as folder:
        children = Children(folder / "logs")
        wait_s = _until_the_hour() if arguments.wait is None else arguments.wait
        work = _photograph(children, folder, arguments.into.resolve(), wait_s)
        return asyncio.run(until_done(children, work))


def _until_the_hour() -> float:
    wait_s = 3600 - time.time() % 3600 + _AFTER_THE_HOUR_S
    return wait_s if wait_s >= 900 else wait_s + 3600


async def _photograph(children: Children, folder: Path, images: Path, wait_s: float) -> int:
    [port] = free_ports(1)
    try:
        async with children, Client(port) as client:
            await children.while_all_run(_take(children, folder, images, wait_s, port, client))
    except asyncio.CancelledError:
        return 1
    except (ChildError, ClientError) as error:
        fail(str(error))
        show_log(getattr(error, "log", None) or children.logs / "home_assistant.log")
        return 1
    return 0


async def _take(
    children: Children, folder: Path, images: Path, wait_s: float, port: int, client: Client
) -> None:
    running = await stage.begin(children, folder, port, client, say, first_minute=True)
    await stage.show_real_meter(children, folder, running, say, _CAPTURE_PATIENCE_S)
    say(f"letting the graphs grow for {wait_s / 60:.0f} min")
    await _grow(client, wait_s)
    pictures = await _pictures(client, images)
    say(f"taking {len(pictures)} pictures (2 min)")
    await children.run(
        "photographer",
        [
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.photographer",
            client.address,
            folder / "browser",
            *(picture.to_text() for picture in pictures),
        ],
    )
    for picture in pictures:
        say(f"written: {picture.file}")


async def _grow(client: Client, wait_s: float) -> None:
    """Let that time go by, and answer Home Assistant, which lets go of who is silent."""
    until = time.monotonic() + wait_s
    while (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, _STILL_THERE_S))
        await client.ask("get_config")


async def _pictures(client: Client, images: Path) -> list[Picture]:
    """Return what is taken; the repair, where there is one by now, after five minutes."""
    devices = await client.ask("config/device_registry/list")
    [house] = [device["id"] for device in devices if device["name"] == "House"]
    pictures = [
        Picture(
            "/config/integrations/dashboard",
            "set-up.png",
            1200,
            900,
            (("ha-config-flow-card", "ha-button[appearance=filled]"),),
        ),
        Picture(f"/{DASHBOARD}/house", "dashboard.png", 1500, 1640),
        Picture(f"/config/devices/device/{house}", "device.png", 1400, 1300),
        Picture("/energy/electricity", "energy.png", 1400, 1180),
    ]
    if (await client.ask("repairs/list_issues"))["issues"]:
        pictures.append(
            Picture(
                "/config/repairs",
                "repair.png",
                1200,
                900,
                (("ha-config-repairs", "ha-list-item-button"),),
            )
        )
    return [replace(picture, file=str(images / picture.file)) for picture in pictures]


if __name__ == "__main__":
    sys.exit(main())
