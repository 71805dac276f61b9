"""meter-node measure: what a recording adds up to, and what is wrong with it."""

import cmath
import json
import math
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

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


def waves(
    path: Path,
    seconds: int,
    voltages: list[complex],
    currents: list[complex],
    harmonics: dict[int, float] | None = None,
    rate_hz: int = 2000,
) -> Path:
    """RMS phasors as a recording; `harmonics` are of both, as shares of the fundamental."""
    turn = 2 * math.pi * 50 * np.arange(seconds * rate_hz) / rate_hz

    def wave_of(phasor: complex) -> NDArray[np.float64]:
        size, angle = cmath.polar(phasor)
        wave = np.cos(turn + angle)
        for order, share in (harmonics or {}).items():
            wave += share * np.cos(order * (turn + angle))
        return np.asarray(math.sqrt(2) * size * wave)

    np.savez(
        path,
        voltage=np.stack([wave_of(it) for it in voltages]),
        current=np.stack([wave_of(it) for it in currents]),
        sampling_rate_hz=rate_hz,
    )
    return path


def measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[dict[str, Any], str]:
    assert run(monkeypatch, *arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert run(monkeypatch, *arguments) == 0
    return told, capsys.readouterr().out


TURNS = [cmath.rect(1, -2 * math.pi * phase / 3) for phase in range(3)]


def test_quality_of_the_supply_is_in_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # L1 alone loaded, 5 A at 60° behind: positive, negative and zero sequence are a third each.
    path = waves(
        tmp_path / "a.npz",
        21,
        [230 * turn for turn in TURNS],
        [cmath.rect(5, -math.pi / 3), 0j, 0j],
        {3: 0.03, 5: 0.04},
    )
    told, text = measured(monkeypatch, capsys, str(path))
    one, two, _ = told["phases"]
    # √(0.03² + 0.04²) = 0.05.
    assert one["voltage_thd_percent"] == pytest.approx(5, rel=1e-3)
    assert one["current_thd_percent"] == pytest.approx(5, rel=1e-3)
    assert two["current_thd_percent"] is None
    assert one["voltage_harmonics_v"][:5] == pytest.approx([230, 0, 6.9, 0, 9.2], abs=0.01)
    assert one["current_harmonics_a"][:5] == pytest.approx([5, 0, 0.15, 0, 0.2], abs=0.001)
    assert [phase["voltage_angle_deg"] for phase in told["phases"]] == pytest.approx(
        [0, -120, 120], abs=0.01
    )
    assert one["phase_angle_deg"] == pytest.approx(60, abs=0.01)
    assert two["phase_angle_deg"] is None
    assert told["phase_order"] == "L1-L2-L3"
    assert told["current_unbalance_negative_percent"] == pytest.approx(100, abs=0.01)
    assert told["current_unbalance_zero_percent"] == pytest.approx(100, abs=0.01)
    assert told["voltage_unbalance_negative_percent"] == pytest.approx(0, abs=0.01)
    # All of L1's current, 5 A · √(1 + 0.05²), comes back through the neutral.
    assert told["neutral_current_a"] == pytest.approx(5 * math.hypot(1, 0.05), rel=1e-3)
    assert [it["at_s"] for it in told["frequency_10s"]] == [0, 10]
    assert [it["frequency_hz"] for it in told["frequency_10s"]] == pytest.approx([50, 50], abs=1e-3)
    for expected in (
        "lowest voltage", "highest voltage", "voltage THD", "5: 4.00", "-120.00", "L1-L2-L3",
        "neutral current", "current unbalance, negative sequence", "frequency of 10 s, lowest",
    ):  # fmt: skip
        assert expected in text


def test_one_phase_has_no_unbalance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = waves(tmp_path / "a.npz", 2, [230], [5])
    told, text = measured(monkeypatch, capsys, str(path))
    assert told["phase_order"] is told["neutral_current_a"] is None
    assert told["voltage_unbalance_negative_percent"] is None
    assert told["frequency_10s"] == []
    assert "unbalance" not in text


@pytest.mark.parametrize(("current_range", "over"), [("5(100)", False), ("5(65)", True)])
def test_over_current_is_over_the_ranges_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    current_range: str,
    over: bool,
) -> None:
    path = waves(tmp_path / "a.npz", 12, [230], [90])
    told, text = measured(monkeypatch, capsys, str(path), "--range", current_range)
    assert [event["kind"] for event in told["events"]] == ["over_current"] * over
    assert ("over_current" in text) is over


