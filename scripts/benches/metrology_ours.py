"""The engine on the bench's signals, in a process of its own, on one core and one BLAS thread.

``python -m scripts.benches.metrology_ours speeds|readings SIGNAL.npz``: prints one JSON object.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import (
    Calibration,
    Detector,
    Engine,
    Measurement,
    NeutralGuard,
    PhaseCalibration,
    SampleBlock,
)
from meter_node.metrology.energy import DelayTaps, PhaseEnergy, moments, work_of

# As long as a run of pqopen-lib takes, so that neither finds a quiet moment more easily.
REPEATS = 10
RUNS = 2
CHUNK_S = 5
HOUR_S = 3600
WARM_S = 300
NANO = 10**9

type Codes = NDArray[np.int32]


def main(what: str, path: str) -> dict[str, object]:
    """Speeds in the first signal; or readings in all of them, and memory over an hour."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with np.load(path) as signals:
        rate_hz = int(signals["rate_hz"])
        u_gain, i_gain = signals["gains"].tolist()
        names = [name for name in signals.files if name.startswith("signal_")]
        codes = {name: signals[name] for name in names}
    first = codes[names[0]]
    calibration = Calibration((PhaseCalibration(u_gain, i_gain),) * first.shape[1])
    if what == "readings":
        return {
            "memory": _memory_kib(first, rate_hz, calibration),
            "readings": {
                name: _readings(list(_measure(codes[name], rate_hz, calibration))[1:])
                for name in names
            },
        }
    runs: dict[str, Callable[[], object]] = {
        "all": lambda: _exhaust(_measure(first, rate_hz, calibration)),
        "engine": lambda: _exhaust(_measure(first, rate_hz, calibration, watched=False)),
        "no_harmonics": lambda: _exhaust(_measure(first, rate_hz, calibration, order=1)),
        "energy_only": lambda: _energy_only(first, rate_hz, u_gain * i_gain),
    }
    return {name: _cpu_s_per_s(run, first, rate_hz) for name, run in runs.items()}


def _cpu_s_per_s(run: Callable[[], object], codes: Codes, rate_hz: int) -> float:
    """CPU seconds a second of signal, the best of a few runs: others share this machine."""
    taken = []
    for _ in range(RUNS):
        begun = time.process_time()
        for _ in range(REPEATS):
            run()
        taken.append(time.process_time() - begun)
    seconds: float = codes.shape[2] / rate_hz
    return min(taken) / REPEATS / seconds


def _measure(
    codes: Codes,
    rate_hz: int,
    calibration: Calibration,
    *,
    seconds: int = 0,
    order: int = 40,
    watched: bool = True,
) -> Iterator[Measurement]:
    """Blocks, engine, events, neutral guard, and everything derived, as a meter would ask."""
    phases = codes.shape[1]
    engine = Engine(calibration, phases, rate_hz, highest_order=order)
    detector, guard = Detector(phases), NeutralGuard(phases)
    for number, (voltage, current) in enumerate(
        _chunks(codes, rate_hz, seconds or codes.shape[2] // rate_hz)
    ):
        block = SampleBlock(
            voltage, current, rate_hz, number * voltage.shape[1], number * CHUNK_S * NANO, 23.0
        )
        for measurement in engine.push(block):
            if watched:
                detector.advance(measurement)
                guard.advance(measurement)
                _derive(measurement)
            yield measurement


def _exhaust(measurements: Iterator[Measurement]) -> None:
    for _ in measurements:
        pass


def _chunks(codes: Codes, rate_hz: int, seconds: int) -> Iterator[tuple[Codes, Codes]]:
    """So many seconds of voltages and currents, the same ones again where there are no more."""
    step = CHUNK_S * rate_hz
    for number in range(seconds // CHUNK_S):
        start = number * step % codes.shape[2]
        yield codes[0, :, start : start + step], codes[1, :, start : start + step]


def _derive(measurement: Measurement) -> None:
    """What is worked out only when somebody asks: somebody asks for all of it, every second."""
    _ = (
        measurement.phase_order,
        measurement.voltage_unbalance,
        measurement.current_unbalance,
        measurement.voltage_deviation_percent,
        measurement.power_factor,
        measurement.vector_energy,
    )
    for phase in measurement.phases:
        _ = (
            phase.voltage_angle_deg,
            phase.phase_angle_deg,
            phase.voltage_thd_percent,
            phase.current_thd_percent,
            phase.lowest_voltage_v,
            phase.highest_voltage_v,
            phase.quadrant,
        )


def _energy_only(codes: Codes, rate_hz: int, gain_w: float) -> int:
    """The floor: every sample into integer energy, nothing else."""
    phases = codes.shape[1]
    energies = [PhaseEnergy(rate_hz) for _ in range(phases)]
    taps = (DelayTaps.of(0.0),) * phases
    booked = 0
    for start in range(0, codes.shape[2], rate_hz):
        second = codes[:, :, start : start + rate_hz].reshape(2 * phases, -1)
        for energy, sums in zip(energies, moments(second, None, taps), strict=True):
            booked += energy.book_active(work_of(sums, 0, 0), gain_w)
    return booked


def _memory_kib(codes: Codes, rate_hz: int, calibration: Calibration) -> dict[str, int]:
    """Resident memory after some minutes and after an hour of signal."""
    warm = 0
    for second, _ in enumerate(_measure(codes, rate_hz, calibration, seconds=HOUR_S)):
        if second == WARM_S:
            warm = _resident_kib()
    return {"warm_kib": warm, "hour_kib": _resident_kib()}


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _readings(seconds: list[Measurement]) -> dict[str, list[list[float]]]:
    """Each quantity's values by the second, a list a phase."""
    columns = {
        "voltage": "voltage_v",
        "current": "current_a",
        "active": "active_power_w",
        "reactive": "reactive_power_var",
    }
    phases = range(len(seconds[0].phases))
    return {
        name: [[getattr(second.phases[phase], field) for second in seconds] for phase in phases]
        for name, field in columns.items()
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
