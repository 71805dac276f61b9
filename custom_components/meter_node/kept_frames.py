"""A bridged meter's past: the frames that its bridge kept, each verified, as register readings.

They serve history and never an entity: a kept frame moves neither the replay counter nor a state.
Must not know what becomes of the readings.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from . import mqtt
from .channel.kept import LATEST_S, KeptError, KeptFrame, KeptRequest, KeptResponse
from .const import DOMAIN
from .meter_time import moment
from .reader import MeterReader, NotTakenError, Past

_LOGGER = logging.getLogger(__name__)

ANSWER_S = 5.0
TRIES = 3
"""A bridge that is being restarted, or that answers no more at the moment, is asked again."""
PAUSE_S = 0.3
"""Between two requests: bridges answer four a second."""
OFF_BY = timedelta(minutes=30)
"""A frame whose own time is further from its arrival is refused: which hour it tells of is open."""


class KeptFramesError(HomeAssistantError):
    """The bridge did not answer."""

    def __init__(self) -> None:
        """Say so in the user's language."""
        super().__init__(translation_domain=DOMAIN, translation_key="kept_frames_no_answer")


@dataclass(slots=True)
class Order:
    """Takes readings whose time and counter both rise: anything else is no history."""

    last: datetime | None = None
    counter: int | None = None

    def takes(self, at: datetime, counter: int | None) -> bool:
        """Whether a reading goes on from those before it."""
        if self.last is not None and at <= self.last:
            return False
        if counter is not None and self.counter is not None and counter <= self.counter:
            return False
        self.last = at
        self.counter = counter if counter is not None else self.counter
        return True


class KeptFrames:
    """Readings from the frames that the bridge of one meter kept."""

    def __init__(self, hass: HomeAssistant, title: str, reader: MeterReader, zone: tzinfo) -> None:
        """``reader`` knows the meter's keys and scale; ``zone`` is where the meter hangs."""
        self._hass = hass
        self._title = title
        self._reader = reader
        self._zone = zone

    async def readings(
        self, first: datetime, last: datetime
    ) -> AsyncIterator[tuple[datetime, Mapping[str, float]]]:
        """Give (meter's time, registers by key) of that period, both ends included, in order.

        In the units of ``channel.reading.Reading``; a list without an energy is passed over.
        Raises KeptFramesError where the bridge does not answer.
        """
        order = Order()
        refused = 0
        async with aclosing(self._frames(first - OFF_BY, last + OFF_BY)) as frames:
            async for kept in frames:
                found = self._open(kept)
                if found is None:
                    refused += 1
                    continue
                at, past = found
                if not first <= at <= last or not _has_energy(past):
                    continue
                if order.takes(at, past.counter):
                    yield at, past.reading.values
                else:
                    refused += 1
        if refused:
            _LOGGER.info(
                "%s: %d of the frames that its bridge kept were refused", self._title, refused
            )

    def _open(self, kept: KeptFrame) -> tuple[datetime, Past] | None:
        try:
            past = self._reader.read_past(kept.frame)
        except NotTakenError as error:
            _LOGGER.debug("%s: a kept frame was refused: %s", self._title, error)
            return None
        if past.reading.time is None:
            return None
        arrived = datetime.fromtimestamp(kept.arrived_s, UTC)
        at = moment(past.reading.time, arrived, self._zone)
        return (at, past) if abs(at - arrived) <= OFF_BY else None

    async def _frames(self, first: datetime, last: datetime) -> AsyncGenerator[KeptFrame]:
        """Give the kept frames that arrived in that time: a bounded piece for each request."""
        next_s, end_s = _bounds(first, last)
        requester = secrets.token_hex(8)
        answers: asyncio.Queue[KeptResponse] = asyncio.Queue(2)

        @callback
        def on_response(payload: bytes) -> None:
            try:
                answers.put_nowait(KeptResponse.from_bytes(payload))
            except (KeptError, asyncio.QueueFull) as error:
                _LOGGER.debug("%s: no answer to what was asked: %s", self._title, error)

        listening = await mqtt.async_subscribe_kept(self._hass, self._title, requester, on_response)
        try:
            async with asyncio.timeout(ANSWER_S):
                await listening.ready.wait()
            while next_s < end_s:
                piece = await self._ask(requester, next_s, end_s, answers)
                for frame in piece.frames:
                    yield frame
                if piece.last or piece.next_s <= next_s:  # one that leads nowhere ends it, too
                    break
                next_s = piece.next_s
                await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            raise KeptFramesError from None
        finally:
            listening.leave()

    async def _ask(
        self, requester: str, first_s: int, end_s: int, answers: asyncio.Queue[KeptResponse]
    ) -> KeptResponse:
        """Return the answer to one request. Raises TimeoutError where none came."""
        for _ in range(TRIES):
            request = KeptRequest(secrets.token_hex(8), first_s, end_s)
            await mqtt.async_ask_kept(self._hass, self._title, requester, request.to_json())
            try:
                async with asyncio.timeout(ANSWER_S):
                    while (answer := await answers.get()).id != request.id:
                        pass
            except TimeoutError:
                continue
            return answer
        raise TimeoutError


def _bounds(first: datetime, last: datetime) -> tuple[int, int]:
    first_s = max(0, math.floor(first.timestamp()))
    return first_s, min(LATEST_S, math.ceil(last.timestamp()) + 1)


def _has_energy(past: Past) -> bool:
    return "import_active_energy" in past.reading.values
