"""The type test itself, at some of its points; the whole of it is the command."""

import math
from dataclasses import replace
from itertools import product

import pytest

from meter_node.meter.variant import Variant
from meter_node.metrology import Calibration
from meter_node.sources.front_end import Crystal
from meter_node.type_test import Report, Result, Subject, every_subject, run
from meter_node.type_test.bench import SETTLING_S, Bench, arithmetic, front_end
from meter_node.type_test.dial import no_load, register_and_pulses, starting
from meter_node.type_test.limits import HALF, ONE, QUARTER, STARTING_SHARE
from meter_node.type_test.loads import Load, Waveform
from meter_node.type_test.points import Kind, Plan, Point

THREE_PHASES = Variant("382M", 3, "5(65)")


@pytest.fixture(scope="module")
def exact() -> Bench:
    return arithmetic(THREE_PHASES, 50.0)


@pytest.fixture(scope="module")
def real() -> Bench:
    return front_end(THREE_PHASES, 50.0)


def load(current_a: float, factor: tuple[float, str] = ONE, **changes: object) -> Load:
    return replace(Load("active", current_a, factor, (1.0, 1.0, 1.0), 50.0), **changes)


@pytest.mark.parametrize(
    ("applied", "limit_percent"),
    [
        (load(0.05), 0.4),
        (load(0.25), 0.2),
        (load(65.0), 0.2),
        (load(0.1, HALF), 0.5),
        (load(0.5, QUARTER), 0.5),
        (load(5.0, only=2), 0.2),
        (load(5.0, HALF, exported=True), 0.3),
        (load(5.0, frequency_hz=49.0), 0.1),
        (load(5.0, HALF, temperature_c=-40.0), 0.2),
        (load(2.5, waveform=Waveform.BURST), 0.4),
        (load(2.5, waveform=Waveform.FIRED), 0.4),
        (load(32.5, waveform=Waveform.FIFTH), 0.4),
        (load(65.0, waveform=Waveform.HALF_WAVE), 3.0),
    ],
)
def test_the_arithmetic_uses_less_than_a_tenth_of_class_02s(
    exact: Bench, applied: Load, limit_percent: float
) -> None:
    assert abs(exact.error_percent(applied)) < limit_percent / 10


@pytest.mark.parametrize(
    ("applied", "limit_percent"),
    [(load(0.05), 0.4), (load(0.5, HALF), 0.3), (load(65.0), 0.2), (load(65.0, QUARTER), 0.5)],
)
def test_a_calibrated_front_end_is_within_class_02s(
    real: Bench, applied: Load, limit_percent: float
) -> None:
    assert abs(real.error_percent(applied)) < limit_percent


def test_the_bench_would_notice_a_wrong_gain(exact: Bench) -> None:
    wrong = [
        replace(phase, current_gain_a=1.001 * phase.current_gain_a)
        for phase in exact.calibration.phases
    ]
    off = replace(exact, calibration=Calibration(tuple(wrong)), _measured={})
    assert off.error_percent(load(5.0)) == pytest.approx(0.1, abs=0.005)


def test_the_bench_would_notice_a_wrong_phase(exact: Bench) -> None:
    # 1 µs is 0.018°: tan 60° · 0.000314 rad = 0.0544 % at a power factor of 0.5.
    wrong = [
        replace(phase, current_delay_s=phase.current_delay_s + 1e-6)
        for phase in exact.calibration.phases
    ]
    off = replace(exact, calibration=Calibration(tuple(wrong)), _measured={})
    assert abs(off.error_percent(load(5.0, HALF))) == pytest.approx(
        100 * math.sqrt(3) * 2 * math.pi * 50e-6, rel=0.01
    )


@pytest.mark.parametrize("applied", [load(5.0), load(65.0), load(5.0, frequency_hz=49.0)])
def test_what_a_crystal_is_off_is_in_the_energy(exact: Bench, applied: Load) -> None:
    # Energy is counted by the sample: 1000 ppm more samples in a second are 0.1 % more energy.
    fast = replace(exact, crystal=Crystal(fast=1e-3), _measured={})
    grown = fast.error_percent(applied) - exact.error_percent(applied)
    assert grown == pytest.approx(0.1, abs=0.001)


def test_temperature_is_applied_from_itr_to_imax_at_both_power_factors() -> None:
    applied = {
        (load.quantity, load.current_a, load.factor[0])
        for point in Plan(THREE_PHASES, 50.0).points()
        if point.condition == "temperature, per K"
        for load in point.loads
    }
    assert applied == set(product(("active", "reactive"), (0.5, 5.0, 65.0), (1.0, 0.5)))


def test_a_front_end_without_calibration_is_outside_class_1(real: Bench) -> None:
    from meter_node.sources.front_end import DATA_SHEET

    raw = replace(real, calibration=DATA_SHEET.calibration(3), _measured={})
    # Each phase by itself: what one has too much, another may have too little.
    assert max(abs(raw.error_percent(load(5.0, only=phase))) for phase in range(3)) > 1.0


def test_weak_loads_are_measured_longer_where_there_is_noise(exact: Bench, real: Bench) -> None:
    assert exact.seconds(load(0.05)) == 1
    assert real.seconds(load(0.05)) > real.seconds(load(0.5)) > real.seconds(load(5.0)) == 1
    assert real.seconds(load(5.0, frequency_hz=58.8)) == 5


def test_the_meter_starts_and_does_not_creep(real: Bench) -> None:
    assert abs(starting(real, "active", ONE, STARTING_SHARE, {}).error_percent) < 5
    assert no_load(replace(real)).error_percent == 0


