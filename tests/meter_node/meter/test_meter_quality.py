"""Voltage quality: each kind told at its beginning and end, counted, and stamped by the meter."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.channel.event_codes import BY_NAME, Log
from meter_node.meter.event import Event
from meter_node.meter.quality import (
    TOLD,
    Quality,
    QualitySettings,
    VoltageExtremes,
    told,
)
from meter_node.meter.step import Step
from meter_node.metrology.events import Detector, EventKind, Limits, QualityEvent
from tests.meter_node.meter.credit_steps import NANO, SOURCE_EPOCH_S, at, danish, step

NOON = at("2026-01-12 12:00")
PHASE_KINDS = [
    kind
    for kind in EventKind
    if kind
    not in (
        EventKind.WRONG_PHASE_ORDER,
        EventKind.NEUTRAL_FAULT,
        EventKind.SUSPECTED_NEUTRAL_FAULT,
    )
]
SUPPLY_KINDS = [
    EventKind.SAG,
    EventKind.SWELL,
    EventKind.INTERRUPTION,
    EventKind.POWER_CUT,
    EventKind.WRONG_PHASE_ORDER,
    EventKind.NEUTRAL_FAULT,
    EventKind.SUSPECTED_NEUTRAL_FAULT,
]
GOOD = (230.0, 230.0, 230.0)
L1_OUT = (0.0, 230.0, 230.0)
L2_OUT = (230.0, 0.0, 230.0)
BOTH_OUT = (0.0, 0.0, 230.0)
DARK = (0.0, 0.0, 0.0)


def found(
    kind: EventKind,
    phase: int | None,
    start: float,
    end: float | None = None,
    magnitude: float = 187.24,
    **how: Any,
) -> QualityEvent:
    """An event at so many seconds after noon, on the clock of the source."""
    ahead = NOON - SOURCE_EPOCH_S
    return QualityEvent(
        kind,
        phase,
        round((start + ahead) * NANO),
        None if end is None else round((end + ahead) * NANO),
        magnitude,
        **how,
    )


class Watched:
    """A detector and the meter's quality behind it, restarted together as a store does."""

    def __init__(self, kept: Any = None) -> None:
        self.detector = Detector(3, None, kept["detector"] if kept else ())
        self.quality = Quality(QualitySettings(), 3, danish(), kept["quality"] if kept else None)

    def restarted(self) -> "Watched":
        kept = {"detector": self.detector.state(), "quality": self.quality.state()}
        return Watched(json.loads(json.dumps(kept)))

    def see(self, made: Step) -> list[Event]:
        return self.quality.advance(made, self.detector.advance(made.measurement))

    def seconds(
        self, since: int, until: int, volts: Sequence[float], *, gap: bool = False
    ) -> list[tuple[str, int]]:
        """Names and stamps (seconds after noon) of the events of seconds of these voltages."""
        events = []
        for second in range(since, until):
            made = step(NOON + second, volts=volts, gap=gap and second == since)
            events += self.see(made)
        return [(event.code.name, event.time_s - NOON) for event in events]

    def register(self, key: str) -> int:
        return self.quality.registers()[key]


def of(events: list[tuple[str, int]], *names: str) -> list[tuple[str, int]]:
    """Those whose name begins with one of these."""
    return [event for event in events if event[0].startswith(names)]


# --- Every kind is told, beginning and end


def test_every_kind_of_the_metrology_has_a_row() -> None:
    assert set(TOLD) == set(EventKind)


@pytest.mark.parametrize("phase", [1, 2, 3])
@pytest.mark.parametrize("kind", PHASE_KINDS)
def test_every_kind_of_a_phase_says_the_phase_at_beginning_and_end(
    kind: EventKind, phase: int
) -> None:
    began = told(found(kind, phase, 0), step(NOON))
    over = told(found(kind, phase, 0, 1), step(NOON))
    assert began.code != over.code
    for event in (began, over):
        assert event.code.name.endswith(f"_l{phase}") or event.detail.startswith(f"L{phase}, ")


@pytest.mark.parametrize("kind", SUPPLY_KINDS)
def test_every_kind_of_the_supply_has_a_beginning_and_an_end_of_its_own(kind: EventKind) -> None:
    began = told(found(kind, None, 0), step(NOON))
    over = told(found(kind, None, 0, 1), step(NOON))
    assert began.code != over.code
    assert "_l" not in began.code.name[-3:]


