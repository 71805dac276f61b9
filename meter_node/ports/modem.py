"""A modem with AT commands (ITU-T V.250): calls are answered and hung up; the core is sans-I/O.

Must not know what is spoken in a call.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from .conversation import LOOK_S, Line, LineError, Server, Settled, answer
from .loop_share import LoopShare

_LOGGER = logging.getLogger(__name__)

INITIALISATION = ("ATZ", "ATE0", "ATV1", "ATS0=0")
"""As it was stored, no echo, results as words, answering is ours."""
COMMAND_S = 5.0
ANSWER_S = 60.0
GUARD_S = 1.1
"""Silence around ``+++``: the modem's own register S12 is 1 s."""
CARRIER_S = 1.0
"""A silence of so long behind ``NO CARRIER`` tells it from data that reads the same."""
LOOK_EVERY_S = 600.0
HANG_UP_AFTER_S = 5.0
MOST_ESCAPES = 3
_LONGEST_LINE = 256
_NO_CARRIER = re.compile(rb"\r\nNO CARRIER\r\n(\r\nRING\r\n)*\Z")


class ModemError(LineError):
    """The modem does not do what it should; the text says what."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A call was answered; what follows is data."""

    result: str


@dataclass(frozen=True, slots=True)
class Data:
    """What the caller sent."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The call is over."""

    reason: str


Event = Connected | Data | Disconnected


class _State(Enum):
    INITIALISING = auto()
    WAITING = auto()
    LOOKING = auto()
    ANSWERING = auto()
    ONLINE = auto()
    GUARDING = auto()
    ESCAPING = auto()
    HANGING_UP = auto()


class Modem:
    """The modem's states; time (any steady clock, s) comes as an argument."""

    def __init__(self, commands: Sequence[str] = ()) -> None:
        """``commands`` are sent after the usual ones: a SIM's PIN, a bearer for data calls."""
        self._commands = (*INITIALISATION, *commands)
        self._state = _State.INITIALISING
        self._pending: deque[str] = deque()
        self._escapes = 0
        self._in_call = False
        self._ringing = False
        self._buffer = bytearray()
        self._tail = b""
        self._skip_line_feed = False
        self._to_send = bytearray()
        self.deadline_s: float | None = None
        """When ``poll`` is due."""

    @property
    def waiting(self) -> bool:
        """Initialised and ready for a call."""
        return self._state is _State.WAITING

    @property
    def online(self) -> bool:
        """In a call: what is sent goes to the caller."""
        return self._state is _State.ONLINE

    def take(self) -> bytes:
        """Return what to send to the modem now."""
        data = bytes(self._to_send)
        self._to_send.clear()
        return data

    def start(self, now_s: float) -> None:
        """Initialise; also after each call, since a modem may have been exchanged meanwhile."""
        self._escapes = 0
        self._in_call = False
        self._initialise(now_s)

    def hang_up(self, now_s: float) -> None:
        """End the call, where there is one."""
        if self.online:
            self._escapes = 0
            self._guard(now_s)

    def feed(self, data: bytes, now_s: float) -> list[Event]:
        """Take what came from the modem. Raises ModemError."""
        if self.online:
            return self._online(data, now_s)
        self._buffer += data
        events: list[Event] = []
        while (line := self._line()) is not None:
            events += self._result(line, now_s)
            if self.online:
                rest, self._buffer = bytes(self._buffer), bytearray()
                return events + self._online(rest, now_s)
        return events

    def poll(self, now_s: float) -> list[Event]:
        """Go on where time is up. Raises ModemError."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return []
        match self._state:
            case _State.ONLINE:
                return self._over("NO CARRIER", now_s)
            case _State.WAITING:
                self._go(_State.LOOKING, now_s + COMMAND_S, "AT")
            case _State.GUARDING:
                self._buffer.clear()
                self._go(_State.ESCAPING, now_s + GUARD_S + COMMAND_S)
                self._to_send += b"+++"
            case _State.ANSWERING:
                self._to_send += b"\r"  # any character ends the attempt
                self._initialise(now_s)
            case _:
                self._unanswered(now_s)
        return []

    # --- states ----------------------------------------------------------------------------------

    def _go(self, state: _State, deadline_s: float | None, command: str = "") -> None:
        self._state = state
        self.deadline_s = deadline_s
        if command:
            self._to_send += command.encode("ascii") + b"\r"

    def _initialise(self, now_s: float) -> None:
        self._pending = deque(self._commands)
        self._buffer.clear()
        self._skip_line_feed = False
        self._go(_State.INITIALISING, now_s + COMMAND_S, self._pending[0])

    def _wait(self, now_s: float) -> None:
        self._ringing = False
        self._escapes = 0
        self._go(_State.WAITING, now_s + LOOK_EVERY_S)

    def _guard(self, now_s: float) -> None:
        self._escapes += 1
        self._go(_State.GUARDING, now_s + GUARD_S)

    def _unanswered(self, now_s: float) -> None:
        if self._state in (_State.INITIALISING, _State.LOOKING):
            # It may be in a call that began before us: then commands are data to it.
            if self._escapes >= MOST_ESCAPES:
                raise ModemError(
                    "the modem does not answer AT; is its speed right, is it switched on?"
                )
            self._guard(now_s)
        elif not self._in_call:
            self._initialise(now_s)  # it was in none
        elif self._escapes >= MOST_ESCAPES:
            raise ModemError("the modem does not hang up")
        else:
            self._guard(now_s)

    def _over(self, why: str, now_s: float) -> list[Event]:
        if not self._in_call:
            self._initialise(now_s)
            return []
        self.start(now_s)
        return [Disconnected(why)]

    # --- what it says ----------------------------------------------------------------------------

    def _line(self) -> str | None:
        """The next line of the modem's, without its end."""
        if self._skip_line_feed and self._buffer:
            self._skip_line_feed = False
            if self._buffer[0] == 0x0A:
                del self._buffer[0]
        ends = [end for end in (self._buffer.find(b"\r"), self._buffer.find(b"\n")) if end >= 0]
        if not ends:
            del self._buffer[:-_LONGEST_LINE]
            return None
        line = bytes(self._buffer[: min(ends)])
        self._skip_line_feed = self._buffer[min(ends)] == 0x0D
        del self._buffer[: min(ends) + 1]
        return line.decode("latin-1").strip()

    def _result(self, line: str, now_s: float) -> list[Event]:
        refused = line == "ERROR" or line.startswith(("+CME ERROR", "+CMS ERROR"))
        ringing = line == "RING" or line.startswith("+CRING")
        match self._state:
            case _State.INITIALISING if refused:
                # What stands behind "=" may be a PIN.
                command = self._pending[0].partition("=")[0]
                raise ModemError(f"the modem answers {line} to {command}")
            case _State.INITIALISING if line == "OK":
                self._pending.popleft()
                if self._pending:
                    self._go(_State.INITIALISING, now_s + COMMAND_S, self._pending[0])
                else:
                    self._wait(now_s)
            case _State.WAITING if ringing:
                self._go(_State.ANSWERING, now_s + ANSWER_S, "ATA")
            case _State.LOOKING if line == "OK":
                ring = self._ringing
                self._wait(now_s)
                if ring:
                    self._go(_State.ANSWERING, now_s + ANSWER_S, "ATA")
            case _State.LOOKING:
                self._ringing = self._ringing or ringing
            case _State.ANSWERING if line.startswith("CONNECT"):
                self._tail = b""
                self._in_call = True
                self._go(_State.ONLINE, None)
                return [Connected(line)]
            case _State.ANSWERING if refused or line in _NO_CALL:
                self._wait(now_s)
            case _State.ESCAPING if line == "OK":
                self._go(_State.HANGING_UP, now_s + 2 * COMMAND_S, "ATH")
            case _State.HANGING_UP if line == "OK" or refused:
                return self._over("hung up", now_s)
            case _State.GUARDING | _State.ESCAPING | _State.HANGING_UP if line == "NO CARRIER":
                return self._over(line, now_s)
        return []

    def _online(self, data: bytes, now_s: float) -> list[Event]:
        if self._skip_line_feed and data:
            self._skip_line_feed = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        self._tail = (self._tail + data)[-_LONGEST_LINE:]
        self.deadline_s = now_s + CARRIER_S if _NO_CARRIER.search(self._tail) else None
        return [Data(data)]


