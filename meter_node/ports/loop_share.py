"""How much of the event loop's time answering clients may take: the metering shares the loop.

Whatever is asked, and by however many, answers pay for their time with waiting: all of them
together have a quarter of it at most, those of clients that have not proved who they are a tenth.
Must not know what is asked, nor by whom.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

OF_ALL, OF_UNPROVEN = 0.25, 0.1
"""Shares of the loop's time."""
_SAVED_S = 1.0
"""What was not used for so long may be used at once: short questions never wait."""


class _Budget:
    """A share of the time that goes by."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._free_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long until what was used is paid for."""
        return max(self._free_s - now_s, 0.0)

    def charge(self, now_s: float, spent_s: float) -> None:
        """Take note of time that was used up to now."""
        self._free_s = max(self._free_s, now_s - _SAVED_S) + spent_s / self._share


class LoopShare:
    """What all clients of one event loop share; each waits for its turn in the order of asking.

    Who has proved himself waits for all that was used, but not behind those who have not.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = _Budget(OF_ALL)
        self._unproven = _Budget(OF_UNPROVEN)
        self._turns = {proven: asyncio.Lock() for proven in (False, True)}

    async def run[Result](self, step: Callable[[], Result], *, proven: bool) -> Result:
        """Do a step of a client's when it is its turn and its time is there; return its result."""
        budgets = (self._all,) if proven else (self._all, self._unproven)
        async with self._turns[proven]:
            while wait_s := max(  # noqa: ASYNC110 - time is what is waited for
                budget.wait_s(self._clock()) for budget in budgets
            ):
                await asyncio.sleep(wait_s)  # another may use up more meanwhile
            began_s = self._clock()
            try:
                return step()
            finally:
                now_s = self._clock()
                for budget in budgets:
                    budget.charge(now_s, now_s - began_s)