def test_a_sag_says_how_deep_and_how_long() -> None:
    over = told(found(EventKind.SAG, 2, 0.5, 3.71), step(NOON + 3))
    assert (over.code.name, over.detail) == ("sag_over_l2", "187.2 V, 3.21 s")


def test_a_beginning_says_what_is_known_so_far() -> None:
    began = told(found(EventKind.SAG, 2, 0.5), step(NOON))
    assert (began.code.name, began.detail) == ("sag_l2", "187.2 V")


def test_a_duration_that_nobody_saw_the_end_of_is_at_most_so_long() -> None:
    over = told(found(EventKind.SAG, 1, 0, 60, interrupted=True), step(NOON + 60))
    assert over.detail == "187.2 V, ≤ 60.00 s"


@pytest.mark.parametrize(
    ("kind", "magnitude", "detail"),
    [
        (EventKind.OVER_CURRENT, 71.234, "71.23 A"),
        (EventKind.REVERSED_CURRENT, -512.4, "L1, -512 W"),
        (EventKind.CURRENT_WITHOUT_VOLTAGE, 3.0, "3.00 A"),
    ],
)
def test_magnitudes_have_their_kinds_unit(kind: EventKind, magnitude: float, detail: str) -> None:
    assert told(found(kind, 1, 0, magnitude=magnitude), step(NOON)).detail == detail


def test_a_phase_order_has_no_magnitude() -> None:
    assert told(found(EventKind.WRONG_PHASE_ORDER, None, 0, magnitude=1), step(NOON)).detail == ""


@pytest.mark.parametrize("kind", [EventKind.REVERSED_CURRENT, EventKind.CURRENT_WITHOUT_VOLTAGE])
def test_attempts_on_the_installation_are_in_the_fraud_log(kind: EventKind) -> None:
    for end in (None, 1.0):
        assert told(found(kind, 1, 0, end), step(NOON)).code.log is Log.FRAUD


def test_an_under_voltage_over_is_the_voltage_normal_of_the_standard() -> None:
    over = told(found(EventKind.UNDER_VOLTAGE, 3, 0, 1), step(NOON))
    assert over.code is BY_NAME["voltage_normal_l3"]
    assert over.code.code == 87


def test_stamps_are_on_the_meters_clock_whatever_the_sources_says() -> None:
    # Began 61.3 s before the end of the second 12:01:01 to 12:01:02.
    began = told(found(EventKind.UNDER_VOLTAGE, 1, 0.7), step(NOON + 61))
    assert began.time_s == NOON


# --- Through the detector: outages


def test_a_power_cut_of_a_phase_is_stamped_at_start_and_return() -> None:
    watched = Watched()
    events = watched.seconds(0, 10, GOOD)
    events += watched.seconds(10, 15, L1_OUT)
    events += watched.seconds(15, 20, GOOD)
    assert of(events, "power_cut") == [("power_cut_l1", 10), ("power_cut_over_l1", 15)]
    assert of(events, "power_down", "power_up") == []


def test_overlapping_phases_are_one_failure_of_any_and_none_of_all() -> None:
    watched = Watched()
    events = watched.seconds(0, 100, GOOD)
    events += watched.seconds(100, 200, L1_OUT)
    events += watched.seconds(200, 250, BOTH_OUT)
    events += watched.seconds(250, 320, L2_OUT)
    events += watched.seconds(320, 330, GOOD)
    assert of(events, "power_cut") == [
        ("power_cut_l1", 100),
        ("power_cut_l2", 200),
        ("power_cut_over_l1", 250),
        ("power_cut_over_l2", 320),
    ]
    counts = [watched.register(f"power_failure_count_{s}") for s in ("l1", "l2", "l3", "all")]
    assert counts == [1, 1, 0, 0]
    assert watched.register("power_failure_count_any") == 1
    # 150 s and 120 s are short, but from 100 to 320 some phase was always out: 220 s > 180 s.
    assert watched.register("long_power_failure_count_l1") == 0
    assert watched.register("long_power_failure_count_any") == 1
    assert watched.register("long_power_failure_duration_any") == 220
    assert watched.quality.long_failures == [(NOON + 320, 220)]


