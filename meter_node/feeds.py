"""The source that a configuration asks for. Must not know what the samples are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from meter_node import config
from meter_node.metrology import DigitalInputs
from meter_node.sources import LiveSource, Source, calibration_file
from meter_node.sources.front_end import FrontEnd
from meter_node.sources.house import House, HouseConfig
from meter_node.sources.live import IioSource, PacedSource, StreamSource
from meter_node.sources.recording import Options, RecordedSource, open_recording
from meter_node.sources.scaling import Scaling
from meter_node.sources.simulated import SimulatedSource

SIMULATED_RATE_HZ = 8000
IIO_DEVICES = Path("/sys/bus/iio/devices")
DEVICES = Path("/dev")


def make(
    settings: config.SourceConfig, phases: int, world: Callable[[], DigitalInputs] = DigitalInputs
) -> LiveSource:
    """Return the source of a meter of so many phases.

    `world`: how the contacts stand for a simulated house, which an open breaker cuts off. Raises
    SourceError, or OSError for a file that can't be read.
    """
    match settings:
        case config.SimulatedSourceConfig():
            return PacedSource(_simulated(settings, phases, world))
        case config.RecordingSourceConfig():
            return PacedSource(_recorded(settings, phases), repeat=settings.repeat)
        case config.StreamSourceConfig():
            return StreamSource(
                settings.url,
                settings.sampling_rate_hz,
                phases,
                _scaling(settings),
                by_sender=settings.clock == "front_end",
            )
        case config.IioSourceConfig():
            return IioSource(
                IIO_DEVICES / settings.device,
                DEVICES / settings.device,
                phases,
                dict(settings.channels.items()),
                settings.sampling_rate_hz,
                _scaling(settings),
                voltage_ratio=settings.voltage_ratio,
                current_ratio_a_per_v=settings.current_ratio_a_per_v,
            )
    assert_never(settings)


def house(settings: config.SimulatedSourceConfig, phases: int) -> House:
    """The house that a configuration describes, for a meter of so many phases."""
    return House(
        HouseConfig(
            phases=phases,
            nominal_frequency_hz=settings.nominal_frequency_hz,
            annual_consumption_kwh=settings.annual_consumption_kwh,
            solar_peak_w=settings.solar_peak_w,
            car=settings.car,
            seed=settings.seed,
            latitude_deg=settings.latitude_deg,
            longitude_deg=settings.longitude_deg,
        )
    )


def _simulated(
    settings: config.SimulatedSourceConfig, phases: int, world: Callable[[], DigitalInputs]
) -> Callable[[int], Source]:
    simulated = house(settings, phases)
    return lambda start_ns: SimulatedSource(
        simulated, FrontEnd(), SIMULATED_RATE_HZ, start_ns, world=world
    )


def _recorded(settings: config.RecordingSourceConfig, phases: int) -> Callable[[int], Source]:
    scaling = replace(
        _scaling(settings),
        voltage_full_scale_v=settings.voltage_full_scale_v,
        current_full_scale_a=settings.current_full_scale_a,
    )
    options = Options(
        dict(settings.channels.items()), phases, settings.sampling_rate_hz, scaling=scaling
    )
    path = Path(settings.file)
    return lambda start_ns: RecordedSource(
        open_recording(path, options), replace(options, start_ns=start_ns)
    )


def _scaling(
    settings: config.RecordingSourceConfig | config.StreamSourceConfig | config.IioSourceConfig,
) -> Scaling:
    if settings.calibration_file is not None:
        return Scaling(calibration=calibration_file.load(Path(settings.calibration_file)))
    return Scaling(
        settings.voltage_gain_v,
        settings.current_gain_a,
        settings.voltage_offset_codes,
        settings.current_offset_codes,
    )
