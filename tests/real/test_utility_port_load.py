"""A running node whose utility's port is crowded: what it meters and pushes meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest
from real_house import METER, METER_NODE, House, at_a_broker

from meter_node import keys
from meter_node.channel import apdu, event_codes, hello, kamstrup_v0001, lists, security
from meter_node.channel.reading import Reading
from meter_node.ciphering import PycryptodomeAead
from scripts.demonstration import ports
from scripts.demonstration.processes import Child

QUIET_S, CROWDED_S, BESIEGED_S = 4, 12, 20
STRANGERS = 20
CLIENTS = 500
STATUS = event_codes.LOGS[event_codes.Log.STATUS].logical_name
MOST_LATE_S = 1.0
"""A second's push is awaited for so long after the second has ended, on a busy machine too."""


@dataclass
class Second:
    """One push: which second it shows, how long after it, and what."""

    end_s: int
    late_s: float
    reading: Reading


@dataclass
class Node:
    """A running node, the ports of its wrapper and HDLC, and the pushes that it sends meanwhile."""

    house: House
    tcp: int
    hdlc_tcp: int
    pushes: AsyncIterator[Second]

    async def metered(self, count: int) -> list[Second]:
        return [await anext(self.pushes) for _ in range(count)]

    async def crowd(self, *arguments: str) -> Child:
        """Let strangers come, as many and such as `crowd` takes them."""
        command = [sys.executable, "-m", "tests.real.crowd", str(self.tcp), str(self.hdlc_tcp)]
        return await self.house.children.start("crowd", [*command, *arguments])


@pytest.fixture
async def node(tmp_path: Path, socket_enabled: None) -> AsyncIterator[Node]:
    tcp, hdlc_tcp = ports.free_ports(2)
    ami = f'[ami]\ntcp = "127.0.0.1:{tcp}"\nhdlc_tcp = "127.0.0.1:{hdlc_tcp}"\n'
    async with at_a_broker(tmp_path, ami + METER) as house:
        await house.start()
        async with house.client() as client:
            await client.subscribe(hello.push_topic(house.title))
            yield Node(house, tcp, hdlc_tcp, seconds(client, house.keys))


async def seconds(client: aiomqtt.Client, own: keys.MeterKeys) -> AsyncIterator[Second]:
    receiver = security.Receiver(PycryptodomeAead(), own.system_title, own.push)
    profile = kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE]
    async for message in client.messages:
        came_s = time.time()
        if message.retain:
            continue
        notification = apdu.decode_data_notification(receiver.accept(message.payload).plaintext)
        assert notification.time is not None
        end_s = notification.time.utc().timestamp()
        yield Second(round(end_s), came_s - end_s, lists.read(notification, profile))


@pytest.mark.slow
async def test_five_hundred_clients_slow_silent_and_greedy_leave_the_metering_untouched(
    node: Node,
) -> None:
    quiet = await node.metered(QUIET_S)
    crowd = await node.crowd(str(CLIENTS))
    async with asyncio.timeout(60):
        crowded = await node.metered(CROWDED_S)
    opened, answered = map(int, crowd.log.read_text().splitlines()[-1].split())
    assert opened >= CLIENTS
    assert answered > 0
    late_s = max(one.late_s for one in crowded)
    print(
        f"{opened} connections, {answered} answers; {CROWDED_S} seconds booked and "
        f"pushed, the latest {late_s:.3f} s after its end, {max(q.late_s for q in quiet):.3f} s "
        "when nobody was there"
    )
    # every second is there, once, and none waited
    ends_s = [one.end_s for one in quiet + crowded]
    assert ends_s == list(range(ends_s[0], ends_s[0] + QUIET_S + CROWDED_S))
    assert late_s < MOST_LATE_S
    # and nothing of the house's energy is missing
    values = [one.reading.values for one in crowded]
    gained_wh = values[-1]["import_active_energy"] - values[0]["import_active_energy"]
    least_w = min(one["import_active_power"] for one in values)
    assert gained_wh >= int(least_w * (CROWDED_S - 1) / 3600)


@pytest.mark.slow
async def test_strangers_who_ask_for_all_they_may_stop_neither_the_metering_nor_the_utility(
    node: Node,
) -> None:
    quiet = await node.metered(QUIET_S)
    crowd = await node.crowd(str(STRANGERS), "list")
    async with asyncio.timeout(90):
        crowded = await node.metered(BESIEGED_S)
    opened, answered = map(int, crowd.log.read_text().splitlines()[-1].split())
    assert (opened, answered > STRANGERS) == (STRANGERS, True)
    utility = await node.house.children.start(
        "utility",
        [
            *(METER_NODE, "utility", "--tcp", f"127.0.0.1:{node.tcp}"),
            *("--data-dir", node.house.data_dir, "clock", "show", "--json"),
        ],
    )
    async with asyncio.timeout(60):
        assert await utility.process.wait() == 0, utility.log.read_text()
    late_s = max(one.late_s for one in crowded)
    print(f"{answered} answers; the latest second {late_s:.3f} s after its end")
    ends_s = [one.end_s for one in quiet + crowded]
    assert ends_s == list(range(ends_s[0], ends_s[0] + QUIET_S + BESIEGED_S))
    assert late_s < MOST_LATE_S
    happened = {(event.log, event.code) for one in crowded for event in one.reading.events}
    assert not happened & {(STATUS, 1), (STATUS, 2)}  # power down and up
