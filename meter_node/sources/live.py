"""Sources that take their time: lines, sockets, pipes, devices, and what is played to a clock.

The only place here that waits and opens; it must not know what comes in: `reception` does.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import serial_asyncio_fast

from meter_node.metrology import Calibration, DigitalInputs, SampleBlock
from meter_node.metrology.block import CODE_MAX

from . import Item, Source
from .channels import Channel
from .iio import Device, ScanLayout, code_limits, code_shift
from .items import Break, SourceError
from .reception import ScanReception, StreamReception
from .scaling import Scaling

NANO = 10**9
DEFAULT_BAUD_RATE = 921_600
OPEN_TIMEOUT_S = 10.0
SILENCE_S = 10.0
"""A line without a byte for so long is taken for cut."""
LONGEST_WAIT_S = 30.0
MOST_LAG_S = 10
"""Where the clock has moved by so much of itself (a suspended machine, a clock that was set), what
is played to it begins anew: what was not sampled is not invented."""
MOST_LATE_S = 60
"""Samples that wait because the node was busy are all there, and none of them is a power failure:
only a node that stood still for longer than this begins anew."""
_CHUNK = 1 << 16


def back_off_s(attempt: int) -> float:
    """How long to wait before the next attempt to open a line: 1, 2, 4 … 30 s."""
    return float(min(1 << min(attempt, 16), LONGEST_WAIT_S))


class PacedSource:
    """A source that has its samples at once, given out when their time has come.

    `begin` makes it for a start (UTC, ns); with `repeat` it begins again after its end.
    """

    def __init__(self, begin: Callable[[int], Source], *, repeat: bool = False) -> None:
        """Makes it once, to know it. Raises SourceError and OSError as `begin` does."""
        self._begin = begin
        self._repeat = repeat
        self._source = begin(0)

    @property
    def calibration(self) -> Calibration:
        """The source's."""
        return self._source.calibration

    @property
    def sampling_rate_hz(self) -> int:
        """The source's."""
        return self._source.sampling_rate_hz

    @property
    def phases(self) -> int:
        """The source's."""
        return self._source.phases

    @property
    def full_scale_codes(self) -> int:
        """The source's."""
        return self._source.full_scale_codes

    def inputs(self) -> DigitalInputs:
        """The source's."""
        return self._source.inputs()

    async def items(self) -> AsyncGenerator[Item]:
        """As `LiveSource` says; each begins on a whole second, where pushes are due."""
        # One and no pool of them: each thread that ever made a block keeps memory of its size.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="source") as thread:
            async with aclosing(self._played(thread)) as items:
                async for item in items:
                    yield item

    async def _played(self, thread: ThreadPoolExecutor) -> AsyncGenerator[Item]:
        loop = asyncio.get_running_loop()
        while True:
            start_ns = (time.time_ns() // NANO + 1) * NANO
            self._source = await loop.run_in_executor(thread, self._begin, start_ns)
            start_s = time.monotonic() + (start_ns - time.time_ns()) / NANO
            blocks = self._source.blocks()
            lag_s = moved_s = 0.0
            while (item := await loop.run_in_executor(thread, next, blocks, None)) is not None:
                if isinstance(item, SampleBlock):
                    end_ns = item.start_ns + item.samples * NANO // item.sampling_rate_hz
                    due_s = start_s + (end_ns - start_ns) / NANO
                    await asyncio.sleep(due_s - time.monotonic())
                    late_s = time.monotonic() - due_s
                    lag_s = (time.time_ns() - end_ns) / NANO
                    moved_s = lag_s - late_s
                yield item
                if abs(moved_s) > MOST_LAG_S or lag_s > MOST_LATE_S:
                    yield Break(f"the samples are {lag_s:.0f} s from the clock; beginning anew")
                    break
            else:
                if not self._repeat:
                    return
                yield Break("the recording begins again")


class StreamSource:
    """Framed blocks (docs/front-end.md) from `tcp://host:port`, `serial:///dev/…` or `stdin:`."""

    def __init__(
        self,
        url: str,
        sampling_rate_hz: int,
        phases: int,
        scaling: Scaling,
        *,
        by_sender: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Opens nothing yet. Raises SourceError where gains are missing."""
        self._url = url
        self.sampling_rate_hz = sampling_rate_hz
        self.phases = phases
        self.calibration = scaling.of_codes(phases)
        self.full_scale_codes = CODE_MAX
        self._by_sender = by_sender
        self._reception = self._new_reception()
        self._now_ns = now_ns

    def inputs(self) -> DigitalInputs:
        """As `LiveSource` says."""
        return self._reception.inputs

    async def items(self) -> AsyncGenerator[Item]:
        """As `LiveSource` says; standard input ends where its writer ends."""
        attempt = 0
        while True:
            try:
                async with aclosing(_read(self._url)) as chunks:
                    async for data in chunks:
                        # A block is what tells a front-end from noise.
                        for item in self._reception.feed(data, self._now_ns()):
                            attempt = 0 if isinstance(item, SampleBlock) else attempt
                            yield item
                reason = "the other side closed the line"
            except (OSError, SourceError) as error:
                reason = _reason(error)
                if self._url == "stdin:":
                    raise SourceError(f"{self._url}: {reason}") from None
                if isinstance(error, SourceError):  # another front-end, it seems
                    self._reception = self._new_reception()
            self._reception.cut()
            if self._url == "stdin:":
                return
            wait_s = back_off_s(attempt)
            attempt += 1
            yield Break(f"{self._url}: {reason}; next attempt in {wait_s:.0f} s")
            await asyncio.sleep(wait_s)

    def _new_reception(self) -> StreamReception:
        return StreamReception(self.sampling_rate_hz, self.phases, by_sender=self._by_sender)


class IioSource:
    """The buffer of a Linux IIO device; `channels` maps U1… and I1… to names as `in_voltage0`.

    Where `scaling` has no gains, a channel's volts at its pin become volts and amperes of the mains
    by `voltage_ratio` and `current_ratio_a_per_v`.
    """

    def __init__(
        self,
        sysfs: Path,
        device: Path,
        phases: int,
        channels: Mapping[str, str],
        sampling_rate_hz: int,
        scaling: Scaling,
        *,
        voltage_ratio: float | None = None,
        current_ratio_a_per_v: float | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Reads what the device says of itself. Raises SourceError."""
        self._sysfs, self._path = sysfs, device
        self.sampling_rate_hz = sampling_rate_hz
        self.phases = phases
        self._now_ns = now_ns
        roles = [f"{kind}{n + 1}" for kind in "UI" for n in range(phases)]
        if missing := [role for role in roles if role not in channels]:
            raise SourceError(f"no channel for {', '.join(missing)}")
        self._names = [channels[role] for role in roles]
        ratios = [voltage_ratio] * self.phases + [current_ratio_a_per_v] * self.phases
        described = [
            _described(Device(sysfs), name, ratio)
            for name, ratio in zip(self._names, ratios, strict=True)
        ]
        self.calibration = scaling.of_channels(described[: self.phases], described[self.phases :])
        self.full_scale_codes = min(channel.limits[1] for channel in described)

    def inputs(self) -> DigitalInputs:
        """A converter has no contacts."""
        return DigitalInputs()

    async def items(self) -> AsyncGenerator[Item]:
        """As `LiveSource` says."""
        attempt = 0
        while True:
            try:
                layout = await asyncio.to_thread(self._start)
                reception = ScanReception(self.sampling_rate_hz, layout, self._names)
                # A pipe in the device's place opens only once somebody writes: not on the loop.
                file = await asyncio.to_thread(self._path.open, "rb", buffering=0)
                async with aclosing(_read_pipe(file)) as chunks:
                    async for data in chunks:
                        for item in reception.feed(data, self._now_ns()):
                            attempt = 0
                            yield item
                reason = "the device gives no more"
            except (OSError, SourceError) as error:
                reason = _reason(error)
            finally:
                with suppress(OSError, SourceError):
                    Device(self._sysfs).stop()
            wait_s = back_off_s(attempt)
            attempt += 1
            yield Break(f"{self._path}: {reason}; next attempt in {wait_s:.0f} s")
            await asyncio.sleep(wait_s)

    def _start(self) -> ScanLayout:
        device = Device(self._sysfs)
        device.set_rate(self.sampling_rate_hz)
        return device.start(self._names, self.sampling_rate_hz)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {SILENCE_S:.0f} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _described(device: Device, name: str, ratio: float | None) -> Channel:
    kind = device.element_type(name)
    if ratio is None:
        return Channel(name, limits=code_limits(kind))
    scale, step = device.scale(name), 1 << code_shift(kind)
    return Channel(
        name,
        gain=scale.volts * step * ratio,
        offset_codes=-scale.offset_codes / step,
        limits=code_limits(kind),
    )


async def _read(url: str) -> AsyncGenerator[bytes]:
    """What comes over a line, until the other side closes it. Raises OSError."""
    parts = urlsplit(url)
    if parts.scheme == "stdin":
        async with aclosing(_read_pipe(sys.stdin.buffer)) as chunks:
            async for data in chunks:
                yield data
        return
    if parts.scheme == "tcp":
        opening = asyncio.open_connection(parts.hostname, parts.port)
        reader, writer = await asyncio.wait_for(opening, OPEN_TIMEOUT_S)
    else:
        query = parse_qs(parts.query)
        reader, writer = await serial_asyncio_fast.open_serial_connection(
            url=parts.netloc + parts.path,
            baudrate=int(query.get("baudrate", [str(DEFAULT_BAUD_RATE)])[0]),
        )
    try:
        while data := await asyncio.wait_for(reader.read(_CHUNK), SILENCE_S):
            yield data
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read_pipe(file: IO[bytes]) -> AsyncGenerator[bytes]:
    """What comes through a pipe or a character device. Raises OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    try:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
    except ValueError:
        file.close()
        raise SourceError(f"{file.name}: neither a pipe nor a device") from None
    try:
        while data := await asyncio.wait_for(reader.read(_CHUNK), SILENCE_S):
            yield data
    finally:
        transport.close()
        await asyncio.sleep(0)  # it closes the file only then; whoever writes next needs it closed
