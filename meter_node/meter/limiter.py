"""The limiter (class 71): above a threshold for a time the breaker opens; and how it comes back.

Also the turnover protection of prepayment (brochure row 18), as a third threshold. Must not know
the breaker: `opens` is what it wants, and the breaker hears of it as a cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step
from meter_node.metrology.measurement import Measurement

LONGEST_S = 86_400

type Which = Literal["normal", "emergency", "prepaid"]
_Threshold = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
_Duration = Annotated[int, within(0, LONGEST_S, "a time of {}")]
type Summation = Literal["individual", "vector"]


class LimiterSettings(BaseModel):
    """What a utility sets; None is no limit. Watts of import, or amperes of the largest phase.

    `over_s`, `under_s`: min_over_threshold_duration and min_under_threshold_duration of class 71.
    After a trip it waits for `waiting_s` and lets the supply come back, `retries` times within
    `window_s` of the first trip; the trip after these is final. `final`: "open" until the utility
    resets it, "ready" for the button after the waiting time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    monitored: Literal["power", "current"] = "power"
    normal_w: _Threshold = None
    emergency_w: _Threshold = None
    prepaid_maximum_w: _Threshold = None
    normal_a: _Threshold = None
    emergency_a: _Threshold = None
    prepaid_maximum_a: _Threshold = None
    over_s: _Duration = 30
    under_s: _Duration = 10
    waiting_s: _Duration = 60
    retries: Annotated[int, within(0, 100, "{} retries", "")] = 3
    window_s: _Duration = 3600
    final: Literal["open", "ready"] = "ready"
    emergency_groups: tuple[int, ...] = ()

    @field_validator("emergency_groups")
    @classmethod
    def _groups(cls, groups: tuple[int, ...]) -> tuple[int, ...]:
        for group in groups:
            if not 0 <= group <= 0xFFFF:
                raise ValueError(f"an emergency group of {group}; possible are 0 to 65535")
        return groups

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        other = "a" if self.monitored == "power" else "w"
        for name in ("normal", "emergency", "prepaid_maximum"):
            if getattr(self, f"{name}_{other}") is not None:
                raise ValueError(f"{name}_{other} does not go with monitored = {self.monitored}")
        return self

    def threshold(self, which: Which) -> float | None:
        """In the unit of what is monitored."""
        name = "prepaid_maximum" if which == "prepaid" else which
        value: float | None = getattr(self, f"{name}_{self.unit.lower()}")
        return value

    @property
    def unit(self) -> Literal["W", "A"]:
        """Of the thresholds."""
        return "W" if self.monitored == "power" else "A"


