"""meter-node simulate: a past in a data directory that a node can go on from."""

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meter_node import cli, config, keys, store
from meter_node.meter.billing import Billing
from meter_node.meter.clock import MeterClock
from meter_node.meter.energy import EnergyRegisters
from meter_node.meter.profile import LOAD_PROFILE, Profile
from meter_node.meter.rows import ProfileRow
from meter_node.metrology.measurement import Measurement
from meter_node.sources import outages, phasor_house

# The three days around the night of 2025-03-30, when Danish clocks went from 02:00 to 03:00.
SPRING = ("--start", "2025-03-29", "--days", "3")
# The street of seed 1 is dark on 2025-04-29 from 17:53:14 to 20:32:35 UTC, so wholly from 18:00 to
# 20:30: ten quarter-hours.
DARK_DAY = ("--start", "2025-04-29", "--days", "1")
ONE_DAY = ("--start", "2025-03-29", "--days", "1")
NANO = 10**9


def run(monkeypatch: pytest.MonkeyPatch, data_dir: Path, *arguments: str) -> int:
    arguments = ("simulate", "--data-dir", str(data_dir), *arguments)
    monkeypatch.setattr(sys, "argv", ["meter-node", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """Three days of spring, in a directory that was not there."""
    assert run(monkeypatch, tmp_path / "data", *SPRING, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_data_directory_is_made_and_has_the_registers(
    told: dict[str, Any], tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    settings = config.load(data_dir / config.FILE_NAME)
    own_keys = keys.load(data_dir).meters[settings.meter[0].name]
    database = store.Store(data_dir / store.DATABASE)
    kept = database.kept(own_keys.system_title)
    database.close()
    assert kept.time_ns // NANO == 1_743_458_400  # 2025-04-01 00:00 in Copenhagen is 22:00 UTC
    assert kept.energies_nwh["import_active_energy"] // NANO == told["import_wh"] > 0
    assert kept.energies_nwh["export_active_energy"] // NANO == told["export_wh"] > 0
    # Seven tenths of a year's three days to thrice that, for 4000 kWh less what the sun gave.
    assert 10_000 < told["import_wh"] < 50_000


def test_three_local_days_with_a_night_of_spring_have_71_hours(told: dict[str, Any]) -> None:
    assert (told["start"], told["end"]) == (
        "2025-03-28T23:00:00+00:00",
        "2025-03-31T22:00:00+00:00",
    )
    assert told["quarter_hours"] + len(told["dark_quarter_hours"]) == 71 * 4
    assert told["daily_snapshots"] == 3


def test_the_load_profile_has_every_quarter_hour_of_the_night_of_spring(
    told: dict[str, Any],
) -> None:
    assert told["dark_quarter_hours"] == []
    assert told["load_profile_interval_min"] == 15
    assert told["load_profile_rows"] == 71 * 4


def test_wholly_dark_quarter_hours_are_listed_and_just_these_have_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, *DARK_DAY, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    dark = document["dark_quarter_hours"]
    first_s, last_s = (int(datetime.fromisoformat(dark[at]).timestamp()) for at in (0, -1))
    assert (dark[0], dark[-1]) == ("2025-04-29T18:15:00+00:00", "2025-04-29T20:30:00+00:00")
    assert document["load_profile_rows"] == 96 - 10
    # As the store has it: every other quarter-hour of the day, by its end.
    title = keys.load(tmp_path).meters["house"].system_title
    database = store.Store(tmp_path / store.DATABASE)
    stamps_s = [row.time_s for row in database.profile_rows(title, LOAD_PROFILE)]
    database.close()
    start_s = int(datetime(2025, 4, 28, 22, tzinfo=UTC).timestamp())
    quarters_s = range(start_s + 900, start_s + 86_400 + 900, 900)
    assert stamps_s == [end_s for end_s in quarters_s if not first_s <= end_s <= last_s]


def test_for_people_dark_quarter_hours_are_listed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, *DARK_DAY) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "10 in the dark dark until 2025-04-29T18:15:00+00:00, 2025-04-29T18:30:00+00:00," in text


def test_the_change_of_local_time_is_listed(told: dict[str, Any]) -> None:
    assert told["daylight_saving"] == [
        {
            "at": "2025-03-30T01:00:00+00:00",
            "local": "2025-03-30T03:00:00+02:00",
            "offset_s": 7200,
        }
    ]


def test_tariffs_add_up_to_the_total_to_the_last_nanowatt_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / config.FILE_NAME).write_text(
        '[[meter]]\nname = "house"\nmodel = "382M"\ntariff = "denmark_n1"\n'
        'time_zone = "Europe/Copenhagen"\n[meter.source]\nkind = "simulated"\n'
    )
    assert run(monkeypatch, tmp_path, *SPRING, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tariffs_add_up"] is True
    assert [name for name, energy in document["tariffs_wh"].items() if energy] == ["t1", "t2", "t3"]
    title = keys.load(tmp_path).meters["house"].system_title
    database = store.Store(tmp_path / store.DATABASE)
    energies = database.kept(title).energies_nwh
    database.close()
    parts = [energies[f"import_active_energy_t{tariff}"] for tariff in range(1, 9)]
    assert sum(parts) == energies["import_active_energy"]


def test_tariffs_that_miss_a_nanowatt_hour_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = EnergyRegisters.book

    def book_badly(
        registers: EnergyRegisters, measurement: Measurement, tariff: int
    ) -> tuple[int, int]:
        booked = book(registers, measurement, tariff)
        registers._values["import_active_energy_t1"] += 1
        return booked

    monkeypatch.setattr(EnergyRegisters, "book", book_badly)
    assert run(monkeypatch, tmp_path, *ONE_DAY, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["tariffs_add_up"]) == (False, False)
    assert document["reason"] == "tariffs do not add up to their totals"


def test_a_midnight_without_a_snapshot_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Billing, "_due", lambda *_: [])
    assert run(monkeypatch, tmp_path, *ONE_DAY, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["daily_snapshots"]) == (False, 0)
    assert document["reason"] == "0 daily snapshots of 1 local midnights"


def test_a_quarter_hour_without_a_row_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advance, noon_s = Profile.advance, int(datetime(2025, 3, 29, 12, tzinfo=UTC).timestamp())

    def lose_noon(profile: Profile, *arguments: Any) -> list[ProfileRow]:
        return [row for row in advance(profile, *arguments) if row.time_s != noon_s]

    monkeypatch.setattr(Profile, "advance", lose_noon)
    assert run(monkeypatch, tmp_path, *ONE_DAY, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["load_profile_rows"], document["quarter_hours"]) == (
        False,
        95,
        95,
    )
    assert document["reason"] == (
        "95 rows of the load profile, not 96: 96 quarter-hours, 0 of them dark"
    )


def test_a_change_of_local_time_that_the_meter_does_not_log_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MeterClock, "daylight_saving", lambda *_: [])
    assert run(monkeypatch, tmp_path, *SPRING, "--json") == 0
    assert json.loads(capsys.readouterr().out)["daylight_saving"] == []


def test_for_people_what_is_missing_is_told_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Billing, "_due", lambda *_: [])
    assert run(monkeypatch, tmp_path, *ONE_DAY) == 1
    assert "not complete: 0 daily snapshots of 1 local midnights" in capsys.readouterr().out


