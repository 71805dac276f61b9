"""Chance that can be looked up at any instant, in any order. Knows nothing of what it is for."""

from functools import lru_cache

_MASK = (1 << 64) - 1


def uniform(seed: int, stream: int, slot: int) -> float:
    """A number in [0, 1) that belongs to this slot of this stream and to no other.

    Mixed by the finaliser of SplitMix64 (Steele, Lea, Flood 2014), once for the key, once for the
    slot.
    """
    return (_mix(_key(seed, stream) + slot) >> 11) / (1 << 53)


def wander(seed: int, stream: int, time_s: float, period_s: float) -> float:
    """A curve within −1…1 without jumps or kinks: one random knot every `period_s`."""
    slot, place = divmod(time_s / period_s, 1.0)
    knot = int(slot)
    here = uniform(seed, stream, knot)
    there = uniform(seed, stream, knot + 1)
    return 2 * (here + (there - here) * place * place * (3 - 2 * place)) - 1


@lru_cache(maxsize=1024)
def _key(seed: int, stream: int) -> int:
    return _mix(seed * 0x10001 + stream)


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
