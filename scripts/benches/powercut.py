"""Power cuts: no register back, no counter twice, nothing counted twice or torn, little lost.

The store's process is killed at random points and its files are torn at every offset
(`powercut_store`). Then running nodes are killed: real processes, a real broker, and a listener
that holds everything that was ever published against what comes after. Nodes run side by side, so
that 200 kills take minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
from rich.progress import Progress

from meter_node import keys, store
from meter_node.channel import apdu, hello, kamstrup_v0001, lists, registers, security
from meter_node.ciphering import PycryptodomeAead
from meter_node.meter.snapshot import NANO
from scripts.benches import powercut_store
from scripts.benches.result import Result
from scripts.demonstration import broker, ports
from scripts.demonstration.processes import ChildError, Children

SEED = 2026
LONGEST_RUN_S = 13.0
MOST_LOST_S = 10.0
_METER = "house"
_CONFIG = """
[mqtt]
host = "127.0.0.1"
port = {port}
username = "{user}"
password = "{password}"
[[meter]]
name = "house"
model = "382M"
push_interval_s = {interval}
[meter.source]
kind = "simulated"
seed = {seed}
solar_peak_w = 6000
"""


@dataclass(slots=True)
class Watch:
    """Everything that one meter ever published, as far as it must not be undone."""

    title: str
    own_keys: keys.MeterKeys
    energies: dict[str, float] = field(default_factory=dict)
    counters: set[int] = field(default_factory=set)
    pushes: int = 0
    violations: list[str] = field(default_factory=list)

    def see(self, payload: bytes) -> None:
        """Hold a push against all before it. Opened here each alone: no replay rule hides one."""
        envelope = apdu.decode_general_glo_ciphering(payload)
        receiver = security.Receiver(
            PycryptodomeAead(), self.own_keys.system_title, self.own_keys.push
        )
        notification = apdu.decode_data_notification(receiver.accept(payload).plaintext)
        reading = lists.read(
            notification, kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE]
        )
        self.pushes += 1
        if envelope.invocation_counter in self.counters:
            self.violations.append(f"{self.title}: counter {envelope.invocation_counter} twice")
        self.counters.add(envelope.invocation_counter)
        for key, value in reading.values.items():
            if not registers.BY_KEY[key].is_energy:
                continue
            if value < self.energies.get(key, 0):
                self.violations.append(
                    f"{self.title}: {key} went from {self.energies[key]} back to {value}"
                )
            self.energies[key] = max(value, self.energies.get(key, 0))


def run(kills: int = 1000, stride: int = 1, node_kills: int = 200, nodes: int = 4) -> Result:
    """Run the bench and return its result; `stride`: files are torn at every so many bytes."""
    with Progress(transient=True) as progress:
        bar = progress.add_task("kill -9 of the store", total=kills)
        violations = powercut_store.kills(kills, lambda: progress.advance(bar))
        bar = progress.add_task("torn files", total=None)
        torn = 0
        # Small pages at every offset; such as the store has at some, and at all ends of frames.
        for page_size, every in ((512, stride), (4096, 101 * stride)):
            count, faults = powercut_store.tears(
                page_size, every, lambda done: progress.advance(bar, done)
            )
            torn += count
            violations += faults
    watches, lost_s = asyncio.run(_bench(node_kills, nodes))
    violations += [text for watch in watches for text in watch.violations]
    pushes = sum(watch.pushes for watch in watches)
    figures: dict[str, object] = {
        "kills": kills,
        "torn": torn,
        "node_kills": len(lost_s),
        "violations": len(violations),
        "worst_loss_s": round(max(lost_s), 2),
        "mean_loss_s": round(sum(lost_s) / len(lost_s), 2),
        "pushes": pushes,
        "details": violations[:20],
    }
    rows = [
        ("kills -9 of the store's process", str(kills), ""),
        ("files torn", str(torn), ""),
        ("kills -9 of nodes", str(len(lost_s)), str(node_kills)),
        ("registers back, anything twice, torn or lost", str(len(violations)), "0"),
        ("metered seconds lost, worst", f"{max(lost_s):.2f}", f"{MOST_LOST_S:.0f}"),
        ("metered seconds lost, mean", f"{sum(lost_s) / len(lost_s):.2f}", ""),
        ("pushes seen", str(pushes), f"at least {nodes}"),
    ]
    missed = violations[:5]
    if max(lost_s) > MOST_LOST_S:
        missed.append(f"{max(lost_s):.2f} s of energy lost, {MOST_LOST_S:.0f} s allowed")
    if pushes < nodes:
        missed.append(f"only {pushes} pushes were seen: nothing to hold the registers against")
    return Result("powercut", figures, rows, missed)


async def _bench(kills: int, nodes: int) -> tuple[list[Watch], list[float]]:
    folder = Path(tempfile.mkdtemp(prefix="meter-node-powercut-"))
    try:
        async with Children(folder / "logs") as children:
            return await _with_broker(children, folder, kills, nodes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _with_broker(
    children: Children, folder: Path, kills: int, nodes: int
) -> tuple[list[Watch], list[float]]:
    (port,) = ports.free_ports(1)
    users = [broker.home_assistant_user()]
    watches = []
    for number in range(nodes):
        data_dir = folder / f"node-{number}"
        data_dir.mkdir()
        own_keys = keys.load_or_make(data_dir, [_METER])
        meter = own_keys.meters[_METER]
        watches.append(Watch(hello.topic_title(meter.system_title), meter))
        user = broker.meter_user(f"node-{number}", [watches[-1].title], own_keys.node)
        users.append(user)
        (data_dir / "meter_node.toml").write_text(
            _CONFIG.format(
                port=port,
                user=user.name,
                password=user.password,
                # The default, which loses most; and every second, which shows most.
                interval=(10, 1)[number % 2],
                seed=number + 1,
            )
        )
    await broker.start(children, folder / "broker", port, users)
    listening = asyncio.create_task(_listen(port, users[0], {w.title: w for w in watches}))
    shares = [kills // nodes + (number < kills % nodes) for number in range(nodes)]
    lost_s: list[float] = []
    with Progress(transient=True) as progress:
        bar = progress.add_task("kill -9", total=kills)
        async with asyncio.TaskGroup() as group:
            for number, share in enumerate(shares):
                group.create_task(
                    _kill_again_and_again(
                        children,
                        folder / f"node-{number}",
                        watches[number],
                        share,
                        lost_s,
                        lambda: progress.advance(bar),
                    )
                )
    await asyncio.sleep(1)
    listening.cancel()
    return watches, lost_s


async def _listen(port: int, user: broker.User, watches: dict[str, Watch]) -> None:
    async with aiomqtt.Client(
        ports.LOOPBACK,
        port,
        username=user.name,
        password=user.password,
        protocol=aiomqtt.ProtocolVersion.V5,
    ) as client:
        await client.subscribe(hello.push_topic("+"), qos=1)
        async for message in client.messages:
            if not message.retain:
                watches[message.topic.value.split("/")[1]].see(message.payload)


async def _kill_again_and_again(
    children: Children,
    data_dir: Path,
    watch: Watch,
    times: int,
    lost_s: list[float],
    advance: Callable[[], None],
) -> None:
    chance = random.Random(f"{SEED}{data_dir.name}")  # noqa: S311 - moments, not secrets
    # Named as the user would start it: the console script stands beside the interpreter.
    command: list[str | Path] = [
        Path(sys.executable).with_name("meter-node"),
        "run",
        "--data-dir",
        data_dir,
    ]
    for _ in range(times):
        started = time.time()
        child = await children.start(data_dir.name, command)
        await asyncio.sleep(chance.uniform(1.0, LONGEST_RUN_S))
        if child.process.returncode is not None:
            raise ChildError(f"{data_dir.name} ended by itself", child.log)
        os.kill(child.process.pid, signal.SIGKILL)
        killed = time.time()
        await children.end(child)
        committed = _hold_store_against(watch, data_dir)
        # Before the first commit of this run, all that it metered is lost.
        lost_s.append(killed - max(committed, started))
        advance()


def _hold_store_against(watch: Watch, data_dir: Path) -> float:
    """Check what a kill left; return the time (s, UTC) of the last committed second."""
    if not (data_dir / store.DATABASE).exists():
        return 0.0
    with closing(store.Store(data_dir / store.DATABASE)) as database:
        kept = database.kept(watch.own_keys.system_title)
    for key, published in watch.energies.items():
        if kept.energies_nwh.get(key, 0) // NANO < published:
            watch.violations.append(f"{watch.title}: {key} kept below the published {published}")
    for name in registers.SUMMED_ENERGIES:
        if name not in kept.energies_nwh:
            continue
        parts = sum(kept.energies_nwh[f"{name}_l{phase}"] for phase in registers.PHASES)
        if parts != kept.energies_nwh[name]:
            watch.violations.append(f"{watch.title}: {name} is not the sum of its phases")
    return kept.time_ns / NANO
