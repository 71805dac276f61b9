"""Covers and strong magnetic fields: what was opened, when, and whether the meter looked on.

Must not know registers: they are not affected by anything here. Reversed current and current
without voltage are the metrology's events, which `quality` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meter_node.meter.event import Event
from meter_node.meter.step import Step

LONGEST_DEBOUNCE_S = 3600
WITHOUT_POWER = "without power"
"""The detail of what happened while nothing was measured: found at power-up, stamped with it."""


class TamperSettings(BaseModel):
    """A field counts when it lasts for *more* than `magnet_debounce_s` (the maker's 30 s).

    `production_expected`: the house may feed in, so that a reversed current is no alarm (it would
    be one a day under a solar roof).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    magnet_debounce_s: int = Field(default=30)
    production_expected: bool = True

    @field_validator("magnet_debounce_s")
    @classmethod
    def _is_possible(cls, delay_s: int) -> int:
        if not 0 <= delay_s <= LONGEST_DEBOUNCE_S:
            raise ValueError(f"a delay of {delay_s} s; possible are 0 to {LONGEST_DEBOUNCE_S} s")
        return delay_s


class Tamper:
    """The covers and the field of one meter, as they were last seen."""

    def __init__(self, settings: TamperSettings, kept: Mapping[str, Any] | None = None) -> None:
        """`kept` is a `state` of before: what differs from it at the first step is reported."""
        self.settings = settings
        kept = kept or {}
        self._cover_open: bool = kept.get("meter_cover_open", False)
        self._terminal_open: bool = kept.get("terminal_cover_open", False)
        self._magnet: bool = kept.get("magnet", False)
        self._changing_s: int | None = kept.get("magnet_changing_s")
        """Since when the field is other than `_magnet` says."""
        self._magnet_since_s: int | None = kept.get("magnet_since_s")
        self._unseen = bool(kept)

    @property
    def cover_open(self) -> bool:
        """Whether a cover is open now: digit 7 of the status word."""
        return self._cover_open or self._terminal_open

    @property
    def magnet(self) -> bool:
        """Whether there is a strong field, debounced: digit 3 of the status word."""
        return self._magnet

    def advance(self, step: Step) -> list[Event]:
        """What changed since the step before. Nothing of it touches a register."""
        inputs = step.inputs
        if (
            inputs.meter_cover_open is self._cover_open
            and inputs.terminal_cover_open is self._terminal_open
            and inputs.magnet is self._magnet
        ):
            self._changing_s, self._unseen = None, False
            return []
        unseen = self._unseen or step.gap
        self._unseen = False
        at_s, detail = (step.start_s, WITHOUT_POWER) if unseen else (step.end_s, "")
        events: list[Event] = []
        if inputs.meter_cover_open is not self._cover_open:
            self._cover_open = inputs.meter_cover_open
            done = "opened" if self._cover_open else "closed"
            events.append(Event.of(f"meter_cover_{done}", at_s, detail))
        if inputs.terminal_cover_open is not self._terminal_open:
            self._terminal_open = inputs.terminal_cover_open
            done = "opened" if self._terminal_open else "closed"
            events.append(Event.of(f"terminal_cover_{done}", at_s, detail))
        events += self._field(step, unseen=unseen)
        return events

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """Durations go on: their beginnings move along."""
        shift_s = new_s - old_s
        if self._changing_s is not None:
            self._changing_s += shift_s
        if self._magnet_since_s is not None:
            self._magnet_since_s += shift_s

    def state(self) -> dict[str, Any]:
        """What was seen last, and a field that is being debounced."""
        return {
            "meter_cover_open": self._cover_open,
            "terminal_cover_open": self._terminal_open,
            "magnet": self._magnet,
            "magnet_changing_s": self._changing_s,
            "magnet_since_s": self._magnet_since_s,
        }

    def _field(self, step: Step, *, unseen: bool) -> list[Event]:
        """Debounced both ways, so that a field that flickers is one event and not hundreds."""
        if step.inputs.magnet is self._magnet:
            self._changing_s = None
            return []
        if self._changing_s is None or unseen:
            # Nobody saw it in a gap: it has to last anew.
            self._changing_s = step.start_s
        if step.end_s - self._changing_s <= self.settings.magnet_debounce_s:
            return []
        changed_s, self._changing_s = self._changing_s, None
        self._magnet = step.inputs.magnet
        if self._magnet:
            self._magnet_since_s = changed_s
            return [Event.of("magnet_on", step.end_s, f"{step.end_s - changed_s} s")]
        since_s, self._magnet_since_s = self._magnet_since_s, None
        detail = "" if since_s is None else f"{changed_s - since_s} s"
        return [Event.of("magnet_off", step.end_s, detail)]
