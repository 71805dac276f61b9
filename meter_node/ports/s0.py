"""The S0 port: committed energy as pulses, on a Linux GPIO line or recorded in a file.

At any moment pulses sent ÷ constant = register - what waits, counted from when the module was
first there. What waits outlives a power cut. Must not know how the meter works.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self, override

from pydantic import Field, model_validator

from meter_node.channel import registers

from .bearers import Place, line_place, path_place
from .conversation import reason
from .module import Led, MeterView, ModuleSettings
from .outputs import OutputLine
from .pulse_train import NS_PER_MS, PAUSE_MS, Pulse, PulseOutput, PulseSettings

if TYPE_CHECKING:
    import gpiod

_LOGGER = logging.getLogger(__name__)

NANO = 10**9
LONGEST_INTERVAL_S = 60
"""An image comes at least so often."""
LEAST_WINDOW_NS = NANO // 2
"""Pulses are released for so long at least: each time is a write to the store."""
MOST_BEHIND_NS = 3600 * NANO
"""A host's clock that is further behind the last pulse is right, and that pulse's time wrong."""
_AS_KEPT = "counted "
_CONSUMER = "meter-node S0"

type Energy = Literal[
    "import_active_energy",
    "export_active_energy",
    "import_reactive_energy",
    "export_reactive_energy",
]


class S0Settings(ModuleSettings):
    """``[[meter.module]]`` with ``kind = "s0"``: pulses on ``offset`` or into ``file``."""

    kind: Literal["s0"]
    energy: Energy = "import_active_energy"
    constant: int = Field(default=1000, ge=100, le=1000)
    pulse_ms: Literal[30, 80] = 30
    chip: str = Field(default="/dev/gpiochip0", min_length=1)
    offset: int | None = Field(default=None, ge=0)
    active_low: bool = False
    file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_output(self) -> Self:
        if (self.offset is None) == (self.file is None):
            raise ValueError("give offset (a line of the chip) or file, one of them")
        lines_own = {"chip", "active_low"} & self.model_fields_set
        if self.file is not None and lines_own:
            raise ValueError(f"{' and '.join(sorted(lines_own))}: only used with offset, not file")
        return self

    @override
    def fit(self, phases: int, maximum_current_a: int) -> None:
        """Raise ValueError where the meter's range can outrun the pulses."""
        self.pulses.check(phases, maximum_current_a)

    @property
    @override
    def places(self) -> tuple[Place, ...]:
        """Its line or its file."""
        if self.file is not None:
            return (path_place(self.file),)
        assert self.offset is not None  # or there would be a file
        return (line_place(self.chip, self.offset),)

    @property
    def pulses(self) -> PulseSettings:
        """Constant and length."""
        return PulseSettings(self.constant, self.pulse_ms)

    @property
    def place(self) -> str:
        """What tells this output from the meter's others; under it its state is kept."""
        where = self.file or f"{self.chip} {self.offset}"
        return f"{_AS_KEPT}{self.energy} {where}"


# --- what is kept ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the pulses stand.

    The register up to which energy was taken, what waits, and how many pulses were being sent, all
    of which begin after ``after_ns``; the last one before them began at ``behind_ns``.
    """

    register: int
    queued: int
    rest: int
    constant: int
    sending: int = 0
    after_ns: int = 0
    behind_ns: int = 0

    def to_text(self) -> str:
        """Return it as it is kept."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read it back. Raises ValueError for what is none."""
        try:
            return cls(**{name: int(value) for name, value in json.loads(text).items()})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a state of pulses: {error}") from None


class Train:
    """Register in, pulses out: knows what was taken, what waits and what is under way."""

    def __init__(self, settings: PulseSettings, kept: Kept, sent: int | None) -> None:
        """Go on from what was kept.

        ``sent``: how many of those under way are known to have been sent; None: nobody can tell,
        and all count as sent, for none may be sent twice. Raises ValueError for what can't be.
        """
        back = 0 if sent is None else max(kept.sending - sent, 0)
        waiting = {
            "queued": kept.queued + back,
            "rest": kept.rest,
            "constant": kept.constant,
        }
        self._output = PulseOutput.from_backlog(settings, waiting)
        self.register = kept.register

    def take(self, register: int, start_ns: int, end_ns: int) -> tuple[Pulse, ...]:
        """Return the pulses of [start, end) for a register of an image, in whole Wh or varh."""
        grown = (register - self.register) % registers.ROLLOVER_WH
        if grown > registers.ROLLOVER_WH // 2:
            grown = 0  # it went back: another meter's store, and nothing is owed
        self.register = register
        return self._output.release(grown * NANO, start_ns, end_ns)

    @property
    def waiting(self) -> bool:
        """Whether there are whole pulses that no interval had room for."""
        return self._output.backlog["queued"] > 0

    def kept(
        self, sending: int = 0, after_ns: int = 0, behind_ns: int = 0, *, unsent: int = 0
    ) -> Kept:
        """Return what must outlive a cut, with so many under way, or given back."""
        waits = self._output.backlog
        queued, rest, constant = waits["queued"] + unsent, waits["rest"], waits["constant"]
        return Kept(self.register, queued, rest, constant, sending, after_ns, behind_ns)


