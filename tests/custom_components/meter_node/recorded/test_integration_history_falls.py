"""Statistics of a meter whose register goes back: what is shown stands still, then counts on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from recorded_house import DAYS, EXPORT, FIVE, IMPORT, MORNING, PRICES, House, price_at

from custom_components.meter_node.store import async_get_store
from custom_components.meter_node.totals import Totals

LOST_WH = 3_000_000
NINE, TEN, ELEVEN, NOON = (MORNING.replace(hour=hour, minute=0) for hour in (9, 10, 11, 12))
FALL = MORNING.replace(hour=9, minute=17)
HOUR = timedelta(hours=1)
DAY_W = 2400
"""From 08:02 to 20:02; pushes come 30 s before and 10 s after each five minutes."""
LAST_PUSH = MORNING.replace(hour=9, minute=15, second=10)
"""Before the fall."""


def used_wh(begin: datetime, end: datetime) -> float:
    """By day."""
    return DAY_W * (end - begin) / HOUR


async def fallen(house: House) -> None:
    """At 09:17 the register falls; nothing was filled since 09:00."""
    await house.home.set_up()
    await house.live(NINE + timedelta(minutes=6))
    house.fell = (FALL, LOST_WH)
    await house.live(NINE + timedelta(minutes=25))
    assert set(house.home.coordinator.totals.fallen) == {IMPORT}


async def energies(house: House, key: str = IMPORT) -> dict[datetime, float]:
    """Of each hour but the first; none is ever negative."""
    rows = await house.rows(key)
    starts = sorted(rows)
    found = {start: rows[start][1] - rows[before][1] for before, start in pairwise(starts)}
    assert min(found.values(), default=0) > -0.1
    return found


async def live(house: House, until: datetime) -> None:
    """Live on; each hour is looked at before it is filled and once it is."""
    while house.now < until:
        await house.live(min(until, house.now + FIVE))
        await energies(house)


def shown_by(house: House, confirmed: datetime) -> Callable[[datetime], float]:
    """What the sensor showed: it stands still from its last push before the fall on, and goes on
    from the last one before its user agreed."""
    before = house.imported_wh(LAST_PUSH)

    def shown(moment: datetime) -> float:
        if moment <= LAST_PUSH:
            return house.imported_wh(moment)
        return before + max(0, house.imported_wh(moment) - house.imported_wh(confirmed))

    return shown


async def check(
    house: House,
    shown: Callable[[datetime], float],
    last: datetime,
) -> None:
    """Every hour but the first has what was shown to be used in it, and its state."""
    rows, found = await house.rows(), await energies(house)
    assert max(found) == last
    assert len(found) == DAYS * 24 + (last - MORNING.replace(minute=0)) // HOUR
    for start, used in found.items():
        assert used == pytest.approx(shown(start + HOUR) - shown(start), abs=1.1), start
        assert rows[start][0] == pytest.approx(shown(start + HOUR), abs=1.1), start


async def test_a_fall_that_is_confirmed_after_fills_is_no_consumption(house: House) -> None:
    await fallen(house)
    await live(house, ELEVEN + timedelta(minutes=6))
    found = await energies(house)
    assert found[NINE] == pytest.approx(used_wh(NINE, LAST_PUSH), abs=1.1)
    assert found[TEN] == 0
    house.home.coordinator.async_count_on()
    shown = shown_by(house, house.now)
    await live(house, NOON + timedelta(minutes=66))
    await check(house, shown, NOON)


async def test_a_fall_that_is_confirmed_before_the_next_fill_is_no_consumption(
    house: House,
) -> None:
    await fallen(house)
    house.home.coordinator.async_count_on()
    confirmed = house.now
    await live(house, ELEVEN + timedelta(minutes=6))
    assert (await energies(house))[NINE] == pytest.approx(
        used_wh(NINE, LAST_PUSH) + used_wh(confirmed, TEN), abs=1.1
    )
    await check(house, shown_by(house, confirmed), TEN)


@pytest.mark.parametrize("lost_wh", [LOST_WH, 300_000, 4_000])
async def test_while_it_is_held_the_statistics_stand_still_as_the_sensor_does(
    house: House,
    lost_wh: int,
) -> None:
    """4 kWh are made good in 1 h 40 min: it goes on from there by itself."""
    await fallen(house)
    house.fell = (FALL, lost_wh)
    await live(house, ELEVEN + timedelta(minutes=66))
    found = await energies(house)
    assert found[NINE] == pytest.approx(used_wh(NINE, LAST_PUSH), abs=1.1)
    reached = LAST_PUSH + timedelta(hours=lost_wh / DAY_W)
    for start in (TEN, ELEVEN):
        used = used_wh(max(reached, start), max(reached, start + HOUR))
        assert found[start] == pytest.approx(used, abs=1.1), start


async def test_statistics_that_are_cleared_after_a_fall_come_back_as_they_were(
    house: House,
) -> None:
    await fallen(house)
    await live(house, ELEVEN + timedelta(minutes=6))
    house.home.coordinator.async_count_on()
    shown = shown_by(house, house.now)
    await live(house, NOON + timedelta(minutes=6))
    entity_id = house.home.entity_id(IMPORT)
    assert entity_id is not None
    house.recorder.async_clear_statistics([entity_id])
    await async_wait_recording_done(house.home.hass)
    await live(house, NOON + timedelta(minutes=66))
    await check(house, shown, NOON)


async def test_a_second_reading_after_a_fall_changes_nothing(house: House) -> None:
    await fallen(house)
    await live(house, TEN + timedelta(minutes=6))
    house.home.coordinator.async_count_on()
    await live(house, ELEVEN + timedelta(minutes=6))
    before = await house.rows()
    house.home.coordinator._record.history.clear()
    house.home.coordinator.history._done_s = 0
    await live(house, ELEVEN + timedelta(minutes=11))
    assert await house.rows() == before


async def test_a_cost_that_is_new_after_a_fall_is_that_of_what_was_used(
    house: House,
) -> None:
    hass = house.home.hass
    hass.config.currency = "DKK"
    await hass.config.async_set_time_zone("Europe/Copenhagen")
    await fallen(house)
    await live(house, ELEVEN + timedelta(minutes=6))
    house.home.coordinator.async_count_on()
    shown = shown_by(house, house.now)
    options = {"tariff_preset": "denmark_n1", "import_prices": PRICES, "export_prices": {}}
    hass.config_entries.async_update_entry(house.home.entry, options=options)
    await house.home.restart()
    await house.live(NOON + timedelta(minutes=66))
    found = await energies(house, "import_cost")
    assert max(found) == NOON
    for start, cost in found.items():
        used = shown(start + HOUR) - shown(start)
        assert cost == pytest.approx(used * price_at(start) / 1000, abs=0.005), start


@pytest.mark.parametrize("confirms_at_once", [True, False])
async def test_a_register_that_fell_while_nobody_listened_goes_on_from_what_was_seen_last(
    house: House,
    confirms_at_once: bool,
) -> None:
    """It falls at 15:17, which is heard of the day after at 08:04:30."""
    await house.home.set_up()
    await house.live(NINE + timedelta(minutes=6))
    heard = house.now
    fall = MORNING.replace(hour=15, minute=17)
    house.meter_until(fall)
    house.fell = (fall, LOST_WH)
    back = MORNING + timedelta(days=1)
    house.home.freezer.move_to(back)
    await house.home.restart()
    await live(house, back + FIVE)
    if not confirms_at_once:
        await live(house, back.replace(hour=9, minute=6))
    house.home.coordinator.async_count_on()
    confirmed = house.now
    await live(house, back.replace(hour=11, minute=6))
    found = await energies(house)
    assert found[NINE] == pytest.approx(used_wh(NINE, heard), abs=1.1)
    start = TEN
    while start + HOUR <= confirmed:
        assert found[start] == pytest.approx(0, abs=1.1), start
        start += HOUR
    assert found[start] == pytest.approx(used_wh(confirmed, start + HOUR), abs=1.1)
    assert found[start + HOUR] == pytest.approx(DAY_W, abs=1.1)


async def test_a_register_that_comes_back_lost_nothing(house: House) -> None:
    """A back-up was restored and put away again: what was shown meanwhile counts too."""
    await fallen(house)
    house.home.coordinator.async_count_on()
    confirmed = house.now
    await live(house, TEN + timedelta(minutes=6))
    house.fell = None
    await live(house, NOON + timedelta(minutes=6))
    assert house.home.coordinator.totals.base(IMPORT) == 0
    found = await energies(house)
    assert found[NINE] == pytest.approx(used_wh(NINE, LAST_PUSH) + used_wh(confirmed, TEN), abs=1.1)
    assert found[TEN] == pytest.approx(
        used_wh(LAST_PUSH, ELEVEN) - used_wh(confirmed, TEN), abs=1.1
    )
    assert found[ELEVEN] == pytest.approx(DAY_W, abs=1.1)


async def test_a_base_that_an_earlier_version_kept_is_gone_on_with(house: House) -> None:
    await fallen(house)
    house.home.coordinator.async_count_on()
    await live(house, TEN + timedelta(minutes=6))
    store = await async_get_store(house.home.hass)
    record = store.records[house.home.meter.title]
    record.steps = {}
    record.came_s = None
    before = await house.rows()
    await house.home.restart()
    await live(house, NOON + timedelta(minutes=6))
    rows, found = await house.rows(), await energies(house)
    assert {start: rows[start] for start in before} == before
    assert found[TEN] == pytest.approx(DAY_W, abs=1.1)
    assert found[ELEVEN] == pytest.approx(DAY_W, abs=1.1)


@pytest.mark.parametrize("off", [2 * HOUR, -2 * HOUR])
@pytest.mark.parametrize("confirms", [True, False])
async def test_a_fall_while_the_clock_is_wrong_is_no_consumption(
    house: House, off: timedelta, confirms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 09:16 to 09:40; rows and frames carry that clock."""
    wrong = MORNING.replace(hour=9, minute=16), MORNING.replace(hour=9, minute=40)
    done_s = int(house.begun.timestamp())

    def clock(moment: datetime) -> datetime:
        return moment + off if wrong[0] < moment < wrong[1] else moment

    def meter_until(self: House, moment: datetime) -> None:
        nonlocal done_s
        for end_s in range(done_s // 900 * 900 + 900, int(moment.timestamp()) + 1, 900):
            end = datetime.fromtimestamp(end_s, UTC)
            stamp_s = int(clock(end).timestamp())
            self.profile.keep(stamp_s, self.imported_wh(end), self.exported_wh(end))
        done_s = int(moment.timestamp())

    async def push(self: House) -> None:
        self.meter_until(self.now)
        values = {IMPORT: self.imported_wh(self.now), EXPORT: self.exported_wh(self.now)}
        meter = self.home.meter
        await self.home.push(meter.seal(meter.body(values, at=clock(self.now))))

    monkeypatch.setattr(House, "meter_until", meter_until)
    monkeypatch.setattr(House, "push", push)
    await fallen(house)
    if confirms:
        house.home.coordinator.async_count_on()
    shown = shown_by(house, house.now if confirms else NOON + HOUR)
    await live(house, NOON + timedelta(minutes=66))
    await check(house, shown, NOON)


@pytest.mark.parametrize("confirms", [True, False])
async def test_a_fall_that_an_earlier_version_held_is_no_consumption(
    house: House, confirms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It filled the fallen register until 11:00, and kept no moment."""
    await house.home.set_up()
    await house.live(NINE + timedelta(minutes=6))
    house.fell = (FALL, LOST_WH)
    with monkeypatch.context() as earlier:
        earlier.setattr(Totals, "shown_wh", lambda self, key, at_s, wh: wh + self.base(key))
        await house.live(ELEVEN + timedelta(minutes=20))
    before = await house.rows()
    store = await async_get_store(house.home.hass)
    record = store.records[house.home.meter.title]
    record.steps, record.came_s = {}, None
    await house.home.restart()
    await live(house, ELEVEN + timedelta(minutes=25))
    if confirms:
        house.home.coordinator.async_count_on()
    confirmed = house.now
    await live(house, NOON + timedelta(minutes=66))
    rows, found = await house.rows(), await energies(house)
    assert {start: rows[start][1] for start in before} == {
        start: total for start, (_, total) in before.items()
    }
    used = used_wh(confirmed, NOON) if confirms else 0
    assert found[ELEVEN] == pytest.approx(used, abs=1.1)
    assert found[NOON] == pytest.approx(DAY_W if confirms else 0, abs=1.1)