def test_a_first_configuration_has_several_tariffs(told: dict[str, Any]) -> None:
    # 29 and 30 March 2025 are a weekend, which has all of Tarifmodel 3.0's three levels as well.
    assert [name for name, energy in told["tariffs_wh"].items() if energy] == ["t1", "t2", "t3"]


def test_what_falls_due_in_the_dark_at_the_end_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Dark from 17:53:14 on: the row of 18:00 waits for the power, those until 19:00 never come.
    until = datetime(2025, 4, 29, 19, 7, tzinfo=UTC)
    monkeypatch.setattr(time, "time", until.timestamp)
    assert run(monkeypatch, tmp_path, "--days", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["load_profile_rows"]) == (True, 96 - 4 - 1)


def fail_supply(monkeypatch: pytest.MonkeyPatch, start_ns: int, end_ns: int) -> None:
    """The street is dark from start to end (UTC, ns), and else never."""
    for module in (outages, phasor_house):
        monkeypatch.setattr(
            module, "disturbances", lambda *_: [outages.Disturbance(start_ns, end_ns, (1, 2, 3))]
        )


def test_a_midnight_in_the_dark_is_of_the_days_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    midnight_s = int(datetime(2025, 3, 29, 23, tzinfo=UTC).timestamp())
    fail_supply(monkeypatch, (midnight_s - 600) * NANO, (midnight_s + 1200) * NANO)
    told = []
    for start in ("2025-03-29", "2025-03-30"):
        assert run(monkeypatch, tmp_path, "--start", start, "--days", "1", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        told.append((document["ok"], document["daily_snapshots"], document["load_profile_rows"]))
    # The 29th ends in the dark: its snapshot and its last row are only given on the 30th, and are
    # not counted there. The 30th has 23 h, and its first quarter-hour is dark throughout.
    assert told == [(True, 0, 95), (True, 1, 91)]


@pytest.mark.parametrize(("light_ms", "dark"), [(400, 1), (600, 0)])
def test_a_quarter_hour_with_less_than_half_a_second_of_light_has_no_row_and_is_dark(
    light_ms: int,
    dark: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noon_ns = int(datetime(2025, 3, 29, 12, tzinfo=UTC).timestamp()) * NANO
    fail_supply(monkeypatch, noon_ns + light_ms * 10**6, noon_ns + 900 * NANO)
    assert run(monkeypatch, tmp_path, *ONE_DAY, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (len(document["dark_quarter_hours"]), document["load_profile_rows"]) == (dark, 96 - dark)


def test_rows_of_an_hour_tell_of_four_quarter_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / config.FILE_NAME).write_text(
        '[[meter]]\nname = "house"\nmodel = "382M"\n'
        "[meter.parameters.load_profile]\ninterval_min = 60\n"
        '[meter.source]\nkind = "simulated"\n'
    )
    assert run(monkeypatch, tmp_path, *ONE_DAY, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["load_profile_rows"], document["quarter_hours"]) == (24, 96)


def test_the_same_past_is_the_same_again(
    told: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, tmp_path / "another", *SPRING, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    took = {"seconds": 0, "cpu_seconds": 0}
    assert again | took == told | took


def test_without_a_start_it_ends_with_the_last_whole_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_750_000_059.5)  # 2025-06-15 15:07:39.5 UTC
    assert run(monkeypatch, tmp_path, "--days", "1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["end"] == "2025-06-15T15:07:00+00:00"
    assert document["start"] == "2025-06-14T15:00:00+00:00"
    assert document["daily_snapshots"] == 1
    assert document["quarter_hours"] + len(document["dark_quarter_hours"]) == 96


def test_what_was_metered_is_never_metered_twice(
    told: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, tmp_path / "data", *SPRING) == 2
    assert "has metered until 2025-03-31T22:00:00+00:00 already" in capsys.readouterr().err


def test_it_goes_on_where_a_simulation_ended(
    told: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("--start", "2025-04-01", "--days", "1", "--json")
    assert run(monkeypatch, tmp_path / "data", *arguments) == 0
    more = json.loads(capsys.readouterr().out)
    assert more["start"] == told["end"]
    assert more["import_wh"] > told["import_wh"]


def test_days_that_are_not_over_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "--start", "2199-01-01", "--days", "1") == 2
    assert "not over yet" in capsys.readouterr().err


def test_a_meter_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, *SPRING, "--meter", "barn") == 2
    assert "no meter 'barn'; there are: house" in capsys.readouterr().err


def test_only_a_simulated_house_has_a_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / config.FILE_NAME).write_text(
        '[[meter]]\nname = "flat"\nmodel = "162M"\n'
        '[meter.source]\nkind = "recording"\nfile = "flat.wav"\n'
    )
    assert run(monkeypatch, tmp_path, *SPRING) == 2
    assert "flat measures a source of kind 'recording'" in capsys.readouterr().err


def test_lost_keys_are_not_replaced_by_new_ones(
    told: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "data" / keys.FILE_NAME).unlink()
    assert run(monkeypatch, tmp_path / "data", "--start", "2025-04-01", "--days", "1") == 1
    assert "keys.json is missing beside registers" in capsys.readouterr().err


def test_for_people_it_is_told_in_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, *ONE_DAY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "1440 steps" in lines[0]
