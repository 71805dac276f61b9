"""The capacity of a home: the running interval, the month's peaks, the fuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from integration_home import NOON, Home
from integration_tariffs import CURRENTS, limited

from custom_components.meter_node.capacity import Capacity
from custom_components.meter_node.capacity_window import ClosedWindow
from custom_components.meter_node.channel import apdu, meter_node_v1
from custom_components.meter_node.channel.cosem_time import CosemDateTime

ELVIA = {"capacity_preset": "norway_elvia", "capacity_limit": 5.0}


async def set_up(home: Home, **options: Any) -> Home:
    await home.hass.config.async_set_time_zone("Europe/Oslo")
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.set_up()
    return home


async def sent(home: Home, at: datetime, wh: int, *, power_w: int | None = None) -> None:
    """Let the clock come to a moment at which the meter pushes."""
    await home.wait((at - datetime.now(UTC)).total_seconds())
    values = {"import_active_energy": wh}
    if power_w is not None:
        values["import_active_power"] = power_w * 10
    await home.push(home.meter.seal(home.meter.body(values, at)))


def numbers(home: Home, *keys: str) -> list[float | None]:
    states = [home.state(key) for key in keys]
    return [None if state in (None, STATE_UNKNOWN) else float(state) for state in states if state]


RUNNING = ("window_mean_power", "window_projected_power", "window_energy_left")


async def test_without_a_rule_there_is_nothing_to_show(home: Home) -> None:
    await set_up(home)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(minutes=30), 2000)
    keys = (*RUNNING, "month_peak_power", "billed_capacity", "capacity_charge")
    assert [home.state(key) for key in keys] == [None] * 6
    home.coordinator.fill_capacity([ClosedWindow(NOON, 7000)])
    assert [home.state(key) for key in keys] == [None] * 6


async def test_the_running_hour_is_projected_by_the_present_power(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 10_000, power_w=3000)
    await sent(home, NOON + timedelta(minutes=30), 11_500, power_w=6000)
    # 1.5 kWh in half an hour; half an hour of 6 kW to come; 5 kWh allowed.
    assert numbers(home, *RUNNING) == [3.0, 4.5, 3.5]


async def test_without_a_limit_nothing_is_said_to_be_left(home: Home) -> None:
    await set_up(home, capacity_preset="norway_elvia")
    await sent(home, NOON, 10_000)
    await sent(home, NOON + timedelta(minutes=30), 11_500)
    assert [home.state(key) for key in RUNNING] == ["3.0", "3.0", None]


async def test_the_months_peaks_and_what_they_cost(home: Home) -> None:
    await set_up(home, **ELVIA)
    for day, wh in enumerate((5000, 4000, 3000)):
        start = NOON + timedelta(days=day)
        await sent(home, start, 100_000 * day)
        await sent(home, start + timedelta(hours=1), 100_000 * day + wh)
    # (5 + 4 + 3) / 3 kW: from 2 kW on Elvia takes 2400 kr a year.
    assert numbers(home, "month_peak_power", "billed_capacity", "capacity_charge") == [5, 4, 200]
    peak, charge = home.shown("month_peak_power"), home.shown("capacity_charge")
    assert peak is not None
    assert peak.attributes["peaks"] == [
        {"start": "2026-11-20T12:00:00+00:00", "power": 5000},
        {"start": "2026-11-21T12:00:00+00:00", "power": 4000},
        {"start": "2026-11-22T12:00:00+00:00", "power": 3000},
    ]
    assert charge is not None
    assert charge.attributes["unit_of_measurement"] == "NOK"


async def test_an_absence_makes_no_peak(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(hours=1), 1000)
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.freezer.move_to(NOON + timedelta(hours=5, minutes=59))
    await home.set_up()
    await sent(home, NOON + timedelta(hours=5, minutes=59, seconds=30), 40_000)
    await sent(home, NOON + timedelta(hours=6), 40_100)
    await sent(home, NOON + timedelta(hours=7), 42_100)
    assert numbers(home, "month_peak_power") == [2]


async def test_the_history_fills_in_what_was_missed(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(hours=1), 1000)
    home.coordinator.fill_capacity([ClosedWindow(NOON - timedelta(days=1), 7000)])
    assert numbers(home, "month_peak_power", "billed_capacity") == [7, 4]


async def test_an_interval_that_is_yet_to_come_takes_no_months_place(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(hours=1), 1000)
    far = [ClosedWindow(NOON.replace(year=year), 9000) for year in (2097, 2098, 2099)]
    home.coordinator.fill_capacity(far)
    assert numbers(home, "month_peak_power", "billed_capacity") == [1, 1]


async def test_a_preset_without_a_rule_is_as_none(home: Home) -> None:
    await set_up(home, capacity_preset="denmark_n1")  # which has no rule
    assert home.coordinator.capacity is None


async def test_a_restart_within_the_hour_loses_nothing(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(minutes=20), 1000)
    await home.restart()
    await sent(home, NOON + timedelta(minutes=21), 1050)
    assert numbers(home, "window_mean_power") == [3]
    await sent(home, NOON + timedelta(hours=1), 4000)
    await home.restart()
    assert numbers(home, "month_peak_power") == [4]


async def test_another_rule_begins_anew(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0)
    await sent(home, NOON + timedelta(hours=1), 4000)
    home.hass.config_entries.async_update_entry(
        home.entry, options={"capacity_preset": "belgium_flanders"}
    )
    await home.restart()
    await sent(home, NOON + timedelta(hours=1, minutes=15), 5000)
    assert numbers(home, "month_peak_power") == [4]  # a quarter-hour of 1 kWh
    assert home.state("capacity_charge") == STATE_UNAVAILABLE  # no price of 2026 is known


async def test_a_month_turns_at_local_midnight_without_a_frame(home: Home) -> None:
    last_day = datetime(2026, 11, 30, 22, tzinfo=UTC)  # 23:00 in Oslo
    home.freezer.move_to(last_day)
    await set_up(home, **ELVIA)
    await sent(home, last_day - timedelta(hours=1), 0)
    await sent(home, last_day, 4000)
    assert numbers(home, "billed_capacity") == [4]
    await home.wait((last_day + timedelta(hours=1) - datetime.now(UTC)).total_seconds() + 1)
    await home.push(home.meter.seal(home.meter.body({"import_active_power": 0}, datetime.now(UTC))))
    assert home.state("billed_capacity") == STATE_UNKNOWN


async def test_a_frame_with_neither_total_nor_power_changes_nothing(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON, 0, power_w=3000)
    await home.push(home.meter.seal(home.meter.body({"voltage_l1": 23_000}, NOON)))
    assert numbers(home, "window_energy_left") == [5]


async def test_a_meter_that_lost_its_clock_is_taken_at_our_time(home: Home) -> None:
    await set_up(home, **ELVIA)
    for minute, wh in ((0, 0), (60, 3000)):
        await home.wait((NOON + timedelta(minutes=minute) - datetime.now(UTC)).total_seconds())
        home.freezer.move_to(NOON + timedelta(minutes=minute))
        at = CosemDateTime.at(datetime(2000, 1, 1, tzinfo=UTC), UTC, clock_invalid=True)
        body = meter_node_v1.encode(at, {"import_active_energy": wh}, [], [], [])
        await home.push(home.meter.seal(apdu.encode_data_notification(0, at, body)))
    assert numbers(home, "month_peak_power") == [3]


async def test_between_hourly_totals_the_power_counts(home: Home) -> None:
    await set_up(home, **ELVIA)
    await sent(home, NOON + timedelta(seconds=10), 0)
    for minute in (1, 2, 3, 4, 5, 6):
        at = NOON + timedelta(minutes=minute, seconds=10)
        await home.wait((at - datetime.now(UTC)).total_seconds())
        await home.push(home.meter.seal(home.meter.body({"import_active_power": 30_000}, at)))
    # Six minutes of 3 kW are 300 Wh, in an hour that began 10 s earlier.
    assert numbers(home, "window_energy_left") == [4.7]


# --- the fuse -------------------------------------------------------------------------------------


def headroom(home: Home) -> list[str | None]:
    return [home.state(f"current_headroom_l{phase}") for phase in (1, 2, 3)]


async def test_each_phase_has_its_headroom_under_the_fuse(home: Home) -> None:
    await set_up(home, main_fuse=25)
    await home.push(home.meter.push(**CURRENTS))
    assert headroom(home) == ["19.0", "-5.0", "15.0"]


async def test_a_phase_that_exports_has_more(home: Home) -> None:
    await set_up(home, main_fuse=25)
    values = {"import_active_power_l3": 0, "export_active_power_l3": 23_000}
    await home.push(home.meter.push(**CURRENTS, **values))
    assert headroom(home) == ["19.0", "-5.0", "35.0"]


@pytest.mark.parametrize(("options", "l1"), [({}, "10.0"), ({"main_fuse": 20}, "14.0")])
async def test_without_a_fuse_the_limiter_counts(
    home: Home, options: dict[str, Any], l1: str
) -> None:
    await set_up(home, **options)
    await home.push(home.meter.seal(home.meter.body(CURRENTS, said=limited(16_000))))
    assert headroom(home)[0] == l1


async def test_with_neither_there_is_no_headroom(home: Home) -> None:
    await set_up(home)
    await home.push(home.meter.push(**CURRENTS))
    assert headroom(home) == [None, None, None]


async def test_while_a_total_is_held_the_interval_goes_on_by_the_register(
    home: Home,
) -> None:
    await set_up(home, **ELVIA)
    closed: list[ClosedWindow] = []
    wh = 12_345_678
    with patch.object(Capacity, "fill", lambda _, windows: closed.extend(windows)):
        for minute in range(241):  # from noon to four
            if minute == 30:
                wh -= 100_000  # a back-up was restored
            if minute == 150:
                home.coordinator.async_count_on()
                del home.broker.retained[home.meter.push_topic]
                await home.restart()
            await home.push(import_active_energy=wh)
            home.freezer.tick(60 - 0.005)
            wh += 50  # 3 kW
    assert [window.start.hour for window in closed] == [13, 14, 15]
    assert all(2_990 < window.energy_wh < 3_010 for window in closed)
