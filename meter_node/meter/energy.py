"""Energy registers: what is measured, booked exactly to totals, phases, quadrants and tariffs.

Must not know a clock, a calendar or a store. Everything is integer nWh and nvarh, so that totals
are the sums of their parts to the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from meter_node.channel.registers import (
    BY_KEY,
    QUANTITIES,
    TARIFFS,
    TIME_INTEGRAL,
    registers_of,
)
from meter_node.meter.snapshot import ROLLOVER_NWH
from meter_node.metrology.measurement import Directions, Measurement, VectorEnergy

type Summation = Literal["individual", "vector"]
"""What feeds 1.8.0 and all that derives from it: the phases' own energies added up (the maker's
way), or their signed sum, direction and quadrant decided on that."""

BOOKED: dict[str, Callable[[Directions], int]] = {
    "import_active_energy": lambda it: it.import_active_energy_nwh,
    "export_active_energy": lambda it: it.export_active_energy_nwh,
    "import_reactive_energy": lambda it: it.import_reactive_energy_nvarh,
    "export_reactive_energy": lambda it: it.export_reactive_energy_nvarh,
    "reactive_energy_q1": lambda it: it.reactive_energy_q1_nvarh,
    "reactive_energy_q2": lambda it: it.reactive_energy_q2_nvarh,
    "reactive_energy_q3": lambda it: it.reactive_energy_q3_nvarh,
    "reactive_energy_q4": lambda it: it.reactive_energy_q4_nvarh,
}
"""What each energy is booked from, a phase (or the vector sum) and a step at a time."""

_PER_TARIFF = tuple(it.name for it in QUANTITIES if it.per_tariff)
_SECONDS_PER_HOUR = 3600


def _fed(active_sign: int, reactive_sign: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # One unit of active and two of reactive energy, so that what comes out tells which it is.
    probe = VectorEnergy(active_sign, 2 * reactive_sign)
    fed = {name: part(probe) for name, part in BOOKED.items()}
    return (
        tuple(name for name, units in fed.items() if units == 1),
        tuple(name for name, units in fed.items() if units == 2),
    )


_FED = {
    (active_sign > 0, reactive_sign > 0): _fed(active_sign, reactive_sign)
    for active_sign in (1, -1)
    for reactive_sign in (1, -1)
}
"""What of `BOOKED` active energy is booked to, and what reactive energy: by whether each of both is
at least 0. The signs alone decide, and a step that asked for all eight would find most of them
zero."""

type _Places = dict[tuple[bool, bool], tuple[tuple[str, ...], tuple[str, ...]]]
"""The same with registers in the place of names."""

DERIVED: dict[str, Callable[[Mapping[str, int]], int]] = {
    "absolute_active_energy": lambda it: (
        (it["import_active_energy"] + it["export_active_energy"]) % ROLLOVER_NWH
    ),
    "net_active_energy": lambda it: it["import_active_energy"] - it["export_active_energy"],
}
"""Registers that follow from others: 15.8.0 and 16.8.0."""


class EnergyRegisters:
    """All registers of energy of one meter, and the hours for which it was on.

    Tariff registers of a quantity add up to its total. The total is the sum of the phases under
    individual summation; under vector summation that sum stands in ``other_…`` instead.
    """

    def __init__(
        self,
        phases: int,
        summation: Summation = "individual",
        kept: Mapping[str, int] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Start from nothing, or from kept energies (nWh, nvarh) and a `state`.

        What an older meter kept without tariffs is of tariff 1: the parts equal the total.
        """
        self.summation = summation
        state = state or {}
        self._values = {
            register.key: 0
            for register in registers_of(phases)
            if register.is_energy
            and register.quantity.d == TIME_INTEGRAL
            and register.key not in DERIVED
        }
        kept = kept or {}
        self._values |= {key: energy for key, energy in kept.items() if key in self._values}
        for name in _PER_TARIFF:
            if name in kept and f"{name}_t1" not in kept:
                self._values[f"{name}_t1"] = self._values[name]
        self._customer_base_nwh: int = state.get("customer_base_nwh", 0)
        self._operating_ns: int = state.get("operating_ns", 0)
        self._phases = phases
        # What feeds the totals feeds the tariffs' registers as well.
        self._phase_places: list[list[_Places]] = []
        self._vector_places: list[_Places] = []
        for tariff in TARIFFS:
            feeding, other = ("{}", f"{{}}_t{tariff}"), ("other_{}",)
            of_phases, of_vector = (
                (feeding, other) if summation == "individual" else (other, feeding)
            )
            self._phase_places.append(
                [self._places(f"{{}}_l{phase}", *of_phases) for phase in range(1, phases + 1)]
            )
            self._vector_places.append(self._places(*of_vector))

    def state(self) -> dict[str, Any]:
        """What is not an energy and has to outlive a power cut."""
        return {
            "customer_base_nwh": self._customer_base_nwh,
            "operating_ns": self._operating_ns,
        }

    @property
    def values(self) -> Mapping[str, int]:
        """All that is kept, nWh and nvarh by register key."""
        return self._values

    def value(self, key: str) -> int | None:
        """A register's nWh or nvarh (of the hour counter: hours); None for one that is not ours."""
        if key in DERIVED:
            return DERIVED[key](self._values)
        if key == "import_active_energy_customer":
            return (self._values["import_active_energy"] - self._customer_base_nwh) % ROLLOVER_NWH
        if key == "operating_time":
            return self._operating_ns // 10**9 // _SECONDS_PER_HOUR
        return self._values.get(key)

    def book(self, measurement: Measurement, tariff: int) -> tuple[int, int]:
        """Book one measurement to the tariff in force.

        Returns the import and export (nWh) that fed 1.8.0 and 2.8.0. Raises ValueError, nothing
        booked, for other phases than the meter's.
        """
        if len(measurement.phases) != self._phases:
            raise ValueError(
                f"a measurement of {len(measurement.phases)} phases for a meter of {self._phases}"
            )
        imported_nwh = active_nwh = reactive_nvarh = 0
        for phase, places in zip(measurement.phases, self._phase_places[tariff - 1], strict=True):
            of_phase_nwh = phase.active_energy_nwh
            of_phase_nvarh = phase.reactive_energy_nvarh
            self._add(places, of_phase_nwh, of_phase_nvarh)
            active_nwh += of_phase_nwh
            reactive_nvarh += of_phase_nvarh
            if of_phase_nwh > 0:
                imported_nwh += of_phase_nwh
        self._add(self._vector_places[tariff - 1], active_nwh, reactive_nvarh)
        self._operating_ns += measurement.end_ns - measurement.start_ns
        if self.summation == "vector":
            imported_nwh = max(active_nwh, 0)
        return imported_nwh, imported_nwh - active_nwh

    def reset_customer_counter(self) -> None:
        """Let the customer's own counter begin at zero; no register of the meter moves."""
        self._customer_base_nwh = self._values["import_active_energy"]

    def _places(self, *shapes: str) -> _Places:
        """Registers of these shapes ("{}_l1" is of the first phase), as far as there are such."""

        def keys(names: tuple[str, ...]) -> tuple[str, ...]:
            shaped = [shape.format(name) for shape in shapes for name in names]
            return tuple(key for key in shaped if key in self._values)

        return {signs: (keys(active), keys(reactive)) for signs, (active, reactive) in _FED.items()}

    def _add(self, places: _Places, active_nwh: int, reactive_nvarh: int) -> None:
        active_keys, reactive_keys = places[active_nwh >= 0, reactive_nvarh >= 0]
        values = self._values
        if active_nwh:
            energy = abs(active_nwh)
            for key in active_keys:
                values[key] = (values[key] + energy) % ROLLOVER_NWH
        if reactive_nvarh:
            energy = abs(reactive_nvarh)
            for key in reactive_keys:
                values[key] = (values[key] + energy) % ROLLOVER_NWH


def raw(key: str, nwh: int) -> int:
    """Return nWh or nvarh as a register shows it: whole units of its scaler, towards zero."""
    shown: int = abs(nwh) // (10**9 * 10 ** BY_KEY[key].quantity.scaler)
    return shown if nwh >= 0 else -shown
