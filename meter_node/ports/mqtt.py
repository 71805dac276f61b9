"""The MQTT port: one connection for all meters of a node (design: topics in channel/hello.py).

Holds what should stand at the broker (hello, status, last push of each meter) and brings it there
whenever there is a connection; hands on what comes for those who listen, and says once what they
answer. Never blocks the caller, never grows: of each topic only the newest payload waits, and the
last few of what is said once. Must not know what is in a message.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from meter_node.channel import hello

_LOGGER = logging.getLogger(__name__)

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STEADY_AFTER_S = 30.0
_TIMEOUT_S = 10.0
_GOODBYE_S = 2.0
_MOST_SAID = 64
_MOST_RECEIVED = 4096
"""Bytes of a message that a broker may hand over: it keeps longer ones to itself (MQTT 5)."""

type Listener = Callable[[str, bytes, bool], None]
"""Takes topic, payload and whether the message was published to be retained."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and how the node shows who it is."""

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


def back_off(attempt: int) -> float:
    """Return the seconds to wait before a further attempt: doubled each time, scattered by half.

    Scattered, so that all the meters of a street don't come back at the same moment.
    """
    wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 16))
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class _Client(aiomqtt.Client):
    """A client that also tells what the broker answered to the last publication.

    aiomqtt passes over the reason code of MQTT 5, by which a broker says that an access list
    forbids a topic.
    """

    answer: ReasonCode | None = None

    def _on_publish(
        self,
        client: PahoClient,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        self.answer = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def expect_any_end(self) -> None:
        """Why the connection ends is told by whatever is sent next, or by nothing at our own end.

        aiomqtt keeps the reason in a future besides, and nobody asks that one who ends just as the
        broker does.
        """
        self._disconnected.add_done_callback(lambda end: end.cancelled() or end.exception())


class MqttPort:
    """Keeps the retained topics of one node at the broker."""

    def __init__(self, broker: Broker, node: str) -> None:
        """``node`` names this node on the broker: its status topic and client identifier."""
        self._broker = broker
        self._node = node
        self.status_topic = hello.node_status_topic(node)
        self._standing: dict[str, str | bytes] = {self.status_topic: hello.ONLINE}
        self._changed: dict[str, None] = {}
        self._said: deque[tuple[str, bytes]] = deque(maxlen=_MOST_SAID)
        self._listeners: dict[str, Listener] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._refused: set[str] = set()
        self.connected = False
        """Whether the broker is there now."""

    def announce(self, title: str, greeting: hello.Hello) -> None:
        """Let a meter's hello stand at the broker."""
        self._stand(hello.hello_topic(title), greeting.to_json())

    def push(self, title: str, ciphered: bytes) -> None:
        """Let a meter's push stand at the broker."""
        self._stand(hello.push_topic(title), ciphered)

    def listen(self, topic_filter: str, listener: Listener) -> None:
        """Hand on what comes on these topics, from the next connection on.

        What the broker has retained is not asked for.
        """
        self._listeners[topic_filter] = listener

    def say(self, topic: str, payload: bytes) -> None:
        """Publish once, not retained; without a connection it is lost."""
        if self.connected:
            self._said.append((topic, payload))
            self._idle.clear()
            self._wake.set()

    def set_online(self, online: bool) -> None:
        """Say whether readings are being published."""
        payload = hello.ONLINE if online else hello.OFFLINE
        if self._standing[self.status_topic] != payload:
            self._stand(self.status_topic, payload)

    def _stand(self, topic: str, payload: str | bytes) -> None:
        self._standing[topic] = payload
        self._changed[topic] = None
        self._idle.clear()
        self._wake.set()

    async def sent(self) -> None:
        """Wait until the broker has confirmed everything that stands."""
        await self._idle.wait()

    async def run(self) -> None:
        """Connect, bring what changed, connect again: until cancelled."""
        attempt = 0
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._connected()
            except (aiomqtt.MqttError, OSError) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # The library's own farewell failed and took the cancellation's place.
                    raise asyncio.CancelledError from None
                if loop.time() - started > STEADY_AFTER_S:
                    attempt = 0
                wait = back_off(attempt)
                # Once is enough: a broker that is away for a night should not fill the log.
                level = logging.WARNING if attempt == 0 else logging.DEBUG
                _LOGGER.log(
                    level,
                    "MQTT broker %s:%d: %s; metering goes on, next attempt in %.0f s",
                    self._broker.host,
                    self._broker.port,
                    _reason(error),
                    wait,
                )
                attempt += 1
                await asyncio.sleep(wait)

    async def _connected(self) -> None:
        broker = self._broker
        will = aiomqtt.Will(self.status_topic, hello.OFFLINE, qos=1, retain=True)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = _MOST_RECEIVED
        async with _Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            tls_context=broker.tls,
            protocol=aiomqtt.ProtocolVersion.V5,
            identifier=f"meter-node-{self._node}",
            will=will,
            timeout=_TIMEOUT_S,
            keepalive=20,
            properties=properties,
        ) as client:
            client.expect_any_end()
            _LOGGER.info("MQTT broker %s:%d: connected", broker.host, broker.port)
            self.connected = True
            # The broker may be a new one, or may have forgotten: everything stands again.
            self._changed.update(dict.fromkeys(self._standing))
            self._said.clear()
            sending = asyncio.ensure_future(self._send(client))
            watching = asyncio.ensure_future(self._receive(client))
            try:
                done, _ = await asyncio.wait(
                    (sending, watching), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
            except asyncio.CancelledError:
                # A proper end: the will is not sent then, so say it ourselves.
                # A broker that does not answer any more must not keep us from ending.
                sending.cancel()
                with suppress(aiomqtt.MqttError, OSError, TimeoutError):
                    async with asyncio.timeout(_GOODBYE_S):
                        await client.publish(self.status_topic, hello.OFFLINE, qos=1, retain=True)
                raise
            finally:
                self.connected = False
                sending.cancel()
                watching.cancel()
                await asyncio.gather(sending, watching, return_exceptions=True)

    async def _receive(self, client: _Client) -> None:
        """Hand on what comes; it ends when the connection does."""
        options = SubscribeOptions(
            qos=1,
            retainAsPublished=True,
            retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND,
        )
        for topic_filter in self._listeners:
            for code in await client.subscribe(topic_filter, options=options):
                self._look_at(code if isinstance(code, ReasonCode) else None, topic_filter)
        async for message in client.messages:
            for topic_filter, listener in self._listeners.items():
                if message.topic.matches(topic_filter) and isinstance(message.payload, bytes):
                    try:
                        listener(message.topic.value, message.payload, message.retain)
                    except Exception:
                        _LOGGER.exception("a message on %s could not be taken", message.topic)

    async def _send(self, client: _Client) -> None:
        while True:
            while self._changed or self._said:
                while self._said:
                    topic, once = self._said.popleft()
                    await client.publish(topic, once, qos=1)
                    self._look_at(client.answer, topic)
                if not self._changed:
                    break
                topic = next(iter(self._changed))
                payload = self._standing[topic]
                del self._changed[topic]
                try:
                    await client.publish(topic, payload, qos=1, retain=True)
                except BaseException:
                    self._changed.setdefault(topic)
                    raise
                self._look_at(client.answer, topic)
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    def _look_at(self, answer: ReasonCode | None, topic: str) -> None:
        if answer is None or not answer.is_failure:
            self._refused.discard(topic)
        elif topic not in self._refused:
            self._refused.add(topic)
            _LOGGER.warning(
                "MQTT broker %s:%d refuses %s (%s): its access list must let this node use it",
                self._broker.host,
                self._broker.port,
                topic,
                answer,
            )


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


def tls_context(
    ca_file: str | None, client_certificate: str | None, client_key: str | None
) -> ssl.SSLContext:
    """Return a context that checks the broker's certificate and name.

    Raises OSError (ssl.SSLError included) when a file can't be read or is no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if client_certificate is not None:
        context.load_cert_chain(client_certificate, client_key)
    return context
