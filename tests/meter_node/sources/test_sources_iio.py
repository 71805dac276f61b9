"""Linux Industrial I/O: types and scans as the kernel lays them out, on a made-up sysfs tree."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from recordings import codes

from meter_node.metrology import SampleBlock
from meter_node.sources import Damage, Item, Kind, SourceError
from meter_node.sources.iio import Device, Element, ElementType, ScanLayout, code_limits, to_codes
from meter_node.sources.live import IioSource
from meter_node.sources.reception import ScanReception
from meter_node.sources.scaling import Scaling

NANO = 10**9
RATE_HZ = 8000
START_NS = 1_767_225_600 * NANO
NAMES = ["in_voltage0", "in_voltage1"]


@pytest.mark.parametrize(
    ("text", "stored", "value"),
    [
        ("le:s24/32>>8", bytes.fromhex("ff 00 00 80"), -(2**23)),
        ("be:s24/32>>8", bytes.fromhex("7f ff ff aa"), 2**23 - 1),
        ("be:s24/32>>0", bytes.fromhex("aa ff ff fe"), -2),
        ("le:s12/16>>4", bytes.fromhex("f0 7f"), 2047),
        ("le:u12/16>>4", bytes.fromhex("f0 ff"), 4095),
        ("le:s16/16", bytes.fromhex("00 80"), -32_768),
        ("le:s64/64>>0", (-5).to_bytes(8, "little", signed=True), -5),
        ("be:u8/8>>0", b"\xff", 255),
        ("le:s32/32X1>>0", bytes.fromhex("ff ff ff ff"), -1),
    ],
)  # fmt: skip
def test_a_type_says_where_the_bits_are(text: str, stored: bytes, value: int) -> None:
    kind = ElementType.parse(text + "\n")
    assert kind.value(np.frombuffer(stored, kind.dtype)).tolist() == [value]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s24/32", "no type of a scan element"),
        ("le:s24/24>>0", "24 bits in 24"),
        ("le:s32/32>>8", "32 bits in 32, shifted by 8"),
        ("le:s16/16X3>>0", "several numbers"),
    ],
)
def test_a_type_that_can_not_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        ElementType.parse(text)


def test_elements_lie_at_multiples_of_their_own_size() -> None:
    # Two bytes, four bytes, eight bytes: at 0, 4 and 8; a scan is 16 bytes long.
    layout = ScanLayout(
        [
            Element("in_timestamp", 5, ElementType.parse("le:s64/64>>0")),
            Element("in_voltage3", 3, ElementType.parse("le:s24/32>>8")),
            Element("in_voltage0", 0, ElementType.parse("be:s16/16>>0")),
        ]
    )
    assert layout.scan_octets == 16
    scan = bytes.fromhex("00 07  ee ee  00 fe ff ff  2a 00 00 00 00 00 00 00")
    names = ["in_voltage3", "in_voltage0", "in_timestamp"]
    assert layout.values(scan * 2, names).tolist() == [[-2, -2], [7, 7], [42, 42]]


def test_a_converter_of_more_than_24_bits_gives_its_upper_ones() -> None:
    kind = ElementType.parse("le:s32/32>>0")
    layout = ScanLayout([Element("in_voltage0", 0, kind)])
    values = np.array([[-(2**31), 2**31 - 1, 255]])
    assert to_codes(values, layout, ["in_voltage0"]).tolist() == [[-(2**23), 2**23 - 1, 0]]
    assert code_limits(kind) == (-(2**23), 2**23 - 1)
    assert code_limits(ElementType.parse("le:u24/32>>0")) == (0, 2**23 - 1)


def a_tree(folder: Path, *, timestamp: bool = True) -> Path:
    """A made-up device of three channels, as sysfs shows one. It takes what is written."""
    sysfs = folder / "iio:device0"
    (sysfs / "scan_elements").mkdir(parents=True)
    (sysfs / "buffer").mkdir()
    files = {
        "name": "adc",
        "sampling_frequency": "4000",
        "in_voltage_scale": "0.0001",
        "in_voltage1_scale": "0.0002",
        "in_voltage1_offset": "-256",
        "buffer/enable": "1",
        "buffer/length": "2",
        "current_timestamp_clock": "realtime",
    }
    channels = {"in_voltage0": 0, "in_voltage1": 1, "in_voltage2": 2}
    if timestamp:
        channels["in_timestamp"] = 3
    for name, index in channels.items():
        kind = "le:s64/64>>0" if name == "in_timestamp" else "le:s24/32>>8"
        files |= {
            f"scan_elements/{name}_type": kind,
            f"scan_elements/{name}_index": str(index),
            f"scan_elements/{name}_en": "1" if name == "in_voltage2" else "0",
        }
    for name, text in files.items():
        (sysfs / name).write_text(text + "\n")
    return sysfs


def scans(volts: np.ndarray, *, first: int = 0, timestamp: bool = True) -> bytes:
    """Codes [2, n] as `a_tree` with its first two channels enabled lays them out."""
    table = np.zeros(
        volts.shape[1], [("u", "<i4"), ("i", "<i4")] + ([("t", "<i8")] if timestamp else [])
    )
    table["u"], table["i"] = volts * 256 + 0x5A
    if timestamp:
        table["t"] = 10**15 + (first + np.arange(volts.shape[1])) * NANO // RATE_HZ
    return table.tobytes()


def test_a_device_is_set_up_with_the_channels_that_are_asked_for(tmp_path: Path) -> None:
    sysfs = a_tree(tmp_path)
    device = Device(sysfs)
    device.set_rate(RATE_HZ)
    layout = device.start(NAMES, 8000)
    read = {
        name: (sysfs / name).read_text().strip()
        for name in (
            "sampling_frequency",
            "scan_elements/in_voltage0_en",
            "scan_elements/in_voltage1_en",
            "scan_elements/in_voltage2_en",
            "scan_elements/in_timestamp_en",
            "buffer/length",
            "buffer/enable",
            "current_timestamp_clock",
        )
    }
    assert list(read.values()) == ["8000", "1", "1", "0", "1", "8000", "1", "monotonic"]
    assert [element.name for element in layout.elements] == [*NAMES, "in_timestamp"]
    device.stop()
    assert (sysfs / "buffer/enable").read_text() == "0"


def test_a_channels_own_scale_goes_before_that_of_its_kind(tmp_path: Path) -> None:
    device = Device(a_tree(tmp_path))
    assert device.scale("in_voltage0").volts == pytest.approx(1e-7)
    assert device.scale("in_voltage1").volts == pytest.approx(2e-7)
    assert device.scale("in_voltage1").offset_codes == -256


def a_source(tmp_path: Path, device: Path | None = None, **more: object) -> IioSource:
    return IioSource(
        tmp_path / "iio:device0",
        device or tmp_path / "pipe",
        1,
        {"U1": "in_voltage0", "I1": "in_voltage1"},
        RATE_HZ,
        Scaling(),
        **{"voltage_ratio": 1000.0, "current_ratio_a_per_v": 250.0} | more,  # type: ignore[arg-type]
    )


def test_scale_and_ratio_make_the_calibration(tmp_path: Path) -> None:
    a_tree(tmp_path)
    (phase,) = a_source(tmp_path).calibration.phases
    assert phase.voltage_gain_v == pytest.approx(1e-4)  # 0.1 µV a code times 1000
    assert phase.current_gain_a == pytest.approx(5e-5)  # 0.2 µV a code times 250 A/V
    assert phase.current_offset_codes == 256


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("scan_elements/in_voltage0_type", "le:24", "no type"),
        ("in_voltage1_scale", "much", "'much' is no number"),
        ("scan_elements/in_voltage1_type", None, "No such file"),
    ],
)
def test_a_device_that_is_not_as_it_should_be_is_told(
    tmp_path: Path, file: str, text: str | None, reason: str
) -> None:
    sysfs = a_tree(tmp_path)
    (sysfs / file).unlink() if text is None else (sysfs / file).write_text(text)
    with pytest.raises(SourceError, match=reason):
        a_source(tmp_path)


def test_what_is_no_device_and_what_it_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no IIO device with a buffer"):
        Device(tmp_path)
    sysfs = a_tree(tmp_path)
    device = Device(sysfs)
    with pytest.raises(SourceError, match="no in_voltage9; there are in_timestamp, in_voltage0"):
        device.start(["in_voltage9"], 100)
    (sysfs / "sampling_frequency").unlink()
    with pytest.raises(SourceError, match="no sampling_frequency"):
        device.set_rate(8000)


def reception(tmp_path: Path, *, timestamp: bool = True) -> ScanReception:
    layout = Device(a_tree(tmp_path, timestamp=timestamp)).start(NAMES, 800)
    return ScanReception(RATE_HZ, layout, NAMES)


def fed(scan: ScanReception, pieces: Iterator[tuple[bytes, int]]) -> list[Item]:
    return [item for data, now_ns in pieces for item in scan.feed(data, now_ns)]


def test_scans_in_pieces_of_any_size_are_the_same_samples(tmp_path: Path) -> None:
    data = codes(1)
    line = scans(data)
    pieces = ((line[at : at + 1111], START_NS) for at in range(0, 40_000, 1111))
    items = fed(reception(tmp_path), pieces)
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    voltage = np.concatenate([block.voltage for block in blocks], axis=1)
    np.testing.assert_array_equal(voltage, data[:1, : voltage.shape[1]])
    assert voltage.shape[1] >= 40_000 // 16 - 1


def test_scans_that_the_kernel_dropped_are_noticed_by_their_times(tmp_path: Path) -> None:
    data = codes(1)
    pieces = (
        (scans(data[:, at : at + 800], first=at), START_NS + at * NANO // RATE_HZ)
        for at in range(0, 8000, 800)
        if at != 2400
    )
    items = fed(reception(tmp_path), pieces)
    (damage,) = (item for item in items if isinstance(item, Damage))
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert (damage.kind, damage.samples) == (Kind.MISSING, 800)
    assert damage.first_sample == blocks[0].first_sample + 2400
    assert blocks[3].first_sample == blocks[0].first_sample + 3200


def test_without_times_what_is_dropped_shows_against_the_clock(tmp_path: Path) -> None:
    data = codes(1)
    scan = reception(tmp_path, timestamp=False)
    items = fed(
        scan,
        (
            (scans(data[:, :800], timestamp=False), START_NS + at * NANO // 10)
            for at in range(400)
            if not 150 <= at < 160
        ),
    )
    broken = [item for item in items if not isinstance(item, SampleBlock)]
    assert len(broken) == 1
    assert "apart" in str(broken[0])


async def test_a_device_is_read_through_its_pipe_and_again_when_it_was_gone(
    tmp_path: Path,
) -> None:
    sysfs = a_tree(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = codes(1)
    now_ns = START_NS

    def write(part: np.ndarray) -> None:
        with pipe.open("wb") as file:
            file.write(scans(part))

    source = a_source(tmp_path, now_ns=lambda: now_ns)
    seen = 0
    async with aclosing(source.items()) as items:
        writing = asyncio.create_task(asyncio.to_thread(write, data[:, :1000]))
        async for item in items:
            if isinstance(item, SampleBlock):
                np.testing.assert_array_equal(item.current, data[1:, seen : seen + item.samples])
                seen += item.samples
            elif seen == 1000:
                assert "gives no more; next attempt in 1 s" in str(item)
                assert (sysfs / "buffer/enable").read_text() == "0"
                await writing
                writing = asyncio.create_task(asyncio.to_thread(write, data[:, 1000:2000]))
            if seen == 2000:
                break
        await writing
