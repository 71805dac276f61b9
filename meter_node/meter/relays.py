"""The load relays: on by tariff, by a table of their own or by command, and never all at once.

Must not know lines, nor which tariff is in force: it is told. One `Relay` is one relay; two know
nothing of each other.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.local_time import DAY_S, MINUTE_S, LocalTime
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step

LONGEST_DELAY_S = 10_800
MOST_CHANGES = 8
HIGHEST_TARIFF = 8
DAY_MINUTES = DAY_S // MINUTE_S
# 1 January 1970 was a Thursday; days of the week count from Monday.
_EPOCH_WEEKDAY = 3


class Source(StrEnum):
    """Who decides whether a relay is on."""

    UTILITY = "utility"
    CONSUMER = "consumer"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Precedence:
    """One row of `PRIORITIES`; `delayed`: whether the random delay lies before going on."""

    source: Source
    delayed: bool


PRIORITIES: tuple[Precedence, ...] = (
    Precedence(Source.UTILITY, True),
    Precedence(Source.CONSUMER, False),
    Precedence(Source.OWN, True),
)
"""Sources, the strongest first; the first that commands decides, and `own` always does.

The delay keeps a whole grid from going on in one second, as tariffs and a utility's broadcast would
have it. One consumer's own command is for his house alone.
"""

type Command = Literal["automatic", "on", "off"]
COMMANDS: tuple[Command, ...] = ("automatic", "on", "off")


class RelayDay(BaseModel):
    """Changes of the own table on some days of the week (Monday 0): (minute of the day, on)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: tuple[int, ...]
    changes: tuple[tuple[int, bool], ...]

    @field_validator("days")
    @classmethod
    def _days(cls, days: tuple[int, ...]) -> tuple[int, ...]:
        for day in days:
            if not 0 <= day <= 6:
                raise ValueError(f"day {day}; possible are 0 (Monday) to 6 (Sunday)")
        return days

    @field_validator("changes")
    @classmethod
    def _changes(cls, changes: tuple[tuple[int, bool], ...]) -> tuple[tuple[int, bool], ...]:
        if len(changes) > MOST_CHANGES:
            raise ValueError(f"{len(changes)} changes a day; possible are {MOST_CHANGES}")
        minutes = [minute for minute, _ in changes]
        if any(not 0 <= minute < DAY_MINUTES for minute in minutes):
            raise ValueError(f"a minute outside 0 to {DAY_MINUTES - 1}: {minutes}")
        if minutes != sorted(set(minutes)):
            raise ValueError(f"the minutes do not rise: {minutes}")
        return changes


