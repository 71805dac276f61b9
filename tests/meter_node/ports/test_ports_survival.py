"""Every kind of module, over every bearer, through what readers, lines, disks and pins do to it."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from module_house import LIST_KEYS, ModuleHouse, reader_of, running, until
from pydantic import ValidationError
from survival import (
    HOUR_S,
    Dial,
    FifoWay,
    FileWay,
    Listen,
    SerialWay,
    Subject,
    Way,
    hears,
    mid_hour,
    there,
)

from meter_node.channel import frames, hdlc, security
from meter_node.ciphering import PycryptodomeAead
from meter_node.ports import bearers, conversation, s0
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import KINDS, Modules
from meter_node.ports.outputs import OutputLine
from meter_node.ports.p1 import check_sequence


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon, and whoever takes nothing is soon gone."""
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.03)
    monkeypatch.setattr(conversation, "SEND_S", 0.5)
    monkeypatch.setattr(conversation, "_GOODBYE_S", 0.1)


# --- what readers make of it ----------------------------------------------------------------------


def lists_in(data: bytes) -> int:
    found = hdlc.FrameReader().feed(data)
    assert all(isinstance(frame, hdlc.Frame) for frame in found)
    return len(found)


def ciphered_lists_in(data: bytes) -> int:
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    found = hdlc.FrameReader().feed(data)
    for frame in found:
        assert isinstance(frame, hdlc.Frame)
        receiver.accept(frames.information_apdu(frame))
    return len(found)


def telegrams_in(data: bytes) -> int:
    ends = [found.end() for found in re.finditer(rb"![0-9A-F]{4}\r\n", data)]
    for start, end in zip([0, *ends], ends, strict=False):
        body, _, check = data[start:end].partition(b"!")
        assert body.startswith(b"/MTN5")
        assert check == f"{check_sequence(body + b'!'):04X}\r\n".encode()
    return len(ends)


def lines_in(data: bytes) -> int:
    lines = data.split(b"\n")[:-1]
    form = rb"C1;1;1;2026-\d\d-\d\d \d\d:\d\d:\d\d\.000;0;0;\d{8};0x[0-9a-f]{60,}"
    assert all(re.fullmatch(form, line) for line in lines)
    return len(lines)


def readouts_in(data: bytes) -> int:
    """Long frames; between them stand nothing but acknowledgements."""
    found = 0
    while data:
        if data[0] == 0xE5:
            data = data[1:]
            continue
        assert data[0] == 0x68
        if len(data) < 4 or len(data) < data[1] + 6:
            break
        length = data[1]
        assert data[1:4] == bytes((length, length, 0x68))
        body, check, stop = data[4 : length + 4], data[length + 4], data[length + 5]
        assert (check, stop) == (sum(body) & 0xFF, 0x16)
        found += 1
        data = data[length + 6 :]
    return found


SND_NKE, REQ_UD2 = bytes.fromhex("10 40 00 40 16"), bytes.fromhex("10 7b 00 7b 16")
LISTS = Subject("han", {}, lists_in, hourly=1)
CIPHERED_LISTS = Subject("han", {"ciphered": True}, ciphered_lists_in)
TELEGRAMS = Subject("p1", {}, telegrams_in)
LINES = Subject("wmbus", {}, lines_in)
READOUTS = Subject("mbus", {}, readouts_in, SND_NKE + REQ_UD2)
PULSES = Subject("s0")


def settings(subject: Subject, address: str) -> ModuleSettings:
    if subject.kind == "mbus":  # it has no faster rate
        address = address.replace("baudrate=115200", "baudrate=9600")
    wanted: ModuleSettings = KINDS[subject.kind].settings.model_validate(
        {"kind": subject.kind, "bearer": address, **subject.chosen}
    )
    return wanted


def module(house: ModuleHouse, subject: Subject, way: Way) -> Coroutine[Any, Any, None]:
    return KINDS[subject.kind].run(house.view, settings(subject, way.address))


# --- ordeals of readers and lines -----------------------------------------------------------------

type MakeWay = Callable[[Path], Way]


