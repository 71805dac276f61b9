"""The M-Bus slave without a line: who is meant, what is answered, repeated, refused."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from mbus_meter import IDENTIFICATION

from meter_node.ports.mbus import table
from meter_node.ports.mbus.address import SecondaryAddress
from meter_node.ports.mbus.link import Deframer, Frame
from meter_node.ports.mbus.records import Record, integer
from meter_node.ports.mbus.slave import REPEATED_FOR_S, Conversation, Readout, Slave

OK = [b"\xe5"]
SND_NKE, SND_UD, REQ_UD1, REQ_UD2 = 0x40, 0x43, 0x4A, 0x4B
FCV, FCB = 0x10, 0x20
FIRST, SECOND = REQ_UD2 | FCV | FCB, REQ_UD2 | FCV
"""Requests whose frame count bit is set, and is not."""
SELECT = 0x52
SELECTED, TEST, BROADCAST = 253, 254, 255
WHO = SecondaryAddress(IDENTIFICATION)


class Bus:
    """A slave at address 5 that tells so many records of ten bytes, each its number."""

    def __init__(self, records: int = 3) -> None:
        self.readouts = 0
        self.groups: list[int] = []
        self.records = records
        self.slave = Slave(WHO, 5, self.read)
        self.conversation = Conversation(self.slave)
        self.now_s = 0.0

    def read(self, group: int) -> Readout | None:
        self.readouts += 1
        self.groups.append(group)
        first = 1000 * self.readouts
        records = [Record((0x03,), integer(first + n, 8)) for n in range(self.records)]
        return Readout(records, 0)

    def short(self, control: int, address: int = 5) -> list[bytes]:
        return self.send(Frame(control, address))

    def long(
        self, ci: int, data: bytes = b"", address: int = 5, control: int = SND_UD
    ) -> list[bytes]:
        return self.send(Frame(control, address, ci, data))

    def send(self, frame: Frame) -> list[bytes]:
        return list(self.conversation.feed(frame.to_bytes(), self.now_s))

    def values(self, control: int, address: int = 5) -> list[int]:
        """The records of an answer, and -1 where it says that more follow."""
        (answer,) = self.short(control, address)
        (frame,) = Deframer().feed(answer)
        assert frame.control == 0x08
        assert frame.ci == 0x72
        rest, found = frame.data[12:], []
        while rest[:2] == b"\x07\x03":
            found.append(int.from_bytes(rest[2:10], "little"))
            rest = rest[10:]
        assert rest in (b"", b"\x1f")
        return found + [-1] * len(rest)


@pytest.fixture
def bus() -> Bus:
    return Bus()


# --- frames ---------------------------------------------------------------------------------------


def test_a_short_frame_has_the_standards_bytes() -> None:
    # REQ_UD2 to address 5: 0x5B + 5 = 0x60.
    assert Frame(0x5B, 5).to_bytes().hex() == "105b056016"


def test_a_long_frame_has_its_length_twice_and_the_sum_of_its_bytes() -> None:
    # 0x53 + 0xFE + 0x51 + 0x01 + 0x7A + 0x08 = 0x225
    frame = Frame(0x53, 0xFE, 0x51, bytes.fromhex("017a08"))
    assert frame.to_bytes().hex() == "68060668" + "53fe51017a08" + "25" + "16"


def test_frames_are_found_in_pieces_and_between_rubbish() -> None:
    wire = b"\x16\x68\x10" + Frame(0x5B, 5).to_bytes() + b"\xe5\x68\x04\x05"
    wire += Frame(0x53, 5, 0x50, b"\x10").to_bytes()
    deframer = Deframer()
    found = [frame for byte in wire for frame in deframer.feed(bytes((byte,)))]
    assert found == [Frame(0x5B, 5), Frame(0x53, 5, 0x50, b"\x10")]


@pytest.mark.parametrize("place", range(9))
def test_a_frame_with_one_bit_changed_is_none(place: int) -> None:
    wire = bytearray(Frame(0x53, 5, 0x51, b"").to_bytes())
    assert len(wire) == 9
    wire[place] ^= 0x04
    assert list(Deframer().feed(bytes(wire) + bytes(300))) == []


def test_a_silence_ends_a_frame_that_had_begun(bus: Bus) -> None:
    assert list(bus.conversation.feed(b"\x68\xfa\xfa\x68\x53", 0.0)) == []
    bus.conversation.silence()
    assert bus.short(SND_NKE) == OK


FRAME_S = 2.0
"""How long a frame may take on that line."""


def test_a_broken_header_silences_the_slave_no_longer_than_a_frame_takes() -> None:
    # FF FF announces 261 bytes: 52 requests of five would be swallowed.
    bus = Bus()
    bus.conversation = Conversation(bus.slave, FRAME_S)
    assert list(bus.conversation.feed(b"\x68\xff\xff\x68\x08", 0.0)) == []
    answers = {}
    for poll in range(1, 60):
        bus.now_s = poll * 0.5
        answers[bus.now_s] = bus.short(SND_NKE)
    assert [len(answer) for time_s, answer in answers.items() if time_s <= FRAME_S] == [0] * 4
    assert all(answer == OK for time_s, answer in answers.items() if time_s > FRAME_S)


def test_requests_that_were_hidden_behind_a_broken_frame_are_not_answered_later() -> None:
    bus = Bus()
    bus.conversation = Conversation(bus.slave, FRAME_S)
    # 68 0A 0A 68: sixteen bytes in all, of which two requests are ten, and the next one has two.
    assert list(bus.conversation.feed(b"\x68\x0a\x0a\x68", 0.0)) == []
    answers = []
    for poll in range(1, 4):
        bus.now_s = poll * 0.3
        answers.append(bus.short(SND_NKE))
    assert answers == [[], [], OK]


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "answer"), [(5, OK), (6, []), (TEST, OK), (BROADCAST, []), (251, [])]
)
def test_only_the_own_address_and_the_test_address_are_answered(
    bus: Bus, address: int, answer: list[bytes]
) -> None:
    assert bus.short(SND_NKE, address) == answer
    assert bus.short(REQ_UD1, address) == answer


@pytest.mark.parametrize("control", [0x08, 0x0B, 0xC0, 0xDB])
def test_what_another_slave_says_is_not_answered(bus: Bus, control: int) -> None:
    assert bus.short(control) == []


@pytest.mark.parametrize(
    ("selection", "is_meant"),
    [
        (WHO.to_bytes(), True),
        (bytes.fromhex("ffffffff ffff ff ff"), True),
        (bytes.fromhex("2301ff1f ffff ff ff"), True),  # 1F FF 01 23
        (bytes.fromhex("2301ff2f ffff ff ff"), False),
        (bytes.fromhex("ffffffff 8e36 ff ff"), True),
        (bytes.fromhex("ffffffff 8eff ff ff"), False),
        (bytes.fromhex("ffffffff ffff 01 ff"), True),
        (bytes.fromhex("ffffffff ffff 02 ff"), False),
        (bytes.fromhex("ffffffff ffff ff 02"), True),
        (bytes.fromhex("ffffffff ffff ff 07"), False),
        (bytes.fromhex("ffffffff ffff ff"), False),
        (bytes.fromhex("ffffffff ffff ff ff 0c7800000000"), False),
    ],
)
def test_a_selection_means_whom_its_wildcards_let_through(
    bus: Bus, selection: bytes, is_meant: bool
) -> None:
    assert bus.long(SELECT, selection, SELECTED) == (OK if is_meant else [])
    assert bool(bus.short(FIRST, SELECTED)) is is_meant


def test_a_selection_of_another_ends_the_own_one(bus: Bus) -> None:
    assert bus.long(SELECT, WHO.to_bytes(), SELECTED) == OK
    assert bus.long(SELECT, b"\x00" * 4 + b"\xff" * 4, SELECTED) == []
    assert bus.short(FIRST, SELECTED) == []


def test_a_reset_of_the_selected_ends_the_selection(bus: Bus) -> None:
    bus.long(SELECT, WHO.to_bytes(), SELECTED)
    assert bus.short(SND_NKE, SELECTED) == OK
    assert bus.short(SND_NKE, SELECTED) == []


# --- readouts -------------------------------------------------------------------------------------


def test_a_readout_of_many_telegrams_is_one_image(bus: Bus) -> None:
    # A telegram has room for 252 - 12 bytes: 23 records of ten bytes and the sign that more follow.
    bus.records = 50
    assert bus.values(FIRST) == [*range(1000, 1023), -1]
    assert bus.values(SECOND) == [*range(1023, 1046), -1]
    assert bus.values(FIRST) == [*range(1046, 1050)]
    assert bus.readouts == 1
    assert bus.values(SECOND)[0] == 2000


def test_an_unchanged_frame_count_bit_asks_for_the_same_again(bus: Bus) -> None:
    bus.records = 30
    first = bus.short(FIRST)
    assert bus.short(FIRST) == first
    assert bus.values(SECOND) == [*range(1023, 1030)]
    assert bus.short(SECOND) == bus.short(SECOND)
    assert bus.readouts == 1


def test_a_master_that_never_changes_the_bit_is_told_anew_after_a_while(bus: Bus) -> None:
    first = bus.short(FIRST)
    bus.now_s = REPEATED_FOR_S - 0.1
    assert bus.short(FIRST) == first
    bus.now_s = REPEATED_FOR_S
    assert bus.values(FIRST) == [2000, 2001, 2002]


def test_nobody_reads_on_where_he_stopped_long_ago(bus: Bus) -> None:
    bus.records = 30
    bus.short(FIRST)
    bus.now_s = REPEATED_FOR_S
    assert bus.values(SECOND)[0] == 2000


def test_the_first_request_after_a_reset_is_new_whatever_its_bit(bus: Bus) -> None:
    bus.records = 30
    bus.short(FIRST)
    bus.short(SND_NKE)
    assert bus.values(FIRST)[0] == 2000


def test_the_bit_is_remembered_apart_for_both_ways_to_the_slave(bus: Bus) -> None:
    assert bus.values(FIRST)[0] == 1000
    bus.long(SELECT, WHO.to_bytes(), SELECTED)
    assert bus.values(FIRST, SELECTED)[0] == 2000
    bus.now_s = 1.0
    assert bus.values(FIRST)[0] == 1000


def access_of(answers: list[bytes]) -> int:
    (answer,) = answers
    return answer[4 + 3 + 8]  # head; control, address, CI; identification


def test_every_telegram_of_a_readout_has_an_access_number_of_its_own_and_a_repeat_the_same(
    bus: Bus,
) -> None:
    bus.records = 50  # 23 a telegram: three telegrams
    requests = (FIRST, FIRST, SECOND, SECOND, FIRST, SECOND)
    first, *others = (access_of(bus.short(control)) for control in requests)
    assert [number - first for number in others] == [0, 1, 1, 2, 3]
    assert bus.readouts == 2


def test_two_masters_never_get_one_access_number_for_two_telegrams(bus: Bus) -> None:
    bus.records = 30
    other = Conversation(bus.slave)
    numbers = []
    for control in (FIRST, SECOND):
        numbers.append(access_of(bus.short(control)))
        numbers.append(access_of(list(other.feed(Frame(control, 5).to_bytes(), 0.0))))
    assert len(set(numbers)) == 4


def test_the_access_number_goes_on_behind_255_with_0(bus: Bus) -> None:
    bus.slave.access = 254
    assert [access_of(bus.short(control)) for control in (FIRST, SECOND)] == [255, 0]


def test_a_meter_that_has_nothing_to_tell_yet_does_not_answer(bus: Bus) -> None:
    bus.slave.read = lambda _: None
    assert bus.short(FIRST) == []


def test_there_is_never_an_alarm(bus: Bus) -> None:
    assert bus.short(REQ_UD1 | FCV) == OK


# --- commands -------------------------------------------------------------------------------------


def test_a_master_sets_the_primary_address(bus: Bus) -> None:
    assert bus.long(0x51, bytes.fromhex("017a07")) == OK
    assert bus.slave.address == 7
    assert bus.short(SND_NKE, 5) == []
    assert bus.short(SND_NKE, 7) == OK


def test_a_command_that_is_repeated_is_done_once(bus: Bus) -> None:
    control = SND_UD | FCV | FCB
    assert bus.long(0x51, bytes.fromhex("017a07"), TEST, control) == OK
    bus.slave.address = 9
    assert bus.long(0x51, bytes.fromhex("017a07"), TEST, control) == OK
    assert bus.slave.address == 9


@pytest.mark.parametrize(
    ("ci", "data"),
    [
        (0x51, "017afb"),  # 251 is nobody's
        (0x51, "0c7912345678"),  # the identification is the meter's own
        (0x51, "017a"),
        (0x51, "017a0506"),
        (0x5C, ""),
        (0xB8, "00"),
        (0xBE, ""),
        (0x50, "1000"),
    ],
)
def test_what_is_not_to_be_had_is_answered_by_an_error_and_changes_nothing(
    bus: Bus, ci: int, data: str
) -> None:
    assert bus.long(ci, bytes.fromhex(data)) == OK
    assert bus.short(FIRST) == [Frame(0x08, 5, 0x70, b"\x01").to_bytes()]
    assert bus.values(SECOND) == [1000, 1001, 1002]
    assert (bus.slave.address, bus.conversation.baudrate) == (5, None)


@pytest.mark.parametrize(("ci", "data"), [(0x51, "017afb"), (0xB7, ""), (0xBF, "")])
def test_a_reset_of_the_link_before_the_readout_does_not_hide_that_something_was_refused(
    bus: Bus, ci: int, data: str
) -> None:
    assert bus.long(ci, bytes.fromhex(data), control=SND_UD | FCV) == OK
    assert bus.short(SND_NKE) == OK
    assert bus.short(FIRST) == [Frame(0x08, 5, 0x70, b"\x01").to_bytes()]
    assert bus.values(SECOND) == [1000, 1001, 1002]


def test_another_command_under_the_same_frame_count_bit_is_no_repetition(bus: Bus) -> None:
    control = SND_UD | FCV
    assert bus.long(0x51, bytes.fromhex("017a07"), TEST, control) == OK
    assert bus.long(0x51, bytes.fromhex("017a08"), TEST, control) == OK
    assert bus.slave.address == 8


def test_what_was_refused_is_not_told_to_who_asks_long_afterwards(bus: Bus) -> None:
    assert bus.long(0xB7) == OK
    bus.now_s = REPEATED_FOR_S
    assert bus.values(FIRST) == [1000, 1001, 1002]


@pytest.mark.parametrize(
    ("ci", "baudrate"),
    [(0xB8, 300), (0xB9, 600), (0xBA, 1200), (0xBB, 2400), (0xBC, 4800), (0xBD, 9600)],
)
def test_a_master_wants_another_rate(bus: Bus, ci: int, baudrate: int) -> None:
    assert bus.long(ci) == OK
    assert bus.conversation.baudrate == baudrate


def test_an_application_reset_chooses_what_is_told_and_begins_anew(bus: Bus) -> None:
    bus.records = 30
    bus.short(FIRST)
    assert bus.long(0x50, b"\x50") == OK
    assert bus.values(SECOND)[0] == 2000
    bus.long(0x50)
    bus.short(FIRST)
    assert bus.groups == [table.ALL, table.INSTANTANEOUS, table.ALL]


def test_a_broadcast_is_obeyed_in_silence(bus: Bus) -> None:
    assert bus.long(0xBD, address=BROADCAST) == []
    assert bus.conversation.baudrate == 9600
    assert bus.short(FIRST, BROADCAST) == []
    assert bus.readouts == 0


# --- survival -------------------------------------------------------------------------------------

HOUR_BYTES = 3600 * 2400 // 11
"""An hour of a line at 2400 Bd, eleven bits a byte."""


def test_an_hour_of_noise_is_answered_only_where_it_is_a_request() -> None:
    bus = Bus()
    noise = random.Random(7)
    tracemalloc.start()
    answers = 0
    for start in range(0, HOUR_BYTES, 64):
        bus.now_s = start / HOUR_BYTES * 3600
        answers += len(list(bus.conversation.feed(noise.randbytes(64), bus.now_s)))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    # A short frame by chance: start, address (5, 254), sum and stop are four bytes of 32 bits.
    assert answers <= 1
    bus.conversation.silence()
    assert bus.short(SND_NKE) == OK


def test_noise_made_of_the_bytes_that_frames_are_made_of_is_survived() -> None:
    bus = Bus()
    noise = random.Random(8)
    for _ in range(20_000):
        piece = bytes(noise.choices(b"\x10\x68\x16\x03\x04\xfa\x53\x5b\x05\xfd\x52\x72", k=16))
        for answer in bus.conversation.feed(piece, 0.0):
            assert answer == b"\xe5" or len(list(Deframer().feed(answer))) == 1
    bus.conversation.silence()
    assert bus.short(SND_NKE) == OK


def test_requests_in_the_midst_of_noise_are_answered_once_each() -> None:
    bus = Bus()
    noise = random.Random(9)
    for _ in range(300):
        # No byte that could begin a frame: what stands before a request must not swallow it.
        rubbish = bytes(byte for byte in noise.randbytes(40) if byte not in b"\x10\x68")
        wire = rubbish + Frame(SND_NKE, 5).to_bytes()
        assert list(bus.conversation.feed(wire, 0.0)) == OK
