"""Live lines: sockets, serial lines, standard input, cut and opened again; a paced source."""

import asyncio
import os
import pty
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import CURRENT_GAIN_A, RATE_HZ, VOLTAGE_GAIN_V, codes

from meter_node.metrology import DigitalInputs, Engine, SampleBlock
from meter_node.sources import Break, Damage, Item, Kind, SourceError, live
from meter_node.sources.framing import StreamBlock, encode
from meter_node.sources.front_end import FrontEnd
from meter_node.sources.house import House, HouseConfig
from meter_node.sources.live import PacedSource, StreamSource, back_off_s
from meter_node.sources.reception import StreamReception
from meter_node.sources.scaling import Scaling
from meter_node.sources.simulated import SimulatedSource

NANO = 10**9
START_NS = 1_767_225_600 * NANO
GAINS = Scaling((VOLTAGE_GAIN_V,), (CURRENT_GAIN_A,))
COUNT = 800
DATA = codes(1)

pytestmark = pytest.mark.usefixtures("socket_enabled")


def a_block(number: int, **changes: object) -> StreamBlock:
    """A tenth of a second of the known load: whole cycles, so the next one follows on."""
    at = number * COUNT % (RATE_HZ)
    block = StreamBlock(
        number, number * COUNT, RATE_HZ, DATA[:1, at : at + COUNT], DATA[1:, at : at + COUNT]
    )
    return replace(block, **changes)  # type: ignore[arg-type]


