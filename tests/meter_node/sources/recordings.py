"""Recordings of a known load in every format, written plainly. Knows nothing of the readers."""

import math
import struct
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
SECONDS = 2
U_V, I_A, LAG = 230.0, 5.0, math.pi / 3
VOLTAGE_GAIN_V = 500 / 2**23
CURRENT_GAIN_A = 100 / 2**23
NANO = 10**9
START_NS = 1_767_225_600 * NANO  # 2026-01-01 00:00 UTC
# U · I · cos φ for two phases alike, over 100 whole cycles: 230 · 5 · 0.5 W for 2 s.
ENERGY_NWH = 230 * 5 * 0.5 * SECONDS / 3600 * 1e9


def values(
    phases: int = 2, *, seconds: float = SECONDS, rate_hz: int = RATE_HZ
) -> NDArray[np.float64]:
    """Volts, then amperes [2 · phases, n]: each phase a third of a turn behind the one before."""
    turn = 2 * math.pi * 50 * np.arange(round(seconds * rate_hz)) / rate_hz
    angles = [2 * math.pi * phase / 3 for phase in range(phases)]
    voltage = [math.sqrt(2) * U_V * np.sin(turn - angle) for angle in angles]
    current = [math.sqrt(2) * I_A * np.sin(turn - angle - LAG) for angle in angles]
    return np.array(voltage + current)


def codes(phases: int = 2, bits: int = 24, **more: float) -> NDArray[np.int32]:
    """The same as codes of 500 V and 100 A peak."""
    data = values(phases, **more)  # type: ignore[arg-type]
    peak = np.repeat([500.0, 100.0], phases)[:, None]
    return np.rint(data / peak * 2 ** (bits - 1)).astype(np.int32)


def write_wav(path: Path, samples: NDArray[np.int32], width: int, rate_hz: int = RATE_HZ) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[0])
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(
            b"".join(int(code).to_bytes(width, "little", signed=True) for code in samples.T.flat)
        )
    return path


def write_comtrade(
    path: Path,
    data: NDArray[np.float64],
    form: str,
    *,
    year: str = "2013",
    rate: str | None = None,
    numbers: list[int] | None = None,
    blank: tuple[int, int] | None = None,
    skew_us: float = 0.0,
) -> Path:
    """A .cfg and its .dat; values are 16-bit steps of 20 mV and 4 mA, or floats themselves.

    `blank`: channel and sample for which there is none.
    """
    phases = data.shape[0] // 2
    units = ["V"] * phases + ["A"] * phases
    names = [f"{kind}L{n + 1}" for kind in "UI" for n in range(phases)]
    steps = {"V": 0.02, "A": 0.004} if form != "FLOAT32" else {"V": 1.0, "A": 1.0}
    head = [
        f"Home,recorder{'' if year == '1991' else ',' + year}",
        f"{2 * phases + 1},{2 * phases}A,1D",
    ]
    head += [
        f"{n + 1},{name},,,{unit},{steps[unit]},0,{skew_us * (unit == 'A')},-32767,32767,1,1,P"
        for n, (name, unit) in enumerate(zip(names, units, strict=True))
    ]
    count = data.shape[1]
    rates = ["1", f"{RATE_HZ},{count}"] if rate is None else rate.split("/")
    head += [
        "1,breaker,,,0",
        "50",
        *rates,
        "01/01/2026,01:00:00.000000",
        "01/01/2026,01:00:00.000000",
    ]
    head += [form, "1"] + (["+1,+1", "0,0"] if year == "2013" else [])
    path.write_text("\r\n".join(head) + "\r\n")
    raw = data / np.array([steps[unit] for unit in units])[:, None]
    if form != "FLOAT32":
        raw = np.rint(raw)
    missing = {"ASCII": "", "BINARY": -32768, "BINARY32": -(2**31), "FLOAT32": math.nan}[form]
    rows = []
    for at in range(count):
        number = numbers[at] if numbers else at + 1
        time_us = round((number - 1) * 1e6 / RATE_HZ)
        row: list[object] = raw[:, at].tolist()
        if blank and blank[1] == at:
            row[blank[0]] = missing
        if form == "ASCII":
            fields = [
                str(number),
                str(time_us),
                *(str(int(x)) if x != "" else "" for x in row),
                "0",
            ]  # type: ignore[call-overload]
            rows.append((",".join(fields) + "\r\n").encode())
        else:
            letter = {"BINARY": "h", "BINARY32": "i", "FLOAT32": "f"}[form]
            whole = [x if form == "FLOAT32" else int(x) for x in row]  # type: ignore[call-overload]
            rows.append(struct.pack(f"<II{2 * phases}{letter}H", number, time_us, *whole, 0))
    path.with_suffix(".dat").write_bytes(b"".join(rows))
    return path


def write_csv(
    path: Path, data: NDArray[np.float64], mark: str = ",", *, times: bool = False
) -> Path:
    """Volts and milliamperes; a decimal comma where commas don't part the fields."""
    phases = data.shape[0] // 2
    titles = [f"U{n + 1} [V]" for n in range(phases)] + [f"I{n + 1} [mA]" for n in range(phases)]
    lines = ["# start = 2026-01-01T01:00:00+01:00"]
    if times:
        titles.insert(0, "t [ms]")
    else:
        lines.append(f"# sampling_rate_hz = {RATE_HZ}")
    lines.append(mark.join(titles))
    for at, column in enumerate(data.T.tolist()):
        fields = [f"{v:.4f}" for v in column[:phases]] + [
            f"{1000 * v:.3f}" for v in column[phases:]
        ]
        if times:
            fields.insert(0, f"{at * 1000 / RATE_HZ:.3f}")
        line = mark.join(fields)
        lines.append(line if mark == "," else line.replace(".", ","))
    path.write_text("\n".join(lines) + "\n")
    return path
