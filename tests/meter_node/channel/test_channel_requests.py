"""Requests under general-ciphering: what is under the tag, and which responses are taken.

The meter's side is written by hand here, with `cryptography` alone, from the Green Book's tables.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import apdu, axdr, objects, requests, services
from meter_node.channel.requests import MeterTime, Requester, UnprovenRefusalError
from meter_node.channel.security import Keys, Refusal, RefusedError
from meter_node.ciphering import PycryptodomeAead
from tests.meter_node.cosem.site import gcm_open, gcm_seal

KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))
METER, HOME = b"MTN\x00\x00\x00\x00\x2a", b"HOMEHOME"
NOON = datetime(2026, 7, 1, 12, 0, 0, 250_000, UTC)
SERVICE = services.get(objects.ACTIVE_TARIFF)
ANSWER = bytes.fromhex("c401c10011 02")
"""get-response-normal, data, unsigned 2."""


def requester(title: bytes = HOME) -> Requester:
    return Requester(PycryptodomeAead(), KEYS, METER, title)


def lengthed(*fields: bytes) -> bytes:
    return b"".join(bytes((len(field),)) + field for field in fields)


def response(
    transaction_id: bytes,
    plaintext: bytes = ANSWER,
    *,
    originator: bytes = METER,
    recipient: bytes = HOME,
    control: int = 0x30,
    keys: Keys = KEYS,
    number: int = 7,
) -> bytes:
    """A meter's response as the Green Book has it."""
    date = bytes.fromhex("07ea0701030c000119 0000 00")  # 12:00:01.25, deviation 0
    head = lengthed(transaction_id, originator, recipient, date, b"")
    counter = number.to_bytes(4)
    associated = bytes((control,)) + keys.authentication + head
    sealed = gcm_seal(keys.encryption, originator + counter, associated, plaintext)
    content = bytes((control,)) + counter + sealed
    return b"\xdd" + head + b"\x01\x00\x00" + axdr.encode_length(len(content)) + content


def test_a_request_is_general_ciphering_with_all_that_concerns_it_under_the_tag() -> None:
    sent = requester().request(SERVICE, NOON).apdu
    # transaction 1, from HOME to METER, 2026-07-01 (Wednesday) 12:00:00.25 UTC
    date = bytes.fromhex("07ea0701030c000019 0000 00")
    head = lengthed(bytes(7) + b"\x01", HOME, METER, date, b"")
    assert sent[: 1 + len(head) + 3] == b"\xdd" + head + b"\x01\x00\x00"
    length, at = axdr.decode_length(sent, 1 + len(head) + 3)
    content = sent[at:]
    assert (len(content), content[0]) == (length, 0x30)
    associated = b"\x30" + KEYS.authentication + head
    nonce = HOME + content[1:5]
    assert gcm_open(KEYS.encryption, nonce, associated, content[5:]) == SERVICE


def test_each_request_has_a_number_and_a_transaction_of_its_own() -> None:
    home = requester()
    sent = [home.request(SERVICE, NOON) for _ in range(3)]
    assert len({one.transaction_id for one in sent}) == 3
    counters = [apdu.decode_general_ciphering(one.apdu).invocation_counter for one in sent]
    assert counters == [1, 2, 3]


def test_each_start_has_another_title() -> None:
    made = {Requester(PycryptodomeAead(), KEYS, METER).title for _ in range(50)}
    assert len(made) == 50


@pytest.mark.parametrize("title", [METER, b"SHORT"])
def test_a_requester_can_not_be_called_as_the_meter_or_not_at_all(title: bytes) -> None:
    with pytest.raises(ValueError, match="eight bytes of its own"):
        requester(title)


def test_the_meters_time_is_told_from_whichever_zone() -> None:
    home = requester()
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    told = apdu.decode_general_ciphering(home.request(SERVICE, there).apdu).date_time
    assert told == apdu.decode_general_ciphering(home.request(SERVICE, NOON).apdu).date_time


def test_the_response_to_a_request_is_taken_once() -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    data = response(asked.transaction_id)
    answered = home.accept(data)
    assert answered.transaction_id == asked.transaction_id
    assert answered.value() == 2
    assert answered.meter_time == NOON + timedelta(seconds=1)
    with pytest.raises(RefusedError) as refused:
        home.accept(data)
    assert refused.value.reason is Refusal.REPLAY


