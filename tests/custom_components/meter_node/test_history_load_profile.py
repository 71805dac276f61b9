"""The load profile is asked for in bounded pieces, and understood as it is captured."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from kept_profile import HOUR_S, KeptProfile

from custom_components.meter_node.history import load_profile
from custom_components.meter_node.history.load_profile import PIECE_ROWS, AskedProfile
from custom_components.meter_node.history.readings import Reading, SourceError

T0 = 1_792_800_000
QUARTER_S = 900


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with patch.object(load_profile, "PAUSE_S", 0):
        yield


def profile(rows: int, first: int = 1) -> KeptProfile:
    """Rows with 10 Wh each, the first with this entry number."""
    kept = KeptProfile(zone=ZoneInfo("Europe/Copenhagen"))
    for place in range(1, first + rows):
        kept.keep(T0 + place * QUARTER_S, 10 * place, place)
    del kept.rows[: first - 1]
    return kept


async def read(kept: KeptProfile, since: int | None = None) -> list[Reading]:
    source = AskedProfile(kept, {})
    return [one async for piece in source.readings(since) for one in piece]


async def test_a_row_is_its_registers_at_the_interval_s_end() -> None:
    [first, second] = await read(profile(2))
    assert first == Reading(
        1, T0, T0 + QUARTER_S, {"import_active_energy": 10, "export_active_energy": 1}
    )
    assert second.entry == 2
    assert second.begin_s == T0 + QUARTER_S


async def test_stamps_of_the_hour_that_comes_twice_are_told_apart() -> None:
    """On 2026-10-25 it is 02:30 in Copenhagen at 00:30 UTC and once more at 01:30 UTC."""
    kept = KeptProfile(zone=ZoneInfo("Europe/Copenhagen"))
    ends = (T0 + 24 * HOUR_S + 1800, T0 + 25 * HOUR_S + 1800)
    for end_s in ends:
        kept.keep(end_s, 1, 1)
    assert tuple(one.end_s for one in await read(kept)) == ends


async def test_a_register_without_a_value_is_absent() -> None:
    kept = KeptProfile()
    kept.keep(T0, 5, None)
    [row] = await read(kept)
    assert row.registers_wh == {"import_active_energy": 5}


async def test_all_is_read_in_pieces_of_two_days_of_quarters() -> None:
    kept = profile(2 * PIECE_ROWS + 1)
    assert len(await read(kept)) == 2 * PIECE_ROWS + 1
    assert max(last - first for first, last in kept.asked) == PIECE_ROWS - 1


@pytest.mark.parametrize("first", [2, 1000, 20_000])
async def test_what_was_pushed_out_or_deleted_is_found_with_few_requests(first: int) -> None:
    kept = profile(300, first)
    assert [one.entry for one in await read(kept)] == [*range(first, first + 300)]
    # 2¹⁶ is more than a full profile has; each halving is one row.
    assert len(kept.asked) <= 16 + 2 + 2


async def test_a_later_run_reads_from_where_it_was() -> None:
    kept = profile(500)
    assert [one.entry for one in await read(kept, since=497)] == [497, 498, 499, 500]
    assert len(kept.asked) == 3  # the newest, whether the first is there, and the piece


async def test_what_was_left_off_at_and_is_not_kept_any_more_is_passed_over() -> None:
    assert [one.entry for one in await read(profile(10, 100), since=50)] == [*range(100, 110)]


async def test_from_above_the_newest_on_there_is_nothing() -> None:
    assert await read(profile(7), since=5000) == []


async def test_an_empty_profile_has_no_readings() -> None:
    assert await read(KeptProfile()) == []


async def test_other_captures_are_passed_over() -> None:
    kept = KeptProfile(captures=("import_reactive_energy", "import_active_energy"))
    kept.keep(T0, 3, 5)
    [row] = await read(kept)
    assert row.registers_wh["import_active_energy"] == 5


async def test_silence_is_an_error_with_its_reason() -> None:
    with pytest.raises(SourceError) as caught:
        await read(KeptProfile(silent=True))
    assert caught.value.reason == "no_answer"


async def test_a_profile_of_deltas_is_known_by_its_newest_row() -> None:
    """50 Wh in the last interval, while the register stands at 12 345 678 Wh."""
    kept = KeptProfile()
    kept.keep(T0, 50, 0)
    with pytest.raises(SourceError) as caught:
        await AskedProfile(kept, {"import_active_energy": 12_345_678}).async_newest()
    assert caught.value.reason == "deltas"


async def test_the_running_interval_s_energy_is_no_sign_of_deltas() -> None:
    kept = KeptProfile()
    kept.keep(T0, 12_300_000, 0)
    assert await AskedProfile(kept, {"import_active_energy": 12_345_678}).async_newest()


async def test_a_register_that_came_back_since_its_newest_row_is_no_sign_of_deltas() -> None:
    kept = KeptProfile()
    kept.keep(T0, 9_345_678, 0)
    assert await AskedProfile(kept, {"import_active_energy": 12_345_678}).async_newest()


async def test_a_profile_that_makes_no_sense_is_an_error() -> None:
    kept = KeptProfile(period_s=0)
    kept.keep(T0, 5, 5)
    with pytest.raises(SourceError):
        await read(kept)