# --- outputs --------------------------------------------------------------------------------------


class Output(Protocol):
    """A line that is on or off. All raise OSError."""

    sent: int
    """Pulses that whoever counts them can have counted."""

    def set(self, on: bool, now_ns: int) -> None:
        """Switch it."""

    last: Pulse | None
    """The last pulse that stands there, an earlier run's among them."""

    def sent_of(self, kept: Kept) -> int | None:
        """How many pulses of those under way an earlier run sent; None: that can't be told."""

    def close(self) -> None:
        """Let go of it, off."""


class GpioOutput:
    """A line of a Linux GPIO chip. A photo-coupler's diode hangs on it."""

    def __init__(
        self,
        chip: str,
        line: OutputLine,
        request_lines: Callable[..., gpiod.LineRequest] | None = None,
    ) -> None:
        """`request_lines` is gpiod's unless given. Raises OSError, ImportError without gpiod."""
        import gpiod
        from gpiod.line import Direction, Value

        self.sent = 0
        self.last: Pulse | None = None
        self._values = {True: Value.ACTIVE, False: Value.INACTIVE}
        self._offset = line.offset
        settings = gpiod.LineSettings(
            direction=Direction.OUTPUT, active_low=line.active_low, output_value=Value.INACTIVE
        )
        request = request_lines or gpiod.request_lines
        self._request = request(chip, consumer=_CONSUMER, config={line.offset: settings})

    def set(self, on: bool, now_ns: int) -> None:
        """Switch it: the edge is what is counted."""
        self._request.set_value(self._offset, self._values[on])
        self.sent += on

    def sent_of(self, kept: Kept) -> int | None:
        """A line remembers nothing."""
        return None

    def close(self) -> None:
        """Release the line, off."""
        try:
            self._request.set_value(self._offset, self._values[False])
        finally:
            self._request.release()


_LONGEST_LINE = 2 * len("1790000000000000000,")
_MOST_LINES = LONGEST_INTERVAL_S * 1000 // 60
"""Of the longest interval, of the shortest pulses and pauses."""
_PULSE = re.compile(rb"(\d{1,19}),(\d{1,19})")
_PART = re.compile(rb"\d{19}(,\d{0,19})?")


def is_begun(left: bytes, now_ns: int) -> bool:
    """Whether this may be what a cut left of a first line: a part of what is written here now.

    Fewer digits than a time has may be anybody's: the number of a process, for example.
    """
    return str(now_ns).encode().startswith(left) or _PART.fullmatch(left) is not None


def sent_of(kept: Kept, recorded: Sequence[Pulse]) -> int:
    """Return how many of the pulses under way stand in a record."""
    begun = [pulse.on_ns for pulse in recorded]
    if kept.behind_ns in begun:
        # By their place: a clock that was put right between two runs makes earlier ones later.
        begun = begun[len(begun) - begun[::-1].index(kept.behind_ns) :]
    return sum(on_ns > kept.after_ns for on_ns in begun)


