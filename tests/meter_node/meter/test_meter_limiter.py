"""Too much for too long opens the breaker; how often it comes back, and how it ends."""

import json
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError
from supply_steps import START_S, Seconds, names, step

from meter_node.meter.event import Event
from meter_node.meter.limiter import Limiter, LimiterSettings
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step
from meter_node.meter.supply import Breaker, BreakerSettings, Cause

# 2 kW a phase: 6 kW of import, above 5 kW.
MUCH = (2000.0, 2000.0, 2000.0)
LITTLE = (100.0, 100.0, 100.0)
DARK = (0.0, 0.0, 0.0)


def limiter(**settings: Any) -> Limiter:
    return Limiter(LimiterSettings(**{"normal_w": 5000, **settings}))


class Supply:
    """Limiter and breaker wired as a meter wires them, and a load that hangs behind."""

    def __init__(self, mode: int = 5, **settings: Any) -> None:
        self.limiter = limiter(**settings)
        self.breaker = Breaker(BreakerSettings(control_mode=mode))
        self.time = Seconds()
        self.log: list[Event] = []

    def wire(self, step: Step) -> list[Event]:
        events = self.limiter.advance(step)
        events += self.follow(step.end_s)
        return events + self.breaker.advance(step)

    def follow(self, now_s: int) -> list[Event]:
        if self.limiter.opens:
            return self.breaker.cause_arisen(Cause.LIMITER, now_s)
        return self.breaker.cause_gone(Cause.LIMITER, now_s, button=self.limiter.wants_button)

    def run(self, seconds: int, load: tuple[float, ...] = MUCH, **what: Any) -> list[str]:
        """What happened while this load was switched on, which it only is behind a closed one."""
        seen = []
        for _ in range(seconds):
            flows = load if self.breaker.closed_wanted else DARK
            seen += self.time.through(self.wire, 1, powers_w=flows, **what)
        self.log += seen
        return names(seen)

    def restart(self) -> None:
        self.limiter = Limiter(self.limiter.settings, json.loads(json.dumps(self.limiter.state())))
        self.breaker = Breaker(self.breaker.settings, json.loads(json.dumps(self.breaker.state())))


def test_it_trips_after_its_time_and_not_a_second_before() -> None:
    one, time = limiter(over_s=30), Seconds()
    assert time.through(one.advance, 29, powers_w=MUCH) == []
    assert not one.opens
    (event,) = time.through(one.advance, 1, powers_w=MUCH)
    assert (event.code.name, event.detail) == ("limiter_exceeded", "6000 W > 5000 W, 30 s")
    assert event.time_s == START_S + 30
    assert one.opens


def test_a_second_below_starts_the_time_anew() -> None:
    one, time = limiter(over_s=30), Seconds()
    for _ in range(10):
        assert time.through(one.advance, 29, powers_w=MUCH) == []
        assert time.through(one.advance, 1, powers_w=LITTLE) == []


def test_a_gap_starts_the_time_anew() -> None:
    one, time = limiter(over_s=30), Seconds()
    time.through(one.advance, 29, powers_w=MUCH)
    assert time.through(one.advance, 1, powers_w=MUCH, gap=True) == []
    assert time.through(one.advance, 28, powers_w=MUCH) == []
    assert names(time.through(one.advance, 1, powers_w=MUCH)) == ["limiter_exceeded"]


def test_the_time_goes_on_across_a_restart_without_a_gap() -> None:
    one, time = limiter(over_s=30), Seconds()
    time.through(one.advance, 20, powers_w=MUCH)
    again = Limiter(one.settings, json.loads(json.dumps(one.state())))
    assert time.through(again.advance, 9, powers_w=MUCH) == []
    assert names(time.through(again.advance, 1, powers_w=MUCH)) == ["limiter_exceeded"]


def test_exactly_the_threshold_is_not_above_it() -> None:
    one = limiter(normal_w=6000)
    assert Seconds().through(one.advance, 600, powers_w=MUCH) == []


def test_export_of_one_phase_does_not_make_room_for_import_of_another() -> None:
    # 6 kW of import on L1 and 4 kW of export on L2: 6 kW, not 2.
    one = limiter()
    seen = Seconds().through(one.advance, 30, powers_w=(6000.0, -4000.0, 0.0))
    assert names(seen) == ["limiter_exceeded"]


def test_with_vector_summation_phases_are_netted() -> None:
    one = Limiter(LimiterSettings(normal_w=5000), summation="vector")
    assert Seconds().through(one.advance, 60, powers_w=(6000.0, -4000.0, 0.0)) == []
    assert names(Seconds().through(one.advance, 30, powers_w=MUCH)) == ["limiter_exceeded"]


