"""The pairing text: one line by which a display gets a meter's keys, for copying or as a QR.

``MN1:`` and base32 of version, system title, push keys and a check, so that a mistyped letter is
noticed at once; ``MN2:`` has the pairing's own control keys and its name, too. Upper case and
digits only, which keeps the QR small. Must not know where keys are kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from .security import Keys

PREFIXES = ("MN1:", "MN2:")
"""To read a meter only; to read and to ask it."""
_CHECK = 4
_PAIR = 32
_PUSH_ONLY = 1 + 8 + _PAIR
_WITH_CONTROL = _PUSH_ONLY + _PAIR
LONGEST_NAME = 32
_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_NAME - 1}}}")


class PairingError(ValueError):
    """The text is no pairing text; ``args[0]`` says what is wrong with it."""


def is_name(text: str) -> bool:
    """Whether a pairing may have this name."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a display needs to read a meter, and with control keys to ask it."""

    system_title: bytes
    keys: Keys
    """The push keys."""
    control: Keys | None = None
    name: str = ""
    """By which the node knows the pairing, and revokes it; there with control keys."""

    def __post_init__(self) -> None:
        """Refuse control keys that could not be told by a name."""
        if self.control is not None and not is_name(self.name):
            raise ValueError(f"no pairing's name: {self.name!r}")

    def to_text(self) -> str:
        """Return the pairing text."""
        content = self.system_title + _raw(self.keys)
        if self.control is None:
            return _text(1, content)
        name = self.name.encode()
        return _text(2, content + _raw(self.control) + bytes((len(name),)) + name)

    @classmethod
    def from_text(cls, text: str) -> Pairing:
        """Read a pairing text; blanks, line breaks and lower case are forgiven.

        Raises PairingError when it is not one, is cut short, or has a mistyped letter.
        """
        compact = "".join(text.split()).upper()
        if not compact.startswith(PREFIXES):
            raise PairingError(f"a pairing text begins with {' or '.join(PREFIXES)}")
        version = PREFIXES.index(compact[:4]) + 1
        encoded = compact[4:]
        try:
            raw = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
        except ValueError:
            raise PairingError("it holds characters that no pairing text has") from None
        content, check = raw[:-_CHECK], raw[-_CHECK:]
        named = version > 1
        least = _WITH_CONTROL + 2 if named else _PUSH_ONLY
        most = _WITH_CONTROL + 1 + LONGEST_NAME if named else _PUSH_ONLY
        if not least <= len(content) <= most:
            raise PairingError("it is cut short or too long")
        if _check(content) != check:
            raise PairingError("its check does not fit: a character is mistyped")
        if content[0] != version:
            raise PairingError(f"version {content[0]} needs a newer program")
        if compact != _encoded(version, content):  # the last character has bits to spare
            raise PairingError("a character is mistyped")
        title, push = content[1:9], _pair(content[9:_PUSH_ONLY])
        if not named:
            return cls(title, push)
        control, length = _pair(content[_PUSH_ONLY:_WITH_CONTROL]), content[_WITH_CONTROL]
        name = content[_WITH_CONTROL + 1 :].decode("ascii", "replace")
        if length != len(name) or not is_name(name):
            raise PairingError("its name is none")
        return cls(title, push, control, name)


def _raw(keys: Keys) -> bytes:
    return keys.encryption + keys.authentication


def _pair(raw: bytes) -> Keys:
    return Keys(raw[:16], raw[16:])


def _text(version: int, content: bytes) -> str:
    return _encoded(version, bytes((version,)) + content)


def _encoded(version: int, content: bytes) -> str:
    encoded = base64.b32encode(content + _check(content)).decode().rstrip("=")
    return PREFIXES[version - 1] + encoded


def _check(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECK]
