"""meter-node utility: a meter's upkeep: clock, parameters, pushes, keys and firmware.

Must not know DLMS nor the node, as `cli_utility`.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_node.channel.objects import IMAGE_TRANSFER
from meter_node.cli_output import check_writable, console
from meter_node.cli_utility import AsJson, as_document, moment, session_of, table_of
from meter_node.cli_utility_acting import acting, command_group, done, reach_of, show, shows
from meter_node.config import ConfigError
from meter_node.utility import keyring, reading, upkeep
from meter_node.utility.errors import UtilityError
from meter_node.utility.opening import Manager
from meter_node.utility.reading import THRESHOLDS
from meter_node.utility.rows import PROFILES
from meter_node.utility.session import Attribute

# --- clock ----------------------------------------------------------------------------------------

clock_commands = command_group(
    "The meter's clock.",
    "For example: clock show; clock sync; clock set 2026-06-01T12:00",
)


@clock_commands.command("show")
def show_clock(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the time, and how far it is from this machine's."""
    with session_of(context) as session:
        found = upkeep.read_clock(session)
    ahead_s = None if found.ahead_s is None else round(found.ahead_s, 1)
    document = {
        "time": reading.time_text(found.time.to_bytes()),
        "valid": found.is_valid,
        "ahead_s": ahead_s,
    }
    show("clock", document, as_json)


@clock_commands.command("set")
def set_clock(
    context: typer.Context,
    to: Annotated[str, typer.Argument(help="2026-06-01T12:00, with +02:00 or the meter's own.")],
    as_json: AsJson = False,
) -> None:
    """Set the clock to a time."""
    wanted = moment("clock set", to)
    assert wanted is not None
    with acting(context) as session:
        upkeep.set_clock(session, wanted)
        now = reading.time_text(upkeep.read_clock(session).time.to_bytes())
    done(as_json, f"The meter's time: {now}", time=now)


@clock_commands.command("sync")
def sync_clock(context: typer.Context, as_json: AsJson = False) -> None:
    """Set the clock to this machine's."""
    with acting(context) as session:
        upkeep.synchronise(session)
        now = reading.time_text(upkeep.read_clock(session).time.to_bytes())
    done(as_json, f"The meter's time: {now}", time=now)


# --- parameters -----------------------------------------------------------------------------------

parameters_commands = command_group(
    "What else a utility sets: intervals, captures, thresholds, and all parameters by name.",
    "For example: parameters show demand; parameters set demand.interval_min=30; "
    "parameters profile load_profile --interval 15; parameters threshold under_voltage 200",
)


