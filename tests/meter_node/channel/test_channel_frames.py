"""What stands on a topic or a line: one APDU, or the name of what it is instead."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import apdu, frames, hdlc, kamstrup_v0001, lists
from meter_node.channel.apdu import ApduError
from meter_node.channel.frames import DamagedError, ForeignError
from meter_node.channel.reading import ListError
from meter_node.channel.security import Keys, Receiver, ReceiverState, RefusedError
from meter_node.ciphering import PycryptodomeAead
from tests.meter_node.channel.captures import CAPTURES, DANISH, DUMMY_KEYS, KAIFA, SWEDISH
from tests.meter_node.channel.test_channel_kamstrup import one_phase_push
from tests.meter_node.channel.test_channel_meter_node_v1 import full_push

CAPTURE = CAPTURES[DANISH]
PROFILE = kamstrup_v0001.SCALER_PROFILES["energy_1_wh"]


# --- one APDU ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DANISH, DUMMY_KEYS, SWEDISH])
def test_the_apdu_of_a_real_frame_stands_behind_its_llc_header(name: str) -> None:
    assert frames.apdu_of(CAPTURES[name].data) == CAPTURES[name].apdu


@pytest.mark.parametrize("name", [DANISH, SWEDISH])
def test_a_bare_apdu_is_taken_as_it_is(name: str) -> None:
    assert frames.apdu_of(CAPTURES[name].apdu) == CAPTURES[name].apdu


def test_the_poll_bit_makes_no_difference() -> None:
    frame = hdlc.decode(CAPTURE.data)
    without = hdlc.Frame(frame.destination, frame.source, 0x03, frame.information)
    assert frames.apdu_of(hdlc.encode(without)) == CAPTURE.apdu


def test_an_hdlc_frame_of_another_kind_is_named_by_its_control() -> None:
    snrm = hdlc.encode(hdlc.Frame(b"\x03", b"\x21", 0x93, b""))
    with pytest.raises(ForeignError, match="control 0x93"):
        frames.apdu_of(snrm)


def test_an_hdlc_frame_to_a_server_is_no_push() -> None:
    request = hdlc.encode(hdlc.Frame(b"\x03", b"\x21", 0x13, b"\xe6\xe6\x00" + CAPTURE.apdu[:50]))
    with pytest.raises(ForeignError, match="without the LLC header"):
        frames.apdu_of(request)


def test_an_hdlc_frame_with_an_empty_apdu_is_no_push() -> None:
    hollow = hdlc.encode(hdlc.Frame(b"\x2b", b"\x21", 0x13, b"\xe6\xe7\x00"))
    with pytest.raises(ForeignError, match="nothing behind its LLC header"):
        frames.apdu_of(hollow)


def test_an_empty_message_is_damaged() -> None:
    with pytest.raises(DamagedError, match="empty"):
        frames.apdu_of(b"")


@pytest.mark.parametrize("tag", [0xDD, 0xDF])
def test_another_kind_of_ciphering_is_named(tag: int) -> None:
    with pytest.raises(ForeignError, match="general-ciphering"):
        frames.apdu_of(bytes([tag]) + CAPTURE.apdu[1:])


def test_an_m_bus_frame_of_a_maker_nobody_knows_is_still_named() -> None:
    with pytest.raises(ForeignError, match=r"^an M-Bus frame \(EN 13757\), which"):
        frames.apdu_of(CAPTURES[KAIFA].data.replace(b"KFM", b"XYZ"))


def test_bytes_of_no_known_protocol_are_shown_by_their_beginning() -> None:
    with pytest.raises(ForeignError, match="begins with 01 02 03 04"):
        frames.apdu_of(bytes.fromhex("0102030405"))


@pytest.mark.parametrize(
    ("title", "maker"),
    [
        (bytes.fromhex(CAPTURE.expected["system_title"]), "Kamstrup"),
        (bytes.fromhex(CAPTURES[KAIFA].expected["system_title"]), "Kaifa"),
        (b"XYZ\0\0\0\0\x01", None),
    ],
)
def test_a_maker_is_known_by_the_first_letters_of_the_title(
    title: bytes, maker: str | None
) -> None:
    assert frames.maker(title) == maker


def test_a_real_envelope_is_read_without_a_key() -> None:
    sealed = apdu.decode_general_glo_ciphering(CAPTURE.apdu)
    assert {
        "system_title": sealed.system_title.hex(),
        "sc": sealed.security_control,
        "ic": sealed.invocation_counter,
    }.items() <= CAPTURE.expected.items()


def test_a_real_envelope_is_written_as_it_was_read() -> None:
    sealed = apdu.decode_general_glo_ciphering(CAPTURE.apdu)
    assert apdu.encode_general_glo_ciphering(sealed) == CAPTURE.apdu


def test_a_notification_without_a_time_is_read() -> None:
    read = apdu.decode_data_notification(bytes.fromhex("0F 00000007 00 11 05"))
    assert (read.invoke_id, read.time, read.body) == (7, None, 5)


def test_a_notification_cut_anywhere_is_an_apdu_error() -> None:
    for end in range(len(CAPTURE.plaintext)):
        with pytest.raises(ApduError):
            apdu.decode_data_notification(CAPTURE.plaintext[:end])


def test_a_notification_with_a_byte_more_is_an_apdu_error() -> None:
    with pytest.raises(ApduError, match="left over"):
        apdu.decode_data_notification(CAPTURE.plaintext + b"\0")


# --- damage of every kind ------------------------------------------------------------------------


def receiver() -> Receiver:
    """Return a receiver that goes on one frame before the real one."""
    keys = Keys(CAPTURE.encryption_key, CAPTURE.authentication_key)
    title = bytes.fromhex(CAPTURE.expected["system_title"])
    return Receiver(PycryptodomeAead(), title, keys, ReceiverState(CAPTURE.expected["ic"] - 1))


def outcome(message: bytes) -> str:
    """Go the whole way from a message to a reading, as a display does; return how it ended."""
    try:
        data = frames.apdu_of(message)
        if data[0] == apdu.GENERAL_GLO_CIPHERING:
            data = receiver().accept(data).plaintext
        reading = lists.read(apdu.decode_data_notification(data), PROFILE)
    except (ForeignError, DamagedError, RefusedError, ApduError, ListError) as error:
        return type(error).__name__
    assert all(isinstance(value, int | float) for value in reading.values.values())
    assert reading.time is None or reading.time.utc().tzinfo is UTC
    return "reading"


INTERESTING = (0x00, 0x01, 0x02, 0x09, 0x0C, 0x0F, 0x7E, 0x7F, 0x80, 0x81, 0x84, 0xFF)


def mutant(chance: random.Random, base: bytes, others: list[bytes]) -> bytes:
    """Return the bytes with one to four changes of the kinds that lines and attackers make.

    Half of them keep every byte in its place, so that what stands deep inside is reached.
    """
    data = bytearray(base)
    kinds = chance.choice((2, 7))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randrange(1, 12))
        match chance.randrange(kinds):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.choice(INTERESTING)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end]
            case 4:
                data[at:at] = bytes(chance.choices(INTERESTING, k=3))
            case 5:
                donor = chance.choice(others)
                start = chance.randrange(len(donor))
                data[at:end] = donor[start : start + end - at]
            case _ if at > 1:
                del data[at:]
    return bytes(data)


PLAIN = [
    CAPTURES[DANISH].plaintext,
    CAPTURES[SWEDISH].plaintext,
    one_phase_push(),
    full_push(),
    full_push(),
]


def test_twenty_thousand_mutants_end_in_a_reading_or_in_a_documented_refusal() -> None:
    chance = random.Random(382)
    ended: Counter[str] = Counter()
    for number in range(20_000):
        altered = mutant(chance, chance.choice(PLAIN), PLAIN)
        if number % 4 == 0:  # in a frame whose check sequences fit, as a forger would send it
            information = (hdlc.LLC_TO_CLIENT + altered)[:2000]
            altered = hdlc.encode(hdlc.Frame(b"\x2b", b"\x21", hdlc.UI, information))
        ended[outcome(altered)] += 1
    # Each stage was reached, or the mutants would prove nothing.
    assert set(ended) >= {"ForeignError", "ApduError", "ListError", "reading"}
    assert min(ended["ApduError"], ended["ListError"], ended["reading"]) > 500


def test_no_mutant_of_a_ciphered_frame_gives_a_reading() -> None:
    chance = random.Random(162)
    wires = [CAPTURE.data, CAPTURE.apdu, CAPTURES[DUMMY_KEYS].apdu]
    ended: Counter[str] = Counter()
    for number in range(4_000):
        base = wires[number % 2]
        altered = mutant(chance, base, wires)
        if altered != base:
            ended[outcome(altered)] += 1
    assert set(ended) == {"ForeignError", "DamagedError", "RefusedError"}


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_reading_or_in_a_documented_refusal(data: bytes) -> None:
    assert outcome(data)


@given(st.binary(max_size=200))
def test_any_list_in_a_good_notification_ends_in_a_documented_refusal(body: bytes) -> None:
    assert outcome(CAPTURES[SWEDISH].plaintext[:18] + body)