_NO_CALL = ("NO CARRIER", "NO ANSWER", "NO DIALTONE", "BUSY")


class _Call:
    """What is known of the call in progress."""

    def __init__(self, server: Server, first_s: float, inactivity_s: float, now_s: float) -> None:
        self.server = server
        self._patience_s = first_s
        self._inactivity_s = inactivity_s
        self._heard = 0
        self._last_s = now_s
        self._was_linked = False

    def over(self, now_s: float) -> bool:
        """Whether to hang up: the client has disconnected, or says nothing of sense any more."""
        if self.server.heard != self._heard:
            self._heard, self._last_s = self.server.heard, now_s
            self._patience_s = self._inactivity_s
        self._was_linked = self._was_linked or self.server.links > 0
        gone = self._was_linked and not self.server.links
        silent_s = now_s - self._last_s
        return silent_s >= (min(HANG_UP_AFTER_S, self._patience_s) if gone else self._patience_s)


async def answer_calls(
    line: Line,
    commands: Sequence[str],
    begin: Callable[[], Server],
    settled: Settled,
    share: LoopShare,
    *,
    first_s: float,
    inactivity_s: float,
) -> str:
    """Answer calls on a modem until its line ends; return why it did.

    ``begin`` gives each call a server of its own. Raises OSError and ModemError.
    """
    loop = asyncio.get_running_loop()
    modem = Modem(commands)
    modem.start(loop.time())
    call: _Call | None = None
    ready = False
    try:
        while True:
            await line.write(modem.take())
            now_s = loop.time()
            due_s = LOOK_S if modem.deadline_s is None else modem.deadline_s - now_s
            data = await line.read(min(due_s, LOOK_S))
            if data == b"":
                return "the modem's line was closed"
            now_s = loop.time()
            events = modem.feed(data, now_s) if data else []
            for event in events + modem.poll(now_s):
                match event:
                    case Connected():
                        _LOGGER.info("modem: a call is answered (%s)", event.result)
                        line.proven = False
                        call = _Call(begin(), first_s, inactivity_s, now_s)
                    case Data() if call is not None:
                        await answer(call.server, event.data, line, settled, share)
                    case Disconnected():
                        _LOGGER.info("modem: the call is over (%s)", event.reason)
                        if call is not None:
                            call.server.close()
                        call = None
            if call is not None:
                call.server.idle(time.time_ns())
                if call.over(loop.time()):
                    call.server.close()
                    call = None
                    modem.hang_up(loop.time())
            if modem.waiting and not ready:
                ready = True
                _LOGGER.info("modem: waiting for calls")
    finally:
        if call is not None:
            call.server.close()
