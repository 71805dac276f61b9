"""Pictures of the demonstration's pages for the documentation: scripts/photograph."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from . import photographer, stage
from .client import Client, ClientError
from .life import folder_for, until_done
from .meters import ROOT
from .ports import free_ports
from .processes import ChildError, Children
from .progress import fail, say, show_log
from .storage import DASHBOARD

IMAGES = ROOT / "docs" / "images"
SIZE = "1400x1180"
_AFTER_THE_HOUR_S = 90.0
"""Home Assistant has the first energy statistics a moment after a full hour, and not before."""
_CAPTURE_PATIENCE_S = 20.0


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/photograph",
        description="Starts the demonstration on free ports and takes pictures of its dashboard "
        "and of the Energy dashboard.",
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
    running = await stage.begin(children, folder, port, client, say)
    await stage.show_real_meter(children, folder, running, say, _CAPTURE_PATIENCE_S)
    say(f"letting the graphs grow for {wait_s / 60:.0f} min")
    await asyncio.sleep(wait_s)
    pages = {f"/{DASHBOARD}/meters": "dashboard.png", "/energy/electricity": "energy.png"}
    say("taking the pictures (40 s)")
    await children.run(
        "photographer",
        [
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.photographer",
            client.address,
            folder / "browser",
            SIZE,
            *(f"{page}={images / name}" for page, name in pages.items()),
        ],
    )
    for name in pages.values():
        say(f"written: {images / name}")


if __name__ == "__main__":
    sys.exit(main())
