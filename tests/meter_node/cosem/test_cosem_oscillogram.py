"""The picture of the moment as two objects: what goes in comes out, to the hundredth of a volt."""

from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import axdr, objects
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.oscillogram import (
    MOST_POINTS,
    Oscillogram,
    PhaseWave,
    decode_phasors,
    decode_waveforms,
    encode_phasors,
    encode_waveforms,
)
from meter_node.meter.snapshot import Snapshot
from meter_node.meter.variant import Variant

SHOWN = Oscillogram(
    1_000_000_000,
    2_000_000_000,
    4000.0,
    (
        PhaseWave([325.27, -325.27], [14.142, -0.0004], 230 + 0j, complex(-9.5, 1.25)),
        PhaseWave([0.0], [0.0], complex(-115, -199.186), 0j),
    ),
)


def device() -> LogicalDevice:
    made = LogicalDevice(Identity(b"MTN12345", "1", "382M", "0"), Variant(), ZoneInfo("UTC"))
    made.commit(Snapshot(0))
    return made


def read(made: LogicalDevice, which: objects.CosemObject) -> bytes:
    return made.get(Client.CONSUMER, which.class_id, which.logical_name, 2)


def test_phasors_are_read_as_they_were_shown() -> None:
    made = device()
    made.show(SHOWN)
    phasors = decode_phasors(read(made, objects.PHASORS))
    assert phasors is not None
    assert phasors.time_ns == 2_000_000_000
    (voltage, current), (other, none) = phasors.phases
    assert voltage == pytest.approx(230)
    assert current == pytest.approx(complex(-9.5, 1.25))
    assert other == pytest.approx(complex(-115, -199.19))  # in hundredths of a volt
    assert none == 0


def test_waveforms_are_read_as_they_were_shown() -> None:
    made = device()
    made.show(SHOWN)
    waveforms = decode_waveforms(read(made, objects.WAVEFORMS))
    assert waveforms is not None
    assert waveforms.sampling_rate_hz == 4000
    assert waveforms.phases[0] == ((325.27, -325.27), (14.142, 0.0))


def test_the_structure_is_as_documented() -> None:
    assert axdr.decode_all(encode_phasors(SHOWN)) == (
        2_000_000_000,
        (-2, 35),
        (-3, 33),
        [(23_000, 0, -9500, 1250), (-11_500, -19_919, 0, 0)],
    )
    assert axdr.decode_all(encode_waveforms(SHOWN)) == (
        1_000_000_000,
        4_000_000,
        (-2, 35),
        (-3, 33),
        [([32_527, -32_527], [14_142, 0]), ([0], [0])],
    )


@pytest.mark.parametrize("which", [objects.PHASORS, objects.WAVEFORMS])
def test_without_a_picture_there_is_null_data(which: objects.CosemObject) -> None:
    assert read(device(), which) == axdr.null_data()
    assert decode_phasors(axdr.null_data()) is None
    assert decode_waveforms(axdr.null_data()) is None


def test_management_may_look_and_the_public_may_not() -> None:
    made = device()
    which = objects.WAVEFORMS
    assert made.get(Client.MANAGEMENT, which.class_id, which.logical_name, 2)
    with pytest.raises(AccessError) as refused:
        made.get(Client.PUBLIC, which.class_id, which.logical_name, 2)
    assert refused.value.result is DataAccessResult.READ_WRITE_DENIED


def test_a_value_beyond_32_bits_is_drawn_at_the_edge() -> None:
    wild = Oscillogram(0, 0, 1.0, (PhaseWave([1e12], [-1e12], 0j, 0j),))
    waveforms = decode_waveforms(encode_waveforms(wild))
    assert waveforms is not None
    assert waveforms.phases[0] == (((2**31 - 1) / 100,), (-(2**31 - 1) / 1000,))


def test_more_points_than_a_picture_has_are_refused() -> None:
    with pytest.raises(ValueError, match="201 points"):
        Oscillogram(0, 0, 1.0, (PhaseWave([0.0] * (MOST_POINTS + 1), [], 0j, 0j),))


@pytest.mark.parametrize("decode", [decode_phasors, decode_waveforms])
@pytest.mark.parametrize(
    "data",
    [
        axdr.integer(1),
        axdr.structure(axdr.integer(1), axdr.integer(2), axdr.integer(3), axdr.integer(4)),
        axdr.structure(
            axdr.long64_unsigned(0),
            axdr.double_long_unsigned(1),
            *[axdr.structure(axdr.integer(-2), axdr.enum(35))] * 2,
            axdr.array(axdr.structure(axdr.array(axdr.boolean(value=True)), axdr.integer(1))),
        ),
    ],
)
def test_what_is_no_picture_is_refused(decode: object, data: bytes) -> None:
    with pytest.raises(axdr.AxdrError):
        decode(data)  # type: ignore[operator]
