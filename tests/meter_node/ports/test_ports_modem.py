"""A modem with AT commands: first its states alone, then a scripted one on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import logging
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.hdlc import Frame, encode
from meter_node.ports import modem as modem_module
from meter_node.ports.ami import AmiPort, AmiSettings
from meter_node.ports.conversation import SerialLine
from meter_node.ports.modem import (
    Connected,
    Data,
    Disconnected,
    Event,
    Modem,
    ModemError,
)
from tests.meter_node.cosem.hdlc_client import Echo

OK = b"\r\nOK\r\n"


def initialised(commands: tuple[str, ...] = ()) -> Modem:
    """A modem that has said OK to all."""
    modem = Modem(commands)
    modem.start(0)
    while not modem.waiting:
        assert modem.take().endswith(b"\r")
        modem.feed(OK, 0)
    return modem


def in_call() -> Modem:
    modem = initialised()
    modem.feed(b"\r\nRING\r\n", 0)
    modem.take()
    modem.feed(b"\r\nCONNECT 9600\r\n", 0)
    return modem


# --- a call --------------------------------------------------------------------------------------


def test_it_is_initialised_command_by_command() -> None:
    modem = Modem(["AT+CBST=71,0,1"])
    modem.start(0)
    sent = []
    while not modem.waiting:
        sent.append(modem.take())
        modem.feed(OK, 0)
    assert sent == [b"ATZ\r", b"ATE0\r", b"ATV1\r", b"ATS0=0\r", b"AT+CBST=71,0,1\r"]


def test_the_echo_of_a_command_is_passed_over() -> None:
    modem = Modem()
    modem.start(0)
    modem.take()
    modem.feed(b"ATZ\r\r\nOK\r\n", 0)
    assert modem.take() == b"ATE0\r"


def test_a_ring_is_answered_once() -> None:
    modem = initialised()
    modem.feed(b"\r\nRING\r\n", 1)
    assert modem.take() == b"ATA\r"
    modem.feed(b"\r\nRING\r\n", 2)
    assert modem.take() == b""


def test_a_call_is_connected_and_what_follows_is_data() -> None:
    modem = initialised()
    modem.feed(b"\r\n+CRING: REL ASYNC\r\n", 1)
    assert modem.feed(b"\r\nCONNECT 9600\r\n\x7e\xa0", 2) == [
        Connected("CONNECT 9600"),
        Data(b"\x7e\xa0"),
    ]
    assert modem.feed(b"\x07", 2) == [Data(b"\x07")]


@given(st.lists(st.integers(0, 40), max_size=6))
def test_it_does_not_matter_how_its_words_are_cut(cuts: list[int]) -> None:
    words = b"\r\nRING\r\n\r\nCONNECT 9600\r\n\x7edata"
    edges = [0, *sorted(min(cut, len(words)) for cut in cuts), len(words)]
    modem = initialised()
    events = []
    for begin, end in pairwise(edges):
        events += modem.feed(words[begin:end], 1)
    assert events[0] == Connected("CONNECT 9600")
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"\x7edata"


@pytest.mark.parametrize("word", [b"NO CARRIER", b"ERROR", b"NO ANSWER"])
def test_a_call_that_comes_to_nothing_is_forgotten(word: bytes) -> None:
    modem = initialised()
    modem.feed(b"\r\nRING\r\n", 1)
    assert modem.feed(b"\r\n" + word + b"\r\n", 2) == []
    assert modem.waiting


def test_an_answer_that_never_connects_is_given_up() -> None:
    modem = initialised()
    modem.feed(b"\r\nRING\r\n", 1)
    modem.take()
    modem.poll(1 + 60)
    assert modem.take() == b"\rATZ\r"


# --- its end -------------------------------------------------------------------------------------


def test_a_lost_carrier_followed_by_silence_ends_the_call() -> None:
    modem = in_call()
    modem.feed(b"\x7e\r\nNO CARRIER\r\n", 10)
    assert modem.poll(10.9) == []
    assert modem.poll(11) == [Disconnected("NO CARRIER")]
    assert modem.take() == b"ATZ\r"


def test_a_lost_carrier_whose_word_comes_in_pieces_ends_the_call() -> None:
    modem = in_call()
    for piece in (b"\r\nNO CA", b"RRIER", b"\r\n"):
        modem.feed(piece, 10)
    assert modem.poll(11) == [Disconnected("NO CARRIER")]


def test_the_same_word_within_data_ends_nothing() -> None:
    modem = in_call()
    text = b"\r\nNO CARRIER\r\n"
    assert modem.feed(text, 10) == [Data(text)]
    modem.feed(b"\x12\x34\x7e", 10.5)
    assert modem.poll(20) == []


def test_hanging_up_keeps_the_silences_around_the_escape() -> None:
    modem = in_call()
    modem.hang_up(100)
    modem.poll(101)
    assert modem.take() == b""  # the guard time of 1 s, and a little
    modem.poll(101.1)
    assert modem.take() == b"+++"
    assert modem.feed(OK, 102.2) == []
    assert modem.take() == b"ATH\r"
    assert modem.feed(OK, 103) == [Disconnected("hung up")]
    assert modem.take() == b"ATZ\r"


def test_what_the_caller_still_sends_does_not_disturb_hanging_up() -> None:
    modem = in_call()
    modem.hang_up(100)
    modem.feed(b"\x7e\xa0\x07", 100.5)
    modem.poll(101.1)
    modem.take()
    modem.feed(b"\xff\xfe" + OK, 102.2)
    assert modem.take() == b"ATH\r"


def test_a_caller_who_hangs_up_first_saves_the_rest() -> None:
    modem = in_call()
    modem.hang_up(100)
    assert modem.feed(b"\r\nNO CARRIER\r\n", 100.5) == [Disconnected("NO CARRIER")]


def test_a_modem_that_does_not_hang_up_is_told_after_three_times() -> None:
    modem = in_call()
    modem.hang_up(100)
    with pytest.raises(ModemError, match="does not hang up"):
        pass_time(modem, 100, 200)
    assert modem.take() == b"+++" * 3


def pass_time(modem: Modem, start_s: int, end_s: int) -> list[Event]:
    return [event for tenth in range(10 * start_s, 10 * end_s) for event in modem.poll(tenth / 10)]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_modem_that_is_still_in_a_call_is_brought_back_first() -> None:
    modem = Modem()
    modem.start(0)
    modem.poll(5)
    modem.poll(6.1)
    assert modem.take() == b"ATZ\r+++"
    modem.feed(OK, 8)
    assert modem.take() == b"ATH\r"
    assert modem.feed(OK, 9) == []
    assert modem.take() == b"ATZ\r"


def test_a_modem_that_does_not_answer_is_told() -> None:
    modem = Modem()
    modem.start(0)
    with pytest.raises(ModemError, match="does not answer AT"):
        pass_time(modem, 0, 120)


def test_a_modem_that_woke_up_late_is_initialised() -> None:
    modem = Modem()
    modem.start(0)
    pass_time(modem, 0, 13)  # 5 s for ATZ, 1.1 s of guard and 6.1 s for the escape
    assert modem.take() == b"ATZ\r+++ATZ\r"
    modem.feed(OK, 13)
    assert modem.take() == b"ATE0\r"


def test_a_refused_command_is_told_without_what_it_sets() -> None:
    modem = Modem(["AT+CPIN=1234"])
    modem.start(0)
    for _ in range(4):
        modem.feed(OK, 0)
    with pytest.raises(ModemError) as told:
        modem.feed(b"\r\n+CME ERROR: 16\r\n", 0)
    assert str(told.value) == "the modem answers +CME ERROR: 16 to AT+CPIN"


def test_a_waiting_modem_is_looked_at_now_and_then() -> None:
    modem = initialised()
    modem.poll(599)
    assert modem.take() == b""
    modem.poll(600)
    assert modem.take() == b"AT\r"
    modem.feed(b"\r\nRING\r\n", 600)  # just then
    modem.feed(OK, 600)
    assert modem.take() == b"ATA\r"


@given(st.lists(st.tuples(st.binary(max_size=30), st.floats(0, 70)), max_size=40))
def test_any_bytes_at_any_time_are_survived(pieces: list[tuple[bytes, float]]) -> None:
    modem = initialised()
    now_s = 0.0
    with suppress(ModemError):
        for data, wait_s in pieces:
            modem.feed(data, now_s)
            now_s += wait_s
            modem.poll(now_s)
            assert len(modem._buffer) <= 256 + 30


# --- on a pseudo-terminal ------------------------------------------------------------------------


class ScriptedModem:
    """The far side of a pseudo-terminal: answers commands as a modem does, and places calls."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.commands: list[str] = []
        self.refuse: str | None = None
        self.data = bytearray()
        self._online = False
        self._buffer = b""
        self._changed = asyncio.Event()
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)

    def say(self, word: str) -> None:
        os.write(self._master, f"\r\n{word}\r\n".encode())

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def _read(self) -> None:
        with suppress(OSError):
            data = os.read(self._master, 4096)
            if not self._online:
                self._buffer += data
            elif data == b"+++":
                self._online = False
                self.commands.append("+++")
                self.say("OK")
            else:
                self.data += data
            while b"\r" in self._buffer:
                command, _, self._buffer = self._buffer.partition(b"\r")
                self._obey(command.decode())
            self._changed.set()

    def _obey(self, command: str) -> None:
        self.commands.append(command)
        if command == "ATA":
            self.say("CONNECT 9600")
            self._online = True
        else:
            self.say("ERROR" if command == self.refuse else "OK")


