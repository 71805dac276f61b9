"""What a bridge kept of a meter, as readings of whole quarters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from homeassistant.exceptions import HomeAssistantError

from custom_components.meter_node.history.hours import Walk
from custom_components.meter_node.history.kept_past import KeptPast
from custom_components.meter_node.history.readings import Reading, SourceError

KEY = "import_active_energy"
T0 = 1_792_800_000  # 2026-10-24 00:00 UTC
HOUR_S = 3600


class Bridge:
    """Kept (seconds after T0, Wh) of a meter."""

    def __init__(self, *kept: tuple[int, float]) -> None:
        self.kept = kept
        self.silent_after: int | None = None
        self.asked: list[tuple[datetime, datetime]] = []

    async def readings(
        self, first: datetime, last: datetime
    ) -> AsyncIterator[tuple[datetime, Mapping[str, float]]]:
        self.asked.append((first, last))
        for place, (after_s, wh) in enumerate(self.kept):
            if place == self.silent_after:
                raise HomeAssistantError("the bridge does not answer")
            at = datetime.fromtimestamp(T0 + after_s, UTC)
            if first <= at <= last:
                yield at, {KEY: wh}


async def read(bridge: Bridge, since: int | None = None) -> list[Reading]:
    now = datetime.fromtimestamp(T0, UTC) + timedelta(days=2)
    return [one async for piece in KeptPast(bridge, now, {}).readings(since) for one in piece]


async def hours(bridge: Bridge) -> dict[int, int]:
    found = Walk({}).take(await read(bridge))
    return {(at - T0) // HOUR_S: one.counts_wh[KEY] for at, one in found.items()}


async def test_a_list_of_once_an_hour_tells_of_the_hour_and_not_of_ten_seconds_after() -> None:
    bridge = Bridge(*((n * HOUR_S + 10, 100.0 * n) for n in range(1, 5)))
    assert await hours(bridge) == {1: 100, 2: 200, 3: 300, 4: 400}


async def test_of_a_list_every_ten_seconds_the_hour_has_the_one_at_the_hour() -> None:
    bridge = Bridge(*((n, n / 10) for n in range(100, 2 * HOUR_S + 20, 10)))
    assert await hours(bridge) == {1: 360, 2: 720}
    # the first, then a quarter each, for two hours
    assert [one.end_s - T0 for one in await read(bridge)] == [100, *range(900, 7201, 900)]


async def test_the_last_before_a_gap_is_told() -> None:
    bridge = Bridge((900, 10), (1500, 16), (3 * HOUR_S + 1200, 50))
    assert await hours(bridge) == {1: 16, 2: 16, 3: 16}


async def test_it_is_gone_on_from_a_moment() -> None:
    bridge = Bridge(*((n * HOUR_S + 10, 100.0 * n) for n in range(1, 5)))
    [first, *_] = await read(bridge, since=T0 + 2 * HOUR_S)
    assert first.entry == first.end_s == T0 + 2 * HOUR_S


async def test_it_comes_in_bounded_pieces() -> None:
    bridge = Bridge(*((n * 900, 1.0 * n) for n in range(193)))
    now = datetime.fromtimestamp(T0, UTC) + timedelta(days=3)
    pieces = [len(piece) async for piece in KeptPast(bridge, now, {}).readings(None)]
    assert pieces == [192, 1]


async def test_a_silent_bridge_is_an_error() -> None:
    bridge = Bridge(*((n * HOUR_S, 1.0 * n) for n in range(5)))
    bridge.silent_after = 3
    with pytest.raises(SourceError):
        await read(bridge)


async def test_a_meter_that_was_not_heard_yet_has_no_newest() -> None:
    now = datetime.fromtimestamp(T0, UTC)
    assert await KeptPast(Bridge(), now, {}).async_newest() is None
    newest = await KeptPast(Bridge(), now, {KEY: 12.0}).async_newest()
    assert newest is not None
    assert newest.registers_wh == {KEY: 12}
