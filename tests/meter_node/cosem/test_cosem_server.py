"""Associations and plain services: bytes in, bytes out, as the Green Book has them."""

from __future__ import annotations

import pytest

from meter_node.channel import axdr, objects
from tests.meter_node.cosem.site import (
    PASSWORD,
    Peer,
    Refused,
    Site,
    aarq,
    consumer,
    fields,
    get,
    initiate,
    public,
    utility,
)


@pytest.fixture
def site() -> Site:
    return Site()


def test_the_public_associates_as_in_the_green_book_and_reads_who_the_meter_is(site: Site) -> None:
    # Green Book, an AARQ of the lowest level security, its conformance block all that there is
    request = bytes.fromhex(
        "601d a109060760857405080101 be10 040e 01000000065f1f0400 ffffff ffff".replace(" ", "")
    )
    connection = site.connect()
    answer = connection.receive(16, 1, request, site.now_ns)
    # AARE: context 1, accepted, diagnostic null, initiate-response: version 6, conformance,
    # 2048 bytes (0x0800), VAA name 0x0007
    assert answer == bytes.fromhex(
        "6129 a109060760857405080101 a203020100 a305a103020100 be10 040e"
        "0800065f1f0400605e1d08000007".replace(" ", "")
    )
    number = connection.receive(16, 1, get(1, "0.0.96.1.0.255", 2), site.now_ns)
    assert number == b"\xc4\x01\xc1\x00" + axdr.visible_string("8675309")


def test_the_public_reads_no_register(site: Site) -> None:
    connection = public(site)
    answer = connection.receive(16, 1, get(3, "1.0.1.8.0.255", 2), site.now_ns)
    assert answer == bytes.fromhex("c401c1 01 03")  # read-write-denied


def test_without_an_association_nothing_is_served(site: Site) -> None:
    answer = site.connect().receive(16, 1, get(1, "0.0.96.1.0.255", 2), site.now_ns)
    assert answer == bytes.fromhex("d8 01 03")  # service not allowed


def test_the_utility_associates_by_gmac_and_reads_a_register(site: Site) -> None:
    peer = utility(site)
    site.run(minutes=60)
    # 3 kW for an hour and two seconds: 3001.6 Wh, truncated
    assert peer.get(3, "1.0.1.8.0.255", 2) == 3001
    assert peer.get(3, "1.1.1.8.0.255", 2) == 3001  # B = 1 is the same register
    assert peer.get(3, "1.0.1.8.0.255", 3) == (0, 30)


def test_the_object_list_names_every_object_once_with_rights(site: Site) -> None:
    peer = utility(site)
    listed = peer.read(objects.ASSOCIATION)
    assert isinstance(listed, list)
    names = [name for _, _, name, _ in listed]
    assert len(names) == len(set(names))
    rights = {name: access for _, _, name, access in listed}
    attributes, methods = rights[objects.BREAKER.logical_name]
    assert [(number, mode) for number, mode, _ in attributes] == [(1, 1), (2, 1), (3, 1), (4, 3)]
    assert methods == [(1, 1), (2, 1)]


def test_every_attribute_of_the_object_list_can_be_read(site: Site) -> None:
    site.run(minutes=30)
    for peer in (utility(site), consumer(site)):
        for class_id, _, name, (attributes, _) in peer.read(objects.ASSOCIATION):
            for number, mode, _ in attributes:
                if mode & 1:
                    value = peer.get(class_id, ".".join(map(str, name)), number)
                    assert not isinstance(value, Refused), (name.hex("."), number, value)


def test_the_consumer_associates_by_a_password_in_the_clear_where_there_is_one(site: Site) -> None:
    connection = site.connect()
    answer = connection.receive(20, 1, aarq(1, 1, PASSWORD), site.now_ns)
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x00"
    read = connection.receive(20, 1, get(3, "1.0.1.8.0.255", 2), site.now_ns)
    assert read is not None
    assert read[:4] == bytes.fromhex("c401c100")


def refusal(site: Site, sap: int, request: bytes) -> int:
    """The diagnostic of an association that is refused; nothing may be asked then."""
    connection = site.connect()
    answer = connection.receive(sap, 1, request, site.now_ns)
    assert answer is not None
    aare = fields(fields(answer)[0x61])
    assert aare[0xA2] == b"\x02\x01\x01"
    asked = connection.receive(sap, 1, get(1, "0.0.96.1.0.255", 2), site.now_ns)
    assert asked == bytes.fromhex("d80103")
    return aare[0xA3][-1]


