"""meter-node calibrate: recordings of known loads in, a calibration file out.

Must not know how a calibration is found, nor a recording's format.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.table import Table

from meter_node.cli_output import check_writable, console
from meter_node.config import ConfigError
from meter_node.metrology import Calibration, PhaseCalibration, SampleBlock
from meter_node.metrology.calibrate import (
    CalibrationError,
    KnownLoad,
    Reading,
    Solution,
    read,
    solve,
)
from meter_node.sources import Damage, SourceError
from meter_node.sources.recording import Options, RecordedSource, open_recording
from meter_node.sources.scaling import Scaling

EXAMPLE = """\
# Known loads for meter-node calibrate. Sinusoidal, steady, the same in every phase, a second or
# more of converter codes each. One point at power factor 0.5 makes the phase certain; three
# temperatures give the shunt's coefficients, and a high current its own heating.
frequency_hz = 50

[shunt]                          # from its data sheet; what the points tell is put in its place
alpha_per_k = 0.0
beta_per_k2 = -0.5e-6
self_heating_k_per_a2 = 0.0013   # thermal resistance (K/W) times resistance (ohm)
self_heating_time_s = 60
reference_temperature_c = 23

[[point]]
recording = "ib-pf1.npz"         # beside this file; WAV, COMTRADE, CSV, .npy and .npz
voltage_v = 230.0                # what the reference showed
current_a = 5.0
temperature_c = 23.0             # of the shunt's sensor, where the recording does not know it

