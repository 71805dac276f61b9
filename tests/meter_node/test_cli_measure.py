"""meter-node measure: what a recording adds up to, and what is wrong with it."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from meter_node import cli

RATE_HZ = 8000
SECONDS = 3


def a_recording(path: Path, *, phases: int = 3) -> Path:
    """230 V; L1 draws 5 A at 60° behind, L2 feeds in 4 A, L3 draws 2 A at 90° ahead."""
    turn = 2 * math.pi * 50 * np.arange(SECONDS * RATE_HZ) / RATE_HZ
    loads = [(5, math.pi / 3), (4, math.pi), (2, -math.pi / 2)][:phases]
    angles = [2 * math.pi * phase / 3 for phase in range(phases)]
    voltage = [230 * math.sqrt(2) * np.sin(turn - angle) for angle in angles]
    current = [
        amps * math.sqrt(2) * np.sin(turn - angle - lag)
        for angle, (amps, lag) in zip(angles, loads, strict=True)
    ]
    np.savez(path, voltage=voltage, current=current, sampling_rate_hz=RATE_HZ)
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["meter-node", "measure", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_quantities_and_energies_are_those_of_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_recording(tmp_path / "a.npz")
    assert run(monkeypatch, str(path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seconds"], told["incomplete_seconds"], told["clipped_seconds"]) == (SECONDS, 0, 0)
    assert told["frequency_hz"] == pytest.approx(50, abs=1e-4)
    one, two, three = told["phases"]
    assert one["voltage_v"] == pytest.approx(230, rel=1e-5)
    assert one["lowest_voltage_v"] == pytest.approx(230, rel=1e-3)
    assert one["current_a"] == pytest.approx(5, rel=1e-5)
    assert one["active_power_w"] == pytest.approx(230 * 5 * 0.5, rel=1e-5)
    assert one["reactive_power_var"] == pytest.approx(230 * 5 * math.sqrt(0.75), rel=1e-4)
    assert one["power_factor"] == pytest.approx(0.5, rel=1e-5)
    # Nothing is netted: L1 imports what it does whatever L2 feeds in.
    nano_hours = SECONDS / 3600 * 1e9
    assert one["import_active_energy_nwh"] == pytest.approx(575 * nano_hours, rel=1e-5)
    assert two["export_active_energy_nwh"] == pytest.approx(920 * nano_hours, rel=1e-5)
    assert three["export_reactive_energy_nvarh"] == pytest.approx(460 * nano_hours, rel=1e-4)
    assert told["total"]["import_active_energy_nwh"] == pytest.approx(575 * nano_hours, rel=1e-5)
    assert told["total"]["export_active_energy_nwh"] == pytest.approx(920 * nano_hours, rel=1e-5)
    assert told["damage"] == []


def test_a_person_gets_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(monkeypatch, str(a_recording(tmp_path / "a.npz"))) == 0
    text = capsys.readouterr().out
    for expected in ("230.000", "5.0000", "50.0000", "import active energy", "L3", "varh"):
        assert expected in text


def test_damage_is_in_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_recording(tmp_path / "a.npz", phases=1)
    arrays = dict(np.load(path))
    arrays["current"][0, 12_000:12_010] = np.nan
    np.savez(path, **arrays)
    assert run(monkeypatch, str(path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(d["kind"], d["first_sample"], d["samples"]) for d in told["damage"]] == [
        ("missing", 12_000, 10)
    ]
    assert told["incomplete_seconds"] == 2
    assert told["seconds"] == pytest.approx(SECONDS - 10 / RATE_HZ)
    assert run(monkeypatch, str(path)) == 0
    assert "missing: 10 samples from 12000 on" in capsys.readouterr().out


def test_channels_gains_and_start_come_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = np.load(a_recording(tmp_path / "a.npz", phases=1))
    table = np.rint([arrays["current"][0] * 1e4, arrays["voltage"][0] * 1e4]).astype(np.int32)
    np.save(tmp_path / "a.npy", table)
    arguments = [
        str(tmp_path / "a.npy"), "--json", "--rate", "8000",
        "--channel", "U1=2", "--channel", "i1=1",
        "--voltage-gain", "1e-4", "--current-gain", "-1e-4", "--start", "2026-01-01T00:00:00",
    ]  # fmt: skip
    assert run(monkeypatch, *arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["start"] == "2026-01-01T00:00:00.000+00:00"
    assert told["phases"][0]["active_power_w"] == pytest.approx(-575, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["a.npz", "--channel", "U4=1"], 2, "--channel: 'U4=1'"),
        (["a.npz", "--frequency", "55"], 2, "--frequency: 50 or 60"),
        (["a.npz", "--range", "5(66)"], 2, "--range"),
        (["a.npz", "--rate", "4000"], 1, "sampled at 8000 Hz, not at 4000 Hz"),
        (["nothing.wav"], 1, "nothing.wav"),
        (["a.txt"], 1, "no header"),
    ],
)
def test_what_can_not_be_measured_is_told_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    a_recording(Path("a.npz"))
    Path("a.txt").write_text("")
    assert run(monkeypatch, *arguments) == status
    told = capsys.readouterr().err
    assert reason in told
    assert "Traceback" not in told
