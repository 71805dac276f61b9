"""meter-node utility: the other end, reading. How a meter is reached, and what it shows.

Must not know DLMS nor the node: the package `utility` talks to the meter, this reads arguments and
prints. What changes something stands beside it, and `cli_utility_acts` puts all together.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from meter_node import config, keys
from meter_node.channel import obis
from meter_node.channel.event_codes import LOGS, Log
from meter_node.cli_output import check_writable, console
from meter_node.config import ConfigError
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir
from meter_node.utility import link, opening, reading, rows
from meter_node.utility.errors import UtilityError
from meter_node.utility.keyring import ENVIRONMENT, Keyring
from meter_node.utility.opening import Connect, Manager
from meter_node.utility.session import Attribute, Link, Session, printable

WRAPPER_PORT = 4059

app = typer.Typer(
    help="The utility's end: read a meter and change what a utility may, through DLMS/COSEM.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="For example: meter-node utility read; meter-node utility --tcp 192.0.2.7:4059 "
    "--keys utility.json breaker off; meter-node utility --hdlc-tcp 192.0.2.7:4060 logs fraud. "
    "Options that say which meter stand before the command. Without keys it is the public client, "
    "which may read who the meter is.",
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document.")]


@dataclass(slots=True)
class Reach:
    """How the meter is reached, and with which keys."""

    way: link.Way
    address: link.Address
    patience_s: float
    find: Callable[[], Keyring | None]
    """Finds the keys, when they are needed: help needs none. Raises KeyFileError, OSError."""
    meter: str | None
    connect_by: Connect | None = None
    """In place of a link, for tests."""
    server: int | None = None
    """The logical device; None: the one of the meter whose keys are used."""
    places: Callable[[], Mapping[str, int]] = dict
    """The logical devices of this machine's own meters, by name."""

    @property
    def keyring(self) -> Keyring | None:
        """The keys, None where there are none. Raises KeyFileError, OSError."""
        return self.find()

    def connect(self, client_sap: int) -> Link:
        """Open a link."""
        if self.connect_by is not None:
            return self.connect_by(client_sap)
        address = link.Address(self.server_sap(), self.address.physical)
        return link.connect(self.way, address, client_sap, self.patience_s)

    def server_sap(self) -> int:
        """Return the logical device to ask: the one named, or the one of the meter."""
        if self.server is not None:
            return self.server
        keyring, name = self.keyring, self.meter
        if keyring is not None:
            entry = keyring.choose(name)
            if entry.server is not None:
                return entry.server
            name = entry.name
        return self.address.server_sap if name is None else self.places().get(name, 1)

    def session(self) -> Session:
        """Return an open session, of management where there are keys. Raises UtilityError."""
        if self.keyring is None:
            return opening.open_public(self.connect)
        return self.manager().open()[0]

    def manager(self) -> Manager:
        """Return the management client. Raises UtilityError where there are no keys."""
        keyring = self.keyring
        if keyring is None:
            raise UtilityError(
                f"this needs the utility's keys: --keys FILE, {ENVIRONMENT}, or --data-dir on the "
                "node's own machine"
            )
        numbers = keyring.numbers(datetime.now(UTC))
        return Manager(keyring, numbers, keyring.choose(self.meter), self.connect)


