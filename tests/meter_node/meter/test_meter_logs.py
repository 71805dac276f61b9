"""The event logs: numbered, chained, counted; and nobody changes an entry unnoticed."""

import hashlib
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.event_codes import LOGS, Log
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import GENESIS, MOST_SOURCES, OTHERS, EventLogs, link, verify
from meter_node.meter.rows import ChainHead, LogRow

COPENHAGEN = LocalTime(ZoneInfo("Europe/Copenhagen"))
# 2026-01-15 12:00 UTC: a quarter-hour begins, and Copenhagen is an hour ahead.
NOON_S = 1_768_478_400
QUARTER_S = 900


def new() -> EventLogs:
    return EventLogs(COPENHAGEN)


def restarted(logs: EventLogs) -> EventLogs:
    return EventLogs(COPENHAGEN, logs.heads(), logs.state())


def whole_log(entries: int) -> tuple[list[LogRow], ChainHead]:
    logs = new()
    rows = logs.append(
        Event.of("magnet_on", NOON_S + number, f"{number}") for number in range(entries)
    )
    return rows, logs.heads()[Log.FRAUD]


def faulty_entries(rows: list[LogRow], head: ChainHead) -> list[int]:
    return [fault.entry for fault in verify(Log.FRAUD, rows, (), head)]


def test_entries_are_numbered_from_one_in_the_log_that_their_code_says() -> None:
    rows = new().append(
        [
            Event.of("magnet_on", NOON_S, "40 s"),
            Event.of("clock_invalid", NOON_S),
            Event.of("magnet_off", NOON_S + 1),
        ]
    )
    assert [(row.log, row.entry, row.code) for row in rows] == [
        (Log.FRAUD, 1, 42),
        (Log.CLOCK, 1, 6),
        (Log.FRAUD, 2, 43),
    ]


def test_an_entry_has_the_offset_of_its_own_time() -> None:
    summer_s = 1_784_116_800  # 2026-07-15 12:00 UTC
    rows = new().append([Event.of("magnet_on", NOON_S), Event.of("magnet_off", summer_s)])
    assert [row.offset_s for row in rows] == [3600, 7200]


def test_the_hash_is_over_the_chain_before_and_every_field_with_its_width() -> None:
    (row,) = new().append([Event.of("magnet_on", NOON_S, "40 s")])
    fields = (
        bytes(16)  # chain before the first entry
        + bytes((0, 0, 99, 98, 1, 255))  # fraud detection log
        + (1).to_bytes(8)
        + NOON_S.to_bytes(8)
        + (3600).to_bytes(4)
        + (42).to_bytes(2)
        + (4).to_bytes(4)
        + b"40 s"
    )
    assert row.chain == hashlib.sha256(fields).digest()[:16]


def test_a_restart_goes_on_with_the_chain() -> None:
    logs = new()
    rows = logs.append([Event.of("magnet_on", NOON_S)])
    again = restarted(logs)
    rows += again.append([Event.of("magnet_off", NOON_S + 5)])
    assert verify(Log.FRAUD, rows, (), again.heads()[Log.FRAUD]) == []


def test_a_source_that_calls_itself_what_cannot_be_printed_is_logged_all_the_same() -> None:
    (row,) = new().counted("replay", "a\nb\ud800" + "x" * 500, NOON_S)
    assert row.detail.startswith("a?b?xxx")
    assert len(row.detail) <= 200


# --- clearing ---


def test_clearing_is_the_first_entry_of_the_emptied_log_and_says_who() -> None:
    logs = new()
    logs.append([Event.of("magnet_on", NOON_S), Event.of("magnet_off", NOON_S + 1)])
    row = logs.clear(Log.FRAUD, NOON_S + 60, "client 1")
    assert (row.log, row.entry, row.code, row.detail) == (Log.FRAUD, 3, 255, "client 1")


def test_a_cleared_log_goes_on_from_the_chain_that_was_cleared() -> None:
    logs = new()
    logs.append([Event.of("magnet_on", NOON_S)])
    old = logs.heads()[Log.FRAUD]
    row = logs.clear(Log.FRAUD, NOON_S + 60, "client 1")
    assert row.chain == link(old.chain, row)
    head = logs.heads()[Log.FRAUD]
    assert verify(Log.FRAUD, [row], [old], head, LOGS[Log.FRAUD].depth) == []


def test_a_clearing_is_no_event_that_can_be_appended() -> None:
    with pytest.raises(ValueError, match="clear"):
        new().append([Event.of("log_cleared", NOON_S)])


