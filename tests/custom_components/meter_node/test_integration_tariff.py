"""Tariff, prices and costs of a home: by the meter's calendar, by a preset, by the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.exceptions import HomeAssistantError
from integration_home import ALL_IS_WELL, NOON, STATUS_TOPIC, AskedMeter, Home, logged
from integration_tariffs import CalendarAsker

from custom_components.meter_node.channel import axdr, calendar_data, objects, presets
from custom_components.meter_node.channel.activity_calendar import ActivityCalendar, single_tariff
from custom_components.meter_node.channel.axdr import Value
from custom_components.meter_node.store import async_get_store

DENMARK = presets.load("denmark_n1")
NORWAY = presets.load("norway_elvia")
# 12:00 UTC on Friday 20 November 2026 is 13:00 in Copenhagen: high until 17, peak until 21.
PEAK_BEGINS = datetime(2026, 11, 20, 16, tzinfo=UTC)
PRICES = {"import_prices": {"1": 1.0, "2": 2.0, "3": 6.0}}


@pytest.fixture
async def copenhagen(home: Home) -> Home:
    """The home where it is an hour later than in Greenwich."""
    await home.hass.config.async_set_time_zone("Europe/Copenhagen")
    home.hass.config.currency = "DKK"
    return home


async def set_up(home: Home, **options: Any) -> Home:
    """Load the entry with these options."""
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.set_up()
    return home


async def at(home: Home, moment: datetime) -> None:
    """Let the clock come to a moment."""
    await home.wait((moment - datetime.now(UTC)).total_seconds())


async def push(home: Home, tariff: int | None = 2, **values: int) -> None:
    """Push what a meter in a tariff counts."""
    said = dict(ALL_IS_WELL) | {
        (objects.ACTIVE_TARIFF, 2): axdr.null_data() if tariff is None else axdr.unsigned(tariff)
    }
    await home.push(home.meter.seal(home.meter.body(values, said=said)))


def shown(home: Home, *keys: str) -> list[str | None]:
    return [home.state(key) for key in keys]


# --- the meter's own calendar ---------------------------------------------------------------------


async def test_the_meters_calendar_is_asked_for_once_and_shown(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    asked = CalendarAsker(DENMARK.calendar)
    home.coordinator.asker = asked
    await push(home)
    await push(home)
    assert home.coordinator.calendar == DENMARK.calendar
    assert len(asked.services) == 5  # name, seasons, weeks, days and special days
    assert shown(home, "active_tariff", "next_tariff", "next_tariff_change") == [
        "t2",
        "t3",
        "2026-11-20T16:00:00+00:00",
    ]
    assert home.state("peak_tariff", "binary_sensor") == "off"


async def test_a_paired_meter_is_asked_over_its_own_channel(copenhagen: Home) -> None:
    home, told = copenhagen, NORWAY.calendar.to_json()
    meter = AskedMeter(home.meter, home.broker)
    home.broker.listeners.append(meter.take)
    for piece in calendar_data.PIECES:
        meter.values[objects.ACTIVITY_CALENDAR, piece.number] = piece.write(told[piece.key])
    meter.values[objects.SPECIAL_DAYS, 2] = calendar_data.special_days(told["special_days"])
    home.hass.config_entries.async_update_entry(home.entry, data=meter.entry_data)
    await home.set_up()
    for _ in range(3):
        await push(home)
    assert home.coordinator.calendar == NORWAY.calendar
    assert len(meter.received) == 5


async def test_a_meter_that_cannot_be_asked_shows_its_tariff_all_the_same(
    copenhagen: Home,
) -> None:
    home = await set_up(copenhagen)
    await push(home, 3)
    assert home.state("active_tariff") == "t3"
    assert home.state("next_tariff") is None
    assert home.state("peak_tariff", "binary_sensor") is None
    assert home.state("tariffs", "calendar") is None
    assert home.coordinator.pricing is None


async def test_a_calendar_is_kept_over_a_restart(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await push(home)
    await home.restart()
    assert home.coordinator.calendar == DENMARK.calendar
    assert home.state("next_tariff") == "t3"  # though the meter sent nothing yet


async def test_a_calendar_that_was_kept_and_is_none_any_more_is_asked_for(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await push(home)
    record = (await async_get_store(home.hass)).records[home.meter.title]
    assert record.calendar is not None
    record.calendar["tariffs"] = 99
    await home.restart()
    assert home.coordinator.calendar is None
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await push(home)
    assert home.coordinator.calendar == DENMARK.calendar


async def test_it_is_asked_again_after_a_day(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    asked = CalendarAsker(DENMARK.calendar)
    home.coordinator.asker = asked
    await push(home)
    await home.wait(23 * 3600)
    await push(home)
    assert len(asked.services) == 5
    await home.wait(3600)
    await push(home)
    assert len(asked.services) == 10


async def test_it_is_asked_again_when_the_meter_logs_another_calendar(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    asked = CalendarAsker(DENMARK.calendar)
    home.coordinator.asker = asked
    await push(home)
    asked.calendar = NORWAY.calendar
    event = logged("calendar_activated", 7)
    await home.push(home.meter.telling(event))
    await push(home)
    assert home.coordinator.calendar == NORWAY.calendar
    # Elvia's night begins at 22, which is 21 UTC.
    assert home.state("next_tariff_change") == "2026-11-20T21:00:00+00:00"


async def test_a_tariff_at_odds_with_the_calendar_is_shown_and_asked_about_once_an_hour(
    copenhagen: Home,
) -> None:
    home = await set_up(copenhagen)
    asked = CalendarAsker(DENMARK.calendar)
    home.coordinator.asker = asked
    await push(home, 2)
    await push(home, 1)  # the utility overrides
    await push(home, 1)
    assert home.state("active_tariff") == "t1"
    assert len(asked.services) == 5
    await home.wait(3600)
    await push(home, 1)
    assert len(asked.services) == 10
    await push(home, 1)
    await push(home, 2)
    assert home.state("active_tariff") == "t2"
    assert len(asked.services) == 10


async def overridden(home: Home, to: int, calendar: ActivityCalendar = DENMARK.calendar) -> Home:
    """A home whose utility has overridden the meter's calendar."""
    await set_up(home, **PRICES)
    home.coordinator.asker = CalendarAsker(calendar)
    await push(home, to)
    await push(home, to)
    return home