def received(blocks: dict[int, bytes], **more: bool) -> list[Item]:
    """What a reception makes of these bytes, each sent when its number of tenths had gone."""
    reception = StreamReception(RATE_HZ, 1, **more)
    return [
        item
        for number, data in blocks.items()
        for item in reception.feed(data, START_NS + (number + 1) * NANO // 10)
    ]


def line(*numbers: int) -> dict[int, bytes]:
    return {number: encode(a_block(number)) for number in numbers}


def test_a_lost_block_is_a_gap_that_the_engine_flags() -> None:
    items = received(line(*(n for n in range(30) if n != 14)))
    (damage,) = (item for item in items if isinstance(item, Damage))
    assert (damage.kind, damage.first_sample, damage.samples) == (Kind.MISSING, 14 * COUNT, COUNT)
    assert damage.start_ns == START_NS + 14 * NANO // 10
    engine = Engine(GAINS.of_codes(1), 1, RATE_HZ)
    seconds = [m for item in items if isinstance(item, SampleBlock) for m in engine.push(item)]
    assert [second.complete for second in seconds] == [True, False, False, True]
    # 230 V · 5 A · cos 60° for all that came, and for nothing else: 29 tenths of a second.
    energy = sum(second.active_energy_nwh for second in seconds)
    assert energy == pytest.approx(575 * 2.9 / 3600 * 1e9, rel=1e-4)


def test_a_front_end_that_begins_again_begins_a_new_stream() -> None:
    blocks = line(5, 6) | {7: encode(a_block(0)), 8: encode(a_block(1))}
    items = received(blocks)
    assert [type(item) for item in items] == [SampleBlock] * 2 + [Break] + [SampleBlock] * 2
    before, after = items[1], items[3]
    assert isinstance(before, SampleBlock)
    assert isinstance(after, SampleBlock)
    assert after.start_ns - before.start_ns == NANO // 10


def test_noise_and_clipping_are_told_before_the_block_they_belong_to() -> None:
    codes_ = np.full((1, COUNT), 2**23 - 1, dtype=np.int32)
    items = received({0: b"noise" + encode(a_block(0, voltage=codes_))})
    assert [getattr(item, "kind", None) for item in items] == [Kind.DAMAGED, Kind.CLIPPED, None]


def test_clipping_that_only_the_front_end_saw_is_told() -> None:
    items = received({0: encode(a_block(0, clipped=True))})
    assert isinstance(items[0], Damage)
    assert (items[0].kind, items[0].detail) == (Kind.CLIPPED, "says the front-end")


def test_temperature_and_contacts_come_with_the_block() -> None:
    reception = StreamReception(RATE_HZ, 1)
    inputs = DigitalInputs(True, terminal_cover_open=True)
    block = a_block(0, shunt_temperature_c=41.25, inputs=inputs)
    (item,) = reception.feed(encode(block), START_NS)
    assert isinstance(item, SampleBlock)
    assert item.shunt_temperature_c == 41.25
    assert reception.inputs == inputs


def test_the_front_ends_own_clock_is_used_where_it_is_the_better_one() -> None:
    sent_ns = START_NS - 7 * NANO
    data = {0: encode(a_block(0, time_ns=sent_ns))}
    (theirs,) = received(data, by_sender=True)
    (ours,) = received(data)
    assert isinstance(theirs, SampleBlock)
    assert isinstance(ours, SampleBlock)
    assert (theirs.start_ns, ours.start_ns) == (sent_ns, START_NS)


@pytest.mark.parametrize(
    "block",
    [
        a_block(0, sampling_rate_hz=4000),
        a_block(0, voltage=DATA[:, :COUNT], current=DATA[:, :COUNT]),
    ],
)
def test_another_rate_or_number_of_phases_is_refused(block: StreamBlock) -> None:
    with pytest.raises(SourceError, match="configured are 1 at 8000 Hz"):
        received({0: encode(block)})


@asynccontextmanager
async def front_end(
    *connections: list[bytes],
) -> AsyncGenerator[str]:
    """A TCP front-end that sends one list a connection and hangs up, but for the last one."""
    waiting = list(connections)
    open_ones = []  # a writer that nobody holds would be closed

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for data in waiting.pop(0):
            writer.write(data)
            await writer.drain()
        open_ones.append(writer)
        if waiting:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        server.close_clients()


async def taken(source: StreamSource, enough: Callable[[list[Item]], bool]) -> list[Item]:
    items: list[Item] = []
    async with aclosing(source.items()) as coming:
        async for item in coming:
            items.append(item)
            if enough(items):
                break
    return items


def blocks_in(items: list[Item]) -> list[SampleBlock]:
    return [item for item in items if isinstance(item, SampleBlock)]


async def test_a_line_that_is_cut_is_opened_again_and_what_was_lost_is_told() -> None:
    first = [encode(a_block(n)) for n in range(3)]
    first[2] = first[2][:700]  # cut within a block
    second = [encode(a_block(n)) for n in range(5, 8)]
    times = iter(range(100))

    async with front_end(first, second) as url:
        # The front-end goes on while the line is down: its block 5 comes at five tenths.
        source = StreamSource(
            url, RATE_HZ, 1, GAINS, now_ns=lambda: START_NS + next(times) * NANO // 100
        )
        items = await taken(source, lambda items: len(blocks_in(items)) == 5)
    kinds = [type(item) for item in items]
    assert kinds == [SampleBlock] * 2 + [Break, Damage] + [SampleBlock] * 3
    cut, lost = items[2], items[3]
    assert isinstance(cut, Break)
    assert "the other side closed the line; next attempt in 1 s" in cut.reason
    assert isinstance(lost, Damage)
    assert lost.samples == 3 * COUNT


async def test_a_front_end_that_is_not_there_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "back_off_s", lambda attempt: 0.01)
    source = StreamSource("tcp://127.0.0.1:1", RATE_HZ, 1, GAINS)
    items = await taken(source, lambda items: len(items) == 3)
    assert all(isinstance(item, Break) and "next attempt" in item.reason for item in items)


async def test_a_silent_line_is_taken_for_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE_S", 0.05)
    async with front_end([encode(a_block(0))]) as url:
        items = await taken(StreamSource(url, RATE_HZ, 1, GAINS), lambda items: len(items) == 2)
    assert isinstance(items[1], Break)
    assert "nothing came for" in items[1].reason


async def test_a_front_end_of_another_rate_is_told_and_asked_again() -> None:
    wrong = [encode(a_block(0, sampling_rate_hz=4000))]
    async with front_end(wrong, [encode(a_block(0))]) as url:
        items = await taken(StreamSource(url, RATE_HZ, 1, GAINS), lambda items: len(items) == 2)
    assert isinstance(items[0], Break)
    assert "sends 1 phases at 4000 Hz" in items[0].reason
    assert isinstance(items[1], SampleBlock)


def test_attempts_come_ever_more_slowly() -> None:
    assert [back_off_s(attempt) for attempt in (0, 1, 2, 4, 5, 1000)] == [1, 2, 4, 16, 30, 30]


