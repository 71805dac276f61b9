"""A machine without a clock: the meter's time goes on flagged, and steps when it is known again."""

from __future__ import annotations

import pytest

from meter_node.channel.event_codes import BY_CODE, Log
from meter_node.meter.commands import Commands
from meter_node.meter.meter import Meter
from meter_node.meter.refused import RefusedError
from meter_node.meter.variant import Variant
from meter_node.metrology.measurement import Measurement
from tests.meter_node.meter.steps import step, utc

NOON_S = utc("2026-06-01 12:00")
ONE_S, TWO_S = utc("2026-06-01 13:00"), utc("2026-06-01 14:00")
IN_1970_S = 100
CLOCK_INVALID = 0x02


def minute(start_s: int, power_w: float = 600.0) -> Measurement:
    return step(start_s, 60, (power_w,) * 3, (230.0,) * 3).measurement


def running_until_one() -> Meter:
    meter = Meter(Variant())
    for number in range(60):
        meter.advance(minute(NOON_S + 60 * number))
    return meter


def started_anew(meter: Meter) -> Meter:
    image = meter.image()
    return Meter(
        Variant(), image.energies_nwh, states=image.states, log_heads=meter.snapshot().log_heads
    )


def clock_log(meter: Meter) -> list[tuple[str, int]]:
    rows = [row for row in meter.image().log_rows if row.log is Log.CLOCK]
    return [(BY_CODE[row.code].name, row.time_s) for row in rows]


def test_after_a_start_in_1970_time_goes_on_from_where_it_was_and_is_flagged() -> None:
    meter = started_anew(running_until_one())
    for number in range(16):
        meter.advance(minute(IN_1970_S + 60 * number), clock_trusted=False)
    assert meter.now_s == ONE_S + 16 * 60
    assert "clock_invalid" in meter.snapshot().alarms
    assert clock_log(meter) == [("clock_invalid", ONE_S)]
    rows = [row for row in meter.image().profile_rows if row.profile == "load_profile"]
    assert [row.time_s for row in rows][-1] == ONE_S + 900
    # 3 phases of 600 W for 76 minutes: 2280 Wh
    assert meter.raw("import_active_energy") == 2280


def test_when_the_time_is_known_again_the_clock_steps_and_no_outage_is_made_up() -> None:
    meter = started_anew(running_until_one())
    for number in range(5):
        meter.advance(minute(IN_1970_S + 60 * number), clock_trusted=False)
    meter.advance(minute(TWO_S), clock_trusted=True)
    assert meter.now_s == TWO_S + 60
    assert "clock_invalid" not in meter.snapshot().alarms
    assert clock_log(meter)[1:] == [("clock_old", ONE_S + 300), ("clock_new", TWO_S)]
    assert meter.raw("import_active_energy") == 1980  # 66 minutes of 1.8 kW
    # The interval that the step cut is flagged by it, and as of an invalid clock.
    cut = [row for row in meter.image().profile_rows if row.profile == "load_profile"][-1]
    assert cut.time_s == ONE_S + 300
    assert cut.status & 0x22 == 0x22


def test_a_new_meter_that_starts_in_1970_is_flagged_and_one_of_today_is_not() -> None:
    lost, sound = Meter(Variant()), Meter(Variant())
    lost.advance(minute(IN_1970_S), clock_trusted=False)
    sound.advance(minute(NOON_S), clock_trusted=False)
    assert "clock_invalid" in lost.snapshot().alarms
    assert lost.now_s == utc("2020-01-01 00:01")
    assert sound.snapshot().alarms == frozenset()


def test_two_starts_in_1970_go_on_one_after_the_other() -> None:
    meter = started_anew(running_until_one())
    meter.advance(minute(IN_1970_S), clock_trusted=False)
    again = started_anew(meter)
    again.advance(minute(IN_1970_S - 50), clock_trusted=False)
    assert again.now_s == ONE_S + 120


def test_three_days_in_the_dark_are_flagged_until_the_machines_clock_is_synchronised() -> None:
    meter = started_anew(running_until_one())
    later_s = ONE_S + 3 * 86_400
    meter.advance(minute(later_s), clock_trusted=False)
    assert "clock_invalid" in meter.snapshot().alarms
    meter.advance(minute(later_s + 60), clock_trusted=True)
    assert "clock_invalid" not in meter.snapshot().alarms
    assert clock_log(meter) == [("clock_invalid", later_s), ("clock_new", later_s + 60)]


@pytest.mark.parametrize("to_ns", [10**30, -1, 0, utc("2019-12-31 23:59") * 10**9, 253402387200])
def test_an_absurd_time_is_refused_and_nothing_moves(to_ns: int) -> None:
    meter = running_until_one()
    with pytest.raises(RefusedError, match="possible are 2020 to 2099"):
        Commands(meter).set_clock(to_ns, "utility")
    assert meter.now_s == ONE_S
    meter.advance(minute(ONE_S))
    assert meter.now_s == ONE_S + 60