def test_all_phases_low_for_more_than_a_second_is_the_meter_going_down() -> None:
    watched = Watched()
    events = watched.seconds(0, 10, GOOD)
    events += watched.seconds(10, 40, DARK)
    assert watched.quality.supply_down
    events += watched.seconds(40, 45, GOOD)
    assert of(events, "power_down", "power_up") == [("power_down", 10), ("power_up", 40)]
    assert not watched.quality.supply_down


def test_a_gap_is_a_power_down_with_the_start_and_a_power_up() -> None:
    watched = Watched()
    watched.seconds(0, 10, GOOD)
    again = watched.restarted()
    events = again.see(step(NOON + 130, gap=True))
    assert [(event.code.name, event.time_s - NOON, event.detail) for event in events] == [
        ("power_down", 10, ""),
        ("power_up", 130, "120 s"),
    ]
    for scope in ("l1", "l2", "l3", "all", "any"):
        assert again.register(f"power_failure_count_{scope}") == 1
        assert again.register(f"long_power_failure_count_{scope}") == 0


@pytest.mark.parametrize(("length_s", "is_long"), [(180, 0), (181, 1)])
def test_an_outage_of_more_than_three_minutes_is_counted_as_long(
    length_s: int, is_long: int
) -> None:
    watched = Watched()
    watched.seconds(0, 10, GOOD)
    watched.seconds(10 + length_s, 12 + length_s, GOOD, gap=True)
    for scope in ("l1", "all", "any"):
        assert watched.register(f"long_power_failure_count_{scope}") == is_long
        duration_s = watched.register(f"long_power_failure_duration_{scope}")
        assert duration_s == is_long * length_s


def test_an_outage_that_the_meter_saw_coming_is_one_outage_with_one_start() -> None:
    watched = Watched()
    events = watched.seconds(0, 10, GOOD)
    events += watched.seconds(10, 13, DARK)
    again = watched.restarted()
    events += again.seconds(613, 620, GOOD, gap=True)
    assert of(events, "power_down", "power_up") == [("power_down", 10), ("power_up", 613)]
    assert again.register("power_failure_count_all") == 1
    assert again.register("long_power_failure_duration_all") == 603


def test_a_phase_that_was_out_before_and_after_a_gap_is_out_all_the_time() -> None:
    watched = Watched()
    watched.seconds(0, 10, GOOD)
    watched.seconds(10, 20, L1_OUT)
    again = watched.restarted()
    events = again.seconds(100, 110, L1_OUT, gap=True)
    assert of(events, "power_cut") == []
    events = again.seconds(110, 115, GOOD)
    assert of(events, "power_cut") == [("power_cut_over_l1", 110)]
    assert again.register("power_failure_count_l1") == 1
    assert again.register("power_failure_count_l2") == 1
    assert again.register("power_failure_count_any") == 1


def test_an_event_open_across_a_restart_ends_once_with_its_own_start() -> None:
    watched = Watched()
    watched.seconds(0, 10, GOOD)
    assert watched.seconds(10, 80, (200.0, 230.0, 230.0)) == [
        ("sag_l1", 10),
        ("sag", 10),
        ("under_voltage_l1", 10),
    ]
    again = watched.restarted()
    assert again.seconds(80, 90, (200.0, 230.0, 230.0)) == []
    events = again.seconds(90, 92, GOOD)
    assert sorted(events) == [("sag_over", 90), ("sag_over_l1", 90), ("voltage_normal_l1", 90)]
    assert again.register("voltage_sag_duration_l1") == 80_000


def test_chatter_at_the_threshold_is_one_event() -> None:
    watched = Watched()
    events = watched.seconds(0, 5, GOOD)
    for second in range(5, 105, 2):
        events += watched.seconds(second, second + 1, (206.9, 230.0, 230.0))
        events += watched.seconds(second + 1, second + 2, (207.1, 230.0, 230.0))
    # Back above 207 V + 2 % of 230 V = 211.6 V
    events += watched.seconds(105, 106, (211.7, 230.0, 230.0))
    assert of(events, "sag_l1", "sag_over_l1") == [("sag_l1", 5), ("sag_over_l1", 105)]