async def test_a_serial_line_is_read() -> None:
    ours, theirs = pty.openpty()
    source = StreamSource(f"serial://{os.ttyname(theirs)}?baudrate=921600", RATE_HZ, 1, GAINS)

    async def send() -> None:
        await asyncio.sleep(0.2)  # opening empties the line
        for number in range(3):
            await asyncio.to_thread(os.write, ours, encode(a_block(number)))

    try:
        sending = asyncio.create_task(send())
        items = await taken(source, lambda items: len(blocks_in(items)) == 3)
        await sending
    finally:
        os.close(theirs)
        os.close(ours)
    assert [type(item) for item in items] == [SampleBlock] * 3
    np.testing.assert_array_equal(blocks_in(items)[2].current, a_block(2).current)


READER = """
import asyncio, sys
from meter_node.sources import SampleBlock
from meter_node.sources.live import StreamSource
from meter_node.sources.scaling import Scaling

async def main():
    source = StreamSource("stdin:", 8000, 1, Scaling((1e-4,), (1e-5,)))
    async for item in source.items():
        print(item.samples if isinstance(item, SampleBlock) else item)

asyncio.run(main())
"""


def test_standard_input_is_read_to_its_end() -> None:
    sent = b"".join(encode(a_block(number)) for number in range(3))
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=sent,
        capture_output=True,
        check=True,
        timeout=30,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.split() == [b"800"] * 3


async def test_a_simulated_house_is_paced_by_the_clock() -> None:
    house = House(HouseConfig(phases=1))
    source = PacedSource(lambda start_ns: SimulatedSource(house, FrontEnd(), RATE_HZ, start_ns))
    assert (source.phases, source.sampling_rate_hz, len(source.calibration.phases)) == (1, 8000, 1)
    async with aclosing(source.items()) as items:
        async for item in items:
            assert isinstance(item, SampleBlock)
            assert item.start_ns % NANO == 0
            assert item.start_ns + NANO <= time.time_ns() < item.start_ns + 2 * NANO
            break


class ThreeBlocks:
    """A source of three short blocks."""

    calibration = GAINS.of_codes(1)
    sampling_rate_hz = RATE_HZ
    phases = 1
    full_scale_codes = 2**23 - 1

    def __init__(self, start_ns: int) -> None:
        self.start_ns = start_ns

    def blocks(self) -> Iterator[SampleBlock]:
        for number in range(3):
            at = number * 80
            yield SampleBlock(
                DATA[:1, at : at + 80], DATA[1:, at : at + 80], RATE_HZ, at,
                self.start_ns + number * NANO // 100, 23.0,
            )  # fmt: skip

    def inputs(self) -> DigitalInputs:
        return DigitalInputs()


async def test_a_recording_begins_again_where_it_is_asked_to() -> None:
    again: list[Item] = []
    async with aclosing(PacedSource(ThreeBlocks, repeat=True).items()) as items:
        async for item in items:
            again.append(item)
            if len(again) == 5:
                break
    assert [type(item) for item in again] == [SampleBlock] * 3 + [Break, SampleBlock]


async def test_samples_that_waited_for_a_busy_node_are_all_given_and_are_no_power_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_s, true_ns = time.monotonic, time.time_ns
    async with aclosing(PacedSource(ThreeBlocks).items()) as items:
        given = [await anext(items)]
        monkeypatch.setattr(live.time, "monotonic", lambda: true_s() + 15)
        monkeypatch.setattr(live.time, "time_ns", lambda: true_ns() + 15 * NANO)
        given += [item async for item in items]
    assert [type(item) for item in given] == [SampleBlock] * 3


async def test_a_node_that_stood_still_for_minutes_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_s, true_ns = time.monotonic, time.time_ns
    async with aclosing(PacedSource(ThreeBlocks).items()) as items:
        await anext(items)
        monkeypatch.setattr(live.time, "monotonic", lambda: true_s() + 100)
        monkeypatch.setattr(live.time, "time_ns", lambda: true_ns() + 100 * NANO)
        assert isinstance(await anext(items), SampleBlock)
        assert isinstance(await anext(items), Break)


async def test_a_machine_that_slept_begins_anew_at_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_ns = time.time_ns
    async with aclosing(PacedSource(ThreeBlocks).items()) as items:
        first = await anext(items)
        monkeypatch.setattr(live.time, "time_ns", lambda: true_ns() + 100 * NANO)
        second, broken, third = await anext(items), await anext(items), await anext(items)
    assert isinstance(first, SampleBlock)
    assert isinstance(second, SampleBlock)
    assert isinstance(broken, Break)
    assert "100 s from the clock" in broken.reason
    assert isinstance(third, SampleBlock)
    assert third.start_ns - first.start_ns >= 100 * NANO