class Limiter:
    """Watches one value against the threshold in force; `opens` while it wants no supply."""

    def __init__(
        self,
        settings: LimiterSettings,
        kept: Mapping[str, Any] | None = None,
        summation: Summation = "individual",
    ) -> None:
        """`kept` is a `state` of before. `summation` is what import power adds, as for 1.7.0."""
        kept = kept or {}
        self._vector = summation == "vector"
        self._used: Which = kept.get("used", "normal")
        profile = kept.get("emergency")
        self._emergency: tuple[int, int, int] | None = tuple(profile) if profile else None
        self._emergency_active: bool = kept.get("emergency_active", False)
        self._over_s: int = kept.get("over_s", 0)
        self._under_s: int = kept.get("under_s", 0)
        self._exceeded: bool = kept.get("exceeded", False)
        self._opens: bool = kept.get("opens", False)
        self._due_s: int | None = kept.get("due_s")
        self._final: bool = kept.get("final", False)
        self._retries: int = kept.get("retries", 0)
        self._first_s: int | None = kept.get("first_s")
        self._settings = settings
        self._threshold = self._in_force()

    @property
    def settings(self) -> LimiterSettings:
        """As they are now."""
        return self._settings

    @property
    def opens(self) -> bool:
        """Whether it wants the breaker open: the cause `limiter`."""
        return self._opens

    @property
    def wants_button(self) -> bool:
        """Whether the retries are used up, and a person is to bring the supply back."""
        return self._final

    @property
    def exceeded(self) -> bool:
        """From the trip until the value has been below for `under_s`."""
        return self._exceeded

    @property
    def threshold(self) -> float | None:
        """`threshold_active` of class 71, in the settings' unit; None is no limit."""
        return self._threshold

    @property
    def limits_prepaid(self) -> bool:
        """Whether the prepaid maximum caps the threshold."""
        return self._used == "prepaid"

    @property
    def emergency_active(self) -> bool:
        """`emergency_profile_active` of class 71."""
        return self._emergency_active

    @property
    def emergency(self) -> tuple[int, int, int] | None:
        """`emergency_profile` of class 71: group, activation time (UTC), duration (s)."""
        return self._emergency

    @property
    def retries_left(self) -> int:
        """How many times it would still let the supply come back by itself."""
        return max(self._settings.retries - self._retries, 0)

    @property
    def due_s(self) -> int | None:
        """When it lets the supply come back (UTC); None where it waits for nothing."""
        return self._due_s

    def state(self) -> dict[str, Any]:
        """For a store to keep."""
        return {
            "used": self._used,
            "emergency": list(self._emergency) if self._emergency else None,
            "emergency_active": self._emergency_active,
            "over_s": self._over_s,
            "under_s": self._under_s,
            "exceeded": self._exceeded,
            "opens": self._opens,
            "due_s": self._due_s,
            "final": self._final,
            "retries": self._retries,
            "first_s": self._first_s,
        }

    def advance(self, step: Step) -> list[Event]:
        """Hold one measurement against the threshold; a mean over the step counts as its whole."""
        events: list[Event] = []
        if self._emergency is not None and step.clock_valid:
            events += self._follow_emergency(step.end_s)
        was_open = self._opens
        if self._due_s is not None and step.end_s >= self._due_s:
            self._due_s, self._opens = None, False
        if step.gap:
            self._over_s = self._under_s = 0
        threshold = self._threshold
        if threshold is None:
            self._over_s = 0
            if self._exceeded and not self._opens:
                self._exceeded, self._under_s = False, 0
                events.append(Event.of("limiter_ok", step.end_s, "no limit"))
            return events
        if was_open:
            # What flows through an open breaker, or past none, says nothing about the limit.
            self._over_s = self._under_s = 0
            return events
        value = self._value(step.measurement)
        if value > threshold:
            self._under_s = 0
            self._over_s += step.duration_s
            if self._over_s >= self._settings.over_s:
                events += self._trip(value, threshold, step.end_s)
            return events
        self._over_s = 0
        if self._exceeded:
            self._under_s += step.duration_s
            if self._under_s >= self._settings.under_s:
                self._exceeded, self._under_s = False, 0
                events.append(Event.of("limiter_ok", step.end_s, self._worded(value)))
        return events

    def use(self, which: Which, now_s: int) -> list[Event]:
        """Choose the threshold: "prepaid" caps the normal one, "emergency" stands in its place.

        Raises RefusedError where there is no such threshold.
        """
        if which == self._used:
            return []
        if which != "normal" and self._settings.threshold(which) is None:
            raise RefusedError(f"no {which} threshold is set")
        self._used = which
        return self._changed(now_s)

    def activate_emergency(
        self, group: int, activation_s: int, duration_s: int, now_s: int
    ) -> list[Event]:
        """Write `emergency_profile`: from `activation_s` (UTC) for `duration_s`.

        Raises RefusedError for a group that this meter is not of, or where there is no threshold.
        """
        settings = self._settings
        if group not in settings.emergency_groups:
            mine = ", ".join(map(str, settings.emergency_groups)) or "none"
            raise RefusedError(f"emergency group {group}; this meter's groups are {mine}")
        if settings.threshold("emergency") is None:
            raise RefusedError("no emergency threshold is set")
        if duration_s <= 0:
            raise RefusedError(f"an emergency of {duration_s} s; it lasts 1 s at least")
        if (group, activation_s, duration_s) == self._emergency:
            return []
        self._emergency = (group, activation_s, duration_s)
        return self._follow_emergency(now_s)

    def end_emergency(self, now_s: int) -> list[Event]:
        """Take the emergency profile away, whether active or still to come."""
        self._emergency = None
        return self._set_emergency(active=False, now_s=now_s)

    def reset(self, now_s: int) -> list[Event]:
        """The utility forgives: no trip, no retry used, no wait. Repeating it is harmless.

        What was open for good comes back by the button: the command is one from afar.
        """
        was_tripped = self._opens or self._exceeded
        self._over_s = self._under_s = self._retries = 0
        self._final = self._final and self._opens
        self._exceeded = self._opens = False
        self._due_s = self._first_s = None
        return [Event.of("limiter_ok", now_s, "reset")] if was_tripped else []

    def configure(self, settings: LimiterSettings, now_s: int) -> list[Event]:
        """Take other settings from now on. What waits goes on waiting as it was told."""
        self._settings = settings
        if settings.threshold("emergency") is None:
            self._emergency, self._emergency_active = None, False
        if self._used != "normal" and settings.threshold(self._used) is None:
            self._used = "normal"
        events = self._changed(now_s)
        if self._threshold is None:
            events += self.reset(now_s)
        return events

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """What measures a duration moves with the clock; an activation to come does not."""
        by_s = new_s - old_s
        if self._due_s is not None:
            self._due_s += by_s
        if self._first_s is not None:
            self._first_s += by_s
        if self._emergency_active and self._emergency is not None:
            group, activation_s, duration_s = self._emergency
            self._emergency = (group, activation_s + by_s, duration_s)

    def _value(self, measurement: Measurement) -> float:
        phases = measurement.phases
        if self._settings.monitored == "current":
            return max(phase.current_a for phase in phases)
        if self._vector:
            return max(sum(phase.active_power_w for phase in phases), 0.0)
        # Not netted, as the register of import power.
        return sum(phase.active_power_w for phase in phases if phase.active_power_w > 0)

    def _trip(self, value: float, threshold: float, now_s: int) -> list[Event]:
        settings = self._settings
        detail = f"{self._worded(value)} > {self._worded(threshold)}, {self._over_s} s"
        if self._final or (
            self._first_s is not None and now_s >= self._first_s + settings.window_s
        ):
            # A person brought the supply back, or the trips lie far apart: counted anew.
            self._retries, self._first_s = 0, None
        if self._first_s is None:
            self._first_s = now_s
        self._final = self._retries >= settings.retries
        if not self._final:
            self._retries += 1
        self._over_s = self._under_s = 0
        self._exceeded = self._opens = True
        stays = self._final and settings.final == "open"
        self._due_s = None if stays else now_s + settings.waiting_s
        return [Event.of("limiter_exceeded", now_s, detail)]

    def _in_force(self) -> float | None:
        """The emergency's in place of the normal one; a prepaid maximum caps either."""
        settings = self._settings
        in_emergency = self._emergency_active or self._used == "emergency"
        threshold = settings.threshold("emergency" if in_emergency else "normal")
        if self._used == "prepaid":
            prepaid = settings.threshold("prepaid")
            if prepaid is not None:
                return prepaid if threshold is None else min(prepaid, threshold)
        return threshold

    def _follow_emergency(self, now_s: int) -> list[Event]:
        assert self._emergency is not None
        _, activation_s, duration_s = self._emergency
        if now_s >= activation_s + duration_s:
            self._emergency = None
            return self._set_emergency(active=False, now_s=now_s)
        return self._set_emergency(active=now_s >= activation_s, now_s=now_s)

    def _set_emergency(self, *, active: bool, now_s: int) -> list[Event]:
        if active == self._emergency_active:
            return []
        self._emergency_active = active
        return self._changed(now_s)

    def _changed(self, now_s: int) -> list[Event]:
        old, self._threshold = self._threshold, self._in_force()
        if old == self._threshold:
            return []
        self._over_s = 0
        if self._threshold is None:
            return [Event.of("limiter_changed", now_s, "no limit")]
        which = "emergency" if self._emergency_active else self._used
        return [Event.of("limiter_changed", now_s, f"{self._worded(self._threshold)}, {which}")]

    def _worded(self, value: float) -> str:
        unit = self._settings.unit
        return f"{value:.0f} {unit}" if unit == "W" else f"{value:.2f} {unit}"
