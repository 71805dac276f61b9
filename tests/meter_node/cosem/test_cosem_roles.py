"""Who may do what: every client with every attribute and method, and nothing else writable."""

from __future__ import annotations

import pytest

from meter_node.channel import axdr, obis
from meter_node.channel.objects import ClassId
from meter_node.cosem.access import Client
from meter_node.cosem.table import SIZES
from meter_node.meter.snapshot import Snapshot
from tests.meter_node.cosem.site import (
    Peer,
    Site,
    action,
    consumer,
    get,
    got,
    public,
    set_request,
    utility,
)

UTILITY_WRITES = {
    ("0.0.1.0.0.255", 2),
    ("0.0.11.0.0.255", 2),
    ("0.0.11.0.1.255", 2),
    ("0.0.13.0.0.255", 6),
    ("0.0.13.0.0.255", 7),
    ("0.0.13.0.0.255", 8),
    ("0.0.13.0.0.255", 9),
    ("0.0.13.0.0.255", 10),
    ("0.0.17.0.0.255", 4),
    ("0.0.17.0.0.255", 5),
    ("0.0.17.0.0.255", 6),
    ("0.0.17.0.0.255", 7),
    ("0.0.17.0.0.255", 8),
    ("0.0.17.0.0.255", 9),
    ("0.0.19.10.0.255", 5),
    ("0.0.19.10.1.255", 9),
    ("0.0.96.3.10.255", 4),
    ("0.0.96.7.20.255", 2),
    ("0.0.97.97.0.255", 2),
    ("0.0.128.0.0.255", 2),
    ("0.0.128.3.13.255", 2),
    ("0.0.128.14.0.255", 2),
    ("0.0.128.17.0.255", 2),
    ("0.0.128.25.9.255", 2),
    ("0.0.128.19.0.255", 2),
    ("0.1.128.3.12.255", 2),
    ("0.2.128.3.12.255", 2),
    ("1.0.12.31.0.255", 2),
    ("1.0.12.35.0.255", 2),
    ("1.0.12.39.0.255", 2),
    ("1.0.12.43.0.255", 2),
    ("1.0.12.44.0.255", 2),
    ("1.0.12.45.0.255", 2),
    ("1.0.99.1.0.255", 3),
    ("1.0.99.1.0.255", 4),
    ("1.0.99.2.0.255", 3),
    ("1.0.99.2.0.255", 4),
}
UTILITY_CALLS = {
    *(("0.0.1.0.0.255", method) for method in range(1, 7)),
    ("0.0.11.0.0.255", 1),
    ("0.0.11.0.0.255", 2),
    ("0.0.11.0.1.255", 1),
    ("0.0.11.0.1.255", 2),
    ("0.0.13.0.0.255", 1),
    ("0.0.19.10.1.255", 3),
    ("0.0.19.40.0.255", 1),
    ("0.0.40.0.0.255", 1),
    ("0.0.43.0.0.255", 2),
    ("0.0.96.3.10.255", 1),
    ("0.0.96.3.10.255", 2),
    *((f"0.{relay}.96.3.10.255", method) for relay in (1, 2) for method in (1, 2)),
    *((f"0.0.99.98.{log}.255", 1) for log in (0, 1, 2, 4, 5, 7, 8, 9, 10)),
    ("1.0.1.8.64.255", 1),
}
CONSUMER_WRITES = {("0.1.128.3.11.255", 2), ("0.2.128.3.11.255", 2)}
CONSUMER_CALLS = {
    ("0.0.19.10.1.255", 3),
    ("0.0.19.40.0.255", 1),
    ("0.0.40.0.0.255", 1),
    ("0.0.96.3.10.255", 2),
    *((f"0.{relay}.96.3.10.255", method) for relay in (1, 2) for method in (1, 2)),
    ("1.0.1.8.64.255", 1),
}
PUBLIC_READS = {
    "0.0.40.0.0.255": {1, 2, 3, 4, 5, 6, 8, 9},
    "0.0.40.0.1.255": {1, 2, 3, 4, 5, 6, 8, 9},
    "0.0.41.0.0.255": {1, 2},
    "0.0.42.0.0.255": {1, 2},
    "0.0.43.1.0.255": {1, 2},
    "0.0.43.1.1.255": {1, 2},
    "0.0.96.1.0.255": {1, 2},
    "0.0.96.1.1.255": {1, 2},
    "1.0.0.2.0.255": {1, 2},
}


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


def declared(site: Site, client: Client) -> tuple[set[tuple[str, int]], ...]:
    """What the table says a client may read, write and call."""
    reads, writes, calls = set(), set(), set()
    for row in site.table:
        name = obis.text(row.logical_name)
        for number in (1, *row.attributes):
            attribute = row.attribute(number)
            assert attribute is not None
            if client in attribute.readers:
                reads.add((name, number))
            if client in attribute.writers:
                writes.add((name, number))
        calls |= {(name, n) for n, one in row.methods.items() if client in one.callers}
    return reads, writes, calls


def test_what_each_client_may_write_and_call_is_what_stands_here(site: Site) -> None:
    _, writes, calls = declared(site, Client.MANAGEMENT)
    assert writes == UTILITY_WRITES
    assert calls == UTILITY_CALLS
    _, writes, calls = declared(site, Client.CONSUMER)
    assert writes == CONSUMER_WRITES
    assert calls == CONSUMER_CALLS
    reads, writes, calls = declared(site, Client.PUBLIC)
    assert (writes, calls) == (set(), set())
    assert reads == {(name, number) for name, numbers in PUBLIC_READS.items() for number in numbers}


