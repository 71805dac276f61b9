"""What a homeowner should know and can do something about, as repairs: one table.

It is looked through once a minute. Must not know MQTT or ciphers, nor how something is repaired.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from . import energy_dashboard
from .channel import meter_node_v1
from .channel.cosem_time import ClockStatus
from .const import DEFAULT_PUSH_INTERVAL_S, DOMAIN, MISSED_PUSHES
from .coordinator import MeterNodeConfigEntry, MeterNodeCoordinator

REVIEW_EVERY: Final = timedelta(minutes=1)
SILENT_AFTER_S: Final = 600
"""Longer than a broker or a node takes to start again."""
CLOCK_OFF_S: Final = 30
"""A tariff may change at a wrong moment then, and a request is refused for its age at 10 s."""
CLOCK_OFF_REVIEWS: Final = 3
"""So many frames, a minute apart: a broker that was away hands late frames over all at once."""
PRICE_GONE_REVIEWS: Final = 10
"""So many minutes a sensor may take to come back when its integration is loaded anew."""
OLDEST_SOFTWARE: Final = (0, 1)
"""Of a node: older ones push what this version no longer understands."""

ENERGY_DASHBOARD: Final = "energy_dashboard"
TOTAL_FELL: Final = "total_fell"
HISTORY: Final = "history"
"""Raised by what fills the statistics, when it can't."""

_MORE = "https://github.com/meter-node/meter-node/blob/main/docs/home-assistant.md#troubleshooting"
_NUMBERS = re.compile(r"\d+(?:[.]\d+)*")

type Placeholders = dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What the table judges by."""

    silent_s: float
    """Since anything came on the meter's topic, or since the start."""
    push_interval_s: int = DEFAULT_PUSH_INTERVAL_S
    node_online: bool = False
    """Its node says so: it is not the node that is away."""
    clock_off_s: float | None = None
    """By how much, where it was off in several reviews in a row: positive where it is fast."""
    clock_invalid: bool = False
    """The meter says so itself."""
    protocol: str | None = None
    software: str | None = None
    prices_gone: tuple[str, ...] = ()
    """Price-now sensors (entity ids) that have not been there for several reviews."""
    totals_fell: bool = False
    misses_energy_dashboard: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A row: what is wrong, and whether Home Assistant can repair it."""

    key: str
    holds: Callable[[Situation], Placeholders | None]
    """Returns what its text says beside the meter's name, None where all is well."""
    is_fixable: bool = False
    severity: ir.IssueSeverity = ir.IssueSeverity.WARNING


def _when(condition: Callable[[Situation], bool]) -> Callable[[Situation], Placeholders | None]:
    return lambda situation: {} if condition(situation) else None


def _is_silent(situation: Situation) -> bool:
    patience_s = max(SILENT_AFTER_S, MISSED_PUSHES * situation.push_interval_s)
    return situation.node_online and situation.silent_s >= patience_s


def _clock_off(situation: Situation) -> Placeholders | None:
    if situation.clock_off_s is None or situation.clock_invalid:
        return None
    sign = "+" if situation.clock_off_s > 0 else "−"
    return {"deviation": f"{sign}{timedelta(seconds=round(abs(situation.clock_off_s)))}"}


def version(text: str) -> tuple[int, ...] | None:
    """Return the numbers that a version begins with, None where it begins with none."""
    match = _NUMBERS.match(text.removeprefix("v"))
    return None if match is None else tuple(map(int, match[0].split(".")))


def _software_old(situation: Situation) -> Placeholders | None:
    if situation.protocol != meter_node_v1.LIST_NAME or situation.software is None:
        return None  # a real meter's software is its maker's affair
    running = version(situation.software)
    if running is None or running >= OLDEST_SOFTWARE:
        return None
    wanted = ".".join(map(str, OLDEST_SOFTWARE))
    return {"software": situation.software, "wanted": wanted}


def _price_gone(situation: Situation) -> Placeholders | None:
    return {"sensor": ", ".join(situation.prices_gone)} if situation.prices_gone else None


PROBLEMS: Final = (
    Problem(key="channel_silent", holds=_when(_is_silent)),
    Problem(key="clock_invalid", holds=_when(lambda situation: situation.clock_invalid)),
    Problem(key="clock_off", holds=_clock_off),
    Problem(
        key=ENERGY_DASHBOARD,
        holds=_when(lambda situation: situation.misses_energy_dashboard),
        is_fixable=True,
    ),
    Problem(key="price_sensor_gone", holds=_price_gone),
    Problem(key="software_old", holds=_software_old),
    Problem(key=TOTAL_FELL, holds=_when(lambda situation: situation.totals_fell), is_fixable=True),
)


def issue_id(problem: str, entry_id: str) -> str:
    """Return the id of a meter's issue."""
    return f"{problem}_{entry_id}"


