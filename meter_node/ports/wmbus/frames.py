"""Frames of wireless M-Bus (EN 13757-4): formats A and B with their check sequences. Pure.

Must not know what is in them. What a radio adds (preamble, 3-of-6 code) is the radio's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Literal

type FrameFormat = Literal["A", "B"]

_POLYNOMIAL = 0x3D65
_FIRST_BLOCK = 10
_CRC_LENGTH = 2
_A_BLOCK = 16
_B_SECOND_BLOCK = 126
"""Format B: where the second block ends; its check sequence holds for the first one, too."""
MOST_BYTES = 0xFF


def check_sequence(data: bytes) -> int:
    """Return CRC-16/EN-13757 (x¹⁶ + x¹³ + x¹² + x¹¹ + x¹⁰ + x⁸ + x⁶ + x⁵ + x² + 1, inverted)."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc & 0x8000 else 0)) & 0xFFFF
    return crc ^ 0xFFFF


def with_length(body: bytes) -> bytes:
    """Return control, address and data behind their length, as receivers hand them on.

    Raises ValueError where they are too many.
    """
    if len(body) > MOST_BYTES:
        raise ValueError(f"{len(body)} bytes do not fit into a frame")
    return bytes((len(body),)) + body


def format_a(body: bytes) -> bytes:
    """Return the frame: ten bytes, then sixteen at a time, each block with its check sequence."""
    frame = with_length(body)
    ends = [0, *range(_FIRST_BLOCK, len(frame), _A_BLOCK), len(frame)]
    return b"".join(_checked(frame[start:end]) for start, end in pairwise(ends))


def format_b(body: bytes) -> bytes:
    """Return the frame: its length counts the check sequences, one for up to 126 bytes each."""
    second = body[_B_SECOND_BLOCK - 1 :]
    length = len(body) + _CRC_LENGTH * (2 if second else 1)
    if length > MOST_BYTES:
        raise ValueError(f"{len(body)} bytes do not fit into a frame of format B")
    first = bytes((length,)) + body[: _B_SECOND_BLOCK - 1]
    return _checked(first) + (_checked(second) if second else b"")


def _checked(block: bytes) -> bytes:
    return block + check_sequence(block).to_bytes(_CRC_LENGTH)


FORMATS: Mapping[FrameFormat, Callable[[bytes], bytes]] = {"A": format_a, "B": format_b}
