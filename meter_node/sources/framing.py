"""The framing of live samples, byte by byte as docs/front-end.md tells it. No I/O and no clock.

Bytes go in, in pieces of any size; blocks and what befell them come out. A block that is not whole
is never given, and one that is lost is told, not made up.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import DigitalInputs
from meter_node.metrology.block import CODE_BITS

from .codes import pack, rails, unpack

# Its last byte is no ASCII and no UTF-8: no line of text has it.
MAGIC = b"MNS\xb1"
VERSION = 1
_HEADER = struct.Struct("<4sBBBBIIQqHhB3x")
_CHECK = struct.Struct("<I")
HEADER_SIZE = _HEADER.size + _CHECK.size
MOST_PAYLOAD = 1 << 18
"""Of one block, in bytes: three phases of four-byte codes at 64 kHz for 170 ms."""
MOST_SKIPPED = 4096
"""Noise is told when a block follows it, or when there is this much."""
MOST_PHASES = 3
WIDTHS = (2, 3, 4)
NO_TIME = 0
NO_TEMPERATURE = -(1 << 15)
FLAG_CLIPPED = 0x01
_SEQUENCES = 1 << 32
_PER_DEGREE = 100

# What each bit of the contacts' octet says.
_CONTACTS = {
    "meter_cover_open": 0x04,
    "terminal_cover_open": 0x08,
    "magnet": 0x10,
    "button": 0x20,
}
_HAS_BREAKER, _BREAKER_CLOSED = 0x01, 0x02


@dataclass(frozen=True, slots=True, eq=False)
class StreamBlock:
    """One block as it was sent: codes int32 [phases, n].

    `time_ns` is the sender's UTC of the first sample, None without a clock; `clipped` is what the
    sender noticed of its converter; `code_bits` what the codes' width on the line lets through.
    """

    sequence: int
    first_sample: int
    sampling_rate_hz: int
    voltage: NDArray[np.int32]
    current: NDArray[np.int32]
    time_ns: int | None = None
    shunt_temperature_c: float | None = None
    inputs: DigitalInputs = field(default_factory=DigitalInputs)
    clipped: bool = False
    code_bits: int = CODE_BITS

    @property
    def samples(self) -> int:
        """How many of each channel."""
        return int(self.voltage.shape[1])


@dataclass(frozen=True, slots=True)
class Lost:
    """Blocks that were sent and did not come; `blocks` 0: the sender itself left samples out."""

    blocks: int
    first_sample: int
    samples: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """So many bytes that are no block."""

    octets: int
    reason: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """The sender counts anew: what follows belongs to a new stream."""


type Event = StreamBlock | Lost | Damaged | Restarted


def encode(block: StreamBlock, width: int = 3) -> bytes:
    """A block as bytes on the line. Raises ValueError for what has no place in one."""
    payload = pack(np.concatenate([block.voltage, block.current]), width)
    if not 1 <= block.voltage.shape[0] <= MOST_PHASES or not block.samples:
        raise ValueError(f"voltage of the shape {block.voltage.shape}")
    if len(payload) > MOST_PAYLOAD:
        raise ValueError(f"{len(payload)} bytes of samples, more than {MOST_PAYLOAD}")
    temperature = NO_TEMPERATURE
    if block.shunt_temperature_c is not None:
        temperature = round(block.shunt_temperature_c * _PER_DEGREE)
    try:
        header = _HEADER.pack(
            MAGIC,
            VERSION,
            FLAG_CLIPPED if block.clipped else 0,
            block.voltage.shape[0],
            width,
            block.sequence,
            block.sampling_rate_hz,
            block.first_sample,
            block.time_ns or NO_TIME,
            block.samples,
            temperature,
            _contacts(block.inputs),
        )
    except struct.error as error:
        raise ValueError(str(error)) from None
    return b"".join(
        (header, _CHECK.pack(zlib.crc32(header)), payload, _CHECK.pack(zlib.crc32(payload)))
    )


class Decoder:
    """Finds the blocks in a stream of bytes; holds one block's worth of them at the most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skipped = 0
        self._why = ""
        self._next_sequence: int | None = None
        self._next_sample = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Takes bytes from the line, gives what is complete with them, in order."""
        # In pieces, so that what is held stays small however much comes at once.
        for start in range(0, len(data), MOST_PAYLOAD):
            self._held += data[start : start + MOST_PAYLOAD]
            while (block := self._next_block()) is not None:
                yield from self._damage()
                yield from self._in_sequence(block)
            if self._skipped >= MOST_SKIPPED:
                yield from self._damage()

    def forget_half(self) -> None:
        """Gives up a block that stands half received: what comes next is of another connection."""
        self._held.clear()

    def _next_block(self) -> StreamBlock | None:
        """The next whole block, with everything before it skipped; None: more bytes are needed."""
        while True:
            self._skip_to_magic()
            if len(self._held) < HEADER_SIZE:
                return None
            header = bytes(self._held[:HEADER_SIZE])
            size, why = _payload_size(header)
            if not why:
                whole = HEADER_SIZE + size + _CHECK.size
                if len(self._held) < whole:
                    return None
                payload = bytes(self._held[HEADER_SIZE : whole - _CHECK.size])
                (check,) = _CHECK.unpack_from(self._held, whole - _CHECK.size)
                why = "" if check == zlib.crc32(payload) else "the samples' check is wrong"
                block = None if why else _block(header, payload)
                if block is not None:
                    del self._held[:whole]
                    return block
                why = why or f"codes of more than {CODE_BITS} bits"
            # A block may begin within what looked like one: only its first byte is given up.
            self._skip(1, why)

    def _skip_to_magic(self) -> None:
        found = self._held.find(MAGIC)
        if found < 0:
            # The end may be the beginning of the magic.
            keep = next(
                (n for n in range(len(MAGIC) - 1, 0, -1) if self._held.endswith(MAGIC[:n])), 0
            )
            found = len(self._held) - keep
        if found:
            self._skip(found, "no beginning of a block")

    def _skip(self, octets: int, why: str) -> None:
        del self._held[:octets]
        self._why = self._why or why
        self._skipped += octets

    def _damage(self) -> Iterator[Damaged]:
        if self._skipped:
            yield Damaged(self._skipped, self._why)
        self._skipped, self._why = 0, ""

    def _in_sequence(self, block: StreamBlock) -> Iterator[Event]:
        if self._next_sequence is not None:
            ahead = (block.sequence - self._next_sequence) % _SEQUENCES
            missing = block.first_sample - self._next_sample
            if ahead == _SEQUENCES - 1 and missing == -block.samples:
                yield Damaged(HEADER_SIZE, f"block {block.sequence} came twice")
                return
            if ahead >= _SEQUENCES // 2 or missing < 0 or (ahead and not missing):
                yield Restarted()
            elif missing:
                yield Lost(ahead, self._next_sample, missing)
        self._next_sequence = (block.sequence + 1) % _SEQUENCES
        self._next_sample = block.first_sample + block.samples
        yield block


def _payload_size(header: bytes) -> tuple[int, str]:
    """How many bytes of samples follow, and why this is no header if it isn't."""
    (check,) = _CHECK.unpack_from(header, _HEADER.size)
    if check != zlib.crc32(header[: _HEADER.size]):
        return 0, "the header's check is wrong"
    _, version, _, phases, width, _, rate_hz, _, _, samples, _, _ = _HEADER.unpack_from(header)
    if version != VERSION:
        return 0, f"version {version} of the framing, not {VERSION}"
    if not 1 <= phases <= MOST_PHASES or width not in WIDTHS or not samples or not rate_hz:
        return 0, f"{phases} phases, {width} bytes, {samples} samples, {rate_hz} Hz in a header"
    size = 2 * phases * width * samples
    return size, f"{size} bytes of samples" if size > MOST_PAYLOAD else ""


