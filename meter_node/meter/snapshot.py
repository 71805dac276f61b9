"""All that a meter shows at one instant, immutable: what is committed, then shown.

Must not know where it is kept or who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meter_node.channel.registers import BY_KEY, ROLLOVER_WH

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The meter at ``time_ns`` (UTC): exact energies, and the last second's values."""

    time_ns: int
    energies_nwh: Mapping[str, int] = field(default_factory=dict)
    """Register key to nWh or nvarh, below the roll-over."""
    instantaneous: Mapping[str, float] = field(default_factory=dict)
    """Register key to W, var, VA, V, A, Hz or a ratio; empty until the first measurement."""

    def raw(self, key: str) -> int | None:
        """Return a register as it is shown: units of 10^scaler, energies truncated.

        None where there is no value now (frequency without voltage, nothing measured yet).
        """
        register = BY_KEY[key]
        if register.is_energy:
            energy = self.energies_nwh.get(key)
            return None if energy is None else energy // (NANO * 10**register.quantity.scaler)
        value = self.instantaneous.get(key)
        return None if value is None else round(value / 10.0**register.quantity.scaler)


ROLLOVER_NWH = ROLLOVER_WH * NANO
