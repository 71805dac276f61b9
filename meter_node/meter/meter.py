"""One meter: books measured energy to its registers, exactly and without netting phases.

Must not know a clock, a store or a port. Totals are sums of what the phases were booked, so that
they agree to the last nanowatt-hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meter_node.channel.registers import QUANTITIES, TIME_INTEGRAL, registers_of
from meter_node.meter.snapshot import ROLLOVER_NWH, Snapshot
from meter_node.meter.variant import Variant
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

BOOKED: dict[str, Callable[[PhaseMeasurement], int]] = {
    "import_active_energy": lambda phase: phase.import_active_energy_nwh,
    "export_active_energy": lambda phase: phase.export_active_energy_nwh,
    "import_reactive_energy": lambda phase: phase.import_reactive_energy_nvarh,
    "export_reactive_energy": lambda phase: phase.export_reactive_energy_nvarh,
    "reactive_energy_q1": lambda phase: phase.reactive_energy_q1_nvarh,
    "reactive_energy_q2": lambda phase: phase.reactive_energy_q2_nvarh,
    "reactive_energy_q3": lambda phase: phase.reactive_energy_q3_nvarh,
    "reactive_energy_q4": lambda phase: phase.reactive_energy_q4_nvarh,
}
"""What each energy quantity is booked from, a phase and a second at a time."""

_SHOWN: dict[str, Callable[[PhaseMeasurement], float]] = {
    "import_active_power": lambda phase: max(phase.active_power_w, 0.0),
    "export_active_power": lambda phase: max(-phase.active_power_w, 0.0),
    "import_reactive_power": lambda phase: max(phase.reactive_power_var, 0.0),
    "export_reactive_power": lambda phase: max(-phase.reactive_power_var, 0.0),
    "apparent_power": lambda phase: phase.apparent_power_va,
    "voltage": lambda phase: phase.voltage_v,
    "current": lambda phase: phase.current_a,
    "power_factor": lambda phase: phase.power_factor,
}
"""What each instantaneous quantity of a phase is shown from."""

_SUMMED = (
    "import_active_power",
    "export_active_power",
    "import_reactive_power",
    "export_reactive_power",
    "apparent_power",
)
"""Totals that are sums over the phases, as their energies are: import and export are not netted."""


class Meter:
    """The meter's state and its one step, ``advance``."""

    def __init__(self, variant: Variant, kept: Mapping[str, int] | None = None) -> None:
        """Start from nothing, or from the energies (nWh, nvarh) that a store kept."""
        self.variant = variant
        self._energies: dict[str, int] = {
            register.key: 0 for register in registers_of(variant.phases) if register.is_energy
        }
        for key, energy in (kept or {}).items():
            if key in self._energies:
                self._energies[key] = energy
        self._instantaneous: dict[str, float] = {}
        self._time_ns = 0

    def advance(self, measurement: Measurement) -> None:
        """Book one measurement. Raises ValueError when its phases are not the variant's."""
        if len(measurement.phases) != self.variant.phases:
            raise ValueError(
                f"a measurement of {len(measurement.phases)} phases for a meter of "
                f"{self.variant.phases}"
            )
        for quantity in QUANTITIES:
            if quantity.d != TIME_INTEGRAL:
                continue
            booked = BOOKED[quantity.name]
            total = 0
            for number, phase in enumerate(measurement.phases, start=1):
                energy = booked(phase)
                if energy:
                    total += energy
                    self._book(f"{quantity.name}_l{number}", energy)
            if total:
                self._book(quantity.name, total)
        self._instantaneous = _instantaneous(measurement)
        self._time_ns = measurement.end_ns

    def snapshot(self) -> Snapshot:
        """Return the meter as it stands."""
        return Snapshot(self._time_ns, dict(self._energies), self._instantaneous)

    def _book(self, key: str, energy: int) -> None:
        if energy < 0:
            raise ValueError(f"{key}: {energy} nWh would turn a register back")
        self._energies[key] = (self._energies[key] + energy) % ROLLOVER_NWH


def _instantaneous(measurement: Measurement) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, shown in _SHOWN.items():
        for number, phase in enumerate(measurement.phases, start=1):
            values[f"{name}_l{number}"] = shown(phase)
    for name in _SUMMED:
        values[name] = sum(values[f"{name}_l{n}"] for n in range(1, len(measurement.phases) + 1))
    values["power_factor"] = measurement.power_factor
    if measurement.frequency_hz is not None:
        values["frequency"] = measurement.frequency_hz
    return values
