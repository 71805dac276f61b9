"""The S0 port: pulses over the constant are the register less what waits, whatever happens."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from display_meters import SNAPSHOT
from module_house import ModuleHouse, running, until
from pydantic import ValidationError

from meter_node import config
from meter_node.channel.registers import ROLLOVER_WH
from meter_node.ports import s0
from meter_node.ports.outputs import OutputLine
from meter_node.ports.pulse_train import PulseSettings

FIRST_WH = 12_345_999
NANO = 10**9


def settings(**chosen: object) -> s0.S0Settings:
    return s0.S0Settings.model_validate({"kind": "s0", **chosen})


def pulses_in(path: Path) -> list[tuple[int, int]]:
    lines = path.read_text().splitlines()
    return [(int(on), int(off)) for on, off in (line.split(",") for line in lines)]


async def test_pulses_over_the_constant_are_the_register_less_what_waits(tmp_path: Path) -> None:
    chosen = settings(file=str(tmp_path / "pulses.csv"), constant=777)
    house = ModuleHouse()
    path = Path(str(chosen.file))
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.1)
        for wh in (3, 5, 0, 8):
            house.later(1, import_active_energy=wh)
            await asyncio.sleep(0.7)
    # In nWh times pulses a kWh: 10^12 of them are a pulse.
    kept = json.loads(house.keeping.texts[chosen.place])
    waits = kept["queued"] * 10**12 + kept["rest"]
    waits += (FIRST_WH + 16 - kept["register"]) * 10**9 * 777
    assert len(pulses_in(path)) > 3
    assert len(pulses_in(path)) * 10**12 == 16 * 10**9 * 777 - waits


async def test_no_pulse_and_no_pause_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    house = ModuleHouse()
    async with running(s0.run(house.view, settings(file=str(path)))):
        house.later(1)
        await asyncio.sleep(0.1)
        house.later(1, import_active_energy=40)
        await until(lambda: path.exists() and len(pulses_in(path)) >= 15)
    pulses = pulses_in(path)
    assert all(off - on >= 30_000_000 for on, off in pulses)
    assert all(later[0] - before[1] >= 30_000_000 for before, later in pairwise(pulses))


async def test_energy_of_before_the_module_came_is_not_pulsed(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    house = ModuleHouse()
    async with running(s0.run(house.view, settings(file=str(path)))):
        house.later(1)
        await asyncio.sleep(0.3)
    assert pulses_in(path) == []


async def test_what_waits_goes_out_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    house = ModuleHouse()
    chosen = settings(file=str(path))
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.1)
        house.later(1, import_active_energy=60)  # at most 17 a second
        await until(lambda: len(pulses_in(path)) >= 3)
    assert 0 < len(pulses_in(path)) < 60
    async with running(s0.run(house.view, chosen)):
        for _ in range(12):
            house.later(1)
            await asyncio.sleep(0.4)
        await until(lambda: len(pulses_in(path)) == 60)


@pytest.mark.parametrize("seed", range(2))
async def test_power_cuts_at_any_moment_lose_no_recorded_pulse_and_repeat_none(
    tmp_path: Path, seed: int
) -> None:
    # What a cut leaves is what was kept and what stands in the file: the module's own last words
    # are forgotten.
    random_ = random.Random(seed)
    path = tmp_path / "pulses.csv"
    chosen = settings(file=str(path), constant=1000)
    house = ModuleHouse()
    given = 0
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.05)
    for _ in range(6):
        async with running(s0.run(house.view, chosen)):
            for _ in range(2):
                wh = random_.randrange(4)
                given += wh
                house.later(1, import_active_energy=wh)
                await asyncio.sleep(random_.random() * 0.4)
            texts = dict(house.keeping.texts)
            recorded = path.read_bytes()
        house.keeping.texts = texts
        path.write_bytes(recorded + str(time.time_ns())[:5].encode()[: random_.randrange(6)])
        assert len(recorded.splitlines()) <= given
    async with running(s0.run(house.view, chosen)):
        for _ in range(4):
            house.later(1)
            await asyncio.sleep(0.5)
        await until(lambda: len(pulses_in(path)) >= given)
        await asyncio.sleep(0.3)
    assert len(pulses_in(path)) == given


@pytest.mark.parametrize(
    ("ahead_s", "goes_back"), [(1800, False), (86_400, True)], ids=["a little", "far"]
)
async def test_a_clock_that_went_back_between_two_runs_loses_no_pulse(
    ahead_s: int, goes_back: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, house = tmp_path / "pulses.csv", ModuleHouse()
    chosen = settings(file=str(path))
    # As an earlier run left it, by a clock that was ahead of the host's now.
    ahead_ns = time.time_ns() + ahead_s * NANO
    earlier = [(ahead_ns + at * NANO, ahead_ns + at * NANO + 30_000_000) for at in range(20)]
    path.write_text("".join(f"{on},{off}\n" for on, off in earlier))
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=10)
        await until(lambda: len(pulses_in(path)) >= 20 + 2)
        texts, recorded = dict(house.keeping.texts), path.read_bytes()
    assert len(recorded.splitlines()) < 20 + 10
    house.keeping.texts = texts  # as a cut left both
    path.write_bytes(recorded)
    async with running(s0.run(house.view, chosen)):
        for _ in range(4):
            house.later(1)
            await asyncio.sleep(0.3)
        await until(lambda: len(pulses_in(path)) >= 20 + 10)
        await asyncio.sleep(0.3)
    assert len(pulses_in(path)) == 20 + 10
    assert pulses_in(path)[20:] == sorted(pulses_in(path)[20:])
    assert (pulses_in(path)[20] < pulses_in(path)[19]) == goes_back
    assert ("ahead of the clock" in caplog.text) == goes_back


def test_a_host_is_believed_that_is_more_than_an_hour_behind_the_last_pulse() -> None:
    host_ns, hour_ns = 1_790_000_000 * NANO, 3600 * NANO
    told = [
        s0.begins_ns(host_ns, s0.Pulse(off_ns - 30_000_000, off_ns)) - host_ns
        for off_ns in (host_ns - 5, host_ns + 5, host_ns + hour_ns, host_ns + hour_ns + 1)
    ]
    assert told == [0, 5, hour_ns, 0]
    assert s0.begins_ns(host_ns, None) == host_ns


@pytest.mark.parametrize(
    ("recorded", "sent"),
    [
        ([5, 100, 103], 2),  # 5 was the last one before, and two were sent after it
        ([900, 905, 5], 0),  # 900 and 905 are of a clock that was ahead
        ([900, 5, 100, 103, 109], 3),
        ([100, 103], 2),  # another file, which holds nothing from before
        ([3, 4], 0),
        ([], 0),
    ],
)
def test_what_was_sent_is_told_by_what_stands_behind_the_last_pulse_before_it(
    recorded: list[int], sent: int
) -> None:
    kept = s0.Kept(0, 0, 0, 1000, sending=4, after_ns=99, behind_ns=5)
    assert s0.sent_of(kept, [s0.Pulse(on_ns, on_ns + 1) for on_ns in recorded]) == sent


def test_of_pulses_behind_one_of_a_clock_that_was_ahead_none_is_taken_for_sent_before() -> None:
    kept = s0.Kept(0, 0, 0, 1000, sending=4, after_ns=99, behind_ns=905)
    recorded = [s0.Pulse(on_ns, on_ns + 1) for on_ns in (900, 905, 100, 103)]
    assert s0.sent_of(kept, recorded[:2]) == 0
    assert s0.sent_of(kept, recorded) == 2


async def test_a_file_that_was_taken_away_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    house = ModuleHouse()
    chosen = settings(file=str(path))
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=5)
        await until(lambda: len(pulses_in(path)) == 5)
        texts = dict(house.keeping.texts)
    house.keeping.texts = texts
    path.unlink()
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.3)
    assert pulses_in(path) == []


async def test_a_file_that_is_rotated_goes_on_in_another_one(tmp_path: Path) -> None:
    path, old = tmp_path / "pulses.csv", tmp_path / "pulses.csv.1"
    house, chosen = ModuleHouse(), settings(file=str(path))
    async with running(s0.run(house.view, chosen)) as task:
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=3)
        await until(lambda: path.exists() and len(pulses_in(path)) == 3)
        path.rename(old)
        house.later(1, import_active_energy=4)
        with pytest.raises(OSError, match=r"pulses\.csv: it was taken away"):
            await task
    async with running(s0.run(house.view, chosen)):  # as a module is begun again
        house.later(1)
        await until(lambda: len(pulses_in(path)) == 4)
    assert len(pulses_in(old)) == 3


async def test_without_a_pulse_nothing_is_written_to_the_store(tmp_path: Path) -> None:
    house = ModuleHouse()
    chosen = settings(file=str(tmp_path / "pulses.csv"), constant=100)
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.05)
        before = house.keeping.writes
        for _ in range(9):  # 9 Wh at 100 imp/kWh are less than a pulse
            house.later(1, import_active_energy=1)
            await asyncio.sleep(0.02)
    assert house.keeping.writes == before


async def test_the_led_blinks_with_each_pulse(tmp_path: Path) -> None:
    path = tmp_path / "pulses.csv"
    house = ModuleHouse()
    async with running(s0.run(house.view, settings(file=str(path), constant=800))):
        house.later(1)
        await asyncio.sleep(0.05)
        assert house.lamp.constants == [800]
        house.later(1, import_active_energy=5)  # four pulses
        await until(lambda: len(pulses_in(path)) == 4)
        assert house.lamp.blinked == 4
    assert house.lamp.constants == []


class Request:
    """A line as gpiod hands it out."""

    def __init__(self) -> None:
        self.values: list[tuple[int, str]] = []
        self.released = False
        self.fails = False

    def set_value(self, offset: int, value: Any) -> None:
        if self.fails:
            raise OSError("the chip is gone")
        self.values.append((offset, value.name))

    def release(self) -> None:
        self.released = True


async def test_a_gpio_line_is_driven_and_released_off(monkeypatch: pytest.MonkeyPatch) -> None:
    request, asked = Request(), []

    def request_lines(chip: str, **wanted: Any) -> Request:
        asked.append((chip, wanted))
        return request

    output = s0.GpioOutput("/dev/gpiochip0", OutputLine(17, active_low=True), request_lines)
    ((chip, wanted),) = asked
    assert chip == "/dev/gpiochip0"
    assert wanted["config"][17].active_low
    monkeypatch.setattr(s0, "open_output", lambda _: output)
    house = ModuleHouse()
    async with running(s0.run(house.view, settings(offset=17, active_low=True))):
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=2)
        await until(lambda: len(request.values) == 4)
    assert request.values == [(17, "ACTIVE"), (17, "INACTIVE")] * 2 + [(17, "INACTIVE")]
    assert request.released


async def test_of_a_gpio_line_pulses_that_were_under_way_in_a_cut_count_as_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[Request] = []

    def open_output(_: s0.S0Settings) -> s0.GpioOutput:
        requests.append(Request())
        return s0.GpioOutput("chip", OutputLine(17), lambda *_, **__: requests[-1])

    monkeypatch.setattr(s0, "open_output", open_output)
    house, chosen = ModuleHouse(), settings(offset=17)
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=10)
        await until(lambda: len(requests[0].values) >= 4)
        texts = dict(house.keeping.texts)
    house.keeping.texts = texts  # as the cut left it
    async with running(s0.run(house.view, chosen)):
        for _ in range(3):
            house.later(1)
            await asyncio.sleep(0.3)
    pulses = sum(value == "ACTIVE" for request in requests for _, value in request.values)
    assert pulses <= 10


async def test_a_line_that_fails_gets_its_pulses_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = [Request(), Request()]
    left = list(requests)
    requests[0].fails = True
    monkeypatch.setattr(
        s0,
        "open_output",
        lambda _: s0.GpioOutput("chip", OutputLine(17), lambda *_, **__: left.pop(0)),
    )
    house, chosen = ModuleHouse(), settings(offset=17)
    async with running(s0.run(house.view, chosen)) as task:
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=3)
        with pytest.raises(OSError, match="the chip is gone"):
            await task
    async with running(s0.run(house.view, chosen)):
        for _ in range(3):
            house.later(1)
            await asyncio.sleep(0.3)
    assert sum(value == "ACTIVE" for _, value in requests[1].values) == 3


A_PULSE = b"1790000000000000000,1790000000030000000\n"


@pytest.mark.parametrize(
    "held",
    [
        b'{"keys": "no newline at its end"}',
        b"no newline",
        b"a line\n",
        A_PULSE + b"17900,x\n",
        A_PULSE + b"1790000000000000000\n",
        A_PULSE + b"\n",
        b"x" * 1_000_000,
        b"\0" * 1_000_000 + b"\n",
        b"\0" * 1_000_000,
        b"12345",
        b"12345,",
        b"1,2",
        b"0",
    ],
    ids=range(13),
)
def test_a_file_that_holds_something_else_than_pulses_is_refused_and_stays_as_it_was(
    tmp_path: Path, held: bytes
) -> None:
    path = tmp_path / "other"
    path.write_bytes(held)
    with pytest.raises(OSError, match=r"other: it holds something else than pulses: name another"):
        s0.open_output(settings(file=str(path)))
    assert path.read_bytes() == held


@pytest.mark.parametrize(
    ("left", "it_may_be"),
    [
        (b"", True),
        (b"17", True),
        (b"1790000000", True),
        (b"1790000000000000000", True),
        (b"1789999999999999999,17", True),
        (b"1790000001", False),
        (b"17,", False),
        (b"12345", False),
        (b"17900000000000000000", False),
    ],
)
def test_what_a_cut_left_of_a_first_line_begins_as_the_time_or_has_all_its_digits(
    left: bytes, it_may_be: bool
) -> None:
    assert s0.is_begun(left, 1_790_000_000_000_000_000) == it_may_be


A_LITTLE = str(time.time_ns())[:2].encode()


@pytest.mark.parametrize(
    ("begun", "pulses"),
    [
        *product(
            [b"", A_LITTLE, A_PULSE[:-1], A_PULSE[:20], b"\0" * 99, A_LITTLE + b"\0\0"],
            [0, 1, 50_000],
        ),
        *product([b"scribbled", b"\xff" * 4096], [1, 50_000]),
    ],
)
def test_of_a_line_that_a_power_cut_left_nothing_stays(
    tmp_path: Path, begun: bytes, pulses: int
) -> None:
    path = tmp_path / "pulses.csv"
    path.write_bytes(A_PULSE * pulses + begun)
    s0.open_output(settings(file=str(path))).close()
    assert path.read_bytes() == A_PULSE * pulses


def test_an_output_that_cannot_be_opened_is_told_with_its_place(tmp_path: Path) -> None:
    for chosen in (
        settings(file=str(tmp_path / "gone" / "pulses.csv")),
        settings(chip=str(tmp_path / "gpiochip9"), offset=17),
    ):
        where = chosen.file or f"{chosen.chip} offset 17"
        with pytest.raises(OSError, match=f"^{re.escape(where)}: No such file or directory$"):
            s0.open_output(chosen)


async def test_a_line_that_fails_while_it_pulses_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = Request()
    request.fails = True
    line = OutputLine(17)
    output = s0.GpioOutput("chip", line, lambda *_, **__: request)
    monkeypatch.setattr(s0, "open_output", lambda _: output)
    house = ModuleHouse()
    async with running(s0.run(house.view, settings(offset=17))) as task:
        house.later(1)
        await asyncio.sleep(0.05)
        house.later(1, import_active_energy=3)
        with pytest.raises(OSError, match=r"^/dev/gpiochip0 offset 17: the chip is gone$"):
            await task


def wh_of(register: int, grown: int) -> Iterable[int]:
    return (register, (register + grown) % ROLLOVER_WH)


def test_a_register_that_rolls_over_goes_on_pulsing() -> None:
    begin, end = wh_of(ROLLOVER_WH - 3, 5)
    train = s0.Train(PulseSettings(), s0.Kept(begin, 0, 0, 1000), None)
    assert len(train.take(end, 0, 10**9)) == 5


def test_a_register_that_went_back_is_owed_nothing() -> None:
    train = s0.Train(PulseSettings(), s0.Kept(1_000_000, 0, 0, 1000), None)
    assert train.take(10, 0, 10**9) == ()
    assert len(train.take(12, 10**9, 2 * 10**9)) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"register": 1}', '{"queued": "x"}'])
async def test_a_state_that_is_none_begins_at_the_register(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pulses.csv"
    house, chosen = ModuleHouse(), settings(file=str(path))
    house.keeping.texts[chosen.place] = text
    async with running(s0.run(house.view, chosen)):
        house.later(1)
        await asyncio.sleep(0.1)
    assert "begins at the register as it is" in caplog.text
    assert json.loads(house.keeping.texts[chosen.place])["register"] == FIRST_WH


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"offset": 1, "file": "x"},
        {"file": "x", "constant": 99},
        {"file": "x", "chip": "/dev/gpiochip1"},
        {"file": "x", "active_low": True},
    ],
)
def test_a_module_needs_one_output_and_a_constant_that_there_is(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_a_constant_that_the_meters_range_outruns_is_refused_with_the_largest(
    tmp_path: Path,
) -> None:
    path = tmp_path / "meter_node.toml"
    path.write_text(
        '[[meter]]\nname = "house"\nmodel = "382M"\nsource = { kind = "simulated" }\n'
        '[[meter.module]]\nkind = "s0"\nfile = "x"\npulse_ms = 80\n'
    )
    with pytest.raises(config.ConfigError, match=r"module\[0\]: .*at most 634 imp/kWh"):
        config.load(path)


async def test_reactive_energy_and_export_have_pulses_of_their_own(tmp_path: Path) -> None:
    for energy in ("export_active_energy", "import_reactive_energy"):
        path = tmp_path / energy
        house = ModuleHouse(replace(SNAPSHOT))
        async with running(s0.run(house.view, settings(file=str(path), energy=energy))):
            house.later(1)
            await asyncio.sleep(0.05)
            house.later(1, import_active_energy=7, **{energy: 2})
            await until(lambda path=path: len(pulses_in(path)) == 2)
