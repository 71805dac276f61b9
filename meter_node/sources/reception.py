"""Bytes from a front-end to blocks in the node's time. Pure: the bytes and the clock are handed in.

One class for the framed stream, one for the buffer of a Linux IIO device; each item they give
stands in order: damage first, then the block that follows it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import DigitalInputs, SampleBlock

from . import Item
from .clipping import with_clipping
from .codes import rails
from .framing import Damaged, Decoder, Event, Lost, Restarted, StreamBlock
from .iio import TIMESTAMP, ScanLayout, code_limits, to_codes
from .items import Break, Damage, Kind, SourceError
from .timeline import NANO, Timeline

NOMINAL_TEMPERATURE_C = 23.0
# Loss shows in the scans' times when they have moved on by this much of a period more than counted.
LOST_SHARE = 0.75


class StreamReception:
    """A framed stream (see `framing`) of a known rate and number of phases.

    `by_sender`: the sender's clock is the better one, and its times are used where it gives them.
    """

    def __init__(self, sampling_rate_hz: int, phases: int, *, by_sender: bool = False) -> None:
        self._rate_hz = sampling_rate_hz
        self._phases = phases
        self._by_sender = by_sender
        self._decoder = Decoder()
        self._timeline = Timeline(sampling_rate_hz)
        self._lost: Lost | None = None
        self._last_ns = 0
        self._temperature_c = NOMINAL_TEMPERATURE_C
        self.inputs = DigitalInputs()

    def cut(self) -> None:
        """The line was cut: what stood half received is given up. The sender may count on."""
        self._decoder.forget_half()

    def feed(self, data: bytes, now_ns: int) -> Iterator[Item]:
        """Takes bytes that came by `now_ns`.

        Raises SourceError for blocks of another rate or number of phases.
        """
        for event in self._decoder.feed(data):
            yield from self._take(event, now_ns)

    def _take(self, event: Event, now_ns: int) -> Iterator[Item]:
        match event:
            case StreamBlock():
                yield from self._block(event, now_ns)
            case Lost():
                self._lost = event
            case Damaged():
                detail = f"{event.octets} bytes: {event.reason}"
                yield Damage(Kind.DAMAGED, 0, 0, now_ns, detail)
            case Restarted():
                self._timeline.restart()
                yield Break("the front-end counts anew")

    def _block(self, block: StreamBlock, now_ns: int) -> Iterator[Item]:
        if block.sampling_rate_hz != self._rate_hz or block.voltage.shape[0] != self._phases:
            raise SourceError(
                f"the front-end sends {block.voltage.shape[0]} phases at "
                f"{block.sampling_rate_hz} Hz; configured are {self._phases} at {self._rate_hz} Hz"
            )
        if self._by_sender and block.time_ns is not None:
            now_ns = block.time_ns + block.samples * NANO // self._rate_hz
        place = self._timeline.place(block.first_sample, block.samples, now_ns)
        lost, self._lost = self._lost, None
        if place.broken:
            yield Break(place.broken)
        elif lost:
            why = f"{lost.blocks} blocks lost" if lost.blocks else "left out by the front-end"
            first = place.first_sample - lost.samples
            start_ns = place.start_ns - lost.samples * NANO // self._rate_hz
            yield Damage(Kind.MISSING, first, lost.samples, start_ns, why)
        if block.clipped:
            yield Damage(
                Kind.CLIPPED,
                place.first_sample,
                block.samples,
                place.start_ns,
                "says the front-end",
            )
        if block.shunt_temperature_c is not None:
            self._temperature_c = block.shunt_temperature_c
        self.inputs = block.inputs
        yield from with_clipping(
            SampleBlock(
                block.voltage,
                block.current,
                self._rate_hz,
                place.first_sample,
                place.start_ns,
                self._temperature_c,
            ),
            [rails(block.code_bits)] * (2 * self._phases),
        )


class ScanReception:
    """The buffer of an IIO device: scans of `layout`, of which `names` are U1…, then I1….

    A driver says nothing when its buffer ran over. Where scans carry their times the loss shows
    there; where not, only in the clock, when samples stay behind it by more than the line is late.
    """

    def __init__(self, sampling_rate_hz: int, layout: ScanLayout, names: Sequence[str]) -> None:
        self._rate_hz = sampling_rate_hz
        self._layout = layout
        self._names = list(names)
        types = {element.name: element.type for element in layout.elements}
        self._limits = [code_limits(types[name]) for name in names]
        self._has_times = TIMESTAMP in types
        self._timeline = Timeline(sampling_rate_hz)
        self._rest = b""
        self._next = 0
        self._least_late: float | None = None
        self._origin_ns: int | None = None

    def feed(self, data: bytes, now_ns: int) -> Iterator[Item]:
        """Takes bytes that were there by `now_ns`; scans that are not whole wait for the rest."""
        data = self._rest + data
        whole = len(data) - len(data) % self._layout.scan_octets
        self._rest = data[whole:]
        if not whole:
            return
        scans = data[:whole]
        codes = to_codes(self._layout.values(scans, self._names), self._layout, self._names)
        lost = 0
        if self._has_times:
            lost = self._lost(self._layout.values(scans, [TIMESTAMP])[0])
        first = self._next + lost
        self._next = first + codes.shape[1]
        place = self._timeline.place(first, codes.shape[1], now_ns)
        if place.broken:
            yield Break(place.broken)
        elif lost:
            start_ns = place.start_ns - lost * NANO // self._rate_hz
            detail = "the buffer ran over"
            yield Damage(Kind.MISSING, place.first_sample - lost, lost, start_ns, detail)
        phases = codes.shape[0] // 2
        yield from with_clipping(
            SampleBlock(
                codes[:phases],
                codes[phases:],
                self._rate_hz,
                place.first_sample,
                place.start_ns,
                NOMINAL_TEMPERATURE_C,
            ),
            self._limits,
        )

    def _lost(self, times_ns: NDArray[np.int64]) -> int:
        """How many scans are missing before these, by their own times.

        A single time may be late, as interrupts are; the least late of the scans is compared with
        the least late of those before. What is lost within them shows with the next ones.
        """
        if self._origin_ns is None:
            self._origin_ns = int(times_ns[0])
        counted = self._next + np.arange(times_ns.size)
        late = float(np.min((times_ns - self._origin_ns) * (self._rate_hz / NANO) - counted))
        before, self._least_late = self._least_late, late
        if before is None or late - before < LOST_SHARE:
            return 0
        lost = round(late - before)
        self._least_late = late - lost
        return lost
