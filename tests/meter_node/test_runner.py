"""A meter in real time with breaker and relays: what is committed is switched, and felt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from meter_node import config, keys, store
from meter_node.channel import hello
from meter_node.meter.parameters import Parameters
from meter_node.runner import MeterRunner

FLAT = """
[[meter]]
name = "flat"
model = "162M"
breaker = true
relays = 1
[meter.parameters]
relays = [{ own = "table", table = [{ days = [0, 1, 2, 3, 4, 5, 6], changes = [[0, true]] }] }]
[meter.source]
kind = "simulated"
"""


class Announcements:
    """The part of a broker's port that is told of a meter's greeting and pushes."""

    status_topic = "meter_node/node/test/status"
    connected = True

    def __init__(self) -> None:
        self.intervals_s: list[int] = []
        self.faults: list[str | None] = []
        self.pushed = 0

    def announce(self, _: str, greeting: hello.Hello) -> None:
        self.intervals_s.append(greeting.push_interval)
        self.faults.append(greeting.fault)

    def push(self, _: str, __: bytes) -> None:
        self.pushed += 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


async def test_a_push_interval_that_the_utility_sets_is_kept_announced_and_used(
    tmp_path: Path,
) -> None:
    told = Announcements()
    async with running(tmp_path, told) as runner:
        async with asyncio.timeout(20):
            while not told.pushed:
                await asyncio.sleep(0.1)
        assert set(told.intervals_s) == {10}
        runner.commands.change_parameters({"push": {"interval_s": 1}}, "utility")
        await runner.settled()
        assert told.intervals_s[-1] == 1
        before = told.pushed
        await asyncio.sleep(3.5)
        assert told.pushed - before >= 3
    again = Announcements()
    async with running(tmp_path, again):
        async with asyncio.timeout(20):
            while not again.intervals_s:
                await asyncio.sleep(0.1)
    assert set(again.intervals_s) == {1}, "over a restart, too"


@asynccontextmanager
async def running(folder: Path, port: Any = None) -> AsyncIterator[MeterRunner]:
    """The meter of a data directory, until the end."""
    path = folder / config.FILE_NAME
    path.write_text(FLAT)
    settings = config.load(path)
    own_keys = keys.load_or_make(folder, ["flat"]).meters["flat"]
    database, thread = store.Store(folder / "store.sqlite"), ThreadPoolExecutor(1)
    pairings = keys.PairingWatch(folder, "flat")
    runner = MeterRunner(settings.meter[0], 1, own_keys, database, port, thread, pairings=pairings)
    tasks = [asyncio.create_task(part()) for part in (runner.measure, runner.drive, runner.keep)]
    runner.begin(raised=False)
    try:
        yield runner
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await runner.last_commit()
        thread.shutdown()
        database.close()


async def until(runner: MeterRunner, wanted: str) -> None:
    """Wait until the flat's current is so."""
    async with asyncio.timeout(20):
        while True:
            shown = runner.snapshot()
            current_a = shown.instantaneous.get("current_l1")
            if current_a is not None and (current_a > 0.02) == (wanted == "flows"):
                return
            await asyncio.sleep(0.1)


async def test_an_open_breaker_stops_the_current_and_stays_open_over_a_restart(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as runner:
        await until(runner, "flows")
        assert runner.snapshot().relays[0].on, "its own table has it on all day"
        runner.commands.disconnect(who="utility")
        await until(runner, "stopped")
        breaker = runner.snapshot().breaker
        assert breaker is not None
        assert not breaker.closed, "by its own feedback"
        assert breaker.causes == ("remote",)
    async with running(tmp_path) as runner:
        await until(runner, "stopped")
        runner.commands.reconnect(who="utility")
        breaker = runner.snapshot().breaker
        assert breaker is not None
        assert breaker.button_reconnects, "mode 5 wants the button after a remote order"
        assert not breaker.closed


async def test_a_used_up_counter_ends_the_pushes_alone_until_there_are_new_push_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = Announcements()
    async with running(tmp_path, told) as runner:
        await until(runner, "flows")
        # As somebody has made it by 4 000 million pushes: set where numbers are taken.
        runner._thread.submit(setattr, runner._sealing.counter, "_next", 2**32).result()
        runner.commands.disconnect(who="utility")
        runner.commit_now()  # as for a utility's command: it is done, and answered so
        assert told.faults[-1] == "counter"
        await asyncio.sleep(0.1)  # one that was under way has a number, and is sent
        pushed = told.pushed
        await until(runner, "stopped")
        assert told.pushed == pushed
        assert told.faults[-1] == "counter"
        keys.renew_push(tmp_path, "flat")
        async with asyncio.timeout(20):
            while told.pushed == pushed:
                runner.commands.count("decryption_failed", "somebody")
                await asyncio.sleep(0.2)
        assert told.faults[-1] is None
    assert "Traceback" not in caplog.text


def test_a_new_meter_gets_a_vending_key_and_an_old_one_gets_it_later(tmp_path: Path) -> None:
    made = keys.load_or_make(tmp_path, ["flat"]).meters["flat"]
    assert made.vending is not None
    path = tmp_path / keys.FILE_NAME
    without = path.read_text().replace('"vending"', '"unknown_to_this_version"')
    path.write_text(without)
    later = keys.load_or_make(tmp_path, ["flat"]).meters["flat"]
    assert later.push == made.push
    assert later.vending not in (None, made.vending)


def test_parameters_of_the_configuration_are_those_of_the_meter(tmp_path: Path) -> None:
    path = tmp_path / config.FILE_NAME
    path.write_text(FLAT)
    parameters = config.load(path).meter[0].all_parameters()
    assert isinstance(parameters, Parameters)
    assert parameters.relays[0].own == "table"
    assert parameters.tamper.production_expected
