"""What must outlive a restart of Home Assistant: counters, totals, logs; one file for all meters.

A counter is written within seconds of its frame. Must not know what a frame is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from .channel.security import Keys
from .const import DEFAULT_PUSH_INTERVAL_S, DOMAIN

SAVE_DELAY_S = 2
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
    """What is kept of one meter, valid for one pair of keys."""

    keys: str
    """Their fingerprint: counters are counted anew with new keys."""
    scaler_profile: str
    """Totals in another scale are no measure for the ones to come."""
    highest: int | None = None
    digest: str = ""
    push_interval_s: int = DEFAULT_PUSH_INTERVAL_S
    """As the last hello announced it, which anyone may have written."""
    totals: dict[str, float] = field(default_factory=dict)
    """As they are shown."""
    bases: dict[str, float] = field(default_factory=dict)
    """What a total is shown above its register, since that went back and was taken as it is."""
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
    capacity: dict[str, Any] = field(default_factory=dict)
    """See ``capacity``."""


_FIELDS = tuple(one.name for one in fields(MeterRecord))


class MeterStore:
    """``records`` of all meters by topic title; who changes one says so by ``async_changed``."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Know where they stand; ``async_get_store`` loads them."""
        self._store = Store[dict[str, dict[str, Any]]](hass, _VERSION, DOMAIN, private=True)
        self.records: dict[str, MeterRecord] = {}
        self._loaded = False
        self._save_pending = False

    async def async_load(self) -> None:
        """Read the file, once."""
        if self._loaded:
            return
        stored = await self._store.async_load() or {}
        if not self._loaded:  # another caller may have come here meanwhile
            self._loaded = True
            self.records = {title: MeterRecord(**record) for title, record in stored.items()}

    @callback
    def async_changed(self) -> None:
        """Have the records written soon.

        ``async_delay_save`` puts an earlier request off each time, so it is asked once a write.
        """
        if not self._save_pending:
            self._save_pending = True
            delay_s = max(SAVE_DELAY_S, len(self.records) / METERS_A_SECOND)
            self._store.async_delay_save(self._content, delay_s)

    async def async_save(self) -> None:
        """Write now what is waiting to be written."""
        if self._save_pending:
            await self._store.async_save(self._content())

    def _content(self) -> dict[str, dict[str, Any]]:
        self._save_pending = False
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
