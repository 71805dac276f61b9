"""Clock, parameters and keys of a meter. Must not know where a value comes from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from Crypto.Cipher import AES

from meter_node.channel import axdr, objects, registers
from meter_node.channel.cosem_time import ClockStatus, CosemDateTime
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.registers import BY_KEY
from meter_node.cosem.access import DataAccessResult
from meter_node.keys import Management
from meter_node.utility.errors import NotGenuineError, RefusedError, UtilityError
from meter_node.utility.opening import Manager
from meter_node.utility.reading import THRESHOLDS, Listed, name_of
from meter_node.utility.rows import PROFILES, time_value
from meter_node.utility.session import Attribute, Session

CLOCK = CosemObject(ClassId.CLOCK, registers.CLOCK)
_CENTI = 100
_ENCRYPTION, _AUTHENTICATION, _MASTER = 0, 2, 3
"""key_id of global_key_transfer."""
_TRANSFER = 2


# --- clock ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClockReading:
    """A meter's clock, and how far it is ahead of this machine's (s)."""

    time: CosemDateTime
    ahead_s: float | None
    took_s: float

    @property
    def is_valid(self) -> bool:
        """Whether the meter trusts its clock."""
        return self.time.status is not None and not self.time.status & ClockStatus.INVALID_VALUE


def read_clock(
    session: Session, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> ClockReading:
    """Return the meter's clock. Raises UtilityError."""
    before = time.monotonic()
    value = session.get(Attribute(CLOCK))
    took_s = time.monotonic() - before
    if not isinstance(value, bytes):
        raise NotGenuineError("the meter's time is none")
    try:
        found = CosemDateTime.from_bytes(value)
    except ValueError as error:
        raise NotGenuineError(f"the meter's time is none: {error}") from None
    ahead_s = None
    if found.deviation_minutes is not None:
        ahead_s = (found.utc() - now()).total_seconds() + took_s / 2
    return ClockReading(found, ahead_s, took_s)


def set_clock(session: Session, moment: datetime) -> None:
    """Set the clock; a time without a zone is the meter's local time. Raises UtilityError."""
    session.put(Attribute(CLOCK), time_value(moment), "setting the clock")


