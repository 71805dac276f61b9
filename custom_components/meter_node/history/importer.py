"""Fills one meter's statistics: when, from where, how far it has come, and what if it can't.

The recorder builds each row on the newest of its five-minute rows, so nothing is written before
there is one: neither after the first start (its sums begin at 0, whatever was imported) nor after a
later one (it catches up first, and would meet rows that are not its own). Nor is the hour in
progress ever written. Must not know how readings travel, nor how they become rows.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from homeassistant.const import EVENT_RECORDER_5MIN_STATISTICS_GENERATED, Platform
from homeassistant.core import CALLBACK_TYPE, Event, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util

from ..const import DOMAIN
from ..issues import HISTORY, async_leave_issue, issue_id
from ..scale import Rescaling
from . import recorded
from .hours import HOUR_S, Priced
from .intervals import Intervals
from .passage import Mark, Passage
from .plan import SHORT_TERM_S
from .readings import DELTAS, ProfileSource, Reading, SourceError
from .recorded import Series

if TYPE_CHECKING:
    from ..coordinator import MeterNodeCoordinator

_LOGGER = logging.getLogger(__name__)

COUNTERS = ("import_active_energy", "export_active_energy")
SPREAD_S = 60
"""Many meters are not all asked in the same second."""
SETTLED_S = 60
"""After a whole hour: its row is committed, and its live statistics are compiled."""
BORNE = timedelta(hours=24)
"""So long it may fail before its user is told."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=4), timedelta(hours=1)
"""After a failure; it doubles."""


