"""Packed converter codes to int32 and back, and where they clip. Knows no file and no stream."""

import numpy as np
from numpy.typing import NDArray

# One sample at the converter's end may be a true peak; a sine that is cut stays there.
CLIPPED_RUN = 3


def rails(bits: int) -> tuple[int, int]:
    """The lowest and highest code of a two's complement converter."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def unpack(raw: bytes, width: int, channels: int) -> NDArray[np.int32]:
    """Little-endian signed integers of 2, 3 or 4 bytes, channel by channel within an instant.

    Gives int32 [channels, n]. What does not fill an instant at the end is left out. Raises
    ValueError for another width.
    """
    whole = len(raw) - len(raw) % (width * channels)
    if width == 3:
        octets = np.frombuffer(raw, np.uint8, whole).reshape(-1, 3)
        padded = np.zeros((octets.shape[0], 4), np.uint8)
        padded[:, 1:] = octets  # into the upper three bytes: the shift back brings the sign along
        codes = padded.view("<i4")[:, 0] >> 8
    elif width in (2, 4):
        codes = np.frombuffer(raw, f"<i{width}", whole // width)
    else:
        raise ValueError(f"codes of 2, 3 or 4 bytes, not {width}")
    return np.ascontiguousarray(codes.reshape(-1, channels).T, dtype=np.int32)


def pack(codes: NDArray[np.int32], width: int) -> bytes:
    """The other way round, from int32 [channels, n]. Raises ValueError for what doesn't fit."""
    if width not in (2, 3, 4):
        raise ValueError(f"codes of 2, 3 or 4 bytes, not {width}")
    low, high = rails(8 * width)
    if codes.size and (codes.min() < low or codes.max() > high):
        raise ValueError(f"codes {codes.min()}…{codes.max()} don't fit {width} bytes")
    octets = np.ascontiguousarray(codes.T, dtype="<i4").view(np.uint8).reshape(-1, 4)
    return octets[:, :width].tobytes()


def clipped(codes: NDArray[np.int32], low: int, high: int) -> int:
    """How many of these codes [n] lie in runs of at least CLIPPED_RUN at either end."""
    at_end = (codes >= high) | (codes <= low)
    if not at_end.any():
        return 0
    edges = np.flatnonzero(np.diff(at_end, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= CLIPPED_RUN].sum())


def runs(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where [n] is true, as pairs of start and stop."""
    edges = np.flatnonzero(np.diff(good, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
