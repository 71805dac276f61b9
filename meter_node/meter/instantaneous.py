"""Instantaneous registers: from where in a measurement each of them is shown.

Must not know scalers, energies, or what a register is kept as.
"""

from __future__ import annotations

from collections.abc import Callable

from meter_node.channel.registers import PHASES
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

type Shown = Callable[[Measurement], float | None]
"""Gives a quantity in its unit, None where it has no value now."""

_OF_PHASE: dict[str, Callable[[PhaseMeasurement], float | None]] = {
    "import_active_power": lambda phase: max(phase.active_power_w, 0.0),
    "export_active_power": lambda phase: max(-phase.active_power_w, 0.0),
    "import_reactive_power": lambda phase: max(phase.reactive_power_var, 0.0),
    "export_reactive_power": lambda phase: max(-phase.reactive_power_var, 0.0),
    "apparent_power": lambda phase: phase.apparent_power_va,
    "voltage": lambda phase: phase.voltage_v,
    "current": lambda phase: phase.current_a,
    "power_factor": lambda phase: phase.power_factor,
    "voltage_thd": lambda phase: phase.voltage_thd_percent,
    "current_thd": lambda phase: phase.current_thd_percent,
}

_SUMMED = (
    "import_active_power",
    "export_active_power",
    "import_reactive_power",
    "export_reactive_power",
    "apparent_power",
)
"""Totals that are sums over the phases, as their energies are: import and export are not netted."""

_OF_METER: dict[str, Shown] = {
    "power_factor": lambda second: second.power_factor,
    "frequency": lambda second: second.frequency_hz,
    "neutral_current": lambda second: second.neutral_current_a,
}


def sources(phases: int) -> dict[str, Shown]:
    """Return the registers of a meter with so many phases, by key."""
    found = dict(_OF_METER)
    if phases == 1:
        del found["neutral_current"]  # the same as the phase's
    for name, shown in _OF_PHASE.items():
        for phase in PHASES[:phases]:
            found[f"{name}_l{phase}"] = _of_phase(shown, phase - 1)
        if name in _SUMMED:
            found[name] = _summed(shown)
    return found


def _of_phase(shown: Callable[[PhaseMeasurement], float | None], index: int) -> Shown:
    return lambda second: shown(second.phases[index])


def _summed(shown: Callable[[PhaseMeasurement], float | None]) -> Shown:
    return lambda second: sum(shown(phase) or 0.0 for phase in second.phases)
