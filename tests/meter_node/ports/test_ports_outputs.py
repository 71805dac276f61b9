"""Lines are driven as committed, coils only for a pulse, and no contact's moment is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import gpiod
import pytest

from meter_node.ports.outputs import (
    BREAKER,
    Coils,
    Contacts,
    GpioLines,
    InputLine,
    Lines,
    OutputLine,
    OutputsPort,
    SimulatedLines,
    Wiring,
)

PULSE_MS = 10
POLL_S = 0.005


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(lines: Lines) -> AsyncIterator[OutputsPort]:
    port = OutputsPort(lines, POLL_S)
    task = asyncio.create_task(port.run())
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Chip:
    """What a GPIO chip does with the request that gpiod makes: levels at pins, 1 or 0.

    A pin's level is what a meter measures there: an active-low line that is active is 0. Takes
    gpiod's own settings and values; only the kernel is played.
    """

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}
        self.moves: list[tuple[int, int]] = []
        self.config: dict[int, Any] = {}
        self.released = False
        self.broken: set[int] = set()

    def request_lines(self, path: str, *, consumer: str, config: dict[int, Any]) -> "Chip":
        assert path == "/dev/gpiochip0"
        assert consumer == "meter-node"
        self.config = config
        for offset, settings in config.items():
            if settings.direction is gpiod.line.Direction.OUTPUT:
                self.levels[offset] = self.level(offset, settings.output_value)
            else:
                self.levels.setdefault(offset, 1 if settings.active_low else 0)
        return self

    def level(self, offset: int, value: Any) -> int:
        active = value == gpiod.line.Value.ACTIVE
        return int(active != self.config[offset].active_low)

    def set_value(self, offset: int, value: Any) -> None:
        assert not self.released
        assert self.config[offset].direction is gpiod.line.Direction.OUTPUT
        if offset in self.broken:
            raise OSError(5, "Input/output error")
        self.levels[offset] = self.level(offset, value)
        self.moves.append((offset, self.levels[offset]))

    def get_values(self, offsets: Iterable[int]) -> list[Any]:
        assert not self.released
        inactive, active = gpiod.line.Value.INACTIVE, gpiod.line.Value.ACTIVE
        return [
            active if bool(self.levels[offset]) != self.config[offset].active_low else inactive
            for offset in offsets
        ]

    def release(self) -> None:
        self.released = True


OPENING, CLOSING, RELAY_1, RELAY_2, FEEDBACK, BUTTON = 5, 6, 13, 19, 20, 21
WIRING = Wiring(
    breaker=Coils(OutputLine(OPENING), OutputLine(CLOSING), PULSE_MS),
    relays=(OutputLine(RELAY_1), OutputLine(RELAY_2, active_low=True)),
    contacts={
        "breaker_closed": InputLine(FEEDBACK),
        "button": InputLine(BUTTON, active_low=True, pull="up"),
    },
)


def wired(wiring: Wiring = WIRING) -> tuple[Chip, GpioLines]:
    chip = Chip()
    return chip, GpioLines(wiring, chip.request_lines)


def test_requesting_the_lines_moves_nothing() -> None:
    chip, _ = wired()
    # Coils at rest, relays off: the second is off at 1.
    assert {pin: chip.levels[pin] for pin in (OPENING, CLOSING, RELAY_1, RELAY_2)} == {
        OPENING: 0,
        CLOSING: 0,
        RELAY_1: 0,
        RELAY_2: 1,
    }
    assert chip.moves == []


async def test_the_breaker_is_moved_by_one_pulse_of_the_right_coil() -> None:
    chip, lines = wired()
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await lines.set(BREAKER, False)
    assert loop.time() - start_s >= PULSE_MS / 1000 - 0.001
    await lines.set(BREAKER, True)
    assert chip.moves == [(OPENING, 1), (OPENING, 0), (CLOSING, 1), (CLOSING, 0)]


async def test_a_coil_is_let_go_when_the_pulse_is_cancelled() -> None:
    chip, lines = wired(
        Wiring(breaker=Coils(OutputLine(OPENING), OutputLine(CLOSING), pulse_ms=1000))
    )
    pulse = asyncio.create_task(lines.set(BREAKER, False))
    await until(lambda: bool(chip.levels[OPENING]))
    pulse.cancel()
    await asyncio.gather(pulse, return_exceptions=True)
    assert chip.levels[OPENING] == 0


async def test_a_relay_is_held_at_its_own_polarity() -> None:
    chip, lines = wired()
    await lines.set("relay_1", True)
    await lines.set("relay_2", True)
    assert (chip.levels[RELAY_1], chip.levels[RELAY_2]) == (1, 0)
    await lines.set("relay_1", False)
    await lines.set("relay_2", False)
    assert (chip.levels[RELAY_1], chip.levels[RELAY_2]) == (0, 1)


def test_contacts_are_read_at_their_own_polarity() -> None:
    chip, lines = wired()
    chip.levels |= {FEEDBACK: 1, BUTTON: 1}
    assert lines.read() == Contacts(breaker_closed=True, button=False)
    chip.levels |= {FEEDBACK: 0, BUTTON: 0}
    assert lines.read() == Contacts(breaker_closed=False, button=True)


def test_contacts_are_debounced_and_pulled_as_wired() -> None:
    chip, _ = wired()
    assert chip.config[BUTTON].debounce_period == timedelta(milliseconds=20)
    assert chip.config[BUTTON].bias is gpiod.line.Bias.PULL_UP
    assert chip.config[FEEDBACK].bias is gpiod.line.Bias.AS_IS


def test_a_breaker_without_feedback_says_so() -> None:
    _, lines = wired(Wiring(breaker=WIRING.breaker))
    assert lines.read().breaker_closed is None


def test_without_a_chip_the_error_is_the_system_s() -> None:
    with pytest.raises(OSError, match="No such file"):
        GpioLines(Wiring(chip="/dev/no_such_chip", relays=(OutputLine(1),)))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Coils(OutputLine(5), OutputLine(5)), "line 5 for both coils"),
        (lambda: Coils(OutputLine(5), OutputLine(6), 1001), "a pulse of 1001 ms"),
        (lambda: Wiring(contacts={"door": InputLine(1)}), "contact 'door'"),
        (lambda: Wiring(relays=(OutputLine(7),), contacts={"button": InputLine(7)}), "line 7 is"),
        (lambda: Wiring(relays=tuple(map(OutputLine, (1, 2, 3)))), "3 relays"),
    ],
)
def test_a_wiring_that_cannot_be_is_refused(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


async def test_committed_states_reach_the_lines() -> None:
    chip, lines = wired()
    async with running(lines) as port:
        port.apply({BREAKER: True, "relay_1": True, "relay_2": False})
        await until(lambda: bool(chip.levels[RELAY_1]))
        port.apply({BREAKER: False, "relay_1": False, "relay_2": True})
        await until(lambda: chip.levels[RELAY_2] == 0 and (OPENING, 0) in chip.moves)
    assert chip.moves == [
        (RELAY_1, 1),
        (RELAY_2, 1),
        (OPENING, 1),
        (OPENING, 0),
        (RELAY_1, 0),
        (RELAY_2, 0),
    ]
    assert chip.released


async def test_a_start_closes_nothing() -> None:
    chip, lines = wired()
    async with running(lines) as port:
        port.apply({BREAKER: True, "relay_1": True})
        await until(lambda: bool(chip.levels[RELAY_1]))
        await asyncio.sleep(3 * POLL_S)
        assert (CLOSING, 1) not in chip.moves


async def test_a_start_opens_what_should_not_be_closed() -> None:
    chip, lines = wired()
    async with running(lines) as port:
        port.apply({BREAKER: False})
        await until(lambda: (OPENING, 0) in chip.moves)


async def test_the_same_state_again_moves_nothing() -> None:
    chip, lines = wired()
    async with running(lines) as port:
        for _ in range(5):
            port.apply({BREAKER: False, "relay_1": True})
            await asyncio.sleep(3 * POLL_S)
    assert chip.moves.count((OPENING, 1)) == 1
    assert chip.moves.count((RELAY_1, 1)) == 1


async def test_a_relay_that_fails_does_not_keep_the_breaker_closed_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chip, lines = wired()
    chip.broken = {RELAY_1}
    caplog.set_level(logging.DEBUG)
    async with running(lines) as port:
        port.apply({"relay_1": True, BREAKER: False, "relay_2": True})
        await until(lambda: (OPENING, 0) in chip.moves and chip.levels[RELAY_2] == 0)
        await asyncio.sleep(5 * POLL_S)
        chip.broken.clear()
        await until(lambda: bool(chip.levels[RELAY_1]))
    warnings = [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert warnings == ["lines: [Errno 5] Input/output error; metering goes on, tried again"]


async def test_a_press_between_two_looks_is_seen_once() -> None:
    chip, lines = wired()
    async with running(lines) as port:
        chip.levels[BUTTON] = 0
        await asyncio.sleep(4 * POLL_S)
        chip.levels[BUTTON] = 1
        await asyncio.sleep(4 * POLL_S)
        assert port.contacts().button
        assert not port.contacts().button


async def test_a_contact_that_stays_is_seen_each_time() -> None:
    lines = SimulatedLines(clock=asyncio.get_running_loop().time)
    async with running(lines) as port:
        lines.contacts = Contacts(meter_cover_open=True, magnet=True)
        await asyncio.sleep(4 * POLL_S)
        for _ in range(3):
            seen = port.contacts()
            assert (seen.meter_cover_open, seen.magnet, seen.terminal_cover_open) == (
                True,
                True,
                False,
            )


class UnreadableLines(SimulatedLines):
    """Lines whose contacts can't be read for a while."""

    unreadable = False

    def read(self) -> Contacts:
        if self.unreadable:
            raise OSError(5, "Input/output error")
        return super().read()


