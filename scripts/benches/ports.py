"""What a node costs in real time with every port on: share of a core, and memory.

Each kind of the modules' table is on, and read, as are MQTT, the head-end's port and the page. A
second node runs in the same minutes, of a meter alone, without broker, ports and modules: what the
base costs of that. Processor time grows where others use the machine (cold caches, a shared core),
never shrinks, so that of several windows the best is what a node costs; memory is the most of all.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
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

BEGINS_WITHIN_S = 120.0
SETTLES_S = 10.0
"""After metering has begun, by when a node has looked at its own program and store, too."""
WINDOWS = 6
WINDOW_S = 20.0
"""Twice the longest interval at which a node does something: pushes of 10 s."""
CPU_BUDGET = 0.05
RSS_BUDGET_MB = 100.0
BASE_CPU_BUDGET = 0.03
_BEGUN = "metering as"
_METER_NODE = Path(sys.executable).with_name("meter-node")
_METER = (
    '[[meter]]\nname = "house"\nmodel = "382M"\nbreaker = true\nrelays = 2\n'
    'source = { kind = "simulated", solar_peak_w = 6000 }\n'
)
_CHOSEN: dict[str, list[dict[str, Any]]] = {
    "han": [{"ciphered": False}, {"ciphered": True}],
    "p1": [{"interval_s": 1}],
}
"""Kinds that are on more than once, or more eagerly than by default."""


@dataclass(slots=True)
class Cost:
    """What one node costs: shares of a core, one a window, and the most memory of all."""

    shares: list[float] = field(default_factory=list)
    rss_mb: float = 0.0

    @property
    def cpu_share(self) -> float:
        """The best window's: what was not the machine's other work."""
        return min(self.shares)


def run() -> Result:
    """Measure and hold against the budgets."""
    base, every, modules = asyncio.run(_measure())
    figures: dict[str, object] = {
        "cpu_share": round(every.cpu_share, 4),
        "rss_mb": round(every.rss_mb, 1),
        "base_cpu_share": round(base.cpu_share, 4),
        "base_rss_mb": round(base.rss_mb, 1),
        "cpu_shares": [round(share, 4) for share in every.shares],
        "base_cpu_shares": [round(share, 4) for share in base.shares],
        "modules": modules,
        "window_s": WINDOW_S,
    }
    rows = [
        ("processor", f"{every.cpu_share:.1%} of a core", f"{CPU_BUDGET:.0%}"),
        ("memory", f"{every.rss_mb:.0f} MB", f"{RSS_BUDGET_MB:.0f} MB"),
        ("processor, a meter alone", f"{base.cpu_share:.1%} of a core", f"{BASE_CPU_BUDGET:.0%}"),
        ("memory, a meter alone", f"{base.rss_mb:.0f} MB", "-"),
        ("modules", ", ".join(modules), "every kind"),
        ("windows", f"the best of {WINDOWS}, {WINDOW_S:.0f} s each", "-"),
    ]
    missed = []
    for what, cost, budget in (("", every, CPU_BUDGET), ("a meter alone: ", base, BASE_CPU_BUDGET)):
        if cost.cpu_share > budget:
            missed.append(f"{what}{cost.cpu_share:.1%} of a core, budget {budget:.0%}")
    if every.rss_mb > RSS_BUDGET_MB:
        missed.append(f"{every.rss_mb:.0f} MB, budget {RSS_BUDGET_MB:.0f} MB")
    return Result("ports", figures, rows, missed)


async def _measure() -> tuple[Cost, Cost, list[str]]:
    """Return what a meter alone costs, what all ports cost, and which modules were on."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        wanted = [(kind, each) for kind in KINDS for each in _CHOSEN.get(kind, [{}])]
        broker_port, ami_port, page_port, *module_ports = free_ports(3 + len(wanted))
        sections = []
        listening = []
        for (kind, chosen), port in zip(wanted, module_ports, strict=True):
            given, is_read = _settings(KINDS[kind].settings, port, folder / f"{port}.csv")
            sections.append(f'[[meter.module]]\nkind = "{kind}"\n' + _toml({**given, **chosen}))
            listening += [port] if is_read else []
        children = await stack.enter_async_context(Children(folder / "logs"))
        data, own_keys = _made(folder / "every")
        title = hello.topic_title(own_keys.meters["house"].system_title)
        user = broker.meter_user("node", [title], own_keys.node)
        head = (
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n'
            f'username = "{user.name}"\npassword = "{user.password}"\n'
            f'[ami]\ntcp = "127.0.0.1:{ami_port}"\n[display]\nport = {page_port}\n'
        )
        await broker.start(children, folder / "broker", broker_port, [user])
        every = await _started(children, "every", data, "".join((head, _METER, *sections)))
        base = await _started(children, "base", _made(folder / "base")[0], _METER)
        for port in listening:
            reading = asyncio.create_task(_read(port))
            stack.callback(reading.cancel)
        of_base, of_every = await children.while_all_run(_watch(base, every))
        return of_base, of_every, [kind for kind, _ in wanted]


def _made(data: Path) -> tuple[Path, keys.NodeKeys]:
    data.mkdir()
    return data, keys.load_or_make(data, ["house"])


async def _started(children: Children, name: str, data: Path, configuration: str) -> Child:
    (data / "meter_node.toml").write_text(configuration)
    return await children.start(name, [_METER_NODE, "run", "--data-dir", data])


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


async def _watch(base: Child, every: Child) -> tuple[Cost, Cost]:
    """Measure two nodes side by side, from when both of them meter."""
    nodes = base, every
    async with asyncio.timeout(BEGINS_WITHIN_S):
        for node in nodes:
            while _BEGUN not in node.log.read_text():
                await asyncio.sleep(0.5)
    await asyncio.sleep(SETTLES_S)
    costs = Cost(), Cost()
    for _ in range(WINDOWS):
        began_s = time.monotonic()
        before_s = [_cpu_s(node.process.pid) for node in nodes]
        await asyncio.sleep(WINDOW_S)
        lasted_s = time.monotonic() - began_s
        for cost, node, since_s in zip(costs, nodes, before_s, strict=True):
            cost.shares.append((_cpu_s(node.process.pid) - since_s) / lasted_s)
            cost.rss_mb = max(cost.rss_mb, _rss_mb(node.process.pid))
    return costs


def _cpu_s(process_id: int) -> float:
    """Processor time of a process so far, in all of its threads."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(process_id: int) -> float:
    """What it has of the machine's memory now."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
