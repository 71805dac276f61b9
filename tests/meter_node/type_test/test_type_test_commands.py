"""The two commands, as a person or a program starts them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from meter_node import cli_calibrate, cli_type_test
from meter_node.cli import app
from meter_node.config import ConfigError
from meter_node.meter.variant import Variant
from meter_node.sources import SourceError, calibration_file
from meter_node.type_test import Report, Result, Subject
from meter_node.type_test.bench import specimen
from meter_node.type_test.limits import HALF, ONE, Factor
from meter_node.type_test.loads import Load

SUBJECT = Subject(Variant("162M", 1), 50.0)


def reported(error_percent: float) -> Report:
    return Report(
        tuple(
            Result(SUBJECT, stage, quantity, "reference", 5.0, ONE, error_percent, {name: 0.2})
            for stage in ("arithmetic", "front_end")
            for quantity, name in (("active", "0.2S"), ("reactive", "reactive 2"))
        )  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("error_percent", "status"), [(0.001, 0), (0.3, 1)])
def test_the_exit_status_tells_whether_all_limits_are_held(
    monkeypatch: pytest.MonkeyPatch, error_percent: float, status: int
) -> None:
    monkeypatch.setattr(cli_type_test, "run", lambda *_: reported(error_percent))
    ran = CliRunner().invoke(app, ["type-test", "--model", "162M", "--json"])
    assert ran.exit_code == status
    assert json.loads(ran.stdout)["ok"] is (status == 0)
    shown = CliRunner().invoke(app, ["type-test", "--model", "162M"])
    assert shown.exit_code == status
    assert ("missed" in shown.stdout) is (status == 1)


def asked(*arguments: object) -> list[str]:
    return [str(subject) for subject in cli_type_test._subjects(*arguments)]  # type: ignore[arg-type]


def test_one_variant_is_tested_unless_all_are_asked_for() -> None:
    assert asked(None, None, None, None, False) == ["382M 3 × 230 V 5(65) A 50 Hz"]
    assert asked("162M", "10(60)", 60, None, False) == ["162M 1 × 230 V 10(60) A 60 Hz"]
    assert asked("382M", None, None, 2, False) == ["382M 2 × 230 V 5(65) A 50 Hz"]
    assert len(asked(None, None, None, None, True)) == 40
    assert len(asked("162M", None, 60, None, True)) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("162M", None, None, 3, False),
        ("482M", None, None, None, False),
        (None, "5(80)", None, None, True),
        (None, None, 55, None, False),
    ],
)
def test_what_the_brochure_does_not_offer_is_refused_with_what_it_does(
    arguments: tuple[object, ...],
) -> None:
    with pytest.raises(ConfigError, match=r"there is no meter of .*162M, 382M.*frequency: 50, 60;"):
        asked(*arguments)


def test_a_picture_is_drawn_of_what_was_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli_type_test, "run", lambda *_: reported(0.001))
    picture = tmp_path / "errors.png"
    ran = CliRunner().invoke(app, ["type-test", "--model", "162M", "--plot", str(picture)])
    assert ran.exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_drawn_after_the_results_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: Report) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(cli_type_test, "run", lambda *_: reported(0.001))
    monkeypatch.setattr("meter_node.type_test.plot.draw", full)
    ran = CliRunner().invoke(
        app, ["type-test", "--model", "162M", "--json", "--plot", str(tmp_path / "errors.png")]
    )
    assert isinstance(ran.exception, OSError)
    assert json.loads(ran.stdout)["ok"]


def test_a_folder_that_is_not_there_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("worked in vain")

    monkeypatch.setattr(cli_type_test, "run", work)
    monkeypatch.setattr(cli_calibrate, "_simulated", work)
    for arguments, option in (
        (["type-test", "--plot", str(tmp_path / "no" / "x.png")], "--plot"),
        (["calibrate", "--simulated", "1", "-o", str(tmp_path / "no" / "x.json")], "--output"),
        (["calibrate", "--simulated", "1", "-o", str(tmp_path)], "--output"),
    ):
        ran = CliRunner().invoke(app, arguments)
        assert isinstance(ran.exception, ConfigError)
        assert str(ran.exception).startswith(f"{option}: {tmp_path}")


def test_a_piped_table_has_its_headings_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_type_test, "run", lambda *_: reported(0.001))
    text = CliRunner().invoke(app, ["type-test", "--model", "162M"]).stdout
    assert text.count("arithmetic: A") == 2
    assert text.count("front-end: A") == 2
    assert "…" not in text


def test_another_sampling_rate_is_asked_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[Subject] = []

    def run(subjects: list[Subject], _: object) -> Report:
        asked_for.extend(subjects)
        return reported(0.001)

    monkeypatch.setattr(cli_type_test, "run", run)
    assert CliRunner().invoke(app, ["type-test", "--sampling-rate", "4000"]).exit_code == 0
    assert [subject.sampling_rate_hz for subject in asked_for] == [4000]
    assert str(asked_for[0]) == "382M 3 × 230 V 5(65) A 50 Hz, sampled at 4000 Hz"
    assert CliRunner().invoke(app, ["type-test", "--sampling-rate", "1999"]).exit_code == 2


def test_a_picture_that_is_no_png_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"does not end in \.png"):
        cli_type_test._check_plot(Path("errors.pdf"))


def test_a_simulated_front_end_is_calibrated_into_a_file_that_the_node_loads(
    tmp_path: Path,
) -> None:
    path = tmp_path / "calibration.json"
    ran = CliRunner().invoke(app, ["calibrate", "--simulated", "4", "-o", str(path), "--json"])
    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert document == json.loads(path.read_text())
    assert document["date"].endswith("+00:00")
    assert all(phase["worst_residual"]["current_percent"] < 0.02 for phase in document["phases"])
    assert all(phase["worst_residual"]["angle_deg"] < 0.01 for phase in document["phases"])
    assert len(calibration_file.load(path).phases) == 3
    assert (
        "worst left"
        in CliRunner().invoke(app, ["calibrate", "--simulated", "4", "-o", str(path)]).stdout
    )


def recorded(folder: Path, name: str, factor: Factor) -> None:
    bench = specimen(Variant("162M", 1), 50.0, 9, np.random.default_rng(9))
    block = bench.record(Load("active", 5.0, factor, (1.0,), 50.0), 2)
    np.savez(
        folder / name,
        voltage=block.voltage,
        current=block.current,
        sampling_rate_hz=block.sampling_rate_hz,
        shunt_temperature_c=23.0,
    )


def test_recordings_of_known_loads_become_a_calibration(tmp_path: Path) -> None:
    recorded(tmp_path, "ib-pf1.npz", ONE)
    recorded(tmp_path, "ib-pf05.npz", HALF)
    loads, path = tmp_path / "loads.toml", tmp_path / "found.json"
    loads.write_text(cli_calibrate.EXAMPLE)
    ran = CliRunner().invoke(app, ["calibrate", str(loads), "-o", str(path)])
    assert ran.exit_code == 0, ran.output
    (found,) = calibration_file.load(path).phases
    true = specimen(Variant("162M", 1), 50.0, 9, np.random.default_rng(9)).front_ends[0]
    nominal = true.calibration(1).phases[0]
    assert found.voltage_gain_v == pytest.approx(nominal.voltage_gain_v, rel=1e-4)
    assert found.current_gain_a == pytest.approx(nominal.current_gain_a, rel=2e-3)
    assert 360 * 50 * abs(found.current_delay_s - true.current_delay_s) < 0.01
    assert found.self_heating_k_per_a2 == 0.0013


def test_a_wrong_power_factor_writes_no_calibration(tmp_path: Path) -> None:
    recorded(tmp_path, "ib-pf1.npz", ONE)
    recorded(tmp_path, "ib-pf05.npz", HALF)
    loads, path = tmp_path / "loads.toml", tmp_path / "found.json"
    loads.write_text(cli_calibrate.EXAMPLE.replace("power_factor = 0.5", "power_factor = 0.6"))
    ran = CliRunner().invoke(app, ["calibrate", str(loads), "-o", str(path)])
    assert isinstance(ran.exception, SourceError)
    assert "L1, points 1 and 2" in str(ran.exception)
    assert not path.exists()


def test_the_example_is_shown() -> None:
    assert CliRunner().invoke(app, ["calibrate", "--example"]).stdout == cli_calibrate.EXAMPLE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("point = [", "not TOML"),
        ("frequency_hz = 50", "point: Field required"),
        ("[[point]]\nrecording = 'a.npz'\nvoltage_v = 0\ncurrent_a = 5", r"point\.0\.voltage_v"),
    ],
)
def test_a_file_of_loads_that_is_wrong_is_told_with_key_and_reason(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "loads.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        cli_calibrate.load_points(path)


def test_values_in_volts_cannot_be_calibrated(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "ib-pf1.npz",
        voltage=np.ones((1, 8000)),
        current=np.ones((1, 8000)),
        sampling_rate_hz=8000,
    )
    loads = tmp_path / "loads.toml"
    loads.write_text(cli_calibrate.EXAMPLE)
    with pytest.raises(SourceError, match="needs the converter's codes"):
        cli_calibrate._solved(loads)
