"""The utility's keys and numbers: private, never twice; a change of keys locks nobody out."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meter_node import keys as node_keys
from meter_node.channel.security import Keys
from meter_node.ciphering import CounterExhaustedError, time_floor
from meter_node.keys import KeyFileError, Management, load_or_make, management_entry
from meter_node.utility.errors import RefusedError, UtilityError
from meter_node.utility.keyring import AHEAD, ENVIRONMENT, Keyring, export
from tests.meter_node.cosem.site import MANAGEMENT, MASTER, TITLE, Site
from tests.meter_node.utility.counter import Utility, key_file

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = bytes(16)
OTHER = Management(Keys(bytes(16), bytes(range(16))), MASTER)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- files ----------------------------------------------------------------------------------------


def test_a_key_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    path.chmod(0o640)

    with pytest.raises(KeyFileError, match="chmod 600"):
        Keyring.from_file(path)


@pytest.mark.parametrize("text", ["", "[]", '{"meters": []}', '{"keys": {}}'])
def test_what_is_no_key_file_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "utility.json"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(KeyFileError, match="no key file"):
        Keyring.from_file(path)


def test_one_of_many_meters_must_be_named(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    document = json.loads(path.read_text())
    document["meters"]["flat"] = document["meters"]["main"]
    path.write_text(json.dumps(document))
    keyring = Keyring.from_file(path)

    with pytest.raises(KeyFileError, match=r"which one\? There are: main, flat"):
        keyring.choose(None)
    with pytest.raises(KeyFileError, match="no keys of 'barn'"):
        keyring.choose("barn")
    assert keyring.choose("flat").system_title == TITLE


def test_broken_keys_are_told_without_showing_them(tmp_path: Path) -> None:
    path = key_file(tmp_path, management={"encryption": "00", "authentication": "", "master": ""})

    with pytest.raises(KeyFileError, match="the keys of main are broken"):
        Keyring.from_file(path).choose(None)


def test_keys_come_from_the_environment_as_a_path_or_as_json(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    environment = {"XDG_STATE_HOME": str(tmp_path / "state")}

    by_path = Keyring.from_environment(str(path), environment)
    by_text = Keyring.from_environment(path.read_text(), environment)

    assert by_path.choose(None) == by_text.choose(None)
    by_text.numbers(NOW).take(KEY)
    (state,) = (tmp_path / "state" / "meter-node").glob("*.utility")
    assert mode(state) == 0o600
    with pytest.raises(KeyFileError, match=f"{ENVIRONMENT}: new keys need a file"):
        by_text.prepare("main", master=False)


def test_a_nodes_own_key_file_serves_on_its_machine(tmp_path: Path) -> None:
    keys = load_or_make(tmp_path, ["main"])

    entry = Keyring.from_file(tmp_path / "keys.json").choose(None)

    assert entry.management == keys.meters["main"].management
    assert entry.vending == keys.meters["main"].vending


def test_exported_keys_are_private_and_serve_the_utility(tmp_path: Path) -> None:
    load_or_make(tmp_path, ["main", "flat"])
    keyring = Keyring.from_file(tmp_path / "keys.json")
    path = tmp_path / "utility.json"

    export(keyring, "main", path, 1)
    with pytest.raises(KeyFileError, match="holds the keys of another meter: main"):
        export(keyring, "flat", path, 2)
    export(keyring, "flat", path, 2, force=True)

    assert mode(path) == 0o600
    assert Keyring.from_file(path).choose("flat") == replace(keyring.choose("flat"), server=2)
    assert "push" not in path.read_text()
    assert Keyring.from_file(path).names == ["main", "flat"]
    with pytest.raises(KeyFileError, match="a node's own"):
        export(keyring, "main", tmp_path / "keys.json", 1)


def test_an_export_takes_the_place_of_an_earlier_one_and_of_no_other_meters(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        load_or_make(folder, ["main"])
    ours, theirs = (Keyring.from_file(folder / "keys.json") for folder in (here, there))
    path = tmp_path / "utility.json"
    export(ours, "main", path, 1)
    export(ours, "main", path, 2)
    assert Keyring.from_file(path).choose("main") == replace(ours.choose("main"), server=2)
    with pytest.raises(KeyFileError, match="--force"):
        export(theirs, "main", path, 1)
    assert Keyring.from_file(path).choose("main").system_title == ours.choose("main").system_title
    export(theirs, "main", path, 1, force=True)
    assert Keyring.from_file(path).choose("main") == replace(theirs.choose("main"), server=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "something in it is of another kind"),
        ("{}", "'meters' is missing"),
        ('{"meters": 7}', "'meters' is no object"),
        ('{"meters": {"main": {}}}', "'system_title' is missing"),
        ('{"meters": {"main": {"system_title": 7}}}', "something in it is of another kind"),
        ('{"meters": {"main": {"system_title": "xy"}}}', "a key or a title is not hexadecimal"),
        ('{"meters": \xff}', "line 1 is no JSON"),
    ],
)
def test_what_is_wrong_with_a_key_file_is_told_in_words(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "utility.json"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=said) as told:
        Keyring.from_file(path).choose(None)
    assert "Error(" not in str(told.value)


# --- numbers --------------------------------------------------------------------------------------


def test_numbers_rise_over_restarts_and_are_kept_before_they_are_used(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    used = []
    for _ in range(3):
        numbers = Keyring.from_file(path).numbers(NOW)
        used += [numbers.take(KEY) for _ in range(AHEAD + 3)]
        state = json.loads((tmp_path / "utility.json.utility").read_text())
        (bound,) = state["counters"].values()
        assert used[-1] < bound

    assert used == sorted(set(used))
    assert used[0] == time_floor(NOW)
    assert mode(tmp_path / "utility.json.utility") == 0o600


def test_each_process_has_a_title_of_its_own(tmp_path: Path) -> None:
    keyring = Keyring.from_file(key_file(tmp_path))

    titles = {keyring.numbers(NOW).title for _ in range(50)}

    assert len(titles) == 50
    assert {len(title) for title in titles} == {8}


def _use(path: Path, count: int) -> list[int]:
    numbers = Keyring.from_file(path).numbers(NOW)
    return [numbers.take(KEY) for _ in range(count)]


def test_processes_side_by_side_get_different_numbers(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_use, [(path, 3 * AHEAD)] * 4)

    assert all(numbers == sorted(set(numbers)) for numbers in found)
    assert len({number for numbers in found for number in numbers}) == 4 * 3 * AHEAD


def test_a_state_that_is_broken_is_never_begun_anew(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    state = tmp_path / "utility.json.utility"
    state.write_text("{")
    state.chmod(0o600)

    with pytest.raises(KeyFileError, match="broken"):
        Keyring.from_file(path).numbers(NOW).take(KEY)


def test_numbers_that_are_used_up_are_not_begun_anew(tmp_path: Path) -> None:
    keyring = Keyring.from_file(key_file(tmp_path))
    keyring.reserve("x", 0xFFFFFFFF, 1)

    with pytest.raises(CounterExhaustedError):
        keyring.reserve("x", 0, 1)


def test_where_numbers_can_not_be_kept_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utility = Utility(tmp_path)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("meter_node.utility.keyring.write_privately", full)
    utility.there = lambda apdu: pytest.fail("something was sent")

    with pytest.raises(OSError, match="no space left"):
        utility.run("read")


# --- a change of keys -----------------------------------------------------------------------------


def test_new_keys_are_in_force_at_both_ends(tmp_path: Path) -> None:
    utility = Utility(tmp_path)
    before = utility.path.read_text()

    utility.run("keys", "rotate")

    keys = utility.site.utility.keys
    assert keys is not None
    assert keys.encryption != MANAGEMENT.encryption
    assert keys.authentication != MANAGEMENT.authentication
    assert utility.site.utility.master == MASTER
    assert Keyring.from_file(utility.path).choose(None).management.keys == keys
    assert "pending" not in utility.path.read_text()
    assert mode(utility.path) == 0o600
    assert before != utility.path.read_text()
    assert utility.json("keys", "status")["change_cut_short"] is False
    assert utility.json("read", "1.8.0")["registers"]


def test_the_master_key_changes_on_demand(tmp_path: Path) -> None:
    utility = Utility(tmp_path)

    utility.run("keys", "rotate", "--master")
    assert utility.site.utility.master not in (None, MASTER)
    utility.run("keys", "rotate")  # wrapped under the new one

    kept = Keyring.from_file(utility.path).choose(None).management
    assert (kept.keys, kept.master) == (utility.site.utility.keys, utility.site.utility.master)


def test_no_key_travels_in_the_clear(tmp_path: Path) -> None:
    utility = Utility(tmp_path)
    sent = bytearray()

    def watch(apdu: bytes) -> bytes:
        sent.extend(apdu)
        return apdu

    utility.there = utility.back = watch
    utility.run("keys", "rotate", "--master")

    keys, master = utility.site.utility.keys, utility.site.utility.master
    assert keys is not None
    assert master is not None
    for key in (keys.encryption, keys.authentication, master):
        assert key not in sent


class CutError(Exception):
    """The power went, on the utility's side."""


