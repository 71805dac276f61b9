"""COSEM date-time: deviation, daylight saving, both nights of change, and what is no time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.cosem_time import ClockStatus, CosemDateTime
from tests.meter_node.channel.captures import CAPTURES, DANISH

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
DAYLIGHT_SAVING = 0x80
INVALID_VALUE = 0x01

WINTER = datetime(2026, 1, 15, 12, 30, 45, tzinfo=UTC)
SUMMER = datetime(2026, 7, 15, 12, 30, 45, tzinfo=UTC)
# The European Union changes its clocks on the last Sundays of March and October, 01:00 UTC.
SPRING_CHANGE = datetime(2026, 3, 29, 1, tzinfo=UTC)
AUTUMN_CHANGE = datetime(2026, 10, 25, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


# --- bytes ---------------------------------------------------------------------------------------


def test_the_clock_of_the_real_danish_frame_is_read() -> None:
    raw = CAPTURES[DANISH].plaintext[6:18]
    assert CosemDateTime.from_bytes(raw) == CosemDateTime(local(2020, 1, 7, 14, 47, 20), None, 0)


def test_a_winters_time_in_copenhagen_is_written_with_minus_60_minutes() -> None:
    # Thursday is 4; -60 is FFC4.
    expected = bytes.fromhex("07EA 01 0F 04 0D 1E 2D 00 FFC4 00")
    assert CosemDateTime.at(WINTER, COPENHAGEN).to_bytes() == expected


def test_a_summers_time_in_copenhagen_is_written_with_minus_120_minutes_and_a_status() -> None:
    # Wednesday is 3; -120 is FF88.
    expected = bytes.fromhex("07EA 07 0F 03 0E 1E 2D 00 FF88 80")
    assert CosemDateTime.at(SUMMER, COPENHAGEN).to_bytes() == expected


@pytest.mark.parametrize(
    ("zone", "deviation"),
    [("UTC", 0), ("Asia/Kolkata", -330), ("America/New_York", 300), ("Pacific/Kiritimati", -840)],
)
def test_the_deviation_is_utc_minus_local_time(zone: str, deviation: int) -> None:
    assert CosemDateTime.at(WINTER, ZoneInfo(zone)).deviation_minutes == deviation


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"])
def test_a_time_of_any_zone_is_read_as_it_was_written(zone: str) -> None:
    written = CosemDateTime.at(SUMMER, ZoneInfo(zone))
    assert CosemDateTime.from_bytes(written.to_bytes()) == written


def test_a_deviation_of_minus_60_minutes_reads_as_cet() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F 04 0D 1E 2D 00 FFC4 00"))
    assert stamp.utc() == WINTER


def test_an_unspecified_deviation_takes_the_zone_that_is_given() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F 04 0D 1E 2D FF 8000 00"))
    assert (stamp.deviation_minutes, stamp.utc(COPENHAGEN)) == (None, WINTER)


def test_a_deviation_that_is_told_outweighs_the_zone_that_is_given() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F 04 0D 1E 2D 00 FFC4 00"))
    assert stamp.utc(ZoneInfo("Asia/Tokyo")) == WINTER


def test_unspecified_seconds_and_hundredths_read_as_zero() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F 04 0D 1E FF FF 8000 00"))
    assert stamp.local == local(2026, 1, 15, 13, 30, 0)


def test_an_unspecified_day_of_the_week_is_passed_over() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F FF 0D 1E 2D 00 FFC4 00"))
    assert stamp.local == local(2026, 1, 15, 13, 30, 45)


def test_hundredths_are_kept() -> None:
    stamp = CosemDateTime.from_bytes(bytes.fromhex("07EA 01 0F 04 0D 1E 2D 63 FFC4 00"))
    assert stamp.local.microsecond == 990_000


def test_an_unspecified_status_is_none_and_is_written_as_it_came() -> None:
    raw = bytes.fromhex("07EA 01 0F 04 0D 1E 2D 00 FFC4 FF")
    stamp = CosemDateTime.from_bytes(raw)
    assert (stamp.status, stamp.to_bytes()) == (None, raw)


@given(
    moment=st.datetimes(local(1900, 1, 1), local(2200, 1, 1)),
    hundredths=st.integers(0, 99),
    deviation=st.none() | st.integers(-840, 840),
    status=st.none() | st.integers(0, 0xFE),
)
def test_any_time_comes_back(
    moment: datetime, hundredths: int, deviation: int | None, status: int | None
) -> None:
    stamp = CosemDateTime(moment.replace(microsecond=hundredths * 10_000), deviation, status)
    assert CosemDateTime.from_bytes(stamp.to_bytes()) == stamp


@given(st.datetimes(local(1990, 1, 1), local(2060, 1, 1), timezones=st.just(UTC)))
def test_a_moment_told_in_local_time_is_the_same_moment(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    stamp = CosemDateTime.from_bytes(CosemDateTime.at(moment, COPENHAGEN).to_bytes())
    assert stamp.utc() == moment


# --- status --------------------------------------------------------------------------------------


def test_daylight_saving_is_told_in_the_status() -> None:
    assert CosemDateTime.at(SUMMER, COPENHAGEN).status == DAYLIGHT_SAVING


def test_standard_time_leaves_the_status_clear() -> None:
    assert CosemDateTime.at(WINTER, COPENHAGEN).status == 0


@pytest.mark.parametrize(
    ("moment", "status"), [(WINTER, INVALID_VALUE), (SUMMER, DAYLIGHT_SAVING | INVALID_VALUE)]
)
def test_a_clock_that_lost_the_time_says_that_its_value_is_invalid(
    moment: datetime, status: int
) -> None:
    # Blue Book, clock status: bit 0, "time could not be recovered after an incident".
    assert CosemDateTime.at(moment, COPENHAGEN, clock_invalid=True).status == status


def test_the_bits_of_the_status_are_the_blue_books() -> None:
    assert {bit.name: bit.value for bit in ClockStatus} == {
        "INVALID_VALUE": 0x01,
        "DOUBTFUL": 0x02,
        "DIFFERENT_BASE": 0x04,
        "INVALID_STATUS": 0x08,
        "DAYLIGHT_SAVING": 0x80,
    }


# --- the nights of change ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (SPRING_CHANGE - SECOND, CosemDateTime(local(2026, 3, 29, 1, 59, 59), -60, 0)),
        (SPRING_CHANGE, CosemDateTime(local(2026, 3, 29, 3, 0, 0), -120, DAYLIGHT_SAVING)),
        (
            AUTUMN_CHANGE - SECOND,
            CosemDateTime(local(2026, 10, 25, 2, 59, 59), -120, DAYLIGHT_SAVING),
        ),
        (AUTUMN_CHANGE, CosemDateTime(local(2026, 10, 25, 2, 0, 0), -60, 0)),
    ],
)
def test_the_clock_is_changed_at_one_oclock_utc(moment: datetime, expected: CosemDateTime) -> None:
    assert CosemDateTime.at(moment, COPENHAGEN) == expected


@pytest.mark.parametrize("change", [SPRING_CHANGE, AUTUMN_CHANGE])
def test_each_minute_of_a_night_of_change_comes_back_as_itself(change: datetime) -> None:
    night = [change + timedelta(minutes=minute) for minute in range(-180, 180)]
    stamps = [CosemDateTime.at(moment, COPENHAGEN).to_bytes() for moment in night]
    assert [CosemDateTime.from_bytes(raw).utc() for raw in stamps] == night


def test_the_hour_that_comes_twice_in_autumn_is_told_apart() -> None:
    first = CosemDateTime.at(AUTUMN_CHANGE - timedelta(minutes=30), COPENHAGEN)
    second = CosemDateTime.at(AUTUMN_CHANGE + timedelta(minutes=30), COPENHAGEN)
    assert first.local == second.local
    assert second.utc() - first.utc() == timedelta(hours=1)


# --- what is no time -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("0000 01 0F 04 0D 1E 2D 00 FFC4 00", id="year 0"),
        pytest.param("FFFF 01 0F 04 0D 1E 2D 00 FFC4 00", id="unspecified year"),
        pytest.param("2710 01 0F 04 0D 1E 2D 00 FFC4 00", id="year 10000"),
        pytest.param("07EA 00 0F 04 0D 1E 2D 00 FFC4 00", id="month 0"),
        pytest.param("07EA 0D 0F 04 0D 1E 2D 00 FFC4 00", id="month 13"),
        pytest.param("07EA FF 0F 04 0D 1E 2D 00 FFC4 00", id="unspecified month"),
        pytest.param("07EA 01 00 04 0D 1E 2D 00 FFC4 00", id="day 0"),
        pytest.param("07EA 02 1D 04 0D 1E 2D 00 FFC4 00", id="29 February of 2026"),
        pytest.param("07EA 04 1F 04 0D 1E 2D 00 FFC4 00", id="31 April"),
        pytest.param("07EA 01 0F 04 18 1E 2D 00 FFC4 00", id="hour 24"),
        pytest.param("07EA 01 0F 04 FF 1E 2D 00 FFC4 00", id="unspecified hour"),
        pytest.param("07EA 01 0F 04 0D 3C 2D 00 FFC4 00", id="minute 60"),
        pytest.param("07EA 01 0F 04 0D 1E 3C 00 FFC4 00", id="second 60"),
        pytest.param("07EA 01 0F 04 0D 1E 2D 64 FFC4 00", id="100 hundredths"),
        pytest.param("07EA 01 0F 04 0D 1E 2D 00 FCB7 00", id="deviation -841"),
        pytest.param("07EA 01 0F 04 0D 1E 2D 00 0349 00", id="deviation 841"),
        pytest.param("07EA 01 0F 04 0D 1E 2D 00 FFC4", id="eleven bytes"),
        pytest.param("07EA 01 0F 04 0D 1E 2D 00 FFC4 00 00", id="thirteen bytes"),
        pytest.param("", id="no bytes"),
    ],
)
def test_what_is_no_date_and_time_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"date|deviation"):
        CosemDateTime.from_bytes(bytes.fromhex(raw))


# The widest zones are UTC-12 and UTC+14; the Blue Book's own range, -720 to 840, has the sign of
# local time minus UTC, which some meters follow.
@pytest.mark.parametrize("deviation", [-840, -720, 720, 840])
def test_the_widest_deviations_are_taken(deviation: int) -> None:
    raw = bytes.fromhex("07EA 01 0F 04 0D 1E 2D 00") + deviation.to_bytes(2, signed=True) + b"\0"
    assert CosemDateTime.from_bytes(raw).deviation_minutes == deviation


@given(st.binary(min_size=12, max_size=12), st.sampled_from(["UTC", "Pacific/Kiritimati"]))
def test_any_twelve_bytes_are_a_moment_or_a_value_error(raw: bytes, zone: str) -> None:
    try:
        stamp = CosemDateTime.from_bytes(raw)
    except ValueError:
        return
    assert stamp.utc(ZoneInfo(zone)).tzinfo is UTC


@pytest.mark.parametrize(
    "raw", ["0001 01 01 01 00 00 00 00 FD30 00", "270F 0C 1F 05 17 3B 3B 00 0348 00"]
)
def test_a_time_whose_moment_lies_outside_the_calendar_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match="no date and time"):
        CosemDateTime.from_bytes(bytes.fromhex(raw))
