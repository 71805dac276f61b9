"""What a sensor shows of a register that once went back, at any moment that is still kept.

A total stands still from where its register fell, and goes on from there once its user takes the
register as it is. Whoever reads the past must show each moment as it was shown, or the fall would
be taken for consumption. Must not know Home Assistant, a clock or a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from .channel.reading import scaled
from .history.hours import HOUR_S, rolled_over

STEPS_KEPT = 16
"""Of one register: whoever makes it fall again and again must not fill the store."""


class Step(NamedTuple):
    """A register that went elsewhere at once, and what is shown since; energies in Wh."""

    last_s: int
    """When it was seen for the last time as before (UTC seconds, by the meter's clock)."""
    first_s: int
    """When it was first seen as after."""
    from_wh: float
    to_wh: float
    before_wh: float
    """What was added to it until then."""
    base_wh: float
    """What is added to it since."""
    shown_wh: float
    """The total at the step: no less is shown since."""

    def is_past(self, at_s: int, register_wh: float) -> bool:
        """Whether a register that stood so at a moment had made the step.

        In the time in which nobody saw it, it had where it is nearer to the end than to the begin.
        A fall is told for sure by that: a register only rises on either side of it.
        """
        if at_s >= self.first_s or at_s <= self.last_s:
            return at_s >= self.first_s
        return abs(register_wh - self.to_wh) < abs(register_wh - self.from_wh)


type Steps = Sequence[Sequence[float]]
"""As a store keeps them, the oldest first: each the fields of a ``Step``."""


def shown_wh(steps: Steps, base_wh: float, at_s: int, register_wh: float) -> float:
    """Return what was shown at a moment (UTC seconds) of a register (Wh) that stood so then.

    ``base_wh``: what is added to one that never went back. Nobody has shown what it went on by
    between when it was last seen and a step: the total at the step tells nothing of it.
    """
    floor_wh, most_wh = 0.0, inf
    for number, step in enumerate(map(_step, steps)):
        if number == 0:
            base_wh = step.before_wh
        if step.is_past(at_s, register_wh):
            base_wh, floor_wh = step.base_wh, step.shown_wh
        elif at_s > step.last_s:
            most_wh = min(most_wh, step.shown_wh)
    value = register_wh + base_wh
    return value if rolled_over(floor_wh, value) else min(max(value, floor_wh), most_wh)


def with_fall(steps: Steps, step: Step) -> list[list[float]]:
    """Note a fall whose total is held from now on; the same one is noted once, over a restart too.

    A register that falls still lower while its total is held makes another step: in between it may
    have stood higher than where its user takes it up.
    """
    if steps and (last := _step(steps[-1])).shown_wh == step.shown_wh:
        is_held = step.from_wh + step.before_wh < step.shown_wh
        if step.to_wh >= (step.from_wh if is_held else last.to_wh):
            return [[*one] for one in steps]
    return with_step(steps, step)


def with_step(steps: Steps, step: Step) -> list[list[float]]:
    """Note any step."""
    return [*([*one] for one in steps), [*step]][-STEPS_KEPT:]


def with_base(steps: Steps, base_wh: float) -> list[list[float]]:
    """Note that what is shown goes on since the last step, with that added to the register."""
    *earlier, last = map(_step, steps)
    return [[*one] for one in (*earlier, last._replace(base_wh=base_wh))]


def without_brief(steps: Steps, at_s: int) -> list[list[float]]:
    """Forget falls that were made good by now and in which no hour struck: a frame that came late.

    Nothing was filled meanwhile, so nothing has to be gone on from.
    """
    kept = [*map(_step, steps)]
    while kept and kept[-1].base_wh == kept[-1].before_wh and _same_hour(kept[-1].first_s, at_s):
        kept.pop()
    return [[*one] for one in kept]


def undated(base_wh: float, fell: Sequence[float], hour_s: int) -> list[list[float]]:
    """Return the step of a base of which an earlier version kept no moment.

    What is filled since the last hour (UTC seconds) that was filled has it, and nothing older.
    ``fell``: from where, to where, the base before; empty where that is not known either.
    """
    from_wh, to_wh, before_wh = fell or (0.0, 0.0, 0.0)
    return [[*Step(hour_s, hour_s, from_wh, to_wh, before_wh, base_wh, 0.0)]]


def rescaled(steps: Steps, exponent: int) -> list[list[float]]:
    """Return them multiplied by a power of ten."""
    return [[*one[:2], *(scaled(wh, exponent) for wh in one[2:])] for one in steps]


def _same_hour(one_s: float, other_s: float) -> bool:
    return one_s // HOUR_S == other_s // HOUR_S


def _step(kept: Sequence[float]) -> Step:
    last_s, first_s, *energies_wh = kept
    from_wh, to_wh, before_wh, base_wh, shown = energies_wh
    return Step(int(last_s), int(first_s), from_wh, to_wh, before_wh, base_wh, shown)
