"""Back-up and restore of a data directory's store, and its copies found out.

A copy is older than what was published since: counters, entries and registers must not go on
from there. Must not know a broker: what was published last is handed in. Keys are in no back-up.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

from meter_node import __version__, keys, module_keeping, store
from meter_node.ciphering import COUNTER_EPOCH, time_floor, wireless_floor
from meter_node.meter import floor, restored
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import EventLogs
from meter_node.meter.rows import Image
from meter_node.meter.snapshot import NANO, ROLLOVER_NWH
from meter_node.published import Published

INSTANCE = "instance"
"""A file beside the database with a random name of this copy, new at each start of the node."""
STATE_PART = "restore"
"""Part of a meter's state that a restored copy begins with: see `Restored.state`."""
COUNTER_JUMP = 1 << 20
"""Numbers that a copy leaves out above its own: six days of what the clock gives. The floor by the
clock is what usually counts; this one is for a clock that is wrong."""
WIRELESS_JUMP = 1 << 18
"""The same of the shorter numbers of wireless telegrams: nearly six days."""
_MACHINE = (
    Path("/etc/machine-id"),
    Path("/var/lib/dbus/machine-id"),
    Path("/proc/device-tree/serial-number"),
)


class BackupError(Exception):
    """It can't be backed up or restored; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored or copied store went on with."""

    raised_nwh: Mapping[bytes, Mapping[str, int]] = field(default_factory=dict)
    """System title to registers and by how much (nWh, nvarh) they were raised."""
    off: frozenset[bytes] = frozenset()
    """System titles of the meters whose supply was on in the store, and is off now."""
    new_keys: bool = False


# --- the running node -----------------------------------------------------------------------------


def claim(
    data_dir: Path, database: store.Store, now_s: int, local: Mapping[bytes, LocalTime]
) -> bool:
    """Make this the place where the database lives; return whether it was another.

    To be called by the node that has the lock, before anything is taken from the store. The
    database and the file `instance` know each other, and the database knows the file's inode, its
    time of change and the machine: a data directory that was copied, on this machine or another,
    a database that was put back without the file, and both put back together are found. Then
    counters and log entries jump, `cloned` is logged, and tokens wait (`STATE_PART`): all of it
    harmless to a directory that was only moved by copying. A rename is not noticed. Raises
    StoreError.
    """
    path = data_dir / INSTANCE
    here = _here(path)
    strange = not _is_known(database, here)
    name = secrets.token_hex(16)
    with database.transaction():
        if strange:
            _go_on_above(database, ["cloned"], now_s, local, {}, {})
        database.set_mark(INSTANCE, json.dumps(here | {"next": name}))
    _write(path, name)
    database.set_mark(INSTANCE, json.dumps({"id": name, "place": _place(path), "next": None}))
    return strange


def raise_to_published(
    database: store.Store,
    meter: keys.MeterKeys,
    last: Published,
    now_s: int,
    local: LocalTime,
) -> Mapping[str, int] | None:
    """Hold a store against the push that the broker retains; return what had to be raised (nWh).

    A register that is below what was published shows that the store is older than that, however
    it came here, and so does a number of the key that it has not reserved: then everything goes on
    above, what was cut stays cut, and `restored` is logged. None: nothing had to be done. Raises
    StoreError.
    """
    kept, counter = database.kept(meter.system_title), keys.push_counter(meter)
    if last.counter < database.reserved_counter(counter) and not floor.raised(
        kept.energies_nwh, last.energies_nwh()
    ):
        return None
    done = _go_on_above(
        database,
        ["restored"],
        now_s,
        {meter.system_title: local},
        {meter.system_title: last},
        {counter: last.counter + 1},
        ran={},
        titles=[meter.system_title],
    )
    return done.raised_nwh[meter.system_title]


# --- back-up and restore --------------------------------------------------------------------------