def test_current_is_limited_by_the_largest_phase() -> None:
    one = Limiter(LimiterSettings(monitored="current", normal_a=16))
    time = Seconds()
    assert time.through(one.advance, 60, currents_a=(16.0, 15.0, 15.0)) == []
    (event,) = time.through(one.advance, 30, currents_a=(1.0, 16.5, 1.0))
    assert event.detail == "16.50 A > 16.00 A, 30 s"


def test_without_a_threshold_nothing_is_limited() -> None:
    one = Limiter(LimiterSettings())
    assert one.threshold is None
    assert Seconds().through(one.advance, 600, powers_w=MUCH) == []


def test_it_opens_the_breaker_and_lets_it_close_after_the_waiting_time() -> None:
    supply = Supply(over_s=30, waiting_s=60, under_s=10)
    assert supply.run(30) == ["limiter_exceeded", "local_disconnection"]
    # Tripped at second 30, due at second 90.
    assert supply.run(59) == []
    assert not supply.breaker.closed_wanted
    assert supply.run(1) == ["local_connection"]
    assert supply.run(9, LITTLE) == []
    assert supply.run(1, LITTLE) == ["limiter_ok"]


def test_retries_are_used_up_and_then_a_button_is_wanted() -> None:
    supply = Supply(mode=5, over_s=10, waiting_s=20, retries=2, final="ready")
    trip, back = ["limiter_exceeded", "local_disconnection"], ["local_connection"]
    assert supply.run(10) == trip
    assert supply.run(20) == back
    assert supply.run(10) == trip
    assert supply.run(20) == back
    assert supply.limiter.retries_left == 0
    assert supply.run(10) == trip
    # The third trip is final: no "local_connection", though mode 5 would allow it.
    assert supply.run(19) == []
    assert supply.run(1) == ["breaker_ready"]
    assert supply.run(3600) == ["limiter_ok"]
    assert not supply.breaker.closed_wanted
    assert supply.run(1, LITTLE, button=True) == ["manual_connection"]


def test_retries_used_up_can_mean_open_until_the_utility_resets() -> None:
    supply = Supply(mode=5, over_s=10, waiting_s=20, retries=0, final="open")
    supply.run(10)
    assert supply.run(86_400) == []
    assert supply.breaker.causes == {Cause.LIMITER}
    assert supply.run(1, button=True) == []
    now_s = supply.time.now_s
    assert names(supply.limiter.reset(now_s)) == ["limiter_ok"]
    # A command from afar does not energise: the button does.
    assert names(supply.follow(now_s)) == ["breaker_ready"]
    assert supply.limiter.reset(now_s) == []


def test_after_the_button_the_retries_are_counted_anew() -> None:
    supply = Supply(mode=5, over_s=10, waiting_s=20, retries=1, final="ready")
    supply.run(10 + 20 + 10 + 20)
    supply.run(1)
    assert supply.run(1, button=True) == ["manual_connection"]
    assert supply.run(10) == ["limiter_exceeded", "local_disconnection"]
    assert supply.run(20) == ["local_connection"]


def test_trips_further_apart_than_the_window_do_not_add_up() -> None:
    supply = Supply(mode=5, over_s=10, waiting_s=20, retries=1, window_s=600)
    for _ in range(5):
        supply.run(10)
        assert supply.run(20) == ["local_connection"]
        supply.run(600, LITTLE)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_where_the_meter_may_not_close_by_itself_it_makes_ready(mode: int) -> None:
    supply = Supply(mode=mode, over_s=10, waiting_s=20)
    supply.run(10)
    assert supply.run(20) == ["breaker_ready"]
    assert not supply.breaker.closed_wanted


def test_the_waiting_time_goes_on_while_the_power_is_off() -> None:
    supply = Supply(over_s=10, waiting_s=600)
    supply.run(10)
    supply.restart()
    supply.time.now_s += 700
    assert supply.run(1, DARK, gap=True) == ["local_connection"]


def test_a_restart_does_not_shorten_the_waiting_time() -> None:
    supply = Supply(over_s=10, waiting_s=600)
    supply.run(10)
    supply.restart()
    supply.time.now_s += 500
    assert supply.run(99, DARK, gap=True) == []
    assert supply.run(1) == ["local_connection"]


