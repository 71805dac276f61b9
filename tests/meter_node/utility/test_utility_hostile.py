"""A hostile meter, or somebody on the way: nothing that is not genuine is ever used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from meter_node.channel import axdr
from meter_node.channel.axdr import Value
from meter_node.channel.event_codes import Log
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.registers import BY_KEY
from meter_node.channel.security import Keys
from meter_node.cli_utility import table_of
from meter_node.cosem import acse
from meter_node.cosem.access import DataAccessResult
from meter_node.utility import reading, requests, rows, supply, tariff, upkeep
from meter_node.utility.client import DlmsClient
from meter_node.utility.errors import (
    NoAnswerError,
    NotGenuineError,
    RefusedError,
    RejectedError,
    UtilityError,
)
from meter_node.utility.session import Attribute, Session
from tests.meter_node.cosem.site import MANAGEMENT, TITLE, Site, gcm_seal, tlv
from tests.meter_node.utility.counter import Change, InProcess, Utility

ENERGY = Attribute(CosemObject(ClassId.REGISTER, BY_KEY["import_active_energy"].logical_name))
SITE = Site()
GET_NORMAL = b"\xc4\x01\xc1"


@pytest.fixture
def utility(tmp_path: Path) -> Utility:
    return Utility(tmp_path)


def opened(utility: Utility) -> tuple[Session, Callable[[Change], None]]:
    """An open session, and a way to spoil what comes back from now on."""
    session = utility.reach().session()

    def spoil(change: Change) -> None:
        utility.links[-1].back = change

    return session, spoil


def sealed(
    plaintext: bytes,
    counter: int,
    *,
    title: bytes = TITLE,
    keys: Keys = MANAGEMENT,
    control: int = 0x30,
) -> bytes:
    """What somebody with these keys could send."""
    number = counter.to_bytes(4)
    content = bytes((control,)) + number
    content += gcm_seal(
        keys.encryption, title + number, bytes((control,)) + keys.authentication, plaintext
    )
    return tlv(0xDB, title) + axdr.encode_length(len(content)) + content


def test_the_forger_of_these_tests_could_pass_for_the_meter(utility: Utility) -> None:
    session, spoil = opened(utility)
    spoil(lambda apdu: sealed(b"\xc4\x01" + b"\xc1" + b"\x00\x06\x00\x00\x00\x2a", 2_000_000))

    # The first request after the association's proof has number 1.
    assert session.get(ENERGY) == 42


@pytest.mark.parametrize("place", [0, 1, 9, 11, 12, 16, 17, 20, -13, -1])
def test_one_bit_changed_anywhere_is_refused(utility: Utility, place: int) -> None:
    session, spoil = opened(utility)

    def flip(apdu: bytes) -> bytes:
        changed = bytearray(apdu)
        changed[place] ^= 1
        return bytes(changed)

    spoil(flip)
    with pytest.raises(NotGenuineError):
        session.get(ENERGY)


def test_an_answer_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = 0
    length = 1
    while not whole or length < whole:
        utility = Utility(tmp_path)
        session, spoil = opened(utility)

        def cut(apdu: bytes, length: int = length) -> bytes:
            nonlocal whole
            whole = len(apdu)
            return apdu[:length]

        spoil(cut)
        with pytest.raises(UtilityError):
            session.get(ENERGY)
        length += 5


def test_an_answer_that_came_before_is_refused(utility: Utility) -> None:
    session, spoil = opened(utility)
    seen: list[bytes] = []

    def keep(apdu: bytes) -> bytes:
        seen.append(apdu)
        return apdu

    spoil(keep)
    session.get(ENERGY)
    spoil(lambda apdu: seen[0])
    with pytest.raises(NotGenuineError, match="a replay"):
        session.get(ENERGY)


def test_answers_swapped_are_refused(utility: Utility) -> None:
    """The meter's answer to another question, with a number that rises."""
    session, spoil = opened(utility)
    spoil(lambda apdu: sealed(b"\xc4\x01\xc2\x00\x06\x00\x00\x00\x2a", 2_000_000))

    with pytest.raises(NotGenuineError, match="the answer to another request"):
        session.get(ENERGY)


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (GET_NORMAL + b"\x00\x06\x00\x00\x00\x2a", "not ciphered"),
        (sealed(GET_NORMAL + b"\x00\x00", 2_000_000, title=b"MTN\0\0\0\0\1"), "another meter"),
        (sealed(GET_NORMAL + b"\x00\x00", 2_000_000, control=0x20), "less protection"),
        (sealed(GET_NORMAL + b"\x00\x00", 1), "a replay"),
        (
            sealed(GET_NORMAL + b"\x00\x00", 2_000_000, keys=Keys(bytes(16), bytes(16))),
            "tag does not fit",
        ),
        (sealed(b"\xc5\x01\xc1\x00", 2_000_000), "wants 0xC4"),
        (sealed(GET_NORMAL + b"\x00", 2_000_000), "byte"),
        (sealed(GET_NORMAL + b"\x00\x06\x00\x00\x00\x2a\x00", 2_000_000), "left over"),
        (sealed(GET_NORMAL + b"\x00\x01\x84\xff\xff\xff\xff", 2_000_000), "elements"),
        (b"\xcc\x05\x30\x00\x00\x00\x01", "not ciphered"),
        (b"\xdb", "not ciphered"),
        (b"\x00", "not ciphered"),
    ],
)
def test_forged_answers_are_refused(utility: Utility, forged: bytes, why: str) -> None:
    session, spoil = opened(utility)
    spoil(lambda apdu: forged)

    with pytest.raises(NotGenuineError, match=why):
        session.get(ENERGY)