def back_up(data_dir: Path, file: Path, now_s: int) -> None:
    """Write a copy of the store as of now into one file; the node may be running.

    Keys, configuration and passwords are not in it; system titles and names of the meters are.
    Raises BackupError, StoreError, KeyFileError, OSError.
    """
    if not (data_dir / store.DATABASE).exists():
        raise BackupError(f"{data_dir / store.DATABASE}: nothing was metered yet")
    own_keys = keys.load(data_dir)
    temporary = file.with_name(file.name + ".new")
    _remove(temporary)
    temporary.touch(mode=0o600)
    try:
        with closing(store.Store(data_dir / store.DATABASE)) as database:
            database.copy_to(temporary)
        with closing(store.Store(temporary)) as copy:
            copy.set_mark(INSTANCE, None)
            note = {
                "time_s": now_s,
                "software": __version__,
                "meters": {
                    name: meter.system_title.hex() for name, meter in own_keys.meters.items()
                },
            }
            copy.set_mark("backup", json.dumps(note))
        with closing(sqlite3.connect(temporary)) as plain:
            plain.execute("PRAGMA journal_mode=DELETE")  # one file, without a journal beside it
        _sync(temporary)
        temporary.replace(file)
        _sync(file.parent)
    finally:
        _remove(temporary)


def restore(
    file: Path,
    data_dir: Path,
    *,
    now_s: int,
    last: Mapping[bytes, Published] | None = None,
    local: Mapping[bytes, LocalTime] | None = None,
    new_keys: bool = False,
    replace: bool = False,
) -> Restored:
    """Put a back-up into a data directory that no node works on.

    Registers are raised to the floor, which is what was published last (`last`, by system title)
    and what the store here holds, if it is the one that was running here. A meter for which
    neither can be had needs `new_keys`: its displays are paired anew and know nothing that could
    go back. A store here that is newer than the back-up needs `replace`. Counters and log entries
    go on above all that can have been used since, and `restored` is logged. What was cut stays cut
    and what was spent stays spent (`restored.taken_over`); tokens wait where no store here knows
    which were. Raises BackupError, DataDirectoryInUseError, StoreError, KeyFileError, and then the
    data directory is as it was, but for keys that were made.
    """
    last, local = last or {}, local or {}
    if datetime.fromtimestamp(now_s, UTC) < COUNTER_EPOCH:
        raise BackupError("this machine's clock is wrong: set it first, counters go by it")
    path, temporary = data_dir / store.DATABASE, data_dir / "restore.sqlite"
    with store.lock(data_dir):
        _remove(temporary)
        temporary.touch(mode=0o600)
        try:
            _copy_checked(file, temporary)
            with closing(store.Store(temporary)) as copy:
                titles = copy.titles()
                note = json.loads(copy.mark("backup") or '{"meters": {}}')
                running = _running(data_dir)
                if not replace:
                    _refuse_older(copy, running.kept, path)
                floors = running.kept if running.known else {}
                lacking = [t for t in titles if t not in floors and t not in last]
                names = _names(data_dir, titles, note["meters"])
                new_keys = new_keys or not (data_dir / keys.FILE_NAME).exists()
                if lacking and not new_keys:
                    raise BackupError(
                        f"{file}: what was published since can't be had, so a register might go "
                        "back; with --new-keys the meters get new keys, and every display must "
                        "be paired anew"
                    )
                pushed = _pushed(data_dir, last)
                if new_keys:
                    keys.renew(data_dir, names)
                counters = dict(running.counters)
                for counter, number in pushed.values():
                    counters[counter] = max(counters.get(counter, 0), number + 1)
                with copy.transaction():
                    done = _go_on_above(
                        copy,
                        ["restored", "keys_changed"] if new_keys else ["restored"],
                        now_s,
                        local,
                        last,
                        counters,
                        floors=floors,
                        ran=running.last(pushed),
                        titles=titles,
                    )
                    copy.set_mark("backup", None)
                    copy.set_mark(INSTANCE, None)
                # Without the file, a cut from here on is a store that its next start finds moved.
                (data_dir / INSTANCE).unlink(missing_ok=True)
                if running.damaged:
                    _put_aside(path, now_s)
                copy.copy_to(path)
        finally:
            _remove(temporary)
    return Restored(done.raised_nwh, done.off, new_keys)


@dataclass(frozen=True, slots=True)
class _Running:
    """The store that is in the data directory before a restore."""

    kept: Mapping[bytes, store.Kept] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    known: bool = False
    """It is the one that ran here last, not itself a copy."""
    damaged: bool = False

    def last(self, pushed: Mapping[bytes, tuple[str, int]]) -> dict[bytes, store.Kept]:
        """Return what ran here last: no meter of which a push had a number not reserved here."""
        return {
            title: kept
            for title, kept in self.kept.items()
            if self.known
            and (title not in pushed or pushed[title][1] < self.counters.get(pushed[title][0], 0))
        }


