"""What may be asked of a meter, command by command.

Each is carried out whole and logged, or refused (RefusedError) with nothing changed. `who` goes to
the log. Must not know who may ask for what: whoever takes a request in looks at its key and role.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from meter_node.channel.event_codes import Log
from meter_node.meter.event import Event
from meter_node.meter.meter import Meter
from meter_node.meter.refused import RefusedError
from meter_node.meter.relays import Command, Relay
from meter_node.meter.supply import By
from meter_node.meter.supply_control import SupplyControl


class Commands:
    """The commands of one meter, at the end of its last step."""

    def __init__(self, meter: Meter) -> None:
        """Command this meter."""
        self._meter = meter

    @property
    def now_ns(self) -> int:
        """The meter's own time (UTC) at the end of its last step: what `set_clock` starts from."""
        return self._meter.clock.now_ns

    def change_parameters(self, changes: Mapping[str, object], who: str) -> None:
        """Change fields of sections of the parameters: all of them, or none."""
        self._meter.change_parameters(changes, who)

    def keys_changed(self, who: str) -> None:
        """Log that a client has sent new keys, which are kept by now."""
        self._meter.log([Event.of("keys_changed", self._meter.now_s, who)])

    # --- clock, logs and counters ----------------------------------------------------------------

    def set_clock(self, to_ns: int, who: str) -> None:
        """Set the clock (UTC): a little is slewed, more is a step."""
        self._meter.set_clock(to_ns, who)

    def clear_log(self, log: Log, who: str) -> None:
        """Empty a log; that it was emptied is its first entry."""
        meter = self._meter
        meter.keep_rows([meter.logs.clear(log, meter.now_s, who)])

    def count(self, name: str, source: str) -> None:
        """Log what may come in floods (a failed authentication, a replay), counted."""
        meter = self._meter
        meter.keep_rows(meter.logs.counted(name, source, meter.now_s))

    def reset_customer_counter(self, who: str) -> None:
        """Let the customer's own counter begin at zero."""
        meter = self._meter
        meter.energy.reset_customer_counter()
        meter.log([Event.of("customer_counter_reset", meter.now_s, who)])

    def clear_errors(self, who: str) -> None:
        """The utility has seen to what a self-test found."""
        meter = self._meter
        events = meter.status.clear_errors(meter.now_s)
        meter.log(Event(event.code, event.time_s, f"{event.detail}; {who}") for event in events)

    # --- tariffs ---------------------------------------------------------------------------------

    def upload_calendar(self, calendar: object, activate_at_s: int | None) -> None:
        """Take a passive calendar (parsed JSON), for a date or for `activate_calendar`."""
        meter = self._meter
        try:
            events = meter.tariff.upload(calendar, activate_at_s, meter.now_s)
        except RefusedError as error:
            meter.log([Event.of("parameters_refused", meter.now_s, f"tariff: {error}")])
            raise
        meter.log(events)

    def activate_calendar(self) -> None:
        """Put the passive calendar in force; registers are billed before."""
        self._meter.log(self._meter.tariff.activate_now(self._meter.now_s))

    def override_tariff(self, tariff: int, until_s: int) -> None:
        """Put a tariff in force until a time, whatever the calendar says."""
        self._meter.log(self._meter.tariff.override(tariff, until_s, self._meter.now_s))

    def end_override(self) -> None:
        """Go back to the calendar at once."""
        self._meter.log(self._meter.tariff.end_override(self._meter.now_s))

    # --- supply ----------------------------------------------------------------------------------

    def disconnect(self, by: By = "remote", who: str = "") -> None:
        """Open the breaker from afar."""
        breaker = self._supply().breaker
        self._log_and_settle(breaker.disconnect(self._meter.now_s, by, who))

    def reconnect(self, by: By = "remote", who: str = "") -> None:
        """Close the breaker from afar, or make it ready for the button, as the mode wants."""
        breaker = self._supply().breaker
        self._log_and_settle(breaker.reconnect(self._meter.now_s, by, who))

    def clear_neutral(self, who: str) -> None:
        """The utility says that the neutral is mended. Never energises by itself."""
        meter = self._meter
        events = meter.neutral.clear(meter.now_s)
        if meter.supply is not None:
            events += meter.supply.breaker.clear_neutral(meter.now_s, who)
        meter.log(events)

    def reset_limiter(self) -> None:
        """Forgive all trips."""
        self._log_and_settle(self._supply().limiter.reset(self._meter.now_s))

    def activate_emergency(self, group: int, activation_s: int, duration_s: int) -> None:
        """Put the limiter's emergency threshold in force for a time."""
        limiter = self._supply().limiter
        self._log_and_settle(
            limiter.activate_emergency(group, activation_s, duration_s, self._meter.now_s)
        )

    def end_emergency(self) -> None:
        """Take the emergency threshold away."""
        self._log_and_settle(self._supply().limiter.end_emergency(self._meter.now_s))

    # --- prepayment ------------------------------------------------------------------------------

    def enter_token(self, text: str) -> None:
        """Take a top-up token: it counts once. A refusal counts as a try and is kept, too."""
        if self._meter.tokens_wait:
            raise RefusedError(
                "this meter was restored from a back-up: the utility has to say that tokens may be "
                "taken again"
            )
        credit = self._supply().credit
        self._meter.keep_at_once()
        self._log_and_settle(credit.enter(text, self._meter.now_s))

    def take_emergency_credit(self) -> None:
        """Borrow the emergency credit."""
        self._log_and_settle(self._supply().credit.take_emergency(self._meter.now_s))

    def allow_tokens(self, spent_up_to: int, who: str) -> None:
        """After a restore: tokens up to this sequence are spent, later ones are taken again."""
        self._supply().credit.spent_up_to(spent_up_to)
        self._meter.tokens_wait = False
        detail = f"tokens above {spent_up_to}; {who}"
        self._meter.log([Event.of("parameters_changed", self._meter.now_s, detail)])

    # --- load relays -----------------------------------------------------------------------------

    def command_relay(
        self, number: int, command: Command, by: Literal["utility", "consumer"]
    ) -> None:
        """Force a load relay on or off, or leave it to the next in line."""
        self._meter.log(self._relay(number).command(command, self._meter.now_s, by))

    def _supply(self) -> SupplyControl:
        if self._meter.supply is None:
            raise RefusedError("this meter has no breaker")
        return self._meter.supply

    def _relay(self, number: int) -> Relay:
        if not 1 <= number <= len(self._meter.relays):
            raise RefusedError(
                f"load relay {number}; this meter has {len(self._meter.relays) or 'none'}"
            )
        return self._meter.relays[number - 1]

    def _log_and_settle(self, events: list[Event]) -> None:
        meter = self._meter
        meter.log([*events, *self._supply().settle(meter.now_s, meter.neutral)])
