"""Actions: reading a meter's load profile, billing values and logs, and what a person decides.

Must not know how a meter is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import probatio as vol
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers import service
from homeassistant.util import dt as dt_util

from . import buffers, verdicts
from .asking import Asker, AskError
from .buffers import RowsError
from .channel import axdr, objects, profile_status, registers, services
from .channel.axdr import Value
from .channel.event_codes import LOGS, Log
from .channel.objects import ClassId, CosemObject
from .const import DOMAIN
from .control import asker_of, async_command
from .coordinator import MeterNodeCoordinator
from .data import VALUE
from .verdicts import Reason

GET_BILLING = "get_billing"
GET_LOAD_PROFILE = "get_load_profile"
GET_LOG = "get_log"
ENTER_TOKEN = "enter_token"  # noqa: S105 - a name
TAKE_EMERGENCY_CREDIT = "take_emergency_credit"
RESET_TRIP_COUNTER = "reset_trip_counter"

ATTR_CONFIG_ENTRY_ID = "config_entry_id"
ATTR_START = "start"
ATTR_END = "end"
ATTR_KIND = "kind"
ATTR_LOG = "log"
ATTR_FIRST_ENTRY = "first_entry"
ATTR_LAST_ENTRY = "last_entry"
ATTR_TOKEN = "token"  # noqa: S105 - a name

LONGEST_PERIOD = timedelta(days=366)
AT_ONCE = timedelta(days=2)
"""Of a profile, so that no answer takes long; less where a meter says that it is too much."""
LONGEST_BILLED = timedelta(days=3660)
"""Monthly values are few, and are asked for over years."""
BILLED_AT_ONCE = {
    "monthly": timedelta(days=366),
    "daily": timedelta(days=28),
    "change": timedelta(days=366),
}
"""Of billing values, by kind: so many rows as an answer of some 16 KiB has."""
SHORTEST = timedelta(hours=1)
LONGEST_TOKEN = 128
_FIRST_YEAR, _LAST_YEAR = 1970, 2105
"""Of the seconds by which meters count time."""

_CAPTURE_OBJECTS = 3
_ENTER, _BORROW, _RESET = 1, 3, 1
"""Methods of the token gateway, of emergency credit, of a register."""
_TRIP_COUNTER = CosemObject(
    ClassId.REGISTER, registers.BY_KEY["import_active_energy_customer"].logical_name
)

_WHICH = {vol.Optional(ATTR_DEVICE_ID): cv.string, vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string}
_ENTRY_NUMBER = vol.All(vol.Coerce(int), vol.Range(min=1, max=2**32 - 1))


# --- which meter, and what was typed -------------------------------------------------------------


def _bad(key: str, **placeholders: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders
    )


def _meter_of(call: ServiceCall) -> MeterNodeCoordinator:
    """Return the meter that is meant. Raises ServiceValidationError."""
    device_id, entry_id = call.data.get(ATTR_DEVICE_ID), call.data.get(ATTR_CONFIG_ENTRY_ID)
    if device_id is not None and entry_id is not None:
        raise _bad("device_or_entry")
    if device_id is not None:
        _, entry = service.async_get_device_and_config_entry(call.hass, DOMAIN, device_id)
    else:
        entry = service.async_get_config_entry(call.hass, DOMAIN, entry_id)
    meter: MeterNodeCoordinator = entry.runtime_data
    return meter


def _moment(given: datetime) -> datetime:
    """Return it in UTC. Raises ServiceValidationError where no meter has such a time."""
    if not _FIRST_YEAR <= given.year <= _LAST_YEAR:  # beyond, no calendar has room for a zone
        raise _bad("no_such_time", first=str(_FIRST_YEAR), last=str(_LAST_YEAR))
    return dt_util.as_utc(given).replace(microsecond=0)


def _period_of(call: ServiceCall, longest: timedelta = LONGEST_PERIOD) -> tuple[datetime, datetime]:
    """Return the period in whole seconds; without an end up to now, without a start a year."""
    last = _moment(call.data.get(ATTR_END) or dt_util.utcnow())
    start = call.data.get(ATTR_START)
    first = last - LONGEST_PERIOD if start is None else _moment(start)
    if first > last:
        raise _bad("period_backwards")
    if last - first > longest:
        raise _bad("period_too_long", days=str(longest.days))
    return first, last


def _part_of(call: ServiceCall, log: CosemObject) -> bytes | None:
    """Return the selection of a log's entries that are wanted, None for all."""
    by_time = ATTR_START in call.data or ATTR_END in call.data
    by_number = ATTR_FIRST_ENTRY in call.data or ATTR_LAST_ENTRY in call.data
    if by_time and by_number:
        raise _bad("period_or_entries")
    if by_time:
        if ATTR_START not in call.data:
            raise _bad("start_missing")
        return services.between(*_period_of(call))
    if not by_number:
        return None
    first = call.data.get(ATTR_FIRST_ENTRY, 1)
    last = call.data.get(ATTR_LAST_ENTRY, 2**32 - 1)
    if first > last:
        raise _bad("entries_backwards")
    return services.entries(log, first, last)


