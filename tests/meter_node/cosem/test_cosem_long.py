"""Long transfers: answers in blocks, requests in blocks, lists, and general blocks around both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from meter_node.channel import axdr, objects
from meter_node.cosem.access import IDENTITY_READERS
from meter_node.cosem.model.buffers import PAGE
from meter_node.cosem.table import Method, row
from tests.meter_node.cosem.site import (
    Peer,
    Site,
    aarq,
    action,
    consumer,
    descriptor,
    get,
    got,
    initiate,
    public,
    utility,
)

LIST = get(15, "0.0.40.0.0.255", 2)
NAMES = ("0.0.96.1.0.255", "0.0.96.1.1.255", "1.0.0.2.0.255")
NOTHING = axdr.integer(0)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.mark.parametrize("max_pdu", [128, 200, 512, 1024, 0xFFFF, 0])
@pytest.mark.parametrize("form", [0, 0xDB])
def test_no_answer_is_longer_than_the_client_takes(site: Site, max_pdu: int, form: int) -> None:
    peer = consumer(site, max_pdu=max_pdu, form=form)
    sizes: list[int] = []

    def ask(plaintext: bytes) -> bytes:
        answer = peer.send(peer.seal(plaintext))
        assert answer is not None
        sizes.append(len(answer))
        return peer.open(answer)

    whole = got(ask, LIST)
    assert whole == consumer(site).get(15, "0.0.40.0.0.255", 2)
    assert max(sizes) <= (min(max_pdu, 1024) or 1024)
    if max_pdu == 128:
        assert len(sizes) > 100


def plain(
    site: Site, conformance: bytes = bytes.fromhex("605e1d"), max_pdu: int = 256
) -> Callable[[bytes], bytes]:
    """The public's connection, small."""
    connection = site.connect()
    connection.receive(16, 1, aarq(information=initiate(max_pdu, conformance)), site.now_ns)

    def ask(request: bytes) -> bytes:
        answer = connection.receive(16, 1, request, site.now_ns)
        assert answer is not None
        return answer

    return ask


def test_a_block_out_of_order_ends_the_transfer(site: Site) -> None:
    ask = plain(site)
    assert ask(LIST)[:8] == bytes.fromhex("c402c100 00000001")
    assert ask(bytes.fromhex("c002c1 00000002")) == bytes.fromhex("c402c101 00000002 01 13")
    # 0x10: no long get in progress
    assert ask(bytes.fromhex("c002c1 00000001")) == bytes.fromhex("c402c101 00000001 01 10")


def test_another_request_ends_the_transfer(site: Site) -> None:
    ask = plain(site)
    ask(LIST)
    ask(get(1, NAMES[0], 2))
    assert ask(bytes.fromhex("c002c1 00000001"))[-1] == 0x10


def test_a_list_is_read_at_once(site: Site) -> None:
    ask = plain(site)
    request = b"\xc0\x03\xc1\x04" + b"".join(descriptor(1, name, 2) + b"\x00" for name in NAMES)
    request += descriptor(3, "1.0.1.8.0.255", 2) + b"\x00"
    values = b"".join(b"\x00" + axdr.visible_string(text) for text in ("8675309", "382M", "0.1.0"))
    assert ask(request) == b"\xc4\x03\xc1\x04" + values + b"\x01\x03"


def test_a_long_list_comes_in_blocks_that_hold_its_results(site: Site) -> None:
    ask = plain(site)
    request = b"\xc0\x03\xc1\x02" + (descriptor(15, "0.0.40.0.0.255", 2) + b"\x00") * 2
    answer, raw = ask(request), b""
    while True:
        assert answer[:2] == b"\xc4\x02"
        _, start = axdr.decode_length(answer, 9)
        raw += answer[start:]
        if answer[3]:
            break
        answer = ask(b"\xc0\x02\xc1" + answer[4:8])
    assert raw[:2] == b"\x02\x00"
    _, end = axdr.decode(raw, 2)
    assert raw[end] == 0
    _, end = axdr.decode(raw, end + 1)
    assert end == len(raw)


def blocks_of_set(which: bytes, value: bytes, size: int) -> list[bytes]:
    """A SET in blocks, as the Green Book has it."""
    pieces = [value[at : at + size] for at in range(0, len(value), size)]
    found = []
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        block = bytes((last,)) + number.to_bytes(4) + axdr.encode_length(len(piece)) + piece
        head = b"\xc1\x02\xc1" + which + b"\x00" if number == 1 else b"\xc1\x03\xc1"
        found.append(head + block)
    return found


