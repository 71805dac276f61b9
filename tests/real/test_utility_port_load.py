"""A running node whose utility's port is crowded: what it meters and pushes meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt
import pytest

from meter_node import keys
from meter_node.channel import apdu, event_codes, hello, kamstrup_v0001, lists, security
from meter_node.channel.reading import Reading
from meter_node.ciphering import PycryptodomeAead
from scripts.demonstration import broker, ports
from scripts.demonstration.processes import Children

METER_NODE = Path(sys.executable).with_name("meter-node")
METER = """
[[meter]]
name = "house"
model = "382M"
push_interval_s = 1
[meter.source]
kind = "simulated"
"""
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


@asynccontextmanager
async def node(
    folder: Path,
) -> AsyncIterator[tuple[Children, aiomqtt.Client, keys.MeterKeys, int, int]]:
    """A node with a broker, and the ports of its wrapper and HDLC."""
    data_dir = folder / "data"
    data_dir.mkdir()
    own_keys = keys.load_or_make(data_dir, ["house"])
    meter_keys = own_keys.meters["house"]
    user = broker.meter_user("node", [hello.topic_title(meter_keys.system_title)], own_keys.node)
    reader = broker.home_assistant_user()
    broker_port, tcp, hdlc_tcp = ports.free_ports(3)
    (data_dir / "meter_node.toml").write_text(
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker_port}\n'
        f'username = "{user.name}"\npassword = "{user.password}"\n'
        f'[ami]\ntcp = "127.0.0.1:{tcp}"\nhdlc_tcp = "127.0.0.1:{hdlc_tcp}"\n{METER}'
    )
    async with Children(folder / "logs") as children:
        await broker.start(children, folder / "broker", broker_port, [user, reader])
        await children.start("node", [METER_NODE, "run", "--data-dir", data_dir])
        async with aiomqtt.Client(
            "127.0.0.1",
            broker_port,
            username=reader.name,
            password=reader.password,
            protocol=aiomqtt.ProtocolVersion.V5,
        ) as client:
            await client.subscribe(hello.push_topic(hello.topic_title(meter_keys.system_title)))
            yield children, client, meter_keys, tcp, hdlc_tcp


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
    tmp_path: Path, socket_enabled: None
) -> None:
    async with node(tmp_path) as (children, client, own, tcp, hdlc_tcp):
        pushes = seconds(client, own)
        quiet = [await anext(pushes) for _ in range(QUIET_S)]
        crowd = await children.start(
            "crowd",
            [sys.executable, "-m", "tests.real.crowd", str(tcp), str(hdlc_tcp), str(CLIENTS)],
        )
        async with asyncio.timeout(60):
            crowded = [await anext(pushes) for _ in range(CROWDED_S)]
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
    tmp_path: Path, socket_enabled: None
) -> None:
    async with node(tmp_path) as (children, client, own, tcp, hdlc_tcp):
        pushes = seconds(client, own)
        quiet = [await anext(pushes) for _ in range(QUIET_S)]
        crowd = await children.start(
            "crowd",
            [
                sys.executable,
                *("-m", "tests.real.crowd"),
                *(str(tcp), str(hdlc_tcp), str(STRANGERS), "list"),
            ],
        )
        async with asyncio.timeout(90):
            crowded = [await anext(pushes) for _ in range(BESIEGED_S)]
        opened, answered = map(int, crowd.log.read_text().splitlines()[-1].split())
        assert (opened, answered > STRANGERS) == (STRANGERS, True)
        utility = await children.start(
            "utility",
            [
                *(METER_NODE, "utility", "--tcp", f"127.0.0.1:{tcp}"),
                *("--data-dir", tmp_path / "data", "clock", "show", "--json"),
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
