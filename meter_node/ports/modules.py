"""The table of modules, and which of them run: they come and go while the metering goes on.

A new way out is a file of its own and a row here. Must not know what any of them does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from meter_node.ciphering import CounterExhaustedError

from . import han, p1, s0
from .bearers import again_and_again
from .mbus import port as mbus
from .module import Kind, MeterView, ModuleSettings
from .wmbus import port as wmbus

_LOGGER = logging.getLogger(__name__)

KINDS: Mapping[str, Kind[Any]] = {
    "han": Kind(han.HanSettings, han.run),
    "mbus": Kind(mbus.MbusSettings, mbus.run),
    "p1": Kind(p1.P1Settings, p1.run),
    "s0": Kind(s0.S0Settings, s0.run),
    "wmbus": Kind(wmbus.WmbusSettings, wmbus.run),
}
"""By ``kind`` in the configuration."""

if TYPE_CHECKING:
    type AnySettings = ModuleSettings
else:
    AnySettings = Annotated[
        reduce(or_, (kind.settings for kind in KINDS.values())), Field(discriminator="kind")
    ]


class Modules:
    """The modules that run, by meter and settings: the same settings are the same module."""

    def __init__(self) -> None:
        """None runs before there are meters to see."""
        self._views: Mapping[str, MeterView] = {}
        self._running: dict[tuple[str, ModuleSettings], asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def see(self, views: Mapping[str, MeterView]) -> None:
        """Know the meters, by their names."""
        self._views = views

    def use(self, wanted: Iterable[tuple[str, ModuleSettings]]) -> tuple[int, int]:
        """Have exactly these run, each for the meter of that name; return how many came and went.

        What goes on is not disturbed. A meter that is not there is passed over.
        """
        new = {one for one in wanted if one[0] in self._views}
        gone, come = self._running.keys() - new, new - self._running.keys()
        for task in [self._running.pop(one) for one in gone]:
            task.cancel()
            # It may take a while: a pulse is sent to its end, a line says what it has to say.
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for name, settings in come:
            run = partial(self._again_and_again, name, settings, frozenset(self._ending))
            self._running[name, settings] = asyncio.create_task(run())
        for name, view in self._views.items():
            beats = (one.beat_s for of, one in self._running if of == name)
            view.beats_s = frozenset(beat_s for beat_s in beats if beat_s is not None)
        return len(come), len(gone)

    async def close(self) -> None:
        """End all of them."""
        self.use(())
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _again_and_again(
        self, name: str, settings: ModuleSettings, before: Collection[asyncio.Task[None]]
    ) -> None:
        # One with changed settings wants the same port or line, and what the other has kept.
        if before:
            await asyncio.wait(before)

        what = f"{name}: {settings.kind}"

        async def once() -> str:
            used_up = False
            try:
                await KINDS[settings.kind].run(self._views[name], settings)
            except* CounterExhaustedError as errors:
                used_up = True
                _LOGGER.error("%s: it has ended: %s", what, _first(errors))
            if used_up:
                # No other attempt can do better: new keys are taken up as the node starts.
                await asyncio.Event().wait()
            return "it ended"

        await again_and_again(what, once)


def _first(error: BaseException) -> BaseException:
    """Return what stands first in a group, whatever it is wrapped in."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
