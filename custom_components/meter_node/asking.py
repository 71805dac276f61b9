"""Asks one meter, request by request, and makes sure whose answer it is and to what.

What becomes of answers stands in ``verdicts``. Must not know how messages travel, nor what an
object is for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util

from . import verdicts
from .allowance import Allowance
from .channel import objects, security, services
from .channel.axdr import Value
from .channel.requests import (
    MeterTime,
    Requester,
    Response,
    UnprovenRefusalError,
)
from .channel.security import Keys
from .channel.services import Fault, Result
from .ciphering import AesGcm
from .const import DOMAIN
from .verdicts import Failure, Reason

_LOGGER = logging.getLogger(__name__)

ANSWER_WITHIN_S = 10.0
"""As old as a request may be when a meter looks at it."""
AFTER_HINT_S = 2.0
"""How long the meter's own word is still waited for, once somebody said that it refuses."""
_HINTS = frozenset({Fault.DECIPHERING, Fault.INVOCATION_COUNTER})
_LONGEST_SENTENCE = 200


class AskError(HomeAssistantError):
    """A meter did not do, or not say, what it was asked for.

    ``reason`` tells why; ``result`` what an object said that refused.
    """

    def __init__(self, failure: Failure, said: str = "") -> None:
        """``said``: the meter's own words, where it gave some."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key="ask_refused_in_words" if said else failure.key,
            translation_placeholders={"said": said} if said else None,
        )
        self.reason = failure.reason
        self.result: Result | None = failure.result


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Value


@dataclass(frozen=True, slots=True)
class Listening:
    """A place where responses come in."""

    leave: CALLBACK_TYPE
    ready: asyncio.Event
    """Set once nothing is lost any more that is sent there."""


class Carrier(Protocol):
    """Carries requests to one meter and its responses back; ``requester``: as topics hold it."""

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Have the responses to a requester handed on."""

    async def async_send(self, requester: str, request: bytes) -> None:
        """Send a request. Raises HomeAssistantError where there is no way to the meter."""


