"""The neutral guard in the meter: its parameters, its alarm, and whether it may cut the supply.

How a lost neutral is seen is metrology's. Must not know the breaker: `trips` is what it wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.step import Step
from meter_node.metrology.events import NANO, EventKind
from meter_node.metrology.neutral import NeutralGuard, NeutralLimits

LONGEST_DELAY_S = 3600
_PRINTABLE = r"^\P{C}*$"
"""Letters of any language, and nothing that moves a terminal or a display."""


class NeutralSettings(BaseModel):
    """What a utility sets; the maker's defaults. `cut`: whether it may open the breaker.

    `transformer_station` and `radial` are where in the grid the meter hangs: they go with the
    alarm, for whoever looks for the broken conductor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low_by_v: float = Field(default=40.0, gt=0, lt=230)
    high_v: float = Field(default=253.0, gt=230, le=400)
    displacement_v: float = Field(default=40.0, gt=0, le=230)
    delay_s: Annotated[int, within(0, LONGEST_DELAY_S, "a delay of {}")] = 60
    cut: bool = False
    transformer_station: str = Field(default="", max_length=32, pattern=_PRINTABLE)
    radial: str = Field(default="", max_length=32, pattern=_PRINTABLE)


class NeutralProtection:
    """Owns the guard; a fault stands until the utility clears it."""

    def __init__(
        self, phases: int, settings: NeutralSettings, kept: Mapping[str, Any] | None = None
    ) -> None:
        """`kept` is a `state` of before."""
        self._phases = phases
        self._settings = settings
        self._guard = NeutralGuard(
            phases,
            _limits(settings),
            None
            if not kept
            else {
                "since_ns": kept["since_ns"],
                "worst": kept["worst_uv"] / 10**6,
                "tripped": kept["tripped"],
            },
        )

    @property
    def settings(self) -> NeutralSettings:
        """As they are now."""
        return self._settings

    @property
    def fault(self) -> bool:
        """Alarm: a fault, or on one phase a suspected one, that is not yet cleared."""
        return self._guard.tripped

    @property
    def only_suspected(self) -> bool:
        """One phase cannot know."""
        return self._phases == 1

    @property
    def trips(self) -> bool:
        """Whether it wants the breaker open: where that is set, and never on a suspicion."""
        return self._settings.cut and self._guard.tripped and not self.only_suspected

    def state(self) -> dict[str, Any]:
        """For a store to keep."""
        kept = self._guard.state()
        return {
            "since_ns": kept["since_ns"],
            "worst_uv": round(kept["worst"] * 10**6),
            "tripped": kept["tripped"],
        }

    def advance(self, step: Step) -> list[Event]:
        """Let the guard see one measurement; the alarm in the step in which it trips."""
        if step.gap and not self._guard.tripped:
            # Nobody saw whether the condition held: it begins anew.
            self._guard = NeutralGuard(self._phases, _limits(self._settings))
        events = []
        for seen in self._guard.advance(step.measurement):
            name = (
                "neutral_fault"
                if seen.kind is EventKind.NEUTRAL_FAULT
                else "neutral_fault_suspected"
            )
            lasted_s = (step.measurement.end_ns - seen.start_ns) // NANO
            detail = self._located(f"{seen.magnitude:.1f} V, {lasted_s} s")
            events.append(Event.of(name, step.end_s, detail))
        return events

    def clear(self, now_s: int) -> list[Event]:
        """The utility says that it is mended. Repeating it is harmless."""
        if not self._guard.clear(now_s * NANO):
            return []
        return [Event.of("neutral_fault_cleared", now_s, self._located(""))]

    def configure(self, settings: NeutralSettings) -> None:
        """Take other settings: a condition not yet a fault begins anew, a fault stays."""
        kept = self._guard.state()
        self._settings = settings
        self._guard = NeutralGuard(
            self._phases, _limits(settings), kept if kept["tripped"] else None
        )

    def _located(self, detail: str) -> str:
        settings = self._settings
        parts = [detail] if detail else []
        if settings.transformer_station:
            parts.append(f"station {settings.transformer_station}")
        if settings.radial:
            parts.append(f"radial {settings.radial}")
        return ", ".join(parts)


def _limits(settings: NeutralSettings) -> NeutralLimits:
    return NeutralLimits(
        low_by_v=settings.low_by_v,
        high_v=settings.high_v,
        displacement_v=settings.displacement_v,
        delay_s=float(settings.delay_s),
    )
