"""The bridge: a real meter's frames from a line to the broker, still ciphered."""

import asyncio
import json
import os
import pty
import tty
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Mosquitto, first

from meter_node import bridge, replay
from meter_node.channel import apdu, frames, kamstrup_v0001, lists, security
from meter_node.ciphering import InvocationCounter, PycryptodomeAead
from meter_node.ports import mqtt
from scripts.demonstration.ports import free_ports

FRAMES = Path(__file__).parents[1] / "fixtures" / "real_frames.json"
DANISH = "omnipower_3p_dk_ciphered"
DANISH_TITLE = "4b414d4501a4dc52"


@asynccontextmanager
async def going_on(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let coroutines run while the block does."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


class Heard:
    """Stands in for the MQTT port and keeps what it is told."""

    status_topic = "meter_node/node/n1/status"

    def __init__(self) -> None:
        self.hellos: list[dict[str, Any]] = []
        self.pushes: list[tuple[str, bytes]] = []

    def announce(self, title: str, greeting: Any) -> None:
        self.hellos.append(json.loads(greeting.to_json()))

    def push(self, title: str, data: bytes) -> None:
        self.pushes.append((title, data))

    def set_online(self, online: bool) -> None:
        pass


def bridged(data: bytes, cut: int) -> Heard:
    """Feed a line's bytes in pieces and return what was forwarded."""
    heard = Heard()
    made = bridge.Bridge(heard, 10)  # type: ignore[arg-type]
    for start in range(0, len(data), cut):
        for _ in made.feed(data[start : start + cut]):
            pass
    return heard


@pytest.mark.parametrize("cut", [1, 7, 491, 5000])
def test_a_ciphered_push_is_forwarded_as_it_came(captures: dict[str, bytes], cut: int) -> None:
    heard = bridged(b"\x00noise\x7e" + captures[DANISH] + b"~~" + captures[DANISH], cut)
    sent = frames.apdu_of(captures[DANISH])
    assert heard.pushes == [(DANISH_TITLE, sent), (DANISH_TITLE, sent)]
    assert sent in captures[DANISH], "not a byte was touched"


def test_a_meter_is_announced_once_and_nothing_private_is_said(
    captures: dict[str, bytes],
) -> None:
    (hello,) = bridged(captures[DANISH] * 3, 100).hellos
    assert hello == {
        "protocol": "Kamstrup_V0001",
        "system_title": DANISH_TITLE,
        "model": "Kamstrup meter",
        "software": hello["software"],
        "push_interval": 10,
        "status_topic": "meter_node/node/n1/status",
        "ciphered": True,
    }


def test_a_plain_list_goes_by_its_meter_number(captures: dict[str, bytes]) -> None:
    heard = bridged(captures["omnipower_3p_se_10s_plain"], 50)
    assert heard.pushes[0][0] == "5706567326590407"
    assert heard.hellos[0]["ciphered"] is False


def test_a_damaged_frame_is_not_forwarded_and_the_next_one_is(
    captures: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    damaged = bytearray(captures[DANISH])
    damaged[200] ^= 4
    heard = bridged(bytes(damaged) + captures[DANISH], 64)
    assert len(heard.pushes) == 1
    assert "frame check sequence does not fit" in caplog.text


async def test_over_tcp_to_a_real_broker_and_back_after_a_cut(
    broker: Mosquitto, captures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "FIRST_WAIT_S", 0.05)
    (line,) = free_ports(1)
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", broker.port), "n1")
    made = bridge.Bridge(port, 10)
    forwarding = bridge.forward(made, port, f"tcp://127.0.0.1:{line}")
    async with going_on(port.run(), forwarding):
        await asyncio.sleep(0.2)  # nobody listens yet: it tries again
        async with going_on(replay.serve("127.0.0.1", line, iter([captures[DANISH]]), 0.1)):
            async with broker.client() as reader:
                push = await first(reader, f"meter_node/{DANISH_TITLE}/push")
            assert push.payload == frames.apdu_of(captures[DANISH])
        async with broker.client() as reader:
            await reader.subscribe(port.status_topic)
            async with asyncio.timeout(10):
                async for message in reader.messages:
                    if message.payload == b"offline":  # the line is cut, and that is said
                        break
        async with going_on(replay.serve("127.0.0.1", line, iter([captures[DANISH]]), 0.1)):
            async with asyncio.timeout(10):
                while made.forwarded < 2:
                    await asyncio.sleep(0.02)


async def test_over_a_serial_line(captures: dict[str, bytes], socket_enabled: None) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    heard = Heard()
    made = bridge.Bridge(heard, 10)  # type: ignore[arg-type]
    source = f"serial://{os.ttyname(slave)}?baudrate=2400"
    async with going_on(bridge.forward(made, heard, source)):  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        os.write(master, captures[DANISH])
        async with asyncio.timeout(5):
            while not heard.pushes:
                await asyncio.sleep(0.01)
    os.close(master)
    os.close(slave)
    assert heard.pushes == [(DANISH_TITLE, frames.apdu_of(captures[DANISH]))]


async def test_each_frame_of_a_recorded_file_reaches_the_broker(
    broker: Mosquitto, captures: dict[str, bytes], tmp_path: Path
) -> None:
    recording = tmp_path / "port.bin"
    recording.write_bytes(captures[DANISH] * 20)
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", broker.port), "n1")
    async with broker.client() as reader, going_on(port.run()):
        await reader.subscribe("meter_node/+/push", qos=1)
        await bridge.forward(bridge.Bridge(port, 10), port, f"file:{recording}")
        async with asyncio.timeout(5):
            messages = aiter(reader.messages)
            heard = [(await anext(messages)).payload for _ in range(20)]
    assert heard == [frames.apdu_of(captures[DANISH])] * 20


@pytest.mark.parametrize(("content", "said"), [(None, "can't be read"), (b"~~noise~~", "no frame")])
async def test_a_file_without_a_frame_is_an_error(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    recording = tmp_path / "port.bin"
    if content is not None:
        recording.write_bytes(content)
    heard = Heard()
    with pytest.raises(bridge.BridgeError, match=said):
        await bridge.forward(bridge.Bridge(heard, 10), heard, f"file:{recording}")  # type: ignore[arg-type]


async def test_a_line_that_falls_silent_is_opened_anew(
    socket_enabled: None, captures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An adapter that loses its power closes nothing: there is only silence.
    monkeypatch.setattr(bridge, "LEAST_SILENCE_S", 0.2)
    monkeypatch.setattr(mqtt, "FIRST_WAIT_S", 0.05)
    (line,) = free_ports(1)
    heard = Heard()
    made = bridge.Bridge(heard, 0)  # type: ignore[arg-type]
    opened = 0

    async def silent_after_one_frame(_: object, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        writer.write(captures[DANISH])

    server = await asyncio.start_server(silent_after_one_frame, "127.0.0.1", line)
    forwarding = bridge.forward(made, heard, f"tcp://127.0.0.1:{line}")  # type: ignore[arg-type]
    async with going_on(forwarding), asyncio.timeout(10):
        while opened < 3:
            await asyncio.sleep(0.02)
    server.close()
    server.close_clients()


def test_a_continuation_opens_under_the_published_keys_and_only_goes_up() -> None:
    capture = replay.load(FRAMES, DANISH)
    assert capture.keys is not None
    continuation = replay.Continuation(capture)
    moments = iter(range(1_800_000_000, 1_900_000_000, 10))
    counter = InvocationCounter(0, continuation.captured_counter + 1, lambda _: None)
    sending = continuation.frames(counter, lambda: datetime.fromtimestamp(next(moments), UTC))
    receiver = security.Receiver(PycryptodomeAead(), continuation.system_title, capture.keys)
    receiver.accept(frames.apdu_of(capture.frame))
    before = 866_636.0
    for _ in range(50):
        accepted = receiver.accept(frames.apdu_of(next(sending)))
        notification = apdu.decode_data_notification(accepted.plaintext)
        reading = lists.read(notification, kamstrup_v0001.SCALER_PROFILES["energy_1_wh"])
        phases = [reading.values[f"import_active_power_l{phase}"] for phase in (1, 2, 3)]
        assert reading.values["import_active_power"] == sum(phases)
        assert reading.values["import_active_energy"] >= before
        before = reading.values["import_active_energy"]
    assert before > 866_636 + 50
    assert receiver.state.highest == 493_793 + 50


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("omnipower_3p_se_10s_plain", "no keys were published"),
        ("nonesuch", "there are omnipower_3p_dk_ciphered"),
    ],
)
def test_what_can_not_be_continued_is_said(frame: str, said: str) -> None:
    with pytest.raises(replay.ReplayError, match=said):
        replay.Continuation(replay.load(FRAMES, frame))
