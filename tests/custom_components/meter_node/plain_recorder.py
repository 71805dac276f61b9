"""A recorder as plain as can be: what Home Assistant makes of a total's states, five by five.

Its rules, read in homeassistant/components/sensor/recorder.py and recorder/statistics.py: the first
row ever has sum 0; each other's sum is the sum of the newest five-minute row and what the state
moved by since; a fall below nine tenths is a new beginning at 0; an hour's row is the last
five-minute row in it. An adjustment adds to five-minute rows from a moment on, and to hours from
that moment's hour on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from custom_components.meter_node.history.plan import Plan, Row

FIVE_S, HOUR_S = 300, 3600


@dataclass
class PlainRecorder:
    """The statistics of one total."""

    hours: dict[int, Row] = field(default_factory=dict)
    short_term: dict[int, Row] = field(default_factory=dict)

    def compile(self, start_s: int, state: float) -> None:
        """Compile five minutes at whose end the total stood at ``state``."""
        total = 0.0
        if self.short_term:
            last = self.short_term[max(self.short_term)]
            base = 0.0 if state < 0.9 * last.state else last.state
            total = last.sum + state - base
        self.short_term[start_s] = Row(state, total)
        if start_s % HOUR_S == HOUR_S - FIVE_S:
            self.hours[start_s - start_s % HOUR_S] = self.short_term[start_s]

    def carry_out(self, plan: Plan, *, breaks_off_after: int | None = None) -> None:
        """Do what a plan says; or only so many of its tasks, as a power cut would have it."""
        tasks = [*plan.shifts, plan.rows]
        for task in tasks[:breaks_off_after]:
            if isinstance(task, dict):
                self.hours |= task
                continue
            for table, since_s in (
                (self.short_term, task.since_s),
                (self.hours, task.since_s - task.since_s % HOUR_S),
            ):
                for at, row in table.items():
                    if at >= since_s:
                        table[at] = replace(row, sum=row.sum + task.by)

    def energies(self) -> dict[int, float]:
        """What each hour but the first is shown to have used, as the Energy dashboard reads it."""
        starts = sorted(self.hours)
        return {at: self.hours[at].sum - self.hours[before].sum for before, at in pairwise(starts)}
