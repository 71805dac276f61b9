"""The breaker closes only when nothing speaks against it, and never from afar past its button."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError
from supply_steps import START_S, Seconds, names, step

from meter_node.meter.event import Event
from meter_node.meter.refused import RefusedError
from meter_node.meter.supply import PRIORITIES, Breaker, BreakerSettings, Cause, ControlState

NOW_S = START_S
DISCONNECTED, CONNECTED, READY = 0, 1, 2

# IEC 62056-6-2, class 70, attribute control_mode: what each mode allows, disconnections and
# reconnections as in its table. Written down here anew, not taken from the code.
STANDARD = {
    0: "",
    1: "b c f g d e",
    2: "b c f g a e",
    3: "b c g d e",
    4: "b c g a e",
    5: "b c f g d e h",
    6: "b c g d e h",
}


def breaker(mode: int, **settings: Any) -> Breaker:
    return Breaker(BreakerSettings(control_mode=mode, **settings))


def set_mode(one: Breaker, mode: int) -> list[Event]:
    one.configure(one.settings.model_copy(update={"control_mode": mode}))
    return []


def pressed(one: Breaker, seconds: int = 1) -> list[Event]:
    time = Seconds()
    events = time.through(one.advance, seconds, button=True)
    return events + time.through(one.advance, 1)


def remotely_off(one: Breaker) -> None:
    one.disconnect(NOW_S)


def made_ready(one: Breaker) -> None:
    """Off by the limiter and then for a person to bring back, which every mode but 0 knows."""
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_gone(Cause.LIMITER, NOW_S, button=True)


def tripped(one: Breaker) -> None:
    one.cause_arisen(Cause.LIMITER, NOW_S)


def untouched(one: Breaker) -> None:
    pass


# Arrow: (bring it there, state before, what triggers, state after, the log's word).
ARROWS: dict[
    str, tuple[Callable[[Breaker], None], int, Callable[[Breaker], list[Event]], int, str]
] = {
    "a": (remotely_off, DISCONNECTED, lambda b: b.reconnect(NOW_S), CONNECTED, "remote_connection"),
    "b": (
        untouched,
        CONNECTED,
        lambda b: b.disconnect(NOW_S),
        DISCONNECTED,
        "remote_disconnection",
    ),
    "c": (made_ready, READY, lambda b: b.disconnect(NOW_S), DISCONNECTED, "remote_disconnection"),
    "d": (remotely_off, DISCONNECTED, lambda b: b.reconnect(NOW_S), READY, "breaker_ready"),
    "e": (made_ready, READY, pressed, CONNECTED, "manual_connection"),
    "f": (untouched, CONNECTED, lambda b: pressed(b, 6), READY, "manual_disconnection"),
    "g": (
        untouched,
        CONNECTED,
        lambda b: b.cause_arisen(Cause.LIMITER, NOW_S),
        READY,
        "local_disconnection",
    ),
    "h": (
        tripped,
        READY,
        lambda b: b.cause_gone(Cause.LIMITER, NOW_S),
        CONNECTED,
        "local_connection",
    ),
}


# Where an arrow that the mode lacks would have led, the same trigger leads elsewhere or nowhere:
# a remote reconnection takes the other of a and d, the rest stays.
INSTEAD = {"a": READY, "d": CONNECTED, "f": CONNECTED, "h": READY}


@pytest.mark.parametrize("arrow", "abcdefgh")
@pytest.mark.parametrize("mode", range(1, 7))
def test_transition_is_as_in_the_standard(mode: int, arrow: str) -> None:
    bring, before, trigger, after, word = ARROWS[arrow]
    one = breaker(mode)
    bring(one)
    assert one.control_state == before
    events = trigger(one)
    if arrow in STANDARD[mode].split():
        assert (one.control_state, names(events)) == (after, [word])
    else:
        assert one.control_state == INSTEAD[arrow]
        assert word not in names(events)


@pytest.mark.parametrize("arrow", "abcdefgh")
def test_in_mode_0_no_transition_leaves_connected(arrow: str) -> None:
    bring, _, trigger, _, _ = ARROWS[arrow]
    one = breaker(0)
    for attempt in (bring, trigger):
        # A remote disconnection is refused, all else has no effect.
        with suppress(RefusedError):
            assert not attempt(one)
    assert one.control_state == CONNECTED


def test_in_mode_0_a_remote_disconnection_is_refused() -> None:
    with pytest.raises(RefusedError, match="always connected"):
        breaker(0).disconnect(NOW_S)


@pytest.mark.parametrize("mode", [1, 3, 5, 6])
def test_a_remote_reconnection_waits_for_the_button(mode: int) -> None:
    one = breaker(mode)
    one.disconnect(NOW_S)
    (event,) = one.reconnect(NOW_S + 1, who="client 1")
    assert (event.code.name, event.detail) == ("breaker_ready", "client 1")
    assert not one.closed_wanted
    assert one.button_reconnects
    assert names(pressed(one)) == ["manual_connection"]
    assert one.closed_wanted


@pytest.mark.parametrize("mode", [2, 4])
def test_direct_reconnection_also_closes_what_waits_for_the_button(mode: int) -> None:
    # The method's text: "connected" if direct remote reconnection is enabled, modes 2 and 4.
    one = breaker(mode)
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_gone(Cause.LIMITER, NOW_S)
    assert one.control_state is ControlState.READY_FOR_RECONNECTION
    assert names(one.reconnect(NOW_S)) == ["remote_connection"]


@pytest.mark.parametrize("mode", [5, 6])
def test_what_the_utility_switched_off_does_not_come_on_by_itself(mode: int) -> None:
    one = breaker(mode)
    one.disconnect(NOW_S)
    one.reconnect(NOW_S)
    # Credit that goes and comes meanwhile must not stand in for the button.
    one.cause_arisen(Cause.CREDIT, NOW_S)
    assert names(one.cause_gone(Cause.CREDIT, NOW_S)) == ["breaker_ready"]
    assert not one.closed_wanted


def test_it_closes_only_when_no_cause_is_left() -> None:
    one = breaker(5)
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_arisen(Cause.CREDIT, NOW_S)
    assert one.cause_gone(Cause.LIMITER, NOW_S) == []
    assert not one.closed_wanted
    assert names(one.cause_gone(Cause.CREDIT, NOW_S)) == ["local_connection"]


def test_a_top_up_removes_its_own_cause_only() -> None:
    one = breaker(5)
    one.cause_arisen(Cause.CREDIT, NOW_S)
    one.disconnect(NOW_S)
    assert one.cause_gone(Cause.CREDIT, NOW_S) == []
    assert one.causes == {Cause.REMOTE}
    assert one.control_state is ControlState.DISCONNECTED


def test_a_button_does_nothing_while_credit_is_used_up() -> None:
    one = breaker(5)
    one.cause_arisen(Cause.CREDIT, NOW_S)
    assert pressed(one) == []
    assert pressed(one, 10) == []
    assert one.causes == {Cause.CREDIT}


def test_a_button_pressed_for_long_after_the_utility_switched_off_does_nothing() -> None:
    one = breaker(1)
    one.disconnect(NOW_S)
    assert pressed(one, 10) == []
    assert one.control_state is ControlState.DISCONNECTED


def test_the_button_disconnects_after_six_seconds_and_not_after_five() -> None:
    short, long = breaker(5), breaker(5)
    assert pressed(short, 5) == []
    (event,) = pressed(long, 6)
    assert (event.code.name, event.time_s) == ("manual_disconnection", NOW_S + 6)
    assert long.causes == {Cause.MANUAL}


def test_one_press_does_one_thing() -> None:
    one = breaker(5)
    pressed(one, 6)
    # Reconnects at once, and does not disconnect again though it is held for a minute.
    assert names(pressed(one, 60)) == ["manual_connection"]
    assert names(pressed(one, 60)) == ["manual_disconnection"]


def test_only_the_button_undoes_the_button() -> None:
    one = breaker(2)
    pressed(one, 6)
    assert one.reconnect(NOW_S) == []
    assert not one.closed_wanted
    assert names(pressed(one)) == ["manual_connection"]


def test_a_button_found_pressed_after_a_gap_does_nothing_until_it_is_released() -> None:
    one = breaker(5)
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_gone(Cause.LIMITER, NOW_S, button=True)
    time = Seconds()
    assert one.advance(step(button=True, gap=True)) == []
    assert time.through(one.advance, 10, button=True) == []
    time.through(one.advance, 1)
    assert names(time.through(one.advance, 1, button=True)) == ["manual_connection"]


def test_a_held_button_is_held_across_a_restart() -> None:
    one = breaker(5)
    time = Seconds()
    time.through(one.advance, 4, button=True)
    again = Breaker(one.settings, json.loads(json.dumps(one.state())))
    assert names(time.through(again.advance, 2, button=True)) == ["manual_disconnection"]


def test_a_neutral_fault_outranks_all_and_latches_until_it_is_cleared() -> None:
    one = breaker(4)
    one.trip_neutral(NOW_S, "52.0 V")
    assert one.cause is Cause.NEUTRAL
    assert one.control_state is ControlState.DISCONNECTED
    with pytest.raises(RefusedError, match="neutral fault"):
        one.reconnect(NOW_S)
    assert pressed(one) == []
    one.cause_arisen(Cause.CREDIT, NOW_S)
    one.cause_gone(Cause.CREDIT, NOW_S)
    assert not one.closed_wanted
    assert names(one.clear_neutral(NOW_S)) == ["breaker_ready"]
    assert not one.closed_wanted
    assert names(pressed(one)) == ["manual_connection"]


def test_a_refused_reconnection_changes_nothing() -> None:
    one = breaker(4)
    one.disconnect(NOW_S)
    one.trip_neutral(NOW_S)
    before = one.state()
    with pytest.raises(RefusedError):
        one.reconnect(NOW_S)
    assert one.state() == before


def test_clearing_a_neutral_fault_does_not_energise_where_the_meter_may_close_by_itself() -> None:
    one = breaker(6)
    one.trip_neutral(NOW_S)
    assert names(one.clear_neutral(NOW_S)) == ["breaker_ready"]
    assert not one.closed_wanted


def test_the_priorities_begin_with_the_neutral() -> None:
    assert [row.cause for row in PRIORITIES] == ["neutral", "remote", "credit", "limiter", "manual"]
    assert [row.cause for row in PRIORITIES if row.removed_by == "utility"] == ["neutral", "remote"]


@pytest.mark.parametrize("command", ["disconnect", "reconnect"])
def test_repeating_a_command_is_harmless(command: str) -> None:
    one = breaker(4)
    one.disconnect(NOW_S)
    if command == "reconnect":
        one.reconnect(NOW_S)
    before = one.state()
    assert getattr(one, command)(NOW_S + 1) == []
    assert one.state() == before


def test_repeating_a_cause_or_its_end_is_harmless() -> None:
    one = breaker(5)
    assert len(one.cause_arisen(Cause.LIMITER, NOW_S)) == 1
    assert one.cause_arisen(Cause.LIMITER, NOW_S) == []
    assert len(one.cause_gone(Cause.LIMITER, NOW_S)) == 1
    assert one.cause_gone(Cause.LIMITER, NOW_S) == []


def test_a_consumer_reconnects_where_the_utility_allows_and_no_button_is_wanted() -> None:
    one = breaker(4, consumer_may_reconnect=True)
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_gone(Cause.LIMITER, NOW_S)
    assert one.consumer_reconnects
    (event,) = one.reconnect(NOW_S, by="consumer")
    assert (event.code.name, event.detail) == ("remote_connection", "consumer")
    assert one.reconnect(NOW_S, by="consumer") == []


@pytest.mark.parametrize(
    ("mode", "allowed", "off_by", "reason"),
    [
        (4, False, "limiter gone", "does not let the consumer"),
        (3, True, "limiter gone", "wants the button"),
        (5, True, "limiter final", "wants the button"),
        (4, True, "limiter final", "button"),
        (4, True, "remote", "remote"),
        (4, True, "credit", "credit"),
        (2, True, "button", "manual"),
    ],
)
def test_a_consumer_is_refused_with_the_reason(
    mode: int, allowed: bool, off_by: str, reason: str
) -> None:
    one = breaker(mode, consumer_may_reconnect=allowed)
    if off_by == "remote":
        one.disconnect(NOW_S)
    elif off_by == "credit":
        one.cause_arisen(Cause.CREDIT, NOW_S)
    elif off_by == "button":
        pressed(one, 6)
    else:
        one.cause_arisen(Cause.LIMITER, NOW_S)
        one.cause_gone(Cause.LIMITER, NOW_S, button=off_by == "limiter final")
    before = one.state()
    with pytest.raises(RefusedError, match=reason):
        one.reconnect(NOW_S, by="consumer")
    assert one.state() == before
    assert not one.consumer_reconnects


def test_a_consumer_cannot_disconnect_from_afar() -> None:
    with pytest.raises(RefusedError, match="button alone"):
        breaker(5).disconnect(NOW_S, by="consumer")


def test_a_breaker_that_does_not_follow_is_an_alarm_after_two_and_a_half_seconds() -> None:
    one = breaker(5)
    one.disconnect(NOW_S)
    time = Seconds()
    assert time.through(one.advance, 2, breaker_closed=True) == []
    assert not one.failed
    (event,) = time.through(one.advance, 1, breaker_closed=True)
    assert (event.code.name, event.detail) == ("breaker_failure", "closed, wanted open")
    # Once, and an alarm until it is right again.
    assert time.through(one.advance, 60, breaker_closed=True) == []
    assert one.failed
    assert one.output_state is True
    time.through(one.advance, 1, breaker_closed=False)
    assert not one.failed
    assert one.output_state is False


def test_a_breaker_that_follows_late_starts_the_time_anew_at_each_movement() -> None:
    one = breaker(4)
    time = Seconds()
    for _ in range(5):
        one.disconnect(time.now_s)
        assert time.through(one.advance, 2, breaker_closed=True) == []
        one.reconnect(time.now_s)
        assert time.through(one.advance, 2, breaker_closed=False) == []
    assert not one.failed


def test_a_breaker_without_feedback_is_where_it_is_wanted() -> None:
    one = breaker(5)
    one.disconnect(NOW_S)
    assert Seconds().through(one.advance, 10) == []
    assert one.output_state is False


@pytest.mark.parametrize("closed", [True, False])
def test_no_movement_in_a_gap(closed: bool) -> None:
    one = breaker(5)
    if not closed:
        one.cause_arisen(Cause.LIMITER, NOW_S)
    again = Breaker(one.settings, json.loads(json.dumps(one.state())))
    assert again.advance(step(NOW_S + 86_400, gap=True)) == []
    assert again.closed_wanted is closed


def test_setting_a_mode_moves_nothing() -> None:
    one = breaker(1)
    one.cause_arisen(Cause.LIMITER, NOW_S)
    one.cause_gone(Cause.LIMITER, NOW_S)
    set_mode(one, 5)
    assert one.control_mode == 5
    assert one.control_state is ControlState.READY_FOR_RECONNECTION


def test_always_connected_is_refused_while_it_is_open() -> None:
    one = breaker(5)
    one.cause_arisen(Cause.CREDIT, NOW_S)
    with pytest.raises(RefusedError, match="open"):
        set_mode(one, 0)
    assert one.control_mode == 5


def test_a_mode_that_the_standard_does_not_know_is_refused() -> None:
    with pytest.raises(ValidationError, match="a control mode of 7; possible are 0 to 6"):
        BreakerSettings(control_mode=7)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"button_hold_s": 0}, "a button held for 0 s; possible are 1 to 60 s"),
        ({"feedback_delay_ms": 60_001}, "a feedback delay of 60001 ms"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        BreakerSettings(**settings)


@pytest.mark.parametrize("cause", [Cause.NEUTRAL, Cause.REMOTE, Cause.MANUAL])
def test_causes_of_others_are_not_the_meter_s_to_take_away(cause: Cause) -> None:
    with pytest.raises(ValueError, match="not for the meter"):
        breaker(5).cause_gone(cause, NOW_S)


class BreakerMachine(RuleBasedStateMachine):
    """Anybody commands anything, at any time, with restarts in between."""

    @initialize(mode=st.integers(0, 6), consumer=st.booleans())
    def start(self, mode: int, consumer: bool) -> None:
        self.time = Seconds()
        self.breaker = breaker(mode, consumer_may_reconnect=consumer)
        # A second model of the causes: sets only.
        self.causes: set[str] = set()

    def remotely(self, command: Callable[[], list[Event]]) -> None:
        """Nothing from afar energises where the mode wants the button."""
        was_closed, mode = self.breaker.closed_wanted, self.breaker.control_mode
        try:
            command()
        except RefusedError:
            assert self.breaker.closed_wanted is was_closed
            return
        if self.breaker.closed_wanted and not was_closed:
            assert mode in (2, 4)

    @rule()
    def disconnect(self) -> None:
        self.remotely(lambda: self.breaker.disconnect(self.time.now_s))
        if self.breaker.control_mode:
            self.causes.add("remote")
            assert not self.breaker.closed_wanted

    @rule()
    def reconnect(self) -> None:
        self.remotely(lambda: self.breaker.reconnect(self.time.now_s))
        if "neutral" not in self.causes:
            self.causes.discard("remote")

    @rule()
    def reconnect_by_the_consumer(self) -> None:
        causes = set(self.causes)
        was_closed = self.breaker.closed_wanted
        self.remotely(lambda: self.breaker.reconnect(self.time.now_s, by="consumer"))
        assert self.breaker.closed_wanted is was_closed or not causes

    @rule(mode=st.integers(0, 6))
    def set_mode(self, mode: int) -> None:
        was_closed = self.breaker.closed_wanted
        self.remotely(lambda: set_mode(self.breaker, mode))
        assert self.breaker.closed_wanted is was_closed

    @rule(cause=st.sampled_from(["limiter", "credit"]))
    def arise(self, cause: str) -> None:
        self.breaker.cause_arisen(Cause(cause), self.time.now_s)
        if self.breaker.control_mode:
            self.causes.add(cause)

    @rule(cause=st.sampled_from(["limiter", "credit"]), button=st.booleans())
    def go(self, cause: str, button: bool) -> None:
        was_closed, had = self.breaker.closed_wanted, cause in self.causes
        self.breaker.cause_gone(Cause(cause), self.time.now_s, button=button)
        self.causes.discard(cause)
        if self.breaker.closed_wanted and not was_closed:
            assert had
            assert self.breaker.control_mode in (5, 6)
            assert not button

    @rule()
    def trip_neutral(self) -> None:
        self.breaker.trip_neutral(self.time.now_s)
        if self.breaker.control_mode:
            self.causes.add("neutral")

    @rule()
    def clear_neutral(self) -> None:
        was_closed = self.breaker.closed_wanted
        self.breaker.clear_neutral(self.time.now_s)
        self.causes.discard("neutral")
        assert self.breaker.closed_wanted is was_closed

    @rule(
        seconds=st.integers(1, 8),
        button=st.booleans(),
        feedback=st.sampled_from([None, True, False]),
    )
    def measure(self, seconds: int, button: bool, feedback: bool | None) -> None:
        was_closed = self.breaker.closed_wanted
        events = self.time.through(
            self.breaker.advance, seconds, button=button, breaker_closed=feedback
        )
        seen = names(events)
        if "manual_disconnection" in seen:
            self.causes.add("manual")
            assert self.breaker.control_mode in (1, 2, 5)
        if "manual_connection" in seen:
            assert self.causes <= {"manual"}
            self.causes.discard("manual")
        if not button:
            assert self.breaker.closed_wanted is was_closed

    @rule()
    def restart(self) -> None:
        kept = json.loads(json.dumps(self.breaker.state()))
        again = Breaker(self.breaker.settings, kept)
        assert again.state() == self.breaker.state()
        assert again.closed_wanted is self.breaker.closed_wanted
        self.breaker = again

    @invariant()
    def never_closed_while_a_cause_is_open(self) -> None:
        assert self.breaker.causes == self.causes
        assert not (self.breaker.closed_wanted and self.causes)


BreakerMachine.TestCase.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestAnybodyCommandsTheBreaker = BreakerMachine.TestCase
