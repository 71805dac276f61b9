"""NumPy's .npy and .npz with voltages and currents. Knows no gains but what the file holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology.block import CODE_BITS

from .channels import Channel
from .codes import rails
from .items import SourceError


class NumpyRecording:
    """Integers are codes, floats are volts and amperes.

    .npz: `voltage` and `current` [phases, n] and `sampling_rate_hz`; where they are known,
    `start_ns`, `voltage_gain_v` and `current_gain_a` (a number, or one a phase) and
    `shunt_temperature_c`. .npy: [channels, n], or structured with a field for each channel.
    """

    missing_code = None

    def __init__(self, path: Path, sampling_rate_hz: int | None) -> None:
        """Reads the header of .npy, all of .npz. Raises SourceError for what does not do."""
        self.path = path
        extra: dict[str, NDArray[Any]] = {}
        try:
            # Never pickles: a recording must not be able to run anything.
            loaded = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                self._arrays, names = _of_array(loaded)
            else:
                with loaded:
                    extra = {name: loaded[name] for name in loaded.files}
                self._arrays, names = _of_archive(extra)
        except (ValueError, EOFError, BadZipFile, KeyError) as error:
            raise SourceError(f"{path}: {str(error).strip(chr(39))}") from None
        gains = self._gains(extra, len(names))
        self.channels = [
            self._channel(number, name, array, gain)
            for number, (name, array, gain) in enumerate(
                zip(names, self._arrays, gains, strict=True), start=1
            )
        ]
        rate = self._number(extra, "sampling_rate_hz")
        if rate is None and sampling_rate_hz is None:
            raise SourceError(f"{path}: no sampling_rate_hz in it; give the sampling rate")
        if rate is not None and (rate != round(rate) or rate <= 0):
            raise SourceError(f"{path}: sampling_rate_hz {rate} is no whole number of hertz")
        self.sampling_rate_hz = round(rate) if rate is not None else int(sampling_rate_hz or 0)
        start_ns = extra.get("start_ns")
        self.start_ns = int(start_ns) if start_ns is not None and start_ns.size == 1 else None
        self.shunt_temperature_c = self._number(extra, "shunt_temperature_c")
        self.samples = int(self._arrays[0].size)

    def stretches(self, samples: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """As `Recording` says."""
        for first in range(0, self.samples, samples):
            yield first, np.stack([array[first : first + samples] for array in self._arrays])

    def _number(self, extra: dict[str, NDArray[Any]], name: str) -> float | None:
        if name not in extra:
            return None
        if extra[name].size != 1 or extra[name].dtype.kind not in "iuf":
            raise SourceError(f"{self.path}: {name} is not one number")
        return float(extra[name].item())

    def _channel(self, number: int, name: str, array: NDArray[Any], gain: float | None) -> Channel:
        if array.dtype.kind == "f":
            return Channel(name, factor=1.0)
        if array.dtype.kind not in "iu":
            what = f"channel {number} {name}".strip()
            raise SourceError(f"{self.path}: {what}: {array.dtype} is neither codes nor values")
        bits = min(8 * array.dtype.itemsize, CODE_BITS)
        return Channel(name, gain=gain, limits=rails(bits))

    def _gains(self, extra: dict[str, NDArray[Any]], channels: int) -> list[float | None]:
        found: list[float | None] = []
        for name in ("voltage_gain_v", "current_gain_a"):
            if name not in extra:
                found += [None] * (channels // 2)
                continue
            values = np.atleast_1d(extra[name]).tolist()
            if len(values) not in (1, channels // 2):
                raise SourceError(
                    f"{self.path}: {len(values)} of {name} for {channels // 2} phases"
                )
            found += values * (channels // 2) if len(values) == 1 else values
        return found or [None] * channels if len(found) == channels else [None] * channels


def _of_array(array: NDArray[Any]) -> tuple[list[NDArray[Any]], list[str]]:
    if array.dtype.names:
        return [array[name].reshape(-1) for name in array.dtype.names], list(array.dtype.names)
    if array.ndim != 2:
        raise ValueError(f"[channels, samples] needed, not the shape {array.shape}")
    return list(array), [""] * array.shape[0]


def _of_archive(arrays: dict[str, NDArray[Any]]) -> tuple[list[NDArray[Any]], list[str]]:
    missing = [name for name in ("voltage", "current") if name not in arrays]
    if missing:
        raise KeyError(f"no {' and no '.join(missing)} in it, but {', '.join(arrays) or 'nothing'}")
    voltage, current = (np.atleast_2d(arrays[name]) for name in ("voltage", "current"))
    if voltage.shape != current.shape or voltage.ndim != 2:
        raise ValueError(f"voltage is {voltage.shape} and current {current.shape}")
    phases = range(1, voltage.shape[0] + 1)
    return [*voltage, *current], [f"{kind}{n}" for kind in "UI" for n in phases]