async def test_contacts_that_cannot_be_read_are_told_once_and_looked_at_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = UnreadableLines(clock=asyncio.get_running_loop().time)
    async with running(lines) as port:
        await asyncio.sleep(2 * POLL_S)
        lines.unreadable = True
        await asyncio.sleep(6 * POLL_S)
        lines.unreadable, lines.contacts = False, Contacts(magnet=True)
        await until(lambda: port.now.magnet)
    warnings = [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert warnings == ["lines: [Errno 5] Input/output error; metering goes on, tried again"]


class SlowLines(SimulatedLines):
    """Lines whose coil is driven until it is let go."""

    def __init__(self) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.driving, self.let_go = asyncio.Event(), asyncio.Event()

    async def set(self, name: str, on: bool) -> None:
        self.driving.set()
        await self.let_go.wait()
        await super().set(name, on)


async def test_a_press_while_a_coil_is_driven_is_seen() -> None:
    lines = SlowLines()
    async with running(lines) as port:
        port.apply({BREAKER: False})
        await lines.driving.wait()
        lines.contacts = Contacts(button=True)
        await asyncio.sleep(4 * POLL_S)
        lines.contacts = Contacts()
        lines.let_go.set()
        assert port.contacts().button


async def test_a_simulated_breaker_follows_after_a_short_time() -> None:
    lines = SimulatedLines(clock=asyncio.get_running_loop().time, follows_s=0.02)
    async with running(lines) as port:
        port.apply({BREAKER: True})
        await until(lambda: port.contacts().breaker_closed is True)
        port.apply({BREAKER: False})
        await until(lambda: lines.moves == 1)
        assert lines.read().breaker_closed is True
        await until(lambda: port.contacts().breaker_closed is False)


async def test_a_stuck_breaker_stays_and_moves_when_it_is_free() -> None:
    lines = SimulatedLines(clock=asyncio.get_running_loop().time, follows_s=0.0)
    lines.stuck = True
    await lines.set(BREAKER, False)
    assert lines.read().breaker_closed is True
    lines.stuck = False
    assert lines.read().breaker_closed is False


async def test_a_meter_without_breaker_has_none_to_drive() -> None:
    lines = SimulatedLines(1, clock=asyncio.get_running_loop().time, breaker_closed=None)
    assert lines.names == {"relay_1"}
    async with running(lines) as port:
        port.apply({BREAKER: False, "relay_1": True, "relay_2": True})
        await until(lambda: lines.relays == {"relay_1": True})
        assert port.contacts().breaker_closed is None
