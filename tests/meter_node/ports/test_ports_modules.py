"""Modules come and go; whatever one of them does, the others and the meter go on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Literal

import pytest
from module_house import ModuleHouse, until

from meter_node.ciphering import LAST_WIRELESS, InvocationCounter
from meter_node.ports import bearers, modules
from meter_node.ports.module import Kind, MeterView, ModuleSettings
from meter_node.ports.modules import KINDS, Modules


class ToySettings(ModuleSettings):
    kind: Literal["toy"]
    name: str = "one"
    beat: int | None = None

    @property
    def beat_s(self) -> int | None:
        return self.beat


class Toys:
    """What the toys did."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.begun: list[str] = []
        self.fails = False
        self.ends_in_s = 0.0

    async def run(self, view: MeterView, settings: ToySettings) -> None:
        self.begun.append(settings.name)
        if self.fails:
            raise RuntimeError("a toy breaks")
        assert settings.name not in self.running
        self.running.append(settings.name)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.ends_in_s)
            self.running.remove(settings.name)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Toys:
    made = Toys()
    monkeypatch.setattr(modules, "KINDS", {**KINDS, "toy": Kind(ToySettings, made.run)})
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)
    return made


def toy(name: str = "one", beat: int | None = None) -> tuple[str, ModuleSettings]:
    return "house", ToySettings(kind="toy", name=name, beat=beat)


async def test_modules_come_and_go_and_the_others_are_not_disturbed(toys: Toys) -> None:
    running = Modules()
    running.see({"house": ModuleHouse().view})
    assert running.use([toy("one"), toy("two")]) == (2, 0)
    await until(lambda: sorted(toys.running) == ["one", "two"])
    assert running.use([toy("two"), toy("three")]) == (1, 1)
    await until(lambda: sorted(toys.running) == ["three", "two"])
    assert toys.begun.count("two") == 1
    await running.close()
    assert toys.running == []


async def test_one_with_changed_settings_begins_when_the_old_one_has_ended(toys: Toys) -> None:
    running = Modules()
    running.see({"house": ModuleHouse().view})
    running.use([toy("one")])
    await until(lambda: toys.running == ["one"])
    toys.ends_in_s = 0.1
    # The same output, another beat: two at once would fight for it (the toy asserts that).
    running.use([toy("one", 5)])
    await until(lambda: toys.begun == ["one", "one"] and toys.running == ["one"])
    await running.close()


async def test_one_that_is_put_back_at_once_begins_when_it_has_ended(toys: Toys) -> None:
    running = Modules()
    running.see({"house": ModuleHouse().view})
    running.use([toy("one")])
    await until(lambda: toys.running == ["one"])
    toys.ends_in_s = 0.1
    for _ in range(3):
        # Two at once would fight for the output (the toy asserts that).
        assert running.use([]) == (0, 1)
        assert running.use([toy("one")]) == (1, 0)
        await asyncio.sleep(0.01)
    await until(lambda: toys.begun == ["one", "one"] and toys.running == ["one"])
    await running.close()


async def test_what_was_removed_before_has_ended_when_all_are_closed(toys: Toys) -> None:
    running = Modules()
    running.see({"house": ModuleHouse().view})
    running.use([toy("one")])
    await until(lambda: toys.running == ["one"])
    toys.ends_in_s = 0.1
    running.use([])
    await running.close()
    assert toys.running == []


async def test_one_that_fails_is_begun_again_and_the_others_go_on(
    toys: Toys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house, running, path = ModuleHouse(), Modules(), tmp_path / "telegrams"
    toys.fails = True
    running.see({"house": house.view})
    p1 = KINDS["p1"].settings(kind="p1", bearer=f"file:{path}")
    running.use([toy(), ("house", p1)])
    await until(lambda: len(toys.begun) > 2)
    await house.play(3)
    await until(lambda: path.exists() and path.read_bytes().count(b"/MTN5") == 3)
    assert "a toy breaks" in caplog.text
    toys.fails = False
    await until(lambda: toys.running == ["one"])
    await running.close()


async def test_a_fault_that_comes_again_and_again_is_told_once(
    toys: Toys, caplog: pytest.LogCaptureFixture
) -> None:
    running = Modules()
    toys.fails = True
    running.see({"house": ModuleHouse().view})
    running.use([toy()])
    await until(lambda: len(toys.begun) > 4)
    await running.close()
    assert caplog.text.count("Traceback") == 1
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2, "the fault with where it is, and that there will be another attempt"


@pytest.mark.parametrize(
    ("kind", "chosen"), [("wmbus", {}), ("han", {"ciphered": True})], ids=["wmbus", "han"]
)
async def test_a_counter_that_is_used_up_is_told_once_and_in_words(
    kind: str,
    chosen: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)
    house, running = ModuleHouse(), Modules()
    house.keeping.number = LAST_WIRELESS - 1

    async def number() -> int:
        counter = InvocationCounter(house.keeping.number, 0, lambda _: None, last=LAST_WIRELESS)
        house.keeping.number = counter.take() + 1
        return house.keeping.number - 1

    monkeypatch.setattr(house.keeping, "wireless_number", number)
    path = tmp_path / "telegrams"
    bearer = KINDS[kind].settings.model_validate({"kind": kind, "bearer": f"file:{path}", **chosen})
    running.see({"house": house.view})
    running.use([("house", bearer)])
    await until(path.exists)
    await house.play(6)  # numbers are there for two
    await until(lambda: "used up" in caplog.text)
    await house.play(20)
    await running.close()
    assert house.keeping.number == LAST_WIRELESS + 1
    assert caplog.text.count(f"house: {kind}: it has ended: the invocation counter is used up") == 1
    assert "Traceback" not in caplog.text
    assert "attempt" not in caplog.text


async def test_one_that_fails_as_it_is_ended_has_ended(
    toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks_at_its_end(view: MeterView, settings: ToySettings) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the line is gone")

    kind = Kind(ToySettings, breaks_at_its_end)
    monkeypatch.setattr(modules, "KINDS", {**KINDS, "toy": kind})
    running = Modules()
    running.see({"house": ModuleHouse().view})
    running.use([toy()])
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        await running.close()


async def test_the_meter_knows_the_beats_of_the_modules_that_run(toys: Toys) -> None:
    house, running = ModuleHouse(), Modules()
    running.see({"house": house.view})
    running.use([toy("one", 10), toy("two", 7), toy("three")])
    assert house.view.beats_s == {10, 7}
    running.use([toy("one", 10), toy("three")])
    assert house.view.beats_s == {10}
    running.use([toy("three")])
    assert house.view.beats_s == set()
    await running.close()


async def test_a_meter_that_is_not_there_has_no_modules(toys: Toys) -> None:
    running = Modules()
    running.see({"house": ModuleHouse().view})
    assert running.use([("barn", toy()[1])]) == (0, 0)


def test_every_kind_of_the_table_has_a_section_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "modules.md").read_text()
    for name, kind in KINDS.items():
        assert f'kind = "{name}"' in text
        for field in kind.settings.model_fields:
            assert f"`{field}`" in text, f"{name}: {field}"
