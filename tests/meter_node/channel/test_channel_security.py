"""Ciphering: what opens, what is refused and why, and when the counter moves."""

from __future__ import annotations

from contextlib import suppress

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import apdu, security
from meter_node.channel.apdu import GeneralGloCiphering
from meter_node.channel.security import (
    InvalidTagError,
    Keys,
    Receiver,
    ReceiverState,
    Refusal,
    RefusedError,
)
from meter_node.ciphering import PycryptodomeAead, make_keys
from tests.meter_node.channel.captures import (
    CAPTURES,
    DANISH,
    DUMMY_KEYS,
    SWEDISH,
    envelope,
    opened,
    sealed,
)

AEAD = PycryptodomeAead()
TITLE = b"MTN\x00\x00\x00\x12\x67"
KEYS = Keys(bytes(range(16)), bytes(range(0xD0, 0xE0)))
OTHER_KEY = bytes(range(100, 116))
PLAINTEXT = CAPTURES[SWEDISH].apdu  # a data-notification of a real meter

CAPTURE = CAPTURES[DANISH]
CAPTURE_KEYS = Keys(CAPTURE.encryption_key, CAPTURE.authentication_key)
CAPTURE_TITLE = bytes.fromhex(CAPTURE.expected["system_title"])


def push(counter: int, plaintext: bytes = PLAINTEXT, keys: Keys = KEYS) -> bytes:
    """Return a good push, ciphered by ``cryptography``."""
    return sealed(counter, plaintext, keys.encryption, keys.authentication, TITLE)


def receiver(highest: int | None = None, keys: Keys = KEYS) -> Receiver:
    """Return a receiver, which took its last frame at ``highest`` before it was restarted."""
    return Receiver(AEAD, TITLE, keys, ReceiverState(highest, "") if highest is not None else None)


def capture_receiver(*, proven: bool) -> Receiver:
    """Return a receiver of the Danish meter; ``proven``: its keys fitted a frame before."""
    state = ReceiverState(CAPTURE.expected["ic"] - 1, "") if proven else None
    return Receiver(AEAD, CAPTURE_TITLE, CAPTURE_KEYS, state)


def refusal(of: Receiver, data: bytes, *, retained: bool = False) -> Refusal:
    """Return the reason for which a frame is refused."""
    with pytest.raises(RefusedError) as caught:
        of.accept(data, retained=retained)
    return caught.value.reason


def flipped(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit turned over, counted from the first byte's lowest."""
    turned = bytearray(data)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


# --- against a published vector and against another library --------------------------------------

# Green Book, the example of a ciphered get-request for the clock: keys, title, counter, result.
GREEN_BOOK_KEYS = Keys(
    bytes.fromhex("000102030405060708090A0B0C0D0E0F"),
    bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"),
)
GREEN_BOOK_TITLE = bytes.fromhex("4D4D4D0000BC614E")
GREEN_BOOK_COUNTER = 0x01234567
GREEN_BOOK_PLAINTEXT = bytes.fromhex("C0010000080000010000FF0200")
GREEN_BOOK_PROTECTED = bytes.fromhex("411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B")


def test_sealing_gives_the_green_books_ciphertext_and_tag() -> None:
    made = security.seal(
        AEAD, GREEN_BOOK_KEYS, GREEN_BOOK_TITLE, GREEN_BOOK_COUNTER, GREEN_BOOK_PLAINTEXT
    )
    assert made.protected == GREEN_BOOK_PROTECTED


def test_the_green_books_ciphertext_opens() -> None:
    frame = envelope(GREEN_BOOK_TITLE, 0x30, GREEN_BOOK_COUNTER, GREEN_BOOK_PROTECTED)
    taken = Receiver(AEAD, GREEN_BOOK_TITLE, GREEN_BOOK_KEYS).accept(frame)
    assert taken.plaintext == GREEN_BOOK_PLAINTEXT


def test_gcm_gives_nists_test_case_4_with_its_tag_cut_to_twelve_bytes() -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 4.
    made = AEAD.seal(
        bytes.fromhex("feffe9928665731c6d6a8f9467308308"),
        bytes.fromhex("cafebabefacedbaddecaf888"),
        bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        bytes.fromhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ),
    )
    assert made == bytes.fromhex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95a"
    )


@given(
    plaintext=st.binary(min_size=1, max_size=600),
    counter=st.integers(0, 0xFFFFFFFF),
    keys=st.builds(Keys, st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)),
    title=st.binary(min_size=8, max_size=8),
)
def test_what_the_node_seals_cryptography_opens(
    plaintext: bytes, counter: int, keys: Keys, title: bytes
) -> None:
    frame = apdu.encode_general_glo_ciphering(security.seal(AEAD, keys, title, counter, plaintext))
    assert opened(frame, keys.encryption, keys.authentication) == plaintext


