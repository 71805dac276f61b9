"""Wireless M-Bus telegrams, against captures and the standards' examples."""

from __future__ import annotations

import pytest
from Crypto.Cipher import AES

from meter_node.ports.mbus.address import SecondaryAddress
from meter_node.ports.mbus.records import Record, integer
from meter_node.ports.wmbus import frames, telegram

# What a real OMNIPOWER sent, after its deciphering by others (the project wmbusmeters tests its
# driver with it): 7.94 kWh, 3 W. A long telegram and a compact one.
LONG = "78 0404 1A030000 04843C 00000000 042B 03000000 04AB3C 00000000"
LONG_CHECK = "878C"
COMPACT = "79 138C CCFB 1A030000 00000000 03000000 00000000"
OMNIPOWER = [
    Record((0x04,), integer(794, 4)),
    Record((0x04, 0x3C), integer(0, 4)),
    Record((0x2B,), integer(3, 4)),
    Record((0x2B, 0x3C), integer(0, 4)),
]
# EN 13757-3, table P.1 (a gas meter), with its check sequences of frame format A.
GAS = SecondaryAddress("12345678", "ELS", 0x33, 0x03)
GAS_KEY = bytes.fromhex("0102030405060708090A0B0C0D0E0F11")
GAS_DATA = bytes.fromhex("0C1427048502 046D32371F15 02FD170000")
GAS_FRAME = bytes.fromhex(
    "2E449315785634123303 3363"
    "7A2A0020055923C95AAA26D1B2E7493B 2A8B"
    "013EC4A6F6D3529B520EDFF0EA6DEFC9 55B2"
    "9D6D69EBF3 EC8A"
)
WHO = SecondaryAddress("11000123")
KEY = bytes(range(16))


def test_the_long_frame_is_the_real_meters() -> None:
    assert telegram.full(OMNIPOWER) == bytes.fromhex(LONG)


def test_the_check_sequence_is_the_real_meters() -> None:
    assert frames.check_sequence(bytes.fromhex(LONG)).to_bytes(2, "little").hex() == "878c"


def test_the_compact_frame_is_the_real_meters() -> None:
    assert telegram.compact(OMNIPOWER) == bytes.fromhex(COMPACT)


def test_security_profile_a_in_frame_format_a_is_the_standards_example() -> None:
    # Its plaintext was filled up with 2F behind one more than needed: two whole blocks either way.
    body = telegram.security_profile_a(GAS, GAS_KEY, 0x2A, 0, GAS_DATA)
    assert frames.format_a(body) == GAS_FRAME


def test_the_extended_link_layer_says_which_session_and_ciphers_from_the_check_sequence_on() -> (
    None
):
    payload = bytes.fromhex(LONG)
    body = telegram.extended_link(WHO, KEY, 0x1ABCDEF, payload)
    # EN 13757-4: AES-CTR is 1 in the three highest bits of the session number.
    session = (1 << 29 | 0x1ABCDEF).to_bytes(4, "little")
    address = bytes.fromhex("8e36 23010011 01 02")
    assert body[:9] == b"\x44" + address
    assert body[9:12] == bytes((0x8D, 0x20, 0xEF))
    assert body[12:16] == session
    # Initial vector: address, communication control, session number, frame 0, block 0.
    block = AES.new(KEY, AES.MODE_ECB)
    vector = address + b"\x20" + session + b"\x00\x00"
    stream = b"".join(block.encrypt(vector + bytes((n,))) for n in range(3))
    plain = bytes(a ^ b for a, b in zip(body[16:], stream, strict=False))
    assert plain == bytes.fromhex(LONG_CHECK) + payload


def test_telegrams_that_say_the_same_have_no_byte_of_their_cipher_stream_in_common() -> None:
    made = [telegram.extended_link(WHO, KEY, number, bytes(64)) for number in range(1000)]
    assert len({one[18:34] for one in made}) == 1000


def test_format_b_has_one_check_sequence_for_a_short_frame() -> None:
    body = bytes(range(40))
    frame = frames.format_b(body)
    assert frame[0] == 40 + 2
    assert frame[1:41] == body
    assert frame[41:] == frames.check_sequence(frame[:41]).to_bytes(2)


def test_format_b_has_a_second_one_behind_128_bytes() -> None:
    body = bytes(range(200))
    frame = frames.format_b(body)
    assert frame[0] == 200 + 4
    assert frame[126:128] == frames.check_sequence(frame[:126]).to_bytes(2)
    assert frame[-2:] == frames.check_sequence(frame[128:-2]).to_bytes(2)
    assert frame[1:126] + frame[128:-2] == body


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        frames.format_a(bytes(256))
    with pytest.raises(ValueError, match="252 bytes"):
        frames.format_b(bytes(252))
    with pytest.raises(ValueError, match="16 blocks"):
        telegram.security_profile_a(WHO, KEY, 1, 0, bytes(239))
