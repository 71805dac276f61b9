"""Long-term statistics of a home whose meter can be asked, beside Home Assistant's own recorder."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta
from importlib.abc import MetaPathFinder
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from kept_profile import HOUR_S, KeptProfile
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from recorded_house import DAYS, EXPORT, FIVE, IMPORT, MORNING, QUARTER_S, House

from custom_components.meter_node import history
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.coordinator import MeterNodeCoordinator
from custom_components.meter_node.history import importer, load_profile


async def test_a_new_home_gets_the_whole_of_what_the_meter_keeps(house: House) -> None:
    """Eight days of 24 hours: the one that runs is not, and the first has no beginning."""
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    await house.check(DAYS * 24)


async def test_what_fills_it_is_read_from_the_disk_beside_the_event_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    class Watching(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            threads[name] = threading.get_ident()

    loaded = {name for name in sys.modules if name.startswith(f"{history.__name__}.")}
    for name in loaded:
        monkeypatch.setattr(history, name.rpartition(".")[2], sys.modules[name])
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Watching(), *sys.meta_path])
    await house.home.set_up()
    assert {name for name in threads if name in loaded} >= {importer.__name__}
    assert threading.get_ident() not in {threads.get(name) for name in loaded}


async def test_a_meter_that_has_kept_nothing_yet_has_no_history(house: House) -> None:
    house.begun = MORNING
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    assert house.profile.rows == []
    assert await house.rows() == {}
    assert house.home.state("history_filled_to") is None


async def test_nothing_is_written_before_the_first_live_row(house: House) -> None:
    await house.home.set_up()
    await house.push()
    await house.compiled(MORNING.replace(minute=0) - FIVE)  # there was no state in those minutes
    assert await house.rows() == {}


async def test_the_hour_after_a_fill_is_not_negative(house: House) -> None:
    """The trap: the live sums begin at 0, and would stay there while the history ends higher."""
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    await house.live(MORNING.replace(hour=9, minute=1), fill=False)
    rows = await house.rows()
    last, before = sorted(rows, reverse=True)[:2]
    assert last == MORNING.replace(minute=0)
    assert rows[last][1] - rows[before][1] == pytest.approx(
        house.imported_wh(last + timedelta(hours=1)) - house.imported_wh(last), abs=30
    )


async def test_each_hour_is_rewritten_to_the_register_once_it_is_over(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING.replace(hour=11, minute=6))
    await house.check(DAYS * 24 + 3)


async def test_three_days_without_home_assistant_are_filled_hour_by_hour(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    back = MORNING + timedelta(days=3)
    house.home.freezer.move_to(back)
    await house.home.restart()
    await house.live(back + FIVE)
    await house.check((DAYS + 3) * 24)
    assert house.home.state("history_filled_to") == "2026-11-23T08:00:00+00:00"


async def test_a_second_run_changes_nothing(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    before = await house.rows()
    house.home.coordinator._record.history.clear()
    with patch.object(importer.Series, "async_write") as write:
        await house.live(MORNING.replace(hour=9, minute=11))
        house.home.coordinator.history._done_s = 0
        await house.live(MORNING.replace(hour=9, minute=16))
    assert house.profile.asked[-1] != house.profile.asked[0]
    assert write.call_count == 0
    assert await house.rows() == before


async def test_a_gap_while_home_assistant_ran_is_filled_when_the_meter_is_back(
    house: House,
) -> None:
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    back = MORNING + timedelta(hours=30)
    await house.home.wait(3 * HOUR_S)  # nothing comes: the meter is gone
    house.home.freezer.move_to(back)
    assert not house.home.coordinator.available
    asked = len(house.profile.asked)
    await house.compiled(back.replace(minute=0) - FIVE)
    assert len(house.profile.asked) == asked
    await house.live(back + FIVE)
    await house.check(DAYS * 24 + 30)


async def test_a_fill_that_was_broken_off_is_gone_on_with(house: House) -> None:
    """Eight days are four pieces; the meter falls silent after the second."""
    await house.home.set_up()
    answer = KeptProfile.async_ask

    async def falls_silent(self: KeptProfile, service: bytes) -> Any:
        self.silent = any(first > load_profile.PIECE_ROWS for first, _ in self.asked[2:])
        return await answer(self, service)

    with patch.object(KeptProfile, "async_ask", falls_silent):
        await house.live(MORNING + FIVE)
    part = await house.rows()
    assert 3 * 24 < len(part) < 5 * 24
    filled_s = house.home.coordinator.history_marks[IMPORT][1]
    house.profile.asked.clear()
    house.profile.silent = False
    await house.home.restart()
    await house.live(MORNING + 2 * FIVE)
    await house.check(DAYS * 24)
    last_entry = house.profile.rows[-1].entry
    assert house.profile.rows[house.profile.asked[1][0] - 1].end_s == filled_s
    assert house.profile.asked[-1][1] >= last_entry


@pytest.mark.parametrize(
    "morning",
    [datetime(2026, 3, 30, 8, 2, tzinfo=UTC), datetime(2026, 10, 26, 8, 2, tzinfo=UTC)],
)
async def test_the_nights_of_daylight_saving_have_all_their_hours(
    house: House, morning: datetime
) -> None:
    await house.home.hass.config.async_set_time_zone("Europe/Copenhagen")
    house.profile.zone = ZoneInfo("Europe/Copenhagen")
    house.begun = morning - timedelta(days=3)
    house.home.freezer.move_to(morning)
    await house.home.set_up()
    await house.live(morning + FIVE)
    await house.check(3 * 24)


async def test_the_statistics_follow_a_renamed_sensor(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    entity_id = house.home.entity_id(IMPORT)
    assert entity_id is not None
    er.async_get(house.home.hass).async_update_entity(entity_id, new_entity_id="sensor.from_grid")
    await async_wait_recording_done(house.home.hass)
    await house.home.settle()
    await house.live(MORNING.replace(hour=9, minute=6))
    assert house.home.entity_id(IMPORT) == "sensor.from_grid"
    await house.check(DAYS * 24 + 1)


async def test_statistics_in_another_unit_stay_in_it(house: House) -> None:
    entity_id = "sensor.382m_4711_import_energy"
    er.async_get(house.home.hass).async_get_or_create(
        "sensor",
        DOMAIN,
        f"{house.home.meter.title}_{IMPORT}",
        config_entry=house.home.entry,
        suggested_object_id="382m_4711_import_energy",
    )
    er.async_get(house.home.hass).async_update_entity_options(
        entity_id, "sensor", {"unit_of_measurement": "MWh"}
    )
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    assert house.home.shown(IMPORT).attributes["unit_of_measurement"] == "MWh"
    await house.check(DAYS * 24 + 1)


async def test_a_disabled_sensor_has_no_history_and_makes_no_error(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.home.set_up()
    await house.push()
    entity_id = house.home.entity_id(EXPORT)
    assert entity_id is not None
    er.async_get(house.home.hass).async_update_entity(
        entity_id, disabled_by=er.RegistryEntryDisabler.USER
    )
    await house.home.restart()
    await house.live(MORNING + 2 * FIVE)
    assert len(await house.rows(IMPORT)) == DAYS * 24
    assert await house.rows(EXPORT) == {}
    assert "ERROR" not in caplog.text


@pytest.mark.parametrize(
    "recorder_config", [{"exclude": {"entities": ["sensor.382m_4711_export_energy"]}}]
)
async def test_a_sensor_that_is_not_recorded_has_no_history(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    assert len(await house.rows(IMPORT)) == DAYS * 24
    assert await house.rows(EXPORT) == {}


async def test_history_that_was_deleted_is_filled_anew(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    entity_id = house.home.entity_id(IMPORT)
    assert entity_id is not None
    house.recorder.async_clear_statistics([entity_id])
    await async_wait_recording_done(house.home.hass)
    assert await house.rows() == {}
    await house.live(MORNING.replace(hour=9, minute=6))
    await house.check(DAYS * 24 + 1)


async def test_a_meter_that_can_t_be_read_for_a_day_is_told_of(
    house: House, issue_registry: ir.IssueRegistry
) -> None:
    await house.home.set_up()
    house.profile.silent = True
    await house.live(MORNING + FIVE)
    issue = f"history_{house.home.entry.entry_id}"
    assert issue_registry.async_get_issue(DOMAIN, issue) is None
    house.home.freezer.move_to(MORNING + timedelta(hours=25))
    await house.live(MORNING + timedelta(hours=25, minutes=6))
    assert issue_registry.async_get_issue(DOMAIN, issue) is not None
    house.profile.silent = False
    house.home.freezer.move_to(MORNING + timedelta(hours=27))
    await house.live(MORNING + timedelta(hours=27, minutes=6))
    assert issue_registry.async_get_issue(DOMAIN, issue) is None
    assert len(await house.rows()) == DAYS * 24 + 27


async def test_a_removed_meter_leaves_no_repair_behind(
    house: House, issue_registry: ir.IssueRegistry
) -> None:
    await house.home.set_up()
    house.profile.keep(int(MORNING.timestamp()) // QUARTER_S * QUARTER_S, 50, 0)
    await house.live(MORNING + FIVE)
    assert issue_registry.issues
    await house.home.hass.config_entries.async_remove(house.home.entry.entry_id)
    assert not [issue for domain, issue in issue_registry.issues if domain == DOMAIN]


async def test_a_history_repair_that_is_ignored_stays_so_until_the_meter_is_removed(
    house: House, issue_registry: ir.IssueRegistry
) -> None:
    await house.home.set_up()
    house.profile.keep(int(MORNING.timestamp()) // QUARTER_S * QUARTER_S, 50, 0)
    await house.live(MORNING + FIVE)
    issue = f"history_{house.home.entry.entry_id}"
    ir.async_ignore_issue(house.home.hass, DOMAIN, issue, True)
    await house.home.restart()
    found = issue_registry.async_get_issue(DOMAIN, issue)
    assert found is not None
    assert found.dismissed_version is not None
    await house.home.hass.config_entries.async_remove(house.home.entry.entry_id)
    assert issue_registry.async_get_issue(DOMAIN, issue) is None


async def test_a_meter_that_can_only_be_listened_to_is_left_alone(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.home.set_up()
    house.home.coordinator.asker = None
    await house.live(MORNING + FIVE)
    assert await house.rows() == {}
    assert house.home.coordinator.history._task is None
    assert "ERROR" not in caplog.text


async def test_a_profile_of_deltas_is_told_of_at_once(
    house: House, issue_registry: ir.IssueRegistry
) -> None:
    await house.home.set_up()
    house.profile.keep(int(MORNING.timestamp()) // QUARTER_S * QUARTER_S, 50, 0)
    await house.live(MORNING + FIVE)
    found = issue_registry.async_get_issue(DOMAIN, f"history_{house.home.entry.entry_id}")
    assert found is not None
    assert found.translation_key == "history_deltas"


async def test_unloading_ends_a_fill(house: House) -> None:
    await house.home.set_up()
    await house.push()
    with patch.object(importer, "SPREAD_S", 1_000_000_000):
        house.home.hass.bus.async_fire("recorder_5min_statistics_generated")
        await house.home.settle()
        task = house.home.coordinator.history._task
        assert task is not None
        assert not task.done()
        assert await house.home.hass.config_entries.async_unload(house.home.entry.entry_id)
    assert task.cancelled()


# --- money ---------------------------------------------------------------------------------------


async def test_cost_and_compensation_are_filled_by_the_prices_of_then(priced: House) -> None:
    await priced.live(MORNING.replace(hour=10, minute=6))
    back = MORNING + timedelta(days=2)
    priced.home.freezer.move_to(back)
    await priced.home.restart()
    await priced.live(back.replace(hour=10, minute=6))
    await priced.check_money((DAYS + 2) * 24 + 2)
    assert max(await priced.rows("import_cost")) == back.replace(hour=9, minute=0)


async def test_the_month_s_peaks_are_taken_from_the_profile(house: House) -> None:
    """2400 W in twelve hours of each day; the mean of three days' peaks is that, too."""
    options = {"capacity_preset": "norway_elvia"}
    house.home.hass.config_entries.async_update_entry(house.home.entry, options=options)
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    assert float(house.home.state("month_peak_power") or 0) == pytest.approx(2.4, abs=0.002)


