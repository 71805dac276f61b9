"""The server's end of HDLC links on one line (IEC 62056-46): bytes in, frames out, sans-I/O.

Must not know what an APDU means, nor what the line is. The client is the primary station: nothing
is sent but as an answer to its poll, so that a line may be shared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from enum import IntFlag

from meter_node.channel import hdlc
from meter_node.channel.hdlc import LLC_TO_CLIENT, LLC_TO_SERVER, Frame

from .connection import BROADCAST_SAP, DlmsConnection
from .hdlc_control import (
    LARGEST,
    MODULO,
    NO_STATION,
    Control,
    Kind,
    LinkParameters,
    ServerAddress,
    control,
    link_parameters,
    server_address,
)

NANO = 10**9
LONGEST_APDU = 0xFFFF
MOST_LINKS = 8
INACTIVITY_S = 120
"""Default of the standard's set-up object (class 23), as is the following."""
WITHIN_FRAME_S = 6
"""A longer silence within a frame ends it: the most that class 23 allows, since gateways buffer."""
_LLC_BROADCAST = b"\xff\xe6\x00"
_LLC_BYTES = 3
_RESPONSES = (Kind.UA, Kind.DM, Kind.FRMR)


class _Fault(IntFlag):
    """Why a frame is rejected (third byte of FRMR)."""

    UNDEFINED = 1
    NO_INFORMATION_ALLOWED = 3
    TOO_LONG = 4
    RECEIVE_NUMBER = 8


@dataclass(frozen=True, slots=True)
class HdlcSettings:
    """How the server stands on its line."""

    offered: LinkParameters = LARGEST
    inactivity_s: int = INACTIVITY_S
    physical_address: int | None = None
    """The own lower address on a shared line; None where the line has no other device."""
    server_saps: Container[int] | None = None
    """The logical devices that are here; what is for others is not answered. None: all."""
    longest_apdu: int = LONGEST_APDU


@dataclass(slots=True)
class _Link:
    """One connected client: numbers of the standard's V(S), V(R) and what waits."""

    connection: DlmsConnection
    agreed: LinkParameters
    heard_ns: int
    next_sent: int = 0
    next_received: int = 0
    acknowledged: int = 0
    outgoing: deque[bytes] = field(default_factory=deque)
    """Information fields that the client has not acknowledged; the first is ``acknowledged``."""
    incoming: bytearray = field(default_factory=bytearray)
    client_busy: bool = False
    rejection: bytes | None = None

    def acknowledge(self, number: int) -> bool:
        """Take N(R). False where it acknowledges what was not sent."""
        count = (number - self.acknowledged) % MODULO
        if count > (self.next_sent - self.acknowledged) % MODULO:
            return False
        for _ in range(count):
            self.outgoing.popleft()
        self.acknowledged = number
        return True