def test_a_lost_clock_makes_no_outage_long() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(NOON))
    events = quality.advance(step(NOON + 9999, gap=True, clock_valid=False))
    assert [event.detail for event in events] == ["", ""]
    assert quality.registers()["power_failure_count_all"] == 1
    assert quality.registers()["long_power_failure_count_all"] == 0


def test_a_clock_set_during_an_outage_makes_it_no_longer() -> None:
    watched = Watched()
    watched.seconds(0, 10, GOOD)
    watched.seconds(10, 20, DARK)
    watched.quality.clock_changed(NOON + 20, NOON + 3620)
    events = [
        event
        for second in range(3620, 3640)
        for event in watched.see(
            step(
                NOON + second,
                volts=DARK if second < 3630 else GOOD,
                meter_is_ahead_s=SOURCE_EPOCH_S + 3600,
            )
        )
    ]
    up = next(event for event in events if event.code.name == "power_up")
    assert (up.time_s - NOON, up.detail) == (3630, "20 s")


def test_a_new_meter_was_not_down_before_its_first_second() -> None:
    assert Watched().see(step(NOON, gap=True)) == []


def test_a_one_phase_meter_is_down_when_its_phase_is() -> None:
    quality = Quality(QualitySettings(), 1, danish())
    quality.advance(step(NOON, volts=(0.0,)), [found(EventKind.POWER_CUT, 1, 0)])
    back = step(NOON + 5, volts=(230.0,))
    events = quality.advance(back, [found(EventKind.POWER_CUT, 1, 0, 5)])
    assert [event.code.name for event in events] == ["power_down", "power_up", "power_cut_over_l1"]


# --- Counters


def test_sags_and_swells_are_counted_by_phase_with_their_last_one() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(NOON), [found(EventKind.SAG, 1, 0, 0.34, magnitude=101.0)])
    quality.advance(step(NOON + 1), [found(EventKind.SAG, 1, 1, 1.25, magnitude=187.246)])
    quality.advance(step(NOON + 2), [found(EventKind.SWELL, 2, 2, 2.5, magnitude=260.0)])
    values = quality.registers()
    assert values["voltage_sag_count_l1"] == 2
    assert values["voltage_sag_duration_l1"] == 250
    assert values["voltage_sag_magnitude_l1"] == 18_725
    assert values["voltage_swell_count_l2"] == 1
    assert values["voltage_swell_magnitude_l2"] == 26_000
    assert values["voltage_sag_count_l2"] == 0


def test_a_sag_counts_when_it_is_over_and_for_phases_alone() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(NOON), [found(EventKind.SAG, 1, 0), found(EventKind.SAG, None, 0, 1)])
    assert [quality.registers()[f"voltage_sag_count_l{phase}"] for phase in (1, 2, 3)] == [0, 0, 0]


@given(
    st.lists(
        st.tuples(st.integers(1, 200), st.sampled_from(["good", "l1", "dark", "gap", "restart"])),
        max_size=12,
    )
)
def test_failures_of_phases_all_and_any_agree(played: list[tuple[int, str]]) -> None:
    watched = Watched()
    second = 0
    watched.see(step(NOON, 1))
    second = 1
    down = up = 0
    for length, how in [*played, (10, "good")]:
        gap = how == "gap"
        if how in {"gap", "restart"}:
            watched = watched.restarted()
        if gap:
            second += length
        volts = {"l1": L1_OUT, "dark": DARK}.get(how, GOOD)
        events = watched.see(step(NOON + second, length, volts=volts, gap=gap))
        second += length
        names = [event.code.name for event in events]
        down += names.count("power_down")
        up += names.count("power_up")
    assert down == up == watched.register("power_failure_count_all")
    # L2 is only ever out with all the others, and L1 whenever any phase is.
    for key in ("power_failure_count", "long_power_failure_count", "long_power_failure_duration"):
        assert watched.register(f"{key}_l2") == watched.register(f"{key}_all")
        assert watched.register(f"{key}_l1") == watched.register(f"{key}_any")
    # All is well again: nothing is left open.
    assert not watched.quality.supply_down


# --- Highest and lowest voltage