def test_a_long_value_is_set_in_blocks() -> None:
    site = Site()
    peer = utility(site)
    value = axdr.utf8_string('{"demand": {"interval_min": 30}}' + " " * 900)
    answers = [
        peer.exchange(block)
        for block in blocks_of_set(descriptor(1, "0.0.128.0.0.255", 2), value, 100)
    ]
    assert answers[0] == bytes.fromhex("c502c1 00000001")
    # last: success, and its number
    assert answers[-1] == b"\xc5\x03\xc1\x00" + len(answers).to_bytes(4)
    settings = site.device.committed.settings
    assert settings is not None
    assert settings.parameters.demand.interval_min == 30


def test_a_block_that_is_missing_sets_nothing() -> None:
    site = Site()
    peer = utility(site)
    value = axdr.utf8_string('{"demand": {"interval_min": 30}}' + " " * 300)
    blocks = blocks_of_set(descriptor(1, "0.0.128.0.0.255", 2), value, 100)
    peer.exchange(blocks[0])
    assert peer.exchange(blocks[2])[:4] == bytes((0xC5, 3, 0xC1, 19))
    assert peer.exchange(blocks[3])[:4] == bytes((0xC5, 3, 0xC1, 18))  # no long set in progress
    settings = site.device.committed.settings
    assert settings is not None
    assert settings.parameters.demand.interval_min == 15


def test_endless_blocks_are_ended(site: Site) -> None:
    peer = utility(site)
    piece = bytes(1500)
    number = 1
    answer = peer.exchange(
        b"\xc1\x02\xc1"
        + descriptor(1, "0.0.128.0.0.255", 2)
        + b"\x00\x00"
        + number.to_bytes(4)
        + axdr.encode_length(len(piece))
        + piece
    )
    while answer[1] == 2:
        number += 1
        assert number < 100
        answer = peer.exchange(
            b"\xc1\x03\xc1\x00" + number.to_bytes(4) + axdr.encode_length(len(piece)) + piece
        )
    assert answer[3] == 17  # long-set-aborted
    assert number == 65_536 // 1500 + 1


def test_blocks_of_nothing_are_ended(site: Site) -> None:
    peer = utility(site)
    which = descriptor(1, "0.0.128.0.0.255", 2)
    answer = peer.exchange(b"\xc1\x02\xc1" + which + b"\x00\x00" + (1).to_bytes(4) + b"\x00")
    assert answer[:4] == bytes((0xC5, 3, 0xC1, 17))


def test_an_actions_parameter_comes_in_blocks() -> None:
    site = Site()
    peer = utility(site)
    which = descriptor(8, "0.0.1.0.0.255", 6)
    value = axdr.long(900)
    before_ns = site.now_ns
    first = peer.exchange(b"\xc3\x04\xc1" + which + b"\x00" + (1).to_bytes(4) + b"\x01" + value[:1])
    assert first == bytes.fromhex("c704c1 00000001")
    last = peer.exchange(b"\xc3\x06\xc1\x01" + (2).to_bytes(4) + b"\x02" + value[1:])
    assert last == bytes.fromhex("c701c1 00 00")
    assert site.now_ns - before_ns == 900 * 10**9


def test_lists_are_set_and_called_one_by_one() -> None:
    site = Site()
    peer = utility(site)
    relays = [descriptor(70, f"0.{number}.96.3.10.255", 2) for number in (1, 2)]
    answer = peer.exchange(b"\xc3\x03\xc1\x02" + b"".join(relays) + b"\x02" + NOTHING * 2)
    assert answer == bytes.fromhex("c703c1 02 0000 0000")
    assert all(relay.on for relay in site.device.committed.relays)
    written = [descriptor(1, f"0.{number}.128.3.12.255", 2) + b"\x00" for number in (1, 2)]
    values = axdr.enum(2) + axdr.enum(9)
    answer = peer.exchange(b"\xc1\x04\xc1\x02" + b"".join(written) + b"\x02" + values)
    assert answer == bytes.fromhex("c505c1 02 00 fa")  # success, other-reason
    assert [relay.on for relay in site.device.committed.relays] == [False, True]


def test_an_unconfirmed_request_is_done_and_not_answered() -> None:
    site = Site()
    peer = utility(site)
    request = bytearray(action(70, "0.0.96.3.10.255", 1, NOTHING))
    request[2] = 0x81
    assert peer.send(peer.seal(bytes(request))) is None
    assert peer.read(objects.BREAKER, 3) == 0


# --- general block transfer -----------------------------------------------------------------------


def general_block(number: int, acknowledged: int, data: bytes, *, last: bool) -> bytes:
    control = (0x80 if last else 0) | 1
    head = b"\xe0" + bytes((control,)) + number.to_bytes(2) + acknowledged.to_bytes(2)
    return head + axdr.encode_length(len(data)) + data


