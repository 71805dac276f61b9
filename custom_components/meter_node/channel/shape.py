"""Recognises bytes that begin like earlier ones but for their numbers, and reads those.

A meter sends the same registers every few seconds: what stands around their numbers needs to be
read once only. Must not know what the bytes are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import Any

SHAPES_KEPT = 64
"""As many kinds of meters, in their versions, as one home or street has."""


class Shape:
    """How bytes begin: fields at fixed places among bytes that are always the same."""

    __slots__ = ("_fixed", "_mask", "_unpack", "size")

    def __init__(self, data: bytes, fields: Iterable[tuple[int, Struct]]) -> None:
        """Take the shape of ``data``; ``fields``: (offset, form) in ascending order, big-endian."""
        mask, form, at = bytearray(b"\xff" * len(data)), ">", 0
        for offset, field in fields:
            form += f"{offset - at}x{field.format[1:]}"
            at = offset + field.size
            mask[offset:at] = bytes(field.size)
        whole = Struct(f"{form}{len(data) - at}x")
        self.size = len(data)
        self._mask = int.from_bytes(mask)
        self._fixed = int.from_bytes(data) & self._mask
        self._unpack = whole.unpack

    def read(self, data: bytes) -> tuple[Any, ...] | None:
        """Return the fields of ``data``, None where it begins in another way."""
        head = data[: self.size]
        if len(head) != self.size or int.from_bytes(head) & self._mask != self._fixed:
            return None
        return self._unpack(head)


@lru_cache(maxsize=SHAPES_KEPT)
def _shared(blank: bytes, fields: tuple[tuple[int, Struct], ...]) -> Shape:
    return Shape(blank, fields)


def shape(data: bytes, fields: tuple[tuple[int, Struct], ...]) -> Shape:
    """Return the shape of ``data``: the same one for all meters that send alike."""
    blank = bytearray(data)
    for offset, field in fields:
        blank[offset : offset + field.size] = bytes(field.size)
    return _shared(bytes(blank), fields)
