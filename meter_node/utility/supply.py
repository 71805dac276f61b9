"""Breaker, load relays, limiter, neutral guard and credit, as the utility moves them.

Must not know why somebody does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from meter_node.channel import axdr, objects
from meter_node.channel.objects import MONITORED_POWER
from meter_node.cosem.access import DataAccessResult
from meter_node.utility.errors import NotGenuineError, RefusedError, UtilityError
from meter_node.utility.reading import COMMANDS
from meter_node.utility.rows import time_value
from meter_node.utility.session import Attribute, Session

_MILLI = 1000
_OPEN, _CLOSE = 1, 2
_HIGHEST = 0xFFFF_FFFF
_LEAST_BARE_W = 100
"""Nobody's house has a limit below it: who writes 4 means kW."""


@contextmanager
def _having(part: str) -> Iterator[None]:
    """Say in words that a meter of its make has no such part."""
    try:
        yield
    except RefusedError as error:
        if error.result != DataAccessResult.OBJECT_UNDEFINED:
            raise
        raise UtilityError(f"the meter has no {part}: its make has no breaker") from None


def switch_breaker(session: Session, *, close: bool) -> None:
    """Open the breaker, or let it close as its mode says. Raises UtilityError."""
    what = "connecting the supply" if close else "disconnecting the supply"
    session.act(Attribute(objects.BREAKER, _CLOSE if close else _OPEN), what=what)


def set_breaker_mode(session: Session, mode: int) -> None:
    """Set control_mode (class 70): who may disconnect and reconnect. Raises UtilityError."""
    session.put(Attribute(objects.BREAKER, 4), axdr.enum(mode), "setting the control mode")


def command_relay(session: Session, number: int, command: str) -> None:
    """Force a load relay on or off, or leave it to the next in line. Raises UtilityError."""
    value = axdr.enum(COMMANDS.index(command))
    session.put(Attribute(objects.RELAY_UTILITY_COMMANDS[number]), value, f"relay {number}")


def clear_neutral(session: Session) -> None:
    """The neutral is mended. Raises UtilityError."""
    session.put(Attribute(objects.NEUTRAL_FAULT), axdr.boolean(False), "clearing the neutral fault")


# --- limiter --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amount:
    """A threshold as somebody wrote it: `unit` W, kW or A, None where none was written."""

    value: Decimal
    unit: str | None = None


def limiter(session: Session) -> dict[str, object]:
    """Return the limiter's settings and state: thresholds in W or A. Raises UtilityError."""
    unit = limited_unit(session)
    active, normal, emergency, over, under = (
        session.get(Attribute(objects.LIMITER, number)) for number in (3, 4, 5, 6, 7)
    )

    def amount(value: object) -> object:
        if isinstance(value, int) and unit == "A":
            return value / _MILLI
        return value

    return {
        "monitored": "import power" if unit == "W" else "largest current",
        "unit": unit,
        "threshold": amount(active),
        "normal": amount(normal),
        "emergency": amount(emergency),
        "over_s": over,
        "under_s": under,
        "emergency_active": session.get(Attribute(objects.LIMITER, 10)),
        "groups": session.get(Attribute(objects.LIMITER, 9)),
        "tripped": session.get(Attribute(objects.LIMITER_TRIPPED)),
    }


def limited_unit(session: Session) -> str:
    """Return in what the limiter's thresholds are: W, or A. Raises UtilityError."""
    with _having("limiter"):
        monitored = session.get(Attribute(objects.LIMITER))
    if not isinstance(monitored, tuple) or len(monitored) != 3:
        raise NotGenuineError("what the limiter monitors is no object")
    return "W" if monitored[1] == MONITORED_POWER else "A"


