"""Where samples come from: simulated houses, recordings, live streams. Knows nothing of meters."""

from collections.abc import AsyncGenerator, Iterator
from typing import Protocol

from meter_node.metrology import Calibration, DigitalInputs, SampleBlock

from .items import Break, Damage, Kind, SourceError

__all__ = ["Break", "Damage", "Item", "Kind", "LiveSource", "Source", "SourceError"]

type Item = SampleBlock | Damage | Break


class Sampler(Protocol):
    """What every source is: samples of so many phases at one rate, and the meter's contacts."""

    @property
    def calibration(self) -> Calibration:
        """Of whatever converts the samples. Raises SourceError where it can't be known."""
        ...

    @property
    def sampling_rate_hz(self) -> int:
        """The same in every block."""
        ...

    @property
    def phases(self) -> int:
        """How many, in every block."""
        ...

    @property
    def full_scale_codes(self) -> int:
        """From where on, either sign, a code is the converter's end."""
        ...

    def inputs(self) -> DigitalInputs:
        """How the contacts stood at the end of the last block given."""
        ...


class Source(Sampler, Protocol):
    """A stream of sample blocks, in order and without overlap."""

    def blocks(self) -> Iterator[SampleBlock | Damage]:
        """All that the source has; it never waits for a clock of its own.

        Damage stands before the block that it belongs to, or where one is missing. Raises
        SourceError where the rest can't be used.
        """
        ...


class LiveSource(Sampler, Protocol):
    """The same as it arrives, stamped by the clock of whoever made it."""

    def items(self) -> AsyncGenerator[Item]:
        """Blocks and what befell them, until the source has ended for good.

        A line that is cut is reopened with back-off, without end. Raises SourceError for what
        waiting does not mend.
        """
        ...
