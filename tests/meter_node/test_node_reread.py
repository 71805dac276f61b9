"""The configuration read anew (SIGHUP): judged as a start judges it, and nothing half-applied."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from meter_node import config, node
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import Modules

HOUSE = """
[[meter]]
name = "house"
model = "382M"
source = { kind = "simulated" }
[[meter.module]]
kind = "p1"
"""
BARN = HOUSE.replace("house", "barn").replace('"p1"', '"han"')


class Wanted(Modules):
    """Notes what is to run."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[list[str]] = []

    def use(self, wanted: Iterable[tuple[str, ModuleSettings]]) -> tuple[int, int]:
        self.wanted.append([f"{name} {settings.kind}" for name, settings in wanted])
        return 0, 0


class Node:
    """A node that runs by a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / config.FILE_NAME
        self.path.write_text(HOUSE)
        self.modules = Wanted()
        read = partial(config.load_to_run, self.path, folder)
        node._follow_changes(read(), read, self.modules)

    async def reads(self, text: str) -> list[list[str]]:
        """Have it read its file anew; return what it wants to run then."""
        self.path.write_text(text)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        return self.modules.wanted


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("text", ["", "[[meter]]\n", "[store]\ncommit_interval_s = 1\n"])
async def test_a_file_that_no_node_would_run_by_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    running = Node(tmp_path)
    assert await running.reads(text) == []
    assert "the configuration stays as it was" in caplog.text
    assert str(running.path) in caplog.text


async def test_a_meter_that_runs_and_is_not_in_the_file_any_more_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await Node(tmp_path).reads(HOUSE.replace("house", "hus")) == []
    assert "the configuration stays as it was: meter house runs" in caplog.text
    assert "it has hus" in caplog.text


async def test_a_meter_that_is_new_in_the_file_is_named_and_the_others_modules_follow_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await Node(tmp_path).reads(HOUSE + BARN) == [["house p1", "barn han"]]
    assert "meter barn is new in it" in caplog.text
