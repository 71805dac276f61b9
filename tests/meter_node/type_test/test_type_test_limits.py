"""The tables of limits, read as the standards are."""

import pytest

from meter_node.type_test.limits import (
    BALANCED,
    HALF,
    ONE,
    ONE_PHASE_LOADED,
    QUARTER,
    SINE_HALF,
    Factor,
    limits_at,
    strictest,
)


@pytest.mark.parametrize(
    ("factor", "share", "limits"),
    [
        (ONE, 0.01, {"0.2S": 0.4}),
        (ONE, 0.05, {"0.2S": 0.2, "1": 1.5, "2": 2.5, "A": 2.5, "B": 1.5}),
        (ONE, 0.1, {"0.2S": 0.2, "1": 1.0, "2": 2.0, "A": 2.0, "B": 1.0}),
        (ONE, 13.0, {"0.2S": 0.2, "1": 1.0, "2": 2.0, "A": 2.0, "B": 1.0}),
        (HALF, 0.02, {"0.2S": 0.5}),
        (HALF, 0.1, {"0.2S": 0.3, "1": 1.5, "2": 2.5, "A": 2.0, "B": 1.0}),
        (HALF, 0.2, {"0.2S": 0.3, "1": 1.0, "2": 2.0, "A": 2.0, "B": 1.0}),
        (QUARTER, 0.2, {"0.2S": 0.5, "1": 3.5}),
        (QUARTER, 0.05, {}),
    ],
)
def test_each_current_has_the_limits_of_its_range(
    factor: Factor, share: float, limits: dict[str, float]
) -> None:
    assert limits_at(BALANCED["active"], factor, share) == limits


def test_currents_that_are_a_hair_below_their_share_still_belong_to_it() -> None:
    assert limits_at(BALANCED["active"], ONE, 0.05 * 5 / 5 * (1 - 1e-15))["0.2S"] == 0.2


def test_a_single_phase_load_has_wider_limits_in_classes_1_and_2() -> None:
    assert limits_at(ONE_PHASE_LOADED["active"], ONE, 1.0) == {
        "0.2S": 0.2, "1": 2.0, "2": 3.0, "A": 3.0, "B": 2.0
    }  # fmt: skip


def test_shares_are_of_02s_and_of_class_1_where_that_has_no_limit() -> None:
    assert strictest("active", {"1": 1.0, "0.2S": 0.2, "2": 2.0}) == "0.2S"
    assert strictest("active", {"1": 3.0, "2": 6.0, "A": 6.0, "B": 3.0}) == "1"
    assert strictest("reactive", limits_at(BALANCED["reactive"], SINE_HALF[0], 1.0)) == "reactive 2"
