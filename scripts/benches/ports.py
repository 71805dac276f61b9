"""What a node costs in real time with every port on: share of a core, and memory.

Each kind of the modules' table is on, and read, as are MQTT, the head-end's port and the page.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from meter_node import keys
from meter_node.channel import hello
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import KINDS
from scripts.benches.result import Result
from scripts.demonstration import broker
from scripts.demonstration.ports import free_ports
from scripts.demonstration.processes import Child, Children

SETTLES_S = 15.0
MEASURED_S = 60.0
CPU_BUDGET = 0.05
RSS_BUDGET_MB = 100.0
_METER_NODE = Path(sys.executable).with_name("meter-node")
_CHOSEN: dict[str, list[dict[str, Any]]] = {
    "han": [{"ciphered": False}, {"ciphered": True}],
    "p1": [{"interval_s": 1}],
}
"""Kinds that are on more than once, or more eagerly than by default."""


def run() -> Result:
    """Measure and hold against the budgets."""
    cpu_share, rss_mb, modules = asyncio.run(_measure(MEASURED_S))
    figures: dict[str, object] = {
        "cpu_share": round(cpu_share, 4),
        "rss_mb": round(rss_mb, 1),
        "modules": modules,
        "seconds": MEASURED_S,
    }
    rows = [
        ("processor", f"{cpu_share:.1%} of a core", f"{CPU_BUDGET:.0%}"),
        ("memory", f"{rss_mb:.0f} MB", f"{RSS_BUDGET_MB:.0f} MB"),
        ("modules", ", ".join(modules), "every kind"),
    ]
    missed = []
    if cpu_share > CPU_BUDGET:
        missed.append(f"{cpu_share:.1%} of a core, budget {CPU_BUDGET:.0%}")
    if rss_mb > RSS_BUDGET_MB:
        missed.append(f"{rss_mb:.0f} MB, budget {RSS_BUDGET_MB:.0f} MB")
    return Result("ports", figures, rows, missed)


async def _measure(seconds: float) -> tuple[float, float, list[str]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = folder / "data"
        data.mkdir()
        own_keys = keys.load_or_make(data, ["house"])
        title = hello.topic_title(own_keys.meters["house"].system_title)
        user = broker.meter_user("node", [title], own_keys.node)
        wanted = [(kind, each) for kind in KINDS for each in _CHOSEN.get(kind, [{}])]
        broker_port, ami_port, page_port, *module_ports = free_ports(3 + len(wanted))
        head = (
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n'
            f'username = "{user.name}"\npassword = "{user.password}"\n'
            f'[ami]\ntcp = "127.0.0.1:{ami_port}"\n[display]\nport = {page_port}\n'
            '[[meter]]\nname = "house"\nmodel = "382M"\nbreaker = true\nrelays = 2\n'
            'source = { kind = "simulated", solar_peak_w = 6000 }\n'
        )
        sections = [head]
        listening = []
        for (kind, chosen), port in zip(wanted, module_ports, strict=True):
            given, is_read = _settings(KINDS[kind].settings, port, folder / f"{port}.csv")
            sections.append(f'[[meter.module]]\nkind = "{kind}"\n' + _toml({**given, **chosen}))
            listening += [port] if is_read else []
        (data / "meter_node.toml").write_text("".join(sections))
        children = await stack.enter_async_context(Children(folder / "logs"))
        await broker.start(children, folder / "broker", broker_port, [user])
        child = await children.start("node", [_METER_NODE, "run", "--data-dir", data])
        for port in listening:
            reading = asyncio.create_task(_read(port))
            stack.callback(reading.cancel)
        return await children.while_all_run(_watch(child, seconds, [kind for kind, _ in wanted]))


def _settings(settings: type[ModuleSettings], port: int, path: Path) -> tuple[dict[str, Any], bool]:
    """Where a module of any kind goes: to who connects, or into a file. And whether one reads."""
    if "bearer" in settings.model_fields:
        return {"bearer": f"listen://127.0.0.1:{port}"}, True
    return {"file": str(path)}, False


def _toml(values: dict[str, Any]) -> str:
    def text(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int) else f'"{value}"'

    return "".join(f"{key} = {text(value)}\n" for key, value in values.items())


async def _read(port: int) -> None:
    """Read what comes, as long as it is not cancelled."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.2)
            continue
        try:
            while await reader.read(65_536):
                pass
        finally:
            writer.close()


async def _watch(
    child: Child, seconds: float, modules: list[str]
) -> tuple[float, float, list[str]]:
    await asyncio.sleep(SETTLES_S)
    before_s, began_s = _cpu_s(child.process.pid), time.monotonic()
    rss_mb = 0.0
    while time.monotonic() < began_s + seconds:
        rss_mb = max(rss_mb, _rss_mb(child.process.pid))
        await asyncio.sleep(1)
    used_s, lasted_s = _cpu_s(child.process.pid) - before_s, time.monotonic() - began_s
    return used_s / lasted_s, rss_mb, modules


def _cpu_s(process_id: int) -> float:
    """Processor time of a process so far, in all of its threads."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(process_id: int) -> float:
    """What it has of the machine's memory now."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
