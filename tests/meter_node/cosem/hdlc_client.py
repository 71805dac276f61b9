"""A client's end of an HDLC link and fakes of the COSEM server, for the tests of the server's end.

Written from IEC 62056-46 alone, byte by byte, so that it shares no mistake with the session.
"""

from __future__ import annotations

from collections.abc import Callable

from meter_node.channel.hdlc import Frame, FrameReader, encode
from meter_node.cosem.hdlc_session import HdlcServer

NANO = 10**9


class Echo:
    """A connection that answers what it is told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda apdu: apdu) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int, bytes, int]] = []
        self.closed_times = 0
        self.proven = False

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        self.asked.append((client_sap, server_sap, apdu, now_ns))
        return self.answer(apdu)

    def closed(self) -> None:
        self.closed_times += 1


def frames(data: bytes) -> list[Frame]:
    """The frames in what a server sent, all of which must be good."""
    found = FrameReader(segmented=True).feed(data)
    assert all(isinstance(item, Frame) for item in found), found
    return [item for item in found if isinstance(item, Frame)]


def feed(server: HdlcServer, data: bytes, now_ns: int = NANO) -> list[Frame]:
    """What a server answers."""
    return frames(b"".join(server.feed(data, now_ns)))


def group(sent: int, received: int, window_sent: int, window_received: int) -> bytes:
    """The information field of SNRM or UA, in its longest form."""
    return (
        b"\x81\x80\x14\x05\x02" + sent.to_bytes(2) + b"\x06\x02" + received.to_bytes(2)
        + b"\x07\x04" + window_sent.to_bytes(4) + b"\x08\x04" + window_received.to_bytes(4)
    )  # fmt: skip


class Client:
    """One client: 128 bytes and a window of 1 where nothing else is proposed."""

    def __init__(
        self,
        server: HdlcServer,
        client_sap: int = 16,
        address: bytes = b"\x03",
        *,
        information: int = 128,
        window: int = 1,
    ) -> None:
        self.server = server
        self.source = bytes([client_sap << 1 | 1])
        self.address = address
        self.information = information
        self.window = window
        self.sent = 0
        self.received = 0
        self.polls = 0

    def frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        return encode(Frame(self.address, self.source, control, information, segmented))

    def ask(
        self, control: int, information: bytes = b"", *, segmented: bool = False, now_ns: int = NANO
    ) -> list[Frame]:
        return feed(self.server, self.frame(control, information, segmented=segmented), now_ns)

    def i(self, information: bytes, *, poll: bool = True, segmented: bool = False) -> bytes:
        """The next I frame."""
        control = self.received << 5 | poll << 4 | self.sent << 1
        self.sent = (self.sent + 1) % 8
        return self.frame(control, information, segmented=segmented)

    def connect(self, now_ns: int = NANO) -> Frame:
        """Connect and take over what the server agrees to."""
        offer = group(self.information, self.information, self.window, self.window)
        (ua,) = self.ask(0x93, offer, now_ns=now_ns)
        assert ua.control == 0x73
        self.sent = self.received = 0
        self.information = int.from_bytes(ua.information[9:11])  # what the server receives
        self.window = int.from_bytes(ua.information[19:23])
        return ua

    def request(self, apdu: bytes, now_ns: int = NANO) -> bytes | None:
        """Send an APDU in as many frames as it takes; return the answer, None where none came."""
        data = b"\xe6\xe6\x00" + apdu
        parts = [
            data[start : start + self.information]
            for start in range(0, len(data), self.information)
        ]
        answers: list[Frame] = []
        while parts:
            window, parts = parts[: self.window], parts[self.window :]
            line = b"".join(
                self.i(
                    part,
                    poll=place == len(window) - 1,
                    segmented=bool(parts) or place < len(window) - 1,
                )
                for place, part in enumerate(window)
            )
            answers = feed(self.server, line, now_ns)
            self.polls += 1
            if parts:
                assert [frame.control for frame in answers] == [0x11 | self.sent << 5]
        return self.collect(answers)

    def collect(self, answers: list[Frame]) -> bytes | None:
        """Take I frames, poll for the rest, and return the APDU."""
        data = b""
        while True:
            for place, frame in enumerate(answers):
                if frame.control & 1:  # RR: there is no answer
                    assert frame.control == 0x11 | self.sent << 5
                    assert not data
                    return None
                assert frame.control >> 1 & 7 == self.received
                assert frame.control >> 5 == self.sent
                assert bool(frame.control & 0x10) == (place == len(answers) - 1)
                self.received = (self.received + 1) % 8
                data += frame.information
            if not answers[-1].segmented:
                assert data.startswith(b"\xe6\xe7\x00")
                return data[3:]
            answers = self.ask(0x11 | self.received << 5)
            self.polls += 1
