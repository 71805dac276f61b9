"""How late pulses come, over hours of simulated time: stalls of the machine are caught up."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import override

import pytest
from display_meters import SNAPSHOT
from module_house import ModuleHouse
from simulated_loop import SimulatedLoop

from meter_node.ports import s0

NANO = 10**9
PERIOD_S = 0.060
"""30 ms and 30 ms: 16 pulses a second."""
SLACK_S = 0.5
"""A window may last so much longer than until the next image."""
CONSTANT = 1000
BEGUN_S = 1_782_910_800
"""2026-07-01 13:00:00 UTC."""


class LoopClock(s0.Clock):
    """The simulated time in the place of the machine's."""

    @override
    def __init__(self, begun_ns: int) -> None:
        pass

    @override
    def now_ns(self) -> int:
        return BEGUN_S * 10**9 + round(asyncio.get_running_loop().time() * 1e9)


class Counter:
    """What hangs on the output: when each pulse began and ended, in seconds."""

    def __init__(self) -> None:
        self.sent = 0
        self.begun: list[float] = []
        self.ended: list[float] = []

    def set(self, on: bool, now_ns: int) -> None:
        (self.begun if on else self.ended).append(now_ns / 1e9 - BEGUN_S)
        self.sent += on

    last = None

    def sent_of(self, kept: s0.Kept) -> int | None:
        return None

    def close(self) -> None:
        pass


@dataclass
class Played:
    """When so many pulses had been committed in all, when the process stood, what was counted."""

    committed: list[tuple[float, int]]
    stalls: list[tuple[float, float]]
    begun: list[float]
    ended: list[float]

    def late_s(self) -> list[float]:
        """How long after its commit each pulse began."""
        times = [time_s for time_s, _ in self.committed]
        counts = [count for _, count in self.committed]
        return [
            begun_s - times[bisect_right(counts, number)]
            for number, begun_s in enumerate(self.begun)
        ]


def house_at_a_full_minute() -> ModuleHouse:
    """All intervals have ended just now."""
    return ModuleHouse(replace(SNAPSHOT, time_ns=BEGUN_S * NANO))


type Steps = Iterator[tuple[float, int]]
"""Of each interval: how long the process stands still in it, and how many Wh there were."""


