"""Profiles: registers captured at the end of every interval, with status and entry number.

The load profile (up to four energies) and the analysis log (up to sixteen of all registers) are two
rows of one thing. Must not know where rows are kept, nor how registers come by their values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from meter_node.channel.registers import BY_KEY, ROLLOVER_WH
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.means import Integrals, mean_raw
from meter_node.meter.read import Read
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import ProfileRow
from meter_node.meter.step import Step
from meter_node.meter.windows import Window, Windows, check_interval

LOAD_PROFILE = "load_profile"
ANALYSIS_LOG = "analysis_log"
PROFILE_INTERVALS_MIN = (5, 15, 30, 60)
ANALYSIS_INTERVALS_MIN = (5, 10, 15, 30, 60)
MOST_ENERGIES = 4
MOST_CAPTURES = 16
MINUTES_PER_DAY = 1440
ANALYSIS_DEFAULT = (
    "import_active_power",
    "export_active_power",
    "import_reactive_power",
    "export_reactive_power",
    *(f"{quantity}_l{phase}" for quantity in ("voltage", "current") for phase in (1, 2, 3)),
)
"""P, Q, U and I: of a meter with fewer phases those that it has."""

type Mode = Literal["absolute", "delta"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a profile's rows hold, and how many of them are kept (`depth`).

    `mode` is for energies: the register at the end, or by how much it has moved since the row
    before.
    """

    interval_min: int
    captures: tuple[str, ...]
    mode: Mode
    depth: int

    def differences(self, other: Layout) -> str:
        """What of a row's meaning differs, "old > new" for each; empty where nothing does."""
        pairs = (
            (f"{self.interval_min} min", f"{other.interval_min} min"),
            (self.mode, other.mode),
            (",".join(self.captures), ",".join(other.captures)),
        )
        return "; ".join(f"{old} > {new}" for old, new in pairs if old != new)