class Asker:
    """Asks one meter with a pairing's control keys: one request at a time, in turn."""

    def __init__(
        self,
        hass: HomeAssistant,
        carrier: Carrier,
        meter_title: bytes,
        keys: Keys,
        on_revoked: Callable[[], None],
    ) -> None:
        """``on_revoked`` is called when the pairing does not seem to stand any more."""
        self._hass = hass
        self._carrier = carrier
        self._meter_title = meter_title
        self._keys = keys
        self._on_revoked = on_revoked
        self._requester = self._new_requester()
        self._listening: Listening | None = None
        self._meter_time = MeterTime()
        self._turn = asyncio.Lock()
        self._closed = False
        self._allowance = Allowance(hass.loop.time())
        self._waiting: asyncio.Future[Response | None] | None = None
        self._deadline: asyncio.Timeout | None = None
        self._hint: Fault | None = None
        self._revocations = 0

    def _new_requester(self) -> Requester:
        return Requester(AesGcm(), self._keys, self._meter_title)

    @property
    def requester(self) -> str:
        """The asking side's own title, as topics hold it: another one at every start."""
        return self._requester.title.hex()

    @property
    def meter_time(self) -> datetime:
        """What the meter's clock shows now, as far as it was heard."""
        return self._meter_time.at(dt_util.utcnow())

    @callback
    def heard(self, meter_time: datetime) -> None:
        """Take note of the time in a verified message that came just now."""
        self._meter_time.heard(meter_time, dt_util.utcnow())

    async def async_start(self) -> None:
        """Begin to listen, so that the first request need not wait for it."""
        async with self._turn:
            await self._async_listen()

    @callback
    def async_close(self) -> None:
        """Listen no more; who waits for an answer is told that there is no way to the meter."""
        self._closed = True
        self._leave()
        if self._waiting is not None and not self._waiting.done():
            # No exception: nobody would take it of a task that is cancelled meanwhile.
            self._waiting.set_result(None)

    async def async_ask(self, service: bytes) -> Value:
        """Return what a service of ``channel.services`` gave. Raises AskError.

        A read without an answer is asked once more. A command without one may have been carried
        out: its caller reads the state.
        """
        async with self._turn:
            answer = await self._async_once(service)
            if isinstance(answer, Failure) and verdicts.may_be_repeated(service, answer):
                answer = await self._async_once(service)
            if not isinstance(answer, Failure):
                return answer.value
            said = await self._async_sentence() if verdicts.has_a_sentence(answer) else ""
            raise AskError(answer, said)

    async def _async_sentence(self) -> str:
        """Return why the meter refused the last request; nobody's else, as it is still our turn."""
        answer = await self._async_once(services.get(objects.REFUSAL))
        if isinstance(answer, Failure) or not isinstance(answer.value, str):
            return ""
        return "".join(filter(str.isprintable, answer.value))[:_LONGEST_SENTENCE]

    # --- one request ---------------------------------------------------------------------------

    async def _async_once(self, service: bytes) -> _Answer | Failure:
        try:
            response = await self._async_response(service)
        except HomeAssistantError as error:
            _LOGGER.debug("no way to the meter: %s", error)
            return verdicts.NO_LINK
        except ValueError as error:
            _LOGGER.debug("no request that a meter takes: %s", error)
            return verdicts.TOO_LONG
        if response is None:
            return self._on_silence(service)
        self._revocations = 0
        if response.meter_time is not None:
            self.heard(response.meter_time)
        try:
            return _Answer(response.value())
        except services.RefusedError as error:
            return verdicts.of_refusal(error)
        except services.ServiceError as error:
            _LOGGER.debug("no answer to this request: %s", error)
            return verdicts.NOT_UNDERSTOOD

    async def _async_response(self, service: bytes) -> Response | None:
        """Return the meter's response, None where none came.

        Raises HomeAssistantError where there is no way to it, ValueError for too long a request.
        """
        self._hint = None
        await self._async_pause()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S) as self._deadline:
                listening = await self._async_listen()
                await listening.ready.wait()
                # Its numbers last for 27 years of five requests a second.
                request = self._requester.request(service, self._meter_time.at(dt_util.utcnow()))
                self._waiting = self._hass.loop.create_future()
                sent_s = self._hass.loop.time()
                try:
                    await self._carrier.async_send(self.requester, request.apdu)
                    response = await self._waiting
                    if response is None:
                        raise HomeAssistantError("closed while it asked")
                    self._allowance.answered(self._hass.loop.time() - sent_s)
                    return response
                finally:
                    self._requester.forget(request.transaction_id)
        except TimeoutError:
            return None
        finally:
            self._waiting = self._deadline = None

    async def _async_pause(self) -> None:
        """Wait until the meter looks at one more request."""
        if (wait_s := self._allowance.wait_s(self._hass.loop.time())) > 0:
            await asyncio.sleep(wait_s)
        self._allowance.asked(self._hass.loop.time())

    async def _async_listen(self) -> Listening:
        if self._closed:
            raise HomeAssistantError("closed")
        if self._listening is None:
            listening = await self._carrier.async_listen(self.requester, self._on_response)
            if self._closed:
                listening.leave()
                raise HomeAssistantError("closed while it began to listen")
            self._listening = listening
        return self._listening

    def _leave(self) -> None:
        if self._listening is not None:
            self._listening.leave()
            self._listening = None

    @callback
    def _on_response(self, payload: bytes) -> None:
        """Take the meter's response; of what else comes, only a hint is kept."""
        if self._closed:
            return
        try:
            response = self._requester.accept(payload)
        except security.RefusedError as error:
            _LOGGER.debug("no response of the meter's to us: %s", error)
        except UnprovenRefusalError as hint:
            if hint.fault in _HINTS and self._deadline is not None:
                self._hint = hint.fault
                soon_s = self._hass.loop.time() + AFTER_HINT_S
                self._deadline.reschedule(min(self._deadline.when() or soon_s, soon_s))
        else:
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(response)

    @callback
    def _on_silence(self, service: bytes) -> Failure:
        """Return what it means that no answer came, and get ready for the next request."""
        failure = verdicts.of_silence(service, self._hint)
        if self._hint is Fault.INVOCATION_COUNTER:  # a meter that was restored, for instance
            self._leave()
            self._requester = self._new_requester()
        if failure.reason is Reason.REVOKED:
            self._revocations += 1
            if self._revocations >= verdicts.REVOCATIONS_BELIEVED:
                self._on_revoked()
        return failure
