"""History without gaps: a real Home Assistant on a clock of its own misses three days of a meter.

A house's month is metered (``meter-node simulate``), and Home Assistant fills it from the meter's
load profile while the meter runs. Both are ended; the meter's next three days are metered, among
them the night in which summer time ends; both come back. A last time everything is gone through
once more, with Home Assistant's marks removed. Clocks are set by libfaketime and run at the real
pace: only the waiting for a full five minutes is cut short, by the moment at which each part
begins. What is compared with the statistics in Home Assistant's database is read from the meter's
store, with nothing of the integration's code.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from meter_node import keys, store
from meter_node.meter.profile import LOAD_PROFILE
from scripts.benches import faketime
from scripts.benches.result import Result
from scripts.demonstration import broker, home_assistant, meters, ports
from scripts.demonstration.client import Client
from scripts.demonstration.meters import Meter
from scripts.demonstration.processes import Children

MONTH_DAYS, AWAY_DAYS = 30, 3
FIRST_START = datetime(2026, 10, 23, 13, 57, 30, tzinfo=UTC)
"""Summer time ends in the night to the 25th."""
_WITHIN_S = 900.0
_HOUR_S = 3600
_METER_NODE = Path(sys.executable).with_name("meter-node")
_METER = """\
[[meter]]
name = "house"
model = "382M"
push_interval_s = 10
time_zone = "Europe/Copenhagen"
[meter.source]
kind = "simulated"
solar_peak_w = 6000
annual_consumption_kwh = 4000
seed = 1
"""
_BROKER = """
[mqtt]
host = "{host}"
port = {port}
username = "{user.name}"
password = "{user.password}"
"""
_CAPTURED = ("import_active_energy", "export_active_energy")
"""The first two of what a load profile captures by default."""

type Rows = dict[int, tuple[float, float]]
"""State and sum in Wh, by when the hour begins (UTC seconds)."""


@dataclass(slots=True)
class _Site:
    """Where everything is."""

    folder: Path
    port: int
    broker_port: int
    meter: Meter | None = None
    user: broker.User | None = None
    home: broker.User | None = None
    faults: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "node"

    @property
    def database(self) -> Path:
        return self.folder / "home_assistant" / "home-assistant_v2.db"

    @property
    def marks(self) -> Path:
        return self.folder / "home_assistant" / ".storage" / "meter_node"


def run() -> Result:
    """Run the bench and return its result."""
    folder = Path(tempfile.mkdtemp(prefix="meter-node-history-"))
    try:
        site, first, second, third = asyncio.run(_bench(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    changed = sum(third[key].get(at) != row for key in second for at, row in second[key].items())
    hours = {part: min(map(len, rows.values())) for part, rows in (("a", first), ("b", second))}
    figures: dict[str, object] = {
        "hours_of_month": hours["a"],
        "hours_after_absence": hours["b"],
        "faults": len(site.faults),
        "changed_by_second_run": changed,
        "details": site.faults[:20],
        "seconds": site.seconds,
    }
    rows = [
        ("hours filled of the month", str(hours["a"]), f"at least {MONTH_DAYS * 24 - 1}"),
        (
            "hours after three days' absence",
            str(hours["b"]),
            f"at least {(MONTH_DAYS + AWAY_DAYS) * 24 - 1}",
        ),
        ("hours off the registers by 1 Wh, negative or missing", str(len(site.faults)), "0"),
        ("rows changed by a second run", str(changed), "0"),
    ]
    missed = site.faults[:5]
    if hours["a"] < MONTH_DAYS * 24 - 1 or hours["b"] < (MONTH_DAYS + AWAY_DAYS) * 24 - 1:
        missed.append("not all hours are there")
    if changed:
        missed.append(f"a second run changed {changed} rows")
    return Result("history", figures, rows, missed)


async def _bench(folder: Path) -> tuple[_Site, dict[str, Rows], dict[str, Rows], dict[str, Rows]]:
    port, broker_port = ports.free_ports(2)
    site = _Site(folder, port, broker_port)
    await _simulate(site, FIRST_START, MONTH_DAYS)
    # The hour that ends while Home Assistant is there is compiled live, and rewritten.
    live = FIRST_START + timedelta(seconds=60)
    first = await _live(site, "month", live, filled_to=_hour(live) + timedelta(hours=1))
    back = FIRST_START + timedelta(days=AWAY_DAYS, minutes=33)
    await _simulate(site, back, AWAY_DAYS)
    back += timedelta(seconds=150)
    second = await _live(site, "absence", back, filled_to=_hour(back))
    _forget_marks(site)
    again = back + timedelta(minutes=15)
    third = await _live(site, "second run", again, filled_to=_hour(again))
    return site, first, second, third


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


async def _simulate(site: _Site, now: datetime, days: int) -> None:
    """Meter the days up to now; the first time with keys, a pairing and passwords made."""
    async with Children(site.folder / "logs", faketime.environment(now)) as children:
        if site.meter is None:
            await _prepare(site, children)
        command: list[str | Path] = [
            _METER_NODE,
            "simulate",
            "--data-dir",
            site.data,
            "--days",
            str(days),
            "--json",
        ]
        document = json.loads(await children.run("simulate", command))
        if not document["ok"]:
            site.faults.append(f"the simulated past is not complete: {document['reason']}")


async def _prepare(site: _Site, children: Children) -> None:
    site.data.mkdir(parents=True)
    configuration = site.data / "meter_node.toml"
    configuration.touch(mode=0o600)
    configuration.write_text(_METER)
    await children.run("init", [_METER_NODE, "init", "--data-dir", site.data])
    site.meter = await meters.pair(children, site.data, "house", "House", "")
    own_keys = keys.load(site.data)
    site.user = broker.meter_user("node", [site.meter.system_title], own_keys.node)
    site.home = broker.home_assistant_user()
    configuration.write_text(
        _METER + _BROKER.format(host=ports.LOOPBACK, port=site.broker_port, user=site.user)
    )


async def _live(site: _Site, part: str, now: datetime, filled_to: datetime) -> dict[str, Rows]:
    """Have broker, meter and Home Assistant run until history is filled; return its statistics."""
    assert site.meter is not None
    assert site.user is not None
    assert site.home is not None
    begun = time.monotonic()
    async with Children(site.folder / "logs", faketime.environment(now)) as children:
        users = [site.user, site.home]
        await broker.start(children, site.folder / "broker", site.broker_port, users)
        await home_assistant.start(
            children,
            site.folder / "home_assistant",
            site.port,
            site.broker_port,
            site.home,
            meters.ZONE,
            [site.meter],
            [],
        )
        await children.start("node", [_METER_NODE, "run", "--data-dir", site.data])
        async with Client(site.port) as client:
            await children.while_all_run(_until_filled(site, client, filled_to))
            site.faults += await _errors(client)
    site.seconds[part] = round(time.monotonic() - begun, 1)
    rows = {key: _statistics(site, key) for key in _CAPTURED}
    for place, key in enumerate(_CAPTURED):
        site.faults += [
            f"{part}: {key}: {text}" for text in _faults(site, place, rows[key], filled_to)
        ]
    return rows


async def _until_filled(site: _Site, client: Client, filled_to: datetime) -> None:
    assert site.meter is not None
    unique_id = f"{site.meter.system_title}_history_filled_to"
    await client.connect()
    async with asyncio.timeout(_WITHIN_S):
        while True:
            registry = await client.ask("config/entity_registry/list")
            states = await client.states()
            shown = [
                states[entry["entity_id"]]["state"]
                for entry in registry
                if entry["unique_id"] == unique_id and entry["entity_id"] in states
            ]
            if shown and shown[0] not in ("unknown", "unavailable"):
                moment = datetime.fromisoformat(shown[0])
                # After a restart it says what was filled before: the second run has no marks.
                if moment >= filled_to:
                    return
            await asyncio.sleep(1)


async def _errors(client: Client) -> list[str]:
    """What Home Assistant logged of our integration as an error, or of rows that come twice."""
    return [
        f"logged: {' '.join(entry['message'])}"
        for entry in await client.ask("system_log/list")
        if ("meter_node" in str(entry) and entry["level"] in ("ERROR", "CRITICAL"))
        or "duplicated" in str(entry)
    ]


def _forget_marks(site: _Site) -> None:
    content: Any = json.loads(site.marks.read_text())
    for record in content["data"].values():
        record["history"] = {}
    site.marks.write_text(json.dumps(content))


def _statistics(site: _Site, key: str) -> Rows:
    """Read from Home Assistant's own database, once it has closed it."""
    name = f"sensor.house_{key.partition('_')[0]}_energy"
    query = (
        "SELECT start_ts, state, sum, unit_of_measurement FROM statistics JOIN statistics_meta "
        "ON statistics_meta.id = metadata_id WHERE statistic_id = ? ORDER BY start_ts"
    )
    with closing(sqlite3.connect(site.database)) as database:
        found = database.execute(query, (name,)).fetchall()
    in_wh = {"Wh": 1, "kWh": 1000, "MWh": 1_000_000}
    return {
        int(start): (state * in_wh[unit], total * in_wh[unit])
        for start, state, total, unit in found
    }


