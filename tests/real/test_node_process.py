"""The node as a process: what a user sees at its ends, and what no kill and no full disk may do."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiomqtt
import pytest
from real_house import METER, METER_NODE, House, at_a_broker

from meter_node import keys, store
from meter_node.channel import apdu, hello, kamstrup_v0001, lists, security
from meter_node.channel.reading import Reading
from meter_node.ciphering import PycryptodomeAead
from meter_node.meter.rows import Image
from scripts.benches import powercut


def meter_node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the console script to its end."""
    return subprocess.run(
        [METER_NODE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_bad_configuration_exits_2_and_names_file_key_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "meter_node.toml"
    path.write_text(METER.replace("382M", "383M"))
    ended = meter_node("run", "--data-dir", tmp_path)
    assert ended.returncode == 2
    assert f"{path}: meter[0].model: Input should be '162M' or '382M'" in ended.stderr
    assert not (tmp_path / "store.sqlite").exists(), "nothing was begun"


def test_a_first_start_by_the_book(tmp_path: Path) -> None:
    data = tmp_path / "new"
    assert meter_node("init", "--data-dir", data, "--model", "162M").returncode == 0
    written = (data / "meter_node.toml").read_text()
    assert meter_node("init", "--data-dir", data).returncode == 0
    assert (data / "meter_node.toml").read_text() == written, "nothing is overwritten"
    paired = json.loads(meter_node("pair", "--data-dir", data, "--json").stdout)
    assert paired["text"].startswith("MN2:")
    assert paired["name"] == "home-assistant"
    assert len(paired["control_encryption_key"]) == 32
    shown = meter_node("show", "--data-dir", data)
    assert shown.returncode == 1
    assert "nothing was metered yet" in shown.stderr


class Node:
    """A running node process, and a listener with its keys."""

    def __init__(self, house: House, client: aiomqtt.Client) -> None:
        self.child = house.child
        self.data_dir = house.data_dir
        self.title = house.title
        self._client = client
        self._receiver = security.Receiver(
            PycryptodomeAead(), house.keys.system_title, house.keys.push
        )

    async def next(self, topic: str, payload: bytes | None = None) -> bytes:
        """Return the next payload of a topic, or the next that is as given."""
        async with asyncio.timeout(30):
            async for message in self._client.messages:
                if message.topic.matches(topic) and payload in (None, message.payload):
                    return message.payload
        raise AssertionError("the broker hung up")

    async def reading(self) -> Reading:
        """Return the next push, opened."""
        accepted = self._receiver.accept(await self.next(hello.push_topic(self.title)))
        return lists.read(
            apdu.decode_data_notification(accepted.plaintext),
            kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE],
        )


@pytest.fixture
async def node(tmp_path: Path, socket_enabled: None) -> AsyncIterator[Node]:
    """A node that pushes every second to a broker with passwords."""
    async with at_a_broker(tmp_path, METER) as house:
        await house.start()
        async with house.client() as client:
            await client.subscribe("meter_node/#", qos=1)
            yield Node(house, client)


async def test_a_running_node_pushes_what_only_its_keys_open(node: Node) -> None:
    first = await node.reading()
    assert first.list_name == "MeterNode_V1"
    assert 200 < first.values["voltage_l1"] < 260
    assert 49.5 < first.values["frequency"] < 50.5
    second = await node.reading()
    assert second.values["import_active_energy"] >= first.values["import_active_energy"]


async def test_a_second_node_on_the_same_data_directory_refuses_to_start(node: Node) -> None:
    await node.reading()
    second = await asyncio.to_thread(meter_node, "run", "--data-dir", node.data_dir)
    assert second.returncode == 1
    assert "another node" in second.stderr
    assert str(node.child.process.pid) in second.stderr
    await node.reading()


def test_on_a_full_disk_the_node_begins_to_meter_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "meter_node.toml"
    path.write_text(METER)
    keys.load_or_make(tmp_path, ["house"])
    before = 5 * 10**9 + 7
    with closing(store.Store(tmp_path / "store.sqlite")) as database:
        title = keys.load(tmp_path).meters["house"].system_title
        database.commit(title, Image(1, {"import_active_energy": before}))
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
    code += "import os; os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, METER_NODE, "run", "--data-dir", tmp_path]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "nothing is published" not in said:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        process.terminate()
        said += process.stderr.read()
        assert process.wait(20) == 0
    assert "what was measured last is lost" in said
    with closing(store.Store(tmp_path / "store.sqlite")) as database:
        assert database.kept(title).energies_nwh == {"import_active_energy": before}


def test_lost_keys_are_not_replaced_in_silence(tmp_path: Path) -> None:
    (tmp_path / "meter_node.toml").write_text(METER)
    store.Store(tmp_path / "store.sqlite").close()
    ended = meter_node("run", "--data-dir", tmp_path)
    assert ended.returncode == 1
    assert "keys.json is missing beside registers" in ended.stderr


async def test_a_killed_node_is_said_offline_by_its_will(node: Node) -> None:
    await node.next("meter_node/node/+/status", hello.ONLINE.encode())
    node.child.process.kill()
    await node.next("meter_node/node/+/status", hello.OFFLINE.encode())


async def test_a_disk_that_takes_no_more_stops_publication_and_not_measurement(
    node: Node,
) -> None:
    before = await node.reading()
    process_id = node.child.process.pid
    unlimited = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    # As good as a full disk: the kernel refuses this process every further byte in a file.
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    await node.next("meter_node/node/+/status", hello.OFFLINE.encode())
    told = node.child.log.read_text()
    assert "nothing is published" in told
    assert "metering goes on" in told
    await asyncio.sleep(4)
    assert node.child.process.returncode is None
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, unlimited)
    await node.next("meter_node/node/+/status", hello.ONLINE.encode())
    after = await node.reading()
    assert before.time is not None
    assert after.time is not None
    away_h = (after.time.utc() - before.time.utc()).total_seconds() / 3600
    gained_wh = after.values["import_active_energy"] - before.values["import_active_energy"]
    # What was drawn meanwhile is there: at the least the house's power of before, nearly.
    least_w = min(before.values["import_active_power"], after.values["import_active_power"]) * 0.5
    assert gained_wh >= int(least_w * away_h)
    assert away_h * 3600 >= 4


@pytest.mark.slow
def test_twenty_kills_turn_no_register_back_and_repeat_no_counter(socket_enabled: None) -> None:
    result = powercut.run(kills=0, stride=2003, node_kills=20, nodes=10)
    assert result.figures["node_kills"] == 20
    # How much is lost depends on what else this machine does: scripts/bench looks at that.
    assert result.figures["details"] == []
    assert result.figures["violations"] == 0
