"""What a broker retains of a topic, asked once: the last that was published there.

Must not know what a payload means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import aiomqtt

from meter_node.ports.mqtt import Broker

_TIMEOUT_S = 10.0
_WAIT_S = 1.0


async def retained(broker: Broker, topics: Iterable[str]) -> dict[str, bytes]:
    """Return the retained payloads by topic, those of which the broker has one.

    A broker that does not let this client read gives none. Raises aiomqtt.MqttError or OSError
    where it can't be reached.
    """
    wanted = set(topics)
    found: dict[str, bytes] = {}
    async with aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        tls_context=broker.tls,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=_TIMEOUT_S,
    ) as client:
        for topic in wanted:
            await client.subscribe(topic, qos=1)
        try:
            async with asyncio.timeout(_WAIT_S):
                while wanted - found.keys():
                    message = await anext(client.messages)
                    if message.retain and isinstance(message.payload, bytes):
                        found[message.topic.value] = message.payload
        except TimeoutError:
            pass  # a broker says what it retains, never that it retains nothing
    return found
