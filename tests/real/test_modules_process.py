"""Modules of a node process: they come and go, fail and are killed, and the meter goes on."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from real_house import METER_NODE

from meter_node import keys, store
from meter_node.channel import hdlc
from meter_node.module_keeping import mark_name
from scripts.demonstration import ports
from scripts.demonstration.processes import Child, Children

METER = """
[store]
commit_interval_s = 1
[[meter]]
name = "house"
model = "382M"
source = { kind = "simulated", annual_consumption_kwh = 100000 }
"""


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


def module(kind: str, **chosen: object) -> str:
    values = "".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items())
    return f'[[meter.module]]\nkind = "{kind}"\n{values}'


@asynccontextmanager
async def node(folder: Path, *modules: str) -> AsyncIterator[Child]:
    write(folder, *modules)
    async with Children(folder / "logs") as children:
        yield await children.start("node", [METER_NODE, "run", "--data-dir", folder])
    assert children.left == 0


def write(folder: Path, *modules: str) -> None:
    (folder / "meter_node.toml").write_text(METER + "".join(modules))


async def first_bytes(port: int, count: int, within_s: float = 40) -> bytes:
    """What a port sends, once it is there."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            try:
                return await reader.readexactly(count)
            except asyncio.IncompleteReadError:
                continue
            finally:
                writer.close()


async def is_closed(port: int) -> bool:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return True
            writer.close()
            await asyncio.sleep(0.1)


async def said(child: Child, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in child.log.read_text():
            await asyncio.sleep(0.1)


def import_wh(telegram: bytes) -> float:
    return sum(float(one) for one in re.findall(rb"1-0:1\.8\.\d\(([\d.]+)\*kWh\)", telegram)) * 1000


@pytest.mark.timeout(180)
async def test_modules_are_added_and_removed_while_the_metering_goes_on(tmp_path: Path) -> None:
    p1, han, taken = ports.free_ports(3)
    text_port = module("p1", bearer=f"listen://127.0.0.1:{p1}", interval_s=1)
    list_port = module("han", bearer=f"listen://127.0.0.1:{han}")
    failing = [
        module("p1", bearer=f"listen://127.0.0.1:{taken}"),
        module("han", bearer="file:/no/such/folder/lists"),
        module("p1", bearer="serial:///dev/no-such-line"),
        module("han", bearer="dial://127.0.0.1:1"),
        module("s0", file="/no/such/folder/pulses.csv"),
    ]
    with socket.create_server(("127.0.0.1", taken)):
        async with node(tmp_path, text_port, *failing) as child:
            process_id = child.process.pid
            # Whatever the others do, a telegram a second: the first, and one of later.
            before = import_wh(await first_bytes(p1, 600))
            await asyncio.sleep(2)
            write(tmp_path, text_port, list_port)
            child.process.send_signal(signal.SIGHUP)
            await said(child, "1 modules more, 5 fewer")
            frame = await first_bytes(han, 228)
            assert isinstance(hdlc.FrameReader().feed(frame)[0], hdlc.Frame)
            assert import_wh(await first_bytes(p1, 600)) >= before
            # A configuration that can't be used changes nothing.
            renamed = METER.replace("house", "hus") + list_port
            for text, reason in (
                ("[[meter]]\n", "meter[0].name"),
                ("", "there is no [[meter]] to run"),
                (renamed, "meter house runs, and the file has no such meter any more"),
            ):
                (tmp_path / "meter_node.toml").write_text(text)
                child.process.send_signal(signal.SIGHUP)
                await said(child, reason)
                assert await first_bytes(p1, 5) == b"/MTN5"
            assert child.log.read_text().count("the configuration stays as it was") == 3
            write(tmp_path, list_port)
            child.process.send_signal(signal.SIGHUP)
            assert await is_closed(p1)
            assert (await first_bytes(han, 3))[:1] == b"\x7e"
            assert child.process.returncode is None
            assert child.process.pid == process_id
            child.process.terminate()
            assert await child.process.wait() == 0


class Pulses:
    """What stands in a data directory of pulses and of the register, once no node runs."""

    def __init__(self, folder: Path, path: Path) -> None:
        title = keys.load(folder).meters["house"].system_title
        with closing(store.Store(folder / "store.sqlite")) as database:
            text = database.mark(mark_name(title, f"counted import_active_energy {path}"))
            nwh = database.kept(title).energies_nwh["import_active_energy"]
        assert text is not None
        self.kept = json.loads(text)
        self.register_wh = nwh // 10**9
        lines = path.read_text().splitlines() if path.exists() else []
        self.starts = [int(line.split(",")[0]) for line in lines if line.count(",") == 1]

    def energy(self) -> int:
        """Pulses sent and all that waits, in nWh times the constant of 1000."""
        kept = self.kept
        sent_of_those_under_way = sum(start > kept["after_ns"] for start in self.starts)
        waits = kept["queued"] + max(kept["sending"] - sent_of_those_under_way, 0)
        return (len(self.starts) + waits) * 10**12 + kept["rest"]

    @property
    def first_wh(self) -> int:
        """The register at which the pulses began, by all that came since."""
        return self.kept["register"] - self.energy() // 10**12


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_kills_lose_no_pulse_and_repeat_none(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    pulses = module("s0", file=str(path))
    begun: list[int] = []
    for kill_after_s in (9.0, 6.3, 7.1, 8.4, None):
        async with node(tmp_path, pulses) as child:
            await said(child, "metering as")
            await asyncio.sleep(kill_after_s or 8)
            if kill_after_s is None:
                child.process.terminate()
            else:
                child.process.kill()
            await child.process.wait()
        found = Pulses(tmp_path, path)
        # Never more than is committed, and none that is neither sent nor waits.
        assert found.kept["register"] <= found.register_wh
        assert found.energy() % 10**12 == found.kept["rest"]
        begun.append(found.first_wh)
    assert len(set(begun)) == 1, "each run goes on exactly where the one before was"
    assert len(found.starts) > 20
    assert found.starts == sorted(set(found.starts))
