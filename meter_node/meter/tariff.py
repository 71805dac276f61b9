"""Tariff control: which of the eight tariffs is in force, by calendar, activation and override.

Energy, demand and relays go by what this says of a step. Must not know registers, nor who uploads
a calendar and with which right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from meter_node.channel.activity_calendar import (
    LOOK_AHEAD_DAYS,
    ActivityCalendar,
    CalendarError,
    DaySchedule,
    single_tariff,
    tariff_at,
)
from meter_node.meter.event import Event
from meter_node.meter.local_time import DAY_S, MINUTE_S, LocalTime
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step

LONGEST_OVERRIDE_S = 31 * DAY_S
"""An override is for a time; what is to last belongs into a calendar."""
LONGEST_WAIT_S = 3653 * DAY_S
"""Ten years; a date further away is a mistake."""
TARIFF_WITHOUT_TIME = 1
"""In force after a cut in which the clock was lost, until it is set."""
_BLOCK_S = 900  # LocalTime's: an offset changes on a quarter of an hour
_DAY_MIN = DAY_S // MINUTE_S


def _calendar(value: object) -> ActivityCalendar:
    return value if isinstance(value, ActivityCalendar) else ActivityCalendar.from_json(value)


class TariffSettings(BaseModel):
    """The active calendar; one tariff always until a utility says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calendar: Annotated[
        ActivityCalendar,
        PlainValidator(_calendar),
        PlainSerializer(ActivityCalendar.to_json),
    ] = single_tariff()


class TariffChange(NamedTuple):
    """The tariff that begins at a moment (UTC seconds)."""

    at_s: int
    tariff: int


class _Override(NamedTuple):
    tariff: int
    until_s: int


class _Passive(NamedTuple):
    calendar: ActivityCalendar
    activate_at_s: int | None
    """None: it waits for the command."""


