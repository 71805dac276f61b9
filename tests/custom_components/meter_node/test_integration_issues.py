"""Repairs: when a homeowner is told of something, when no more, and what a repair does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from integration_home import NOON, STATUS_TOPIC, THREE_PHASES, Home
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.meter_node import energy_dashboard
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.issues import PROBLEMS, Situation, issue_id, version
from custom_components.meter_node.store import async_get_store
from custom_components.meter_node.totals import came_back

MINUTE_S = 60


def raised(home: Home) -> dict[str, ir.IssueEntry]:
    """The issues that a homeowner sees, by their key."""
    return {
        str(issue.translation_key): issue
        for (domain, _), issue in ir.async_get(home.hass).issues.items()
        if domain == DOMAIN and issue.active
    }


async def minutes(home: Home, count: int, *, off_s: float | None = None) -> None:
    """Let minutes go by, with a frame in each where its clock is given."""
    for _ in range(count):
        if off_s is not None:
            at = dt_util.utcnow() + timedelta(seconds=off_s)
            await home.push(home.meter.seal(home.meter.body(THREE_PHASES, at)))
        await home.wait(MINUTE_S)


async def fix(home: Home, problem: str) -> Any:
    """Open the repair of an issue, as a click on it does."""
    assert await async_setup_component(home.hass, "repairs", {})
    manager = home.hass.data["repairs"]["flow_manager"]
    return await manager.async_init(
        DOMAIN, data={"issue_id": issue_id(problem, home.entry.entry_id)}
    )


async def submit(home: Home, form: Any, **typed: Any) -> Any:
    manager = home.hass.data["repairs"]["flow_manager"]
    return await manager.async_configure(form["flow_id"], typed)


def held(**changes: Any) -> set[str]:
    """The keys of the problems that hold in a situation."""
    situation = Situation(**{"silent_s": 0, **changes})
    return {problem.key for problem in PROBLEMS if problem.holds(situation) is not None}


def test_nothing_is_wrong_with_a_meter_that_sends() -> None:
    assert held(node_online=True) == set()


@pytest.mark.parametrize(
    ("silent_s", "push_interval_s", "told"),
    [(599, 10, False), (600, 10, True), (2_699, 900, False), (2_700, 900, True)],
)
def test_a_silence_is_borne_for_ten_minutes_and_for_three_pushes(
    silent_s: int, push_interval_s: int, told: bool
) -> None:
    found = held(silent_s=silent_s, push_interval_s=push_interval_s, node_online=True)
    assert found == ({"channel_silent"} if told else set())


def test_the_channel_is_not_to_blame_while_the_node_is_away() -> None:
    assert held(silent_s=10_000) == set()


def test_a_clock_that_is_invalid_is_not_said_to_be_off_as_well() -> None:
    assert held(clock_off_s=400, clock_invalid=True) == {"clock_invalid"}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.1.0", (0, 1, 0)), ("v2.10", (2, 10)), ("1.4rc1", (1, 4)), ("trunk", None), ("", None)],
)
def test_a_version_is_the_numbers_that_it_begins_with(
    text: str, numbers: tuple[int, ...] | None
) -> None:
    assert version(text) == numbers


@pytest.mark.parametrize(
    ("protocol", "software", "told"),
    [
        ("MeterNode_V1", "0.0.9", True),
        ("MeterNode_V1", "0.1", False),
        ("MeterNode_V1", "0.10.0", False),
        ("MeterNode_V1", "trunk", False),
        ("Kamstrup_V0001", "0.0.1", False),
    ],
)
def test_only_an_old_node_of_our_own_list_is_too_old(
    protocol: str, software: str, told: bool
) -> None:
    assert held(protocol=protocol, software=software) == ({"software_old"} if told else set())


async def test_a_meter_whose_node_is_online_and_whose_frames_do_not_come_is_told_of(
    home: Home,
) -> None:
    home.broker.keep(STATUS_TOPIC, "online")
    await home.set_up()
    await minutes(home, 9)
    assert raised(home) == {}
    await minutes(home, 1)
    issue = raised(home)["channel_silent"]
    assert (issue.severity, issue.is_fixable) == (ir.IssueSeverity.WARNING, False)
    assert issue.translation_placeholders == {"meter": "382M 4711"}
    await home.push()
    await minutes(home, 1)
    assert raised(home) == {}


async def test_frames_that_do_not_open_show_that_the_channel_is_enabled(home: Home) -> None:
    home.broker.keep(STATUS_TOPIC, "online")
    await home.set_up()
    for _ in range(11):
        await home.push(b"/KAM5\r\n")
        await minutes(home, 1)
    assert raised(home) == {}


async def test_a_clock_that_stays_off_is_told_of_until_it_is_right(home: Home) -> None:
    await home.set_up()
    await minutes(home, 2, off_s=-45)
    assert raised(home) == {}  # a broker that was away hands over late frames
    await minutes(home, 1, off_s=-45)
    placeholders = raised(home)["clock_off"].translation_placeholders
    assert placeholders == {"meter": "382M 4711", "deviation": "−0:00:45"}
    await minutes(home, 1, off_s=29)
    assert raised(home) == {}


async def test_one_frame_whose_clock_is_off_counts_once_however_long_it_is_the_last(
    home: Home,
) -> None:
    await home.set_up()
    await minutes(home, 1, off_s=300)
    await minutes(home, 5)
    assert raised(home) == {}


async def test_frames_that_are_held_up_are_no_clock_that_is_off(home: Home) -> None:
    """Each minute's last one comes 45 s late, and one before it in time."""
    await home.set_up()
    for _ in range(6):
        await home.wait(40)
        for late_s in (0, 45):
            at = dt_util.utcnow() - timedelta(seconds=late_s)
            await home.push(home.meter.seal(home.meter.body(THREE_PHASES, at)))
            await home.wait(10)
        assert raised(home) == {}


