"""Billing snapshots: all billing registers at one instant, by the day, the month and the change.

Must not know tariffs, nor where rows are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meter_node.channel.registers import BY_KEY
from meter_node.meter.local_time import LocalTime
from meter_node.meter.read import Read
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import BillingKind, BillingRow
from meter_node.meter.step import Step
from meter_node.meter.windows import month_of, next_midnight_s

SCHEDULED = "scheduled"
LATE = "late"
CLOCK_SET = "clock_set"
CLOCK_INVALID = "clock_invalid"
_BESIDE_ENERGIES = (
    "operating_time",
    "import_active_demand_maximum",
    "export_active_demand_maximum",
)
_KINDS: tuple[BillingKind, ...] = ("daily", "monthly", "change")


class BillingSettings(BaseModel):
    """How many snapshots of each kind are kept, and of which registers.

    `captures` None: all energies (tariffs among them), the hour counter and the month's maxima that
    the meter has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    daily_depth: int = Field(400, ge=1, le=10_000)
    monthly_depth: int = Field(36, ge=1, le=1000)
    change_depth: int = Field(100, ge=1, le=10_000)
    captures: tuple[str, ...] | None = None

    @field_validator("captures")
    @classmethod
    def _some(cls, captures: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if captures is not None and not captures:
            raise ValueError("no register to bill; name at least one")
        return captures

    def registers(self, known: Collection[str]) -> tuple[str, ...]:
        """What is captured of a meter's registers. Raises RefusedError for one it has not."""
        if self.captures is None:
            energies = [key for key in known if key in BY_KEY and BY_KEY[key].is_energy]
            beside = [key for key in _BESIDE_ENERGIES if key in known and key not in energies]
            return (*energies, *beside)
        for key in self.captures:
            if key not in known:
                raise RefusedError(f"this meter has no register {key!r} to bill")
        return self.captures

    def depth(self, kind: BillingKind) -> int:
        """How many rows of this kind are kept."""
        depths = {
            "daily": self.daily_depth,
            "monthly": self.monthly_depth,
            "change": self.change_depth,
        }
        return depths[kind]


class Billing:
    """Takes snapshots at local midnight, at the month's first one, and when told to.

    A midnight that comes while power is off: one snapshot is taken when power returns, before
    anything more is booked, stamped with the moment at which it was taken and with the reason
    "late". A metering engineer expects that: the values are exactly those of midnight, for nothing
    was registered since, so billing loses nothing; but a stamp of midnight would claim that the
    meter had been there to take it, and the outage that explains the gap would be hidden. Several
    midnights in one outage give one snapshot, as their values would be the same; a month's start
    among them gives a monthly one too.

    A clock that is set forward over midnight gives a snapshot at once ("clock_set"); set back over
    it, midnight comes again and gives a second row of the same stamp, as rows are numbered. While
    the clock is not valid, the reason is "clock_invalid".
    """

    def __init__(
        self,
        settings: BillingSettings,
        known: Collection[str],
        local: LocalTime,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin anew, or go on from a `state`. Raises RefusedError for unknown registers."""
        self._known = tuple(known)
        self._registers = settings.registers(self._known)
        self.settings = settings
        self._local = local
        kept = kept or {}
        self._midnight_s: int | None = kept.get("midnight_s")
        self._last_entries: dict[BillingKind, int] = dict.fromkeys(_KINDS, 0)
        self._last_entries.update(kept.get("last_entries", {}))

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {"midnight_s": self._midnight_s, "last_entries": dict(self._last_entries)}

    def last_entry(self, kind: BillingKind) -> int:
        """The number of the newest row of its kind; 0 before the first."""
        return self._last_entries[kind]

    def first_entry(self, kind: BillingKind) -> int:
        """The oldest row of its kind that is kept."""
        return max(self._last_entries[kind] - self.settings.depth(kind) + 1, 1)

    def resume(self, start_s: int, read: Read) -> list[BillingRow]:
        """Power is back: give what fell due in the dark.

        To be called for a step with a gap before that step is booked; `advance` does it where it
        was not.
        """
        if self._midnight_s is None:
            self._midnight_s = next_midnight_s(self._local, start_s)
            return []
        if start_s < self._midnight_s:
            return []
        reason = SCHEDULED if start_s == self._midnight_s else LATE
        return self._due(start_s, reason, read)

    def advance(self, step: Step, read: Read) -> list[BillingRow]:
        """Go on by a step that is booked; give the snapshots that fall due with it."""
        midnight_s = self._midnight_s
        if midnight_s is None or (step.gap and step.start_s >= midnight_s):
            rows = self.resume(step.start_s, read)
            midnight_s = self._midnight_s
            assert midnight_s is not None
        else:
            rows = []
        if step.end_s >= midnight_s:
            reason = SCHEDULED if step.clock_valid else CLOCK_INVALID
            rows += self._due(midnight_s, reason, read, step.end_s)
        return rows

    def clock_changed(self, old_s: int, new_s: int, read: Read) -> list[BillingRow]:
        """The clock was set: give what it stepped over."""
        if self._midnight_s is None:
            return []
        rows = self.resume(old_s, read)
        if new_s >= self._midnight_s:
            rows += self._due(new_s, CLOCK_SET, read)
        self._midnight_s = next_midnight_s(self._local, new_s)
        return rows

    def take(self, reason: str, now_s: int, read: Read) -> BillingRow:
        """Take a snapshot before something changes: call it before the change is applied.

        `reason` names what changes: "tariffs", "parameters".
        """
        return self._row("change", now_s, reason, self._values(read))

    def reconfigure(self, settings: BillingSettings) -> None:
        """Take other registers or depths from now on. Raises RefusedError with nothing changed."""
        self._registers = settings.registers(self._known)
        self.settings = settings

    def _due(
        self, taken_s: int, reason: str, read: Read, now_s: int | None = None
    ) -> list[BillingRow]:
        """The daily snapshot, and the monthly one where a month has begun: one set of values."""
        assert self._midnight_s is not None
        values = self._values(read)
        rows = [self._row("daily", taken_s, reason, values)]
        if month_of(self._local, taken_s) != month_of(self._local, self._midnight_s - 1):
            rows.append(self._row("monthly", taken_s, reason, values))
        self._midnight_s = next_midnight_s(self._local, taken_s if now_s is None else now_s)
        return rows

    def _values(self, read: Read) -> dict[str, int]:
        values = {key: read(key) for key in self._registers}
        return {key: value for key, value in values.items() if value is not None}

    def _row(
        self, kind: BillingKind, time_s: int, reason: str, values: Mapping[str, int]
    ) -> BillingRow:
        self._last_entries[kind] += 1
        return BillingRow(
            kind,
            self._last_entries[kind],
            time_s,
            self._local.offset_s(time_s),
            reason,
            values,
        )