class HistoryImporter:
    """Fills the statistics of one meter's totals from what a source has kept."""

    def __init__(
        self,
        coordinator: MeterNodeCoordinator,
        source: Callable[[], ProfileSource | None],
    ) -> None:
        """``source`` is asked for at each fill; None while the meter has none."""
        self._coordinator = coordinator
        self._hass = coordinator.hass
        self._source = source
        self._done_s = 0
        self._waiting = False
        self._failing_since: datetime | None = None
        self._pause = FIRST_PAUSE
        self._not_before: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def filled_to(self) -> datetime | None:
        """Up to when every hour is as the meter's registers say; None before the first fill."""
        marks = self._coordinator.history_marks
        hours_s = [marks[key][1] for key in COUNTERS if key in marks]
        return datetime.fromtimestamp(min(hours_s), UTC) if hours_s else None

    @callback
    def async_start(self) -> CALLBACK_TYPE:
        """Begin; return what ends it. A fill that runs is the entry's task and ends with it."""
        self._coordinator.async_show_history(self.filled_to)
        leave = self._hass.bus.async_listen(
            EVENT_RECORDER_5MIN_STATISTICS_GENERATED, self._on_compiled
        )

        @callback
        def end() -> None:
            leave()
            async_leave_issue(self._hass, self._issue_id)

        return end

    @callback
    def _on_compiled(self, _event: Event) -> None:
        """The recorder has just compiled: fill what is due."""
        now = dt_util.utcnow()
        if self._task is not None and not self._task.done():
            return
        if (rescaling := self._coordinator.rescaling) is not None:
            # Nothing is filled meanwhile. The five minutes in which the new scale was shown first
            # must be compiled: the recorder builds them on the row before.
            if rescaling.since_s is not None and rescaling.since_s < _five_minutes(now):
                self._task = self._coordinator.config_entry.async_create_background_task(
                    self._hass,
                    self._async_rescale(rescaling, rescaling.since_s),
                    f"other scale of {self._coordinator.name}",
                )
            return
        if not (self._waiting or self._until_s(now) > self._done_s):
            return
        if not self._coordinator.available or (self._not_before and now < self._not_before):
            return
        if (source := self._source()) is None:
            return
        self._task = self._coordinator.config_entry.async_create_background_task(
            self._hass, self._async_fill(source), f"history of {self._coordinator.name}"
        )

    async def _async_rescale(self, rescaling: Rescaling, since_s: int) -> None:
        """Bring the statistics of one total after the other into the new scale."""
        all_series = await recorded.async_series(
            self._hass, self._entities(rescaling.totals, disabled=True)
        )
        for key, total in list(rescaling.totals.items()):
            series = all_series.get(key)
            if series is not None:
                await series.async_rescale(self._hass, since_s, rescaling.exponent, total)
            await self._coordinator.async_rescaled(key)
        _LOGGER.info(
            "%s: the statistics of energy were multiplied by 10^%s",
            self._coordinator.name,
            rescaling.exponent,
        )

    def _until_s(self, now: datetime) -> int:
        """Up to when there is to be filled: never past what its sensors show.

        A register that then falls would go on from less than history had counted.
        """
        shown_s = self._coordinator.totals.came_s
        return min(int(now.timestamp()) - SETTLED_S, shown_s or 0) // HOUR_S * HOUR_S

    async def _async_fill(self, source: ProfileSource) -> None:
        await asyncio.sleep(zlib.crc32(self._coordinator.title.encode()) % SPREAD_S)
        until_s = self._until_s(dt_util.utcnow())
        self._waiting = False
        groups = await self._async_groups(self._priced())
        passage = Passage(
            self._hass,
            source,
            self._coordinator.totals.shown_wh,
            self._priced(),
            self._on_mark,
            until_s,
        )
        try:
            for mark, series in groups.items():
                await self._async_pass(passage, series, mark)
        except SourceError as error:
            self._fail(error)
            return
        self._waiting |= passage.waiting
        self._done_s = until_s
        self._succeed(passage.written)

    def _priced(self) -> dict[str, Priced]:
        """The amounts that can be told: while no price of now is known, none of then is, either."""
        pricing, prices = self._coordinator.pricing, self._coordinator.prices_of_then
        if pricing is None or prices is None:
            return {}
        now = dt_util.utcnow()
        known = {
            "import_cost": pricing.import_price(now),
            "export_compensation": pricing.export_price(now),
        }
        priced = {
            "import_cost": Priced("import_active_energy", prices.import_price),
            "export_compensation": Priced("export_active_energy", prices.export_price),
        }
        return {key: one for key, one in priced.items() if known[key] is not None}

    async def _async_groups(
        self, priced: Mapping[str, Priced]
    ) -> dict[Mark | None, dict[str, Series]]:
        """Return the series that there are, those together that have come equally far.

        A mark whose hour is not in the database any more is none.
        """
        pricing = self._coordinator.pricing
        currency = "" if pricing is None else pricing.currency
        all_series = await recorded.async_series(self._hass, self._entities((*COUNTERS, *priced)))
        groups: dict[Mark | None, dict[str, Series]] = {}
        for key, series in all_series.items():
            if series is None:
                self._waiting = True
                continue
            if key in COUNTERS and not series.is_energy:
                continue  # somebody has made it something else
            if key in priced and series.unit != currency:
                continue  # another currency's: Home Assistant asks what shall become of it
            mark = self._mark(key)
            if mark is not None and not await series.async_has(self._hass, mark.hour_s - HOUR_S):
                mark = None
                if key in priced:  # deleted, to be filled anew
                    self._coordinator.async_forget_prices(key)
            groups.setdefault(mark, {})[key] = series
        if (capacity := self._capacity_key) is not None:
            groups.setdefault(self._mark(capacity), {})
        return groups

    def _entities(self, keys: Iterable[str], *, disabled: bool = False) -> dict[str, str]:
        """Return the ids of those sensors that there are, whatever they are called now."""
        registry = er.async_get(self._hass)
        unique_id = self._coordinator.config_entry.unique_id
        found = {
            key: registry.async_get_entity_id(Platform.SENSOR, DOMAIN, f"{unique_id}_{key}")
            for key in keys
        }
        return {
            key: entity_id
            for key, entity_id in found.items()
            if entity_id is not None and (disabled or not registry.entities[entity_id].disabled)
        }

    async def _async_pass(
        self, passage: Passage, series: Mapping[str, Series], mark: Mark | None
    ) -> None:
        """Go through the source once; a capacity rule's intervals are taken in their turn."""
        capacity, key = self._coordinator.capacity, self._capacity_key
        if capacity is None or key is None or self._mark(key) != mark:
            await passage.async_run(series, mark, lambda _: None)
            return
        intervals = Intervals("import_active_energy", capacity.interval_min)

        def fill(readings: Sequence[Reading]) -> None:
            if windows := intervals.take(readings):
                self._coordinator.fill_capacity(windows)

        await passage.async_run(series, mark, fill)
        if passage.last is not None:
            self._on_mark(key, passage.last)

    @property
    def _capacity_key(self) -> str | None:
        """Under which its mark stands: another rule's intervals are taken from the beginning."""
        capacity = self._coordinator.capacity
        return None if capacity is None else f"capacity_{capacity.preset_id}"

    def _mark(self, key: str) -> Mark | None:
        kept = self._coordinator.history_marks.get(key)
        return None if kept is None else Mark(*kept)

    @callback
    def _on_mark(self, key: str, mark: Mark) -> None:
        self._coordinator.async_mark_history(key, list(mark))
        self._coordinator.async_show_history(self.filled_to)

    # --- what became of it ---------------------------------------------------------------------

    @property
    def _issue_id(self) -> str:
        return issue_id(HISTORY, self._coordinator.config_entry.entry_id)

    def _succeed(self, written: int) -> None:
        self._failing_since = self._not_before = None
        self._pause = FIRST_PAUSE
        ir.async_delete_issue(self._hass, DOMAIN, self._issue_id)
        # The last hour alone is everyday work.
        level = logging.INFO if written > 2 * len(COUNTERS) else logging.DEBUG
        _LOGGER.log(level, "%s: %d hours of history were filled", self._coordinator.name, written)

    def _fail(self, error: SourceError) -> None:
        """Try again later; tell the user once it has lasted, or what will not pass."""
        now = dt_util.utcnow()
        if self._failing_since is None:
            self._failing_since = now
            _LOGGER.info("%s: history waits: %s", self._coordinator.name, error)
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        if error.reason == DELTAS or now - self._failing_since >= BORNE:
            ir.async_create_issue(
                self._hass,
                DOMAIN,
                self._issue_id,
                is_fixable=False,
                severity=ir.IssueSeverity.WARNING,
                translation_key="history_deltas" if error.reason == DELTAS else "history_failing",
                translation_placeholders={"meter": self._coordinator.name, "reason": str(error)},
            )


def _five_minutes(now: datetime) -> int:
    """Return when the five minutes began that are not compiled yet (UTC seconds)."""
    return int(now.timestamp()) // SHORT_TERM_S * SHORT_TERM_S
