"""Statistics of money beside Home Assistant's own recorder: a meter that is added anew, another
currency, and the history that is filled in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from homeassistant.components.recorder.statistics import (
    get_metadata,
)
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
from integration_home import ALL_IS_WELL, THREE_PHASES
from pytest_homeassistant_custom_component.common import MockConfigEntry
from recorded_house import (
    DAYS,
    FIVE,
    IMPORT,
    MORNING,
    PRICED,
    PRICES,
    House,
    Period,
    statistics,
)

from custom_components.meter_node import tariff as tariff_module
from custom_components.meter_node.channel import axdr, objects, presets
from custom_components.meter_node.channel.activity_calendar import ActivityCalendar
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.store import async_get_store


async def sums(house: House, period: Period) -> list[float]:
    """The running sums of the cost."""
    return [total for *_, total in await statistics(house.home, "import_cost", period)]


async def add_anew(house: House, **options: Any) -> None:
    """Delete the meter, and add it again as a person would."""
    home = house.home
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    await home.hass.async_block_till_done()
    home.entry = MockConfigEntry(
        domain=DOMAIN,
        title="382M 4711",
        unique_id=home.meter.title,
        data=home.meter.entry_data,
        options=PRICED | options,
    )
    home.entry.add_to_hass(home.hass)
    await home.set_up()


async def test_a_meter_that_is_added_anew_goes_on_in_the_statistics_of_its_cost(
    priced: House,
) -> None:
    """2.4 kW at 2 DKK a kWh are 0.4 DKK in five minutes."""
    await priced.live(MORNING + timedelta(hours=2), fill=False)
    entity_id, before = priced.home.entity_id("import_cost"), await sums(priced, "5minute")
    assert before[-1] > 3
    await add_anew(priced)
    await priced.live(MORNING + timedelta(hours=2, minutes=30), fill=False)
    assert priced.home.entity_id("import_cost") == entity_id
    after = await sums(priced, "5minute")
    assert after[: len(before)] == before
    steps = [late - early for early, late in pairwise(after)]
    assert min(steps) >= 0
    assert max(steps) < 0.5
    assert after[-1] == pytest.approx(before[-1] + 6 * 0.4, abs=0.45)


async def test_the_history_of_a_meter_that_is_added_anew_has_no_negative_hour(
    priced: House,
) -> None:
    await priced.live(MORNING.replace(hour=10, minute=6))
    await add_anew(priced)
    back = MORNING.replace(hour=13, minute=2)
    priced.home.freezer.move_to(back)
    await priced.live(back.replace(hour=15, minute=11))
    await priced.check_money(DAYS * 24 + 7)
    live = await sums(priced, "5minute")
    assert live[-1] >= (await sums(priced, "hour"))[-1]  # it goes on from the last hour


async def test_a_total_tells_since_when_it_counts_and_goes_on_over_a_restart(
    priced: House,
) -> None:
    await priced.live(MORNING + 2 * FIVE, fill=False)
    cost = priced.home.shown("import_cost")
    assert cost is not None
    since = dt_util.parse_datetime(cost.attributes["last_reset"])
    assert since is not None
    assert MORNING <= since <= priced.now
    await priced.home.restart()
    await priced.push()
    again = priced.home.shown("import_cost")
    assert again is not None
    assert again.attributes["last_reset"] == cost.attributes["last_reset"]


async def test_a_total_whose_prices_are_emptied_tells_since_when_it_counts_all_the_same(
    priced: House,
) -> None:
    """Were it told again later, Home Assistant would add all of the total once more to the sum."""
    await priced.live(MORNING + 2 * FIVE, fill=False)
    before = priced.home.shown("import_cost")
    priced.home.hass.config_entries.async_update_entry(priced.home.entry, options={})
    await priced.home.restart()
    await priced.push()
    emptied = priced.home.shown("import_cost")
    assert before is not None
    assert emptied is not None
    assert emptied.state == before.state
    assert emptied.attributes["last_reset"] == before.attributes["last_reset"]


async def test_a_total_of_an_earlier_version_goes_on_without_a_new_beginning(
    priced: House,
) -> None:
    """Home Assistant would add all of it once more to the sum, were a beginning told now."""
    await priced.push()
    await priced.push()
    costs = priced.home.coordinator.tariffs.costs
    costs.since = dict.fromkeys(("import_cost", "export_compensation"))  # it told none
    await priced.live(MORNING + timedelta(minutes=30), fill=False)
    record = (await async_get_store(priced.home.hass)).records[priced.home.meter.title]
    del record.costs["since"]
    await priced.home.restart()
    await priced.live(MORNING + timedelta(minutes=60), fill=False)
    found = await sums(priced, "5minute")
    assert found[-1] > 3
    assert max(late - early for early, late in pairwise(found)) < 0.5
    cost = priced.home.shown("import_cost")
    assert cost is not None
    assert "last_reset" not in cost.attributes


async def test_no_currency_is_mixed_into_the_statistics_of_another(priced: House) -> None:
    """Home Assistant stops them and asks; what is filled from the meter stops with them."""
    await priced.live(MORNING.replace(hour=9, minute=11))
    hours, live = await sums(priced, "hour"), await sums(priced, "5minute")
    options = {
        "import_prices": {"1": 0.3},
        "export_prices": {"1": 0.05},
        "scaler_profile": "energy_1_wh",
    }
    priced.home.hass.config_entries.async_update_entry(priced.home.entry, options=options)
    await priced.home.hass.config.async_update(currency="EUR")
    await priced.home.settle()
    await priced.live(MORNING.replace(hour=11, minute=11))
    cost = priced.home.shown("import_cost")
    assert cost is not None
    assert cost.attributes["unit_of_measurement"] == "EUR"
    # Two hours of 2.4 kW at 0.3.
    assert float(cost.state) == pytest.approx(2 * 2.4 * 0.3, abs=0.05)
    assert await sums(priced, "5minute") == live
    # The hour that ran was closed by what it had of the old currency.
    assert await sums(priced, "hour") == [*hours, live[-1]]
    metadata = await priced.recorder.async_add_executor_job(
        lambda: get_metadata(priced.home.hass, statistic_ids={cost.entity_id})
    )
    assert metadata[cost.entity_id][1]["unit_of_measurement"] == "DKK"
    assert any(
        issue.translation_key == "units_changed"
        for issue in ir.async_get(priced.home.hass).issues.values()
    )


async def test_statistics_in_the_new_currency_begin_once_the_old_ones_are_cleared(
    priced: House,
) -> None:
    await priced.live(MORNING.replace(hour=9, minute=11))
    options = {
        "import_prices": {"1": 0.3},
        "export_prices": {},
        "scaler_profile": "energy_1_wh",
    }
    priced.home.hass.config_entries.async_update_entry(priced.home.entry, options=options)
    await priced.home.hass.config.async_update(currency="EUR")
    await priced.home.settle()
    entity_id = priced.home.entity_id("import_cost")
    assert entity_id is not None
    priced.recorder.async_clear_statistics([entity_id])
    await priced.live(MORNING.replace(hour=11, minute=11))
    rows = await priced.rows("import_cost")
    assert len(rows) == DAYS * 24 + 3
    for before, start in pairwise(sorted(rows)):
        used = priced.imported_wh(start + timedelta(hours=1)) - priced.imported_wh(start)
        assert rows[start][1] - rows[before][1] == pytest.approx(used * 0.3 / 1000, abs=0.001)


@dataclass
class Utility:
    """Has the meter count in tariff 3 at 4 DKK from a moment on; by day its calendar has 2 at 2."""

    house: House
    overrides: datetime = MORNING + timedelta(days=1)

    async def push(self) -> None:
        house, begun = self.house, self.overrides
        house.meter_until(house.now)
        total, at_night = house.imported_wh(house.now), 1_000_000
        peak = max(0, total - house.imported_wh(begun))
        values = THREE_PHASES | {
            IMPORT: total,
            f"{IMPORT}_t1": at_night,
            f"{IMPORT}_t2": total - at_night - peak,
            f"{IMPORT}_t3": peak,
        }
        tariff = axdr.unsigned(3 if house.now > begun else 2)
        said = {**ALL_IS_WELL, (objects.ACTIVE_TARIFF, 2): tariff}
        meter = house.home.meter
        await house.home.push(meter.seal(meter.body(values, said=said)))


@pytest.fixture
async def utility(house: House, monkeypatch: pytest.MonkeyPatch) -> Utility:
    """A house in Denmark whose meter has a calendar of its own, which it is asked for."""

    async def calendar(_asker: object) -> ActivityCalendar:
        await asyncio.sleep(0)  # the answer comes after the push that is taken now
        return presets.load_all()["denmark_n1"].calendar

    utility, hass = Utility(house), house.home.hass
    monkeypatch.setattr(tariff_module, "async_read_calendar", calendar)
    monkeypatch.setattr(house, "push", utility.push)
    hass.config.currency = "DKK"
    await hass.config.async_set_time_zone("Europe/Copenhagen")
    options = {"import_prices": PRICES, "export_prices": {}}
    hass.config_entries.async_update_entry(house.home.entry, options=options)
    await house.home.set_up()
    return utility


async def test_an_hour_in_which_the_utility_overrode_the_tariff_keeps_its_live_cost(
    utility: Utility,
) -> None:
    """From 10:00:10 on."""
    house, utility.overrides = utility.house, MORNING.replace(hour=10, minute=0)
    await house.live(MORNING.replace(hour=12, minute=6))
    found = await costs(house)
    assert found[9] == pytest.approx(2.4 * 2, abs=0.05)
    # From push to push: at most 40 s of 2.4 kW are in the next hour.
    assert [found[10], found[11]] == pytest.approx([2.4 * 4] * 2, abs=2.4 * 4 * 40 / 3600)


@pytest.mark.parametrize("late", [False, True])
async def test_hours_that_an_absence_took_from_the_live_cost_are_priced_by_the_calendar(
    utility: Utility, late: bool
) -> None:
    """Away from 10:10 to 14:24, and back to an override; the profile may answer after 15:03 only.

    At 4 DKK the live total has 14:24 to 15:00, and all of the absence at once.
    """
    house, back = utility.house, MORNING.replace(hour=14, minute=22)
    await house.live(MORNING.replace(hour=10, minute=6))
    house.home.freezer.move_to(back)
    utility.overrides = back
    house.profile.silent = late
    await house.live(MORNING.replace(hour=15, minute=3))
    house.profile.silent = False
    await house.live(MORNING.replace(hour=16, minute=6))
    found = await costs(house)
    by_calendar = [found[hour] for hour in range(10, 15)]
    assert by_calendar == pytest.approx([2.4 * 2] * 5, abs=0.001)
    assert found[15] == pytest.approx(2.4 * 4, abs=2.4 * 4 * 40 / 3600)


async def test_an_override_that_an_absence_cuts_short_leaves_its_hour_to_the_calendar(
    utility: Utility,
) -> None:
    """From 10:00:10 on; the live row of that hour ends with its first five minutes."""
    house, utility.overrides = utility.house, MORNING.replace(hour=10, minute=0)
    await house.live(MORNING.replace(hour=10, minute=6))
    house.home.freezer.move_to(MORNING.replace(hour=14, minute=22))
    utility.overrides = house.now + timedelta(days=1)
    await house.live(MORNING.replace(hour=15, minute=6))
    found = await costs(house)
    assert [found[hour] for hour in range(9, 15)] == pytest.approx([2.4 * 2] * 6, abs=0.001)


async def test_the_hour_in_which_a_meters_calendar_is_read_first_is_priced_by_it(
    utility: Utility,
) -> None:
    """It is added at 08:02, up to when it took 1.2 kW: what was counted live lacks that."""
    await utility.house.live(MORNING.replace(hour=10, minute=6))
    found = await costs(utility.house)
    used = (1.2 * 2 + 2.4 * 58) / 60
    assert [found[8], found[9]] == pytest.approx([used * 2, 2.4 * 2], abs=0.001)


async def other_prices(house: House, price: float) -> None:
    """Give other prices in the options, at all hours the same."""
    options = PRICED | {"import_prices": dict.fromkeys(PRICES, price)}
    house.home.hass.config_entries.async_update_entry(house.home.entry, options=options)
    await house.home.restart()


async def costs(house: House) -> dict[int, float]:
    """What import cost in each hour of the last day."""
    rows = await house.rows("import_cost")
    return {
        start.hour: rows[start][1] - rows[before][1]
        for before, start in list(pairwise(sorted(rows)))[-24:]
    }


async def test_other_prices_touch_no_hour_that_is_over(priced: House) -> None:
    """2.4 kWh an hour at 2 DKK by day; from 12:00:10 on at 10, but for the quarter that runs."""
    noon = MORNING.replace(hour=12, minute=0)
    await priced.live(noon - timedelta(seconds=1))
    await other_prices(priced, 10)
    await priced.live(noon + timedelta(minutes=66))
    found = await costs(priced)
    assert [found[hour] for hour in (9, 10, 11)] == pytest.approx([4.8] * 3, abs=0.001)
    assert found[12] == pytest.approx(0.6 * 2 + 1.8 * 10, abs=0.001)


async def test_hours_that_wait_to_be_filled_are_priced_by_the_prices_of_then(
    priced: House,
) -> None:
    await priced.live(MORNING.replace(hour=10, minute=6))
    priced.profile.silent = True
    await priced.live(MORNING.replace(hour=14, minute=6))
    await other_prices(priced, 10)
    priced.profile.silent = False
    await priced.live(MORNING.replace(hour=16, minute=6))
    found = await costs(priced)
    assert [found[hour] for hour in range(10, 14)] == pytest.approx([4.8] * 4, abs=0.001)
    assert found[15] == pytest.approx(24, abs=0.001)


async def test_energy_that_was_used_while_no_price_was_given_is_not_priced_later(
    priced: House,
) -> None:
    """Prices are emptied at 10:10:10, and are 10 DKK from 13:10:10 on: live they are told apart."""
    await priced.live(MORNING.replace(hour=10, minute=6))
    priced.home.hass.config_entries.async_update_entry(priced.home.entry, options={})
    await priced.home.restart()
    await priced.live(MORNING.replace(hour=13, minute=6))
    await other_prices(priced, 10)
    await priced.live(MORNING.replace(hour=15, minute=6))
    found, push = await costs(priced), 5 / 60
    assert [found[9], found[14]] == pytest.approx([2.4 * 2, 2.4 * 10], abs=0.001)
    assert found[10] == pytest.approx(2.4 * 2 * 10 / 60, abs=2.4 * 2 * push)
    assert [found[11], found[12]] == [0, 0]
    assert found[13] == pytest.approx(2.4 * 10 * 50 / 60, abs=2.4 * 10 * push)


async def test_a_cost_that_is_deleted_is_filled_anew_at_the_prices_of_now(priced: House) -> None:
    await priced.live(MORNING.replace(hour=10, minute=6))
    await other_prices(priced, 10)
    await priced.push()
    entity_id = priced.home.entity_id("import_cost")
    assert entity_id is not None
    priced.recorder.async_clear_statistics([entity_id])
    await priced.live(MORNING.replace(hour=11, minute=11))
    found = await costs(priced)
    assert [found[hour] for hour in (9, 10)] == pytest.approx([24] * 2, abs=0.001)


async def test_a_compensation_that_is_deleted_leaves_the_cost_at_the_prices_of_then(
    priced: House,
) -> None:
    """The cost of 10:00 to 13:10 waits to be filled meanwhile, at 2 DKK; then 10 are in force."""
    await priced.live(MORNING.replace(hour=10, minute=6))
    priced.profile.silent = True
    await priced.live(MORNING.replace(hour=13, minute=6))
    await other_prices(priced, 10)
    entity_id = priced.home.entity_id("export_compensation")
    assert entity_id is not None
    priced.recorder.async_clear_statistics([entity_id])
    priced.profile.silent = False
    await priced.live(MORNING.replace(hour=15, minute=6))
    found = await costs(priced)
    assert [found[hour] for hour in (10, 11, 12)] == pytest.approx([2.4 * 2] * 3, abs=0.001)
    # The quarter that ran at 13:10:10 has the price of its beginning.
    assert found[13] == pytest.approx(0.6 * 2 + 1.8 * 10, abs=0.001)
