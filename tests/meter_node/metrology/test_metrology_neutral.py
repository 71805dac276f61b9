"""A lost neutral is found; weak grids, sags and balanced houses are left alone."""

import cmath
import json
import math
from collections.abc import Sequence

import pytest

from meter_node.metrology import (
    EventKind,
    Measurement,
    NeutralGuard,
    NeutralLimits,
    PhaseMeasurement,
    QualityEvent,
)

NANO = 10**9
TURN = cmath.rect(1.0, -2 * math.pi / 3)
SUPPLY = (230 + 0j, 230 * TURN, 230 * TURN * TURN)


def shifted(displacement: complex, supply: Sequence[complex] = SUPPLY) -> list[complex]:
    """What the house sees when its star point has moved by so much."""
    return [line - displacement for line in supply]


def hold(
    guard: NeutralGuard, voltages: Sequence[complex], seconds: int, start: int = 0
) -> list[QualityEvent]:
    phases = tuple(
        PhaseMeasurement(abs(u), 1.0, 230.0, 0.0, 230.0, 1.0, 0, 0, voltage_phasor_v=u)
        for u in voltages
    )
    return [
        event
        for number in range(start, start + seconds)
        for event in guard.advance(Measurement(number * NANO, (number + 1) * NANO, 50.0, phases))
    ]


# 45 V straight at L1: 185 V there, √(160² + 199.2²) = 255.5 V on the two others.
LOST = shifted(45)


def test_one_low_and_two_high_trip_after_61_s_but_not_after_59_s() -> None:
    assert hold(NeutralGuard(3), LOST, 59) == []
    (event,) = hold(NeutralGuard(3), LOST, 61)
    assert event.kind is EventKind.NEUTRAL_FAULT
    assert (event.phase, event.start_ns, event.end_ns) == (None, 0, None)
    assert event.magnitude == pytest.approx(45.0)


def test_sixty_seconds_are_not_more_than_sixty_seconds() -> None:
    assert hold(NeutralGuard(3), LOST, 60) == []


def test_a_single_good_second_starts_the_minute_anew() -> None:
    guard = NeutralGuard(3)
    assert hold(guard, LOST, 59) == []
    assert hold(guard, SUPPLY, 1, start=59) == []
    assert hold(guard, LOST, 60, start=60) == []
    assert guard.tripped is False


def test_two_low_and_one_high_trip_too() -> None:
    # 75 V away from L1: 305 V there, √(40² + 199.2²) = 203 V: not low yet; 95 V: 325, 200, 200.
    # With 60 % of the supply's voltage on two lines by their own loads: 185, 185 and 290 V.
    voltages = [290 + 0j, 185 * TURN, 185 * TURN * TURN]
    (event,) = hold(NeutralGuard(3), voltages, 61)
    assert event.kind is EventKind.NEUTRAL_FAULT


@pytest.mark.parametrize("direction_deg", [0, 45, 90, 135, 180, 250])
def test_a_displaced_star_point_trips_in_every_direction(direction_deg: float) -> None:
    moved = shifted(cmath.rect(50.0, math.radians(direction_deg)))
    (event,) = hold(NeutralGuard(3), moved, 61)
    assert event.magnitude == pytest.approx(50.0)
    assert hold(NeutralGuard(3), moved, 59) == []


def test_a_star_point_moved_sideways_is_seen_though_the_makers_rule_is_blind() -> None:
    # At 90° to L1: 234, 270 and 192 V: one high, none low.
    moved = shifted(45j)
    voltages_v = sorted(map(abs, moved))
    assert 190 < voltages_v[0] < voltages_v[1] < 253 < voltages_v[2]
    assert len(hold(NeutralGuard(3), moved, 61)) == 1


def test_a_balanced_house_does_not_trip_though_its_neutral_is_lost() -> None:
    assert hold(NeutralGuard(3), SUPPLY, 600) == []


