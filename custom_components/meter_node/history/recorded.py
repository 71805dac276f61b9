"""The recorder's long-term statistics of our sensors: read and written. The only file to know it.

Imported when there is a recorder, and not before. Must not know what should stand in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from homeassistant.components.recorder.db_schema import Statistics, StatisticsShortTerm
from homeassistant.components.recorder.entity_options import is_entity_recorded
from homeassistant.components.recorder.models import StatisticData, StatisticMetaData
from homeassistant.components.recorder.statistics import (
    StatisticsRow,
    async_import_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.components.recorder.tasks import SynchronizeTask
from homeassistant.const import UnitOfEnergy, UnitOfReactiveEnergy
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util.unit_conversion import EnergyConverter, ReactiveEnergyConverter

from .hours import HOUR_S
from .plan import Plan, Row
from .rescaled import rescaled

_ROWS_A_TASK = 500
"""The recorder takes nothing else while it writes them."""


@dataclass(slots=True)
class Recorded:
    """What stands in the database of one series, in Wh or in the currency."""

    hours: dict[int, Row]
    short_term: dict[int, Row]


@dataclass(frozen=True, slots=True)
class Series:
    """One sensor's statistics, by whatever name it has now."""

    metadata: StatisticMetaData

    @property
    def statistic_id(self) -> str:
        """The entity id."""
        return self.metadata["statistic_id"]

    @property
    def is_energy(self) -> bool:
        """Whether its rows come in a unit of energy."""
        return self.metadata["unit_class"] == EnergyConverter.UNIT_CLASS

    @property
    def unit(self) -> str:
        """The unit in which the database has its rows."""
        return self.metadata["unit_of_measurement"] or ""

    @property
    def _unit(self) -> str:
        """The unit in which its rows are handed over."""
        return UnitOfEnergy.WATT_HOUR if self.is_energy else self.unit

    async def async_read(self, hass: HomeAssistant, since_s: int) -> Recorded:
        """Return the rows from a moment on."""
        return await get_instance(hass).async_add_executor_job(self._read, hass, since_s)

    async def async_has(self, hass: HomeAssistant, hour_s: int) -> bool:
        """Return whether there is a row of an hour."""
        rows = await get_instance(hass).async_add_executor_job(
            self._read_table, hass, hour_s, "hour", hour_s + HOUR_S
        )
        return hour_s in rows

    def _read(self, hass: HomeAssistant, since_s: int) -> Recorded:
        return Recorded(
            self._read_table(hass, since_s, "hour"), self._read_table(hass, since_s, "5minute")
        )

    def _read_table(
        self,
        hass: HomeAssistant,
        since_s: int,
        period: Literal["hour", "5minute"],
        until_s: int | None = None,
    ) -> dict[int, Row]:
        found = statistics_during_period(
            hass,
            datetime.fromtimestamp(since_s, UTC),
            None if until_s is None else datetime.fromtimestamp(until_s, UTC),
            {self.statistic_id},
            period,
            # Without a unit that is asked for, rows come in that in which the sensor is shown.
            {unit_class: self._unit} if (unit_class := self.metadata["unit_class"]) else None,
            {"last_reset", "state", "sum"},
        )
        return {
            int(row["start"]): _row(row)
            for row in found.get(self.statistic_id, [])
            if row.get("state") is not None and row.get("sum") is not None
        }

    async def async_write(self, hass: HomeAssistant, plan: Plan) -> None:
        """Have a plan carried out, and return when it is."""
        recorder = get_instance(hass)
        for shift in plan.shifts:
            since = datetime.fromtimestamp(shift.since_s, UTC)
            recorder.async_adjust_statistics(self.statistic_id, since, shift.by, self._unit)
        rows = [self._data(at, row) for at, row in plan.rows.items()]
        for first in range(0, len(rows), _ROWS_A_TASK):
            async_import_statistics(hass, self.metadata.copy(), rows[first : first + _ROWS_A_TASK])
        await _async_done(hass)

    async def async_rescale(
        self, hass: HomeAssistant, since_s: int, exponent: int, total: float
    ) -> None:
        """Have all rows in another scale (``rescaled``), and return when they are.

        ``total``: what the sensor stood at at the change, in its native unit. Each table is written
        in one, so that it is never half in each.
        """
        there = await self.async_read(hass, 0)
        if self.metadata["unit_class"] == ReactiveEnergyConverter.UNIT_CLASS:
            native = UnitOfReactiveEnergy.VOLT_AMPERE_REACTIVE_HOUR
            total = ReactiveEnergyConverter.convert(total, native, self.unit)
        hours, short_term = rescaled(there.hours, there.short_term, since_s, exponent, total)
        for rows, table in ((hours, Statistics), (short_term, StatisticsShortTerm)):
            data = [self._data(at, row) for at, row in rows.items()]
            get_instance(hass).async_import_statistics(self.metadata.copy(), data, table)
        await _async_done(hass)

    def _data(self, at: int, row: Row) -> StatisticData:
        return StatisticData(
            start=datetime.fromtimestamp(at, UTC),
            state=self._stored(row.state),
            sum=self._stored(row.sum),
            last_reset=(
                None if row.last_reset is None else datetime.fromtimestamp(row.last_reset, UTC)
            ),
        )

    def _stored(self, value: float) -> float:
        return EnergyConverter.convert(value, self._unit, self.unit) if self.is_energy else value


async def async_series(
    hass: HomeAssistant, entities: Mapping[str, str]
) -> dict[str, Series | None]:
    """Return the series of entities (key to entity id); None for one without sums so far.

    An entity that is excluded from the recorder is left out.
    """
    wanted = {
        key: entity_id for key, entity_id in entities.items() if is_entity_recorded(hass, entity_id)
    }
    if not wanted:
        return {}

    def metadata() -> dict[str, tuple[int, StatisticMetaData]]:
        return get_metadata(hass, statistic_ids=set(wanted.values()))

    found = {
        entity_id: Series(one)
        for entity_id, (_, one) in (
            await get_instance(hass).async_add_executor_job(metadata)
        ).items()
        if one["has_sum"]
    }
    return {key: found.get(entity_id) for key, entity_id in wanted.items()}


async def _async_done(hass: HomeAssistant) -> None:
    """Return when the recorder has done what it was asked for.

    Asked for by itself: what it is at work on does not count as waiting.
    """
    done: asyncio.Future[None] = hass.loop.create_future()
    get_instance(hass).queue_task(SynchronizeTask(done))
    await done


def _row(row: StatisticsRow) -> Row:
    return Row(float(row["state"] or 0), float(row["sum"] or 0), row.get("last_reset"))
