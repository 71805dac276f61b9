"""The M-Bus slave: who is meant, what is answered, what is repeated (EN 13757-2, -3). Pure.

Must not know the meter, nor what carries the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from . import table
from .address import SecondaryAddress
from .link import ACKNOWLEDGED, MOST_USER_DATA, Deframer, Frame
from .records import Record, long_header, telegrams

HIGHEST_PRIMARY = 250
SELECTED, TEST, BROADCAST = 253, 254, 255
"""Addresses: of who is selected, of whoever there is, of all without an answer."""
REPEATED_FOR_S = 15.0
"""So long an unchanged frame count bit means "again": masters that never change it, of which there
are many, would be told the same for ever."""

_FROM_MASTER, _DIRECTION = 0x40, 0x80
_FCV, _FUNCTION = 0x10, 0x0F
_RSP_UD = 0x08
_RESET, _DATA, _SELECT = 0x50, 0x51, 0x52
_VARIABLE_DATA, _ERROR = 0x72, 0x70
_UNKNOWN_CI = 1
"""The code of an application error: what was sent is not to be had here."""
BAUDRATES: Mapping[int, int] = {
    0xB8: 300,
    0xB9: 600,
    0xBA: 1200,
    0xBB: 2400,
    0xBC: 4800,
    0xBD: 9600,
}
"""By the CI that wants one."""
_NEW_ADDRESS = bytes((0x01, 0x7A))
"""DIF and VIF of the record that sets a primary address; the address follows."""
_HEADER_LENGTH = 12


class _Ask(IntEnum):
    """What a master wants: the function in the control field."""

    SND_NKE = 0x0
    SND_UD = 0x3
    REQ_UD1 = 0xA
    REQ_UD2 = 0xB


@dataclass(frozen=True, slots=True)
class Readout:
    """What the meter tells, at one instant."""

    records: Sequence[Record]
    status: int


@dataclass(slots=True)
class Slave:
    """One meter on the bus; every line that leads to it shares this."""

    who: SecondaryAddress
    address: int
    read: Callable[[int], Readout | None]
    """Tells what belongs to a group; None: nothing can be told yet."""
    access: int = 0
    """The number of the last request for data; one that is repeated keeps its own (EN 13757-3: the
    same number is the same telegram again)."""


@dataclass(slots=True)
class _Link:
    """What is remembered of one address: the frame count bit, and what was answered to it."""

    frame: Frame | None = None
    answer: bytes = b""
    answered_s: float = 0.0

    def repeats(self, frame: Frame, now_s: float) -> bool:
        """Whether a master asks for the last answer again."""
        return (
            bool(frame.control & _FCV)
            and frame == self.frame
            and now_s - self.answered_s < REPEATED_FOR_S
        )


class Conversation:
    """A slave with one line's master: bytes in, answers out."""

    def __init__(self, slave: Slave, frame_s: float = math.inf) -> None:
        """Nobody is selected, nothing was answered; ``frame_s``: how long a frame may take."""
        self._slave = slave
        self._deframer = Deframer(frame_s)
        self._selected = False
        self._links = {True: _Link(), False: _Link()}
        """By whether it is reached through a selection."""
        self._pages: list[bytes] = []
        """What of a readout is still to be told, and its status."""
        self._status = 0
        self._group = table.ALL
        self._refused_s: float | None = None
        """When something was wanted that is not to be had, until it is told or nobody asks."""
        self.heard = 0
        """Good frames that meant this meter."""
        self.baudrate: int | None = None
        """What a master wants the line to have; None: none wanted another."""

    def feed(self, data: bytes, now_s: float) -> Iterator[bytes]:
        """Take bytes; yield answers, each of which is to be sent before the next is asked for."""
        for frame in self._deframer.feed(data, now_s):
            answer = self._take(frame, now_s)
            if answer:
                yield answer

    def pace(self, frame_s: float) -> None:
        """Let a frame take so long from now on."""
        self._deframer.frame_s = frame_s

    def silence(self) -> None:
        """The line was silent: a frame that had begun will not end."""
        self._deframer.silence()

    def _take(self, frame: Frame, now_s: float) -> bytes:
        if not frame.control & _FROM_MASTER or frame.control & _DIRECTION:
            return b""  # another slave's
        through_selection = frame.address == SELECTED
        is_user_data = frame.control & _FUNCTION == _Ask.SND_UD
        if through_selection and is_user_data and frame.ci == _SELECT:
            return self._select(frame)
        if not (
            frame.address in (self._slave.address, TEST, BROADCAST)
            or (through_selection and self._selected)
        ):
            return b""
        self.heard += 1
        link = self._links[through_selection]
        if link.repeats(frame, now_s):
            answer = link.answer
        else:
            if now_s - link.answered_s >= REPEATED_FOR_S:
                self._pages = []  # nobody reads on where he stopped so long ago
            answer = self._answer(frame, now_s)
            link.frame = frame if frame.control & _FCV else None
            link.answer, link.answered_s = answer, now_s
        return b"" if frame.address == BROADCAST else answer

    def _select(self, frame: Frame) -> bytes:
        self._selected = self._slave.who.matches(frame.data)
        if not self._selected:
            return b""
        self.heard += 1
        self._links[True] = _Link()
        self._pages = []
        return ACKNOWLEDGED

    def _answer(self, frame: Frame, now_s: float) -> bytes:
        match frame.control & _FUNCTION, frame.ci:
            case _Ask.SND_NKE, None:
                return self._begin_anew(frame)
            case _Ask.SND_UD, int(ci):
                self._refused_s = None if self._do(ci, frame.data) else now_s
                return ACKNOWLEDGED
            case _Ask.REQ_UD1, None:  # there is never an alarm to tell
                return ACKNOWLEDGED
            case _Ask.REQ_UD2, None if frame.address != BROADCAST:
                self._slave.access += 1
                return self._refusal(now_s) or self._next_page()
        return b""

    def _begin_anew(self, frame: Frame) -> bytes:
        # Of the link, not of what was wanted: masters reset it before each readout.
        self._pages, self._group = [], table.ALL
        if frame.address in (SELECTED, BROADCAST):
            self._selected = False
        return ACKNOWLEDGED

    def _do(self, ci: int, data: bytes) -> bool:
        """Do what is wanted; return whether that is to be had here."""
        if ci in BAUDRATES and not data:
            self.baudrate = BAUDRATES[ci]
        elif ci == _RESET and len(data) <= 1:
            self._group = data[0] >> 4 if data else table.ALL
            self._pages = []
        elif ci == _DATA and data[:2] == _NEW_ADDRESS and _is_primary(data[2:]):
            self._slave.address = data[2]
        else:
            return False
        return True

    def _refusal(self, now_s: float) -> bytes:
        """Tell once that something was not to be had, whoever wanted it being still there."""
        refused_s, self._refused_s = self._refused_s, None
        if refused_s is None or now_s - refused_s >= REPEATED_FOR_S:
            return b""
        return self._respond(_ERROR, bytes((_UNKNOWN_CI,)))

    def _next_page(self) -> bytes:
        if not self._pages:
            readout = self._slave.read(self._group)
            if readout is None:
                return b""
            self._status = readout.status
            self._pages = telegrams(readout.records, MOST_USER_DATA - _HEADER_LENGTH)
        header = long_header(self._slave.who, self._slave.access, self._status)
        return self._respond(_VARIABLE_DATA, header + self._pages.pop(0))

    def _respond(self, ci: int, data: bytes) -> bytes:
        return Frame(_RSP_UD, self._slave.address, ci, data).to_bytes()


def _is_primary(data: bytes) -> bool:
    return len(data) == 1 and data[0] <= HIGHEST_PRIMARY
