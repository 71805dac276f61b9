"""What the commands of `meter-node utility` that change something share.

Must not know DLMS nor the node, as `cli_utility`, whose options say which meter is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from meter_node.cli_output import console
from meter_node.cli_utility import AsJson, Reach, as_document, pairs_of, say, session_of
from meter_node.utility import reading
from meter_node.utility.errors import UtilityError
from meter_node.utility.session import Session

MOST_S = 0xFFFF_FFFF
MOST_MIN = MOST_S // 60
"""What travels as seconds; a meter takes less of most."""


def command_group(told: str, epilog: str) -> typer.Typer:
    """Return a group of commands, not yet part of the program."""
    return typer.Typer(help=told, no_args_is_help=True, rich_markup_mode=None, epilog=epilog)


def reach_of(context: typer.Context) -> Reach:
    """Return which meter is meant, as the options before the command say."""
    reach = context.obj
    assert isinstance(reach, Reach)
    return reach


@contextmanager
def acting(context: typer.Context) -> Iterator[Session]:
    """As `session_of`, for what only management may."""
    with reach_of(context).manager().open()[0] as session:
        yield session


def show(title: str, found: dict[str, Any], as_json: bool) -> None:
    """Show what was found, to a person or as one document."""
    if as_json:
        as_document(found)
        return
    console().print(pairs_of(title, found))


def shows(
    commands: typer.Typer, title: str, read: Callable[[Session], dict[str, Any]], told: str
) -> None:
    """Add a ``show`` to a group of commands: what is read, as it is; ``told`` is its help."""

    def command(context: typer.Context, as_json: AsJson = False) -> None:
        with session_of(context) as session:
            found = read(session)
        show(title, found, as_json)

    commands.command("show", help=told)(command)


def done(as_json: bool, sentence: str, **did: Any) -> None:
    """Say what was done, to a person or as one document."""
    if as_json:
        as_document({**did, "result": "done"})
    else:
        say(sentence)


def show_states(context: typer.Context, prefix: str, title: str, as_json: bool) -> None:
    """Show the states whose names begin so. Raises UtilityError where there are none."""
    with session_of(context) as session:
        names = [one.name for one in reading.STATES if one.name.startswith(prefix)]
        found = reading.states_of(session, reading.listed(session), names)
    if not found:
        raise UtilityError(f"the meter shows this client no {title}")
    show(title, found, as_json)
