"""The DLMS server on a real store and key file: what it took survives, nothing is taken twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from meter_node import head_end, keys
from meter_node.channel import axdr, objects
from meter_node.channel.security import Keys
from meter_node.cosem.access import Client
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.model import Links
from meter_node.meter.commands import Commands
from meter_node.meter.meter import Meter
from meter_node.meter.variant import Variant
from meter_node.store import Store
from tests.meter_node.cosem.site import START_S, UTILITY_TITLE, Peer
from tests.meter_node.meter.steps import step

WHOLE = Variant("382M", 3, "5(65)", breaker=True, relays=2)


class Node:
    """A meter in a data directory, as a running node has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = keys.load_or_make(folder, ["house"]).meters["house"]
        assert own.management is not None
        self.management = own.management
        self.title = own.system_title
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.store = self.thread.submit(Store, folder / "store.sqlite").result()
        kept = self.thread.submit(self.store.kept, self.title).result()
        self.meter = Meter(
            WHOLE,
            kept.energies_nwh,
            zone=ZoneInfo("Europe/Copenhagen"),
            states=kept.states,
            log_heads=kept.log_heads,
            system_title=self.title,
        )
        self.device = LogicalDevice(
            Identity(self.title, "1", "382M", "0.1.0"), WHOLE, ZoneInfo("Europe/Copenhagen")
        )
        self.knows_time = True
        self.server = head_end.serve(
            self.device,
            WHOLE,
            Commands(self.meter),
            head_end.StoreInThread(self.store, self.title, self.thread),
            head_end.credentials(own, lambda new: keys.change_management(folder, "house", new)),
            floor=1000,
            links=Links(),
            commit=self.commit,
            knows_time=lambda: self.knows_time,
            look=lambda: None,
        )

    def run(self, start_s: int, minutes: int) -> None:
        for number in range(minutes):
            measured = step(start_s + 60 * number, 60, (1000.0, 1000.0, 1000.0)).measurement
            self.meter.advance(measured)
        self.commit()

    def commit(self) -> None:
        image, snapshot = self.meter.image(), self.meter.snapshot()
        self.thread.submit(self.store.commit, self.title, image).result()
        self.meter.is_kept(image)
        self.device.commit(snapshot)

    def utility(self, counter: int = 0) -> Peer:
        site: Any = SimpleNamespace(now_ns=self.meter.clock.now_ns)
        peer = Peer(
            self.server.connect("test", 1024),
            site,
            1,
            UTILITY_TITLE,
            self.management.keys,
            counter,
            meter_title=self.title,
        )
        peer.associate()
        return peer

    def close(self) -> None:
        self.thread.submit(self.store.close).result()
        self.thread.shutdown()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    running = [Node(tmp_path)]
    yield running
    for node in running:
        node.close()


def test_what_the_utility_did_and_its_number_survive_a_restart(nodes: list[Node]) -> None:
    node = nodes[0]
    node.run(START_S, 60)
    peer = node.utility()
    assert len(peer.read(objects.LOAD_PROFILE)) == 4
    recorded = peer.seal(b"\xc3\x01\xc1\x00\x46\x00\x00\x60\x03\x0a\xff\x01\x01\x0f\x00")
    assert peer.open(peer.send(recorded) or b"")[3] == 0
    node.close()
    again = nodes[0] = Node(node.folder)
    again.run(START_S + 3600, 1)
    assert again.device.committed.breaker is not None
    assert again.device.committed.breaker.causes == ("remote",)
    later = again.utility(peer.counter)
    assert not set(later.seen) & set(peer.seen)
    assert later.send(recorded) == b"\xd8\x01\x06" + (later.counter + 1).to_bytes(4)


def test_keys_that_were_sent_are_in_the_file_and_in_force_after_a_restart(
    nodes: list[Node],
) -> None:
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    node = nodes[0]
    node.run(START_S, 1)
    new = Keys(b"n" * 16, b"a" * 16)
    sent = axdr.array(
        *(
            axdr.structure(
                axdr.enum(number), axdr.octet_string(aes_key_wrap(node.management.master, key))
            )
            for number, key in ((0, new.encryption), (2, new.authentication))
        )
    )
    assert node.utility().call(objects.SECURITY[1], 2, sent) == 0
    node.close()
    again = nodes[0] = Node(node.folder)
    assert again.management.keys == new
    again.run(START_S + 60, 1)
    again.utility()


def test_who_is_paired_may_ask_and_who_was_revoked_is_not_answered_any_more(
    nodes: list[Node],
) -> None:
    node = nodes[0]
    node.run(START_S, 1)
    known = node.server.security.credentials
    paired, _ = keys.pair(node.folder, "house", "phone", "")
    assert head_end.pair_anew(known, paired.consumers) == ["phone paired"]
    assert head_end.pair_anew(known, paired.consumers) == []
    site: Any = SimpleNamespace(now_ns=node.meter.clock.now_ns)
    connection = node.server.connect("test", 1024)
    phone = Peer(connection, site, 20, b"PHONE001", paired.consumers["phone"])
    phone.meter_title = node.title
    phone.associate()
    register = b"\xc0\x01\xc1\x00\x03\x01\x00\x01\x08\x00\xff\x02\x00"
    assert phone.open(phone.send(phone.seal(register)) or b"")[:4] == b"\xc4\x01\xc1\x00"
    assert head_end.pair_anew(known, {}) == ["phone revoked"]
    # the association that was open has ended
    assert phone.send(phone.seal(register)) == b"\xd8\x01\x03"


def test_whoever_is_revoked_is_not_answered_once_more(nodes: list[Node]) -> None:
    node = nodes[0]
    node.run(START_S, 1)
    known = node.server.security.credentials
    watch = keys.PairingWatch(node.folder, "house")

    def look() -> None:
        found = watch.changed()
        if found is not None:
            head_end.pair_anew(known, found.consumers)

    node.server.look = look
    paired, _ = keys.pair(node.folder, "house", "phone", "")
    site: Any = SimpleNamespace(now_ns=node.meter.clock.now_ns)
    connection = node.server.connect("test", 1024)
    phone = Peer(connection, site, 20, b"PHONE001", paired.consumers["phone"])
    phone.meter_title = node.title
    phone.associate()
    assert connection.proven
    register = b"\xc0\x01\xc1\x00\x03\x01\x00\x01\x08\x00\xff\x02\x00"
    assert phone.open(phone.send(phone.seal(register)) or b"")[:4] == b"\xc4\x01\xc1\x00"
    keys.revoke(node.folder, "house", "phone")
    assert phone.send(phone.seal(register)) == b"\xd8\x01\x03"
    assert not connection.proven


def test_new_keys_under_an_old_name_are_another_pairing(nodes: list[Node]) -> None:
    known = nodes[0].server.security.credentials
    before, after = Keys(b"a" * 16, b"b" * 16), Keys(b"c" * 16, b"d" * 16)
    head_end.pair_anew(known, {"phone": before})
    assert head_end.pair_anew(known, {"phone": after}) == ["phone revoked", "phone paired"]
    found = [one.keys for one in known.with_keys(Client.CONSUMER)]
    assert found == [after]