async def test_an_old_node_is_told_of_with_both_versions(home: Home) -> None:
    home.broker.keep(home.meter.hello_topic, home.meter.hello(software="0.0.9"))
    await home.set_up()
    await minutes(home, 1)
    assert raised(home)["software_old"].translation_placeholders == {
        "meter": "382M 4711",
        "software": "0.0.9",
        "wanted": "0.1",
    }
    await home.say(home.meter.hello_topic, home.meter.hello(software="0.1.0"))
    await minutes(home, 1)
    assert raised(home) == {}


async def test_a_hello_that_contradicts_the_frames_makes_no_node_too_old(home: Home) -> None:
    await home.set_up()
    await home.push()  # 0.1.0
    await home.say(home.meter.hello_topic, home.meter.hello(software="0.0.1"))
    await minutes(home, 1)
    assert raised(home) == {}


async def test_a_node_whose_frames_say_that_it_is_old_is_told_of_whatever_its_hello_says(
    home: Home,
) -> None:
    await home.set_up()
    home.meter.software = "0.0.9"
    await home.push()
    await home.say(
        home.meter.hello_topic, home.meter.hello(software="9.9", protocol="Kamstrup_V0001")
    )
    await minutes(home, 1)
    assert set(raised(home)) == {"software_old"}


async def test_a_register_that_went_back_counts_on_from_what_was_shown(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=1_000)
    await minutes(home, 1)
    await home.push(import_active_energy=1_000)
    assert home.state("import_active_energy") == "12345.678"
    form = await fix(home, "total_fell")
    assert form["type"] is FlowResultType.FORM
    assert form["description_placeholders"]["totals"] == (
        "- 382M 4711 Import energy: 12345.678 → 1.000 kWh"
    )
    assert (await submit(home, form))["type"] is FlowResultType.CREATE_ENTRY
    assert raised(home) == {}
    await home.push(import_active_energy=1_250)  # 250 Wh more than the lower value
    assert home.state("import_active_energy") == "12345.928"
    await minutes(home, 1)
    assert raised(home) == {}


async def test_what_was_taken_as_it_is_outlives_a_restart(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=1_000)
    home.coordinator.async_count_on()
    await home.restart()
    await home.push(import_active_energy=1_001)
    assert home.state("import_active_energy") == "12345.679"
    record = (await async_get_store(home.hass)).records[home.meter.title]
    assert record.bases == {"import_active_energy": 12_345_678 - 1_000}


async def test_a_register_that_comes_back_is_not_counted_on_top_of_what_it_was(
    home: Home,
) -> None:
    await home.set_up()
    await home.push(import_active_energy=1_000_000)
    await home.push(import_active_energy=1_000)  # a back-up was restored
    home.coordinator.async_count_on()
    await home.push(import_active_energy=1_100)
    assert home.state("import_active_energy") == "1000.1"
    await home.restart()
    await home.push(import_active_energy=1_000_300)  # and put away again
    assert home.state("import_active_energy") == "1000.3"
    await home.push(import_active_energy=1_000_400)
    assert home.state("import_active_energy") == "1000.4"
    assert home.coordinator.totals.base("import_active_energy") == 0


