"""Prepayment as the standard's account and charge: what is left, and what it is used up by.

Credit is in Wh. Must not know how a token is judged.
"""

from __future__ import annotations

from meter_node.channel import axdr, objects
from meter_node.channel.axdr import BitString
from meter_node.channel.objects import ClassId
from meter_node.channel.registers import BY_KEY
from meter_node.cosem.access import READERS
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Row, row
from meter_node.cosem.values import constant

_CREDIT_MODE, _PREPAYMENT_MODE, _ACTIVE = 1, 2, 2
_CONSUMPTION = 1
"""Of currency_unit: neither time nor money."""
_TOKENS_FIRST, _EMERGENCY = 0, 1
"""Places in the list of credits."""
_IN_CREDIT, _LOW, _SELECTABLE_IN_USE, _OUT_OF_CREDIT = 0, 1, 5, 6
"""Bits of current_credit_status, the first is 0."""
_STATUS_BITS = 8
_WHEN_COLLECTED = BitString(0b011, 3)
"""Not while disconnected (nothing is drawn then); while limited and in friendly hours, too."""
_CONSUMPTION_BASED = 0
_WHOLE_TOKEN_PERCENT = 100
_PER_WH = 1
_MOST = 0x7FFFFFFF


def rows(parts: Parts) -> list[Row]:
    """Return the account and its charge, of a meter that can cut off."""
    return [_account(), _charge()] if parts.variant.breaker else []


def _mode(caller: Caller) -> bytes:
    prepaid = caller.snapshot.credit is not None
    mode = _PREPAYMENT_MODE if prepaid else _CREDIT_MODE
    return axdr.structure(axdr.enum(mode), axdr.enum(_ACTIVE))


def _in_use(caller: Caller) -> bytes:
    credit = caller.snapshot.credit
    borrowed = credit is not None and credit.debt_wh > 0
    return axdr.unsigned(_EMERGENCY if borrowed else _TOKENS_FIRST)


def _status(caller: Caller) -> bytes:
    credit = caller.snapshot.credit
    flags: dict[int, bool] = {}
    if credit is not None:
        flags = {
            _IN_CREDIT: credit.credit_wh > 0,
            _LOW: credit.credit_wh < settings(caller).parameters.credit.low_credit_wh,
            _SELECTABLE_IN_USE: credit.debt_wh > 0,
            _OUT_OF_CREDIT: credit.exhausted,
        }
    bits = sum(is_set << _STATUS_BITS - 1 - place for place, is_set in flags.items())
    return axdr.bit_string(BitString(bits, _STATUS_BITS))


def _available(caller: Caller) -> bytes:
    credit = caller.snapshot.credit
    left_wh = 0 if credit is None else credit.credit_wh
    return axdr.double_long(max(-_MOST, min(left_wh, _MOST)))


def _low(caller: Caller) -> bytes:
    return axdr.double_long(min(settings(caller).parameters.credit.low_credit_wh, _MOST))


def _account() -> Row:
    credits_ = [
        axdr.octet_string(one.logical_name) for one in (objects.CREDIT, objects.EMERGENCY_CREDIT)
    ]
    charge = axdr.octet_string(objects.CHARGE.logical_name)
    used_up = [axdr.structure(one, charge, axdr.bit_string(_WHEN_COLLECTED)) for one in credits_]
    topped_up = axdr.structure(credits_[_TOKENS_FIRST], axdr.unsigned(_WHOLE_TOKEN_PERCENT))
    currency = axdr.structure(axdr.utf8_string("Wh"), axdr.integer(0), axdr.enum(_CONSUMPTION))
    getters = {
        2: _mode,
        3: _in_use,
        4: _status,
        5: _available,
        9: constant(axdr.array(*credits_)),
        10: constant(axdr.array(charge)),
        11: constant(axdr.array(*used_up)),
        12: constant(axdr.array(topped_up)),
        15: constant(currency),
        16: _low,
    }
    return row(
        objects.ACCOUNT, {number: Attribute(READERS, get) for number, get in getters.items()}
    )


def _charge() -> Row:
    """Each watt-hour that is imported takes one of credit."""
    imported = BY_KEY["import_active_energy"].logical_name
    scaling = axdr.structure(axdr.integer(0), axdr.integer(0))
    commodity = axdr.structure(
        axdr.long_unsigned(ClassId.REGISTER), axdr.octet_string(imported), axdr.integer(2)
    )
    unit_charge = axdr.structure(
        scaling,
        commodity,
        axdr.array(axdr.structure(axdr.octet_string(b""), axdr.long(_PER_WH))),
    )
    values = {
        3: axdr.enum(_CONSUMPTION_BASED),
        4: axdr.unsigned(1),
        5: unit_charge,
    }
    return row(
        objects.CHARGE,
        {number: Attribute(READERS, constant(value)) for number, value in values.items()},
    )
