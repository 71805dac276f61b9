"""Pushes from a topic of the user's choice, on which somebody else's reader puts raw frames.

There is no hello and no status there: whose the frames are is found in the first good one, and
whether the meter is there is told by patience alone. Must not know a key.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from . import mqtt
from .asking import Listening
from .channel import apdu, frames, kamstrup_v0001, lists
from .channel.hello import PREFIX, Hello
from .channel.reading import ListError
from .const import DEFAULT_PUSH_INTERVAL_S
from .reader import MAX_PUSH_BYTES

if TYPE_CHECKING:
    from .links import Ears

FIND_S = 30.0
"""Ten-second lists come three times meanwhile."""
MOST_FRAMES = 16
"""In one message: a reader that was away may send several at once."""

_TOPIC = re.compile(r"[^+#$\x00-\x1f\x7f][^+#\x00-\x1f\x7f]{0,249}")
_NUMBER = re.compile("[0-9a-z]{1,32}")


def is_topic(text: str) -> bool:
    """Whether it is one topic: no wildcards, not the broker's own, nor one of the channel's."""
    return bool(_TOPIC.fullmatch(text)) and not text.startswith(f"{PREFIX}/")


@dataclass(frozen=True, slots=True)
class Found:
    """Whose a frame is: system title or meter number as topics hold it, and whether ciphered."""

    title: str
    ciphered: bool
    maker: str

    def hello(self) -> Hello:
        """Return what a bridge would say of this meter."""
        return Hello(
            kamstrup_v0001.LIST_NAME,
            self.title,
            f"{self.maker} meter",
            "",
            DEFAULT_PUSH_INTERVAL_S,
            "",
            self.ciphered,
        )


def whose(data: bytes) -> Found | None:
    """Tell whose a push is; None where it does not say."""
    try:
        if data[:1] == bytes((apdu.GENERAL_GLO_CIPHERING,)):
            title = apdu.decode_general_glo_ciphering(data).system_title
            return Found(title.hex(), ciphered=True, maker=frames.maker(title) or "Electricity")
        profile = kamstrup_v0001.SCALER_PROFILES[kamstrup_v0001.DEFAULT_SCALER_PROFILE]
        texts = lists.read(apdu.decode_data_notification(data), profile).texts
    except (apdu.ApduError, ListError):
        return None
    number = (texts.get("meter_number") or texts.get("gs1_number") or "").lower()
    return Found(number, ciphered=False, maker="Kamstrup") if _NUMBER.fullmatch(number) else None


class RawLink:
    """The way of one meter's frames over a topic of the user's choice: a ``links.Link``."""

    name = "raw_topic"
    is_waited_for = False

    def __init__(self, hass: HomeAssistant, topic: str) -> None:
        """Nothing is subscribed yet."""
        self._hass = hass
        self._topic = topic
        self._leave: CALLBACK_TYPE | None = None

    async def async_start(self, ears: Ears) -> bool:
        """Subscribe; return False where MQTT is not set up."""
        if not await mqtt.async_ready(self._hass):
            return False
        self._leave = await async_subscribe(self._hass, self._topic, ears.on_push)
        return True

    async def async_stop(self) -> None:
        """Leave the topic."""
        if self._leave is not None:
            self._leave()
            self._leave = None

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Hear nothing: such a meter can't be asked."""
        return Listening(lambda: None, asyncio.Event())

    async def async_send(self, requester: str, request: bytes) -> None:
        """Raise HomeAssistantError."""
        raise HomeAssistantError("a reader's topic takes no requests")


async def async_subscribe(
    hass: HomeAssistant, topic: str, on_push: Callable[[bytes, bool], object]
) -> CALLBACK_TYPE:
    """Hand each push on as (bytes, whether the broker had kept it).

    What holds no frame is handed on as it is, so that it is refused by name.
    """

    @callback
    def received(payload: bytes, retained: bool) -> None:
        short = len(payload) <= MOST_FRAMES * MAX_PUSH_BYTES
        found = frames.apdus_of(payload)[:MOST_FRAMES] if short else []
        for data in found or [payload]:
            on_push(data, retained)

    return await mqtt.async_subscribe_raw(hass, topic, received)


async def async_find(hass: HomeAssistant, topic: str, seconds: float) -> Found | None:
    """Return whose frames stand on a topic, None where none came in that time."""
    answer: asyncio.Future[Found] = hass.loop.create_future()

    @callback
    def on_push(data: bytes, retained: bool) -> None:
        if not answer.done() and (found := whose(data)) is not None:
            answer.set_result(found)

    unsubscribe = await async_subscribe(hass, topic, on_push)
    try:
        await asyncio.wait([answer], timeout=seconds)
    finally:
        unsubscribe()
    return answer.result() if answer.done() else None
