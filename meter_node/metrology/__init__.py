"""From samples to quantities. Pure: knows no clock, no file, no socket and no register."""

from .block import DigitalInputs, SampleBlock
from .calibration import Calibration, PhaseCalibration
from .engine import Engine, StreamError
from .events import Detector, EventKind, Limit, Limits, QualityEvent
from .measurement import Measurement, PhaseMeasurement
from .neutral import NeutralGuard, NeutralLimits
from .polyphase import PhaseOrder, Unbalance

__all__ = [
    "Calibration",
    "Detector",
    "DigitalInputs",
    "Engine",
    "EventKind",
    "Limit",
    "Limits",
    "Measurement",
    "NeutralGuard",
    "NeutralLimits",
    "PhaseCalibration",
    "PhaseMeasurement",
    "PhaseOrder",
    "QualityEvent",
    "SampleBlock",
    "StreamError",
    "Unbalance",
]