# --- noise ---


def test_the_first_failure_is_logged_at_once_and_the_others_when_the_quarter_hour_ends() -> None:
    logs = new()
    first = logs.counted("authentication_failed", "10.0.0.7", NOON_S)
    more = [logs.counted("authentication_failed", "10.0.0.7", NOON_S + i) for i in range(1, 38)]
    sums = logs.advance(NOON_S + QUARTER_S)
    assert [row.detail for row in first] == ["10.0.0.7, 1"]
    assert more == [[]] * 37
    assert [(row.detail, row.time_s) for row in sums] == [("10.0.0.7, 37", NOON_S + QUARTER_S)]
    assert logs.advance(NOON_S + QUARTER_S - 1) == []


def test_noise_that_goes_on_costs_one_entry_a_quarter_hour() -> None:
    logs = new()
    rows = [
        row
        for second in range(0, 24 * 3600, 10)
        for row in logs.counted("replay", "10.0.0.7", NOON_S + second)
    ]
    # The first one, and a sum at the end of each of the 96 quarter-hours but the last.
    assert len(rows) == 1 + 95


def test_a_source_that_was_quiet_for_a_quarter_hour_is_logged_at_once_again() -> None:
    logs = new()
    logs.counted("replay", "10.0.0.7", NOON_S)
    assert logs.advance(NOON_S + QUARTER_S) == []
    (row,) = logs.counted("replay", "10.0.0.7", NOON_S + QUARTER_S + 1)
    assert row.detail == "10.0.0.7, 1"


def test_ever_new_names_are_counted_as_one_source() -> None:
    logs = new()
    rows = [
        row
        for number in range(1000)
        for row in logs.counted("replay", f"title {number}", NOON_S + number % QUARTER_S)
    ]
    sums = logs.advance(NOON_S + 2 * QUARTER_S)
    assert len(rows) == MOST_SOURCES + 1
    assert [row.detail for row in sums] == [f"{OTHERS}, {1000 - MOST_SOURCES - 1}"]


def test_two_codes_of_one_source_are_counted_apart() -> None:
    logs = new()
    for second in range(3):
        logs.counted("replay", "a", NOON_S + second)
        logs.counted("decryption_failed", "a", NOON_S + second)
    sums = logs.advance(NOON_S + QUARTER_S)
    assert [(row.code, row.detail) for row in sums] == [(50, "a, 2"), (49, "a, 2")]


def test_noise_pushes_out_no_evidence_of_another_log() -> None:
    logs = new()
    before = logs.heads()[Log.FRAUD]
    for second in range(3600):
        logs.counted("authentication_failed", f"{second}", NOON_S + second)
    assert logs.heads()[Log.FRAUD] == before


def test_a_clock_set_back_ends_the_counting_and_keeps_no_sum_waiting() -> None:
    logs = new()
    for second in range(5):
        logs.counted("replay", "a", NOON_S + second)
    rows = logs.clock_changed(NOON_S + 10, NOON_S - 86_400)
    assert [row.detail for row in rows] == ["a, 4"]
    logs.counted("replay", "a", NOON_S - 86_400 + 1)
    assert [row.detail for row in logs.advance(NOON_S - 86_400 + QUARTER_S)] == ["a, 1"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["replay", "authentication_failed"]),
            st.sampled_from([f"source {number}" for number in range(8)]),
            st.integers(0, 1200),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_every_failure_is_in_exactly_one_entry_over_any_power_cut(
    failures: list[tuple[str, str, int, bool]],
) -> None:
    logs, now_s, rows = new(), NOON_S, []
    for name, source, pause_s, cut in failures:
        now_s += pause_s
        rows += logs.counted(name, source, now_s)
        if cut:
            logs = restarted(logs)
    rows += logs.advance(now_s + QUARTER_S)
    assert sum(int(row.detail.rpartition(", ")[2]) for row in rows) == len(failures)
    assert verify(Log.COMMUNICATION, rows, (), logs.heads()[Log.COMMUNICATION]) == []


# --- verification ---


def test_a_whole_log_has_no_fault() -> None:
    assert faulty_entries(*whole_log(9)) == []
    assert faulty_entries([], GENESIS) == []


