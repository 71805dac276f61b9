"""DLMS APDUs of the channel (IEC 62056-5-3): pushes, and what is ciphered in either general form.

Must not know any key: what is ciphered stays ciphered here.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import axdr
from .cosem_time import CosemDateTime

DATA_NOTIFICATION = 0x0F
GENERAL_GLO_CIPHERING = 0xDB
GENERAL_CIPHERING = 0xDD
TIME_LENGTH = 12
TIMED_BODY = 6 + TIME_LENGTH
"""Where the data of a push begins that has a time: behind tag, number, length and time."""
TAG_LENGTH = 12
TITLE_LENGTH = 8

AUTHENTICATED_AND_ENCRYPTED = 0x30
"""Security control, suite 0: authentication and encryption. The only level the channel takes."""


class ApduError(ValueError):
    """The bytes are no APDU of the expected kind; the text says at which point."""


@dataclass(frozen=True, slots=True)
class DataNotification:
    """A push: its number, its time (None where the meter sends none) and its data."""

    invoke_id: int
    time: CosemDateTime | None
    body: axdr.Value


def encode_data_notification(
    invoke_id: int, time: CosemDateTime, body: bytes, *, hundredths: bool = True
) -> bytes:
    """Return the APDU; ``body`` is A-XDR, ``hundredths`` as for ``CosemDateTime.to_bytes``."""
    raw_time = time.to_bytes(hundredths=hundredths)
    return b"".join(
        (
            bytes((DATA_NOTIFICATION,)),
            invoke_id.to_bytes(4),
            bytes((len(raw_time),)),
            raw_time,
            body,
        )
    )


def decode_data_notification(data: bytes) -> DataNotification:
    """Read the APDU whole. Raises ApduError when it is not one, or has bytes left over."""
    if not data or data[0] != DATA_NOTIFICATION:
        raise ApduError("not a data-notification")
    if len(data) < 6:
        raise ApduError("a data-notification cut short")
    end = 6 + data[5]
    try:
        time = CosemDateTime.from_bytes(data[6:end]) if data[5] else None
        body = axdr.decode_all(data[end:])
    except ValueError as error:
        raise ApduError(f"data-notification: {error}") from None
    return DataNotification(int.from_bytes(data[1:5]), time, body)


@dataclass(frozen=True, slots=True)
class GeneralGloCiphering:
    """A ciphered APDU as it travels: whose, how protected, and the protected bytes."""

    system_title: bytes
    security_control: int
    invocation_counter: int
    protected: bytes
    """Ciphertext, and the tag behind it where there is one."""


def encode_general_glo_ciphering(envelope: GeneralGloCiphering) -> bytes:
    """Return the APDU."""
    content = b"".join(
        (
            bytes((envelope.security_control,)),
            envelope.invocation_counter.to_bytes(4),
            envelope.protected,
        )
    )
    return b"".join(
        (
            bytes((GENERAL_GLO_CIPHERING, len(envelope.system_title))),
            envelope.system_title,
            axdr.encode_length(len(content)),
            content,
        )
    )


def decode_general_glo_ciphering(data: bytes) -> GeneralGloCiphering:
    """Read the APDU whole, still ciphered. Raises ApduError when it is not one."""
    if len(data) < 2 or data[0] != GENERAL_GLO_CIPHERING:
        raise ApduError("not a general-glo-ciphering")
    if data[1] != TITLE_LENGTH:
        raise ApduError(f"a system title has 8 bytes, not {data[1]}")
    try:
        length, offset = axdr.decode_length(data, 2 + TITLE_LENGTH)
    except ValueError as error:
        raise ApduError(f"general-glo-ciphering: {error}") from None
    if offset + length != len(data):
        raise ApduError(f"it announces {length} bytes and has {len(data) - offset}")
    if length < 5:
        raise ApduError("general-glo-ciphering: no security header")
    return GeneralGloCiphering(
        data[2 : 2 + TITLE_LENGTH],
        data[offset],
        int.from_bytes(data[offset + 1 : offset + 5]),
        data[offset + 5 :],
    )


_GLOBAL_KEYS = (b"\x00", b"\x01\x00\x00", b"\x01\x00\x01")
GLOBAL_UNICAST_KEY = _GLOBAL_KEYS[1]
"""Key information: there is some, it identifies a key, and that is the global unicast one."""
_MOST_IN_A_FIELD = 64


@dataclass(frozen=True, slots=True)
class GeneralCiphering:
    """A ciphered APDU of one transaction as it travels; all but the key information is protected.

    `originator` and `recipient` are system titles, `date_time` is empty or twelve bytes.
    """

    transaction_id: bytes
    originator: bytes
    recipient: bytes
    date_time: bytes
    security_control: int
    invocation_counter: int
    protected: bytes
    """Ciphertext, and the tag behind it where there is one."""
    other_information: bytes = b""
    key_information: bytes = GLOBAL_UNICAST_KEY

    @property
    def header(self) -> bytes:
        """The fields before the key information as they travel, which the tag covers too."""
        fields = (
            self.transaction_id,
            self.originator,
            self.recipient,
            self.date_time,
            self.other_information,
        )
        return b"".join(axdr.encode_length(len(field)) + field for field in fields)


def encode_general_ciphering(envelope: GeneralCiphering) -> bytes:
    """Return the APDU."""
    content = b"".join(
        (
            bytes((envelope.security_control,)),
            envelope.invocation_counter.to_bytes(4),
            envelope.protected,
        )
    )
    return b"".join(
        (
            bytes((GENERAL_CIPHERING,)),
            envelope.header,
            envelope.key_information,
            axdr.encode_length(len(content)),
            content,
        )
    )


def decode_general_ciphering(data: bytes) -> GeneralCiphering:
    """Read the APDU whole, still ciphered. Raises ApduError when it is not one."""
    if not data or data[0] != GENERAL_CIPHERING:
        raise ApduError("not a general-ciphering")
    at = 1
    fields = []
    for _ in range(5):
        field, at = _field(data, at)
        if len(field) > _MOST_IN_A_FIELD:
            raise ApduError(f"a field of more than {_MOST_IN_A_FIELD} bytes")
        fields.append(field)
    transaction_id, originator, recipient, date_time, other = fields
    if len(originator) != TITLE_LENGTH:
        raise ApduError(f"a system title has 8 bytes, not {len(originator)}")
    key_information = data[at : at + 1]
    if key_information != b"\x00":
        key_information = data[at : at + 3]
    if key_information not in _GLOBAL_KEYS:
        raise ApduError("a key that is not the global one")
    content, at = _field(data, at + len(key_information))
    if at != len(data):
        raise ApduError(f"{len(data) - at} bytes left over")
    if len(content) < 5:
        raise ApduError("general-ciphering: no security header")
    return GeneralCiphering(
        transaction_id,
        originator,
        recipient,
        date_time,
        content[0],
        int.from_bytes(content[1:5]),
        content[5:],
        other,
        key_information,
    )


def _field(data: bytes, at: int) -> tuple[bytes, int]:
    try:
        length, start = axdr.decode_length(data, at)
    except ValueError as error:
        raise ApduError(f"general-ciphering: {error}") from None
    end = start + length
    if end > len(data):
        raise ApduError(f"byte {start}: a length of {length}, {len(data) - start} bytes there")
    return data[start:end], end