class HdlcServer:
    """All links of one line, by client and logical device."""

    def __init__(
        self, connect: Callable[[], DlmsConnection], settings: HdlcSettings | None = None
    ) -> None:
        """``connect`` gives each new link its connection to the COSEM server."""
        self._connect = connect
        self._settings = settings or HdlcSettings()
        self._reader = hdlc.FrameReader(segmented=True)
        self._links: dict[tuple[int, int], _Link] = {}
        self._unconnected: DlmsConnection | None = None
        self._unconnected_ns = 0
        self._fed_ns = 0
        self.damage: str | None = None
        """Never: a line finds its way back by itself."""
        self.heard = 0
        """Good frames for this server so far: what tells a client from noise."""

    @property
    def links(self) -> int:
        """How many clients are connected."""
        return len(self._links)

    @property
    def proven(self) -> bool:
        """Whether the client of one of the links has proved who he is."""
        return any(link.connection.proven for link in self._links.values())

    def feed(self, data: bytes, now_ns: int) -> Iterator[bytes]:
        """Take bytes as they come; yield what to send, one poll's answer at a time.

        Nothing is taken before the iterator is used, and all of it must be: so that answers can
        be sent as slowly as the line takes them.
        """
        if not 0 <= now_ns - self._fed_ns <= WITHIN_FRAME_S * NANO:
            self._reader.restart()
        self._fed_ns = now_ns
        for item in self._reader.feed(data):
            if isinstance(item, Frame) and (answer := self._answer(item, now_ns)):
                yield answer

    def idle(self, now_ns: int) -> None:
        """Close what was silent for too long; call now and then."""
        limit_ns = self._settings.inactivity_s * NANO
        for key, link in list(self._links.items()):
            link.heard_ns = min(link.heard_ns, now_ns)  # the clock was set back
            if now_ns - link.heard_ns >= limit_ns:
                self._disconnect(key)
        self._unconnected_ns = min(self._unconnected_ns, now_ns)
        if self._unconnected and now_ns - self._unconnected_ns >= limit_ns:
            self._close_unconnected()

    def close(self) -> None:
        """The line is gone: all links end."""
        for key in list(self._links):
            self._disconnect(key)
        self._close_unconnected()

    def _close_unconnected(self) -> None:
        connection, self._unconnected = self._unconnected, None
        if connection is not None:
            connection.closed()

    def _disconnect(self, key: tuple[int, int]) -> None:
        link = self._links.pop(key, None)
        if link is not None and link.rejection is None:
            link.connection.closed()

    # --- whose frame it is -----------------------------------------------------------------------

    def _answer(self, frame: Frame, now_ns: int) -> bytes:
        address = server_address(frame.destination)
        asked = control(frame.control)
        if len(frame.source) != 1 or not 0 < frame.source[0] >> 1 < BROADCAST_SAP:
            return b""
        if asked is not None and asked.kind in _RESPONSES:
            return b""  # a line's echo of our own: whoever answers it never ends
        client_sap = frame.source[0] >> 1
        if self._is_for_all(address):
            if asked == Control(Kind.UI, poll=False):
                self.heard += 1
                whole = address.upper == address.all_station
                sap = BROADCAST_SAP if whole else address.upper
                self._take_unnumbered(frame, client_sap, sap, now_ns)
            return b""  # nobody is polled by that
        if not self._is_here(address):
            return b""
        self.heard += 1
        key = (client_sap, address.upper)
        if asked is not None and asked.kind is Kind.UI:
            information = self._take_unnumbered(frame, *key, now_ns)
            # An answer that one frame can't carry has no other way.
            longest = LARGEST.information_sent
            if asked.poll and information and len(information) <= longest:
                return _encode(frame, Control(Kind.UI), information)
            return b""
        return b"".join(self._numbered(frame, asked, key, now_ns))

    def _is_for_all(self, address: ServerAddress) -> bool:
        for_all = address.all_station
        if address.lower == for_all:
            return address.upper == for_all or self._is_served(address.upper)
        return address.upper == for_all and self._is_own(address.lower)

    def _is_here(self, address: ServerAddress) -> bool:
        return self._is_own(address.lower) and self._is_served(address.upper)

    def _is_served(self, upper: int) -> bool:
        saps = self._settings.server_saps
        return upper != NO_STATION and (saps is None or upper in saps)

    def _is_own(self, lower: int | None) -> bool:
        own = self._settings.physical_address
        return lower is None or (lower != NO_STATION if own is None else lower == own)

    # --- frames outside the sequence -------------------------------------------------------------

    def _take_unnumbered(
        self, frame: Frame, client_sap: int, server_sap: int, now_ns: int
    ) -> bytes | None:
        llc = frame.information[:_LLC_BYTES]
        apdu = frame.information[_LLC_BYTES:]
        if frame.segmented or not apdu or llc not in (LLC_TO_SERVER, _LLC_BROADCAST):
            return None
        link = self._links.get((client_sap, server_sap))
        if link is not None and link.rejection is None:
            link.heard_ns = now_ns
            connection = link.connection
        else:
            if self._unconnected is None:
                self._unconnected = self._connect()
            self._unconnected_ns = now_ns
            connection = self._unconnected
        answer = connection.receive(client_sap, server_sap, apdu, now_ns)
        return LLC_TO_CLIENT + answer if answer else None

    # --- a link ----------------------------------------------------------------------------------

    def _numbered(
        self, frame: Frame, asked: Control | None, key: tuple[int, int], now_ns: int
    ) -> list[bytes]:
        poll = bool(frame.control & 0x10)
        if asked is not None and asked.kind is Kind.SNRM:
            return self._connected(frame, key, now_ns) if poll else []
        link = self._links.get(key)
        if link is None:
            return [_encode(frame, Control(Kind.DM))] if poll else []
        link.heard_ns = now_ns
        if asked is not None and asked.kind is Kind.DISC:
            self._disconnect(key)
            return [_encode(frame, Control(Kind.UA))] if poll else []
        if link.rejection is None:
            fault = self._take(link, frame, asked, key, now_ns)
            if fault:
                link.rejection = bytes(
                    (frame.control, link.next_received << 5 | link.next_sent << 1, fault)
                )
                link.connection.closed()
        if not poll:
            return []
        if link.rejection is not None:
            return [_encode(frame, Control(Kind.FRMR), link.rejection)]
        return _polled(link, frame)

    def _connected(self, frame: Frame, key: tuple[int, int], now_ns: int) -> list[bytes]:
        self._disconnect(key)  # a client that begins anew has forgotten its associations
        if len(self._links) >= MOST_LINKS:
            return [_encode(frame, Control(Kind.DM))]
        agreed = self._settings.offered.agreed(link_parameters(frame.information))
        self._links[key] = _Link(self._connect(), agreed, now_ns)
        return [_encode(frame, Control(Kind.UA), agreed.encode())]

    def _take(
        self, link: _Link, frame: Frame, asked: Control | None, key: tuple[int, int], now_ns: int
    ) -> _Fault | None:
        """Take a frame of a connected client; return why it can't be."""
        if asked is None or asked.kind not in (Kind.I, Kind.RR, Kind.RNR):
            return _Fault.UNDEFINED
        if asked.kind is not Kind.I and frame.information:
            return _Fault.NO_INFORMATION_ALLOWED
        if len(frame.information) > link.agreed.information_received:
            return _Fault.TOO_LONG
        if not link.acknowledge(asked.receive):
            return _Fault.RECEIVE_NUMBER
        link.client_busy = asked.kind is Kind.RNR
        if asked.kind is not Kind.I:
            return None
        # What is out of order was lost or is known: the poll's answer tells what is awaited. So is
        # what comes before the client took the answer it asked for: no answers pile up here.
        if asked.send != link.next_received or link.outgoing:
            return None
        if len(link.incoming) + len(frame.information) > self._settings.longest_apdu + _LLC_BYTES:
            return _Fault.TOO_LONG
        link.next_received = (link.next_received + 1) % MODULO
        link.incoming += frame.information
        if not frame.segmented:
            whole, link.incoming = bytes(link.incoming), bytearray()
            if whole.startswith(LLC_TO_SERVER) and len(whole) > _LLC_BYTES:
                answer = link.connection.receive(*key, whole[_LLC_BYTES:], now_ns)
                if answer:
                    _queue(link, LLC_TO_CLIENT + answer)
        return None


def _queue(link: _Link, information: bytes) -> None:
    size = link.agreed.information_sent
    link.outgoing.extend(
        information[start : start + size] for start in range(0, len(information), size)
    )


def _polled(link: _Link, frame: Frame) -> list[bytes]:
    """Send what the client lacks, a window of it; what it did not acknowledge goes again."""
    if not link.outgoing or link.client_busy:
        return [_encode(frame, Control(Kind.RR, receive=link.next_received))]
    link.next_sent = link.acknowledged
    count = min(link.agreed.window_sent, len(link.outgoing))
    answers = []
    for place in range(count):
        numbered = Control(Kind.I, place == count - 1, link.next_sent, link.next_received)
        # One APDU waits at a time, so that all but the last of its fields are segments.
        more = place < len(link.outgoing) - 1
        answers.append(_encode(frame, numbered, link.outgoing[place], segmented=more))
        link.next_sent = (link.next_sent + 1) % MODULO
    return answers


def _encode(
    asked: Frame, answer: Control, information: bytes = b"", *, segmented: bool = False
) -> bytes:
    return hdlc.encode(
        Frame(asked.source, asked.destination, answer.encode(), information, segmented)
    )
