"""Home Assistant's own store, written before its first start: what clicks would have made.

Versions and fields as 2026.10 writes them. Must not know where the keys and passwords come from.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .broker import User
from .ports import LOOPBACK

DASHBOARD = "meter-demo"


@dataclass(frozen=True, slots=True)
class Entry:
    """One configuration entry."""

    domain: str
    title: str
    data: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    unique_id: str | None = None
    version: int = 1
    minor_version: int = 1


def mqtt_entry(port: int, user: User) -> Entry:
    """Return the entry of Home Assistant's own MQTT integration."""
    return Entry(
        "mqtt",
        "Mosquitto of the demonstration",
        data={
            "broker": LOOPBACK,
            "port": port,
            "username": user.name,
            "password": user.password,
            "protocol": "5",
        },
        options={"discovery": True},
        version=2,
    )


def write(
    folder: Path,
    port: int,
    zone: ZoneInfo,
    entries: Sequence[Entry],
    energy_sources: Sequence[Mapping[str, Any]],
) -> None:
    """Write ``.storage`` into Home Assistant's folder.

    What holds ports, passwords and keys is written at every start; what Home Assistant and its
    user may have changed since, only at the first.
    """
    store = folder / ".storage"
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(store, "core.config_entries", (1, 5), {"entries": [_as_stored(e) for e in entries]})
    _write(store, "http", (2, 2), _http(port))
    first = {
        "onboarding": ((4, 1), {"done": ["user", "core_config", "analytics", "integration"]}),
        "auth": ((1, 1), _one_owner()),
        "core.config": ((1, 4), _place(zone)),
        "energy": ((1, 3), _energy(energy_sources)),
        "frontend.system_data": ((1, 1), {"core": {"default_panel": DASHBOARD}}),
    }
    for key, (version, data) in first.items():
        if not (store / key).exists():
            _write(store, key, version, data)


def _write(store: Path, key: str, version: tuple[int, int], data: Mapping[str, Any]) -> None:
    path = store / key
    path.touch(mode=0o600)
    content = {"version": version[0], "minor_version": version[1], "key": key, "data": data}
    path.write_text(json.dumps(content, indent=2))


def _entry_id(entry: Entry) -> str:
    """Return the same id at each start, which does not give the system title away."""
    return hashlib.sha256(f"{entry.domain} {entry.unique_id}".encode()).hexdigest()[:26]


def _as_stored(entry: Entry) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "entry_id": _entry_id(entry),
        "domain": entry.domain,
        "title": entry.title,
        "data": dict(entry.data),
        "options": dict(entry.options),
        "unique_id": entry.unique_id,
        "version": entry.version,
        "minor_version": entry.minor_version,
        "source": "user",
        "subentries": [],
        "discovery_keys": {},
        "disabled_by": None,
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "created_at": now,
        "modified_at": now,
    }


def _http(port: int) -> dict[str, Any]:
    """A port that is not the stored, confirmed one would be on trial and put back in 5 minutes."""
    stable = {
        "server_host": [LOOPBACK],
        "server_port": port,
        "cors_allowed_origins": ["https://cast.home-assistant.io"],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": True,
        "ssl_profile": "modern",
        "use_x_frame_options": True,
        "created_at": datetime.now(UTC).isoformat(),
        "error": None,
        "error_message": None,
    }
    return {"stable": stable, "pending": None, "yaml_migration_done": True}


def _place(zone: ZoneInfo) -> dict[str, Any]:
    return {
        "location_name": "Home",
        "latitude": 55.68,
        "longitude": 12.57,
        "elevation": 10,
        "radius": 100,
        "unit_system_v2": "metric",
        "time_zone": str(zone),
        "country": "DK",
        "currency": "DKK",
        "language": "en",
        "external_url": None,
        "internal_url": None,
    }


def _energy(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All three lists: where the last is missing, the Energy page loads for ever."""
    return {
        "energy_sources": sources,
        "device_consumption": [],
        "device_consumption_water": [],
    }


def _one_owner() -> dict[str, Any]:
    """Exactly one person, so that nobody has to choose who logs in."""
    owner = {
        "id": secrets.token_hex(16),
        "group_ids": ["system-admin"],
        "is_owner": True,
        "is_active": True,
        "name": "Homeowner",
        "system_generated": False,
        "local_only": True,
    }
    return {"users": [owner], "groups": [], "credentials": [], "refresh_tokens": []}