def _faults(site: _Site, place: int, rows: Rows, filled_to: datetime) -> list[str]:
    """Hold each hour against the registers of the meter's own store."""
    registers = _registers(site, place)
    stamps = sorted(registers)
    first_s = -(-stamps[0] // _HOUR_S) * _HOUR_S
    last_s = int(filled_to.timestamp())
    found = []
    at_hour: dict[int, int] = {}
    kept = iter([*stamps, sys.maxsize])
    stamp, value = next(kept), 0
    for at in range(first_s, last_s + 1, _HOUR_S):
        while stamp <= at:
            value, stamp = registers[stamp], next(kept)
        at_hour[at] = value  # while the meter was off its register stood still
    for before, at in pairwise(at_hour):
        start, used = before, at_hour[at] - at_hour[before]
        name = datetime.fromtimestamp(start, UTC).isoformat()
        if start not in rows or start - _HOUR_S not in rows:
            found.append(f"{name} is missing")
            continue
        shown = rows[start][1] - rows[start - _HOUR_S][1]
        if abs(shown - used) >= 1 or abs(rows[start][0] - at_hour[at]) >= 1:
            found.append(f"{name} shows {shown:.1f} Wh, the registers {used}")
        if shown < 0:
            found.append(f"{name} is negative")
    return found


def _registers(site: _Site, place: int) -> dict[int, int]:
    assert site.meter is not None
    with closing(store.Store(site.data / store.DATABASE)) as database:
        rows = database.profile_rows(bytes.fromhex(site.meter.system_title), LOAD_PROFILE)
    return {row.time_s: value for row in rows if (value := row.values[place]) is not None}
