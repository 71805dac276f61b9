"""Instantaneous quantities over time: what interval means are made of, summed once for all.

Profiles and the average registers take differences of these sums, so that a step costs the same
however many of them are captured. Must not know who asks, nor for which interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meter_node.channel.registers import BY_KEY, PHASES
from meter_node.meter.local_time import LocalTime
from meter_node.meter.snapshot import NANO
from meter_node.meter.step import Step
from meter_node.meter.windows import Windows, check_interval

AVERAGE_INTERVALS_MIN = (5, 10, 15, 20, 30, 60)
SECONDS_PER_HOUR = 3600
_MICRO = 1_000_000

# What is summed for a phase, in this order. The powers are those of their energies, so that a mean
# power and what its register has moved by agree to the last unit.
_VOLTAGE, _CURRENT, _APPARENT, _IMPORT, _EXPORT, _IMPORT_REACTIVE, _EXPORT_REACTIVE = range(7)
_SUM_OF = {
    "voltage": _VOLTAGE,
    "current": _CURRENT,
    "apparent_power": _APPARENT,
    "import_active_power": _IMPORT,
    "export_active_power": _EXPORT,
    "import_reactive_power": _IMPORT_REACTIVE,
    "export_reactive_power": _EXPORT_REACTIVE,
}
_WITHOUT_TOTAL = ("voltage", "current")


class Integrals:
    """Sums over measured time, each step weighted by its whole seconds; they only ever grow.

    A step's share is where it starts. A stream's fragment of no whole second adds its energy (and
    so its share of a mean power), but nothing to voltages and currents.
    """

    __slots__ = ("_parts", "_sums", "measured_s")

    def __init__(self, phases: int, kept: Mapping[str, Any] | None = None) -> None:
        """Begin at zero, or go on from a `state` of a meter with as many phases."""
        # µV·s, µA·s, µVA·s; nWh and nvarh: they fit 64 bits for decades.
        self._sums: list[list[int]] = [[0] * len(_SUM_OF) for _ in range(phases)]
        self.measured_s = 0
        if kept is not None:
            self.measured_s = kept["measured_s"]
            for sums, before in zip(self._sums, kept["sums"], strict=True):
                sums[:] = before
        self._parts: dict[str, tuple[int, tuple[int, ...]]] = {}
        for name, place in _SUM_OF.items():
            for phase in range(phases):
                self._parts[f"{name}_l{PHASES[phase]}"] = place, (phase,)
            if name not in _WITHOUT_TOTAL:
                self._parts[name] = place, tuple(range(phases))

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {"measured_s": self.measured_s, "sums": [list(sums) for sums in self._sums]}

    def __contains__(self, key: str) -> bool:
        """Whether the register is a quantity that has means: U, I, P, Q or S."""
        return key in self._parts

    def advance(self, step: Step) -> None:
        """Add one step."""
        seconds = step.end_s - step.start_s
        self.measured_s += seconds
        weight = seconds * _MICRO
        for sums, phase in zip(self._sums, step.measurement.phases, strict=True):
            sums[_VOLTAGE] += int(phase.voltage_v * weight + 0.5)
            sums[_CURRENT] += int(phase.current_a * weight + 0.5)
            sums[_APPARENT] += int(phase.apparent_power_va * weight + 0.5)
            energy = phase.active_energy_nwh
            if energy >= 0:
                sums[_IMPORT] += energy
            else:
                sums[_EXPORT] -= energy
            energy = phase.reactive_energy_nvarh
            if energy >= 0:
                sums[_IMPORT_REACTIVE] += energy
            else:
                sums[_EXPORT_REACTIVE] -= energy

    def of(self, key: str) -> int:
        """The sum of one register, in 10^-9 of its unit times seconds. Raises KeyError."""
        place, phases = self._parts[key]
        total = 0
        for phase in phases:
            total += self._sums[phase][place]
        return total * (1000 if place <= _APPARENT else SECONDS_PER_HOUR)


def mean_raw(key: str, integral: int, seconds: int) -> int | None:
    """A mean in units of the register's scaler, from a difference of `Integrals.of`; half up.

    None where no whole second was measured.
    """
    if seconds <= 0:
        return None
    divisor = seconds * NANO
    # Of no quantity that has means is the scaler above 0.
    integral *= 10 ** -BY_KEY[key].quantity.scaler
    return (2 * integral + divisor) // (2 * divisor)


class Averages:
    """The registers {32,52,72}.24.0 and {31,51,71}.24.0: means of the last whole interval.

    An interval of which a part was dark, or which a step of the clock cut, changes nothing.
    """

    __slots__ = ("_base", "_base_s", "_integrals", "_keys", "_values", "_windows", "time_s")

    def __init__(
        self,
        interval_min: int,
        phases: int,
        local: LocalTime,
        integrals: Integrals,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin anew, or go on from a `state`; under another interval the running one is dropped.

        Raises ValueError for an interval that is not possible.
        """
        check_interval(interval_min, AVERAGE_INTERVALS_MIN)
        self._integrals = integrals
        self._keys = tuple(
            f"{quantity}_l{phase}" for quantity in _WITHOUT_TOTAL for phase in PHASES[:phases]
        )
        self._values: dict[str, int | None] = {
            key.replace("_l", "_average_l"): None for key in self._keys
        }
        self.time_s: int | None = None
        """The end of the interval that is shown (UTC); None before the first."""
        self._windows = Windows(interval_min, local)
        self._take_base()
        if kept is None:
            return
        self._values |= {key: kept["values"].get(key) for key in self._values}
        self.time_s = kept["time_s"]
        if kept["interval_min"] == interval_min:
            self._windows = Windows(interval_min, local, kept["windows"])
            self._base_s = kept["base_s"]
            self._base = tuple(kept["base"])

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "interval_min": self._windows.interval_s // 60,
            "values": dict(self._values),
            "time_s": self.time_s,
            "windows": self._windows.state(),
            "base_s": self._base_s,
            "base": list(self._base),
        }

    @property
    def values(self) -> Mapping[str, int | None]:
        """`voltage_average_l1` in 0.01 V, `current_average_l1` in mA; None before the first."""
        return self._values

    def resume(self, start_s: int) -> None:
        """Power is back: to be called before `Integrals` has the step that begins then."""
        if self._windows.resume(start_s):
            self._take_base()

    def advance(self, step: Step) -> None:
        """Go on by a step that `Integrals` has."""
        if not self._windows.follows(step):
            self.resume(step.start_s)
        for window in self._windows.advance(step):
            seconds = self._integrals.measured_s - self._base_s
            if seconds and self._windows.is_whole(window):
                for key, shown, base in zip(self._keys, self._values, self._base, strict=True):
                    self._values[shown] = mean_raw(key, self._integrals.of(key) - base, seconds)
                self.time_s = window.end_s
            self._take_base()

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """The clock was set: the running interval is cut and gives no mean."""
        self._windows.clock_changed(old_s, new_s)
        self._take_base()

    def _take_base(self) -> None:
        self._base_s = self._integrals.measured_s
        self._base = tuple(self._integrals.of(key) for key in self._keys)
