"""The lines port: drives breaker and relays, reads the contacts, by simulated or Linux GPIO lines.

Is given committed wanted states only: a switch never moves for what a power cut could take back.
Must not know why a switch is to move, nor what an input means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import gpiod

_LOGGER = logging.getLogger(__name__)

BREAKER = "breaker"
RELAYS = ("relay_1", "relay_2")
CONTACTS = ("breaker_closed", "meter_cover_open", "terminal_cover_open", "magnet", "button")
"""Inputs by what True says."""

POLL_S = 0.1
LONGEST_PULSE_MS = 1000
_CONSUMER = "meter-node"


@dataclass(frozen=True, slots=True)
class Contacts:
    """What the inputs say; `breaker_closed` is None where nothing tells."""

    breaker_closed: bool | None = None
    meter_cover_open: bool = False
    terminal_cover_open: bool = False
    magnet: bool = False
    button: bool = False


class Lines(Protocol):
    """Outputs by name and contacts. All may raise OSError."""

    @property
    def names(self) -> frozenset[str]:
        """The outputs there are."""

    async def set(self, name: str, on: bool) -> None:
        """Close the breaker or switch a relay on, or off; returns when it was told."""

    def read(self) -> Contacts:
        """The contacts now."""

    def close(self) -> None:
        """Let go of the lines. A bistable breaker stays where it is."""


class SimulatedLines:
    """A breaker that follows after `follows_s`, or never (`stuck`); contacts that a test sets."""

    def __init__(
        self,
        relays: int = 0,
        *,
        clock: Callable[[], float],
        breaker_closed: bool | None = True,
        follows_s: float = 0.02,
    ) -> None:
        """`clock` gives seconds (a monotonic one); `breaker_closed` None is a meter without one."""
        outputs = (*((BREAKER,) if breaker_closed is not None else ()), *RELAYS[:relays])
        self.names = frozenset(outputs)
        self.stuck = False
        self.contacts = Contacts()
        self.relays = dict.fromkeys(RELAYS[:relays], False)
        self.moves = 0
        """How many times the breaker was driven."""
        self._clock = clock
        self._follows_s = follows_s
        self._closed = breaker_closed
        self._moves_to: bool | None = None
        self._there_s = 0.0

    async def set(self, name: str, on: bool) -> None:
        """Drive an output."""
        if name in self.relays:
            self.relays[name] = on
        elif name in self.names:
            self.moves += 1
            self._moves_to, self._there_s = on, self._clock() + self._follows_s

    def read(self) -> Contacts:
        """The contacts, with the breaker's feedback as far as it has come."""
        if self._moves_to is not None and not self.stuck and self._clock() >= self._there_s:
            self._closed, self._moves_to = self._moves_to, None
        if self.contacts.breaker_closed is not self._closed:
            self.contacts = replace(self.contacts, breaker_closed=self._closed)
        return self.contacts

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True)
class InputLine:
    """One contact's line on the chip; active low where it reads 0 for what its name says."""

    offset: int
    active_low: bool = False
    pull: Literal["up", "down", "none"] = "none"


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One output's line on the chip, held as long as it is on."""

    offset: int
    active_low: bool = False


@dataclass(frozen=True, slots=True)
class Coils:
    """A bistable breaker's two coils. Raises ValueError for one line for both, or a bad pulse."""

    opening: OutputLine
    closing: OutputLine
    pulse_ms: int = 100

    def __post_init__(self) -> None:
        """A coil that is driven for long burns."""
        if self.opening.offset == self.closing.offset:
            raise ValueError(f"line {self.opening.offset} for both coils of the breaker")
        if not 1 <= self.pulse_ms <= LONGEST_PULSE_MS:
            raise ValueError(
                f"a pulse of {self.pulse_ms} ms; possible are 1 to {LONGEST_PULSE_MS} ms"
            )


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which line does what. Raises ValueError for one line used twice or an unknown contact."""

    chip: str = "/dev/gpiochip0"
    breaker: Coils | None = None
    relays: tuple[OutputLine, ...] = ()
    contacts: Mapping[str, InputLine] = field(default_factory=dict)
    debounce_ms: int = 20

    def __post_init__(self) -> None:
        """Check before a wrong line is driven."""
        unknown = self.contacts.keys() - set(CONTACTS)
        if unknown:
            raise ValueError(f"contact {min(unknown)!r}; there are {', '.join(CONTACTS)}")
        if len(self.relays) > len(RELAYS):
            raise ValueError(f"{len(self.relays)} relays; a meter has none, one or two")
        offsets = [line.offset for line in self.outputs]
        offsets += [line.offset for line in self.contacts.values()]
        twice = sorted({offset for offset in offsets if offsets.count(offset) > 1})
        if twice:
            raise ValueError(f"line {twice[0]} is used twice")

    @property
    def outputs(self) -> tuple[OutputLine, ...]:
        """All driven lines."""
        if self.breaker is None:
            return self.relays
        return (self.breaker.opening, self.breaker.closing, *self.relays)


class GpioLines:
    """Lines of a Linux GPIO chip by libgpiod (its `gpiod` package, LGPL, version 2).

    Requested with everything inactive: a breaker of two coils does not move by that.
    """

    def __init__(
        self, wiring: Wiring, request_lines: Callable[..., gpiod.LineRequest] | None = None
    ) -> None:
        """`request_lines` is gpiod's unless given. Raises OSError, ImportError without gpiod."""
        import gpiod

        self._wiring = wiring
        self._active, self._inactive = gpiod.line.Value.ACTIVE, gpiod.line.Value.INACTIVE
        self._relays = dict(zip(RELAYS, wiring.relays, strict=False))
        self.names = frozenset(self._relays) | ({BREAKER} if wiring.breaker else frozenset())
        self._contacts = list(wiring.contacts)
        self._offsets = [wiring.contacts[name].offset for name in self._contacts]
        self._request: gpiod.LineRequest | None = None
        config = _config(wiring)
        if config:
            request = request_lines or gpiod.request_lines
            self._request = request(wiring.chip, consumer=_CONSUMER, config=config)

    async def set(self, name: str, on: bool) -> None:
        """Hold a relay's line, or pulse the coil that moves the breaker that way."""
        if self._request is None or name not in self.names:
            return
        if name != BREAKER:
            value = self._active if on else self._inactive
            self._request.set_value(self._relays[name].offset, value)
            return
        coils = self._wiring.breaker
        assert coils is not None  # or its name would not be among ours
        coil = coils.closing if on else coils.opening
        self._request.set_value(coil.offset, self._active)
        try:
            await asyncio.sleep(coils.pulse_ms / 1000)
        finally:
            self._request.set_value(coil.offset, self._inactive)

    def read(self) -> Contacts:
        """All contacts in one reading; the kernel has debounced them."""
        if self._request is None or not self._offsets:
            return Contacts()
        values = self._request.get_values(self._offsets)
        return Contacts(
            **{
                name: value == self._active
                for name, value in zip(self._contacts, values, strict=True)
            }
        )

    def close(self) -> None:
        """Release the lines, so that another process may take them."""
        if self._request is not None:
            self._request.release()
            self._request = None


