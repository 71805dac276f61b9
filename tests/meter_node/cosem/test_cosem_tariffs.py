"""Tariffs sent piece by piece: taken whole, in force at their date or at once, or refused whole."""

from __future__ import annotations

from typing import Any

import pytest

from custom_components.meter_node.tariff import async_read_calendar
from meter_node.channel import axdr, objects, presets
from meter_node.channel import calendar_data as data
from meter_node.channel.activity_calendar import ActivityCalendar
from meter_node.channel.axdr import Value
from meter_node.channel.event_codes import Log
from meter_node.meter.parameters import Parameters
from meter_node.meter.tariff import TariffSettings
from tests.meter_node.cosem.site import START_S, Site, consumer, got, utility

NOTHING = axdr.integer(0)
OTHER_REASON, TYPE_UNMATCHED = 250, 12


@pytest.fixture
def site() -> Site:
    return Site()


def parameters(site: Site) -> Parameters:
    settings = site.device.committed.settings
    assert settings is not None
    return settings.parameters


def season(name: bytes, month: int, day: int, week: bytes) -> bytes:
    start = b"\xff\xff" + bytes((month, day, 0xFF, 0, 0, 0, 0)) + b"\x80\x00\xff"
    return axdr.structure(
        axdr.octet_string(name), axdr.octet_string(start), axdr.octet_string(week)
    )


def day(number: int, *switches: tuple[int, int]) -> bytes:
    script = axdr.octet_string(objects.TARIFF_SCRIPTS.logical_name)
    return axdr.structure(
        axdr.unsigned(number),
        axdr.array(
            *(
                axdr.structure(
                    axdr.octet_string(bytes((hour, 0, 0, 0))), script, axdr.long_unsigned(tariff)
                )
                for hour, tariff in switches
            )
        ),
    )


SEASONS = axdr.array(season(b"summer", 4, 1, b"w"), season(b"winter", 10, 1, b"w"))
WEEKS = axdr.array(axdr.structure(axdr.octet_string(b"w"), *[axdr.unsigned(1)] * 7))
DAYS = axdr.array(day(1, (0, 1), (17, 2), (21, 1)))
CALENDAR = objects.ACTIVITY_CALENDAR
# 2026-07-01 00:00 in Copenhagen, CEST
JULY = axdr.octet_string(bytes.fromhex("07ea0701 ff 00000000 ff88 80"))
NEVER = axdr.octet_string(bytes.fromhex("ffffffffffffffffff8000ff"))


def send_calendar(peer: Any) -> None:
    for number, value in ((6, axdr.octet_string(b"two")), (7, SEASONS), (8, WEEKS), (9, DAYS)):
        assert peer.write(CALENDAR, value, number) == 0


def test_a_passive_calendar_is_taken_whole_and_comes_into_force_at_its_date(site: Site) -> None:
    peer = utility(site)
    send_calendar(peer)
    settings = site.device.committed.settings
    assert settings is not None
    assert settings.passive_calendar is None  # put aside, nothing more
    assert peer.write(CALENDAR, JULY, 10) == 0
    settings = site.device.committed.settings
    assert settings is not None
    assert settings.passive_calendar is not None
    assert settings.passive_calendar.name == "two"
    assert settings.passive_calendar.tariffs == 2
    assert settings.activate_at_s is not None
    # midnight in Copenhagen is 22:00 UTC of 30 June: 29 days and 12 h after 1 June, 10:00
    assert settings.activate_at_s - START_S == (29 * 24 + 12) * 3600
    assert settings.parameters.tariff.calendar.name == "single"


def test_what_is_read_of_the_passive_calendar_is_what_was_sent(site: Site) -> None:
    peer = utility(site)
    send_calendar(peer)
    for _ in range(2):
        assert peer.read(CALENDAR, 6) == b"two"
        assert peer.read(CALENDAR, 7) == axdr.decode_all(SEASONS)
        assert peer.read(CALENDAR, 8) == axdr.decode_all(WEEKS)
        assert peer.read(CALENDAR, 9) == axdr.decode_all(DAYS)
        assert peer.write(CALENDAR, NEVER, 10) == 0  # then from the meter
    assert peer.read(CALENDAR, 2) == b"single"


def test_activated_at_once_it_is_in_force(site: Site) -> None:
    peer = utility(site)
    send_calendar(peer)
    assert peer.call(CALENDAR, 1, NOTHING) == 0
    assert peer.read(CALENDAR, 2) == b"two"
    assert peer.read(CALENDAR, 5) == axdr.decode_all(DAYS)
    assert [code for code, _ in site.log(Log.STATUS)][-2:] == [19, 9]