[[point]]
recording = "ib-pf05.npz"
voltage_v = 230.0
current_a = 5.0
power_factor = 0.5
side = "ind"                     # or "cap"
"""


SHOWN = (
    ("voltage gain, µV a code", 1e6, 4, "voltage_gain_v"),
    ("current gain, µA a code", 1e6, 4, "current_gain_a"),
    ("voltage offset, codes", 1.0, 1, "voltage_offset_codes"),
    ("current offset, codes", 1.0, 1, "current_offset_codes"),
    ("current delay, µs", 1e6, 3, "current_delay_s"),
    ("shunt α, ppm/K", 1e6, 1, "shunt_alpha_per_k"),
    ("shunt β, ppm/K²", 1e6, 3, "shunt_beta_per_k2"),
    ("self-heating, mK/A²", 1e3, 3, "self_heating_k_per_a2"),
)
LEFT = (
    ("worst left: voltage, %", "voltage_percent"),
    ("worst left: current, %", "current_percent"),
    ("worst left: phase, °", "angle_deg"),
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShuntSection(_Section):
    """What the data sheet says."""

    alpha_per_k: float = 0.0
    beta_per_k2: float = 0.0
    self_heating_k_per_a2: float = Field(default=0.0, ge=0)
    self_heating_time_s: float = Field(default=60.0, gt=0)
    reference_temperature_c: float = 23.0


class PointSection(_Section):
    """One recording and its load."""

    recording: str = Field(min_length=1)
    voltage_v: float = Field(gt=0)
    current_a: float = Field(gt=0)
    power_factor: float = Field(default=1.0, ge=0, le=1)
    side: Literal["ind", "cap"] = "ind"
    temperature_c: float | None = None
    sampling_rate_hz: int | None = Field(default=None, gt=0)
    channels: dict[str, str | int] = {}

    def load(self) -> KnownLoad:
        """As the solving wants it."""
        lag = math.acos(self.power_factor)
        return KnownLoad(self.voltage_v, self.current_a, -lag if self.side == "cap" else lag)


class Loads(_Section):
    """The whole file."""

    frequency_hz: Literal[50, 60] = 50
    shunt: ShuntSection = ShuntSection()
    point: list[PointSection] = Field(min_length=1)


def calibrate(
    loads: Annotated[
        Path | None, typer.Argument(help="TOML file of known loads; --example shows one.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The calibration file to write.")
    ] = Path("calibration.json"),
    simulated: Annotated[
        int | None,
        typer.Option(help="In place of recordings, the simulated front-end of this number."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Show a file of known loads.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: what is in the file, on the output too.")
    ] = False,
) -> None:
    """Find gains, offsets, phase and shunt temperature coefficients from known loads."""
    if example:
        sys.stdout.write(EXAMPLE)
        return
    if (loads is None) == (simulated is None):
        raise ConfigError("give a file of known loads, or --simulated and a number")
    check_writable("--output", output)
    try:
        solutions = _simulated(simulated or 0) if loads is None else _solved(loads)
    except CalibrationError as error:
        raise SourceError(f"{loads or 'simulated front-end'}: {error}") from None
    document = _document(solutions, str(loads or f"simulated front-end {simulated}"))
    output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        _print(console(), solutions, output)


def load_points(path: Path) -> Loads:
    """Read and check the file. Raises ConfigError with a line for each fault."""
    try:
        return Loads.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        faults = [
            f"{path}: {'.'.join(map(str, fault['loc'])) or '(file)'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise ConfigError("\n".join(faults)) from None


def _solved(path: Path) -> tuple[Solution, ...]:
    settings = load_points(path)
    readings: list[tuple[Reading, ...]] = []
    for number, point in enumerate(settings.point, start=1):
        block = _recorded(path.parent / point.recording, point)
        try:
            readings.append(read(block, settings.frequency_hz))
        except CalibrationError as error:
            raise CalibrationError(f"point {number} ({point.recording}): {error}") from None
    phases = {len(reading) for reading in readings}
    if len(phases) > 1:
        raise CalibrationError(f"the recordings have different phases: {sorted(phases)}")
    shunt = settings.shunt
    nominal = PhaseCalibration(
        voltage_gain_v=1.0,
        current_gain_a=1.0,
        shunt_alpha_per_k=shunt.alpha_per_k,
        shunt_beta_per_k2=shunt.beta_per_k2,
        reference_temperature_c=shunt.reference_temperature_c,
        self_heating_k_per_a2=shunt.self_heating_k_per_a2,
        self_heating_time_s=shunt.self_heating_time_s,
    )
    loads = [point.load() for point in settings.point]
    return solve(loads, readings, Calibration((nominal,) * phases.pop()))


def _recorded(path: Path, point: PointSection) -> SampleBlock:
    """All of a recording as one block of codes. Raises SourceError where it is not whole."""
    options = Options(
        point.channels,
        sampling_rate_hz=point.sampling_rate_hz,
        scaling=Scaling(voltage_gain_v=(1.0,), current_gain_a=(1.0,)),
    )
    recording = open_recording(path, options)
    if any(channel.factor is not None for channel in recording.channels):
        raise SourceError(f"{path}: volts and amperes; a calibration needs the converter's codes")
    blocks: list[SampleBlock] = []
    for item in RecordedSource(recording, options).blocks():
        if isinstance(item, Damage):
            raise SourceError(f"{path}: damaged at sample {item.first_sample}: {item.kind}")
        blocks.append(item)
    if not blocks:
        raise SourceError(f"{path}: there is no sample in it")
    first = blocks[0]
    temperature_c = point.temperature_c
    if temperature_c is None:
        temperature_c = first.shunt_temperature_c
    return SampleBlock(
        np.concatenate([block.voltage for block in blocks], axis=1),
        np.concatenate([block.current for block in blocks], axis=1),
        first.sampling_rate_hz,
        first.first_sample,
        first.start_ns,
        temperature_c,
    )


def _simulated(number: int) -> tuple[Solution, ...]:
    from meter_node.meter.variant import Variant
    from meter_node.type_test.bench import calibrated, specimen

    chance = np.random.default_rng(number)
    return calibrated(specimen(Variant(), 50.0, number, chance), chance)


def _document(solutions: tuple[Solution, ...], source: str) -> dict[str, object]:
    """What `sources.calibration_file` reads, and for people when, from what and how well."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": source,
        "phases": [
            {
                **asdict(solution.calibration),
                "worst_residual": asdict(solution.worst),
                "residuals": [asdict(residual) for residual in solution.residuals],
            }
            for solution in solutions
        ],
    }


def _print(console: Console, solutions: tuple[Solution, ...], output: Path) -> None:
    table = Table(title=f"Calibration, written to {output}")
    table.add_column("")
    for number in range(1, len(solutions) + 1):
        table.add_column(f"L{number}", justify="right")
    for name, scale, decimals, key in SHOWN:
        values = (scale * getattr(solution.calibration, key) for solution in solutions)
        table.add_row(name, *(f"{value:.{decimals}f}" for value in values))
    table.add_section()
    for name, key in LEFT:
        values = (getattr(solution.worst, key) for solution in solutions)
        table.add_row(name, *(f"{value:.4f}" for value in values))
    console.print(table)
