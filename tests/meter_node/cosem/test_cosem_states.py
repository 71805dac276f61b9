"""Breaker, relays, limiter, credit and alarms as COSEM objects, and in a push."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import alarms, apdu, axdr, kamstrup_v0001, lists, objects
from meter_node.channel.objects import CosemObject
from meter_node.cosem import push
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.snapshot import (
    NANO,
    BreakerState,
    CreditState,
    LimiterState,
    RelayState,
    Snapshot,
)
from meter_node.meter.variant import Variant

SNAPSHOT = Snapshot(
    1_782_907_200 * NANO,
    breaker=BreakerState(
        False, 2, 5, closed_wanted=False, causes=("credit", "limiter"), button_reconnects=False
    ),
    relays=(RelayState(True, consumer_command="on"), RelayState(False, 1_782_907_260)),
    limiter=LimiterState("A", 16.5, 20.0, None, 30, 10),
    credit=CreditState(-12, 5000, exhausted=True),
    status_word="1000100",
    alarms=frozenset({"magnet", "credit_low", "credit_exhausted"}),
)
FULL = Variant("382M", 3, "5(65)", breaker=True, relays=2)


def device(variant: Variant = FULL) -> LogicalDevice:
    made = LogicalDevice(
        Identity(b"MTN12345", "8675309", "382M", "0.1.0"), variant, ZoneInfo("UTC")
    )
    made.commit(SNAPSHOT)
    return made


@pytest.mark.parametrize(
    ("which", "attribute", "value"),
    [
        (objects.BREAKER, 2, False),
        (objects.BREAKER, 3, 2),
        (objects.BREAKER, 4, 5),
        (objects.BREAKER_CAUSES, 2, "credit,limiter"),
        (objects.RECONNECTION, 2, 0),
        (objects.CREDIT, 2, -12),
        # the register "current, any phase" (IEC 62056-61: C = 11), attribute 2
        (objects.LIMITER, 2, (3, bytes((1, 0, 11, 7, 0, 255)), 2)),
        (objects.LIMITER, 3, 16_500),  # 16.5 A in mA
        (objects.LIMITER, 4, 20_000),
        (objects.LIMITER, 5, None),
        (objects.LIMITER, 6, 30),
        (objects.LIMITER, 10, False),
        (objects.RELAYS[1], 2, True),
        (objects.RELAYS[2], 2, False),
        (objects.RELAY_PENDING[1], 2, None),
        (objects.RELAY_PENDING[2], 2, 1_782_907_260),
        (objects.RELAY_COMMANDS[1], 2, 1),
        (objects.RELAY_COMMANDS[2], 2, 0),
        (objects.STATUS_WORD, 2, "1000100"),
        # bits 4 (magnet), 9 and 10 (credit): 16 + 512 + 1024
        (objects.ALARMS, 2, 1552),
        (objects.ACTIVE_TARIFF, 2, 1),
    ],
)
def test_each_state_is_an_attribute_of_its_object(
    which: CosemObject, attribute: int, value: object
) -> None:
    read = device().get(Client.CONSUMER, which.class_id, which.logical_name, attribute)
    assert axdr.decode_all(read) == value


def test_a_limiter_of_power_says_so() -> None:
    made = device()
    made.commit(replace(SNAPSHOT, limiter=LimiterState("W", 9000.0, None, None, 30, 10)))
    read = [made.get(Client.CONSUMER, 71, objects.LIMITER.logical_name, n) for n in (2, 3)]
    monitored = (3, bytes((1, 0, 1, 7, 0, 255)), 2)  # the register of the import power
    assert [axdr.decode_all(value) for value in read] == [monitored, 9000]


def test_what_a_meter_is_not_made_with_has_no_object() -> None:
    plain = device(Variant("382M", 3, relays=1))
    for which in (objects.BREAKER, objects.CREDIT, objects.LIMITER, objects.RELAYS[2]):
        with pytest.raises(AccessError) as refused:
            plain.get(Client.CONSUMER, which.class_id, which.logical_name, 2)
        assert refused.value.result is DataAccessResult.OBJECT_UNDEFINED
    assert plain.get(Client.CONSUMER, 70, objects.RELAYS[1].logical_name, 2) == axdr.boolean(True)


def test_a_relay_is_never_taken_for_the_breaker() -> None:
    without_relays = device(Variant("382M", 3, breaker=True))
    for which in (objects.RELAYS[1], objects.RELAY_PENDING[1], objects.RELAY_COMMANDS[1]):
        with pytest.raises(AccessError):
            without_relays.get(Client.CONSUMER, which.class_id, which.logical_name, 2)


def test_a_push_tells_breaker_relays_credit_and_alarms() -> None:
    notification = apdu.decode_data_notification(push.notification(device(), 7))
    reading = lists.read(notification, kamstrup_v0001.SCALER_PROFILES["energy_10_wh"])
    told = {(state.logical_name, state.attribute): state.value for state in reading.states}
    assert told[objects.BREAKER.logical_name, 3] == 2
    assert told[objects.RELAYS[1].logical_name, 2] is True
    assert told[objects.LIMITER.logical_name, 2] == (3, objects.MONITORED_CURRENT, 2)
    assert told[objects.CREDIT.logical_name, 2] == -12
    assert told[objects.ALARMS.logical_name, 2] == 1552


def test_every_alarm_has_a_bit_of_its_own_within_32() -> None:
    bits = [alarm.bit for alarm in alarms.ALARMS]
    assert len(set(bits)) == len(bits)
    assert all(0 <= bit < 32 for bit in bits)
    assert alarms.names(1552) == SNAPSHOT.alarms
    assert alarms.names(alarms.register(alarms.BITS)) == frozenset(alarms.BITS)
    assert alarms.names(1 << 31) == frozenset()
