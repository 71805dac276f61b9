"""The S0 port: committed energy as pulses."""

from __future__ import annotations

from typing import Literal

from .module import MeterView, ModuleSettings


class S0Settings(ModuleSettings):
    """``[[meter.module]]`` with ``kind = "s0"``."""

    kind: Literal["s0"]


async def run(view: MeterView, settings: S0Settings) -> None:
    """Pulse until cancelled."""
    while True:
        await view.committed()
