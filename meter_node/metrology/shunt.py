"""How much warmer a shunt is than its sensor: its own heating. Knows nothing of codes or energy."""

import math
from collections.abc import Callable

# Each round takes the error down by the heating's share of the current, a hundredth at most.
ROUNDS = 4


class ShuntHeat:
    """The rise of one shunt over its sensor, followed with one time constant.

    A load that stands heats it to `kelvin_per_a2` times the mean square of the current.
    """

    __slots__ = ("_kelvin_per_a2", "_rise_k", "_time_constant_s")

    def __init__(self, kelvin_per_a2: float, time_constant_s: float) -> None:
        self._kelvin_per_a2 = kelvin_per_a2
        self._time_constant_s = time_constant_s
        self._rise_k: float | None = None

    def rise_k(self, current_a_at: Callable[[float], float]) -> float:
        """At the beginning of a stretch, whose RMS current at a given rise `current_a_at` tells.

        Nothing is known of the time before the first stretch: its load is taken to have stood.
        """
        if self._rise_k is None:
            self._rise_k = 0.0
            for _ in range(ROUNDS if self._kelvin_per_a2 else 0):
                self._rise_k = self._kelvin_per_a2 * current_a_at(self._rise_k) ** 2
        return self._rise_k

    def follow(self, current_a: float, seconds: float) -> None:
        """A stretch at this RMS current has passed."""
        if self._rise_k is not None and self._kelvin_per_a2:
            final_k = self._kelvin_per_a2 * current_a**2
            self._rise_k += (self._rise_k - final_k) * math.expm1(-seconds / self._time_constant_s)
