"""Calibrations as files: `{"phases": [{"voltage_gain_v": …, …}, …]}`. Knows not how one is found.

Whatever else stands in the file (date, residual errors) is for people and other programs.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from meter_node.metrology import Calibration, PhaseCalibration

from .items import SourceError

_NAMES = tuple(field.name for field in fields(PhaseCalibration))


def load(path: Path) -> Calibration:
    """Raises SourceError for what is no calibration, OSError for what can't be read."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SourceError(f"{path}: no JSON: {error}") from None
    phases = document.get("phases") if isinstance(document, dict) else None
    if not isinstance(phases, list) or not phases:
        raise SourceError(f"{path}: no calibration: there is no list of phases in it")
    try:
        return Calibration(tuple(_phase(entry, n) for n, entry in enumerate(phases, start=1)))
    except ValueError as error:
        raise SourceError(f"{path}: {error}") from None


def _phase(entry: Any, number: int) -> PhaseCalibration:
    values = {name: entry[name] for name in _NAMES if name in entry} if entry else {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"L{number}: {name} is no number")
    missing = {"voltage_gain_v", "current_gain_a"} - values.keys()
    if missing:
        raise ValueError(f"L{number}: no {' and no '.join(sorted(missing))}")
    return PhaseCalibration(**values)
