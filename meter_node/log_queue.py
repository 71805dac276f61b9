"""The log's way out: who logs never waits, and what is lost is counted and told.

A terminal or pipe makes writers wait while nobody reads it; here a thread of its own waits. Must
not know what is logged, nor by whom.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Buffer
from dataclasses import dataclass
from io import RawIOBase
from typing import override

MOST_BYTES = 2**20
"""So much waits: some ten thousand lines."""
ENDS_WITHIN_S = 3.0
"""At the end what waits has so long to be read."""


@dataclass(slots=True)
class Piece:
    """Whole lines, and how many were lost before them."""

    data: bytes
    lost: int = 0

    @property
    def told(self) -> bytes:
        """It, and before it in words what was lost."""
        if not self.lost:
            return self.data
        lines = "line" if self.lost == 1 else "lines"
        return f"... {self.lost} {lines} of the log lost\n".encode("ascii") + self.data


class Waiting:
    """What waits to be written, and where in it something was lost. Pure.

    Where it is full, what comes is lost, until half of it is free again: so that is told once and
    not with every line.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing waits."""
        self._most = most_bytes
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._is_full = False
        self._lost = self._unwritten = 0

    def put(self, data: bytes) -> None:
        """Have it wait behind the others, or be lost. It may go beyond what there is room for."""
        if self._is_full:
            self._lost += _lines(data)
            return
        self._pieces.append(Piece(data, self._lost + self._unwritten))
        self._lost = self._unwritten = 0
        self._size += len(data)
        self._is_full = self._size >= self._most

    def take(self) -> Piece | None:
        """Return what comes next, without a line where only that some were lost is to be told."""
        if self._pieces:
            piece = self._pieces.popleft()
            self._size -= len(piece.data)
            self._is_full = self._is_full and self._size > self._most // 2
            return piece
        lost, self._lost = self._lost, 0
        return Piece(b"", lost) if lost else None

    def lose(self, piece: Piece) -> None:
        """Count what could not be written; it is told with what comes next, not before."""
        lost = piece.lost + _lines(piece.data)
        if self._pieces:
            self._pieces[0].lost += lost
        else:
            self._unwritten += lost


def _lines(data: bytes) -> int:
    return data.count(b"\n")


class QueuedLog(RawIOBase):
    """A stream that takes all at once; a thread writes it to a descriptor.

    The thread ends with the process, however long it waits.
    """

    name = "log"

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor, which stays open."""
        self._descriptor = descriptor
        self._waiting = Waiting()
        self._changed = threading.Condition()
        self._ends_s: float | None = None
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        self._thread.start()

    @override
    def write(self, data: Buffer, /) -> int:
        """Have whole lines written, some time or never."""
        piece = bytes(data)
        with self._changed:
            self._waiting.put(piece)
            self._changed.notify_all()
        return len(piece)

    @override
    def writable(self) -> bool:
        """Always."""
        return True

    @override
    def isatty(self) -> bool:
        """Whether it goes to a terminal."""
        return os.isatty(self._descriptor)

    def end(self, within_s: float = ENDS_WITHIN_S) -> None:
        """Return when all is written, or so long after this was first called; take no more."""
        with self._changed:
            if self._ends_s is None:
                self._ends_s = time.monotonic() + within_s
            self._changed.notify_all()
        self._thread.join(max(self._ends_s - time.monotonic(), 0))

    def _write_on(self) -> None:
        while (piece := self._next()) is not None:
            try:
                _write_all(self._descriptor, piece.told)
            except OSError:
                # A full disk, a terminal that was hung up: there is nowhere else to tell it.
                with self._changed:
                    self._waiting.lose(piece)

    def _next(self) -> Piece | None:
        """Return what is to be written, once there is something; None: it has ended."""
        with self._changed:
            while (piece := self._waiting.take()) is None and self._ends_s is None:
                self._changed.wait()
            return piece


def _write_all(descriptor: int, data: bytes) -> None:
    """Write it however long that takes. Raises OSError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # whoever shares it had it not wait
            select.select([], [descriptor], [])
