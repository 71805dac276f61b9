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
NAMED = Pairing(
    PAIRING.system_title,
    PAIRING.keys,
    Keys(bytes(range(32, 48)), bytes(range(64, 80))),
    "home-assistant-2",
)
TEXT_2 = NAMED.to_text()
BOTH = pytest.mark.parametrize("text", [TEXT, TEXT_2], ids=["MN1", "MN2"])

KEYS = st.builds(Keys, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
TITLES = st.binary(min_size=8, max_size=8)
PAIRINGS = st.builds(Pairing, TITLES, KEYS) | st.builds(
    Pairing, TITLES, KEYS, KEYS, st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)
)


def text_of(content: bytes, prefix: str = "MN1:") -> str:
    """Return a text with a check that fits, whatever it holds."""
    check = hashlib.sha256(content).digest()[:4]
    return prefix + base64.b32encode(content + check).decode().rstrip("=")


@given(PAIRINGS)
def test_a_pairing_comes_back(pairing: Pairing) -> None:
    assert Pairing.from_text(pairing.to_text()) == pairing


def test_the_text_is_version_title_keys_and_check_in_base32() -> None:
    content = b"\x01" + PAIRING.system_title + PAIRING.keys.encryption + PAIRING.keys.authentication
    assert text_of(content) == TEXT


def test_with_control_keys_it_has_those_and_the_name_too() -> None:
    push, control = NAMED.keys, NAMED.control
    assert control is not None
    content = b"\x02" + NAMED.system_title + push.encryption + push.authentication
    content += control.encryption + control.authentication + b"\x10home-assistant-2"
    assert text_of(content, "MN2:") == TEXT_2


@BOTH
def test_the_text_keeps_to_the_characters_that_make_a_small_qr_code(text: str) -> None:
    # ISO/IEC 18004, alphanumeric mode.
    assert set(text) <= set(string.ascii_uppercase + string.digits + " $%*+-./:")


@BOTH
def test_every_mistyped_character_is_noticed(text: str) -> None:
    for at, right in enumerate(text):
        for wrong in string.ascii_uppercase + string.digits + "-:=":
            if wrong != right:
                with pytest.raises(PairingError):
                    Pairing.from_text(text[:at] + wrong + text[at + 1 :])


@BOTH
def test_every_character_left_out_is_noticed(text: str) -> None:
    for at in range(len(text)):
        with pytest.raises(PairingError):
            Pairing.from_text(text[:at] + text[at + 1 :])


@BOTH
def test_every_character_typed_twice_is_noticed(text: str) -> None:
    for at in range(len(text)):
        with pytest.raises(PairingError):
            Pairing.from_text(text[:at] + text[at] + text[at:])


@BOTH
def test_two_neighbours_exchanged_are_noticed(text: str) -> None:
    for at in range(len(text) - 1):
        first, second = text[at], text[at + 1]
        if first != second:
            with pytest.raises(PairingError):
                Pairing.from_text(text[:at] + second + first + text[at + 2 :])


@BOTH
def test_a_text_cut_short_anywhere_is_noticed(text: str) -> None:
    for end in range(len(text)):
        with pytest.raises(PairingError):
            Pairing.from_text(text[:end])


@given(st.sets(st.integers(0, len(TEXT)), max_size=10), st.sampled_from([" ", "\n", "\r\n", "\t"]))
def test_blanks_and_line_breaks_are_forgiven(places: set[int], blank: str) -> None:
    spaced = "".join(
        (blank if at in places else "") + character for at, character in enumerate(TEXT)
    )
    assert Pairing.from_text(spaced + blank) == PAIRING


def test_lower_case_is_forgiven() -> None:
    assert Pairing.from_text(TEXT.lower()) == PAIRING


@pytest.mark.parametrize(
    "text", ["", "hello", "MN3:" + TEXT[4:], TEXT[4:], "MN1", "MN1 " + TEXT[4:]]
)
def test_what_does_not_begin_like_a_pairing_text_is_told_so(text: str) -> None:
    with pytest.raises(PairingError, match="begins with MN1: or MN2:"):
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


def test_neither_version_is_taken_for_the_other() -> None:
    for text in ("MN2:" + TEXT[4:], "MN1:" + TEXT_2[4:]):
        with pytest.raises(PairingError):
            Pairing.from_text(text)


@pytest.mark.parametrize("name", [b"", b"Home", b"-home", b"h\xe9", b"a" * 33])
def test_a_name_that_is_none_is_told(name: bytes) -> None:
    content = b"\x02" + bytes(72) + bytes((len(name),)) + name
    with pytest.raises(PairingError, match=r"its name is none|cut short or too long"):
        Pairing.from_text(text_of(content, "MN2:"))


def test_control_keys_need_a_name() -> None:
    with pytest.raises(ValueError, match="no pairing's name"):
        Pairing(PAIRING.system_title, PAIRING.keys, PAIRING.keys, "")


@given(st.text(max_size=100), st.sampled_from(["MN1:", "MN2:"]))
def test_any_text_is_a_pairing_error(text: str, prefix: str) -> None:
    with pytest.raises(PairingError):
        Pairing.from_text(prefix + text)


def test_a_pairing_shows_nothing_of_its_keys() -> None:
    shown = repr(NAMED)
    assert NAMED.control is not None
    for key in (NAMED.keys.encryption, NAMED.keys.authentication, NAMED.control.encryption):
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown


def test_a_refusal_shows_nothing_of_the_keys() -> None:
    with pytest.raises(PairingError) as caught:
        Pairing.from_text(TEXT[:-1] + ("A" if TEXT[-1] != "A" else "B"))
    assert TEXT[20:30] not in repr(caught.value)
