"""Chance that can be looked up at any instant, in any order. Knows nothing of what it is for.

Asked for one instant or for an array of them, the answers are the same to the last bit.
"""

import math
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
# SplitMix64 (Steele, Lea, Flood 2014).
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

type Instants = NDArray[np.float64]


@overload
def uniform(seed: int, stream: int, slot: int) -> float: ...
@overload
def uniform(seed: int, stream: int, slot: NDArray[np.int64]) -> Instants: ...
def uniform(seed: int, stream: int, slot: int | NDArray[np.int64]) -> float | Instants:
    """A number in [0, 1) that belongs to this slot of this stream and to no other.

    Mixed by the finaliser of SplitMix64, once for the key, once for the slot.
    """
    key = _key(seed, stream)
    if isinstance(slot, np.ndarray):
        mixed = _mix_all(slot.astype(np.uint64) + np.uint64(key))
        return (mixed >> np.uint64(11)).astype(np.float64) / (1 << 53)
    return (_mix(key + slot) >> 11) / (1 << 53)


@overload
def wander(seed: int, stream: int, time_s: float, period_s: float) -> float: ...
@overload
def wander(seed: int, stream: int, time_s: Instants, period_s: float) -> Instants: ...
def wander(seed: int, stream: int, time_s: float | Instants, period_s: float) -> float | Instants:
    """A curve within −1…1 without jumps or kinks: one random knot every `period_s`."""
    if isinstance(time_s, np.ndarray):
        return _wander_all(seed, stream, time_s, period_s)
    slot, place = divmod(time_s / period_s, 1.0)
    knot = int(slot)
    here = uniform(seed, stream, knot)
    there = uniform(seed, stream, knot + 1)
    return 2 * (here + (there - here) * place * place * (3 - 2 * place)) - 1


@overload
def flicker(seed: int, stream: int, time_s: float, period_s: float) -> float: ...
@overload
def flicker(seed: int, stream: int, time_s: Instants, period_s: float) -> Instants: ...
def flicker(seed: int, stream: int, time_s: float | Instants, period_s: float) -> float | Instants:
    """A value within −1…1 that jumps every `period_s`."""
    if isinstance(time_s, np.ndarray):
        slots = np.floor(time_s / period_s).astype(np.int64)
        return 2 * uniform(seed, stream, slots) - 1
    return 2 * uniform(seed, stream, math.floor(time_s / period_s)) - 1


def _wander_all(seed: int, stream: int, time_s: Instants, period_s: float) -> Instants:
    """The same; instants lie closer than knots, so each knot is drawn once."""
    place = time_s / period_s
    slot = np.floor(place)
    place -= slot
    knot = slot.astype(np.int64)
    first, last = int(knot.min()), int(knot.max())
    knots = uniform(seed, stream, np.arange(first, last + 2))
    knot -= first
    here = knots[knot]
    steps = (knots[1:] - knots[:-1])[knot]
    return 2 * (here + steps * place * place * (3 - 2 * place)) - 1


@lru_cache(maxsize=1024)
def _key(seed: int, stream: int) -> int:
    return _mix(seed * 0x10001 + stream)


def _mix(value: int) -> int:
    value = (value + _STEP) & _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def _mix_all(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values += np.uint64(_STEP)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
    return values ^ (values >> np.uint64(31))
