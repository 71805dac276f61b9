"""meter-node simulate: a simulated house's past, metered into a data directory in no time.

Reads the wall clock once, to know what is past. Must not know how a meter books or a house lives.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from meter_node import config, data_directory, feeds, keys, node, store
from meter_node.channel.event_codes import BY_NAME
from meter_node.channel.registers import QUANTITIES, TARIFFS
from meter_node.cli_output import console
from meter_node.meter.local_time import DAY_S, MINUTE_S, LocalTime
from meter_node.meter.meter import Meter
from meter_node.meter.profile import LOAD_PROFILE
from meter_node.meter.rows import Image, LogRow
from meter_node.meter.snapshot import NANO, ROLLOVER_NWH, Snapshot
from meter_node.metrology import DigitalInputs
from meter_node.sources import outages
from meter_node.sources.phasor_house import PhasorHouse

STEP_S = 60
QUARTER_HOUR_S = 900
DEFAULT_MODEL = "382M"
QUARTER_HOUR_MIN = 15
TARIFF_KEY = "import_active_energy_t"
_DAYLIGHT_SAVING = BY_NAME["daylight_saving"]


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when (UTC, s, whole minutes), and the local midnights after its start."""

    start_s: int
    end_s: int
    midnights_s: tuple[int, ...]


@dataclass(slots=True)
class Tally:
    """What the meter made of the span, by the rows that it gave to be kept."""

    span: Span
    load_profile_interval_min: int
    first_daily_entry: int
    """What a daily row with a lower number was due for was before the span."""
    steps: int = 0
    daily_snapshots: int = 0
    load_profile_rows: int = 0
    quarter_hours: set[int] = field(default_factory=set)
    """Those that the load profile's rows tell of, counted from 1970."""
    clock_changes: list[LogRow] = field(default_factory=list)
    """Entries of the clock's log on daylight saving."""
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0))

    def take(self, image: Image) -> None:
        """Count the rows that are new since the image before."""
        self.daily_snapshots += sum(
            row.kind == "daily" and row.entry >= self.first_daily_entry
            for row in image.billing_rows
        )
        self.clock_changes += [
            row
            for row in image.log_rows
            if row.log is _DAYLIGHT_SAVING.log and row.code == _DAYLIGHT_SAVING.code
        ]
        interval_s = self.load_profile_interval_min * MINUTE_S
        first = self.span.start_s // QUARTER_HOUR_S
        for row in image.profile_rows:
            # A row of before may have waited for the first step.
            if row.profile == LOAD_PROFILE and row.time_s > self.span.start_s:
                self.load_profile_rows += 1
                begun = max((row.time_s - interval_s) // QUARTER_HOUR_S, first)
                self.quarter_hours.update(range(begun, (row.time_s - 1) // QUARTER_HOUR_S + 1))


def simulate(
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir",
            "-d",
            envvar="METER_NODE_DATA",
            help="Metered into this one; it is made where there is none.",
        ),
    ] = Path("meter-node-data"),
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help=f"Another file than {config.FILE_NAME} in the data dir."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How many.")] = 365,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The local day it begins with; else so that it ends now.",
        ),
    ] = None,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: one JSON document.")
    ] = False,
) -> None:
    """Meter the past of a simulated house, minute by minute; meter-node run then goes on from it.

    The supply fails now and then, as the house's seed has it. Exit status 1 where what was metered
    is not complete.
    """
    if config_file is None:
        data_directory.write_configuration(data_dir, DEFAULT_MODEL)
    settings = config.load(config_file or data_dir / config.FILE_NAME)
    chosen = _choose(settings, meter)
    if not isinstance(chosen.source, config.SimulatedSourceConfig):
        raise config.ConfigError(
            f"--meter: {chosen.name} measures a source of kind {chosen.source.kind!r}; only a "
            "simulated house has a past that can be played"
        )
    local = LocalTime(chosen.zone())
    span = _span(local, start.date() if start else None, days, int(time.time()))
    with store.lock(data_dir):
        own_keys = node.own_keys(settings, data_dir).meters[chosen.name]
        title = own_keys.system_title
        database = store.Store(data_dir / store.DATABASE)
        try:
            _check_untouched(database.kept(title), chosen.name, span)
            errors = Console(stderr=True)
            begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
            with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
                task = bar.add_task(f"{chosen.name}: {days} days", total=span.end_s - span.start_s)
                tally = _play(
                    chosen,
                    database,
                    own_keys,
                    span,
                    lambda at_s: bar.update(task, completed=at_s - span.start_s),
                )
            seconds = time.perf_counter() - begun_s
            cpu_seconds = time.process_time() - begun_cpu_s
        finally:
            database.close()
    document = _document(chosen, tally) | {
        "days": days,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
    }
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        _print(console(), chosen.name, document)
    if not document["ok"]:
        raise typer.Exit(1)


