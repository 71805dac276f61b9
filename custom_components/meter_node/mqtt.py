"""The channel over Home Assistant's MQTT: the only file that knows of it.

Home Assistant's own integration is imported when needed and not before, so that a home without
a broker can do without it. Must not know what a push means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from .asking import Listening
from .channel import hello
from .channel.hello import Hello, HelloError

if TYPE_CHECKING:
    from homeassistant.components.mqtt import ReceiveMessage

    from .links import Ears

READY_S = 5.0
_LOOK_S = 0.1
_COMING = {ConfigEntryState.NOT_LOADED, ConfigEntryState.SETUP_IN_PROGRESS}
_QOS = 1
_STATUS = {hello.ONLINE.encode(): True, hello.OFFLINE.encode(): False}


async def async_ready(hass: HomeAssistant) -> bool:
    """Return whether MQTT is set up; waits a few seconds while it is being set up.

    Home Assistant's own way to wait bears one that failed for 50 s.
    """
    if "mqtt" not in hass.config.components:
        return False
    try:
        async with asyncio.timeout(READY_S):
            while True:
                states = {entry.state for entry in hass.config_entries.async_entries("mqtt")}
                if ConfigEntryState.LOADED in states:
                    return True
                if not states & _COMING:
                    return False
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        return False


async def _async_subscribe(
    hass: HomeAssistant, topic: str, received: Callable[[ReceiveMessage], None]
) -> CALLBACK_TYPE:
    """Hand each message of a topic on as it came: what is no UTF-8 is not worth a warning.

    Once Home Assistant's MQTT was reloaded, leaving ends nothing there: so it is ended here, and
    what is still handed over keeps nobody alive.
    """
    from homeassistant.components import mqtt

    ears: list[Callable[[ReceiveMessage], None]] = [received]

    @callback
    def hand_on(message: ReceiveMessage) -> None:
        for ear in ears:
            ear(message)

    unsubscribe = await mqtt.async_subscribe(hass, topic, hand_on, _QOS, encoding=None)

    @callback
    def leave() -> None:
        ears.clear()
        unsubscribe()

    return leave


async def async_subscribe_raw(
    hass: HomeAssistant, topic: str, on_payload: Callable[[bytes, bool], None]
) -> CALLBACK_TYPE:
    """Hand each message of a topic on as (bytes, whether the broker had kept it)."""

    @callback
    def received(message: ReceiveMessage) -> None:
        on_payload(_raw(message), message.retain)

    return await _async_subscribe(hass, topic, received)


async def _async_subscribe_hellos(
    hass: HomeAssistant, title: str, on_hello: Callable[[Hello], None]
) -> CALLBACK_TYPE:
    """Hand each good hello on of one meter, or of any where ``title`` is ``+``."""

    @callback
    def received(message: ReceiveMessage) -> None:
        if (said := parse_hello(message.topic, _raw(message))) is not None:
            on_hello(said)

    return await _async_subscribe(hass, hello.hello_topic(title), received)


async def async_subscribe_kept(
    hass: HomeAssistant, title: str, requester: str, on_response: Callable[[bytes], None]
) -> Listening:
    """Hand each response of a meter's bridge on; ready once the broker knows of it."""
    return await _async_listen(hass, hello.kept_response_topic(title, requester), on_response)


async def async_ask_kept(hass: HomeAssistant, title: str, requester: str, request: str) -> None:
    """Ask a meter's bridge for frames. Raises HomeAssistantError where MQTT is not there."""
    from homeassistant.components import mqtt

    topic = hello.kept_request_topic(title, requester)
    await mqtt.async_publish(hass, topic, request, _QOS, retain=False)


async def _async_listen(
    hass: HomeAssistant, topic: str, on_response: Callable[[bytes], None]
) -> Listening:
    """Subscribe to responses; ready once the broker has acknowledged it."""
    from homeassistant.components import mqtt

    @callback
    def received(message: ReceiveMessage) -> None:
        if not message.retain:  # a response is for now, and no broker is to keep it
            on_response(_raw(message))

    ready = asyncio.Event()
    stop_waiting = mqtt.async_on_subscribe_done(hass, topic, _QOS, ready.set)
    unsubscribe = await _async_subscribe(hass, topic, received)

    @callback
    def leave() -> None:
        stop_waiting()
        unsubscribe()

    return Listening(leave, ready)


class MqttLink:
    """The way to one meter over MQTT: a ``links.Link``."""

    name = "mqtt"
    is_waited_for = True

    def __init__(self, hass: HomeAssistant, title: str) -> None:
        """Nothing is subscribed yet."""
        self._hass = hass
        self._title = title
        self._subscriptions: list[CALLBACK_TYPE] = []
        self._status_topic: str | None = None
        self._leave_status: CALLBACK_TYPE | None = None
        self._stopped = False

    async def async_start(self, ears: Ears) -> bool:
        """Subscribe to hello, status and pushes; return False where MQTT is not set up."""
        if not await async_ready(self._hass):
            return False
        self._stopped = False

        @callback
        def on_hello(said: Hello) -> None:
            ears.on_hello(said)
            if said.status_topic != self._status_topic:
                self._status_topic = said.status_topic
                self._hass.async_create_task(self._async_follow_status(said.status_topic, ears))

        @callback
        def on_push(message: ReceiveMessage) -> None:
            ears.on_push(_raw(message), message.retain)

        self._subscriptions = [
            await _async_subscribe_hellos(self._hass, self._title, on_hello),
            await _async_subscribe(self._hass, hello.push_topic(self._title), on_push),
        ]
        return True

    async def async_stop(self) -> None:
        """Leave all topics."""
        self._stopped = True
        for leave in (*self._subscriptions, self._leave_status):
            if leave is not None:
                leave()
        self._subscriptions = []
        self._status_topic = self._leave_status = None

    async def _async_follow_status(self, topic: str, ears: Ears) -> None:
        """Follow the node's word whether it is there, on the topic that its hello names."""

        @callback
        def on_status(message: ReceiveMessage) -> None:
            if (online := _STATUS.get(_raw(message))) is not None:
                ears.on_status(online)

        if self._leave_status is not None:
            self._leave_status()
            self._leave_status = None
        leave = await _async_subscribe(self._hass, topic, on_status)
        if self._stopped or topic != self._status_topic:
            leave()
        else:
            self._leave_status = leave

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Subscribe to a requester's responses."""
        topic = hello.response_topic(self._title, requester)
        return await _async_listen(self._hass, topic, on_response)

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


async def async_hear_hellos(hass: HomeAssistant, seconds: float) -> dict[str, Hello]:
    """Return the hellos that are heard in that time, by title."""
    heard: dict[str, Hello] = {}

    @callback
    def on_hello(said: Hello) -> None:
        heard[said.system_title] = said

    unsubscribe = await _async_subscribe_hellos(hass, "+", on_hello)
    try:
        await asyncio.sleep(seconds)
    finally:
        unsubscribe()
    return heard
