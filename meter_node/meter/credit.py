"""Prepayment: credit that is counted down by what is drawn, and the wish to cut at zero.

Must not know the breaker (it has causes of its own to be open), the store or who types tokens.

Credit is kept in nWh, exactly. Emergency credit is a loan: it is added to the credit and owed, and
the next top-up repays it first. So at every moment, to the last nanowatt-hour,

    credit − debt = top-ups − consumption since prepayment was switched on.

While supply goes on without credit (in friendly hours) the credit is below zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, field_validator

from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step
from meter_node.meter.token import HIGHEST, TokenError, TokenFault, read, verify

NWH_PER_WH = 10**9
MINUTES_A_DAY = 1440
MOST_EXCEPTION_DAYS = 100
TRIES_AN_HOUR = 5
HOUR_S = 3600
LOG_EVERY_S = 900
"""Refusals are logged at most so often (a quarter-hour): noise must not push out evidence."""
_Amount = Annotated[int, within(0, HIGHEST, "an amount of {}", "Wh")]
_Minute = Annotated[int, within(0, MINUTES_A_DAY - 1, "minute {} of a day", "")]


class CreditSettings(BaseModel):
    """Parameters of prepayment. Supply is cut only from `friendly_until` to `friendly_from`.

    Times are minutes of the local day (18:00 is 1080); the same twice means no friendly hours.
    Weekdays count from Monday, 0. `non_working_days`: dates beside those that the tariff calendar
    names as special days. The maker's default is no cut from 18 to 09 on weekdays and none on other
    days; the amounts are our own, 20 kWh being some two days of a Danish house (4 000 kWh a year).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    low_credit_wh: _Amount = 20_000
    emergency_credit_wh: _Amount = 5_000
    maximum_credit_wh: _Amount = 10_000_000
    friendly_from_minute: _Minute = 18 * 60
    friendly_until_minute: _Minute = 9 * 60
    non_working_weekdays: tuple[int, ...] = (5, 6)
    non_working_days: tuple[date, ...] = ()

    @field_validator("non_working_weekdays")
    @classmethod
    def _are_weekdays(cls, weekdays: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [weekday for weekday in weekdays if not 0 <= weekday <= 6]
        if wrong:
            raise ValueError(f"weekday {wrong[0]}; possible are 0 (Monday) to 6 (Sunday)")
        return weekdays

    @field_validator("non_working_days")
    @classmethod
    def _are_few(cls, days: tuple[date, ...]) -> tuple[date, ...]:
        if len(days) > MOST_EXCEPTION_DAYS:
            raise ValueError(f"{len(days)} exception days; at most {MOST_EXCEPTION_DAYS}")
        return days


class _Refusals:
    """Refused tokens that no log entry tells of yet, and when the last one was written."""

    def __init__(self, counts: Mapping[str, int], logged_s: int | None) -> None:
        self.counts = dict(counts)
        self.logged_s = logged_s

    def add(self, why: str) -> None:
        self.counts[why] = self.counts.get(why, 0) + 1

    def due(self, now_s: int) -> list[Event]:
        """One entry for all that waits, unless the last one is younger than a quarter-hour."""
        if not self.counts:
            return []
        # A last entry in the future is of a clock that was lost since.
        if self.logged_s is not None and 0 <= now_s - self.logged_s < LOG_EVERY_S:
            return []
        detail = ", ".join(f"{count} × {why}" for why, count in sorted(self.counts.items()))
        self.counts.clear()
        self.logged_s = now_s
        return [Event.of("token_refused", now_s, detail)]


class Credit:
    """The credit of one meter; see `CreditSettings` for what it goes by.

    Of the tokens only the highest sequence is kept, and each must be higher. That is one number,
    which is committed with the credit it stands for, which does not grow over the years, and which
    a published image can give back after a restore (`spent_up_to`); a set of spent tokens would do
    none of these. The price: a token entered after a later one is void.
    """

    def __init__(
        self,
        settings: CreditSettings,
        local: LocalTime,
        system_title: bytes,
        vending_key: bytes | None,
        kept: Mapping[str, Any] | None = None,
        is_special_day: Callable[[date], bool] = lambda day: False,
    ) -> None:
        """`kept` is a `state` of before; without a key no token is taken.

        `is_special_day`: whether the tariff calendar names a date; such a day is no working day.
        """
        self.vending_key = vending_key
        self._is_special_day = is_special_day
        self._local = local
        self._system_title = system_title
        kept = kept or {}
        self._enabled: bool = kept.get("enabled", False)
        self._credit_nwh: int = kept.get("credit_nwh", 0)
        self._debt_nwh: int = kept.get("debt_nwh", 0)
        self._sequence: int = kept.get("sequence", 0)
        self._low_told: bool = kept.get("low_told", False)
        self._exhausted_told: bool = kept.get("exhausted_told", False)
        self._cut: bool = kept.get("cut", False)
        self._tries_s: list[int] = list(kept.get("tries_s", ()))
        self._refusals = _Refusals(kept.get("refusals", {}), kept.get("refusals_logged_s"))
        self._take(settings)

    @property
    def enabled(self) -> bool:
        """Whether consumption is counted down."""
        return self._enabled

    @property
    def credit_nwh(self) -> int:
        """What is left, emergency credit included; below zero while supply goes on without."""
        return self._credit_nwh

    @property
    def debt_nwh(self) -> int:
        """Emergency credit that is not repaid."""
        return self._debt_nwh

    @property
    def sequence(self) -> int:
        """The highest sequence of a token that was taken; 0 before the first."""
        return self._sequence

    @property
    def low(self) -> bool:
        """Whether the credit is at or below the warning's threshold."""
        return self._enabled and self._credit_nwh <= self._low_nwh

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left, cut or not."""
        return self._enabled and self._credit_nwh <= 0

    @property
    def cut_wanted(self) -> bool:
        """Whether the breaker is to be open for want of credit: the cause CREDIT.

        Once wanted it stays until there is credit: no friendly hour and no lost clock lifts it.
        """
        return self._cut

    def advance(self, step: Step, import_nwh: int) -> list[Event]:
        """Count down by what the step booked to total A+ (1.8.0), as the summation has it."""
        events: list[Event] = []
        now_s = step.end_s
        if self._enabled is not self._settings.enabled:
            events += self._switch(now_s)
        if self._refusals.counts:
            events += self._refusals.due(now_s)
        if not self._enabled:
            return events
        self._credit_nwh -= import_nwh
        if self._credit_nwh <= self._low_nwh:
            self._warn(now_s, events)
            if self._credit_nwh <= 0 and not self._cut and step.clock_valid:
                self._cut = not self._is_friendly(now_s)
        return events

    def enter(self, text: str, now_s: int) -> list[Event]:
        """Take a token: credit and sequence change together, or nothing does.

        Raises RefusedError. A *try* is a well-typed token that is not genuine for this meter: five
        within an hour, then the next one is not even looked at. A mistyped token is none, since
        the check symbol alone refuses it, nor is a genuine one that was counted before: neither
        brings anybody nearer to a forgery. A refusal changes the state, too: commit it.
        """
        if not self._enabled:
            raise RefusedError("prepayment is off: no token is taken")
        if self.vending_key is None:
            raise RefusedError("this meter has no vending key: no token is taken")
        # A try in the future is of a clock that was lost since: it was at the latest now.
        self._tries_s = [min(at, now_s) for at in self._tries_s if now_s - at < HOUR_S]
        if len(self._tries_s) >= TRIES_AN_HOUR:
            self._refusals.add("locked")
            wait_s = min(self._tries_s) + HOUR_S - now_s
            raise RefusedError(
                f"{TRIES_AN_HOUR} tries within an hour; the next is possible in {wait_s} s"
            )
        try:
            token = read(text)
            verify(self.vending_key, self._system_title, token)
        except TokenError as error:
            self._refusals.add(error.fault.value)
            if error.fault is not TokenFault.MISTYPED:
                self._tries_s.append(now_s)
            raise RefusedError(str(error)) from None
        if token.sequence <= self._sequence:
            self._refusals.add("spent")
            raise RefusedError(
                f"token {token.sequence} is spent: the meter has counted token {self._sequence}"
            )
        credit_nwh = token.credit_wh * NWH_PER_WH
        repaid_nwh = min(self._debt_nwh, credit_nwh)
        after_nwh = self._credit_nwh + credit_nwh - repaid_nwh
        if after_nwh > self._settings.maximum_credit_wh * NWH_PER_WH:
            self._refusals.add("above_maximum")
            raise RefusedError(
                f"the credit would be {after_nwh // NWH_PER_WH} Wh; at most "
                f"{self._settings.maximum_credit_wh} Wh. The token stays good"
            )
        self._sequence = token.sequence
        self._debt_nwh -= repaid_nwh
        self._credit_nwh = after_nwh
        self._rearm()
        return [Event.of("token_accepted", now_s, f"{token.credit_wh} Wh, {token.sequence}")]

    def take_emergency(self, now_s: int) -> list[Event]:
        """Borrow the emergency credit: once until it is repaid, when the credit is low.

        Raises RefusedError.
        """
        loan_nwh = self._settings.emergency_credit_wh * NWH_PER_WH
        if not self._enabled:
            raise RefusedError("prepayment is off: there is no emergency credit")
        if not loan_nwh:
            raise RefusedError("this meter gives no emergency credit")
        if self._debt_nwh:
            raise RefusedError(
                f"emergency credit was taken; {-(-self._debt_nwh // NWH_PER_WH)} Wh are to be "
                "repaid first"
            )
        if not self.low:
            raise RefusedError(f"the credit is above {self._settings.low_credit_wh} Wh")
        if self._credit_nwh + loan_nwh <= 0:
            raise RefusedError(
                f"{-self._credit_nwh // NWH_PER_WH} Wh were drawn without credit: the emergency "
                f"credit of {self._settings.emergency_credit_wh} Wh would not suffice"
            )
        self._debt_nwh = loan_nwh
        self._credit_nwh += loan_nwh
        self._rearm()
        return [Event.of("emergency_credit", now_s, f"{self._settings.emergency_credit_wh} Wh")]

    def change(self, settings: CreditSettings, now_s: int) -> list[Event]:
        """Other parameters; to switch prepayment off resets credit and debt and lifts the cause."""
        self._take(settings)
        self._rearm()
        return self._switch(now_s) if self._enabled is not settings.enabled else []

    def spent_up_to(self, sequence: int) -> None:
        """Never take a token up to this one again: the floor that a published image gives."""
        self._sequence = max(self._sequence, sequence)

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """The hour of the tries and the quarter-hour of the log are durations: they move along."""
        shift_s = new_s - old_s
        self._tries_s = [at + shift_s for at in self._tries_s]
        if self._refusals.logged_s is not None:
            self._refusals.logged_s += shift_s

    def state(self) -> dict[str, Any]:
        """Credit and the sequence it stands for in one, with all that is open."""
        return {
            "enabled": self._enabled,
            "credit_nwh": self._credit_nwh,
            "debt_nwh": self._debt_nwh,
            "sequence": self._sequence,
            "low_told": self._low_told,
            "exhausted_told": self._exhausted_told,
            "cut": self._cut,
            "tries_s": list(self._tries_s),
            "refusals": dict(self._refusals.counts),
            "refusals_logged_s": self._refusals.logged_s,
        }

    def _take(self, settings: CreditSettings) -> None:
        self._settings = settings
        self._low_nwh = settings.low_credit_wh * NWH_PER_WH
        self._non_working_days = frozenset(settings.non_working_days)

    def _switch(self, now_s: int) -> list[Event]:
        self._enabled = self._settings.enabled
        if self._enabled:
            return [Event.of("prepayment_on", now_s)]
        left_wh = self._credit_nwh // NWH_PER_WH
        self._credit_nwh = self._debt_nwh = 0
        self._low_told = self._exhausted_told = self._cut = False
        return [Event.of("prepayment_off", now_s, f"{left_wh} Wh")]

    def _warn(self, now_s: int, events: list[Event]) -> None:
        if not self._low_told:
            self._low_told = True
            if self._low_nwh:
                detail = f"{self._credit_nwh // NWH_PER_WH} Wh"
                events.append(Event.of("credit_low", now_s, detail))
        if self._credit_nwh <= 0 and not self._exhausted_told:
            self._exhausted_told = True
            events.append(Event.of("credit_exhausted", now_s))

    def _rearm(self) -> None:
        """After credit has come: what is no longer so may be told again, and is no cause."""
        if self._credit_nwh > self._low_nwh:
            self._low_told = False
        if self._credit_nwh > 0:
            self._exhausted_told = self._cut = False

    def _is_friendly(self, now_s: int) -> bool:
        day = self._local.day(now_s)
        if day.weekday() in self._settings.non_working_weekdays:
            return True
        if day in self._non_working_days or self._is_special_day(day):
            return True
        minute = self._local.minute_of_day(now_s)
        start, until = self._settings.friendly_from_minute, self._settings.friendly_until_minute
        if start <= until:
            return start <= minute < until
        return minute >= start or minute < until