def _running(data_dir: Path) -> _Running:
    path = data_dir / store.DATABASE
    if not path.exists():
        return _Running()
    try:
        with closing(sqlite3.connect(path)) as plain:
            (check,) = plain.execute("PRAGMA quick_check(1)").fetchone()
        if check != "ok":
            return _Running(damaged=True)
        with closing(store.Store(path)) as database:
            known = _is_known(database, _here(data_dir / INSTANCE))
            kept = {title: database.kept(title) for title in database.titles()}
            return _Running(kept, database.counters(), known)
    except (sqlite3.Error, store.StoreError):
        return _Running(damaged=True)


def _refuse_older(copy: store.Store, here: Mapping[bytes, store.Kept], path: Path) -> None:
    for title in copy.titles():
        if title in here and here[title].time_ns > copy.kept(title).time_ns:
            raise BackupError(
                f"{path} is newer than the back-up, and what was logged since would be lost; "
                "--replace does it all the same"
            )


def _pushed(data_dir: Path, last: Mapping[bytes, Published]) -> dict[bytes, tuple[str, int]]:
    """Return name of the counter and number of what was published last, by system title."""
    if not last:
        return {}
    return {
        meter.system_title: (keys.push_counter(meter), last[meter.system_title].counter)
        for meter in keys.load(data_dir).meters.values()
        if meter.system_title in last
    }


def _names(data_dir: Path, titles: Iterable[bytes], noted: Mapping[str, str]) -> dict[str, bytes]:
    """Return name and system title of the back-up's meters. Raises BackupError for others'."""
    if (data_dir / keys.FILE_NAME).exists():
        known = {name: m.system_title for name, m in keys.load(data_dir).meters.items()}
        advice = "restore into an empty directory: it gets the meters and new keys for them"
    else:
        known = {name: bytes.fromhex(title) for name, title in noted.items()}
        advice = "put its keys.json there first"
    names = {title: name for name, title in known.items()}
    for title in titles:
        if title not in names:
            raise BackupError(
                f"{data_dir}: there is no key of the meter {title.hex()} in the back-up; {advice}"
            )
    return {names[title]: title for title in titles}