class TariffControl:
    """The tariff of each step.

    The calendar is read in local time, whenever a minute begins at which it may say something
    else. An override outranks it until its time is over. A passive calendar takes the active one's
    place at its date, or at the first step after it when the power was off then.

    With an invalid clock nobody knows the date: the tariff in force stays, nothing is activated.
    After a cut in which the clock was lost it is tariff 1 and no override, since nobody knows how
    long it was; a restart while the clock is invalid anyway changes nothing.
    """

    def __init__(
        self, settings: TariffSettings, local: LocalTime, kept: Mapping[str, Any] | None = None
    ) -> None:
        self._configured = settings.calendar
        self._active = settings.calendar
        self._local = local
        self._by_calendar = TARIFF_WITHOUT_TIME
        self._clock_valid = True
        self._override: _Override | None = None
        self._passive: _Passive | None = None
        self._billing_due = False
        self._is_first_step = True
        # A step from here up to there finds nothing new.
        self._looked_at_s = 0
        self._look_again_s = 0
        self._next: tuple[int, TariffChange | None] | None = None
        if kept is not None:
            self._restore(kept)

    # --- what is in force -----------------------------------------------------------------------

    @property
    def tariff(self) -> int:
        """The tariff (1 to 8) in force since the last step began."""
        return self._by_calendar if self._override is None else self._override.tariff

    @property
    def calendar(self) -> ActivityCalendar:
        """The active calendar."""
        return self._active

    @property
    def settings(self) -> TariffSettings:
        """The settings in force: an activated calendar has taken the configured one's place."""
        return TariffSettings(calendar=self._active)

    @property
    def passive(self) -> ActivityCalendar | None:
        """The calendar that waits for its activation."""
        return None if self._passive is None else self._passive.calendar

    @property
    def activate_at_s(self) -> int | None:
        """When the passive calendar is to be activated; None: at a command, or there is none."""
        return None if self._passive is None else self._passive.activate_at_s

    @property
    def overridden_until_s(self) -> int | None:
        """When the override ends, None where none is in force."""
        return None if self._override is None else self._override.until_s

    @property
    def billing_due(self) -> bool:
        """Whether a calendar was activated: a snapshot of billing is due before energy is booked.

        True until `billing_taken`.
        """
        return self._billing_due

    def billing_taken(self) -> None:
        """Take note that the snapshot was made."""
        self._billing_due = False

    # --- time -----------------------------------------------------------------------------------

    def advance(self, step: Step) -> list[Event]:
        """Decide the tariff of a step by its start; return activations and ends of overrides."""
        if (
            self._looked_at_s <= step.start_s < self._look_again_s
            and step.clock_valid is self._clock_valid
        ):
            return []
        return self._look(step)

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """Go on after the clock was set: an override keeps its time, an activation its date."""
        if self._override is not None:
            until_s = self._override.until_s + new_s - old_s
            self._override = self._override._replace(until_s=until_s)
        self._look_anew()

    def _look(self, step: Step) -> list[Event]:
        now_s = step.start_s
        events: list[Event] = []
        # Neither the date nor the offset changes within a quarter-hour.
        look_again_s = now_s - now_s % _BLOCK_S + _BLOCK_S
        if step.clock_valid:
            if self._passive is not None:
                at_s = self._passive.activate_at_s
                if at_s is not None and at_s <= now_s:
                    events += self._activate(now_s)
            schedule = self._active.schedule_on(self._local.day(now_s))
            minute = self._local.minute_of_day(now_s)
            self._by_calendar = schedule.tariff_at(minute)
            look_again_s = min(look_again_s, _next_switch_s(schedule, minute, now_s))
        elif self._clock_valid and (step.gap or self._is_first_step):
            self._by_calendar = TARIFF_WITHOUT_TIME
            events += self.end_override(now_s)
        elif self._by_calendar > self._active.tariffs:  # activated or configured meanwhile
            self._by_calendar = TARIFF_WITHOUT_TIME
        if self._override is not None and self._override.until_s <= now_s:
            events += self.end_override(now_s)
        self._clock_valid = step.clock_valid
        self._is_first_step = False
        self._looked_at_s = now_s
        if self._override is not None:
            look_again_s = min(look_again_s, self._override.until_s)
        if step.clock_valid and self.activate_at_s is not None:
            look_again_s = min(look_again_s, self.activate_at_s)
        self._look_again_s = look_again_s
        return events

    def _look_anew(self) -> None:
        self._look_again_s = self._looked_at_s
        self._next = None

    # --- commands -------------------------------------------------------------------------------

    def override(self, tariff: int, until_s: int, now_s: int) -> list[Event]:
        """Put a tariff in force until a time, in place of what the calendar and others say.

        Raises RefusedError for a tariff that the calendar does not have, and a time that is past
        or more than 31 days away.
        """
        if not 1 <= tariff <= self._active.tariffs:
            raise RefusedError(
                f"tariff {tariff}; the calendar {self._active.name!r} has "
                f"1 to {self._active.tariffs}"
            )
        duration_s = until_s - now_s
        if not 1 <= duration_s <= LONGEST_OVERRIDE_S:
            raise RefusedError(
                f"an override of {duration_s} s; possible are 1 to {LONGEST_OVERRIDE_S} s"
            )
        self._override = _Override(tariff, until_s)
        self._look_anew()
        return [Event.of("tariff_override", now_s, f"T{tariff}, {duration_s} s")]

    def end_override(self, now_s: int) -> list[Event]:
        """Go back to the calendar at once; without an override nothing happens."""
        if self._override is None:
            return []
        ended = self._override.tariff
        self._override = None
        self._look_anew()
        return [Event.of("tariff_override", now_s, f"T{ended}, 0 s")]

    def upload(self, calendar: object, activate_at_s: int | None, now_s: int) -> list[Event]:
        """Take a passive calendar (parsed JSON, see `ActivityCalendar.from_json`) for later.

        It takes the place of one that waits. Without a date it waits for `activate_now`. Raises
        RefusedError where the calendar cannot be, or the date is past or over ten years away: both
        old ones stay.
        """
        try:
            uploaded = ActivityCalendar.from_json(calendar)
        except CalendarError as error:
            raise RefusedError(str(error)) from error
        when = ""
        if activate_at_s is not None:
            if activate_at_s <= now_s:
                raise RefusedError(f"activation {now_s - activate_at_s} s ago")
            if activate_at_s > now_s + LONGEST_WAIT_S:
                raise RefusedError(f"activation {activate_at_s - now_s} s ahead; at most ten years")
            when = f", {_shown(activate_at_s)}"
        self._passive = _Passive(uploaded, activate_at_s)
        self._look_anew()
        return [Event.of("calendar_programmed", now_s, uploaded.name + when)]

    def activate_now(self, now_s: int) -> list[Event]:
        """Put the passive calendar in force from the next step on, whatever its date.

        Raises RefusedError where there is none.
        """
        if self._passive is None:
            raise RefusedError("there is no passive calendar")
        return self._activate(now_s)

    def configure(self, settings: TariffSettings, now_s: int) -> list[Event]:
        """Put another calendar in force from the next step on; a passive one goes on waiting."""
        return self._put_in_force(settings.calendar, now_s)

    def _activate(self, now_s: int) -> list[Event]:
        assert self._passive is not None
        calendar, self._passive = self._passive.calendar, None
        return self._put_in_force(calendar, now_s)

    def _put_in_force(self, calendar: ActivityCalendar, now_s: int) -> list[Event]:
        self._active = calendar
        self._billing_due = True
        self._look_anew()
        events = [Event.of("calendar_activated", now_s, self._active.name)]
        if self._override is not None and self._override.tariff > self._active.tariffs:
            events += self.end_override(now_s)
        return events

    # --- what comes next ------------------------------------------------------------------------

    def next_change(self, now_s: int) -> TariffChange | None:
        """Return when the tariff will become another, as far as calendars and override tell.

        None where it will not within 400 days, and with an invalid clock.
        """
        if not self._clock_valid:
            return None
        if self._next is not None:
            asked_at_s, change = self._next
            good_until_s = asked_at_s + DAY_S if change is None else change.at_s
            if asked_at_s <= now_s < good_until_s:
                return change
        change = self._search(now_s)
        self._next = (now_s, change)
        return change

    def _search(self, now_s: int) -> TariffChange | None:
        now = self._tariff_then(now_s)
        for at_s in self._instants(now_s):
            tariff = self._tariff_then(at_s)
            if tariff != now:
                return TariffChange(at_s, tariff)
        return None

    def _tariff_then(self, at_s: int) -> int:
        calendar = self._active
        if self._passive is not None:
            activate_at_s = self._passive.activate_at_s
            if activate_at_s is not None and activate_at_s <= at_s:
                calendar = self._passive.calendar
        override = self._override
        if override is not None and at_s < override.until_s and override.tariff <= calendar.tariffs:
            return override.tariff
        return tariff_at(calendar, self._local.day(at_s), self._local.minute_of_day(at_s))

    def _instants(self, now_s: int) -> Iterator[int]:
        """Yield every moment after now at which the tariff might change, in order."""
        calendars = [self._active]
        others: list[int] = []
        if self._override is not None:
            others.append(self._override.until_s)
        if self._passive is not None and self._passive.activate_at_s is not None:
            calendars.append(self._passive.calendar)
            others.append(self._passive.activate_at_s)
        first = self._local.day(now_s).toordinal()
        midnight_s = self._midnight_s(date.fromordinal(first))
        for ordinal in range(first, first + LOOK_AHEAD_DAYS + 1):
            day = date.fromordinal(ordinal)
            next_midnight_s = self._midnight_s(date.fromordinal(ordinal + 1))
            moments = {at_s for at_s in others if midnight_s <= at_s < next_midnight_s}
            moments.update(self._offset_changes(midnight_s, next_midnight_s))
            for calendar in calendars:
                for minute, _ in calendar.schedule_on(day).switches:
                    moments.update(self._on_wall(day, minute))
            yield from sorted(at_s for at_s in moments if at_s > now_s)
            midnight_s = next_midnight_s

    def _midnight_s(self, day: date) -> int:
        return min(self._on_wall(day, 0))

    def _on_wall(self, day: date, minute: int) -> set[int]:
        """Return when it is that minute on the wall: twice in the night that repeats an hour.

        For a minute that is left out this names moments at which nothing happens.
        """
        local = datetime(
            day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=self._local.zone
        )
        return {round(local.replace(fold=fold).timestamp()) for fold in (0, 1)}

    def _offset_changes(self, from_s: int, to_s: int) -> Iterator[int]:
        before = self._local.offset_s(from_s)
        if self._local.offset_s(to_s) == before:
            return
        for at_s in range(from_s - from_s % _BLOCK_S, to_s + 1, _BLOCK_S):
            offset = self._local.offset_s(at_s)
            if offset != before:
                before = offset
                yield at_s

    # --- what outlives a power cut --------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what goes on after a power cut.

        An activated calendar is kept with the configured one whose place it took: where the
        settings have another one by then, that is newer and the activated one is forgotten.
        """
        override, passive = self._override, self._passive
        return {
            "tariff": self._by_calendar,
            "clock_valid": self._clock_valid,
            "override": None if override is None else [override.tariff, override.until_s],
            "passive": None
            if passive is None
            else {
                "calendar": passive.calendar.to_json(),
                "activate_at_s": passive.activate_at_s,
            },
            "activated": None
            if self._active == self._configured
            else {
                "calendar": self._active.to_json(),
                "in_place_of": self._configured.to_json(),
            },
            "billing_due": self._billing_due,
        }

    def _restore(self, kept: Mapping[str, Any]) -> None:
        self._by_calendar = kept["tariff"]
        self._clock_valid = kept["clock_valid"]
        self._billing_due = kept["billing_due"]
        passive, activated = kept["passive"], kept["activated"]
        if passive is not None:
            self._passive = _Passive(
                ActivityCalendar.from_json(passive["calendar"]), passive["activate_at_s"]
            )
        if activated is not None and activated["in_place_of"] == self._configured.to_json():
            self._active = ActivityCalendar.from_json(activated["calendar"])
        # Newer settings may have fewer tariffs.
        if kept["override"] is not None and kept["override"][0] <= self._active.tariffs:
            self._override = _Override(*kept["override"])


def _next_switch_s(schedule: DaySchedule, minute: int, now_s: int) -> int:
    """Return when the day's next switch is, or its end, counted from this minute of it."""
    later = (at for at, _ in schedule.switches if at > minute)
    return now_s - now_s % MINUTE_S + (next(later, _DAY_MIN) - minute) * MINUTE_S


def _shown(at_s: int) -> str:
    """Return a moment as an event's detail has it."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
