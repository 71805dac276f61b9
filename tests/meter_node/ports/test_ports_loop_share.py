"""How much of the loop's time clients may take, and in which order they are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from meter_node.ports import loop_share
from meter_node.ports.loop_share import LoopShare


class Time:
    """A clock that steps and sleeps move on, and how much of it steps took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.worked_s = 0.0
        self._sleep = asyncio.sleep
        monkeypatch.setattr(loop_share.asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await self._sleep(0)

    def step(self, seconds: float) -> Callable[[], None]:
        def work() -> None:
            self.now_s += seconds
            self.worked_s += seconds

        return work


@pytest.mark.parametrize(("proven", "share"), [(True, 0.25), (False, 0.1)])
async def test_whatever_is_asked_the_loop_keeps_most_of_its_time(
    proven: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time(monkeypatch)
    budget = LoopShare(time)
    began_s = time.now_s
    await asyncio.gather(
        *(budget.run(time.step(0.067), proven=proven) for _ in range(200)),
    )
    took_s = time.now_s - began_s
    # what was saved in the second before may be used at once, and the last step is paid for later
    assert time.worked_s == pytest.approx(200 * 0.067)
    assert took_s >= (time.worked_s - 0.067) / share - 1.0 - 1e-6


async def test_short_questions_after_a_quiet_second_never_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time(monkeypatch)
    budget = LoopShare(time)
    began_s = time.now_s
    for _ in range(9):
        await budget.run(time.step(0.01), proven=False)
    assert time.now_s - began_s == pytest.approx(0.09)


async def test_the_utility_does_not_stand_behind_a_crowd_that_has_proved_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time(monkeypatch)
    budget = LoopShare(time)
    order: list[str] = []

    def noted(who: str) -> Callable[[], None]:
        def work() -> None:
            order.append(who)
            time.now_s += 0.1

        return work

    crowd = [asyncio.create_task(budget.run(noted("crowd"), proven=False)) for _ in range(20)]
    await asyncio.sleep(0)
    await budget.run(noted("utility"), proven=True)
    assert order.index("utility") <= 4
    await asyncio.gather(*crowd)


async def test_a_step_that_fails_is_paid_for_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time(monkeypatch)
    budget = LoopShare(time)

    def fails() -> None:
        time.now_s += 1.0
        raise OSError("gone")

    began_s = time.now_s
    with pytest.raises(OSError, match="gone"):
        await budget.run(fails, proven=False)
    await budget.run(time.step(0.0), proven=False)
    assert time.now_s - began_s == pytest.approx(1.0 / 0.1 - 1.0 + 1.0, abs=1.01)
