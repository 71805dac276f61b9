"""A lost neutral is told with where it is, and cuts the supply where the utility says so."""

import cmath
import json
import math
from typing import Any

import pytest
from pydantic import ValidationError
from supply_steps import START_S, Seconds, names

from meter_node.meter.event import Event
from meter_node.meter.neutral import NeutralProtection, NeutralSettings
from meter_node.meter.step import Step
from meter_node.meter.supply import Breaker, BreakerSettings, Cause

TURN = cmath.rect(1.0, -2 * math.pi / 3)
SUPPLY = (230 + 0j, 230 * TURN, 230 * TURN * TURN)
# The star point 45 V towards L1: 185 V there and √(160² + 199.2²) = 255.5 V on the others.
LOST = tuple(line - 45 for line in SUPPLY)


def protection(phases: int = 3, **settings: Any) -> NeutralProtection:
    return NeutralProtection(phases, NeutralSettings(**settings))


def restarted(one: NeutralProtection, phases: int = 3) -> NeutralProtection:
    return NeutralProtection(phases, one.settings, json.loads(json.dumps(one.state())))


def test_59_seconds_are_not_a_fault() -> None:
    one = protection()
    assert Seconds().through(one.advance, 59, voltages_v=LOST) == []
    assert not one.fault


def test_61_seconds_are_a_fault_told_with_station_and_radial() -> None:
    one = protection(transformer_station="4711", radial="3")
    (event,) = Seconds().through(one.advance, 61, voltages_v=LOST)
    assert event.code.name == "neutral_fault"
    assert event.time_s == START_S + 61
    assert event.detail == "45.0 V, 61 s, station 4711, radial 3"
    assert one.fault


def test_the_balanced_case_does_not_trip() -> None:
    one = protection(cut=True)
    assert Seconds().through(one.advance, 600, voltages_v=SUPPLY) == []
    assert not one.trips


def test_it_does_not_cut_unless_the_utility_says_so() -> None:
    told, cutting = protection(), protection(cut=True)
    for one in (told, cutting):
        Seconds().through(one.advance, 61, voltages_v=LOST)
    assert (told.trips, cutting.trips) == (False, True)


def test_one_phase_only_suspects_and_never_cuts() -> None:
    one = protection(1, cut=True)
    (event,) = Seconds().through(one.advance, 61, voltages_v=(180 + 0j,))
    assert event.code.name == "neutral_fault_suspected"
    assert event.detail == "50.0 V, 61 s"
    assert one.fault
    assert not one.trips


def test_a_fault_stands_until_the_utility_clears_it() -> None:
    one, time = protection(cut=True, radial="3"), Seconds()
    time.through(one.advance, 61, voltages_v=LOST)
    assert time.through(one.advance, 600, voltages_v=SUPPLY) == []
    assert one.trips
    (event,) = one.clear(time.now_s)
    assert (event.code.name, event.detail) == ("neutral_fault_cleared", "radial 3")
    assert not one.fault
    assert one.clear(time.now_s) == []


def test_after_clearing_it_watches_again() -> None:
    one, time = protection(), Seconds()
    time.through(one.advance, 61, voltages_v=LOST)
    one.clear(time.now_s)
    assert names(time.through(one.advance, 61, voltages_v=LOST)) == ["neutral_fault"]


def test_a_fault_and_the_time_before_one_outlive_a_restart() -> None:
    one, time = protection(cut=True), Seconds()
    time.through(one.advance, 40, voltages_v=LOST)
    again = restarted(one)
    assert names(time.through(again.advance, 21, voltages_v=LOST)) == ["neutral_fault"]
    assert restarted(again).trips


def test_a_gap_starts_the_minute_anew() -> None:
    one, time = protection(), Seconds()
    time.through(one.advance, 59, voltages_v=LOST)
    time.through(one.advance, 1, voltages_v=LOST, gap=True)
    assert time.through(one.advance, 59, voltages_v=LOST) == []
    assert names(time.through(one.advance, 1, voltages_v=LOST)) == ["neutral_fault"]


def test_the_delay_is_a_parameter() -> None:
    one = protection(delay_s=5)
    assert names(Seconds().through(one.advance, 6, voltages_v=LOST)) == ["neutral_fault"]


def test_other_parameters_do_not_clear_a_fault() -> None:
    one = protection(cut=True)
    Seconds().through(one.advance, 61, voltages_v=LOST)
    one.configure(NeutralSettings(cut=True, delay_s=120))
    assert one.trips


def test_a_cut_latches_though_its_cause_looks_gone() -> None:
    guard, breaker, time = protection(cut=True), Breaker(BreakerSettings(control_mode=6)), Seconds()

    def wired(step: Step) -> list[Event]:
        events = guard.advance(step)
        if guard.trips:
            events += breaker.trip_neutral(step.end_s)
        return events + breaker.advance(step)

    seen = time.through(wired, 61, voltages_v=LOST)
    assert names(seen) == ["neutral_fault", "local_disconnection"]
    # Without load the voltages are right again.
    assert time.through(wired, 3600, voltages_v=SUPPLY) == []
    assert breaker.causes == {Cause.NEUTRAL}
    events = guard.clear(time.now_s) + breaker.clear_neutral(time.now_s)
    assert names(events) == ["neutral_fault_cleared", "breaker_ready"]
    assert not breaker.closed_wanted
    assert names(time.through(wired, 1, voltages_v=SUPPLY, button=True)) == ["manual_connection"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"delay_s": 3601}, "a delay of 3601 s; possible are 0 to 3600 s"),
        ({"low_by_v": 230}, "less than 230"),
        ({"high_v": 230}, "greater than 230"),
        ({"radial": "x" * 33}, "at most 32"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        NeutralSettings(**settings)