@pytest.mark.parametrize(
    ("number", "value", "result"),
    [
        (8, axdr.array(axdr.structure(axdr.octet_string(b"w"), *[axdr.unsigned(2)] * 7)), 0),
        (7, axdr.array(season(b"summer", 4, 1, b"x")), 0),
        (9, axdr.array(day(1, (1, 1))), 0),
        (9, axdr.array(day(1, (0, 9))), 0),
        (9, axdr.array(day(1, (0, 1), (30, 2))), 0),
        (6, axdr.octet_string(b"a name that is too long"), 0),
        (7, axdr.array(axdr.structure(axdr.octet_string(b"s"))), TYPE_UNMATCHED),
        (9, axdr.unsigned(1), TYPE_UNMATCHED),
        (6, axdr.octet_string(b"\xff\xfe"), TYPE_UNMATCHED),
    ],
)
def test_a_calendar_that_can_not_be_changes_nothing(
    site: Site, number: int, value: bytes, result: int
) -> None:
    peer = utility(site)
    send_calendar(peer)
    assert peer.write(CALENDAR, value, number) in (result, OTHER_REASON)
    before = parameters(site)
    if result == 0:
        assert peer.write(CALENDAR, JULY, 10) == OTHER_REASON
        assert peer.call(CALENDAR, 1, NOTHING) == OTHER_REASON
    assert parameters(site) == before
    settings = site.device.committed.settings
    assert settings is not None
    assert settings.passive_calendar is None


def special(index: int, year: int, month: int, number: int, day_id: int) -> bytes:
    date = year.to_bytes(2) + bytes((month, number, 0xFF))
    return axdr.structure(axdr.long_unsigned(index), axdr.octet_string(date), axdr.unsigned(day_id))


def shown_days(site: Site) -> list[str]:
    return [one.shown for one in parameters(site).tariff.calendar.special_days]


def test_special_days_are_inserted_replaced_and_deleted(site: Site) -> None:
    peer = utility(site)
    table = objects.SPECIAL_DAYS
    assert peer.call(table, 1, special(1, 2026, 12, 24, 1)) == 0
    assert peer.call(table, 1, special(2, 0xFFFF, 12, 25, 1)) == 0
    assert shown_days(site) == ["2026-12-24", "*-12-25"]
    assert peer.call(table, 1, special(1, 2027, 12, 24, 1)) == 0
    assert shown_days(site) == ["2027-12-24", "*-12-25"]
    assert peer.call(table, 2, axdr.long_unsigned(1)) == 0
    assert shown_days(site) == ["*-12-25"]
    assert peer.call(table, 1, special(9, 2026, 2, 30, 1)) == OTHER_REASON
    assert peer.call(table, 1, special(9, 2026, 2, 1, 77)) == OTHER_REASON  # no such day
    assert peer.call(table, 2, axdr.long_unsigned(9)) == OTHER_REASON
    assert shown_days(site) == ["*-12-25"]
    assert peer.read(table)[0][1] == bytes.fromhex("ffff0c19ff")


def test_special_days_of_the_passive_calendar_come_with_it(site: Site) -> None:
    peer = utility(site)
    send_calendar(peer)
    assert peer.call(objects.PASSIVE_SPECIAL_DAYS, 1, special(1, 2026, 12, 24, 1)) == 0
    assert shown_days(site) == []
    assert peer.call(CALENDAR, 1, NOTHING) == 0
    assert shown_days(site) == ["2026-12-24"]


def test_a_tariff_is_overridden_for_a_time(site: Site) -> None:
    peer = utility(site)
    send_calendar(peer)
    peer.call(CALENDAR, 1, NOTHING)

    def override(tariff: int, seconds: int) -> int:
        value = axdr.structure(axdr.unsigned(tariff), axdr.double_long_unsigned(seconds))
        return peer.write(objects.TARIFF_OVERRIDE, value)

    assert override(2, 60) == 0
    assert peer.read(objects.ACTIVE_TARIFF) == 2
    assert peer.read(objects.REGISTER_ACTIVATION, 4) == b"\x02"
    assert override(3, 60) == OTHER_REASON
    assert override(0, 0) == 0
    assert peer.read(objects.ACTIVE_TARIFF) == 1


def test_a_calendar_of_every_preset_comes_back_as_it_was_sent() -> None:
    for name in presets.names():
        calendar = presets.load(name).calendar.to_json()
        read = calendar | {
            "seasons": data.read_seasons(axdr.decode_all(data.seasons(calendar["seasons"]))),
            "weeks": data.read_weeks(axdr.decode_all(data.weeks(calendar["weeks"]))),
            "days": data.read_days(axdr.decode_all(data.days(calendar["days"]))),
            "special_days": data.read_special_days(
                axdr.decode_all(data.special_days(calendar["special_days"]))
            ),
        }
        assert ActivityCalendar.from_json(read) == presets.load(name).calendar


@pytest.mark.parametrize("preset", presets.names())
async def test_home_assistant_reads_the_calendar_with_a_consumers_keys(preset: str) -> None:
    calendar = presets.load(preset).calendar
    peer = consumer(Site(parameters=Parameters(tariff=TariffSettings(calendar=calendar))))

    class Asker:
        async def async_ask(self, service: bytes) -> Value:
            value: Value = got(peer.exchange, service)
            return value

    # The same files under two names: their classes are two.
    assert (await async_read_calendar(Asker())).to_json() == calendar.to_json()
