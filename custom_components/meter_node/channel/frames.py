"""From whatever stands on a topic or a line to one APDU, or the name of what it is instead.

Must not know any key and must not guess: what is no frame of the channel is refused by name.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress

from . import apdu, hdlc

MAKERS: dict[bytes, str] = {
    b"KAM": "Kamstrup",
    b"KFM": "Kaifa",
    b"AID": "Aidon",
    b"MTN": "Meter Node",
}
"""Makers by the three letters that open a system title (FLAG register of manufacturers)."""


class ForeignError(ValueError):
    """The bytes belong to another protocol, which the text names."""


class DamagedError(ValueError):
    """The bytes are a frame of the channel that was damaged on its way."""


def apdu_of(data: bytes) -> bytes:
    """Return the APDU in a message: bare, or in one HDLC frame with its LLC header.

    Raises ForeignError naming another protocol, DamagedError for a frame broken on its way.
    """
    if not data:
        raise DamagedError("an empty message")
    if data[0] == hdlc.FLAG:
        try:
            return information_apdu(hdlc.decode(data))
        except hdlc.HdlcError as error:
            raise DamagedError(str(error)) from None
    if data[0] in (apdu.GENERAL_GLO_CIPHERING, apdu.DATA_NOTIFICATION):
        return data
    raise ForeignError(_name_foreign(data))


def apdus_of(payload: bytes) -> list[bytes]:
    """Return the APDUs in a message of somebody else's reader, whichever way it puts them.

    Understood are one or several HDLC frames with anything around them, a bare APDU, the list alone
    without an APDU around it, and each of these as hexadecimal or Base64 text. Empty where there is
    none: what could be read in two ways is not guessed at.
    """
    data = _binary(payload)
    if data[:1] in (bytes((apdu.GENERAL_GLO_CIPHERING,)), bytes((apdu.DATA_NOTIFICATION,))):
        return [data]
    if _LIST_ALONE.match(data):
        return [bytes((apdu.DATA_NOTIFICATION, 0, 0, 0, 0, 0)) + data]
    found = []
    for item in hdlc.FrameReader().feed(data):
        with suppress(ForeignError):
            if isinstance(item, hdlc.Frame):
                found.append(information_apdu(item))
    return found


_TEXT_BEGINS = (b"\x7e", b"\xdb\x08", b"\x0f", b"\x02")
"""How a frame, an APDU or a list begins: a text that decodes to anything else is another's."""
_LIST_ALONE = re.compile(rb"\x02[\x00-\x7f]\x0a\x0eKamstrup_V0001")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f\s]+")


def _binary(payload: bytes) -> bytes:
    """Return the bytes that a text stands for, the payload itself where it is none."""
    text = payload.strip()
    try:
        if _HEXADECIMAL.fullmatch(text):
            data = bytes.fromhex(text.decode("ascii"))
        else:
            data = base64.b64decode(text, validate=True)
    except ValueError:
        return payload
    return data if data.startswith(_TEXT_BEGINS) else payload


def information_apdu(frame: hdlc.Frame) -> bytes:
    """Return the APDU of a frame. Raises ForeignError when it is no push of a meter."""
    if frame.control & ~0x10 != hdlc.UI & ~0x10:
        raise ForeignError(f"an HDLC frame with control 0x{frame.control:02X}, not a push (UI)")
    if not frame.information.startswith(hdlc.LLC_TO_CLIENT):
        raise ForeignError("an HDLC frame without the LLC header E6 E7 00")
    if len(frame.information) == len(hdlc.LLC_TO_CLIENT):
        raise ForeignError("an HDLC frame with nothing behind its LLC header")
    return frame.information[len(hdlc.LLC_TO_CLIENT) :]


def maker(system_title: bytes) -> str | None:
    """Return the maker's name by the first three letters of a system title."""
    return MAKERS.get(system_title[:3])


def _name_foreign(data: bytes) -> str:
    if data.lstrip(b"\r\n\x00").startswith(b"/"):
        identification = data.lstrip(b"\r\n\x00").split(b"\r\n", 1)[0].decode("ascii", "replace")
        return (
            f"a P1 telegram (DSMR text, {identification[:20]}), which is not ciphered: "
            "the DSMR integration reads it"
        )
    if data[0] == 0x68 and len(data) > 3 and data[1] == data[2] and data[3] == 0x68:
        title = data.find(b"\xdb\x08")
        name = maker(data[title + 2 : title + 5]) if title >= 0 else None
        whose = f" of a {name} meter" if name else ""
        return f"an M-Bus frame (EN 13757){whose}, which is not the Consumer Communication Channel"
    if data[0] in (0xDD, 0xDF):
        return "a ciphered APDU of another kind (general-ciphering or general-ciphering-signed)"
    return f"no frame of the channel (it begins with {data[:4].hex(' ').upper()})"
