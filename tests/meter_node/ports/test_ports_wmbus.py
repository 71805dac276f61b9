"""The wireless M-Bus port: who gets which telegram when, and under which number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from mbus_meter import House
from pydantic import ValidationError

from meter_node.ports.modules import Modules
from meter_node.ports.wmbus import port, telegram
from meter_node.ports.wmbus.frames import format_a, format_b
from tests.loopback import free_port

LONG_LENGTH, COMPACT_LENGTH = 0x2D, 0x27
"""Of a real OMNIPOWER's long and compact telegrams."""


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


def settings(**chosen: object) -> port.WmbusSettings:
    return port.WmbusSettings.model_validate({"kind": "wmbus", **chosen})


@asynccontextmanager
async def running(house: House, chosen: port.WmbusSettings) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(port.run(house.view, chosen))
    await asyncio.sleep(0.05)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def play(house: House, times: int, step_s: int = 10) -> None:
    for _ in range(times):
        house.later(step_s)
        await asyncio.sleep(0.01)


def lengths(text: str) -> list[int]:
    return [int(line.split(";0x")[1][:2], 16) for line in text.splitlines()]


async def test_a_long_telegram_comes_first_and_then_every_eighth(tmp_path: Path) -> None:
    path, house = tmp_path / "telegrams", House()
    async with running(house, settings(bearer=f"file:{path}")):
        await play(house, 17)
    every_eighth = [LONG_LENGTH, *[COMPACT_LENGTH] * 7]
    assert lengths(path.read_text()) == [*every_eighth, *every_eighth, LONG_LENGTH]


async def test_telegrams_come_no_faster_than_the_interval(tmp_path: Path) -> None:
    path, house = tmp_path / "telegrams", House()
    async with running(house, settings(bearer=f"file:{path}", interval_s=30)):
        await play(house, 9)  # from 12:00:15 to 12:01:35
    stamps = [line.split(";")[3] for line in path.read_text().splitlines()]
    # The first image in each half minute.
    assert stamps == [f"2026-07-01 12:{time}.000" for time in ("00:15", "00:35", "01:05", "01:35")]


async def test_each_interval_has_its_telegram_where_seconds_end_a_little_early_or_late(
    tmp_path: Path,
) -> None:
    path, house = tmp_path / "telegrams", House()  # of 12:00:05
    async with running(house, settings(bearer=f"file:{path}")):
        # 0.2 ms before each whole ten seconds and 0.2 ms behind it, in turns.
        for step_s in (4.9998, 10.0004, 9.9996, 10.0004, 9.9996):
            house.later(step_s)
            await asyncio.sleep(0.01)
    stamps = [line.split(";")[3] for line in path.read_text().splitlines()]
    assert stamps == [f"2026-07-01 12:00:{second}.000" for second in (10, 20, 30, 40, 50)]


async def test_no_number_is_used_twice_over_a_restart_and_none_without_a_listener(
    tmp_path: Path,
) -> None:
    path, house = tmp_path / "telegrams", House()
    for _ in range(2):
        async with running(house, settings(bearer=f"file:{path}", long_every=1)):
            await play(house, 5)
    sessions = [line.split(";0x")[1][2 * 13 : 2 * 17] for line in path.read_text().splitlines()]
    numbers = [int.from_bytes(bytes.fromhex(session), "little") for session in sessions]
    assert numbers == [1 << 29 | number for number in range(1000, 1010)]
    async with running(house, settings(bearer="dial://127.0.0.1:1")):
        await play(house, 5)
    assert house.keeping.number == 1010


async def test_a_file_of_telegrams_is_for_the_nodes_group_to_read_and_for_nobody_else(
    tmp_path: Path,
) -> None:
    path, house = tmp_path / "telegrams", House()
    async with running(house, settings(bearer=f"file:{path}")):
        await play(house, 1)
    assert path.stat().st_mode & 0o777 == 0o640


async def test_who_comes_later_gets_a_long_telegram_first() -> None:
    number = free_port()
    house = House()
    async with running(house, settings(bearer=f"listen://127.0.0.1:{number}")):
        one, writer = await asyncio.open_connection("127.0.0.1", number)
        await asyncio.sleep(0.05)
        await play(house, 2)
        other, other_writer = await asyncio.open_connection("127.0.0.1", number)
        await asyncio.sleep(0.05)
        await play(house, 2)
        first = lengths((await one.read(4000)).decode())
        second = lengths((await other.read(4000)).decode())
        writer.close()
        other_writer.close()
    assert first == [LONG_LENGTH, COMPACT_LENGTH, LONG_LENGTH, COMPACT_LENGTH]
    assert second == [LONG_LENGTH, COMPACT_LENGTH]


