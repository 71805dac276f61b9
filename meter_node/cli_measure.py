"""meter-node measure: a recording through the engine, as a table or JSON. Keeps no register.

Must not know formats: the source reads, the engine measures, this adds up and prints.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from meter_node.cli_output import console
from meter_node.cli_summary import (
    NANO,
    OF_PHASES,
    OF_SUPPLY,
    PhaseSummary,
    Summary,
    limits_of,
    power_factor,
    summarise,
)
from meter_node.config import ConfigError
from meter_node.meter.energy import BOOKED
from meter_node.meter.variant import CURRENT_RANGES, Variant
from meter_node.metrology import Engine, SampleBlock
from meter_node.sources import Damage, SourceError, calibration_file
from meter_node.sources.recording import Options, RecordedSource, open_recording
from meter_node.sources.scaling import CURRENT_FULL_SCALE_A, VOLTAGE_FULL_SCALE_V, Scaling

# Longer blocks are quicker to get through, and still a trifle of memory.
BLOCK_S = 4
MOST_SHOWN_DAMAGE = 20
LEAST_SHOWN_PERCENT = 0.005
ROLES = ("U1", "U2", "U3", "I1", "I2", "I3")


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
    summary = Summary(source.phases, source.start_ns)
    limits = limits_of(variant.maximum_current_a)
    summarise(engine, summary, limits, _progressing(source, recording.name))
    if not summary.seconds:
        raise SourceError(f"{recording}: there is no sample in it")
    if as_json:
        document = _document(recording, source, summary)
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        _print(console(), recording, source, summary)


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
    """Times are null where the recording doesn't know when it began; `at_s` counts from there."""

    def moment(time_ns: int | None) -> str | None:
        return _moment(time_ns) if source.start_ns else None

    powers = {
        key: summary.total(key)
        for key in ("active_power_w", "reactive_power_var", "apparent_power_va")
    }
    return {
        "recording": str(recording),
        "sampling_rate_hz": source.sampling_rate_hz,
        "start": moment(summary.start_ns),
        "seconds": summary.seconds,
        "incomplete_seconds": summary.incomplete,
        "clipped_seconds": summary.clipped,
        **{quantity.key: summary.means[quantity.key].value for quantity in OF_SUPPLY},
        "frequency_10s": [
            {"at_s": since_s, "frequency_hz": frequency_hz}
            for since_s, frequency_hz in summary.frequencies_10s
        ],
        "phase_order": summary.phase_order,
        "phases": [_phase(phase) for phase in summary.phases],
        "total": {
            **powers,
            "power_factor": power_factor(powers["active_power_w"], powers["apparent_power_va"]),
            **{_nano(name): sum(summary.energies(name)) for name in BOOKED},
        },
        "damage": [
            {
                "kind": damage.kind.value,
                "first_sample": damage.first_sample,
                "samples": damage.samples,
                "at_s": summary.since_s(damage.start_ns),
                "start": moment(damage.start_ns),
                "detail": damage.detail,
            }
            for damage in summary.damage
        ],
        "events": [
            {
                "kind": event.kind.value,
                "phase": event.phase,
                "at_s": summary.since_s(event.start_ns),
                "duration_s": event.duration_s,
                "start": moment(event.start_ns),
                "end": moment(event.end_ns),
                "magnitude": event.magnitude,
                "interrupted": event.interrupted,
            }
            for event in summary.events
        ],
    }


def _phase(phase: PhaseSummary) -> dict[str, Any]:
    return {
        **{quantity.key: phase.mean(quantity.key) for quantity in OF_PHASES},
        "power_factor": phase.power_factor,
        "voltage_angle_deg": phase.voltage_angle_deg,
        "phase_angle_deg": phase.phase_angle_deg,
        "lowest_voltage_v": phase.lowest_voltage_v,
        "highest_voltage_v": phase.highest_voltage_v,
        "voltage_thd_percent": phase.voltage_harmonics.thd_percent,
        "current_thd_percent": phase.current_harmonics.thd_percent,
        # From order 1, the fundamental, on.
        "voltage_harmonics_v": phase.voltage_harmonics.rms,
        "current_harmonics_a": phase.current_harmonics.rms,
        **{_nano(name): energy for name, energy in phase.energies.items()},
    }


def _nano(energy: str) -> str:
    return f"{energy}_nvarh" if "reactive" in energy else f"{energy}_nwh"