# --- reading -------------------------------------------------------------------------------------


async def _async_get_load_profile(call: ServiceCall) -> ServiceResponse:
    """Return the rows of a period: when each ended, its status, its registers."""
    asker, period = asker_of(_meter_of(call)), _period_of(call)
    try:
        columns = buffers.profile_columns(
            await asker.async_ask(services.get(objects.LOAD_PROFILE, _CAPTURE_OBJECTS))
        )
        rows = [
            row
            for part in await _async_parts(asker, objects.LOAD_PROFILE, *period, AT_ONCE)
            for row in buffers.profile_rows(part, columns, dt_util.get_default_time_zone())
        ]
    except RowsError as error:
        raise AskError(verdicts.NOT_UNDERSTOOD) from error
    return {
        "rows": [
            {
                "time": _shown(row.time),
                "status": list[Any](profile_status.names(row.status)),
                **row.values,
            }
            for row in rows
        ]
    }


async def _async_get_billing(call: ServiceCall) -> ServiceResponse:
    """Return the billing values of a period: when and why each was taken, its registers."""
    asker, period = asker_of(_meter_of(call)), _period_of(call, LONGEST_BILLED)
    kind = call.data[ATTR_KIND]
    billing = objects.BILLING[kind]
    captured = await asker.async_ask(services.get(billing, _CAPTURE_OBJECTS))
    try:
        rows = [
            row
            for part in await _async_parts(asker, billing, *period, BILLED_AT_ONCE[kind])
            for row in buffers.billing_rows(
                part, captured, billing, dt_util.get_default_time_zone()
            )
        ]
    except RowsError as error:
        raise AskError(verdicts.NOT_UNDERSTOOD) from error
    return {
        "rows": [
            {"entry": row.entry, "time": _shown(row.time), "reason": row.reason, **row.values}
            for row in rows
        ]
    }


async def _async_parts(
    asker: Asker, buffer: CosemObject, first: datetime, last: datetime, at_once: timedelta
) -> list[Value]:
    """Return what stands in a period, part by part; too large a part is read in two."""
    waiting = buffers.parts(first, last, at_once)
    found = []
    while waiting:
        part = waiting.pop(0)
        try:
            found.append(
                await asker.async_ask(services.get(buffer, VALUE, services.between(*part)))
            )
        except AskError as error:
            if error.reason is not Reason.TOO_LONG or part[1] - part[0] < SHORTEST:
                raise
            waiting[:0] = buffers.halves(*part)
    return found


