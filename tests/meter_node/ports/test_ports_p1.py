"""The P1 telegram: its lines, their order and their forms, and when it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from display_meters import NOON_NS, SNAPSHOT
from module_house import ONE_PHASE, ModuleHouse, running
from pydantic import ValidationError

from meter_node.meter.snapshot import NANO, BreakerState, LimiterState
from meter_node.ports import p1
from tests.meter_node.channel.captures import CAPTURES, P1

NOON_S = NOON_NS // 10**9
# Chapter 6.12 of the companion standard 5.0.2: every object of the meter itself, in its order.
# fmt: off
DUTCH = [
    "1-3:0.2.8", "0-0:1.0.0", "0-0:96.1.1", "1-0:1.8.1", "1-0:1.8.2",
    "1-0:2.8.1", "1-0:2.8.2", "0-0:96.14.0", "1-0:1.7.0", "1-0:2.7.0",
    "0-0:96.7.21", "0-0:96.7.9", "1-0:99.97.0", "1-0:32.32.0", "1-0:52.32.0",
    "1-0:72.32.0", "1-0:32.36.0", "1-0:52.36.0", "1-0:72.36.0", "0-0:96.13.0",
    "1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0", "1-0:31.7.0", "1-0:51.7.0",
    "1-0:71.7.0", "1-0:21.7.0", "1-0:41.7.0", "1-0:61.7.0", "1-0:22.7.0",
    "1-0:42.7.0", "1-0:62.7.0",
]
# fmt: on
FULL: dict[str, Any] = {
    "tariffs": 2,
    "tariff": 2,
    "failures": {"power_failure_count_any": 4, "long_power_failure_count_any": 2},
    # An hour and two hours before noon UTC (14:00:05 in Copenhagen), 240 s and 301 s long.
    "long_failures": ((NOON_S - 7200, 301), (NOON_S - 3600, 240)),
    "instantaneous": {
        **SNAPSHOT.instantaneous,
        "current_l2": 2.0,
        "current_l3": 0.0,
    },
    "counted": {
        **SNAPSHOT.counted,
        **{f"voltage_sag_count_l{phase}": phase for phase in (1, 2, 3)},
        **{f"voltage_swell_count_l{phase}": 0 for phase in (1, 2, 3)},
        "import_active_demand": 23_510,
        "import_active_demand_maximum": 25_890,
    },
    "maxima_s": {"import_active_demand_maximum": NOON_S - 5},
}
PEAK = "import_active_demand_maximum"
# eMUCS-P1 1.7.1, in the order of its example; what this meter has not is not in it.
# fmt: off
BELGIAN = [
    "0-0:96.1.4", "0-0:96.1.1", "0-0:1.0.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2",
    "0-0:96.14.0", "1-0:1.4.0", "1-0:1.6.0", "0-0:98.1.0", "1-0:1.7.0", "1-0:2.7.0",
    "1-0:21.7.0", "1-0:41.7.0", "1-0:61.7.0", "1-0:22.7.0", "1-0:42.7.0", "1-0:62.7.0",
    "1-0:32.7.0", "1-0:52.7.0", "1-0:72.7.0", "1-0:31.7.0", "1-0:51.7.0", "1-0:71.7.0",
    "0-0:96.3.10", "0-0:17.0.0", "1-0:31.4.0", "0-0:96.13.0",
]
# fmt: on


def lines_of(variant: p1.Variant, house: ModuleHouse | None = None, **fields: Any) -> list[str]:
    house = house or ModuleHouse(replace(SNAPSHOT, **{**FULL, **fields}))
    return p1.telegram(house.view, variant).decode("ascii").split("\r\n")


def value_of(code: str, lines: list[str]) -> str:
    (found,) = [line[len(code) :] for line in lines if line.startswith(f"{code}(")]
    return found


def settings(**chosen: object) -> p1.P1Settings:
    return p1.P1Settings.model_validate({"kind": "p1", **chosen})


def test_the_check_sequence_is_that_of_a_captured_telegram() -> None:
    telegram = CAPTURES[P1].data.lstrip(b"\r\n")
    body, _, sum_of_it = telegram.partition(b"!")
    assert f"{p1.check_sequence(body + b'!'):04X}\r\n".encode() == sum_of_it == b"92F5\r\n"


def test_the_dutch_telegram_has_every_line_of_the_standard_in_its_order() -> None:
    lines = lines_of("nl")
    assert lines[0] == "/MTN5MeterNode-382M"
    assert lines[1] == ""
    assert [line.split("(")[0] for line in lines[2:-2]] == DUTCH
    assert lines[-1] == ""
    assert lines[-2][0] == "!"


def test_a_one_phase_meter_leaves_out_the_lines_of_phases_that_it_has_not() -> None:
    house = ModuleHouse(replace(SNAPSHOT, **FULL), ONE_PHASE)
    missing = {"52", "72", "51", "71", "41", "61", "42", "62"}
    wanted = [code for code in DUTCH if code[4:].split(".")[0] not in missing]
    assert [line.split("(")[0] for line in lines_of("nl", house)[2:-2]] == wanted


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1-3:0.2.8", "(50)"),
        ("0-0:1.0.0", "(260701140005S)"),
        ("0-0:96.1.1", "(35373036353637333236353930343037)"),  # 5706567326590407 in ASCII
        ("1-0:1.8.1", "(001000.000*kWh)"),
        ("1-0:1.8.2", "(002000.000*kWh)"),
        ("1-0:2.8.1", "(000000.000*kWh)"),
        ("0-0:96.14.0", "(0002)"),
        ("1-0:1.7.0", "(02.345*kW)"),  # 2345.67 W, cut off
        ("1-0:2.7.0", "(00.500*kW)"),
        ("0-0:96.7.21", "(00004)"),
        ("0-0:96.7.9", "(00002)"),
        ("1-0:52.32.0", "(00002)"),
        ("0-0:96.13.0", "()"),
        ("1-0:32.7.0", "(230.1*V)"),  # 230.19 V
        ("1-0:72.7.0", "(159.9*V)"),
        ("1-0:31.7.0", "(010*A)"),  # 10.2345 A
        ("1-0:21.7.0", "(02.345*kW)"),
        ("1-0:42.7.0", "(00.500*kW)"),
    ],
)
def test_a_dutch_line_has_the_standards_form(code: str, value: str) -> None:
    assert value_of(code, lines_of("nl")) == value


def test_a_power_beyond_the_field_is_the_highest_that_it_holds() -> None:
    powers = {"import_active_power": 123_456.0, "export_active_power": 99_999.0}
    lines = lines_of("nl", instantaneous={**SNAPSHOT.instantaneous, **powers})
    assert value_of("1-0:1.7.0", lines) == value_of("1-0:2.7.0", lines) == "(99.999*kW)"


def test_an_energy_beyond_the_field_rolls_over() -> None:
    # 1 000 000.005 kWh: six digits before the point in the Netherlands, eight in Sweden.
    energies = {"import_active_energy": 1_000_000_005 * NANO}
    energies |= {"import_active_energy_t1": 1_000_000_005 * NANO}
    house = ModuleHouse(replace(SNAPSHOT, energies_nwh={**SNAPSHOT.energies_nwh, **energies}))
    assert value_of("1-0:1.8.1", lines_of("nl", house)) == "(000000.005*kWh)"
    assert value_of("1-0:1.8.0", lines_of("se", house)) == "(01000000.005*kWh)"


def test_the_log_of_long_power_failures_begins_with_the_newest() -> None:
    assert value_of("1-0:99.97.0", lines_of("nl")) == (
        "(2)(0-0:96.7.19)(260701130005S)(0000000240*s)(260701120005S)(0000000301*s)"
    )


def test_the_log_names_ten_long_power_failures_at_most() -> None:
    many = tuple((NOON_S - 3600 * back, 200 + back) for back in range(12, 0, -1))
    log = value_of("1-0:99.97.0", lines_of("nl", long_failures=many))
    assert log.startswith("(10)(0-0:96.7.19)(260701130005S)(0000000201*s)")
    assert log.endswith("(0000000210*s)")


def test_without_a_long_power_failure_the_log_is_empty() -> None:
    log = value_of("1-0:99.97.0", lines_of("nl", long_failures=()))
    assert log == "(0)(0-0:96.7.19)"


def test_in_winter_the_time_says_so() -> None:
    # 2026-01-15 11:00:00 UTC
    lines = lines_of("nl", time_ns=1_768_474_800 * 10**9)
    assert value_of("0-0:1.0.0", lines) == "(260115120000W)"


def test_a_second_that_ended_a_little_early_is_that_second() -> None:
    lines = lines_of("nl", time_ns=NOON_NS - 300_000)
    assert value_of("0-0:1.0.0", lines) == "(260701140005S)"


def test_an_open_breaker_is_told_in_the_text_for_the_consumer() -> None:
    breaker = BreakerState(False, 0, 4, closed_wanted=False, causes=("credit",))
    text = value_of("0-0:96.13.0", lines_of("nl", breaker=breaker))
    assert bytes.fromhex(text.strip("()")).decode() == "supply off: credit"


@pytest.mark.parametrize(("tariffs", "lines"), [(1, 2), (2, 2), (4, 4)])
def test_there_are_two_tariffs_at_least_and_none_is_left_out(tariffs: int, lines: int) -> None:
    found = [line for line in lines_of("nl", tariffs=tariffs) if line.startswith("1-0:1.8.")]
    assert found == [f"1-0:1.8.{n}({n * 1000:06}.000*kWh)" for n in range(1, lines + 1)]


def test_the_belgian_telegram_has_the_peak_and_the_switches() -> None:
    lines = lines_of("be")
    assert lines[2] == "0-0:96.1.4(50217)"
    assert value_of("1-0:1.4.0", lines) == "(02.351*kW)"  # 2351.0 W
    assert value_of("1-0:1.6.0", lines) == "(260701140000S)(02.589*kW)"
    assert value_of("1-0:31.7.0", lines) == "(010.23*A)"
    assert value_of("0-0:96.3.10", lines) == "(1)"


def test_the_belgian_telegram_has_its_lines_in_the_order_of_the_specification() -> None:
    assert [line.split("(")[0] for line in lines_of("be")[2:-2]] == BELGIAN


def utc_s(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=UTC).timestamp())


def test_the_peaks_of_past_months_have_the_specifications_own_form() -> None:
    # The example of eMUCS-P1 1.7.1, but that 5 March is in winter; UTC is an hour or two before.
    past = (
        (utc_s(2020, 4, 23, 17, 25, 38), 36_950),
        (utc_s(2020, 3, 5, 11, 21, 39), 59_800),
        (utc_s(2020, 2, 10, 2, 54, 21), 43_180),
    )
    assert value_of("0-0:98.1.0", lines_of("be", past_maxima={PEAK: past})) == (
        "(3)(1-0:1.6.0)(1-0:1.6.0)"
        "(200501000000S)(200423192538S)(03.695*kW)"
        "(200401000000S)(200305122139W)(05.980*kW)"
        "(200301000000W)(200210035421W)(04.318*kW)"
    )


def test_a_peak_at_the_last_midnight_of_a_month_is_that_months() -> None:
    # Midnight in Copenhagen on 1 January 2026 is 23:00 UTC.
    past = {PEAK: ((utc_s(2025, 12, 31, 23), 10_000),)}
    assert value_of("0-0:98.1.0", lines_of("be", past_maxima=past)) == (
        "(1)(1-0:1.6.0)(1-0:1.6.0)(260101000000W)(260101000000W)(01.000*kW)"
    )


def test_without_a_month_before_the_list_of_peaks_is_empty() -> None:
    assert value_of("0-0:98.1.0", lines_of("be")) == "(0)(1-0:1.6.0)(1-0:1.6.0)"


@pytest.mark.parametrize(
    ("limiter", "power", "fuse"),
    [
        (None, "(999.9*kW)", "(999*A)"),
        (LimiterState("W", 9_200.0, 9_200.0, 4_000.0, 30, 60, False), "(009.2*kW)", "(999*A)"),
        (LimiterState("A", 25.0, 25.0, 10.0, 30, 60, False), "(999.9*kW)", "(025*A)"),
        # Above what the fields hold: what is so high limits nothing.
        (LimiterState("W", 1.0e6, 1.0e6, 4_000.0, 30, 60, False), "(999.9*kW)", "(999*A)"),
        (LimiterState("W", 1.5e6, 1.5e6, 4_000.0, 30, 60, False), "(999.9*kW)", "(999*A)"),
        (LimiterState("A", 1_000.0, 1_000.0, 10.0, 30, 60, False), "(999.9*kW)", "(999*A)"),
    ],
)
def test_the_belgian_limiter_is_where_what_it_watches_says(
    limiter: LimiterState | None, power: str, fuse: str
) -> None:
    lines = lines_of("be", limiter=limiter)
    assert value_of("0-0:17.0.0", lines) == power
    assert value_of("1-0:31.4.0", lines) == fuse


def test_the_swedish_telegram_has_the_lines_of_a_captured_one_in_their_order() -> None:
    captured = CAPTURES[P1].data.decode().strip().split("\r\n")
    codes = [line.split("(")[0] for line in captured[2:-1]]
    every = {
        f"{quantity}_l{phase}": 1.5
        for quantity in (
            "import_reactive_power", "export_reactive_power", "current", "voltage",
            "import_active_power", "export_active_power",
        )
        for phase in (1, 2, 3)
    }  # fmt: skip
    lines = lines_of("se", instantaneous={**SNAPSHOT.instantaneous, **every})
    assert [line.split("(")[0] for line in lines[2:-2]] == codes
    forms = [line.split("(", 1)[1] for line in captured[2:-1]]
    ours = [line.split("(", 1)[1] for line in lines[2:-2]]
    blank = str.maketrans("123456789S", "000000000W")
    assert [form.translate(blank) for form in ours] == [form.translate(blank) for form in forms]


async def test_a_telegram_a_second_or_each_ten_as_is_wanted(tmp_path: Path) -> None:
    for interval_s, telegrams in ((1, 20), (10, 3)):
        house, path = ModuleHouse(), tmp_path / f"every{interval_s}"
        wanted = settings(bearer=f"file:{path}", interval_s=interval_s)
        assert wanted.beat_s == interval_s
        async with running(p1.run(house.view, wanted)):
            await house.play(20, 1)  # 14:00:06 to 14:00:25
        assert path.read_bytes().count(b"/MTN5") == telegrams


@pytest.mark.parametrize("interval_s", [0, 11])
def test_other_intervals_are_refused(interval_s: int) -> None:
    with pytest.raises(ValidationError):
        settings(interval_s=interval_s)
