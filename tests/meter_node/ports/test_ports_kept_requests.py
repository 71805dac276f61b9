"""Asking a bridge for the frames that it kept: who is answered, how much, what is passed over."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter_node import bridge
from meter_node.channel import frames
from meter_node.channel.kept import MAX_RESPONSE_BYTES, KeptFrame, KeptRequest, KeptResponse
from meter_node.kept_frames import KeptFrames
from meter_node.ports.kept_requests import AT_ONCE, KeptRequestPort

TITLE = "4b414d4501a4dc52"
NOON = 1_795_176_000
DANISH = "omnipower_3p_dk_ciphered"


class Heard:
    """Stands in for the MQTT port."""

    status_topic = "meter_node/node/n1/status"

    def __init__(self) -> None:
        self.listening: dict[str, Any] = {}
        self.said: list[tuple[str, bytes]] = []
        self.hellos: list[Any] = []

    def listen(self, topic_filter: str, listener: Any) -> None:
        self.listening[topic_filter] = listener

    def say(self, topic: str, payload: bytes) -> None:
        self.said.append((topic, payload))

    def announce(self, title: str, greeting: Any) -> None:
        self.hellos.append(greeting)

    def push(self, title: str, data: bytes) -> None:
        pass

    def ask(self, payload: bytes | str, requester: str = "home", title: str = TITLE) -> None:
        (listener,) = self.listening.values()
        raw = payload.encode() if isinstance(payload, str) else payload
        listener(f"meter_node/{title}/kept/request/{requester}", raw, False)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def day(_: str, first_s: int, end_s: int) -> Iterator[KeptFrame]:
    """A day of quarter-hours."""
    for arrived in range(NOON, NOON + 86_400, 900):
        if first_s <= arrived < end_s:
            yield KeptFrame(arrived, bytes(480))


def port(heard: Heard, clock: Clock, kept: Any = day) -> KeptRequestPort:
    return KeptRequestPort(heard, kept, lambda title: title == TITLE, clock)  # type: ignore[arg-type]


def test_the_frames_of_the_period_come_in_pieces_that_lead_to_each_other() -> None:
    heard, clock = Heard(), Clock()
    port(heard, clock)
    first_s, got = NOON, []
    for number in range(1, 10):
        heard.ask(KeptRequest(f"r{number}", first_s, NOON + 86_400).to_json())
        topic, payload = heard.said[-1]
        assert topic == f"meter_node/{TITLE}/kept/response/home"
        assert len(payload) <= MAX_RESPONSE_BYTES
        response = KeptResponse.from_bytes(payload)
        assert response.id == f"r{number}"
        got += response.frames
        first_s = response.next_s
        if response.last:
            break
    # 67 frames of 486 bytes go into one message.
    assert number == 2
    assert got == list(day(TITLE, 0, NOON * 2))


def test_a_requester_is_answered_so_often_and_no_more_and_later_again() -> None:
    heard, clock = Heard(), Clock()
    port(heard, clock)
    for _ in range(100):
        heard.ask(KeptRequest("a", 0, 1).to_json())
    assert len(heard.said) == AT_ONCE
    clock.now_s += 1  # four a second
    for _ in range(100):
        heard.ask(KeptRequest("a", 0, 1).to_json())
    assert len(heard.said) == AT_ONCE + 4


def test_many_names_get_no_more_than_twice_as_much_as_one() -> None:
    heard, clock = Heard(), Clock()
    port(heard, clock)
    for number in range(1000):
        heard.ask(KeptRequest("a", 0, 1).to_json(), requester=f"name{number}")
    assert len(heard.said) == 2 * AT_ONCE


@pytest.mark.parametrize(
    ("payload", "requester", "title"),
    [
        (KeptRequest("a", 0, 1).to_json(), "home", "4b414d4501349083"),
        (KeptRequest("a", 0, 1).to_json(), "HOME", TITLE),
        (KeptRequest("a", 0, 1).to_json(), "h" * 33, TITLE),
        ("", "home", TITLE),
        (b"\xff\x00", "home", TITLE),
        ("[" * 300, "home", TITLE),
    ],
)
def test_what_is_no_request_gets_no_response(
    payload: bytes | str, requester: str, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard, clock = Heard(), Clock()
    port(heard, clock)
    for _ in range(5):
        heard.ask(payload, requester, title)
    assert heard.said == []
    assert len(caplog.records) <= 5
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) <= 1


def test_a_retained_request_is_of_who_knows_when() -> None:
    heard, clock = Heard(), Clock()
    asked = port(heard, clock)
    payload = KeptRequest("a", 0, 1).to_json().encode()
    asked.take(f"meter_node/{TITLE}/kept/request/home", payload, retained=True)
    assert heard.said == []


def test_a_disk_that_can_not_be_read_is_told_and_nothing_breaks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> Iterator[KeptFrame]:
        raise sqlite3.OperationalError("disk I/O error")
        yield

    heard, clock = Heard(), Clock()
    port(heard, clock, broken)
    heard.ask(KeptRequest("a", 0, 1).to_json())
    assert heard.said == []
    assert "disk I/O error" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=400))
def test_random_bytes_are_passed_over(payload: bytes) -> None:
    heard, clock = Heard(), Clock()
    port(heard, clock)
    heard.ask(payload)
    assert heard.said == []


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptFrames]:
    with closing(KeptFrames(tmp_path, 130)) as made:
        yield made


def test_a_bridge_keeps_what_it_forwards_and_says_for_how_long(
    captures: dict[str, bytes], kept: KeptFrames
) -> None:
    heard, clock = Heard(), Clock()
    clock.now_s = NOON
    made = bridge.Bridge(heard, 10, kept, clock)  # type: ignore[arg-type]
    for _ in range(200):  # 2000 s: the first of three quarter-hours
        list(made.feed(captures[DANISH]))
        clock.now_s += 10
    assert heard.hellos[0].keeps == 130
    heard.ask(KeptRequest("a", NOON, NOON + 2000).to_json())
    response = KeptResponse.from_bytes(heard.said[0][1])
    assert [one.arrived_s - NOON for one in response.frames] == [0, 900, 1800]
    sent = frames.apdu_of(captures[DANISH])
    assert {one.frame for one in response.frames} == {sent}, "still ciphered, not a byte touched"


def test_a_bridge_that_was_started_anew_answers_before_it_heard_a_frame(
    captures: dict[str, bytes], kept: KeptFrames
) -> None:
    kept.add(TITLE, frames.apdu_of(captures[DANISH]), NOON)
    heard = Heard()
    bridge.Bridge(heard, 10, kept)  # type: ignore[arg-type]
    heard.ask(KeptRequest("a", NOON, NOON + 1).to_json())
    assert len(KeptResponse.from_bytes(heard.said[0][1]).frames) == 1
