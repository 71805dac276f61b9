"""Reads rows of a meter's load profile for its displays. Must not know how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meter_node.cosem.profile_entry import LOAD_PROFILE, ProfileReader
from meter_node.meter.rows import ProfileRow
from meter_node.store import Store


def of_store(database: Store, title: bytes, captures: Callable[[], Sequence[str]]) -> ProfileReader:
    """Return the reader of one meter. It raises StoreError, and belongs to the store's thread."""

    def row(back: int) -> ProfileRow | None:
        number = database.kept(title).profile_entries.get(LOAD_PROFILE, 0) - back
        if number < 1:
            return None
        rows = database.profile_rows(title, LOAD_PROFILE, entries=(number, number))
        return rows[0] if rows else None

    return ProfileReader(row, captures)
