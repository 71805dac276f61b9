"""A meter's own time, live: which moment it means, and when it is none to go by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from integration_home import NOON, THREE_PHASES, Home

from custom_components.meter_node.capacity import Capacity
from custom_components.meter_node.capacity_window import ClosedWindow
from custom_components.meter_node.channel import apdu, meter_node_v1
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.meter_time import booked_at

OSLO = ZoneInfo("Europe/Oslo")
STANDARD = timedelta(hours=1)


async def push(home: Home, local: datetime, wh: int) -> None:
    """Push as a real meter does: without a deviation, and without a word on daylight saving."""
    time = CosemDateTime(local.replace(tzinfo=None), None, None)
    values = THREE_PHASES | {"import_active_energy": wh}
    body = apdu.encode_data_notification(0, time, meter_node_v1.encode(time, values, [], [], []))
    await home.push(home.meter.seal(body))


@pytest.mark.parametrize("off", [timedelta(seconds=-2), timedelta(days=-6), timedelta(days=6)])
@pytest.mark.parametrize("retained", [False, True])
def test_counters_are_booked_at_the_meters_own_time(off: timedelta, retained: bool) -> None:
    assert booked_at(NOON + off, NOON, retained=retained) == NOON + off


@pytest.mark.parametrize("off", [timedelta(days=-8), timedelta(days=8), None])
def test_where_the_meters_time_is_none_to_go_by_a_live_frame_counts_as_it_comes(
    off: timedelta | None,
) -> None:
    sent = None if off is None else NOON + off
    assert booked_at(sent, NOON, retained=False) == NOON
    assert booked_at(sent, NOON, retained=True) is None  # who knows how long it was kept


def raised(home: Home) -> set[str]:
    issues = ir.async_get(home.hass).issues
    return {str(issue.translation_key) for issue in issues.values() if issue.domain == DOMAIN}


@pytest.mark.parametrize("follows", [True, False], ids=["daylight saving", "standard time"])
async def test_the_night_with_an_hour_twice_has_each_hour_once(
    hass: HomeAssistant, home: Home, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    closed: list[ClosedWindow] = []
    monkeypatch.setattr(Capacity, "fill", lambda _, windows: closed.extend(windows))
    await hass.config.async_set_time_zone("Europe/Oslo")
    hass.config_entries.async_update_entry(home.entry, options={"capacity_preset": "norway_elvia"})
    at, wh = datetime(2026, 10, 24, 22, 59, 30, tzinfo=UTC), 10_000_000
    home.freezer.move_to(at)
    await home.set_up()
    seen: set[str] = set()
    while at < datetime(2026, 10, 25, 3, 1, tzinfo=UTC):
        home.freezer.move_to(at)
        local = at.astimezone(OSLO) if follows else (at + STANDARD)
        await push(home, local, wh)
        await home.wait(0)
        seen |= raised(home)
        at, wh = at + timedelta(minutes=1), wh + 50  # 3 kW all the night
    assert seen == set()
    assert [window.start.hour for window in closed] == [23, 0, 1, 2]
    assert all(2_999 < window.energy_wh < 3_001 for window in closed)


async def test_standard_time_in_summer_is_no_clock_that_is_off(
    hass: HomeAssistant, home: Home
) -> None:
    await hass.config.async_set_time_zone("Europe/Oslo")
    at = datetime(2026, 7, 1, 10, tzinfo=UTC)
    home.freezer.move_to(at)
    await home.set_up()
    for _ in range(5):
        await push(home, at + STANDARD, 1000)
        await home.wait(60)
        at += timedelta(seconds=60)
    assert raised(home) == set()


async def test_a_clock_that_is_off_is_told_of_by_what_it_means(
    hass: HomeAssistant, home: Home
) -> None:
    await hass.config.async_set_time_zone("Europe/Oslo")
    at = datetime(2026, 7, 1, 10, tzinfo=UTC)
    home.freezer.move_to(at)
    await home.set_up()
    for _ in range(5):
        await push(home, at + STANDARD - timedelta(seconds=90), 1000)
        await home.wait(60)
        at += timedelta(seconds=60)
    assert raised(home) == {"clock_off"}
