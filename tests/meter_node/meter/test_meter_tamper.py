"""Covers and magnets: seen, stamped, seen without power too, and no register moves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.meter.meter import Meter
from meter_node.meter.step import DigitalInputs
from meter_node.meter.tamper import Tamper, TamperSettings
from meter_node.meter.variant import Variant
from tests.meter_node.meter.credit_steps import NWH_PER_WH, at, step

NOON = at("2026-01-12 12:00")
FIELD = DigitalInputs(magnet=True)
COVERS = {
    "meter": DigitalInputs(meter_cover_open=True),
    "terminal": DigitalInputs(terminal_cover_open=True),
}


def closed() -> Tamper:
    """A meter that has seen a second of peace up to noon."""
    tamper = Tamper(TamperSettings())
    assert tamper.advance(step(NOON - 1)) == []
    return tamper


def restarted(tamper: Tamper) -> Tamper:
    return Tamper(TamperSettings(), json.loads(json.dumps(tamper.state())))


def told(tamper: Tamper, start_s: int, inputs: DigitalInputs, **how: Any) -> list[tuple[str, int]]:
    """Events of a second as name and seconds after noon."""
    events = tamper.advance(step(start_s, inputs=inputs, **how))
    return [(event.code.name, event.time_s - NOON) for event in events]


def seconds(tamper: Tamper, since: int, until: int, inputs: DigitalInputs) -> list[tuple[str, int]]:
    return [
        event for second in range(since, until) for event in told(tamper, NOON + second, inputs)
    ]


@pytest.mark.parametrize("which", COVERS)
def test_an_opened_cover_is_told_once_and_clears_with_its_source(which: str) -> None:
    tamper = closed()
    assert seconds(tamper, 0, 10, COVERS[which]) == [(f"{which}_cover_opened", 1)]
    assert tamper.cover_open
    assert seconds(tamper, 10, 20, DigitalInputs()) == [(f"{which}_cover_closed", 11)]
    assert not tamper.cover_open


def test_one_cover_closed_leaves_the_other_open() -> None:
    tamper = closed()
    told(tamper, NOON, DigitalInputs(meter_cover_open=True, terminal_cover_open=True))
    told(tamper, NOON + 1, COVERS["terminal"])
    assert tamper.cover_open


@pytest.mark.parametrize("which", COVERS)
def test_a_cover_opened_while_off_is_reported_at_power_up(which: str) -> None:
    tamper = restarted(closed())
    events = tamper.advance(step(NOON + 3600, inputs=COVERS[which], gap=True))
    # Stamped with the power-up, not with the end of its first second.
    assert [(event.code.name, event.time_s - NOON, event.detail) for event in events] == [
        (f"{which}_cover_opened", 3600, "without power")
    ]


def test_a_cover_opened_in_a_gap_without_a_restart_is_reported_too() -> None:
    events = closed().advance(step(NOON + 60, inputs=COVERS["meter"], gap=True))
    assert [event.detail for event in events] == ["without power"]


def test_a_cover_opened_before_the_power_went_is_not_reported_again() -> None:
    tamper = closed()
    told(tamper, NOON, COVERS["meter"])
    assert told(restarted(tamper), NOON + 60, COVERS["meter"], gap=True) == []


def test_a_cover_closed_while_off_is_reported_at_power_up() -> None:
    tamper = closed()
    told(tamper, NOON, COVERS["meter"])
    events = restarted(tamper).advance(step(NOON + 60, gap=True))
    assert [(event.code.name, event.detail) for event in events] == [
        ("meter_cover_closed", "without power")
    ]


def test_what_is_seen_with_power_is_not_called_without() -> None:
    tamper = restarted(closed())
    told(tamper, NOON + 60, DigitalInputs(), gap=True)
    events = tamper.advance(step(NOON + 61, inputs=COVERS["meter"]))
    assert [event.detail for event in events] == [""]


def test_a_field_of_thirty_seconds_is_none_and_one_of_thirty_one_is_one() -> None:
    tamper = closed()
    assert seconds(tamper, 0, 30, FIELD) == []
    assert not tamper.magnet
    assert seconds(tamper, 30, 31, FIELD) == [("magnet_on", 31)]
    assert tamper.magnet


def test_a_field_that_comes_back_within_thirty_seconds_is_the_same_one() -> None:
    tamper = closed()
    seconds(tamper, 0, 31, FIELD)
    assert seconds(tamper, 31, 61, DigitalInputs()) == []
    assert seconds(tamper, 61, 62, FIELD) == []
    assert tamper.magnet


def test_the_end_of_a_field_says_how_long_it_was_there() -> None:
    tamper = closed()
    seconds(tamper, 0, 45, FIELD)
    events = []
    for second in range(45, 80):
        events += tamper.advance(step(NOON + second))
    # Gone since 45; told in the 31st second without it.
    assert [(event.code.name, event.time_s - NOON, event.detail) for event in events] == [
        ("magnet_off", 76, "45 s")
    ]


def test_short_fields_one_after_the_other_do_not_add_up() -> None:
    tamper = closed()
    for start in range(0, 300, 30):
        assert seconds(tamper, start, start + 29, FIELD) == []
        assert seconds(tamper, start + 29, start + 30, DigitalInputs()) == []


def test_a_field_that_is_being_debounced_is_so_after_a_restart_but_lasts_anew() -> None:
    tamper = closed()
    seconds(tamper, 0, 20, FIELD)
    again = restarted(tamper)
    assert told(again, NOON + 100, FIELD, gap=True) == []
    assert seconds(again, 101, 130, FIELD) == []
    assert seconds(again, 130, 131, FIELD) == [("magnet_on", 131)]


def test_a_clock_that_is_set_makes_no_field_longer() -> None:
    tamper = closed()
    seconds(tamper, 0, 20, FIELD)
    tamper.clock_changed(NOON + 20, NOON + 3620)
    assert seconds(tamper, 3620, 3630, FIELD) == []
    assert seconds(tamper, 3630, 3631, FIELD) == [("magnet_on", 3631)]


def test_a_step_of_a_minute_is_long_enough() -> None:
    events = closed().advance(step(NOON, 60, inputs=FIELD))
    assert [event.code.name for event in events] == ["magnet_on"]


def test_registers_are_unaffected_by_a_magnet() -> None:
    with_field, without = Meter(Variant()), Meter(Variant())
    tamper = closed()
    told_names = []
    for second in range(100):
        energies = (second * NWH_PER_WH + 1, -7 * second, 0)
        loaded = step(NOON + second, energies_nwh=energies, inputs=FIELD)
        told_names += [event.code.name for event in tamper.advance(loaded)]
        with_field.advance(loaded.measurement)
        without.advance(step(NOON + second, energies_nwh=energies).measurement)
    assert told_names == ["magnet_on"]
    assert with_field.snapshot().energies_nwh == without.snapshot().energies_nwh


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=40))
def test_each_opening_has_its_closing_whatever_restarts_lie_between(
    played: list[tuple[bool, bool, bool]],
) -> None:
    tamper = closed()
    balance = 0
    is_open = False
    for minute, (opened, restart, gap) in enumerate(played):
        if restart:
            tamper = restarted(tamper)
        inputs = DigitalInputs(meter_cover_open=opened)
        is_open = opened
        for name, _ in told(tamper, NOON + 60 * minute, inputs, gap=gap):
            balance += {"meter_cover_opened": 1, "meter_cover_closed": -1}[name]
        assert balance == int(is_open)


def test_a_bad_delay_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValidationError, match="a delay of 3601 s; possible are 0 to 3600 s"):
        TamperSettings(magnet_debounce_s=3601)
