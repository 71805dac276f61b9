"""The metering engine's speed and error, beside pqopen-lib on the same signals in the same call.

Three phases at 8 kHz, everything on. Each side runs in a process of its own, on one core, and is
timed in CPU seconds, so that a busy machine does not decide. The truth is the signals' formula.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from scripts.benches import strangers
from scripts.benches.result import Result

REAL_TIME_BUDGET = 500
PQOPEN_BUDGET = 15
MEMORY_BUDGET_KIB = 1024
ROUNDS = 3

ROOT = Path(__file__).parents[2]

RATE_HZ = 8000
SECONDS = 60
VOLTAGE_GAIN_V = 600 / 2**23
CURRENT_GAIN_A = 160 / 2**23
PHASES = 3
NOISE_SHARE = 0.0001
_ORDERS = {3: (0.02, 0.3, 0.30, 2.5), 5: (0.10, 1.1, 0.40, 0.4), 7: (0.015, 2.0, 0.10, -1.0)}
"""Order: share and angle in the voltage, share and angle in the current."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Three phases with harmonics and noise, and what is true of each by formula."""

    name: str
    frequency_hz: float
    power_factor: float

    def codes(self) -> NDArray[np.int32]:
        """[2, phases, samples], voltages first."""
        chance = np.random.default_rng(2026)
        turn = 2 * math.pi * self.frequency_hz / RATE_HZ * np.arange(SECONDS * RATE_HZ)
        rows = np.empty((2, PHASES, turn.size))
        for phase in range(PHASES):
            at = turn + 0.7 - 2 * math.pi * phase / 3
            voltage, current = np.sin(at), np.sin(at - math.acos(self.power_factor))
            for order, (u_share, u_angle, i_share, i_angle) in _ORDERS.items():
                voltage += u_share * np.sin(order * at + u_angle)
                current += i_share * np.sin(order * at + i_angle)
            rows[0, phase] = math.sqrt(2) * self.voltage_v(phase) * voltage / VOLTAGE_GAIN_V
            rows[1, phase] = math.sqrt(2) * self.current_a(phase) * current / CURRENT_GAIN_A
        noise = chance.standard_normal(rows.shape, dtype=np.float32)
        noise[0] *= NOISE_SHARE * self.voltage_v(0) / VOLTAGE_GAIN_V
        noise[1] *= NOISE_SHARE * self.current_a(0) / CURRENT_GAIN_A
        return np.rint(rows + noise).astype(np.int32)

    @staticmethod
    def voltage_v(phase: int) -> float:
        """The fundamental's."""
        return 230.0 + 2 * phase

    @staticmethod
    def current_a(phase: int) -> float:
        """The fundamental's."""
        return 5.0 + phase

    def truth(self, phase: int) -> dict[str, float]:
        """RMS with harmonics and noise, power of all orders, reactive power of the first."""
        u, i = self.voltage_v(phase), self.current_a(phase)
        u_squares = 1 + sum(values[0] ** 2 for values in _ORDERS.values())
        i_squares = 1 + sum(values[2] ** 2 for values in _ORDERS.values())
        power = self.power_factor + sum(
            u_share * i_share * math.cos(u_angle - i_angle)
            for u_share, u_angle, i_share, i_angle in _ORDERS.values()
        )
        return {
            "voltage": math.hypot(u * math.sqrt(u_squares), NOISE_SHARE * self.voltage_v(0)),
            "current": math.hypot(i * math.sqrt(i_squares), NOISE_SHARE * self.current_a(0)),
            "active": u * i * power,
            "reactive": u * i * math.sin(math.acos(self.power_factor)),
        }


SIGNALS = tuple(
    Signal(f"signal_{frequency_hz}_{power_factor}", frequency_hz, power_factor)
    for frequency_hz in (49.83, 50.07)
    for power_factor in (1.0, 0.5)
)
_COLUMNS = {"voltage": "U", "current": "I", "active": "P", "reactive": "Q"}


def run() -> Result:
    """Run the bench and return its result."""
    status = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="meter-node-metrology-") as folder:
        path = Path(folder) / "signals.npz"
        with status.status("making signals"):
            np.savez(
                path,
                rate_hz=RATE_HZ,
                gains=(VOLTAGE_GAIN_V, CURRENT_GAIN_A),
                **{signal.name: signal.codes() for signal in SIGNALS},  # type: ignore[arg-type]
            )
        with status.status("the strangers' environment"):
            python = strangers.python()
        stranger: list[str | Path] = [python, Path(__file__).with_name("metrology_pqopen.py")]
        engine: list[str | Path] = [sys.executable, "-P", "-m", "scripts.benches.metrology_ours"]
        with status.status("speeds, by turns"):
            rounds = [
                (_worker([*engine, "speeds", path]), _worker([*stranger, "speeds", path]))
                for _ in range(ROUNDS)
            ]
        with status.status("errors, and an hour of signal"):
            ours, theirs = (_worker([*side, "readings", path]) for side in (engine, stranger))
    return _result(
        {name: max(1 / float(one[name]) for one, _ in rounds) for name in rounds[0][0]},
        max(1 / float(other["all"]) for _, other in rounds),
        ours,
        theirs,
    )