def _play(
    settings: config.MeterConfig,
    database: store.Store,
    own_keys: keys.MeterKeys,
    span: Span,
    told: Callable[[int], None],
) -> Tally:
    """Step the meter through the house, committing at local midnights and at the end.

    The only place here that knows meter and store.
    """
    assert isinstance(settings.source, config.SimulatedSourceConfig)
    variant = settings.variant()
    title = own_keys.system_title
    meter = settings.meter(database.kept(title), title, own_keys.vending)
    supply = meter.supply
    # The breaker follows at once: an open one cuts the house off from the next step on.
    inputs = DigitalInputs(supply.breaker.closed_wanted if supply else None)
    house = PhasorHouse(feeds.house(settings.source, variant.phases), STEP_S, inputs=inputs)
    midnights_s = [*reversed(span.midnights_s)]
    (load_profile,) = (profile for profile in meter.profiles if profile.name == LOAD_PROFILE)
    tally = Tally(span, load_profile.layout.interval_min, _first_daily_entry(meter, span))
    advance = meter.advance
    for measurement in house.measurements(span.start_s, span.end_s):
        advance(measurement, house.digital_inputs)
        if supply is not None:
            house.digital_inputs = DigitalInputs(supply.breaker.closed_wanted)
        tally.steps += 1
        while midnights_s and measurement.end_ns >= midnights_s[-1] * NANO:
            tally.take(_keep(meter, database, title))
            told(midnights_s.pop())
    tally.snapshot = meter.snapshot()
    tally.take(_keep(meter, database, title))
    return tally


def _first_daily_entry(meter: Meter, span: Span) -> int:
    """The next row's number, or the one after it where that was due before the span already."""
    midnight_s = meter.billing.state()["midnight_s"]
    is_owed = midnight_s is not None and midnight_s <= span.start_s
    return meter.billing.last_entry("daily") + 1 + is_owed


def _keep(meter: Meter, database: store.Store, title: bytes) -> Image:
    image = meter.image()
    database.commit(title, image)
    meter.is_kept(image)
    return image


def _choose(settings: config.Config, name: str | None) -> config.MeterConfig:
    meters = {meter.name: meter for meter in settings.meter}
    return meters[config.one_of(meters, name)]


def _span(local: LocalTime, first_day: date | None, days: int, now_s: int) -> Span:
    """Local days from a day on, or as many times 24 hours up to the last whole minute.

    These begin on a quarter of an hour, so that no load profile lacks its first row. Raises
    ConfigError for days that are not over yet: a meter's clock does not go back to the present.
    """
    if first_day is None:
        end_s = now_s // STEP_S * STEP_S
        start_s = (end_s - days * DAY_S) // QUARTER_HOUR_S * QUARTER_HOUR_S
    else:
        start_s = _midnight_s(local, first_day)
        end_s = _midnight_s(local, first_day + timedelta(days=days))
    if end_s > now_s:
        raise config.ConfigError(
            f"--start: {days} days from {first_day} on are not over yet; only the past is played"
        )
    return Span(start_s, end_s, tuple(_midnights_s(local, start_s, end_s)))


def _midnights_s(local: LocalTime, start_s: int, end_s: int) -> Iterator[int]:
    day = local.day(start_s)
    while True:
        day += timedelta(days=1)
        midnight_s = _midnight_s(local, day)
        if midnight_s > end_s:
            return
        yield midnight_s


def _midnight_s(local: LocalTime, day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=local.zone).timestamp())


