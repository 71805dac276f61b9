"""Keys: made once, kept from others, never lost by a cut."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meter_node import keys
from meter_node.channel.security import Keys


def consumers(watch: keys.PairingWatch) -> Mapping[str, Keys]:
    """The pairings of a file that has changed."""
    found = watch.changed()
    assert found is not None
    return found.consumers


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


def test_each_pairing_has_control_keys_of_its_own(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    names = [keys.pair(tmp_path, "house", None, "home-assistant")[1] for _ in range(3)]
    assert names == ["home-assistant", "home-assistant-2", "home-assistant-3"]
    house = keys.load(tmp_path).meters["house"]
    pairs = [house.push, *house.consumers.values()]
    assert len({key for pair in pairs for key in (pair.encryption, pair.authentication)}) == 8


def test_a_revoked_pairing_leaves_the_others_and_its_name_free(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    before, _ = keys.pair(tmp_path, "house", None, "ha")
    keys.pair(tmp_path, "house", "phone", "ha")
    keys.revoke(tmp_path, "house", "ha")
    assert list(keys.load(tmp_path).meters["house"].consumers) == ["phone"]
    after, name = keys.pair(tmp_path, "house", None, "ha")
    assert name == "ha"
    assert after.consumers["ha"] != before.consumers["ha"]


@pytest.mark.parametrize(
    ("name", "reason"), [("phone", "there is a pairing"), ("Phone", "can't be named")]
)
def test_a_name_that_is_taken_or_none_makes_no_pairing(
    tmp_path: Path, name: str, reason: str
) -> None:
    keys.load_or_make(tmp_path, ["house"])
    keys.pair(tmp_path, "house", "phone", "ha")
    before = keys.load(tmp_path)
    with pytest.raises(keys.PairingRefusedError, match=reason):
        keys.pair(tmp_path, "house", name, "ha")
    assert keys.load(tmp_path) == before


def test_only_so_many_pairings_are_made(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    for _ in range(keys.MOST_PAIRINGS):
        keys.pair(tmp_path, "house", None, "ha")
    with pytest.raises(keys.PairingRefusedError, match="revoke one first"):
        keys.pair(tmp_path, "house", None, "ha")


def test_what_is_not_paired_can_not_be_revoked(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    with pytest.raises(keys.PairingRefusedError, match="there are: none"):
        keys.revoke(tmp_path, "house", "ha")


def test_two_that_pair_at_once_lose_neither_pairing(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: keys.pair(tmp_path, "house", None, "ha")[1], range(16)))
    assert sorted(keys.load(tmp_path).meters["house"].consumers) == sorted(made)
    assert len(set(made)) == 16


def test_a_running_node_sees_who_was_paired_and_revoked(tmp_path: Path) -> None:
    keys.load_or_make(tmp_path, ["house"])
    watch = keys.PairingWatch(tmp_path, "house")
    assert consumers(watch) == {}
    assert watch.changed() is None
    made, _ = keys.pair(tmp_path, "house", None, "ha")
    assert consumers(watch) == made.consumers
    keys.revoke(tmp_path, "house", "ha")
    assert consumers(watch) == {}
    assert watch.changed() is None


def test_new_push_keys_end_all_pairings_and_leave_everything_else(tmp_path: Path) -> None:
    before = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    keys.pair(tmp_path, "house", None, "ha")
    after = keys.renew_push(tmp_path, "house")
    assert keys.load(tmp_path).meters["house"] == after
    assert after.push != before.push
    assert (after.system_title, after.own, after.vending, after.management, after.consumers) == (
        before.system_title, before.own, before.vending, before.management, {},
    )  # fmt: skip


def test_a_key_file_from_before_there_were_proofs_gets_a_secret_at_the_next_start(
    tmp_path: Path,
) -> None:
    made = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    path = tmp_path / keys.FILE_NAME
    path.write_text(path.read_text().replace('"own"', '"unknown_to_that_version"'))
    assert keys.load(tmp_path).meters["house"].own is None
    later = keys.load_or_make(tmp_path, ["house"]).meters["house"]
    assert later.push == made.push
    assert later.own not in (None, made.own)
    assert keys.load(tmp_path).meters["house"].own == later.own


def test_a_key_file_that_can_not_be_used_changes_nobodys_pairing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys.load_or_make(tmp_path, ["house"])
    made, _ = keys.pair(tmp_path, "house", None, "ha")
    watch = keys.PairingWatch(tmp_path, "house")
    assert consumers(watch) == made.consumers
    path = tmp_path / keys.FILE_NAME
    whole = path.read_text()
    for broken in (path.unlink, lambda: path.write_text("{"), lambda: path.chmod(0o644)):
        broken()
        assert watch.changed() is None
        assert watch.changed() is None
        path.write_text(whole)
        path.chmod(0o600)
    assert len(caplog.records) == 3
    assert consumers(watch) == made.consumers, "once it can be used again"
