"""The store: whole or not at all, and never silent about a disk that takes no more."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meter_node import store
from meter_node.channel.event_codes import LOGS, Log
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import GENESIS, EventLogs, verify
from meter_node.meter.rows import BillingRow, Image, LogRow, ProfileRow
from meter_node.meter.snapshot import NANO

TITLE = b"MTN12345"
OTHER = b"MTN99999"
NOON_S = 1_768_478_400  # 2026-01-15 12:00 UTC
BEYOND_64_BITS_OF_NWH = 9_999_999_999 * NANO + 999_999_999


@pytest.fixture
def database(tmp_path: Path) -> Iterator[store.Store]:
    with closing(store.Store(tmp_path / "store.sqlite")) as opened:
        yield opened


def test_a_snapshot_comes_back_to_the_last_nanowatt_hour(
    database: store.Store, tmp_path: Path
) -> None:
    energies = {"import_active_energy": BEYOND_64_BITS_OF_NWH, "export_active_energy": 1}
    database.commit(TITLE, Image(5 * NANO, energies))
    database.close()
    with closing(store.Store(tmp_path / "store.sqlite")) as again:
        assert again.kept(TITLE) == store.Kept(5 * NANO, energies)
        assert again.kept(b"OTHER123") == store.Kept()


def test_a_commit_that_fails_leaves_the_one_before(database: store.Store) -> None:
    database.commit(TITLE, Image(1, {"import_active_energy": 1}))
    with pytest.raises(OverflowError):
        database.commit(TITLE, Image(2, {"import_active_energy": NANO * 2**63}))
    assert database.kept(TITLE) == store.Kept(1, {"import_active_energy": 1})


def test_of_many_bounds_the_highest_stay_and_the_others_are_one(tmp_path: Path) -> None:
    with closing(store.Store(tmp_path / "store.sqlite")) as database:
        for number in range(10):
            database.reserve_counter(f"key.{number}", 100 + number)
        database.reserve_counter("other.1", 1)
        database.reserve_counter("key", 1)
        database.forget_counters("key", 4, "key-floor")
        kept = {f"key.{number}": 100 + number for number in range(6, 10)}
        assert database.counters() == kept | {"other.1": 1, "key": 1, "key-floor": 105}
        database.forget_counters("key", 4, "key-floor")
        assert database.reserved_counter("key-floor") == 105


def test_a_full_disk_is_named_and_changes_nothing(database: store.Store, tmp_path: Path) -> None:
    database.commit(TITLE, Image(1, {"import_active_energy": 1}))
    ((pages,),) = database._database.execute("PRAGMA page_count").fetchall()
    database._database.execute(f"PRAGMA max_page_count={pages}")
    many = {f"register_{number}": number for number in range(2000)}
    with pytest.raises(store.StoreError, match="the disk is full"):
        database.commit(TITLE, Image(2, many))
    assert database.kept(TITLE) == store.Kept(1, {"import_active_energy": 1})
    database._database.execute("PRAGMA max_page_count=100000")
    database.commit(TITLE, Image(3, many))
    assert database.kept(TITLE).time_ns == 3


def test_a_counters_bound_only_rises(database: store.Store) -> None:
    assert database.reserved_counter("key") == 0
    database.reserve_counter("key", 2048)
    database.reserve_counter("key", 1024)
    assert database.reserved_counter("key") == 2048
    assert database.reserved_counter("other key") == 0


# --- states ---


def test_the_states_of_the_parts_come_back_and_an_absent_one_stays(
    database: store.Store, tmp_path: Path
) -> None:
    database.commit(TITLE, Image(1, states={"relays": '{"until_s":5}', "credit": "{}"}))
    database.commit(TITLE, Image(2, states={"credit": '{"wh":7}'}))
    database.close()
    with closing(store.Store(tmp_path / "store.sqlite")) as again:
        assert again.kept(TITLE).states == {"relays": '{"until_s":5}', "credit": '{"wh":7}'}
        assert again.kept(OTHER).states == {}


def test_only_what_changed_is_written(database: store.Store) -> None:
    image = Image(1, {"a": 1, "b": 2}, {"relays": "{}", "credit": "{}"})
    database.commit(TITLE, image)
    before = database._database.total_changes
    database.commit(TITLE, Image(2, {"a": 1, "b": 3}, {"relays": "{}", "credit": "[]"}))
    assert database._database.total_changes - before == 3  # the time, b, credit


def test_what_a_failed_commit_did_not_write_is_written_by_the_next(database: store.Store) -> None:
    database.commit(TITLE, Image(1, {"a": 1}, {"relays": "1"}))
    with pytest.raises(OverflowError):
        database.commit(TITLE, Image(2, {"a": 2, "b": NANO * 2**63}, {"relays": "2"}))
    database.commit(TITLE, Image(3, {"a": 2}, {"relays": "2"}))
    assert database.kept(TITLE) == store.Kept(3, {"a": 2}, {"relays": "2"})


def test_what_is_done_in_one_transaction_is_undone_together(database: store.Store) -> None:
    database.commit(TITLE, Image(1, {"a": 1}))

    def half() -> None:
        with database.transaction():
            database.commit(TITLE, Image(2, {"a": 2}))
            database.reserve_counter("key", 5)
            raise KeyError("cut")

    with pytest.raises(KeyError):
        half()
    assert database.kept(TITLE) == store.Kept(1, {"a": 1})
    assert database.reserved_counter("key") == 0
    database.commit(TITLE, Image(2, {"a": 2}))
    assert database.kept(TITLE) == store.Kept(2, {"a": 2})


# --- rows ---


def magnet(logs: EventLogs, times: int) -> list[LogRow]:
    return logs.append(Event.of("magnet_on", NOON_S + n, f"{n}") for n in range(times))


@pytest.fixture
def logs() -> EventLogs:
    return EventLogs(LocalTime(ZoneInfo("Europe/Copenhagen")))


def faults(database: store.Store, log: Log = Log.FRAUD) -> list[int]:
    evidence = database.evidence(TITLE, log)
    assert evidence is not None
    found = verify(log, evidence.rows, evidence.anchors, evidence.head, evidence.depth)
    return [fault.entry for fault in found]


def quarter(entry: int, *values: int | None) -> ProfileRow:
    return ProfileRow("load", entry, NOON_S + 900 * entry, 3600, 8, values)


def test_rows_come_back_as_they_were(database: store.Store, logs: EventLogs) -> None:
    log_rows = magnet(logs, 3)
    profile_rows = [quarter(1, 0, None, -1, 127, 128, -(2**40), 2**63 - 1), quarter(2)]
    billing = BillingRow("daily", 1, NOON_S, 3600, "", {"import_active_energy": 2**62})
    database.commit(
        TITLE, Image(1, {}, {}, log_rows, profile_rows=profile_rows, billing_rows=[billing])
    )
    assert database.log_rows(TITLE, Log.FRAUD) == log_rows
    assert database.log_rows(TITLE, Log.FRAUD, 2, 2) == log_rows[1:2]
    assert database.profile_rows(TITLE, "load") == profile_rows
    assert database.billing_rows(TITLE, "daily") == [billing]
    assert database.log_rows(OTHER, Log.FRAUD) == []
    assert database.log_rows(TITLE, Log.CLOCK) == []


def test_profile_rows_are_found_by_stamp_and_by_number(database: store.Store) -> None:
    rows = [quarter(number, number) for number in range(1, 10)]
    database.commit(TITLE, Image(1, profile_rows=rows))
    from_s, to_s = NOON_S + 900 * 3, NOON_S + 900 * 5
    assert database.profile_rows(TITLE, "load", stamps_s=(from_s, to_s)) == rows[2:5]
    assert database.profile_rows(TITLE, "load", stamps_s=(None, from_s)) == rows[:3]
    assert database.profile_rows(TITLE, "load", entries=(8, None)) == rows[7:]


def test_rows_offered_again_after_a_lost_answer_are_the_same_rows(
    database: store.Store, logs: EventLogs
) -> None:
    image = Image(1, {}, {}, magnet(logs, 3), [quarter(1, 5)])
    database.commit(TITLE, image)
    more = Image(2, {}, {}, [*image.log_rows, *magnet(logs, 1)], [quarter(1, 5), quarter(2, 6)])
    database.commit(TITLE, more)
    assert database.log_rows(TITLE, Log.FRAUD) == more.log_rows
    assert database.profile_rows(TITLE, "load") == more.profile_rows


def test_another_row_under_a_number_that_is_taken_is_refused_whole(
    database: store.Store, logs: EventLogs
) -> None:
    database.commit(TITLE, Image(1, {"a": 1}, {}, magnet(logs, 3), [quarter(1, 5)]))
    other = magnet(EventLogs(LocalTime(ZoneInfo("UTC"))), 1)
    with pytest.raises(store.StoreError, match="another entry 1 of the log fraud"):
        database.commit(TITLE, Image(2, {"a": 2}, {}, other))
    with pytest.raises(store.StoreError, match="another entry 1 of the profile load"):
        database.commit(TITLE, Image(2, {"a": 2}, profile_rows=[quarter(1, 6)]))
    assert database.kept(TITLE).energies_nwh == {"a": 1}


def test_a_log_entry_that_leaves_one_out_is_refused(database: store.Store, logs: EventLogs) -> None:
    rows = magnet(logs, 3)
    with pytest.raises(store.StoreError, match="does not follow entry 1"):
        database.commit(TITLE, Image(1, {}, {}, [rows[0], rows[2]]))
    assert database.kept(TITLE) == store.Kept()


def test_entry_201_pushes_out_entry_1_and_the_chain_still_holds(
    database: store.Store, logs: EventLogs
) -> None:
    depth = LOGS[Log.FRAUD].depth
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, depth)))
    assert database.log_rows(TITLE, Log.FRAUD)[0].entry == 1
    for number in range(3):
        database.commit(TITLE, Image(2 + number, {}, {}, magnet(logs, 1)))
        rows = database.log_rows(TITLE, Log.FRAUD)
        assert (rows[0].entry, len(rows)) == (number + 2, depth)
        assert faults(database) == []


def test_logs_keep_as_many_as_their_table_says(database: store.Store, logs: EventLogs) -> None:
    events = ("neutral_fault", "profile_changed", "clock_new")
    for name in events:
        rows = logs.append(Event.of(name, NOON_S + number) for number in range(250))
        database.commit(TITLE, Image(1, {}, {}, rows))
    kept = {log: len(database.log_rows(TITLE, log)) for log in Log}
    assert kept[Log.NEUTRAL_FAULT] == 45
    assert kept[Log.PROFILE_CHANGES] == 10
    assert kept[Log.CLOCK] == 200


def test_clearing_empties_a_log_and_is_its_first_entry(
    database: store.Store, logs: EventLogs
) -> None:
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, 5)))
    cleared = [*magnet(logs, 1), logs.clear(Log.FRAUD, NOON_S, "client 1"), *magnet(logs, 1)]
    for _ in range(2):  # once more, after a lost answer
        database.commit(TITLE, Image(2, {}, {}, cleared))
        assert [row.code for row in database.log_rows(TITLE, Log.FRAUD)] == [255, 42]
        assert faults(database) == []


def test_the_logs_go_on_where_the_store_says(database: store.Store, logs: EventLogs) -> None:
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, 5)))
    heads = database.kept(TITLE).log_heads
    assert heads == {Log.FRAUD: logs.heads()[Log.FRAUD]}
    again = EventLogs(LocalTime(ZoneInfo("UTC")), heads)
    database.commit(TITLE, Image(2, {}, {}, magnet(again, 1)))
    assert faults(database) == []


def test_numbers_that_jump_keep_the_chain_and_what_was_there(
    database: store.Store, logs: EventLogs
) -> None:
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, 5)))
    database.jump(TITLE, 1_000_000)
    heads = database.kept(TITLE).log_heads
    assert heads[Log.FRAUD].entry == heads[Log.CLOCK].entry == 1_000_000
    again = EventLogs(LocalTime(ZoneInfo("UTC")), heads)
    database.commit(TITLE, Image(2, {}, {}, magnet(again, 3)))
    entries = [row.entry for row in database.log_rows(TITLE, Log.FRAUD)]
    assert entries == [1, 2, 3, 4, 5, 1_000_001, 1_000_002, 1_000_003]
    assert faults(database) == faults(database, Log.CLOCK) == []
    database.commit(TITLE, Image(3, {}, {}, magnet(again, 197)))  # 200 with them: full
    assert faults(database) == []
    assert len(database.log_rows(TITLE, Log.FRAUD)) == 200
    database.commit(TITLE, Image(4, {}, {}, magnet(again, 10)))
    assert faults(database) == []


def test_a_profile_keeps_as_many_rows_as_its_depth(database: store.Store) -> None:
    for number in range(1, 8):
        rows = [quarter(number, number)]
        database.commit(TITLE, Image(number, profile_rows=rows, profile_depths={"load": 5}))
    assert [row.entry for row in database.profile_rows(TITLE, "load")] == [3, 4, 5, 6, 7]
    database.commit(TITLE, Image(8, profile_rows=[quarter(8, 8)], profile_depths={"load": 2}))
    assert [row.entry for row in database.profile_rows(TITLE, "load")] == [7, 8]


def test_a_deleted_profile_goes_on_with_its_numbers(database: store.Store) -> None:
    database.commit(TITLE, Image(1, profile_rows=[quarter(1, 1), quarter(2, 2)]))
    deleted = Image(2, profile_rows=[quarter(2, 2), quarter(3, 9, 9)], profile_firsts={"load": 3})
    for _ in range(2):
        database.commit(TITLE, deleted)
        assert database.profile_rows(TITLE, "load") == [quarter(3, 9, 9)]
    database.commit(TITLE, Image(3, profile_firsts={"load": 4}))
    assert database.profile_rows(TITLE, "load") == []
    assert database.kept(TITLE).profile_entries == {"load": 3}


def test_billing_rows_keep_as_many_as_their_depth(database: store.Store) -> None:
    for number in range(1, 4):
        row = BillingRow("daily", number, NOON_S + number, 0, "", {"a": number})
        database.commit(TITLE, Image(number, billing_rows=[row], billing_depths={"daily": 2}))
    assert [row.entry for row in database.billing_rows(TITLE, "daily")] == [2, 3]


@pytest.mark.parametrize(
    ("sql", "entry"),
    [
        ("UPDATE log SET detail = 'another' WHERE entry = 4", 4),
        ("UPDATE log SET time_s = time_s - 1 WHERE entry = 4", 4),
        ("UPDATE log SET detail = CAST(x'ff' AS TEXT) WHERE entry = 4", 4),
        ("DELETE FROM log WHERE entry = 4", 4),
        ("INSERT INTO log SELECT series, 10, time_s, 0, code, '', chain FROM log LIMIT 1", 10),
        ("DELETE FROM log WHERE entry > 7", 8),
        ("DELETE FROM log", 1),
    ],
)
def test_a_row_changed_behind_the_meters_back_is_found(
    database: store.Store, logs: EventLogs, sql: str, entry: int
) -> None:
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, 9)))
    assert faults(database) == []
    database._database.execute(sql)
    assert faults(database) == [entry]


def test_entries_that_belong_to_no_log_are_counted(database: store.Store, logs: EventLogs) -> None:
    database.commit(TITLE, Image(1, {}, {}, magnet(logs, 9)))
    assert database.orphans() == 0
    database._database.execute("DELETE FROM series")
    assert database.orphans() == 9


# --- versions ---

VERSION_1 = """
CREATE TABLE meter (title BLOB PRIMARY KEY, time_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE energy (
    title BLOB NOT NULL, register TEXT NOT NULL, wh INTEGER NOT NULL, nwh INTEGER NOT NULL,
    PRIMARY KEY (title, register)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (key_name TEXT PRIMARY KEY, reserved INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meter VALUES (x'4d544e3132333435', 5000000000);
INSERT INTO energy VALUES (x'4d544e3132333435', 'import_active_energy', 9999999999, 999999999);
INSERT INTO counter VALUES ('key', 2048);
PRAGMA user_version=1;
"""


def test_registers_and_counters_of_a_version_1_store_survive(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
    for _ in range(2):
        with closing(store.Store(path)) as database:
            assert database.kept(TITLE) == store.Kept(
                5 * NANO, {"import_active_energy": BEYOND_64_BITS_OF_NWH}
            )
            assert database.reserved_counter("key") == 2048
            assert database.log_rows(TITLE, Log.STATUS) == []
    with closing(store.Store(path)) as database:
        logs = EventLogs(LocalTime(ZoneInfo("UTC")), database.kept(TITLE).log_heads)
        database.commit(TITLE, Image(6 * NANO, {}, {"relays": "{}"}, magnet(logs, 1)))
        assert database.kept(TITLE).energies_nwh == {"import_active_energy": BEYOND_64_BITS_OF_NWH}
        assert logs.heads()[Log.CLOCK] == GENESIS


def test_a_migration_that_fails_leaves_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1)
    broken = (store._MIGRATIONS[0], store._MIGRATIONS[1] + "; CREATE nonsense")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_MIGRATIONS", broken)
        with pytest.raises(store.StoreError, match="nonsense"):
            store.Store(path)
    with closing(sqlite3.connect(path)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'log'").fetchone() == (
            0,
        )


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
