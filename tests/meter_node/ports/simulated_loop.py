"""An event loop whose time is simulated: it passes as fast as nobody has anything to do."""

from __future__ import annotations

import asyncio
import selectors
from typing import override


class _NoWait(selectors.DefaultSelector):
    """Waits for nothing: what it was to wait for has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and for nothing that comes with time")
        self.passed_s += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._no_wait = _NoWait()
        super().__init__(self._no_wait)

    @override
    def time(self) -> float:
        return self._no_wait.passed_s

    def stall(self, seconds: float) -> None:
        """The process stands still for so long, with all that it was doing."""
        self._no_wait.passed_s += seconds
