"""Registers raised to what was shown of them: what a restored copy may not fall short of.

Must not know where the floor comes from. What was shown is truncated, register by register; what
is raised adds up exactly again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meter_node.channel.registers import PHASES
from meter_node.meter.snapshot import ROLLOVER_NWH

TARIFFS = range(1, 9)
_IMPORT_REACTIVE = ("reactive_energy_q1", "reactive_energy_q2")
_EXPORT_REACTIVE = ("reactive_energy_q3", "reactive_energy_q4")
_QUADRANTS = (*_IMPORT_REACTIVE, *_EXPORT_REACTIVE)


def _phases(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_l{phase}" for name in names for phase in PHASES)


_PARTS: dict[str, tuple[str, ...]] = {
    "import_active_energy": _phases("import_active_energy"),
    "export_active_energy": _phases("export_active_energy"),
    "absolute_active_energy": _phases("import_active_energy", "export_active_energy"),
    "import_reactive_energy": _phases(*_IMPORT_REACTIVE),
    "export_reactive_energy": _phases(*_EXPORT_REACTIVE),
    **{name: _phases(name) for name in _QUADRANTS},
    **{
        f"{name}_l{phase}": tuple(f"{quadrant}_l{phase}" for quadrant in quadrants)
        for name, quadrants in (
            ("import_reactive_energy", _IMPORT_REACTIVE),
            ("export_reactive_energy", _EXPORT_REACTIVE),
        )
        for phase in PHASES
    },
}
"""Each sum, and the registers without parts of their own that it is the sum of."""
_BY_TARIFF = (
    "import_active_energy",
    "export_active_energy",
    "import_reactive_energy",
    "export_reactive_energy",
)
_NOT_COUNTING = ("net_active_energy", "import_active_energy_customer")
"""One may fall by itself, one is reset by its customer: no floor for them."""


def raised(kept_nwh: Mapping[str, int], floor_nwh: Mapping[str, int]) -> dict[str, int]:
    """Return the registers that must be raised so that none is below the floor, and to what.

    Both in nWh (nvarh) by register key; a register that either lacks counts as zero there. The
    least is added: where a sum lacks more than its parts, a part that lacks something gets the
    rest. Beyond a roll-over, the shorter way round is taken.
    """
    keys = kept_nwh.keys() | floor_nwh.keys()
    lacks = {
        key: _behind(kept_nwh.get(key, 0), floor_nwh[key])
        for key in floor_nwh
        if key not in _NOT_COUNTING
    }
    tariffs = {
        name: [key for tariff in TARIFFS if (key := f"{name}_t{tariff}") in keys]
        for name in _BY_TARIFF
    }
    sums = {
        name: parts
        for name, all_parts in _PARTS.items()
        if name in keys and (parts := [part for part in all_parts if part in keys])
    }
    for name, by_tariff in tariffs.items():
        if by_tariff:
            lacks[name] = max(lacks.get(name, 0), _total(lacks, by_tariff))
    for name, parts in sums.items():
        _fill(lacks, parts, lacks.get(name, 0))
    # Filling one sum only adds to the others that share its parts: now all of them are known.
    for name, parts in sums.items():
        lacks[name] = _total(lacks, parts)
    for name, by_tariff in tariffs.items():
        if by_tariff:
            _fill(lacks, by_tariff, lacks[name])
    return {
        key: (kept_nwh.get(key, 0) + lack) % ROLLOVER_NWH for key, lack in lacks.items() if lack
    }


def _behind(kept: int, floor: int) -> int:
    ahead = (floor - kept) % ROLLOVER_NWH
    return ahead if ahead < ROLLOVER_NWH // 2 else 0


def _total(lacks: Mapping[str, int], parts: Iterable[str]) -> int:
    return sum(lacks.get(part, 0) for part in parts)


def _fill(lacks: dict[str, int], parts: list[str], wanted: int) -> None:
    rest = wanted - _total(lacks, parts)
    if rest > 0:
        part = next((part for part in parts if lacks.get(part)), parts[0])
        lacks[part] = lacks.get(part, 0) + rest
