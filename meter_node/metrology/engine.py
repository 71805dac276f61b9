"""Turns sample blocks into one measurement a second. Knows no clock, no file and no register."""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .block import CODE_MAX, SampleBlock
from .calibration import Calibration
from .cycles import CycleTracker, Window
from .energy import (
    TAP_BITS,
    DelayTaps,
    Moments,
    PhaseEnergy,
    ReactiveWork,
    mean_power_w,
    moments,
    offset_steps,
    work_of,
)
from .frequency import LongFrequency
from .gate import NoLoadGate
from .half_cycles import HalfCycles
from .harmonics import HIGHEST_ORDER, Harmonics, Spectrum
from .measurement import LEAST_VOLTAGE_V, Measurement, PhaseMeasurement
from .shunt import ShuntHeat
from .window import MARGIN, CycleSums, means_over, plain_means

NANO = 10**9
# A source may stamp its blocks by a clock that is being slewed; more than this is a gap or a jump.
TIME_TOLERANCE_NS = 20_000_000
# A voltage worth tracking has LEAST_VOLTAGE_V, and this share of the strongest phase's.
LEAST_SHARE = 0.5
# Samples a second to judge that by.
LEVEL_RATE_HZ = 1000
# Below this the filters and the interpolation no longer do what is promised.
LEAST_SAMPLING_RATE_HZ = 2000
# A quarter of a cycle: a current later than that is no front-end's delay but a wrong connection.
LONGEST_DELAY_S = 0.005


class StreamError(ValueError):
    """A block that cannot follow those before it; the engine is left as if it had not come."""


@dataclass(slots=True)
class Waves:
    """What one phase's waves are in a window, before any gate; fields as in PhaseMeasurement."""

    voltage_v: float
    current_a: float
    active_power_w: float
    reactive_power_var: float
    voltage_phasor_v: complex
    current_phasor_a: complex
    voltage_harmonics_v: tuple[float, ...]
    current_harmonics_a: tuple[float, ...]
    half_cycle_voltages_v: tuple[float, ...]
    voltage_range_v: tuple[float, float] | None
    clipped: bool
    reactive_work: ReactiveWork
    samples_again: float
    """How many samples of the second before the window takes in."""


