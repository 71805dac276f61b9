"""One meter's display put together: its device, its button and what it shows now.

There is one a meter, however many look at it. Must not know a socket; the clock is given.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from meter_node.channel import objects
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.profile_entry import ProfileEntry
from meter_node.ports.display import face
from meter_node.ports.display.face import Face
from meter_node.ports.display.lcd import Lcd, Level
from meter_node.ports.display.reading import Reading
from meter_node.ports.display.views import Language, Settings

HEARTBEAT_S = 1.0
"""A page that holds the button says so at least so often; or the button is let go."""
SEEN_S = 1.1
"""Longer than a measurement takes. The button is shown to the meter as down and as up for so long
at least: a short push is not missed, and pushes that follow each other quickly never look like one
long one to a meter that looks once a second."""
LISTS_FOR_S = 1.0


class _Span(NamedTuple):
    begin: float
    end: float


class Profile(Protocol):
    """Reads the load profile: the newest entry for 0, None where there are no more."""

    def __call__(self, back: int, /) -> Awaitable[ProfileEntry | None]:
        """Return an entry; it may take its time and may raise what its store raises."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Whether a top-up token was taken, and what to tell the person who typed it."""

    ok: bool
    text: str


@dataclass(eq=False, slots=True)
class Watcher:
    """Who looks at a screen: what happened since he looked last, and what wakes him."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    moved: bool = False
    pulses: int = 0


type EnterToken = Callable[[str], Awaitable[TokenAnswer]]


class Screen:
    """A display and its button."""

    def __init__(
        self,
        device: LogicalDevice,
        *,
        settings: Settings,
        clock: Callable[[], float],
        profile: Profile | None = None,
        enter_token: EnterToken | None = None,
    ) -> None:
        """`clock` gives seconds and never steps. Without `profile` there is no profile browser."""
        self.settings = settings
        self.reading = Reading(device)
        self.enter_token = enter_token
        self.communicating: bool | None = None
        """Whether the node reaches its broker, as the node says; None: nothing is shown of it."""
        self._clock = clock
        self._profile = profile
        self._lcd = Lcd(clock(), settings.scroll_s, settings.breaker_hold_s)
        self._contact = False
        self._page = False
        self._heard_s = 0.0
        self._down_s = _Span(-math.inf, -math.inf)
        self._down_before_s = self._down_s
        self._offered_s = float("-inf")
        self._watchers: set[Watcher] = set()
        self._constants: list[int] = []

    @property
    def button(self) -> bool:
        """Whether the page's button is down now: the meter's inputs want it beside the contact's.

        To be looked at once a measurement: see `SEEN_S`.
        """
        now_s = self._clock()
        self._settle(now_s)
        return self._down_s.begin <= now_s < self._down_s.end

    @property
    def prepaid(self) -> bool:
        """Whether tokens can be entered: prepayment is on, and somebody takes them."""
        return self.enter_token is not None and self.reading.number(objects.CREDIT) is not None

    def press(self, down: bool) -> None:
        """The meter's own contact says this of its button, as often as it likes."""
        now_s = self._clock()
        self._settle(now_s)
        if down is self._contact:
            return  # what is offered is looked up when somebody pushes or looks, not each second
        self._contact = down
        self._move(now_s)

    def press_from_page(self, down: bool) -> None:
        """A page says this of its button, and says it again and again while it is down."""
        now_s = self._clock()
        self._settle(now_s)
        if down and not self._page:
            self._down_before_s = self._down_s
            self._down_s = _Span(max(now_s, self._down_s.end + SEEN_S), math.inf)
        elif self._page and not down:
            self._page_is_up(now_s)
        self._page = down
        self._heard_s = now_s
        self._move(now_s)

    async def now(self) -> Face:
        """Return what stands on the glass now."""
        now_s = self._clock()
        self._settle(now_s)
        if now_s - self._offered_s >= LISTS_FOR_S:
            self._offered_s = now_s
            self._offer()
        self._lcd.advance(now_s)
        shown = self._lcd.shown(now_s)
        if shown.level is Level.PROFILE:
            entry = await self._entry_back(shown.back, now_s)
            drawn = face.of_entry(self.reading, entry, now_s - shown.since_s, self.settings)
        elif shown.key is not None:
            drawn = face.of_view(self.reading, shown.key, self.settings)
        else:
            drawn = face.of_nothing(self.reading)
        return self._told(face.with_button(drawn, shown.level, shown.held, self.settings))

    def every_view(self, language: Language | None = None) -> list[Face]:
        """Return the faces of all views that the meter has, those of the automatic list first."""
        settings = replace(self.settings, language=language or self.settings.language)
        automatic, manual = face.lists(self.reading, settings)
        return [
            self._told(replace(face.of_view(self.reading, key, settings), level=level))
            for level, keys in ((Level.AUTOMATIC, automatic), (Level.MANUAL, manual))
            for key in keys
        ]

    def watch(self) -> Watcher:
        """Return who is woken whenever the button moved or the LED blinked; `unwatch` him again."""
        watcher = Watcher()
        self._watchers.add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """The watcher has gone."""
        self._watchers.discard(watcher)

    @contextmanager
    def led_follows(self, constant: int) -> Iterator[None]:
        """Meanwhile the metering LED blinks with an S0 port of this constant, among others."""
        self._constants.append(constant)
        try:
            yield
        finally:
            self._constants.remove(constant)

    @property
    def constant(self) -> int | None:
        """Pulses a kWh of the S0 port that the metering LED blinks with; None: there is none.

        Of several that which came last.
        """
        return self._constants[-1] if self._constants else None

    def blink(self) -> None:
        """The S0 port has begun a pulse."""
        for watcher in self._watchers:
            watcher.pulses += 1
            watcher.wake.set()

    async def _entry_back(self, back: int, now_s: float) -> ProfileEntry | None:
        if self._profile is None:
            return None
        entry = await self._profile(back)
        if entry is None and back:
            self._lcd.no_such_entry(now_s)
            entry = await self._profile(0)
        return entry

    def _offer(self) -> None:
        automatic, manual = face.lists(self.reading, self.settings)
        self._lcd.offer(automatic, manual, profile=self._profile is not None)

    def _told(self, drawn: Face) -> Face:
        if self.communicating is None:
            return drawn
        return replace(drawn, symbols=replace(drawn.symbols, communicating=self.communicating))

    def _settle(self, now_s: float) -> None:
        """A page that is no longer heard of has let go, and meant nothing by it."""
        if self._page and now_s - self._heard_s >= HEARTBEAT_S:
            self._page = False
            self._page_is_up(self._heard_s + HEARTBEAT_S, at_least_s=0.0)
            if not self._contact:
                self._lcd.abandon(now_s)

    def _page_is_up(self, since_s: float, at_least_s: float = SEEN_S) -> None:
        if since_s < self._down_s.begin:  # the meter has never seen it down
            self._down_s = self._down_before_s
        else:
            self._down_s = _Span(self._down_s.begin, max(since_s, self._down_s.begin + at_least_s))

    def _move(self, now_s: float) -> None:
        self._offer()
        if self._page or self._contact:
            self._lcd.press(now_s)
        else:
            self._lcd.release(now_s)
        for watcher in self._watchers:
            watcher.moved = True
            watcher.wake.set()
