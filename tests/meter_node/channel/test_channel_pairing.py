"""The pairing text: copied by people, so every slip must be noticed and none of the blanks."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.pairing import Pairing, PairingError
from meter_node.channel.security import Keys

PAIRING = Pairing(
    bytes.fromhex("4D544E0000001267"),
    Keys(bytes(range(16)), bytes(range(0xF0, 0x100))),
)
TEXT = PAIRING.to_text()

PAIRINGS = st.builds(
    Pairing,
    st.binary(min_size=8, max_size=8),
    st.builds(Keys, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
)


def text_of(content: bytes) -> str:
    """Return a text with a check that fits, whatever it holds."""
    check = hashlib.sha256(content).digest()[:4]
    return "MN1:" + base64.b32encode(content + check).decode().rstrip("=")


@given(PAIRINGS)
def test_a_pairing_comes_back(pairing: Pairing) -> None:
    assert Pairing.from_text(pairing.to_text()) == pairing


def test_the_text_is_version_title_keys_and_check_in_base32() -> None:
    content = b"\x01" + PAIRING.system_title + PAIRING.keys.encryption + PAIRING.keys.authentication
    assert text_of(content) == TEXT


def test_the_text_keeps_to_the_characters_that_make_a_small_qr_code() -> None:
    # ISO/IEC 18004, alphanumeric mode.
    assert set(TEXT) <= set(string.ascii_uppercase + string.digits + " $%*+-./:")


def test_every_mistyped_character_is_noticed() -> None:
    for at, right in enumerate(TEXT):
        for wrong in string.ascii_uppercase + string.digits + "-:=":
            if wrong != right:
                with pytest.raises(PairingError):
                    Pairing.from_text(TEXT[:at] + wrong + TEXT[at + 1 :])


def test_every_character_left_out_is_noticed() -> None:
    for at in range(len(TEXT)):
        with pytest.raises(PairingError):
            Pairing.from_text(TEXT[:at] + TEXT[at + 1 :])


def test_every_character_typed_twice_is_noticed() -> None:
    for at in range(len(TEXT)):
        with pytest.raises(PairingError):
            Pairing.from_text(TEXT[:at] + TEXT[at] + TEXT[at:])


def test_two_neighbours_exchanged_are_noticed() -> None:
    for at in range(len(TEXT) - 1):
        first, second = TEXT[at], TEXT[at + 1]
        if first != second:
            with pytest.raises(PairingError):
                Pairing.from_text(TEXT[:at] + second + first + TEXT[at + 2 :])


def test_a_text_cut_short_anywhere_is_noticed() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(PairingError):
            Pairing.from_text(TEXT[:end])


@given(st.sets(st.integers(0, len(TEXT)), max_size=10), st.sampled_from([" ", "\n", "\r\n", "\t"]))
def test_blanks_and_line_breaks_are_forgiven(places: set[int], blank: str) -> None:
    spaced = "".join(
        (blank if at in places else "") + character for at, character in enumerate(TEXT)
    )
    assert Pairing.from_text(spaced + blank) == PAIRING


def test_lower_case_is_forgiven() -> None:
    assert Pairing.from_text(TEXT.lower()) == PAIRING


@pytest.mark.parametrize(
    "text", ["", "hello", "MN2:" + TEXT[4:], TEXT[4:], "MN1", "MN1 " + TEXT[4:]]
)
def test_what_does_not_begin_like_a_pairing_text_is_told_so(text: str) -> None:
    with pytest.raises(PairingError, match="begins with MN1:"):
        Pairing.from_text(text)


def test_characters_that_base32_does_not_have_are_told() -> None:
    with pytest.raises(PairingError, match="characters"):
        Pairing.from_text(TEXT[:-1] + "€")


def test_a_mistyped_letter_is_told_as_one() -> None:
    with pytest.raises(PairingError, match="mistyped"):
        Pairing.from_text(TEXT[:10] + ("A" if TEXT[10] != "A" else "B") + TEXT[11:])


def test_a_newer_version_is_told() -> None:
    with pytest.raises(PairingError, match="version 2 needs a newer program"):
        Pairing.from_text(text_of(b"\x02" + bytes(40)))


@given(st.text(max_size=100))
def test_any_text_is_a_pairing_error(text: str) -> None:
    with pytest.raises(PairingError):
        Pairing.from_text("MN1:" + text)


def test_a_pairing_shows_nothing_of_its_keys() -> None:
    shown = repr(PAIRING)
    for key in (PAIRING.keys.encryption, PAIRING.keys.authentication):
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown


def test_a_refusal_shows_nothing_of_the_keys() -> None:
    with pytest.raises(PairingError) as caught:
        Pairing.from_text(TEXT[:-1] + ("A" if TEXT[-1] != "A" else "B"))
    assert TEXT[20:30] not in repr(caught.value)
