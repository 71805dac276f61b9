"""meter-node verify-logs: holds each event log of a data directory against its chain of hashes.

Must not know how a hash is made: the meter's logs verify, this reads and prints.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from meter_node import keys, store
from meter_node.channel.event_codes import LOGS, Log
from meter_node.cli_output import console
from meter_node.config import ConfigError
from meter_node.meter.logs import CHAIN_LENGTH, Fault, verify
from meter_node.meter.rows import ChainHead

_HEAD = re.compile(rf"([a-z_]+):(\d{{1,10}}):([0-9a-f]{{{2 * CHAIN_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class LogReport:
    """One log of one meter."""

    meter: str
    log: Log
    entries: int
    head: ChainHead
    jumps: tuple[int, ...]
    """Entries behind which the numbers go on since a restored copy."""
    faults: list[Fault]


@dataclass(frozen=True, slots=True)
class Report:
    """All logs of a data directory."""

    logs: list[LogReport] = field(default_factory=list)
    orphans: int = 0
    """Entries that belong to no log."""

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed or inserted."""
        return not self.orphans and not any(log.faults for log in self.logs)


def verify_logs(
    data_dir: Path, published: Iterable[tuple[Log, ChainHead]] = (), meter: str | None = None
) -> Report:
    """Verify all logs, of one meter or of all; the node may be running.

    Raises StoreError where there is no store, KeyFileError, ConfigError for a meter unknown.
    """
    path = data_dir / store.DATABASE
    if not path.exists():
        raise store.StoreError(f"{path}: nothing was metered yet; run meter-node run first")
    meters = keys.load(data_dir).meters
    if meter is not None and meter not in meters:
        raise ConfigError(f"--meter: no meter {meter!r}; there are: {', '.join(meters) or 'none'}")
    seen = list(published)
    reports = []
    with closing(store.Store(path)) as database:
        for name in meters if meter is None else [meter]:
            title = meters[name].system_title
            for log in Log:
                heads = [head for of, head in seen if of == log]
                evidence = database.evidence(title, log) or store.LogEvidence.empty()
                faults = verify(
                    log,
                    evidence.rows,
                    evidence.anchors,
                    evidence.head,
                    evidence.depth,
                    heads,
                )
                if not evidence.head.entry and not faults:
                    continue
                # The first anchor of a log that was pruned is where it begins, no jump.
                jumps = evidence.anchors[evidence.depth is not None :]
                reports.append(
                    LogReport(
                        name,
                        log,
                        len(evidence.rows),
                        evidence.head,
                        tuple(anchor.entry for anchor in jumps),
                        faults,
                    )
                )
        return Report(reports, database.orphans())


def command(
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir",
            "-d",
            envvar="METER_NODE_DATA",
            help="Where configuration, keys and registers of this node are.",
        ),
    ] = Path("meter-node-data"),
    meter: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="What a push once said of a log, as log:entry:hash (status:17:0a1b…). Only such "
            "a witness finds a log that was rewritten to its end."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one document.")] = False,
) -> None:
    """Verify the event logs; exit status 1 where an entry was changed, removed or inserted."""
    if head and meter is None and len(keys.load(data_dir).meters) != 1:
        raise ConfigError("--head: of which meter? Say it with --meter")
    report = verify_logs(data_dir, [_head(text) for text in head or ()], meter)
    if as_json:
        sys.stdout.write(json.dumps(_document(report)) + "\n")
    else:
        _print(report)
    if not report.whole:
        raise typer.Exit(1)


def _head(text: str) -> tuple[Log, ChainHead]:
    match = _HEAD.fullmatch(text)
    if match is None or match[1] not in LOGS:
        raise ConfigError(
            f"--head: {text!r} is not log:entry:hash with one of the logs {', '.join(LOGS)}"
        )
    return Log(match[1]), ChainHead(int(match[2]), bytes.fromhex(match[3]))


def _document(report: Report) -> dict[str, object]:
    return {
        "whole": report.whole,
        "orphans": report.orphans,
        "logs": [
            {
                "meter": log.meter,
                "log": log.log.value,
                "entries": log.entries,
                "last_entry": log.head.entry,
                "head": log.head.chain.hex(),
                "jumps": log.jumps,
                "faults": [{"entry": fault.entry, "text": fault.text} for fault in log.faults],
            }
            for log in report.logs
        ],
    }


def _print(report: Report) -> None:
    out = console()
    table = Table(title="event logs")
    for column in ("meter", "log", "entries", "last", "head of the chain", "verdict"):
        table.add_column(column)
    for log in report.logs:
        verdict = "whole" if not log.faults else f"{len(log.faults)} faults"
        if log.jumps:
            verdict += f", numbers jump after a restored copy ({len(log.jumps)})"
        table.add_row(
            log.meter,
            log.log.value,
            str(log.entries),
            str(log.head.entry),
            log.head.chain.hex(),
            verdict,
        )
    out.print(table)
    for log in report.logs:
        for fault in log.faults:
            out.print(
                f"{log.meter}: {log.log.value}: entry {fault.entry} {fault.text}", style="red"
            )
    if report.orphans:
        out.print(f"{report.orphans} entries belong to no log", style="red")