def test_two_responses_that_were_exchanged_belong_to_their_own_requests() -> None:
    home = requester()
    first, second = home.request(SERVICE, NOON), home.request(SERVICE, NOON)
    of_second = response(second.transaction_id, bytes.fromhex("c401c1001109"), number=8)
    of_first = response(first.transaction_id)
    assert home.accept(of_second).value() == 9
    assert home.accept(of_first).value() == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"originator": b"MTNOTHER"}, Refusal.OTHER_METER),
        ({"recipient": b"SOMEBODY"}, Refusal.OTHER_METER),
        ({"control": 0x20}, Refusal.DOWNGRADE),
        ({"control": 0x10}, Refusal.DOWNGRADE),
        ({"keys": Keys(bytes(16), KEYS.authentication)}, Refusal.FORGED),
        ({"keys": Keys(KEYS.encryption, bytes(16))}, Refusal.FORGED),
    ],
)
def test_what_is_not_the_meters_to_this_requester_is_refused_and_ends_nothing(
    changed: dict[str, object], reason: Refusal
) -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    with pytest.raises(RefusedError) as refused:
        home.accept(response(asked.transaction_id, **changed))  # type: ignore[arg-type]
    assert refused.value.reason is reason
    assert home.accept(response(asked.transaction_id)).value() == 2


def test_a_request_that_is_given_up_gets_no_late_response() -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    home.forget(asked.transaction_id)
    with pytest.raises(RefusedError) as refused:
        home.accept(response(asked.transaction_id))
    assert refused.value.reason is Refusal.REPLAY


def test_what_waits_is_limited_and_the_oldest_goes() -> None:
    home = requester()
    sent = [home.request(SERVICE, NOON) for _ in range(requests.MOST_WAITING + 1)]
    assert home.waiting == requests.MOST_WAITING
    with pytest.raises(RefusedError):
        home.accept(response(sent[0].transaction_id))
    assert home.accept(response(sent[-1].transaction_id)).value() == 2


def test_a_request_cannot_come_back_as_its_response() -> None:
    home = requester()
    with pytest.raises(RefusedError) as refused:
        home.accept(home.request(SERVICE, NOON).apdu)
    assert refused.value.reason is Refusal.OTHER_METER


def test_a_refusal_in_the_clear_is_a_hint_and_ends_no_request() -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    with pytest.raises(UnprovenRefusalError) as hint:
        home.accept(bytes.fromhex("d80105"))
    assert hint.value.fault is services.Fault.DECIPHERING
    assert home.accept(response(asked.transaction_id)).value() == 2


def test_a_refusal_under_the_tag_is_the_meters() -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    answered = home.accept(response(asked.transaction_id, bytes.fromhex("d80103")))
    with pytest.raises(services.RefusedError) as refused:
        answered.value()
    assert refused.value.fault is services.Fault.OTHER


def test_a_request_that_no_meter_takes_is_told_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="at most 2048"):
        requester().request(services.put(objects.PARAMETERS, bytes(2048)), NOON)


def test_no_number_is_used_twice_at_the_end_either() -> None:
    home = requester()
    home._counter = 0xFFFFFFFE
    home.request(SERVICE, NOON)
    with pytest.raises(requests.NumbersUsedUpError):
        home.request(SERVICE, NOON)


def test_the_meters_clock_is_known_from_its_pushes() -> None:
    clock = MeterTime()
    assert clock.at(NOON) == NOON
    clock.heard(NOON - timedelta(minutes=3), NOON)
    later = NOON + timedelta(seconds=20)
    assert clock.at(later) == later - timedelta(minutes=3)


@given(st.data())
def test_a_flipped_bit_anywhere_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    home = requester()
    asked = home.request(SERVICE, NOON)
    good = response(asked.transaction_id)
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    head = 1 + len(lengthed(asked.transaction_id, METER, HOME, bytes(12), b""))
    if head <= bit // 8 < head + 3:
        return  # which key it is, the tag does not cover: another than ours is refused anyway
    with pytest.raises(RefusedError):
        home.accept(bytes(bad))
    assert home.accept(good).value() == 2


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises((RefusedError, UnprovenRefusalError)):
        requester().accept(noise)


