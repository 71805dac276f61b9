"""COMTRADE recordings, .cfg with .dat (IEEE C37.111-1999 and -2013). Knows no phases' names.

A reader of its own, because the package of that name holds a whole file in memory as values; here
codes stay codes, and come a stretch at a time.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .channels import Channel
from .items import SourceError
from .recording import stretches_of
from .sample_times import Places, rate_of
from .tables import numbers

NANO = 10**9
UNITS = {"V": 1.0, "kV": 1e3, "mV": 1e-3, "A": 1.0, "kA": 1e3, "mA": 1e-3}
# What stands for "no sample" (1999: clause 6.5 and 6.6, 2013: clause 8.5 and 8.6).
MISSING_ASCII = 99999
MISSING_16 = -(1 << 15)
MISSING_32 = -(1 << 31)
NO_TIME = 0xFFFFFFFF
FIRST_LINES = 4096
LIMITS_16 = (-32767, 32767)
# The type of a value in the .dat file; None for text.
FORMATS = {"ASCII": None, "BINARY": "<i2", "BINARY32": "<i4", "FLOAT32": "<f4"}
_TIME = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})\s*,\s*(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?"
)
_OFFSET = re.compile(r"([+-]?)(\d{1,2})(?:h(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class Analog:
    """A line of the .cfg: value = (gain · x + offset) · factor, in volts or amperes."""

    name: str
    factor: float
    gain: float
    offset: float
    late_s: float
    unusable: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the .cfg tells. `rate_hz` None: only the samples' times do; `tick_s` is their unit."""

    analogs: tuple[Analog, ...]
    status_channels: int
    rate_hz: int | None
    samples: int
    start_ns: int | None
    tick_s: float
    format: str


class ComtradeRecording:
    """16-bit binary samples stay codes; ASCII, 32-bit and floating-point ones become values."""

    shunt_temperature_c = None

    def __init__(self, path: Path) -> None:
        """Either file of the two. Raises SourceError for what does not do, OSError."""
        self.path = _sibling(path, "cfg")
        self._data_path = _sibling(path, "dat")
        text = self.path.read_text("utf-8-sig", errors="replace")
        try:
            self._cfg = configuration(text)
        except SourceError as error:
            raise SourceError(f"{self.path}: {error}") from None
        self._are_codes = self._cfg.format == "BINARY"
        self.missing_code = MISSING_16 if self._are_codes else None
        self.channels = [_channel(analog, self._are_codes) for analog in self._cfg.analogs]
        self.start_ns = self._cfg.start_ns
        self.samples = self._cfg.samples
        try:
            self.sampling_rate_hz = self._cfg.rate_hz or self._rate()
        except SourceError as error:
            raise SourceError(f"{self._data_path}: {error}") from None

    def stretches(self, samples: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """As `Recording` says."""
        places = Places(self.sampling_rate_hz)
        first_number: int | None = None
        due = 0
        for numbers_, ticks, data in self._rows(samples):
            if self._cfg.rate_hz is None:
                try:
                    indices = places.of(ticks * self._cfg.tick_s)
                except SourceError as error:
                    raise SourceError(f"{self._data_path}: {error}") from None
            else:
                first_number = int(numbers_[0]) if first_number is None else first_number
                indices = numbers_ - first_number
                if indices[0] < due or (np.diff(indices) < 1).any():
                    raise SourceError(f"{self._data_path}: the samples' numbers don't rise")
            yield from stretches_of(indices, data if self._are_codes else self._values(data))
            due = int(indices[-1]) + 1
        if due < self.samples:
            yield self.samples, np.zeros((len(self.channels), 0))

    def _values(self, data: NDArray[Any]) -> NDArray[np.float64]:
        analogs = self._cfg.analogs
        gain = np.array([analog.gain * analog.factor for analog in analogs])
        offset = np.array([analog.offset * analog.factor for analog in analogs])
        values = data * gain[:, None] + offset[:, None]
        if self._cfg.format == "BINARY32":
            values[data == MISSING_32] = np.nan
        elif self._cfg.format == "ASCII":
            values[data == MISSING_ASCII] = np.nan
        return np.asarray(values, dtype=np.float64)

    def _rows(
        self, samples: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]]:
        """Numbers [n], times [n] in ticks, and what stands there [channels, n]."""
        if self._cfg.format == "ASCII":
            yield from self._text_rows(samples)
            return
        count = len(self._cfg.analogs)
        words = -(-self._cfg.status_channels // 16)
        kind = FORMATS[self._cfg.format]
        row = np.dtype([("n", "<u4"), ("t", "<u4"), ("x", kind, (count,)), ("s", "<u2", (words,))])
        there = self._data_path.stat().st_size // row.itemsize
        if not there:
            return
        rows = np.memmap(self._data_path, row, "r", shape=(there,))
        for first in range(0, there, samples):
            part = rows[first : first + samples]
            ticks = part["t"].astype(np.float64)
            ticks[part["t"] == NO_TIME] = np.nan
            yield part["n"].astype(np.int64), ticks, np.ascontiguousarray(part["x"].T)

    def _text_rows(
        self, samples: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]]:
        count = len(self._cfg.analogs)
        line_number = 1
        with self._data_path.open(encoding="ascii", errors="replace") as file:
            # Some recorders end a text file as CP/M did, by a control-Z.
            while lines := [line.rstrip("\x1a\r\n ") for line in islice(file, samples)]:
                first = line_number
                line_number += len(lines)
                kept = [line for line in lines if line]
                if not kept:
                    continue
                table = numbers(
                    kept,
                    ",",
                    2 + count + self._cfg.status_channels,
                    partial(self._line, first),
                )
                if np.isnan(table[:, 0]).any():
                    raise SourceError(f"{self._data_path}: a sample without number by line {first}")
                yield table[:, 0].astype(np.int64), table[:, 1], table[:, 2 : 2 + count].T

    def _line(self, first: int, place: int) -> str:
        return f"{self._data_path}: line {first + place}"

    def _rate(self) -> int:
        _, ticks, _ = next(self._rows(FIRST_LINES), (None, np.zeros(0), None))
        return rate_of(ticks * self._cfg.tick_s)


