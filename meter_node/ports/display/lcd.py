"""Which view the display shows, by the button's three lengths of push and by time.

Sans-I/O: time comes in as an argument, in seconds of a clock that never steps. Must not know what a
view shows, nor who pushes.

    short push      (under 2 s)             the next view of the list; the next older entry
    medium push     (2 s up to the hold)    the next level: automatic list, other views, profile
    long push       (the breaker's hold, 6 s as it is delivered)    is the breaker's: the display
                    only says so

Two minutes after the last push the automatic list begins again and moves on by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MEDIUM_S = 2.0
IDLE_S = 120.0


class Level(StrEnum):
    """What short pushes go through."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    PROFILE = "profile"


class Push(StrEnum):
    """How long a push is, or already is."""

    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be drawn: a view's key (None in the profile), or the entry so many rows back."""

    level: Level
    key: str | None
    back: int = 0
    held: Push | None = None
    """How long the button is held already; None while it is up."""
    since_s: float = 0.0
    """When this view or entry was first shown."""


class Lcd:
    """The display's state: a level, a place in it, and the button."""

    def __init__(self, now_s: float, scroll_s: float = 10.0, hold_s: float = 6.0) -> None:
        """Begin with the first view of the automatic list."""
        self._scroll_s = scroll_s
        self._hold_s = hold_s
        self._lists: dict[Level, tuple[str, ...]] = {Level.AUTOMATIC: (), Level.MANUAL: ()}
        self._has_profile = False
        self._level = Level.AUTOMATIC
        self._key: str | None = None
        self._back = 0
        self._since_s = now_s
        self._down_s: float | None = None
        self._pushed_s: float | None = None
        """When the button last moved; None while nobody has pushed for `IDLE_S`."""

    def offer(self, automatic: Sequence[str], manual: Sequence[str], *, profile: bool) -> None:
        """Take the views that there are now. One that is gone gives way to its list's first."""
        self._lists = {Level.AUTOMATIC: tuple(automatic), Level.MANUAL: tuple(manual)}
        self._has_profile = profile
        if not self._is_there(self._level):
            self._level, self._key = Level.AUTOMATIC, None
        if self._level is not Level.PROFILE and self._key not in self._lists[self._level]:
            views = self._lists[self._level]
            self._key = views[0] if views else None

    def press(self, now_s: float) -> None:
        """The button went down; nothing where it is down already."""
        if self._down_s is None:
            self.advance(now_s)
            self._down_s = self._pushed_s = now_s

    def release(self, now_s: float) -> Push | None:
        """The button went up. Return how long the push was, None where it was not down."""
        if self._down_s is None:
            return None
        push = self._length(now_s - self._down_s)
        self._down_s, self._pushed_s = None, now_s
        if push is Push.SHORT:
            self._next(now_s)
        elif push is Push.MEDIUM:
            self._enter(now_s)
        return push

    def abandon(self, now_s: float) -> None:
        """The button is let go and nothing is meant by it: whoever held it has vanished."""
        if self._down_s is not None:
            self._down_s, self._pushed_s = None, now_s

    def advance(self, now_s: float) -> None:
        """Let time pass: back to the beginning after two minutes, and on by itself."""
        if self._down_s is not None:
            return
        if self._pushed_s is not None:
            if now_s - self._pushed_s < IDLE_S:
                return
            begun_s = self._pushed_s + IDLE_S
            self._pushed_s = None
            self._begin(Level.AUTOMATIC, begun_s)
        steps = int((now_s - self._since_s) // self._scroll_s)
        if steps <= 0:
            return
        views = self._lists[Level.AUTOMATIC]
        if views:
            here = views.index(self._key) if self._key in views else -1
            self._key = views[(here + steps) % len(views)]
        self._since_s += steps * self._scroll_s

    def no_such_entry(self, now_s: float) -> None:
        """The profile has no entry so far back: the newest comes again."""
        if self._back:
            self._back, self._since_s = 0, now_s

    def shown(self, now_s: float) -> Shown:
        """Return what is to be drawn."""
        held = None if self._down_s is None else self._length(now_s - self._down_s)
        key = None if self._level is Level.PROFILE else self._key
        return Shown(self._level, key, self._back, held, self._since_s)

    def _length(self, held_s: float) -> Push:
        if held_s >= self._hold_s:
            return Push.LONG
        return Push.MEDIUM if held_s >= MEDIUM_S else Push.SHORT

    def _next(self, now_s: float) -> None:
        self._since_s = now_s
        if self._level is Level.PROFILE:
            self._back += 1
            return
        views = self._lists[self._level]
        if views:
            here = views.index(self._key) if self._key in views else -1
            self._key = views[(here + 1) % len(views)]

    def _enter(self, now_s: float) -> None:
        levels = list(Level)
        here = levels.index(self._level)
        following = levels[here + 1 :] + levels[: here + 1]
        self._begin(next(level for level in following if self._is_there(level)), now_s)

    def _begin(self, level: Level, now_s: float) -> None:
        views = self._lists.get(level, ())
        self._level, self._key = level, views[0] if views else None
        self._back, self._since_s = 0, now_s

    def _is_there(self, level: Level) -> bool:
        if level is Level.AUTOMATIC:
            return True
        return self._has_profile if level is Level.PROFILE else bool(self._lists[level])