@given(
    plaintext=st.binary(min_size=1, max_size=600),
    counter=st.integers(0, 0xFFFFFFFF),
    title=st.binary(min_size=8, max_size=8),
)
def test_what_cryptography_seals_a_receiver_opens(
    plaintext: bytes, counter: int, title: bytes
) -> None:
    frame = sealed(counter, plaintext, KEYS.encryption, KEYS.authentication, title)
    taken = Receiver(AEAD, title, KEYS).accept(frame)
    assert (taken.plaintext, taken.counter) == (plaintext, counter)


@given(plaintext=st.binary(max_size=300), counter=st.integers(0, 0xFFFFFFFF))
def test_what_the_node_seals_is_the_apdu_that_the_green_book_lays_out(
    plaintext: bytes, counter: int
) -> None:
    made = apdu.encode_general_glo_ciphering(security.seal(AEAD, KEYS, TITLE, counter, plaintext))
    assert made == push(counter, plaintext)


def test_a_damaged_frame_of_the_nodes_own_does_not_open_with_cryptography() -> None:
    made = apdu.encode_general_glo_ciphering(security.seal(AEAD, KEYS, TITLE, 7, PLAINTEXT))
    with pytest.raises(InvalidTag):
        opened(flipped(made, 8 * 40), KEYS.encryption, KEYS.authentication)


@pytest.mark.parametrize("name", [DANISH, DUMMY_KEYS])
def test_a_real_meters_tag_verifies(name: str) -> None:
    capture = CAPTURES[name]
    keys = Keys(capture.encryption_key, capture.authentication_key)
    taken = Receiver(AEAD, bytes.fromhex(capture.expected["system_title"]), keys).accept(
        capture.apdu
    )
    assert taken.plaintext == capture.plaintext
    assert taken.counter == capture.expected["ic"]


def test_a_wrong_tag_reveals_nothing() -> None:
    protected = AEAD.seal(KEYS.encryption, bytes(12), b"", b"secret")
    with pytest.raises(InvalidTagError):
        AEAD.open(KEYS.encryption, bytes(12), b"", protected[:-1] + b"\0")


@pytest.mark.parametrize("counter", [-1, 0x1_0000_0000])
def test_a_counter_beyond_32_bits_is_never_sealed_with(counter: int) -> None:
    with pytest.raises(ValueError, match="used up"):
        security.seal(AEAD, KEYS, TITLE, counter, PLAINTEXT)


def test_the_last_counter_of_all_is_taken() -> None:
    assert receiver(0xFFFFFFFE).accept(push(0xFFFFFFFF)).counter == 0xFFFFFFFF


# --- a bit flipped -------------------------------------------------------------------------------

APDU = CAPTURE.apdu
"""DB, 08, title (2-9), length 82 01 D0 (10-12), control (13), counter (14-17), ciphertext, tag."""
BITS = range(8 * len(APDU))
COUNTER_AT, CIPHERTEXT_AT, TAG_AT = 14, 18, len(APDU) - 12


def bits_of(first: int, end: int) -> range:
    return range(8 * first, 8 * end)


def reasons(bits: range, *, proven: bool) -> set[Refusal]:
    """Return every reason for which the real frame is refused with one of these bits flipped."""
    return {refusal(capture_receiver(proven=proven), flipped(APDU, bit)) for bit in bits}


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize(
    ("first", "end", "reason"),
    [
        pytest.param(0, 2, Refusal.DAMAGED, id="tag and length of the title"),
        pytest.param(2, 10, Refusal.OTHER_METER, id="system title"),
        pytest.param(10, 13, Refusal.DAMAGED, id="length"),
        pytest.param(13, 14, Refusal.DOWNGRADE, id="security control"),
    ],
)
def test_a_bit_flipped_before_the_counter_is_refused(
    first: int, end: int, reason: Refusal, proven: bool
) -> None:
    assert reasons(bits_of(first, end), proven=proven) == {reason}


def test_a_bit_flipped_in_counter_ciphertext_or_tag_is_forged_where_the_keys_once_fitted() -> None:
    assert reasons(bits_of(COUNTER_AT, len(APDU)), proven=True) == {Refusal.FORGED}


def test_a_bit_flipped_in_the_counter_of_the_first_frame_looks_like_wrong_keys() -> None:
    # Another counter is another keystream: nothing that parses comes out.
    assert reasons(bits_of(COUNTER_AT, CIPHERTEXT_AT), proven=False) == {Refusal.WRONG_KEYS}


