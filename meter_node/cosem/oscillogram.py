"""The last cycles as samples, and the last second's phasors: two Data objects of the maker's.

Nothing of this is metered: it is a picture of the moment, not kept, not pushed and not part of the
committed snapshot. Must not know who looks at it.

Both are class 1, attribute 2; null-data while there is no picture. Integers with their scalers:

    0.0.128.7.0.255  structure {
        long64-unsigned   end of the second that they are of, UTC in ns since 1970
        structure { integer scaler, enum unit }    of the voltages: -2, 35 (10^-2 V)
        structure { integer scaler, enum unit }    of the currents: -3, 33 (10^-3 A)
        array structure { double-long  U real, U imaginary, I real, I imaginary }    L1 first, RMS
    }
    0.0.128.7.1.255  structure {
        long64-unsigned   time of the first sample, UTC in ns since 1970
        double-long-unsigned  samples a second, in 10^-3 Hz
        structure { integer scaler, enum unit }    of the voltages, as above
        structure { integer scaler, enum unit }    of the currents, as above
        array structure { array double-long  U, array double-long  I }    L1 first
    }
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meter_node.channel import axdr
from meter_node.channel.registers import Unit

MOST_POINTS = 200
"""Of a phase: as many as a picture some hundred pixels wide can show."""
_VOLTAGE_SCALER, _CURRENT_SCALER = -2, -3
_SCALES = (
    axdr.structure(axdr.integer(_VOLTAGE_SCALER), axdr.enum(Unit.VOLT)),
    axdr.structure(axdr.integer(_CURRENT_SCALER), axdr.enum(Unit.AMPERE)),
)
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PhaseWave:
    """One phase: samples in V and A, and the fundamentals' phasors in V and A, RMS."""

    voltage_v: Sequence[float]
    current_a: Sequence[float]
    voltage_phasor_v: complex
    current_phasor_a: complex


@dataclass(frozen=True, slots=True)
class Oscillogram:
    """A picture of the moment; `time_ns` is the time of the first sample, of the phasors the end.

    `sampling_rate_hz` is that of the samples as they stand here. Raises ValueError for more than
    `MOST_POINTS` of them.
    """

    time_ns: int
    phasors_time_ns: int
    sampling_rate_hz: float
    phases: tuple[PhaseWave, ...]

    def __post_init__(self) -> None:
        longest = max((len(phase.voltage_v) for phase in self.phases), default=0)
        if longest > MOST_POINTS:
            raise ValueError(f"{longest} points a phase; a picture has {MOST_POINTS} at most")


@dataclass(frozen=True, slots=True)
class Phasors:
    """What is read from the object of the phasors: voltage and current of each phase, RMS."""

    time_ns: int
    phases: tuple[tuple[complex, complex], ...]


@dataclass(frozen=True, slots=True)
class Waveforms:
    """What is read from the object of the waveforms: voltages and currents of each phase."""

    time_ns: int
    sampling_rate_hz: float
    phases: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]


def encode_phasors(shown: Oscillogram) -> bytes:
    """Return the A-XDR of the phasors' object."""
    return axdr.structure(
        axdr.long64_unsigned(shown.phasors_time_ns),
        *_SCALES,
        axdr.array(
            *(
                axdr.structure(
                    *_numbers((phase.voltage_phasor_v.real, phase.voltage_phasor_v.imag), 100),
                    *_numbers((phase.current_phasor_a.real, phase.current_phasor_a.imag), 1000),
                )
                for phase in shown.phases
            )
        ),
    )


def encode_waveforms(shown: Oscillogram) -> bytes:
    """Return the A-XDR of the waveforms' object."""
    return axdr.structure(
        axdr.long64_unsigned(shown.time_ns),
        axdr.double_long_unsigned(round(shown.sampling_rate_hz * 1000)),
        *_SCALES,
        axdr.array(
            *(
                axdr.structure(
                    axdr.array(*_numbers(phase.voltage_v, 100)),
                    axdr.array(*_numbers(phase.current_a, 1000)),
                )
                for phase in shown.phases
            )
        ),
    )


def decode_phasors(data: bytes) -> Phasors | None:
    """Read the object of the phasors; None for null-data. Raises AxdrError for anything else."""
    match axdr.decode_all(data):
        case None:
            return None
        case (int() as time_ns, (int() as volts, _), (int() as amperes, _), list() as rows):
            return Phasors(time_ns, tuple(_phasor_pair(row, volts, amperes) for row in rows))
    raise axdr.AxdrError("no phasors")


def decode_waveforms(data: bytes) -> Waveforms | None:
    """Read the object of the waveforms; None for null-data. Raises AxdrError for anything else."""
    match axdr.decode_all(data):
        case None:
            return None
        case (
            int() as time_ns,
            int() as millihertz,
            (int() as volts, _),
            (int() as amperes, _),
            list() as rows,
        ):
            phases = tuple(_wave_pair(row, volts, amperes) for row in rows)
            return Waveforms(time_ns, millihertz / 1000, phases)
    raise axdr.AxdrError("no waveforms")


def _numbers(values: Iterable[float], per_unit: int) -> list[bytes]:
    # A peak beyond all measure is drawn at the edge: the picture must not fail for it.
    return [axdr.double_long(max(-_MOST, min(_MOST, round(value * per_unit)))) for value in values]


def _phasor_pair(row: axdr.Value, volts: int, amperes: int) -> tuple[complex, complex]:
    match row:
        case (int() as real, int() as imaginary, int() as current_real, int() as current_imaginary):
            return (
                complex(real, imaginary) * 10.0**volts,
                complex(current_real, current_imaginary) * 10.0**amperes,
            )
    raise axdr.AxdrError("no phasors of a phase")


def _wave_pair(
    row: axdr.Value, volts: int, amperes: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    match row:
        case (list() as voltages, list() as currents):
            return _samples(voltages, volts), _samples(currents, amperes)
    raise axdr.AxdrError("no samples of a phase")


def _samples(values: list[axdr.Value], scaler: int) -> tuple[float, ...]:
    divisor = 10.0**-scaler
    found = tuple(value / divisor for value in values if isinstance(value, int))
    if len(found) != len(values):
        raise axdr.AxdrError("a sample is no number")
    return found
