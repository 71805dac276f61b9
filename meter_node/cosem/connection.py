"""What a transport asks of the meter's COSEM server: one connection, APDUs in, APDUs out.

Must not know how an APDU came, nor what is in it.
"""

from __future__ import annotations

from typing import Protocol

BROADCAST_SAP = 0x7F
"""The server SAP of what is for every logical device (all-station); such is never answered."""


class DlmsConnection(Protocol):
    """One client's way to the server: a TCP connection, or one HDLC link on a line."""

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        """Return the answer to an APDU, None where there is none; never raises.

        ``now_ns`` is UTC since 1970. The answer is sent once what it tells of is committed.
        """

    @property
    def proven(self) -> bool:
        """Whether a client has proved who he is, on an association that is open."""

    def closed(self) -> None:
        """The connection is no more: its associations end with it."""