def raw_threshold(which: str, amount: Amount | None, unit: str) -> int | None:
    """Return a threshold in W, or mA where the limiter watches current; None for none.

    Raises UtilityError for what it can't be set to just so, and for what kW were meant by.
    """
    if amount is None:
        return None
    given = amount.unit or unit
    if (given == "A") != (unit == "A"):
        watched = "power, in W" if unit == "W" else "current, in A"
        raise UtilityError(f"--{which}: {given}, and the meter watches {watched}")
    if amount.unit is None and unit == "W" and amount.value < _LEAST_BARE_W:
        raise UtilityError(
            f"--{which}: {amount.value} is in W, not kW: write {amount.value}kW or, where that is "
            f"meant, {amount.value}W"
        )
    raw = amount.value * (1 if given == "W" else _MILLI)
    if raw != raw.to_integral_value():
        step = "whole W" if unit == "W" else "thousandths of an A"
        raise UtilityError(f"--{which}: {amount.value}: the meter knows {step} only")
    if not 0 < raw <= _HIGHEST:
        raise UtilityError(f"--{which}: {amount.value} is more than any meter can be set to")
    return int(raw)


def set_threshold(session: Session, which: str, raw: int | None) -> None:
    """Set the normal or emergency threshold, in W or mA as monitored; None: no limit."""
    number = {"normal": 4, "emergency": 5}[which]
    value = axdr.null_data() if raw is None else axdr.double_long_unsigned(raw)
    session.put(Attribute(objects.LIMITER, number), value, f"setting the {which} threshold")


def set_duration(session: Session, which: str, seconds: int) -> None:
    """Set for how long it must be over the threshold, or under it. Raises UtilityError."""
    number = {"over": 6, "under": 7}[which]
    value = axdr.double_long_unsigned(seconds)
    session.put(Attribute(objects.LIMITER, number), value, f"setting the time {which} it")


def begin_emergency(session: Session, group: int, at: datetime | None, seconds: int) -> None:
    """Let the emergency threshold hold from a time (now), for so long; 0 s ends it."""
    value = axdr.structure(
        axdr.long_unsigned(group),
        time_value(datetime.now(UTC) if at is None else at),
        axdr.double_long_unsigned(seconds),
    )
    session.put(Attribute(objects.LIMITER, 8), value, "the emergency profile")


def set_groups(session: Session, groups: list[int]) -> None:
    """Set to which emergency profiles the meter belongs. Raises UtilityError."""
    value = axdr.array(*map(axdr.long_unsigned, groups))
    session.put(Attribute(objects.LIMITER, 9), value, "setting the emergency groups")


def forgive_trips(session: Session) -> None:
    """Forget that the limiter has opened the breaker. Raises UtilityError."""
    value = axdr.boolean(False)
    session.put(Attribute(objects.LIMITER_TRIPPED), value, "forgiving the limiter's trips")


# --- credit ---------------------------------------------------------------------------------------


def credit(session: Session) -> dict[str, object]:
    """Return what is left and owed in Wh; None while prepayment is off. Raises UtilityError."""
    with _having("credit"):
        status = session.get(Attribute(objects.CREDIT, 8))
    return {
        "credit_wh": session.get(Attribute(objects.CREDIT)),
        "low_credit_wh": session.get(Attribute(objects.CREDIT, 5)),
        "emergency_credit_wh": session.get(Attribute(objects.EMERGENCY_CREDIT, 9)),
        "owed_wh": session.get(Attribute(objects.EMERGENCY_CREDIT)),
        "status": {0: "off", 2: "in use", 4: "used up"}.get(
            status if isinstance(status, int) else -1, "unknown"
        ),
    }


def enter_token(session: Session, token: str) -> None:
    """Enter a token. Raises UtilityError."""
    try:
        value = axdr.octet_string(token.encode("ascii"))
    except UnicodeEncodeError:
        raise UtilityError("a token is of plain letters and digits") from None
    session.act(Attribute(objects.TOKEN_GATEWAY, 1), value, "entering the token")


def allow_tokens(session: Session, spent_up_to: int) -> None:
    """After a restore: tokens up to this sequence are spent. Raises UtilityError."""
    value = axdr.double_long_unsigned(spent_up_to)
    session.put(Attribute(objects.SPENT_TOKENS), value, "saying which tokens are spent")