def test_the_waiting_time_moves_with_the_clock() -> None:
    supply = Supply(over_s=10, waiting_s=600)
    supply.run(10)
    old_s = supply.time.now_s
    supply.time.now_s = old_s + 3600
    supply.limiter.clock_changed(old_s, old_s + 3600)
    assert supply.run(599) == []
    assert supply.run(1) == ["local_connection"]


def test_an_emergency_lowers_the_threshold_for_its_time() -> None:
    one = limiter(emergency_w=2000, emergency_groups=(7,))
    time = Seconds()
    assert one.activate_emergency(7, START_S + 100, 50, START_S) == []
    assert time.through(one.advance, 99, powers_w=LITTLE) == []
    (event,) = time.through(one.advance, 1, powers_w=LITTLE)
    assert (event.code.name, event.detail) == ("limiter_changed", "2000 W, emergency")
    assert (one.threshold, one.emergency_active) == (2000, True)
    assert time.through(one.advance, 49, powers_w=LITTLE) == []
    (event,) = time.through(one.advance, 1, powers_w=LITTLE)
    assert event.detail == "5000 W, normal"
    assert (one.threshold, one.emergency) == (5000, None)


def test_an_active_emergency_moves_with_the_clock_and_one_to_come_does_not() -> None:
    active, to_come = (limiter(emergency_w=2000, emergency_groups=(7,)) for _ in range(2))
    active.activate_emergency(7, START_S, 50, START_S)
    to_come.activate_emergency(7, START_S + 100, 50, START_S)
    for one in (active, to_come):
        one.clock_changed(START_S, START_S + 3600)
    assert active.emergency == (7, START_S + 3600, 50)
    assert to_come.emergency == (7, START_S + 100, 50)


def test_an_emergency_threshold_taken_away_ends_the_emergency() -> None:
    one = limiter(emergency_w=2000, emergency_groups=(7,))
    one.activate_emergency(7, START_S, 50, START_S)
    (event,) = one.configure(LimiterSettings(normal_w=5000), START_S)
    assert event.detail == "5000 W, normal"
    assert (one.emergency_active, one.emergency) == (False, None)


def test_the_window_of_the_retries_moves_with_the_clock() -> None:
    supply = Supply(mode=5, over_s=10, waiting_s=20, retries=1, window_s=600)
    supply.run(30)
    old_s = supply.time.now_s
    supply.time.now_s = old_s + 3600
    supply.limiter.clock_changed(old_s, old_s + 3600)
    # Still within the window of the first trip: this one is final.
    supply.run(10)
    assert supply.run(20) == ["breaker_ready"]


def test_an_emergency_at_once_is_in_force_at_once_and_repeating_it_is_harmless() -> None:
    one = limiter(emergency_w=2000, emergency_groups=(7,))
    assert names(one.activate_emergency(7, START_S, 50, START_S)) == ["limiter_changed"]
    assert one.activate_emergency(7, START_S, 50, START_S) == []
    assert names(one.end_emergency(START_S + 1)) == ["limiter_changed"]
    assert one.end_emergency(START_S + 1) == []


def test_an_emergency_outlives_a_restart_and_waits_for_a_valid_clock() -> None:
    one = limiter(emergency_w=2000, emergency_groups=(7,))
    one.activate_emergency(7, START_S + 10, 50, START_S)
    again = Limiter(one.settings, json.loads(json.dumps(one.state())))
    assert again.advance(step(START_S + 20, clock_valid=False)) == []
    assert names(again.advance(step(START_S + 21))) == ["limiter_changed"]


@pytest.mark.parametrize(
    ("group", "duration_s", "settings", "reason"),
    [
        (8, 50, {"emergency_w": 2000, "emergency_groups": (7,)}, "groups are 7"),
        (7, 50, {"emergency_w": 2000}, "groups are none"),
        (7, 50, {"emergency_groups": (7,)}, "no emergency threshold"),
        (7, 0, {"emergency_w": 2000, "emergency_groups": (7,)}, "1 s at least"),
    ],
)
def test_an_emergency_that_is_not_for_this_meter_is_refused(
    group: int, duration_s: int, settings: dict[str, Any], reason: str
) -> None:
    one = limiter(**settings)
    before = one.state()
    with pytest.raises(RefusedError, match=reason):
        one.activate_emergency(group, START_S, duration_s, START_S)
    assert one.state() == before


def test_a_prepaid_maximum_caps_the_threshold_while_it_is_used() -> None:
    one = limiter(prepaid_maximum_w=1000)
    (event,) = one.use("prepaid", START_S)
    assert event.detail == "1000 W, prepaid"
    assert one.use("prepaid", START_S) == []
    seen = Seconds().through(one.advance, 30, powers_w=(500.0, 500.0, 500.0))
    assert names(seen) == ["limiter_exceeded"]
    assert names(one.use("normal", START_S)) == ["limiter_changed"]
    assert one.threshold == 5000