def peak(home: Home) -> str | None:
    return home.state("peak_tariff", "binary_sensor")


async def test_an_override_lasts_for_as_long_as_the_meter_says_so(copenhagen: Home) -> None:
    home = await overridden(copenhagen, to=1)
    await at(home, PEAK_BEGINS - timedelta(seconds=5))
    await push(home, 1)
    await at(home, PEAK_BEGINS)
    assert shown(home, "active_tariff", "import_price") == ["t1", "1.0"]
    await at(home, PEAK_BEGINS + timedelta(seconds=5))
    await push(home, 3)
    assert shown(home, "active_tariff", "import_price") == ["t3", "6.0"]


async def test_an_override_of_a_meter_that_went_away_ends_with_the_calendars_next_change(
    copenhagen: Home,
) -> None:
    home = await overridden(copenhagen, to=1)
    await home.wait(3600)
    assert not home.coordinator.available
    assert shown(home, "active_tariff", "import_price") == ["t1", "1.0"]
    await at(home, PEAK_BEGINS)
    assert shown(home, "active_tariff", "import_price", "next_tariff") == ["t3", "6.0", "t2"]
    assert peak(home) == "on"
    await at(home, PEAK_BEGINS + timedelta(hours=4))
    assert shown(home, "active_tariff", "import_price") == ["t2", "2.0"]
    assert peak(home) == "off"


async def test_an_override_to_the_peak_does_not_outlive_the_meter(copenhagen: Home) -> None:
    home = await overridden(copenhagen, to=3)
    assert peak(home) == "on"
    await at(home, PEAK_BEGINS)  # now by the calendar
    await at(home, PEAK_BEGINS + timedelta(hours=4))
    assert peak(home) == "off"


@pytest.mark.parametrize("by", ["silence", "its node's word"])
async def test_a_change_that_a_meter_just_lived_to_see_ends_its_override_once_it_is_gone(
    copenhagen: Home, by: str
) -> None:
    home = await overridden(copenhagen, to=1)
    await at(home, PEAK_BEGINS - timedelta(seconds=5))
    await push(home, 1)
    await at(home, PEAK_BEGINS)
    assert home.state("active_tariff") == "t1"
    if by == "silence":
        await home.wait(3 * 3600)  # three times the interval at which it was heard
    else:
        await home.say(STATUS_TOPIC, "offline")
    assert home.state("active_tariff") == "t3"


