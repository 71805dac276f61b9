"""meter-node measure: a recording through the engine, as a table or JSON. Keeps no register.

Must not know formats: the source reads, the engine measures, this adds up and prints.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from meter_node.config import ConfigError
from meter_node.meter.variant import CURRENT_RANGES, Variant
from meter_node.metrology import (
    Detector,
    Engine,
    Measurement,
    PhaseMeasurement,
    QualityEvent,
    SampleBlock,
)
from meter_node.sources import Damage, SourceError, calibration_file
from meter_node.sources.recording import Options, RecordedSource, open_recording
from meter_node.sources.scaling import CURRENT_FULL_SCALE_A, VOLTAGE_FULL_SCALE_V, Scaling

NANO = 10**9
# Longer blocks are quicker to get through, and still a trifle of memory.
BLOCK_S = 4
MOST_SHOWN_DAMAGE = 20
ROLES = ("U1", "U2", "U3", "I1", "I2", "I3")


@dataclass(frozen=True, slots=True)
class Shown:
    """A mean over the recording: how it is called, its unit, and where it comes from.

    `square`: the mean is of the squares, as RMS values add.
    """

    name: str
    unit: str
    decimals: int
    value: Callable[[PhaseMeasurement], float]
    square: bool = False


MEANS = (
    Shown("voltage_v", "V", 3, lambda phase: phase.voltage_v, square=True),
    Shown("current_a", "A", 4, lambda phase: phase.current_a, square=True),
    Shown("active_power_w", "W", 2, lambda phase: phase.active_power_w),
    Shown("reactive_power_var", "var", 2, lambda phase: phase.reactive_power_var),
    Shown("apparent_power_va", "VA", 2, lambda phase: phase.apparent_power_va),
)
ENERGIES: dict[str, Callable[[PhaseMeasurement], int]] = {
    "import_active_energy": lambda phase: phase.import_active_energy_nwh,
    "export_active_energy": lambda phase: phase.export_active_energy_nwh,
    "import_reactive_energy": lambda phase: phase.import_reactive_energy_nvarh,
    "export_reactive_energy": lambda phase: phase.export_reactive_energy_nvarh,
    "reactive_energy_q1": lambda phase: phase.reactive_energy_q1_nvarh,
    "reactive_energy_q2": lambda phase: phase.reactive_energy_q2_nvarh,
    "reactive_energy_q3": lambda phase: phase.reactive_energy_q3_nvarh,
    "reactive_energy_q4": lambda phase: phase.reactive_energy_q4_nvarh,
}


@dataclass(slots=True)
class Summary:
    """What a recording adds up to. Energies in nWh and nvarh, phase by phase."""

    phases: int
    seconds: float = 0.0
    incomplete: int = 0
    clipped: int = 0
    frequency_hz_s: float = 0.0
    frequency_s: float = 0.0
    sums: dict[str, list[float]] = field(default_factory=dict)
    energies: dict[str, list[int]] = field(default_factory=dict)
    lowest_voltage_v: list[float] = field(default_factory=list)
    highest_voltage_v: list[float] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    events: list[QualityEvent] = field(default_factory=list)
    start_ns: int | None = None

    def add(self, measurement: Measurement) -> None:
        """Take the next measurement."""
        seconds = (measurement.end_ns - measurement.start_ns) / NANO
        self.start_ns = measurement.start_ns if self.start_ns is None else self.start_ns
        self.seconds += seconds
        self.incomplete += not measurement.complete
        self.clipped += measurement.clipped
        if measurement.frequency_hz is not None:
            self.frequency_hz_s += measurement.frequency_hz * seconds
            self.frequency_s += seconds
        for shown in MEANS:
            sums = self.sums.setdefault(shown.name, [0.0] * self.phases)
            for number, phase in enumerate(measurement.phases):
                value = shown.value(phase)
                sums[number] += seconds * (value * value if shown.square else value)
        for name, of_phase in ENERGIES.items():
            energies = self.energies.setdefault(name, [0] * self.phases)
            for number, phase in enumerate(measurement.phases):
                energies[number] += of_phase(phase)
        lows = [phase.lowest_voltage_v for phase in measurement.phases]
        highs = [phase.highest_voltage_v for phase in measurement.phases]
        self.lowest_voltage_v = list(map(min, self.lowest_voltage_v or lows, lows))
        self.highest_voltage_v = list(map(max, self.highest_voltage_v or highs, highs))

    def means(self, shown: Shown) -> list[float]:
        """Of each phase."""
        means = [total / self.seconds for total in self.sums[shown.name]]
        return [math.sqrt(mean) for mean in means] if shown.square else means

    @property
    def frequency_hz(self) -> float | None:
        """The mean where there was one."""
        return self.frequency_hz_s / self.frequency_s if self.frequency_s else None


def measure(
    recording: Annotated[
        Path, typer.Argument(help="WAV, COMTRADE (.cfg with .dat), CSV, .npy or .npz.")
    ],
    channels: Annotated[
        list[str] | None,
        typer.Option("--channel", help="Which is which, by name or number: U1=1, I1=current."),
    ] = None,
    phases: Annotated[int | None, typer.Option(min=1, max=3, help="Only the first ones.")] = None,
    rate: Annotated[
        int | None, typer.Option(min=2000, max=64_000, help="Hz, where the file doesn't say.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="UTC of the first sample, before the file's own.")
    ] = None,
    frequency: Annotated[int, typer.Option(help="Nominal: 50 or 60 Hz.")] = 50,
    current_range: Annotated[
        str, typer.Option("--range", help=f"Of the meter: {', '.join(CURRENT_RANGES)} A.")
    ] = "5(65)",
    voltage_gain: Annotated[
        list[float] | None,
        typer.Option(help="Volts a code, where samples are codes; once, or for each phase."),
    ] = None,
    current_gain: Annotated[
        list[float] | None, typer.Option(help="Amperes a code; a negative one turns a shunt round.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration file, in place of gains.")
    ] = None,
    voltage_full_scale: Annotated[
        float, typer.Option(min=1, help="Highest peak of values in volts.")
    ] = VOLTAGE_FULL_SCALE_V,
    current_full_scale: Annotated[
        float, typer.Option(min=0.001, help="Highest peak of values in amperes.")
    ] = CURRENT_FULL_SCALE_A,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Measure a recording: quantities, energies, and what is wrong with it."""
    if frequency not in (50, 60):
        raise ConfigError(f"--frequency: 50 or 60, not {frequency}")
    try:
        variant = Variant("382M", current_range=current_range)
    except ValueError as error:
        raise ConfigError(f"--range: {error}") from None
    scaling = Scaling(
        tuple(voltage_gain or ()),
        tuple(current_gain or ()),
        calibration=None if calibration is None else calibration_file.load(calibration),
        voltage_full_scale_v=voltage_full_scale,
        current_full_scale_a=current_full_scale,
    )
    options = Options(
        _channels(channels or []), phases, rate, None if start is None else _ns(start), scaling
    )
    file = open_recording(recording, options)
    source = RecordedSource(file, options, block_samples=BLOCK_S * file.sampling_rate_hz)
    try:
        engine = Engine(
            source.calibration,
            source.phases,
            source.sampling_rate_hz,
            frequency,
            starting_current_a=0.004 * variant.base_current_a,
            full_scale_codes=source.full_scale_codes,
        )
    except ValueError as error:
        raise SourceError(f"{recording}: {error}") from None
    summary = summarise(engine, source.phases, _progressing(source, recording.name))
    if not summary.seconds:
        raise SourceError(f"{recording}: there is no sample in it")
    if as_json:
        document = _document(recording, source, summary)
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        _print(Console(), recording, source, summary)


