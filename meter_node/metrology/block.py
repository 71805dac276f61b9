"""What a source hands over: converter codes and digital inputs. Knows nothing of volts."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 24
CODE_MIN = -(1 << (CODE_BITS - 1))
CODE_MAX = (1 << (CODE_BITS - 1)) - 1
MAX_PHASES = 3


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Samples of all phases over one stretch of time, as the converter gave them.

    `voltage` and `current` are int32 [phases, n], one to three phases, n at least 1, codes of at
    most 24 bits signed. `first_sample` is the absolute index of column 0 since the stream began,
    `start_ns` its time (UTC, ns since 1970). `peak_code` is the largest magnitude of all. Raises
    TypeError where the codes are not int32, ValueError for everything else that doesn't fit.
    """

    voltage: NDArray[np.int32]
    current: NDArray[np.int32]
    sampling_rate_hz: int
    first_sample: int
    start_ns: int
    shunt_temperature_c: float
    peak_code: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        peaks = _peak_of("voltage", self.voltage), _peak_of("current", self.current)
        object.__setattr__(self, "peak_code", max(peaks))
        if self.voltage.shape != self.current.shape:
            raise ValueError(
                f"voltage {self.voltage.shape} and current {self.current.shape} differ in shape"
            )
        if self.sampling_rate_hz <= 0:
            raise ValueError(f"sampling rate must be positive, not {self.sampling_rate_hz} Hz")
        if self.first_sample < 0:
            raise ValueError(f"first sample must not be negative, not {self.first_sample}")
        if not math.isfinite(self.shunt_temperature_c):
            raise ValueError(f"shunt temperature must be finite, not {self.shunt_temperature_c}")

    @property
    def phases(self) -> int:
        """How many."""
        return int(self.voltage.shape[0])

    @property
    def samples(self) -> int:
        """How many of each phase."""
        return int(self.voltage.shape[1])


@dataclass(frozen=True, slots=True)
class DigitalInputs:
    """What a meter's contacts say: True is the state that the name says.

    `breaker_closed` is the breaker's own feedback, None where it gives none.
    """

    breaker_closed: bool | None = None
    meter_cover_open: bool = False
    terminal_cover_open: bool = False
    magnet: bool = False
    button: bool = False


def _peak_of(name: str, codes: NDArray[np.int32]) -> int:
    if codes.dtype != np.int32:
        raise TypeError(f"{name} must be int32, not {codes.dtype}")
    if codes.ndim != 2:
        raise ValueError(f"{name} must be [phases, samples], not of shape {codes.shape}")
    phases, samples = codes.shape
    if not 1 <= phases <= MAX_PHASES:
        raise ValueError(f"{name} must have 1 to {MAX_PHASES} phases, not {phases}")
    if samples == 0:
        raise ValueError(f"{name} has no samples")
    lowest, highest = int(codes.min()), int(codes.max())
    if lowest < CODE_MIN or highest > CODE_MAX:
        raise ValueError(f"{name} codes {lowest}…{highest} are over {CODE_BITS} bits")
    return max(-lowest, highest)
