"""meter-node utility: the other end, changing things: tariffs, supply, credit, clock, keys.

Must not know DLMS nor the node, as `cli_utility`, whose options say which meter is meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from meter_node.channel import presets
from meter_node.channel.activity_calendar import ActivityCalendar, CalendarError
from meter_node.channel.objects import IMAGE_TRANSFER
from meter_node.cli_output import check_writable, console
from meter_node.cli_utility import (
    AsJson,
    Reach,
    app,
    as_document,
    moment,
    say,
    session_of,
    shown,
    table_of,
)
from meter_node.config import ConfigError
from meter_node.meter import token
from meter_node.utility import keyring, reading, supply, tariff, upkeep
from meter_node.utility.errors import UtilityError
from meter_node.utility.opening import Manager
from meter_node.utility.reading import COMMANDS, THRESHOLDS
from meter_node.utility.rows import PROFILES
from meter_node.utility.session import Attribute, Session

__all__ = ["app"]

_MOST_S = 0xFFFF_FFFF
_MOST_MIN = _MOST_S // 60
"""What travels as seconds; a meter takes less of most."""


def _group(name: str, told: str, epilog: str) -> typer.Typer:
    group = typer.Typer(help=told, no_args_is_help=True, rich_markup_mode=None, epilog=epilog)
    app.add_typer(group, name=name)
    return group


def _reach(context: typer.Context) -> Reach:
    reach = context.obj
    assert isinstance(reach, Reach)
    return reach


@contextmanager
def _acting(context: typer.Context) -> Iterator[Session]:
    """As `session_of`, for what only management may."""
    with _reach(context).manager().open()[0] as session:
        yield session


def _show(title: str, found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        as_document(found)
        return
    body = [[name, shown(value)] for name, value in found.items()]
    console().print(table_of(title, ["", "value"], body))


def _done(as_json: bool, sentence: str, **did: Any) -> None:
    """Say what was done, to a person or as one document."""
    if as_json:
        as_document({**did, "result": "done"})
    else:
        say(sentence)


def _states(context: typer.Context, prefix: str, title: str, as_json: bool) -> None:
    with session_of(context) as session:
        names = [one.name for one in reading.STATES if one.name.startswith(prefix)]
        found = reading.states_of(session, reading.listed(session), names)
    if not found:
        raise UtilityError(f"the meter shows this client no {title}")
    _show(title, found, as_json)


# --- tariff ---------------------------------------------------------------------------------------

_tariff = _group(
    "tariff",
    "Tariffs: the calendar in force and the one that waits.",
    "For example: tariff show; tariff upload denmark_n1 --activate-at 2026-10-01T00:00; "
    "tariff upload mine.json --now; tariff override 2 --minutes 60",
)


@_tariff.command("show")
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


@_tariff.command("upload")
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
    with _acting(context) as session:
        tariff.upload(session, calendar, activate_at=at, now=now)
    when = "waits for tariff activate" if at is None else f"comes into force {shown(at)}"
    when = "in force" if now else when
    _done(as_json, f"{calendar.name}: {when}", calendar=calendar.name, in_force=now, activate_at=at)


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


@_tariff.command("activate")
def activate_tariff(context: typer.Context, as_json: AsJson = False) -> None:
    """Put the calendar that waits in force at once."""
    with _acting(context) as session:
        tariff.activate(session)
    _done(as_json, "The calendar that waited is in force", in_force=True)


@_tariff.command("override")
def override_tariff(
    context: typer.Context,
    number: Annotated[int | None, typer.Argument(min=1, max=8, help="Which tariff.")] = None,
    minutes: Annotated[int, typer.Option(min=1, max=_MOST_MIN, help="For how long.")] = 60,
    end: Annotated[bool, typer.Option("--end", help="Back to the calendar at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Force a tariff for a while, whatever the calendar says; or end that."""
    if end == (number is not None):
        raise ConfigError("tariff override: a tariff, or --end")
    with _acting(context) as session:
        tariff.override(session, number or 1, 0 if end else minutes * 60)
    sentence = "The calendar decides again" if end else f"Tariff {number} for {minutes} min"
    _done(as_json, sentence, tariff=number, minutes=0 if end else minutes)


# --- breaker and relays ---------------------------------------------------------------------------

_breaker = _group(
    "breaker",
    "The breaker: supply on and off.",
    "For example: breaker show; breaker off; breaker mode 4",
)


