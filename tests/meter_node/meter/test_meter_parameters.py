"""Parameters: taken whole or refused whole, billed before, kept, and the refusal logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import presets
from meter_node.channel.event_codes import BY_CODE, Log
from meter_node.meter.commands import Commands
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import LogRow
from meter_node.meter.step import DigitalInputs
from meter_node.meter.variant import Variant
from tests.meter_node.meter.steps import step, utc

NOON_S = utc("2026-06-01 12:00")
FULL = Variant("382M", 3, "5(65)", breaker=True, relays=2)
DENMARK = presets.load("denmark_n1").calendar.to_json()


def metered(variant: Variant = FULL, parameters: Parameters | None = None, **kept: object) -> Meter:
    """A meter after an hour of 3 kW."""
    meter = Meter(variant, zone=ZoneInfo("Europe/Copenhagen"), parameters=parameters, **kept)  # type: ignore[arg-type]
    for minute in range(60):
        meter.advance(step(NOON_S + 60 * minute, 60, (1000.0,) * 3, (230.0,) * 3).measurement)
    return meter


def started_anew(meter: Meter, parameters: Parameters | None = None) -> Meter:
    """The meter after a power cut, from its last image."""
    image = meter.image()
    again = Meter(
        meter.variant,
        image.energies_nwh,
        zone=ZoneInfo("Europe/Copenhagen"),
        parameters=parameters,
        states=image.states,
        log_heads=meter.snapshot().log_heads,
    )
    again.advance(step(meter.now_s, 60, (1000.0,) * 3, (230.0,) * 3).measurement)
    return again


def told(meter: Meter) -> list[tuple[str, str]]:
    """Entries that no store has yet: name and detail."""
    rows: list[LogRow] = list(meter.image().log_rows)
    return [(BY_CODE[row.code].name, row.detail) for row in rows]


def overlapping() -> dict[str, object]:
    """The Danish calendar with a second season that begins on the day of the first."""
    first = DENMARK["seasons"][0]
    return {**DENMARK, "seasons": [*DENMARK["seasons"], {**first, "name": "again"}]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tariff": {"calendar": {**DENMARK, "tariffs": 9}}}, "9 tariffs; possible are 1 to 8"),
        ({"demand": {"interval_min": 7}}, "an interval of 7 min"),
        ({"load_profile": {"interval_min": 7}}, "an interval of 7 min"),
        (
            {"analysis_log": {"captures": [f"r{number}" for number in range(17)]}},
            "17 captured registers; possible are 1 to 16",
        ),
        ({"tariff": {"calendar": overlapping()}}, "overlap"),
        ({"relays": [{"delay_s": 10_801}]}, "a delay of 10801 s; possible are 0 to 10800 s"),
        ({"analysis_log": {"captures": ["no_such_register"]}}, "no register 'no_such_register'"),
        ({"breaker": {"control_mode": 7}}, "a control mode of 7"),
        ({"no_such_section": {}}, "no_such_section"),
        ({"neutral": {"cut": True}, "breaker": {"control_mode": 0}}, "never opens"),
    ],
)
def test_bad_parameters_are_refused_whole_the_old_ones_stay_and_the_refusal_is_logged(
    changes: Mapping[str, object], why: str
) -> None:
    meter = metered()
    before, calendar = meter.parameters, meter.tariff.calendar
    with pytest.raises(RefusedError, match=why):
        # a good one beside it is not taken either
        meter.change_parameters({"billing": {"daily_depth": 7}, **changes}, "utility")
    assert meter.parameters == before
    assert meter.tariff.calendar == calendar
    assert meter.image().billing_rows == ()
    ((name, detail),) = told(meter)
    assert name == "parameters_refused"
    assert detail.startswith("utility: ")


def test_good_parameters_act_are_billed_before_and_logged() -> None:
    meter = metered()
    meter.change_parameters(
        {"demand": {"interval_min": 30}, "relays": [{"own": "tariff", "tariffs": [1]}, {}]},
        "utility",
    )
    (row,) = meter.image().billing_rows
    assert (row.kind, row.reason) == ("change", "parameters")
    # 3 kW for an hour, in Wh
    assert row.values["import_active_energy"] == 3000
    assert told(meter) == [("parameters_changed", "demand, relays; utility")]
    meter.advance(step(meter.now_s, 60, (0.0,) * 3, (230.0,) * 3).measurement)
    assert [relay.on_wanted for relay in meter.relays] == [True, False]


def test_parameters_outlive_a_power_cut() -> None:
    meter = metered()
    meter.change_parameters(
        {"demand": {"interval_min": 30}, "tariff": {"calendar": DENMARK}}, "utility"
    )
    again = started_anew(meter)
    assert again.parameters == meter.parameters
    assert again.tariff.calendar.to_json() == DENMARK
    assert "parameters_changed" not in [name for name, _ in told(again)]


def test_a_newer_configuration_takes_its_section_and_leaves_the_others() -> None:
    meter = metered()
    meter.change_parameters({"demand": {"interval_min": 30}, "neutral": {"delay_s": 90}}, "utility")
    newer = Parameters.model_validate({"neutral": {"delay_s": 45}})
    again = started_anew(meter, newer)
    assert again.parameters.neutral.delay_s == 45
    assert again.parameters.demand.interval_min == 30
    assert ("parameters_changed", "neutral; configuration") in told(again)
    assert again.image().billing_rows[-1].reason == "parameters"


def test_changing_to_what_is_in_force_does_nothing() -> None:
    meter = metered()
    meter.change_parameters({"demand": {"interval_min": 15}}, "utility")
    assert told(meter) == []
    assert meter.image().billing_rows == ()


def test_a_profile_of_another_interval_is_deleted_and_that_is_logged_beside() -> None:
    meter = metered()
    meter.change_parameters({"load_profile": {"interval_min": 5}}, "utility")
    names = [name for name, _ in told(meter)]
    assert names == ["parameters_changed", "profile_changed"]
    # four quarter-hours were captured: the first that stays is the fifth entry
    assert meter.image().profile_firsts["load_profile"] == 5


def test_new_tariffs_are_billed_once_before_they_act() -> None:
    meter = metered()
    commands = Commands(meter)
    commands.upload_calendar(DENMARK, None)
    commands.activate_calendar()
    meter.advance(step(meter.now_s, 60, (1000.0,) * 3, (230.0,) * 3).measurement)
    (row,) = meter.image().billing_rows
    assert (row.reason, row.values["import_active_energy"]) == ("tariffs", 3000)


def test_a_bad_calendar_that_is_uploaded_is_refused_and_logged() -> None:
    meter = metered()
    with pytest.raises(RefusedError, match="9 tariffs"):
        Commands(meter).upload_calendar({**DENMARK, "tariffs": 9}, None)
    ((name, _),) = told(meter)
    assert name == "parameters_refused"
    assert meter.tariff.passive is None


@pytest.mark.parametrize(
    "section",
    [{"credit": {"enabled": True}}, {"neutral": {"cut": True}}, {"limiter": {"normal_w": 5000}}],
)
def test_what_would_cut_is_refused_by_a_meter_without_a_breaker(
    section: Mapping[str, object],
) -> None:
    plain = metered(Variant())
    with pytest.raises(RefusedError, match="no breaker"):
        plain.change_parameters(section, "utility")


def test_settings_for_more_relays_than_there_are_are_refused() -> None:
    with pytest.raises(RefusedError, match="settings for 2; this meter has 1"):
        Meter(Variant(relays=1), parameters=Parameters.model_validate({"relays": [{}, {}]}))


def test_quality_limits_act_and_an_open_event_goes_on() -> None:
    meter = metered()
    for minute in range(2):
        low = step(meter.now_s, 60, (0.0,) * 3, (200.0,) * 3)
        meter.advance(low.measurement)
        assert minute == 0 or "under_voltage_l1" in meter.snapshot().alarms
    meter.change_parameters({"quality": {"under_voltage_percent": 85.0}}, "utility")
    # 200 V is above 85 % of 230 V and its hysteresis: 200.1 V is the release level, so 210 V
    meter.advance(step(meter.now_s, 60, (0.0,) * 3, (210.0,) * 3).measurement)
    assert "under_voltage_l1" not in meter.snapshot().alarms


def test_a_cover_opened_right_after_a_change_of_parameters_was_seen_with_power() -> None:
    meter = metered()
    meter.change_parameters({"tamper": {"magnet_debounce_s": 10}}, "utility")
    closed = step(meter.now_s, 1, (0.0,) * 3, (230.0,) * 3).measurement
    meter.advance(closed, DigitalInputs(meter_cover_open=True))
    assert ("meter_cover_opened", "") in told(meter)


def test_parameters_are_json_both_ways() -> None:
    parameters = Parameters().changed({"tariff": {"calendar": DENMARK}, "relays": [{"delay_s": 5}]})
    assert Parameters.model_validate(json.loads(parameters.model_dump_json())) == parameters


def test_clearing_a_log_is_a_command() -> None:
    meter = metered()
    Commands(meter).clear_log(Log.STATUS, "utility")
    assert told(meter) == [("log_cleared", "utility")]


def test_a_calendar_that_waits_goes_on_waiting_when_another_is_put_in_force() -> None:
    meter = metered()
    Commands(meter).upload_calendar(DENMARK, meter.now_s + 86_400)
    norway = presets.load("norway_elvia").calendar.to_json()
    meter.change_parameters({"tariff": {"calendar": norway}}, "utility")
    assert meter.tariff.calendar.to_json() == norway
    assert meter.tariff.passive is not None
    assert meter.tariff.activate_at_s == meter.now_s + 86_400


def opened(parameters: Parameters | None = None) -> Meter:
    """A meter whose supply the utility has cut."""
    meter = metered(FULL, parameters)
    Commands(meter).disconnect(who="utility")
    return meter


def test_a_configuration_of_mode_0_is_not_taken_while_the_breaker_is_open() -> None:
    always_on = Parameters.model_validate({"breaker": {"control_mode": 0}})
    again = started_anew(opened(), always_on)
    assert again.parameters.breaker.control_mode == 5
    assert "parameters_refused" in [name for name, _ in told(again)]
    breaker = again.snapshot().breaker
    assert breaker is not None
    assert breaker.causes == ("remote",)


def test_a_limit_that_the_configuration_has_no_more_keeps_nothing_off() -> None:
    limited = Parameters.model_validate(
        {"limiter": {"normal_w": 1000, "over_s": 30, "retries": 0, "final": "open"}}
    )
    tripped = metered(FULL, limited)  # 3 kW
    assert tripped.snapshot().breaker.causes == ("limiter",)  # type: ignore[union-attr]
    breaker = started_anew(tripped, Parameters()).snapshot().breaker
    assert breaker is not None
    assert breaker.causes == ()
    assert breaker.button_reconnects, "a trip that was final wants a person at the meter"


def test_a_one_phase_meter_does_not_cut_by_a_suspicion() -> None:
    with pytest.raises(RefusedError, match="can only suspect"):
        Meter(
            Variant("162M", 1, breaker=True),
            parameters=Parameters.model_validate({"neutral": {"cut": True}}),
        )


def test_an_endless_threshold_is_none() -> None:
    with pytest.raises(RefusedError, match="finite number"):
        metered().change_parameters({"limiter": {"normal_w": float("inf")}}, "utility")