async def test_an_override_of_a_meter_that_went_away_ends_at_midnight_at_the_latest(
    copenhagen: Home,
) -> None:
    home = await overridden(copenhagen, to=3, calendar=single_tariff())
    midnight = datetime(2026, 11, 20, 23, tzinfo=UTC)
    await at(home, midnight - timedelta(seconds=1))
    assert home.state("active_tariff") == "t3"
    await at(home, midnight)
    assert home.state("active_tariff") == "t1"


async def test_an_override_that_a_broker_kept_since_yesterday_is_over(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await push(home)
    kept = home.meter.seal(
        home.meter.body(
            {"import_active_energy": 1}, said={(objects.ACTIVE_TARIFF, 2): axdr.unsigned(3)}
        )
    )
    home.broker.keep(home.meter.push_topic, kept)
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    await home.wait(86_400)
    await home.set_up()
    assert home.state("active_tariff") == "t2"


@pytest.mark.parametrize("fault", [HomeAssistantError("refused"), ValueError("no calendar")])
async def test_a_meter_that_does_not_answer_is_asked_again_later_and_told_of_once(
    copenhagen: Home, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    home = await set_up(copenhagen)
    asked = CalendarAsker(DENMARK.calendar, fault)
    home.coordinator.asker = asked
    for _ in range(3):
        await push(home)
        await home.wait(601)
    assert len(asked.services) == 3
    warned = [one for one in caplog.records if "no calendar was read" in one.getMessage()]
    assert [one.levelno for one in warned][:1] == [logging.WARNING]
    assert [one for one in warned if one.levelno >= logging.WARNING] == warned[:1]
    asked.fault = None
    await push(home)
    assert home.coordinator.calendar == DENMARK.calendar


async def test_an_answer_that_is_no_calendar_changes_nothing(copenhagen: Home) -> None:
    home = await set_up(copenhagen)

    class Odd(CalendarAsker):
        async def async_ask(self, service: bytes) -> Value:
            return 5

    home.coordinator.asker = Odd(DENMARK.calendar)
    await push(home)
    assert home.coordinator.calendar is None
    assert home.state("active_tariff") == "t2"


async def test_asking_ends_with_the_entry(copenhagen: Home) -> None:
    home = await set_up(copenhagen)

    class Silent(CalendarAsker):
        async def async_ask(self, service: bytes) -> Value:
            await asyncio.Event().wait()
            return None

    home.coordinator.asker = Silent(DENMARK.calendar)
    await push(home)
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    await home.hass.async_block_till_done(wait_background_tasks=True)


# --- the clock ------------------------------------------------------------------------------------


async def test_the_tariff_changes_at_the_minute_without_a_frame(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    await push(home)
    await at(home, PEAK_BEGINS - timedelta(seconds=1))
    assert shown(home, "active_tariff", "import_price") == ["t2", "2.0"]
    await at(home, PEAK_BEGINS)
    assert shown(home, "active_tariff", "import_price", "next_tariff") == ["t3", "6.0", "t2"]
    assert home.state("next_tariff_change") == "2026-11-20T20:00:00+00:00"
    assert home.state("peak_tariff", "binary_sensor") == "on"
    await at(home, PEAK_BEGINS + timedelta(hours=4))
    assert home.state("peak_tariff", "binary_sensor") == "off"


async def test_the_tariff_goes_by_the_clock_while_the_meter_is_away(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    await push(home, import_active_energy=1000, import_active_power=5000)
    await at(home, PEAK_BEGINS)
    assert home.state("import_active_power") == STATE_UNAVAILABLE
    assert shown(home, "active_tariff", "import_price") == ["t3", "6.0"]


@pytest.mark.parametrize(
    ("midnight", "change"),
    [
        # 29 March has 23 hours: the low tariff ends at 6, five hours after its midnight.
        (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)),
        # 25 October has 25: seven hours after.
        (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 5, tzinfo=UTC)),
    ],
)
async def test_both_nights_of_daylight_saving_are_right(
    copenhagen: Home, midnight: datetime, change: datetime
) -> None:
    copenhagen.freezer.move_to(midnight)
    home = await set_up(copenhagen, tariff_preset="denmark_n1")
    assert home.state("active_tariff") == "t1"
    assert home.state("next_tariff_change") == change.isoformat()
    await at(home, change - timedelta(seconds=1))
    assert home.state("active_tariff") == "t1"
    await at(home, change)
    assert home.state("active_tariff") == "t2"


async def test_a_bridged_meter_without_a_preset_has_one_price(copenhagen: Home) -> None:
    home = await set_up(copenhagen, scaler_profile="energy_1_wh", import_prices={"1": 1.5})
    await push(home, None, import_active_energy=1000)
    await push(home, None, import_active_energy=3000)
    assert shown(home, "import_price", "import_cost", "active_tariff") == ["1.5", "3.0", None]


async def test_a_preset_takes_the_place_of_the_meters_tariff(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="norway_elvia")
    asked = CalendarAsker(DENMARK.calendar)
    home.coordinator.asker = asked
    await push(home, 1)
    assert home.state("active_tariff") == "t2"
    assert asked.services == []
    # 28.99 øre on a workday, in the preset's currency.
    price = home.shown("import_price")
    assert price is not None
    assert (price.state, price.attributes["unit_of_measurement"]) == ("0.2899", "NOK/kWh")
    assert price.attributes["state_class"] == "measurement"


# --- costs ----------------------------------------------------------------------------------------


async def test_costs_grow_by_the_price_of_the_tariff(copenhagen: Home) -> None:
    home = await set_up(
        copenhagen,
        tariff_preset="denmark_n1",
        export_prices={"1": 0.5, "2": 0.5, "3": 0.5},
        **PRICES,
    )
    await push(home, import_active_energy=10_000, export_active_energy=500)
    # What the counters have counted before is not paid now.
    assert shown(home, "import_cost", "export_compensation") == ["0.0", "0.0"]
    await home.wait(10)
    await push(home, import_active_energy=10_250, export_active_energy=600)
    assert shown(home, "import_cost", "export_compensation") == ["0.5", "0.05"]
    cost = home.shown("import_cost")
    assert cost is not None
    told = ("device_class", "state_class", "unit_of_measurement")
    assert [cost.attributes[key] for key in told] == ["monetary", "total", "DKK"]


async def test_costs_go_on_after_a_restart_with_the_mean_price_of_the_absence(
    copenhagen: Home,
) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    await push(home, import_active_energy=10_000)
    await home.wait(10)
    await push(home, import_active_energy=11_000)
    assert home.state("import_cost") == "2.0"
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    # From 12:00:10 UTC to 20:00:10: nearly four hours high and four hours peak.
    await at(home, PEAK_BEGINS + timedelta(hours=4, seconds=10))
    await home.set_up()
    assert home.state("import_cost") in (STATE_UNAVAILABLE, STATE_UNKNOWN)
    await push(home, import_active_energy=19_000)
    # 8 kWh at (2 + 6) / 2, where the price of the return is 2.
    assert float(home.state("import_cost") or 0) == pytest.approx(2 + 8 * 4, abs=0.001)


@pytest.mark.parametrize("year", [2000, 2099, 9998])
async def test_what_a_frame_of_a_far_date_counts_is_priced_as_it_comes(
    copenhagen: Home, year: int
) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    far = datetime(year, 1, 1, tzinfo=UTC)  # at one in the night: low
    await push(home, import_active_energy=1000)
    await home.wait(10)
    await home.push(home.meter.seal(home.meter.body({"import_active_energy": 2000}, far)))
    assert home.state("import_cost") == "2.0"  # 1 kWh at 13:00: high
    await home.wait(10)
    kept = home.meter.seal(home.meter.body({"import_active_energy": 2500}, far))
    home.broker.hand_over(home.meter.push_topic, kept)
    await home.settle()
    assert home.state("import_cost") == "2.0"  # nobody knows when that was
    await push(home, import_active_energy=3000)
    assert home.state("import_cost") == "4.0"


async def test_a_repeated_frame_costs_nothing(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    await push(home, import_active_energy=10_000)
    frame = home.meter.push(import_active_energy=11_000)
    await home.push(frame)
    await home.push(frame)
    assert home.state("import_cost") == "2.0"


async def test_the_meters_own_tariff_counters_are_priced(copenhagen: Home) -> None:
    home = await set_up(copenhagen, **PRICES)
    counters = {f"import_active_energy_t{tariff}": 0 for tariff in (1, 2, 3)}
    await push(home, 2, import_active_energy=0, **counters)
    await home.wait(10)
    counters |= {"import_active_energy_t1": 1000, "import_active_energy_t3": 500}
    await push(home, 3, import_active_energy=1500, **counters)
    assert home.state("import_cost") == "4.0"  # 1 kWh at 1 and half a kWh at 6
    assert home.state("import_price") == "6.0"  # by the tariff that the meter says


async def test_another_scale_prices_no_jump_of_the_counter(copenhagen: Home) -> None:
    options: Mapping[str, Any] = {"scaler_profile": "energy_1_wh", "import_prices": {"1": 2}}
    home = await set_up(copenhagen, **options)
    await push(home, None, import_active_energy=1000)
    await push(home, None, import_active_energy=2000)
    home.hass.config_entries.async_update_entry(
        home.entry, options={**options, "scaler_profile": "energy_10_wh"}
    )
    home.broker.retained.pop(home.meter.push_topic)
    await home.restart()
    await push(home, None, import_active_energy=20_000)
    await push(home, None, import_active_energy=20_500)
    # 1 kWh at 2 had been 10 kWh, and half a kWh came since.
    assert home.state("import_cost") == "21.0"


async def test_what_is_used_while_no_price_is_given_is_not_priced_later(copenhagen: Home) -> None:
    options = {"scaler_profile": "energy_1_wh", "import_prices": {"1": 2}}
    home = await set_up(copenhagen, **options)
    await push(home, None, import_active_energy=1000)
    await push(home, None, import_active_energy=2000)
    for chosen, wh in (({"scaler_profile": "energy_1_wh"}, 7000), (options, 9000)):
        home.hass.config_entries.async_update_entry(home.entry, options=chosen)
        home.broker.retained.pop(home.meter.push_topic)
        await home.restart()
        await push(home, None, import_active_energy=wh)
    await push(home, None, import_active_energy=9500)
    assert home.state("import_cost") == "3.0"  # 1 kWh before, half a kWh since


async def test_what_was_kept_outlives_new_keys(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", **PRICES)
    await push(home, import_active_energy=10_000)
    await push(home, import_active_energy=11_000)
    record = (await async_get_store(home.hass)).records[home.meter.title]
    record.keys = "other keys"
    await home.restart()
    await push(home, import_active_energy=11_500)
    assert home.state("import_cost") == "3.0"


# --- spot prices ----------------------------------------------------------------------------------

SPOT = "sensor.spot"


def spot(home: Home, price: float | str, unit: str | None = "DKK/kWh") -> None:
    home.hass.states.async_set(SPOT, str(price), {"unit_of_measurement": unit})


async def test_a_spot_price_is_added_and_followed_each_quarter_hour(copenhagen: Home) -> None:
    spot(copenhagen, 0.4)
    home = await set_up(
        copenhagen, tariff_preset="denmark_n1", import_spot=SPOT, export_spot=SPOT, **PRICES
    )
    await push(home, import_active_energy=0, export_active_energy=0)
    assert shown(home, "import_price", "export_price") == ["2.4", "0.4"]
    await home.wait(60)
    await push(home, import_active_energy=1000, export_active_energy=0)
    assert home.state("import_cost") == "2.4"
    spot(home, -0.5)
    await home.settle()
    assert shown(home, "import_price", "export_price") == ["1.5", "-0.5"]
    await home.wait(60)
    await push(home, import_active_energy=2000, export_active_energy=1000)
    assert float(home.state("import_cost") or 0) == pytest.approx(3.9, abs=0.01)
    assert float(home.state("export_compensation") or 0) == pytest.approx(-0.5, abs=0.01)
    spot(home, "unavailable", None)
    await home.settle()
    assert home.state("import_price") == STATE_UNKNOWN


async def test_a_spot_sensor_in_another_unit_is_left_out_with_one_warning(
    copenhagen: Home, caplog: pytest.LogCaptureFixture
) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1", import_spot=SPOT, **PRICES)
    spot(home, 1, "EUR/kWh")
    await home.settle()
    spot(home, 2, "EUR/kWh")
    await home.settle()
    assert home.state("import_price") is None
    assert caplog.text.count("is no price of a kWh in DKK") == 1
    home.hass.states.async_remove(SPOT)
    await home.settle()


# --- the calendar ---------------------------------------------------------------------------------


async def events(home: Home, start: datetime, end: datetime) -> list[tuple[str, str, str]]:
    answer = await home.hass.services.async_call(
        "calendar",
        "get_events",
        {
            "entity_id": home.entity_id("tariffs", "calendar"),
            "start_date_time": start,
            "end_date_time": end,
        },
        blocking=True,
        return_response=True,
    )
    assert isinstance(answer, dict)
    (found,) = answer.values()
    return [(one["summary"], one["start"], one["end"]) for one in found["events"]]


async def test_the_calendar_lists_the_periods_above_the_lowest_tariff(copenhagen: Home) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1")
    day = datetime(2026, 11, 20, 23, tzinfo=UTC)  # midnight of the 21st
    assert await events(home, day, day + timedelta(days=1)) == [
        ("High", "2026-11-21T06:00:00+01:00", "2026-11-21T17:00:00+01:00"),
        ("Peak", "2026-11-21T17:00:00+01:00", "2026-11-21T21:00:00+01:00"),
        ("High", "2026-11-21T21:00:00+01:00", "2026-11-22T00:00:00+01:00"),
    ]


@pytest.mark.parametrize("year", [2, 1826, 2126, 9998])
async def test_years_that_no_calendar_has_have_no_events(copenhagen: Home, year: int) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1")
    start = datetime(year, 1, 2, tzinfo=UTC)
    assert await events(home, start, start + timedelta(days=30)) == []


async def test_ten_thousand_years_have_no_more_events_than_are_looked_ahead_to(
    copenhagen: Home,
) -> None:
    home = await set_up(copenhagen, tariff_preset="denmark_n1")
    found = await events(home, datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))
    ends = [datetime.fromisoformat(end) for _, _, end in found]
    assert len(found) > 2 * 400  # high and peak each day, of 800 days
    assert ends[0] > NOON - timedelta(days=401)
    assert ends[-1] < NOON + timedelta(days=402)


async def test_the_calendar_is_on_above_the_lowest_tariff_and_speaks_the_users_language(
    copenhagen: Home,
) -> None:
    copenhagen.hass.config.language = "da"
    home = await set_up(copenhagen, tariff_preset="denmark_n1")
    state = home.shown("tariffs", "calendar")
    assert state is not None
    assert (state.state, state.attributes["message"]) == ("on", "Højlast")
    await at(home, PEAK_BEGINS)
    state = home.shown("tariffs", "calendar")
    assert state is not None
    assert state.attributes["message"] == "Spidslast"
    await at(home, datetime(2026, 11, 20, 23, tzinfo=UTC))
    state = home.shown("tariffs", "calendar")
    assert state is not None
    # What comes next is announced.
    assert (state.state, state.attributes["start_time"]) == ("off", "2026-11-21 06:00:00")


async def test_a_calendar_of_nobodys_names_has_numbers(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    own = ActivityCalendar.from_json({**DENMARK.calendar.to_json(), "name": "Own"})
    home.coordinator.asker = CalendarAsker(own)
    await push(home)
    state = home.shown("tariffs", "calendar")
    assert state is not None
    assert state.attributes["message"] == "T2"
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await home.wait(24 * 3600)
    await push(home)
    # A preset has this very calendar, so its names serve.
    state = home.shown("tariffs", "calendar")
    assert state is not None
    assert state.attributes["message"] == "High"


async def test_a_calendar_that_shrinks_to_one_tariff_has_no_events(copenhagen: Home) -> None:
    home = await set_up(copenhagen)
    home.coordinator.asker = CalendarAsker(DENMARK.calendar)
    await push(home)
    assert home.state("tariffs", "calendar") == "on"
    home.coordinator.asker = CalendarAsker(presets.load("sweden_goteborg").calendar)
    await home.wait(24 * 3600)
    await push(home, 1)
    assert home.state("tariffs", "calendar") == "off"
    assert await events(home, PEAK_BEGINS, PEAK_BEGINS + timedelta(days=2)) == []
