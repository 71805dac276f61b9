"""meter-node utility: supply and credit: breaker, relays, limiter, neutral guard, prepayment.

Must not know DLMS nor the node, as `cli_utility`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import typer

from meter_node.cli_utility import AsJson, as_document, moment, say, session_of, shown
from meter_node.cli_utility_acting import (
    MOST_MIN,
    MOST_S,
    acting,
    command_group,
    done,
    reach_of,
    show,
    show_states,
    shows,
)
from meter_node.config import ConfigError
from meter_node.meter import token
from meter_node.utility import reading, supply
from meter_node.utility.errors import UtilityError
from meter_node.utility.reading import COMMANDS
from meter_node.utility.session import Session

# --- breaker and relays ---------------------------------------------------------------------------

breaker_commands = command_group(
    "The breaker: supply on and off.",
    "For example: breaker show; breaker off; breaker mode 4",
)


@breaker_commands.command("show")
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
    show("breaker", found, as_json)


@breaker_commands.command("off")
def breaker_off(context: typer.Context, as_json: AsJson = False) -> None:
    """Disconnect the supply."""
    with acting(context) as session:
        supply.switch_breaker(session, close=False)
        _say_breaker(session, "off", as_json)


@breaker_commands.command("on")
def breaker_on(context: typer.Context, as_json: AsJson = False) -> None:
    """Connect the supply, or let the button do so, as the control mode says."""
    with acting(context) as session:
        supply.switch_breaker(session, close=True)
        _say_breaker(session, "on", as_json)


def _say_breaker(session: Session, told: str, as_json: bool) -> None:
    names = ["breaker_control_state", "breaker_open_because"]
    found = reading.states_of(session, reading.listed(session), names)
    why = found.get("breaker_open_because")
    text = f"The meter says: {found.get('breaker_control_state')}"
    done(as_json, text + (f" ({why})" if why else ""), breaker=told, **found)


@breaker_commands.command("mode")
def breaker_mode(
    context: typer.Context,
    mode: Annotated[int, typer.Argument(min=0, max=6, help="control_mode of class 70.")],
    as_json: AsJson = False,
) -> None:
    """Set who may disconnect and reconnect."""
    with acting(context) as session:
        supply.set_breaker_mode(session, mode)
    done(as_json, f"Control mode {mode}", control_mode=mode)


class RelayCommand(StrEnum):
    """What a load relay can be told."""

    SHOW = "show"
    AUTOMATIC = COMMANDS[0]
    ON = COMMANDS[1]
    OFF = COMMANDS[2]


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
        with acting(context) as session:
            supply.command_relay(session, number, command.value)
        done(as_json, f"Relay {number}: {command.value}", relay=number, command=command.value)
        return
    show_states(context, f"relay_{number}", f"relay {number}", as_json)


# --- limiter and neutral --------------------------------------------------------------------------

limiter_commands = command_group(
    "The limiter: how much power may be drawn.",
    "For example: limiter show; limiter set --normal 4000 --over 60; limiter set --normal none; "
    "limiter emergency 7 --minutes 120; limiter forgive",
)


shows(
    limiter_commands,
    "limiter",
    supply.limiter,
    "Show thresholds (W or A, as it monitors), times and whether it has tripped.",
)


@limiter_commands.command("set")
def set_limiter(
    context: typer.Context,
    normal: Annotated[
        str | None, typer.Option(help="Threshold in W or A (4000, 4kW, 16A), or none.")
    ] = None,
    emergency: Annotated[str | None, typer.Option(help="In an emergency, or none.")] = None,
    over: Annotated[
        int | None, typer.Option(min=0, max=MOST_S, help="Seconds over it until it acts.")
    ] = None,
    under: Annotated[
        int | None, typer.Option(min=0, max=MOST_S, help="Seconds under it to be over.")
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
    with acting(context) as session:
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
    show("limiter", {**found, "result": "done"} if as_json else found, as_json)


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


@limiter_commands.command("emergency")
def emergency(
    context: typer.Context,
    group: Annotated[int, typer.Argument(min=0, max=0xFFFF, help="Of which profile.")],
    minutes: Annotated[
        int, typer.Option(min=0, max=MOST_MIN, help="For how long; 0 ends it.")
    ] = 60,
    at: Annotated[str | None, typer.Option(help="From when; now without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let the emergency threshold hold for a while."""
    begin = moment("--at", at)
    with acting(context) as session:
        supply.begin_emergency(session, group, begin, minutes * 60)
    sentence = (
        f"Emergency profile {group} for {minutes} min" if minutes else "The emergency is over"
    )
    done(as_json, sentence, group=group, minutes=minutes, at=begin)


