"""The client's end of an HDLC link (IEC 62056-46), the primary station: sans-I/O.

Each method is a generator: it yields bytes to send (none at first: more is awaited) and is sent
what came, nothing where the line was silent. What was lost is asked for again. Must not know what
the line is, nor what an APDU means.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from meter_node.channel import hdlc
from meter_node.channel.hdlc import LLC_TO_CLIENT, LLC_TO_SERVER, Frame
from meter_node.cosem.hdlc_control import (
    MODULO,
    Control,
    Kind,
    LinkParameters,
    ServerAddress,
    control,
    link_parameters,
)
from meter_node.utility.errors import NoAnswerError, UnreachableError

type Line[T] = Generator[bytes, bytes, T]

TRIES = 3
LONGEST_APDU = 0x10000
OFFERED = LinkParameters(1024, 1024, 1, 7)
"""Frames of a size that lines with modems bear; a window of one to send is what requests need."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The frames of one poll; `information` of those that came in order, and whether more does."""

    control: Control
    information: bytes
    frames: int
    more: bool


class HdlcClient:
    """One link to one logical device."""

    def __init__(
        self, client_sap: int, server: ServerAddress, offered: LinkParameters = OFFERED
    ) -> None:
        self._source = bytes((client_sap << 1 | 1,))
        self._destination = server.encode()
        self._offered = offered
        self._agreed = LinkParameters()
        self._reader = hdlc.FrameReader(segmented=True)
        self._sent = 0
        self._received = 0

    def connect(self) -> Line[None]:
        """Connect. Raises NoAnswerError, UnreachableError."""
        frames = yield from self._poll(
            self._frame(Control(Kind.SNRM), self._offered.encode()), (Kind.UA, Kind.DM)
        )
        answer = frames[-1]
        if _kind(answer) is Kind.DM:
            raise UnreachableError("the meter's HDLC link is taken: it refused to connect")
        # As the server sees them: what it sends is what is received here.
        theirs = link_parameters(answer.information)
        self._agreed = LinkParameters(
            min(theirs.information_received, self._offered.information_sent),
            theirs.information_sent,
            min(theirs.window_received, self._offered.window_sent),
            theirs.window_sent,
        )
        self._sent = self._received = 0

    def exchange(self, apdu: bytes) -> Line[bytes]:
        """Send an APDU and return its answer. Raises NoAnswerError, UnreachableError."""
        data = LLC_TO_SERVER + apdu
        size = self._agreed.information_sent
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        answer = _Answer(Control(Kind.RR), b"", 0, more=True)
        for place, part in enumerate(parts):
            answer = yield from self._send(part, more=place < len(parts) - 1)
        found, more = bytearray(answer.information), answer.more
        silent = 0
        while more or not found:
            answer = yield from self._ready()
            found += answer.information
            # Where nothing came in order, what came says nothing of what goes on.
            more = answer.more if answer.frames else more
            silent = 0 if answer.frames else silent + 1
            if silent == TRIES:
                raise NoAnswerError("the meter has no answer to what was asked")
            if len(found) > LONGEST_APDU:
                raise UnreachableError("the meter's HDLC link gives an answer without an end")
        if not found.startswith(LLC_TO_CLIENT):
            raise UnreachableError("the meter's HDLC link gives something that is no answer")
        return bytes(found[len(LLC_TO_CLIENT) :])

    def disconnect(self) -> Line[None]:
        """Disconnect. Raises NoAnswerError."""
        yield from self._poll(self._frame(Control(Kind.DISC)), (Kind.UA, Kind.DM), tries=1)

    # --- numbered frames -------------------------------------------------------------------------

    def _send(self, part: bytes, *, more: bool) -> Line[_Answer]:
        """Send an information frame until it is acknowledged."""
        number = self._sent
        self._sent = (number + 1) % MODULO
        numbered = Control(Kind.I, True, number, self._received)
        frame = self._frame(numbered, part, segmented=more)
        for _ in range(TRIES):
            frames = yield from self._poll(frame, (Kind.I, Kind.RR))
            answer = self._taken(frames)
            if answer.control.receive == self._sent:
                return answer
            # It did not arrive. Nothing was taken of what the line may have mixed up.
        raise NoAnswerError("the meter's HDLC link does not take what is sent")

    def _ready(self) -> Line[_Answer]:
        """Ask for what there is."""
        ready = Control(Kind.RR, receive=self._received)
        return self._taken((yield from self._poll(self._frame(ready), (Kind.I, Kind.RR))))

    def _taken(self, frames: list[Frame]) -> _Answer:
        information, count, more = b"", 0, False
        last = Control(Kind.RR)
        for frame in frames:
            said = control(frame.control)
            assert said is not None  # it was looked at when it came
            last = said
            if said.kind is Kind.I and said.send == self._received:
                self._received = (self._received + 1) % MODULO
                information += frame.information
                count += 1
                more = frame.segmented
        return _Answer(last, information, count, more)

    # --- one poll --------------------------------------------------------------------------------

    def _poll(
        self, frame: bytes, wanted: tuple[Kind, ...], *, tries: int = TRIES
    ) -> Line[list[Frame]]:
        """Send and collect frames until the one that ends the answer."""
        for _ in range(tries):
            found: list[Frame] = []
            came = yield frame
            while came:
                for item in self._reader.feed(came):
                    if not isinstance(item, Frame) or not self._is_ours(item):
                        continue
                    said = control(item.control)
                    if said is None or said.kind not in (*wanted, Kind.DM, Kind.FRMR):
                        continue
                    if said.kind not in wanted:
                        raise UnreachableError("the meter has ended the HDLC link")
                    found.append(item)
                    if said.poll:
                        return found
                came = yield b""
            self._reader.restart()
        raise NoAnswerError("the meter does not answer on its HDLC link")

    def _is_ours(self, frame: Frame) -> bool:
        return (frame.destination, frame.source) == (self._source, self._destination)

    def _frame(self, said: Control, information: bytes = b"", *, segmented: bool = False) -> bytes:
        return hdlc.encode(
            Frame(self._destination, self._source, said.encode(), information, segmented)
        )


def _kind(frame: Frame) -> Kind | None:
    said = control(frame.control)
    return None if said is None else said.kind
