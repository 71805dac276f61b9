"""Supply control put together: what limiter, credit and neutral guard ask of the breaker.

Must not know registers, lines, or who commands with which right. The order within a step: limiter
and credit look at what was drawn, the breaker hears of their causes and of the neutral, then of its
button. Which cause outranks which is the table in `supply`.
"""

from __future__ import annotations

from typing import Any

from meter_node.meter.credit import Credit
from meter_node.meter.event import Event
from meter_node.meter.limiter import Limiter
from meter_node.meter.neutral import NeutralProtection
from meter_node.meter.snapshot import BreakerState, CreditState, LimiterState
from meter_node.meter.step import Step
from meter_node.meter.supply import PRIORITIES, Breaker, Cause

_NWH_PER_WH = 10**9


class SupplyControl:
    """The breaker of a meter that has one, with all that may open it."""

    def __init__(self, breaker: Breaker, limiter: Limiter, credit: Credit) -> None:
        """Take parts that go on from where they were kept."""
        self.breaker = breaker
        self.limiter = limiter
        self.credit = credit

    def advance(self, step: Step, import_nwh: int, neutral: NeutralProtection) -> list[Event]:
        """Go on by a step in which so much was booked to total A+."""
        events = self.limiter.advance(step)
        events += self.credit.advance(step, import_nwh)
        events += self.settle(step.end_s, neutral)
        events += self.breaker.advance(step)
        return events

    def settle(self, now_s: int, neutral: NeutralProtection) -> list[Event]:
        """Let the breaker hear what is wanted of it: after a step, a command, a change."""
        breaker, limiter, credit = self.breaker, self.limiter, self.credit
        events: list[Event] = []
        if neutral.trips:
            events += breaker.trip_neutral(now_s)
        events += self._limit_prepaid(now_s)
        if limiter.opens:
            events += breaker.cause_arisen(Cause.LIMITER, now_s)
        else:
            events += breaker.cause_gone(Cause.LIMITER, now_s, button=limiter.wants_button)
        if credit.cut_wanted:
            events += breaker.cause_arisen(Cause.CREDIT, now_s)
        else:
            events += breaker.cause_gone(Cause.CREDIT, now_s)
        return events

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """What measures a duration moves with the clock."""
        self.limiter.clock_changed(old_s, new_s)
        self.credit.clock_changed(old_s, new_s)

    def states(self) -> dict[str, dict[str, Any]]:
        """What outlives a power cut, part by part."""
        return {
            "breaker": self.breaker.state(),
            "limiter": self.limiter.state(),
            "credit": self.credit.state(),
        }

    @property
    def breaker_state(self) -> BreakerState:
        """As the meter shows it."""
        breaker = self.breaker
        causes = breaker.causes
        return BreakerState(
            breaker.output_state,
            int(breaker.control_state),
            breaker.control_mode,
            breaker.closed_wanted,
            tuple(str(row.cause) for row in PRIORITIES if row.cause in causes),
            breaker.button_reconnects,
            breaker.consumer_reconnects,
        )

    @property
    def limiter_state(self) -> LimiterState:
        """As the meter shows it."""
        limiter, settings = self.limiter, self.limiter.settings
        return LimiterState(
            settings.unit,
            limiter.threshold,
            settings.threshold("normal"),
            settings.threshold("emergency"),
            settings.over_s,
            settings.under_s,
            limiter.emergency_active,
            limiter.emergency,
        )

    @property
    def credit_state(self) -> CreditState | None:
        """As the meter shows it; None while prepayment is off."""
        credit = self.credit
        if not credit.enabled:
            return None
        return CreditState(
            credit.credit_nwh // _NWH_PER_WH,
            -(-credit.debt_nwh // _NWH_PER_WH),
            exhausted=credit.exhausted,
        )

    def alarms(self) -> set[str]:
        """The rows of the alarm register that hold now."""
        alarms = {
            "breaker_failure": self.breaker.failed,
            "limiter_exceeded": self.limiter.exceeded,
            "credit_low": self.credit.low,
            "credit_exhausted": self.credit.exhausted,
        }
        return {name for name, holds in alarms.items() if holds}

    def _limit_prepaid(self, now_s: int) -> list[Event]:
        """Turnover protection: who prepays draws no more power than the prepaid maximum."""
        limiter = self.limiter
        wanted = self.credit.enabled and limiter.settings.threshold("prepaid") is not None
        if wanted == limiter.limits_prepaid:
            return []
        return limiter.use("prepaid" if wanted else "normal", now_s)
