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
    EXTENDED_REGISTER = 4
    DEMAND_REGISTER = 5
    REGISTER_ACTIVATION = 6
    PROFILE_GENERIC = 7
    CLOCK = 8
    SCRIPT_TABLE = 9
    SPECIAL_DAYS_TABLE = 11
    ASSOCIATION_LN = 15
    SAP_ASSIGNMENT = 17
    IMAGE_TRANSFER = 18
    ACTIVITY_CALENDAR = 20
    ACTION_SCHEDULE = 22
    IEC_HDLC_SETUP = 23
    PUSH_SETUP = 40
    TCP_UDP_SETUP = 41
    SECURITY_SETUP = 64
    ARBITRATOR = 68
    DISCONNECT_CONTROL = 70
    LIMITER = 71
    ACCOUNT = 111
    CREDIT = 112
    CHARGE = 113
    TOKEN_GATEWAY = 115


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
PUSH_PROOF = CosemObject(ClassId.DATA, obis.parse("0.0.128.0.2.255"))
"""What a meter knows its own pushes by, 16 bytes; nobody else can make or check it."""
PHASORS = CosemObject(ClassId.DATA, obis.parse("0.0.128.7.0.255"))
WAVEFORMS = CosemObject(ClassId.DATA, obis.parse("0.0.128.7.1.255"))
"""The last second's phasors, and its last cycles as samples: see `cosem/oscillogram.py`."""

# --- what a client of the meter itself reads and sets, beyond what travels in a push -------------

LOGICAL_DEVICE_NAME = CosemObject(ClassId.DATA, obis.parse("0.0.42.0.0.255"))
SAP_ASSIGNMENT = CosemObject(ClassId.SAP_ASSIGNMENT, obis.parse("0.0.41.0.0.255"))
ASSOCIATION = CosemObject(ClassId.ASSOCIATION_LN, obis.parse("0.0.40.0.0.255"))
"""The association that asks; those of each client stand under E = 1 public, 2 consumer, 3
management."""
ASSOCIATIONS = {
    client: CosemObject(ClassId.ASSOCIATION_LN, obis.parse(f"0.0.40.0.{e}.255"))
    for e, client in ((1, 16), (2, 20), (3, 1))
}
SECURITY = {
    client: CosemObject(ClassId.SECURITY_SETUP, obis.parse(f"0.0.43.0.{e}.255"))
    for e, client in ((0, 1), (1, 20))
}
"""By client SAP."""
INVOCATION_COUNTERS = {
    client: CosemObject(ClassId.DATA, obis.parse(f"0.0.43.1.{e}.255"))
    for e, client in ((0, 1), (1, 20))
}
"""The highest number that was received of a client; his next must be higher."""
IMAGE_TRANSFER = CosemObject(ClassId.IMAGE_TRANSFER, obis.parse("0.0.44.0.0.255"))
PUSH_SETUP = CosemObject(ClassId.PUSH_SETUP, obis.parse("0.0.25.9.0.255"))
PUSH_SCHEDULE = CosemObject(ClassId.ACTION_SCHEDULE, obis.parse("0.0.15.0.4.255"))
"""When is pushed, as times of the day with wildcards."""
PUSH_INTERVAL = CosemObject(ClassId.DATA, obis.parse("0.0.128.25.9.255"))
"""Seconds between two pushes."""
IEC_HDLC_SETUP = CosemObject(ClassId.IEC_HDLC_SETUP, obis.parse("0.0.22.0.0.255"))
TCP_UDP_SETUP = CosemObject(ClassId.TCP_UDP_SETUP, obis.parse("0.0.25.0.0.255"))

PARAMETERS = CosemObject(ClassId.DATA, obis.parse("0.0.128.0.0.255"))
"""All parameters as JSON; what is written are changes of them, `{"demand": {"interval_min": 30}}`.
"""
REFUSAL = CosemObject(ClassId.DATA, obis.parse("0.0.128.0.1.255"))
"""Why this connection's last request was refused, as a sentence; a result code alone says little.
"""

