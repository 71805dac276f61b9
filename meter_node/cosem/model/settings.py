"""What else a utility sets: thresholds as registers, all parameters as JSON, faults seen to.

Must not know which part a parameter belongs to; the meter checks them.
"""

from __future__ import annotations

import json

from meter_node.channel import axdr, obis, objects
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId
from meter_node.channel.registers import Unit
from meter_node.channel.typed import text, whole
from meter_node.cosem.access import READERS, UTILITY
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.model.registers import scaler_unit
from meter_node.cosem.table import Attribute, Caller, Row, row
from meter_node.meter.quality import QualitySettings
from meter_node.meter.status_word import StatusWord

_CENTIVOLT = 100
_NO_ERRORS = StatusWord().text

_PERCENT = {
    # IDIS's sag and swell are what lasts for a time; with them goes what counts the short ones.
    "1.0.12.31.0.255": ("under_voltage_percent", "sag_percent"),
    "1.0.12.35.0.255": ("over_voltage_percent", "swell_percent"),
}
_VOLTS = {"1.0.12.39.0.255": "power_cut_v"}
_SECONDS = {
    "1.0.12.43.0.255": "under_voltage_delay_s",
    "1.0.12.44.0.255": "over_voltage_delay_s",
    "1.0.12.45.0.255": "power_cut_delay_s",
    "0.0.96.7.20.255": "long_failure_s",
}


def rows(parts: Parts) -> list[Row]:
    """Return thresholds, parameters, status word, alarms and the last refusal."""
    states = parts.states()
    found = [_percent(parts, name, *keys) for name, keys in _PERCENT.items()]
    found += [_volts(parts, name, key) for name, key in _VOLTS.items()]
    found += [_seconds(parts, name, key) for name, key in _SECONDS.items()]
    return [
        *found,
        _parameters(parts),
        _status_word(parts),
        row(objects.ALARMS, states[objects.ALARMS.logical_name]),
        _refusal(),
    ]


def _quality(caller: Caller) -> QualitySettings:
    return settings(caller).parameters.quality


def _threshold(name: str, value: Attribute, scaler: int, unit: Unit) -> Row:
    return Row(ClassId.REGISTER, 0, obis.parse(name), {2: value, 3: scaler_unit(scaler, unit)})


def _percent(parts: Parts, name: str, key: str, *others: str) -> Row:
    def get(caller: Caller) -> bytes:
        quality = _quality(caller)
        volts = getattr(quality, key) * quality.nominal_v / 100
        return axdr.double_long_unsigned(round(volts * _CENTIVOLT))

    def put(caller: Caller, value: Value) -> None:
        volts = whole(value, "a threshold") / _CENTIVOLT
        percent = round(volts / _quality(caller).nominal_v * 100, 4)
        changes = dict.fromkeys((key, *others), percent)
        parts.commands.change_parameters({"quality": changes}, caller.name)

    return _threshold(name, Attribute(READERS, get, UTILITY, put), -2, Unit.VOLT)


def _volts(parts: Parts, name: str, key: str) -> Row:
    def get(caller: Caller) -> bytes:
        return axdr.double_long_unsigned(round(getattr(_quality(caller), key) * _CENTIVOLT))

    def put(caller: Caller, value: Value) -> None:
        changes = {key: whole(value, "a threshold") / _CENTIVOLT}
        parts.commands.change_parameters({"quality": changes}, caller.name)

    return _threshold(name, Attribute(READERS, get, UTILITY, put), -2, Unit.VOLT)


def _seconds(parts: Parts, name: str, key: str) -> Row:
    def get(caller: Caller) -> bytes:
        return axdr.double_long_unsigned(getattr(_quality(caller), key))

    def put(caller: Caller, value: Value) -> None:
        changes = {key: whole(value, "a time")}
        parts.commands.change_parameters({"quality": changes}, caller.name)

    return _threshold(name, Attribute(READERS, get, UTILITY, put), 0, Unit.SECOND)


def _parameters(parts: Parts) -> Row:
    """All at once, for tools that know this meter; the same checks as anywhere."""

    def get(caller: Caller) -> bytes:
        return axdr.utf8_string(settings(caller).parameters.model_dump_json())

    def put(caller: Caller, value: Value) -> None:
        changes = _read_json(text(value, "parameters"))
        if not isinstance(changes, dict):
            raise ValueError("parameters: an object of sections is wanted")
        parts.commands.change_parameters(changes, caller.name)

    return row(objects.PARAMETERS, {2: Attribute(UTILITY, get, UTILITY, put)})


def _read_json(given: str) -> object:
    def no_number(word: str) -> float:
        raise ValueError(f"{word} is no number")

    try:
        return json.loads(given, parse_constant=no_number)
    except RecursionError:
        raise ValueError("parameters: nested too deep") from None


def _status_word(parts: Parts) -> Row:
    shown = parts.states()[objects.STATUS_WORD.logical_name][2]

    def clear(caller: Caller, value: Value) -> None:
        if text(value, "status word") != _NO_ERRORS:
            raise ValueError(f"to clear errors {_NO_ERRORS} is written")
        parts.commands.clear_errors(caller.name)

    return row(objects.STATUS_WORD, {2: Attribute(shown.readers, shown.get, UTILITY, clear)})


def _refusal() -> Row:
    told = Attribute(READERS, lambda caller: axdr.utf8_string(caller.association.refusal))
    return row(objects.REFUSAL, {2: told})
