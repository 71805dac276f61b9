"""A house whose totals are kept by Home Assistant's own recorder, for as long as a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from homeassistant.components.recorder import Recorder
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from integration_home import Home
from kept_profile import KeptProfile
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

DAYS = 8
QUARTER_S, FIVE = 900, timedelta(minutes=5)
MORNING = datetime(2026, 11, 20, 8, 2, tzinfo=UTC)
IMPORT, EXPORT = "import_active_energy", "export_active_energy"
PRICES = {"1": 1.0, "2": 2.0, "3": 4.0}
"""DKK a kWh by the hours of Tarifmodel 3.0: night, day, evening."""
FED_PRICE = 0.5
PRICED = {
    "tariff_preset": "denmark_n1",
    "import_prices": PRICES,
    "export_prices": dict.fromkeys(PRICES, FED_PRICE),
}


def price_at(start: datetime) -> float:
    """The price of an hour that is wholly in one tariff, as all are."""
    hour = start.astimezone(ZoneInfo("Europe/Copenhagen")).hour
    return 1 if hour < 6 else 4 if 17 <= hour < 21 else 2


type Period = Literal["5minute", "hour"]


async def compiled(home: Home, start: datetime, *, fill: bool = True) -> None:
    """Have five minutes compiled, and what follows from it done."""
    await async_wait_recording_done(home.hass)
    get_instance(home.hass).queue_task(StatisticsTask(start, fill))
    await async_wait_recording_done(home.hass)
    history = home.coordinator.history
    if history is not None and (task := history._task) is not None:
        await task
    await async_wait_recording_done(home.hass)


async def statistics(
    home: Home, key: str, period: Period, units: dict[str, str] | None = None
) -> list[tuple[datetime, float, float]]:
    """Beginning, state and sum of each of a sensor's rows, in their order."""
    entity_id = home.entity_id(key)
    assert entity_id is not None
    begin = datetime.fromtimestamp(0, UTC)

    def read() -> Any:
        return statistics_during_period(
            home.hass, begin, None, {entity_id}, period, units, {"state", "sum"}
        )

    found = (await get_instance(home.hass).async_add_executor_job(read)).get(entity_id, [])
    return [(datetime.fromtimestamp(row["start"], UTC), row["state"], row["sum"]) for row in found]


@dataclass
class House:
    """A meter with a register for every moment, a profile of it, and a home that hears it."""

    home: Home
    profile: KeptProfile = field(default_factory=lambda: KeptProfile(zone=ZoneInfo("UTC")))
    watts: int = 1200
    begun: datetime = MORNING - timedelta(days=DAYS)
    fell: tuple[datetime, int] | None = None
    """After that moment the register of import stands so much (Wh) lower."""

    @property
    def now(self) -> datetime:
        return dt_util.utcnow()

    def imported_wh(self, moment: datetime) -> int:
        """What the register stands at; by night it takes twice as much."""
        hours = (moment - self.begun).total_seconds() / 3600
        nights = int(hours // 24) * 12 + min(hours % 24, 12)
        lost_wh = self.fell[1] if self.fell is not None and moment > self.fell[0] else 0
        return 5_000_000 + int(self.watts * (hours + nights)) - lost_wh

    def exported_wh(self, moment: datetime) -> int:
        hours = (moment - self.begun).total_seconds() / 3600
        return 70_000 + int(300 * hours)

    def meter_until(self, moment: datetime) -> None:
        """Have the profile kept up to a moment."""
        last_s = self.profile.rows[-1].end_s if self.profile.rows else int(self.begun.timestamp())
        for end_s in range(
            last_s // QUARTER_S * QUARTER_S + QUARTER_S, int(moment.timestamp()) + 1, QUARTER_S
        ):
            end = datetime.fromtimestamp(end_s, UTC)
            self.profile.keep(end_s, self.imported_wh(end), self.exported_wh(end))

    async def push(self) -> None:
        self.meter_until(self.now)
        await self.home.push(
            import_active_energy=self.imported_wh(self.now),
            export_active_energy=self.exported_wh(self.now),
        )

    async def live(self, until: datetime, *, fill: bool = True) -> None:
        """Let time pass: a push half a minute before each five minutes, which are then compiled."""
        while self.now < until:
            edge = datetime.fromtimestamp((self.now.timestamp() // 300 + 1) * 300, UTC)
            self.home.freezer.move_to(edge - timedelta(seconds=30))
            await self.push()
            self.home.freezer.move_to(edge + timedelta(seconds=10))
            await self.push()
            await self.compiled(edge - FIVE, fill=fill)

    async def compiled(self, start: datetime, *, fill: bool = True) -> None:
        await compiled(self.home, start, fill=fill)

    @property
    def recorder(self) -> Recorder:
        return get_instance(self.home.hass)

    async def rows(self, key: str = IMPORT) -> dict[datetime, tuple[float, float]]:
        """State and sum of every hour, in Wh."""
        return {
            start: (state, total)
            for start, state, total in await statistics(self.home, key, "hour", {"energy": "Wh"})
        }

    async def check(self, hours: int) -> None:
        """Every hour is as the registers are, of both directions, and there are so many."""
        for key, register in ((IMPORT, self.imported_wh), (EXPORT, self.exported_wh)):
            rows = await self.rows(key)
            starts = sorted(rows)
            assert len(starts) == hours
            assert starts[-1] - starts[0] == timedelta(hours=hours - 1)
            assert rows[starts[0]][1] == 0
            for start in starts:
                end = start + timedelta(hours=1)
                assert rows[start][0] == pytest.approx(register(end), abs=0.5)
                used = register(end) - register(starts[0] + timedelta(hours=1))
                assert rows[start][1] == pytest.approx(used, abs=0.5)

    async def check_money(self, hours: int) -> None:
        """Every hour costs, and is paid for, what its energy is worth, and there are so many."""
        for key, register, price in (
            ("import_cost", self.imported_wh, price_at),
            ("export_compensation", self.exported_wh, lambda _: FED_PRICE),
        ):
            rows = await self.rows(key)
            starts = sorted(rows)
            assert len(starts) == hours
            for before, start in pairwise(starts):
                used = register(start + timedelta(hours=1)) - register(start)
                cost = used * price(start) / 1000
                assert rows[start][1] - rows[before][1] == pytest.approx(cost, abs=0.001)
