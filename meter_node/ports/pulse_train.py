"""S0 pulses: committed energy as pulses, evenly over time, every remainder kept.

Must not know a clock, an output or which register it follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

NWH_PER_KWH = 10**12
NS_PER_MS = 10**6
NS_PER_HOUR = 3600 * 10**9
PAUSE_MS = 30
"""DIN 43864 and IEC 62053-31: a pulse lasts 30 ms at least, and so does the pause after it."""
LEAST_CONSTANT, LARGEST_CONSTANT = 100, 1000
REFERENCE_VOLTAGE_V = 230
HIGHEST_VOLTAGE_PERCENT = 115


class PulseConstantError(ValueError):
    """A meter constant that cannot be had; the text says which can."""


@dataclass(frozen=True, slots=True)
class PulseSettings:
    """Meter constant in pulses a kWh (or kvarh), and length of a pulse: 30 or 80 ms.

    Raises PulseConstantError for a constant outside 100…1000, ValueError for another length.
    """

    constant: int = 1000
    pulse_ms: Literal[30, 80] = 30

    def __post_init__(self) -> None:
        """Check against DIN 43864's lengths and the range of constants."""
        if self.pulse_ms not in (30, 80):
            raise ValueError(f"a pulse lasts 30 or 80 ms, not {self.pulse_ms} ms")
        if not LEAST_CONSTANT <= self.constant <= LARGEST_CONSTANT:
            raise PulseConstantError(
                f"a constant of {self.constant} imp/kWh; possible are {LEAST_CONSTANT} to "
                f"{LARGEST_CONSTANT}"
            )

    @property
    def period_ns(self) -> int:
        """From the start of a pulse to the earliest start of the next."""
        return (self.pulse_ms + PAUSE_MS) * NS_PER_MS

    def largest_constant(self, phases: int, maximum_current_a: int) -> int:
        """Return the largest constant that pulses of this length can carry in a meter's range.

        The most that a range can draw is 1.15 times the reference voltage at the maximum current
        in all phases: the voltage at which IEC 62053-21 still limits errors.
        """
        # constant · kW pulses an hour, each of one period
        highest_w = _highest_w(phases, maximum_current_a)
        return min(NS_PER_HOUR * 1000 // (self.period_ns * highest_w), LARGEST_CONSTANT)

    def check(self, phases: int, maximum_current_a: int) -> None:
        """Raise PulseConstantError where the meter's range can outrun the pulses."""
        largest = self.largest_constant(phases, maximum_current_a)
        if self.constant > largest:
            raise PulseConstantError(
                f"a constant of {self.constant} imp/kWh with pulses of {self.pulse_ms} ms carries "
                f"{NS_PER_HOUR / self.period_ns / self.constant:.1f} kW, but {phases} × "
                f"{maximum_current_a} A at 1.15 × {REFERENCE_VOLTAGE_V} V are "
                f"{_highest_w(phases, maximum_current_a) / 1000:.1f} kW; at most {largest} imp/kWh"
                + (", or more with pulses of 30 ms" if self.pulse_ms > 30 else "")
            )


def _highest_w(phases: int, maximum_current_a: int) -> int:
    per_phase = REFERENCE_VOLTAGE_V * HIGHEST_VOLTAGE_PERCENT * maximum_current_a
    return per_phase * phases // 100


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse: on from `on_ns` to `off_ns`, on the time scale of whoever asked."""

    on_ns: int
    off_ns: int


class PulseOutput:
    """Turns energy into pulses. What is not yet sent is kept, down to parts of a pulse."""

    __slots__ = ("_end_ns", "_free_ns", "_queued", "_rest", "_settings")

    def __init__(self, settings: PulseSettings) -> None:
        self._settings = settings
        self._queued = 0
        self._rest = 0  # nWh times the constant, less than NWH_PER_KWH: parts of one pulse
        self._end_ns: int | None = None
        self._free_ns = 0

    @classmethod
    def from_backlog(cls, settings: PulseSettings, backlog: Mapping[str, int]) -> Self:
        """Go on from what `backlog` gave before a restart. Raises ValueError where it can't be one.

        Under another constant the pulses that still wait are sent as they are: their energy was
        counted under the old one. Parts of a pulse are carried over as energy.
        """
        queued, rest = backlog["queued"], backlog["rest"]
        constant = backlog["constant"]
        if queued < 0 or not 0 <= rest < NWH_PER_KWH or constant <= 0:
            raise ValueError(f"not a backlog of pulses: {dict(backlog)}")
        output = cls(settings)
        output._queued = queued
        more, output._rest = divmod(rest * settings.constant // constant, NWH_PER_KWH)
        output._queued += more
        return output

    @property
    def backlog(self) -> dict[str, int]:
        """What has to outlive a power cut: pulses that wait, and parts of one."""
        return {"queued": self._queued, "rest": self._rest, "constant": self._settings.constant}

    def release(self, energy_nwh: int, start_ns: int, end_ns: int) -> tuple[Pulse, ...]:
        """Return the pulses of [start, end) for what was committed: new energy and what waited.

        Starts are spread evenly, a period apart at least, also from the last pulse of the interval
        before; what does not fit waits. The time scale must not go back (take a monotonic clock's):
        ValueError, as for negative energy. After a restart the first pulse comes a period late, for
        the last one before may have been cut short.
        """
        period_ns = self._settings.period_ns
        if energy_nwh < 0:
            raise ValueError(f"{energy_nwh} nWh: a register that pulses never goes back")
        if end_ns < start_ns or (self._end_ns is not None and start_ns < self._end_ns):
            raise ValueError(f"time goes back: {start_ns}…{end_ns} ns after {self._end_ns} ns")
        if self._end_ns is None:
            self._free_ns = start_ns + period_ns
        self._end_ns = end_ns
        more, self._rest = divmod(self._rest + energy_nwh * self._settings.constant, NWH_PER_KWH)
        self._queued += more
        first_ns = max(start_ns, self._free_ns)
        room_ns = max(end_ns - first_ns, 0)
        count = min(self._queued, -(-room_ns // period_ns))
        if not count:
            return ()
        step_ns = max(room_ns // count, period_ns)
        starts = [first_ns + number * step_ns for number in range(count)]
        self._queued -= count
        self._free_ns = starts[-1] + period_ns
        return tuple(Pulse(on, on + self._settings.pulse_ms * NS_PER_MS) for on in starts)
