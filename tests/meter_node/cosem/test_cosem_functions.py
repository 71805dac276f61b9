"""What the utility and the consumer do through objects: done whole and shown, or refused whole."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from meter_node.channel import axdr, objects
from meter_node.channel.axdr import BitString
from meter_node.channel.event_codes import LOGS, Log
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.registers import CLOCK
from meter_node.cosem.model import Links
from meter_node.meter.credit import CreditSettings
from meter_node.meter.limiter import LimiterSettings
from meter_node.meter.parameters import Parameters
from meter_node.meter.supply import BreakerSettings
from meter_node.meter.token import make
from meter_node.meter.variant import Variant
from tests.meter_node.cosem.site import NANO, START_S, TITLE, VENDING, Site, consumer, utility

NOTHING = axdr.integer(0)
OTHER_REASON, TYPE_UNMATCHED, DENIED, UNDEFINED = 250, 12, 3, 4
CLOCK_OBJECT = CosemObject(ClassId.CLOCK, CLOCK)


@pytest.fixture
def site() -> Site:
    return Site(parameters=Parameters(breaker=BreakerSettings(control_mode=4)))


def parameters(site: Site) -> Parameters:
    settings = site.device.committed.settings
    assert settings is not None
    return settings.parameters


# --- breaker and relays ---------------------------------------------------------------------------


def test_the_breaker_opens_and_closes_and_the_log_says_who(site: Site) -> None:
    peer = utility(site)
    assert peer.call(objects.BREAKER, 1, NOTHING) == 0
    assert peer.read(objects.BREAKER, 3) == 0
    assert peer.read(objects.BREAKER_CAUSES) == "remote"
    assert peer.call(objects.BREAKER, 2, NOTHING) == 0
    assert peer.read(objects.BREAKER, 3) == 1
    codes = [code for code, detail in site.log(Log.DISCONNECTOR) if "utility" in detail]
    assert codes == [62, 63]


def test_a_change_is_kept_before_it_is_answered(site: Site) -> None:
    peer = utility(site)
    commits = site.store.commits
    peer.call(objects.BREAKER, 1, NOTHING)
    assert site.store.commits == commits + 1


def test_a_change_that_the_store_does_not_take_is_no_success(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = utility(site)

    def full() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(site.table, "_commit", full)
    assert peer.call(objects.BREAKER, 1, NOTHING) == 1  # hardware-fault


def test_the_control_mode_is_set_or_refused(site: Site) -> None:
    peer = utility(site)
    assert peer.write(objects.BREAKER, axdr.enum(6), 4) == 0
    assert peer.read(objects.BREAKER, 4) == 6
    assert peer.write(objects.BREAKER, axdr.enum(7), 4) == OTHER_REASON
    assert "possible are 0 to 6" in peer.read(objects.REFUSAL)
    assert peer.write(objects.BREAKER, axdr.boolean(True), 4) == TYPE_UNMATCHED
    assert peer.read(objects.BREAKER, 4) == 6


def test_the_consumer_reconnects_only_where_the_utility_allows(site: Site) -> None:
    peer, home = utility(site), consumer(site)
    peer.call(objects.BREAKER, 1, NOTHING)
    assert home.call(objects.BREAKER, 2, NOTHING) == OTHER_REASON
    assert "consumer" in home.read(objects.REFUSAL)
    assert site.device.committed.breaker is not None
    assert not site.device.committed.breaker.closed_wanted


def test_each_side_commands_a_relay_as_itself(site: Site) -> None:
    peer, home = utility(site), consumer(site)
    assert home.call(objects.RELAYS[1], 2, NOTHING) == 0
    assert home.read(objects.RELAYS[1]) is True
    assert home.read(objects.RELAY_COMMANDS[1]) == 1
    assert peer.read(objects.RELAY_UTILITY_COMMANDS[1]) == 0
    assert peer.call(objects.RELAYS[1], 1, NOTHING) == 0
    assert peer.read(objects.RELAYS[1]) is False  # the utility's word is the stronger
    assert home.read(objects.RELAY_COMMANDS[1]) == 1
    assert peer.write(objects.RELAY_UTILITY_COMMANDS[1], axdr.enum(0)) == 0
    assert home.read(objects.RELAYS[1]) is True
    assert home.write(objects.RELAY_COMMANDS[1], axdr.enum(0)) == 0
    assert home.read(objects.RELAYS[1]) is False
    assert home.write(objects.RELAY_COMMANDS[1], axdr.enum(3)) == OTHER_REASON


def test_what_a_meter_is_not_made_with_has_no_object() -> None:
    plain = utility(Site(Variant("382M", 3)))
    for which in (objects.BREAKER, objects.LIMITER, objects.CREDIT, objects.RELAYS[1]):
        assert plain.call(which, 1, NOTHING) == UNDEFINED
    # a relay that is not there is never the breaker's object under another name
    with_breaker = utility(Site(Variant("382M", 3, breaker=True)))
    assert with_breaker.call(objects.RELAYS[1], 1, NOTHING) == UNDEFINED
    assert with_breaker.read(objects.RELAY_PENDING[1]).result == UNDEFINED


# --- limiter --------------------------------------------------------------------------------------


def test_the_limiter_is_set_attribute_by_attribute(site: Site) -> None:
    peer = utility(site)
    assert peer.write(objects.LIMITER, axdr.double_long_unsigned(11_000), 4) == 0
    assert peer.write(objects.LIMITER, axdr.double_long_unsigned(3_000), 5) == 0
    assert peer.write(objects.LIMITER, axdr.double_long_unsigned(45), 6) == 0
    assert peer.write(objects.LIMITER, axdr.double_long_unsigned(5), 7) == 0
    groups = axdr.array(axdr.long_unsigned(7), axdr.long_unsigned(9))
    assert peer.write(objects.LIMITER, groups, 9) == 0
    shown = [peer.read(objects.LIMITER, number) for number in (3, 4, 5, 6, 7, 9)]
    assert shown == [11_000, 11_000, 3_000, 45, 5, [7, 9]]
    assert peer.write(objects.LIMITER, axdr.double_long_unsigned(86_401), 6) == OTHER_REASON
    assert peer.write(objects.LIMITER, axdr.null_data(), 4) == 0
    assert peer.read(objects.LIMITER, 3) is None


def emergency(group: int, begins_s: int, duration_s: int) -> bytes:
    moment = datetime.fromtimestamp(begins_s, site_zone()).timetuple()
    date = moment.tm_year.to_bytes(2) + bytes(
        (moment.tm_mon, moment.tm_mday, 0xFF, moment.tm_hour, moment.tm_min, moment.tm_sec, 0)
    )
    raw = date + bytes.fromhex("ff88 80")  # CEST is UTC + 120 min
    return axdr.structure(
        axdr.long_unsigned(group), axdr.octet_string(raw), axdr.double_long_unsigned(duration_s)
    )


def site_zone() -> Any:
    from tests.meter_node.cosem.site import ZONE

    return ZONE


def test_an_emergency_profile_is_taken_of_its_groups_alone() -> None:
    limits = LimiterSettings(normal_w=11_000, emergency_w=2_000, emergency_groups=(7,))
    site = Site(parameters=Parameters(limiter=limits))
    peer = utility(site)
    assert peer.write(objects.LIMITER, emergency(8, START_S, 600), 8) == OTHER_REASON
    assert peer.read(objects.LIMITER, 10) is False
    assert peer.write(objects.LIMITER, emergency(7, START_S, 600), 8) == 0
    assert peer.read(objects.LIMITER, 10) is True
    assert peer.read(objects.LIMITER, 3) == 2_000
    assert peer.read(objects.LIMITER, 8)[0] == 7
    assert peer.read(objects.LIMITER, 8)[2] == 600
    assert peer.write(objects.LIMITER, emergency(7, START_S, 0), 8) == 0
    assert peer.read(objects.LIMITER, 3) == 11_000


# --- clock ----------------------------------------------------------------------------------------


def test_between_two_commits_the_clock_goes_on_and_what_is_counted_stands(site: Site) -> None:
    peer = utility(site)
    register = peer.get(3, "1.0.1.8.0.255", 2)
    request = peer.seal(b"\xc0\x01\xc1\x00\x08\x00\x00\x01\x00\x00\xff\x02\x00")
    answer = peer.connection.receive(1, 1, request, site.now_ns + 50 * NANO)
    # the site stands at 10:00:02 UTC, which is 12:00:02 there
    assert peer.open(answer or b"")[6:] == bytes.fromhex("07ea0601010c003400ff8880")
    assert peer.get(3, "1.0.1.8.0.255", 2) == register


def test_the_clock_is_set_to_a_time_with_its_deviation(site: Site) -> None:
    peer = utility(site)
    # 13:00:02 CEST (UTC + 120 min) is 11:00:02 UTC: an hour after 10:00:02
    to = axdr.octet_string(bytes.fromhex("07ea0601 01 0d000200 ff88 80"))
    assert peer.write(CLOCK_OBJECT, to) == 0
    site.run(seconds=1)
    assert site.device.committed.time_ns == (START_S + 3603) * NANO
    assert [code for code, _ in site.log(Log.CLOCK)][-2:] == [4, 5]


@pytest.mark.parametrize(
    ("method", "value", "moves_s"),
    [
        (1, NOTHING, -2),  # 10:00:02 to the quarter
        (2, NOTHING, -2),
        (3, NOTHING, -2),
        (6, axdr.long(900), 900),
        (6, axdr.long(-900), -900),
    ],
)
def test_the_clock_is_adjusted(site: Site, method: int, value: bytes, moves_s: int) -> None:
    peer = utility(site)
    before_ns = site.now_ns
    assert peer.call(CLOCK_OBJECT, method, value) == 0
    clock = site.meter.clock
    # within the limit it is slewed, beyond it steps
    assert clock.now_ns - before_ns + clock.deviation_ns == moves_s * NANO


def test_a_shift_of_more_than_a_quarter_is_refused(site: Site) -> None:
    peer = utility(site)
    assert peer.call(CLOCK_OBJECT, 6, axdr.long(901)) == OTHER_REASON
    assert peer.call(CLOCK_OBJECT, 6, axdr.octet_string(b"")) == TYPE_UNMATCHED


def test_a_preset_time_is_set_within_its_validity_and_once(site: Site) -> None:
    peer = utility(site)
    preset, first, last = (
        axdr.octet_string(bytes.fromhex("07ea0601 01") + bytes((hour, 0, 2, 0)) + b"\xff\x88\x80")
        for hour in (13, 11, 14)
    )
    assert peer.call(CLOCK_OBJECT, 4, NOTHING) == OTHER_REASON
    assert peer.call(CLOCK_OBJECT, 5, axdr.structure(preset, first, last)) == 0
    assert peer.call(CLOCK_OBJECT, 4, NOTHING) == 0
    assert site.now_ns == (START_S + 3602) * NANO
    assert peer.call(CLOCK_OBJECT, 4, NOTHING) == OTHER_REASON


def test_the_clock_says_when_daylight_saving_begins_and_ends(site: Site) -> None:
    peer = utility(site)
    assert peer.read(CLOCK_OBJECT, 3) == -60
    assert peer.read(CLOCK_OBJECT, 7) == 60
    # the next: Sunday 25 October 2026, 03:00 summer time, and 28 March 2027, 02:00
    assert peer.read(CLOCK_OBJECT, 6)[:8] == bytes.fromhex("07ea0a1907030000")
    assert peer.read(CLOCK_OBJECT, 5)[:8] == bytes.fromhex("07eb031c07020000")


# --- thresholds and parameters --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "keys", "expected"),
    [
        ("1.0.12.31.0.255", 20_240, ("under_voltage_percent", "sag_percent"), 88.0),  # 202.4 V
        ("1.0.12.35.0.255", 25_760, ("over_voltage_percent", "swell_percent"), 112.0),
        ("1.0.12.39.0.255", 15_000, ("power_cut_v",), 150.0),
        ("1.0.12.43.0.255", 90, ("under_voltage_delay_s",), 90),
        ("1.0.12.44.0.255", 20, ("over_voltage_delay_s",), 20),
        ("0.0.96.7.20.255", 200, ("long_failure_s",), 200),
    ],
)
def test_a_threshold_is_a_register_in_its_unit(
    site: Site, name: str, value: int, keys: tuple[str, ...], expected: float
) -> None:
    peer = utility(site)
    assert peer.set(3, name, 2, axdr.double_long_unsigned(value)) == 0
    for key in keys:
        assert getattr(parameters(site).quality, key) == expected
    assert peer.get(3, name, 2) == value
    assert peer.set(3, name, 2, axdr.double_long_unsigned(10**6)) == OTHER_REASON
    assert peer.get(3, name, 2) == value


def test_all_parameters_are_read_and_changed_as_json(site: Site) -> None:
    peer = utility(site)
    changes = {"demand": {"interval_min": 30}, "neutral": {"cut": True}}
    assert peer.write(objects.PARAMETERS, axdr.utf8_string(json.dumps(changes))) == 0
    shown = json.loads(peer.read(objects.PARAMETERS))
    assert shown["demand"]["interval_min"] == 30
    assert shown["neutral"]["cut"] is True
    assert Parameters.model_validate(shown) == parameters(site)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "{",
        "[]",
        "7",
        '{"no": {}}',
        '{"demand": {"interval_min": 7}}',
        "[" * 20_000,
        '{"a": NaN}',
    ],
)
def test_parameters_that_can_not_be_change_nothing(site: Site, given: str) -> None:
    peer = utility(site)
    before = parameters(site)
    # longer than an APDU: in blocks
    raw = axdr.utf8_string(given)
    if len(raw) < 1000:
        assert peer.write(objects.PARAMETERS, raw) == OTHER_REASON
    else:
        peer.exchange(
            b"\xc1\x02\xc1\x00\x01"
            + objects.PARAMETERS.logical_name
            + b"\x02\x00"
            + b"\x00"
            + (1).to_bytes(4)
            + axdr.encode_length(1500)
            + raw[:1500]
        )
        number, at = 2, 1500
        while at < len(raw):
            piece = raw[at : at + 1500]
            at += 1500
            answer = peer.exchange(
                b"\xc1\x03\xc1"
                + bytes((at >= len(raw),))
                + number.to_bytes(4)
                + axdr.encode_length(len(piece))
                + piece
            )
            number += 1
        assert answer[:4] == bytes((0xC5, 3, 0xC1, OTHER_REASON))
    assert parameters(site) == before


# --- credit ---------------------------------------------------------------------------------------


@pytest.fixture
def prepaid() -> Site:
    return Site(parameters=Parameters(credit=CreditSettings(enabled=True)))


def token(sequence: int, credit_wh: int) -> bytes:
    return axdr.octet_string(make(VENDING, TITLE, sequence, credit_wh).encode())


def test_a_token_is_entered_by_either_and_counts_once(prepaid: Site) -> None:
    home = consumer(prepaid)
    before = home.read(objects.CREDIT)
    assert home.call(objects.TOKEN_GATEWAY, 1, token(1, 50_000)) == 0
    assert home.read(objects.CREDIT) == before + 50_000
    assert home.call(objects.TOKEN_GATEWAY, 1, token(1, 50_000)) == OTHER_REASON
    assert "spent" in home.read(objects.REFUSAL)
    assert home.read(objects.TOKEN_GATEWAY, 6)[0] == 6
    assert home.read(objects.CREDIT) == before + 50_000
    assert utility(prepaid).call(objects.TOKEN_GATEWAY, 1, token(2, 1_000)) == 0


def test_emergency_credit_and_its_amounts(prepaid: Site) -> None:
    peer, home = utility(prepaid), consumer(prepaid)
    assert peer.write(objects.EMERGENCY_CREDIT, axdr.double_long(7_000), 9) == 0
    assert peer.write(objects.CREDIT, axdr.double_long(9_000), 5) == 0
    assert home.call(objects.EMERGENCY_CREDIT, 3, NOTHING) == 0
    assert home.read(objects.EMERGENCY_CREDIT) == 7_000
    assert home.call(objects.EMERGENCY_CREDIT, 3, NOTHING) == OTHER_REASON
    assert home.write(objects.EMERGENCY_CREDIT, axdr.double_long(1), 9) == DENIED


# --- logs and counters ----------------------------------------------------------------------------


def test_a_log_is_read_with_its_hashes_and_cleared_by_the_utility_alone(site: Site) -> None:
    peer, home = utility(site), consumer(site)
    log = CosemObject(ClassId.PROFILE_GENERIC, LOGS[Log.DISCONNECTOR].logical_name)
    peer.call(objects.BREAKER, 1, NOTHING)
    rows = home.read(log)
    kept = site.store.log_rows(Log.DISCONNECTOR)
    assert [row[1:] for row in rows] == [(k.code, k.entry, k.detail, k.chain) for k in kept]
    assert home.call(log, 1, NOTHING) == DENIED
    assert peer.call(log, 1, NOTHING) == 0
    assert [row[1] for row in peer.read(log)] == [255]
    assert peer.read(log, 7) == 1


def test_no_register_but_the_customers_own_can_be_reset(site: Site) -> None:
    peer = utility(site)
    site.run(minutes=60)
    assert peer.act(3, "1.0.1.8.0.255", 1, NOTHING)[0] == DENIED
    before = peer.get(3, "1.0.1.8.0.255", 2)
    assert before > 3000
    assert peer.act(3, "1.0.1.8.64.255", 1, NOTHING)[0] == 0
    assert peer.get(3, "1.0.1.8.64.255", 2) == 0
    assert peer.get(3, "1.0.1.8.0.255", 2) == before


def test_errors_neutral_and_trips_are_seen_to_by_writing_what_is_true_again(site: Site) -> None:
    peer = utility(site)
    assert peer.write(objects.STATUS_WORD, axdr.visible_string("0000000")) == 0
    assert peer.write(objects.STATUS_WORD, axdr.visible_string("1000000")) == OTHER_REASON
    assert peer.write(objects.NEUTRAL_FAULT, axdr.boolean(False)) == 0
    assert peer.write(objects.NEUTRAL_FAULT, axdr.boolean(True)) == OTHER_REASON
    assert peer.write(objects.LIMITER_TRIPPED, axdr.boolean(False)) == 0
    assert peer.write(objects.LIMITER_TRIPPED, axdr.boolean(True)) == OTHER_REASON


# --- what the standard's classes say of the same functions ----------------------------------------


def test_an_arbitrator_says_who_may_move_a_relay_and_what_he_asked_for() -> None:
    site = Site()
    home, office = consumer(site), utility(site)
    which = objects.ARBITRATORS[1]
    script = bytes((0, 1, 10, 0, 106, 255))
    assert home.read(which, 2) == [(script, 1), (script, 2)]
    # the utility before the consumer: both may do both
    both = BitString(0b11, 2)
    assert home.read(which, 3) == [both, both]
    assert home.read(which, 4) == [[2, 2], [1, 1]]
    nothing, off, on = (BitString(bits, 2) for bits in (0b00, 0b10, 0b01))
    assert home.read(which, 5) == [nothing, nothing]
    assert home.write(objects.RELAY_COMMANDS[1], axdr.enum(1)) == 0
    assert home.read(which, 5) == [nothing, on]
    assert home.read(which, 6) == 2
    assert office.write(objects.RELAY_UTILITY_COMMANDS[1], axdr.enum(2)) == 0
    assert home.read(which, 5) == [off, on]
    assert home.read(which, 6) == 1
    may_not = axdr.utf8_string('{"relays": [{"consumer_may_command": false}, {}]}')
    assert office.write(objects.PARAMETERS, may_not) == 0
    assert home.read(which, 3) == [both, nothing]


def test_an_account_says_what_is_left_and_what_uses_it_up() -> None:
    site = Site()
    office = utility(site)
    assert office.read(objects.ACCOUNT, 2) == (1, 2)  # credit mode: he pays later
    enabled = axdr.utf8_string('{"credit": {"enabled": true, "low_credit_wh": 20000}}')
    assert office.write(objects.PARAMETERS, enabled) == 0
    assert office.read(objects.ACCOUNT, 2) == (2, 2)
    assert office.read(objects.ACCOUNT, 16) == 20_000
    assert office.read(objects.ACCOUNT, 5) == office.read(objects.CREDIT, 2)
    credit, emergency, charge = (
        one.logical_name for one in (objects.CREDIT, objects.EMERGENCY_CREDIT, objects.CHARGE)
    )
    assert office.read(objects.ACCOUNT, 9) == [credit, emergency]
    assert office.read(objects.ACCOUNT, 10) == [charge]
    # nothing of it was bought yet: low, and not in credit
    status = office.read(objects.ACCOUNT, 4)
    assert status.length == 8
    assert status.bits >> 6 == 0b01
    # a watt-hour of 1.8.0 takes one
    assert office.read(objects.CHARGE, 5) == (
        (0, 0),
        (3, bytes((1, 0, 1, 8, 0, 255)), 2),
        [(b"", 1)],
    )


@pytest.mark.parametrize(
    ("interval_s", "times"),
    [
        (10, [bytes((255, 255, second, 0)) for second in (0, 10, 20, 30, 40, 50)]),
        (60, [bytes((255, 255, 0, 0))]),
        (120, [bytes((255, minute, 0, 0)) for minute in range(0, 60, 2)]),
        (900, [bytes((255, minute, 0, 0)) for minute in (0, 15, 30, 45)]),
        (3600, [bytes((255, 0, 0, 0))]),
        (45, []),  # no minute and no hour is so divided alike by wildcards
    ],
)
def test_the_push_interval_is_set_and_stands_in_the_schedule(
    interval_s: int, times: list[bytes]
) -> None:
    office = utility(Site())
    raw = axdr.double_long_unsigned(interval_s)
    assert office.write(objects.PUSH_INTERVAL, raw) == 0
    assert office.read(objects.PUSH_INTERVAL) == interval_s
    assert [time for time, _ in office.read(objects.PUSH_SCHEDULE, 4)] == times


@pytest.mark.parametrize("interval_s", [0, 7, 3601, 7200])
def test_an_interval_that_can_not_be_is_refused_and_the_old_one_stays(interval_s: int) -> None:
    office = utility(Site())
    assert office.write(objects.PUSH_INTERVAL, axdr.double_long_unsigned(interval_s)) == 250
    assert office.read(objects.PUSH_INTERVAL) == 10


def test_the_sap_assignment_names_every_meter_of_the_node() -> None:
    alone = utility(Site())
    ((sap, name),) = alone.read(objects.SAP_ASSIGNMENT)
    assert (sap, name) == (1, alone.read(objects.LOGICAL_DEVICE_NAME))
    other = b"MTN\x00\x00\x00\x00\x2b"
    together = utility(Site(links=Links(logical_devices=((1, TITLE), (2, other)))))
    (first, second) = together.read(objects.SAP_ASSIGNMENT)
    assert first == (1, name)
    assert second[0] == 2
    assert second[1] != name