def synchronise(session: Session, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Set the clock to this machine's, plus half the time of a request. Raises UtilityError."""
    on_the_way = timedelta(seconds=read_clock(session, now).took_s / 2)
    set_clock(session, now() + on_the_way)


# --- parameters -----------------------------------------------------------------------------------


def parameters(session: Session) -> dict[str, Any]:
    """Return all parameters. Raises UtilityError."""
    value = session.get(Attribute(objects.PARAMETERS))
    try:
        found = json.loads(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotGenuineError("the meter's parameters are no JSON object")
    return found


def change_parameters(session: Session, changes: Mapping[str, Any]) -> None:
    """Change some parameters, all or none: section to field to value. Raises UtilityError."""
    value = axdr.utf8_string(json.dumps(changes))
    session.put(Attribute(objects.PARAMETERS), value, "changing parameters")


def set_profile(
    session: Session, name: str, interval_min: int | None, captures: Sequence[str]
) -> None:
    """Set a profile's interval, or the registers that it captures: its rows are deleted then.

    Raises UtilityError.
    """
    which = PROFILES[name]
    if captures:
        listed = axdr.array(*(_capture(key) for key in captures))
        session.put(Attribute(which, 3), listed, f"setting what {name} captures")
    if interval_min is not None:
        period = axdr.double_long_unsigned(interval_min * 60)
        session.put(Attribute(which, 4), period, f"setting the interval of {name}")


def _capture(key: str) -> bytes:
    register = BY_KEY.get(key)
    if register is None:
        raise UtilityError(f"{key!r} is no register; see meter-node utility objects")
    if key.endswith("_demand"):
        class_id = ClassId.DEMAND_REGISTER
    elif key.endswith("_maximum"):
        class_id = ClassId.EXTENDED_REGISTER
    else:
        class_id = ClassId.REGISTER
    return axdr.structure(
        axdr.long_unsigned(class_id),
        axdr.octet_string(register.logical_name),
        axdr.integer(2),
        axdr.long_unsigned(0),
    )


def thresholds(found: Sequence[Listed]) -> dict[str, Listed]:
    """Return those thresholds of the supply's quality that a meter has."""
    there = {one.logical_name: one for one in found}
    return {
        name: there[which.logical_name]
        for name, which in THRESHOLDS.items()
        if which.logical_name in there
    }


def raw_threshold(name: str, text: str) -> int:
    """Return what a threshold of so many V, or s of a time, is on the wire.

    Raises ValueError for what it can't be set to just so.
    """
    is_time = name.endswith("_delay") or name == "long_failure"
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    step = "whole s" if is_time else "hundredths of a V"
    if not value.is_finite() or not 0 <= value * _CENTI <= 0xFFFF_FFFF:
        raise ValueError(f"{text}: {name} is from 0 to 42 million, in {step}")
    raw = value * (1 if is_time else _CENTI)
    if raw != raw.to_integral_value():
        raise ValueError(f"{text}: {name} is in {step}")
    return int(raw)


def set_threshold(session: Session, name: str, raw: int) -> None:
    """Set a threshold, in hundredths of a V or, where it is a time, in s. Raises UtilityError."""
    value = axdr.double_long_unsigned(raw)
    session.put(Attribute(THRESHOLDS[name]), value, f"setting {name}")


# --- pushes ---------------------------------------------------------------------------------------

_OBJECTS, _DESTINATION = 2, 3


def push(session: Session) -> dict[str, Any]:
    """Return how often is pushed, where to, and what. Raises UtilityError."""
    interval_s = session.get(Attribute(objects.PUSH_INTERVAL))
    destination = session.get(Attribute(objects.PUSH_SETUP, _DESTINATION))
    pushed = session.get(Attribute(objects.PUSH_SETUP, _OBJECTS))
    names = [
        name_of(one[1])
        for one in (pushed if isinstance(pushed, list) else [])
        if isinstance(one, tuple) and len(one) > 1 and isinstance(one[1], bytes)
    ]
    where = destination[1] if isinstance(destination, tuple) and len(destination) > 1 else b""
    if not isinstance(interval_s, int) or not isinstance(where, bytes):
        raise NotGenuineError("the meter's push set-up is none")
    told = where.decode(errors="replace")
    return {"interval_s": interval_s, "destination": told, "objects": names}


def set_push_interval(session: Session, seconds: int) -> None:
    """Set how often is pushed. Raises UtilityError."""
    raw = axdr.double_long_unsigned(seconds)
    session.put(Attribute(objects.PUSH_INTERVAL), raw, "setting the push interval")


# --- keys -----------------------------------------------------------------------------------------


def wrap(master: bytes, key: bytes) -> bytes:
    """Return a key wrapped under another (AES key wrap, RFC 3394)."""
    return AES.new(master, AES.MODE_KW).seal(key)


def rotate(manager: Manager, *, master: bool = False) -> None:
    """Give a meter new keys: fresh ones, wrapped under the master key that it has.

    They are kept as pending before they are sent. From then on, until the meter has proved which
    it has, both are tried: wherever this is cut short, nobody is locked out. Raises UtilityError;
    after that the next command finds out which keys the meter has.
    """
    session, keys = manager.open()
    with session:
        made = manager.keyring.prepare(manager.meter.name, master=master)
        if made == keys:
            raise UtilityError(
                "the meter has the keys already that it was last sent, and the key file is an "
                "older copy: read the node's own file, or give it these keys"
            )
        try:
            session.act(
                Attribute(objects.SECURITY[1], _TRANSFER),
                _transfer(keys, made),
                "changing the keys",
            )
        except RefusedError as refused:
            # Genuine, so the meter has what it had; but for a store that may have them after all.
            if refused.result != DataAccessResult.HARDWARE_FAULT:
                manager.keyring.withdraw(manager.meter.name)
            raise
    session, in_force = manager.open(first=made)
    session.close()
    if in_force != made:
        raise UtilityError("the meter said that it took the new keys, and still has the old ones")


def _transfer(old: Management, new: Management) -> bytes:
    sent = [(_ENCRYPTION, new.keys.encryption), (_AUTHENTICATION, new.keys.authentication)]
    if new.master != old.master:
        sent.append((_MASTER, new.master))
    return axdr.array(
        *(
            axdr.structure(axdr.enum(which), axdr.octet_string(wrap(old.master, key)))
            for which, key in sent
        )
    )