def _result(
    speeds: dict[str, float], pqopen: float, ours: dict[str, Any], theirs: dict[str, Any]
) -> Result:
    growth_kib = ours["memory"]["hour_kib"] - ours["memory"]["warm_kib"]
    harmonics_share = 1 - speeds["all"] / speeds["no_harmonics"]
    result = Result(
        "metrology",
        {
            "real_time_factor": round(speeds["all"], 1),
            "pqopen_factor": round(speeds["all"] / pqopen, 1),
            "energy_only_factor": round(speeds["energy_only"], 1),
            "engine_without_events_factor": round(speeds["engine"], 1),
            "without_harmonics_factor": round(speeds["no_harmonics"], 1),
            "harmonics_share_of_time": round(harmonics_share, 3),
            "pqopen_real_time_factor": round(pqopen, 1),
            "memory_growth_kib": growth_kib,
        },
        [
            ("all, 3 × 8 kHz, one core", f"{speeds['all']:.0f} × real time", f"{REAL_TIME_BUDGET}"),
            ("pqopen-lib 0.10.5", f"{pqopen:.1f} × real time", ""),
            ("ours over theirs", f"{speeds['all'] / pqopen:.1f} ×", f"{PQOPEN_BUDGET}"),
            ("energy only: the floor", f"{speeds['energy_only']:.0f} × real time", ""),
            ("without events", f"{speeds['engine']:.0f} × real time", ""),
            ("without harmonics", f"{speeds['no_harmonics']:.0f} × real time", ""),
            ("what harmonics cost", f"{harmonics_share:.0%} of the time", ""),
            ("memory, an hour of signal", f"{growth_kib:+d} KiB", f"{MEMORY_BUDGET_KIB}"),
        ],
    )
    _hold_speeds(result, speeds["all"], pqopen, growth_kib)
    _hold_errors(result, ours["readings"], theirs["readings"])
    return result


def _hold_speeds(result: Result, ours: float, pqopen: float, growth_kib: int) -> None:
    if ours < REAL_TIME_BUDGET:
        result.missed.append(f"{ours:.0f} × real time, {REAL_TIME_BUDGET} wanted")
    if ours < PQOPEN_BUDGET * pqopen:
        result.missed.append(f"{ours / pqopen:.1f} × pqopen-lib, {PQOPEN_BUDGET} wanted")
    if growth_kib > MEMORY_BUDGET_KIB:
        result.missed.append(f"memory grew by {growth_kib} KiB over an hour of signal")


def _hold_errors(result: Result, ours: dict[str, Any], stranger: dict[str, Any]) -> None:
    """The worst error of each quantity, by the second on both sides."""
    errors: dict[str, dict[str, dict[str, float]]] = {}
    for signal in SIGNALS:
        errors[signal.name] = {}
        for quantity, letter in _COLUMNS.items():
            if quantity == "reactive" and signal.power_factor == 1:
                continue
            mine = _worst_percent(signal, quantity, ours[signal.name][quantity])
            theirs = _worst_percent(signal, quantity, stranger[signal.name][quantity])
            errors[signal.name][letter] = {"ours": mine, "pqopen": theirs}
            what = f"{letter}, {signal.frequency_hz} Hz, PF {signal.power_factor}"
            result.rows.append((f"error of {what}", f"{mine:.5f} %", f"pqopen-lib {theirs:.5f} %"))
            if mine >= theirs:
                result.missed.append(f"{what}: {mine:.5f} %, pqopen-lib {theirs:.5f} %")
    result.figures["worst_error_percent"] = errors


def _worst_percent(signal: Signal, quantity: str, phases: list[list[float]]) -> float:
    """Of the true value, over all phases and seconds."""
    worst = 0.0
    for phase, values in enumerate(phases):
        true = signal.truth(phase)[quantity]
        # The sign of Q is a convention.
        worst = max(worst, float(np.abs(np.abs(values[2:-2]) / abs(true) - 1).max()))
    return 100 * worst


def _worker(command: Sequence[str | Path]) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
