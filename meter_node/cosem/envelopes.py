"""Ciphered APDUs taken apart and put together: service-specific, general-glo, general-ciphering.

What is under the tag in each form (IEC 62056-5-3, "Information security"). Must not know keys'
owners, counters' state, nor what is inside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from meter_node.channel.apdu import (
    AUTHENTICATED_AND_ENCRYPTED,
    GENERAL_CIPHERING,
    GENERAL_GLO_CIPHERING,
    TAG_LENGTH,
    TITLE_LENGTH,
    ApduError,
    GeneralCiphering,
    decode_general_ciphering,
    encode_general_ciphering,
)
from meter_node.channel.security import Aead, Keys
from meter_node.cosem.wire import Reader, WireError, octet_string

AUTHENTICATED = 0x10
"""Security control of a proof of identity (GMAC)."""
GLO_INITIATE_REQUEST, GLO_INITIATE_RESPONSE = 0x21, 0x28
_GLO = {0xC8: 0xC0, 0xC9: 0xC1, 0xCB: 0xC3, GLO_INITIATE_REQUEST: 0x01}
"""Service-specific tag to the tag that must be inside."""
_GLO_OF_PLAIN = {0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF, 0x08: GLO_INITIATE_RESPONSE}
_HEADER = 5


class Form(Enum):
    """In which form an APDU is ciphered; the answer has the same."""

    SERVICE_SPECIFIC = auto()
    GENERAL_GLO = auto()
    GENERAL = auto()


@dataclass(frozen=True, slots=True)
class Envelope:
    """A ciphered APDU as it travels."""

    form: Form
    tag: int
    security_control: int
    counter: int
    protected: bytes
    """Ciphertext, and the tag behind it."""
    title: bytes = b""
    """Who sends; empty in the service-specific form, which does not say."""
    transaction_id: bytes = b""
    recipient: bytes = b""
    date_time: bytes = b""
    other_information: bytes = b""
    key_information: bytes = b"\x00"

    @property
    def inside(self) -> int | None:
        """The tag that must be inside; None where the form leaves it open."""
        return _GLO.get(self.tag) if self.form is Form.SERVICE_SPECIFIC else None

    @property
    def general(self) -> GeneralCiphering:
        """It as a general-ciphering."""
        return GeneralCiphering(
            self.transaction_id,
            self.title,
            self.recipient,
            self.date_time,
            self.security_control,
            self.counter,
            self.protected,
            self.other_information,
            self.key_information,
        )

    def associated(self, keys: Keys) -> bytes:
        """Return what is authenticated beside the plaintext."""
        header = self.general.header if self.form is Form.GENERAL else b""
        return bytes((self.security_control,)) + keys.authentication + header

    def open(self, aead: Aead, keys: Keys, title: bytes) -> bytes:
        """Return the plaintext. Raises InvalidTagError."""
        nonce = title + self.counter.to_bytes(4)
        return aead.open(keys.encryption, nonce, self.associated(keys), self.protected)


def is_ciphered(apdu: bytes) -> bool:
    """Whether an APDU is one of these."""
    return apdu[0] in _GLO or apdu[0] in (GENERAL_GLO_CIPHERING, GENERAL_CIPHERING)


def read(apdu: bytes) -> Envelope:
    """Take a ciphered APDU apart. Raises WireError for what is none, or is not wholly protected."""
    reader = Reader(apdu)
    tag = reader.unsigned()
    if tag == GENERAL_CIPHERING:
        return _read_general(apdu)
    title = b""
    form = Form.SERVICE_SPECIFIC
    if tag == GENERAL_GLO_CIPHERING:
        title, form = reader.octets(), Form.GENERAL_GLO
        if len(title) != TITLE_LENGTH:
            raise WireError(f"a system title has 8 bytes, not {len(title)}")
    elif tag not in _GLO:
        raise WireError(f"no ciphered APDU: tag 0x{tag:02X}")
    control, counter, protected = _content(reader)
    return Envelope(form, tag, control, counter, protected, title)


def _read_general(apdu: bytes) -> Envelope:
    try:
        general = decode_general_ciphering(apdu)
    except ApduError as error:
        raise WireError(str(error)) from None
    _whole(general.protected)
    return Envelope(
        Form.GENERAL,
        GENERAL_CIPHERING,
        general.security_control,
        general.invocation_counter,
        general.protected,
        general.originator,
        general.transaction_id,
        general.recipient,
        general.date_time,
        general.other_information,
        general.key_information,
    )


def _content(reader: Reader) -> tuple[int, int, bytes]:
    content = Reader(reader.octets())
    reader.end()
    control, counter, protected = content.unsigned(), content.unsigned(4), content.rest()
    _whole(protected)
    return control, counter, protected


def _whole(protected: bytes) -> None:
    if len(protected) <= TAG_LENGTH:
        raise WireError("too short for a ciphertext and its tag")


def seal(
    aead: Aead,
    keys: Keys,
    title: bytes,
    counter: int,
    plaintext: bytes,
    like: Envelope,
    date: bytes,
) -> bytes:
    """Return an answer in the form of its request; `date` (12 bytes) goes where the form has one.

    The caller answers for the counter.
    """
    control = AUTHENTICATED_AND_ENCRYPTED
    tag = _GLO_OF_PLAIN.get(plaintext[0], 0)
    form = like.form
    if form is Form.SERVICE_SPECIFIC and not tag:
        form = Form.GENERAL_GLO
    answer = Envelope(
        form,
        tag,
        control,
        counter,
        b"",
        title,
        like.transaction_id,
        like.title,
        date,
        b"",
        like.key_information,
    )
    nonce = title + counter.to_bytes(4)
    sealed = aead.seal(keys.encryption, nonce, answer.associated(keys), plaintext)
    content = octet_string(bytes((control,)) + counter.to_bytes(4) + sealed)
    match form:
        case Form.SERVICE_SPECIFIC:
            return bytes((tag,)) + content
        case Form.GENERAL_GLO:
            return bytes((GENERAL_GLO_CIPHERING,)) + octet_string(title) + content
        case Form.GENERAL:
            return encode_general_ciphering(replace(answer, protected=sealed).general)


def overhead(like: Envelope) -> int:
    """Return by how many bytes a sealed answer is longer than its plaintext, at most."""
    # Header, tag, and a tag byte with a length of up to three bytes.
    return (
        _HEADER
        + TAG_LENGTH
        + 4
        + (
            0
            if like.form is Form.SERVICE_SPECIFIC
            else 1
            + len(like.transaction_id)
            + 2 * TITLE_LENGTH
            + 12
            + 6
            + len(like.key_information)
        )
    )


# --- proof of identity by GMAC (HLS, mechanism 5) -------------------------------------------------


def gmac(aead: Aead, keys: Keys, title: bytes, counter: int, challenge: bytes) -> bytes:
    """Return f(challenge): control, counter and tag. The caller answers for the counter."""
    associated = bytes((AUTHENTICATED,)) + keys.authentication + challenge
    tag = aead.seal(keys.encryption, title + counter.to_bytes(4), associated, b"")
    return bytes((AUTHENTICATED,)) + counter.to_bytes(4) + tag


def check_gmac(aead: Aead, keys: Keys, title: bytes, proof: bytes, challenge: bytes) -> int:
    """Return the counter of a proof that holds. Raises InvalidTagError, WireError."""
    reader = Reader(proof)
    if reader.unsigned() != AUTHENTICATED:
        raise WireError("not a GMAC")
    counter, tag = reader.unsigned(4), reader.take(TAG_LENGTH)
    reader.end()
    associated = bytes((AUTHENTICATED,)) + keys.authentication + challenge
    aead.open(keys.encryption, title + counter.to_bytes(4), associated, tag)
    return counter
