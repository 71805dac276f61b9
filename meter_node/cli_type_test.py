"""meter-node type-test: runs the type test and shows it. Must not know a limit or a load."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from meter_node.cli_output import check_writable, console
from meter_node.config import ConfigError
from meter_node.type_test import Report, Result, Subject, every_subject, run, steps
from meter_node.type_test.bench import SAMPLING_RATE_HZ, Stage
from meter_node.type_test.limits import Quantity
from meter_node.type_test.report import HEADINGS, MOST_OF_LIMIT, QUANTITIES

# What the engine serves.
LEAST_RATE_HZ, LARGEST_RATE_HZ = 2000, 64_000
DEFAULTS: dict[str, str | int] = {"model": "382M", "current_range": "5(65)", "frequency": 50}


def type_test(
    model: Annotated[str | None, typer.Option(help="162M or 382M; 382M without --all.")] = None,
    current_range: Annotated[
        str | None, typer.Option("--range", help="For example 10(60); 5(65) without --all.")
    ] = None,
    frequency: Annotated[int | None, typer.Option(help="50 or 60 Hz; 50 without --all.")] = None,
    phases: Annotated[
        int | None, typer.Option(help="1 to 3; all that the model has, without --all.")
    ] = None,
    sampling_rate: Annotated[
        int, typer.Option(min=LEAST_RATE_HZ, max=LARGEST_RATE_HZ, help="Of the converter, Hz.")
    ] = SAMPLING_RATE_HZ,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Every model, range, frequency and number of phases not named otherwise."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the errors into this PNG.")] = None,
) -> None:
    """Test the accuracy of a meter's arithmetic, and of a simulated front-end, by the standards.

    Exit status 1 where the arithmetic uses more than a tenth of a limit or the front-end all of it.
    """
    if plot is not None:
        _check_plot(plot)
    subjects = [
        replace(subject, sampling_rate_hz=sampling_rate)
        for subject in _subjects(model, current_range, frequency, phases, everything)
    ]
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("type test", total=steps(subjects))
        report = run(subjects, lambda: progress.advance(task))
    if as_json:
        sys.stdout.write(json.dumps(_document(report), ensure_ascii=False) + "\n")
    else:
        _print(console(), report)
    if plot is not None:
        from meter_node.type_test.plot import draw

        draw(report).savefig(plot, dpi=120)
    if report.missed():
        raise typer.Exit(1)


def _check_plot(plot: Path) -> None:
    if plot.suffix.lower() != ".png":
        raise ConfigError(f"--plot: {plot} does not end in .png")
    check_writable("--plot", plot)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError("--plot needs matplotlib: pip install 'meter-node[plot]'") from None


def _subjects(
    model: str | None,
    current_range: str | None,
    frequency: int | None,
    phases: int | None,
    everything: bool,
) -> list[Subject]:
    """Those of the brochure that fit what was asked for."""
    wanted: dict[str, str | int | None] = {
        "model": model,
        "current_range": current_range,
        "frequency": frequency,
        "phases": phases,
    }
    if not everything:
        wanted = {name: DEFAULTS.get(name) if it is None else it for name, it in wanted.items()}
    found = [
        subject
        for subject in every_subject()
        if all(value is None or value == _aspect(subject, name) for name, value in wanted.items())
    ]
    if not found:
        asked = ", ".join(f"{value}" for value in wanted.values() if value is not None)
        offered = "; ".join(
            f"{name.replace('current_', '')}: "
            + ", ".join(sorted({str(_aspect(subject, name)) for subject in every_subject()}))
            for name in wanted
        )
        raise ConfigError(f"there is no meter of {asked}; there are {offered}; a 162M has 1 phase")
    if not everything and phases is None:
        found = [max(found, key=lambda subject: subject.variant.phases)]
    return found


def _aspect(subject: Subject, name: str) -> object:
    # All that the brochure offers are whole hertz.
    return int(subject.frequency_hz) if name == "frequency" else getattr(subject.variant, name)


def _document(report: Report) -> dict[str, object]:
    """A single subject's as it is; of several also each one's worst, and its name at each point."""
    document = report.document()
    document["variants"] = [
        {
            "model": subject.variant.model,
            "phases": subject.variant.phases,
            "range": subject.variant.current_range,
            "frequency_hz": subject.frequency_hz,
            "sampling_rate_hz": subject.sampling_rate_hz,
            **{key: value for key, value in own.document().items() if key != "points"},
        }
        for subject, own in report.by_subject().items()
    ]
    if len(report.by_subject()) > 1:
        document["points"] = [
            {"variant": str(result.subject), **result.document()} for result in report.results
        ]
    return document


def _print(console: Console, report: Report) -> None:
    apart = report.by_subject()
    if len(apart) == 1:
        for quantity in QUANTITIES:
            console.print(_lines(report, quantity, str(next(iter(apart)))))
    else:
        console.print(_overview(apart))
    for quantity in QUANTITIES:
        for stage, heading in HEADINGS.items():
            console.print(
                f"{quantity}, {heading}: at most {_percent(report.worst_share(stage, quantity))} "
                f"of a limit is used, {_percent(MOST_OF_LIMIT[stage])} is allowed",
                highlight=False,
            )
    for result in report.missed():
        console.print(
            f"[red]missed[/]: {result.subject}, {HEADINGS[result.stage]}, {result.quantity}, "
            f"{result.condition}, {result.current_a:g} A, {_factor(result)}: "
            f"{result.error_percent:+.4f} % of {result.limit_percent:g} %",
            highlight=False,
        )


def _lines(report: Report, quantity: Quantity, title: str) -> Table:
    """One line for each limit: where each stage came nearest to it."""
    table = Table(
        title=f"{title}, {quantity} energy: the worst of each line",
        caption="share of the limit of the class named: 0.2S where it has one",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("condition", no_wrap=True)
    table.add_column("cos φ" if quantity == "active" else "sin φ")
    table.add_column("class")
    table.add_column("limit %", justify="right")
    for heading in HEADINGS.values():
        table.add_column(f"{heading}: A", justify="right")
        table.add_column("error %", justify="right")
        table.add_column("share", justify="right")
    groups: dict[tuple[str, str, str, str], dict[Stage, Result]] = {}
    for result in report.results:
        if result.quantity == quantity:
            key = (
                result.condition,
                _factor(result),
                result.limit_class,
                f"{result.limit_percent:.3g}",
            )
            worst = groups.setdefault(key, {})
            if result.stage not in worst or result.share > worst[result.stage].share:
                worst[result.stage] = result
    for key, worst in groups.items():
        table.add_row(*key, *(cell for stage in HEADINGS for cell in _cells(worst[stage])))
    return table


def _factor(result: Result) -> str:
    value, side = result.factor
    return f"{value:g} {side}".strip()


def _cells(result: Result) -> tuple[str, str, str]:
    good = result.share <= MOST_OF_LIMIT[result.stage]
    share = _percent(result.share)
    return (
        f"{result.current_a:g}",
        f"{result.error_percent:+.5f}",
        share if good else f"[red]{share}[/]",
    )


def _overview(apart: dict[Subject, Report]) -> Table:
    table = Table(title="Type test: the largest share of a limit that each variant uses")
    table.add_column("variant", no_wrap=True)
    for quantity in QUANTITIES:
        for heading in HEADINGS.values():
            table.add_column(f"{quantity}\n{heading}", justify="right")
    table.add_column("")
    for subject, report in apart.items():
        shares = [
            _percent(report.worst_share(stage, quantity))
            for quantity in QUANTITIES
            for stage in HEADINGS
        ]
        table.add_row(str(subject), *shares, "[red]missed[/]" if report.missed() else "held")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