def test_a_request_thrown_back_is_no_answer(utility: Utility) -> None:
    session, spoil = opened(utility)
    asked: list[bytes] = []

    def remember(apdu: bytes) -> bytes:
        asked.append(apdu)
        return apdu

    utility.links[-1].there = remember
    spoil(lambda apdu: asked[-1])

    with pytest.raises(NotGenuineError):
        session.get(ENERGY)


def test_after_a_forged_answer_nothing_more_is_asked(utility: Utility) -> None:
    session, spoil = opened(utility)
    spoil(lambda apdu: apdu[:-1] + bytes((apdu[-1] ^ 1,)))
    with pytest.raises(NotGenuineError):
        session.get(ENERGY)
    spoil(lambda apdu: apdu)
    utility.links[-1].there = lambda apdu: pytest.fail("something was sent")

    with pytest.raises(NotGenuineError):
        session.get(ENERGY)
    session.close()


def test_blocks_that_never_end_are_not_listened_to(utility: Utility) -> None:
    session, spoil = opened(utility)
    number = 0

    def block(_: bytes) -> bytes:
        nonlocal number
        number += 1
        head = b"\xc4\x02\xc1\x00" + number.to_bytes(4) + b"\x00"
        raw = bytes(500_000)
        return sealed(head + axdr.encode_length(len(raw)) + raw, 2_000_000 + number)

    spoil(block)
    with pytest.raises(NotGenuineError, match="without an end"):
        session.get(ENERGY)
    assert number < 40


@pytest.mark.parametrize("number", [0, 2])
def test_a_block_out_of_order_is_refused(utility: Utility, number: int) -> None:
    session, spoil = opened(utility)
    head = b"\xc4\x02\xc1\x00" + number.to_bytes(4)
    spoil(lambda apdu: sealed(head + b"\x00\x01\x00", 2_000_000))

    with pytest.raises(NotGenuineError, match="not the next one"):
        session.get(ENERGY)


# --- the association ------------------------------------------------------------------------------


def test_wrong_keys_are_told_apart(utility: Utility) -> None:
    utility.site.utility.keys = Keys(bytes(16), MANAGEMENT.authentication)

    with pytest.raises(RejectedError, match="does not take these keys"):
        utility.run("read")


def test_another_meter_in_its_place_is_found_out(tmp_path: Path) -> None:
    """It has the same keys, as where somebody gave all of his meters one pair."""
    utility = Utility(tmp_path)
    text = utility.path.read_text().replace(TITLE.hex(), (b"MTN\0\0\0\0\x2b").hex())
    utility.path.write_text(text)

    with pytest.raises(NotGenuineError, match="another meter answers"):
        utility.run("read")


def test_a_recorded_association_played_again_is_found_out(utility: Utility) -> None:
    recorded: list[bytes] = []

    def record(apdu: bytes) -> bytes:
        recorded.append(apdu)
        return apdu

    utility.back = record
    utility.run("read", "1.8.0")
    played = iter(recorded)
    utility.back = lambda apdu: next(played)

    with pytest.raises(NotGenuineError, match="proof"):
        utility.run("read", "1.8.0")


def test_a_meter_that_offers_no_security_is_not_talked_to(utility: Utility) -> None:
    """An AARE of a plain association, in answer to a ciphered one."""
    client = DlmsClient()
    plain = utility.connect(16)
    opening = client.associate()
    aare = plain.exchange(next(opening))
    utility.back = lambda apdu: aare

    with pytest.raises(NotGenuineError, match="less security"):
        utility.run("read")


def test_a_meter_that_throws_the_challenge_back_is_found_out(utility: Utility) -> None:
    """Whoever would have the client answer its own challenge gets no proof of it."""
    challenge: list[bytes] = []

    def take(apdu: bytes) -> bytes:
        at = apdu.find(b"\xac\x12\x80\x10")
        if at > 0:
            challenge.append(apdu[at + 4 : at + 20])
        return apdu

    def give(apdu: bytes) -> bytes:
        answer = acse.read_response(apdu)
        return acse.response(replace(answer, challenge=challenge[0]))

    utility.there, utility.back = take, give
    with pytest.raises(NotGenuineError, match="challenge can't be answered"):
        utility.run("read")


