"""COSEM objects that are no registers, by class and logical name, once for both ends.

Must not know what stands in them now. Classes: IEC 62056-6-2; names: IEC 62056-61, and the maker's
range (group C from 128 on) for what no standard has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from . import obis


class ClassId(IntEnum):
    """Interface classes in use here."""

    DATA = 1
    REGISTER = 3
    CLOCK = 8
    DISCONNECT_CONTROL = 70
    LIMITER = 71
    CREDIT = 112


@dataclass(frozen=True, slots=True)
class CosemObject:
    """One object: its class and its logical name."""

    class_id: ClassId
    logical_name: obis.LogicalName


ACTIVE_TARIFF = CosemObject(ClassId.DATA, obis.parse("0.0.96.14.0.255"))
"""The number of the tariff in force."""
BREAKER = CosemObject(ClassId.DISCONNECT_CONTROL, obis.parse("0.0.96.3.10.255"))
"""Attributes 2 output_state, 3 control_state, 4 control_mode."""
RELAYS = {
    number: CosemObject(ClassId.DISCONNECT_CONTROL, obis.parse(f"0.{number}.96.3.10.255"))
    for number in (1, 2)
}
"""Load relays by number, named as IDIS does: attribute 2 is True while the load is on."""
LIMITER = CosemObject(ClassId.LIMITER, obis.parse("0.0.17.0.0.255"))
"""Attributes 2 monitored_value, 3 threshold_active (null: no limit), 4 threshold_normal, 5
threshold_emergency, 6 min_over_threshold_duration, 7 min_under_threshold_duration, 10
emergency_profile_active. Thresholds are in W, or in mA where current is monitored."""
MONITORED_POWER = obis.parse("1.0.1.7.0.255")
MONITORED_CURRENT = obis.parse("1.0.11.7.0.255")
"""Logical names in monitored_value: the import power, or the current of the phase that has most."""
CREDIT = CosemObject(ClassId.CREDIT, obis.parse("0.0.19.10.0.255"))
"""Attribute 2 current_credit_amount in Wh, emergency credit included; there while prepayment is on.
"""
STATUS_WORD = CosemObject(ClassId.DATA, obis.parse("0.0.97.97.0.255"))
"""Seven digits, as the display shows them."""
ALARMS = CosemObject(ClassId.DATA, obis.parse("0.0.97.98.0.255"))
"""Alarm register: one bit for each row of `alarms.ALARMS`."""
RELAY_PENDING = {
    number: CosemObject(ClassId.DATA, obis.parse(f"0.{number}.128.3.10.255")) for number in (1, 2)
}
"""When a load relay goes on (UTC seconds since 1970), null where nothing is due."""
RELAY_COMMANDS = {
    number: CosemObject(ClassId.DATA, obis.parse(f"0.{number}.128.3.11.255")) for number in (1, 2)
}
"""What the consumer chose for a load relay: 0 automatic, 1 on, 2 off."""
BREAKER_CAUSES = CosemObject(ClassId.DATA, obis.parse("0.0.128.3.10.255"))
"""Why the breaker is open: names, the strongest first, with commas between; empty where closed."""
RECONNECTION = CosemObject(ClassId.DATA, obis.parse("0.0.128.3.11.255"))
"""Who could close the breaker now: 0 nobody here, 1 the button, 2 the consumer's command, 3 either.
"""
PHASORS = CosemObject(ClassId.DATA, obis.parse("0.0.128.7.0.255"))
WAVEFORMS = CosemObject(ClassId.DATA, obis.parse("0.0.128.7.1.255"))
"""The last second's phasors, and its last cycles as samples: see `cosem/oscillogram.py`."""