@_breaker.command("show")
def show_breaker(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whether it is closed, and why not."""
    with session_of(context) as session:
        found = reading.states_of(
            session,
            reading.listed(session),
            [
                "breaker",
                "breaker_control_state",
                "breaker_control_mode",
                "breaker_open_because",
                "reconnection_by",
            ],
        )
    if not found:
        raise UtilityError("the meter shows this client no breaker")
    _show("breaker", found, as_json)


@_breaker.command("off")
def breaker_off(context: typer.Context, as_json: AsJson = False) -> None:
    """Disconnect the supply."""
    with _acting(context) as session:
        supply.switch_breaker(session, close=False)
        _say_breaker(session, "off", as_json)


@_breaker.command("on")
def breaker_on(context: typer.Context, as_json: AsJson = False) -> None:
    """Connect the supply, or let the button do so, as the control mode says."""
    with _acting(context) as session:
        supply.switch_breaker(session, close=True)
        _say_breaker(session, "on", as_json)


def _say_breaker(session: Session, told: str, as_json: bool) -> None:
    names = ["breaker_control_state", "breaker_open_because"]
    found = reading.states_of(session, reading.listed(session), names)
    why = found.get("breaker_open_because")
    text = f"The meter says: {found.get('breaker_control_state')}"
    _done(as_json, text + (f" ({why})" if why else ""), breaker=told, **found)


@_breaker.command("mode")
def breaker_mode(
    context: typer.Context,
    mode: Annotated[int, typer.Argument(min=0, max=6, help="control_mode of class 70.")],
    as_json: AsJson = False,
) -> None:
    """Set who may disconnect and reconnect."""
    with _acting(context) as session:
        supply.set_breaker_mode(session, mode)
    _done(as_json, f"Control mode {mode}", control_mode=mode)


class RelayCommand(StrEnum):
    """What a load relay can be told."""

    SHOW = "show"
    AUTOMATIC = COMMANDS[0]
    ON = COMMANDS[1]
    OFF = COMMANDS[2]


@app.command()
def relay(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=1, max=2, help="Which relay.")],
    command: Annotated[RelayCommand, typer.Argument(help="What it is told.")] = RelayCommand.SHOW,
    as_json: AsJson = False,
) -> None:
    """Show a load relay, or tell it on, off or automatic.

    Examples: relay 1; relay 1 off; relay 2 automatic
    """
    if command is not RelayCommand.SHOW:
        with _acting(context) as session:
            supply.command_relay(session, number, command.value)
        _done(as_json, f"Relay {number}: {command.value}", relay=number, command=command.value)
        return
    _states(context, f"relay_{number}", f"relay {number}", as_json)


# --- limiter and neutral --------------------------------------------------------------------------

_limiter = _group(
    "limiter",
    "The limiter: how much power may be drawn.",
    "For example: limiter show; limiter set --normal 4000 --over 60; limiter set --normal none; "
    "limiter emergency 7 --minutes 120; limiter forgive",
)


@_limiter.command("show")
def show_limiter(context: typer.Context, as_json: AsJson = False) -> None:
    """Show thresholds (W or A, as it monitors), times and whether it has tripped."""
    with session_of(context) as session:
        found = supply.limiter(session)
    _show("limiter", found, as_json)


@_limiter.command("set")
def set_limiter(
    context: typer.Context,
    normal: Annotated[
        str | None, typer.Option(help="Threshold in W or A (4000, 4kW, 16A), or none.")
    ] = None,
    emergency: Annotated[str | None, typer.Option(help="In an emergency, or none.")] = None,
    over: Annotated[
        int | None, typer.Option(min=0, max=_MOST_S, help="Seconds over it until it acts.")
    ] = None,
    under: Annotated[
        int | None, typer.Option(min=0, max=_MOST_S, help="Seconds under it to be over.")
    ] = None,
    group: Annotated[
        list[int] | None,
        typer.Option(min=0, max=0xFFFF, help="Emergency profiles that the meter belongs to."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set thresholds and times."""
    given = {
        which: _amount(f"--{which}", text)
        for which, text in (("normal", normal), ("emergency", emergency))
        if text is not None
    }
    if not given and over is None and under is None and not group:
        raise ConfigError("limiter set: what? --normal, --emergency, --over, --under, --group")
    with _acting(context) as session:
        unit = supply.limited_unit(session)
        # All of them are looked at before the first is set.
        raw = {which: supply.raw_threshold(which, one, unit) for which, one in given.items()}
        for which, threshold in raw.items():
            supply.set_threshold(session, which, threshold)
        for which, seconds in (("over", over), ("under", under)):
            if seconds is not None:
                supply.set_duration(session, which, seconds)
        if group:
            supply.set_groups(session, group)
        found = supply.limiter(session)
    _show("limiter", {**found, "result": "done"} if as_json else found, as_json)


_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(W|kW|A)?")


def _amount(option: str, text: str) -> supply.Amount | None:
    if text == "none":
        return None
    found = _AMOUNT.fullmatch(text)
    amount = None if found is None else supply.Amount(Decimal(found[1]), found[2])
    if amount is None or not amount.value:
        raise ConfigError(
            f"{option}: {text!r} is neither none nor a number above 0, as 4000 or 4kW"
        )
    return amount


@_limiter.command("emergency")
def emergency(
    context: typer.Context,
    group: Annotated[int, typer.Argument(min=0, max=0xFFFF, help="Of which profile.")],
    minutes: Annotated[
        int, typer.Option(min=0, max=_MOST_MIN, help="For how long; 0 ends it.")
    ] = 60,
    at: Annotated[str | None, typer.Option(help="From when; now without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let the emergency threshold hold for a while."""
    begin = moment("--at", at)
    with _acting(context) as session:
        supply.begin_emergency(session, group, begin, minutes * 60)
    sentence = (
        f"Emergency profile {group} for {minutes} min" if minutes else "The emergency is over"
    )
    _done(as_json, sentence, group=group, minutes=minutes, at=begin)


@_limiter.command("forgive")
def forgive(context: typer.Context, as_json: AsJson = False) -> None:
    """Forget that the limiter has opened the breaker."""
    with _acting(context) as session:
        supply.forgive_trips(session)
    _done(as_json, "The limiter's trips are forgiven", tripped=False)


_neutral = _group("neutral", "The neutral guard.", "For example: neutral show; neutral clear")


@_neutral.command("show")
def show_neutral(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whether the neutral is faulty."""
    _states(context, "neutral_fault", "neutral guard", as_json)


@_neutral.command("clear")
def clear_neutral(context: typer.Context, as_json: AsJson = False) -> None:
    """Say that the neutral is mended: the breaker may close again."""
    with _acting(context) as session:
        supply.clear_neutral(session)
    _done(as_json, "The neutral fault is cleared", neutral_fault=False)


# --- credit ---------------------------------------------------------------------------------------

_credit = _group(
    "credit",
    "Prepayment: credit and tokens.",
    "For example: credit show; credit vend 50000; credit vend 50000 --enter; "
    "credit top-up TOKEN; credit allow",
)


@_credit.command("show")
def show_credit(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is left and owed, in Wh."""
    with session_of(context) as session:
        found = supply.credit(session)
    _show("credit", found, as_json)


@_credit.command("vend")
def vend(
    context: typer.Context,
    credit_wh: Annotated[int, typer.Argument(min=1, max=token.HIGHEST, help="Wh of credit.")],
    enter: Annotated[bool, typer.Option("--enter", help="Enter it at the meter as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token of so many Wh, for this meter and once. No meter is asked without --enter.

    Tokens are to be entered in the order in which they were made.
    """
    reach = _reach(context)
    ring = reach.keyring
    if ring is None:
        raise UtilityError("vending needs a key file with the meter's vending key: --keys")
    meter = ring.choose(reach.meter)
    if meter.vending is None:
        raise UtilityError(f"the keys of {meter.name} have no vending key")
    sequence = ring.next_sequence(meter, datetime.now(UTC))
    text = token.make(meter.vending, meter.system_title, sequence, credit_wh)
    if enter:
        with _acting(context) as session:
            supply.enter_token(session, text)
    if as_json:
        as_document({"meter": meter.name, "token": text, "sequence": sequence, "entered": enter})
    else:
        say(text + ("  (entered)" if enter else ""))


@_credit.command("top-up")
def top_up(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TOKEN")],
    as_json: AsJson = False,
) -> None:
    """Enter a token at the meter."""
    with _acting(context) as session:
        supply.enter_token(session, text)
        found = supply.credit(session)
    sentence = f"The token is accepted: {shown(found['credit_wh'])} Wh"
    _done(as_json, sentence, entered=True, **found)


@_credit.command("allow")
def allow(
    context: typer.Context,
    sequence: Annotated[
        int | None,
        typer.Argument(min=0, max=token.HIGHEST, help="The last token that is spent."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which tokens are spent, so that a meter restored from a back-up takes later ones.

    Without a sequence it is the last that was made with these keys.
    """
    reach = _reach(context)
    ring = reach.keyring
    if sequence is None and ring is not None:
        sequence = ring.last_sequence(ring.choose(reach.meter))
    if sequence is None:
        raise UtilityError("no token was made with these keys: say which is the last one spent")
    with _acting(context) as session:
        supply.allow_tokens(session, sequence)
    _done(as_json, f"Tokens above {sequence} are taken", spent_up_to=sequence)


# --- clock ----------------------------------------------------------------------------------------

_clock = _group(
    "clock",
    "The meter's clock.",
    "For example: clock show; clock sync; clock set 2026-06-01T12:00",
)


@_clock.command("show")
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
    _show("clock", document, as_json)


@_clock.command("set")
def set_clock(
    context: typer.Context,
    to: Annotated[str, typer.Argument(help="2026-06-01T12:00, with +02:00 or the meter's own.")],
    as_json: AsJson = False,
) -> None:
    """Set the clock to a time."""
    wanted = moment("clock set", to)
    assert wanted is not None
    with _acting(context) as session:
        upkeep.set_clock(session, wanted)
        now = reading.time_text(upkeep.read_clock(session).time.to_bytes())
    _done(as_json, f"The meter's time: {now}", time=now)


@_clock.command("sync")
def sync_clock(context: typer.Context, as_json: AsJson = False) -> None:
    """Set the clock to this machine's."""
    with _acting(context) as session:
        upkeep.synchronise(session)
        now = reading.time_text(upkeep.read_clock(session).time.to_bytes())
    _done(as_json, f"The meter's time: {now}", time=now)


# --- parameters -----------------------------------------------------------------------------------

_parameters = _group(
    "parameters",
    "What else a utility sets: intervals, captures, thresholds, and all parameters by name.",
    "For example: parameters show demand; parameters set demand.interval_min=30; "
    "parameters profile load_profile --interval 15; parameters threshold under_voltage 200",
)


@_parameters.command("show")
def show_parameters(
    context: typer.Context,
    section: Annotated[str | None, typer.Argument(help="Only this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all parameters, or one section."""
    with _acting(context) as session:
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


@_parameters.command("set")
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
    with _acting(context) as session:
        upkeep.change_parameters(session, wanted)
    _done(as_json, "The meter has taken: " + ", ".join(changes), changed=wanted)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@_parameters.command("profile")
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
    with _acting(context) as session:
        upkeep.set_profile(session, name, interval, capture or [])
    _done(as_json, f"{name} is set", profile=name, interval_min=interval, captures=capture)


@_parameters.command("threshold")
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
        with _acting(context) as session:
            upkeep.set_threshold(session, name, raw)
        _done(as_json, f"{name}: {value}", threshold=name, value=Decimal(value))
        return
    with session_of(context) as session:
        there = upkeep.thresholds(reading.listed(session))
        values = reading.registers_of(session, there.values())
    found = {name: f"{one.value} {one.unit}" for name, one in zip(there, values, strict=True)}
    _show("thresholds", found, as_json)


# --- pushes ---------------------------------------------------------------------------------------

_push = _group(
    "push",
    "What the meter sends by itself: where to, and how often.",
    "For example: push show; push interval 60",
)


@_push.command("show")
def show_push(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where the meter pushes to, how often, and which objects."""
    with session_of(context) as session:
        found = upkeep.push(session)
    _show("push", found, as_json)


@_push.command("interval")
def set_push_interval(
    context: typer.Context,
    seconds: Annotated[int, typer.Argument(min=1, max=3600, help="They must divide a day.")],
    as_json: AsJson = False,
) -> None:
    """Set how often the meter pushes. Events are pushed at once besides."""
    with _acting(context) as session:
        upkeep.set_push_interval(session, seconds)
    _done(as_json, f"The meter pushes every {seconds} s", interval_s=seconds)


# --- keys and firmware ----------------------------------------------------------------------------

_keys = _group(
    "keys",
    "The management keys of a meter. They are never given or shown on a command line.",
    "For example: meter-node utility --data-dir data keys export utility.json; keys rotate; "
    "keys status",
)


def _manager(context: typer.Context) -> Manager:
    return _reach(context).manager()


@_keys.command("rotate")
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
    _done(as_json, f"{name}: the meter has new keys, and has proved it", meter=name, master=master)


@_keys.command("status")
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
    _show("keys", found, as_json)


@_keys.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Written with mode 0600.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also into a file that holds keys of other meters.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a meter's management and vending keys into a key file for the utility's machine."""
    reach = _reach(context)
    ring = reach.keyring
    if ring is None:
        raise UtilityError("there are no keys to export: --data-dir on the node's machine")
    check_writable("keys export", file)
    name = ring.choose(reach.meter).name
    keyring.export(ring, name, file, reach.server_sap(), force=force)
    _done(as_json, f"{file}: the keys of {name} (mode 0600)", meter=name, file=str(file))


@app.command()
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
    _show("firmware", document, as_json)
