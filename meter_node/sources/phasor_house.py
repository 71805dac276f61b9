"""The simulated house as measurements, without a sample in between. Knows no clock and no meter.

The same house as `simulated.py` turns into waveforms, many hours at once: a year takes seconds.
What a step shows is its mean; voltages and currents are the phasors that have it. Harmonics are in
the RMS values and the powers, their spectra are not given. Direction and quadrant are decided a
step at a time, and not a second at a time.
"""

import cmath
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import DigitalInputs, Measurement, PhaseMeasurement

from .house import (
    GRID_RESISTANCE_OHM,
    HARMONIC_ORDERS,
    HARMONICS_PER_W,
    HOUSEHOLD,
    INVERTER,
    KINDS,
    NOMINAL_VOLTAGE_V,
    VOLTAGE_HARMONICS,
    House,
)
from .noise import Instants
from .outages import Disturbance, disturbances

NANO = 10**9
MICRO = 10**6
MILLI_NS = 10**6
# So much is reckoned at once: longer arrays leave the processor's caches.
STRETCH_S = 21_600
HOUR_S = 3600
# Energy is booked in whole microwatts over whole milliseconds: so many are a nanowatt-hour.
WORK_PER_NWH = 3600
# What is always on flickers every 3 s. All else moves between knots that lie 20 s or more apart,
# symmetrically, so that these few samples have its very mean.
FLICKER_SAMPLE_S, SAMPLE_S = 3, 10

_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_REACTIVE = np.array([kind.reactive_share for kind in KINDS])
_HARMONICS = np.array([HARMONICS_PER_W[kind] for kind in KINDS]).T
# What a watt of each kind draws in all: harmonics of current and voltage do work together.
_WORK = 1 + (np.array(VOLTAGE_HARMONICS) @ _HARMONICS).real
_VOLTAGE_RMS = math.sqrt(1 + sum(share * share for share in VOLTAGE_HARMONICS))
_TURN = cmath.rect(1.0, -2 * math.pi / 3)


type _Values = tuple[float, float, int, int, float, float, complex, complex, float]
"""What a `_Row` has, without its names: most steps are only passed on."""


class _Row(NamedTuple):
    """One phase over one step, but for its energies."""

    voltage_v: float
    current_a: float
    active_power_uw: int
    reactive_power_uvar: int
    apparent_power_va: float
    power_factor: float
    voltage_phasor_v: complex
    current_phasor_a: complex
    idle_voltage_v: float


