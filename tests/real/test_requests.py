"""Home Assistant's part played over a real broker: a paired program asks a running node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from real_house import WAIT_S, House, pair, with_a_relay

from meter_node.channel import apdu, axdr, hello, objects, requests, security, services
from meter_node.channel.pairing import Pairing
from meter_node.ciphering import PycryptodomeAead


class Home:
    """A paired program: what it knows is its pairing text and what the broker brings."""

    def __init__(self, pairing_text: str, client: aiomqtt.Client) -> None:
        self.pairing = Pairing.from_text(pairing_text)
        assert self.pairing.control is not None
        self.title = hello.topic_title(self.pairing.system_title)
        aead = PycryptodomeAead()
        self.requester = requests.Requester(aead, self.pairing.control, self.pairing.system_title)
        self.clock = requests.MeterTime()
        self._client = client
        self._pushes = security.Receiver(aead, self.pairing.system_title, self.pairing.keys)

    async def follow(self) -> None:
        """Subscribe, and learn the meter's time from its next live push."""
        own = self.requester.title.hex()
        await self._client.subscribe(hello.response_topic(self.title, own), qos=1)
        await self._client.subscribe(hello.push_topic(self.title), qos=1)
        async with asyncio.timeout(WAIT_S):
            async for message in self._client.messages:
                if message.retain:
                    continue
                opened = self._pushes.accept(message.payload)
                push = apdu.decode_data_notification(opened.plaintext)
                assert push.time is not None
                self.clock.heard(push.time.utc(), datetime.now(UTC))
                break
        await self._client.unsubscribe(hello.push_topic(self.title))

    def request(self, service: bytes) -> requests.Request:
        return self.requester.request(service, self.clock.at(datetime.now(UTC)))

    async def send(self, request: requests.Request, **options: Any) -> None:
        topic = hello.request_topic(self.title, self.requester.title.hex())
        await self._client.publish(topic, request.apdu, qos=1, **options)

    async def response(self, seconds: float = WAIT_S) -> bytes:
        """Return the next response on the own topic."""
        async with asyncio.timeout(seconds):
            async for message in self._client.messages:
                if "/response/" in message.topic.value:
                    assert not message.retain
                    payload: bytes = message.payload
                    return payload
        raise AssertionError("the broker hung up")

    async def ask(self, service: bytes) -> Any:
        await self.send(self.request(service))
        return self.requester.accept(await self.response()).value()


@pytest.fixture
async def house(tmp_path: Path, socket_enabled: None) -> AsyncIterator[House]:
    """One that has just been switched on for the first time."""
    async with with_a_relay(tmp_path) as made:
        yield made


RELAY_ON = services.put(objects.RELAY_COMMANDS[1], axdr.enum(1))
RELAY_OFF = services.put(objects.RELAY_COMMANDS[1], axdr.enum(2))
IS_ON = services.get(objects.RELAYS[1], 2)


@pytest.mark.slow
async def test_a_paired_program_reads_and_switches_until_it_is_revoked(house: House) -> None:
    async with house.client() as client:
        # paired while the node runs
        home = Home(pair(house.data_dir)["text"], client)
        await home.follow()
        # the load profile's columns, and its rows of the last hour: none is complete yet, or a few
        last_hour = services.between(
            home.clock.at(datetime.now(UTC)) - timedelta(hours=1), home.clock.at(datetime.now(UTC))
        )
        columns = await home.ask(services.get(objects.LOAD_PROFILE, 3))
        assert columns[0][1] == bytes((0, 0, 1, 0, 0, 255))
        rows = await home.ask(services.get(objects.LOAD_PROFILE, 2, last_hour))
        assert all(len(row) == len(columns) for row in rows)
        # a relay
        assert await home.ask(RELAY_ON) is None
        assert await home.ask(IS_ON) is True
        assert await home.ask(RELAY_OFF) is None
        assert await home.ask(IS_ON) is False
        with pytest.raises(services.RefusedError) as refused:
            await home.ask(services.get(objects.PARAMETERS))
        assert refused.value.result is services.Result.READ_WRITE_DENIED
        # retained: ignored, not even answered
        await home.send(home.request(RELAY_ON), retain=True)
        assert await home.ask(IS_ON) is False
        # revoked: refused, and said so
        assert pair(house.data_dir, "--list")["pairings"] == ["home-assistant"]
        pair(house.data_dir, "--revoke", "home-assistant")
        await home.send(home.request(RELAY_ON))
        with pytest.raises(requests.UnprovenRefusalError) as hint:
            home.requester.accept(await home.response())
        assert hint.value.fault is services.Fault.DECIPHERING


@pytest.mark.slow
async def test_a_duplicate_over_a_kill_of_the_node_switches_nothing(house: House) -> None:
    async with house.client() as client:
        home = Home(pair(house.data_dir)["text"], client)
        await home.follow()
        switched_on = home.request(RELAY_ON)
        await home.send(switched_on)
        assert home.requester.accept(await home.response()).value() is None
        await home.ask(RELAY_OFF)
        await house.kill()
        await house.start()
        await home.follow()
        await home.send(switched_on)
        with pytest.raises(requests.UnprovenRefusalError) as hint:
            home.requester.accept(await home.response())
        assert hint.value.fault is services.Fault.INVOCATION_COUNTER
        assert await home.ask(IS_ON) is False, "what was commanded last stands, after the kill too"
