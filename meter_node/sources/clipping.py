"""Tells clipped converters, block by block. Knows neither file nor line."""

from collections.abc import Iterator, Sequence

from meter_node.metrology import SampleBlock

from .codes import clipped
from .items import Damage, Kind


def with_clipping(
    block: SampleBlock, limits: Sequence[tuple[int, int] | None]
) -> Iterator[SampleBlock | Damage]:
    """The block, after what its codes say of the converters.

    `limits`: lowest and highest code of U1…, then I1…; None for what no converter's codes are.
    """
    for place, (codes, limit) in enumerate(
        zip((*block.voltage, *block.current), limits, strict=True)
    ):
        if limit and (count := clipped(codes, *limit)):
            role = f"{'UI'[place // block.phases]}{place % block.phases + 1}"
            detail = f"{role}: {count} samples at the converter's end"
            yield Damage(Kind.CLIPPED, block.first_sample, block.samples, block.start_ns, detail)
    yield block