def test_a_meter_that_would_not_start_is_found_out(exact: Bench) -> None:
    # A fifth of the starting current is held back by the lock.
    assert starting(exact, "active", ONE, STARTING_SHARE / 5, {}).error_percent == -100


def test_register_and_pulses_agree_to_the_last_pulse(exact: Bench) -> None:
    register, pulses = register_and_pulses(exact)
    assert abs(register.error_percent) < 0.02
    assert pulses.error_percent == 0
    assert pulses.condition == "S0, 1000 imp/kWh"


def point(kind: Kind, *loads: Load) -> Point:
    return Point("", kind, loads, {})


def test_errors_become_a_points_error_as_its_kind_says() -> None:
    own = load(5.0)
    warm, cold = replace(own, temperature_c=33.0), replace(own, temperature_c=13.0)
    high, fast = replace(own, voltages=(1.1, 1.1, 1.1)), replace(own, frequency_hz=51.0)
    errors = {own: 0.03, warm: 0.07, cold: -0.01, high: 0.06, fast: 0.15}
    assert point(Kind.ERROR, own).error_percent(errors.__getitem__) == 0.03
    assert point(Kind.VARIATION, high, own).error_percent(errors.__getitem__) == pytest.approx(0.03)
    assert point(Kind.PER_KELVIN, warm, cold).error_percent(errors.__getitem__) == pytest.approx(
        0.08 / 20
    )
    assert point(Kind.SPREAD, own, warm, cold).error_percent(errors.__getitem__) == pytest.approx(
        0.08
    )
    # √(0.03² + 0.04² + 0.03² + 0.12²)
    assert point(Kind.COMPOSITE, own, warm, cold, high, fast).error_percent(
        errors.__getitem__
    ) == pytest.approx(math.sqrt(0.0178))


def test_every_variant_of_the_brochure_is_tested() -> None:
    # 162M one phase, 382M one, two and three; five ranges; two frequencies.
    assert len(set(every_subject())) == 4 * 5 * 2


@pytest.mark.parametrize("subject", every_subject(), ids=str)
def test_every_plan_has_every_condition_and_stays_within_imax(subject: Subject) -> None:
    points = list(Plan(subject.variant, subject.frequency_hz).points())
    conditions = {point.condition for point in points}
    expected = {
        "exported", "repeatability", "voltage ±10 %", "voltage −20/+15 %", "frequency ±2 %",
        "temperature, per K", "5th harmonic", "sub-harmonics", "odd harmonics", "half-wave DC",
        "MID, 5…30 °C", "MID, −10…40 °C", "MID, −25…55 °C", "MID, −40…70 °C",
    }  # fmt: skip
    if subject.variant.phases > 1:
        expected |= {"balanced", "L1 only", "L2 only", "reversed phase order", "voltage unbalance"}
    else:
        expected |= {"reference"}
    assert conditions - {"L3 only"} == expected
    assert all(point.limits for point in points)
    currents = {load.current_a for point in points for load in point.loads}
    assert min(currents) == pytest.approx(0.01 * subject.variant.base_current_a)
    assert max(currents) == subject.variant.maximum_current_a


def result(stage: str, error_percent: float, limits: dict[str, float]) -> Result:
    return Result(
        Subject(THREE_PHASES, 50.0), stage, "active", "balanced", 5.0, ONE, error_percent, limits
    )  # type: ignore[arg-type]


def test_the_arithmetic_may_use_a_tenth_and_the_front_end_all_of_a_limit() -> None:
    limits = {"0.2S": 0.2, "1": 1.0}
    assert not Report((result("arithmetic", -0.02, limits),)).missed()
    assert Report((result("arithmetic", 0.021, limits),)).missed()
    assert not Report((result("front_end", 0.2, limits),)).missed()
    assert Report((result("front_end", -0.21, limits),)).missed()
    assert Report((result("front_end", math.nan, limits),)).missed()


def test_a_report_for_programs_has_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(plan: Plan) -> list[Point]:
        reactive = Load("reactive", 5.0, (1.0, "ind"), (1.0,), 50.0)
        active = Load("active", 5.0, ONE, (1.0,), 50.0)
        return [
            Point("reference", Kind.ERROR, (active,), {"0.2S": 0.2}),
            Point("reference", Kind.ERROR, (reactive,), {"reactive 2": 2.0}),
        ]

    monkeypatch.setattr(Plan, "points", few)
    monkeypatch.setattr("meter_node.type_test.dial.readings", lambda bench: iter(()))
    advanced = []
    report = run([Subject(Variant("162M", 1), 50.0)], lambda: advanced.append(1))
    document = report.document()
    assert document["ok"] is True
    assert len(advanced) == 4
    assert document["arithmetic"]["worst_share"] < 0.1  # type: ignore[index]
    assert document["front_end"]["worst_share"] < 1  # type: ignore[index]
    reactive = document["reactive"]
    assert set(reactive) == {"worst_share", "arithmetic", "front_end"}  # type: ignore[call-overload]
    first = document["points"][0]  # type: ignore[index]
    assert {"quantity", "current_a", "power_factor", "condition", "limit_percent",
            "error_percent", "share"} <= set(first)  # fmt: skip
    assert SETTLING_S >= 1


@pytest.mark.parametrize("sampling_rate_hz", [2000, 4000, 64_000])
def test_the_arithmetic_holds_at_every_sampling_rate(sampling_rate_hz: int) -> None:
    bench = arithmetic(Variant("162M", 1), 50.0, sampling_rate_hz)
    for factor in (ONE, HALF):
        # A tenth of class 0.2S, 0.2 % at a power factor of 1 (0.3 % at 0.5).
        assert abs(bench.error_percent(Load("active", 5.0, factor, (1.0,), 50.0))) < 0.02
