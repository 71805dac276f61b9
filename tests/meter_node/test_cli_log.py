"""The log: whoever does not read it makes nobody wait, and whoever does reads what was lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from meter_node import cli
from meter_node.log_queue import MOST_BYTES, Piece, QueuedLog, Waiting

LINE = b"x" * 63 + b"\n"
HELD = 131_072
"""More than a terminal or a pipe holds of what nobody reads."""
TELLS = """
import logging, sys
from meter_node import cli
cli._log(False)
for number in range(int(sys.argv[1])):
    logging.info("line %05d", number)
"""


def drained(waiting: Waiting) -> list[bytes]:
    told = []
    while (piece := waiting.take()) is not None:
        told.append(piece.told)
    return told


def test_what_waits_comes_in_the_order_in_which_it_was_told() -> None:
    waiting = Waiting()
    for number in range(3):
        waiting.put(b"%d\n" % number)
    assert drained(waiting) == [b"0\n", b"1\n", b"2\n"]


def test_what_there_is_no_room_for_is_counted_and_told_in_its_place() -> None:
    waiting = Waiting(most_bytes=4)
    for number in range(5):
        waiting.put(b"%d\n" % number)  # two lines have room
    assert waiting.take() == Piece(b"0\n")
    waiting.put(b"a\nb\n")
    assert drained(waiting) == [b"1\n", b"... 3 lines of the log lost\na\nb\n"]


def test_what_was_lost_last_is_told_though_nothing_follows() -> None:
    waiting = Waiting(most_bytes=2)
    waiting.put(b"0\n")
    waiting.put(b"1\n")
    assert drained(waiting) == [b"0\n", b"... 1 line of the log lost\n"]


def test_half_of_the_room_is_free_before_lines_are_taken_again() -> None:
    waiting = Waiting(most_bytes=8)
    for number in range(4):
        waiting.put(b"%d\n" % number)
    for number in range(4, 7):  # 6 bytes wait, then 4, then 2
        waiting.take()
        waiting.put(b"%d\n" % number)
    assert drained(waiting) == [b"3\n", b"... 1 line of the log lost\n5\n", b"6\n"]


def test_what_could_not_be_written_is_counted_with_what_was_lost_before_it() -> None:
    waiting = Waiting()
    waiting.put(b"next\n")
    waiting.lose(Piece(b"a\nb\n", lost=3))
    assert drained(waiting) == [b"... 5 lines of the log lost\nnext\n"]


def test_that_something_could_not_be_written_waits_for_the_next_line() -> None:
    waiting = Waiting()
    waiting.lose(Piece(b"a\n"))
    assert waiting.take() is None
    waiting.put(b"next\n")
    assert drained(waiting) == [b"... 1 line of the log lost\nnext\n"]


@dataclass(frozen=True)
class Way:
    """A log, and where it is read."""

    reader: int
    writer: int
    queue: QueuedLog


@pytest.fixture(params=[os.openpty, os.pipe], ids=["terminal", "pipe"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    pair: Callable[[], tuple[int, int]] = request.param
    reader, writer = pair()
    if os.isatty(writer):
        tty.setraw(writer)
    queue = QueuedLog(writer)
    yield Way(reader, writer, queue)
    os.close(reader)
    queue.end(within_s=60)
    queue._thread.join()
    os.close(writer)


def read_until(reader: int, last: bytes) -> bytes:
    told = b""
    while not told.endswith(last):
        told += os.read(reader, HELD)
    return told


def test_a_log_that_nobody_reads_makes_nobody_wait_and_what_is_lost_is_told(way: Way) -> None:
    written = (MOST_BYTES + HELD) // len(LINE) + 1000
    for _ in range(written):
        way.queue.write(LINE)
    told = read_until(way.reader, b" lost\n")
    *whole, note = told.splitlines(keepends=True)
    assert set(whole) == {LINE}
    assert note == b"... %d lines of the log lost\n" % (written - len(whole))
    way.queue.write(b"heard again\n")
    assert read_until(way.reader, b"\n") == b"heard again\n"
    assert os.get_blocking(way.writer), "others print there, and know nothing of it"


def test_a_burst_that_is_read_slowly_arrives_whole(way: Way) -> None:
    for number in range(10_000):
        way.queue.write(b"line %05d\n" % number)
    told = read_until(way.reader, b"line 09999\n")
    assert told == b"".join(b"line %05d\n" % number for number in range(10_000))


def test_a_log_that_nobody_reads_ends_all_the_same(way: Way) -> None:
    way.queue.write(b"x" * HELD)
    way.queue.end(within_s=0.01)
    way.queue.end(within_s=60)  # it was asked to end already


def test_a_log_on_a_terminal_that_was_hung_up_ends_at_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    queue = QueuedLog(writer)
    queue.write(LINE)
    queue.end()
    os.close(writer)


def test_a_program_that_ends_has_written_its_log() -> None:
    asked = subprocess.Popen(
        [sys.executable, "-c", TELLS, "5000"], stderr=subprocess.PIPE, text=True
    )
    assert asked.stderr is not None
    with asked, asked.stderr as log:
        lines = log.read().splitlines()
    assert [line[-10:] for line in lines] == [f"line {number:05d}" for number in range(5000)]


def test_with_standard_error_closed_the_log_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    queue, log = cli._log_queue()
    log.write("nobody reads this\n")
    queue.end()


def test_what_standard_error_has_no_letters_for_is_told_in_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stderr", file)
        queue, log = cli._log_queue()
        log.write("målt\n")
        queue.end()
    assert path.read_bytes() == b"m\\xe5lt\n"
