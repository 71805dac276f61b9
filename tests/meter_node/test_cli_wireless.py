"""meter-node wireless-key: what a reader is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meter_node import cli, config, keys

METER = """\
[[meter]]
name = "house"
model = "382M"
meter_number = "4711000123"
source = { kind = "simulated" }
"""
MODULE = '[[meter.module]]\nkind = "wmbus"\n'


def shown(data_dir: Path, text: str, *arguments: str) -> str:
    """What it prints. Raises what the command raises."""
    (data_dir / config.FILE_NAME).write_text(text)
    keys.load_or_make(data_dir, ["house"])
    command = ["wireless-key", "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout


def test_it_is_what_wmbusmeters_takes_name_driver_identification_and_key(tmp_path: Path) -> None:
    line = shown(tmp_path, METER + MODULE)
    key = keys.load(tmp_path).meters["house"].wireless
    assert key is not None
    assert line == f"house omnipower 11000123 {key.hex()}\n"


def test_for_programs_it_is_one_json_document(tmp_path: Path) -> None:
    text = METER + MODULE + 'identification = "12345678"\n'
    told = json.loads(shown(tmp_path, text, "--json"))
    assert (told["meter"], told["identification"]) == ("house", "12345678")


def test_a_meter_without_a_radio_is_told_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match='kind = "wmbus"'):
        shown(tmp_path, METER)


def test_a_meter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="no meter 'flat'; there are: house"):
        shown(tmp_path, METER + MODULE, "--meter", "flat")
