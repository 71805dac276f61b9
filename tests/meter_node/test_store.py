"""The store: whole or not at all, and never silent about a disk that takes no more."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from meter_node import store
from meter_node.meter.snapshot import NANO, Snapshot

TITLE = b"MTN12345"
BEYOND_64_BITS_OF_NWH = 9_999_999_999 * NANO + 999_999_999


@pytest.fixture
def database(tmp_path: Path) -> Iterator[store.Store]:
    with closing(store.Store(tmp_path / "store.sqlite")) as opened:
        yield opened


def test_a_snapshot_comes_back_to_the_last_nanowatt_hour(
    database: store.Store, tmp_path: Path
) -> None:
    energies = {"import_active_energy": BEYOND_64_BITS_OF_NWH, "export_active_energy": 1}
    database.commit(TITLE, Snapshot(5 * NANO, energies))
    database.close()
    with closing(store.Store(tmp_path / "store.sqlite")) as again:
        assert again.kept(TITLE) == store.Kept(5 * NANO, energies)
        assert again.kept(b"OTHER123") == store.Kept()


def test_a_commit_that_fails_leaves_the_one_before(database: store.Store) -> None:
    database.commit(TITLE, Snapshot(1, {"import_active_energy": 1}))
    with pytest.raises(OverflowError):
        database.commit(TITLE, Snapshot(2, {"import_active_energy": NANO * 2**63}))
    assert database.kept(TITLE) == store.Kept(1, {"import_active_energy": 1})


def test_a_full_disk_is_named_and_changes_nothing(database: store.Store, tmp_path: Path) -> None:
    database.commit(TITLE, Snapshot(1, {"import_active_energy": 1}))
    ((pages,),) = database._database.execute("PRAGMA page_count").fetchall()
    database._database.execute(f"PRAGMA max_page_count={pages}")
    many = {f"register_{number}": number for number in range(2000)}
    with pytest.raises(store.StoreError, match="the disk is full"):
        database.commit(TITLE, Snapshot(2, many))
    assert database.kept(TITLE) == store.Kept(1, {"import_active_energy": 1})
    database._database.execute("PRAGMA max_page_count=100000")
    database.commit(TITLE, Snapshot(3, many))
    assert database.kept(TITLE).time_ns == 3


def test_a_counters_bound_only_rises(database: store.Store) -> None:
    assert database.reserved_counter("key") == 0
    database.reserve_counter("key", 2048)
    database.reserve_counter("key", 1024)
    assert database.reserved_counter("key") == 2048
    assert database.reserved_counter("other key") == 0


def test_what_is_no_store_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"this is no database at all, but long enough to look like a file" * 20)
    with pytest.raises(store.StoreError, match=r"store\.sqlite: can't open"):
        store.Store(path)


def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(store.StoreError, match="newer version"):
        store.Store(path)


def test_a_second_process_is_told_which_one_has_the_data_directory(tmp_path: Path) -> None:
    holding = "import sys, pathlib; from meter_node import store; "
    holding += "file = store.lock(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(store.DataDirectoryInUseError, match=str(process.pid)):
            store.lock(tmp_path)
        process.kill()
    store.lock(tmp_path).close()  # a killed process holds nothing
