"""meter-node pair: what a user sees of pairings made, listed and revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meter_node import cli, config, keys
from meter_node.channel.pairing import Pairing


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    keys.load_or_make(tmp_path, ["house"])
    return tmp_path


def pair(data_dir: Path, *arguments: str) -> str:
    """What it prints. Raises what the command raises."""
    command = ["pair", "--data-dir", str(data_dir), *arguments]
    return CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout


def test_the_text_that_is_shown_holds_the_keys_that_are_kept(data_dir: Path) -> None:
    shown = pair(data_dir)
    (text,) = [line for line in shown.splitlines() if line.startswith("MN2:")]
    house = keys.load(data_dir).meters["house"]
    control = house.consumers["home-assistant"]
    assert Pairing.from_text(text) == Pairing(
        house.system_title, house.push, control, "home-assistant"
    )
    assert "Meter house, pairing home-assistant." in shown


def test_for_programs_it_is_one_json_document(data_dir: Path) -> None:
    told = json.loads(pair(data_dir, "--name", "phone", "--json"))
    control = keys.load(data_dir).meters["house"].consumers["phone"]
    assert told["name"] == "phone"
    assert told["control_encryption_key"] == control.encryption.hex()
    assert json.loads(pair(data_dir, "--list", "--json")) == {
        "meter": "house",
        "pairings": ["phone"],
    }
    assert json.loads(pair(data_dir, "--revoke", "phone", "--json"))["revoked"] == "phone"


def test_a_list_names_pairings_and_shows_no_key(data_dir: Path) -> None:
    assert pair(data_dir, "--list") == "Meter house has no pairings.\n"
    pair(data_dir)
    pair(data_dir)
    assert pair(data_dir, "--list").splitlines() == ["home-assistant", "home-assistant-2"]


def test_who_revokes_is_told_what_that_does_not_end(data_dir: Path) -> None:
    pair(data_dir)
    assert "It still opens what the meter pushes" in pair(data_dir, "--revoke", "home-assistant")
    with pytest.raises(keys.PairingRefusedError, match="no pairing 'home-assistant'"):
        pair(data_dir, "--revoke", "home-assistant")


@pytest.mark.parametrize(
    "arguments",
    [("--name", "a", "--list"), ("--list", "--revoke", "a"), ("--name", "a", "--revoke", "a")],
)
def test_one_thing_is_done_at_a_time(data_dir: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(config.ConfigError, match="one of them at a time"):
        pair(data_dir, *arguments)
    assert keys.load(data_dir).meters["house"].consumers == {}


def test_of_many_meters_one_is_named(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house", "flat"])
    with pytest.raises(config.ConfigError, match="which one"):
        pair(tmp_path)
    pair(tmp_path, "--meter", "flat")
    meters = keys.load(tmp_path).meters
    assert [len(meters[name].consumers) for name in ("house", "flat")] == [0, 1]


def test_new_push_keys_end_every_pairing_and_say_so(data_dir: Path) -> None:
    before = keys.load(data_dir).meters["house"]
    pair(data_dir, "--name", "phone")
    assert json.loads(pair(data_dir, "--new-push-keys", "--json")) == {
        "meter": "house",
        "new_push_keys": True,
        "ended": ["phone"],
    }
    after = keys.load(data_dir).meters["house"]
    assert after.push != before.push
    assert not after.consumers
    assert "pair every display anew" in pair(data_dir, "--new-push-keys")
    with pytest.raises(config.ConfigError, match="one of them at a time"):
        pair(data_dir, "--new-push-keys", "--list")