def in_general_blocks(ask: Callable[[bytes], bytes], answer: bytes) -> bytes:
    """What an answer in general blocks holds."""
    whole, number = b"", 0
    while True:
        assert answer[0] == 0xE0
        number += 1
        assert int.from_bytes(answer[2:4]) == number
        length, start = axdr.decode_length(answer, 6)
        whole += answer[start:]
        assert len(answer) == start + length
        if answer[1] & 0x80:
            return whole
        answer = ask(general_block(number + 1, number, b"", last=True))


def test_without_data_blocks_a_long_answer_comes_in_general_blocks(site: Site) -> None:
    # general protection, general blocks, priority, get: no blocks with get
    ask = plain(site, conformance=bytes.fromhex("60401d"))
    answer = ask(LIST)
    assert len(answer) <= 256
    whole = in_general_blocks(ask, answer)
    assert whole[:4] == bytes.fromhex("c401c100")
    assert axdr.decode_all(whole[4:]) == got(plain(site), LIST)


def test_ciphered_answers_come_in_general_blocks_as_well(site: Site) -> None:
    peer = utility(site, conformance=bytes.fromhex("60401d"), max_pdu=300)

    def ask(request: bytes) -> bytes:
        answer = peer.send(request)
        assert answer is not None
        assert len(answer) <= 300
        return answer

    whole = peer.open(in_general_blocks(ask, ask(peer.seal(LIST))))
    assert len(axdr.decode_all(whole[4:])) > 200  # type: ignore[arg-type]


def test_a_request_may_come_in_general_blocks(site: Site) -> None:
    ask = plain(site)
    request = get(1, NAMES[0], 2)
    first = ask(general_block(1, 0, request[:6], last=False))
    assert first == bytes.fromhex("e0 01 0001 0001 00")  # acknowledged
    answer = ask(general_block(2, 1, request[6:], last=True))
    assert in_general_blocks(ask, answer) == b"\xc4\x01\xc1\x00" + axdr.visible_string("8675309")


def test_a_lost_general_block_is_sent_again(site: Site) -> None:
    ask = plain(site, conformance=bytes.fromhex("60401d"))
    ask(LIST)
    second = ask(general_block(2, 1, b"", last=True))
    assert ask(general_block(2, 1, b"", last=True)) == second


@pytest.mark.parametrize(
    "blocks",
    [
        [general_block(2, 0, b"\xc0", last=False)],
        [general_block(1, 0, b"\xc0", last=False), general_block(3, 0, b"\xc0", last=True)],
        [general_block(1, 0, b"", last=False)],
        [general_block(1, 0, general_block(1, 0, LIST, last=True), last=True)],
        [general_block(1, 0, b"", last=True)],
    ],
)
def test_general_blocks_out_of_order_or_within_each_other_are_refused(
    site: Site, blocks: list[bytes]
) -> None:
    ask = plain(site)
    for block in blocks[:-1]:
        assert ask(block)[0] == 0xE0
    assert ask(blocks[-1]) == b"\xd8\x01\x03"


def test_endless_general_blocks_are_ended(site: Site) -> None:
    ask = plain(site)
    piece = bytes(1900)
    answers = {ask(general_block(n, 0, piece, last=False))[0] for n in range(1, 40)}
    assert 0xD8 in answers


def test_without_an_association_there_are_no_general_blocks(site: Site) -> None:
    block = general_block(1, 0, LIST, last=True)
    assert site.connect().receive(16, 1, block, site.now_ns) == b"\xd8\x01\x03"


def test_an_apdu_that_is_too_long_is_not_looked_at(site: Site) -> None:
    connection = public(site)
    assert connection.receive(16, 1, bytes(2049), site.now_ns) == b"\xd8\x01\x04"


def test_three_hundred_rows_are_read_ciphered(site: Site) -> None:
    made = Site()
    made.run(minutes=76 * 60)
    peer: Peer = consumer(made)
    rows = peer.read(objects.LOAD_PROFILE)
    assert len(rows) == 304


# --- a value is made as it is sent ----------------------------------------------------------------


def filled(rows: int) -> Site:
    """A meter whose load profile has so many rows more than its first one."""
    site = Site()
    site.run(minutes=20)
    (first,) = site.store.profile_rows("load_profile")
    site.store.profiles += [
        replace(first, entry=first.entry + n, time_s=first.time_s + n * 900)
        for n in range(1, rows + 1)
    ]
    return site


