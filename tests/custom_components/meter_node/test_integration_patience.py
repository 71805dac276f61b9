"""How long a silence is borne, by what a hello announces and by what the frames show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.meter_node.patience import Arrival, gap_s, observed_s, patience_s

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def arrival(at_s: float, sent_s: float | None) -> Arrival:
    sent = None if sent_s is None else START + timedelta(seconds=sent_s)
    return Arrival(START + timedelta(seconds=at_s), sent)


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        ((0, 0), (10, 10), 10),
        ((0, 0), (0.2, 10), 10),  # held up on its way: its own time tells
        ((0, -9e7), (10, -9e7 + 10), 10),  # a clock that is years behind goes as well
        ((0, None), (10, 10), 10),
        ((0, 0), (10, None), 10),
        ((0, 0), (10, 0), 10),  # a clock that stands
        ((0, 0), (10, -3600), 10),  # a clock that was put back
        ((0, 0), (0, 0), 1),
        ((0, 0), (5 * 3600, 5 * 3600), 3600),  # the longest that can be announced
    ],
)
def test_a_gap_is_by_the_frames_own_times_where_they_go_on(
    before: tuple[float, float | None], after: tuple[float, float | None], gap: int
) -> None:
    assert gap_s(arrival(*before), arrival(*after)) == gap


@pytest.mark.parametrize(
    ("gaps", "observed"),
    [
        ([], None),
        ([10], None),
        ([10, 10], 10),
        ([10, 10, 20, 10, 10], 10),  # one was lost
        ([10, 10, 4, 6, 10], 10),  # an hourly list between two
        ([3600, 10, 10], 10),  # the first one was old
        ([10, 10, 60, 60, 60], 60),  # the utility changed it
    ],
)
def test_the_observed_interval_is_that_of_most_frames(
    gaps: list[int], observed: int | None
) -> None:
    assert observed_s(gaps) == observed


@pytest.mark.parametrize(
    ("announced", "gaps", "patience"),
    [
        # Three times the announced interval, and no less than three times 10 s.
        (60, [], 180),
        (1, [], 30),
        (3600, [10], 10_800),
        # Three times the observed one, which an announced one cannot shorten,
        (10, [10] * 5, 30),
        (1, [10] * 5, 30),
        (10, [60] * 5, 180),
        (1, [1] * 5, 3),
        # but lengthen: to 10 s in any case, and to six times what was observed.
        (10, [1] * 5, 30),
        (60, [10] * 5, 180),
        (3600, [10] * 5, 180),
        (900, [300] * 5, 2700),
    ],
)
def test_patience_is_three_times_the_longer_interval_within_bounds(
    announced: int, gaps: list[int], patience: int
) -> None:
    assert patience_s(announced, gaps) == patience
