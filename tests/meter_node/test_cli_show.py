"""meter-node show: the running node's display, or what its store has where none answers."""

import asyncio
import json
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meter_node import cli, keys
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.rows import Image
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant
from meter_node.ports.display.page import DisplayPage
from meter_node.ports.display.screen import Screen
from meter_node.ports.display.views import Settings
from meter_node.store import Store

CONFIGURATION = """
[[meter]]
name = "house"
model = "382M"
[meter.source]
kind = "simulated"
[meter.display]
energy_digits = "6.1"
"""
# 2026-07-01 12:00 UTC, 14:00 in Copenhagen
NOON_NS = 1_782_907_200 * NANO


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A node's data directory that metered 1 234 567 Wh, almost 568, until noon."""
    (tmp_path / "meter_node.toml").write_text(CONFIGURATION)
    title = keys.load_or_make(tmp_path, ["house"]).meters["house"].system_title
    store = Store(tmp_path / "store.sqlite")
    store.commit(title, Image(NOON_NS, {"import_active_energy": 1_234_568 * NANO - 1}))
    store.close()
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, data_dir: Path, *arguments: str) -> int:
    monkeypatch.setattr(
        sys, "argv", ["meter-node", "show", "--data-dir", str(data_dir), *arguments]
    )
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_without_a_node_the_first_line_says_until_when_it_metered(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, data_dir) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert "no node answers" in first
    assert "metered until 2026-07-01 14:00:00" in first
    assert any("1.8.0" in line for line in rest)
    assert any("Import" in line for line in rest)


def test_programs_get_the_faces_with_their_digits(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, data_dir, "--json", "--all", "--language", "da") == 0
    told = json.loads(capsys.readouterr().out)["house"]
    faces = {drawn["view"]: drawn for drawn in told["faces"]}
    assert faces["import_active_energy"]["digits"] == "001234.5"
    assert faces["import_active_energy"]["caption"] == "Forbrug"
    assert (told["running"], told["metered_until"]) == (False, "2026-07-01 14:00:00")
    assert "breaker" not in faces, "this meter is made without"


def test_one_view_can_be_chosen(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, data_dir, "--json", "--view", "date") == 0
    (drawn,) = json.loads(capsys.readouterr().out)["house"]["faces"]
    assert drawn["digits"] == "2026.07.01"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--view", "volts"], "--view: no view 'volts'"),
        (["--view", "breaker"], "meter house has no 'breaker'"),
        (["--meter", "cellar"], "--meter: no meter 'cellar'; there are: house"),
        (["--language", "de"], "neither en nor da"),
        (["--all", "--view", "time"], "--view: with --all"),
    ],
)
def test_what_can_not_be_shown_is_told(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert run(monkeypatch, data_dir, *arguments) == 2
    assert said in capsys.readouterr().err


async def test_a_running_node_shows_what_is_on_its_glass(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    socket_enabled: None,
) -> None:
    device = LogicalDevice(
        Identity(b"MTN12345", "1", "382M", "0"), Variant(), ZoneInfo("Europe/Copenhagen")
    )
    device.commit(Snapshot(NOON_NS, {"import_active_energy": 7_000_000 * NANO}))
    screen = Screen(device, settings=Settings(), clock=time.monotonic)
    page = DisplayPage("127.0.0.1", 0, {"house": screen})
    await page.start()
    try:
        port = page.address.rpartition(":")[2]
        (data_dir / "meter_node.toml").write_text(f"{CONFIGURATION}[display]\nport = {port}\n")
        assert await asyncio.to_thread(run, monkeypatch, data_dir, "--json") == 0
    finally:
        await page.close()
    told = json.loads(capsys.readouterr().out)["house"]
    assert told["running"] is True
    assert told["faces"][0]["digits"] == "0007000"


def test_a_page_that_does_not_answer_is_no_fault(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    socket_enabled: None,
) -> None:
    (data_dir / "meter_node.toml").write_text(f"{CONFIGURATION}[display]\nport = 1\n")
    assert run(monkeypatch, data_dir, "--json") == 0
    assert json.loads(capsys.readouterr().out)["house"]["running"] is False
