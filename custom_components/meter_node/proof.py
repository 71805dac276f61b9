"""Waits for the frame that proves a pair of keys, before an entry is made with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from homeassistant.core import HomeAssistant

from . import mqtt
from .channel.security import Refusal
from .const import DOMAIN
from .reader import CIPHERED, UNKNOWN_LIST, MeterReader, NotTakenError, Verified

NO_FRAME = "no_frame"

INTERVALS = 1.5
AT_LEAST_S = 3.0
"""Home Assistant itself may take a second to subscribe."""
RETAINED_SUFFICES_ABOVE_S = 60
"""With pushes further apart than this, a good frame that the broker kept is proof enough."""

_STEP_S = 1.0

_DECISIVE = frozenset(
    {Refusal.WRONG_KEYS, Refusal.AUTHENTICATION_KEY, Refusal.DOWNGRADE, CIPHERED, UNKNOWN_LIST}
)
"""Reasons for which no further frame needs to be waited for."""
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
) -> Verified | NotTakenError:
    """Return the reading of a live frame, or why there was none."""
    answer: asyncio.Future[Verified | NotTakenError] = hass.loop.create_future()
    hint: NotTakenError | None = None

    def on_push(payload: bytes, retained: bool) -> None:
        nonlocal hint
        if answer.done():
            return
        try:
            verified = reader.read(payload, retained=retained)
        except NotTakenError as error:
            if error.reason in _DECISIVE:
                answer.set_result(error)
            elif error.reason not in _UNTOLD:
                hint = error
            return
        if not retained or push_interval_s > RETAINED_SUFFICES_ABOVE_S:
            answer.set_result(verified)

    wait = wait_s(push_interval_s)
    unsubscribe = await mqtt.async_subscribe_pushes(hass, title, on_push)
    try:
        started = hass.loop.time()
        while not answer.done() and (waited := hass.loop.time() - started) < wait:
            on_progress(waited / wait)
            await asyncio.wait([answer], timeout=min(_STEP_S, wait - waited))
    finally:
        unsubscribe()
    if answer.done():
        return answer.result()
    return hint or NotTakenError(NO_FRAME, f"{DOMAIN}: no frame came within {wait:g} s")
