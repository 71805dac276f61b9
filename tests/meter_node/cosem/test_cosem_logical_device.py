"""The meter as COSEM objects: the last committed image, by OBIS code and by role."""

from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import apdu, axdr, kamstrup_v0001, lists, obis, registers
from meter_node.cosem import push
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant

FLAT = Variant("162M", 1)
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
# 2026-07-01 12:00:00 UTC, 14:00 in Copenhagen
NOON_S = 1_782_907_200
SNAPSHOT = Snapshot(
    NOON_S * NANO,
    {
        register.key: 1234 * NANO + 999_999_999
        for register in registers.registers_of(3)
        if register.is_energy
    },
    {"voltage_l1": 230.12, "import_active_power": 812.34},
)
IMPORT = obis.parse("1.0.1.8.0.255")


@pytest.fixture
def device() -> LogicalDevice:
    made = LogicalDevice(Identity(b"MTN12345", "8675309", "382M", "0.1.0"), Variant(), COPENHAGEN)
    made.commit(SNAPSHOT)
    return made


def test_a_register_is_read_by_its_obis_code_with_its_unit(device: LogicalDevice) -> None:
    value = axdr.decode_all(device.get(Client.CONSUMER, 3, IMPORT, 2))
    scaler_unit = axdr.decode_all(device.get(Client.CONSUMER, 3, IMPORT, 3))
    assert value == 1234  # Wh, truncated
    assert scaler_unit == (0, 30)  # 10^0 Wh


def test_b_0_and_b_1_name_the_same_register(device: LogicalDevice) -> None:
    other = obis.parse("1.1.1.8.0.255")
    assert device.get(Client.CONSUMER, 3, other, 2) == device.get(Client.CONSUMER, 3, IMPORT, 2)


def test_a_register_without_a_value_is_null_data(device: LogicalDevice) -> None:
    frequency = obis.parse("1.0.14.7.0.255")
    assert axdr.decode_all(device.get(Client.CONSUMER, 3, frequency, 2)) is None


def test_nothing_is_shown_before_the_first_commit() -> None:
    device = LogicalDevice(Identity(b"MTN12345", "1", "162M", "0.1.0"), FLAT, COPENHAGEN)
    with pytest.raises(AccessError) as refused:
        device.get(Client.CONSUMER, 3, IMPORT, 2)
    assert refused.value.result is DataAccessResult.TEMPORARY_FAILURE


@pytest.mark.parametrize(
    ("client", "class_id", "name", "attribute", "result"),
    [
        (Client.PUBLIC, 3, "1.0.1.8.0.255", 2, DataAccessResult.READ_WRITE_DENIED),
        (Client.CONSUMER, 3, "1.0.99.8.0.255", 2, DataAccessResult.OBJECT_UNDEFINED),
        (Client.CONSUMER, 4, "1.0.1.8.0.255", 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
        (Client.CONSUMER, 3, "1.0.1.8.0.255", 9, DataAccessResult.READ_WRITE_DENIED),
    ],
)
def test_what_a_client_may_not_read_is_refused_with_its_reason(
    device: LogicalDevice,
    client: Client,
    class_id: int,
    name: str,
    attribute: int,
    result: DataAccessResult,
) -> None:
    with pytest.raises(AccessError) as refused:
        device.get(client, class_id, obis.parse(name), attribute)
    assert refused.value.result is result


def test_everyone_may_read_who_the_meter_is(device: LogicalDevice) -> None:
    number = axdr.decode_all(device.get(Client.PUBLIC, 1, registers.METER_NUMBER, 2))
    assert number == "8675309"


def test_the_clock_gives_local_time_with_cosems_deviation(device: LogicalDevice) -> None:
    raw = axdr.decode_all(device.get(Client.CONSUMER, 8, registers.CLOCK, 2))
    # 2026-07-01, Wednesday (3), 14:00:00.00, deviation -120 min (UTC less local), summer time
    assert raw == bytes.fromhex("07ea 07 01 03 0e 00 00 00 ff88 80")


def test_a_push_can_not_show_the_public_what_it_may_not_read(device: LogicalDevice) -> None:
    with pytest.raises(AccessError) as refused:
        device.raw(Client.PUBLIC, registers.BY_KEY["import_active_energy"])
    assert refused.value.result is DataAccessResult.READ_WRITE_DENIED


def test_a_push_holds_every_register_that_has_a_value_and_who_sends_it(
    device: LogicalDevice,
) -> None:
    notification = apdu.decode_data_notification(push.notification(device, 7))
    reading = lists.read(notification, kamstrup_v0001.SCALER_PROFILES["energy_10_wh"])
    assert reading.list_name == "MeterNode_V1"
    assert notification.invoke_id == 7
    assert reading.values["import_active_energy"] == 1234
    assert reading.values["voltage_l1"] == 230.12
    assert reading.values["import_active_power"] == 812.3
    assert "frequency" not in reading.values
    assert reading.texts == {"meter_number": "8675309", "model": "382M", "software": "0.1.0"}
    assert reading.time is not None
    assert reading.time.utc().timestamp() == NOON_S