def summarise(engine: Engine, phases: int, items: Iterable[SampleBlock | Damage]) -> Summary:
    """Run a source's items through an engine, to the end."""
    summary = Summary(phases)
    detector = Detector(phases)
    for measurement in _measurements(engine, items, summary.damage):
        summary.add(measurement)
        summary.events += detector.advance(measurement)
    return summary


def _measurements(
    engine: Engine, items: Iterable[SampleBlock | Damage], damage: list[Damage]
) -> Iterator[Measurement]:
    for item in items:
        if isinstance(item, Damage):
            damage.append(item)
        else:
            yield from engine.push(item)
    rest = engine.flush()
    if rest is not None:
        yield rest


def _progressing(source: RecordedSource, name: str) -> Iterator[SampleBlock | Damage]:
    """The source's items, with a bar on a terminal's stderr."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=source.samples)
        for item in source.blocks():
            yield item
            if isinstance(item, SampleBlock):
                progress.update(task, completed=item.first_sample + item.samples)


def _channels(given: list[str]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for text in given:
        role, _, which = text.partition("=")
        if role.upper() not in ROLES or not which:
            raise ConfigError(f"--channel: {text!r} is not one of {', '.join(ROLES)}, = and which")
        found[role.upper()] = which
    return found


def _ns(moment: datetime) -> int:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * NANO + moment.microsecond * 1000


def _document(recording: Path, source: RecordedSource, summary: Summary) -> dict[str, Any]:
    means = {shown.name: summary.means(shown) for shown in MEANS}
    return {
        "recording": str(recording),
        "sampling_rate_hz": source.sampling_rate_hz,
        "start": _moment(summary.start_ns) if source.start_ns else None,
        "seconds": summary.seconds,
        "incomplete_seconds": summary.incomplete,
        "clipped_seconds": summary.clipped,
        "frequency_hz": summary.frequency_hz,
        "phases": [
            {name: values[number] for name, values in means.items()}
            | {
                "power_factor": _power_factor(means, number),
                "lowest_voltage_v": summary.lowest_voltage_v[number],
                "highest_voltage_v": summary.highest_voltage_v[number],
            }
            | {_nano(name): energies[number] for name, energies in summary.energies.items()}
            for number in range(summary.phases)
        ],
        "total": {_nano(name): sum(energies) for name, energies in summary.energies.items()},
        "damage": [asdict(damage) for damage in summary.damage],
        "events": [
            {
                "kind": event.kind.value,
                "phase": event.phase,
                "start": _moment(event.start_ns),
                "end": None if event.end_ns is None else _moment(event.end_ns),
                "magnitude": event.magnitude,
            }
            for event in summary.events
        ],
    }


def _nano(energy: str) -> str:
    return f"{energy}_nvarh" if "reactive" in energy else f"{energy}_nwh"


def _power_factor(means: dict[str, list[float]], phase: int) -> float:
    apparent_power_va = means["apparent_power_va"][phase]
    return means["active_power_w"][phase] / apparent_power_va if apparent_power_va else 1.0


def _moment(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    return datetime.fromtimestamp(time_ns / NANO, UTC).isoformat(timespec="milliseconds")


def _print(console: Console, recording: Path, source: RecordedSource, summary: Summary) -> None:
    frequency = summary.frequency_hz
    began = f", from {_moment(summary.start_ns)}" if source.start_ns else ""
    table = Table(
        title=f"{recording.name}: {summary.seconds:.3f} s at {source.sampling_rate_hz} Hz{began}"
    )
    table.add_column("quantity")
    for number in range(summary.phases):
        table.add_column(f"L{number + 1}", justify="right")
    table.add_column("total", justify="right")
    table.add_column("unit")
    for shown in MEANS:
        means = summary.means(shown)
        total = "" if shown.square else f"{sum(means):.{shown.decimals}f}"
        cells = [f"{mean:.{shown.decimals}f}" for mean in means]
        table.add_row(shown.name.rpartition("_")[0].replace("_", " "), *cells, total, shown.unit)
    if frequency is not None:
        blank = [""] * summary.phases
        table.add_row("frequency", *blank, f"{frequency:.4f}", "Hz")
    table.add_section()
    for name, energies in summary.energies.items():
        unit = "varh" if "reactive" in name else "Wh"
        cells = [f"{energy / NANO:.6f}" for energy in (*energies, sum(energies))]
        table.add_row(name.replace("_", " "), *cells, unit)
    console.print(table)
    if summary.incomplete or summary.clipped:
        console.print(f"{summary.incomplete} seconds not complete, {summary.clipped} clipped")
    for damage in summary.damage[:MOST_SHOWN_DAMAGE]:
        place = f"{damage.samples} samples from {damage.first_sample} on"
        console.print(f"{damage.kind}: {place}: {damage.detail}", markup=False, highlight=False)
    if len(summary.damage) > MOST_SHOWN_DAMAGE:
        console.print(f"and {len(summary.damage) - MOST_SHOWN_DAMAGE} more (--json has them all)")
    for event in summary.events:
        where = "all phases" if event.phase is None else f"L{event.phase}"
        when = (
            "" if event.end_ns is None else f" for {(event.end_ns - event.start_ns) / NANO:.3f} s"
        )
        since_s = (event.start_ns - (summary.start_ns or 0)) / NANO
        console.print(f"{event.kind.value} on {where} at {since_s:.3f} s{when}", highlight=False)