def _moment(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    return datetime.fromtimestamp(time_ns / NANO, UTC).isoformat(timespec="milliseconds")


# What the table says of each phase besides means and energies: name, unit, cell.
OF_EACH: tuple[tuple[str, str, Callable[[PhaseSummary], str]], ...] = (
    ("lowest voltage", "V", lambda phase: f"{phase.lowest_voltage_v:.3f}"),
    ("highest voltage", "V", lambda phase: f"{phase.highest_voltage_v:.3f}"),
    ("voltage angle", "°", lambda phase: _number(phase.voltage_angle_deg, 2)),
    ("phase angle", "°", lambda phase: _number(phase.phase_angle_deg, 2)),
    ("voltage THD", "%", lambda phase: _number(phase.voltage_harmonics.thd_percent, 2)),
    ("current THD", "%", lambda phase: _number(phase.current_harmonics.thd_percent, 2)),
    ("largest voltage harmonic", "%", lambda phase: _order(phase.voltage_harmonics.largest)),
    ("largest current harmonic", "%", lambda phase: _order(phase.current_harmonics.largest)),
)


def _print(console: Console, recording: Path, source: RecordedSource, summary: Summary) -> None:
    began = f", from {_moment(summary.start_ns)}" if source.start_ns else ""
    table = Table(
        title=f"{recording.name}: {summary.seconds:.3f} s at {source.sampling_rate_hz} Hz{began}"
    )
    table.add_column("quantity")
    for number in range(len(summary.phases)):
        table.add_column(f"L{number + 1}", justify="right")
    table.add_column("total", justify="right")
    table.add_column("unit")
    _add_phases(table, summary)
    table.add_section()
    _add_supply(table, summary)
    table.add_section()
    for name in BOOKED:
        energies = summary.energies(name)
        unit = "varh" if "reactive" in name else "Wh"
        cells = [f"{energy / NANO:.6f}" for energy in (*energies, sum(energies))]
        table.add_row(name.replace("_", " "), *cells, unit)
    console.print(table)
    _print_faults(console, summary)


def _add_phases(table: Table, summary: Summary) -> None:
    for quantity in OF_PHASES:
        means = [f"{phase.mean(quantity.key):.{quantity.decimals}f}" for phase in summary.phases]
        total = "" if quantity.square else f"{summary.total(quantity.key):.{quantity.decimals}f}"
        table.add_row(quantity.name, *means, total, quantity.unit)
    whole = power_factor(summary.total("active_power_w"), summary.total("apparent_power_va"))
    factors = [f"{phase.power_factor:.4f}" for phase in summary.phases]
    table.add_row("power factor", *factors, f"{whole:.4f}", "")
    for name, unit, cell in OF_EACH:
        cells = [cell(phase) for phase in summary.phases]
        if any(cells):
            table.add_row(name, *cells, "", unit)


def _add_supply(table: Table, summary: Summary) -> None:
    blank = [""] * len(summary.phases)
    for quantity in OF_SUPPLY:
        mean = summary.means[quantity.key].value
        if mean is not None:
            table.add_row(quantity.name, *blank, f"{mean:.{quantity.decimals}f}", quantity.unit)
    if summary.frequencies_10s:
        hertz = [frequency_hz for _, frequency_hz in summary.frequencies_10s]
        table.add_row("frequency of 10 s, lowest", *blank, f"{min(hertz):.4f}", "Hz")
        table.add_row("frequency of 10 s, highest", *blank, f"{max(hertz):.4f}", "Hz")
    if summary.phase_order:
        table.add_row("phase order", *blank, summary.phase_order, "")


def _print_faults(console: Console, summary: Summary) -> None:
    if summary.incomplete or summary.clipped:
        console.print(f"{summary.incomplete} seconds not complete, {summary.clipped} clipped")
    for damage in summary.damage[:MOST_SHOWN_DAMAGE]:
        place = f"{damage.samples} samples from {damage.first_sample} on"
        console.print(f"{damage.kind}: {place}: {damage.detail}", markup=False, highlight=False)
    if len(summary.damage) > MOST_SHOWN_DAMAGE:
        console.print(f"and {len(summary.damage) - MOST_SHOWN_DAMAGE} more (--json has them all)")
    for event in summary.events:
        where = "all phases" if event.phase is None else f"L{event.phase}"
        when = "" if event.duration_s is None else f" for {event.duration_s:.3f} s"
        since_s = summary.since_s(event.start_ns)
        # It may have ended, and been worse, where samples are missing.
        gap = ", interrupted by missing samples" if event.interrupted else ""
        told = f"{event.kind.value} on {where} at {since_s:.3f} s{when}{gap}"
        console.print(told, highlight=False)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _order(largest: tuple[int, float] | None) -> str:
    """Order and per cent of the fundamental; nothing where that would be 0.00."""
    return (
        ""
        if largest is None or largest[1] < LEAST_SHOWN_PERCENT
        else f"{largest[0]}: {largest[1]:.2f}"
    )
