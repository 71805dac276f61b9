"""What a source hands over besides samples: what is wrong with them. Knows nothing of its cause."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What befell a stretch of samples."""

    MISSING = "missing"
    """Not there, or not a number: nothing stands in for them, and the engine sees a gap."""
    CLIPPED = "clipped"
    """At the converter's end: counted as they are, and too small by nobody knows how much."""
    DAMAGED = "damaged"
    """Bytes that are no block: thrown away. What they were is told as missing when it shows."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Samples that are not as they should be.

    `first_sample` counts as in the blocks around it, `start_ns` is its time (UTC); `samples` is 0
    where nobody can know how many. `detail` is for people.
    """

    kind: Kind
    first_sample: int
    samples: int
    start_ns: int
    detail: str


@dataclass(frozen=True, slots=True)
class Break:
    """What follows is a new stream, with indices and times of its own: flush the engine."""

    reason: str


class SourceError(Exception):
    """A source can't be used as asked; the text says what is wrong and what would help."""