@app.callback()
def utility(
    context: typer.Context,
    tcp: Annotated[
        str | None, typer.Option(help=f"Host and port, with wrapper. 127.0.0.1:{WRAPPER_PORT}.")
    ] = None,
    hdlc_tcp: Annotated[str | None, typer.Option(help="Host and port, with HDLC.")] = None,
    serial: Annotated[str | None, typer.Option(help="A serial line, with HDLC.")] = None,
    baudrate: Annotated[int, typer.Option(min=300, help="Of the serial line.")] = 9600,
    server: Annotated[
        int | None,
        typer.Option(min=1, max=0x3FFF, help="The logical device (SAP); else the meter's own."),
    ] = None,
    physical: Annotated[
        int | None,
        typer.Option(min=1, max=0x3FFF, help="The meter's HDLC address on a shared line."),
    ] = None,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds that an answer may take.")
    ] = 10.0,
    key_file: Annotated[
        Path | None,
        typer.Option("--keys", help="Key file of mode 0600, as `keys export` writes it."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    meter: Annotated[str | None, typer.Option(help="Which meter, where there are many.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="As the public client (16), without keys.")
    ] = False,
) -> None:
    """Read a meter and change what a utility may, through DLMS/COSEM."""
    if isinstance(context.obj, Reach):
        return
    ways = [name for name in (tcp, hdlc_tcp, serial) if name is not None]
    if len(ways) > 1:
        raise ConfigError("--tcp, --hdlc-tcp, --serial: one of them")
    way: link.Way
    if serial is not None:
        way = link.Serial(serial, baudrate)
    elif hdlc_tcp is not None:
        way = link.HdlcTcp(*_host_port("--hdlc-tcp", hdlc_tcp))
    else:
        way = link.Tcp(*_host_port("--tcp", tcp or f"127.0.0.1:{WRAPPER_PORT}"))

    @cache
    def find() -> Keyring | None:
        return None if public else find_keys(key_file, data_dir)

    @cache
    def places() -> Mapping[str, int]:
        return {} if key_file is not None else own_places(data_dir)

    address = link.Address(physical=physical)
    context.obj = Reach(way, address, patience, find, meter, server=server, places=places)


def find_keys(key_file: Path | None, data_dir: Path) -> Keyring | None:
    """Return the keys: of the file given, of the environment, or of a node on this machine.

    Raises KeyFileError, OSError.
    """
    if key_file is not None:
        return Keyring.from_file(key_file)
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Keyring.from_environment(given, os.environ)
    own = data_dir / keys.FILE_NAME
    return Keyring.from_file(own) if own.exists() else None


def own_places(data_dir: Path) -> dict[str, int]:
    """Return the logical device of each meter of a node on this machine, none without one."""
    try:
        settings = config.load(data_dir / config.FILE_NAME)
    except (ConfigError, OSError):
        return {}
    return {one.name: place for place, one in enumerate(settings.meter, start=1)}


def _host_port(option: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
        raise ConfigError(f"{option}: {text!r} is not host:port")
    return host, int(port)


@contextmanager
def session_of(context: typer.Context) -> Iterator[Session]:
    """Open the session that the options of the group ask for. Raises UtilityError."""
    reach = context.obj
    assert isinstance(reach, Reach)
    with reach.session() as session:
        yield session


def as_document(document: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, default=_json) + "\n")


def _json(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def say(text: str) -> None:
    """Print a line for a person."""
    console().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def table_of(title: str, headers: list[str], body: list[list[str]]) -> Table:
    """Return a table of texts."""
    table = Table(title=_text(title))
    for header in headers:
        table.add_column(_text(header))
    for row in body:
        table.add_row(*map(_text, row))
    return table


def _text(text: str) -> Text:
    """Return what a meter says as it is: neither as markup nor as a terminal's commands."""
    return Text(printable(text))


def shown(value: object) -> str:
    """Return a value for a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


# --- read -----------------------------------------------------------------------------------------


@app.command()
def read(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names or OBIS codes (1.8.0, 0.0.96.1.0.255); all without."),
    ] = None,
    attribute: Annotated[
        int | None, typer.Option(min=1, max=127, help="Of the objects named: another attribute.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read registers, states and alarms; or the objects named.

    Examples: read; read import_active_energy 1.8.1; read 0.0.13.0.0.255 --attribute 9
    """
    if attribute is not None and not names:
        raise ConfigError("--attribute: of which object?")
    with session_of(context) as session:
        found = reading.listed(session)
        if names:
            _read_named(session, [reading.find(name, found) for name in names], attribute, as_json)
            return
        identity = reading.identity_of(session)
        registers = reading.registers_of(session, reading.in_order(found))
        states = reading.states_of(session, found)
    if as_json:
        document = {"identity": identity, "registers": _registers(registers), "states": states}
        as_document(document)
        return
    out = console()
    out.print(pairs_of("meter", identity))
    if registers:
        out.print(_register_table(registers))
    if states:
        out.print(pairs_of("states", states))


def _read_named(
    session: Session, chosen: list[reading.Listed], attribute: int | None, as_json: bool
) -> None:
    document: dict[str, object] = {}
    registers = [] if attribute else reading.registers_of(session, chosen)
    done = {one.logical_name for one in registers}
    for one in chosen:
        if one.logical_name not in done:
            value = session.get(Attribute(one.which, attribute or 2))
            document[one.name] = reading.plain(value)
    if as_json:
        as_document({"registers": _registers(registers), "objects": document})
        return
    out = console()
    if registers:
        out.print(_register_table(registers))
    if document:
        out.print(pairs_of("objects", document))


def _registers(found: list[reading.RegisterValue]) -> list[dict[str, object]]:
    return [
        {
            "name": one.name,
            "obis": obis.text(one.logical_name),
            "value": one.value,
            "unit": one.unit,
        }
        for one in found
    ]


def _register_table(found: list[reading.RegisterValue]) -> Table:
    table = Table(title="registers")
    table.add_column("register")
    table.add_column("OBIS")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for one in found:
        value = "-" if one.value is None else f"{one.value}"
        table.add_row(one.name, obis.text(one.logical_name), _text(value), one.unit)
    return table


def pairs_of(title: str, pairs: Mapping[str, object]) -> Table:
    """Return a table of names and values."""
    return table_of(title, ["", "value"], [[name, shown(value)] for name, value in pairs.items()])


@app.command()
def objects(context: typer.Context, as_json: AsJson = False) -> None:
    """List the objects of the association view, and what this client may do with each."""
    with session_of(context) as session:
        found = reading.listed(session)
    if as_json:
        as_document(
            [
                {
                    "class": one.class_id,
                    "version": one.version,
                    "obis": obis.text(one.logical_name),
                    "name": one.name,
                    "read": one.readable,
                    "write": one.writable,
                    "call": one.callable,
                }
                for one in found
            ]
        )
        return
    headers = ["class", "OBIS", "name", "reads", "writes", "calls"]
    body = [
        [
            str(one.class_id),
            obis.text(one.logical_name),
            one.name,
            *(" ".join(map(str, numbers)) for numbers in (one.readable, one.writable)),
            " ".join(map(str, one.callable)),
        ]
        for one in found
    ]
    console().print(table_of("objects", headers, body))


# --- logs and profiles ----------------------------------------------------------------------------


def moment(option: str, text: str | None) -> datetime | None:
    """Return a time of an option; without a zone it is the meter's local time."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option}: {text!r} is no time like 2026-06-01T12:00 or 2026-06-01T12:00+02:00"
        ) from None
    if found.year not in _YEARS:
        raise ConfigError(f"{option}: {text!r}: from {_YEARS[0]} to {_YEARS[-1]}")
    return found


_YEARS = range(2000, 2200)
"""A meter's clock has no others."""


def _range(first: int | None, last: int | None, begin: str | None, end: str | None) -> rows.Range:
    wanted = rows.Range(first, last, moment("--from", begin), moment("--to", end))
    if first is not None and last is not None and first > last:
        raise ConfigError("--from-entry is behind --to-entry")
    if wanted.begin is None or wanted.end is None:
        return wanted
    # A time with a zone and one without can only be told apart by the meter.
    alike = (wanted.begin.tzinfo is None) == (wanted.end.tzinfo is None)
    if alike and wanted.begin > wanted.end:
        raise ConfigError("--from is later than --to")
    return wanted


Begin = Annotated[str | None, typer.Option("--from", help="The first time, e.g. 2026-06-01T00:00.")]
End = Annotated[str | None, typer.Option("--to", help="The last time, inclusive.")]
First = Annotated[int | None, typer.Option("--from-entry", min=1, help="The first entry.")]
Last = Annotated[int | None, typer.Option("--to-entry", min=1, help="The last entry, inclusive.")]


@app.command()
def logs(
    context: typer.Context,
    log: Annotated[Log | None, typer.Argument(help="Which one; all without.")] = None,
    begin: Begin = None,
    end: End = None,
    first: First = None,
    last: Last = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Empty the log, once it was read and verified.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read event logs: one, or all of them by time. Their chains of hashes are verified.

    Examples: logs; logs fraud --json; logs status --from 2026-06-01; logs fraud --clear
    """
    wanted = _range(first, last, begin, end)
    is_whole = wanted == rows.EVERYTHING
    if clear and (log is None or not is_whole):
        raise ConfigError("--clear: it empties one log, which is named, and the whole of it")
    with session_of(context) as session:
        there = {one.logical_name for one in reading.listed(session)}
        if log is not None and LOGS[log].logical_name not in there:
            raise UtilityError(f"the meter shows this client no log {log}")
        if not any(one.logical_name in there for one in LOGS.values()):
            raise UtilityError("the meter shows this client no event log: this client may not")
        chosen = [one for one in Log if LOGS[one].logical_name in there and log in (None, one)]
        read_in = {one: rows.read_log(session, one, wanted) for one in chosen}
        wrong = [fault for one in read_in.values() for fault in rows.faults(one, whole=is_whole)]
        if clear and log is not None and not wrong:
            rows.clear_log(session, log)
    entries = [entry for one in read_in.values() for entry in one]
    entries.sort(key=lambda one: (one.time.timestamp(), one.log, one.number))
    if as_json:
        as_document(
            [
                {
                    "log": one.log,
                    "entry": one.number,
                    "time": one.time,
                    "code": one.code,
                    "event": one.name,
                    "detail": one.detail,
                    "chain": one.chain,
                }
                for one in entries
            ]
        )
        _say_faults(wrong)
        return
    headers = ["time", "log", "entry", "code", "event", "detail"]
    body = [
        [shown(one.time), str(one.log), str(one.number), str(one.code), one.text, one.detail]
        for one in entries
    ]
    console().print(table_of("event logs", headers, body))
    _say_faults(wrong)
    say(f"Verified: each of {len(entries)} entries follows on the one before it.")
    if clear:
        say(f"The log {log} is empty now, but for an entry that says so.")


def _say_faults(wrong: list[str]) -> None:
    if wrong:
        raise UtilityError(f"somebody has changed what the meter kept: {'; '.join(wrong)}")


@app.command()
def profile(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help=", ".join(rows.PROFILES))] = "load_profile",
    begin: Begin = None,
    end: End = None,
    first: First = None,
    last: Last = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the rows into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a profile, whole or by time or by entry number, with a progress bar where it is long.

    Examples: profile; profile billing_monthly --json;
    profile load_profile --from 2026-06-01 --to 2026-07-01 --csv june.csv
    """
    if name not in rows.PROFILES:
        raise ConfigError(f"no profile {name!r}; there are: {', '.join(rows.PROFILES)}")
    if csv_file is not None:
        check_writable("--csv", csv_file)
    wanted = _range(first, last, begin, end)
    with session_of(context) as session, _bar(name) as progress:
        columns, found = rows.read(session, rows.PROFILES[name], wanted, progress)
    if csv_file is not None:
        with csv_file.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([one.header for one in columns])
            writer.writerows([["" if cell is None else cell for cell in row] for row in found])
        if not as_json:
            say(f"{csv_file}: {len(found)} rows of {name}")
    if as_json:
        document = {
            "profile": name,
            "columns": [
                {"name": one.name, "unit": one.unit, "obis": obis.text(one.which.logical_name)}
                for one in columns
            ],
            "rows": found,
        }
        as_document(document)
    elif csv_file is None:
        body = [[shown(cell) for cell in row] for row in found]
        console().print(table_of(name, [one.header for one in columns], body))


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a long read is, to a person alone."""
    errors = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=errors, transient=True, disable=not errors.is_terminal
    ) as progress:
        task = progress.add_task(f"reading {what}", total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield tell