def test_a_bit_flipped_in_the_tag_of_the_first_frame_looks_like_the_authentication_key() -> None:
    assert reasons(bits_of(TAG_AT, len(APDU)), proven=False) == {Refusal.AUTHENTICATION_KEY}


def test_a_bit_flipped_in_a_number_of_the_first_frame_looks_like_the_authentication_key() -> None:
    # GCM is a stream cipher: the bit turns over in the plaintext, which parses as before.
    at = CIPHERTEXT_AT + CAPTURE.plaintext.index((866636).to_bytes(4))
    assert reasons(bits_of(at, at + 4), proven=False) == {Refusal.AUTHENTICATION_KEY}


def test_a_bit_flipped_in_the_first_byte_of_the_ciphertext_looks_like_wrong_keys() -> None:
    bits = bits_of(CIPHERTEXT_AT, CIPHERTEXT_AT + 1)
    assert reasons(bits, proven=False) == {Refusal.WRONG_KEYS}


def test_no_bit_flipped_in_the_ciphertext_is_ever_accepted() -> None:
    assert reasons(bits_of(CIPHERTEXT_AT, TAG_AT), proven=False) == {
        Refusal.AUTHENTICATION_KEY,
        Refusal.WRONG_KEYS,
    }


@pytest.mark.parametrize("proven", [False, True])
def test_the_frame_cut_anywhere_is_damaged(proven: bool) -> None:
    taker = capture_receiver(proven=proven)
    assert {refusal(taker, APDU[:end]) for end in range(len(APDU))} == {Refusal.DAMAGED}


def test_the_frame_with_a_byte_more_is_damaged() -> None:
    assert refusal(capture_receiver(proven=True), APDU + b"\0") == Refusal.DAMAGED


@pytest.mark.parametrize("size", [0, 11, 12])
def test_a_frame_with_nothing_before_its_tag_is_damaged(size: int) -> None:
    assert refusal(receiver(), envelope(TITLE, 0x30, 1, bytes(size))) == Refusal.DAMAGED


def test_a_frame_without_a_security_header_is_damaged() -> None:
    assert refusal(receiver(), b"\xdb\x08" + TITLE + b"\x04\x30\0\0\0") == Refusal.DAMAGED


# --- keys ----------------------------------------------------------------------------------------


def test_a_wrong_encryption_key_is_told_as_wrong_keys() -> None:
    taker = receiver(keys=Keys(OTHER_KEY, KEYS.authentication))
    assert refusal(taker, push(1)) == Refusal.WRONG_KEYS


def test_both_keys_wrong_is_told_as_wrong_keys() -> None:
    assert refusal(receiver(keys=Keys(OTHER_KEY, OTHER_KEY)), push(1)) == Refusal.WRONG_KEYS


def test_the_two_keys_exchanged_is_told_as_wrong_keys() -> None:
    taker = receiver(keys=Keys(KEYS.authentication, KEYS.encryption))
    assert refusal(taker, push(1)) == Refusal.WRONG_KEYS


def test_a_wrong_authentication_key_is_told_by_its_name() -> None:
    taker = receiver(keys=Keys(KEYS.encryption, OTHER_KEY))
    assert refusal(taker, push(1)) == Refusal.AUTHENTICATION_KEY


@pytest.mark.parametrize(
    "wrong", [Keys(OTHER_KEY, KEYS.authentication), Keys(OTHER_KEY, OTHER_KEY)]
)
def test_a_frame_under_other_keys_after_a_good_one_is_forged(wrong: Keys) -> None:
    taker = receiver()
    taker.accept(push(1))
    assert refusal(taker, push(2, keys=wrong)) == Refusal.FORGED


def test_a_frame_under_another_authentication_key_after_a_good_one_is_forged() -> None:
    taker = receiver()
    taker.accept(push(1))
    assert refusal(taker, push(2, keys=Keys(KEYS.encryption, OTHER_KEY))) == Refusal.FORGED


def test_keys_that_fitted_before_the_restart_still_tell_a_forgery() -> None:
    assert refusal(receiver(highest=1), push(2, keys=make_keys())) == Refusal.FORGED


def test_a_good_frame_is_taken_after_wrong_ones() -> None:
    taker = receiver()
    for _ in range(3):
        refusal(taker, push(1, keys=make_keys()))
    assert taker.accept(push(1)).plaintext == PLAINTEXT


