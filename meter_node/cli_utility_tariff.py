"""meter-node utility tariff: the calendar in force, the one that waits, and a tariff for a while.

Must not know DLMS nor the node, as `cli_utility`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_node.channel import presets
from meter_node.channel.activity_calendar import ActivityCalendar, CalendarError
from meter_node.cli_output import console
from meter_node.cli_utility import AsJson, as_document, moment, say, session_of, shown, table_of
from meter_node.cli_utility_acting import MOST_MIN, acting, command_group, done
from meter_node.config import ConfigError
from meter_node.utility import tariff

# --- tariff ---------------------------------------------------------------------------------------

tariff_commands = command_group(
    "Tariffs: the calendar in force and the one that waits.",
    "For example: tariff show; tariff upload denmark_n1 --activate-at 2026-10-01T00:00; "
    "tariff upload mine.json --now; tariff override 2 --minutes 60",
)


@tariff_commands.command("show")
def show_tariff(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the tariff in force, the calendar in force and the one that waits."""
    with session_of(context) as session:
        found = tariff.read(session)
    if as_json:
        as_document(
            {
                "in_force": found.in_force,
                "active": found.active,
                "passive": found.passive,
                "activate_at": found.activate_at,
            }
        )
        return
    say(f"In force: tariff {found.in_force} of {found.active['name']!r}")
    _print_calendar("active calendar", found.active)
    if found.passive is None:
        say("No calendar waits.")
        return
    when = found.activate_at or "when it is told: meter-node utility tariff activate"
    say(f"Waits: {found.passive['name']!r}, in force {when}")
    _print_calendar("passive calendar", found.passive)


def _print_calendar(title: str, calendar: dict[str, Any]) -> None:
    body = [
        ["season", one["name"], f"from {one['start']}: {one['week']}"]
        for one in calendar["seasons"]
    ]
    body += [
        ["week", one["name"], "days " + " ".join(map(str, one["days"]))]
        for one in calendar["weeks"]
    ]
    body += [
        ["day", str(one["id"]), ", ".join(f"{it['at']} T{it['tariff']}" for it in one["switches"])]
        for one in calendar["days"]
    ]
    body += [["special day", one["date"], f"day {one['day']}"] for one in calendar["special_days"]]
    console().print(table_of(f"{title} {calendar['name']}", ["", "name", ""], body))


@tariff_commands.command("upload")
def upload_tariff(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A preset's name, or a JSON file with a calendar.")],
    activate_at: Annotated[
        str | None, typer.Option(help="When it comes into force, e.g. 2026-10-01T00:00.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="It comes into force at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a calendar. Without --now or --activate-at it waits for `tariff activate`."""
    if now and activate_at is not None:
        raise ConfigError("--now, --activate-at: one of them")
    at = moment("--activate-at", activate_at)
    calendar = _calendar(source)
    with acting(context) as session:
        tariff.upload(session, calendar, activate_at=at, now=now)
    when = "waits for tariff activate" if at is None else f"comes into force {shown(at)}"
    when = "in force" if now else when
    done(as_json, f"{calendar.name}: {when}", calendar=calendar.name, in_force=now, activate_at=at)


def _calendar(source: str) -> ActivityCalendar:
    path = Path(source)
    if source in presets.names():
        return presets.load(source).calendar
    if not path.is_file():
        raise ConfigError(
            f"{source!r} is neither a file nor one of the presets: {', '.join(presets.names())}"
        )
    try:
        document = json.loads(path.read_text("utf-8"))
        if isinstance(document, dict) and "calendar" in document:  # a preset's file
            document = document["calendar"]
        return ActivityCalendar.from_json(document)
    except (CalendarError, ValueError) as error:
        raise ConfigError(f"{path}: no calendar: {error}") from None


@tariff_commands.command("activate")
def activate_tariff(context: typer.Context, as_json: AsJson = False) -> None:
    """Put the calendar that waits in force at once."""
    with acting(context) as session:
        tariff.activate(session)
    done(as_json, "The calendar that waited is in force", in_force=True)


@tariff_commands.command("override")
def override_tariff(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(min=1, max=8, help="Which tariff.")] = None,
    minutes: Annotated[int, typer.Option(min=1, max=MOST_MIN, help="For how long.")] = 60,
    end: Annotated[bool, typer.Option("--end", help="Back to the calendar at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Force a tariff for a while, whatever the calendar says; or end that."""
    if end == (number is not None):
        raise ConfigError("tariff override: a tariff, or --end")
    with acting(context) as session:
        tariff.override(session, number or 1, 0 if end else minutes * 60)
    sentence = "The calendar decides again" if end else f"Tariff {number} for {minutes} min"
    done(as_json, sentence, tariff=number, minutes=0 if end else minutes)