def _check_untouched(kept: store.Kept, name: str, span: Span) -> None:
    """Raises ConfigError where the meter has metered what would be played once more."""
    if kept.time_ns > span.start_s * NANO:
        until = datetime.fromtimestamp(kept.time_ns // NANO, UTC).isoformat()
        raise config.ConfigError(
            f"--data-dir: {name} has metered until {until} already; take another data directory, "
            "or a --start after that"
        )


def _document(settings: config.MeterConfig, tally: Tally) -> dict[str, Any]:
    assert isinstance(settings.source, config.SimulatedSourceConfig)
    span, snapshot = tally.span, tally.snapshot
    where = settings.source.seed, span.start_s, span.end_s, settings.variant().phases
    dark_s = outages.dark_quarter_hours(*where)
    reason = _reason(tally, len(dark_s), outages.dark_stretches_ns(*where))
    return {
        "ok": not reason,
        **({"reason": reason} if reason else {}),
        "meter": settings.name,
        "start": _iso(span.start_s),
        "end": _iso(span.end_s),
        "steps": tally.steps,
        "daily_snapshots": tally.daily_snapshots,
        "quarter_hours": len(tally.quarter_hours),
        "dark_quarter_hours": [_iso(end_s) for end_s in dark_s],
        "load_profile_interval_min": tally.load_profile_interval_min,
        "load_profile_rows": tally.load_profile_rows,
        "import_wh": snapshot.raw("import_active_energy"),
        "export_wh": snapshot.raw("export_active_energy"),
        "tariffs_wh": {
            f"t{key.removeprefix(TARIFF_KEY)}": snapshot.raw(key)
            for key in snapshot.energies_nwh
            if key.startswith(TARIFF_KEY)
        },
        "tariffs_add_up": _tariffs_add_up(snapshot),
        "daylight_saving": [_daylight_saving(row) for row in tally.clock_changes],
    }


def _reason(tally: Tally, dark: int, stretches_ns: list[tuple[int, int]]) -> str:
    """What is missing or too much among what was metered; empty where nothing is.

    Where the span ends in the dark, what fell due in it comes when power returns, and is not
    missing: a midnight, and the row of the quarter-hour in which it became dark.
    """
    span, faults = tally.span, []
    quarters = range(span.start_s // QUARTER_HOUR_S + 1, span.end_s // QUARTER_HOUR_S + 1)
    rows, midnights = len(quarters) - dark, len(span.midnights_s)
    for start_ns, end_ns in stretches_ns:
        dark_s = round(start_ns / NANO)
        if round(end_ns / NANO) >= span.end_s and dark_s > span.start_s:
            rows -= dark_s % QUARTER_HOUR_S > 0 and dark_s // QUARTER_HOUR_S + 1 in quarters
            midnights -= sum(midnight_s > dark_s for midnight_s in span.midnights_s)
    if tally.load_profile_interval_min == QUARTER_HOUR_MIN and tally.load_profile_rows != rows:
        faults.append(
            f"{tally.load_profile_rows} rows of the load profile, not {rows}: {len(quarters)} "
            f"quarter-hours, {dark} of them dark"
        )
    if tally.daily_snapshots != midnights:
        faults.append(f"{tally.daily_snapshots} daily snapshots of {midnights} local midnights")
    if not _tariffs_add_up(tally.snapshot):
        faults.append("tariffs do not add up to their totals")
    return "; ".join(faults)


def _tariffs_add_up(snapshot: Snapshot) -> bool:
    """Whether T1 to T8 of every quantity that has them are its total, to the last nWh or nvarh."""
    energies = snapshot.energies_nwh
    return all(
        sum(energies[f"{quantity.name}_t{tariff}"] for tariff in TARIFFS) % ROLLOVER_NWH
        == energies[quantity.name]
        for quantity in QUANTITIES
        if quantity.per_tariff
    )


def _daylight_saving(row: LogRow) -> dict[str, Any]:
    """A change of local time as the meter logged it, with the offset from UTC after it."""
    local = datetime.fromtimestamp(row.time_s, timezone(timedelta(seconds=row.offset_s)))
    return {"at": _iso(row.time_s), "local": local.isoformat(), "offset_s": row.offset_s}


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def _print(out: Console, name: str, document: dict[str, Any]) -> None:
    took, dark = document["seconds"], document["dark_quarter_hours"]
    imported_kwh, exported_kwh = document["import_wh"] / 1000, document["export_wh"] / 1000
    snapshots, quarters = document["daily_snapshots"], document["quarter_hours"]
    lines = [
        f"{name}: {document['start']} to {document['end']}, {document['steps']} steps in {took} s",
        f"import {imported_kwh:.3f} kWh, export {exported_kwh:.3f} kWh",
        f"{snapshots} daily snapshots, {quarters} quarter-hours, {len(dark)} in the dark",
    ]
    if dark:
        lines.append(f"dark until {', '.join(dark)}")
    if not document["ok"]:
        lines.append(f"not complete: {document['reason']}")
    for line in lines:
        out.print(line, highlight=False, markup=False)
