"""What a sensor shows of a register that once went back, at any moment that is still kept.

A total stands still from where its register fell, and goes on from there once its user takes the
register as it is. Whoever reads the past must show each moment as it was shown, or the fall would
be taken for consumption. Must not know Home Assistant, a clock or a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .channel.reading import scaled
from .history.hours import HOUR_S, rolled_over

STEPS_KEPT = 16
"""Of one register: whoever makes it fall again and again must not fill the store."""


_MOST_W = 50_000
"""What no household takes for hours."""


class Step(NamedTuple):
    """A register that went elsewhere at once, and what is shown since; energies in Wh."""

    last_s: int
    """When it was seen for the last time as before (UTC seconds, by the meter's clock)."""
    first_s: int
    """When it was first seen as after."""
    to_wh: float
    """What it stood at then; once it is made good, where it was before."""
    before_wh: float
    """What was added to it until then."""
    base_wh: float
    """What is added to it since."""
    shown_wh: float
    """The total at the step: no less is shown since."""

    @property
    def is_taken(self) -> bool:
        """Whether the total goes on from there; else it is held."""
        return self.base_wh != self.before_wh

    @property
    def is_known(self) -> bool:
        """Whether more than its base is known: see ``undated``."""
        return self.shown_wh > 0

    def from_wh(self, earlier: Step | None) -> float:
        """Where the register stood before: where it had fallen to, if that was held."""
        is_lower = earlier is not None and not earlier.is_taken
        if earlier is not None and is_lower and earlier.shown_wh == self.shown_wh:
            return earlier.to_wh
        return self.shown_wh - self.before_wh

    def is_past(self, at_s: int, register_wh: float, from_wh: float) -> bool:
        """Whether it was over when a register stood so.

        By the reading's stamp, unless that can't be right: then its clock was wrong, as it may be
        just when a register falls.
        """
        if not self.is_known:
            return at_s >= self.first_s
        is_fall, is_low = self.to_wh < from_wh, register_wh < (from_wh + self.to_wh) / 2
        if self.last_s < at_s < self.first_s:
            return is_low == is_fall
        if at_s >= self.first_s:
            return True
        return is_fall and is_low and from_wh - register_wh > _most_wh(self.last_s - at_s)


type Steps = Sequence[Sequence[float]]
"""As a store keeps them, the oldest first: each the fields of a ``Step``."""


def shown_wh(steps: Steps, base_wh: float, at_s: int, register_wh: float) -> float:
    """Return what was shown at a moment (UTC seconds) of a register (Wh) that stood so then.

    ``base_wh``: what is added to one that never went back. Between when it was last seen before a
    step and the step, the total stood still, whatever the register did.
    """
    floor_wh = 0.0
    before: Step | None = None
    for step in map(_step, steps):
        base_wh = step.before_wh if before is None else base_wh
        if not step.is_past(at_s, register_wh, step.from_wh(before)):
            value = max(register_wh + base_wh, floor_wh)
            is_capped = step.is_known and not rolled_over(value, step.shown_wh)
            return min(value, step.shown_wh) if is_capped else value
        base_wh, floor_wh, before = step.base_wh, step.shown_wh, step
    value = register_wh + base_wh
    return value if rolled_over(floor_wh, value) else max(value, floor_wh)


def dated(at_s: int, known_s: int, now_s: int) -> int:
    """Return when something was seen that a frame says of a moment (all UTC seconds).

    The frame's clock may be wrong, just then: what it tells was not before what was seen or filled
    until ``known_s``, nor after it came.
    """
    return min(at_s, now_s) if at_s > known_s else now_s


def with_fall(steps: Steps, step: Step, held_wh: float | None) -> list[list[float]]:
    """Note a fall whose total is held from now on; the same one is noted once, over a restart too.

    A register that falls still lower while its total is held makes another step: in between it may
    have stood higher than where its user takes it up. ``held_wh``: where it stood last while its
    total was held, None where it is not yet.
    """
    last = _step(steps[-1]) if steps else None
    if last is None or last.is_taken or last.shown_wh != step.shown_wh:
        return with_step(steps, step)
    is_lower = step.to_wh < (last.to_wh if held_wh is None else held_wh)
    return with_step(steps, step) if is_lower else [[*one] for one in steps]


def with_step(steps: Steps, step: Step) -> list[list[float]]:
    """Note any step."""
    return [*([*one] for one in steps), [*step]][-STEPS_KEPT:]


def with_base(steps: Steps, base_wh: float) -> list[list[float]]:
    """Note that what is shown goes on since the last step, with that added to the register."""
    *earlier, last = map(_step, steps)
    return [[*one] for one in (*earlier, last._replace(base_wh=base_wh))]


def made_good(steps: Steps, at_s: int) -> list[list[float]]:
    """Note that a register is where it was, so that one that falls once more makes another step.

    A fall in which no hour struck (a frame that came late, say) is forgotten: nothing was filled
    meanwhile, so nothing has to be gone on from.
    """
    kept, hour = [*map(_step, steps)], at_s // HOUR_S
    while kept and not kept[-1].is_taken and kept[-1].last_s // HOUR_S == hour:
        kept.pop()
    if kept and not kept[-1].is_taken:
        kept[-1] = kept[-1]._replace(to_wh=kept[-1].shown_wh - kept[-1].base_wh)
    return [[*one] for one in kept]


def undated(
    base_wh: float, fall: Sequence[float], total_wh: float, hour_s: int, now_s: int
) -> list[list[float]]:
    """Return the step of a base of which an earlier version kept no moment.

    ``fall``: from where and to where its register fell, and its base then; empty where that is not
    known. It was after the last hour (UTC seconds) that was filled, or before it: readings since
    tell, while the register (``total_wh`` is shown) is not half way back to where it fell from.
    """
    if len(fall) == 3:
        from_wh, to_wh, before_wh = fall
        if total_wh - base_wh < (from_wh + to_wh) / 2:
            shown_wh = from_wh + before_wh
            return [[*Step(hour_s - 1, now_s, to_wh, before_wh, base_wh, shown_wh)]]
        return [[*Step(hour_s, hour_s, 0.0, before_wh, base_wh, 0.0)]]
    return [[*Step(hour_s, hour_s, 0.0, 0.0, base_wh, 0.0)]]


def _most_wh(seconds: int) -> float:
    """What a register goes on by at most in a time, and an hour."""
    return _MOST_W * (max(seconds, 0) / HOUR_S + 1)


def rescaled(steps: Steps, exponent: int) -> list[list[float]]:
    """Return them multiplied by a power of ten."""
    return [[*one[:2], *(scaled(wh, exponent) for wh in one[2:])] for one in steps]


def _step(kept: Sequence[float]) -> Step:
    last_s, first_s, to_wh, before_wh, base_wh, shown = kept
    return Step(int(last_s), int(first_s), to_wh, before_wh, base_wh, shown)
