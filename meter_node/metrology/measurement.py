"""One second of quantities, phase by phase. Knows nothing of samples, registers or tariffs."""

import cmath
import math
from dataclasses import dataclass

from .polyphase import PhaseOrder, Unbalance, largest_deviation, phase_order, unbalance

# A fundamental below this has no angle worth telling.
LEAST_VOLTAGE_V = 20.0


class Directions:
    """Which registers a signed pair of energies feeds: directions and the four quadrants.

    Import is positive, inductive reactive energy is positive (IEC 62053-23, annex C). Without
    active energy, reactive energy counts as at import.
    """

    __slots__ = ()

    active_energy_nwh: int
    reactive_energy_nvarh: int

    @property
    def import_active_energy_nwh(self) -> int:
        """Drawn from the grid."""
        return max(self.active_energy_nwh, 0)

    @property
    def export_active_energy_nwh(self) -> int:
        """Fed into the grid."""
        return max(-self.active_energy_nwh, 0)

    @property
    def import_reactive_energy_nvarh(self) -> int:
        """Inductive (R+): quadrants 1 and 2."""
        return max(self.reactive_energy_nvarh, 0)

    @property
    def export_reactive_energy_nvarh(self) -> int:
        """Capacitive (R−): quadrants 3 and 4."""
        return max(-self.reactive_energy_nvarh, 0)

    @property
    def reactive_energy_q1_nvarh(self) -> int:
        """Import of active, import of reactive energy. Without active energy: as at import."""
        return self.import_reactive_energy_nvarh if self.active_energy_nwh >= 0 else 0

    @property
    def reactive_energy_q2_nvarh(self) -> int:
        """Export of active, import of reactive energy."""
        return self.import_reactive_energy_nvarh if self.active_energy_nwh < 0 else 0

    @property
    def reactive_energy_q3_nvarh(self) -> int:
        """Export of active, export of reactive energy."""
        return self.export_reactive_energy_nvarh if self.active_energy_nwh < 0 else 0

    @property
    def reactive_energy_q4_nvarh(self) -> int:
        """Import of active, export of reactive energy. Without active energy: as at import."""
        return self.export_reactive_energy_nvarh if self.active_energy_nwh >= 0 else 0


@dataclass(frozen=True, slots=True)
class VectorEnergy(Directions):
    """Energy of all phases together, direction and quadrant decided on their sum."""

    active_energy_nwh: int
    reactive_energy_nvarh: int


@dataclass(frozen=True, slots=True)
class PhaseMeasurement(Directions):
    """One phase over one second.

    Import is positive. `reactive_power_var` is that of the fundamental, positive where the current
    lags (IEC 62053-24). `power_factor` is P/S with the sign of P, 1.0 without load. Energies are
    exact integers of this second; their remainders stay in the engine. Direction and quadrant are
    decided here, for this phase and this second: nothing is netted between phases.

    `voltage_phasor_v`, `current_phasor_a`: the fundamental, RMS, its angle counted from the voltage
    of L1 (of the first phase that has one, where L1 has none). `voltage_harmonics_v`,
    `current_harmonics_a`: RMS of order 1 (the fundamental), 2, 3 … to the 40th or to 0.45 of the
    sampling rate, over stretches of some 200 ms (IEC 61000-4-7). `half_cycle_voltages_v`: RMS over
    one cycle, refreshed each half cycle (IEC 61000-4-30), at `Measurement.half_cycle_ends_ns`.
    `voltage_range_v`: the lowest and highest of these, None where there are none.
    `clipped`: a converter stood at the end of its range, so that the values are too small.
    """

    voltage_v: float
    current_a: float
    active_power_w: float
    reactive_power_var: float
    apparent_power_va: float
    power_factor: float
    active_energy_nwh: int
    reactive_energy_nvarh: int
    voltage_phasor_v: complex = 0j
    current_phasor_a: complex = 0j
    voltage_harmonics_v: tuple[float, ...] = ()
    current_harmonics_a: tuple[float, ...] = ()
    half_cycle_voltages_v: tuple[float, ...] = ()
    voltage_range_v: tuple[float, float] | None = None
    clipped: bool = False

    @property
    def quadrant(self) -> int:
        """1 to 4 by the signs of P and Q; 1 without load."""
        if self.active_power_w >= 0:
            return 1 if self.reactive_power_var >= 0 else 4
        return 2 if self.reactive_power_var >= 0 else 3

    @property
    def voltage_angle_deg(self) -> float | None:
        """Of the fundamental from that of L1, −180…180; L2 is at −120. None without voltage."""
        if abs(self.voltage_phasor_v) < LEAST_VOLTAGE_V:
            return None
        return math.degrees(cmath.phase(self.voltage_phasor_v))

    @property
    def phase_angle_deg(self) -> float | None:
        """How far the current's fundamental lags its voltage's, −180…180; None without load."""
        apparent = self.voltage_phasor_v * self.current_phasor_a.conjugate()
        if not self.apparent_power_va or not apparent:
            return None
        return math.degrees(cmath.phase(apparent))

    @property
    def voltage_thd_percent(self) -> float | None:
        """All harmonics over the fundamental; None without voltage."""
        if self.voltage_v < LEAST_VOLTAGE_V:
            return None
        return _thd_percent(self.voltage_harmonics_v)

    @property
    def current_thd_percent(self) -> float | None:
        """All harmonics over the fundamental; None without load."""
        return _thd_percent(self.current_harmonics_a) if self.apparent_power_va else None

    @property
    def lowest_voltage_v(self) -> float:
        """The lowest RMS of a cycle within the second."""
        return self.voltage_range_v[0] if self.voltage_range_v else self.voltage_v

    @property
    def highest_voltage_v(self) -> float:
        """The highest RMS of a cycle within the second."""
        return self.voltage_range_v[1] if self.voltage_range_v else self.voltage_v


