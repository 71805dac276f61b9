"""Samples of a simulated house through a modelled front-end. Knows no clock and never waits."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import Calibration, DigitalInputs, SampleBlock

from .front_end import CODE_LIMIT, FrontEnd
from .house import HARMONIC_ORDERS, VOLTAGE_HARMONICS, House, PhaseLoad
from .noise import wander

NANO = 10**9
ORDERS = (1, *HARMONIC_ORDERS)
_TEMPERATURE = 900  # the stream of chance of the shunt's temperature


class SimulatedSource:
    """One-second blocks from `start_ns` on, for whoever paces them.

    Blocks end on whole seconds of UTC and sample 0 is on one, so that the metrology's seconds are
    those of the clock; a start within a second gives a shorter first block. Loads are constant over
    a block. The voltage's angle runs on from block to block without a jump.
    """

    def __init__(
        self,
        house: House,
        front_end: FrontEnd,
        sampling_rate_hz: int = 8000,
        start_ns: int = 0,
        *,
        world: Callable[[], DigitalInputs] = DigitalInputs,
    ) -> None:
        """`world` tells how the contacts stand, asked once a block: an open breaker cuts off."""
        self._house = house
        self._front_end = front_end
        self._rate_hz = sampling_rate_hz
        self._calibration = front_end.calibration(house.config.phases)
        self._origin_ns = start_ns // NANO * NANO
        self._next_sample = math.ceil((start_ns - self._origin_ns) * sampling_rate_hz / NANO)
        self._angle = 0.0
        # Memory asked for and given back each second costs more than what is written into it.
        self._turning = np.empty((2 * len(ORDERS), sampling_rate_hz))
        self._waves = np.empty((2 * house.config.phases, sampling_rate_hz))
        self._world = world
        self._inputs = DigitalInputs()

    @property
    def calibration(self) -> Calibration:
        """The front-end's."""
        return self._calibration

    @property
    def sampling_rate_hz(self) -> int:
        """As it was made."""
        return self._rate_hz

    @property
    def phases(self) -> int:
        """The house's."""
        return self._house.config.phases

    @property
    def full_scale_codes(self) -> int:
        """The front-end's converter's."""
        return CODE_LIMIT - 1

    def inputs(self) -> DigitalInputs:
        """The contacts, as they stood in the last block."""
        return self._inputs

    def blocks(self) -> Iterator[SampleBlock]:
        """Seconds without end."""
        while True:
            yield self.next_block()

    def next_block(self) -> SampleBlock:
        """What is left of the running second, usually all of it."""
        self._inputs = self._world()
        first = self._next_sample
        count = self._rate_hz - first % self._rate_hz
        start_ns = self._origin_ns + first * NANO // self._rate_hz
        loads = self._house.loads(start_ns)
        temperature_c = 30 + 10 * wander(
            self._house.config.seed, _TEMPERATURE, start_ns / NANO, 7200.0
        )
        # The same second has the same noise whenever and in whatever order it is asked for.
        chance = np.random.Generator(np.random.SFC64((self._house.config.seed, start_ns)))
        voltage_v, current_a = self._waveforms(loads, self._angles(start_ns, count))
        voltage, current = self._front_end.convert(voltage_v, current_a, temperature_c, chance)
        self._next_sample = first + count
        return SampleBlock(voltage, current, self._rate_hz, first, start_ns, temperature_c)

    def _angles(self, start_ns: int, count: int) -> NDArray[np.float64]:
        """L1's voltage angle at each sample; the frequency moves evenly through the block."""
        stop_ns = start_ns + count * NANO // self._rate_hz
        here = 2 * math.pi * self._house.frequency_hz(start_ns / NANO) / self._rate_hz
        there = 2 * math.pi * self._house.frequency_hz(stop_ns / NANO) / self._rate_hz
        places = np.arange(count + 1)
        angles = self._angle + places * (here + (there - here) / (2 * count) * places)
        self._angle = float(angles[-1]) % (2 * math.pi)
        return angles[:-1]

    def _waveforms(
        self, loads: tuple[PhaseLoad, ...], angles: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Volts and amperes [phases, n]: all phasors times one set of turning unit vectors.

        They stand where the next block's will.
        """
        turning, waves = self._turning[:, : angles.size], self._waves[:, : angles.size]
        unit = np.cos(angles) + 1j * np.sin(angles)
        squared = unit * unit
        for row in range(len(ORDERS)):  # orders 1, 3, 5, 7: each is the last one times the square
            turning[2 * row], turning[2 * row + 1] = unit.imag, unit.real
            unit *= squared
        np.matmul(self._phasors(loads), turning, out=waves)
        return waves[: len(loads)], waves[len(loads) :]

    def _phasors(self, loads: tuple[PhaseLoad, ...]) -> NDArray[np.float64]:
        """Weights of sine and cosine of each order: the voltages' rows, then the currents'."""
        connected = self._inputs.breaker_closed is not False
        phasors = np.zeros((2 * len(loads), len(ORDERS)), dtype=np.complex128)
        for phase, load in enumerate(loads):
            turn = np.exp(-2j * math.pi / 3 * phase * np.array(ORDERS))
            phasors[phase] = np.array((1, *VOLTAGE_HARMONICS)) * load.voltage_v * turn
            if connected:
                currents_a = np.array((load.current_a, *load.harmonic_currents_a))
                phasors[len(loads) + phase] = currents_a * turn
        weights = np.empty((2 * len(loads), 2 * len(ORDERS)))
        weights[:, ::2], weights[:, 1::2] = phasors.real, phasors.imag
        return math.sqrt(2) * weights