def test_no_answer_waits_for_more_than_two_pages_of_a_profile() -> None:
    site = filled(2000)
    peer = consumer(site)
    site.store.fetched.clear()
    most = 0

    def ask(plaintext: bytes) -> bytes:
        nonlocal most
        answer = peer.exchange(plaintext)
        most = max(most, sum(site.store.fetched))
        site.store.fetched.clear()
        return answer

    rows = got(ask, get(7, "1.0.99.1.0.255", 2))
    assert [row[2] for row in rows] == [
        row.entry for row in site.store.profile_rows("load_profile")
    ]
    assert most <= 2 * PAGE


def test_a_list_of_profiles_is_made_as_it_is_sent() -> None:
    site = filled(500)
    peer = consumer(site)
    site.store.fetched.clear()
    asked = (descriptor(7, "1.0.99.1.0.255", 2) + b"\x00") * 64
    assert peer.exchange(b"\xc0\x03\xc1\x40" + asked)[:2] == b"\xc4\x02"
    assert sum(site.store.fetched) <= PAGE


def test_rows_by_place_end_where_the_profile_does() -> None:
    site = filled(200)
    peer = consumer(site)

    def places(first: int, last: int) -> list[int]:
        chosen = axdr.structure(
            axdr.double_long_unsigned(first),
            axdr.double_long_unsigned(last),
            axdr.long_unsigned(3),
            axdr.long_unsigned(3),
        )
        return [row[0] for row in peer.get(7, "1.0.99.1.0.255", 2, b"\x01\x02" + chosen)]

    entries = [row.entry for row in site.store.profile_rows("load_profile")]
    assert places(1, 0) == entries  # 201 of them
    assert places(100, 180) == entries[99:180]
    assert places(200, 1000) == entries[199:]
    assert places(202, 0) == []


def test_rows_that_go_while_they_are_read_end_the_transfer() -> None:
    site = filled(500)
    peer = consumer(site)
    answer = peer.exchange(get(7, "1.0.99.1.0.255", 2))
    site.store.profiles.clear()
    for _ in range(PAGE):
        answer = peer.exchange(b"\xc0\x02\xc1" + answer[4:8])
        if answer[8]:
            break
    assert answer[3] == 1  # the last one
    assert answer[8:] == b"\x01\x0f"  # long get aborted
    # 16: no long get in progress
    assert peer.exchange(b"\xc0\x02\xc1" + answer[4:8])[-1] == 16


def test_what_is_too_long_to_be_made_at_once_is_not_made_without_blocks() -> None:
    # 10 000 rows of more than 50 bytes are more than the 256 KiB that are made at once
    site = filled(10_000)
    peer = utility(site, conformance=bytes.fromhex("60401d"))
    site.store.fetched.clear()
    assert peer.send(peer.seal(get(7, "1.0.99.1.0.255", 2))) == b"\xd8\x01\x04"
    assert sum(site.store.fetched) < 10_000
    assert peer.read(objects.LOAD_PROFILE, 7) == 10_001


def test_an_action_that_returns_much_answers_in_blocks() -> None:
    site = Site()
    returned = axdr.octet_string(bytes(range(256)) * 4)
    which = objects.CosemObject(objects.ClassId.DATA, bytes((0, 0, 128, 99, 0, 255)))
    method = Method(IDENTITY_READERS, lambda _, value: returned, changes=False)
    site.table.add(row(which, {}, {1: method}))
    ask = plain(site)
    answer, raw, number = ask(action(1, "0.0.128.99.0.255", 1, NOTHING)), b"", 0
    while True:
        assert len(answer) <= 256
        assert answer[:3] == b"\xc7\x02\xc1"
        number += 1
        assert int.from_bytes(answer[4:8]) == number
        length, start = axdr.decode_length(answer, 8)
        assert len(answer) == start + length
        raw += answer[start:]
        if answer[3]:
            break
        answer = ask(b"\xc3\x02\xc1" + answer[4:8])
    # success, a value follows, and it is data
    assert raw == b"\x00\x01\x00" + returned
    # 16: no long action in progress
    assert ask(b"\xc3\x02\xc1" + answer[4:8])[:4] == b"\xc7\x01\xc1\x10"


def test_a_list_of_actions_has_no_longer_answer_than_the_client_takes() -> None:
    ask = plain(Site(), max_pdu=128)
    called = descriptor(1, "0.0.128.98.0.255", 1)
    answer = ask(b"\xc3\x03\xc1\x40" + called * 64 + b"\x40" + NOTHING * 64)
    # 64 refusals of two bytes do not go into 128
    assert len(answer) <= 128
    assert answer[:2] == b"\xc7\x02"
