"""The demonstration for a person: says what happens, and goes on until it is told to end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich import box
from rich.panel import Panel
from rich.table import Table

from . import bill, past, stage
from .client import Client, ClientError
from .meters import ZONE, Meters
from .ports import LOOPBACK, is_free
from .processes import ChildError, Children
from .progress import console, fail, say, show_log

_CAPTURE_PATIENCE_S = 20.0
_PAST_PATIENCE_S = 600.0


async def run(children: Children, folder: Path, port: int) -> int:
    """Run until cancelled; return the exit code."""
    if not is_free(port):
        fail(f"Port {port} is taken, perhaps by a Home Assistant of your own.")
        console.print(f"Take another one: scripts/demo --port {port + 1}")
        return 1
    try:
        async with children, Client(port) as client:
            try:
                await children.while_all_run(_show(children, folder, port, client))
            finally:
                say("ending everything (2 s)")
    except asyncio.CancelledError:
        pass
    except ChildError as error:
        fail(str(error))
        if error.log is not None:
            show_log(error.log)
        return 1
    except ClientError as error:
        fail(str(error))
        show_log(children.logs / "home_assistant.log")
        return 1
    if children.left:
        fail(f"{children.left} processes did not end by themselves; they were killed")
        return 1
    say("nothing is left running")
    return 0


async def _show(children: Children, folder: Path, port: int, client: Client) -> None:
    running = await stage.begin(children, folder, port, client, say)
    console.print(_table(running.view.meters))
    displays = f"http://{LOOPBACK}:{running.display_port}"
    console.print(
        Panel.fit(
            f"[bold]{client.address}[/bold]  Home Assistant, no log-in\n"
            f"[bold]{displays}[/bold]  the simulated meters' displays\nCtrl-C ends everything"
        )
    )
    await stage.show_real_meter(children, folder, running, say, _CAPTURE_PATIENCE_S)
    await running.view.until(client, lambda: running.view.alive)
    say(f"all four meters are on the page: {client.address}")
    if running.fresh:
        await _tell_of_the_past(client, running)
    await asyncio.Event().wait()


async def _tell_of_the_past(client: Client, running: stage.Stage) -> None:
    say("the house's month of history, and what it cost, comes within six minutes")
    try:
        async with asyncio.timeout(_PAST_PATIENCE_S):
            async for found in past.until_filled(client, running.view, running.began, ZONE):
                month = found
    except (TimeoutError, ClientError):
        return  # somebody has given it other prices meanwhile, or restarted Home Assistant
    say(
        f"it is there: import cost {month.cost.said:.2f} {bill.CURRENCY}, export earned "
        f"{month.compensation.said:.2f}; the Energy dashboard has every hour"
    )


def _table(meters: Meters) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("in Home Assistant")
    table.add_column("system title")
    table.add_column("what it is")
    for meter in meters:
        table.add_row(meter.name, meter.system_title, meter.what)
    return table
