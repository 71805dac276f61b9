"""The channel over Home Assistant's MQTT: the only file that knows of it.

Home Assistant's own integration is imported when needed and not before, so that a home without
a broker can do without it. Must not know what a push means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from .asking import Listening
from .channel import hello
from .channel.hello import Hello, HelloError

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

_QOS = 1
_STATUS = {hello.ONLINE.encode(): True, hello.OFFLINE.encode(): False}


async def async_ready(hass: HomeAssistant) -> bool:
    """Return whether MQTT is set up; waits while it is being set up."""
    if "mqtt" not in hass.config.components:
        return False
    from homeassistant.components import mqtt

    return await mqtt.async_wait_for_mqtt_client(hass)


async def async_subscribe_pushes(
    hass: HomeAssistant, title: str, on_push: Callable[[bytes, bool], None]
) -> CALLBACK_TYPE:
    """Hand each push of a meter on as (bytes, whether the broker had kept it)."""
    from homeassistant.components import mqtt

    @callback
    def received(message: ReceiveMessage) -> None:
        on_push(_raw(message), message.retain)

    return await mqtt.async_subscribe(hass, hello.push_topic(title), received, _QOS, encoding=None)


async def async_subscribe_hellos(
    hass: HomeAssistant, title: str, on_hello: Callable[[Hello], None]
) -> CALLBACK_TYPE:
    """Hand each good hello on of one meter, or of any where ``title`` is ``+``."""
    from homeassistant.components import mqtt

    @callback
    def received(message: ReceiveMessage) -> None:
        if (said := parse_hello(message.topic, _raw(message))) is not None:
            on_hello(said)

    # Raw too: what is no UTF-8 is no hello, and not worth a warning of Home Assistant's.
    return await mqtt.async_subscribe(hass, hello.hello_topic(title), received, _QOS, encoding=None)


async def async_subscribe_status(
    hass: HomeAssistant, topic: str, on_status: Callable[[bool], None]
) -> CALLBACK_TYPE:
    """Hand a node's status on as whether it is online."""
    from homeassistant.components import mqtt

    @callback
    def received(message: ReceiveMessage) -> None:
        if (online := _STATUS.get(_raw(message))) is not None:
            on_status(online)

    return await mqtt.async_subscribe(hass, topic, received, _QOS, encoding=None)


class MqttCarrier:
    """Carries requests to one meter and its responses back: ``asking.Carrier``."""

    def __init__(self, hass: HomeAssistant, title: str) -> None:
        """Nothing is subscribed yet."""
        self._hass = hass
        self._title = title

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Subscribe to a requester's responses; ready once the broker has acknowledged it."""
        from homeassistant.components import mqtt

        @callback
        def received(message: ReceiveMessage) -> None:
            if not message.retain:  # a response is for now, and no broker is to keep it
                on_response(_raw(message))

        topic = hello.response_topic(self._title, requester)
        ready = asyncio.Event()
        stop_waiting = mqtt.async_on_subscribe_done(self._hass, topic, _QOS, ready.set)
        unsubscribe = await mqtt.async_subscribe(self._hass, topic, received, _QOS, encoding=None)

        @callback
        def leave() -> None:
            stop_waiting()
            unsubscribe()

        return Listening(leave, ready)

    async def async_send(self, requester: str, request: bytes) -> None:
        """Publish a request. Raises HomeAssistantError where there is no connection."""
        from homeassistant.components import mqtt

        if not mqtt.is_connected(self._hass):  # it would be kept, and sent when it is too late
            raise HomeAssistantError("there is no connection to the broker")
        topic = hello.request_topic(self._title, requester)
        await mqtt.async_publish(self._hass, topic, request, _QOS, retain=False)


def _raw(message: ReceiveMessage) -> bytes:
    return bytes(cast("bytes | bytearray", message.payload))  # no text, by encoding=None


def parse_hello(topic: str, payload: str | bytes | bytearray) -> Hello | None:
    """Return the hello, or None when it is none, or stands on another meter's topic."""
    try:
        said = Hello.from_json(payload if isinstance(payload, str) else bytes(payload))
        if topic != hello.hello_topic(said.system_title):
            return None
        if said.ciphered and len(bytes.fromhex(said.system_title)) != 8:
            return None
    except (HelloError, ValueError):
        return None
    return said


async def async_hear_hellos(hass: HomeAssistant, title: str, seconds: float) -> dict[str, Hello]:
    """Return the hellos that are heard in that time; of one title, as soon as it is heard."""
    heard: dict[str, Hello] = {}
    found = asyncio.Event()

    def on_hello(said: Hello) -> None:
        heard[said.system_title] = said
        if said.system_title == title:
            found.set()

    unsubscribe = await async_subscribe_hellos(hass, title, on_hello)
    try:
        async with asyncio.timeout(seconds):
            await found.wait()
    except TimeoutError:
        pass
    finally:
        unsubscribe()
    return heard
