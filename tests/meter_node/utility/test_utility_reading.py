"""What the utility's commands read is what the meter shows, and to whom it shows it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meter_node.channel.event_codes import Log
from meter_node.config import ConfigError
from meter_node.utility.errors import RefusedError, UtilityError
from tests.meter_node.cosem.site import START_S, Site
from tests.meter_node.utility.counter import Utility


@pytest.fixture
def utility(tmp_path: Path) -> Utility:
    return Utility(tmp_path)


def register(document: Any, name: str) -> Any:
    (found,) = [one for one in document["registers"] if one["name"] == name]
    return found


def test_registers_come_in_their_units(utility: Utility) -> None:
    utility.site.run(minutes=60)  # three phases of 1000 W for an hour: 3 kWh

    document = utility.json("read")

    assert register(document, "import_active_energy") == {
        "name": "import_active_energy",
        "obis": "1.0.1.8.0.255",
        "value": 3001,  # and 2 s of 3000 W before: 1.67 Wh, cut to whole ones
        "unit": "Wh",
    }
    assert register(document, "import_active_power")["value"] == 3000
    assert register(document, "voltage_l2")["value"] == 230
    assert register(document, "voltage_l2")["unit"] == "V"


def test_states_and_alarms_have_names(utility: Utility) -> None:
    utility.site.commands.disconnect()
    utility.site.run(seconds=2)

    states = utility.json("read")["states"]

    assert states["breaker"] == "open"
    assert states["breaker_control_state"] in ("disconnected", "ready for reconnection")
    assert states["breaker_open_because"]
    assert states["alarms"] == []
    assert states["relay_1_utility"] == "automatic"


def test_the_table_has_every_register_once(utility: Utility) -> None:
    printed = utility.run("read")

    assert printed.count(" import_active_energy ") == 1
    assert " 8675309 " in printed
    assert "breaker_control_mode" in printed


def test_registers_come_in_the_tables_order(utility: Utility) -> None:
    names = [one["name"] for one in utility.json("read")["registers"]]

    assert names[:2] == ["import_active_energy", "import_active_energy_l1"]
    assert "long_power_failure_duration_any" in names
    assert not [name for name in names if name[0].isdecimal()]


@pytest.mark.parametrize(
    "name", ["import_active_energy", "1.8.0", "1.0.1.8.0.255", "1-0:1.8.0", "1.1.1.8.0.255"]
)
def test_a_register_goes_by_its_name_and_by_its_code(utility: Utility, name: str) -> None:
    (found,) = utility.json("read", name)["registers"]

    assert found["name"] == "import_active_energy"


def test_any_object_can_be_read_by_attribute(utility: Utility) -> None:
    document = utility.json("read", "activity_calendar", "--attribute", 2)

    assert document["objects"] == {"activity_calendar": "single"}


def test_an_attribute_that_is_not_there_is_refused_by_its_name(utility: Utility) -> None:
    with pytest.raises(RefusedError, match="read-write-denied"):
        utility.run("read", "association", "--attribute", 7)


def test_a_name_that_nothing_has_is_told(utility: Utility) -> None:
    with pytest.raises(UtilityError, match="'energy' is neither a name nor an OBIS code"):
        utility.run("read", "energy")
    with pytest.raises(UtilityError, match=r"no object 1\.99\.0"):
        utility.run("read", "1.99.0")


def test_without_keys_it_learns_who_the_meter_is_and_no_more(utility: Utility) -> None:
    document = utility.json("read", public=True)

    assert document["identity"]["meter_number"] == "8675309"
    assert document["registers"] == []
    assert document["states"] == {}
    with pytest.raises(UtilityError, match="shows this client no object"):
        utility.run("read", "1.8.0", public=True)


def test_the_object_list_says_what_the_client_may(utility: Utility) -> None:
    listed = {one["name"]: one for one in utility.json("objects")}

    assert listed["breaker"]["class"] == 70
    assert listed["breaker"]["call"] == [1, 2]
    assert 4 in listed["breaker"]["write"]
    assert listed["import_active_energy"]["write"] == []
    assert "load_profile" in utility.run("objects")
    assert "breaker" not in utility.run("objects", public=True)


def test_logs_come_with_texts_and_chain(utility: Utility) -> None:
    utility.site.commands.disconnect(who="somebody")
    utility.site.run(seconds=1)

    (entry,) = utility.json("logs", "disconnector")

    assert (entry["log"], entry["event"], entry["code"]) == (
        "disconnector",
        "remote_disconnection",
        62,
    )
    assert entry["entry"] == 1
    kept = utility.site.store.log_rows(Log.DISCONNECTOR)[0]
    assert entry["chain"] == kept.chain.hex()
    assert datetime.fromisoformat(entry["time"]).timestamp() == kept.time_s
    assert "Off remotely" in utility.run("logs")


def test_logs_by_time_and_by_entry(utility: Utility) -> None:
    for _ in range(3):
        utility.site.commands.disconnect()
        utility.site.run(minutes=1)
        utility.site.commands.reconnect()
        utility.site.run(minutes=1)
    every = utility.json("logs", "disconnector")
    assert len(every) >= 3

    by_entry = utility.json("logs", "disconnector", "--from-entry", 2, "--to-entry", 3)
    by_time = utility.json("logs", "disconnector", "--from", every[1]["time"])

    assert [one["entry"] for one in by_entry] == [2, 3]
    first = datetime.fromisoformat(every[1]["time"])
    assert by_time == [one for one in every if datetime.fromisoformat(one["time"]) >= first]


def hours(utility: Utility, count: int) -> None:
    utility.site.run(minutes=60 * count)


def test_a_profile_goes_whole_into_a_csv_file(utility: Utility, tmp_path: Path) -> None:
    hours(utility, 3)
    path = tmp_path / "rows.csv"

    utility.run("profile", "load_profile", "--csv", path)

    header, *body = csv.reader(path.open())
    assert header[:3] == ["time", "status", "entry"]
    assert "import_active_energy (Wh)" in header
    rows = utility.site.store.profile_rows("load_profile")
    assert len(body) == len(rows) > 2
    place = header.index("import_active_energy (Wh)")
    key = utility.site.meter.snapshot().settings
    assert key is not None
    captures = key.parameters.load_profile.layout(utility.site.meter.variant.register_keys).captures
    at = captures.index("import_active_energy")
    assert [int(row[place]) for row in body] == [row.values[at] for row in rows]
    assert [datetime.fromisoformat(row[0]).timestamp() for row in body] == [
        row.time_s for row in rows
    ]


def test_a_profile_by_entry_and_by_time(utility: Utility) -> None:
    hours(utility, 5)
    rows = utility.site.store.profile_rows("load_profile")

    by_entry = utility.json("profile", "--from-entry", 2, "--to-entry", 3)["rows"]
    # START is 12:00 on the wall in Denmark: rows are stamped with their interval's end.
    by_time = utility.json("profile", "--from", "2026-06-01T13:00", "--to", "2026-06-01T14:00")
    in_utc = utility.json(
        "profile", "--from", "2026-06-01T11:00+00:00", "--to", "2026-06-01T12:00+00:00"
    )

    assert [row[2] for row in by_entry] == [2, 3]
    expected = [row.entry for row in rows if START_S + 3600 <= row.time_s <= START_S + 7200]
    assert len(expected) >= 2
    assert [row[2] for row in by_time["rows"]] == expected
    assert in_utc == by_time


def test_a_long_profile_comes_in_pieces_and_says_how_far_it_is(utility: Utility) -> None:
    from meter_node.channel.objects import LOAD_PROFILE
    from meter_node.utility import rows

    hours(utility, 120)  # four rows an hour
    told: list[tuple[int, int]] = []

    with utility.reach().session() as session:
        _, found = rows.read(
            session, LOAD_PROFILE, progress=lambda done, total: told.append((done, total))
        )

    kept = utility.site.store.profile_rows("load_profile")
    assert [row[2] for row in found] == [row.entry for row in kept]
    assert told == [(200, len(kept)), (400, len(kept)), (len(kept), len(kept))]


def test_billing_and_failures_are_profiles_too(utility: Utility) -> None:
    utility.site.run(minutes=60 * 24)

    assert utility.json("profile", "billing_daily")["rows"]
    assert utility.json("profile", "power_failures")["rows"] == []
    assert "no rows" not in utility.run("profile", "billing_daily")


def test_a_night_that_repeats_an_hour_loses_no_row(tmp_path: Path) -> None:
    utility = Utility(tmp_path)
    midnight = datetime(2026, 10, 24, 22, tzinfo=UTC)  # on the wall in Denmark
    utility.site.commands.set_clock(int(midnight.timestamp()) * 10**9, "test")
    hours(utility, 5)

    found = utility.json("profile", "--from", "2026-10-25T01:00", "--to", "2026-10-25T03:30")

    stamps = [row[0] for row in found["rows"]]
    assert len(stamps) == 15  # 1:00 to 3:30 are two hours and a half, and one more: in quarters
    assert [stamp for stamp in stamps if stamp[14:16] == "00"] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["profile", "nothing"], "no profile 'nothing'"),
        (["profile", "--from", "yesterday"], "--from: 'yesterday' is no time"),
        (["profile", "--csv", "/nowhere/rows.csv"], "there is no folder /nowhere"),
        (["read", "--attribute", "3"], "--attribute: of which object"),
    ],
)
def test_wrong_arguments_are_told_before_anybody_is_asked(
    utility: Utility, arguments: list[str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        utility.run(*arguments)
    assert utility.links == []


def test_a_meter_without_breaker_is_read_as_well(tmp_path: Path) -> None:
    from meter_node.meter.variant import Variant

    plain = Site(Variant("162M", 1, "5(65)", breaker=False, relays=0))

    states = Utility(tmp_path, plain).json("read")["states"]

    assert "breaker" not in states
    assert "relay_1" not in states
    assert states["tariff"] == 1
