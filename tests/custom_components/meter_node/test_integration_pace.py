"""Slow quantities are shown once a minute, the rest at once, and nothing twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from homeassistant.core import callback
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
from integration_home import THREE_PHASES, Home

from custom_components.meter_node.pace import is_due

MINUTE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "interval_s", "shown_s", "due"),
    [
        (0, 10, None, True),  # the first
        (0, 10, -10, False),  # the minute's first push, and its last was shown
        (40, 10, -10, False),
        (50, 10, -10, True),  # the next comes in another minute
        (50, 5, -5, False),
        (55, 5, -5, True),
        (0, 60, -60, True),  # a push a minute, each
        (0, 3600, -3600, True),
        (58, 1, -1, False),
        (59, 1, -1, True),
        (52, 10, -8, True),
        (20, 10, -50, True),  # the minute's last was lost: a minute is enough
        (10, 10, 50, True),  # the clock was set back
    ],
)
def test_a_minutes_last_push_shows_the_slow_ones(
    seconds: int, interval_s: int, shown_s: int | None, due: bool
) -> None:
    shown = None if shown_s is None else MINUTE + timedelta(seconds=shown_s)
    assert is_due(MINUTE + timedelta(seconds=seconds), interval_s, shown) is due


async def test_a_slow_quantity_changes_once_a_minute_and_a_fast_one_with_each_push(
    home: Home,
) -> None:
    await home.set_up()
    home.freezer.move_to("2026-11-20 12:00:00")
    frequencies, powers = [], []
    for turn in range(18):  # three minutes, each ten seconds
        at = dt_util.utcnow()
        values = {"frequency": 50_000 + turn, "import_active_power": 10 * turn}
        await home.push(home.meter.seal(home.meter.body(THREE_PHASES | values, at)))
        frequencies.append(home.state("frequency"))
        powers.append(home.state("active_power"))
        await home.wait(10)
    assert len(set(powers)) == 18
    # The first push, then those of :50 (the sixth, twelfth and eighteenth).
    expected = ["50.0"] * 5 + ["50.005"] * 6 + ["50.011"] * 6 + ["50.017"]
    assert frequencies == expected


async def test_a_value_that_stays_is_not_written_again(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.push()
    written = []
    entity_id = home.entity_id("voltage_l1")
    assert entity_id is not None
    before = home.hass.states.get(entity_id)

    @callback
    def listen(event: object) -> None:
        written.append(event)

    async_track_state_change_event(home.hass, [entity_id], listen)
    for _ in range(3):
        await home.push()
    assert written == []
    assert home.hass.states.get(entity_id) is before
    await home.push(voltage_l1=23_013)
    assert len(written) == 1


async def test_slow_quantities_follow_the_availability_at_once(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    assert home.state("frequency") == "unavailable"
    await home.push(frequency=49_990)
    assert home.state("frequency") == "49.99"