def writes(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the utility's machine die before its write of this number."""
    real, count = node_keys.write_privately, 0

    def write(path: Path, document: object) -> None:
        nonlocal count
        count += 1
        if count == step:
            raise CutError
        real(path, document)

    monkeypatch.setattr("meter_node.utility.keyring.write_privately", write)


def cut(utility: Utility, step: int, *, lost: bool) -> None:
    """Let the link die at the message of this number: before the meter has it, or its answer."""
    count = 0

    def there(apdu: bytes) -> bytes | None:
        nonlocal count
        count += 1
        return None if lost and count == step else apdu

    def back(apdu: bytes) -> bytes | None:
        return None if not lost and count == step else apdu

    utility.there, utility.back = there, back


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("step", range(1, 9))
def test_a_link_that_dies_at_any_step_locks_nobody_out(
    tmp_path: Path, step: int, lost: bool
) -> None:
    utility = Utility(tmp_path)
    cut(utility, step, lost=lost)
    result = utility.invoke("keys", "rotate", "--master")
    assert result.exception is None or isinstance(result.exception, UtilityError)

    utility.there = utility.back = lambda apdu: apdu

    assert utility.json("read", "1.8.0")["registers"]
    utility.run("keys", "rotate")
    kept = Keyring.from_file(utility.path).choose(None).management
    assert (kept.keys, kept.master) == (utility.site.utility.keys, utility.site.utility.master)
    assert kept.keys != MANAGEMENT


@pytest.mark.parametrize("step", range(1, 6))
def test_a_machine_that_dies_at_any_write_locks_nobody_out(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    utility = Utility(tmp_path)
    with monkeypatch.context() as dying:
        writes(dying, step)
        result = utility.invoke("keys", "rotate", "--master")
    assert result.exception is None or isinstance(result.exception, CutError)

    assert utility.json("read", "1.8.0")["registers"]
    utility.run("keys", "rotate")
    kept = Keyring.from_file(utility.path).choose(None).management
    assert (kept.keys, kept.master) == (utility.site.utility.keys, utility.site.utility.master)


def test_a_meter_that_could_not_keep_them_has_the_old_ones(tmp_path: Path) -> None:
    utility = Utility(tmp_path)

    def full(*_: object) -> None:
        raise OSError("no space left")

    utility.site.utility.keep = full
    with pytest.raises(RefusedError, match="hardware-fault"):
        utility.run("keys", "rotate")

    assert utility.site.utility.keys == MANAGEMENT
    assert utility.json("keys", "status")["pending"] is True
    assert utility.json("read", "1.8.0")["registers"]


def test_a_second_attempt_sends_the_same_keys(tmp_path: Path) -> None:
    """A third pair would leave nobody knowing which two the meter may have."""
    utility = Utility(tmp_path)
    keyring = Keyring.from_file(utility.path)

    first = keyring.prepare("main", master=False)

    assert keyring.prepare("main", master=False) == first
    utility.run("keys", "rotate")
    assert utility.site.utility.keys == first.keys


def test_a_meter_with_pending_keys_is_found_by_them(tmp_path: Path) -> None:
    site = Site()
    site.utility.change(OTHER.keys, OTHER.master)
    utility = Utility(tmp_path, site)
    utility.path = key_file(tmp_path, pending=management_entry(OTHER))

    assert utility.json("keys", "status") == {
        "meter": "main",
        "system_title": TITLE.hex(),
        "keys": "the meter takes them",
        "change_cut_short": True,
        "pending": False,
    }
    assert Keyring.from_file(utility.path).choose(None).management == OTHER


def test_a_nodes_own_file_is_the_nodes_to_write(tmp_path: Path) -> None:
    """Both ends on one machine: the node keeps its keys, the utility what it sends beside them."""
    made = load_or_make(tmp_path, ["main"]).meters["main"]
    path = tmp_path / "keys.json"
    path.write_text(path.read_text().replace(made.system_title.hex(), TITLE.hex()))
    utility = Utility(tmp_path)
    utility.path = path
    assert made.management is not None
    credential = utility.site.utility
    credential.keys, credential.master = made.management.keys, made.management.master
    credential.keep = lambda keys, master: node_keys.change_management(
        tmp_path, "main", Management(keys, master)
    )

    utility.run("keys", "rotate")

    assert Keyring.from_file(path).choose(None).management.keys == credential.keys
    assert credential.keys != made.management.keys
    assert "pending" not in path.read_text()
    assert Keyring.from_file(path).choose(None).pending is None
    assert utility.json("read", "1.8.0")["registers"]
