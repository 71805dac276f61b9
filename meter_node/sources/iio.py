"""Linux Industrial I/O: how a device lays out its buffer, and how it is made to fill it.

The layout is pure; `Device` reads and writes sysfs. Must not know phases or mains. Formats:
Documentation/ABI/testing/sysfs-bus-iio and Documentation/iio in the kernel's sources.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology.block import CODE_BITS

from .codes import rails
from .items import SourceError

TIMESTAMP = "in_timestamp"
_TYPE = re.compile(r"(?P<end>le|be):(?P<sign>[su])(?P<bits>\d+)/(?P<storage>\d+)"
                   r"(?:X(?P<repeat>\d+))?(?:>>(?P<shift>\d+))?")  # fmt: skip
_STORAGE_BITS = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class ElementType:
    """One scan element's `_type`, for example `le:s24/32>>8`."""

    big_endian: bool
    signed: bool
    bits: int
    storage_bits: int
    shift: int

    @classmethod
    def parse(cls, text: str) -> "ElementType":
        """Raises SourceError for what is none, or no single number."""
        found = _TYPE.fullmatch(text.strip())
        if not found:
            raise SourceError(f"{text.strip()!r} is no type of a scan element, as le:s24/32>>8 is")
        bits, storage = int(found["bits"]), int(found["storage"])
        shift = int(found["shift"] or 0)
        if storage not in _STORAGE_BITS or not 0 < bits <= storage - shift:
            raise SourceError(f"{text.strip()!r}: {bits} bits in {storage}, shifted by {shift}")
        if int(found["repeat"] or 1) != 1:
            raise SourceError(f"{text.strip()!r}: elements of several numbers are not read")
        return cls(found["end"] == "be", found["sign"] == "s", bits, storage, shift)

    @property
    def octets(self) -> int:
        """In the buffer."""
        return self.storage_bits // 8

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Of the storage."""
        return np.dtype(f"{'>' if self.big_endian else '<'}u{self.octets}")

    def value(self, stored: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        """What stands in the storage: shifted, cut to its bits, with its sign."""
        spare = 64 - self.bits
        raised = (stored.astype(np.uint64) >> np.uint64(self.shift)) << np.uint64(spare)
        if self.signed:
            return raised.view(np.int64) >> np.int64(spare)
        return (raised >> np.uint64(spare)).view(np.int64)


@dataclass(frozen=True, slots=True)
class Element:
    """One enabled channel of the buffer."""

    name: str
    index: int
    type: ElementType


class ScanLayout:
    """Where each element stands in a scan.

    Elements follow each other by index; each lies at a multiple of its own size, and a scan is as
    long as a multiple of its largest one.
    """

    def __init__(self, elements: Sequence[Element]) -> None:
        """Raises SourceError where there is none."""
        if not elements:
            raise SourceError("no channel of the buffer is enabled")
        self.elements = sorted(elements, key=lambda element: element.index)
        offsets, place = [], 0
        for element in self.elements:
            octets = element.type.octets
            place = -(-place // octets) * octets
            offsets.append(place)
            place += octets
        largest = max(element.type.octets for element in self.elements)
        self.scan_octets = -(-place // largest) * largest
        self._dtype = np.dtype(
            {
                "names": [element.name for element in self.elements],
                "formats": [element.type.dtype for element in self.elements],
                "offsets": offsets,
                "itemsize": self.scan_octets,
            }
        )

    def values(self, scans: bytes, names: Sequence[str]) -> NDArray[np.int64]:
        """These elements [names, n] of whole scans."""
        table = np.frombuffer(scans, self._dtype)
        types = {element.name: element.type for element in self.elements}
        return np.stack([types[name].value(table[name]) for name in names])


@dataclass(frozen=True, slots=True)
class ChannelScale:
    """What a device says of a channel: volts at its pin are (code + offset_codes) · volts."""

    volts: float
    offset_codes: float


class Device:
    """One device under /sys/bus/iio/devices, and its buffer.

    Only the buffer's own switches are written, and `sampling_frequency` where a rate is asked for.
    """

    def __init__(self, sysfs: Path) -> None:
        """Raises SourceError where there is no device with a buffer."""
        self._sysfs = sysfs
        if not (sysfs / "scan_elements").is_dir():
            raise SourceError(f"{sysfs}: no IIO device with a buffer (no scan_elements)")

    def element_names(self) -> list[str]:
        """All channels that the buffer could hold."""
        return sorted(
            path.name.removesuffix("_type")
            for path in (self._sysfs / "scan_elements").glob("in_*_type")
        )

    def scale(self, name: str) -> ChannelScale:
        """Of a channel, its own or its kind's. Raises SourceError where there is none."""
        kind = re.sub(r"\d.*", "", name)
        found = [
            self._sysfs / f"{prefix}_scale"
            for prefix in (name, kind)
            if (self._sysfs / f"{prefix}_scale").exists()
        ]
        if not found:
            raise SourceError(f"{self._sysfs}: no {name}_scale and no {kind}_scale")
        offsets = [
            self._number(f"{prefix}_offset")
            for prefix in (name, kind)
            if (self._sysfs / f"{prefix}_offset").exists()
        ]
        # Voltages are in millivolts.
        return ChannelScale(self._number(found[0].name) / 1000, offsets[0] if offsets else 0.0)

    def element_type(self, name: str) -> ElementType:
        """Of a channel. Raises SourceError where there is none."""
        return ElementType.parse(self._read(f"scan_elements/{name}_type"))

    def set_rate(self, rate_hz: int) -> None:
        """Asks for a sampling rate. Raises SourceError where the device takes another one."""
        names = ["sampling_frequency", "in_voltage_sampling_frequency"]
        name = next((name for name in names if (self._sysfs / name).exists()), None)
        if name is None:
            raise SourceError(f"{self._sysfs}: no sampling_frequency")
        if self._number(name) != rate_hz:
            self._write(name, str(rate_hz))
        taken = self._number(name)
        if taken != rate_hz:
            raise SourceError(f"{self._sysfs}: samples at {taken:g} Hz, not at {rate_hz} Hz")

    def start(self, names: Sequence[str], scans: int) -> ScanLayout:
        """Lets the buffer run with these channels, and the time of each scan where there is one.

        Raises SourceError for a channel that isn't there or that the device refuses.
        """
        there = self.element_names()
        missing = [name for name in names if name not in there]
        if missing:
            raise SourceError(
                f"{self._sysfs}: no {', '.join(missing)}; there are {', '.join(there)}"
            )
        self.stop()
        wanted = {*names, *({TIMESTAMP} & set(there))}
        for name in there:
            self._write(f"scan_elements/{name}_en", "1" if name in wanted else "0")
        # A device may take more channels than it was asked for, never fewer.
        enabled = [name for name in there if self._read(f"scan_elements/{name}_en").strip() == "1"]
        if refused := wanted - set(enabled):
            raise SourceError(f"{self._sysfs}: refuses {', '.join(sorted(refused))}")
        layout = ScanLayout(
            [
                Element(
                    name,
                    int(self._number(f"scan_elements/{name}_index")),
                    self.element_type(name),
                )
                for name in enabled
            ]
        )
        if TIMESTAMP in wanted and (self._sysfs / "current_timestamp_clock").exists():
            self._write("current_timestamp_clock", "monotonic")
        self._write("buffer/length", str(scans))
        self._write("buffer/enable", "1")
        return layout

    def stop(self) -> None:
        """Switches the buffer off."""
        self._write("buffer/enable", "0")

    def _number(self, name: str) -> float:
        text = self._read(name).strip()
        try:
            return float(text)
        except ValueError:
            raise SourceError(f"{self._sysfs / name}: {text!r} is no number") from None

    def _read(self, name: str) -> str:
        try:
            return (self._sysfs / name).read_text("ascii")
        except OSError as error:
            raise SourceError(f"{self._sysfs / name}: {error.strerror}") from None

    def _write(self, name: str, text: str) -> None:
        try:
            (self._sysfs / name).write_text(text, "ascii")
        except OSError as error:
            raise SourceError(f"{self._sysfs / name}: {error.strerror} (writing {text})") from None


def to_codes(
    values: NDArray[np.int64], layout: ScanLayout, names: Sequence[str]
) -> NDArray[np.int32]:
    """Codes of at most CODE_BITS bits; wider converters lose their lowest bits (`code_shift`)."""
    types = {element.name: element.type for element in layout.elements}
    codes = np.empty(values.shape, dtype=np.int32)
    for row, name in enumerate(names):
        codes[row] = values[row] >> code_shift(types[name])
    return codes


def code_shift(kind: ElementType) -> int:
    """How many of a converter's lowest bits have no place in a code."""
    return max(0, kind.bits + (0 if kind.signed else 1) - CODE_BITS)


def code_limits(kind: ElementType) -> tuple[int, int]:
    """The lowest and highest code of a channel."""
    low, high = rails(kind.bits) if kind.signed else (0, (1 << kind.bits) - 1)
    return low >> code_shift(kind), high >> code_shift(kind)
