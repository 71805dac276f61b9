"""One measurement placed on the meter's own clock: what every part of the meter is fed with.

Must not know where measurements come from or who sets the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meter_node.metrology import DigitalInputs
from meter_node.metrology.measurement import Measurement

__all__ = ["DigitalInputs", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement between two moments of the meter's clock (UTC, whole seconds).

    A stream's seconds end where its crystal says: each counts for the nearest whole one. `start_s`
    is the end of the step before unless `gap`: then nothing was measured in between. Energy, tariff
    and windows of a step are those at its `start_s`.
    """

    start_s: int
    end_s: int
    measurement: Measurement
    inputs: DigitalInputs = field(default_factory=DigitalInputs)
    clock_valid: bool = True
    gap: bool = False

    @property
    def duration_s(self) -> int:
        """Whole seconds; 0 for a fragment that ends the second in which it began."""
        return self.end_s - self.start_s