class RecordedOutput:
    """A time series: a line ``on_ns,off_ns`` (UTC) a pulse, in a file that grows."""

    def __init__(self, path: Path) -> None:
        """Open it and cut off what a power cut left of a line.

        Raises OSError, also for a file that holds something else: nothing is cut off that.
        """
        self.sent = 0
        self._path = path
        self._on_ns: int | None = None
        was_there = path.exists()
        self._file = path.open("ab+", buffering=0)
        try:
            self._pulses = self._last_pulses()
        except OSError:
            self._file.close()
            raise
        self._tells = was_there
        self.last = self._pulses[-1] if self._pulses else None

    def _last_pulses(self) -> list[Pulse]:
        """Return as many as an interval can have; cut off a begun one. Raises OSError."""
        size = self._file.seek(0, os.SEEK_END)
        start = max(size - _LONGEST_LINE * (_MOST_LINES + 1), 0)
        self._file.seek(start)
        # Of its size: a device may have no end.
        *lines, begun = self._file.read(size - start).split(b"\n")
        found = [_PULSE.fullmatch(line) for line in lines[1 if start else 0 :]]
        pulses = [Pulse(int(match[1]), int(match[2])) for match in found if match]
        # Behind pulses it may be anything that a power cut or a scribbler left; the first one must
        # look like one. Some file systems leave zeros where bytes were to come.
        is_first = not start and is_begun(begun.rstrip(b"\0"), time.time_ns())
        if len(pulses) < len(found) or not (pulses or is_first):
            raise OSError("it holds something else than pulses: name another file, or remove it")
        if begun:
            self._file.truncate(size - len(begun))
        return pulses

    def set(self, on: bool, now_ns: int) -> None:
        """Remember when it went on; the pulse is there when it goes off."""
        if on:
            self._on_ns = now_ns
        elif self._on_ns is not None:
            begun_ns, self._on_ns = self._on_ns, None
            if not self._is_there():
                raise OSError("it was taken away, or another put in its place")
            line = f"{begun_ns},{now_ns}\n".encode()
            written = self._file.write(line)
            if written != len(line):
                self._file.truncate(self._file.seek(0, os.SEEK_END) - written)
                raise OSError(errno.ENOSPC, "the disk is full")
            self.sent += 1
            self.last = Pulse(begun_ns, now_ns)

    def _is_there(self) -> bool:
        """Whether whoever opens the path now finds what is written here."""
        with suppress(OSError):
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        return False

    def sent_of(self, kept: Kept) -> int | None:
        """Count the lines; a file that is gone tells nothing."""
        return sent_of(kept, self._pulses) if self._tells else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_output(settings: S0Settings) -> Output:
    """Return the output of a configuration. Raises OSError, also without gpiod."""
    with _named(settings):
        if settings.file is not None:
            return RecordedOutput(Path(settings.file))
        assert settings.offset is not None  # or there would be a file
        try:
            return GpioOutput(settings.chip, OutputLine(settings.offset, settings.active_low))
        except ImportError:
            raise OSError("needs the gpiod package: pip install meter-node[gpio]") from None


@contextmanager
def _named(settings: S0Settings) -> Iterator[None]:
    """Say of an error where it is. Raises OSError."""
    try:
        yield
    except OSError as error:
        where = settings.file or f"{settings.chip} offset {settings.offset}"
        raise OSError(f"{where}: {reason(error)}") from None


# --- sending --------------------------------------------------------------------------------------


def begins_ns(host_ns: int, last: Pulse | None) -> int:
    """Return which time it is, by the host's clock and the last pulse.

    A host whose clock is a little behind goes on from that pulse, so that times never go back. One
    that is far behind is believed: else a single wrong time would have all that follow it be wrong.
    """
    if last is None or last.off_ns - host_ns > MOST_BEHIND_NS:
        return host_ns
    return max(host_ns, last.off_ns)