def _config(
    wiring: Wiring,
) -> dict[Iterable[int | str] | int | str, gpiod.LineSettings | None]:
    import gpiod
    from gpiod.line import Bias, Direction, Value

    pulls = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.AS_IS}
    config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = {
        line.offset: gpiod.LineSettings(
            direction=Direction.OUTPUT, active_low=line.active_low, output_value=Value.INACTIVE
        )
        for line in wiring.outputs
    }
    for contact in wiring.contacts.values():
        config[contact.offset] = gpiod.LineSettings(
            direction=Direction.INPUT,
            active_low=contact.active_low,
            bias=pulls[contact.pull],
            debounce_period=timedelta(milliseconds=wiring.debounce_ms),
        )
    return config


class OutputsPort:
    """Brings the lines to where they are wanted, and looks at the contacts between measurements."""

    def __init__(self, lines: Lines, poll_s: float = POLL_S) -> None:
        """Nothing moves before the first `apply`."""
        self._lines = lines
        self._poll_s = poll_s
        self._wanted: dict[str, bool] = {}
        self._driven: dict[str, bool] = {}
        self._wake = asyncio.Event()
        self._now = Contacts()
        self._seen = Contacts()
        self._troubled = False
        self._poll: asyncio.TimerHandle | None = None

    def apply(self, wanted: Mapping[str, bool]) -> None:
        """Take committed wanted states by name (`breaker`: closed); never waits.

        The breaker is bistable and stands where it stood: the first states after a start close
        nothing, they only open what should not be closed.
        """
        for name in wanted.keys() & self._lines.names:
            if name == BREAKER and name not in self._wanted and wanted[name]:
                self._driven[name] = True
            self._wanted[name] = wanted[name]
        self._wake.set()

    @property
    def now(self) -> Contacts:
        """What the contacts said when they were last looked at."""
        return self._now

    def contacts(self) -> Contacts:
        """What the contacts say: True also for what was so for a moment since the last call.

        A press shorter than a second, or a cover opened for a moment, is seen all the same. The
        breaker's feedback is as it is now.
        """
        seen, self._seen = self._seen, self._now
        return replace(seen, breaker_closed=self._now.breaker_closed)

    async def run(self) -> None:
        """Drive and read until cancelled; what fails is tried again."""
        loop = asyncio.get_running_loop()
        self._look_again(loop)
        try:
            while True:
                self._wake.clear()
                trouble = await self._drive()
                try:
                    self._look()
                except OSError as error:
                    trouble = trouble or error
                self._tell(trouble)
                await self._wake.wait()
        finally:
            if self._poll is not None:
                self._poll.cancel()
            self._lines.close()

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        """Arrange the next look. All day long nothing has changed: that wakes no task."""
        self._poll = loop.call_later(self._poll_s, self._look_by_itself, loop)

    def _look_by_itself(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look_again(loop)
        if self._troubled:
            self._wake.set()
            return
        try:
            self._look()
        except OSError:
            self._wake.set()

    async def _drive(self) -> OSError | None:
        """Each line on its own: a relay that fails must not keep the breaker from opening."""
        trouble = None
        for name, on in sorted(self._wanted.items()):
            if self._driven.get(name) is on:
                continue
            try:
                await self._lines.set(name, on)
            except OSError as error:
                # A pulse that broke off may have moved it: nobody knows where it stands.
                self._driven.pop(name, None)
                trouble = error
            else:
                self._driven[name] = on
        return trouble

    def _tell(self, trouble: OSError | None) -> None:
        if trouble is not None and not self._troubled:
            # Once is enough: it is tried again ten times a second.
            _LOGGER.warning("lines: %s; metering goes on, tried again", trouble)
        self._troubled = trouble is not None

    def _look(self) -> None:
        now = self._now = self._lines.read()
        seen = self._seen
        if now != seen:
            self._seen = Contacts(
                breaker_closed=now.breaker_closed,
                meter_cover_open=now.meter_cover_open or seen.meter_cover_open,
                terminal_cover_open=now.terminal_cover_open or seen.terminal_cover_open,
                magnet=now.magnet or seen.magnet,
                button=now.button or seen.button,
            )