def _block(header: bytes, payload: bytes) -> StreamBlock | None:
    _, _, flags, phases, width, sequence, rate_hz, first, time_ns, _, temperature, contacts = (
        _HEADER.unpack_from(header)
    )
    codes = unpack(payload, width, 2 * phases)
    low, high = rails(CODE_BITS)
    if codes.min() < low or codes.max() > high:
        return None
    return StreamBlock(
        sequence=sequence,
        first_sample=first,
        sampling_rate_hz=rate_hz,
        voltage=codes[:phases],
        current=codes[phases:],
        time_ns=None if time_ns == NO_TIME else time_ns,
        shunt_temperature_c=(
            None if temperature == NO_TEMPERATURE else temperature / _PER_DEGREE
        ),
        inputs=_inputs(contacts),
        clipped=bool(flags & FLAG_CLIPPED),
        code_bits=min(8 * width, CODE_BITS),
    )  # fmt: skip


def _contacts(inputs: DigitalInputs) -> int:
    octet = sum(bit for name, bit in _CONTACTS.items() if getattr(inputs, name))
    if inputs.breaker_closed is not None:
        octet |= _HAS_BREAKER | (_BREAKER_CLOSED if inputs.breaker_closed else 0)
    return octet


def _inputs(octet: int) -> DigitalInputs:
    breaker = bool(octet & _BREAKER_CLOSED) if octet & _HAS_BREAKER else None
    return DigitalInputs(breaker, **{name: bool(octet & bit) for name, bit in _CONTACTS.items()})