class Clock:
    """Monotonic nanoseconds, near UTC's: a host clock that is set disturbs no pulse."""

    def __init__(self, begun_ns: int) -> None:
        """Begin at a moment."""
        self._offset_ns = begun_ns - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return them."""
        return time.monotonic_ns() + self._offset_ns

    async def wait_until(self, moment_ns: int) -> None:
        """Return then, never before."""
        if (left_ns := moment_ns - self.now_ns()) > 0:
            await asyncio.sleep(left_ns / NANO)


class Sender:
    """Sends pulses one after the other; none is cut short, nor a pause."""

    def __init__(self, output: Output, clock: Clock, led: Led | None) -> None:
        """Nothing was sent yet, or long ago."""
        self.output = output
        self.clock = clock
        self._led = led
        self._free_ns = 0

    async def send(self, pulse: Pulse) -> None:
        """Send it when it is due. Raises OSError."""
        await self.clock.wait_until(max(pulse.on_ns, self._free_ns))
        whole = asyncio.ensure_future(self._whole(pulse.off_ns - pulse.on_ns))
        try:
            await asyncio.shield(whole)
        finally:
            await whole

    async def _whole(self, length_ns: int) -> None:
        begun_ns = self.clock.now_ns()
        self.output.set(True, begun_ns)
        if self._led is not None:
            self._led.blink()
        try:
            await self.clock.wait_until(begun_ns + length_ns)
        finally:
            ended_ns = self.clock.now_ns()
            self.output.set(False, ended_ns)
            self._free_ns = ended_ns + PAUSE_MS * NS_PER_MS


async def run(view: MeterView, settings: S0Settings) -> None:
    """Pulse until cancelled. Raises OSError, StoreError: then it is begun again."""
    with nullcontext() if view.led is None else view.led.led_follows(settings.constant):
        output = open_output(settings)
        try:
            await _pulse(view, settings, output)
        finally:
            # First of all: a line that is not let go of is refused to whoever begins again.
            with suppress(OSError):
                output.close()


class Pace:
    """Which image's energy is pulsed next, and until when. Pure.

    Of each interval the first image counts; those that somebody else wanted between are left out.
    So the energy of an interval has an interval to be sent in, and the distance of pulses is the
    power, whatever other beats there are.
    """

    def __init__(self, second: int, register: int, interval_s: int, now_ns: int) -> None:
        """Begin with any image; ``register`` is the one that is pulsed, in whole Wh or varh."""
        self._take(second, register, interval_s, now_ns)

    def see(self, second: int, register: int, interval_s: int, now_ns: int) -> None:
        """Look at the image that there is; it may be the one before."""
        if second // interval_s != self.second // interval_s:
            self._take(second, register, interval_s, now_ns)

    def _take(self, second: int, register: int, interval_s: int, now_ns: int) -> None:
        self.second, self.register = second, register
        self.next_ns = now_ns + (interval_s - second % interval_s) * NANO
        """When the next one that counts is due."""


async def _pulse(view: MeterView, settings: S0Settings, output: Output) -> None:
    # A clock that went back between two runs must not have this one's pulses before the last one's:
    # what was sent of an interval is told by their times.
    host_ns = time.time_ns()
    clock = Clock(begins_ns(host_ns, output.last))
    if output.last is not None and output.last.off_ns - host_ns > MOST_BEHIND_NS:
        _LOGGER.warning(
            "%s: s0: %s: its last pulse is %.0f s ahead of the clock; those that follow go by the "
            "clock",
            *(view.name, settings.file, (output.last.off_ns - host_ns) / NANO),
        )

    def image() -> tuple[int, int, int, int]:
        register = view.raw(settings.energy) or 0
        return view.second, register, view.interval_s, clock.now_ns()

    def look() -> None:
        pace.see(*image())

    async def watch() -> None:
        """See every image, also those that come while pulses are sent."""
        while True:
            await view.committed()
            look()

    await view.committed()
    pace = Pace(*image())
    watching = asyncio.create_task(watch())
    try:
        train = await _go_on(view, settings, output, pace.register)
        sender = Sender(output, clock, view.led)
        await _send_all(view, settings, train, sender, pace, look)
    finally:
        watching.cancel()


async def _send_all(
    view: MeterView,
    settings: S0Settings,
    train: Train,
    sender: Sender,
    pace: Pace,
    look: Callable[[], None],
) -> None:
    taken_s: int | None = None
    end_ns = 0
    while True:
        look()
        if pace.second == taken_s and not train.waiting:
            await view.committed()
            continue
        taken_s = pace.second
        # Until the next image is there, however long the last pulses took.
        start_ns = max(sender.clock.now_ns(), end_ns)
        end_ns = max(pace.next_ns, start_ns + LEAST_WINDOW_NS)
        pulses = train.take(pace.register, start_ns, end_ns)
        if not pulses:
            continue
        # Counted before they are sent: a cut may swallow some, and never sends one twice.
        behind_ns = sender.output.last.on_ns if sender.output.last else 0
        await _keep(view, settings, train.kept(len(pulses), start_ns - 1, behind_ns))
        before = sender.output.sent
        try:
            with _named(settings):
                for pulse in pulses:
                    await sender.send(pulse)
        finally:
            unsent = len(pulses) - (sender.output.sent - before)
            if unsent:
                await asyncio.shield(_keep(view, settings, train.kept(unsent=unsent)))


async def _go_on(view: MeterView, settings: S0Settings, output: Output, register: int) -> Train:
    """Take up what was kept; a module that is new begins at the register as it is."""
    begun = Kept(register, 0, 0, settings.constant)
    if (text := await view.keeping.kept(settings.place)) is not None:
        try:
            kept = Kept.from_text(text)
            return Train(settings.pulses, kept, output.sent_of(kept))
        except ValueError as error:
            _LOGGER.error("%s: s0: %s; it begins at the register as it is", view.name, error)
    await _keep(view, settings, begun)
    return Train(settings.pulses, begun, None)


async def _keep(view: MeterView, settings: S0Settings, kept: Kept) -> None:
    await view.keeping.keep(settings.place, kept.to_text())
