"""What must outlive a restart of Home Assistant: counters, totals, logs; one file for all meters.

What each push moves is written within half a minute, all else within seconds. Must not know what a
frame is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from .channel.security import Keys
from .const import DEFAULT_PUSH_INTERVAL_S, DOMAIN

SAVE_DELAY_S = 2
PUSH_SAVE_DELAY_S = 30
"""For what every push moves: writing it each time would wear out a memory card. Whoever makes Home
Assistant crash can have the pushes of these seconds accepted once more, which are no older than
that, move no total back and count no energy twice."""
METERS_A_SECOND = 100
"""All are written together, so a street's file is written more seldom than a household's."""
_VERSION = 1


def fingerprint(keys: Keys | None) -> str:
    """Return a text by which keys are told from others without giving them away."""
    if keys is None:
        return ""
    return hashlib.sha256(DOMAIN.encode() + keys.encryption + keys.authentication).hexdigest()[:32]


@dataclass(slots=True)
class MeterRecord:
    """What is kept of one meter; only what was received last is valid for one pair of keys."""

    keys: str
    """Their fingerprint: counters are counted anew with new keys."""
    scaler_profile: str
    """In which power of ten the totals are kept."""
    highest: int | None = None
    digest: str = ""
    plain: dict[str, Any] = field(default_factory=dict)
    """When the last frame was sent and came, of a meter without keys: see ``plain_order``."""
    push_interval_s: int = DEFAULT_PUSH_INTERVAL_S
    """As the last hello announced it, which anyone may have written."""
    totals: dict[str, float] = field(default_factory=dict)
    """As they are shown."""
    bases: dict[str, float] = field(default_factory=dict)
    """What a total is shown above its register, since that went back and was taken as it is."""
    falls: dict[str, list[float]] = field(default_factory=dict)
    """Registers that were taken as they are: from where each fell, to where, and its base then."""
    steps: dict[str, list[list[float]]] = field(default_factory=dict)
    """How each register that ever went back came to its base, and when: see ``falls``."""
    came_s: int | None = None
    """When totals came last (UTC seconds, by the meter's clock)."""
    gaps_s: list[int] = field(default_factory=list)
    """Between the last good live frames: how often the meter really sends."""
    entries: dict[str, int] = field(default_factory=dict)
    """The highest entry that was seen of each event log: an entry is told once."""
    history: dict[str, list[int]] = field(default_factory=dict)
    """How far the statistics of a total are filled: the load profile's entry, and the hour."""
    calendar: dict[str, Any] | None = None
    """The meter's own, as it was last read."""
    costs: dict[str, Any] = field(default_factory=dict)
    """See ``costs``."""
    prices: list[Mapping[str, Any]] = field(default_factory=list)
    """Which were in force since when: see ``price_history``."""
    priced_since_s: dict[str, int] = field(default_factory=dict)
    """When the statistics of an amount were deleted: no prices from before serve it any more."""
    overridden: list[list[int]] = field(default_factory=list)
    """In which hours the utility had overridden the calendar: see ``price_history``."""
    heard_s: list[int] = field(default_factory=list)
    """From when to when frames came without an absence (UTC seconds, by the meter's clock)."""
    capacity: dict[str, Any] = field(default_factory=dict)
    """See ``capacity``."""
    rescale: dict[str, Any] = field(default_factory=dict)
    """What statistics lack after a change of scale: see ``scale``."""

    def with_keys(self, keys: str, highest: int | None, digest: str) -> Self:
        """Return it for other keys of the same meter: what was measured and paid goes on.

        It is another record, since whoever still listens with the old keys writes in this one. The
        numbers of log entries begin anew, as a node that was set up anew counts them from one.
        """
        return replace(self, keys=keys, highest=highest, digest=digest, entries={}, plain={})


_FIELDS = tuple(one.name for one in fields(MeterRecord))


class MeterStore:
    """``records`` of all meters by topic title; who changes one says so by ``async_changed``."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Know where they stand; ``async_get_store`` loads them."""
        self._store = Store[dict[str, dict[str, Any]]](hass, _VERSION, DOMAIN, private=True)
        self.records: dict[str, MeterRecord] = {}
        self._loaded = False
        self._save_pending = False
        self._soon = False

    async def async_load(self) -> None:
        """Read the file, once; what a newer version kept besides is passed over."""
        if self._loaded:
            return
        stored = await self._store.async_load() or {}
        if not self._loaded:  # another caller may have come here meanwhile
            self._loaded = True
            self.records = {
                title: MeterRecord(
                    **{name: value for name, value in record.items() if name in _FIELDS}
                )
                for title, record in stored.items()
            }

    @callback
    def async_changed(self, *, soon: bool = True) -> None:
        """Have the records written: soon, or with what each push moves.

        ``async_delay_save`` puts an earlier request off each time, so it is asked once a write.
        """
        if self._soon or (self._save_pending and not soon):
            return
        self._save_pending, self._soon = True, soon
        delay_s = SAVE_DELAY_S if soon else PUSH_SAVE_DELAY_S
        self._store.async_delay_save(
            self._content, max(delay_s, len(self.records) / METERS_A_SECOND)
        )

    async def async_save(self) -> None:
        """Write now what is waiting to be written."""
        if self._save_pending:
            await self._store.async_save(self._content())

    def _content(self) -> dict[str, dict[str, Any]]:
        self._save_pending = self._soon = False
        # By hand: dataclasses.asdict takes ten times as long, and a street has many records.
        return {
            title: {name: getattr(record, name) for name in _FIELDS}
            for title, record in self.records.items()
        }


_STORE: HassKey[MeterStore] = HassKey(DOMAIN)


async def async_get_store(hass: HomeAssistant) -> MeterStore:
    """Return the store, loaded."""
    store = hass.data.setdefault(_STORE, MeterStore(hass))
    await store.async_load()
    return store