@parameters_commands.command("show")
def show_parameters(
    context: typer.Context,
    section: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all parameters, or one section."""
    with acting(context) as session:
        found = upkeep.parameters(session)
    if section is not None:
        if section not in found:
            raise ConfigError(f"no section {section!r}; there are: {', '.join(found)}")
        found = {section: found[section]}
    if as_json:
        as_document(found)
        return
    body = [
        [f"{name}.{key}", json.dumps(value)]
        for name, fields in found.items()
        for key, value in (fields.items() if isinstance(fields, dict) else [("", fields)])
    ]
    console().print(table_of("parameters", ["parameter", "value"], body))


@parameters_commands.command("set")
def set_parameters(
    context: typer.Context,
    changes: Annotated[list[str], typer.Argument(help="section.field=value, all or none.")],
    as_json: AsJson = False,
) -> None:
    """Change parameters: values as in JSON, other words as text."""
    wanted: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        section, dot, field = path.partition(".")
        if not equals or not dot or not section or not field:
            raise ConfigError(f"{change!r} is not section.field=value")
        wanted.setdefault(section, {})[field] = _json(text)
    with acting(context) as session:
        upkeep.change_parameters(session, wanted)
    done(as_json, "The meter has taken: " + ", ".join(changes), changed=wanted)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@parameters_commands.command("profile")
def set_profile(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="load_profile or analysis_log.")],
    interval: Annotated[
        int | None, typer.Option(min=1, max=1440, help="Minutes of an interval.")
    ] = None,
    capture: Annotated[
        list[str] | None, typer.Option(help="A register to capture; again for each.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a profile's interval or registers. Its rows are deleted then: read them first."""
    if name not in PROFILES:
        raise ConfigError(f"no profile {name!r}; there are: {', '.join(PROFILES)}")
    if interval is None and not capture:
        raise ConfigError("parameters profile: --interval or --capture")
    with acting(context) as session:
        upkeep.set_profile(session, name, interval, capture or [])
    done(as_json, f"{name} is set", profile=name, interval_min=interval, captures=capture)


@parameters_commands.command("threshold")
def set_threshold(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help=", ".join(THRESHOLDS))] = None,
    value: Annotated[
        str | None, typer.Argument(help="V to a hundredth, or whole s of a time.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the thresholds of the supply's quality, or set one."""
    if name is not None and name not in THRESHOLDS:
        raise ConfigError(f"no threshold {name!r}; there are: {', '.join(THRESHOLDS)}")
    if (name is None) != (value is None):
        raise ConfigError("parameters threshold: a name and a value, or neither")
    if name is not None and value is not None:
        try:
            raw = upkeep.raw_threshold(name, value)
        except ValueError as error:
            raise ConfigError(f"parameters threshold: {error}") from None
        with acting(context) as session:
            upkeep.set_threshold(session, name, raw)
        done(as_json, f"{name}: {value}", threshold=name, value=Decimal(value))
        return
    with session_of(context) as session:
        there = upkeep.thresholds(reading.listed(session))
        values = reading.registers_of(session, there.values())
    found = {name: f"{one.value} {one.unit}" for name, one in zip(there, values, strict=True)}
    show("thresholds", found, as_json)


# --- pushes ---------------------------------------------------------------------------------------

push_commands = command_group(
    "What the meter sends by itself: where to, and how often.",
    "For example: push show; push interval 60",
)


shows(
    push_commands,
    "push",
    upkeep.push,
    "Show where the meter pushes to, how often, and which objects.",
)


@push_commands.command("interval")
def set_push_interval(
    context: typer.Context,
    seconds: Annotated[int, typer.Argument(min=1, max=3600, help="They must divide a day.")],
    as_json: AsJson = False,
) -> None:
    """Set how often the meter pushes. Events are pushed at once besides."""
    with acting(context) as session:
        upkeep.set_push_interval(session, seconds)
    done(as_json, f"The meter pushes every {seconds} s", interval_s=seconds)


# --- keys and firmware ----------------------------------------------------------------------------

keys_commands = command_group(
    "The management keys of a meter. They are never given or shown on a command line.",
    "For example: meter-node utility --data-dir data keys export utility.json; keys rotate; "
    "keys status",
)


def _manager(context: typer.Context) -> Manager:
    return reach_of(context).manager()


@keys_commands.command("rotate")
def rotate(
    context: typer.Context,
    master: Annotated[bool, typer.Option("--master", help="A new master key as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give the meter fresh keys, and keep them in the key file.

    They are kept before they are sent; where this is cut short the next command finds out which
    the meter has.
    """
    manager = _manager(context)
    upkeep.rotate(manager, master=master)
    name = manager.meter.name
    done(as_json, f"{name}: the meter has new keys, and has proved it", meter=name, master=master)


@keys_commands.command("status")
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Say whether the meter takes these keys, and whether a change of them was cut short."""
    manager = _manager(context)
    before = manager.meter
    session, _ = manager.open()
    session.close()
    after = manager.keyring.choose(before.name)
    found = {
        "meter": before.name,
        "system_title": before.system_title.hex(),
        "keys": "the meter takes them",
        "change_cut_short": len(before.candidates) > 1,
        "pending": len(after.candidates) > 1,
    }
    show("keys", found, as_json)


@keys_commands.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Written with mode 0600.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also into a file that holds keys of other meters.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a meter's management and vending keys into a key file for the utility's machine."""
    reach = reach_of(context)
    ring = reach.keyring
    if ring is None:
        raise UtilityError("there are no keys to export: --data-dir on the node's machine")
    check_writable("keys export", file)
    name = ring.choose(reach.meter).name
    keyring.export(ring, name, file, reach.server_sap(), force=force)
    done(as_json, f"{file}: the keys of {name} (mode 0600)", meter=name, file=str(file))


def firmware(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the version of the meter's software, and whether it takes another this way."""
    with session_of(context) as session:
        found = reading.identity_of(session)
        listed = {one.logical_name for one in reading.listed(session)}
        takes = None
        if IMAGE_TRANSFER.logical_name in listed:
            takes = session.get(Attribute(IMAGE_TRANSFER, 5))
    document = {
        "model": found.get("model"),
        "software": found.get("software"),
        "image_transfer": takes,
    }
    show("firmware", document, as_json)
