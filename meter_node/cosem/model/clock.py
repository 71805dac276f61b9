"""The clock (class 8): read, set and adjusted. Must not know where the right time comes from."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from meter_node.channel import axdr, registers
from meter_node.channel.axdr import Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.objects import ClassId
from meter_node.channel.typed import fields, whole
from meter_node.cosem.access import READERS, UTILITY
from meter_node.cosem.logical_device import at
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Method, Row
from meter_node.cosem.values import UNSPECIFIED_TIME, constant, moment_ns
from meter_node.meter.snapshot import NANO

QUARTER_NS, MINUTE_NS = 900 * NANO, 60 * NANO
LONGEST_SHIFT_S = 900
"""shift_time, as the standard bounds it."""
_SYSTEM_CRYSTAL = 1
_SEARCHED_DAYS = 366


class _Preset:
    """A time that waits to be set within a validity (methods 5 and 4)."""

    def __init__(self) -> None:
        self.waiting: tuple[int, int, int] | None = None


def rows(parts: Parts) -> list[Row]:
    """Return the clock."""
    zone, preset = parts.device.zone, _Preset()

    def local(caller: Caller) -> CosemDateTime:
        snapshot = caller.snapshot
        return at(snapshot.time_ns, zone, clock_invalid=not snapshot.clock_valid)

    def now(caller: Caller) -> CosemDateTime:
        # Not as of the last commit: it counts nothing that a power cut could take back.
        return at(caller.now_ns, zone, clock_invalid=not caller.snapshot.clock_valid)

    def set_time(caller: Caller, value: Value) -> None:
        _move(parts, caller, moment_ns(value, "time", zone) - caller.now_ns)

    attributes = {
        2: Attribute(
            READERS,
            lambda caller: axdr.octet_string(now(caller).to_bytes()),
            UTILITY,
            set_time,
        ),
        3: Attribute(READERS, lambda caller: axdr.long(_standard_deviation(caller, zone))),
        4: Attribute(READERS, lambda caller: axdr.unsigned(local(caller).status or 0)),
        5: Attribute(READERS, lambda caller: _change(caller, zone, begins=True)),
        6: Attribute(READERS, lambda caller: _change(caller, zone, begins=False)),
        7: Attribute(READERS, lambda caller: axdr.integer(_saving_minutes(caller, zone))),
        8: Attribute(READERS, lambda caller: axdr.boolean(_saving_minutes(caller, zone) != 0)),
        9: Attribute(READERS, constant(axdr.enum(_SYSTEM_CRYSTAL))),
    }
    return [Row(ClassId.CLOCK, 0, registers.CLOCK, attributes, _methods(parts, preset))]


def _methods(parts: Parts, preset: _Preset) -> dict[int, Method]:
    zone = parts.device.zone

    def to_nearest(step_ns: int, caller: Caller) -> None:
        now_ns = caller.now_ns
        _move(parts, caller, (now_ns + step_ns // 2) // step_ns * step_ns - now_ns)

    def to_period(caller: Caller, _: Value) -> None:
        to_nearest(settings(caller).parameters.load_profile.interval_min * MINUTE_NS, caller)

    def keep_preset(_: Caller, value: Value) -> None:
        times = [moment_ns(one, "preset time", zone) for one in fields(value, "preset time", 3)]
        preset.waiting = (times[0], times[1], times[2])

    def use_preset(caller: Caller, _: Value) -> None:
        if preset.waiting is None:
            raise ValueError("no time is preset")
        time_ns, first_ns, last_ns = preset.waiting
        if not first_ns <= caller.now_ns <= last_ns:
            raise ValueError("the preset time is not valid now")
        preset.waiting = None
        _move(parts, caller, time_ns - caller.now_ns)

    def shift(caller: Caller, value: Value) -> None:
        _move(parts, caller, whole(value, "shift_time", -LONGEST_SHIFT_S, LONGEST_SHIFT_S) * NANO)

    return {
        1: Method(UTILITY, lambda caller, _: to_nearest(QUARTER_NS, caller)),
        2: Method(UTILITY, to_period),
        3: Method(UTILITY, lambda caller, _: to_nearest(MINUTE_NS, caller)),
        4: Method(UTILITY, use_preset),
        5: Method(UTILITY, keep_preset),
        6: Method(UTILITY, shift),
    }


def _move(parts: Parts, caller: Caller, by_ns: int) -> None:
    """Set the clock by a difference: the meter's is set as of its last step, a while ago."""
    parts.commands.set_clock(parts.commands.now_ns + by_ns, caller.name)


def _moment(caller: Caller, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(caller.snapshot.time_ns // NANO, UTC).astimezone(zone)


def _standard_deviation(caller: Caller, zone: ZoneInfo) -> int:
    """Minutes of UTC less normal local time, without daylight saving."""
    moment = _moment(caller, zone)
    offset = (moment.utcoffset() or timedelta()) - (moment.dst() or timedelta())
    return -int(offset.total_seconds() // 60)


@cache
def _changes(zone: ZoneInfo, day: date) -> dict[bool, tuple[datetime, timedelta]]:
    """The next days on which daylight saving begins (True) and ends: local time, and its amount."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    found: dict[bool, tuple[datetime, timedelta]] = {}
    before = begin.astimezone(zone).dst() or timedelta()
    for hour in range(1, _SEARCHED_DAYS * 24):
        moment = (begin + timedelta(hours=hour)).astimezone(zone)
        saving = moment.dst() or timedelta()
        if saving != before:
            found.setdefault(bool(saving), (moment, max(saving, before)))
            before = saving
            if len(found) == 2:
                break
    return found


def _saving_minutes(caller: Caller, zone: ZoneInfo) -> int:
    changes = _changes(zone, _moment(caller, UTC).date())
    return max((round(saving.total_seconds() / 60) for _, saving in changes.values()), default=0)


def _change(caller: Caller, zone: ZoneInfo, *, begins: bool) -> bytes:
    found = _changes(zone, _moment(caller, UTC).date()).get(begins)
    if found is None:
        return axdr.octet_string(UNSPECIFIED_TIME)
    moment, saving = found
    # As the wall shows it just before: less what the clock is put on by, or back.
    wall = moment.replace(tzinfo=None) + (-saving if begins else saving)
    return axdr.octet_string(CosemDateTime(wall, None, None).to_bytes())
