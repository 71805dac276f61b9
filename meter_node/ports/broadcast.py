"""What several ports do alike: send each message once to all who listen, and hear nobody.

Must not know what is sent. Whoever takes nothing misses what comes meanwhile and is closed in the
end; whatever he sends is read and forgotten, so that neither way anything piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .bearers import Bearer
from .conversation import CHUNK, Line
from .module import MeterView

_LISTEN_S = 60.0
_BREATH_S = 0.001
"""Between two chunks of noise, so that it does not take the processor."""

type Make = Callable[[int], Coroutine[None, None, bytes]]
"""Gives what is to be sent of the image of a second; nothing where nothing is due."""


class Audience:
    """Who listens now."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._next: asyncio.Future[bytes] | None = None
        self.listeners = 0

    async def talk(self, line: Line, who: str) -> str:
        """Send to one of them until he is gone; return why. Raises OSError."""
        self.listeners += 1
        hearing: asyncio.Future[Any] = asyncio.ensure_future(_hear_out(line))
        try:
            while True:
                if self._next is None:
                    self._next = asyncio.get_running_loop().create_future()
                message: asyncio.Future[Any] = self._next
                await asyncio.wait((hearing, message), return_when=asyncio.FIRST_COMPLETED)
                if hearing.done():
                    return str(hearing.result())
                await line.write(message.result())
        finally:
            self.listeners -= 1
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    def send(self, message: bytes) -> None:
        """Let everyone have it who is not busy with the one before."""
        if self._next is not None:
            self._next.set_result(message)
            self._next = None


async def _hear_out(line: Line) -> str:
    while (data := await line.read(_LISTEN_S)) != b"":
        if data is not None and len(data) == CHUNK:
            await asyncio.sleep(_BREATH_S)
    return "the other side closed it"


async def broadcast(view: MeterView, bearer: Bearer, make: Make) -> None:
    """Send what ``make`` gives of each image for as long as anyone listens, until cancelled."""
    audience = Audience()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bearer.carry(audience.talk))
        while True:
            await view.committed()
            if audience.listeners and (message := await make(view.second)):
                audience.send(message)