async def gone(subject: Subject, tmp_path: Path, make: MakeWay) -> None:
    """Its reader goes without a word, three times over; the next one is served."""
    house, way = mid_hour(), make(tmp_path)
    async with running(module(house, subject, way)) as task:
        for _ in range(3):
            async with there(way) as end:
                await hears(house, subject, end)
            await house.play(3)
        assert not task.done()


async def noise(subject: Subject, tmp_path: Path, make: MakeWay, baudrate: int) -> None:
    """An hour of random bytes comes in, as many as the line carries at ten bits each."""
    random_ = random.Random(7)
    house, way = mid_hour(), make(tmp_path)

    async def shout() -> None:
        chunk = random_.randbytes(1 << 20)
        left = HOUR_S * baudrate // 10
        while left > 0:
            await end.shout(chunk[:left])
            left -= len(chunk)

    async with running(module(house, subject, way)) as task, there(way) as end:
        await asyncio.sleep(0.2)
        shouting = asyncio.create_task(shout())
        for _ in range(HOUR_S // 10):
            house.later(10)
            await asyncio.sleep(0.002)
        async with asyncio.timeout(60):
            await shouting
        # A frame that seems to have begun is over when the line was silent for a second.
        await asyncio.sleep(1.5)
        if not subject.ask:
            assert subject.count(bytes(end.got)) == HOUR_S // 10 + subject.hourly
        await hears(house, subject, end, subject.count(bytes(end.got)) + 2)
        assert not task.done()


MOST_PILED = 64_000
"""Bytes that one who never reads may cost: what a line holds back, and what is as long anyway."""


def in_memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def deaf(subject: Subject, tmp_path: Path, make: MakeWay) -> None:
    """Its reader takes nothing while three times as much is due as may be held for him."""
    house, way = mid_hour(), make(tmp_path)

    async def images(times: int) -> None:
        for _ in range(times):
            house.later(10)
            if subject.ask:
                sleeper.say(subject.ask)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async with running(module(house, subject, way)) as task:
        async with there(way) as end:
            await hears(house, subject, end, 3)
            message = len(end.got) // 3
        with pytest.MonkeyPatch.context() as patience:
            patience.setattr(conversation, "SEND_S", 30.0)
            async with there(way, reads=False) as sleeper:
                await house.play(100)
                tracemalloc.start()
                await images(20)
                before = in_memory()
                await images(3 * MOST_PILED // message)
                grown = in_memory() - before
                tracemalloc.stop()
        assert grown < 2 * MOST_PILED, "what is due is three times as much"
        async with there(way) as end:
            await hears(house, subject, end)
        assert not task.done()


async def two_readers(subject: Subject, tmp_path: Path, make: MakeWay) -> None:
    """Two are there at once, and each gets all."""
    house, way = mid_hour(), make(tmp_path)
    async with running(module(house, subject, way)), there(way) as one, there(way) as other:
        for wanted in range(1, 11):
            await asyncio.gather(
                hears(house, subject, one, wanted), hears(house, subject, other, wanted)
            )
        await asyncio.sleep(0.2)
        if not subject.ask:
            assert one.got == other.got


async def two_lines(subject: Subject, tmp_path: Path, make: MakeWay) -> None:
    """The meter has two modules of the kind; each serves its own reader, and both get all."""
    house, ways = mid_hour(), (make(tmp_path), make(tmp_path))
    async with (
        running(module(house, subject, ways[0])),
        running(module(house, subject, ways[1])),
        there(ways[0]) as one,
        there(ways[1]) as other,
    ):
        for end in (one, other):
            await hears(house, subject, end, 10)


async def full_disk(subject: Subject, tmp_path: Path) -> None:
    """The file takes nothing; when there is room again it goes on."""
    house, way = mid_hour(), FileWay(tmp_path)
    way.path.symlink_to("/dev/full")
    async with running(module(house, subject, way)) as task:
        await house.play(20)
        assert not task.done()
        way.path.unlink()
        async with there(way) as end:
            await hears(house, subject, end)


async def refused(subject: Subject, tmp_path: Path) -> None:
    """The configuration is refused, and says why."""
    with pytest.raises(ValidationError, match="nobody can ask there"):
        settings(subject, FileWay(tmp_path).address)


# --- ordeals of a pulse line ----------------------------------------------------------------------


class Pin:
    """A line of a GPIO chip, and the kernel that hands it out."""

    def __init__(self) -> None:
        self.pulses = 0
        self.asked = 0
        self.refusals = 0
        self.left: int | None = None
        """Pulses until it is gone; None: it stays."""

    def request_lines(self, *_: object, **__: object) -> Pin:
        self.asked += 1
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return self

    def set_value(self, _offset: int, value: Any) -> None:
        if value.name != "ACTIVE":
            return
        if self.left == 0:
            self.left = None
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self.left = None if self.left is None else self.left - 1
        self.pulses += 1

    def release(self) -> None:
        pass


class Pulsing:
    """A meter with pulse modules, one after the other or at once."""

    def __init__(self, pins: Mapping[int, Pin], monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = ModuleHouse()
        self._open = s0.open_output
        self._pins = pins
        monkeypatch.setattr(s0, "open_output", self._output)

    def _output(self, wanted: s0.S0Settings) -> s0.Output:
        if wanted.offset is None:
            return self._open(wanted)
        line, pin = OutputLine(wanted.offset), self._pins[wanted.offset]
        return s0.GpioOutput("chip", line, pin.request_lines)  # type: ignore[arg-type]

    @asynccontextmanager
    async def modules(self, *chosen: dict[str, object]) -> AsyncIterator[None]:
        """Have them run, and be begun again where they fail."""
        modules = Modules()
        modules.see({"house": self.house.view})
        modules.use(
            ("house", s0.S0Settings.model_validate({"kind": "s0", **one})) for one in chosen
        )
        try:
            await asyncio.sleep(0.05)
            self.house.later(1)
            await asyncio.sleep(0.1)
            yield
        finally:
            await modules.close()

    async def until(self, true: Callable[[], bool]) -> None:
        """Let images come until it is so, and a while longer: no pulse may be too many."""
        async with asyncio.timeout(20):
            while not true():
                self.house.later(1)
                await asyncio.sleep(0.3)
        self.house.later(1)
        await asyncio.sleep(0.5)


async def a_pin_that_vanishes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pin = Pin()
    meter = Pulsing({17: pin}, monkeypatch)
    async with meter.modules({"offset": 17}):
        pin.left = 2
        meter.house.later(1, import_active_energy=5)
        await meter.until(lambda: pin.pulses >= 5)
    assert (pin.pulses, pin.left) == (5, None)
    assert pin.asked >= 2


async def a_pin_that_the_kernel_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pin = Pin()
    meter = Pulsing({17: pin}, monkeypatch)
    async with meter.modules({"offset": 17}):
        pass
    pin.refusals = 5
    async with meter.modules({"offset": 17}):
        meter.house.later(1, import_active_energy=4)
        await meter.until(lambda: pin.pulses >= 4)
    assert (pin.pulses, pin.refusals) == (4, 0)


async def more_energy_than_pulses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pin = Pin()
    meter = Pulsing({17: pin}, monkeypatch)
    async with meter.modules({"offset": 17}):
        tracemalloc.start()
        grown = -in_memory()
        for _ in range(100):
            meter.house.later(1, import_active_energy=10_000)
            await asyncio.sleep(0.01)
        await meter.until(lambda: pin.pulses >= 10)
        grown += in_memory()
        tracemalloc.stop()
    (kept,) = meter.house.keeping.texts.values()
    # A million pulses are due; a minute of them, of 60 ms each, is ready to be sent.
    assert grown < 1000 * 500
    assert len(kept) < 200


async def two_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pins = {17: Pin(), 27: Pin()}
    meter = Pulsing(pins, monkeypatch)
    export: dict[str, object] = {"offset": 27, "energy": "export_active_energy"}
    async with meter.modules({"offset": 17}, export):
        meter.house.later(1, import_active_energy=3, export_active_energy=5)
        await meter.until(lambda: pins[17].pulses >= 3 and pins[27].pulses >= 5)
    assert [pin.pulses for pin in pins.values()] == [3, 5]


def pulses_in(path: Path) -> int:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    assert all(re.fullmatch(rb"\d{19},\d{19}", line) for line in lines)
    return len(lines)


async def a_file_that_is_moved_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, moved = tmp_path / "pulses", tmp_path / "moved"
    meter = Pulsing({}, monkeypatch)
    async with meter.modules({"file": str(path)}):
        meter.house.later(1, import_active_energy=6)
        await until(lambda: pulses_in(path) >= 2)
        path.rename(moved)
        await meter.until(lambda: pulses_in(moved) + pulses_in(path) >= 6)
    assert pulses_in(path) > 0
    async with meter.modules({"file": str(path)}):
        meter.house.later(1, import_active_energy=2)
        await meter.until(lambda: pulses_in(moved) + pulses_in(path) >= 8)
    assert pulses_in(moved) + pulses_in(path) == 8


async def a_file_that_is_scribbled_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "pulses"
    meter = Pulsing({}, monkeypatch)
    async with meter.modules({"file": str(path)}):
        meter.house.later(1, import_active_energy=2)
        await meter.until(lambda: pulses_in(path) >= 2)
    with path.open("ab") as file:
        file.write(random.Random(3).randbytes(4096).replace(b"\n", b""))
    async with meter.modules({"file": str(path)}):
        meter.house.later(1, import_active_energy=3)
        await meter.until(lambda: path.read_bytes().count(b"\n") >= 5)
    assert pulses_in(path) == 5


async def a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, disk = tmp_path / "pulses", tmp_path / "disk"
    disk.touch()
    path.symlink_to(disk)
    meter = Pulsing({}, monkeypatch)
    chosen: dict[str, object] = {"file": str(path)}
    async with meter.modules(chosen):
        pass
    path.unlink()
    path.symlink_to("/dev/full")
    async with meter.modules(chosen):
        meter.house.later(1, import_active_energy=4)
        await asyncio.sleep(0.3)
        path.unlink()
        path.symlink_to(disk)
        await meter.until(lambda: pulses_in(disk) >= 4)
    assert pulses_in(disk) == 4


async def two_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, other = tmp_path / "import", tmp_path / "export"
    meter = Pulsing({}, monkeypatch)
    export: dict[str, object] = {"file": str(other), "energy": "export_active_energy"}
    async with meter.modules({"file": str(one)}, export):
        meter.house.later(1, import_active_energy=3, export_active_energy=5)
        await meter.until(lambda: pulses_in(one) >= 3 and pulses_in(other) >= 5)
    assert (pulses_in(one), pulses_in(other)) == (3, 5)


# --- the matrix -----------------------------------------------------------------------------------

type Trial = Callable[[pytest.MonkeyPatch, Path], Coroutine[Any, Any, None]]

ORDEALS = ("reader gone", "line noise", "never reads", "two readers")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a kind is put through."""

    trial: Trial
    why: str = ""
    """Where the ordeal can't be had there: why, and what is tried in its place."""


type Row = Mapping[tuple[str, str], Cell]
"""By ordeal and bearer."""


def over(ordeal: Any, subject: Subject, *more: Any, why: str = "") -> Cell:
    async def trial(_: pytest.MonkeyPatch, tmp_path: Path) -> None:
        await ordeal(subject, tmp_path, *more)

    return Cell(trial, why)


def lines_of(subject: Subject, baudrate: int) -> Row:
    """Over TCP and serial lines, both of which have two directions."""
    calls = "who is dialled is one: the meter dials two"
    ends = "a line has one other end: the meter has two lines"
    return {
        ("reader gone", "listen"): over(gone, subject, Listen),
        ("reader gone", "dial"): over(gone, subject, Dial),
        ("reader gone", "serial"): over(gone, subject, SerialWay),
        ("line noise", "listen"): over(noise, subject, Listen, baudrate),
        ("line noise", "dial"): over(noise, subject, Dial, 2400),
        ("line noise", "serial"): over(noise, subject, SerialWay, 2400),
        ("never reads", "listen"): over(deaf, subject, Listen),
        ("never reads", "dial"): over(deaf, subject, Dial),
        ("never reads", "serial"): over(deaf, subject, SerialWay),
        ("two readers", "listen"): over(two_readers, subject, Listen),
        ("two readers", "dial"): over(two_lines, subject, Dial, why=calls),
        ("two readers", "serial"): over(two_lines, subject, SerialWay, why=ends),
    }


def to_a_file(subject: Subject) -> Row:
    nothing = "nothing comes back from a file: the disk is full"
    return {
        ("reader gone", "file"): over(gone, subject, FifoWay),
        ("line noise", "file"): over(full_disk, subject, why=nothing),
        ("never reads", "file"): over(deaf, subject, FifoWay),
        ("two readers", "file"): over(two_readers, subject, FileWay),
    }


def in_no_file(subject: Subject) -> Row:
    return {
        (ordeal, "file"): over(refused, subject, why="a slave is asked, and nobody asks by a file")
        for ordeal in ORDEALS
    }


ROWS: Mapping[str, tuple[Subject, Row]] = {
    "plain list": (LISTS, {**lines_of(LISTS, 2400), **to_a_file(LISTS)}),
    "ciphered list": (
        CIPHERED_LISTS,
        {**lines_of(CIPHERED_LISTS, 2400), **to_a_file(CIPHERED_LISTS)},
    ),
    "p1": (TELEGRAMS, {**lines_of(TELEGRAMS, 115_200), **to_a_file(TELEGRAMS)}),
    "wmbus": (LINES, {**lines_of(LINES, 115_200), **to_a_file(LINES)}),
    "mbus": (READOUTS, {**lines_of(READOUTS, 2400), **in_no_file(READOUTS)}),
    "s0": (
        PULSES,
        {
            ("reader gone", "gpio"): Cell(
                a_pin_that_vanishes, "nobody is known to count: the line itself vanishes"
            ),
            ("line noise", "gpio"): Cell(
                a_pin_that_the_kernel_refuses, "an output hears nothing: the kernel refuses it"
            ),
            ("never reads", "gpio"): Cell(
                more_energy_than_pulses, "a contact holds nothing back: energy outruns pulses"
            ),
            ("two readers", "gpio"): Cell(two_pins, "counters hang on a line each"),
            ("reader gone", "file"): Cell(
                a_file_that_is_moved_away, "nobody is known to read: the file is moved away"
            ),
            ("line noise", "file"): Cell(
                a_file_that_is_scribbled_on, "a file says nothing: somebody else writes into it"
            ),
            ("never reads", "file"): Cell(a_full_disk, "a file holds nothing back: it is full"),
            ("two readers", "file"): Cell(two_files, "a file is one module's: there are two"),
        },
    ),
}
CELLS = {
    f"{name}: {ordeal}, {way}": cell
    for name, (_, row) in ROWS.items()
    for (ordeal, way), cell in row.items()
}
# Standard output is a file that the system has opened.
BEARERS = {form.partition(":")[0] for form in bearers.FORMS} - {"stdout"}


def test_every_kind_is_put_through_every_ordeal_over_every_bearer() -> None:
    assert {subject.kind for subject, _ in ROWS.values()} == set(KINDS)
    for name, (subject, row) in ROWS.items():
        fields = KINDS[subject.kind].settings.model_fields
        ways = BEARERS if "bearer" in fields else {"gpio", "file"}
        assert set(row) == set(product(ORDEALS, ways)), name


# An hour of the fastest lines is 41 MB.
SLOW = {"p1: line noise, listen", "wmbus: line noise, listen"}
MARKS = {name: (pytest.mark.slow,) if name in SLOW else () for name in CELLS}


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=name, marks=MARKS[name]) for name, cell in CELLS.items()]
)
async def test_a_module_survives(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: lost.append(what["message"]))
    await cell.trial(monkeypatch, tmp_path)
    await asyncio.sleep(0)
    gc.collect()
    assert lost == []


async def test_a_port_that_another_program_has_is_waited_for() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    house = mid_hour()
    wanted = settings(TELEGRAMS, f"listen://127.0.0.1:{port}")
    async with running(KINDS["p1"].run(house.view, wanted)):
        await house.play(3)
        taken.close()
        await asyncio.sleep(0.3)
        async with reader_of(port) as (reader, _):
            await house.play(2)
            async with asyncio.timeout(5):
                assert await reader.read(10)