async def test_a_listener_that_never_reads_is_cut_off_and_little_is_kept_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meter_node.ports.conversation.SEND_S", 0.2)
    monkeypatch.setattr("meter_node.ports.conversation._GOODBYE_S", 0.1)
    ether = port._Ether()
    with socket.create_server(("127.0.0.1", 0)) as nobody_reads:
        reader, writer = await asyncio.open_connection(*nobody_reads.getsockname())
        deaf = asyncio.create_task(ether.talk(port.Line(reader, writer), "deaf"))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while not deaf.done():
                ether.send(bytes(100_000))
                await asyncio.sleep(0.001)
                # What waits is one telegram above the mark at which it is waited for.
                assert writer.transport.get_write_buffer_size() <= 100_000 + 16_384
        assert isinstance(deaf.exception(), TimeoutError)
        assert ether.listeners == 0


async def test_a_listener_that_went_is_forgotten_with_the_next_telegram() -> None:
    number = free_port()
    house = House()
    async with running(house, settings(bearer=f"listen://127.0.0.1:{number}")):
        _, writer = await asyncio.open_connection("127.0.0.1", number)
        await asyncio.sleep(0.05)
        await play(house, 1)
        writer.close()
        await asyncio.sleep(0.05)
        await play(house, 6)
    assert house.keeping.number <= 1003


async def test_a_module_of_that_kind_runs_from_the_table(tmp_path: Path) -> None:
    path, house, modules = tmp_path / "telegrams", House(), Modules()
    modules.see({"house": house.view})
    modules.use([("house", settings(bearer=f"file:{path}"))])
    assert house.view.beat_s == 10
    await asyncio.sleep(0.05)
    await play(house, 1)
    await modules.close()
    assert lengths(path.read_text()) == [LONG_LENGTH]


def test_a_line_for_readers_of_rtl_wmbus_has_the_images_time_and_no_check_sequences() -> None:
    view = House().view
    line = port.line_of(view, settings(), b"\x44\x01\x02")
    assert line == b"C1;1;1;2026-07-01 12:00:05.000;0;0;11000123;0x03440102\n"


@pytest.mark.parametrize(
    ("chosen", "frame"),
    [
        ({"mode": "T1"}, format_a),
        ({"mode": "C1"}, format_b),
        ({"mode": "C1", "frame_format": "A"}, format_a),
    ],
)
def test_a_line_for_a_transmitter_is_the_modes_frame(
    chosen: dict[str, object], frame: Callable[[bytes], bytes]
) -> None:
    body = bytes(range(30))
    line = port.line_of(House().view, settings(form="hex", **chosen), body)
    assert bytes.fromhex(line.decode()) == frame(body)


def test_no_two_telegrams_of_profile_a_begin_alike() -> None:
    # 256 telegrams later the initial vector is the same again: the time must differ.
    house, chosen = House(), settings(protection="profile_a")
    first = port.body(house.view, chosen, bytes(16), 1, is_long=True)
    house.later(2560)
    later = port.body(house.view, chosen, bytes(16), 257, is_long=True)
    assert first[9:14] == later[9:14]
    assert first[14:30] != later[14:30]
    assert first[30:46] != later[30:46]


def test_profile_a_tells_the_second_that_an_image_ended_a_little_early_for() -> None:
    house = House()  # of 12:00:05
    house.later(54.9998)
    record = next(port.as_profile_a(house.view))
    # 12:01:00 UTC is 14:01 in Copenhagen; seconds are the six lowest bits, minutes the next byte's.
    assert (record.data[0] & 0x3F, record.data[1] & 0x3F) == (0, 1)


def test_everything_that_profile_a_may_tell_fits_into_a_telegram() -> None:
    data = telegram.whole(list(port.as_profile_a(House().view)))
    current_l2_and_l3 = 2 * (1 + 4 + 4)  # the image has no value of theirs
    assert House().view.tariffs == 8  # there are no more
    assert len(data) + current_l2_and_l3 <= telegram.MOST_BLOCKS * 16 - 2


@pytest.mark.parametrize(
    "chosen",
    [
        {"mode": "T1", "frame_format": "B"},
        {"mode": "S1"},
        {"interval_s": 7},
        {"long_every": 0},
        {"protection": "none"},
        {"protection": "profile_a", "long_every": 4},
    ],
)
def test_what_no_radio_sends_is_refused(chosen: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**chosen)
