"""Where samples come from: simulated houses, recordings, live streams. Knows nothing of meters."""

from collections.abc import Iterator
from typing import Protocol

from meter_node.metrology import Calibration, DigitalInputs, SampleBlock


class Source(Protocol):
    """A stream of sample blocks, in order and without overlap, and the meter's contacts."""

    @property
    def calibration(self) -> Calibration:
        """The nominal one of whatever converted the samples."""
        ...

    @property
    def sampling_rate_hz(self) -> int:
        """The same in every block."""
        ...

    @property
    def phases(self) -> int:
        """How many, in every block."""
        ...

    def blocks(self) -> Iterator[SampleBlock]:
        """All that the source has; it never waits for a clock of its own."""
        ...

    def inputs(self) -> DigitalInputs:
        """How the contacts stand at the end of the last block given."""
        ...
