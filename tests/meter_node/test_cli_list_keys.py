"""meter-node list-keys: what a reader of the ciphered serial list is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meter_node import cli, config, keys
from meter_node.channel.pairing import Pairing


def shown(data_dir: Path, *arguments: str) -> str:
    """What it prints. Raises what the command raises."""
    command = ["list-keys", "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout


def test_it_shows_the_lists_own_keys_and_not_those_of_the_pushes(tmp_path: Path) -> None:
    own = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    text = shown(tmp_path)
    assert own.serial_list is not None
    assert own.serial_list.encryption.hex() in text
    assert own.push.encryption.hex() not in text
    told = json.loads(shown(tmp_path, "--json"))
    assert Pairing.from_text(told["text"]) == Pairing(own.system_title, own.serial_list)
    assert told["authentication_key"] == own.serial_list.authentication.hex()


def test_of_many_meters_one_must_be_named(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house", "flat"])
    with pytest.raises(config.ConfigError, match="which one"):
        shown(tmp_path)
    with pytest.raises(config.ConfigError, match="no meter 'barn'"):
        shown(tmp_path, "--meter", "barn")
    assert json.loads(shown(tmp_path, "--meter", "flat", "--json"))["meter"] == "flat"


def test_a_key_file_of_before_gets_the_lists_keys_at_the_next_start(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    path = tmp_path / keys.FILE_NAME
    document = json.loads(path.read_text())
    del document["meters"]["house"]["serial_list"]
    keys.write_privately(path, document)
    with pytest.raises(keys.KeyFileError, match="made when the node starts"):
        shown(tmp_path)
    keys.load_or_make(tmp_path, ["house"])
    assert "MN1:" in shown(tmp_path)
