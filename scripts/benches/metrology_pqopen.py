"""pqopen-lib on the bench's signals. Runs in its own environment and imports nothing of ours.

``python metrology_pqopen.py speeds|readings SIGNAL.npz``: prints one JSON object.
"""

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from daqopen.channelbuffer import AcqBuffer
from pqopen.eventdetector import EventController, EventDetectorLevelHigh, EventDetectorLevelLow
from pqopen.powersystem import PowerSystem

# Whichever suits it best decides.
CHUNKS_S = (1, 5)

# What the engine's measurement of a second holds, under its names: read once a second, as ours is.
_CHANNELS = {"voltage": "U{}_rms", "current": "I{}_rms", "active": "P{}", "reactive": "Q{}_H1"}
_OF_A_PHASE = (
    "U{}_H1_phi",
    "I{}_H1_phi",
    "U{}_THD",
    "I{}_THD",
    "U{}_H_rms",
    "I{}_H_rms",
    "U{}_1p_hp_rms",
)
_OF_ALL = ("P", "P_pos", "P_neg", "W_pos", "W_neg", "Freq", "U_unbal_0", "U_unbal_2", "IN_rms")


def main(what: str, path: str) -> dict[str, object]:
    """CPU seconds a second of the first signal; or readings by the second in all of them."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with np.load(path) as signals:
        rate_hz = int(signals["rate_hz"])
        gains = signals["gains"].tolist()
        names = [name for name in signals.files if name.startswith("signal_")]
        codes = {name: signals[name] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        if what == "readings":
            found = {name: _run(codes[name], rate_hz, gains, 1, folder)[1] for name in names}
            answer: dict[str, object] = {"readings": found}
        else:
            first = codes[names[0]]
            answer = {"all": min(_run(first, rate_hz, gains, step, folder)[0] for step in CHUNKS_S)}
        # Its last object writes a file when it is thrown away.
        gc.collect()
    return answer


def _run(
    codes: np.ndarray, rate_hz: int, gains: list[float], chunk_s: int, folder: str
) -> tuple[float, dict[str, list[list[float]]]]:
    """CPU seconds a second of signal, and each quantity by the second, a list a phase."""
    phases = codes.shape[1]
    size = 12 * rate_hz
    buffers = [
        [AcqBuffer(size, scale_gain=gain, dtype=np.float64) for _ in range(phases)]
        for gain in gains
    ]
    times = AcqBuffer(size, dtype=np.int64)
    system = PowerSystem(zcd_channel=buffers[0][0], input_samplerate=rate_hz)
    for voltage, current in zip(*buffers, strict=True):
        system.add_phase(u_channel=voltage, i_channel=current)
    system.enable_harmonic_calculation(40)
    system.enable_neutral_current_calculation()
    system.enable_energy_channels(Path(folder) / "energy.json")
    step = chunk_s * rate_hz
    stamps = [
        (np.arange(start, start + step) * 1_000_000 // rate_hz).astype(np.int64)
        for start in range(0, codes.shape[2], step)
    ]
    events = EventController(times, rate_hz)
    readings: dict[str, list[list[float]]] = {
        quantity: [[] for _ in range(phases)] for quantity in _CHANNELS
    }
    begun = time.process_time()
    for number, stamp in enumerate(stamps):
        part = codes[:, :, number * step : (number + 1) * step]
        for kind in range(2):
            for phase in range(phases):
                buffers[kind][phase].put_data(part[kind, phase])
        times.put_data(stamp)
        system.process()
        if not number:
            for phase in range(1, phases + 1):
                channel = system.output_channels[f"U{phase}_1p_hp_rms"]
                events.add_event_detector(EventDetectorLevelLow(207.0, 4.6, channel))
                events.add_event_detector(EventDetectorLevelHigh(253.0, 4.6, channel))
        events.process()
        # The last second's 10-cycle values may not be there yet: read one behind.
        for second in range((number * chunk_s) or 1, (number + 1) * chunk_s):
            _read(system, second * rate_hz, rate_hz, phases, readings)
    cpu_s = time.process_time() - begun
    return cpu_s * rate_hz / codes.shape[2], readings


def _read(
    system: PowerSystem,
    stop: int,
    rate_hz: int,
    phases: int,
    readings: dict[str, list[list[float]]],
) -> None:
    """Aggregates the second before `stop`, by the library's own rule for each channel."""
    channels = system.output_channels
    for phase in range(phases):
        for quantity, name in _CHANNELS.items():
            channel = channels[name.format(phase + 1)]
            value, _ = channel.read_agg_data_by_acq_sidx(stop - rate_hz, stop)
            if value is not None:
                readings[quantity][phase].append(value)
        for name in _OF_A_PHASE:
            channels[name.format(phase + 1)].read_agg_data_by_acq_sidx(stop - rate_hz, stop)
    for name in _OF_ALL:
        channels[name].read_agg_data_by_acq_sidx(stop - rate_hz, stop)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