async def test_a_rule_that_is_chosen_later_gets_the_month_s_peaks_too(house: House) -> None:
    await house.home.set_up()
    await house.live(MORNING + FIVE)
    options = {"capacity_preset": "norway_elvia"}
    house.home.hass.config_entries.async_update_entry(house.home.entry, options=options)
    await house.home.settle()
    await house.home.restart()
    before = await house.rows()
    await house.live(MORNING + 2 * FIVE)
    assert float(house.home.state("month_peak_power") or 0) == pytest.approx(2.4, abs=0.002)
    assert await house.rows() == before


async def test_a_meter_that_can_t_be_asked_is_filled_from_what_its_bridge_kept(
    house: House,
) -> None:
    class Bridge:
        async def readings(self, first: datetime, last: datetime) -> Any:
            for row in house.profile.rows:
                at = datetime.fromtimestamp(row.end_s, UTC)
                if first <= at <= last:
                    yield at, dict(zip((IMPORT, EXPORT), row.values, strict=True))

    await house.home.set_up()
    house.home.coordinator.asker = None
    with patch.object(MeterNodeCoordinator, "kept_frames", Bridge()):
        await house.live(MORNING.replace(hour=9, minute=6))
    await house.check(DAYS * 24 + 1)
    assert house.profile.asked == []


