"""The pairing text: one line by which a display gets a meter's push keys, for copying or as a QR.

``MN1:`` and base32 of version, system title, encryption key, authentication key and a check, so
that a mistyped letter is noticed at once. Upper case and digits only, which keeps the QR small.
Must not know where keys are kept.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from .security import Keys

PREFIX = "MN1:"
_CHECK = 4
_LENGTH = 1 + 8 + 16 + 16 + _CHECK
_VERSION = 1


class PairingError(ValueError):
    """The text is no pairing text; ``args[0]`` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a display needs to read a meter."""

    system_title: bytes
    keys: Keys

    def to_text(self) -> str:
        """Return the pairing text."""
        content = b"".join(
            (
                bytes((_VERSION,)),
                self.system_title,
                self.keys.encryption,
                self.keys.authentication,
            )
        )
        encoded = base64.b32encode(content + _check(content)).decode().rstrip("=")
        return PREFIX + encoded

    @classmethod
    def from_text(cls, text: str) -> Pairing:
        """Read a pairing text; blanks, line breaks and lower case are forgiven.

        Raises PairingError when it is not one, is cut short, or has a mistyped letter.
        """
        compact = "".join(text.split()).upper()
        if not compact.startswith(PREFIX):
            raise PairingError(f"a pairing text begins with {PREFIX}")
        encoded = compact[len(PREFIX) :]
        try:
            raw = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
        except ValueError:
            raise PairingError("it holds characters that no pairing text has") from None
        if len(raw) != _LENGTH:
            raise PairingError("it is cut short or too long")
        content, check = raw[:-_CHECK], raw[-_CHECK:]
        if _check(content) != check:
            raise PairingError("its check does not fit: a character is mistyped")
        if content[0] != _VERSION:
            raise PairingError(f"version {content[0]} needs a newer program")
        return cls(content[1:9], Keys(content[9:25], content[25:41]))


def _check(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECK]
