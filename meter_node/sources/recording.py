"""Recordings as sample blocks, with what is wrong in them. Knows no clock and never waits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import Calibration, DigitalInputs, SampleBlock
from meter_node.metrology.block import CODE_BITS, CODE_MAX

from .channels import Channel, rows
from .clipping import with_clipping
from .codes import rails, runs
from .items import Damage, Kind, SourceError
from .scaling import CODES_OF_A_PEAK, Scaling

NANO = 10**9
# More than this is no recording with a fault but a wrong idea of its format.
MOST_MISSING_STRETCHES = 10_000
NOMINAL_TEMPERATURE_C = 23.0


class Recording(Protocol):
    """What a format's reader has to know; everything else is the same for all of them."""

    @property
    def path(self) -> Path:
        """Where it is, for what is to be said of it."""
        ...

    @property
    def channels(self) -> Sequence[Channel]:
        """In the order of the rows that `stretches` gives."""
        ...

    @property
    def sampling_rate_hz(self) -> int:
        """The same throughout."""
        ...

    @property
    def start_ns(self) -> int | None:
        """UTC of sample 0, None where the file doesn't know."""
        ...

    @property
    def samples(self) -> int | None:
        """About how many instants there are, for a progress bar; None where nobody can tell."""
        ...

    @property
    def missing_code(self) -> int | None:
        """The code that stands for "no sample", where the format has one."""
        ...

    @property
    def shunt_temperature_c(self) -> float | None:
        """Where the file knows it."""
        ...

    def stretches(self, samples: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Index of the first sample and values [channels, n], n at most so many.

        Integers are codes; of floats, a channel with a `factor` has values, one without has codes.
        Where a file ends too early, an empty stretch stands where its end should be. Raises
        SourceError for what can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What a recording does not say of itself. `start_ns` goes before the file's own."""

    channels: Mapping[str, str | int] = field(default_factory=dict)
    phases: int | None = None
    sampling_rate_hz: int | None = None
    start_ns: int | None = None
    scaling: Scaling = field(default_factory=Scaling)


class RecordedSource:
    """A recording from its beginning to its end.

    Samples that are missing or not a number leave a gap, which the engine flags; clipped ones are
    counted and told.
    """

    def __init__(self, recording: Recording, options: Options, *, block_samples: int = 0) -> None:
        """Blocks of so many samples at the most, a second if 0. Raises SourceError."""
        self._recording = recording
        try:
            self._choose(recording.channels, options)
        except SourceError as error:
            raise self._error(str(error)) from None
        if options.sampling_rate_hz not in (None, recording.sampling_rate_hz):
            raise self._error(
                f"sampled at {recording.sampling_rate_hz} Hz, not at {options.sampling_rate_hz} Hz"
            )
        start_ns = recording.start_ns if options.start_ns is None else options.start_ns
        self.start_ns = start_ns or 0
        self._block_samples = block_samples or recording.sampling_rate_hz
        temperature_c = recording.shunt_temperature_c
        self._temperature_c = NOMINAL_TEMPERATURE_C if temperature_c is None else temperature_c
        full_scales = [options.scaling.voltage_full_scale_v] * self.phases
        full_scales += [options.scaling.current_full_scale_a] * self.phases
        self._codes_per_value = [
            (channel.factor or 0.0) * CODES_OF_A_PEAK / full_scale
            for channel, full_scale in zip(self._channels, full_scales, strict=True)
        ]
        self._missing_stretches = 0

    def _choose(self, channels: Sequence[Channel], options: Options) -> None:
        """Which of the channels are used, and what they are worth."""
        places = rows([channel.name for channel in channels], options.channels, options.phases)
        self._rows = [*places.voltage, *places.current]
        self._channels = [channels[row] for row in self._rows]
        for channel in self._channels:
            if channel.unusable:
                raise SourceError(f"channel {channel.name}: {channel.unusable}")
        count = len(places.voltage)
        self._roles = [f"{kind}{n + 1}" for kind in "UI" for n in range(count)]
        self._calibration = options.scaling.of_channels(
            self._channels[:count], self._channels[count:]
        )

    @property
    def calibration(self) -> Calibration:
        """From the file, the configuration, or the full scale that values are converted by."""
        return self._calibration

    @property
    def sampling_rate_hz(self) -> int:
        """The file's."""
        return self._recording.sampling_rate_hz

    @property
    def phases(self) -> int:
        """As many as have channels, or as were asked for."""
        return len(self._rows) // 2

    @property
    def full_scale_codes(self) -> int:
        """Where the engine is to take a converter for clipped."""
        return min([CODE_MAX, *(c.limits[1] for c in self._channels if c.factor is None)])

    @property
    def samples(self) -> int | None:
        """About how many there are to come."""
        return self._recording.samples

    def inputs(self) -> DigitalInputs:
        """A recording has no contacts."""
        return DigitalInputs()

    def blocks(self) -> Iterator[SampleBlock | Damage]:
        """All of it, in order."""
        due = 0
        for first, data in self._recording.stretches(self._block_samples):
            if first > due:
                yield self._missing(due, first - due, "not in the recording")
            yield from self._blocks_of(first, data[self._rows])
            due = first + data.shape[1]

    def _blocks_of(self, first: int, data: NDArray[Any]) -> Iterator[SampleBlock | Damage]:
        good = self._present(data)
        codes = self._codes(first, np.where(good, data, 0))
        done = 0
        for start, stop in runs(good):
            if start > done:
                yield self._missing(first + done, start - done, "not a number")
            yield from self._block(first + start, codes[:, start:stop])
            done = stop
        if done < good.size:
            yield self._missing(first + done, good.size - done, "not a number")

    def _present(self, data: NDArray[Any]) -> NDArray[np.bool_]:
        if data.dtype.kind == "f":
            return np.asarray(np.isfinite(data).all(axis=0))
        if self._recording.missing_code is None:
            return np.ones(data.shape[1], dtype=np.bool_)
        return np.asarray((data != self._recording.missing_code).all(axis=0))

    def _block(self, first: int, codes: NDArray[np.int32]) -> Iterator[SampleBlock | Damage]:
        block = SampleBlock(
            codes[: self.phases],
            codes[self.phases :],
            self.sampling_rate_hz,
            first,
            self._time_ns(first),
            self._temperature_c,
        )
        yield from with_clipping(
            block,
            [None if channel.factor is not None else channel.limits for channel in self._channels],
        )

    def _codes(self, first: int, data: NDArray[Any]) -> NDArray[np.int32]:
        codes = np.empty(data.shape, dtype=np.int32)
        low, high = rails(CODE_BITS)
        for row, (role, channel) in enumerate(zip(self._roles, self._channels, strict=True)):
            values = data[row]
            if channel.factor is not None:
                values = np.rint(values * self._codes_per_value[row])
            elif data.dtype.kind == "f" and (values != np.rint(values)).any():
                place = first + int(np.flatnonzero(values != np.rint(values))[0])
                raise self._error(f"{role}: sample {place} is no whole code")
            over = (values > high) | (values < low)
            if over.any():
                at = int(np.flatnonzero(over)[0])
                raise self._error(self._too_large(role, first + at, data[row, at], channel.factor))
            codes[row] = values
        return codes

    def _too_large(self, role: str, place: int, value: float, factor: float | None) -> str:
        if factor is None:
            return f"{role}: sample {place} is {int(value)}, more than {CODE_BITS} bits"
        key, option, unit = {
            "U": ("voltage_full_scale_v", "--voltage-full-scale", "V"),
            "I": ("current_full_scale_a", "--current-full-scale", "A"),
        }[role[0]]
        return (
            f"{role}: sample {place} is {value * factor:g} {unit}; "
            f"raise {key} (measure: {option}) above that"
        )

    def _missing(self, first: int, samples: int, why: str) -> Damage:
        self._missing_stretches += 1
        if self._missing_stretches > MOST_MISSING_STRETCHES:
            raise self._error(
                f"samples are missing in more than {MOST_MISSING_STRETCHES} places "
                f"up to sample {first}: this is hardly the recording's format"
            )
        return Damage(Kind.MISSING, first, samples, self._time_ns(first), why)

    def _error(self, text: str) -> SourceError:
        return SourceError(f"{self._recording.path}: {text}")

    def _time_ns(self, sample: int) -> int:
        return self.start_ns + sample * NANO // self.sampling_rate_hz


def stretches_of(
    places: NDArray[np.int64], data: NDArray[Any]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Cuts [channels, n] where the samples' rising indices [n] leave some out."""
    cuts = np.flatnonzero(np.diff(places) != 1) + 1
    for start, stop in pairwise([0, *cuts.tolist(), places.size]):
        yield int(places[start]), data[:, start:stop]


def open_recording(path: Path, options: Options) -> Recording:
    """The reader of a file, chosen by the ending of its name.

    Raises SourceError for another ending and for a file that is not what its name says; OSError
    where it can't be opened.
    """
    # A format's library is imported only where it is used.
    match path.suffix.lower():
        case ".wav":
            from .wav import WavRecording

            return WavRecording(path)
        case ".cfg" | ".dat":
            from .comtrade import ComtradeRecording

            return ComtradeRecording(path)
        case ".csv" | ".tsv" | ".txt":
            from .csv_file import CsvRecording

            return CsvRecording(path, options.sampling_rate_hz)
        case ".npy" | ".npz":
            from .numpy_file import NumpyRecording

            return NumpyRecording(path, options.sampling_rate_hz)
        case other:
            raise SourceError(
                f"{path}: a recording's name ends in .wav, .cfg (COMTRADE), .csv, .npy or .npz, "
                f"not in {other or 'nothing'}"
            )