def _thd_percent(harmonics: tuple[float, ...]) -> float | None:
    if len(harmonics) < 2 or not harmonics[0]:
        return None
    return 100 * math.hypot(*harmonics[1:]) / harmonics[0]


@dataclass(frozen=True, slots=True)
class Measurement:
    """All phases over one second, or over the part of one that was seen (`complete` False).

    Times are UTC in ns. `frequency_hz` is None where no phase had a voltage to measure it by;
    `frequency_10s_hz` is that of the last ten seconds of the stream's grid, whole cycles over their
    time (IEC 61000-4-30), None where they were not unbroken. `neutral_current_a` is calculated: the
    RMS of the sum of the phase currents. Energy totals add the phases' directions and quadrants
    (the maker's "individual" summation); `vector_energy` decides on the sum.
    """

    start_ns: int
    end_ns: int
    frequency_hz: float | None
    phases: tuple[PhaseMeasurement, ...]
    complete: bool = True
    frequency_10s_hz: float | None = None
    neutral_current_a: float | None = None
    half_cycle_ends_ns: tuple[int, ...] = ()

    @property
    def clipped(self) -> bool:
        """Whether a converter of any phase stood at the end of its range."""
        return any(phase.clipped for phase in self.phases)

    @property
    def vector_energy(self) -> VectorEnergy:
        """What a vector-summing meter registers: phases netted, then direction and quadrant."""
        return VectorEnergy(self.active_energy_nwh, self.reactive_energy_nvarh)

    @property
    def phase_order(self) -> PhaseOrder | None:
        """In what order the voltages follow each other; None with fewer than two of them."""
        return phase_order([phase.voltage_phasor_v for phase in self.phases], LEAST_VOLTAGE_V)

    @property
    def voltage_unbalance(self) -> Unbalance | None:
        """By symmetrical components, per cent of the positive sequence; None but for 3 phases."""
        return unbalance([phase.voltage_phasor_v for phase in self.phases], LEAST_VOLTAGE_V)

    @property
    def current_unbalance(self) -> Unbalance | None:
        """By symmetrical components, per cent of the positive sequence; None but for 3 phases."""
        if not self.apparent_power_va:
            return None
        return unbalance([phase.current_phasor_a for phase in self.phases], 0.0)

    @property
    def voltage_deviation_percent(self) -> float | None:
        """The simple unbalance: the largest deviation from the phases' mean, over that mean."""
        return largest_deviation([phase.voltage_v for phase in self.phases])

    @property
    def current_deviation_percent(self) -> float | None:
        """The simple unbalance: the largest deviation from the phases' mean, over that mean."""
        if not self.apparent_power_va:
            return None
        return largest_deviation([phase.current_a for phase in self.phases])

    @property
    def active_power_w(self) -> float:
        """Import less export."""
        return sum(phase.active_power_w for phase in self.phases)

    @property
    def reactive_power_var(self) -> float:
        """Inductive less capacitive."""
        return sum(phase.reactive_power_var for phase in self.phases)

    @property
    def apparent_power_va(self) -> float:
        """The arithmetic sum of the phases' apparent powers."""
        return sum(phase.apparent_power_va for phase in self.phases)

    @property
    def power_factor(self) -> float:
        """P/S with the sign of P, 1.0 without load."""
        apparent_power_va = self.apparent_power_va
        return self.active_power_w / apparent_power_va if apparent_power_va else 1.0

    @property
    def active_energy_nwh(self) -> int:
        """Signed sum of the phases: what a vector-summing meter would register."""
        return sum(phase.active_energy_nwh for phase in self.phases)

    @property
    def reactive_energy_nvarh(self) -> int:
        """Signed sum of the phases: what a vector-summing meter would register."""
        return sum(phase.reactive_energy_nvarh for phase in self.phases)

    @property
    def import_active_energy_nwh(self) -> int:
        """Drawn from the grid."""
        return sum(phase.import_active_energy_nwh for phase in self.phases)

    @property
    def export_active_energy_nwh(self) -> int:
        """Fed into the grid."""
        return sum(phase.export_active_energy_nwh for phase in self.phases)

    @property
    def import_reactive_energy_nvarh(self) -> int:
        """Inductive (R+): quadrants 1 and 2."""
        return sum(phase.import_reactive_energy_nvarh for phase in self.phases)

    @property
    def export_reactive_energy_nvarh(self) -> int:
        """Capacitive (R−): quadrants 3 and 4."""
        return sum(phase.export_reactive_energy_nvarh for phase in self.phases)

    @property
    def reactive_energy_q1_nvarh(self) -> int:
        """Quadrant 1 of every phase."""
        return sum(phase.reactive_energy_q1_nvarh for phase in self.phases)

    @property
    def reactive_energy_q2_nvarh(self) -> int:
        """Quadrant 2 of every phase."""
        return sum(phase.reactive_energy_q2_nvarh for phase in self.phases)

    @property
    def reactive_energy_q3_nvarh(self) -> int:
        """Quadrant 3 of every phase."""
        return sum(phase.reactive_energy_q3_nvarh for phase in self.phases)

    @property
    def reactive_energy_q4_nvarh(self) -> int:
        """Quadrant 4 of every phase."""
        return sum(phase.reactive_energy_q4_nvarh for phase in self.phases)
