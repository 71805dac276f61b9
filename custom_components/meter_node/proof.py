"""Waits for the frame that proves a pair of keys, before an entry is made with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from . import bluetooth, meter_time
from .asking import Asker, AskError
from .channel import objects, services
from .channel.hello import Hello
from .channel.security import Keys, Refusal
from .const import DEFAULT_PUSH_INTERVAL_S, DOMAIN
from .links import Links
from .reader import CIPHERED, UNKNOWN_LIST, MeterReader, NotTakenError, Verified
from .verdicts import Reason

NO_FRAME = "no_frame"
KEPT_NOT_OPENED = "kept_not_opened"
"""No frame came, and the keys do not open the one that the broker kept: it may be an old one."""

CONTROL_KEYS_REFUSED = "control_keys_refused"
"""The frames open, but the meter does not answer these control keys, and says so."""

INTERVALS = 1.5
AT_LEAST_S = INTERVALS * DEFAULT_PUSH_INTERVAL_S
"""A hello is unsigned: one that announces a short interval must not cut the waiting short."""

ANSWER_S = 5.0
"""How long the meter's answer to the control keys is waited for: its silence refuses nothing."""

_STEP_S = 1.0

_DECISIVE = frozenset(
    {Refusal.WRONG_KEYS, Refusal.AUTHENTICATION_KEY, Refusal.DOWNGRADE, CIPHERED, UNKNOWN_LIST}
)
"""Reasons for which no further frame needs to be waited for."""
_ABOUT_KEYS = frozenset({Refusal.WRONG_KEYS, Refusal.AUTHENTICATION_KEY})
_UNTOLD = frozenset({Refusal.DUPLICATE, Refusal.REPLAY})


def wait_s(push_interval_s: int) -> float:
    """Return how long a live frame is waited for."""
    return max(AT_LEAST_S, INTERVALS * push_interval_s)


async def async_prove(
    hass: HomeAssistant,
    title: str,
    reader: MeterReader,
    push_interval_s: int,
    on_progress: Callable[[float], None],
    topic: str | None = None,
    control: Keys | None = None,
) -> Verified | NotTakenError:
    """Return the reading of a live frame, or why there was none.

    What the broker kept may be of any age and any keys: it neither proves nor condemns, and is
    told of only where nothing better came. Control keys are tried once a frame has come.
    """
    wait = wait_s(push_interval_s) + bluetooth.patience_s(hass, title)
    live = _LiveFrame(reader)
    links = Links(hass, title, live, topic)
    if not await links.async_start():
        return NotTakenError(NO_FRAME, f"{DOMAIN}: there is no channel any more")
    try:
        answer = await live.async_wait(wait, on_progress)
        if isinstance(answer, NotTakenError) or control is None:
            return answer
        if await _async_is_refused(hass, links, title, control, answer):
            return NotTakenError(CONTROL_KEYS_REFUSED, "the meter does not know this pairing")
        return answer
    finally:
        await links.async_stop()


async def _async_is_refused(
    hass: HomeAssistant, links: Links, title: str, control: Keys, live: Verified
) -> bool:
    """Ask the meter something that changes nothing."""
    asker = Asker(hass, links, bytes.fromhex(title), control, lambda: None)
    if live.reading.time is not None:
        now, zone = dt_util.utcnow(), dt_util.get_default_time_zone()
        asker.heard(meter_time.moment(live.reading.time, now, zone))
    try:
        async with asyncio.timeout(ANSWER_S):
            await asker.async_ask(services.get(objects.PUSH_INTERVAL))
    except AskError as error:
        return error.reason is Reason.REVOKED
    except TimeoutError:
        return False
    finally:
        asker.async_close()
    return False


class _LiveFrame:
    """Listens until a live frame was read, or one shows that none can be."""

    def __init__(self, reader: MeterReader) -> None:
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Verified | NotTakenError] = self._loop.create_future()
        self._hint: NotTakenError | None = None

    def on_hello(self, hello: Hello) -> None: ...

    def on_status(self, online: bool) -> None: ...

    def on_push(self, payload: bytes, retained: bool) -> bool:
        if self._answer.done():
            return True
        try:
            verified = self._reader.read(payload, retained=retained, arrived=dt_util.now())
        except NotTakenError as error:
            self._note(error, retained)
            return error.reason == Refusal.DUPLICATE
        if not retained:
            self._answer.set_result(verified)
        return True

    def _note(self, error: NotTakenError, retained: bool) -> None:
        if error.reason in _UNTOLD:
            return
        if retained:
            self._hint = self._hint or _of_kept(error)
        elif error.reason in _DECISIVE:
            self._answer.set_result(error)
        else:
            self._hint = error

    async def async_wait(
        self, wait: float, on_progress: Callable[[float], None]
    ) -> Verified | NotTakenError:
        started = self._loop.time()
        while not self._answer.done() and (waited := self._loop.time() - started) < wait:
            on_progress(waited / wait)
            await asyncio.wait([self._answer], timeout=min(_STEP_S, wait - waited))
        if self._answer.done():
            return self._answer.result()
        return self._hint or NotTakenError(NO_FRAME, f"{DOMAIN}: no frame came within {wait:g} s")


def _of_kept(error: NotTakenError) -> NotTakenError:
    return NotTakenError(KEPT_NOT_OPENED, str(error)) if error.reason in _ABOUT_KEYS else error
