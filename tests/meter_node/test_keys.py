"""Keys: made once, kept from others, never lost by a cut."""

import json
from pathlib import Path

import pytest

from meter_node import keys
from meter_node.channel.security import Keys


def test_keys_are_made_once_in_a_file_that_only_the_owner_reads(tmp_path: Path) -> None:
    made = keys.load_or_make(tmp_path, ["house"])
    assert (tmp_path / keys.FILE_NAME).stat().st_mode & 0o777 == 0o600
    again = keys.load_or_make(tmp_path, ["house"])
    assert again.meters["house"].push.encryption == made.meters["house"].push.encryption
    assert again.node == made.node


def test_each_meter_has_keys_and_a_system_title_of_its_own(tmp_path: Path) -> None:
    meters = keys.load_or_make(tmp_path, ["house", "flat"]).meters
    pairs = [(meter.push.encryption, meter.push.authentication) for meter in meters.values()]
    assert len({key for pair in pairs for key in pair}) == 4
    titles = {meter.system_title for meter in meters.values()}
    assert len(titles) == 2
    assert all(len(title) == 8 and title.startswith(b"MTN") for title in titles)


def test_a_meter_that_comes_later_leaves_the_others_keys_alone(tmp_path: Path) -> None:
    house = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    both = keys.load_or_make(tmp_path, ["flat"]).meters
    assert both["house"].push.encryption == house.push.encryption
    assert set(both) == {"house", "flat"}


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    (tmp_path / keys.FILE_NAME).chmod(0o640)
    with pytest.raises(keys.KeyFileError, match=r"mode 0640\); chmod 600"):
        keys.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        json.dumps({"node": "a", "meters": {"x": {}}}),
        json.dumps({"node": "a/+/b", "meters": {}}),
    ],
)
def test_a_broken_key_file_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / keys.FILE_NAME
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(keys.KeyFileError, match="broken"):
        keys.load_or_make(tmp_path, ["house"])
    assert path.read_text() == content


def test_reading_before_any_key_was_made_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(keys.KeyFileError, match="meter-node init"):
        keys.load(tmp_path)


def test_a_meter_of_a_version_without_management_gets_its_keys_at_the_next_start(
    tmp_path: Path,
) -> None:
    made = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    path = tmp_path / keys.FILE_NAME
    data = json.loads(path.read_text())
    del data["meters"]["house"]["management"]
    path.write_text(json.dumps(data))
    later = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    assert later.management is not None
    assert (later.system_title, later.push, later.vending) == (
        made.system_title,
        made.push,
        made.vending,
    )
    assert keys.load(tmp_path).meters["house"] == later


def test_management_keys_are_changed_alone_and_wholly(tmp_path: Path) -> None:
    before = keys.load_or_make(tmp_path, ["house", "flat"]).meters
    new = keys.Management(Keys(b"e" * 16, b"a" * 16), b"m" * 16)
    keys.change_management(tmp_path, "house", new)
    after = keys.load(tmp_path).meters
    assert after["house"].management == new
    assert after["house"].push == before["house"].push
    assert after["flat"] == before["flat"]


def test_no_key_is_shown_by_repr(tmp_path: Path) -> None:
    made = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    assert made.management is not None
    shown = repr(made.management) + repr(made.management.keys)
    assert made.management.master.hex() not in shown
    assert repr(made.management.master) not in shown