def test_what_can_be_written_can_be_set_and_nothing_else(site: Site) -> None:
    for row in site.table:
        for attribute in row.attributes.values():
            assert (attribute.set is None) == (not attribute.writers)


class Asker:
    """A client at the server, whichever way he ciphers; results are the bytes of the standard."""

    def __init__(self, site: Site, client: Client) -> None:
        self.site = site
        self.peer: Peer | None = None
        if client is Client.PUBLIC:
            self.connection = public(site)
        else:
            self.peer = utility(site) if client is Client.MANAGEMENT else consumer(site)

    def ask(self, plaintext: bytes) -> bytes:
        if self.peer is not None:
            return self.peer.exchange(plaintext)
        answer = self.connection.receive(16, 1, plaintext, self.site.now_ns)
        assert answer is not None
        return answer


DENIED = 3


@pytest.mark.parametrize("client", Client)
def test_each_client_reads_what_is_declared_and_is_denied_all_else(client: Client) -> None:
    site = Site()
    asker = Asker(site, client)
    reads, _, _ = declared(site, client)
    for row in site.table:
        name = obis.text(row.logical_name)
        most, _ = SIZES[ClassId(row.class_id)]
        for number in range(1, most + 2):
            answer = asker.ask(get(row.class_id, name, number))
            allowed = (name, number) in reads
            is_denied = answer[:2] == b"\xc4\x01" and answer[3:] == bytes((1, DENIED))
            assert is_denied is not allowed, (name, number, answer[:20].hex())
            if allowed:  # in one, or as the first block
                data_follows = answer[3] if answer[1] == 1 else answer[8]
                assert data_follows == 0


@pytest.mark.parametrize("client", Client)
def test_each_client_writes_what_is_declared_and_is_denied_all_else(client: Client) -> None:
    site = Site()
    asker = Asker(site, client)
    _, writes, _ = declared(site, client)
    for row in site.table:
        name = obis.text(row.logical_name)
        most, _ = SIZES[ClassId(row.class_id)]
        for number in range(1, most + 2):
            before = changed(site)
            # A float is no value of any attribute: who may write is told so, and nothing changes.
            answer = asker.ask(set_request(row.class_id, name, number, axdr.number(24, 0.5)))
            allowed = (name, number) in writes
            assert (answer[3] == DENIED) is not allowed, (name, number)
            assert answer[3] != 0
            assert changed(site) == before


@pytest.mark.parametrize("client", Client)
def test_each_client_calls_what_is_declared_and_is_denied_all_else(client: Client) -> None:
    site = Site()
    asker = Asker(site, client)
    _, _, calls = declared(site, client)
    for row in site.table:
        name = obis.text(row.logical_name)
        _, most = SIZES[ClassId(row.class_id)]
        for number in range(1, most + 2):
            if (name, number) in calls:
                continue
            before = changed(site)
            answer = asker.ask(action(row.class_id, name, number, axdr.integer(0)))
            assert answer[3] == DENIED, (name, number)
            assert changed(site) == before


@pytest.mark.parametrize("client", Client)
def test_each_client_is_let_through_to_every_method_that_is_declared(client: Client) -> None:
    declared_to_call = sorted(declared(Site(), client)[2])
    site = Site()
    asker = Asker(site, client)
    for name, number in declared_to_call:
        (row,) = [one for one in site.table if obis.text(one.logical_name) == name]
        # What a method makes of a value that it has no use for is its own; it was reached.
        answer = asker.ask(action(row.class_id, name, number, axdr.number(24, 0.5)))
        assert answer[:2] == b"\xc7\x01", (name, number)
        assert answer[3] != DENIED, (name, number)
        if (name, number) == ("0.0.40.0.0.255", 1):
            asker = Asker(site, client)  # who fails to prove himself is out


@pytest.mark.parametrize("client", Client)
def test_what_no_object_has_and_no_class_names_is_refused(client: Client) -> None:
    site = Site()
    asker = Asker(site, client)
    before = changed(site)
    for class_id, name in ((3, "1.0.99.99.0.255"), (70, "0.0.96.3.11.255"), (1, "1.0.1.8.0.255")):
        for number in (-128, -1, 0, 2, 127):
            for request in (
                get(class_id, name, number),
                set_request(class_id, name, number, axdr.unsigned(0)),
                action(class_id, name, number, axdr.integer(0)),
            ):
                answer = asker.ask(request)
                # 4: no such object, 9: of another class
                assert answer[-1] in (4, 9) or answer[3] in (4, 9), (name, number, answer.hex())
    assert changed(site) == before


def changed(site: Site) -> tuple[Snapshot, int]:
    return site.meter.snapshot(), site.store.commits


@pytest.mark.parametrize("client", Client)
def test_the_object_list_says_what_the_table_says(client: Client) -> None:
    site = Site()
    asker = Asker(site, client)
    listed = got(asker.ask, get(15, "0.0.40.0.0.255", 2))
    told: tuple[set[tuple[str, int]], ...] = (set(), set(), set())
    for _, _, name, (attributes, methods) in listed:
        shown = obis.text(name)
        told[0].update((shown, n) for n, mode, _ in attributes if mode & 1)
        told[1].update((shown, n) for n, mode, _ in attributes if mode & 2)
        told[2].update((shown, n) for n, mode in methods if mode)
    assert told == declared(site, client)