class RelaySettings(BaseModel):
    """What a utility sets for one relay.

    `own` is what decides without a command: "tariff" is on in `tariffs`, "table" follows `table`
    (local time; the state runs on over days without changes), "off" is off. `delay_s` is the
    largest random delay before going on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    own: Literal["tariff", "table", "off"] = "off"
    tariffs: tuple[int, ...] = ()
    table: tuple[RelayDay, ...] = ()
    delay_s: Annotated[int, within(0, LONGEST_DELAY_S, "a delay of {}")] = 0
    consumer_may_command: bool = True

    @field_validator("tariffs")
    @classmethod
    def _tariffs(cls, tariffs: tuple[int, ...]) -> tuple[int, ...]:
        for tariff in tariffs:
            if not 1 <= tariff <= HIGHEST_TARIFF:
                raise ValueError(f"tariff {tariff}; possible are 1 to {HIGHEST_TARIFF}")
        return tariffs

    @field_validator("table")
    @classmethod
    def _table(cls, table: tuple[RelayDay, ...]) -> tuple[RelayDay, ...]:
        days = [day for row in table for day in row.days]
        if len(days) != len(set(days)):
            raise ValueError(f"a day of the week twice: {days}")
        return table


class Relay:
    """One load relay: `on_wanted`, and `pending_s` where it is about to go on."""

    def __init__(
        self,
        number: int,
        settings: RelaySettings,
        seed: str,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """`seed` is the meter's own: the same gives the same delays. `kept` is a `state`."""
        kept = kept or {}
        self.number = number
        self._seed = seed
        self._on: bool = kept.get("on", False)
        self._draws: int = kept.get("draws", 0)
        self._due_s: int | None = kept.get("due_s")
        commands = kept.get("commands", {})
        self._commands: dict[Source, bool | None] = {
            source: commands.get(source) for source in (Source.UTILITY, Source.CONSUMER)
        }
        self._own_on: bool = kept.get("own_on", False)
        self._take(settings)
        self._decide()

    @property
    def settings(self) -> RelaySettings:
        """As they are now."""
        return self._settings

    @property
    def on_wanted(self) -> bool:
        """Whether the relay is to be on."""
        return self._on

    @property
    def pending_s(self) -> int | None:
        """When it goes on (UTC), the delay drawn; None where nothing is due."""
        return self._due_s

    @property
    def source(self) -> Source:
        """Who decides."""
        return self._decides.source

    @property
    def consumer_command(self) -> Command:
        """What the consumer chose."""
        return _word(self._commands[Source.CONSUMER])

    @property
    def utility_command(self) -> Command:
        """What the utility chose; "automatic" leaves it to the consumer and the own table."""
        return _word(self._commands[Source.UTILITY])

    def state(self) -> dict[str, Any]:
        """For a store to keep."""
        return {
            "on": self._on,
            "draws": self._draws,
            "due_s": self._due_s,
            "commands": {str(source): on for source, on in self._commands.items()},
            "own_on": self._own_on,
        }

    def advance(self, step: Step, tariff: int, local: LocalTime) -> list[Event]:
        """Follow the tariff (1 to 8) or the table at the step's start, and what is due."""
        # A clock that is not valid decides nothing by the time of day.
        if step.clock_valid:
            own = self._settings.own
            if own == "tariff":
                self._own_on = tariff in self._settings.tariffs
            elif own == "table":
                self._own_on = self._by_table(step.start_s, local)
        if self._due_s is None and self._target == self._on:
            return []
        return self._follow(step.end_s)

    def command(
        self, command: Command, now_s: int, by: Literal["utility", "consumer"]
    ) -> list[Event]:
        """Force on or off, or leave it to the next in line. Raises RefusedError.

        A consumer's command under a utility's is kept, and acts when the utility lets go.
        """
        if command not in COMMANDS:
            raise RefusedError(f"a relay is commanded {', '.join(COMMANDS)}, not {command!r}")
        source = Source(by)
        if source is Source.CONSUMER and not self._settings.consumer_may_command:
            raise RefusedError(f"the utility does not let the consumer command relay {self.number}")
        on = None if command == "automatic" else command == "on"
        if self._commands[source] is on:
            return []
        self._commands[source] = on
        self._decide()
        told = Event.of("relay_commanded", now_s, f"relay {self.number} {command}, {source}")
        return [told, *self._follow(now_s)]

    def configure(self, settings: RelaySettings) -> None:
        """Take other settings; they act from the next step. A delay already drawn stays."""
        self._take(settings)
        if not settings.consumer_may_command:
            self._commands[Source.CONSUMER] = None
            self._decide()

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """A delay is a duration: it moves with the clock."""
        if self._due_s is not None:
            self._due_s += new_s - old_s

    def _take(self, settings: RelaySettings) -> None:
        self._settings = settings
        if settings.own == "off":
            self._own_on = False
        week = sorted(
            (day * DAY_MINUTES + minute, on)
            for row in settings.table
            for day in row.days
            for minute, on in row.changes
        )
        self._week_minutes = [minute for minute, _ in week]
        self._week_on = [on for _, on in week]

    def _by_table(self, utc_s: int, local: LocalTime) -> bool:
        if not self._week_on:
            return False
        minute = (utc_s + local.offset_s(utc_s)) // MINUTE_S + _EPOCH_WEEKDAY * DAY_MINUTES
        place = bisect_right(self._week_minutes, minute % (7 * DAY_MINUTES))
        # Before the first change of a week stands the last one of the week before: place − 1 wraps.
        return self._week_on[place - 1]

    def _decide(self) -> None:
        """Find the strongest source that commands; nobody does it at every step anew."""
        self._decides = next(
            (row for row in PRIORITIES if self._commands.get(row.source) is not None),
            PRIORITIES[-1],
        )
        self._forced = self._commands.get(self._decides.source)

    @property
    def _target(self) -> bool:
        return self._own_on if self._forced is None else self._forced

    def _follow(self, now_s: int) -> list[Event]:
        if not self._target:
            self._due_s = None
            return self._switch(False, now_s) if self._on else []
        if self._on:
            return []
        if not self._decides.delayed:
            return self._switch(True, now_s)
        if self._due_s is None:
            self._due_s = now_s + self._draw()
        return self._switch(True, now_s) if now_s >= self._due_s else []

    def _draw(self) -> int:
        """Uniform over 0 to `delay_s`, both included; never the same draw twice."""
        if not self._settings.delay_s:
            return 0
        self._draws += 1
        drawn = random.Random(f"{self._seed} {self.number} {self._draws}")  # noqa: S311 - no secret
        return drawn.randint(0, self._settings.delay_s)

    def _switch(self, on: bool, now_s: int) -> list[Event]:
        self._on, self._due_s = on, None
        source = self.source
        by = self._settings.own if source is Source.OWN else source
        word = "on" if on else "off"
        return [Event.of("relay_switched", now_s, f"relay {self.number} {word}, {by}")]


def _word(on: bool | None) -> Command:
    if on is None:
        return "automatic"
    return "on" if on else "off"