@pytest.mark.parametrize(
    "change",
    [
        {"time_s": NOON_S - 1},
        {"offset_s": 7200},
        {"code": 43},
        {"detail": "another"},
        {"chain": bytes(16)},
        {"code": 1 << 20},
        {"time_s": 1 << 80},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("entry", [1, 5, 9])
def test_a_changed_entry_is_named_and_only_that_one(entry: int, change: dict[str, int]) -> None:
    rows, head = whole_log(9)
    rows[entry - 1] = replace(rows[entry - 1], **change)  # type: ignore[arg-type]
    assert faulty_entries(rows, head) == [entry]


def test_an_entry_changed_together_with_its_hash_shows_at_the_next() -> None:
    rows, head = whole_log(9)
    changed = replace(rows[4], detail="another")
    rows[4] = replace(changed, chain=link(rows[3].chain, changed))
    assert faulty_entries(rows, head) == [6]


def test_the_last_entry_changed_together_with_its_hash_shows_at_the_head() -> None:
    rows, head = whole_log(9)
    changed = replace(rows[8], detail="another")
    rows[8] = replace(changed, chain=link(rows[7].chain, changed))
    assert faulty_entries(rows, head) == [9]


@pytest.mark.parametrize("entry", [1, 5, 9])
def test_a_removed_entry_is_named(entry: int) -> None:
    rows, head = whole_log(9)
    del rows[entry - 1]
    assert faulty_entries(rows, head) == [entry]


def test_a_removed_entry_is_found_where_the_others_were_moved_up() -> None:
    rows, head = whole_log(9)
    moved = [*rows[:4], *(replace(row, entry=row.entry - 1) for row in rows[5:])]
    assert faulty_entries(moved, head)[0] == 5


def test_an_inserted_entry_is_named() -> None:
    rows, head = whole_log(9)
    assert faulty_entries([*rows[:5], rows[4], *rows[5:]], head) == [5]
    assert faulty_entries([*rows, replace(rows[8], entry=10)], head)[-1] == 10


def test_entries_removed_at_the_beginning_are_missed_where_the_log_is_not_full() -> None:
    rows, head = whole_log(9)
    anchor = ChainHead(3, rows[2].chain)
    assert verify(Log.FRAUD, rows[3:], [anchor], head, depth=6) == []
    (fault,) = verify(Log.FRAUD, rows[3:], [anchor], head, depth=200)
    assert fault.entry == 3


def test_a_log_rewritten_to_its_end_is_found_by_a_head_that_was_published() -> None:
    _, published = whole_log(5)
    logs = new()
    forged = logs.append(Event.of("magnet_on", NOON_S, "another") for _ in range(9))
    head = logs.heads()[Log.FRAUD]
    assert verify(Log.FRAUD, forged, (), head) == []
    (fault,) = verify(Log.FRAUD, forged, (), head, published=[published])
    assert fault.entry == 5


def test_a_log_whose_end_was_cut_off_with_its_head_is_found_by_what_was_published() -> None:
    _, published = whole_log(9)
    rows, head = whole_log(5)
    (fault,) = verify(Log.FRAUD, rows, (), head, published=[published])
    assert fault.entry == 9


def test_numbers_that_jump_after_a_restored_copy_are_no_fault_where_the_chain_goes_on() -> None:
    rows, head = whole_log(5)
    later = EventLogs(COPENHAGEN, {Log.FRAUD: ChainHead(1000, head.chain)})
    rows += later.append([Event.of("magnet_off", NOON_S)])
    end = later.heads()[Log.FRAUD]
    assert verify(Log.FRAUD, rows, [ChainHead(1000, head.chain)], end) == []
    assert faulty_entries(rows, end) == [6]  # the anchor taken away: entries 6 to 1000
    broken = verify(Log.FRAUD, rows[:4] + rows[5:], [ChainHead(1000, head.chain)], end)
    assert [fault.entry for fault in broken] == [5]


@given(st.data())
def test_no_single_change_stays_unnoticed(data: st.DataObject) -> None:
    rows, head = whole_log(12)
    index = data.draw(st.integers(0, 11))
    match data.draw(st.sampled_from(["change", "remove", "repeat", "swap"])):
        case "change":
            field = data.draw(st.sampled_from(["entry", "time_s", "offset_s", "code"]))
            value = data.draw(st.integers(-(1 << 31), (1 << 31) - 1))
            changed = replace(rows[index], **{field: value})  # type: ignore[arg-type]
            if changed == rows[index]:
                return
            rows[index] = changed
        case "remove":
            del rows[index]
        case "repeat":
            rows.insert(data.draw(st.integers(0, 12)), rows[index])
        case "swap":
            other = data.draw(st.integers(0, 11).filter(lambda number: number != index))
            rows[index], rows[other] = rows[other], rows[index]
    assert faulty_entries(rows, head) != []
