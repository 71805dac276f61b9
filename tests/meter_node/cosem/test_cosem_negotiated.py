"""What an association was agreed for is what it does; and the node's logical devices by name."""

from __future__ import annotations

import pytest

from meter_node.channel import axdr, objects
from meter_node.cosem import model
from meter_node.cosem.model import Links, Parts
from meter_node.cosem.model import connection as links
from tests.meter_node.cosem.site import (
    TITLE,
    Refused,
    Site,
    aarq,
    action,
    get,
    initiate,
    set_request,
    utility,
)

ONLY_GET = bytes.fromhex("000010")
NOT_AGREED = b"\xd8\x01\x02"


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    "request_",
    [
        set_request(1, "0.0.128.25.9.255", 2, axdr.double_long_unsigned(60)),
        action(70, "0.0.96.3.10.255", 1, axdr.integer(0)),
        b"\xc0\x03\xc1\x01" + get(3, "1.0.1.8.0.255", 2)[3:],
        get(7, "1.0.99.1.0.255", 2, b"\x01\x02" + axdr.structure(
            axdr.double_long_unsigned(1), axdr.double_long_unsigned(2),
            axdr.long_unsigned(1), axdr.long_unsigned(0))),
        b"\xc1\x02" + set_request(1, "0.0.128.0.0.255", 2, b"")[2:] + b"\x00\x00\x00\x00\x01\x01a",
    ],
)  # fmt: skip
def test_what_was_not_agreed_on_is_not_done(site: Site, request_: bytes) -> None:
    peer = utility(site, conformance=ONLY_GET)  # the proof of identity is an ACTION all the same
    commits = site.store.commits
    assert peer.send(peer.seal(request_)) == NOT_AGREED
    assert site.store.commits == commits
    assert peer.get(3, "1.0.1.8.0.255", 2) == 1  # 3 kW for two seconds: 1.67 Wh


def test_a_client_without_blocks_gets_nothing_longer_than_it_takes(site: Site) -> None:
    connection = site.connect(2048)
    opened = aarq(information=initiate(128, ONLY_GET))
    assert connection.receive(16, 1, opened, site.now_ns)
    answer = connection.receive(16, 1, get(15, "0.0.40.0.0.255", 2), site.now_ns)
    assert answer == bytes.fromhex("c401c1010e")  # data-block-unavailable
    short = connection.receive(16, 1, get(1, "0.0.42.0.0.255", 2), site.now_ns)
    assert short is not None
    assert short[3] == 0
    peer = utility(site, conformance=ONLY_GET, max_pdu=128)
    assert peer.get(15, "0.0.40.0.0.255", 2) == Refused(14)
    assert "without blocks" in str(peer.get(1, "0.0.128.0.1.255", 2))


def test_who_takes_more_without_blocks_gets_it_whole(site: Site) -> None:
    assert len(utility(site, conformance=ONLY_GET).get(15, "0.0.40.0.0.255", 2)) > 50


def test_each_meter_of_a_node_names_all_of_them_and_itself(site: Site) -> None:
    other = b"MTN\x00\x00\x00\x00\x2b"
    own = Links(server_sap=2, logical_devices=((1, other), (2, TITLE)))
    parts = Parts(site.device, site.meter.variant, site.commands, site.store, site.security, own)
    site.server.table = model.build(parts, site.commit)
    peer = utility(site)
    assert peer.read(objects.SAP_ASSIGNMENT) == [
        (1, links.logical_device_name(other)),
        (2, links.logical_device_name(TITLE)),
    ]
    assert peer.read(objects.ASSOCIATION, 3) == (1, 2)  # client and server


def test_the_list_of_objects_is_made_once_and_is_each_clients_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    original = links.object_list

    def counting(table: object, client: object) -> bytes:
        made.append(client)  # type: ignore[arg-type]
        return original(table, client)  # type: ignore[arg-type]

    monkeypatch.setattr(links, "object_list", counting)
    peer = utility(site)
    connection = site.connect(0)
    assert connection.receive(16, 1, aarq(), site.now_ns)
    one = get(15, "0.0.40.0.0.255", 2)[3:]
    for _ in range(3):
        answer = connection.receive(16, 1, b"\xc0\x03\xc1\x40" + one * 64, site.now_ns)
        assert answer is not None
        whole = peer.read(objects.ASSOCIATION)
    assert made == [16, 1]
    assert len(whole) > len(peer.read(objects.ASSOCIATIONS[16]))