def test_a_lost_neutral_is_found_and_its_time_is_from_the_recordings_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The star point drifts by 60 V towards L1: 170 V there, and the lines between stay as they are.
    path = waves(tmp_path / "a.npz", 75, [230 * turn - 60 for turn in TURNS], [1, 1, 1])
    told, text = measured(monkeypatch, capsys, str(path))
    (found,) = [event for event in told["events"] if event["kind"] == "neutral_fault"]
    assert found["at_s"] == pytest.approx(0, abs=0.1)
    assert found["start"] is found["end"] is found["duration_s"] is None
    assert found["magnitude"] == pytest.approx(60, abs=0.1)
    assert "neutral_fault on all phases at 0.000 s" in text
    assert "1970" not in json.dumps(told) + text


def test_events_have_times_where_the_start_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = waves(tmp_path / "a.npz", 12, [230], [90])
    told, _ = measured(monkeypatch, capsys, str(path), "--start", "2026-01-01T00:00:00")
    (event,) = told["events"]
    assert event["at_s"] == 0
    assert event["start"] == "2026-01-01T00:00:00.000+00:00"


def test_an_event_that_samples_are_missing_of_says_so_in_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # 160 V for 4 s, then 230 V. Where the last half second of it is missing, who knows its end?
    low = np.where(np.arange(6 * RATE_HZ) < 4 * RATE_HZ, 160 / 230, 1.0)
    turn = 2 * math.pi * 50 * np.arange(low.size) / RATE_HZ
    voltage = 230 * math.sqrt(2) * np.sin(turn) * low
    for missing, interrupted in ((0, False), (RATE_HZ // 2, True)):
        voltage[4 * RATE_HZ - missing : 4 * RATE_HZ] = np.nan
        path = tmp_path / f"{missing}.npz"
        np.savez(path, voltage=[voltage], current=[np.sin(turn)], sampling_rate_hz=RATE_HZ)
        told, text = measured(monkeypatch, capsys, str(path))
        ended = [event for event in told["events"] if event["duration_s"] is not None]
        assert [event["kind"] for event in ended] == ["sag"]
        assert [event["interrupted"] for event in ended] == [interrupted]
        assert ("interrupted by missing samples" in text) is interrupted


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["a.npz", "--channel", "U4=1"], 2, "--channel: 'U4=1'"),
        (["a.npz", "--frequency", "55"], 2, "--frequency: 50 or 60"),
        (["a.npz", "--range", "5(66)"], 2, "--range"),
        (["a.npz", "--rate", "4000"], 1, "a.npz: sampled at 8000 Hz, not at 4000 Hz"),
        (["a.npz", "--channel", "U1=U1", "--channel", "I1=9"], 1, "a.npz: no channel 9 for I1"),
        (["a.npz", "--voltage-full-scale", "300"], 1, "(measure: --voltage-full-scale)"),
        (["a.wav"], 1, "a.wav: U1 is in codes: give voltage_gain_v (measure: --voltage-gain)"),
        (
            ["a.wav", "--voltage-gain", "1"],
            1,
            "a.wav: I1 is in codes: give current_gain_a (measure: --current-gain)",
        ),
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
    with wave.open("a.wav", "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(bytes(6 * 8000))
    assert run(monkeypatch, *arguments) == status
    told = capsys.readouterr().err
    assert reason in told
    assert "Traceback" not in told
