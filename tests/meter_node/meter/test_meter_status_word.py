"""The status word and the self-tests behind it, which really find what is broken."""

import json

import pytest

from meter_node.meter.self_test import (
    StoreTest,
    TwiceKept,
    memory_holds,
    patterns_hold,
    program_digest,
)
from meter_node.meter.status_word import Digit, StatusWord

NOW_S = 1_768_215_600
PROGRAM = {"meter.py": b"right", "tariff.py": b"right too"}
PARAMETERS = b'{"demand": {"interval_min": 15}}'


class StuckBit(bytearray):
    """A memory in which one bit of one cell is always off."""

    def __setitem__(self, index, value):  # type: ignore[no-untyped-def]
        super().__setitem__(index, value & 0xEF if index == 777 else value)


class OneCellForTwo(bytearray):
    """A memory whose address line 9 is broken: cells 512 apart are the same one."""

    def __setitem__(self, index, value):  # type: ignore[no-untyped-def]
        super().__setitem__(index & ~512, value)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return super().__getitem__(index & ~512)


def digest(program: dict[str, bytes]) -> str:
    return program_digest(program, program.__getitem__)


def names(word: StatusWord, **results: object) -> list[str]:
    return [event.code.name for event in word.report(NOW_S, **results)]  # type: ignore[arg-type]


def restarted(word: StatusWord) -> StatusWord:
    return StatusWord(json.loads(json.dumps(word.state())))


# --- The self-tests really run


def test_sound_memory_holds() -> None:
    assert memory_holds(TwiceKept(PARAMETERS))


@pytest.mark.parametrize("memory", [StuckBit, OneCellForTwo])
def test_faulty_memory_is_found_and_told(memory: type[bytearray]) -> None:
    held = memory_holds(TwiceKept(PARAMETERS), memory(2048))
    word = StatusWord()
    assert names(word, memory_ok=held) == ["memory_error"]
    assert word.text == "0001000"


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_of_the_parameters_in_memory_is_found(bit: int) -> None:
    kept = TwiceKept(PARAMETERS)
    kept.copy[5] ^= 1 << bit
    assert not memory_holds(kept)


def test_a_flipped_bit_of_the_second_copy_or_of_the_checksum_is_found() -> None:
    second, checksum = TwiceKept(PARAMETERS), TwiceKept(PARAMETERS)
    second.inverted[5] ^= 1
    checksum.checksum = bytes(32)
    assert not second.intact
    assert not checksum.intact


def test_the_same_flip_in_both_copies_is_found_by_the_checksum() -> None:
    kept = TwiceKept(PARAMETERS)
    kept.copy[5] ^= 1
    kept.inverted[5] ^= 1
    assert not kept.intact


def test_a_buffer_is_tested_cell_by_cell() -> None:
    assert patterns_hold(bytearray(1000))


@pytest.mark.parametrize(
    "changed",
    [
        {"meter.py": b"wrong", "tariff.py": b"right too"},
        {"meter.py": b"right"},
        {"meter.py": b"right", "tariff.py": b"right too", "more.py": b""},
        # The same bytes one after the other, cut elsewhere.
        {"meter.p": b"yright", "tariff.py": b"right too"},
    ],
)
def test_a_changed_program_is_found_and_told(changed: dict[str, bytes]) -> None:
    word = StatusWord()
    assert names(word, program_digest=digest(PROGRAM), program_version="1.0") == []
    again = restarted(word)
    found = names(again, program_digest=digest(changed), program_version="1.0")
    assert found == ["program_error"]
    assert again.text == "0010000"


def test_the_order_in_which_files_are_read_is_no_change() -> None:
    backwards = dict(reversed(PROGRAM.items()))
    assert digest(backwards) == digest(PROGRAM)


def test_an_update_is_learnt_and_guarded_from_then_on() -> None:
    word = StatusWord()
    names(word, program_digest="a", program_version="1.0")
    assert names(word, program_digest="b", program_version="1.1") == []
    assert names(restarted(word), program_digest="c", program_version="1.1") == ["program_error"]


@pytest.mark.parametrize(
    ("read", "integrity"), [(b"writteN", "ok"), (b"written", "row 3 missing from index")]
)
def test_a_faulty_store_is_found_and_told(read: bytes, integrity: str) -> None:
    word = StatusWord()
    assert names(word, store_ok=StoreTest(b"written", read, integrity).holds) == ["store_error"]
    assert word.text == "0000010"


def test_a_sound_store_is_no_error() -> None:
    word = StatusWord()
    assert names(word, store_ok=StoreTest(b"written", b"written", "ok").holds) == []
    assert word.text == "0000000"


# --- The word


def test_each_digit_has_its_place_from_the_right() -> None:
    word = StatusWord()
    names(word, store_ok=False, memory_ok=False, program_digest="a")
    names(word, program_digest="b")
    word.advance(magnet=True, cover_open=True, external_alarm=True)
    assert word.text == "1111110"
    # 2⁷ − 1 without the first
    assert word.bits == 126
    assert word.digits == frozenset(Digit)


def test_a_test_that_was_not_run_says_nothing() -> None:
    word = StatusWord()
    assert names(word) == []
    assert word.text == "0000000"


@pytest.mark.parametrize(("source", "text"), [("magnet", "0000100"), ("cover_open", "1000000")])
def test_magnet_and_cover_clear_with_their_source(source: str, text: str) -> None:
    word = StatusWord()
    sources = {"magnet": False, "cover_open": False}
    word.advance(**(sources | {source: True}))
    assert word.text == text
    assert restarted(word).text == text
    word.advance(**sources)
    assert word.text == "0000000"


def test_an_error_is_told_once_and_stays_though_the_next_test_is_good() -> None:
    word = StatusWord()
    names(word, store_ok=False)
    assert names(word, store_ok=False) == []
    assert names(word, store_ok=True) == []
    assert restarted(word).text == "0000010"


def test_the_utility_clears_errors_and_a_test_that_still_fails_tells_anew() -> None:
    word = StatusWord()
    names(word, store_ok=False, memory_ok=False)
    events = word.clear_errors(NOW_S)
    assert [(event.code.name, event.detail) for event in events] == [("errors_cleared", "2, 4")]
    assert word.text == "0000000"
    assert names(word, store_ok=False, memory_ok=True) == ["store_error"]


def test_clearing_leaves_what_is_so_now() -> None:
    word = StatusWord()
    word.advance(magnet=True, cover_open=False)
    names(word, store_ok=False)
    word.clear_errors(NOW_S)
    assert word.text == "0000100"


def test_clearing_without_an_error_is_no_event() -> None:
    assert StatusWord().clear_errors(NOW_S) == []


def test_after_clearing_the_program_as_it_is_is_the_right_one() -> None:
    word = StatusWord()
    names(word, program_digest="a", program_version="1")
    names(word, program_digest="b", program_version="1")
    word.clear_errors(NOW_S)
    assert names(word, program_digest="b", program_version="1") == []
    assert names(word, program_digest="a", program_version="1") == ["program_error"]
