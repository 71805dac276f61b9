"""Local time by whole numbers is what the time zone says, in whatever order it is asked."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.local_time import LocalTime

# Lord Howe moves by half an hour only; Kathmandu lies on a quarter of one and never moves.
ZONES = ("Europe/Copenhagen", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "UTC")
YEAR_2026_S = 1_767_225_600
YEAR_S = 365 * 86_400
SUMMER_BEGINS_S, SUMMER_ENDS_S = 1_774_746_000, 1_792_890_000  # 29 March and 25 October, 01:00 UTC


@pytest.mark.parametrize("zone", ZONES)
@given(
    st.lists(
        st.integers(YEAR_2026_S, YEAR_2026_S + YEAR_S)
        | st.integers(SUMMER_BEGINS_S - 90_000, SUMMER_BEGINS_S + 90_000)
        | st.integers(SUMMER_ENDS_S - 90_000, SUMMER_ENDS_S + 90_000)
    )
)
def test_offset_and_season_are_the_zones_own(zone: str, moments_s: list[int]) -> None:
    local = LocalTime(ZoneInfo(zone))
    for at_s in moments_s:
        there = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(zone))
        offset = there.utcoffset()
        assert offset is not None
        assert local.offset_s(at_s) == offset.total_seconds()
        assert local.is_summer(at_s) == bool(there.dst())
        assert local.day(at_s) == there.date()
        assert local.minute_of_day(at_s) == 60 * there.hour + there.minute


@pytest.mark.parametrize(
    ("change_s", "before_s", "after_s"),
    [(SUMMER_BEGINS_S, 3600, 7200), (SUMMER_ENDS_S, 7200, 3600)],
)
def test_the_offset_changes_with_its_second(change_s: int, before_s: int, after_s: int) -> None:
    local = LocalTime(ZoneInfo("Europe/Copenhagen"))
    for _ in range(2):
        assert local.offset_s(change_s - 1) == before_s
        assert local.offset_s(change_s) == after_s