def test_a_wrong_proof_of_the_meter_is_found_out(utility: Utility) -> None:
    answers = 0

    def second(apdu: bytes) -> bytes:
        nonlocal answers
        answers += 1
        if answers != 2:
            return apdu
        proof = b"\x10" + (3_000_000).to_bytes(4) + bytes(12)
        return sealed(b"\xc7\x01\xc0\x00\x01\x00\x09\x11" + proof, 2_000_000)

    utility.back = second
    with pytest.raises(NotGenuineError, match="does not hold"):
        utility.run("read")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"\xd8\x01\x05", "the keys are not the meter's"),
        (b"\xd8\x01\x06\x00\x00\x00\x01", "higher invocation counter"),
        (b"\xd8\x01\x03", "will not listen"),
        (b"\xd8\x01\x09", "fault 9"),
        (b"\x0e\x01\x06\x01", "refused the service"),
        (b"\x61\x00", "no answer to an association"),
        (b"\x61\x05\x01", "no answer to an association"),
        (b"HTTP/1.1 400 Bad Request", "no answer to an association"),
    ],
)
def test_other_answers_to_an_association_are_told(
    utility: Utility, answer: bytes, text: str
) -> None:
    utility.back = lambda apdu: answer

    with pytest.raises(UtilityError, match=text):
        utility.run("read")


def test_a_client_that_the_meter_does_not_know_is_told_so(utility: Utility) -> None:
    utility.back = lambda apdu: acse.response(
        acse.AssociationResponse(
            acse.LN,
            acse.Result.REJECTED_PERMANENT,
            acse.Diagnostic.AUTHENTICATION_REQUIRED,
            acse.initiate_error(acse.InitiateError.OTHER),
        )
    )
    with pytest.raises(RejectedError, match="does not let client 16 in: authentication required"):
        utility.run("read", public=True)


def test_a_list_answers_for_all_that_was_asked(utility: Utility) -> None:
    two = b"\xc4\x03\xc1\x02\x00\x11\x01\x01\x03"
    found = requests.read_get(two, 0xC1, 2)
    assert isinstance(found, list)
    assert len(found) == 2
    with pytest.raises(ValueError, match="another number of results"):
        requests.read_get(two, 0xC1, 3)


def test_what_a_meter_says_moves_no_terminal(utility: Utility) -> None:
    session, spoil = opened(utility)
    said = b"[/red]\x1b[2Jgone"
    refused = sealed(b"\xc4\x01\xc1\x01\x03", 2_000_000)
    reason = sealed(b"\xc4\x01\xc2\x00\x0c" + bytes((len(said),)) + said, 2_000_001)
    answers = iter([refused, reason])
    spoil(lambda apdu: next(answers))

    with pytest.raises(RefusedError) as told:
        session.get(ENERGY)

    assert told.value.reason == "[/red]\ufffd[2Jgone"


def test_a_table_shows_markup_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print(table_of("[/title]", ["[b]"], [["[/red]\x1b[2J"]]))

    printed = capsys.readouterr().out
    assert "[/red]" in printed
    assert "\x1b[2J" not in printed


def test_who_was_silent_is_not_waited_for_again(utility: Utility) -> None:
    session, _ = opened(utility)
    asked = 0

    def silent(apdu: bytes) -> None:
        nonlocal asked
        asked += 1

    utility.links[-1].there = silent
    with pytest.raises(NoAnswerError), session:
        session.get(ENERGY)

    assert asked == 1


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_without_keys_is_told_in_words(data: st.DataObject) -> None:
    """The public client has no tag to hold on to: whoever is on the way may say anything."""
    site = SITE

    def spoil(apdu: bytes) -> bytes:
        changed = bytearray(apdu)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(changed) - 1))
            changed[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(1, len(changed)) | st.none())
        return bytes(changed[:end])

    with contextlib.suppress(UtilityError):
        session = Session(InProcess(site, 16, back=spoil), DlmsClient())
        found = reading.listed(session)
        reading.identity_of(session)
        reading.registers_of(session, found)
        reading.states_of(session, found)
        for one in found:
            session.get(Attribute(one.which))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 255) | st.binary(max_size=13),
        lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner, inner, inner),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_genuine_meter_of_another_make_ends_in_words_too(value: Value) -> None:
    """It has the keys, and none of its objects is what it is here."""

    class Odd(Session):
        def __init__(self) -> None:
            pass

        def get(self, *_: object, **__: object) -> Value:
            return value

        def get_all(self, wanted: Sequence[Attribute]) -> list[Value | DataAccessResult]:
            return [value for _ in wanted]

    odd = Odd()
    for read in (
        reading.listed,
        reading.identity_of,
        tariff.read,
        supply.limiter,
        supply.credit,
        upkeep.read_clock,
        upkeep.parameters,
        lambda session: rows.read(session, rows.PROFILES["load_profile"]),
        lambda session: rows.read_log(session, Log.STATUS),
    ):
        with contextlib.suppress(UtilityError):
            read(odd)