# --- a store that was put back -------------------------------------------------------------------


def lose(house: House, days: int, *, first: int = 1) -> None:
    """Put the profile back to a copy of some days ago, as what it keeps from an entry on."""
    edge_s = (house.now - timedelta(days=days)).timestamp()
    house.profile.rows = [
        row for row in house.profile.rows if row.entry >= first and row.end_s <= edge_s
    ]


def goes_on_from(monkeypatch: pytest.MonkeyPatch, again: datetime) -> None:
    """Have the meter keep no row of the time before it came back."""

    def until(self: House, moment: datetime) -> None:
        last_s = max(self.profile.rows[-1].end_s, int(again.timestamp()))
        for end_s in range(
            last_s // QUARTER_S * QUARTER_S + QUARTER_S, int(moment.timestamp()) + 1, QUARTER_S
        ):
            end = datetime.fromtimestamp(end_s, UTC)
            self.profile.keep(end_s, self.imported_wh(end), self.exported_wh(end))

    monkeypatch.setattr(House, "meter_until", until)


@pytest.mark.parametrize("first", [1, 201])
async def test_rows_that_a_restored_store_lost_destroy_no_hour_that_was_filled(
    house: House, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """A disk image of two days ago is put back; the register goes on from the last push."""
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    lose(house, 2, first=first)
    goes_on_from(monkeypatch, house.now)
    await house.live(MORNING.replace(hour=12, minute=6))
    await house.check(DAYS * 24 + 4)


async def test_a_restored_store_is_known_when_its_numbers_have_passed_the_mark(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lost two hours, and is silent for three more: its numbers are higher than ever again."""
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    edge_s = (house.now - timedelta(hours=2)).timestamp()
    house.profile.rows = [row for row in house.profile.rows if row.end_s <= edge_s]
    goes_on_from(monkeypatch, house.now)
    house.profile.silent = True
    await house.live(MORNING.replace(hour=12, minute=6))
    house.profile.silent = False
    await house.live(MORNING.replace(hour=14, minute=6))
    await house.check(DAYS * 24 + 6)


async def test_a_restored_store_whose_register_fell_too_is_gone_on_with(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days' energy is lost with it; its user lets the sensor count on at once."""
    await house.home.set_up()
    await house.live(MORNING.replace(hour=9, minute=6))
    before, seen = await house.rows(), house.now
    lost_wh = house.imported_wh(seen) - house.imported_wh(seen - timedelta(days=2))
    lose(house, 2)
    goes_on_from(monkeypatch, seen)
    house.fell = (seen, lost_wh)
    await house.live(MORNING.replace(hour=9, minute=16))
    house.home.coordinator.async_count_on()
    agreed = house.now
    await house.live(MORNING.replace(hour=12, minute=6))
    rows = await house.rows()
    assert {start: rows[start] for start in before} == before
    hours = [rows[start][1] - rows[start - timedelta(hours=1)][1] for start in sorted(rows)[-3:]]
    # 2.4 kW; what was used between the last push before it and the agreement is not shown.
    nine = 2400 * (1 - (agreed - seen).total_seconds() / HOUR_S)
    assert hours == pytest.approx([nine, 2400, 2400], abs=1.1)