def test_keys_show_nothing_of_themselves() -> None:
    shown = repr(KEYS) + str(KEYS) + f"{KEYS}" + repr([KEYS])
    for key in (KEYS.encryption, KEYS.authentication):
        assert key.hex() not in shown.lower()
        assert repr(key)[2:-1] not in shown


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_keys_of_another_length_are_refused_without_being_shown(length: int) -> None:
    with pytest.raises(ValueError, match=f"authentication key has {length} bytes") as caught:
        Keys(bytes(16), b"\xaa" * length)
    assert "\\xaa" not in str(caught.value)


def test_fresh_keys_differ_from_each_other() -> None:
    first, second = make_keys(), make_keys()
    drawn = {
        first.encryption,
        first.authentication,
        second.encryption,
        second.authentication,
    }
    assert len(drawn) == 4


# --- level and sender ----------------------------------------------------------------------------


@pytest.mark.parametrize("proven", [False, True])
def test_the_real_frame_stripped_of_its_tag_and_altered_is_a_downgrade(proven: bool) -> None:
    # facts/dlms.md, "Downgrade": a decoder that takes any level shows a wrong register.
    stripped = bytearray(APDU[CIPHERTEXT_AT:TAG_AT])
    stripped[CAPTURE.plaintext.index((866636).to_bytes(4))] ^= 0x01
    frame = envelope(CAPTURE_TITLE, 0x20, CAPTURE.expected["ic"], bytes(stripped))
    assert refusal(capture_receiver(proven=proven), frame) == Refusal.DOWNGRADE


def test_every_other_security_control_is_a_downgrade() -> None:
    taker = capture_receiver(proven=True)
    others = [control for control in range(256) if control != 0x30]
    altered = [APDU[:13] + bytes([control]) + APDU[14:] for control in others]
    assert {refusal(taker, frame) for frame in altered} == {Refusal.DOWNGRADE}


def test_a_plain_frame_to_a_receiver_with_keys_is_a_downgrade() -> None:
    assert refusal(receiver(), CAPTURES[SWEDISH].apdu) == Refusal.DOWNGRADE


def test_a_frame_of_another_meter_is_told_as_such() -> None:
    assert refusal(receiver(), APDU) == Refusal.OTHER_METER


def test_the_title_of_another_meter_over_ones_own_ciphertext_is_told_as_such() -> None:
    own = push(1)
    assert refusal(receiver(), own[:2] + CAPTURE_TITLE + own[10:]) == Refusal.OTHER_METER


def test_another_meter_with_the_same_keys_does_not_pass_for_this_one() -> None:
    theirs = sealed(9, PLAINTEXT, KEYS.encryption, KEYS.authentication, b"MTN\0\0\0\0\x01")
    assert refusal(receiver(), theirs[:2] + TITLE + theirs[10:]) == Refusal.WRONG_KEYS


# --- replay --------------------------------------------------------------------------------------


def test_a_counter_that_leaps_is_taken() -> None:
    taker = receiver(highest=5)
    assert taker.accept(push(5000)).counter == 5000


def test_a_lower_counter_is_a_replay() -> None:
    taker = receiver()
    taker.accept(push(10))
    assert refusal(taker, push(9)) == Refusal.REPLAY


def test_a_frame_once_taken_is_a_replay_after_a_newer_one() -> None:
    taker = receiver()
    old = push(10)
    taker.accept(old)
    taker.accept(push(11))
    assert refusal(taker, old) == Refusal.REPLAY


def test_the_same_frame_once_more_is_a_duplicate() -> None:
    taker = receiver()
    taker.accept(push(10))
    assert refusal(taker, push(10)) == Refusal.DUPLICATE


def test_the_same_counter_with_other_bytes_is_a_replay() -> None:
    taker = receiver()
    taker.accept(push(10))
    assert refusal(taker, push(10, CAPTURE.plaintext)) == Refusal.REPLAY


def test_the_same_frame_with_its_length_spelt_otherwise_is_not_taken_twice() -> None:
    taker = receiver()
    frame = push(10)
    assert frame[10:11] == b"\x81"
    taker.accept(frame)
    assert refusal(taker, frame[:10] + b"\x82\x00" + frame[11:]) == Refusal.REPLAY


def test_a_counter_of_zero_is_taken_once() -> None:
    taker = receiver()
    taker.accept(push(0))
    assert refusal(taker, push(0)) == Refusal.DUPLICATE


def test_a_replay_is_one_after_a_restart_too() -> None:
    taker = receiver()
    taker.accept(push(10))
    restarted = Receiver(AEAD, TITLE, KEYS, taker.state)
    assert refusal(restarted, push(9)) == Refusal.REPLAY


