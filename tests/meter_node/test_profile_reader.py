"""A profile's rows counted from the newest, as a display's browser wants them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from meter_node import profile_reader
from meter_node.meter.rows import Image, ProfileRow
from meter_node.store import Store

TITLE = b"MTN12345"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.sqlite")
    yield made
    made.close()


def rows(*entries: int) -> tuple[ProfileRow, ...]:
    return tuple(
        ProfileRow("load_profile", entry, 900 * entry, 3600, 0, (entry,)) for entry in entries
    )


def test_rows_are_counted_from_the_newest(store: Store) -> None:
    store.commit(TITLE, Image(1, profile_rows=rows(1, 2, 3)))
    reader = profile_reader.of_store(store, TITLE, lambda: ("import_active_energy",))
    found = [reader.row(back) for back in range(4)]
    assert [row and row.entry for row in found] == [3, 2, 1, None]


def test_behind_the_oldest_row_that_is_kept_there_is_none(store: Store) -> None:
    store.commit(TITLE, Image(1, profile_rows=rows(1, 2, 3), profile_depths={"load_profile": 2}))
    reader = profile_reader.of_store(store, TITLE, lambda: ("import_active_energy",))
    assert reader.row(1) is not None
    assert reader.row(2) is None


def test_a_meter_without_rows_has_none(store: Store) -> None:
    assert profile_reader.of_store(store, TITLE, tuple).row(0) is None