class Watch:
    """Looks through the table for one meter, and raises and clears its issues."""

    def __init__(self, hass: HomeAssistant, coordinator: MeterNodeCoordinator) -> None:
        """Begin to look once a minute, until ``async_stop``."""
        self._hass = hass
        self._meter = coordinator
        self._raised: set[str] = set()
        self._frames_off = 0
        self._prices_gone: Counter[str] = Counter()  # in how many reviews in a row
        self._judged: datetime | None = None  # the frame whose clock was looked at last
        self._stopped = False
        self._cancel = async_track_time_interval(hass, self._async_review, REVIEW_EVERY)

    @callback
    def async_stop(self) -> None:
        """Leave nothing behind but what a homeowner has chosen to ignore."""
        self._stopped = True
        self._cancel()
        for problem in self._raised:
            async_leave_issue(self._hass, self._id(problem))

    def _id(self, problem: str) -> str:
        return issue_id(problem, self._meter.config_entry.entry_id)

    async def _async_review(self, now: datetime) -> None:
        misses_energy_dashboard = await self._async_misses()
        if self._stopped:  # meanwhile: what is raised now, nobody would clear
            return
        situation = self._situation(misses_energy_dashboard=misses_energy_dashboard)
        for problem in PROBLEMS:
            said = problem.holds(situation)
            if said is None:
                self._clear(problem)
            else:
                self._raise(problem, said)

    async def _async_misses(self) -> bool:
        """Return whether the Energy dashboard lacks the meter, which then has statistics.

        The database is asked only until that was so once, where the meter is not there at all: who
        ignores the issue pays nothing.
        """
        missing = await energy_dashboard.async_missing(self._hass, self._meter.config_entry)
        if missing is None:
            return False
        if ENERGY_DASHBOARD in self._raised and not missing.is_there:
            return True
        found = await energy_dashboard.async_proposal(self._hass, self._meter.config_entry)
        return found is not None

    def _situation(self, *, misses_energy_dashboard: bool) -> Situation:
        meter = self._meter
        reading = meter.reading
        heard = meter.last_heard or meter.started
        status = reading.time.status if reading and reading.time else None
        return Situation(
            silent_s=(dt_util.utcnow() - heard).total_seconds(),
            push_interval_s=meter.push_interval_s,
            node_online=meter.node_online is True,
            clock_off_s=self._clock_off_s(),
            clock_invalid=bool((status or 0) & ClockStatus.INVALID_VALUE),
            protocol=meter.list_name,
            software=meter.software,
            prices_gone=self._gone_for_long(meter.tariffs.missing_prices),
            totals_fell=bool(meter.totals.fallen),
            misses_energy_dashboard=misses_energy_dashboard,
        )

    def _gone_for_long(self, missing: Sequence[str]) -> tuple[str, ...]:
        self._prices_gone = Counter({one: self._prices_gone[one] + 1 for one in missing})
        return tuple(one for one in missing if self._prices_gone[one] >= PRICE_GONE_REVIEWS)

    def _clock_off_s(self) -> float | None:
        """Return how far the clock is off, where it was in each of the last reviews of a frame."""
        live, off_s = self._meter.last_live, self._meter.clock.off_s
        if live is None or off_s is None:
            return None
        if abs(off_s) <= CLOCK_OFF_S:
            self._frames_off = 0
        elif live.at != self._judged:
            self._frames_off += 1
        self._judged = live.at
        return off_s if self._frames_off >= CLOCK_OFF_REVIEWS else None

    def _raise(self, problem: Problem, said: Mapping[str, str]) -> None:
        if problem.key in self._raised:
            return  # the same words for as long as it lasts
        self._raised.add(problem.key)
        entry = self._meter.config_entry
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._id(problem.key),
            data={"problem": problem.key, "entry_id": entry.entry_id},
            is_fixable=problem.is_fixable,
            learn_more_url=_MORE,
            severity=problem.severity,
            translation_key=problem.key,
            translation_placeholders={"meter": entry.title, **said},
        )

    def _clear(self, problem: Problem) -> None:
        """Take it back, once it was raised: before that, what a homeowner ignores stays ignored."""
        if problem.key in self._raised:
            self._raised.discard(problem.key)
            ir.async_delete_issue(self._hass, DOMAIN, self._id(problem.key))


@callback
def async_watch(hass: HomeAssistant, entry: MeterNodeConfigEntry) -> None:
    """Watch a meter for as long as its entry is loaded."""
    entry.async_on_unload(Watch(hass, entry.runtime_data).async_stop)


@callback
def async_forget(hass: HomeAssistant, entry_id: str) -> None:
    """Delete every issue of a meter that is no more, ignored ones too."""
    for key in (HISTORY, *(problem.key for problem in PROBLEMS)):
        ir.async_delete_issue(hass, DOMAIN, issue_id(key, entry_id))


@callback
def async_leave_issue(hass: HomeAssistant, which: str) -> None:
    """Delete an issue that nobody looks after any more, but not one that was ignored."""
    issue = ir.async_get(hass).async_get_issue(DOMAIN, which)
    if issue is not None and issue.dismissed_version is None:
        ir.async_delete_issue(hass, DOMAIN, which)
