"""Steps for the tests of credit, tamper and quality: a few words in place of whole measurements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from meter_node.meter.local_time import LocalTime
from meter_node.meter.step import DigitalInputs, Step
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

NANO = 10**9
NWH_PER_WH = 10**9
DENMARK = ZoneInfo("Europe/Copenhagen")
# The source's clock is some years off the meter's: whoever mixes them up is seen.
SOURCE_EPOCH_S = 1_000_000_000


def at(local: str) -> int:
    """Return the UTC seconds of a Danish wall clock ("2026-01-12 09:00")."""
    return round(datetime.fromisoformat(local).replace(tzinfo=DENMARK).timestamp())


def danish() -> LocalTime:
    """Return Danish local time."""
    return LocalTime(DENMARK)


def step(
    start_s: int,
    duration_s: int = 1,
    *,
    volts: Sequence[float] = (230.0, 230.0, 230.0),
    amperes: Sequence[float] = (0.0, 0.0, 0.0),
    watts: Sequence[float] = (0.0, 0.0, 0.0),
    energies_nwh: Sequence[int] = (0, 0, 0),
    inputs: DigitalInputs | None = None,
    clock_valid: bool = True,
    gap: bool = False,
    meter_is_ahead_s: int = SOURCE_EPOCH_S,
) -> Step:
    """Return a step whose measurement's own stamps are `meter_is_ahead_s` behind the meter's."""
    phases = tuple(
        PhaseMeasurement(
            voltage_v=voltage_v,
            current_a=current_a,
            active_power_w=power_w,
            reactive_power_var=0.0,
            apparent_power_va=abs(power_w),
            power_factor=1.0,
            active_energy_nwh=energy_nwh,
            reactive_energy_nvarh=0,
        )
        for voltage_v, current_a, power_w, energy_nwh in zip(
            volts, amperes, watts, energies_nwh, strict=False
        )
    )
    measurement = Measurement(
        start_ns=(start_s - meter_is_ahead_s) * NANO,
        end_ns=(start_s + duration_s - meter_is_ahead_s) * NANO,
        frequency_hz=50.0,
        phases=phases,
    )
    return Step(
        start_s,
        start_s + duration_s,
        measurement,
        inputs or DigitalInputs(),
        clock_valid=clock_valid,
        gap=gap,
    )
