"""WAV files with a channel for each voltage and current. Knows no gains: WAV has none."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .channels import Channel
from .codes import rails, unpack
from .items import SourceError

WIDTHS = (2, 3, 4)


class WavRecording:
    """PCM of 16, 24 or 32 bits; of 32 bits the upper 24 are taken."""

    start_ns = None
    missing_code = None
    shunt_temperature_c = None

    def __init__(self, path: Path) -> None:
        """Reads the header. Raises SourceError for what is no such file, OSError."""
        self.path = path
        with self._open() as file:
            self._width = file.getsampwidth()
            self._count = file.getnchannels()
            self.sampling_rate_hz = file.getframerate()
            self.samples = file.getnframes()
        if self._width not in WIDTHS:
            raise SourceError(f"{path}: 16, 24 or 32 bits a sample, not {8 * self._width}")
        limits = rails(min(8 * self._width, 24))
        self.channels = [Channel("", limits=limits) for _ in range(self._count)]

    def stretches(self, samples: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """As `Recording` says."""
        first = 0
        with self._open() as file:
            while raw := file.readframes(samples):
                codes = unpack(raw, self._width, self._count)
                if codes.shape[1]:
                    yield first, codes >> 8 if self._width == 4 else codes
                first += codes.shape[1]
        if first < self.samples:
            yield self.samples, np.zeros((self._count, 0), dtype=np.int32)

    def _open(self) -> wave.Wave_read:
        try:
            return wave.open(str(self.path), "rb")
        except (wave.Error, EOFError) as error:
            hint = " (float samples: convert them to 24 bit)" if "format: 3" in str(error) else ""
            raise SourceError(f"{self.path}: no PCM WAV file: {error}{hint}") from None