def test_a_prepaid_maximum_works_without_a_normal_threshold() -> None:
    one = Limiter(LimiterSettings(prepaid_maximum_w=1000))
    one.use("prepaid", START_S)
    assert one.threshold == 1000
    (event,) = one.use("normal", START_S)
    assert event.detail == "no limit"


def test_of_an_emergency_and_a_prepaid_maximum_the_lower_holds() -> None:
    one = limiter(prepaid_maximum_w=1000, emergency_w=800, emergency_groups=(7,))
    one.use("prepaid", START_S)
    one.activate_emergency(7, START_S, 50, START_S)
    assert one.threshold == 800
    one.end_emergency(START_S)
    assert one.threshold == 1000


def test_using_a_threshold_that_is_not_set_is_refused() -> None:
    with pytest.raises(RefusedError, match="no prepaid threshold"):
        limiter().use("prepaid", START_S)


def test_taking_the_limit_away_lets_the_supply_come_back() -> None:
    supply = Supply(over_s=10, waiting_s=600)
    supply.run(10)
    now_s = supply.time.now_s
    events = supply.limiter.configure(LimiterSettings(), now_s)
    assert names(events) == ["limiter_changed", "limiter_ok"]
    assert names(supply.follow(now_s)) == ["local_connection"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"over_s": 86_401}, "a time of 86401 s; possible are 0 to 86400 s"),
        ({"retries": -1}, "-1 retries"),
        ({"monitored": "current", "normal_w": 1.0}, "normal_w does not go with"),
        ({"normal_w": 0}, "greater than 0"),
        ({"emergency_groups": (65_536,)}, "group of 65536"),
        ({"thresholds": 1}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        LimiterSettings(**settings)


class LimiterMachine(RuleBasedStateMachine):
    """Loads, pauses, commands and restarts in any order."""

    @initialize(
        mode=st.integers(0, 6), retries=st.integers(0, 2), final=st.sampled_from(["open", "ready"])
    )
    def start(self, mode: int, retries: int, final: str) -> None:
        self.supply = Supply(
            mode=mode,
            over_s=3,
            waiting_s=5,
            retries=retries,
            window_s=60,
            final=final,
            emergency_w=1000,
            emergency_groups=(1,),
            prepaid_maximum_w=400,
        )

    @rule(load=st.sampled_from([MUCH, LITTLE]), seconds=st.integers(1, 10), button=st.booleans())
    def draw(self, load: tuple[float, ...], seconds: int, button: bool) -> None:
        self.supply.run(seconds, load, button=button)

    @rule(seconds=st.integers(0, 100))
    def dark(self, seconds: int) -> None:
        self.supply.time.now_s += seconds
        self.supply.run(1, gap=True)

    @rule(which=st.sampled_from(["normal", "emergency", "prepaid"]))
    def use(self, which: Any) -> None:
        self.supply.limiter.use(which, self.supply.time.now_s)

    @rule(in_s=st.integers(-5, 20), duration_s=st.integers(1, 20))
    def emergency(self, in_s: int, duration_s: int) -> None:
        now_s = self.supply.time.now_s
        self.supply.limiter.activate_emergency(1, now_s + in_s, duration_s, now_s)

    @rule()
    def reset(self) -> None:
        self.supply.limiter.reset(self.supply.time.now_s)
        self.supply.follow(self.supply.time.now_s)

    @rule()
    def restart(self) -> None:
        limiter, breaker = self.supply.limiter, self.supply.breaker
        self.supply.restart()
        assert self.supply.limiter.state() == limiter.state()
        assert self.supply.limiter.threshold == limiter.threshold
        assert self.supply.breaker.state() == breaker.state()

    @invariant()
    def the_breaker_is_never_closed_against_the_limiter(self) -> None:
        if self.supply.breaker.control_mode:
            assert not (self.supply.limiter.opens and self.supply.breaker.closed_wanted)

    @invariant()
    def an_end_of_the_waiting_is_due_unless_it_is_final(self) -> None:
        one = self.supply.limiter
        stays = one.wants_button and one.settings.final == "open"
        assert not one.opens or (one.due_s is None) is stays


LimiterMachine.TestCase.settings = hypothesis_settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
TestLoadsAndCommandsOfAnyKind = LimiterMachine.TestCase
