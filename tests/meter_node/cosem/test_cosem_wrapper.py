"""The TCP wrapper: messages out of a stream that may be cut and damaged in any way."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.cosem.wrapper import (
    Damaged,
    Message,
    WrapperError,
    WrapperReader,
    WrapperServer,
    encode,
)
from tests.meter_node.cosem.hdlc_client import Echo

MESSAGES = st.builds(
    Message, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=300)
)


def read(data: bytes, longest: int = 0xFFFF) -> list[Message | Damaged]:
    return WrapperReader(longest).feed(data)


def test_the_header_has_version_both_ports_and_length() -> None:
    # IEC 62056-47: client 16 to logical device 1, three bytes, each field two of them.
    data = bytes.fromhex("0001 0010 0001 0003 C00100")
    assert encode(Message(16, 1, b"\xc0\x01\x00")) == data
    assert read(data) == [Message(16, 1, b"\xc0\x01\x00")]


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 1600), max_size=12))
def test_messages_come_back_however_the_stream_is_cut(
    messages: list[Message], cuts: list[int]
) -> None:
    stream = b"".join(map(encode, messages))
    reader = WrapperReader()
    found = []
    for begin, end in pairwise([0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]):
        found += reader.feed(stream[begin:end])
    assert found == messages


def test_the_longest_apdu_comes_back() -> None:
    message = Message(1, 1, bytes(0xFFFF))
    assert read(encode(message)) == [message]


@pytest.mark.parametrize("size", [0, 0x10000])
def test_an_apdu_that_the_header_can_not_say_is_refused(size: int) -> None:
    with pytest.raises(WrapperError, match=f"{size} bytes"):
        encode(Message(1, 1, bytes(size)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("0002", "version 2"),
        ("7EA0", "version 32416"),  # HDLC on the wrong port: 0x7EA0
        ("0001 0010 0001 0000", "0 bytes"),
        ("0001 0010 0001 0101", "257 bytes"),  # told before they have come
    ],
)
def test_damage_is_told_with_its_reason_as_soon_as_it_is_seen(data: str, reason: str) -> None:
    (damaged,) = read(bytes.fromhex(data), 256)
    assert isinstance(damaged, Damaged)
    assert reason in damaged.reason


def test_what_came_before_the_damage_is_given_and_nothing_after_it() -> None:
    good = encode(Message(1, 1, b"x"))
    reader = WrapperReader()
    found = reader.feed(good + b"\xff\xff" + good)
    assert [type(item) for item in found] == [Message, Damaged]
    assert reader.feed(good) == []


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_any_bytes_are_survived_and_never_keep_more_than_a_message(pieces: list[bytes]) -> None:
    reader = WrapperReader(256)
    for piece in pieces:
        reader.feed(piece)
        assert len(pickle.dumps(reader)) < 256 + 8 + 400  # and what pickle writes itself


def test_many_short_messages_at_once_are_read_in_time_that_grows_with_them() -> None:
    # 8 000 messages of 9 bytes: copying the rest for each would be 288 MB.
    assert len(read(encode(Message(1, 1, b"x")) * 8000)) == 8000


# --- the server's end ----------------------------------------------------------------------------


def ask(server: WrapperServer, *messages: Message) -> list[Message | Damaged]:
    return read(b"".join(server.feed(b"".join(map(encode, messages)), 7)))


def test_an_answer_goes_back_from_where_it_was_asked() -> None:
    connection = Echo()
    assert ask(WrapperServer(connection), Message(16, 2, b"get")) == [Message(2, 16, b"get")]
    assert connection.asked == [(16, 2, b"get", 7)]


def test_what_needs_no_answer_gets_none() -> None:
    assert ask(WrapperServer(Echo(lambda _: None)), Message(16, 1, b"set")) == []


def test_what_is_for_every_device_is_told_and_not_answered() -> None:
    connection = Echo()
    server = WrapperServer(connection, server_saps={1})
    assert ask(server, Message(16, 0x7F, b"set the clock")) == []
    assert [asked[1] for asked in connection.asked] == [0x7F]


def test_a_device_that_is_not_here_hears_nothing() -> None:
    connection = Echo()
    server = WrapperServer(connection, server_saps={1})
    assert ask(server, Message(16, 2, b"get")) == []
    assert (connection.asked, server.heard) == ([], 0)


def test_damage_is_kept_as_the_reason_to_close() -> None:
    server = WrapperServer(Echo())
    assert list(server.feed(b"\x00\x01\x00\x10\x00\x01\x00\x00", 7)) == []
    assert server.damage == "an APDU of 0 bytes; taken are 1 to 65535"


def test_a_stream_is_closed_once() -> None:
    connection = Echo()
    server = WrapperServer(connection)
    server.close()
    server.close()
    assert connection.closed_times == 1
