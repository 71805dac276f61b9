"""Profiles, billing and logs by whole, by range and by place, and their intervals and columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meter_node.channel import axdr, obis, objects
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.event_codes import LOGS, Log
from meter_node.channel.objects import ClassId, CosemObject
from tests.meter_node.cosem.site import START_S, ZONE, Peer, Site, consumer, utility

QUARTER_S = 900
OTHER_REASON, TYPE_UNMATCHED, DENIED = 250, 12, 3
PROFILE = objects.LOAD_PROFILE
NAME = obis.text(PROFILE.logical_name)
CLOCK = axdr.structure(
    axdr.long_unsigned(8),
    axdr.octet_string(obis.parse("0.0.1.0.0.255")),
    axdr.integer(2),
    axdr.long_unsigned(0),
)


def captured(class_id: int, name: str) -> bytes:
    return axdr.structure(
        axdr.long_unsigned(class_id),
        axdr.octet_string(obis.parse(name)),
        axdr.integer(2),
        axdr.long_unsigned(0),
    )


def moment(at_s: int, *, deviation: bool = True) -> bytes:
    at = datetime.fromtimestamp(at_s, UTC)
    raw = CosemDateTime.at(at, ZONE).to_bytes()
    return axdr.octet_string(raw if deviation else raw[:9] + b"\x80\x00\xff")


def by_range(first: bytes, last: bytes, restricting: bytes = CLOCK, *wanted: bytes) -> bytes:
    return b"\x01\x01" + axdr.structure(restricting, first, last, axdr.array(*wanted))


def by_entry(*limits: int) -> bytes:
    first, last, left, right = limits
    return b"\x01\x02" + axdr.structure(
        axdr.double_long_unsigned(first),
        axdr.double_long_unsigned(last),
        axdr.long_unsigned(left),
        axdr.long_unsigned(right),
    )


@pytest.fixture(scope="module")
def site() -> Site:
    made = Site()
    made.run(minutes=24 * 60)
    return made


@pytest.fixture(scope="module")
def home(site: Site) -> Peer:
    return consumer(site, max_pdu=512)


def read(peer: Peer, selection: bytes = b"\x00") -> Any:
    return peer.get(7, NAME, 2, selection)


def test_the_columns_are_named_and_each_is_an_object(home: Peer) -> None:
    columns = home.read(PROFILE, 3)
    assert [obis.text(name) for _, name, _, _ in columns] == [
        "0.0.1.0.0.255",
        "0.0.96.10.1.255",
        "0.0.139.1.0.255",
        "1.0.1.8.0.255",
        "1.0.2.8.0.255",
        "1.0.3.8.0.255",
        "1.0.4.8.0.255",
    ]
    for class_id, name, attribute, _ in columns:
        home.get(class_id, obis.text(name), attribute)


def test_a_day_of_a_new_meter_has_96_quarters_that_add_up(site: Site, home: Peer) -> None:
    rows = read(home)
    assert len(rows) == 96 == home.read(PROFILE, 7)
    assert [row[2] for row in rows] == list(range(1, 97))
    # 3 kW are 50 Wh a minute; each quarter ends within a minute that began 2 s after a whole one,
    # and whose 50 Wh count to the quarter: 15 min and 2 s after the start, 751.67 Wh, truncated
    assert [row[3] for row in rows] == [int(750 * n + 5 / 3) for n in range(1, 97)]
    assert [row[3] for row in rows] == [
        row.values[0] for row in site.store.profile_rows("load_profile")
    ]
    first = CosemDateTime.from_bytes(rows[0][0])
    assert first.utc().timestamp() == START_S + QUARTER_S
    assert first.deviation_minutes == -120


@pytest.mark.parametrize("deviation", [True, False])
def test_a_range_of_the_clock_has_both_its_ends(home: Peer, deviation: bool) -> None:
    hour_s = START_S + 3600
    selection = by_range(
        moment(hour_s, deviation=deviation), moment(hour_s + 3600, deviation=deviation)
    )
    # 11:00, 11:15, 11:30, 11:45 and 12:00: the 4th to the 8th quarter since 10:00
    assert [row[2] for row in read(home, selection)] == [4, 5, 6, 7, 8]


def test_a_range_chooses_columns(home: Peer) -> None:
    wanted = captured(3, "1.0.1.8.0.255"), captured(1, "0.0.139.1.0.255")
    selection = by_range(moment(START_S), moment(START_S + 1800), CLOCK, *wanted)
    rows = read(home, selection)
    assert [row[1] for row in rows] == [1, 2]
    assert all(len(row) == 2 for row in rows)


def test_a_range_of_entry_numbers(home: Peer) -> None:
    column = captured(1, "0.0.139.1.0.255")
    selection = by_range(axdr.double_long_unsigned(90), axdr.double_long_unsigned(200), column)
    assert [row[2] for row in read(home, selection)] == list(range(90, 97))


@pytest.mark.parametrize(
    ("limits", "entries", "width"),
    [
        ((1, 2, 1, 0), [1, 2], 7),
        ((95, 0, 1, 0), [95, 96], 7),
        ((200, 0, 1, 0), [], 0),
        ((1, 1, 3, 3), None, 1),
        ((0, 1, 0, 0), [1], 7),
    ],
)
def test_a_selection_by_place(
    home: Peer, limits: tuple[int, int, int, int], entries: list[int] | None, width: int
) -> None:
    rows = read(home, by_entry(*limits))
    if entries is not None:
        assert [row[2] for row in rows] == entries
    assert all(len(row) == width for row in rows)


@pytest.mark.parametrize(
    ("selection", "result"),
    [
        (by_range(axdr.octet_string(b"soon"), moment(START_S)), TYPE_UNMATCHED),
        (by_range(moment(START_S), moment(START_S), captured(3, "1.0.9.9.9.255")), OTHER_REASON),
        (by_range(moment(START_S), moment(START_S), captured(3, "1.0.1.8.0.255")), OTHER_REASON),
        (b"\x01\x01" + axdr.null_data(), TYPE_UNMATCHED),
        (b"\x01\x02" + axdr.structure(*[axdr.boolean(True)] * 4), TYPE_UNMATCHED),
        (b"\x01\x03" + axdr.null_data(), 13),  # scope of access violated
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(
    home: Peer, selection: bytes, result: int
) -> None:
    assert read(home, selection).result == result


def test_what_has_no_selection_gives_none(home: Peer) -> None:
    assert home.get(3, "1.0.1.8.0.255", 2, by_entry(1, 0, 1, 0)).result == 13


def test_billing_has_the_days_and_all_their_registers(site: Site, home: Peer) -> None:
    daily = objects.BILLING["daily"]
    columns = [obis.text(name) for _, name, _, _ in home.read(daily, 3)]
    assert columns[:2] == ["0.0.1.0.0.255", "0.0.148.2.0.255"]
    (row,) = home.read(daily)
    (kept,) = site.store.billing_rows("daily")
    assert row[1] == kept.reason
    assert row[columns.index("1.0.1.8.0.255")] == kept.values["import_active_energy"]
    assert home.read(objects.BILLING["monthly"]) == []


def test_a_log_by_range_of_time(site: Site, home: Peer) -> None:
    peer = utility(site)
    peer.call(objects.BREAKER, 1, axdr.integer(0))
    log = CosemObject(ClassId.PROFILE_GENERIC, LOGS[Log.DISCONNECTOR].logical_name)
    now_s = site.now_ns // 10**9
    name = obis.text(log.logical_name)
    assert len(home.get(7, name, 2, by_range(moment(now_s - 5), moment(now_s + 5)))) >= 1
    assert home.get(7, name, 2, by_range(moment(now_s + 5), moment(now_s + 9))) == []


def test_another_interval_deletes_the_profile_and_is_logged() -> None:
    site = Site()
    site.run(minutes=60)
    peer = utility(site)
    assert peer.write(PROFILE, axdr.double_long_unsigned(1800), 4) == 0
    assert peer.read(PROFILE, 4) == 1800
    assert peer.read(PROFILE, 2) == []
    assert [code for code, _ in site.log(Log.PROFILE_CHANGES)] == [210]
    assert peer.write(PROFILE, axdr.double_long_unsigned(1801), 4) == OTHER_REASON
    assert peer.write(PROFILE, axdr.double_long_unsigned(420), 4) == OTHER_REASON
    assert consumer(site).write(PROFILE, axdr.double_long_unsigned(900), 4) == DENIED
    assert peer.read(PROFILE, 4) == 1800


def test_other_registers_are_captured_of_those_that_can_be() -> None:
    site = Site()
    peer = utility(site)
    log = objects.ANALYSIS_LOG
    wanted = axdr.array(CLOCK, captured(3, "1.0.14.7.0.255"), captured(3, "1.1.32.7.0.255"))
    assert peer.write(log, wanted, 3) == 0
    names = [obis.text(name) for _, name, _, _ in peer.read(log, 3)]
    assert names[3:] == ["1.0.14.7.0.255", "1.0.32.7.0.255"]
    site.run(minutes=16)
    (row,) = peer.read(log)
    assert row[3:] == (50_000, 23_000)  # 50 Hz in mHz, 230 V in 0.01 V
    no_register = axdr.array(captured(1, "0.0.96.1.0.255"))
    assert peer.write(log, no_register, 3) == OTHER_REASON
    assert peer.write(PROFILE, wanted, 3) == OTHER_REASON  # of energies alone
    assert peer.write(log, axdr.array(axdr.null_data()), 3) == TYPE_UNMATCHED


def test_demand_and_its_maximum_tell_their_times() -> None:
    site = Site()
    site.run(seconds=58)
    site.run(minutes=34)
    peer = utility(site)
    value, last = peer.get(5, "1.0.1.4.0.255", 2), peer.get(5, "1.0.1.4.0.255", 3)
    assert last == 30_000  # 3 kW in 0.1 W
    assert 0 < value < 30_000
    assert peer.get(5, "1.0.1.4.0.255", 8) == 900
    stamp = CosemDateTime.from_bytes(peer.get(4, "1.0.1.6.0.255", 5))
    assert stamp.utc().timestamp() == START_S + QUARTER_S  # of equal ones the first
    assert peer.get(4, "1.0.1.6.0.255", 2) == 30_000
    assert peer.get(4, "1.0.2.6.0.255", 5) is not None


def test_a_power_failure_is_in_the_log_of_long_ones() -> None:
    site = Site()
    site._end_s += 600
    site.run(seconds=1)
    peer = utility(site)
    # the gap of ten minutes, between the second after the start and the next
    (row,) = peer.read(objects.POWER_FAILURES)
    assert row[1] == 600
    assert peer.get(3, "0.0.96.7.9.255", 2) == 1
    assert peer.get(3, "0.0.96.7.19.255", 2) == 600