def configuration(text: str) -> Configuration:
    """Reads a .cfg. Raises SourceError naming the line that does not do."""
    lines = [[field.strip() for field in line.split(",")] for line in text.splitlines()]
    place = 0

    def take(least: int, what: str) -> list[str]:
        nonlocal place
        place += 1
        if place > len(lines) or len(lines[place - 1]) < least:
            raise SourceError(f"line {place}: no {what}")
        return lines[place - 1]

    try:
        head = take(2, "station and recorder")
        year = head[2] if len(head) > 2 else "1991"
        if year not in ("1999", "2001", "2013"):
            raise SourceError(f"line 1: revision {year or '1991'}; read are 1999 and 2013")
        counts = take(3, "count of channels")
        analogs = tuple(
            _analog(take(10, "analogue channel")) for _ in range(_count(counts[1], "A"))
        )
        status = _count(counts[2], "D")
        for _ in range(status):
            take(1, "status channel")
        take(1, "line frequency")
        rate_hz, samples = _rates(
            [take(2, "sampling rate") for _ in range(max(int(take(1, "count of rates")[0]), 1))]
        )
        start, has_ns = _time(",".join(take(2, "time of the first sample")))
        _, trigger_has_ns = _time(",".join(take(2, "time of the trigger")))
        kind = take(1, "format of the data")[0].upper()
        if kind not in FORMATS:
            raise SourceError(f"line {place}: format {kind!r}; read are {', '.join(FORMATS)}")
        multiplier = float(take(1, "time multiplier")[0] or 1)
        if year == "2013" and place < len(lines):
            start = start and start - _utc_offset(lines[place][0])
    except ValueError as error:
        raise SourceError(f"line {place}: {error}") from None
    return Configuration(
        analogs=analogs,
        status_channels=status,
        rate_hz=rate_hz,
        samples=samples,
        start_ns=None if start is None else _nanoseconds(start),
        tick_s=multiplier * (1e-9 if has_ns or trigger_has_ns else 1e-6),
        format=kind,
    )


def _analog(fields: Sequence[str]) -> Analog:
    unit = fields[4]
    known = {name.casefold(): factor for name, factor in UNITS.items() if name[0] != "m"}
    factor = UNITS.get(unit, known.get(unit.casefold(), 0.0 if unit else 1.0))
    # A value that is the transformer's secondary one is brought to what went through the conductor.
    if len(fields) > 12 and fields[12].upper().startswith("S"):
        factor *= float(fields[10] or 1) / float(fields[11] or 1)
    return Analog(
        name=fields[1],
        factor=factor,
        gain=float(fields[5]),
        offset=float(fields[6] or 0),
        late_s=float(fields[7] or 0) * 1e-6,
        unusable="" if factor else f"{unit!r} is neither volts nor amperes",
    )


def _channel(analog: Analog, are_codes: bool) -> Channel:
    if not are_codes:
        return Channel(analog.name, factor=1.0, late_s=analog.late_s, unusable=analog.unusable)
    return Channel(
        analog.name,
        gain=analog.gain * analog.factor,
        offset_codes=-analog.offset / analog.gain if analog.gain else 0.0,
        late_s=analog.late_s,
        limits=LIMITS_16,
        unusable=analog.unusable,
    )


def _count(text: str, letter: str) -> int:
    if text[-1:].upper() != letter:
        raise ValueError(f"{text!r} is no count of channels")
    return int(text[:-1])


def _rates(fields: Sequence[Sequence[str]]) -> tuple[int | None, int]:
    rates = {float(rate) for rate, *_ in fields}
    samples = int(fields[-1][1])
    if len(rates) > 1:
        raise SourceError("more than one sampling rate in one recording is not read")
    rate = rates.pop()
    if rate == 0:
        return None, samples
    if rate != round(rate) or rate < 0:
        raise SourceError(f"a sampling rate of {rate:g} Hz is no whole number of hertz")
    return round(rate), samples


def _time(text: str) -> tuple[datetime | None, bool]:
    """Local or UTC, and whether it is told by the nanosecond (whose last three are dropped)."""
    found = _TIME.match(text.strip())
    if not found:
        return None, False
    day, month, year, hour, minute, second = map(int, found.groups()[:6])
    fraction = found[7] or ""
    if not (year and month and day):
        return None, False
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return moment + timedelta(microseconds=int(fraction.ljust(6, "0")[:6])), len(fraction) > 6


def _utc_offset(text: str) -> timedelta:
    """How far the times are ahead of UTC: `-4`, `+5h30`; nothing where it isn't known."""
    found = _OFFSET.fullmatch(text)
    if not found:
        return timedelta()
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    return -offset if found[1] == "-" else offset


def _nanoseconds(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp()) * NANO + moment.microsecond * 1000


def _sibling(path: Path, ending: str) -> Path:
    """The file of the same name with this ending, in the same case."""
    upper = path.suffix.isupper()
    return path.with_suffix("." + (ending.upper() if upper else ending))