ARBITRATORS = {
    number: CosemObject(ClassId.ARBITRATOR, obis.parse(f"0.{number}.96.3.20.255"))
    for number in (1, 2)
}
"""Who may have a load relay moved, who is the stronger, and what was asked for last; by relay."""
ACCOUNT = CosemObject(ClassId.ACCOUNT, obis.parse("0.0.19.0.0.255"))
CHARGE = CosemObject(ClassId.CHARGE, obis.parse("0.0.19.20.0.255"))
"""Prepayment as a whole, and what uses credit up: each watt-hour one."""

ACTIVITY_CALENDAR = CosemObject(ClassId.ACTIVITY_CALENDAR, obis.parse("0.0.13.0.0.255"))
SPECIAL_DAYS = CosemObject(ClassId.SPECIAL_DAYS_TABLE, obis.parse("0.0.11.0.0.255"))
PASSIVE_SPECIAL_DAYS = CosemObject(ClassId.SPECIAL_DAYS_TABLE, obis.parse("0.0.11.0.1.255"))
"""Those that come into force with the passive calendar."""
TARIFF_SCRIPTS = CosemObject(ClassId.SCRIPT_TABLE, obis.parse("0.0.10.0.100.255"))
"""Script n is tariff n."""
REGISTER_ACTIVATION = CosemObject(ClassId.REGISTER_ACTIVATION, obis.parse("0.0.14.0.0.255"))
TARIFF_OVERRIDE = CosemObject(ClassId.DATA, obis.parse("0.0.128.14.0.255"))
"""Written: structure of a tariff and for how many seconds it is in force; 0 s ends it."""

RELAY_UTILITY_COMMANDS = {
    number: CosemObject(ClassId.DATA, obis.parse(f"0.{number}.128.3.12.255")) for number in (1, 2)
}
"""What the utility chose for a load relay: 0 automatic, 1 on, 2 off."""
NEUTRAL_FAULT = CosemObject(ClassId.DATA, obis.parse("0.0.128.3.13.255"))
"""Whether the breaker is open for a neutral fault; false is written when it is mended."""
LIMITER_TRIPPED = CosemObject(ClassId.DATA, obis.parse("0.0.128.17.0.255"))
"""Whether the breaker is open for the limiter; false is written to forgive all trips."""
EMERGENCY_CREDIT = CosemObject(ClassId.CREDIT, obis.parse("0.0.19.10.1.255"))
TOKEN_GATEWAY = CosemObject(ClassId.TOKEN_GATEWAY, obis.parse("0.0.19.40.0.255"))
SPENT_TOKENS = CosemObject(ClassId.DATA, obis.parse("0.0.128.19.0.255"))
"""Written after a restore: the highest sequence of a token that is spent."""

LOAD_PROFILE = CosemObject(ClassId.PROFILE_GENERIC, obis.parse("1.0.99.1.0.255"))
ANALYSIS_LOG = CosemObject(ClassId.PROFILE_GENERIC, obis.parse("1.0.99.2.0.255"))
BILLING = {
    kind: CosemObject(ClassId.PROFILE_GENERIC, obis.parse(f"1.0.98.{d}.0.255"))
    for d, kind in ((1, "monthly"), (2, "daily"), (3, "change"))
}
PROFILE_STATUS = {
    profile: CosemObject(ClassId.DATA, obis.parse(f"0.0.96.10.{e}.255"))
    for e, profile in ((1, LOAD_PROFILE), (2, ANALYSIS_LOG))
}
"""Status of the last interval: the bits of IDIS, as `meter/windows.py` has them."""
POWER_FAILURES = CosemObject(ClassId.PROFILE_GENERIC, obis.parse("1.0.99.97.0.255"))
"""Long failures of any phase: when each was over, and its seconds."""

ENTRY, DETAIL, CHAIN = 40, 50, 60
"""What a row of a log or profile holds beside what the standard names: its number, that never
repeats; a short text; the hash over it and all before it. Added to group C of the buffer's name."""


def column(buffer: obis.LogicalName, what: int) -> CosemObject:
    """Return the Data object behind a column (`ENTRY`, `DETAIL`, `CHAIN`) of a log or profile."""
    return CosemObject(ClassId.DATA, bytes((0, 0, buffer[2] + what)) + buffer[3:])


def event_code(log: obis.LogicalName) -> CosemObject:
    """Return the Data object of a log's last event code."""
    return CosemObject(ClassId.DATA, bytes((0, 0, 96, 11)) + log[4:])