class Engine:
    """The metrology of one meter, one second at a time.

    Seconds lie on an absolute grid: second k is samples [k·fs, (k+1)·fs) of the stream, whatever
    the blocks. Energy integrates exactly these samples. RMS, power, fundamental and frequency come
    from whole cycles: from the last crossing that the second before could see to the last one this
    second can (some 40 ms before its end, so nothing has to wait). Reactive energy is what these
    windows see; for the 40 ms behind them the last stretch's power is taken, and put right with the
    next second. Calibration is frozen per second at the shunt temperature of its first sample.

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
        highest_order: int = HIGHEST_ORDER,
        full_scale_codes: int = CODE_MAX,
    ) -> None:
        """Raises ValueError for other phases in the calibration, a low rate, or a long delay.

        `starting_current_a`: 0.004 of the basic current for classes 1 and B (IEC 62053-21).
        `highest_order`: of the harmonics. `full_scale_codes`: from where on, either sign, a
        converter is taken to be clipped.
        """
        if len(calibration.phases) != phases:
            raise ValueError(f"calibration of {len(calibration.phases)} phases for {phases}")
        if sampling_rate_hz < LEAST_SAMPLING_RATE_HZ:
            raise ValueError(
                f"at least {LEAST_SAMPLING_RATE_HZ} Hz needed, not {sampling_rate_hz} Hz"
            )
        for number, phase in enumerate(calibration.phases, start=1):
            if abs(phase.current_delay_s) > LONGEST_DELAY_S:
                raise ValueError(
                    f"the current delay of L{number}, {phase.current_delay_s * 1e3:.3f} ms, "
                    f"is beyond ±{LONGEST_DELAY_S * 1e3:.0f} ms"
                )
        self._calibration = calibration.phases
        self._phase_count = phases
        self._rate_hz = sampling_rate_hz
        self._flywheel_hz = nominal_frequency_hz
        self._tracker = CycleTracker(sampling_rate_hz, nominal_frequency_hz)
        self._long_frequency = LongFrequency(sampling_rate_hz)
        self._level_step = sampling_rate_hz // LEVEL_RATE_HZ
        self._full_scale_codes = full_scale_codes
        capacity = self._tracker.lookback + sampling_rate_hz
        self._harmonics = Harmonics(nominal_frequency_hz, highest_order)
        self._half_cycles = HalfCycles(phases, capacity)
        self._ones = np.ones(capacity)
        # Codes as float64, which holds them exactly: voltages, then currents.
        self._signals = np.zeros((2 * phases, capacity))
        self._clipped = [False] * phases
        self._taps = tuple(
            DelayTaps.of(phase.current_delay_s * sampling_rate_hz) for phase in self._calibration
        )
        self._delays = tuple(
            (phase, tuple((lag, math.ldexp(weight, -TAP_BITS)) for lag, weight in tap.weights))
            for phase, tap in enumerate(self._taps)
            if tap.delays
        )
        self._reach = max(tap.reach for tap in self._taps)
        self._voltage_gains = np.array([phase.voltage_gain_v for phase in self._calibration])
        self._voltage_offsets = [phase.voltage_offset_codes for phase in self._calibration]
        self._energy = [PhaseEnergy(sampling_rate_hz) for _ in range(phases)]
        self._active_gates = [NoLoadGate(starting_current_a) for _ in range(phases)]
        self._reactive_gates = [NoLoadGate(starting_current_a) for _ in range(phases)]
        self._heat = [
            ShuntHeat(phase.self_heating_k_per_a2, phase.self_heating_time_s)
            for phase in self._calibration
        ]
        self._current_gains = [phase.current_gain_a for phase in self._calibration]
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
            voltage = block.voltage[:, taken : taken + count]
            current = block.current[:, taken : taken + count]
            self._signals[: self._phase_count, filled : filled + count] = voltage
            self._signals[self._phase_count :, filled : filled + count] = current
            if block.peak_code >= self._full_scale_codes:
                self._note_clipping(voltage, current)
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
        self._half_cycles.restart()
        self._long_frequency.restart()
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
        window, frequency_hz = self._whole_cycles(stop)
        ends_ns, voltages_v, ranges_v = self._half_cycle_voltages(stop, window)
        if window:
            sums = means_over(self._signals, window, self._ones, self._delays)
            if window.tracked:
                self._voltage_offsets = sums.mean[: self._phase_count]
        else:
            sums = plain_means(self._signals[:, self._seen : stop])
        complete = self._fresh == self._rate_hz
        assert self._next_sample is not None  # a second that closes has samples
        self._long_frequency.add(
            (self._next_sample - 1) // self._rate_hz, window if complete else None
        )
        self._current_gains = self._warm_gains(sums)
        measurement = Measurement(
            start_ns=self._start_ns,
            end_ns=self._next_ns,
            frequency_hz=frequency_hz,
            phases=self._measure_phases(sums, window, self._moments(stop), voltages_v, ranges_v),
            complete=complete,
            frequency_10s_hz=self._long_frequency.latest_hz,
            neutral_current_a=self._neutral_current_a(sums),
            half_cycle_ends_ns=ends_ns,
        )
        self._keep(stop)
        return measurement

    def _keep(self, stop: int) -> None:
        """Moves what the next second looks back on to the buffer's beginning."""
        kept = min(self._tracker.lookback, stop)
        self._signals[:, :kept] = self._signals[:, stop - kept : stop]
        self._clipped = [False] * self._phase_count
        self._half_cycles.shift(stop - kept)
        self._seen, self._fresh = kept, 0

    def _half_cycle_voltages(
        self, stop: int, window: Window | None
    ) -> tuple[tuple[int, ...], list[list[float]], list[tuple[float, float] | None]]:
        """When the half cycles ended (ns), and each phase's RMS voltages over one cycle then.

        And the lowest and highest of these.
        """
        nothing: list[list[float]] = [[]] * self._phase_count
        if not window:
            return (), nothing, [None] * self._phase_count
        ends, squares = self._half_cycles.over(
            self._signals[: self._phase_count, :stop], self._voltage_offsets, window
        )
        if not ends.size:
            return (), nothing, [None] * self._phase_count
        voltages_v = np.sqrt(squares) * self._voltage_gains[:, None]
        lowest, highest = voltages_v.min(axis=1).tolist(), voltages_v.max(axis=1).tolist()
        since_ns = np.rint((ends - self._seen) * (NANO / self._rate_hz)).astype(np.int64)
        ends_ns = tuple((since_ns + self._start_ns).tolist())
        return ends_ns, voltages_v.tolist(), list(zip(lowest, highest, strict=True))

    def _moments(self, stop: int) -> list[Moments]:
        before = None
        if self._seen and self._reach:
            before = self._signals[:, max(self._seen - self._reach, 0) : self._seen]
        return moments(self._signals[:, self._seen : stop], before, self._taps)

    def _note_clipping(self, voltage: NDArray[np.int32], current: NDArray[np.int32]) -> None:
        """Notes which phases' converters stand at the end of their range."""
        for codes in (voltage, current):
            over = (codes.max(axis=1) >= self._full_scale_codes) | (
                codes.min(axis=1) <= -self._full_scale_codes
            )
            for phase in np.flatnonzero(over).tolist():
                self._clipped[phase] = True

    def _whole_cycles(self, stop: int) -> tuple[Window | None, float | None]:
        """The window, by the first healthy phase from L1 on, and the frequency where there is one.

        Where no phase has unbroken cycles, as many as fit by the last frequency known; None where
        not one does.
        """
        fresh = self._signals[: self._phase_count, self._seen : stop]
        # Some of the samples tell well enough which phases there are.
        some = fresh[:, :: self._level_step].copy()
        count = some.shape[1]
        squares, means = np.vecdot(some, some).tolist(), (some @ self._ones[:count]).tolist()
        levels_v = [
            math.sqrt(max(square / count - offset * (2 * mean / count - offset), 0.0))
            * calibration.voltage_gain_v
            for square, mean, offset, calibration in zip(
                squares, means, self._voltage_offsets, self._calibration, strict=True
            )
        ]
        least_v = max(LEAST_VOLTAGE_V, LEAST_SHARE * max(levels_v))
        frequency_hz = None
        for phase, level_v in enumerate(levels_v):
            if level_v < least_v:
                continue
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
        margin = MARGIN + self._reach
        cycles = math.floor(min(self._fresh, stop - 2 * margin - 2) / cycle)
        end = float(stop - 1 - margin)
        return Window(end - cycles * cycle, end, cycles, tracked=False) if cycles > 0 else None

    def _warm_gains(self, sums: CycleSums) -> list[float]:
        """Amperes a code at the temperatures with which the shunts went into this second."""
        ambient_c, seconds = self._shunt_temperature_c, self._fresh / self._rate_hz
        means = sums.mean[self._phase_count :]
        squares = sums.square[self._phase_count :]
        gains = []
        for calibration, heat, mean, square in zip(
            self._calibration, self._heat, means, squares, strict=True
        ):
            offset, gain_at = calibration.current_offset_codes, calibration.current_gain_at
            codes = math.sqrt(max(square - offset * (2 * mean - offset), 0.0))
            rise_k = heat.rise_k(partial(_current_a, gain_at, ambient_c, codes))
            gains.append(gain_at(ambient_c + rise_k))
            heat.follow(codes * gains[-1], seconds)
        return gains

    def _neutral_current_a(self, sums: CycleSums) -> float:
        """The RMS of the sum of the phase currents; their delays' differences are not felt."""
        gains = self._current_gains
        offsets = [phase.current_offset_codes for phase in self._calibration]
        means = sums.mean[self._phase_count :]
        squares = sums.square[self._phase_count :]
        total = sum(
            gain * gain * (square - offset * (2 * mean - offset))
            for gain, square, offset, mean in zip(gains, squares, offsets, means, strict=True)
        )
        pairs = combinations(range(self._phase_count), 2)
        for (a, b), cross in zip(pairs, sums.cross, strict=True):
            product = cross - offsets[a] * means[b] - offsets[b] * (means[a] - offsets[a])
            total += 2 * gains[a] * gains[b] * product
        return math.sqrt(max(total, 0.0))

    def _measure_phases(
        self,
        sums: CycleSums,
        window: Window | None,
        energies: list[Moments],
        half_cycles_v: list[list[float]],
        ranges_v: list[tuple[float, float] | None],
    ) -> tuple[PhaseMeasurement, ...]:
        mean, square, product = sums.mean, sums.square, sums.product
        spectrum = self._harmonics.over(self._signals, window) if window else None
        phasors = self._phasors(spectrum, window)
        reactive = self._reactive(spectrum, window)
        harmonics: list[list[float]] = [[]] * (2 * self._phase_count)
        if spectrum:
            gains = [*self._voltage_gains.tolist(), *map(abs, self._current_gains)]
            harmonics = (spectrum.rms * np.array(gains)[:, None]).tolist()
        measured = []
        for phase, calibration in enumerate(self._calibration):
            current = self._phase_count + phase
            u_offset, i_offset = self._voltage_offsets[phase], calibration.current_offset_codes
            u_gain = calibration.voltage_gain_v
            i_gain = self._current_gains[phase]
            u_square = square[phase] - u_offset * (2 * mean[phase] - u_offset)
            i_square = square[current] - i_offset * (2 * mean[current] - i_offset)
            work = product[phase] - u_offset * mean[current] - i_offset * (mean[phase] - u_offset)
            measured.append(
                self._register(
                    phase,
                    Waves(
                        voltage_v=math.sqrt(max(u_square, 0.0)) * u_gain,
                        current_a=math.sqrt(max(i_square, 0.0)) * abs(i_gain),
                        active_power_w=work * u_gain * i_gain,
                        reactive_power_var=reactive[0][phase],
                        voltage_phasor_v=phasors[phase],
                        current_phasor_a=phasors[current],
                        voltage_harmonics_v=tuple(harmonics[phase]),
                        current_harmonics_a=tuple(harmonics[current]),
                        half_cycle_voltages_v=tuple(half_cycles_v[phase]),
                        voltage_range_v=ranges_v[phase],
                        clipped=self._clipped[phase],
                        reactive_work=reactive[1][phase],
                        samples_again=max(self._seen - window.start, 0.0) if window else 0.0,
                    ),
                    u_gain * i_gain,
                    energies[phase],
                )
            )
        return tuple(measured)

    def _phasors(self, spectrum: Spectrum | None, window: Window | None) -> list[complex]:
        """RMS phasors in V and A, voltages first, their angles counted from the first voltage's."""
        if not window or not spectrum:
            return [0j] * (2 * self._phase_count)
        turn_per_s = 2 * math.pi * window.cycles * self._rate_hz / window.length
        voltages = [
            phasor * calibration.voltage_gain_v
            for phasor, calibration in zip(spectrum.fundamental, self._calibration, strict=False)
        ]
        currents = [
            phasor * gain * cmath.rect(1.0, turn_per_s * calibration.current_delay_s)
            for phasor, gain, calibration in zip(
                spectrum.fundamental[self._phase_count :],
                self._current_gains,
                self._calibration,
                strict=True,
            )
        ]
        first = next((u for u in voltages if abs(u) >= LEAST_VOLTAGE_V), 1.0 + 0j)
        back = first.conjugate() / abs(first)
        return [phasor * back for phasor in voltages + currents]

    def _reactive(
        self, spectrum: Spectrum | None, window: Window | None
    ) -> tuple[list[float], list[ReactiveWork]]:
        """Of each phase, before any gate: the fundamental's reactive power in var, and its work."""
        if not window or not spectrum:
            return [0.0] * self._phase_count, [ReactiveWork()] * self._phase_count
        turn_per_s = 2 * math.pi * window.cycles * self._rate_hz / window.length
        factors = [
            cmath.rect(calibration.voltage_gain_v * gain, -turn_per_s * calibration.current_delay_s)
            for gain, calibration in zip(self._current_gains, self._calibration, strict=True)
        ]
        # What no window sees of a stream's beginning is taken to be like the first stretch.
        lead = max(window.start - self._seen, 0.0)
        end = self._seen + self._fresh - window.stop
        powers_var, works = [], []
        for factor, power, first, last in zip(
            factors,
            spectrum.power,
            spectrum.first_power,
            spectrum.last_power,
            strict=True,
        ):
            power_var = (power * factor).imag
            work = power_var * window.length + (first * factor).imag * lead
            powers_var.append(power_var)
            works.append(ReactiveWork(work, (last * factor).imag, end))
        return powers_var, works

    def _register(
        self, phase: int, waves: Waves, gain_w: float, energies: Moments
    ) -> PhaseMeasurement:
        """Books the phase's energy as far as its gates let it; shows no power they hold back."""
        work = work_of(
            energies,
            offset_steps(self._voltage_offsets[phase]),
            offset_steps(self._calibration[phase].current_offset_codes),
        )
        active_power_w = waves.active_power_w
        reactive_power_var = waves.reactive_power_var
        # The window ends some 40 ms before the second does. A load that comes on just then is in
        # the second's own mean already, and must not be lost.
        booked_w = mean_power_w(work, energies.samples, gain_w)
        energy = self._energy[phase]
        active_energy_nwh = 0
        strongest_w = max(abs(active_power_w), abs(booked_w))
        if self._active_gates[phase].decide(strongest_w, waves.voltage_v):
            active_energy_nwh = energy.book_active(work, gain_w)
        else:
            active_power_w = 0.0
        reactive_work = waves.reactive_work
        if not self._reactive_gates[phase].decide(reactive_power_var, waves.voltage_v):
            reactive_power_var, reactive_work = 0.0, ReactiveWork()
        reactive_energy_nvarh = energy.book_reactive(reactive_work, waves.samples_again)
        loaded = active_power_w or reactive_power_var
        apparent_power_va = waves.voltage_v * waves.current_a if loaded else 0.0
        return PhaseMeasurement(
            voltage_v=waves.voltage_v,
            current_a=waves.current_a,
            active_power_w=active_power_w,
            reactive_power_var=reactive_power_var,
            apparent_power_va=apparent_power_va,
            power_factor=active_power_w / apparent_power_va if apparent_power_va else 1.0,
            active_energy_nwh=active_energy_nwh,
            reactive_energy_nvarh=reactive_energy_nvarh,
            voltage_phasor_v=waves.voltage_phasor_v,
            current_phasor_a=waves.current_phasor_a,
            voltage_harmonics_v=waves.voltage_harmonics_v,
            current_harmonics_a=waves.current_harmonics_a,
            half_cycle_voltages_v=waves.half_cycle_voltages_v,
            voltage_range_v=waves.voltage_range_v,
            clipped=waves.clipped,
        )


def _current_a(
    gain_at: Callable[[float], float], ambient_c: float, codes: float, rise_k: float
) -> float:
    return codes * gain_at(ambient_c + rise_k)
