"""One second of quantities, phase by phase. Knows nothing of samples, registers or tariffs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhaseMeasurement:
    """One phase over one second.

    Import is positive. `reactive_power_var` is that of the fundamental, positive where the current
    lags (IEC 62053-24). `power_factor` is P/S with the sign of P, 1.0 without load. Energies are
    exact integers of this second; their remainders stay in the engine. Direction and quadrant are
    decided here, for this phase and this second: nothing is netted between phases.
    """

    voltage_v: float
    current_a: float
    active_power_w: float
    reactive_power_var: float
    apparent_power_va: float
    power_factor: float
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
class Measurement:
    """All phases over one second, or over the part of one that was seen (`complete` False).

    Times are UTC in ns. `frequency_hz` is None where no phase had a voltage to measure it by.
    Energy totals add the phases' directions and quadrants (the maker's "individual" summation).
    """

    start_ns: int
    end_ns: int
    frequency_hz: float | None
    phases: tuple[PhaseMeasurement, ...]
    complete: bool = True

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
