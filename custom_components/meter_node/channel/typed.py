"""Decoded values, each of the type that an attribute wants; whatever else came is refused.

Must not know which attribute it is for.
"""

from __future__ import annotations

from .axdr import Value


class TypeMismatchError(Exception):
    """A value is not of the attribute's type."""


def whole(value: Value, what: str, least: int = 0, most: int = 0xFFFFFFFF) -> int:
    """Return a whole number within limits. Raises TypeMismatchError, ValueError."""
    if type(value) is not int:  # a boolean is none
        raise TypeMismatchError(f"{what}: a whole number is wanted")
    if not least <= value <= most:
        raise ValueError(f"{what}: {value}; possible are {least} to {most}")
    return value


def truth(value: Value, what: str) -> bool:
    """Return a boolean. Raises TypeMismatchError."""
    if type(value) is not bool:
        raise TypeMismatchError(f"{what}: a boolean is wanted")
    return value


def octets(value: Value, what: str, length: int | None = None) -> bytes:
    """Return an octet-string (or a date or time). Raises TypeMismatchError."""
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        size = "" if length is None else f" of {length} bytes"
        raise TypeMismatchError(f"{what}: an octet-string{size} is wanted")
    return value


def text(value: Value, what: str) -> str:
    """Return text, whichever kind of string it came in. Raises TypeMismatchError."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise TypeMismatchError(f"{what}: bytes that are no text") from None
    if not isinstance(value, str):
        raise TypeMismatchError(f"{what}: text is wanted")
    return value


def items(value: Value, what: str) -> list[Value]:
    """Return the elements of an array. Raises TypeMismatchError."""
    if not isinstance(value, list):
        raise TypeMismatchError(f"{what}: an array is wanted")
    return value


def fields(value: Value, what: str, count: int) -> tuple[Value, ...]:
    """Return the elements of a structure. Raises TypeMismatchError."""
    if not isinstance(value, tuple) or len(value) != count:
        raise TypeMismatchError(f"{what}: a structure of {count} is wanted")
    return value
