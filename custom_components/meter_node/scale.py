"""A meter's energy in another power of ten: what a record holds of it, and what is left to be done.

The list of a real meter does not say in which unit it counts. Whoever had chosen the wrong one has
a past that is wrong by exactly that factor. Must not know Home Assistant, nor the recorder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from . import falls
from .channel.kamstrup_v0001 import DEFAULT_SCALER_PROFILE, SCALER_PROFILES
from .channel.reading import scaled
from .store import MeterRecord


@dataclass(frozen=True, slots=True)
class Rescaling:
    """What the statistics of a meter's totals still lack after a change of scale."""

    exponent: int
    """Of ten: what was counted before is multiplied by that power."""
    since_s: int | None
    """From when on totals were shown in the new scale (UTC); None while they were not."""
    totals: Mapping[str, float]
    """The totals whose statistics are still in the old scale, as they stood in it at the change."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self | None:
        """Return what a record keeps of it, None where nothing is to be done."""
        return cls(kept["exponent"], kept["since_s"], kept["totals"]) if kept else None


def exponent_between(before: str, after: str) -> int:
    """Return by which power of ten energy is greater in another profile, by their keys."""
    old = SCALER_PROFILES.get(before, SCALER_PROFILES[DEFAULT_SCALER_PROFILE])
    return SCALER_PROFILES[after].energy - old.energy


def change(record: MeterRecord, profile: str) -> None:
    """Have a record in another scale; note what the statistics lack.

    What comes again from a load profile, the month's highest intervals, begins anew.
    """
    exponent = exponent_between(record.scaler_profile, profile)
    record.scaler_profile = profile
    if not exponent:
        return
    costs = record.costs
    money = {key: float(total) for key, total in costs.get("totals", {}).items()}
    pending = record.rescale or {"exponent": 0, "totals": record.totals | money}
    both = pending["exponent"] + exponent
    # Chosen to and fro before anything was shown, or new: nothing is to be done.
    is_wanted = both and pending["totals"]
    record.rescale = {**pending, "exponent": both, "since_s": None} if is_wanted else {}
    record.totals = {key: scaled(wh, exponent) for key, wh in record.totals.items()}
    record.bases = {key: scaled(wh, exponent) for key, wh in record.bases.items()}
    record.falls = {
        key: [scaled(wh, exponent) for wh in fall] for key, fall in record.falls.items()
    }
    record.steps = {key: falls.rescaled(steps, exponent) for key, steps in record.steps.items()}
    record.costs = _rescaled_costs(costs, exponent)
    record.capacity = {}
    record.history = {
        key: mark for key, mark in record.history.items() if not key.startswith("capacity_")
    }


def _rescaled_costs(kept: Mapping[str, Any], exponent: int) -> dict[str, Any]:
    """Return the state of ``costs``: energy at a price is money, and so in the same proportion."""
    if not kept:
        return {}
    return {
        **kept,
        "totals": {
            key: str(Decimal(total).scaleb(exponent)) for key, total in kept["totals"].items()
        },
        "unpriced_wh": scaled(kept["unpriced_wh"], exponent),
        "counted": {
            register: [scaled(wh, exponent), at_s]
            for register, (wh, at_s) in kept.get("counted", {}).items()
        },
    }
