"""Objects that are no registers, attribute by attribute, each from the committed snapshot.

One row an attribute: whether a meter of a variant has it, whether it travels in every push, and its
A-XDR value. Must not know who reads, nor how a state came about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meter_node.channel import alarms, axdr, objects
from meter_node.channel.objects import CosemObject
from meter_node.meter.snapshot import BreakerState, LimiterState, RelayState, Snapshot
from meter_node.meter.variant import Variant

_COMMANDS = {"automatic": 0, "on": 1, "off": 2}
_VALUE = 2
_BY_BUTTON, _BY_CONSUMER = 1, 2


@dataclass(frozen=True, slots=True)
class StateRow:
    """One attribute of one object."""

    object: CosemObject
    attribute: int
    value: Callable[[Snapshot], bytes]
    has: Callable[[Variant], bool] = lambda variant: True
    pushed: bool = True


def _with_breaker(variant: Variant) -> bool:
    return variant.breaker


def _of_breaker(value: Callable[[BreakerState], bytes]) -> Callable[[Snapshot], bytes]:
    return lambda shown: axdr.null_data() if shown.breaker is None else value(shown.breaker)


def _of_limiter(value: Callable[[LimiterState], bytes]) -> Callable[[Snapshot], bytes]:
    return lambda shown: axdr.null_data() if shown.limiter is None else value(shown.limiter)


def _of_relay(number: int, value: Callable[[RelayState], bytes]) -> Callable[[Snapshot], bytes]:
    # A snapshot of before the meter's first measurement has no relays yet.
    return lambda shown: (
        axdr.null_data() if number > len(shown.relays) else value(shown.relays[number - 1])
    )


def _monitored(limiter: LimiterState) -> bytes:
    """Class, name and attribute of what is watched, as class 71 has them."""
    return axdr.structure(
        axdr.long_unsigned(objects.ClassId.REGISTER),
        axdr.octet_string(
            objects.MONITORED_POWER if limiter.unit == "W" else objects.MONITORED_CURRENT
        ),
        axdr.integer(_VALUE),
    )


def _threshold(limiter: LimiterState, value: float | None) -> bytes:
    """In W, or in mA where current is monitored: whole numbers, as the registers' scalers."""
    if value is None:
        return axdr.null_data()
    return axdr.double_long_unsigned(round(value if limiter.unit == "W" else value * 1000))


def _credit(shown: Snapshot) -> bytes:
    return axdr.null_data() if shown.credit is None else axdr.double_long(shown.credit.credit_wh)


def _reconnection(breaker: BreakerState) -> bytes:
    return axdr.enum(
        breaker.button_reconnects * _BY_BUTTON + breaker.consumer_reconnects * _BY_CONSUMER
    )


def _pending(relay: RelayState) -> bytes:
    pending_s = relay.pending_s
    return axdr.null_data() if pending_s is None else axdr.double_long_unsigned(pending_s)


def _breaker_rows() -> tuple[StateRow, ...]:
    attributes = (
        (objects.BREAKER, 2, lambda breaker: axdr.boolean(breaker.closed)),
        (objects.BREAKER, 3, lambda breaker: axdr.enum(breaker.control_state)),
        (objects.BREAKER, 4, lambda breaker: axdr.enum(breaker.control_mode)),
        (objects.BREAKER_CAUSES, 2, lambda breaker: axdr.visible_string(",".join(breaker.causes))),
        (objects.RECONNECTION, 2, _reconnection),
    )
    return tuple(
        StateRow(which, number, _of_breaker(value), _with_breaker)
        for which, number, value in attributes
    )


def _limiter_rows() -> tuple[StateRow, ...]:
    attributes = (
        (2, True, _monitored),
        (3, True, lambda limiter: _threshold(limiter, limiter.active)),
        (4, False, lambda limiter: _threshold(limiter, limiter.normal)),
        (5, False, lambda limiter: _threshold(limiter, limiter.emergency)),
        (6, False, lambda limiter: axdr.double_long_unsigned(limiter.over_s)),
        (7, False, lambda limiter: axdr.double_long_unsigned(limiter.under_s)),
        (10, False, lambda limiter: axdr.boolean(limiter.emergency_active)),
    )
    return tuple(
        StateRow(objects.LIMITER, number, _of_limiter(value), _with_breaker, pushed)
        for number, pushed, value in attributes
    )


def _relay_rows(number: int) -> tuple[StateRow, ...]:
    attributes = (
        (objects.RELAYS[number], lambda relay: axdr.boolean(relay.on)),
        (objects.RELAY_PENDING[number], _pending),
        (
            objects.RELAY_COMMANDS[number],
            lambda relay: axdr.enum(_COMMANDS[relay.consumer_command]),
        ),
    )
    return tuple(
        StateRow(which, 2, _of_relay(number, value), lambda variant: variant.relays >= number)
        for which, value in attributes
    )


ROWS: tuple[StateRow, ...] = (
    StateRow(objects.ACTIVE_TARIFF, 2, lambda shown: axdr.unsigned(shown.tariff)),
    StateRow(objects.STATUS_WORD, 2, lambda shown: axdr.visible_string(shown.status_word)),
    StateRow(
        objects.ALARMS,
        2,
        lambda shown: axdr.double_long_unsigned(alarms.register(shown.alarms)),
    ),
    *_breaker_rows(),
    StateRow(objects.CREDIT, 2, _credit, _with_breaker),
    *_limiter_rows(),
    *_relay_rows(1),
    *_relay_rows(2),
)
