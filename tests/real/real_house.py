"""A node's process at a broker whose access list is the demonstration's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt

from meter_node import keys
from meter_node.channel import hello
from scripts.demonstration import broker, ports
from scripts.demonstration.processes import Child, Children

METER_NODE = Path(sys.executable).with_name("meter-node")
METER = """
[[meter]]
name = "house"
model = "382M"
push_interval_s = 1
[meter.source]
kind = "simulated"
"""
METER_WITH_A_RELAY = """
[[meter]]
name = "house"
model = "382M"
push_interval_s = 1
relays = 1
[meter.parameters.load_profile]
interval_min = 5
[meter.source]
kind = "simulated"
"""
WAIT_S = 30


def pair(data_dir: Path, *arguments: str) -> dict[str, Any]:
    """Run meter-node pair to its end."""
    ended = subprocess.run(
        [METER_NODE, "pair", "--data-dir", data_dir, "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


class House:
    """A node's process on a broker, which can be started anew."""

    def __init__(self, children: Children, data_dir: Path, port: int, reader: broker.User) -> None:
        self.children = children
        self.data_dir = data_dir
        self.port = port
        self.reader = reader
        self.keys = keys.load(data_dir).meters["house"]
        self.title = hello.topic_title(self.keys.system_title)
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        assert self._child is not None, "it was not started"
        return self._child

    async def start(self) -> None:
        command = [METER_NODE, "run", "--data-dir", self.data_dir]
        self._child = await self.children.start("node", command)

    async def kill(self) -> None:
        self.child.process.kill()
        await self.child.process.wait()

    def client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            username=self.reader.name,
            password=self.reader.password,
            protocol=aiomqtt.ProtocolVersion.V5,
        )


@asynccontextmanager
async def at_a_broker(folder: Path, configuration: str) -> AsyncIterator[House]:
    """A node that is not started yet; its configuration names one meter, and no broker."""
    data_dir = folder / "data"
    data_dir.mkdir()
    own_keys = keys.load_or_make(data_dir, ["house"])
    title = hello.topic_title(own_keys.meters["house"].system_title)
    user = broker.meter_user("node", [title], own_keys.node)
    reader = broker.home_assistant_user()
    (port,) = ports.free_ports(1)
    (data_dir / "meter_node.toml").write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        f'username = "{user.name}"\npassword = "{user.password}"\n{configuration}'
    )
    async with Children(folder / "logs") as children:
        await broker.start(children, folder / "broker", port, [user, reader])
        yield House(children, data_dir, port, reader)
    assert children.left == 0


@asynccontextmanager
async def with_a_relay(folder: Path, past_days: int = 0) -> AsyncIterator[House]:
    """A running node whose meter has so many days behind it."""
    async with at_a_broker(folder, METER_WITH_A_RELAY) as made:
        if past_days:
            days = ("--days", str(past_days), "--json")
            meter = ("--data-dir", made.data_dir, "--meter", "house")
            command = [METER_NODE, "simulate", *meter, *days]
            subprocess.run(command, capture_output=True, timeout=60, check=True)
        await made.start()
        yield made
