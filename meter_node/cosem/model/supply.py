"""Breaker, load relays, limiter and prepayment as objects. Must not know why one of them acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from meter_node.channel import axdr, obis, objects
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId
from meter_node.channel.typed import fields, items, octets, text, truth, whole
from meter_node.cosem.access import CONSUMER, READERS, UTILITY, Client
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Method, Row, Setter, row
from meter_node.cosem.values import constant, date_time, moment_ns
from meter_node.meter.limiter import LimiterSettings
from meter_node.meter.relays import Command
from meter_node.meter.snapshot import NANO

_IMPORT_POWER = obis.parse("1.0.1.7.0.255")
_LARGEST_CURRENT = obis.parse("1.0.31.7.0.255")
_DISCONNECT_SCRIPTS = obis.parse("0.0.10.0.106.255")
_OPEN, _NOTHING = 1, 0
_COMMANDS: tuple[Command, ...] = ("automatic", "on", "off")
_REMOTE_BOTH_WAYS = 4
_MILLI = 1000
_TOKEN_CREDIT, _EMERGENCY_CREDIT = 0, 2
_IN_USE, _EXHAUSTED = 2, 4


def rows(parts: Parts) -> list[Row]:
    """Return what a meter of this make has of them."""
    found = [one for number in range(1, parts.variant.relays + 1) for one in _relay(parts, number)]
    if parts.variant.breaker:
        found += [
            *_breaker(parts),
            _limiter(parts),
            _limiter_tripped(parts),
            *_credit(parts),
            _tokens(parts),
            _spent_tokens(parts),
        ]
    return found


def _writable(attribute: Attribute, put: Setter) -> Attribute:
    return Attribute(attribute.readers, attribute.get, UTILITY, put)


# --- breaker and relays ---------------------------------------------------------------------------


def _breaker(parts: Parts) -> list[Row]:
    commands, states = parts.commands, parts.states()

    def disconnect(caller: Caller, _: Value) -> None:
        commands.disconnect(who=caller.name)

    def reconnect(caller: Caller, _: Value) -> None:
        by: Literal["remote", "consumer"] = (
            "consumer" if caller.client is Client.CONSUMER else "remote"
        )
        commands.reconnect(by, caller.name)

    def set_mode(caller: Caller, value: Value) -> None:
        mode = whole(value, "control_mode", 0, 0xFF)
        commands.change_parameters({"breaker": {"control_mode": mode}}, caller.name)

    def mended(caller: Caller, value: Value) -> None:
        if truth(value, "neutral fault"):
            raise ValueError("a neutral fault is found, not commanded")
        commands.clear_neutral(caller.name)

    attributes = states[objects.BREAKER.logical_name]
    attributes[4] = _writable(attributes[4], set_mode)
    methods = {1: Method(UTILITY, disconnect), 2: Method(READERS, reconnect)}
    fault = Attribute(
        READERS,
        lambda caller: axdr.boolean(
            "neutral_fault" in caller.snapshot.alarms or _opened_for(caller, "neutral")
        ),
        UTILITY,
        mended,
    )
    return [
        row(objects.BREAKER, attributes, methods),
        row(objects.BREAKER_CAUSES, states[objects.BREAKER_CAUSES.logical_name]),
        row(objects.RECONNECTION, states[objects.RECONNECTION.logical_name]),
        row(objects.NEUTRAL_FAULT, {2: fault}),
    ]


def _opened_for(caller: Caller, cause: str) -> bool:
    breaker = caller.snapshot.breaker
    return breaker is not None and cause in breaker.causes


def _relay(parts: Parts, number: int) -> list[Row]:
    """The relay as disconnect control, when it is due, and what each of both has chosen."""
    commands, states = parts.commands, parts.states()

    def command(which: Command) -> Callable[[Caller, Value], None]:
        def act(caller: Caller, _: Value) -> None:
            commands.command_relay(number, which, _side(caller))

        return act

    def choose(caller: Caller, value: Value) -> None:
        which = whole(value, "a relay's command", 0, len(_COMMANDS) - 1)
        commands.command_relay(number, _COMMANDS[which], _side(caller))

    def utility_command(caller: Caller) -> bytes:
        relays = caller.snapshot.relays
        chosen: str = relays[number - 1].utility_command if number <= len(relays) else "automatic"
        return axdr.enum([str(one) for one in _COMMANDS].index(chosen))

    relay, chosen = objects.RELAYS[number], objects.RELAY_COMMANDS[number]
    pending = objects.RELAY_PENDING[number]
    on = states[relay.logical_name][2]
    consumers = states[chosen.logical_name][2]
    attributes = {
        2: on,
        3: Attribute(READERS, lambda caller: axdr.enum(_is_on(caller, number))),
        4: Attribute(READERS, constant(axdr.enum(_REMOTE_BOTH_WAYS))),
    }
    methods = {1: Method(READERS, command("off")), 2: Method(READERS, command("on"))}
    return [
        row(relay, attributes, methods),
        row(pending, states[pending.logical_name]),
        row(chosen, {2: Attribute(READERS, consumers.get, CONSUMER, choose)}),
        row(
            objects.RELAY_UTILITY_COMMANDS[number],
            {2: Attribute(READERS, utility_command, UTILITY, choose)},
        ),
    ]


def _side(caller: Caller) -> Literal["utility", "consumer"]:
    return "consumer" if caller.client is Client.CONSUMER else "utility"


def _is_on(caller: Caller, number: int) -> bool:
    relays = caller.snapshot.relays
    return number <= len(relays) and relays[number - 1].on


# --- limiter --------------------------------------------------------------------------------------


def _limiter(parts: Parts) -> Row:
    commands, zone = parts.commands, parts.device.zone
    attributes = parts.states()[objects.LIMITER.logical_name]

    def now(caller: Caller) -> LimiterSettings:
        return settings(caller).parameters.limiter

    def change(caller: Caller, changes: dict[str, object]) -> None:
        commands.change_parameters({"limiter": changes}, caller.name)

    def set_threshold(which: str) -> Setter:
        def put(caller: Caller, value: Value) -> None:
            unit = now(caller).unit
            threshold = None
            if value is not None:
                threshold = whole(value, "a threshold") / (1 if unit == "W" else _MILLI)
            change(caller, {f"{which}_{unit.lower()}": threshold})

        return put

    def set_duration(which: str) -> Setter:
        return lambda caller, value: change(caller, {which: whole(value, "a duration")})

    def monitored(caller: Caller) -> bytes:
        power = now(caller).unit == "W"
        return axdr.structure(
            axdr.long_unsigned(ClassId.REGISTER),
            axdr.octet_string(_IMPORT_POWER if power else _LARGEST_CURRENT),
            axdr.integer(2),
        )

    def profile(caller: Caller) -> bytes:
        limiter = caller.snapshot.limiter
        group, at_s, duration_s = (limiter and limiter.emergency_profile) or (0, 0, 0)
        return axdr.structure(
            axdr.long_unsigned(group), date_time(at_s, zone), axdr.double_long_unsigned(duration_s)
        )

    def set_profile(_: Caller, value: Value) -> None:
        group, at, duration = fields(value, "emergency_profile", 3)
        duration_s = whole(duration, "emergency_duration")
        if duration_s == 0:
            commands.end_emergency()
            return
        commands.activate_emergency(
            whole(group, "emergency_profile_id", 0, 0xFFFF),
            moment_ns(at, "emergency_activation_time", zone) // NANO,
            duration_s,
        )

    def groups(caller: Caller) -> bytes:
        return axdr.array(*map(axdr.long_unsigned, now(caller).emergency_groups))

    def set_groups(caller: Caller, value: Value) -> None:
        listed = [whole(one, "a group", 0, 0xFFFF) for one in items(value, "groups")]
        change(caller, {"emergency_groups": tuple(listed)})

    script = axdr.octet_string(_DISCONNECT_SCRIPTS)
    actions = axdr.structure(
        axdr.structure(script, axdr.long_unsigned(_OPEN)),
        axdr.structure(script, axdr.long_unsigned(_NOTHING)),
    )
    attributes |= {
        2: Attribute(READERS, monitored),
        4: _writable(attributes[4], set_threshold("normal")),
        5: _writable(attributes[5], set_threshold("emergency")),
        6: _writable(attributes[6], set_duration("over_s")),
        7: _writable(attributes[7], set_duration("under_s")),
        8: Attribute(READERS, profile, UTILITY, set_profile),
        9: Attribute(READERS, groups, UTILITY, set_groups),
        11: Attribute(READERS, constant(actions)),
    }
    return row(objects.LIMITER, attributes)


def _limiter_tripped(parts: Parts) -> Row:
    def forgive(_: Caller, value: Value) -> None:
        if truth(value, "tripped"):
            raise ValueError("a trip is found, not commanded")
        parts.commands.reset_limiter()

    tripped = Attribute(
        READERS, lambda caller: axdr.boolean(_opened_for(caller, "limiter")), UTILITY, forgive
    )
    return row(objects.LIMITER_TRIPPED, {2: tripped})


# --- prepayment -----------------------------------------------------------------------------------


def _credit(parts: Parts) -> list[Row]:
    commands = parts.commands

    def amount(key: str) -> Attribute:
        def get(caller: Caller) -> bytes:
            return axdr.double_long(_within(getattr(settings(caller).parameters.credit, key)))

        def put(caller: Caller, value: Value) -> None:
            changes = {key: whole(value, "an amount", 0, 0x7FFFFFFF)}
            commands.change_parameters({"credit": changes}, caller.name)

        return Attribute(READERS, get, UTILITY, put)

    def status(caller: Caller) -> bytes:
        credit = caller.snapshot.credit
        if credit is None:
            return axdr.enum(0)
        return axdr.enum(_EXHAUSTED if credit.exhausted else _IN_USE)

    def owed(caller: Caller) -> bytes:
        credit = caller.snapshot.credit
        return axdr.null_data() if credit is None else axdr.double_long(_within(credit.debt_wh))

    def borrow(_: Caller, __: Value) -> None:
        commands.take_emergency_credit()

    attributes = parts.states()[objects.CREDIT.logical_name]
    attributes |= {
        3: Attribute(READERS, constant(axdr.enum(_TOKEN_CREDIT))),
        5: amount("low_credit_wh"),
        8: Attribute(READERS, status),
    }
    emergency = {
        2: Attribute(READERS, owed),
        3: Attribute(READERS, constant(axdr.enum(_EMERGENCY_CREDIT))),
        9: amount("emergency_credit_wh"),
    }
    return [
        row(objects.CREDIT, attributes),
        row(objects.EMERGENCY_CREDIT, emergency, {3: Method(READERS, borrow)}),
    ]


def _within(amount_wh: int) -> int:
    return min(amount_wh, 0x7FFFFFFF)


class _LastToken:
    status = 0


_FORMAT_OK, _EXECUTED, _REFUSED = 0, 3, 6


def _tokens(parts: Parts) -> Row:
    """The token gateway: whoever has keys may enter what the vendor has signed."""
    last = _LastToken()

    def enter(_: Caller, value: Value) -> None:
        token = text(octets(value, "a token") if isinstance(value, bytes) else value, "a token")
        last.status = _REFUSED
        parts.commands.enter_token(token)
        last.status = _EXECUTED

    def status(_: Caller) -> bytes:
        return axdr.structure(axdr.enum(last.status), axdr.bit_string(axdr.BitString(0, 0)))

    return row(objects.TOKEN_GATEWAY, {6: Attribute(READERS, status)}, {1: Method(READERS, enter)})


def _spent_tokens(parts: Parts) -> Row:
    def allow(caller: Caller, value: Value) -> None:
        parts.commands.allow_tokens(whole(value, "a sequence"), caller.name)

    nothing = Attribute(UTILITY, constant(axdr.null_data()), UTILITY, allow)
    return row(objects.SPENT_TOKENS, {2: nothing})