@pytest.mark.parametrize("direction_deg", range(0, 360, 15))
def test_a_weak_grid_does_not_trip(direction_deg: int) -> None:
    # 65 A on one phase through 0.3 Ω of line and as much of neutral: 20 V in the neutral, and 20 V
    # off the line that carries it.
    neutral_drop = cmath.rect(20.0, math.radians(direction_deg))
    lines = [SUPPLY[0] * (210 / 230), *SUPPLY[1:]]
    assert hold(NeutralGuard(3), shifted(neutral_drop, lines), 600) == []


@pytest.mark.parametrize("share", [0.05, 0.4, 0.6, 0.75, 0.85])
@pytest.mark.parametrize("phases", [1, 2, 3])
def test_a_sag_of_the_lines_does_not_trip_however_long(share: float, phases: int) -> None:
    lines = [line * (share if number < phases else 1) for number, line in enumerate(SUPPLY)]
    assert hold(NeutralGuard(3), lines, 600) == []


def test_an_overvoltage_of_all_phases_is_no_neutral_fault() -> None:
    assert hold(NeutralGuard(3), [line * 1.15 for line in SUPPLY], 600) == []


def test_a_trip_stays_until_it_is_cleared() -> None:
    guard = NeutralGuard(3)
    hold(guard, LOST, 61)
    assert guard.tripped
    assert hold(guard, SUPPLY, 600, start=61) == []
    assert guard.tripped
    (ended,) = guard.clear(700 * NANO)
    assert (ended.start_ns, ended.end_ns) == (0, 700 * NANO)
    assert not guard.tripped
    assert guard.clear(701 * NANO) == []
    assert len(hold(guard, LOST, 61, start=701)) == 1


def test_a_trip_and_a_running_minute_survive_a_restart() -> None:
    before = NeutralGuard(3)
    hold(before, LOST, 40)
    after = NeutralGuard(3, kept=json.loads(json.dumps(before.state())))
    (event,) = hold(after, LOST, 25, start=40)
    assert event.start_ns == 0
    assert NeutralGuard(3, kept=after.state()).tripped


def test_limits_are_the_owners() -> None:
    patient = NeutralLimits(delay_s=120.0)
    assert hold(NeutralGuard(3, patient), LOST, 119) == []
    assert len(hold(NeutralGuard(3, patient), LOST, 121)) == 1


# Two lines 120° apart, 398 V between them; without a neutral their loads share it in series.
TWO = SUPPLY[:2]


@pytest.mark.parametrize("share", [0.2, 0.35, 0.7])
def test_two_phases_that_share_the_line_voltage_unequally_trip(share: float) -> None:
    star = TWO[0] + (TWO[1] - TWO[0]) * share
    seen = shifted(star, TWO)
    assert abs(abs(seen[0]) - abs(seen[1])) > 40
    assert hold(NeutralGuard(2), seen, 59) == []
    assert len(hold(NeutralGuard(2), seen, 61)) == 1


def test_two_equal_phases_and_a_sag_of_one_line_do_not_trip() -> None:
    assert hold(NeutralGuard(2), TWO, 600) == []
    assert hold(NeutralGuard(2), shifted((TWO[0] + TWO[1]) / 2, TWO), 600) == []
    assert hold(NeutralGuard(2), [TWO[0] * 0.7, TWO[1]], 600) == []
    assert hold(NeutralGuard(2), shifted(15, TWO), 600) == []


@pytest.mark.parametrize(("voltage_v", "suspected"), [(185, 1), (191, 0), (252, 0), (260, 1)])
def test_one_phase_can_only_suspect_a_fault(voltage_v: float, suspected: int) -> None:
    events = hold(NeutralGuard(1), [complex(voltage_v)], 61)
    assert [event.kind for event in events] == [EventKind.SUSPECTED_NEUTRAL_FAULT] * suspected
    assert hold(NeutralGuard(1), [complex(voltage_v)], 59) == []
