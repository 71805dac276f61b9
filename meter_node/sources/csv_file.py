"""CSV files whose header names channels and units. Knows no gains but the units'."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from .channels import Channel
from .items import SourceError
from .recording import stretches_of
from .sample_times import Places, rate_of
from .tables import numbers

NANO = 10**9
# Enough lines to tell the rate from, and to guess from how many there are.
FIRST_LINES = 4096
FACTORS: dict[str, float | None] = {
    "V": 1.0, "kV": 1e3, "mV": 1e-3, "A": 1.0, "kA": 1e3, "mA": 1e-3, "code": None, "codes": None,
}  # fmt: skip
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_COLUMN = re.compile(r'\s*"?\s*(?P<name>[^\[(]*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]\s*"?\s*')
_REMARK = re.compile(r"#\s*(?P<key>\w+)\s*[:=]\s*(?P<value>.*?)\s*$")


class CsvRecording:
    """Remarks, a header, a line for each instant.

    Remarks `# sampling_rate_hz = 8000` and `# start = 2026-01-01T00:00:00Z` may stand first.
    Each column is headed by name and unit: `U1 [V]`, `I1 [mA]`, `U1 [codes]`, `t [s]`. Fields are
    parted by commas, semicolons or tabs; a comma within a number is a decimal comma where commas
    don't part the fields. An empty field is a sample that is missing.
    """

    missing_code = None
    shunt_temperature_c = None

    def __init__(self, path: Path, sampling_rate_hz: int | None) -> None:
        """Reads the first lines. Raises SourceError for a header that does not do, OSError."""
        self.path = path
        with self._open() as file:
            remarks, header, self._lines_before = _preamble(file, path)
            lines = list(islice(file, FIRST_LINES))
        self._delimiter = next((mark for mark in ";\t" if mark in header), ",")
        titles = header.split(self._delimiter)
        self._columns = len(titles)
        self._time_column: int | None = None
        self._time_unit_s = 1.0
        self._rows: list[int] = []
        self.channels: list[Channel] = []
        for place, title in enumerate(titles):
            self._take_column(place, title)
        self.start_ns = _start_ns(remarks.get("start"), path)
        self.sampling_rate_hz = self._rate(remarks, lines, sampling_rate_hz)
        size = sum(map(len, lines))
        self.samples = path.stat().st_size * len(lines) // size if size else 0

    def stretches(self, samples: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """As `Recording` says."""
        places = Places(self.sampling_rate_hz)
        done = 0
        with self._open() as file:
            rest = islice(file, self._lines_before, None)
            line_number = self._lines_before + 1
            while lines := list(islice(rest, samples)):
                table = self._table(lines, line_number)
                line_number += len(lines)
                if not table.size:
                    continue
                data = np.ascontiguousarray(table[:, self._rows].T)
                if self._time_column is None:
                    yield done, data
                    done += data.shape[1]
                    continue
                try:
                    indices = places.of(table[:, self._time_column] * self._time_unit_s)
                except SourceError as error:
                    raise SourceError(f"{self.path}: {error}") from None
                yield from stretches_of(indices, data)

    def _take_column(self, place: int, title: str) -> None:
        found = _COLUMN.fullmatch(title)
        if not found:
            raise SourceError(
                f"{self.path}: column {place + 1}, {title.strip()!r}, has no unit: "
                "write for example U1 [V], I1 [A], U1 [codes] or t [s]"
            )
        name, unit = found["name"], found["unit"]
        if unit in SECONDS:
            self._time_column, self._time_unit_s = place, SECONDS[unit]
        elif unit in FACTORS:
            self._rows.append(place)
            self.channels.append(Channel(name or str(place + 1), factor=FACTORS[unit]))
        else:
            raise SourceError(
                f"{self.path}: {name} is in {unit!r}; known are "
                f"{', '.join(chain(FACTORS, SECONDS))}"
            )

    def _rate(self, remarks: dict[str, str], lines: list[str], given_hz: int | None) -> int:
        """The file's own goes first: whether it is the one that was given, others check."""
        if (text := remarks.get("sampling_rate_hz")) is not None:
            if not text.isdecimal() or int(text) == 0:
                raise SourceError(f"{self.path}: sampling_rate_hz {text!r} is no whole number")
            return int(text)
        if self._time_column is None:
            if given_hz is not None:
                return given_hz
            raise SourceError(
                f"{self.path}: no sampling rate: neither a remark '# sampling_rate_hz = 8000' "
                "nor a column t [s]"
            )
        table = self._table(lines, self._lines_before + 1)
        try:
            return rate_of(table[:, self._time_column] * self._time_unit_s if table.size else table)
        except SourceError as error:
            if given_hz is not None:
                return given_hz
            raise SourceError(f"{self.path}: {error}") from None

    def _table(self, lines: list[str], first_line: int) -> NDArray[np.float64]:
        kept = [(number, line) for number, line in enumerate(lines, first_line) if line.strip()]
        if not kept:
            return np.zeros(0)
        return numbers(
            [line for _, line in kept],
            self._delimiter,
            self._columns,
            lambda place: f"{self.path}: line {kept[place][0]}",
            decimal_comma=self._delimiter != ",",
        )

    def _open(self) -> TextIO:
        return self.path.open(encoding="utf-8-sig", errors="replace")


def _preamble(file: TextIO, path: Path) -> tuple[dict[str, str], str, int]:
    """Remarks, header, and how many lines these are."""
    remarks: dict[str, str] = {}
    for count, line in enumerate(file, start=1):
        if remark := _REMARK.match(line):
            remarks[remark["key"]] = remark["value"]
        elif line.strip() and not line.startswith("#"):
            return remarks, line.rstrip("\r\n"), count
    raise SourceError(f"{path}: there is no header")


def _start_ns(text: str | None, path: Path) -> int | None:
    if text is None:
        return None
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise SourceError(f"{path}: start {text!r} is no ISO 8601 time") from None
    start = start if start.tzinfo else start.replace(tzinfo=UTC)
    return int(start.timestamp()) * NANO + start.microsecond * 1000