ENVELOPES = st.builds(
    apdu.GeneralCiphering,
    transaction_id=st.binary(max_size=64),
    originator=st.binary(min_size=8, max_size=8),
    recipient=st.binary(max_size=64),
    date_time=st.binary(max_size=64),
    security_control=st.integers(0, 255),
    invocation_counter=st.integers(0, 2**32 - 1),
    protected=st.binary(max_size=300),
    other_information=st.binary(max_size=64),
    key_information=st.sampled_from([b"\x00", b"\x01\x00\x00", b"\x01\x00\x01"]),
)


@given(ENVELOPES)
def test_a_general_ciphering_comes_back_whole_or_not_at_all(
    envelope: apdu.GeneralCiphering,
) -> None:
    encoded = apdu.encode_general_ciphering(envelope)
    assert apdu.decode_general_ciphering(encoded) == envelope
    for end in range(len(encoded)):
        with pytest.raises(apdu.ApduError):
            apdu.decode_general_ciphering(encoded[:end])
    with pytest.raises(apdu.ApduError):
        apdu.decode_general_ciphering(encoded + b"\x00")


# --- services -------------------------------------------------------------------------------------


def test_a_get_is_that_of_the_standard() -> None:
    # tag, normal, invoke-id and priority; class 3, 1.0.1.8.0.255, attribute 2; no selection
    which = objects.CosemObject(objects.ClassId.REGISTER, bytes((1, 0, 1, 8, 0, 255)))
    assert services.get(which) == bytes.fromhex("c001c1 0003 0100010800ff 02 00")


def test_a_set_and_an_action_are_those_of_the_standard() -> None:
    chosen = objects.RELAY_COMMANDS[1]
    put = services.put(chosen, axdr.enum(1))
    assert put == bytes.fromhex("c101c1 0001 000180030bff 02 00 1601")
    act = services.act(objects.BREAKER, 2)
    assert act == bytes.fromhex("c301c1 0046 000060030aff 02 01 0f00")


def test_a_range_of_time_selects_by_the_clock() -> None:
    selection = services.between(NOON, NOON + timedelta(hours=1))
    (clock, first, last, columns) = axdr.decode_all(selection[1:])
    assert selection[0] == 1
    assert clock == (8, bytes((0, 0, 1, 0, 0, 255)), 2, 0)
    assert first == bytes.fromhex("07ea0701030c000019 0000 00")
    assert last == bytes.fromhex("07ea0701030d000019 0000 00")
    assert list(columns) == []


@pytest.mark.parametrize(
    ("answer", "service"),
    [
        ("", services.GET),
        ("c4", services.GET),
        ("c401c1", services.GET),
        ("c401c1001102ff", services.GET),  # left over
        ("c401c10011", services.GET),  # cut short
        ("c402c1001102", services.GET),  # in blocks
        ("c401c2001102", services.GET),  # another invoke-id
        ("c501c100", services.GET),  # of another service
        ("c501c10000", services.SET),
        ("c701c1000000", services.ACTION),
        ("c701c100", services.ACTION),
    ],
)
def test_what_is_no_answer_to_the_service_is_told(answer: str, service: int) -> None:
    with pytest.raises(services.ServiceError):
        services.read(bytes.fromhex(answer), service)


@pytest.mark.parametrize(
    ("answer", "service", "result"),
    [
        ("c401c10103", services.GET, services.Result.READ_WRITE_DENIED),
        ("c501c10c", services.SET, services.Result.TYPE_UNMATCHED),
        ("c701c1fa00", services.ACTION, services.Result.OTHER_REASON),
        ("c701c16300", services.ACTION, services.Result.OTHER_REASON),  # one that is not known
    ],
)
def test_a_refusal_is_told_with_its_reason(
    answer: str, service: int, result: services.Result
) -> None:
    with pytest.raises(services.RefusedError) as refused:
        services.read(bytes.fromhex(answer), service)
    assert refused.value.result is result


def test_what_an_action_returns_is_given() -> None:
    assert services.read(bytes.fromhex("c701c100 01 00 1105"), services.ACTION) == 5
    assert services.read(bytes.fromhex("c701c100 00"), services.ACTION) is None
    assert services.read(bytes.fromhex("c501c100"), services.SET) is None


@given(st.binary(max_size=40), st.sampled_from([services.GET, services.SET, services.ACTION]))
def test_any_answer_is_read_or_refused(noise: bytes, service: int) -> None:
    with suppress(services.ServiceError, services.RefusedError):
        services.read(noise, service)