async def test_one_that_comes_back_somewhat_lower_is_asked_about(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=1_000_000)
    await home.push(import_active_energy=1_000)
    home.coordinator.async_count_on()
    await home.push(import_active_energy=2_000)
    await home.push(import_active_energy=999_500)
    assert home.state("import_active_energy") == "1001.0"
    await minutes(home, 1)
    assert set(raised(home)) == {"total_fell"}


@pytest.mark.parametrize(
    ("before", "register", "back"),
    [
        (1_100, 1_000_300, True),
        (1_100, 900_100, True),  # a tenth may lack
        (1_100, 900_099, False),
        (999_999, 1_000_300, False),  # used, kWh by kWh
        (600_000, 1_000_300, False),  # less than half of it at once
    ],
)
def test_a_register_came_back_if_most_of_its_fall_is_made_good_at_once(
    before: float, register: float, back: bool
) -> None:
    assert came_back(1_000_000, 1_000, before, register) is back


def test_a_small_fall_may_be_used_in_one_step() -> None:
    assert not came_back(10_000, 0, 0, 12_000)


async def test_a_register_that_reaches_its_old_value_again_needs_no_repair(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=12_345_600)
    await minutes(home, 1)
    assert set(raised(home)) == {"total_fell"}
    await home.push(import_active_energy=12_345_678)
    await minutes(home, 1)
    assert raised(home) == {}


async def test_a_repair_of_a_meter_that_is_not_loaded_says_so(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=1_000)
    await minutes(home, 1)
    issue = f"total_fell_{home.entry.entry_id}"
    ir.async_get(home.hass).async_ignore(DOMAIN, issue, True)  # so that it outlives the unloading
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    answer = await fix(home, "total_fell")
    assert (answer["type"], answer["reason"]) == (FlowResultType.ABORT, "not_loaded")


async def test_unloading_leaves_no_issue_but_an_ignored_one_which_removal_takes(
    home: Home, hass: HomeAssistant
) -> None:
    home.meter.software = "0.0.9"
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=1_000)
    await minutes(home, 1)
    assert set(raised(home)) == {"software_old", "total_fell"}
    ignored = f"software_old_{home.entry.entry_id}"
    ir.async_get(hass).async_ignore(DOMAIN, ignored, True)
    assert await hass.config_entries.async_unload(home.entry.entry_id)
    assert set(raised(home)) == {"software_old"}
    home.freezer.move_to(NOON)
    await home.wait(5 * MINUTE_S)
    assert set(raised(home)) == {"software_old"}  # nobody looks any more
    await hass.config_entries.async_remove(home.entry.entry_id)
    assert raised(home) == {}


async def test_a_review_that_is_under_way_when_the_meter_is_unloaded_raises_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, answer = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> None:
        looking.set()
        await answer.wait()

    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    await home.push(import_active_energy=1_000)
    monkeypatch.setattr(energy_dashboard, "async_missing", slow)
    home.freezer.tick(timedelta(minutes=1))
    async_fire_time_changed(home.hass)
    await looking.wait()
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    answer.set()
    await home.hass.async_block_till_done()
    assert raised(home) == {}


async def test_an_ignored_issue_stays_ignored_when_the_meter_is_loaded_anew(home: Home) -> None:
    home.broker.keep(home.meter.hello_topic, home.meter.hello(software="0.0.9"))
    await home.set_up()
    await minutes(home, 1)
    ir.async_get(home.hass).async_ignore(DOMAIN, f"software_old_{home.entry.entry_id}", True)
    await home.restart()
    await minutes(home, 1)
    assert raised(home)["software_old"].dismissed_version is not None


async def test_what_a_homeowner_ignores_stays_ignored_over_a_reload(
    home: Home, hass: HomeAssistant
) -> None:
    await home.set_up()
    await minutes(home, 4, off_s=200)
    registry, which = ir.async_get(hass), f"clock_off_{home.entry.entry_id}"
    registry.async_ignore(DOMAIN, which, True)
    await home.restart()
    for _ in range(6):  # at first it is not known yet whether it still holds
        await minutes(home, 1, off_s=200)
        issue = registry.async_get_issue(DOMAIN, which)
        assert issue is not None
        assert issue.dismissed_version is not None
    await minutes(home, 1, off_s=0)
    assert registry.async_get_issue(DOMAIN, which) is None  # the next time is another
