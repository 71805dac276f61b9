"""Logs are verified, and emptied only when they hold; pushes; which meter is meant."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meter_node.channel.event_codes import Log
from meter_node.cli_utility import Reach, own_places
from meter_node.config import ConfigError
from meter_node.keys import load_or_make
from meter_node.meter.logs import link as chained
from meter_node.utility import link
from meter_node.utility.errors import RefusedError, UtilityError
from meter_node.utility.keyring import Keyring, export
from tests.meter_node.utility.counter import Utility, key_file


@pytest.fixture
def utility(tmp_path: Path) -> Utility:
    made = Utility(tmp_path)
    for _ in range(3):
        made.site.commands.disconnect()
        made.site.run(seconds=2)
        made.site.commands.reconnect()
        made.site.run(seconds=2)
    return made


def alter(utility: Utility, number: int, **changes: object) -> None:
    logs = utility.site.store.logs
    (place,) = [
        place
        for place, row in enumerate(logs)
        if row.log is Log.DISCONNECTOR and row.entry == number
    ]
    logs[place] = replace(logs[place], **changes)  # type: ignore[arg-type]


def test_all_logs_of_a_meter_hold(utility: Utility) -> None:
    count = len(utility.json("logs"))
    assert count >= 6
    assert f"each of {count} entries follows on" in utility.run("logs")


@pytest.mark.parametrize(
    "changes", [{"detail": "nobody"}, {"code": 61}, {"time_s": 1_780_000_000}, {"chain": bytes(16)}]
)
@pytest.mark.parametrize("number", [1, 3])
def test_an_entry_that_was_changed_is_named_and_the_exit_status_is_1(
    utility: Utility, number: int, changes: dict[str, object]
) -> None:
    alter(utility, number, **changes)
    with pytest.raises(UtilityError, match=r"disconnector: entry [1-4] was changed"):
        utility.run("logs", "disconnector")
    result = utility.invoke("logs", "disconnector", "--json")
    assert isinstance(result.exception, UtilityError)
    assert len(json.loads(result.stdout)) >= 6, "what there is, is shown"


def test_an_entry_that_was_removed_is_missed(utility: Utility) -> None:
    logs = utility.site.store.logs
    logs[:] = [row for row in logs if row.log is not Log.DISCONNECTOR or row.entry not in (2, 3)]
    with pytest.raises(UtilityError, match="disconnector: entries 2 to 3 are missing"):
        utility.run("logs", "disconnector")


def test_a_part_of_a_log_is_verified_as_far_as_it_was_read(utility: Utility) -> None:
    alter(utility, 1, detail="nobody")
    # 2 stands behind the one that was changed, but that was not read
    assert len(utility.json("logs", "disconnector", "--from-entry", 2)) >= 5
    with pytest.raises(UtilityError, match="entry 1 was changed"):
        utility.run("logs", "disconnector", "--to-entry", 2)


def test_numbers_that_jump_after_a_restore_hold(utility: Utility) -> None:
    logs = utility.site.store.logs
    (last,) = [row for row in logs if row.log is Log.DISCONNECTOR][-1:]
    later = replace(last, entry=last.entry + 1000)
    logs.append(replace(later, chain=chained(last.chain, later)))
    assert utility.json("logs", "disconnector")[-1]["entry"] == last.entry + 1000


def test_a_log_is_read_and_then_emptied(utility: Utility) -> None:
    printed = utility.run("logs", "disconnector", "--clear")
    assert "each of" in printed
    assert "The log disconnector is empty now" in printed
    (left,) = utility.json("logs", "disconnector")
    assert left["event"] == "log_cleared"
    assert left["detail"] == "utility"


def test_a_log_that_does_not_hold_is_not_emptied(utility: Utility) -> None:
    alter(utility, 3, detail="nobody")
    with pytest.raises(UtilityError, match="was changed"):
        utility.run("logs", "disconnector", "--clear")
    assert len(utility.site.log(Log.DISCONNECTOR)) >= 6


@pytest.mark.parametrize("more", [[], ["fraud", "--from-entry", "2"], ["fraud", "--to", "2026-06"]])
def test_one_whole_log_is_emptied_or_none(utility: Utility, more: list[str]) -> None:
    utility.links.clear()
    with pytest.raises(ConfigError):
        utility.run("logs", *more, "--clear")
    assert utility.links == []


# --- pushes ---------------------------------------------------------------------------------------


def test_the_push_interval_is_shown_and_set(utility: Utility) -> None:
    assert utility.json("push", "show")["interval_s"] == 10
    utility.run("push", "interval", 60)
    shown = utility.json("push", "show")
    assert shown["interval_s"] == 60
    assert "import_active_energy" in shown["objects"]
    assert utility.json("parameters", "show", "push") == {"push": {"interval_s": 60}}


@pytest.mark.parametrize("seconds", [7, 3599])
def test_an_interval_that_does_not_divide_a_day_is_refused(utility: Utility, seconds: int) -> None:
    with pytest.raises(RefusedError, match="possible is what divides a day"):
        utility.run("push", "interval", seconds)
    assert utility.json("push", "show")["interval_s"] == 10


# --- which meter is meant -------------------------------------------------------------------------

TWO = """
[[meter]]
name = "{}"
model = "382M"
[meter.source]
kind = "simulated"
"""


def reach(keyring: Keyring | None, meter: str | None, folder: Path, server: int | None) -> Reach:
    nowhere = link.Tcp("127.0.0.1", 9)
    return Reach(
        nowhere,
        link.Address(),
        1.0,
        lambda: keyring,
        meter,
        server=server,
        places=lambda: own_places(folder),
    )


def test_the_logical_device_is_that_of_the_meter_whose_keys_are_used(tmp_path: Path) -> None:
    # the key file has them in another order
    load_or_make(tmp_path, ["flat", "main"])
    (tmp_path / "meter_node.toml").write_text(TWO.format("main") + TWO.format("flat"))
    own = Keyring.from_file(tmp_path / "keys.json")
    assert reach(own, "main", tmp_path, None).server_sap() == 1
    assert reach(own, "flat", tmp_path, None).server_sap() == 2
    assert reach(own, "flat", tmp_path, 7).server_sap() == 7
    # without keys the name alone says it
    assert reach(None, "flat", tmp_path, None).server_sap() == 2
    assert reach(None, None, tmp_path, None).server_sap() == 1


def test_an_exported_key_file_says_which_logical_device_the_meter_is(tmp_path: Path) -> None:
    load_or_make(tmp_path, ["flat", "main"])
    path = tmp_path / "utility.json"
    export(Keyring.from_file(tmp_path / "keys.json"), "flat", path, 2)
    exported = Keyring.from_file(path)
    assert reach(exported, None, tmp_path / "elsewhere", None).server_sap() == 2
    # one of before, or written by hand, does not: then it is the first
    elsewhere = tmp_path / "old"
    elsewhere.mkdir()
    assert reach(Keyring.from_file(key_file(elsewhere)), None, elsewhere, None).server_sap() == 1