@asynccontextmanager
async def pseudo_terminal() -> AsyncIterator[tuple[ScriptedModem, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    scripted = ScriptedModem(master)
    try:
        yield scripted, os.ttyname(slave)
    finally:
        scripted.close()
        os.close(slave)
        os.close(master)


@asynccontextmanager
async def running(port: AmiPort) -> AsyncIterator[None]:
    task = asyncio.create_task(port.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def frame(control: int, information: bytes = b"") -> bytes:
    return encode(Frame(b"\x03", b"\x21", control, information))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A modem in a hurry: the same silences, a tenth as long."""
    for name in ("GUARD_S", "CARRIER_S", "HANG_UP_AFTER_S"):
        monkeypatch.setattr(modem_module, name, 0.1)


async def test_a_whole_call_is_answered_spoken_in_and_hung_up(quick: None) -> None:
    connection = Echo()
    async with pseudo_terminal() as (scripted, device):
        port = AmiPort(AmiSettings(modem=SerialLine(device, 9600)), lambda _: connection)
        async with running(port):
            await scripted.until(lambda: scripted.commands == ["ATZ", "ATE0", "ATV1", "ATS0=0"])
            scripted.say("RING")
            await scripted.until(lambda: scripted.commands[-1] == "ATA")
            for asked, answer in (
                (frame(0x93), 0x73),
                (frame(0x10, b"\xe6\xe6\x00hello"), 0x30),
                (frame(0x53), 0x73),
            ):
                scripted.data.clear()
                scripted.send(asked)
                await scripted.until(lambda: scripted.data.endswith(b"\x7e"))
                assert scripted.data[5] == answer
            await scripted.until(lambda: scripted.commands[5:7] == ["+++", "ATH"])
            await scripted.until(lambda: scripted.commands[-1] == "ATS0=0")
            scripted.say("RING")  # it can be called again
            await scripted.until(lambda: scripted.commands[-1] == "ATA")
    assert [asked[2] for asked in connection.asked] == [b"hello"]
    assert connection.closed_times == 1


async def test_a_call_that_is_cut_closes_its_links(quick: None) -> None:
    connection = Echo()
    async with pseudo_terminal() as (scripted, device):
        port = AmiPort(AmiSettings(modem=SerialLine(device, 9600)), lambda _: connection)
        async with running(port):
            await scripted.until(lambda: len(scripted.commands) == 4)
            scripted.say("RING")
            await scripted.until(lambda: scripted.commands[-1] == "ATA")
            scripted.send(frame(0x93))
            await scripted.until(lambda: scripted.data.endswith(b"\x7e"))
            scripted._online = False
            scripted.say("NO CARRIER")
            await scripted.until(lambda: scripted.commands[5:6] == ["ATZ"])
            assert connection.closed_times == 1


async def test_a_modem_that_refuses_is_told_once_and_tried_again(
    quick: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter_node.ports.bearers.back_off", lambda _: 0.01)
    caplog.set_level(logging.WARNING)
    async with pseudo_terminal() as (scripted, device):
        scripted.refuse = "ATS0=0"
        port = AmiPort(AmiSettings(modem=SerialLine(device, 9600)), lambda _: Echo())
        async with running(port):
            await scripted.until(lambda: scripted.commands.count("ATS0=0") >= 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"modem {device}: the modem answers ERROR to ATS0; next attempt in 0 s"
    ]


async def test_a_caller_who_says_nothing_is_hung_up_and_the_next_is_answered(quick: None) -> None:
    connection = Echo()
    async with pseudo_terminal() as (scripted, device):
        settings = AmiSettings(modem=SerialLine(device, 9600), inactivity_s=1)
        port = AmiPort(settings, lambda _: connection)
        async with running(port):
            await scripted.until(lambda: len(scripted.commands) == 4)
            for calls in (1, 2):
                scripted.say("RING")
                await scripted.until(lambda calls=calls: scripted.commands.count("ATA") == calls)
                await scripted.until(lambda calls=calls: scripted.commands.count("ATH") == calls)
                await scripted.until(lambda: scripted.commands[-1] == "ATS0=0")
    assert connection.asked == []


async def test_a_caller_who_falls_silent_is_hung_up_and_his_link_closed(quick: None) -> None:
    connection = Echo()
    async with pseudo_terminal() as (scripted, device):
        settings = AmiSettings(modem=SerialLine(device, 9600), inactivity_s=1)
        port = AmiPort(settings, lambda _: connection)
        async with running(port):
            await scripted.until(lambda: len(scripted.commands) == 4)
            scripted.say("RING")
            await scripted.until(lambda: scripted.commands[-1] == "ATA")
            scripted.send(frame(0x93))
            await scripted.until(lambda: scripted.data.endswith(b"\x7e"))
            await scripted.until(lambda: scripted.commands[5:7] == ["+++", "ATH"])
            assert connection.closed_times == 1