@limiter_commands.command("forgive")
def forgive(context: typer.Context, as_json: AsJson = False) -> None:
    """Forget that the limiter has opened the breaker."""
    with acting(context) as session:
        supply.forgive_trips(session)
    done(as_json, "The limiter's trips are forgiven", tripped=False)


neutral_commands = command_group("The neutral guard.", "For example: neutral show; neutral clear")


@neutral_commands.command("show")
def show_neutral(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whether the neutral is faulty."""
    show_states(context, "neutral_fault", "neutral guard", as_json)


@neutral_commands.command("clear")
def clear_neutral(context: typer.Context, as_json: AsJson = False) -> None:
    """Say that the neutral is mended: the breaker may close again."""
    with acting(context) as session:
        supply.clear_neutral(session)
    done(as_json, "The neutral fault is cleared", neutral_fault=False)


# --- credit ---------------------------------------------------------------------------------------

credit_commands = command_group(
    "Prepayment: credit and tokens.",
    "For example: credit show; credit vend 50000; credit vend 50000 --enter; "
    "credit top-up TOKEN; credit allow",
)


shows(credit_commands, "credit", supply.credit, "Show what is left and owed, in Wh.")


@credit_commands.command("vend")
def vend(
    context: typer.Context,
    credit_wh: Annotated[int, typer.Argument(min=1, max=token.HIGHEST, help="Wh of credit.")],
    enter: Annotated[bool, typer.Option("--enter", help="Enter it at the meter as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token of so many Wh, for this meter and once. No meter is asked without --enter.

    Tokens are to be entered in the order in which they were made.
    """
    reach = reach_of(context)
    ring = reach.keyring
    if ring is None:
        raise UtilityError("vending needs a key file with the meter's vending key: --keys")
    meter = ring.choose(reach.meter)
    if meter.vending is None:
        raise UtilityError(f"the keys of {meter.name} have no vending key")
    sequence = ring.next_sequence(meter, datetime.now(UTC))
    text = token.make(meter.vending, meter.system_title, sequence, credit_wh)
    if enter:
        with acting(context) as session:
            supply.enter_token(session, text)
    if as_json:
        as_document({"meter": meter.name, "token": text, "sequence": sequence, "entered": enter})
    else:
        say(text + ("  (entered)" if enter else ""))


@credit_commands.command("top-up")
def top_up(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TOKEN")],
    as_json: AsJson = False,
) -> None:
    """Enter a token at the meter."""
    with acting(context) as session:
        supply.enter_token(session, text)
        found = supply.credit(session)
    sentence = f"The token is accepted: {shown(found['credit_wh'])} Wh"
    done(as_json, sentence, entered=True, **found)


@credit_commands.command("allow")
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
    reach = reach_of(context)
    ring = reach.keyring
    if sequence is None and ring is not None:
        sequence = ring.last_sequence(ring.choose(reach.meter))
    if sequence is None:
        raise UtilityError("no token was made with these keys: say which is the last one spent")
    with acting(context) as session:
        supply.allow_tokens(session, sequence)
    done(as_json, f"Tokens above {sequence} are taken", spent_up_to=sequence)