def _go_on_above(
    database: store.Store,
    events: list[str],
    now_s: int,
    local: Mapping[bytes, LocalTime],
    last: Mapping[bytes, Published],
    counters: Mapping[str, int],
    *,
    floors: Mapping[bytes, store.Kept] | None = None,
    ran: Mapping[bytes, store.Kept] | None = None,
    titles: Iterable[bytes] | None = None,
) -> Restored:
    """Let a store that may be old go on above all that can have happened since; and log it.

    `ran`: what is known to have run here last; None leaves supply and credit as they are.
    """
    raised: dict[bytes, Mapping[str, int]] = {}
    off: set[bytes] = set()
    utc = LocalTime(ZoneInfo("UTC"))
    if titles is None:
        titles = dict.fromkeys([*database.titles(), *local])
    with database.transaction():
        _raise_counters(database, counters, now_s)
        for title in titles:
            # Pulses that were sent since must not be sent again.
            database.drop_marks(module_keeping.mark_name(title, module_keeping.COUNTED))
            kept = database.kept(title)
            # A clock that was lost knows less than the last commit.
            moment_s = max(now_s, kept.time_ns // NANO)
            energies = dict(kept.energies_nwh)
            if floors and title in floors:
                energies |= floor.raised(energies, floors[title].energies_nwh)
            if title in last:
                energies |= floor.raised(energies, last[title].energies_nwh())
            raised[title] = _moved(kept.energies_nwh, energies)
            # No log grows by more than an entry a second: as high as its age is unused.
            database.jump(title, max(0, moment_s - int(COUNTER_EPOCH.timestamp())))
            logs = EventLogs(local.get(title, utc), database.kept(title).log_heads)
            states: dict[str, str] = {}
            tokens_wait = True
            if ran is not None:
                here = ran.get(title)
                states = restored.taken_over(
                    kept,
                    here,
                    last[title].supply if title in last else restored.NOTHING_SHOWN,
                    energies.get(restored.IMPORT, 0),
                    moment_s,
                )
                tokens_wait = here is None or _tokens_wait(here)
                if restored.is_open(states) and not restored.is_open(kept.states):
                    off.add(title)
            state = {
                "reason": events[0],
                "time_s": moment_s,
                "tokens_wait": tokens_wait,
                "raised_nwh": raised[title],
            }
            detail = _told(raised[title], off=title in off)
            database.commit(
                title,
                Image(
                    kept.time_ns,
                    energies,
                    {**states, STATE_PART: json.dumps(state)},
                    logs.append(
                        Event.of(name, moment_s, detail if name == events[0] else "")
                        for name in events
                    ),
                ),
            )
    return Restored(raised, frozenset(off))


def _moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much each register that was raised was raised, over its end too."""
    return {
        key: (energy - before.get(key, 0)) % ROLLOVER_NWH
        for key, energy in after.items()
        if energy != before.get(key, 0)
    }


def _raise_counters(database: store.Store, counters: Mapping[str, int], now_s: int) -> None:
    """Let no number be used twice, of these counters nor of the store's own."""
    now = datetime.fromtimestamp(now_s, UTC)
    by_clock, wireless_by_clock = time_floor(now), wireless_floor(now)
    for name, reserved in (database.counters() | dict(counters)).items():
        is_wireless = keys.counts_wireless(name)
        jump = WIRELESS_JUMP if is_wireless else COUNTER_JUMP
        above = max(reserved, database.reserved_counter(name)) + jump
        database.reserve_counter(name, max(above, wireless_by_clock if is_wireless else by_clock))


def _tokens_wait(ran: store.Kept) -> bool:
    """Whether it does not know itself which tokens are spent."""
    waits: bool = json.loads(ran.states.get(STATE_PART, "{}")).get("tokens_wait", False)
    return waits or "credit" not in ran.states


def _told(raised_nwh: Mapping[str, int], *, off: bool) -> str:
    told = [
        f"{key} +{nwh / NANO / 1000:.3f} kWh"
        for key in (restored.IMPORT, "export_active_energy")
        if (nwh := raised_nwh.get(key))
    ]
    return "; ".join([*told, "supply off"] if off else told)


def _copy_checked(file: Path, temporary: Path) -> None:
    """Copy a back-up, whose every page was looked at. Raises BackupError."""
    if not file.exists():
        raise BackupError(f"{file}: there is no such file")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as source:
            (check,) = source.execute("PRAGMA quick_check(1)").fetchone()
            if check != "ok":
                raise BackupError(f"{file}: the back-up is damaged ({check})")
            if not source.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meter'").fetchone():
                raise BackupError(f"{file}: this is no back-up of a meter-node")
            with closing(sqlite3.connect(temporary)) as copy:
                source.backup(copy)
    except sqlite3.Error as error:
        raise BackupError(f"{file}: the back-up can't be read ({error})") from None


def _here(path: Path) -> dict[str, str | None]:
    return {"id": _read(path), "place": _place(path)}


def _is_known(database: store.Store, here: dict[str, str | None]) -> bool:
    """Whether the database and the file beside it were left like this by the last start here."""
    noted = json.loads(database.mark(INSTANCE) or "null")
    if noted is None:
        return here["id"] is None  # neither has started yet
    if noted["next"] is not None and here["id"] == noted["next"]:
        return True  # a cut came between the new file and its place in the database
    return here == {"id": noted["id"], "place": noted["place"]}


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _place(path: Path) -> str | None:
    """Return what the file has here and has not where it is copied or put back."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    # A machine's identity is its own business (machine-id(5)): only a hash of it is kept.
    machine = b"".join(file.read_bytes() for file in _MACHINE if file.exists())
    digest = hashlib.sha256(b"meter-node" + machine).hexdigest()[:16]
    return f"{digest}:{status.st_ino}:{status.st_ctime_ns}"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.touch(mode=0o600)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise store.StoreError(f"{path}: can't write ({error.strerror})") from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _put_aside(path: Path, now_s: int) -> None:
    # Its journal first: beside another database it would be taken for that one's.
    for suffix in ("-wal", "-shm", "-journal", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"damaged-{now_s}.sqlite{suffix}"))
