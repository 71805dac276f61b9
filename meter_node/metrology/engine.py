"""Turns sample blocks into one measurement a second. Knows no clock, no file and no register."""

import cmath
import math

import numpy as np
from numpy.typing import NDArray

from .block import SampleBlock
from .calibration import Calibration
from .cycles import CycleTracker, Window
from .energy import (
    TAP_BITS,
    DelayTaps,
    Moments,
    PhaseEnergy,
    mean_power_w,
    moments,
    offset_steps,
    work_of,
)
from .gate import NoLoadGate
from .measurement import Measurement, PhaseMeasurement
from .window import MARGIN, CycleSums, WindowSums

NANO = 10**9
# A source may stamp its blocks by a clock that is being slewed; more than this is a gap or a jump.
TIME_TOLERANCE_NS = 20_000_000
# A voltage worth tracking: this much, and half of the strongest phase's.
LEAST_VOLTAGE_V = 20.0
LEAST_SHARE = 0.5
# Below this the filters and the interpolation no longer do what is promised.
LEAST_SAMPLING_RATE_HZ = 1000


class StreamError(ValueError):
    """A block that cannot follow those before it; the engine is left as if it had not come."""


class Engine:
    """The metrology of one meter, one second at a time.

    Seconds lie on an absolute grid: second k is samples [k·fs, (k+1)·fs) of the stream, whatever
    the blocks. Energy integrates exactly these samples. RMS, power, fundamental and frequency come
    from whole cycles: from the last crossing that the second before could see to the last one this
    second can (some 40 ms behind its end, so nothing has to wait). Calibration is frozen per
    second at the shunt temperature of its first sample.

    The stream may begin anywhere; what is left of that second is booked as a measurement that is
    not `complete`. So is the beginning of a second that a gap cuts off.
    """

    def __init__(
        self,
        calibration: Calibration,
        phases: int,
        sampling_rate_hz: int,
        nominal_frequency_hz: float = 50.0,
        *,
        starting_current_a: float = 0.004 * 5,
    ) -> None:
        """Raises ValueError where the calibration has other phases or the rate is too low.

        `starting_current_a`: 0.004 of the basic current for classes 1 and B (IEC 62053-21).
        """
        if len(calibration.phases) != phases:
            raise ValueError(f"calibration of {len(calibration.phases)} phases for {phases}")
        if sampling_rate_hz < LEAST_SAMPLING_RATE_HZ:
            raise ValueError(
                f"at least {LEAST_SAMPLING_RATE_HZ} Hz needed, not {sampling_rate_hz} Hz"
            )
        self._calibration = calibration.phases
        self._phase_count = phases
        self._rate_hz = sampling_rate_hz
        self._flywheel_hz = nominal_frequency_hz
        self._tracker = CycleTracker(sampling_rate_hz, nominal_frequency_hz)
        capacity = self._tracker.lookback + sampling_rate_hz
        self._sums = WindowSums(phases, capacity)
        self._codes = np.zeros((2, phases, capacity), dtype=np.int32)
        self._signals = np.zeros((2 * phases, capacity))
        self._taps = tuple(
            DelayTaps.of(phase.current_delay_s * sampling_rate_hz) for phase in self._calibration
        )
        self._delays = tuple(
            (phase, (math.ldexp(tap.before, -TAP_BITS), math.ldexp(tap.at, -TAP_BITS),
                     math.ldexp(tap.after, -TAP_BITS)))
            for phase, tap in enumerate(self._taps)
            if tap.before or tap.after
        )  # fmt: skip
        self._voltage_offsets = [phase.voltage_offset_codes for phase in self._calibration]
        self._energy = [PhaseEnergy(sampling_rate_hz) for _ in range(phases)]
        self._active_gates = [NoLoadGate(starting_current_a) for _ in range(phases)]
        self._reactive_gates = [NoLoadGate(starting_current_a) for _ in range(phases)]
        self._next_sample: int | None = None
        self._next_ns = 0
        self._seen = 0  # samples of earlier seconds at the beginning of the buffer
        self._fresh = 0  # samples of the running second after them
        self._start_ns = 0
        self._shunt_temperature_c = 0.0

    def push(self, block: SampleBlock) -> list[Measurement]:
        """Takes the next samples; gives the measurements of all seconds that they complete.

        After a gap (missing samples, or a time that jumps ahead by more than TIME_TOLERANCE_NS) the
        second before it is given as far as it went, `complete` False, and the stream goes on.
        Raises StreamError, the engine unchanged, for another rate or number of phases, for samples
        already seen, and for a time that goes back. After `flush` any block may follow.
        """
        self._check(block)
        done = []
        if self._is_after_gap(block):
            rest = self.flush()
            if rest:
                done.append(rest)
        taken = 0
        while taken < block.samples:
            count = min(
                self._rate_hz - (block.first_sample + taken) % self._rate_hz, block.samples - taken
            )
            if not self._fresh:
                self._start_ns = block.start_ns + self._duration_ns(taken)
                self._shunt_temperature_c = block.shunt_temperature_c
            filled = self._seen + self._fresh
            self._codes[0, :, filled : filled + count] = block.voltage[:, taken : taken + count]
            self._codes[1, :, filled : filled + count] = block.current[:, taken : taken + count]
            self._fresh += count
            taken += count
            self._next_sample = block.first_sample + taken
            self._next_ns = block.start_ns + self._duration_ns(taken)
            if self._next_sample % self._rate_hz == 0:
                done.append(self._close_second())
        return done

    def flush(self) -> Measurement | None:
        """Ends the stream: gives what is left of the running second, None where nothing is.

        Remainders of energy and the states of the gates stay; the next block begins a new stream.
        """
        rest = self._close_second() if self._fresh else None
        self._next_sample = None
        self._seen = 0
        return rest

    def _check(self, block: SampleBlock) -> None:
        where = f"at sample {block.first_sample}"
        if block.sampling_rate_hz != self._rate_hz:
            raise StreamError(f"{block.sampling_rate_hz} Hz {where}, not {self._rate_hz} Hz")
        if block.phases != self._phase_count:
            raise StreamError(f"{block.phases} phases {where}, not {self._phase_count}")
        if self._next_sample is None:
            return
        if block.first_sample < self._next_sample:
            raise StreamError(f"overlap {where}: samples up to {self._next_sample} are counted")
        if block.start_ns < self._next_ns - TIME_TOLERANCE_NS:
            raise StreamError(
                f"time goes back {where}: {block.start_ns} ns where {self._next_ns} ns was due"
            )

    def _is_after_gap(self, block: SampleBlock) -> bool:
        return self._next_sample is not None and (
            block.first_sample > self._next_sample
            or block.start_ns > self._next_ns + TIME_TOLERANCE_NS
        )

    def _duration_ns(self, samples: int) -> int:
        return (2 * samples * NANO + self._rate_hz) // (2 * self._rate_hz)

    def _close_second(self) -> Measurement:
        """Measures the running second and keeps of its samples what the next one looks back on."""
        stop = self._seen + self._fresh
        np.copyto(self._signals[:, :stop], self._codes.reshape(2 * self._phase_count, -1)[:, :stop])
        window, frequency_hz = self._whole_cycles(stop)
        if window:
            sums = self._sums.over(self._signals, window, self._delays)
            if window.tracked:
                self._voltage_offsets = sums.mean[: self._phase_count].tolist()
        else:
            sums = _plain_sums(self._signals[:, self._seen : stop])
        measurement = Measurement(
            start_ns=self._start_ns,
            end_ns=self._next_ns,
            frequency_hz=frequency_hz,
            phases=self._measure_phases(sums, window, self._moments(stop)),
            complete=self._fresh == self._rate_hz,
        )
        kept = min(self._tracker.lookback, stop)
        self._codes[:, :, :kept] = self._codes[:, :, stop - kept : stop]
        self._seen, self._fresh = kept, 0
        return measurement

    def _moments(self, stop: int) -> list[Moments]:
        before = None
        if self._seen:
            before = self._codes[0, :, self._seen - 1], self._codes[1, :, self._seen - 1]
        fresh = self._codes[:, :, self._seen : stop]
        return moments(fresh[0], fresh[1], before, self._taps)

    def _whole_cycles(self, stop: int) -> tuple[Window | None, float | None]:
        """The window, by the first healthy phase from L1 on, and the frequency where there is one.

        Where no phase has unbroken cycles, as many as fit by the last frequency known; None where
        not one does.
        """
        fresh = self._signals[: self._phase_count, self._seen : stop]
        offsets = np.array(self._voltage_offsets)
        gains = np.array([phase.voltage_gain_v for phase in self._calibration])
        squares = np.vecdot(fresh, fresh) / self._fresh - offsets * (
            2 * fresh.mean(axis=1) - offsets
        )
        levels_v = np.sqrt(np.maximum(squares, 0)) * gains
        least_v = max(LEAST_VOLTAGE_V, LEAST_SHARE * float(levels_v.max()))
        frequency_hz = None
        for phase in np.flatnonzero(levels_v >= least_v).tolist():
            window, phase_frequency_hz = self._tracker.track(
                self._signals[phase, :stop],
                self._seen,
                math.sqrt(2) * LEAST_VOLTAGE_V / self._calibration[phase].voltage_gain_v,
            )
            if window and phase_frequency_hz:
                self._flywheel_hz = phase_frequency_hz
                return window, phase_frequency_hz
            frequency_hz = frequency_hz or phase_frequency_hz
        return self._dead_reckoning(stop), frequency_hz

    def _dead_reckoning(self, stop: int) -> Window | None:
        cycle = self._rate_hz / self._flywheel_hz
        cycles = math.floor(min(self._fresh, stop - 2 * MARGIN - 2) / cycle)
        end = float(stop - 1 - MARGIN)
        return Window(end - cycles * cycle, end, cycles, tracked=False) if cycles > 0 else None

    def _measure_phases(
        self, sums: CycleSums, window: Window | None, energies: list[Moments]
    ) -> tuple[PhaseMeasurement, ...]:
        mean, square, product = sums.mean.tolist(), sums.square.tolist(), sums.product.tolist()
        fundamental = sums.fundamental.tolist()
        turn_per_s = 2 * math.pi * window.cycles * self._rate_hz / window.length if window else 0.0
        measured = []
        for phase, calibration in enumerate(self._calibration):
            current = self._phase_count + phase
            u_offset, i_offset = self._voltage_offsets[phase], calibration.current_offset_codes
            u_gain = calibration.voltage_gain_v
            i_gain = calibration.current_gain_at(self._shunt_temperature_c)
            u_square = square[phase] - u_offset * (2 * mean[phase] - u_offset)
            i_square = square[current] - i_offset * (2 * mean[current] - i_offset)
            work = product[phase] - u_offset * mean[current] - i_offset * (mean[phase] - u_offset)
            turn = cmath.rect(1.0, -turn_per_s * calibration.current_delay_s)
            reactive = (fundamental[phase] * fundamental[current].conjugate() * turn).imag
            measured.append(
                self._register(
                    phase,
                    voltage_v=math.sqrt(max(u_square, 0.0)) * u_gain,
                    current_a=math.sqrt(max(i_square, 0.0)) * abs(i_gain),
                    active_power_w=work * u_gain * i_gain,
                    reactive_power_var=reactive * u_gain * i_gain,
                    gain_w=u_gain * i_gain,
                    energies=energies[phase],
                )
            )
        return tuple(measured)

    def _register(
        self,
        phase: int,
        *,
        voltage_v: float,
        current_a: float,
        active_power_w: float,
        reactive_power_var: float,
        gain_w: float,
        energies: Moments,
    ) -> PhaseMeasurement:
        """Books the phase's energy as far as its gates let it; shows no power they hold back."""
        work = work_of(
            energies,
            offset_steps(self._voltage_offsets[phase]),
            offset_steps(self._calibration[phase].current_offset_codes),
        )
        # The window ends some 40 ms before the second does. A load that comes on just then is in
        # the second's own mean already, and must not be lost.
        booked_w = mean_power_w(work, energies.samples, gain_w)
        energy = self._energy[phase]
        active_energy_nwh = reactive_energy_nvarh = 0
        if self._active_gates[phase].decide(max(abs(active_power_w), abs(booked_w)), voltage_v):
            active_energy_nwh = energy.book_active(work, gain_w)
        else:
            active_power_w = 0.0
        if self._reactive_gates[phase].decide(reactive_power_var, voltage_v):
            reactive_energy_nvarh = energy.book_reactive(reactive_power_var, energies.samples)
        else:
            reactive_power_var = 0.0
        loaded = active_power_w or reactive_power_var
        apparent_power_va = voltage_v * current_a if loaded else 0.0
        return PhaseMeasurement(
            voltage_v=voltage_v,
            current_a=current_a,
            active_power_w=active_power_w,
            reactive_power_var=reactive_power_var,
            apparent_power_va=apparent_power_va,
            power_factor=active_power_w / apparent_power_va if apparent_power_va else 1.0,
            active_energy_nwh=active_energy_nwh,
            reactive_energy_nvarh=reactive_energy_nvarh,
        )


def _plain_sums(signals: NDArray[np.float64]) -> CycleSums:
    """Means over too few samples for a cycle: no fundamental."""
    rows, count = signals.shape
    return CycleSums(
        mean=signals.mean(axis=1),
        square=np.vecdot(signals, signals) / count,
        product=np.vecdot(signals[: rows // 2], signals[rows // 2 :]) / count,
        fundamental=np.zeros(rows, dtype=np.complex128),
    )
