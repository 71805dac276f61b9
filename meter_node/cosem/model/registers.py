"""Registers, identity and clock as objects: all of the channel's table, by its classes.

Must not know how a register comes by its value.
"""

from __future__ import annotations

from collections.abc import Callable

from meter_node.channel import axdr, obis, registers
from meter_node.channel.axdr import Value
from meter_node.channel.objects import LOGICAL_DEVICE_NAME, ClassId, CosemObject
from meter_node.channel.registers import Register, Unit
from meter_node.cosem.access import CONSUMER, IDENTITY_READERS, READERS, UTILITY
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Method, Row, row
from meter_node.cosem.values import constant, date_time, of_quantity
from meter_node.meter.snapshot import NANO

_DEMANDS = {f"{name}_active_demand": f"{name}_active_demand_last" for name in ("import", "export")}
"""Registers of running demand (class 5), and where the last interval's stands."""
_MAXIMA = frozenset(f"{name}_active_demand_maximum" for name in ("import", "export"))
_SCOPES = ("all", "l1", "l2", "l3", "any")
"""In the order of group E of 0.0.96.7: all phases, each, any."""
_SERIAL_DIGITS = 13
SECONDS_PER_MINUTE = 60


def rows(parts: Parts) -> list[Row]:
    """Return the registers, the failure counters and who the meter is."""
    found = [_register(parts, register) for register in parts.device.registers]
    found += _failures(parts.variant.phases)
    identity = parts.device.identity
    for name, shown in (
        (registers.METER_NUMBER, identity.meter_number),
        (registers.MODEL, identity.model),
        (registers.SOFTWARE, identity.software),
    ):
        found.append(_data(name, axdr.visible_string(shown)))
    device_name = axdr.octet_string(logical_device_name(identity.system_title))
    found.append(_data(LOGICAL_DEVICE_NAME.logical_name, device_name))
    return found


def logical_device_name(system_title: bytes) -> bytes:
    """Return the maker's three letters, and the title's number in 13 digits (COSEM: 16 bytes)."""
    return system_title[:3] + b"%0*d" % (_SERIAL_DIGITS, int.from_bytes(system_title[3:]))


def _data(name: obis.LogicalName, value: bytes) -> Row:
    return Row(ClassId.DATA, 0, name, {2: Attribute(IDENTITY_READERS, constant(value))})


def scaler_unit(scaler: int, unit: Unit) -> Attribute:
    """Return the attribute that says what a register's numbers are."""
    return Attribute(READERS, constant(axdr.structure(axdr.integer(scaler), axdr.enum(unit))))


def _value(register: Register) -> Attribute:
    quantity, key = register.quantity, register.key
    return Attribute(READERS, lambda caller: of_quantity(quantity, caller.snapshot.raw(key)))


def _register(parts: Parts, register: Register) -> Row:
    value = _value(register)
    unit = scaler_unit(register.quantity.scaler, register.quantity.unit)
    if register.key in _DEMANDS:
        return _demand(parts, register, value, unit)
    attributes = {2: value, 3: unit}
    if register.key in _MAXIMA:
        stamp = _time_of(parts, lambda caller: caller.snapshot.maxima_s.get(register.key))
        attributes |= {4: Attribute(READERS, constant(axdr.null_data())), 5: stamp}
        return Row(ClassId.EXTENDED_REGISTER, 0, register.logical_name, attributes)
    methods = {}
    if register.key == "import_active_energy_customer":

        def reset(caller: Caller, _: Value) -> None:
            parts.commands.reset_customer_counter(caller.name)

        # The customer's own; no other register can be reset.
        methods[1] = Method(CONSUMER | UTILITY, reset)
    return Row(ClassId.REGISTER, 0, register.logical_name, attributes, methods)


def _demand(parts: Parts, register: Register, value: Attribute, unit: Attribute) -> Row:
    last = registers.BY_KEY[_DEMANDS[register.key]]

    def interval_s(caller: Caller) -> int:
        return settings(caller).parameters.demand.interval_min * SECONDS_PER_MINUTE

    def start_s(caller: Caller) -> int:
        # Intervals are aligned to the hour of UTC.
        now_s = caller.snapshot.time_ns // NANO
        return now_s - now_s % interval_s(caller)

    started = _time_of(parts, start_s)
    attributes = {
        2: value,
        3: _value(last),
        4: unit,
        5: Attribute(READERS, constant(axdr.null_data())),
        6: started,  # the last interval ended where this one began
        7: started,
        8: Attribute(READERS, lambda caller: axdr.double_long_unsigned(interval_s(caller))),
        9: Attribute(READERS, constant(axdr.long_unsigned(1))),
    }
    return Row(ClassId.DEMAND_REGISTER, 0, register.logical_name, attributes)


def _time_of(parts: Parts, at_s: Callable[[Caller], int | None]) -> Attribute:
    zone = parts.device.zone

    def get(caller: Caller) -> bytes:
        found = at_s(caller)
        return axdr.null_data() if found is None else date_time(found, zone)

    return Attribute(READERS, get)


def _failures(phases: int) -> list[Row]:
    """Counts of long failures (0.0.96.7.5 to 9) and how long the last was (.15 to .19)."""
    found = []
    for place, scope in enumerate(_SCOPES):
        if scope.startswith("l") and int(scope[1:]) > phases:
            continue
        for e, what, unit in (
            (0, "power_failure_count", Unit.NONE),
            (5, "long_power_failure_count", Unit.NONE),
            (15, "long_power_failure_duration", Unit.SECOND),
        ):
            # Group E of failures of any kind: 0 to 3, and 21 for any phase.
            number = 21 if (what, scope) == ("power_failure_count", "any") else e + place
            which = CosemObject(ClassId.REGISTER, bytes((0, 0, 96, 7, number, 255)))
            value = Attribute(READERS, _failure(f"{what}_{scope}"))
            found.append(row(which, {2: value, 3: scaler_unit(0, unit)}))
    return found


def _failure(name: str) -> Callable[[Caller], bytes]:
    return lambda caller: axdr.double_long_unsigned(caller.snapshot.failures.get(name, 0))