def test_a_duplicate_is_one_after_a_restart_too() -> None:
    taker = receiver()
    taker.accept(push(10))
    restarted = Receiver(AEAD, TITLE, KEYS, taker.state)
    assert refusal(restarted, push(10)) == Refusal.DUPLICATE


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=30))
def test_each_frame_is_taken_once_and_in_order_however_often_it_comes(
    deliveries: list[tuple[int, bool]],
) -> None:
    taker = receiver()
    taken = []
    for counter, retained in deliveries:
        with suppress(RefusedError):
            taken.append(taker.accept(push(counter), retained=retained).counter)
    assert taken == sorted(set(taken))


# --- the counter moves after the tag -------------------------------------------------------------


def test_the_highest_counter_is_kept_after_a_good_frame() -> None:
    taker = receiver()
    taker.accept(push(10))
    assert taker.state.highest == 10


@pytest.mark.parametrize("highest", [None, 10])
def test_a_forged_high_counter_does_not_lock_out_the_true_next_frame(highest: int | None) -> None:
    taker = receiver(highest)
    refusal(taker, envelope(TITLE, 0x30, 0xFFFFFFFF, push(11)[17:]))
    assert taker.accept(push(11)).counter == 11


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(push(12)[:-1] + b"\0", id="forged"),
        pytest.param(push(9), id="replay"),
        pytest.param(push(12)[:-1], id="damaged"),
        pytest.param(envelope(TITLE, 0x20, 12, PLAINTEXT), id="downgrade"),
        pytest.param(APDU, id="other meter"),
        pytest.param(PLAINTEXT, id="plain"),
    ],
)
def test_a_refused_frame_leaves_the_receivers_state_alone(bad: bytes) -> None:
    taker = receiver(highest=10)
    before = taker.state
    refusal(taker, bad)
    assert taker.state == before


def test_keys_that_never_fitted_leave_no_counter() -> None:
    taker = receiver()
    refusal(taker, push(12, keys=make_keys()))
    assert taker.state == ReceiverState()


# --- what a broker kept --------------------------------------------------------------------------


def restarted_after(counter: int) -> Receiver:
    taker = receiver()
    taker.accept(push(counter))
    return Receiver(AEAD, TITLE, KEYS, taker.state)


def test_the_last_frame_kept_by_the_broker_is_given_once_more_after_a_restart() -> None:
    again = restarted_after(10).accept(push(10), retained=True)
    assert (again.plaintext, again.repeated) == (PLAINTEXT, True)


def test_the_kept_frame_is_given_only_once_after_a_restart() -> None:
    taker = restarted_after(10)
    taker.accept(push(10), retained=True)
    assert refusal(taker, push(10), retained=True) == Refusal.DUPLICATE


def test_the_kept_frame_is_not_given_after_a_newer_one_was_taken() -> None:
    taker = restarted_after(10)
    taker.accept(push(11))
    assert refusal(taker, push(11), retained=True) == Refusal.DUPLICATE


def test_a_kept_frame_older_than_the_last_one_is_a_replay() -> None:
    assert refusal(restarted_after(10), push(9), retained=True) == Refusal.REPLAY


def test_a_kept_frame_with_the_last_counter_and_other_bytes_is_a_replay() -> None:
    other = push(10, CAPTURE.plaintext)
    assert refusal(restarted_after(10), other, retained=True) == Refusal.REPLAY


def test_a_forged_kept_frame_does_not_use_up_the_one_showing() -> None:
    taker = restarted_after(10)
    refusal(taker, flipped(push(10), 8 * 30), retained=True)
    assert taker.accept(push(10), retained=True).repeated


def test_a_kept_frame_that_came_while_the_receiver_was_away_is_new() -> None:
    taken = restarted_after(10).accept(push(14), retained=True)
    assert (taken.counter, taken.repeated) == (14, False)


def test_the_first_frame_ever_may_come_from_the_brokers_memory() -> None:
    assert not receiver().accept(push(10), retained=True).repeated


def test_giving_a_kept_frame_once_more_leaves_the_counter_where_it_was() -> None:
    taker = restarted_after(10)
    before = taker.state
    taker.accept(push(10), retained=True)
    assert taker.state == before


# --- the envelope --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 110, 111, 238, 239, 70_000])
def test_an_envelope_of_any_length_is_read_as_it_was_written(size: int) -> None:
    # Behind 5 bytes of security header: the BER length changes its form at 128, 256 and 65536.
    written = GeneralGloCiphering(TITLE, 0x30, 7, bytes(size + 12))
    assert apdu.decode_general_glo_ciphering(apdu.encode_general_glo_ciphering(written)) == written