def test_highest_and_lowest_voltage_have_their_stamps() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    for second, volts in enumerate((230.0, 241.5, 218.25, 230.0)):
        quality.advance(step(NOON + second, volts=(volts, 230.0, 230.0)))
    wanted = VoltageExtremes(24_150, NOON + 2, 21_825, NOON + 3)
    assert quality.voltage_extremes(1, today=True) == wanted
    assert quality.voltage_extremes(1, today=False) == wanted


def test_the_days_extremes_begin_anew_at_local_midnight_and_the_others_do_not() -> None:
    midnight = at("2026-01-13 00:00")
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(midnight - 1, volts=(250.0, 230.0, 230.0)))
    quality.advance(step(midnight, volts=(231.0, 230.0, 230.0)))
    today = quality.voltage_extremes(1, today=True)
    always = quality.voltage_extremes(1, today=False)
    assert today == VoltageExtremes(23_100, midnight + 1, 23_100, midnight + 1)
    assert always == VoltageExtremes(25_000, midnight, 23_100, midnight + 1)


def test_extremes_survive_a_restart() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(NOON, volts=(250.0, 230.0, 230.0)))
    kept = json.loads(json.dumps(quality.state()))
    again = Quality(QualitySettings(), 3, danish(), kept)
    assert again.registers()["voltage_maximum_l1"] == 25_000


def test_a_fragment_of_a_second_is_no_extreme() -> None:
    quality = Quality(QualitySettings(), 3, danish())
    quality.advance(step(NOON))
    whole = step(NOON + 1, volts=(10.0, 10.0, 10.0))
    quality.advance(replace(whole, measurement=replace(whole.measurement, complete=False)))
    assert quality.registers()["voltage_minimum_l1"] == 23_000


@given(st.lists(st.floats(0, 400), min_size=1, max_size=60))
def test_extremes_are_those_of_all_that_was_measured(volts: list[float]) -> None:
    quality = Quality(QualitySettings(), 3, danish())
    start_s = at("2026-01-12 23:59:30")
    for second, voltage_v in enumerate(volts):
        quality.advance(step(start_s + second, volts=(voltage_v, 230.0, 230.0)))
    measured = [round(voltage_v * 100) for voltage_v in volts]
    today = measured[30:] or measured
    values = quality.registers()
    assert values["voltage_maximum_l1"] == max(measured)
    assert values["voltage_minimum_l1"] == min(measured)
    assert values["voltage_maximum_day_l1"] == max(today)
    assert values["voltage_minimum_day_l1"] == min(today)


# --- Settings


def test_the_defaults_are_the_metrologys_limits() -> None:
    made = QualitySettings().limits(65, production_expected=False)
    wanted = Limits()
    for name in ("sag", "swell", "interruption", "power_cut", "under_voltage", "over_voltage"):
        ours, theirs = getattr(made, name), getattr(wanted, name)
        assert (ours.level, ours.release) == pytest.approx((theirs.level, theirs.release))
        assert ours.delay_s == theirs.delay_s
    assert made.over_current is not None
    # 105 % and 103 % of 65 A
    assert (made.over_current.level, made.over_current.release) == pytest.approx((68.25, 66.95))
    assert made.reversed_current == wanted.reversed_current


def test_a_house_that_feeds_in_has_no_reversed_current() -> None:
    assert QualitySettings().limits(65, production_expected=True).reversed_current is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"under_voltage_delay_s": 3601}, "a delay of 3601 s; possible are 0 to 3600 s"),
        ({"nominal_v": 10.0}, "a nominal voltage of 10.0 V; possible are 100 to 250 V"),
        ({"hysteresis_percent": 11.0}, "a hysteresis of 11.0 %; possible are 0 to 10 %"),
        ({"sag_percent": 99.0}, "a lower level of 99.0 %; possible are up to 98.0 %"),
        ({"swell_percent": 101.0}, "an upper level of 101.0 %; possible are 102.0 to 200 %"),
        ({"power_cut_v": 230.0}, "a power cut below 230.0 V; possible are up to 225.4 V"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        QualitySettings(**wrong)


def test_parameters_go_through_json_and_back() -> None:
    some = QualitySettings(sag_percent=85.0)
    assert QualitySettings.model_validate_json(some.model_dump_json()) == some
