"""A meter's energy in the other unit: totals, money and statistics as if it had been right always.

Beside Home Assistant's own recorder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.components.recorder import Recorder
from homeassistant.helpers import entity_registry as er
from integration_home import Home, RealFrame
from recorded_house import FIVE, MORNING, Period, compiled, statistics
from test_integration_options import Options
from test_integration_raw_topic import entry_of, hear

from custom_components.meter_node.channel import frames
from custom_components.meter_node.history.plan import Row
from custom_components.meter_node.history.recorded import Series
from custom_components.meter_node.history.rescaled import rescaled
from custom_components.meter_node.scale import change
from custom_components.meter_node.store import MeterRecord, async_get_store

TITLE = "5706567331323526"
COUNTED, REACTIVE = 32_014_158, 12_345_678
IMPORT, COST = "import_active_energy", "import_cost"
STEP = 50
"""What the register goes on by in each frame, as it counts."""


@dataclass
class House:
    """A plain real meter whose register goes on frame by frame, and a home that hears it."""

    home: Home
    data: bytes
    counted: int = COUNTED

    async def push(self) -> None:
        """Send an hourly list, two of which come in five minutes."""
        self.counted += STEP
        clock = self.home.freezer.time_to_freeze
        data = self.data.replace(COUNTED.to_bytes(4), self.counted.to_bytes(4))
        stamp = bytes((clock.hour, clock.minute, clock.second))
        head = data[6:18]
        data = data.replace(
            head, clock.year.to_bytes(2) + bytes((clock.month, clock.day, 0xFF)) + stamp + head[8:]
        )
        await hear(self.home, data)

    async def live(self, minutes: int, *, heard: bool = True) -> None:
        """Let time pass: a push half a minute before each five minutes, which are then compiled."""
        until = self.home.freezer.time_to_freeze.replace(tzinfo=UTC) + timedelta(minutes=minutes)
        while (now := datetime.now(UTC)) < until:
            edge = datetime.fromtimestamp((now.timestamp() // 300 + 1) * 300, UTC)
            for at in (edge - timedelta(seconds=30), edge + timedelta(seconds=10)):
                self.home.freezer.move_to(at)
                if heard:
                    await self.push()
            await compiled(self.home, edge - FIVE)

    async def choose(self, unit: str) -> None:
        """Choose a unit as a person does, and see what will happen before."""
        options = await Options(self.home.hass, self.home.entry).begin()
        await options.submit(scale={"scaler_profile": unit}, tariff={}, capacity={})
        await options.submit(**{"import": {"price_t1": 2}, "export": {}})
        assert options.shows("rescale")
        await options.submit()
        assert options.ended
        await self.home.settle()

    async def rows(self, period: Period, key: str = IMPORT) -> list[tuple[float, float]]:
        """State and sum of each row, in kWh or in the currency."""
        return [(state, total) for _, state, total in await statistics(self.home, key, period)]


@pytest.fixture
async def house(recorder_mock: Recorder, home: Home, real_frames: dict[str, RealFrame]) -> House:
    home.freezer.move_to(MORNING)
    home.hass.config.currency = "SEK"
    home.entry = entry_of(home.hass, TITLE, "energy_1_wh", None)
    options = {"scaler_profile": "energy_1_wh", "import_prices": {"1": 2}, "export_prices": {}}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    data = frames.apdu_of(real_frames["omnipower_3p_se_hourly_plain"].payload)
    assert data.count(COUNTED.to_bytes(4)) == 1
    assert data.count(data[6:18]) == 2
    house = House(home, data)
    await home.set_up()
    return house


def steps(rows: list[tuple[float, float]]) -> list[float]:
    """What the sums go on by."""
    return [late[1] - early[1] for early, late in pairwise(rows)]


def constant(rows: list[tuple[float, float]]) -> float:
    """The one difference of states and sums."""
    found = {round(state - total, 6) for state, total in rows}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("minutes", [20, 73])
async def test_statistics_go_on_without_a_jump_in_the_other_unit(
    house: House, minutes: int
) -> None:
    """Two frames of 50 counts each in five minutes: 0.1 kWh, or 1 kWh where one counts 10 Wh."""
    await house.live(minutes)
    before = {period: await house.rows(period) for period in ("5minute", "hour")}
    assert steps(before["5minute"])[1:] == pytest.approx([0.1] * (len(before["5minute"]) - 2))
    await house.choose("energy_10_wh")
    await house.live(70)
    for period, old in before.items():
        after = await house.rows(period)
        assert len(after) > len(old)
        expected = [(10 * state, 10 * total) for state, total in old]
        assert [one for row in after[: len(old)] for one in row] == pytest.approx(
            [one for row in expected for one in row]
        )
        constant(after)
        assert min(steps(after), default=0) >= 0
    five = await house.rows("5minute")
    assert steps(five)[1:] == pytest.approx([1.0] * (len(five) - 2))
    assert house.home.state(IMPORT) == f"{house.counted / 100:.2f}"
    assert house.home.coordinator.rescaling is None


async def test_statistics_are_as_they_were_when_the_first_unit_is_chosen_again(
    house: House,
) -> None:
    await house.live(70)
    before = await house.rows("5minute")
    for unit in ("energy_10_wh", "energy_1_wh"):
        await house.choose(unit)
        await house.live(15)
    after = await house.rows("5minute")
    assert [one for row in after[: len(before)] for one in row] == pytest.approx(
        [one for row in before for one in row]
    )
    assert steps(after)[1:] == pytest.approx([0.1] * (len(after) - 2))
    constant(after)
    constant(await house.rows("hour"))
    assert house.home.state(IMPORT) == f"{house.counted / 1000:.3f}"


async def test_money_goes_on_in_the_same_proportion(house: House) -> None:
    """At 2 a kWh: 0.2 in five minutes, or 2."""
    await house.live(70)
    cost = float(house.home.state(COST) or 0)
    before, counted = await house.rows("5minute", COST), house.counted
    await house.choose("energy_10_wh")
    await house.live(15)
    after = await house.rows("5minute", COST)
    assert steps(after)[1:] == pytest.approx([2.0] * (len(after) - 2), abs=0.01)
    assert [one for row in after[: len(before)] for one in row] == pytest.approx(
        [10 * one for row in before for one in row]
    )
    used_kwh = (house.counted - counted) / 100
    assert float(house.home.state(COST) or 0) == pytest.approx(10 * cost + 2 * used_kwh, abs=0.01)
    assert min(steps(await house.rows("hour", COST)), default=0) >= 0


async def test_a_unit_that_is_chosen_to_and_fro_before_the_meter_sends_changes_nothing(
    house: House,
) -> None:
    await house.live(20)
    before = await house.rows("5minute")
    await house.choose("energy_10_wh")
    await house.choose("energy_1_wh")
    assert house.home.coordinator.rescaling is None
    await house.live(10)
    assert (await house.rows("5minute"))[: len(before)] == before
    constant(await house.rows("5minute"))


async def test_a_home_that_is_switched_off_before_the_meter_sends_goes_on_later(
    house: House,
) -> None:
    await house.live(70)
    await house.choose("energy_10_wh")
    await house.live(10, heard=False)
    house.home.freezer.tick(timedelta(days=2))
    await house.home.restart()
    await house.live(10)
    for period in ("5minute", "hour"):
        found = await house.rows(period)
        assert min(steps(found), default=0) >= 0
        # An hour of 1 kWh in five minutes, and its edges.
        assert max(steps(found), default=0) < 12.5
        constant(found)


@pytest.mark.parametrize("written", [1, 2, 3])
async def test_what_was_broken_off_is_finished_and_nothing_is_done_twice(
    house: House, written: int
) -> None:
    """Home Assistant ends after so many series are written, and before that is noted."""
    await house.live(130)
    rescale, done = Series.async_rescale, 0

    async def breaks(self: Series, *args: Any) -> None:
        nonlocal done
        await rescale(self, *args)
        done += 1
        if done == written:
            raise RuntimeError("the power failed")

    await house.choose("energy_10_wh")
    with patch.object(Series, "async_rescale", breaks), pytest.raises(RuntimeError):
        await house.live(15)
    await house.home.restart()
    await house.live(15)
    assert house.home.coordinator.rescaling is None
    for key, step in ((IMPORT, 1.0), (COST, 2.0)):
        five = await house.rows("5minute", key)
        # The frame between the change and the restart counts in the five minutes of the restart.
        assert steps(five)[1:] == pytest.approx([step] * (len(five) - 2), abs=0.01)
        assert min(steps(await house.rows("hour", key)), default=0) >= 0


async def test_disabled_sensors_are_rescaled_too(house: House) -> None:
    await house.live(70)
    entity_id = house.home.entity_id(IMPORT)
    assert entity_id is not None
    registry = er.async_get(house.home.hass)
    await house.choose("energy_10_wh")
    before = await house.rows("hour")
    registry.async_update_entity(entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    await house.home.restart()
    await house.live(10)
    after = await house.rows("hour")
    assert [10 * total for _, total in before] == pytest.approx([total for _, total in after])


async def test_without_a_recorder_nothing_is_left_to_be_done(home: Home) -> None:
    home.entry = entry_of(home.hass, TITLE, "energy_1_wh", None)
    record = MeterRecord("", "energy_10_wh", totals={IMPORT: 320_141_580})
    (await async_get_store(home.hass)).records[TITLE] = record
    await home.set_up()
    assert home.coordinator.rescaling is None
    assert record.totals == {IMPORT: 32_014_158}


# --- what is kept of it ---------------------------------------------------------------------------


def test_a_record_is_rescaled_and_back_without_a_rounding_error() -> None:
    costs = {
        "currency": "SEK",
        "totals": {COST: "12.345678901"},
        "since": {COST: 1_795_000_000.0},
        "unpriced_wh": 3.0,
        "counted": {IMPORT: [COUNTED, 1_795_176_000.0]},
    }
    record = MeterRecord(
        "",
        "energy_1_wh",
        totals={IMPORT: COUNTED},
        bases={IMPORT: 7},
        falls={IMPORT: [9, 3, 1]},
        steps={IMPORT: [[1_795_000_000, 1_795_000_010, 3, 1, 7, 10]]},
        history={IMPORT: [5, 1_795_176_000], "capacity_norway_elvia": [5, 1_795_176_000]},
        costs=costs,
        capacity={"preset": "norway_elvia"},
    )
    change(record, "energy_10_wh")
    assert record.totals == {IMPORT: 10 * COUNTED}
    assert record.falls == {IMPORT: [90, 30, 10]}
    assert record.steps == {IMPORT: [[1_795_000_000, 1_795_000_010, 30, 10, 70, 100]]}
    assert record.costs["totals"] == {COST: "123.45678901"}
    assert record.costs["counted"] == {IMPORT: [10 * COUNTED, 1_795_176_000.0]}
    assert record.history == {IMPORT: [5, 1_795_176_000]}
    assert record.capacity == {}
    assert record.rescale == {
        "exponent": 1,
        "since_s": None,
        "totals": {IMPORT: COUNTED, COST: 12.345678901},
    }
    change(record, "energy_1_wh")
    assert (record.totals, record.bases) == ({IMPORT: COUNTED}, {IMPORT: 7})
    assert record.costs == costs
    assert record.rescale == {}


HOUR, FIVE_S = 3600, 300


def test_an_hour_s_row_in_two_scales_goes_on_by_what_the_register_moved() -> None:
    """1000 and 1010 counted, then 1020 of ten each, which the recorder took for 9190 more."""
    hours = {0: Row(1000, 0), HOUR: Row(1010, 10), 2 * HOUR: Row(10_200, 9200)}
    done, _ = rescaled(hours, {}, 2 * HOUR + 60, 1, 1015)
    assert done == {0: Row(10_000, 0), HOUR: Row(10_100, 100), 2 * HOUR: Row(10_200, 200)}
    assert rescaled(done, {}, 2 * HOUR + 60, 1, 1015)[0] == done


def test_five_minutes_whose_forerunners_are_gone_go_on_from_the_last_hour() -> None:
    hours = {0: Row(1000, 0), HOUR: Row(1010, 10)}
    short_term = {300 * HOUR: Row(11_000, 0), 300 * HOUR + FIVE_S: Row(11_010, 10)}
    _, done = rescaled(hours, short_term, 300 * HOUR + 60, 1, 1010)
    assert done == {
        300 * HOUR: Row(11_000, 1000),
        300 * HOUR + FIVE_S: Row(11_010, 1010),
    }


def test_a_series_without_rows_stays_without() -> None:
    assert rescaled({}, {}, HOUR, 1, 1000) == ({}, {})
