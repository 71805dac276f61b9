"""Whatever breaks in a module, and wherever: the meter and the others go on, and it comes back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, override

import pytest
from module_house import Kept, ModuleHouse
from survival import Listen, Subject, hears, there
from test_ports_survival import ROWS, pulses_in

from meter_node.ports import bearers, conversation, modules, s0
from meter_node.ports.module import Kind, MeterView, ModuleSettings
from meter_node.ports.modules import KINDS, Modules

OF_THE_TABLE = {"tell", "beats_s", "own_beats_s"}
"""What the table of modules and the meter do with a view, and no module."""


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """They talk with each other, and what failed is tried again soon."""
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)


class Faults:
    """Counts what a module calls, and raises at one of the calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.due: tuple[str, int] | None = None

    def called(self, name: str) -> None:
        self.calls[name] += 1
        if self.due == (name, self.calls[name]):
            self.due = None
            raise RuntimeError(f"a fault at {name}")


class Faulty:
    """Something that a module is given."""

    def __init__(self, inner: object, name: str, faults: Faults) -> None:
        self._inner, self._name, self._faults = inner, name, faults

    def __getattr__(self, name: str) -> Any:
        self._faults.called(f"{self._name}.{name}")
        return getattr(self._inner, name)


class FaultyView(MeterView):
    """What a module sees."""

    def __init__(self, house: ModuleHouse, faults: Faults) -> None:
        self._faults = faults
        keeping: Any = Faulty(house.keeping, "keeping", faults)
        led: Any = Faulty(house.lamp, "led", faults)
        super().__init__("house", house.device, keeping, led)

    @override
    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in OF_THE_TABLE:
            self._faults.called(f"view.{name}")
        return super().__getattribute__(name)


class WitnessSettings(ModuleSettings):
    kind: Literal["witness"]


class Site:
    """A meter with a module in which things break, and a witness."""

    def __init__(
        self, subject: Subject, path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
    ) -> None:
        self.house = ModuleHouse()
        self._subject, self._faults = subject, faults
        self._other = MeterView("other", self.house.device, Kept())
        self._committed = self.house.later
        self.house.view = FaultyView(self.house, faults)
        monkeypatch.setattr(self.house, "later", self._image)
        witness: Kind[Any] = Kind(WitnessSettings, self._witness)
        monkeypatch.setattr(modules, "KINDS", {**KINDS, "witness": witness})
        self.images = self.seen = 0
        self._way, self._pulses = Listen(path), path / f"pulses{len(list(path.iterdir()))}"
        chosen: dict[str, object] = {"bearer": self._way.address}
        if subject.kind == "s0":
            chosen = {"file": str(self._pulses)}
        self._settings: ModuleSettings = KINDS[subject.kind].settings.model_validate(
            {"kind": subject.kind, **chosen, **subject.chosen}
        )

    async def _witness(self, view: MeterView, _: ModuleSettings) -> None:
        while True:
            await view.committed()
            self.seen += 1

    def _image(self, seconds: float, **wh: int) -> None:
        self._committed(seconds, **wh)
        self._other.tell()
        self.images += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        table = Modules()
        table.see({"house": self.house.view, "other": self._other})
        table.use([("house", self._settings), ("other", WitnessSettings(kind="witness"))])
        try:
            await asyncio.sleep(0.02)
            yield
            await asyncio.sleep(0.02)
        finally:
            await table.close()

    async def works(self) -> None:
        """Wait until the module does what it is there for."""
        if self._subject.kind == "s0":
            before = pulses_in(self._pulses)
            async with asyncio.timeout(20):
                while pulses_in(self._pulses) == before:
                    self.house.later(1, import_active_energy=1)
                    await asyncio.sleep(0.05)
            return
        async with there(self._way) as end:
            await hears(self.house, self._subject, end, 2)

    async def stir(self) -> None:
        """Give the module cause to do something, for a short while."""
        try:
            async with asyncio.timeout(0.2):
                await self.works()
        except TimeoutError:
            pass


def _faulty_lines(monkeypatch: pytest.MonkeyPatch, faults: Faults) -> None:
    for name in ("read", "write", "close"):
        whole = getattr(conversation.Line, name)

        async def broken(self: Any, *given: Any, name: str = name, whole: Any = whole) -> Any:
            faults.called(f"line.{name}")
            return await whole(self, *given)

        monkeypatch.setattr(conversation.Line, name, broken)
    whole_output = s0.open_output

    def open_output(settings: s0.S0Settings) -> Any:
        faults.called("output.open")
        return Faulty(whole_output(settings), "output", faults)

    monkeypatch.setattr(s0, "open_output", open_output)


type Try = Callable[[Faults], Coroutine[Any, Any, Site]]


@pytest.mark.slow
@pytest.mark.parametrize("subject", [subject for subject, _ in ROWS.values()], ids=ROWS)
async def test_a_fault_at_any_call_of_a_module_disturbs_nothing_and_passes(
    subject: Subject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    _faulty_lines(monkeypatch, faults)
    site = Site(subject, tmp_path, monkeypatch, faults)
    async with site.running():
        await site.works()
    calls = dict(faults.calls)
    assert len(calls) > 6
    for name, count in calls.items():
        for place in range(1, min(count, 2) + 1):
            faults.calls.clear()
            faults.due = (name, place)
            caplog.clear()
            site = Site(subject, tmp_path, monkeypatch, faults)
            async with asyncio.timeout(30), site.running():
                while faults.due is not None and name not in AT_THE_END:
                    await site.stir()
                await site.works()
            assert site.seen == site.images > 0, name
            gc.collect()
            await asyncio.sleep(0)
            if faults.due is None:
                assert f"a fault at {name}" in caplog.text, name
            faults.due = None


AT_THE_END = {"output.close"}
"""Called where a module ends, perhaps there alone."""
