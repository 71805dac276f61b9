"""What a sample block accepts."""

import numpy as np
import pytest

from meter_node.metrology import SampleBlock


def a_block(voltage: object, current: object, rate_hz: int = 8000, first: int = 0) -> SampleBlock:
    return SampleBlock(voltage, current, rate_hz, first, 0, 23.0)  # type: ignore[arg-type]


def codes(*shape: int, dtype: type = np.int32, value: int = 0) -> object:
    return np.full(shape, value, dtype=dtype)


def test_the_extremes_of_24_bits_are_codes() -> None:
    block = a_block(codes(3, 5, value=-(2**23)), codes(3, 5, value=2**23 - 1))
    assert (block.phases, block.samples) == (3, 5)


@pytest.mark.parametrize("value", [2**23, -(2**23) - 1])
def test_codes_over_24_bits_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match=r"current codes .* over 24 bits"):
        a_block(codes(1, 5), codes(1, 5, value=value))


def test_voltage_and_current_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        a_block(codes(3, 5), codes(3, 6))


def test_codes_that_are_not_int32_are_refused() -> None:
    with pytest.raises(TypeError, match="voltage must be int32, not float64"):
        a_block(codes(1, 5, dtype=np.float64), codes(1, 5))


@pytest.mark.parametrize("phases", [0, 4])
def test_only_one_to_three_phases_are_taken(phases: int) -> None:
    with pytest.raises(ValueError, match="1 to 3 phases"):
        a_block(codes(phases, 5), codes(phases, 5))


def test_a_row_without_phases_is_refused() -> None:
    with pytest.raises(ValueError, match="phases, samples"):
        a_block(codes(5), codes(5))


def test_a_block_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        a_block(codes(1, 0), codes(1, 0))


def test_a_rate_of_zero_and_a_negative_index_are_refused() -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        a_block(codes(1, 5), codes(1, 5), rate_hz=0)
    with pytest.raises(ValueError, match="first sample"):
        a_block(codes(1, 5), codes(1, 5), first=-1)