@pytest.mark.parametrize(
    ("sap", "request_", "diagnostic"),
    [
        (20, aarq(1, 1, b"guessed"), 13),  # authentication failure
        (20, aarq(1, 0), 14),  # authentication required
        (1, aarq(1, 1, PASSWORD), 2),  # the utility has no plain context
        (1, aarq(1, 5, b"12345678"), 2),
        (16, aarq(3, 5, b"12345678", b"UTI00001"), 2),
        (16, aarq(2), 2),  # short names
        (16, aarq(1, 1, PASSWORD), 11),  # mechanism not recognised
        (16, aarq(1, 2, b"12345678"), 11),
        (1, aarq(3, 5, b"12345678", b"UTI00001"), 14),  # initiate-request not ciphered
        (1, aarq(3, 5, b"12345678", b"UTI", initiate()), 13),  # no whole system title
    ],
)
def test_an_association_that_the_role_does_not_allow_is_refused_with_its_reason(
    site: Site, sap: int, request_: bytes, diagnostic: int
) -> None:
    assert refusal(site, sap, request_) == diagnostic


@pytest.mark.parametrize(
    ("information", "error"),
    [
        (bytes.fromhex("0100000005 5f1f0400 605e1d ffff".replace(" ", "")), 1),  # version too low
        (bytes.fromhex("0100000006 5f1f0400 000000 ffff".replace(" ", "")), 2),  # conformance
        (bytes.fromhex("0100000006 5f1f0400 605e1d 0040".replace(" ", "")), 3),  # 64 bytes
        (bytes.fromhex("010104aabbccdd 000006 5f1f0400 605e1d ffff".replace(" ", "")), 0),
    ],
)
def test_an_initiate_that_can_not_be_served_gets_a_confirmed_service_error(
    site: Site, information: bytes, error: int
) -> None:
    answer = site.connect().receive(16, 1, aarq(information=information), site.now_ns)
    assert answer is not None
    assert answer.endswith(bytes((0xBE, 0x06, 0x04, 0x04, 0x0E, 0x01, 0x06, error)))


def test_a_wrong_password_is_counted_in_the_communication_log(site: Site) -> None:
    refusal(site, 20, aarq(1, 1, b"guessed"))
    assert site.counted == [("authentication_failed", "test, client 20")]


def test_after_ten_wrong_passwords_none_is_looked_at_for_ten_minutes(site: Site) -> None:
    for _ in range(10):
        refusal(site, 20, aarq(1, 1, b"guessed"))
    assert refusal(site, 20, aarq(1, 1, PASSWORD)) == 13
    assert len(site.counted) == 10
    utility(site)  # keys are not locked
    later_ns = site.now_ns + 600 * 10**9
    answer = site.connect().receive(20, 1, aarq(1, 1, PASSWORD), later_ns)
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x00"


def test_released_is_released(site: Site) -> None:
    connection = public(site)
    assert connection.receive(16, 1, bytes.fromhex("6203800100"), site.now_ns) == bytes.fromhex(
        "6303800100"
    )
    answer = connection.receive(16, 1, get(1, "0.0.96.1.0.255", 2), site.now_ns)
    assert answer == bytes.fromhex("d80103")


def test_a_closed_connection_has_no_association(site: Site) -> None:
    peer = utility(site)
    peer.connection.closed()
    answer = peer.send(peer.seal(get(3, "1.0.1.8.0.255", 2)))
    assert answer == bytes.fromhex("d80103")


def test_two_clients_on_one_connection_have_an_association_each(site: Site) -> None:
    peer = utility(site)
    peer.connection.receive(16, 1, aarq(), site.now_ns)
    denied = peer.connection.receive(16, 1, get(3, "1.0.1.8.0.255", 2), site.now_ns)
    assert denied == bytes.fromhex("c401c10103")
    assert peer.get(3, "1.0.1.8.0.255", 3) == (0, 30)


def test_an_unknown_service_and_an_unknown_client_are_told_so(site: Site) -> None:
    connection = public(site)
    # read-request of short names: service unknown, service not supported
    assert connection.receive(16, 1, b"\x05\x01\x02\xfa\x00", site.now_ns) == b"\xd8\x02\x02"
    assert connection.receive(99, 1, aarq(), site.now_ns) == b"\xd8\x01\x03"
    assert connection.receive(16, 7, aarq(), site.now_ns) is None  # no such logical device


def test_nothing_but_the_proof_is_heard_before_the_proof(site: Site) -> None:
    peer = Peer(site.connect(), site, 1, b"UTI00001", site.utility.keys)  # type: ignore[arg-type]
    peer.send(peer.opening())
    assert peer.send(peer.seal(get(3, "1.0.1.8.0.255", 2))) == bytes.fromhex("d80103")
