"""All ways to one meter as one: what they bring is handed on, and requests take the best of them.

A home may have either channel or both. Must not know what is in a push or a response, nor how a
way works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_call_later

from . import bluetooth, mqtt, raw_topic
from .asking import Carrier, Listening
from .channel.hello import Hello

_LOGGER = logging.getLogger(__name__)

LOOK_AGAIN_S = 60
"""How often it is looked whether a channel is there by now that was not."""
BEHIND = 2
"""A way is not the best one that missed so many good pushes in a row which others brought."""


class Ears(Protocol):
    """Whoever listens to one meter."""

    def on_hello(self, hello: Hello) -> None:
        """Take a good hello: anybody may have written it."""

    def on_push(self, payload: bytes, retained: bool) -> bool:
        """Take what may be a push; return whether it is the meter's own, be it for the second time.

        ``retained``: it was said before, and may be of any age.
        """

    def on_status(self, online: bool) -> None:
        """Take the node's word whether it is there."""


class Link(Carrier, Protocol):
    """One way to one meter."""

    @property
    def name(self) -> str:
        """The channel's."""

    @property
    def is_waited_for(self) -> bool:
        """Whether a request waits until responses are listened to: not where that may take long."""

    async def async_start(self, ears: Ears) -> bool:
        """Begin to listen; return False where the channel itself is not there."""

    async def async_stop(self) -> None:
        """Listen no more and leave nothing behind."""


@dataclass(eq=False)
class _Way:
    """A link, and how it has fared."""

    link: Link
    started: bool = False
    behind: int | None = None
    """How many good pushes others brought since its last; None before its first."""
    offline: bool = False
    """By the node's own word on it, and no good push came by it since."""

    @property
    def brings(self) -> bool:
        return self.behind is not None and self.behind < BEHIND and not self.offline


@dataclass(eq=False)
class _Awaited:
    """Responses that somebody waits for, on all ways."""

    requester: str
    on_response: Callable[[bytes], None]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    listening: dict[_Way, Listening] = field(default_factory=dict)
    passing: list[asyncio.Task[None]] = field(default_factory=list)


