"""A token says what was sold to whom; a slip of the finger is told from a forgery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.token import (
    HIGHEST,
    TokenError,
    TokenFault,
    aes_cmac,
    make,
    read,
    verify,
)

# RFC 4493, section 4.
RFC_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
RFC_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
KEY = bytes(range(16))
TITLE = b"MTN\x01\x02\x03\x04\x05"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

tokens = st.builds(
    lambda key, title, sequence, credit_wh: (key, title, sequence, credit_wh),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=8, max_size=8),
    st.integers(1, HIGHEST),
    st.integers(1, HIGHEST),
)


def fault(text: str) -> TokenFault | None:
    """What is wrong with a text, None for a token of this meter."""
    try:
        verify(KEY, TITLE, read(text))
    except TokenError as error:
        return error.fault
    return None


def raw_text(content: bytes) -> str:
    """The text of any 25 bytes, by Crockford's rules: base32, and the number modulo 37."""
    number = int.from_bytes(content)
    symbols = "".join(ALPHABET[number // 32**place % 32] for place in range(39, -1, -1))
    return symbols + (ALPHABET + "*~$=U")[number % 37]


@pytest.mark.parametrize(
    ("length", "mac"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_the_mac_is_that_of_rfc_4493(length: int, mac: str) -> None:
    assert aes_cmac(RFC_KEY, RFC_MESSAGE[:length]).hex() == mac


@given(tokens)
def test_what_was_made_is_read_and_true(made: tuple[bytes, bytes, int, int]) -> None:
    key, title, sequence, credit_wh = made
    token = read(make(*made))
    verify(key, title, token)
    assert (token.system_title, token.sequence, token.credit_wh) == (title, sequence, credit_wh)


def test_the_text_is_forty_symbols_in_fives_and_a_check_symbol() -> None:
    # 1 + 8 + 4 + 4 + 8 = 25 bytes = 200 bits = 40 symbols of 5 bits
    assert [len(group) for group in make(KEY, TITLE, 1, 1000).split("-")] == [5] * 8 + [1]


def test_content_and_mac_stand_where_they_are_said_to_stand() -> None:
    body = b"\x01" + TITLE + bytes.fromhex("00000007") + bytes.fromhex("000003e8")
    assert make(KEY, TITLE, 7, 1000).replace("-", "") == raw_text(body + aes_cmac(KEY, body)[:8])


@given(st.data())
def test_case_spaces_dashes_and_look_alikes_do_not_matter(data: st.DataObject) -> None:
    text = make(KEY, TITLE, data.draw(st.integers(1, HIGHEST)), 5000)
    written = ""
    for symbol in text.replace("-", ""):
        alike = {"0": "0oO", "1": "1iIlL"}.get(symbol, symbol + symbol.lower())
        written += data.draw(st.sampled_from(["", " ", "-", "–", "\n"]))
        written += data.draw(st.sampled_from(alike))
    assert read(written) == read(text)


@given(tokens, st.integers(0, 40), st.sampled_from(ALPHABET))
def test_any_one_wrong_symbol_is_a_typing_error(
    made: tuple[bytes, bytes, int, int], place: int, wrong: str
) -> None:
    text = make(*made).replace("-", "")
    if text[place] != wrong:
        with pytest.raises(TokenError) as refused:
            read(text[:place] + wrong + text[place + 1 :])
        assert refused.value.fault is TokenFault.MISTYPED


@given(tokens, st.integers(0, 38))
def test_two_swapped_neighbours_are_a_typing_error(
    made: tuple[bytes, bytes, int, int], place: int
) -> None:
    text = make(*made).replace("-", "")
    if text[place] != text[place + 1]:
        swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        with pytest.raises(TokenError) as refused:
            read(swapped)
        assert refused.value.fault is TokenFault.MISTYPED


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    assert fault(text) in TokenFault


@pytest.mark.parametrize("text", ["", "0", "!" * 41, make(KEY, TITLE, 1, 1)[:-2]])
def test_what_is_no_token_at_all_is_mistyped(text: str) -> None:
    assert fault(text) is TokenFault.MISTYPED


@given(st.integers(1, 24), st.integers(1, 255))
def test_a_changed_byte_with_a_right_check_symbol_is_not_mistyped_but_not_taken(
    place: int, difference: int
) -> None:
    token = read(make(KEY, TITLE, 1, 1000))
    content = bytearray(token.body + token.mac)
    content[place] ^= difference
    changed_title = 1 <= place <= 8
    wanted = TokenFault.OTHER_METER if changed_title else TokenFault.FORGED
    assert fault(raw_text(bytes(content))) is wanted


def test_a_token_of_another_version_is_said_to_be_one() -> None:
    token = read(make(KEY, TITLE, 1, 1000))
    assert fault(raw_text(b"\x02" + (token.body + token.mac)[1:])) is TokenFault.OTHER_VERSION


def test_another_key_makes_a_forgery() -> None:
    assert fault(make(bytes(16), TITLE, 1, 1000)) is TokenFault.FORGED


def test_a_token_for_the_neighbour_is_the_neighbours() -> None:
    assert fault(make(KEY, b"MTN\x00\x00\x00\x00\x01", 1, 1000)) is TokenFault.OTHER_METER


@pytest.mark.parametrize(
    ("title", "sequence", "credit_wh", "said"),
    [
        (b"MTN", 1, 1, "a system title has 8 bytes, not 3"),
        (TITLE, 0, 1, "a sequence of 0; possible are 1 to 4294967295"),
        (TITLE, 2**32, 1, "a sequence of 4294967296"),
        (TITLE, 1, 0, "a credit of 0 Wh; possible are 1 to 4294967295 Wh"),
        (TITLE, 1, 2**32, "a credit of 4294967296 Wh"),
    ],
)
def test_what_fits_no_token_is_not_made(
    title: bytes, sequence: int, credit_wh: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make(KEY, title, sequence, credit_wh)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a vending key has 16 bytes, not 24"):
        make(bytes(24), TITLE, 1, 1)