class PhasorHouse:
    """A house as a meter's engine would have measured it, step by step.

    Energies are whole nWh and nvarh of exactly the power shown over exactly the time, the remainder
    carried to the next step. Supply fails as `outages.disturbances` of the house's seed says: what
    touches a step cuts it into pieces, with exact times; where no phase has a voltage there is no
    measurement. In a sag power falls with the square of the voltage.
    """

    def __init__(
        self,
        house: House,
        step_s: int = 60,
        *,
        disturbed: bool = True,
        inputs: DigitalInputs | None = None,
    ) -> None:
        """`inputs`: the contacts at first; `disturbed` False is a grid that never fails.

        Raises ValueError for a step that does not divide an hour.
        """
        if step_s < 1 or HOUR_S % step_s:
            raise ValueError(f"a step divides an hour evenly; {step_s} s does not")
        self._house = house
        self._step_s = step_s
        self._disturbed = disturbed
        self._active_rests = [0] * house.config.phases
        self._reactive_rests = [0] * house.config.phases
        self.digital_inputs = inputs or DigitalInputs()

    @property
    def phases(self) -> int:
        """The house's."""
        return self._house.config.phases

    def inputs(self) -> DigitalInputs:
        """The contacts; whoever plays the world sets `digital_inputs`. An open breaker cuts off."""
        return self.digital_inputs

    def measurements(self, start_s: int, end_s: int) -> Iterator[Measurement]:
        """From start up to end (UTC, s). Steps end on multiples of themselves."""
        step_s = self._step_s
        for stretch_s in range(start_s // STRETCH_S * STRETCH_S, end_s, STRETCH_S):
            first_s = max(stretch_s, start_s // step_s * step_s)
            last_s = min(stretch_s + STRETCH_S, -(-end_s // step_s) * step_s)
            yield from self._stretch(first_s, last_s, (start_s * NANO, end_s * NANO))

    def _stretch(
        self, first_s: int, last_s: int, within_ns: tuple[int, int]
    ) -> Iterator[Measurement]:
        """Whole steps, but for what lies outside or is disturbed."""
        step_ns, start_ns = self._step_s * NANO, first_s * NANO
        steps = (last_s - first_s) // self._step_s
        events = self._disturbances(first_s, last_s)
        cut: set[int] = set()
        if within_ns[0] > start_ns:
            cut.add(0)
        if within_ns[1] < last_s * NANO:
            cut.add(steps - 1)
        for event in events:
            begun = (event.start_ns - start_ns) // step_ns
            cut.update(range(begun, -(-(event.end_ns - start_ns) // step_ns)))
        for number, (frequency_hz, neutral_current_a, *rows) in enumerate(
            self._columns(first_s, steps)
        ):
            end_ns = start_ns + step_ns
            if number in cut or self.digital_inputs.breaker_closed is False:
                within = max(start_ns, within_ns[0]), min(end_ns, within_ns[1])
                yield from self._pieces(within, frequency_hz, rows, events)
            else:
                yield self._measure((start_ns, end_ns), frequency_hz, neutral_current_a, rows)
            start_ns = end_ns

    def _disturbances(self, first_s: int, last_s: int) -> list[Disturbance]:
        if not self._disturbed:
            return []
        return disturbances(self._house.config.seed, first_s, last_s, self.phases)

    def _pieces(
        self,
        span_ns: tuple[int, int],
        frequency_hz: float,
        rows: Sequence[_Values],
        events: Sequence[Disturbance],
    ) -> Iterator[Measurement]:
        """One step with everything that makes it different, cut where that begins and ends."""
        edges_ns = {ns for event in events for ns in (event.start_ns, event.end_ns)}
        inner_ns = {ns for ns in edges_ns if span_ns[0] < ns < span_ns[1]}
        for start_ns, end_ns in pairwise(sorted({*span_ns, *inner_ns})):
            shares = [1.0] * self.phases
            for event in events:
                if event.start_ns <= start_ns < event.end_ns:
                    for phase in event.phases:
                        shares[phase - 1] = min(shares[phase - 1], event.residual)
            if not any(shares):
                continue
            connected = self.digital_inputs.breaker_closed is not False
            seen = [
                _seen(_Row(*row), share, connected) for row, share in zip(rows, shares, strict=True)
            ]
            # Angles count from the first phase that there is.
            first = next(row.voltage_phasor_v for row in seen if row.voltage_phasor_v)
            back = first.conjugate() / abs(first)
            turned = [
                row._replace(
                    voltage_phasor_v=row.voltage_phasor_v * back,
                    current_phasor_a=row.current_phasor_a * back,
                )
                for row in seen
            ]
            neutral_current_a = abs(sum(row.current_phasor_a for row in turned))
            yield self._measure((start_ns, end_ns), frequency_hz, neutral_current_a, turned)

    def _measure(
        self,
        span_ns: tuple[int, int],
        frequency_hz: float,
        neutral_current_a: float,
        rows: Sequence[_Values],
    ) -> Measurement:
        """Books each phase's energy, with what was left over before."""
        start_ns, end_ns = span_ns
        duration_ms = (end_ns - start_ns) // MILLI_NS
        active_rests, reactive_rests = self._active_rests, self._reactive_rests
        measured = []
        for phase, (
            voltage_v,
            current_a,
            active_uw,
            reactive_uvar,
            apparent_va,
            power_factor,
            voltage_phasor_v,
            current_phasor_a,
            _,
        ) in enumerate(rows):
            active_nwh, active_rests[phase] = divmod(
                active_uw * duration_ms + active_rests[phase], WORK_PER_NWH
            )
            reactive_nvarh, reactive_rests[phase] = divmod(
                reactive_uvar * duration_ms + reactive_rests[phase], WORK_PER_NWH
            )
            measured.append(
                PhaseMeasurement(
                    voltage_v,
                    current_a,
                    active_uw / MICRO,
                    reactive_uvar / MICRO,
                    apparent_va,
                    power_factor,
                    active_nwh,
                    reactive_nvarh,
                    voltage_phasor_v,
                    current_phasor_a,
                )
            )
        return Measurement(
            start_ns,
            end_ns,
            frequency_hz,
            tuple(measured),
            end_ns - start_ns == self._step_s * NANO,
            None,
            neutral_current_a,
        )

    def _columns(
        self, first_s: int, steps: int
    ) -> Iterator[tuple[float, float, *tuple[_Values, ...]]]:
        """Of every step the frequency, the neutral's current and the phases' values."""
        powers_w = self._powers_w(first_s, steps)
        times_s = self._times_s(first_s, steps, FLICKER_SAMPLE_S)
        for phase, base_w in enumerate(self._house.base_powers_w(times_s)):
            powers_w[phase, _NUMBERS[HOUSEHOLD]] += _means(base_w, steps)
        times_s = self._times_s(first_s, steps, SAMPLE_S)
        if self._house.config.solar_peak_w:
            solar_w = _means(self._house.solar_power_w(times_s), steps)
            powers_w[:, _NUMBERS[INVERTER]] -= solar_w / self.phases
        idle_v = np.stack(
            [
                _means(self._house.idle_voltage_v(times_s, phase), steps)
                for phase in range(self.phases)
            ]
        )
        currents_a, rows = _rows(powers_w, idle_v)
        frequencies_hz = _means(self._house.frequency_hz(times_s), steps)
        return zip(frequencies_hz.tolist(), _neutral_a(currents_a).tolist(), *rows, strict=True)

    def _times_s(self, first_s: int, steps: int, longest_s: int) -> Instants:
        """As many a step as fit evenly, each amid the whole seconds that it stands for.

        The waveforms take each second's load at its start.
        """
        sample_s = math.gcd(self._step_s, longest_s)
        count = steps * self._step_s // sample_s
        return first_s + (sample_s - 1) / 2 + sample_s * np.arange(count, dtype=np.float64)

    def _powers_w(self, first_s: int, steps: int) -> NDArray[np.float64]:
        """Mean powers of what is switched, [phases, kinds, steps]."""
        powers_w = np.zeros((self.phases, len(KINDS), steps))
        last_s = first_s + steps * self._step_s
        for pulse in self._house.pulses(first_s, last_s):
            # By whole seconds, as the waveforms have it.
            start_s, stop_s = math.ceil(pulse.start_s), math.ceil(pulse.stop_s)
            begun = max(start_s - first_s, 0) // self._step_s
            ended = min(-(-(stop_s - first_s) // self._step_s), steps)
            edges_s = first_s + self._step_s * np.arange(begun, ended + 1)
            on_s = np.diff(np.clip(edges_s, start_s, stop_s))
            share_w = pulse.power_w / self._step_s
            powers_w[pulse.phase, _NUMBERS[pulse.kind], begun:ended] += share_w * on_s
        return powers_w


def _means(values: Instants, steps: int) -> Instants:
    means: Instants = values.reshape(steps, -1).mean(axis=1)
    return means


def _rows(
    powers_w: NDArray[np.float64], idle_v: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], list[Iterator[_Values]]]:
    """Currents [orders, phases, steps], angles from their own voltage; and each phase's values.

    `powers_w` [phases, kinds, steps], `idle_v` [phases, steps].
    """
    drawn_w = powers_w.sum(axis=1)
    reactive_var = np.einsum("k,pks->ps", _REACTIVE, powers_w)
    voltage_v = idle_v - GRID_RESISTANCE_OHM * drawn_w / NOMINAL_VOLTAGE_V
    currents_a = np.empty((1 + len(HARMONIC_ORDERS), *drawn_w.shape), dtype=np.complex128)
    currents_a[0] = drawn_w - 1j * reactive_var
    currents_a[1:] = np.tensordot(_HARMONICS, powers_w, axes=(1, 1))
    currents_a /= voltage_v
    current_a = np.sqrt((currents_a.real**2 + currents_a.imag**2).sum(axis=0))
    shown_v = voltage_v * _VOLTAGE_RMS
    apparent_va = shown_v * current_a
    active_w = np.einsum("k,pks->ps", _WORK, powers_w)
    active_uw = np.rint(active_w * MICRO).astype(np.int64)
    reactive_uvar = np.rint(reactive_var * MICRO).astype(np.int64)
    factor = np.divide(active_w, apparent_va, out=np.ones_like(active_w), where=apparent_va > 0)
    turns = _TURN ** np.arange(len(drawn_w))[:, None]
    columns = (
        shown_v,
        current_a,
        active_uw,
        reactive_uvar,
        apparent_va,
        factor,
        voltage_v * turns,
        currents_a[0] * turns,
        idle_v,
    )
    phases = zip(*(column.tolist() for column in columns), strict=True)
    return currents_a, [zip(*phase, strict=True) for phase in phases]


def _neutral_a(currents_a: NDArray[np.complex128]) -> Instants:
    """RMS of the sum of the phases, whose order of a harmonic turns it so many times."""
    orders = np.array((1, *HARMONIC_ORDERS))[:, None, None]
    turns = _TURN ** (orders * np.arange(currents_a.shape[1])[:, None])
    total_a = (currents_a * turns).sum(axis=1)
    neutral_a: Instants = np.sqrt((total_a.real**2 + total_a.imag**2).sum(axis=0))
    return neutral_a


def _seen(row: _Row, share: float, connected: bool) -> _Row:
    """The row with a share of its voltage, and without a load where the breaker is open."""
    if not connected:
        idle_v = row.idle_voltage_v * share
        angle = row.voltage_phasor_v / abs(row.voltage_phasor_v)
        return _Row(idle_v * _VOLTAGE_RMS, 0.0, 0, 0, 0.0, 1.0, idle_v * angle, 0j, idle_v)
    if share == 1.0:
        return row
    return _Row(
        row.voltage_v * share,
        row.current_a * share,
        round(row.active_power_uw * share * share),
        round(row.reactive_power_uvar * share * share),
        row.apparent_power_va * share * share,
        row.power_factor if share else 1.0,
        row.voltage_phasor_v * share,
        row.current_phasor_a * share,
        row.idle_voltage_v * share,
    )
