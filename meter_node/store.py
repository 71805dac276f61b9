"""What must outlive a power cut, in SQLite: energies with their remainders, and key counters.

Must not know how a value came about. Every commit is durable when it returns (WAL with
``synchronous=FULL``) and whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from meter_node.meter.snapshot import NANO, Snapshot

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meter (title BLOB PRIMARY KEY, time_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE energy (
    title BLOB NOT NULL, register TEXT NOT NULL, wh INTEGER NOT NULL, nwh INTEGER NOT NULL,
    PRIMARY KEY (title, register)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (key_name TEXT PRIMARY KEY, reserved INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
# A signed 64-bit column of nWh would end at 9.22 GWh, below the roll-over of 10 GWh: hence two.


_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


class StoreError(Exception):
    """The store can't be read or written; the text says why and what to do."""


class DataDirectoryInUseError(Exception):
    """Another node works on this data directory."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store knows of one meter."""

    time_ns: int = 0
    energies_nwh: Mapping[str, int] = field(default_factory=dict)


def lock(data_dir: Path) -> IO[str]:
    """Claim the data directory for this process, as long as the returned file is open.

    Raises DataDirectoryInUseError naming the process that has it, StoreError where nothing can be
    written. The kernel gives the lock back
    however the process ends.
    """
    # Opened for appending: a second node must be able to read who holds it before it truncates.
    try:
        file = (data_dir / "lock").open("a+")
    except OSError as error:
        raise StoreError(
            f"{data_dir}: the node keeps its registers there and can't write ({error.strerror})"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise DataDirectoryInUseError(
            f"{data_dir}: another node (process {holder}) works on this data directory; "
            "end it first, or give this one a --data-dir of its own"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


class Store:
    """The node's one database. Used by one thread at a time."""

    def __init__(self, path: Path, *, alone: bool = False) -> None:
        """Open or make the database. Raises StoreError.

        ``alone``: nobody else needs to read it meanwhile. SQLite then keeps the index of its
        journal in memory, so that even a full disk can be started on.
        """
        self._path = path
        with self._told("open"):
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._told("open"):
                if alone:
                    self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=FULL")
                self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def kept(self, title: bytes) -> Kept:
        """Return what was last committed for a meter; nothing yet is all zero."""
        with self._told("read"):
            row = self._database.execute(
                "SELECT time_ns FROM meter WHERE title = ?", (title,)
            ).fetchone()
            if row is None:
                return Kept()
            energies = self._database.execute(
                "SELECT register, wh, nwh FROM energy WHERE title = ?", (title,)
            ).fetchall()
        return Kept(row[0], {register: wh * NANO + nwh for register, wh, nwh in energies})

    def commit(self, title: bytes, snapshot: Snapshot) -> None:
        """Keep a snapshot, whole or not at all. Raises StoreError, and then nothing changed."""
        rows = [
            (title, register, *divmod(energy, NANO))
            for register, energy in snapshot.energies_nwh.items()
        ]
        with self._told("write"), self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO meter VALUES (?, ?)", (title, snapshot.time_ns)
            )
            self._database.executemany("INSERT OR REPLACE INTO energy VALUES (?, ?, ?, ?)", rows)

    def reserved_counter(self, key_name: str) -> int:
        """Return the bound below which numbers of a key may have been used; 0 at first."""
        with self._told("read"):
            row = self._database.execute(
                "SELECT reserved FROM counter WHERE key_name = ?", (key_name,)
            ).fetchone()
        return int(row[0]) if row else 0

    def reserve_counter(self, key_name: str, bound: int) -> None:
        """Keep a new bound; it can only rise. Raises StoreError."""
        with self._told("write"), self._transaction():
            self._database.execute(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT (key_name) "
                "DO UPDATE SET reserved = max(reserved, excluded.reserved)",
                (key_name, bound),
            )

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        if version != 0:
            raise StoreError(
                f"{self._path}: made by a newer version (schema {version}, this program knows "
                f"{SCHEMA_VERSION}); update meter-node"
            )
        with self._transaction():
            for statement in _SCHEMA.split(";"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: can't {doing} ({_plain(error)})") from error


def _plain(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) in _FULL:
        return "the disk is full: make room"
    return str(error)
