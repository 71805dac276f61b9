"""A meter all of whose registers have a value, and ports of it for strangers to read."""

from __future__ import annotations

import asyncio
import os
import sys
import tty
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "meter_node" / "ports"))

from display_meters import NOON_NS, SNAPSHOT, wh
from mbus_meter import House

from meter_node.channel import registers

PHASED = {
    "import_active_power": 2345.6,
    "export_active_power": 512.3,
    "import_reactive_power": 321.0,
    "export_reactive_power": 45.6,
    "apparent_power": 2400.1,
    "power_factor": -0.985,
}
COUNTED = {
    "net_active_energy": -4_691_678,
    "absolute_active_energy": 20_000_320,
    "operating_time": 8760,
    "import_active_demand_last": 23_456,
    "export_active_demand_last": 1_234,
    "import_active_demand_maximum": 61_234,
    "export_active_demand_maximum": 41_234,
    **{f"voltage_average_l{phase}": 23_000 + phase for phase in (1, 2, 3)},
    **{f"current_average_l{phase}": 5_000 + phase for phase in (1, 2, 3)},
    **{
        f"voltage_{event}_{what}_l{phase}": value + place + phase
        for place, event in enumerate(("sag", "swell"))
        for what, value in (("count", 10), ("duration", 1_234), ("magnitude", 20_300))
        for phase in (1, 2, 3)
    },
}


def full_house() -> House:
    """A meter with a value in each register that M-Bus can tell, all different."""
    instantaneous = {"frequency": 49.987, "neutral_current": 0.123}
    for place, (name, value) in enumerate(PHASED.items()):
        instantaneous[name] = value
        for phase in registers.PHASES:
            part = 0.5 + phase / 10 if name == "power_factor" else value / 10 + place + phase
            instantaneous[f"{name}_l{phase}"] = part
    for phase in registers.PHASES:
        instantaneous[f"voltage_l{phase}"] = 229.01 + phase
        instantaneous[f"current_l{phase}"] = 10.101 * phase
        instantaneous[f"voltage_thd_l{phase}"] = 2.1 + phase
        instantaneous[f"current_thd_l{phase}"] = 31.4 + phase
    energies = wh(
        **{
            register.key: 1_000_003 * place + 17
            for place, register in enumerate(registers.REGISTERS)
            if register.is_energy and register.key != "absolute_active_energy"
        }
    )
    maximum_s = NOON_NS // 10**9 - 3_600
    return House(
        replace(
            SNAPSHOT,
            energies_nwh=energies,
            instantaneous=instantaneous,
            counted=COUNTED,
            maxima_s={key: maximum_s for key in COUNTED if key.endswith("maximum")},
        )
    )


@asynccontextmanager
async def running(port: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a port meanwhile."""
    task = asyncio.create_task(port)
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def two_ends_of_a_line() -> AsyncIterator[tuple[str, str]]:
    """Two pseudo-terminals of which each gets what is written to the other."""
    ends = [os.openpty(), os.openpty()]
    loop = asyncio.get_running_loop()
    for ours, theirs in ends:
        tty.setraw(theirs)
        os.set_blocking(ours, False)

    def pass_on(one: int, other: int) -> None:
        with suppress(OSError):
            os.write(other, os.read(one, 4096))

    (one, one_end), (other, other_end) = ends
    loop.add_reader(one, pass_on, one, other)
    loop.add_reader(other, pass_on, other, one)
    try:
        yield os.ttyname(one_end), os.ttyname(other_end)
    finally:
        for ours, theirs in ends:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)
