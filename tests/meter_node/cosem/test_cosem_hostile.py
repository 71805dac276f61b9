"""Whatever bytes come: an answer or none, never an exception, and nothing changed without a key."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.channel import axdr
from meter_node.cosem import acse, envelopes, requests
from meter_node.cosem.server import Connection
from meter_node.cosem.wire import WireError
from tests.meter_node.cosem.site import (
    PASSWORD,
    Peer,
    Site,
    aarq,
    action,
    consumer,
    get,
    initiate,
    public,
    set_request,
    tlv,
    utility,
)

SITE = Site()
SEEDS = [
    aarq(),
    aarq(1, 1, PASSWORD),
    aarq(3, 5, b"12345678", b"UTI00001", tlv(0x21, b"\x30" + bytes(40))),
    initiate(),
    bytes.fromhex("6203800100"),
    get(3, "1.0.1.8.0.255", 2),
    get(7, "1.0.99.1.0.255", 2, b"\x01\x02" + axdr.structure(*[axdr.unsigned(1)] * 4)),
    get(15, "0.0.40.0.0.255", 2),
    bytes.fromhex("c002c100000001"),
    set_request(8, "0.0.1.0.0.255", 2, axdr.octet_string(bytes(12))),
    action(70, "0.0.96.3.10.255", 1, axdr.integer(0)),
    b"\xc0\x03\xc1\x02" + 2 * (bytes.fromhex("0001000060010 0ff".replace(" ", "")) + b"\x02\x00"),
    b"\xe0\x81\x00\x01\x00\x00\x05" + bytes.fromhex("c001c10001"),
    tlv(0xC8, b"\x30" + bytes(40)),
    b"\xdb\x08UTI00001" + tlv(0x00, b"\x30" + bytes(40))[1:],
    bytes.fromhex("dd0101085554493030303031084d544e000000002a0c")
    + bytes(13)
    + b"\x00\x20"
    + bytes(32),
    b"\x05\x01\x02\xfa\x00",
    b"\x0f" + bytes(12),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid APDU with bytes changed, cut, doubled or lengths that lie."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["set", "cut", "insert", "length", "double"])):
            case "set" if data:
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place:]
            case "insert":
                data[place:place] = draw(st.binary(max_size=8))
            case "length" if data:
                data[place] = draw(st.sampled_from([0x7F, 0x80, 0x81, 0x82, 0x84, 0x85, 0xFF]))
            case "double":
                data += data[place:]
    return bytes(data[:4096])


def state(site: Site) -> tuple[object, ...]:
    snapshot = site.meter.snapshot()
    return (
        snapshot.energies_nwh,
        snapshot.breaker,
        snapshot.relays,
        snapshot.settings,
        snapshot.limiter,
        snapshot.time_ns,
        site.store.commits,
        site.store.numbers,
    )


@settings(max_examples=1500)
@given(
    st.lists(mutated() | st.binary(max_size=80), min_size=1, max_size=3),
    st.sampled_from([16, 20, 1]),
    st.booleans(),
)
def test_nothing_that_is_not_proved_changes_anything(
    apdus: list[bytes], sap: int, associated: bool
) -> None:
    connection = SITE.connect()
    if associated:
        connection.receive(16, 1, aarq(), SITE.now_ns)
    before = state(SITE)
    with no_fault():
        for apdu in apdus:
            begun = time.perf_counter()
            answer = connection.receive(sap, 1, apdu, SITE.now_ns)
            assert time.perf_counter() - begun < 1.0
            assert answer is None or len(answer) <= 1024
    assert state(SITE) == before


@settings(max_examples=400)
@given(mutated() | st.binary(min_size=1, max_size=80))
def test_nor_does_a_keyholders_broken_request_raise_anything(plaintext: bytes) -> None:
    # Under a good tag: what gets through to the services is what a keyholder may send.
    peer = _home()
    with no_fault():
        answer = peer.send(seal_raw(peer, plaintext or b"\x00"))
    assert answer is not None or plaintext[:1] in (b"\xc1", b"\xc3")


def _home() -> Peer:
    return consumer(SITE)


def seal_raw(peer: Peer, plaintext: bytes) -> bytes:
    """In the general form, which leaves open what is inside."""
    form, peer.form = peer.form, 0xDB
    sealed = peer.seal(plaintext)
    peer.form = form
    return sealed


class no_fault(logging.Handler):  # noqa: N801 - reads as a sentence
    """Fail where the server had to catch a fault of its own."""

    def __enter__(self) -> None:
        self.records: list[logging.LogRecord] = []
        logging.getLogger("meter_node.cosem").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("meter_node.cosem").removeHandler(self)
        errors = [record for record in self.records if record.levelno >= logging.ERROR]
        assert not errors, errors[0].exc_info


@given(st.binary(max_size=120))
def test_every_reader_gives_a_request_or_says_what_is_wrong(data: bytes) -> None:
    for read in (
        acse.read_request,
        acse.read_initiate,
        acse.read_release,
        requests.read,
        envelopes.read,
    ):
        try:
            read(data)
        except WireError:
            continue


# --- mistakes that were found in the wild ---------------------------------------------------------


@pytest.fixture
def connection() -> Connection:
    return public(SITE)


@pytest.mark.parametrize(
    "apdu",
    [
        bytes.fromhex("6084ffffffff") + bytes(20),  # an AARQ of 4 GiB
        bytes.fromhex("60 7f a1 7f".replace(" ", "")),
        bytes.fromhex("c001c1 0001 0000600100ff 02 01 02 01 84ffffffff".replace(" ", "")),
        bytes.fromhex("c101c1 0001 0000600100ff 02 00 09 84ffffffff".replace(" ", "")),
        bytes.fromhex("c003c1 84ffffffff".replace(" ", "")),
        bytes.fromhex("c003c1 ff".replace(" ", "")),
        bytes.fromhex("c005c1 8180".replace(" ", "")),
        bytes.fromhex("e0 81 0001 0000 84ffffffff".replace(" ", "")),
        bytes.fromhex("db 08 5554493030303031 84ffffffff 30".replace(" ", "")),
        bytes.fromhex("dd ff".replace(" ", "")),
        bytes.fromhex("c8 05 3000000001".replace(" ", "")),
    ],
)
def test_a_length_that_lies_is_no_request(connection: Connection, apdu: bytes) -> None:
    with no_fault():
        answer = connection.receive(16, 1, apdu, SITE.now_ns)
    assert answer is not None
    assert answer[0] == 0xD8


@pytest.mark.parametrize("tag", [b"\x01\x01", b"\x02\x01"])
def test_deep_nesting_is_no_value(tag: bytes) -> None:
    peer = utility(SITE)
    for depth in (17, 100, 900):
        value = tag * depth + b"\x00"
        answer = peer.send(peer.seal(set_request(1, "0.0.128.0.0.255", 2, value)))
        assert answer == b"\xd8\x01\x03"


def test_a_value_of_many_nothings_takes_no_time(connection: Connection) -> None:
    peer = utility(SITE)
    value = b"\x01\x82\x07\x00" + bytes(0x700)
    begun = time.perf_counter()
    peer.set(20, "0.0.13.0.0.255", 7, value)
    assert time.perf_counter() - begun < 0.2


def test_an_association_request_with_a_field_twice_is_none(connection: Connection) -> None:
    once = aarq()[2:]
    answer = connection.receive(16, 1, tlv(0x60, once + once), SITE.now_ns)
    assert answer == b"\xd8\x01\x03"
