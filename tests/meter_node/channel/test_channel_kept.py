"""Requests for kept frames and their responses, as they travel."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.kept import (
    LONGEST_FRAME,
    MAX_RESPONSE_BYTES,
    KeptError,
    KeptFrame,
    KeptRequest,
    KeptResponse,
    fitting,
)

REQUEST = KeptRequest("a1", 1_000_000, 2_000_000)


def frames(count: int, size: int, every_s: int = 900) -> list[KeptFrame]:
    return [KeptFrame(1_000_000 + index * every_s, bytes(size)) for index in range(count)]


def test_a_request_comes_back_from_its_payload() -> None:
    assert KeptRequest.from_json(REQUEST.to_json().encode()) == REQUEST


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"id": "A1", "from": 0, "to": 1}',
        b'{"id": "a1", "from": true, "to": 1}',
        b'{"id": "a1", "from": -1, "to": 1}',
        b'{"id": "a1", "from": 0, "to": 4294967296}',
        b'{"id": "a1", "from": 0, "to": 1.5}',
        b'{"id": "a1", "from": 0}',
        b"[" * 256,
        b'{"id": "a1", "from": 0, "to": 1}' + b" " * 256,
    ],
)
def test_what_is_no_request_is_refused(payload: bytes) -> None:
    with pytest.raises(KeptError):
        KeptRequest.from_json(payload)


def test_a_response_is_laid_out_as_the_documentation_says() -> None:
    response = KeptResponse("a1", (KeptFrame(0x01020304, b"\xdb\x08"),), 0x0A0B0C0D, last=True)
    wire = bytes.fromhex("4D4E4B31 01 0A0B0C0D 02 6131 01020304 0002 DB08")
    assert response.to_bytes() == wire
    assert KeptResponse.from_bytes(wire) == response


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_response_that_was_cut_short_is_refused(cut: int) -> None:
    wire = KeptResponse("a1", (KeptFrame(5, b"\xdb\x08"),), 9, last=True).to_bytes()
    if len(wire) - cut == 12:  # the head alone is a response without frames
        return
    with pytest.raises(KeptError):
        KeptResponse.from_bytes(wire[:-cut])


@given(st.binary(max_size=200))
def test_random_bytes_behind_the_mark_are_a_response_or_refused(data: bytes) -> None:
    for payload in (data, b"MNK1" + data):
        with suppress(KeptError):
            assert len(KeptResponse.from_bytes(payload).id) > 0


def test_what_fits_is_one_response() -> None:
    kept = frames(3, 480)
    assert fitting(REQUEST, kept) == KeptResponse("a1", tuple(kept), 2_000_000, last=True)


def test_what_does_not_fit_is_left_for_the_next_request() -> None:
    # Each takes 4 + 2 + 480 bytes; the head has 4 + 1 + 4 + 1 + 2.
    fit = (MAX_RESPONSE_BYTES - 12) // 486
    response = fitting(REQUEST, frames(fit + 5, 480))
    assert len(response.frames) == fit
    assert response.next_s == 1_000_000 + fit * 900
    assert not response.last
    assert len(response.to_bytes()) <= MAX_RESPONSE_BYTES


def test_frames_of_one_second_are_not_parted() -> None:
    # 80 pairs, each of one second: 67 frames would fit, and the odd one waits for its fellow.
    kept = [KeptFrame(1_000_000 + index // 2, bytes(480)) for index in range(160)]
    response = fitting(REQUEST, kept)
    assert len(response.frames) == (MAX_RESPONSE_BYTES - 12) // 486 // 2 * 2
    assert response.next_s == 1_000_000 + len(response.frames) // 2


def test_a_second_with_more_than_a_message_holds_does_not_stop_the_reader() -> None:
    response = fitting(REQUEST, frames(20, LONGEST_FRAME, every_s=0))
    assert response.next_s == 1_000_001
    assert not response.last