class Links:
    """The ways to one meter that are there: ``asking.Carrier`` too."""

    def __init__(self, hass: HomeAssistant, title: str, ears: Ears, raw: str | None = None) -> None:
        """Nothing is listened to yet; ``raw``: the topic of another reader, then the only way."""
        self._hass = hass
        self._ears = ears
        links: tuple[Link, ...] = (
            (mqtt.MqttLink(hass, title), bluetooth.BluetoothLink(hass, title))
            if raw is None
            else (raw_topic.RawLink(hass, raw),)
        )
        self._ways = [_Way(link) for link in links]
        self._awaited: list[_Awaited] = []
        self._cancel_look: CALLBACK_TYPE | None = None
        self._stopped = False

    @property
    def bringing(self) -> list[str]:
        """The names of the ways by which good pushes come now."""
        return [way.link.name for way in self._ways if way.brings]

    async def async_start(self) -> bool:
        """Listen on each channel that is there, and later on what comes to be there.

        Returns False where there is none at all; then nothing is left to be stopped.
        """
        await self._async_start_missing()
        if not any(way.started for way in self._ways):
            await self.async_stop()
            return False
        return True

    async def async_stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        if self._cancel_look is not None:
            self._cancel_look()
            self._cancel_look = None
        for awaited in list(self._awaited):
            self._leave(awaited)
        for way in self._ways:
            if way.started:
                way.started = False
                await way.link.async_stop()

    async def _async_start_missing(self, _now: datetime | None = None) -> None:
        self._cancel_look = None
        missing = [way for way in self._ways if not way.started]
        # At once: a broker that is not there may keep us waiting.
        await asyncio.gather(*(self._async_start_one(way) for way in missing))
        if not self._stopped and not all(way.started for way in self._ways):
            self._cancel_look = async_call_later(
                self._hass, LOOK_AGAIN_S, self._async_start_missing
            )

    async def _async_start_one(self, way: _Way) -> None:
        if not await way.link.async_start(_Ears(self, way)):
            return
        if self._stopped:
            await way.link.async_stop()
            return
        way.started = True
        for awaited in list(self._awaited):
            await self._async_await_on(way, awaited)

    # --- what comes ----------------------------------------------------------------------------

    @callback
    def on_hello(self, hello: Hello) -> None:
        """Hand a hello on, whichever way it came."""
        if not self._stopped:
            self._ears.on_hello(hello)

    @callback
    def on_push(self, way: _Way, payload: bytes, retained: bool) -> bool:
        """Hand a push on, and remember which way it came."""
        if self._stopped:
            return False
        good = self._ears.on_push(payload, retained)
        if good and not retained:
            for other in self._ways:
                if other.behind is not None:
                    other.behind += 1
            way.behind = 0
            way.offline = False
        return good

    @callback
    def on_status(self, way: _Way, online: bool) -> None:
        """Hand the node's word on, but not that it is gone by one way while another brings."""
        way.offline = not online
        if self._stopped:
            return
        if online or not self.bringing:
            self._ears.on_status(online)

    # --- requests ------------------------------------------------------------------------------

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Have the responses to a requester handed on, whichever way they come."""
        awaited = _Awaited(requester, on_response)
        self._awaited.append(awaited)
        started = [way for way in self._ways if way.started]
        for way in started:
            await self._async_await_on(way, awaited)
        if not any(way.link.is_waited_for for way in started):
            awaited.ready.set()
        return Listening(partial(self._leave, awaited), awaited.ready)

    async def _async_await_on(self, way: _Way, awaited: _Awaited) -> None:
        listening = await way.link.async_listen(awaited.requester, awaited.on_response)
        if awaited not in self._awaited:
            listening.leave()
            return

        async def pass_on() -> None:
            await listening.ready.wait()
            awaited.ready.set()

        passing = self._hass.async_create_background_task(pass_on(), f"{way.link.name} is ready")
        awaited.listening[way] = listening
        awaited.passing.append(passing)

    @callback
    def _leave(self, awaited: _Awaited) -> None:
        if awaited in self._awaited:
            self._awaited.remove(awaited)
        for passing in awaited.passing:
            passing.cancel()
        for listening in awaited.listening.values():
            listening.leave()
        awaited.listening = {}

    async def async_send(self, requester: str, request: bytes) -> None:
        """Send a request the best way. Raises HomeAssistantError where there is none."""
        failure = HomeAssistantError("no response would be heard")
        for way in self._best_first(requester):
            try:
                await way.link.async_send(requester, request)
            except HomeAssistantError as error:
                _LOGGER.debug("not by %s: %s", way.link.name, error)
                failure = error
            else:
                return
        raise failure

    def _best_first(self, requester: str) -> list[_Way]:
        """Return the ways whose responses are heard."""
        ready = [
            way
            for awaited in self._awaited
            if awaited.requester == requester
            for way, listening in awaited.listening.items()
            if listening.ready.is_set()
        ]
        return sorted(ready, key=lambda way: not way.brings)


@dataclass(frozen=True, slots=True)
class _Ears:
    """One way's."""

    links: Links
    way: _Way

    def on_hello(self, hello: Hello) -> None:
        self.links.on_hello(hello)

    def on_push(self, payload: bytes, retained: bool) -> bool:
        return self.links.on_push(self.way, payload, retained)

    def on_status(self, online: bool) -> None:
        self.links.on_status(self.way, online)


# --- before there is an entry --------------------------------------------------------------------


async def async_any_ready(hass: HomeAssistant) -> bool:
    """Return whether there is a channel by which a meter could be heard."""
    return bluetooth.is_ready(hass) or await mqtt.async_ready(hass)


async def async_hear_all(hass: HomeAssistant, seconds: float) -> dict[str, Hello]:
    """Return the hellos of all meters that are heard in that time, by title.

    Over Bluetooth a meter is asked for its hello once it is chosen: see ``bluetooth.advertised``.
    """
    if not await mqtt.async_ready(hass):
        return {}
    return await mqtt.async_hear_hellos(hass, seconds)


class _Waiting:
    """Waits for one meter's hello."""

    def __init__(self) -> None:
        self.hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()

    def on_hello(self, hello: Hello) -> None:
        if not self.hello.done():
            self.hello.set_result(hello)

    def on_push(self, payload: bytes, retained: bool) -> bool:
        return False

    def on_status(self, online: bool) -> None: ...


async def async_hear(hass: HomeAssistant, title: str, seconds: float) -> Hello | None:
    """Return a meter's hello; longer is waited where it must be connected to for that."""
    waiting = _Waiting()
    links = Links(hass, title, waiting)
    if not await links.async_start():
        return None
    try:
        async with asyncio.timeout(seconds + bluetooth.patience_s(hass, title)):
            return await waiting.hello
    except TimeoutError:
        return None
    finally:
        await links.async_stop()