async def _async_get_log(call: ServiceCall) -> ServiceResponse:
    """Return entries of one event log, the oldest first."""
    asker = asker_of(_meter_of(call))
    log = CosemObject(ClassId.PROFILE_GENERIC, LOGS[Log(call.data[ATTR_LOG])].logical_name)
    part = _part_of(call, log)
    captured = await asker.async_ask(services.get(log, _CAPTURE_OBJECTS))
    found = await asker.async_ask(services.get(log, VALUE, part))
    try:
        rows = buffers.log_rows(found, captured, log, dt_util.get_default_time_zone())
    except RowsError as error:
        raise AskError(verdicts.NOT_UNDERSTOOD) from error
    return {
        "entries": [
            {
                "entry": row.entry,
                "time": _shown(row.time),
                "event": row.name,
                "code": row.code,
                "detail": row.detail,
            }
            for row in rows
        ]
    }


def _shown(moment: datetime) -> str:
    return dt_util.as_local(moment).isoformat()


# --- doing ---------------------------------------------------------------------------------------


async def _async_enter_token(call: ServiceCall) -> ServiceResponse:
    """Top the credit up, and return what it is then."""
    token = call.data[ATTR_TOKEN].strip()
    if not 0 < len(token) <= LONGEST_TOKEN:
        raise _bad("no_token")
    entered = services.act(objects.TOKEN_GATEWAY, _ENTER, axdr.octet_string(token.encode()))
    return await _async_change_credit(call, entered)


async def _async_take_emergency_credit(call: ServiceCall) -> ServiceResponse:
    """Borrow the emergency credit, and return what the credit is then."""
    return await _async_change_credit(call, services.act(objects.EMERGENCY_CREDIT, _BORROW))


async def _async_change_credit(call: ServiceCall, request: bytes) -> ServiceResponse:
    credit = objects.CREDIT, VALUE
    shown = await async_command(_meter_of(call), request, credit)
    amount = shown.get(credit)
    return {"credit_wh": amount if isinstance(amount, int) else None}


async def _async_reset_trip_counter(call: ServiceCall) -> ServiceResponse:
    """Let the customer's own counter begin at zero, and return what it had counted."""
    meter = _meter_of(call)
    counted = await asker_of(meter).async_ask(services.get(_TRIP_COUNTER))
    await async_command(meter, services.act(_TRIP_COUNTER, _RESET))
    return {"energy_wh": counted if isinstance(counted, int) else None}


# --- registration --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Action:
    handler: Callable[[ServiceCall], Coroutine[Any, Any, ServiceResponse]]
    fields: dict[vol.Marker, Any]
    response: SupportsResponse = SupportsResponse.OPTIONAL


ACTIONS = {
    GET_BILLING: _Action(
        _async_get_billing,
        {
            vol.Required(ATTR_KIND): vol.In(list(objects.BILLING)),
            vol.Optional(ATTR_START): cv.datetime,
            vol.Optional(ATTR_END): cv.datetime,
        },
        SupportsResponse.ONLY,
    ),
    GET_LOAD_PROFILE: _Action(
        _async_get_load_profile,
        {vol.Required(ATTR_START): cv.datetime, vol.Optional(ATTR_END): cv.datetime},
        SupportsResponse.ONLY,
    ),
    GET_LOG: _Action(
        _async_get_log,
        {
            vol.Required(ATTR_LOG): vol.In([str(log) for log in Log]),
            vol.Optional(ATTR_START): cv.datetime,
            vol.Optional(ATTR_END): cv.datetime,
            vol.Optional(ATTR_FIRST_ENTRY): _ENTRY_NUMBER,
            vol.Optional(ATTR_LAST_ENTRY): _ENTRY_NUMBER,
        },
        SupportsResponse.ONLY,
    ),
    ENTER_TOKEN: _Action(_async_enter_token, {vol.Required(ATTR_TOKEN): cv.string}),
    TAKE_EMERGENCY_CREDIT: _Action(_async_take_emergency_credit, {}),
    RESET_TRIP_COUNTER: _Action(_async_reset_trip_counter, {}),
}


@callback
def async_setup_actions(hass: HomeAssistant) -> None:
    """Register them, once: they are there also while no meter is loaded."""
    for name, action in ACTIONS.items():
        hass.services.async_register(
            DOMAIN,
            name,
            action.handler,
            vol.Schema({**_WHICH, **action.fields}),
            action.response,
        )
