"""The MQTT port over a real Mosquitto: what stands, what comes back, what a cut leaves."""

import asyncio
import datetime
import ipaddress
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mosquitto import Mosquitto, first

from meter_node.channel.hello import Hello
from meter_node.ports import mqtt

TITLE = "4d544e0102030405"
HELLO = Hello("MeterNode_V1", TITLE, "382M", "0.1.0", 10, "meter_node/node/n1/status")


@asynccontextmanager
async def running(port: mqtt.MqttPort) -> AsyncIterator[asyncio.Task[None]]:
    """Let the port run while the block does."""
    task = asyncio.create_task(port.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def port_to(broker: Mosquitto) -> mqtt.MqttPort:
    """A port of node n1 to that broker."""
    return mqtt.MqttPort(mqtt.Broker("127.0.0.1", broker.port), "n1")


async def test_hello_and_push_and_status_stand_retained_at_the_broker(broker: Mosquitto) -> None:
    port = port_to(broker)
    port.announce(TITLE, HELLO)
    port.push(TITLE, b"\xdb\x00\xff")
    async with running(port):
        await port.sent()
        async with broker.client() as reader:
            hello = await first(reader, f"meter_node/{TITLE}/hello")
        async with broker.client() as reader:
            push = await first(reader, f"meter_node/{TITLE}/push")
        async with broker.client() as reader:
            status = await first(reader, "meter_node/node/n1/status")
    assert json.loads(hello.payload)["system_title"] == TITLE
    assert push.payload == b"\xdb\x00\xff"
    assert status.payload == b"online"
    assert [message.retain for message in (hello, push, status)] == [True] * 3


async def test_a_proper_end_says_offline(broker: Mosquitto) -> None:
    port = port_to(broker)
    async with running(port):
        await port.sent()
    async with broker.client() as reader:
        status = await first(reader, port.status_topic)
    assert status.payload == b"offline"


async def test_everything_stands_again_after_the_broker_came_back_empty(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "FIRST_WAIT_S", 0.05)
    port = port_to(broker)
    port.announce(TITLE, HELLO)
    async with running(port):
        await port.sent()
        broker.stop()
        port.push(TITLE, b"first")  # while it is away
        port.push(TITLE, b"second")
        await asyncio.sleep(0.3)
        await broker.start()
        async with broker.client() as reader:
            push = await first(reader, f"meter_node/{TITLE}/push")
        async with broker.client() as reader:
            hello = await first(reader, f"meter_node/{TITLE}/hello")
    assert push.payload == b"second", "only the newest push is brought"
    assert json.loads(hello.payload)["model"] == "382M"


async def test_a_broker_that_is_away_is_said_once(
    socket_enabled: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(mqtt, "LONGEST_WAIT_S", 0.05)
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", 1), "n1")
    async with running(port):
        await asyncio.sleep(0.5)
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 1
    assert "metering goes on" in told[0].getMessage()


def test_attempts_back_off_to_a_minute_and_are_scattered() -> None:
    for attempt, ceiling in [(0, 1), (1, 2), (5, 32), (6, 60), (1000, 60)]:
        waits = {mqtt.back_off(attempt) for _ in range(200)}
        assert len(waits) > 100
        assert ceiling / 2 <= min(waits)
        assert max(waits) <= ceiling


async def test_memory_does_not_grow_while_the_broker_is_away() -> None:
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", 1), "n1")
    for number in range(10_000):
        port.push(TITLE, number.to_bytes(4))
    assert len(port._standing) == 2  # the status, and the newest push
    assert len(port._changed) == 1


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = (folder / f"{name}.crt", folder / f"{name}.key")
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture
async def tls_broker(tmp_path: Path, socket_enabled: None) -> AsyncIterator[Mosquitto]:
    """A broker that speaks TLS and wants a client's certificate."""
    certificate, key = _certificate(tmp_path, "broker")
    client, _ = _certificate(tmp_path, "client")
    made = await Mosquitto(
        tmp_path,
        (
            f"certfile {certificate}",
            f"keyfile {key}",
            f"cafile {client}",
            "require_certificate true",
            "use_identity_as_username true",
            "allow_anonymous false",
        ),
    ).start()
    yield made
    made.stop()


async def test_over_tls_with_a_client_certificate(tls_broker: Mosquitto, tmp_path: Path) -> None:
    context = mqtt.tls_context(
        str(tmp_path / "broker.crt"), str(tmp_path / "client.crt"), str(tmp_path / "client.key")
    )
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", tls_broker.port, tls=context), "n1")
    async with running(port), asyncio.timeout(10):
        await port.sent()


# paho leaves the socket of a refused handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_with_an_unknown_certificate_gets_nothing(
    tls_broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    context = mqtt.tls_context(None, None, None)
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", tls_broker.port, tls=context), "n1")
    async with running(port):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await port.sent()
    assert "certificate verify failed" in caplog.text


def test_a_certificate_file_that_is_none_is_an_os_error(tmp_path: Path) -> None:
    nothing = tmp_path / "ca.crt"
    nothing.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        mqtt.tls_context(str(nothing), None, None)


async def test_a_topic_that_the_access_list_forbids_is_named_once(
    tmp_path: Path, socket_enabled: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acl").write_text("topic read #\n")
    broker = await Mosquitto(
        tmp_path, ("allow_anonymous true", f"acl_file {tmp_path / 'acl'}")
    ).start()
    try:
        port = port_to(broker)
        async with running(port):
            await port.sent()
            port.push(TITLE, b"1")
            await port.sent()
            port.push(TITLE, b"2")
            await port.sent()
    finally:
        broker.stop()
    told = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert len(told) == 2  # the status and the push, each once
    assert f"refuses meter_node/{TITLE}/push (Not authorized)" in told[1]


async def test_a_broker_that_hangs_does_not_keep_the_port_from_ending(broker: Mosquitto) -> None:
    port = port_to(broker)
    task = asyncio.create_task(port.run())
    await port.sent()
    broker.pause()
    task.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_broker_that_dies_as_the_port_ends_leaves_nothing_to_complain_of(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[asyncio.Future[None]] = []

    class Dying(mqtt._Client):
        """Its broker is gone just before it says good-bye."""

        async def __aexit__(self, *error: Any) -> None:
            ends.append(self._disconnected)
            self._disconnected.set_exception(aiomqtt.MqttCodeError(7, "Unexpected disconnection"))
            await super().__aexit__(*error)

    monkeypatch.setattr(mqtt, "_Client", Dying)
    port = port_to(broker)
    async with running(port):
        await port.sent()
    (end,) = ends
    assert not end._log_traceback  # what asyncio would complain of when the future goes


async def test_a_wrong_password_is_said_plainly(
    tmp_path: Path, socket_enabled: None, caplog: pytest.LogCaptureFixture
) -> None:
    broker = await Mosquitto(tmp_path, ("allow_anonymous false",)).start()
    try:
        port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", broker.port, "n1", "wrong"), "n1")
        async with running(port):
            await asyncio.sleep(0.5)
    finally:
        broker.stop()
    assert "Not authorized" in caplog.text


async def test_what_is_listened_for_is_handed_on_and_answered_once(broker: Mosquitto) -> None:
    port = port_to(broker)
    heard: list[tuple[str, bytes, bool]] = []

    def listener(topic: str, payload: bytes, retained: bool) -> None:
        heard.append((topic, payload, retained))
        port.say(f"meter_node/{TITLE}/response/a", b"\xdd\x00answer")

    async with broker.client() as asking:
        await asking.publish(f"meter_node/{TITLE}/request/old", b"retained", qos=1, retain=True)
        port.listen(f"meter_node/{TITLE}/request/+", listener)
        async with running(port):
            await port.sent()
            await asyncio.sleep(0.2)  # until it has subscribed
            await asking.subscribe(f"meter_node/{TITLE}/response/a", qos=1)
            await asking.publish(f"meter_node/{TITLE}/request/a", b"\xdd\x00\xff", qos=1)
            async with asyncio.timeout(10):
                answer = await anext(asking.messages)
            await asking.publish(f"meter_node/{TITLE}/request/a", bytes(5000), qos=1)
            await asking.publish(f"meter_node/{TITLE}/request/b", b"keep", qos=1, retain=True)
            while len(heard) < 2:
                await asyncio.sleep(0.02)
    assert heard == [
        (f"meter_node/{TITLE}/request/a", b"\xdd\x00\xff", False),
        (f"meter_node/{TITLE}/request/b", b"keep", True),
    ], "what was retained before, and what is too long, the broker keeps to itself"
    assert (answer.payload, answer.qos, answer.retain) == (b"\xdd\x00answer", 1, False)
    async with broker.client() as reader:
        with pytest.raises(TimeoutError):
            await first(reader, f"meter_node/{TITLE}/response/#", seconds=0.5)


async def test_what_is_said_while_the_broker_is_away_is_lost_and_takes_no_memory() -> None:
    port = mqtt.MqttPort(mqtt.Broker("127.0.0.1", 1), "n1")
    for _ in range(1000):
        port.say(f"meter_node/{TITLE}/response/a", b"answer")
    assert not port._said


async def test_a_listener_that_fails_ends_nothing(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    port = port_to(broker)
    heard: list[bytes] = []

    def listener(topic: str, payload: bytes, retained: bool) -> None:
        heard.append(payload)
        raise ValueError("no such thing")

    port.listen("meter_node/+/request/+", listener)
    async with running(port), broker.client() as asking:
        await port.sent()
        await asyncio.sleep(0.2)
        for payload in (b"1", b"2"):
            await asking.publish(f"meter_node/{TITLE}/request/a", payload, qos=1)
        async with asyncio.timeout(10):
            while len(heard) < 2:
                await asyncio.sleep(0.02)
        port.push(TITLE, b"still here")
        await port.sent()
    assert caplog.text.count("could not be taken") == 2