class ProfileSettings(BaseModel):
    """The load profile: 1 to 4 energies every 5, 15, 30 or 60 min, kept for `days`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_min: int = 15
    captures: tuple[str, ...] = (
        "import_active_energy",
        "export_active_energy",
        "import_reactive_energy",
        "export_reactive_energy",
    )
    mode: Mode = "absolute"
    days: int = Field(400, ge=1, le=4000)

    @field_validator("interval_min")
    @classmethod
    def _possible(cls, interval_min: int) -> int:
        return check_interval(interval_min, PROFILE_INTERVALS_MIN)

    @field_validator("captures")
    @classmethod
    def _capturable(cls, captures: tuple[str, ...]) -> tuple[str, ...]:
        for key in captures:
            if key in BY_KEY and not BY_KEY[key].is_energy:
                raise ValueError(f"{key} is no energy; the load profile captures energies alone")
        return _check_captures(captures, MOST_ENERGIES)

    def layout(self, known: Collection[str]) -> Layout:
        """What it comes to for a meter with these registers. Raises RefusedError."""
        _check_known(self.captures, known)
        # A day of 25 hours, so that it is never a day less than promised.
        depth = (self.days * MINUTES_PER_DAY + 60) // self.interval_min
        return Layout(self.interval_min, self.captures, self.mode, depth)


class AnalysisSettings(BaseModel):
    """The analysis log: 1 to 16 of all registers every 5, 10, 15, 30 or 60 min, `depth` rows.

    `captures` None stands for P, Q, U and I of all phases that the meter has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_min: int = 15
    captures: tuple[str, ...] | None = None
    depth: int = Field(130 * 96, ge=1, le=1_000_000)

    @field_validator("interval_min")
    @classmethod
    def _possible(cls, interval_min: int) -> int:
        return check_interval(interval_min, ANALYSIS_INTERVALS_MIN)

    @field_validator("captures")
    @classmethod
    def _capturable(cls, captures: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if captures is None else _check_captures(captures, MOST_CAPTURES)

    def layout(self, known: Collection[str]) -> Layout:
        """What it comes to for a meter with these registers. Raises RefusedError."""
        captures = self.captures
        if captures is None:
            captures = tuple(key for key in ANALYSIS_DEFAULT if key in known)
        _check_known(captures, known)
        return Layout(self.interval_min, captures, "absolute", self.depth)


class Profile:
    """A profile of either kind; rows go out as intervals end.

    Energies are registers at the interval's end, or what they moved by since the row before: then
    deltas add up to the difference of the registers exactly, over dark and cut intervals and over
    the roll-over. A resettable counter that was reset gives a negative delta. U, I, P, Q and S
    (all that `Integrals` has) are means over what was measured of the interval; anything else is
    the value at its end.

    `resume` and `clock_changed` are to be called before the next step is booked, for rows that
    close in the dark hold what registers held when it fell.
    """

    __slots__ = (
        "_base_means",
        "_base_s",
        "_integrals",
        "_known",
        "_last_raw",
        "_local",
        "_means",
        "_next_entry",
        "_windows",
        "changed_at_start",
        "deleted_before_entry",
        "layout",
        "name",
    )

    def __init__(
        self,
        name: str,
        settings: ProfileSettings | AnalysisSettings,
        known: Collection[str],
        local: LocalTime,
        integrals: Integrals,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin anew, or go on from a `state`.

        `known` are the registers of this meter; RefusedError where others are to be captured. Where
        `kept` is of another layout (the configuration was changed while the meter was off), the
        profile is deleted as `reconfigure` does, and `changed_at_start` is the event's detail.
        """
        self.name = name
        self._known = frozenset(known)
        self._local = local
        self._integrals = integrals
        self.layout = settings.layout(self._known)
        self.changed_at_start = ""
        self.deleted_before_entry = 1
        """Rows with a lower entry number were deleted by a change."""
        self._next_entry = 1
        self._last_raw: dict[str, int] | None = None
        self._begin(Windows(self.layout.interval_min, local))
        if kept is None:
            return
        self._next_entry = kept["next_entry"]
        self.deleted_before_entry = kept["deleted_before_entry"]
        before = kept["layout"]
        differences = Layout(
            before["interval_min"], tuple(before["captures"]), before["mode"], self.layout.depth
        ).differences(self.layout)
        if differences:
            self.changed_at_start = self._detail(differences)
            self.deleted_before_entry = self._next_entry
            return
        self._windows = Windows(self.layout.interval_min, local, kept["windows"])
        self._last_raw = kept["last_raw"] and dict(kept["last_raw"])
        self._base_s = kept["base_s"]
        self._base_means = dict(kept["base_means"])

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "layout": {
                "interval_min": self.layout.interval_min,
                "captures": list(self.layout.captures),
                "mode": self.layout.mode,
            },
            "next_entry": self._next_entry,
            "deleted_before_entry": self.deleted_before_entry,
            "windows": self._windows.state(),
            "last_raw": self._last_raw and dict(self._last_raw),
            "base_s": self._base_s,
            "base_means": dict(self._base_means),
        }

    @property
    def last_entry(self) -> int:
        """The number of the newest row; 0 before the first."""
        return self._next_entry - 1

    @property
    def first_entry(self) -> int:
        """The oldest row that is kept: what is below it was pushed out, or deleted by a change."""
        return max(self.deleted_before_entry, self._next_entry - self.layout.depth, 1)

    def resume(self, start_s: int, read: Read) -> list[ProfileRow]:
        """Power is back: give the row of an interval that ended in the dark, if it had any light.

        To be called for a step with a gap, and for a new meter's first one, before that step is
        booked; `advance` does it where it was not, and then that step counts to the row before.
        """
        if self._last_raw is None:
            self._last_raw = self._read_energies(read)
        rows = [self._row(window, read) for window in self._windows.resume(start_s)]
        if rows:
            self._take_base()
        return rows

    def advance(self, step: Step, read: Read, fault: bool = False) -> list[ProfileRow]:
        """Go on by a step that is booked; give the rows of the intervals that end with it.

        `fault`: a self-test has failed.
        """
        windows = self._windows
        rows = [] if windows.follows(step) else self.resume(step.start_s, read)
        closed = windows.advance(step, fault)
        if closed:
            for window in closed:
                rows.append(self._row(window, read))
                self._take_base()
        return rows

    def clock_changed(self, old_s: int, new_s: int, read: Read) -> list[ProfileRow]:
        """The clock was set: the running interval ends at the old time, flagged; a new begins."""
        rows = [self._row(window, read) for window in self._windows.clock_changed(old_s, new_s)]
        self._take_base()
        return rows

    def reconfigure(
        self, settings: ProfileSettings | AnalysisSettings, now_s: int, read: Read
    ) -> list[Event]:
        """Capture otherwise from now on: the profile is deleted, entry numbers go on.

        A change of depth alone deletes nothing but what is then too old, and is no event here. The
        first interval is a partial one and flagged so. Raises RefusedError with nothing changed.
        """
        layout = settings.layout(self._known)
        differences = self.layout.differences(layout)
        self.layout = layout
        if not differences:
            return []
        self.deleted_before_entry = self._next_entry
        self._last_raw = self._read_energies(read)
        windows = Windows(layout.interval_min, self._local)
        windows.resume(now_s)
        self._begin(windows)
        return [Event.of("profile_changed", now_s, self._detail(differences))]

    def _detail(self, differences: str) -> str:
        return f"{self.name}: {differences}"

    def _begin(self, windows: Windows) -> None:
        self._windows = windows
        self._means = tuple(key for key in self.layout.captures if key in self._integrals)
        self._take_base()

    def _take_base(self) -> None:
        integrals = self._integrals
        self._base_s = integrals.measured_s
        self._base_means = {key: integrals.of(key) for key in self._means}

    def _read_energies(self, read: Read) -> dict[str, int]:
        """What deltas count from."""
        if self.layout.mode == "absolute":
            return {}
        values = {key: read(key) for key in self.layout.captures}
        return {key: value for key, value in values.items() if value is not None}

    def _row(self, window: Window, read: Read) -> ProfileRow:
        seconds = self._integrals.measured_s - self._base_s
        values: list[int | None] = []
        for key in self.layout.captures:
            base = self._base_means.get(key)
            if base is not None:
                values.append(mean_raw(key, self._integrals.of(key) - base, seconds))
            elif self.layout.mode == "delta":
                values.append(self._moved(key, read(key)))
            else:
                values.append(read(key))
        entry = self._next_entry
        self._next_entry += 1
        offset_s = self._local.offset_s(window.end_s)
        return ProfileRow(self.name, entry, window.end_s, offset_s, window.status, tuple(values))

    def _moved(self, key: str, raw: int | None) -> int | None:
        """By how much a register moved since the row before; None where it has no value.

        As shown registers are truncated, a part of a unit that one row leaves out is in a later.
        """
        if raw is None:
            return None
        assert self._last_raw is not None  # no interval begins without resume
        before = self._last_raw.get(key, raw)
        self._last_raw[key] = raw
        rollover = int(ROLLOVER_WH // 10 ** BY_KEY[key].quantity.scaler)
        # The shorter way round: a roll-over forward, a reset back.
        return (raw - before + rollover // 2) % rollover - rollover // 2


def _check_captures(captures: tuple[str, ...], most: int) -> tuple[str, ...]:
    if not 1 <= len(captures) <= most:
        raise ValueError(f"{len(captures)} captured registers; possible are 1 to {most}")
    for key in captures:
        if captures.count(key) > 1:
            raise ValueError(f"{key} is captured twice")
    return captures


def _check_known(captures: tuple[str, ...], known: Collection[str]) -> None:
    for key in captures:
        if key not in known:
            raise RefusedError(f"this meter has no register {key!r} to capture")