def play(monkeypatch: pytest.MonkeyPatch, steps: Steps, interval_s: int) -> Played:
    """Have a module pulse while an image comes each interval, and a while longer."""
    counter, played = Counter(), Played([], [], [], [])
    monkeypatch.setattr(s0, "Clock", LoopClock)
    monkeypatch.setattr(s0, "open_output", lambda _: counter)

    async def go() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        house = house_at_a_full_minute()
        house.view.own_beats_s = frozenset({interval_s})
        chosen = s0.S0Settings.model_validate({"kind": "s0", "offset": 1, "constant": CONSTANT})
        task = asyncio.create_task(s0.run(house.view, chosen))
        await asyncio.sleep(0.01)
        house.later(interval_s)
        due_s = seen_s = total = shown = 0
        for stall_s, wh in steps:
            due_s += interval_s
            await asyncio.sleep(max(due_s - interval_s / 3 - loop.time(), 0))
            if stall_s:
                played.stalls.append((loop.time(), stall_s))
                loop.stall(stall_s)
            await asyncio.sleep(max(due_s - loop.time(), 0))
            total += wh
            if loop.time() >= due_s + interval_s:
                continue  # it stood still beyond it: that energy comes with the next image
            house.later(due_s - seen_s, import_active_energy=total - shown)
            seen_s, shown = due_s, total
            played.committed.append((loop.time(), total))
        await asyncio.sleep(2 * interval_s + (total - shown + counter.sent) * PERIOD_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(go())
    played.begun, played.ended = counter.begun, counter.ended
    return played


def steady(
    watts: int, interval_s: int, images: int, stall_at: int = 0, stall_s: float = 0
) -> Steps:
    """The same power all the time, and one stall."""
    whole = 0
    for number in range(1, images + 1):
        wh = watts * number * interval_s // 3600 - whole
        whole += wh
        yield (stall_s if number == stall_at else 0), wh


def test_after_a_hiccup_pulses_are_as_early_as_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # 14.5 kW are four pulses a second: what was measured in 25 s is sent in 6.1 s.
    played = play(monkeypatch, steady(14_500, 5, 240, 30, 20.0), 5)
    late = played.late_s()
    assert len(late) == played.committed[-1][1]
    assert max(late) <= 5 + 20  # those that it stood still with
    over_s = 30 * 5 + 20 + 5 + 101 * PERIOD_S
    assert max(late[bisect_right(played.begun, over_s) :]) <= 5


@pytest.mark.parametrize("seed", range(10))
def test_no_pulse_is_later_than_an_interval_and_what_the_shortest_pulses_take(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random_ = random.Random(seed)
    interval_s = (1, 2, 5, 10, 60)[seed % 5]
    most_wh = int(interval_s / PERIOD_S * 0.8)

    def steps() -> Steps:
        wh = random_.randrange(most_wh + 1)
        for _ in range(max(600 // interval_s, 30)):
            if random_.random() < 0.1:
                wh = random_.randrange(most_wh + 1)
            stall_s = random_.choice([0.1, 1.0, 3.0, 20.0]) if random_.random() < 0.05 else 0
            yield stall_s, wh

    played = play(monkeypatch, steps(), interval_s)
    assert len(played.begun) == played.committed[-1][1]
    for time_s, count in played.committed:
        waits = count - bisect_right(played.begun, time_s)
        if not waits:
            continue
        sent_s = played.begun[count - 1]
        stood_s = sum(length for at, length in played.stalls if time_s <= at <= sent_s)
        assert sent_s - time_s <= interval_s + waits * PERIOD_S + stood_s + SLACK_S


def test_no_pulse_and_no_pause_is_short_while_it_catches_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = play(monkeypatch, steady(14_500, 5, 60, 20, 20.0), 5)
    assert all(off - on >= 0.0299 for on, off in zip(played.begun, played.ended, strict=True))
    assert all(on - off >= 0.0299 for off, on in zip(played.ended, played.begun[1:], strict=False))


def test_pulses_are_even_where_nothing_holds_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # 3600 W at 1000 imp/kWh: a pulse a second, once it is known how often images come.
    played = play(monkeypatch, steady(3_600, 10, 60), 10)
    gaps = [later - before for before, later in pairwise(played.begun[20:])]
    assert 0.9 < min(gaps) <= max(gaps) < 1.1


WH_A_SECOND = 3
"""10.8 kW: of no number of seconds below 60 the pulses have no room in as many."""


@pytest.mark.parametrize(
    "beats_s", [{5, 10, 8}, {5, 10, 7}, {60, 10, 12}, {60, 10, 1}, {7, 10}], ids=str
)
def test_pulses_are_even_whatever_beats_there_are(
    monkeypatch: pytest.MonkeyPatch, beats_s: set[int]
) -> None:
    counter = Counter()
    monkeypatch.setattr(s0, "Clock", LoopClock)
    monkeypatch.setattr(s0, "open_output", lambda _: counter)

    async def go() -> None:
        house = house_at_a_full_minute()
        house.view.own_beats_s = frozenset(list(beats_s)[:1])
        house.view.beats_s = frozenset(list(beats_s)[1:])
        chosen = s0.S0Settings.model_validate({"kind": "s0", "offset": 1, "constant": CONSTANT})
        task = asyncio.create_task(s0.run(house.view, chosen))
        shown_s = 0
        for second in range(1, 241):
            await asyncio.sleep(1)
            if any((BEGUN_S + second) % beat_s == 0 for beat_s in beats_s):
                house.later(second - shown_s, import_active_energy=WH_A_SECOND * (second - shown_s))
                shown_s = second
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(go())
    begun = counter.begun[WH_A_SECOND * 2 * min(beats_s) :]
    gaps = [later - before for before, later in pairwise(begun)]
    assert len(begun) > WH_A_SECOND * 100
    assert 0.9 / WH_A_SECOND < min(gaps) <= max(gaps) < 1.1 / WH_A_SECOND


def test_of_each_interval_the_first_image_counts_until_the_next_one_is_due() -> None:
    # Beats of 5 and 8 s: at 15 there is one of both's intervals, and at 16 one that is left out.
    pace = s0.Pace(10, 100, 5, 0)
    told = []
    for second in (15, 16, 20, 24, 25):
        pace.see(second, 10 * second, 5, second * NANO)
        told.append((pace.second, pace.register, pace.next_ns // NANO))
    assert told == [(15, 150, 20), (15, 150, 20), (20, 200, 25), (20, 200, 25), (25, 250, 30)]


def test_an_image_that_is_late_has_until_the_next_one_and_no_longer() -> None:
    # The machine stood still from 11 to 37: the image of 37 is the first since that of 10.
    pace = s0.Pace(10, 100, 5, 0)
    pace.see(37, 370, 5, 37 * NANO)
    assert (pace.register, pace.next_ns) == (370, 40 * NANO)


def test_a_view_comes_evenly_at_the_shortest_beat_of_meter_and_modules() -> None:
    view = house_at_a_full_minute().view
    view.own_beats_s, view.beats_s = frozenset({60, 15}), frozenset({8, 30})
    assert view.interval_s == 8
