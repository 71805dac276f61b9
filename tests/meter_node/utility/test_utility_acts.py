"""What the utility's commands change at a meter, and what it refuses, in the meter's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meter_node import cli
from meter_node.channel import presets
from meter_node.channel.event_codes import Log
from meter_node.config import ConfigError
from meter_node.meter.parameters import Parameters
from meter_node.meter.variant import Variant
from meter_node.utility.errors import RefusedError, UtilityError
from tests.meter_node.cosem.site import WHOLE, Site
from tests.meter_node.utility.counter import Utility


@pytest.fixture
def utility(tmp_path: Path) -> Utility:
    return Utility(tmp_path)


def parameters(utility: Utility) -> Parameters:
    settings = utility.site.meter.snapshot().settings
    assert settings is not None
    return settings.parameters


# --- tariffs --------------------------------------------------------------------------------------


def test_a_preset_comes_into_force_at_once(utility: Utility) -> None:
    printed = utility.run("tariff", "upload", "denmark_n1", "--now")

    assert parameters(utility).tariff.calendar == presets.load("denmark_n1").calendar
    assert "in force" in printed
    assert utility.json("tariff", "show")["active"]["name"] in printed


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_sent(utility: Utility, name: str) -> None:
    utility.run("tariff", "upload", name)

    settings = utility.site.meter.snapshot().settings
    assert settings is not None
    assert settings.passive_calendar == presets.load(name).calendar


def test_a_calendar_waits_for_its_day(utility: Utility, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    calendar = presets.load("norway_elvia").calendar.to_json()
    path.write_text(json.dumps({"calendar": calendar}))

    utility.run("tariff", "upload", path, "--activate-at", "2026-06-02T00:00")

    shown = utility.json("tariff", "show")
    assert shown["passive"] == calendar
    assert shown["activate_at"] == "2026-06-02 00:00:00+02:00"
    assert shown["active"]["name"] == "single"
    utility.site.run(minutes=60 * 15)  # from noon on
    assert utility.json("tariff", "show")["active"] == calendar


def test_a_calendar_that_waits_is_told(utility: Utility) -> None:
    utility.run("tariff", "upload", "denmark_n1")
    assert "Waits" in utility.run("tariff", "show")

    utility.run("tariff", "activate")

    assert parameters(utility).tariff.calendar == presets.load("denmark_n1").calendar
    assert "No calendar waits" in utility.run("tariff", "show")


def test_a_tariff_is_forced_and_given_back(utility: Utility) -> None:
    utility.run("tariff", "upload", "denmark_n1", "--now")
    utility.site.run(seconds=1)
    before = utility.json("tariff", "show")["in_force"]
    other = 3 if before != 3 else 2

    utility.run("tariff", "override", other, "--minutes", 30)
    utility.site.run(seconds=1)
    assert utility.json("tariff", "show")["in_force"] == other

    utility.run("tariff", "override", "--end")
    utility.site.run(seconds=1)
    assert utility.json("tariff", "show")["in_force"] == before


def test_a_day_in_the_past_is_refused_with_the_reason(utility: Utility) -> None:
    with pytest.raises(RefusedError) as refused:
        utility.run("tariff", "upload", "denmark_n1", "--activate-at", "2020-01-01T00:00")

    assert "other-reason" in str(refused.value)
    assert refused.value.reason
    assert parameters(utility).tariff.calendar.name == "single"


def test_a_cut_while_a_calendar_is_sent_changes_nothing(utility: Utility) -> None:
    sent = 0

    def cut(apdu: bytes) -> bytes | None:
        nonlocal sent
        sent += 1
        return apdu if sent < 6 else None

    utility.there = cut
    with pytest.raises(UtilityError, match="does not answer"):
        utility.run("tariff", "upload", "denmark_n1", "--now")

    settings = utility.site.meter.snapshot().settings
    assert settings is not None
    assert settings.passive_calendar is None
    assert settings.parameters.tariff.calendar.name == "single"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tariff", "upload", "nowhere"], "neither a file nor one of the presets"),
        (["tariff", "upload", "denmark_n1", "--now", "--activate-at", "2027-01-01"], "one of them"),
        (["tariff", "override"], "a tariff, or --end"),
        (["parameters", "set", "demand"], "is not section.field=value"),
        (["parameters", "profile", "load_profile"], "--interval or --capture"),
        (["parameters", "threshold", "humidity", "3"], "no threshold 'humidity'"),
        (["limiter", "set"], "limiter set: what"),
        (["limiter", "set", "--normal", "much"], "neither none nor a number above 0"),
        (["clock", "set", "noon"], "is no time like"),
        (["clock", "set", "9999-12-31T23:59:59-12:00"], "from 2000 to 2199"),
        (["profile", "--from", "0001-01-01T00:00+14:00"], "from 2000 to 2199"),
        (["profile", "--to", "9999-12-31T23:59-12:00"], "from 2000 to 2199"),
        (["profile", "--from", "2026-02-01", "--to", "2026-01-01"], "later than --to"),
        (["logs", "--from", "2026-02-01", "--to", "2026-01-01"], "later than --to"),
        (["profile", "--from-entry", "9", "--to-entry", "3"], "behind --to-entry"),
        (["parameters", "threshold", "under_voltage", "1e9"], "from 0 to 42 million"),
        (["parameters", "threshold", "under_voltage", "inf"], "from 0 to 42 million"),
        (["parameters", "threshold", "under_voltage", "nan"], "from 0 to 42 million"),
        (["parameters", "threshold", "under_voltage", "much"], "is no number"),
        (["parameters", "threshold", "under_voltage", "207.001"], "hundredths of a V"),
        (["parameters", "threshold", "long_failure", "1e20"], "from 0 to 42 million"),
        (["parameters", "threshold", "long_failure", "1.5"], "in whole s"),
        (["limiter", "set", "--normal", "-4000"], "neither none nor a number above 0"),
        (["limiter", "set", "--normal", "0"], "neither none nor a number above 0"),
    ],
)
def test_wrong_arguments_ask_no_meter(utility: Utility, arguments: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        utility.run(*arguments)
    assert utility.links == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["limiter", "set", "--over", "99999999999"],
        ["limiter", "set", "--group", "70000"],
        ["limiter", "emergency", "7", "--minutes", "999999999999"],
        ["tariff", "override", "2", "--minutes", "99999999999"],
        ["parameters", "profile", "load_profile", "--interval", "99999999999"],
    ],
)
def test_a_number_beyond_all_bounds_is_a_wrong_argument(
    utility: Utility, arguments: list[str]
) -> None:
    result = utility.invoke(*arguments)
    assert result.exit_code == 2
    assert "less than or equal to" in result.output
    assert utility.links == []


def test_what_nobody_thought_of_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def beyond() -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setattr("sys.argv", ["meter-node", "run"])
    monkeypatch.setattr(cli, "_commands", beyond)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "beyond what can be sent: date value out of range" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tariff", "upload", "denmark_n1", "--now"],
         {"calendar": "Tarifmodel 3.0", "in_force": True}),
        (["tariff", "override", "1", "--minutes", "5"], {"tariff": 1, "minutes": 5}),
        (["breaker", "mode", "4"], {"control_mode": 4}),
        (["breaker", "off"], {"breaker": "off", "breaker_open_because": "remote"}),
        (["relay", "1", "off"], {"relay": 1, "command": "off"}),
        (["limiter", "set", "--normal", "4000"], {"normal": 4000, "unit": "W"}),
        (["limiter", "set", "--group", "7"], {"groups": [7]}),
        (["limiter", "forgive"], {"tripped": False}),
        (["credit", "allow", "7"], {"spent_up_to": 7}),
        (["clock", "set", "2026-06-01T12:30:00"], {"time": "2026-06-01 12:30:00+02:00"}),
        (["clock", "sync"], {}),
        (["parameters", "set", "demand.interval_min=30"],
         {"changed": {"demand": {"interval_min": 30}}}),
        (["parameters", "threshold", "under_voltage", "207"], {"value": 207}),
        (["parameters", "profile", "load_profile", "--interval", "30"], {"interval_min": 30}),
        (["push", "interval", "60"], {"interval_s": 60}),
        (["keys", "rotate"], {"meter": "main"}),
    ],
)  # fmt: skip
def test_a_program_is_told_what_was_set_in_one_document(
    utility: Utility, arguments: list[str], expected: dict[str, Any]
) -> None:
    told = utility.json(*arguments)
    assert told["result"] == "done"
    assert expected.items() <= told.items()


def test_a_limit_is_set_to_what_was_written_or_not_at_all(utility: Utility) -> None:
    for text, said in (
        ("4", "in W, not kW: write 4kW or, where that is meant, 4W"),
        ("4000.5", "whole W"),
        ("16A", "the meter watches power, in W"),
        ("99999999999", "more than any meter"),
    ):
        with pytest.raises(UtilityError, match=said):
            utility.run("limiter", "set", "--emergency", 3000, "--normal", text)
        assert parameters(utility).limiter.emergency_w is None, "nothing is half done"
    utility.run("limiter", "set", "--normal", "4.5kW", "--emergency", "50W")
    assert (parameters(utility).limiter.normal_w, parameters(utility).limiter.emergency_w) == (
        4500,
        50,
    )


def test_a_refused_change_of_keys_leaves_nothing_pending(
    utility: Utility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utility.site.utility, "keep", None)  # "these keys can't be changed"
    with pytest.raises(RefusedError, match="changing the keys"):
        utility.run("keys", "rotate")
    status = utility.json("keys", "status")
    assert (status["change_cut_short"], status["pending"]) == (False, False)


def test_the_public_is_told_that_it_may_not(utility: Utility) -> None:
    with pytest.raises(UtilityError, match="no event log: this client may not"):
        utility.run("logs", public=True)
    with pytest.raises(UtilityError, match="no import_active_energy: this client may not read it"):
        utility.run("read", "import_active_energy", public=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["limiter", "show"], "the meter has no limiter"),
        (["limiter", "set", "--normal", "4000"], "the meter has no limiter"),
        (["credit", "show"], "the meter has no credit"),
    ],
)
def test_a_meter_without_a_breaker_says_what_it_lacks(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    without = Variant("162M", 1, "5(65)", breaker=False, relays=0)
    with pytest.raises(UtilityError, match=said):
        Utility(tmp_path, Site(without)).run(*arguments)


@pytest.mark.parametrize("text", ["a\u0007b", "\u001b[2J", "\u202egnp", "line\nline"])
def test_a_text_that_would_move_a_terminal_is_refused(utility: Utility, text: str) -> None:
    value = f"neutral.radial={json.dumps(text)}"
    with pytest.raises(RefusedError, match="changing parameters"):
        utility.run("parameters", "set", value)
    utility.run("parameters", "set", 'neutral.radial="Blåbærvej 7"')
    assert parameters(utility).neutral.radial == "Blåbærvej 7"


def test_a_file_that_is_no_calendar_is_told(utility: Utility, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"name": "x"}')
    with pytest.raises(ConfigError, match="no calendar"):
        utility.run("tariff", "upload", path)


# --- supply ---------------------------------------------------------------------------------------


def test_the_breaker_opens_and_is_let_close(utility: Utility) -> None:
    utility.run("breaker", "mode", 4)  # remote both ways
    assert parameters(utility).breaker.control_mode == 4

    utility.run("breaker", "off")
    utility.site.run(seconds=1)
    shown = utility.json("breaker", "show")
    assert (shown["breaker"], shown["breaker_control_mode"]) == ("open", 4)

    utility.run("breaker", "on")
    utility.site.run(seconds=1)
    assert utility.json("breaker", "show")["breaker"] == "closed"
    assert {62, 63} <= {code for code, _ in utility.site.log(Log.DISCONNECTOR)}


def test_a_mode_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    wants_cut = Parameters.model_validate({"limiter": {"normal_w": 4000}})
    utility = Utility(tmp_path, Site(WHOLE, wants_cut))

    with pytest.raises(RefusedError, match="in control mode 0 the breaker never opens"):
        utility.run("breaker", "mode", 0)


@pytest.mark.parametrize(("command", "on"), [("on", True), ("off", False)])
def test_a_relay_is_told(utility: Utility, command: str, on: bool) -> None:
    utility.run("relay", 2, command)
    utility.site.run(minutes=15)  # random delays of switching on have passed

    assert utility.site.meter.snapshot().relays[1].on is on
    shown = utility.json("relay", 2)
    assert shown["relay_2_utility"] == command

    utility.run("relay", 2, "automatic")
    assert utility.json("relay", 2)["relay_2_utility"] == "automatic"


def test_a_meter_without_relays_says_so(tmp_path: Path) -> None:
    utility = Utility(tmp_path, Site(Variant("162M", 1, "5(65)", breaker=False, relays=0)))

    with pytest.raises(RefusedError, match="object-undefined: it has no such object"):
        utility.run("relay", 1, "on")
    with pytest.raises(UtilityError, match="no relay 1"):
        utility.run("relay", 1)
    with pytest.raises(UtilityError, match="no breaker"):
        utility.run("breaker", "show")
    with pytest.raises(RefusedError):
        utility.run("breaker", "off")


def test_the_limiter_is_set_in_the_unit_that_it_monitors(utility: Utility) -> None:
    utility.run("limiter", "set", "--normal", 4000, "--emergency", 1500, "--over", 60, "--group", 7)

    limiter = parameters(utility).limiter
    assert (limiter.normal_w, limiter.emergency_w, limiter.over_s) == (4000, 1500, 60)
    assert limiter.emergency_groups == (7,)

    utility.run("limiter", "set", "--normal", "none")
    assert parameters(utility).limiter.normal_w is None


def test_the_limiter_of_current_is_set_in_amperes(tmp_path: Path) -> None:
    by_current = Parameters.model_validate({"limiter": {"monitored": "current"}})
    utility = Utility(tmp_path, Site(WHOLE, by_current))

    utility.run("limiter", "set", "--normal", 16.5)

    assert parameters(utility).limiter.normal_a == 16.5
    shown = utility.json("limiter", "show")
    assert (shown["normal"], shown["unit"]) == (16.5, "A")


def test_an_emergency_begins_and_ends(utility: Utility) -> None:
    utility.run("limiter", "set", "--normal", 9000, "--emergency", 5000, "--group", 7)

    utility.run("limiter", "emergency", 7, "--minutes", 30, "--at", "2026-06-01T12:01")
    utility.site.run(minutes=2)
    assert utility.json("limiter", "show")["threshold"] == 5000

    utility.run("limiter", "emergency", 7, "--minutes", 0)
    utility.site.run(seconds=1)
    assert utility.json("limiter", "show")["threshold"] == 9000


def test_trips_are_forgiven(utility: Utility) -> None:
    utility.run("limiter", "set", "--normal", 1000, "--over", 1)
    utility.site.run(seconds=10)
    assert utility.json("limiter", "show")["tripped"] is True

    utility.run("limiter", "set", "--normal", "none")
    utility.run("limiter", "forgive")

    assert utility.json("limiter", "show")["tripped"] is False


def test_the_neutral_is_said_to_be_mended(utility: Utility) -> None:
    meter = utility.site.meter
    assert meter.supply is not None
    meter.log(meter.supply.breaker.trip_neutral(meter.now_s, "52.0 V"))
    utility.site.run(seconds=1)
    assert utility.json("neutral", "show") == {"neutral_fault": True}
    with pytest.raises(RefusedError, match="neutral fault"):
        utility.run("breaker", "on")

    utility.run("neutral", "clear")

    assert utility.json("neutral", "show") == {"neutral_fault": False}
    shown = utility.json("breaker", "show")
    assert shown["breaker_control_state"] == "ready for reconnection"  # by the button, on the spot


# --- credit ---------------------------------------------------------------------------------------


@pytest.fixture
def prepaid(tmp_path: Path) -> Utility:
    return Utility(tmp_path, Site(WHOLE, Parameters.model_validate({"credit": {"enabled": True}})))


def test_a_token_is_vended_and_entered(prepaid: Utility) -> None:
    before = prepaid.json("credit", "show")["credit_wh"]

    made = prepaid.json("credit", "vend", 50000)
    assert prepaid.links[1:] == []  # only the show asked the meter
    prepaid.run("credit", "top-up", made["token"])
    prepaid.site.run(seconds=1, power_w=0)

    assert prepaid.json("credit", "show")["credit_wh"] == before + 50000


def test_each_token_has_a_higher_sequence(prepaid: Utility) -> None:
    sequences = [prepaid.json("credit", "vend", 1000, "--enter")["sequence"] for _ in range(3)]

    assert sequences == sorted(set(sequences))


def test_a_token_is_taken_once(prepaid: Utility) -> None:
    made = prepaid.json("credit", "vend", 1000, "--enter")

    with pytest.raises(RefusedError, match="entering the token"):
        prepaid.run("credit", "top-up", made["token"])


def test_a_mistyped_token_is_refused_in_the_meters_words(prepaid: Utility) -> None:
    with pytest.raises(RefusedError, match="mistyped"):
        prepaid.run("credit", "top-up", "AAAAA-BBBBB")


def test_a_restored_meter_is_told_which_tokens_are_spent(prepaid: Utility) -> None:
    with pytest.raises(UtilityError, match="no token was made"):
        prepaid.run("credit", "allow")
    made = prepaid.json("credit", "vend", 1000)

    assert f"above {made['sequence']}" in prepaid.run("credit", "allow")
    with pytest.raises(RefusedError):
        prepaid.run("credit", "top-up", made["token"])


# --- clock and parameters -------------------------------------------------------------------------


def test_the_clock_is_shown_and_set(utility: Utility) -> None:
    utility.run("clock", "set", "2026-06-01T12:30:00")
    assert utility.json("clock", "show")["time"] == "2026-06-01 12:30:00+02:00"
    utility.run("clock", "set", "2026-06-01T11:00:00+00:00")
    assert utility.json("clock", "show")["time"] == "2026-06-01 13:00:00+02:00"
    assert {4, 5} <= {code for code, _ in utility.site.log(Log.CLOCK)}


def test_the_clock_is_set_to_this_machines(utility: Utility) -> None:
    utility.run("clock", "sync")

    assert abs(utility.json("clock", "show")["ahead_s"]) <= 2


def test_parameters_change_together_or_not_at_all(utility: Utility) -> None:
    utility.run("parameters", "set", "demand.interval_min=30", "limiter.final=open")
    assert parameters(utility).demand.interval_min == 30
    assert parameters(utility).limiter.final == "open"

    with pytest.raises(RefusedError, match="changing parameters"):
        utility.run("parameters", "set", "demand.interval_min=15", "limiter.over_s=-1")
    assert parameters(utility).demand.interval_min == 30

    assert utility.json("parameters", "show", "demand")["demand"]["interval_min"] == 30
    assert "demand.interval_min" in utility.run("parameters", "show")


def test_a_long_value_goes_in_blocks(utility: Utility, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meter_node.cosem.server.MOST_RECEIVED", 512)
    days = [f"2027-{month:02}-{day:02}" for month in range(1, 5) for day in range(1, 26)]
    assert len(json.dumps(days)) == 1400  # three blocks and more
    longest = 0

    def measure(apdu: bytes) -> bytes:
        nonlocal longest
        longest = max(longest, len(apdu))
        return apdu

    utility.there = measure
    utility.run("parameters", "set", f"credit.non_working_days={json.dumps(days)}")

    assert [str(day) for day in parameters(utility).credit.non_working_days] == days
    assert 400 < longest <= 512
    with pytest.raises(RefusedError, match="at most 100"):
        utility.run("parameters", "set", f"credit.non_working_days={json.dumps(days * 2)}")


def test_a_profiles_interval_and_registers_are_set(utility: Utility) -> None:
    utility.run(
        "parameters",
        "profile",
        "load_profile",
        "--interval",
        30,
        "--capture",
        "import_active_energy",
        "--capture",
        "export_active_energy",
    )

    profile = parameters(utility).load_profile
    assert profile.interval_min == 30
    utility.site.run(minutes=60)
    document = utility.json("profile", "load_profile")
    names = [one["name"] for one in document["columns"]]
    assert names[3:] == ["import_active_energy", "export_active_energy"]


def test_an_interval_that_is_not_possible_is_refused(utility: Utility) -> None:
    with pytest.raises(RefusedError, match="setting the interval of load_profile"):
        utility.run("parameters", "profile", "load_profile", "--interval", 7)


def test_what_a_profile_can_not_capture_is_refused(utility: Utility) -> None:
    with pytest.raises(RefusedError, match="the load profile captures energies alone"):
        utility.run("parameters", "profile", "load_profile", "--capture", "export_active_demand")
    with pytest.raises(UtilityError, match="'temperature' is no register"):
        utility.run("parameters", "profile", "load_profile", "--capture", "temperature")


def test_thresholds_are_shown_and_set(utility: Utility) -> None:
    utility.run("parameters", "threshold", "under_voltage", 207)  # 90 % of 230 V
    utility.run("parameters", "threshold", "under_voltage_delay", 20)

    assert parameters(utility).quality.under_voltage_percent == 90
    assert parameters(utility).quality.under_voltage_delay_s == 20
    shown = utility.json("parameters", "threshold")
    assert shown["under_voltage"] == "207.00 V"
    assert shown["under_voltage_delay"] == "20 s"


def test_firmware_says_that_it_takes_none_this_way(utility: Utility) -> None:
    expected = {"model": "382M", "software": "0.1.0", "image_transfer": False}

    assert utility.json("firmware") == expected
    assert utility.json("firmware", public=True) == expected | {"image_transfer": None}


@pytest.mark.parametrize(
    "arguments",
    [
        ["breaker", "off"],
        ["relay", "1", "on"],
        ["tariff", "activate"],
        ["clock", "sync"],
        ["parameters", "show"],
        ["keys", "rotate"],
        ["keys", "export", "somewhere.json"],
        ["credit", "vend", "1000"],
        ["neutral", "clear"],
    ],
)
def test_without_keys_nothing_is_changed(utility: Utility, arguments: list[Any]) -> None:
    with pytest.raises(UtilityError, match="keys"):
        utility.run(*arguments, public=True)
    assert utility.links == []
