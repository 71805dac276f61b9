"""From samples to quantities. Pure: knows no clock, no file, no socket and no register."""

from .block import DigitalInputs, SampleBlock
from .calibration import Calibration, PhaseCalibration
from .engine import Engine, StreamError
from .measurement import Measurement, PhaseMeasurement

__all__ = [
    "Calibration",
    "DigitalInputs",
    "Engine",
    "Measurement",
    "PhaseCalibration",
    "PhaseMeasurement",
    "SampleBlock",
    "StreamError",
]
