"""Steps for tests of the meter's parts, made from powers and voltages, and registers they move."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from meter_node.channel.registers import BY_KEY, ROLLOVER_WH
from meter_node.meter.local_time import LocalTime
from meter_node.meter.step import Step
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

NANO = 10**9


def copenhagen() -> LocalTime:
    """Local time of a Danish meter."""
    return LocalTime(ZoneInfo("Europe/Copenhagen"))


def utc(text: str) -> int:
    """UTC seconds of "2026-01-31 23:00" or "2026-01-31 23:00:05", which is UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def step(
    start_s: int,
    seconds: int = 1,
    power_w: Sequence[float] = (0.0, 0.0, 0.0),
    voltage_v: Sequence[float] = (230.0, 230.0, 230.0),
    *,
    reactive_power_var: Sequence[float] = (0.0, 0.0, 0.0),
    current_a: Sequence[float] | None = None,
    frequency_hz: float | None = 50.0,
    clipped: bool = False,
    **kw: Any,
) -> Step:
    """A step of as many phases as there are powers; `kw` goes to Step.

    Energies are powers times seconds, rounded to whole nWh and nvarh; currents, where not given,
    are S/U.
    """
    phases = []
    for number, power in enumerate(power_w):
        voltage, reactive = voltage_v[number], reactive_power_var[number]
        apparent = math.hypot(power, reactive)
        if current_a is not None:
            current = current_a[number]
        else:
            current = apparent / voltage if voltage else 0.0
        phases.append(
            PhaseMeasurement(
                voltage_v=voltage,
                current_a=current,
                active_power_w=power,
                reactive_power_var=reactive,
                apparent_power_va=apparent,
                power_factor=power / apparent if apparent else 1.0,
                active_energy_nwh=round(power * seconds * 1e9 / 3600),
                reactive_energy_nvarh=round(reactive * seconds * 1e9 / 3600),
                clipped=clipped,
            )
        )
    measurement = Measurement(
        start_s * NANO, (start_s + seconds) * NANO, frequency_hz, tuple(phases)
    )
    return Step(start_s, start_s + seconds, measurement, **kw)


_ENERGIES: dict[str, Callable[[Measurement], int]] = {
    "import_active_energy": lambda measurement: measurement.import_active_energy_nwh,
    "export_active_energy": lambda measurement: measurement.export_active_energy_nwh,
    "import_reactive_energy": lambda measurement: measurement.import_reactive_energy_nvarh,
    "export_reactive_energy": lambda measurement: measurement.export_reactive_energy_nvarh,
}


class Registers:
    """The four energy totals (truncated to Wh, as registers are shown) and the frequency."""

    def __init__(self, **energies_nwh: int) -> None:
        self.energies_nwh = dict.fromkeys(_ENERGIES, 0) | energies_nwh
        self.frequency_hz: float | None = None

    def book(self, step: Step) -> None:
        """What a meter does with a step before its parts go on by it."""
        for key, booked in _ENERGIES.items():
            energy = self.energies_nwh[key] + booked(step.measurement)
            self.energies_nwh[key] = energy % (ROLLOVER_WH * NANO)
        self.frequency_hz = step.measurement.frequency_hz

    def read(self, key: str) -> int | None:
        """A register in units of its scaler."""
        if key in self.energies_nwh:
            return int(self.energies_nwh[key] // (NANO * 10 ** BY_KEY[key].quantity.scaler))
        if key == "frequency" and self.frequency_hz is not None:
            return round(self.frequency_hz * 1000)
        return None
