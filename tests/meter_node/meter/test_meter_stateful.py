"""The whole meter against a plain one: whatever is done to it, both say the same after each step.

`METER_NODE_FULL=1` performs 10 000 steps in place of 1 000; `scripts/bench stateful` does so.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from meter_node.channel.event_codes import BY_CODE, Log
from meter_node.meter.commands import Commands
from meter_node.meter.logs import GENESIS, verify
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import BillingRow, ChainHead, Image, LogRow, ProfileRow
from meter_node.meter.step import DigitalInputs
from meter_node.meter.token import make
from meter_node.meter.variant import Variant
from meter_node.metrology.measurement import Measurement, PhaseMeasurement
from tests.meter_node.meter.plain_meter import (
    CALENDARS,
    NANO,
    ROLLOVER_NWH,
    TARIFFED,
    ZONE,
    Load,
    PlainMeter,
    midnight_after,
    wall,
)

KEY, OTHER_KEY = bytes(range(16)), bytes(16)
TITLE, NEIGHBOUR = b"MTN\x01\x02\x03\x04\x05", b"MTN\x01\x02\x03\x04\x06"
RELAYS = 2
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
CONFIGURED = Parameters.model_validate({"tariff": {"calendar": CALENDARS["one"]}})
CLOSINGS = ("manual_connection", "remote_connection", "local_connection")
EXAMPLES, STEPS = 25, 40
FULL_EXAMPLES, FULL_STEPS = 140, 80


@dataclass
class Tally:
    """What a run has performed, and what came of it: a run in which nothing happens proves little.

    `effects` begin with the names in `EFFECTS`; others may be counted, too.
    """

    rules: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)

    @property
    def steps(self) -> int:
        return sum(self.rules.values())

    def without_effect(self) -> list[str]:
        """Rules that were never performed, and effects that never came."""
        never = [one.name for one in ACTIONS if not self.rules[one.name]]
        return never + [name for name in EFFECTS if not self.effects[name]]


TALLY = Tally()
EFFECTS = (
    *(f"opened: {cause}" for cause in ("neutral", "remote", "credit", "limiter", "manual")),
    *("closed: remote", "closed: button", "closed: by itself", "closed: consumer"),
    *("token: accepted", "token: spent", "token: forged", "token: mistyped", "token: neighbours"),
    *("token: locked", "token: above the maximum", "token: off"),
    *("restart: kept", "restart: crash", "restart: crash after a token"),
    *("clock: slewed", "clock: forward", "clock: back", "clock: source back", "clock: lost"),
    *("roll-over", "no cut in friendly hours", "no cut by an invalid clock", "limiter: final"),
    *(
        "limiter: emergency",
        "limiter: prepaid",
        "tariff: override",
        "tariff: activated at its date",
    ),
    *("relay: delayed", "relay: off", "profile: delta row", "profile: duplicate stamp"),
    *("peak", "new month", "bill: late", "bill: scheduled", "bill: monthly", "bill: clock_set"),
    *("parameters refused", "emergency credit", "two causes at once"),
)


def at(local: str) -> int:
    """UTC seconds of a Danish wall clock."""
    return round(datetime.fromisoformat(local).replace(tzinfo=ZONE).timestamp())


STARTS = (
    at("2026-03-02 10:58"),  # a Monday: supply may be cut
    at("2026-03-29 00:30"),  # the night without an hour between two and three
    at("2026-03-30 10:00"),  # a special day of one calendar
    at("2026-10-25 01:30"),  # the night with that hour twice
    at("2026-12-31 23:40"),
    at("2026-05-29 17:30") + 17,  # a Friday, off the minute
)
POWERS_W = st.sampled_from((0, 0, 1, 700, 1000, 2300, 7000, -1, -1500, -4000))
REACTIVES_VAR = st.sampled_from((0, 0, 1, 450, -300, -2000))
REMAINDERS_NWH = st.integers(-9, 9)
POWERS = st.tuples(*[st.tuples(POWERS_W, REACTIVES_VAR, REMAINDERS_NWH)] * 3)
DARK_S = st.sampled_from(
    (0, 1, 7, 59, 900, HOUR_S, 5 * HOUR_S, 47 * HOUR_S, 49 * HOUR_S, 33 * DAY_S)
)
CONSUMER = st.booleans()


@dataclass(frozen=True)
class Action:
    """What may be done to the meter: how often beside others, with what, and when."""

    name: str
    weight: int
    drawn: dict[str, st.SearchStrategy[Any]]
    possible: Callable[[WholeMeter], bool]


ACTIONS: list[Action] = []


def action(
    weight: int = 2,
    possible: Callable[[WholeMeter], bool] = lambda machine: True,
    **drawn: st.SearchStrategy[Any],
) -> Callable[..., Any]:
    """Enter a method into the table."""

    def enter(function: Callable[..., None]) -> Callable[..., None]:
        ACTIONS.append(Action(function.__name__, weight, drawn, possible))
        return function

    return enter


class WholeMeter(RuleBasedStateMachine):
    """Anything, in any order, with power cuts in between."""

    @initialize(
        start_s=st.sampled_from(STARTS),
        phases=st.sampled_from((3, 3, 3, 1)),
        summation=st.sampled_from(("individual", "individual", "vector")),
        before_rollover=st.sampled_from((None, 40 * NANO)),
        calendar=st.sampled_from(("one", "peak", "peak", "eight")),
        delta=st.booleans(),
        prepaid=st.sampled_from((True, True, False)),
        cuts=st.sampled_from((True, True, False)),
        mode=st.sampled_from((5, 5, 4, 4, 2, 6, 1, 3)),
    )
    def begin(
        self,
        start_s: int,
        phases: int,
        summation: str,
        before_rollover: int | None,
        calendar: str,
        delta: bool,
        prepaid: bool,
        cuts: bool,
        mode: int,
    ) -> None:
        self.source_s = start_s
        self.trusted = True
        self.button = False
        start_nwh = {}
        if before_rollover:
            # The first phase is about to roll over; what the others have makes the total's.
            first = ROLLOVER_NWH - before_rollover
            start_nwh = {"import_active_energy_l1": first, "import_active_energy_t1": first}
            start_nwh |= dict.fromkeys(
                ("import_active_energy", "other_import_active_energy"), first
            )
        self.variant = Variant("382M", phases, "5(65)", breaker=True, relays=RELAYS)
        self.summation = summation
        self.model = PlainMeter(phases, summation, RELAYS, start_nwh)
        self.meter = self.made(start_nwh, None, None)
        self.log_rows: list[LogRow] = []
        self.profile_rows: list[ProfileRow] = []
        self.billing_rows: list[BillingRow] = []
        self.sold: list[tuple[int, int]] = []
        self.sequence = 0
        self.disk: tuple[Image, dict[Log, ChainHead]]
        self.disk_model: PlainMeter
        self.pending: Image | None = None
        self.image: Image
        self.token_since_kept = False
        self.measure_once([(500, 0, 0)] * 3, 10)
        self.keep()
        self.change_tariff(calendar)
        self.change_load_profile(5, "delta" if delta else "absolute")
        self.change_relay(0, "tariff", (1, 2), 10_800, True)
        self.change_credit({"enabled": prepaid, "low_credit_wh": 100, "emergency_credit_wh": 50})
        self.change_breaker(mode, consumer=mode in (2, 4))
        if cuts:
            self.change_limiter(
                {"normal_w": 6000.0, "over_s": 60, "emergency_w": 500.0, "emergency_groups": (1,)}
            )
            self.change_neutral(cut=phases > 1, delay_s=60)
        self.agree()
        self.image = self.meter.image()

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        """One action of the table: by a table and not as rules of their own, of which hypothesis
        leaves most out of each run, so that what needs several of them would hardly ever happen."""
        names = [one for one in ACTIONS if one.possible(self) for _ in range(one.weight)]
        one = data.draw(st.sampled_from(names), label="action")
        values = {name: data.draw(drawn, label=name) for name, drawn in one.drawn.items()}
        TALLY.rules[one.name] += 1
        getattr(self, one.name)(**values)
        self.agree()
        self.image = self.meter.image()

    @property
    def commands(self) -> Commands:
        return Commands(self.meter)

    def made(
        self,
        energies_nwh: Any,
        states: Any,
        heads: Any,
    ) -> Meter:
        return Meter(
            self.variant,
            energies_nwh,
            zone=ZONE,
            summation=self.summation,  # type: ignore[arg-type]
            parameters=CONFIGURED,
            system_title=TITLE,
            vending_key=KEY,
            states=states,
            log_heads=heads,
        )

    # --- time and energy -------------------------------------------------------------------------

    def measure_once(
        self,
        powers: Any,
        seconds: int,
        voltages_v: Any = (230.0, 230.0, 230.0),
        exact_nwh: int | None = None,
        follows: bool = True,
    ) -> None:
        """Let both meters see one measurement, and compare what is cheap to compare."""
        loads = []
        for (power, reactive, remainder), voltage in zip(powers, voltages_v, strict=False):
            active = power * seconds * NANO // 3600 + remainder
            loads.append(
                Load(active, reactive * seconds * NANO // 3600 - remainder, power, voltage)
            )
        if exact_nwh is not None:
            loads = [Load(exact_nwh, 0, 1000.0), Load(), Load()]
        loads = loads[: self.variant.phases]
        start_ns = self.source_s * NANO
        self.source_s += seconds
        end_ns = self.source_s * NANO
        phases = tuple(
            PhaseMeasurement(
                load.voltage_v,
                abs(load.power_w) / 230,
                load.power_w,
                0.0,
                abs(load.power_w),
                1.0,
                load.active_nwh,
                load.reactive_nvarh,
            )
            for load in loads
        )
        supply = self.meter.supply
        assert supply is not None
        feedback = supply.breaker.closed_wanted is follows
        before = self.before()
        self.meter.advance(
            Measurement(start_ns, end_ns, 50.0, phases),
            DigitalInputs(button=self.button, breaker_closed=feedback),
            clock_trusted=self.trusted,
        )
        self.model.advance(start_ns, end_ns, loads, button=self.button, trusted=self.trusted)
        self.told(*before)
        self.agree()

    def measure(self, powers: Any, seconds: int, count: int = 1, **how: Any) -> None:
        for _ in range(count):
            self.measure_once(powers, seconds, **how)

    @action(4, powers=POWERS, seconds=st.sampled_from((1, 7, 60, 60)), count=st.integers(1, 12))
    def metering(self, powers: Any, seconds: int, count: int) -> None:
        self.measure(powers, seconds, count)

    @action(powers=POWERS, minutes=st.sampled_from((16, 31, 65)))
    def an_hour(self, powers: Any, minutes: int) -> None:
        """To the boundary, and over some of them, so that whole intervals come about."""
        self.measure(powers, 60 - self.model.end_s % 60)
        self.measure(powers, 60, minutes)

    @action(
        5,
        lambda self: self.model.limiter.threshold is not None,
        power=st.sampled_from((6500, 9000)),
        seconds=st.sampled_from((1, 15, 15, 61)),
        dark_s=st.sampled_from((0, 0, 2)),
        waits=st.booleans(),
    )
    def overload(self, power: int, seconds: int, dark_s: int, waits: bool) -> None:
        """For a time, perhaps with power away in the middle of it: then the time begins anew."""
        self.measure([(power, 0, 0)] + [(0, 0, 0)] * 2, 25, min(seconds, 2))
        self.source_s += dark_s
        self.measure([(power, 0, 0)] + [(0, 0, 0)] * 2, seconds)
        self.measure([(100, 0, 0)] * 3, 31 if waits else 1, 2)
        if waits:
            self.reconnect(consumer=True)

    @action(
        3,
        possible=lambda self: self.model.limiter.threshold is not None,
        waiting_s=st.sampled_from((30, 60, 120)),
    )
    def overload_until_it_is_final(self, waiting_s: int) -> None:
        for _ in range(4):
            self.measure([(9000, 0, 0)] * 3, 60, 2)
            self.measure([(0, 0, 0)] * 3, waiting_s)

    @action(
        4,
        possible=lambda self: self.model.credit.set["enabled"],
        more_nwh=st.sampled_from((0, 0, 1, -1, 5 * NANO)),
    )
    def draw_all_credit(self, more_nwh: int) -> None:
        """To zero exactly, a nanowatt-hour less or more, or well below."""
        self.measure([], 60, exact_nwh=max(self.model.credit.credit_nwh + more_nwh, 0))

    @action(
        4,
        seconds=st.sampled_from((59, 60, 61, 61, 120)),
        dark_s=st.sampled_from((0, 0, 0, 1)),
        volts=st.sampled_from(
            (
                (180.0, 256.0, 257.0),
                (255.0, 189.0, 254.0),
                (180.0, 181.0, 256.0),
                (150.0, 230.0, 258.0),
                (255.0,) * 3,
            )
        ),
    )
    def neutral_voltages(self, seconds: int, dark_s: int, volts: Any) -> None:
        loads = [(100, 20, 0)] * 3
        self.measure(loads, 1)
        self.measure(loads, seconds - 1, voltages_v=volts)
        self.source_s += dark_s
        self.measure(loads, 1, voltages_v=volts)
        self.measure(loads, 1)

    @action(
        5,
        lambda self: self.model.neutral_cut and self.model.breaker.closed,
        reconnects=st.booleans(),
    )
    def lose_the_neutral(self, reconnects: bool) -> None:
        """For longer than any delay; then nothing but the utility's word may bring it back."""
        self.measure([(100, 20, 0)] * 3, 50, 2, voltages_v=(180.0, 256.0, 257.0))
        self.measure([(0, 0, 0)] * 3, 1)
        if reconnects:
            self.reconnect(consumer=False)
            self.press(1, steps=True, follows=True)

    @action(seconds=DARK_S)
    def dark(self, seconds: int) -> None:
        """Power is away and the process lives; then it is back."""
        self.source_s += seconds
        self.measure([(300, 0, 1)] * 3, 1)

    @action(5, kept=st.booleans(), seconds=DARK_S, trusted=st.booleans())
    def power_cut(self, kept: bool, seconds: int, trusted: bool) -> None:
        """A new process from what was kept last: all of it, or an image of some time ago."""
        TALLY.effects["restart: kept" if kept else "restart: crash"] += 1
        if kept:
            self.keep()
        elif self.token_since_kept:
            TALLY.effects["restart: crash after a token"] += 1
        image, heads = self.disk
        self.meter = self.made(image.energies_nwh, image.states, heads)
        self.model = copy.deepcopy(self.disk_model)
        self.model.restart()
        self.token_since_kept = False
        self.pending = None
        self.source_s += seconds
        self.trusted, valid = trusted, self.model.valid
        self.agree()
        self.measure([(300, 0, 1)] * 3, 1)
        if valid and not self.model.valid:
            TALLY.effects["clock: lost"] += 1
        for log in Log:
            rows = [row for row in self.log_rows if row.log is log]
            assert verify(log, rows, [GENESIS], heads[log]) == []

    @action(1, seconds=st.sampled_from((1, 5, 61, 1000, HOUR_S + 11)))
    def source_goes_back(self, seconds: int) -> None:
        """Somebody has set the machine's time under the meter."""
        TALLY.effects["clock: source back"] += 1
        self.source_s -= seconds
        self.measure([(300, 0, 0)] * 3, 1)

    @action(
        4,
        by_ns=st.one_of(
            st.sampled_from((300, 1900, 2000, 2001, 2100, 61_000, 900_000)),
            st.sampled_from((HOUR_S, 5 * HOUR_S, DAY_S, 32 * DAY_S)).map(lambda s: s * 1000),
        ).map(lambda ms: ms * 10**6),
        back=st.booleans(),
        measured=st.booleans(),
    )
    def set_clock(self, by_ns: int, back: bool, measured: bool) -> None:
        self.put_clock(self.model.now_ns + (-by_ns if back else by_ns))
        if measured:
            self.measure([(300, 0, 0)] * 3, 1)

    @action(
        to=st.sampled_from(("monday 11:00", "saturday 22:00", "before midnight", "before a month"))
    )
    def set_clock_to(self, to: str) -> None:
        now = wall(self.model.end_s)
        if to == "before midnight":
            to_s = midnight_after(self.model.end_s) - 20
        elif to == "before a month":
            to_s = self.model.month_end_s - 20
        else:
            weekday, hour = (0, 11) if to.startswith("monday") else (5, 22)
            day = (now + timedelta(days=(weekday - now.weekday()) % 7)).date()
            to_s = round(datetime(day.year, day.month, day.day, hour, tzinfo=ZONE).timestamp())
        self.put_clock(to_s * NANO)
        self.measure([(300, 0, 0)] * 3, 10, 3)

    def put_clock(self, to_ns: int) -> None:
        before_s, slewed = self.model.end_s, self.model.slew_ns
        self.commands.set_clock(to_ns, "utility")
        self.model.set_clock(to_ns)
        if self.model.end_s > before_s:
            TALLY.effects["clock: forward"] += 1
        elif self.model.end_s < before_s:
            TALLY.effects["clock: back"] += 1
        elif self.model.slew_ns != slewed:
            TALLY.effects["clock: slewed"] += 1

    # --- supply ----------------------------------------------------------------------------------

    def commanded(self, accepted: bool, command: Callable[[], None], logged: int = 0) -> None:
        """Carry a command out, or see that a refusal changes nothing."""
        if accepted:
            command()
            self.has_news = self.meter.has_news
        else:
            self.refused(command, logged)

    def refused(self, command: Callable[[], None], logged: int = 0) -> None:
        before = self.meter.image()
        with pytest.raises(RefusedError):
            command()
        self.has_news = self.meter.has_news
        after = self.meter.image()
        assert self.without_tries(after) == self.without_tries(before)
        assert after.energies_nwh == before.energies_nwh
        assert after.time_ns == before.time_ns
        assert after.profile_rows == before.profile_rows
        assert after.billing_rows == before.billing_rows
        assert after.log_rows[: len(before.log_rows)] == before.log_rows
        assert len(after.log_rows) == len(before.log_rows) + logged

    @staticmethod
    def without_tries(image: Image) -> dict[str, Any]:
        """All states, less what a refused token may leave: its try, and that it will be logged."""
        states = {part: json.loads(text) for part, text in image.states.items()}
        for name in ("tries_s", "refusals", "refusals_logged_s"):
            del states["credit"][name]
        return states

    @action(3, consumer=CONSUMER)
    def disconnect(self, consumer: bool) -> None:
        by: Any = "consumer" if consumer else "remote"
        before = self.before()
        accepted = self.model.breaker.disconnect(consumer)
        self.commanded(accepted, lambda: self.commands.disconnect(by, "somebody"))
        self.model.settle()
        self.told(*before)

    @action(8, consumer=CONSUMER)
    def reconnect(self, consumer: bool) -> None:
        by: Any = "consumer" if consumer else "remote"
        before = self.before()
        accepted = self.model.breaker.reconnect(consumer)
        self.commanded(accepted, lambda: self.commands.reconnect(by, "somebody"))
        if self.model.breaker.closed and not before[0]:
            # Nothing from afar energises where the mode wants the button.
            assert self.model.breaker.mode in (2, 4)
        self.model.settle()
        self.told(*before, by="consumer" if consumer else "remote")

    @action(8, seconds=st.sampled_from((1, 5, 6, 60)), steps=st.booleans(), follows=st.booleans())
    def press(self, seconds: int, steps: bool, follows: bool) -> None:
        self.button = True
        size = 1 if steps and seconds < 60 else seconds
        self.measure([(100, 0, 0)] * 3, size, seconds // size, follows=follows)
        self.button = False
        self.measure([(100, 0, 0)] * 3, 1, 1, follows=follows)

    @action(
        1,
    )
    def button_is_held_from_now_on(self) -> None:
        self.button = not self.button

    @action()
    def clear_neutral(self) -> None:
        before = self.before()
        self.commands.clear_neutral("utility")
        self.model.clear_neutral()
        self.told(*before)
        assert self.model.breaker.closed is before[0]

    @action(6)
    def bring_the_house_back(self) -> None:
        """The utility and a person at the meter do what they can, so that it may be cut again."""
        self.clear_neutral()
        self.reset_limiter()
        if self.model.credit.set["enabled"] and self.model.credit.credit_nwh <= 0:
            self.enter_token("new", 900, 1)
        self.reconnect(consumer=True)
        self.reconnect(consumer=False)
        self.button = False
        self.measure([(100, 0, 0)] * 3, 1)
        if not self.model.breaker.closed:
            self.press(1, steps=True, follows=True)

    @action()
    def reset_limiter(self) -> None:
        before = self.before()
        self.commands.reset_limiter()
        self.model.limiter.reset()
        self.model.settle()
        self.told(*before)

    @action(
        4,
        group=st.sampled_from((1, 1, 9)),
        in_s=st.sampled_from((-30, 0, 60)),
        lasts_s=st.sampled_from((60, 600, 0)),
    )
    def emergency(self, group: int, in_s: int, lasts_s: int) -> None:
        now_s = self.model.end_s
        accepted = lasts_s > 0 and self.model.limiter.activate(group, now_s + in_s, lasts_s, now_s)
        self.commanded(
            accepted, lambda: self.commands.activate_emergency(group, now_s + in_s, lasts_s)
        )
        self.model.settle()

    @action()
    def end_emergency(self) -> None:
        self.commands.end_emergency()
        self.model.limiter.end_emergency()
        self.model.settle()

    # --- prepayment ------------------------------------------------------------------------------

    @action(
        8,
        lambda self: self.model.credit.set["enabled"],
        kind=st.sampled_from(
            ("new", "new", "new", "sold", "too much", "forged", "mistyped", "neighbours")
        ),
        credit_wh=st.sampled_from((1, 60, 900, 20_000, 20_000)),
        times=st.sampled_from((1, 1, 2, 6)),
    )
    def enter_token(self, kind: str, credit_wh: int, times: int) -> None:
        if kind != "sold" or not self.sold:
            self.sequence += 1
            sequence = self.sequence
            if kind == "too much":
                credit_wh = self.model.credit.set["maximum_credit_wh"] + 1
            if kind in ("new", "sold"):
                self.sold.append((sequence, credit_wh))
        else:
            sequence, credit_wh = self.sold[credit_wh % len(self.sold)]
        key = OTHER_KEY if kind == "forged" else KEY
        text = make(key, NEIGHBOUR if kind == "neighbours" else TITLE, sequence, credit_wh)
        if kind == "mistyped":
            text = text[:3] + ("2" if text[3] != "2" else "3") + text[4:]
        for _ in range(times):
            before = self.before()
            result = self.model.credit.enter(kind, sequence, credit_wh, self.model.end_s)
            TALLY.effects[f"token: {result}"] += 1
            self.commanded(result == "accepted", lambda: self.commands.enter_token(text))
            self.token_since_kept |= result == "accepted"
            self.model.settle()
            self.told(*before)
            # A refusal is kept at once, too: its try must not be given back by a power cut.
            assert self.has_news or result == "off"
            self.agree()

    @action(1)
    def token_without_prepayment(self) -> None:
        if not self.model.credit.set["enabled"]:
            self.enter_token("new", 60, 1)

    @action()
    def take_emergency_credit(self) -> None:
        before = self.before()
        accepted = self.model.credit.borrow()
        TALLY.effects["emergency credit"] += accepted
        self.commanded(accepted, self.commands.take_emergency_credit)
        self.model.settle()
        self.told(*before)

    # --- load relays -----------------------------------------------------------------------------

    @action(
        5,
        number=st.integers(0, RELAYS - 1),
        command=st.sampled_from(("on", "on", "off", "automatic")),
        by=st.sampled_from(("utility", "consumer")),
    )
    def command_relay(self, number: int, command: Any, by: Any) -> None:
        accepted = self.model.relays[number].command(command, by, self.model.end_s)
        self.commanded(accepted, lambda: self.commands.command_relay(number + 1, command, by))

    # --- tariffs ---------------------------------------------------------------------------------

    @action(
        calendar=st.sampled_from(tuple(CALENDARS)), in_s=st.sampled_from((None, 30, HOUR_S, -1))
    )
    def upload_calendar(self, calendar: str, in_s: int | None) -> None:
        at_s = None if in_s is None else self.model.end_s + in_s
        accepted = in_s is None or in_s > 0
        if accepted:
            self.model.passive = (calendar, at_s)
        self.commanded(
            accepted, lambda: self.commands.upload_calendar(CALENDARS[calendar], at_s), logged=1
        )

    @action(
        1,
    )
    def upload_of_nine_tariffs(self) -> None:
        self.refused(
            lambda: self.commands.upload_calendar({**CALENDARS["eight"], "tariffs": 9}, None), 1
        )

    @action()
    def activate_calendar(self) -> None:
        self.commanded(self.model.activate(), self.commands.activate_calendar)

    @action(tariff=st.integers(1, 8), seconds=st.sampled_from((1, 90, HOUR_S, 32 * DAY_S, 0)))
    def override(self, tariff: int, seconds: int) -> None:
        now_s = self.model.end_s
        accepted = self.model.overridden(tariff, seconds)
        TALLY.effects["tariff: override"] += accepted
        self.commanded(accepted, lambda: self.commands.override_tariff(tariff, now_s + seconds))

    @action()
    def end_override(self) -> None:
        self.commands.end_override()
        self.model.override = None

    # --- parameters ------------------------------------------------------------------------------

    def change(self, changes: dict[str, Any], is_new: bool, apply: Callable[[], None]) -> None:
        before = self.before()
        self.meter.change_parameters(changes, "utility")
        if is_new:
            self.model.parameters_changed()
            apply()
            self.model.settle()
        self.told(*before)

    def refused_change(self, changes: dict[str, Any]) -> None:
        TALLY.effects["parameters refused"] += 1
        self.refused(lambda: self.meter.change_parameters(changes, "utility"), 1)

    def may_wish_to_cut(self, changes: dict[str, Any], wish: bool) -> bool:
        """In mode 0 nothing may cut."""
        if wish and self.model.breaker.mode == 0:
            self.refused_change(changes)
            return False
        return True

    def change_breaker(self, mode: int, consumer: bool) -> None:
        breaker = self.model.breaker
        changes = {"breaker": {"control_mode": mode, "consumer_may_reconnect": consumer}}
        if mode == 0 and (self.model.wishes_to_cut() or not breaker.closed):
            self.refused_change(changes)
            return
        was_closed = breaker.closed

        def apply() -> None:
            breaker.mode, breaker.consumer_may = mode, consumer

        self.change(changes, (breaker.mode, breaker.consumer_may) != (mode, consumer), apply)
        assert breaker.closed is was_closed

    @action(mode=st.integers(0, 6), consumer=CONSUMER)
    def other_control_mode(self, mode: int, consumer: bool) -> None:
        self.change_breaker(mode, consumer)

    @action(
        1,
    )
    def nothing_may_cut_any_more(self) -> None:
        """All that may open the breaker is taken away, so that mode 0 is possible."""
        self.change_credit({"enabled": False})
        self.change_neutral(cut=False, delay_s=60)
        self.change_limiter({"normal_w": None, "emergency_w": None, "prepaid_maximum_w": None})

    def change_credit(self, new: dict[str, Any]) -> None:
        credit = self.model.credit
        if self.may_wish_to_cut({"credit": new}, {**credit.set, **new}["enabled"]):
            is_new = {**credit.set, **new} != credit.set
            self.change({"credit": new}, is_new, lambda: credit.configure(new))

    @action(enabled=st.sampled_from((True, True, False)))
    def prepayment(self, enabled: bool) -> None:
        self.change_credit({"enabled": enabled})

    @action(
        3,
        friendly=st.booleans(),
        maximum_wh=st.sampled_from((10_000_000, 1000)),
        loan_wh=st.sampled_from((50, 50, 5000)),
    )
    def other_credit_parameters(self, friendly: bool, maximum_wh: int, loan_wh: int) -> None:
        self.change_credit(
            {
                "friendly_from_minute": 18 * 60 if friendly else 9 * 60,
                "friendly_until_minute": 9 * 60,
                "maximum_credit_wh": maximum_wh,
                "emergency_credit_wh": loan_wh,
            }
        )

    def change_limiter(self, new: dict[str, Any]) -> None:
        limiter = self.model.limiter
        merged = {**limiter.set, **new}
        limits = ("normal_w", "emergency_w", "prepaid_maximum_w")
        wish = any(merged[name] is not None for name in limits)
        if self.may_wish_to_cut({"limiter": new}, wish):
            self.change({"limiter": new}, merged != limiter.set, lambda: limiter.configure(new))

    @action(
        normal_w=st.sampled_from((None, 1500.0, 6000.0)),
        emergency_w=st.sampled_from((None, 500.0)),
        prepaid_w=st.sampled_from((None, 2000.0)),
        over_s=st.sampled_from((0, 10, 60)),
        under_s=st.sampled_from((0, 10)),
        waiting_s=st.sampled_from((0, 60, 600)),
        retries=st.sampled_from((0, 1, 3)),
        final=st.sampled_from(("ready", "open")),
    )
    def other_limits(
        self, normal_w: Any, emergency_w: Any, prepaid_w: Any, final: str, **times: int
    ) -> None:
        self.change_limiter(
            {
                "normal_w": normal_w,
                "emergency_w": emergency_w,
                "prepaid_maximum_w": prepaid_w,
                "emergency_groups": (1,),
                "final": final,
                **times,
            }
        )

    def change_neutral(self, cut: bool, delay_s: int) -> None:
        model = self.model
        changes = {"neutral": {"cut": cut, "delay_s": delay_s}}
        if cut and self.variant.phases == 1:
            self.refused_change(changes)  # one phase only suspects
        elif self.may_wish_to_cut(changes, cut):
            is_new = (cut, delay_s) != (model.neutral_cut, model.neutral_delay_s)
            self.change(changes, is_new, lambda: model.set_neutral(cut, delay_s))

    @action(cut=st.sampled_from((True, True, False)), delay_s=st.sampled_from((0, 60, 90)))
    def other_neutral_parameters(self, cut: bool, delay_s: int) -> None:
        self.change_neutral(cut, delay_s)

    @action(
        number=st.integers(0, RELAYS - 1),
        own=st.sampled_from(("off", "tariff", "tariff")),
        tariffs=st.sampled_from(((1,), (2, 3), (1, 4, 5, 8))),
        delay_s=st.sampled_from((0, 1, 300, 10_800)),
        may=st.sampled_from((True, True, False)),
    )
    def other_relay_parameters(
        self, number: int, own: str, tariffs: Any, delay_s: int, may: bool
    ) -> None:
        self.change_relay(number, own, tariffs, delay_s, may)

    def change_relay(self, number: int, own: str, tariffs: Any, delay_s: int, may: bool) -> None:
        changed = self.model.relays[number]
        before = (changed.own, changed.tariffs, changed.delay_s, changed.consumer_may)
        wanted = [
            (own, tariffs, delay_s, may)
            if it is changed
            else (it.own, it.tariffs, it.delay_s, it.consumer_may)
            for it in self.model.relays
        ]
        names = ("own", "tariffs", "delay_s", "consumer_may_command")
        self.change(
            {"relays": [dict(zip(names, one, strict=True)) for one in wanted]},
            before != (own, tariffs, delay_s, may),
            lambda: changed.configure(own, tariffs, delay_s, may),
        )

    def change_tariff(self, calendar: str) -> None:
        model = self.model

        def apply() -> None:
            waits = model.passive
            model.passive = (calendar, None)
            model.activate()
            model.passive = waits
            model.billing_due = False  # it was billed with the parameters

        changes = {"tariff": {"calendar": CALENDARS[calendar]}}
        self.change(changes, calendar != model.calendar, apply)

    @action(calendar=st.sampled_from(tuple(CALENDARS)))
    def other_tariffs(self, calendar: str) -> None:
        self.change_tariff(calendar)

    @action(minutes=st.sampled_from((5, 15, 30)))
    def other_demand_interval(self, minutes: int) -> None:
        self.change(
            {"demand": {"interval_min": minutes}},
            minutes != self.model.demand_interval_min,
            lambda: self.model.set_demand(minutes),
        )

    @action(minutes=st.sampled_from((5, 15)), mode=st.sampled_from(("delta", "absolute")))
    def other_load_profile(self, minutes: int, mode: str) -> None:
        self.change_load_profile(minutes, mode)

    def change_load_profile(self, minutes: int, mode: str) -> None:
        model = self.model
        self.change(
            {"load_profile": {"interval_min": minutes, "mode": mode}},
            (minutes, mode) != (model.load_interval_min, model.load_mode),
            lambda: model.set_load_profile(minutes, mode),
        )

    @action(
        bad=st.sampled_from(
            (
                {"demand": {"interval_min": 7}},
                {"load_profile": {"captures": ["voltage_l1"]}},
                {"analysis_log": {"captures": ["no_such_register"]}},
                {"tariff": {"calendar": {**CALENDARS["eight"], "tariffs": 9}}},
                {"relays": [{"delay_s": 10_801}]},
                {"relays": [{}, {}, {}]},
                {"breaker": {"control_mode": 7}},
                {"limiter": {"normal_a": 16.0}},
                {"credit": {"non_working_weekdays": [7]}},
                {"no_such_section": {}},
            )
        )
    )
    def bad_parameters(self, bad: dict[str, Any]) -> None:
        self.refused_change({"billing": {"daily_depth": 7}, **bad})

    # --- logs and counters -----------------------------------------------------------------------

    @action(
        1,
    )
    def reset_customer_counter(self) -> None:
        self.commands.reset_customer_counter("customer")
        self.model.customer_base = self.model.energies["import_active_energy"]

    @action(1, log=st.sampled_from(tuple(Log)))
    def clear_log(self, log: Log) -> None:
        self.commands.clear_log(log, "utility")
        last = self.meter.image().log_rows[-1]
        assert (last.log, BY_CODE[last.code].name) == (log, "log_cleared")

    @action(1, source=st.sampled_from("abcdef"), times=st.integers(1, 5))
    def noise(self, source: str, times: int) -> None:
        for _ in range(times):
            self.commands.count("replay", source)

    @action(
        3,
    )
    def kept(self) -> None:
        """The store commits."""
        self.keep()

    def keep(self) -> None:
        image = self.meter.image()
        self.log_rows += image.log_rows
        self.profile_rows += image.profile_rows
        self.billing_rows += image.billing_rows
        self.meter.is_kept(image)
        self.pending = None
        self.model.rows.clear()
        self.model.billing.clear()
        self.token_since_kept = False
        self.disk = image, self.meter.logs.heads()
        self.disk_model = copy.deepcopy(self.model)

    # --- what must hold --------------------------------------------------------------------------

    def before(self) -> tuple[bool, frozenset[str], dict[str, Any]]:
        model = self.model
        return (
            model.breaker.closed,
            frozenset(model.breaker.causes),
            {
                "rollover": [energy // ROLLOVER_NWH for energy in model.energies.values()],
                "calendar": (model.calendar, model.passive),
                "relays": [relay.on for relay in model.relays],
                "month": model.month,
            },
        )

    def told(
        self, closed: bool, causes: frozenset[str], others: dict[str, Any], by: str = ""
    ) -> None:
        """Count what came of it."""
        effects, model, breaker = TALLY.effects, self.model, self.model.breaker
        for cause in breaker.causes - causes:
            effects[f"opened: {cause}"] += closed
        effects["two causes at once"] += len(breaker.causes) > 1
        if breaker.closed and not closed:
            effects[f"closed: {by or ('button' if self.button else 'by itself')}"] += 1
        after = self.before()[2]
        effects["roll-over"] += after["rollover"] != others["rollover"]
        effects["tariff: activated at its date"] += (
            others["calendar"][1][1] is not None and others["calendar"][1] != model.passive
        )
        for was_on, relay in zip(others["relays"], model.relays, strict=True):
            effects["relay: off"] += was_on and not relay.on
        effects["new month"] += others["month"] not in (None, after["month"])
        effects["limiter: final"] += model.limiter.final
        effects["limiter: emergency"] += model.limiter.emergency_active
        effects["limiter: prepaid"] += model.limiter.prepaid
        if model.credit.set["enabled"] and model.credit.credit_nwh <= 0 and not model.credit.cut:
            effects["no cut in friendly hours"] += model.valid
            effects["no cut by an invalid clock"] += not model.valid

    def agree(self) -> None:
        """What is compared after every measurement, too."""
        meter, model = self.meter, self.model
        for relay, plain in zip(meter.relays, model.relays, strict=True):
            plain.told(relay.on_wanted, relay.pending_s, model.end_s)
            TALLY.effects["relay: delayed"] += plain.due_s is not None
        assert (meter.now_s, meter.clock.valid) == (model.end_s, model.valid)
        assert meter.tariff.tariff == model.tariff
        assert dict(meter.energy.values) == model.registers()
        assert meter.neutral.fault is model.neutral_fault
        supply = meter.supply
        assert supply is not None
        assert supply.breaker.causes == model.breaker.causes
        assert supply.breaker.closed_wanted is model.breaker.closed
        assert supply.breaker.state()["wants_button"] is model.breaker.wants_button
        assert not (supply.breaker.closed_wanted and supply.breaker.causes)
        limiter, plain_limiter = supply.limiter, model.limiter
        assert (limiter.opens, limiter.threshold) == (
            plain_limiter.opens,
            plain_limiter.threshold,
        )
        assert limiter.emergency_active is plain_limiter.emergency_active
        assert limiter.exceeded is plain_limiter.exceeded
        credit = supply.credit
        assert credit.credit_nwh == model.credit.credit_nwh
        assert credit.debt_nwh == model.credit.debt_nwh
        assert credit.state()["tries_s"] == model.credit.tries_s
        assert (credit.cut_wanted, credit.sequence) == (model.credit.cut, model.credit.highest)
        for direction, plain_demand in (
            (meter.demand.imported, model.demands["import"]),
            (meter.demand.exported, model.demands["export"]),
        ):
            last, highest = direction.last, direction.maximum
            assert (last and (last.demand_mw, last.time_s)) == plain_demand.last
            assert (highest and (highest.demand_mw, highest.time_s)) == plain_demand.highest
            assert plain_demand.highest is None or plain_demand.highest in model.whole_windows
            TALLY.effects["peak"] += plain_demand.highest is not None

    @invariant()
    def sums_are_exact(self) -> None:
        values = self.meter.energy.values
        fed = "" if self.summation == "individual" else "other_"
        phases = range(1, self.variant.phases + 1)
        for name in TARIFFED:
            tariffs = sum(values[f"{name}_t{tariff}"] for tariff in range(1, 9))
            assert (tariffs - values[name]) % ROLLOVER_NWH == 0
            by_phase = sum(values[f"{name}_l{phase}"] for phase in phases)
            assert (by_phase - values[fed + name]) % ROLLOVER_NWH == 0
        for suffix in ("", *(f"_l{phase}" for phase in phases)):
            # IEC 62053-23, annex C: R+ is quadrants 1 and 2, R− is quadrants 3 and 4.
            q1, q2, q3, q4 = (values[f"reactive_energy_q{q}{suffix}"] for q in (1, 2, 3, 4))
            assert q1 + q2 == values[f"import_reactive_energy{suffix}"]
            assert q3 + q4 == values[f"export_reactive_energy{suffix}"]
        shown = self.model.shown()
        for key in ("import_active_energy", "absolute_active_energy", "operating_time"):
            assert self.meter.raw(key) == shown[key]
        assert self.meter.raw("net_active_energy") == self.model.net_wh()
        drawn = self.model.energies["import_active_energy"] - self.model.customer_base
        assert self.meter.raw("import_active_energy_customer") == drawn % ROLLOVER_NWH // NANO

    @invariant()
    def rows_are_as_they_must_be(self) -> None:
        image = self.image
        got = [
            (row.profile, row.entry, row.time_s, row.status)
            for row in sorted(image.profile_rows, key=lambda row: (row.profile, row.entry))
        ]
        expected = sorted(self.model.rows, key=lambda row: (row.profile, row.entry))
        assert got == [row[:4] for row in expected]
        load_rows = [row for row in image.profile_rows if row.profile == "load_profile"]
        values = [row.values for row in self.model.rows if row.values is not None]
        assert [row.values for row in load_rows] == values
        assert image.profile_firsts["load_profile"] == self.model.profile_first
        TALLY.effects["profile: delta row"] += bool(values) and self.model.load_mode == "delta"
        rows = (*self.profile_rows, *image.profile_rows)
        stamps = [row.time_s for row in rows if row.profile == "load_profile"]
        TALLY.effects["profile: duplicate stamp"] += len(stamps) > len(set(stamps))
        bills = [
            (row.kind, row.entry, row.time_s, row.reason, row.values) for row in image.billing_rows
        ]
        assert bills == self.model.billing
        for bill in self.model.billing:
            TALLY.effects[f"bill: {bill.reason}"] += 1
            TALLY.effects[f"bill: {bill.kind}"] += 1

    @invariant()
    def logs_only_append(self) -> None:
        image = self.image
        if self.pending is not None:
            before = self.pending.log_rows
            assert image.log_rows[: len(before)] == before
        self.pending = image
        for log in Log:
            rows = [row for row in (*self.log_rows, *image.log_rows) if row.log is log]
            assert [row.entry for row in rows] == list(range(1, len(rows) + 1))
            assert self.meter.logs.heads()[log].entry == len(rows)
        # Each closing is in the log, once.
        names = [BY_CODE[row.code].name for row in (*self.log_rows, *image.log_rows)]
        assert sum(name in CLOSINGS for name in names) == self.model.breaker.closings

    @invariant()
    def an_image_gives_the_same_image(self) -> None:
        image = self.image
        meter = self.made(image.energies_nwh, image.states, self.meter.logs.heads())
        again = meter.image()
        assert again.states == image.states
        assert again.energies_nwh == image.energies_nwh
        assert again.time_ns == image.time_ns
        assert again.profile_firsts == image.profile_firsts
        # And it shows itself the same, but for what is measured anew.
        shown = dataclasses.replace(self.meter.snapshot(), instantaneous={})
        assert meter.snapshot() == shown

    def teardown(self) -> None:
        if not hasattr(self, "disk"):
            return
        image, heads = self.meter.image(), self.meter.logs.heads()
        for log in Log:
            rows = [row for row in (*self.log_rows, *image.log_rows) if row.log is log]
            assert verify(log, rows, [GENESIS], heads[log]) == []


def perform(*, full: bool) -> Tally:
    """Run the machine from the seed that its source has; raise what it finds."""
    TALLY.rules.clear()
    TALLY.effects.clear()
    run_state_machine_as_test(
        WholeMeter,
        settings=settings(
            max_examples=FULL_EXAMPLES if full else EXAMPLES,
            stateful_step_count=FULL_STEPS if full else STEPS,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return TALLY


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_is_done_to_it_the_whole_meter_agrees_with_the_plain_one() -> None:
    full = os.environ.get("METER_NODE_FULL") == "1"
    tally = perform(full=full)
    # An example may end before its last step: how many do is the drawing's own affair.
    assert tally.steps >= (10_000 if full else EXAMPLES * STEPS * 3 // 4)
    assert len(tally.rules) > len(ACTIONS) * 3 // 4
    if full:
        assert tally.without_effect() == []
