"""What a bridge keeps of a real meter's frames, in SQLite: its customer port can't be asked again.

Of each quarter-hour the first frame of each length: the lengths tell a meter's lists apart where
the cipher hides their names, and the first after the boundary is what the registers stood at there.
Must not know a key, nor what is in a frame.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from meter_node.channel.kept import LATEST_S, LONGEST_FRAME, KeptFrame

_LOGGER = logging.getLogger(__name__)

FILE_NAME = "kept.sqlite"
QUARTER_S = 900
QUARTERS_A_DAY = 86_400 // QUARTER_S
MOST_LENGTHS = 4
"""Of one quarter-hour: a real meter sends two lists, and noise on a line must not fill a disk."""
MOST_METERS = 8

_SCHEMA = """
CREATE TABLE IF NOT EXISTS frame (
    title TEXT NOT NULL, quarter INTEGER NOT NULL, length INTEGER NOT NULL,
    arrived_s INTEGER NOT NULL, frame BLOB NOT NULL, PRIMARY KEY (title, quarter, length)
) STRICT, WITHOUT ROWID
"""


class KeptFrames:
    """The frames of the last days; each is on disk when ``add`` returns."""

    def __init__(self, folder: Path, days: int) -> None:
        """Open what is kept there. Raises OSError where that can't be.

        A file that is no database any more is set aside: forwarding matters more than history.
        """
        self.days = days
        self._path = folder / FILE_NAME
        self._filled: dict[str, tuple[int, set[int]]] = {}
        self._complained = False
        try:
            try:
                self._database = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._set_aside(str(error))
                self._database = self._open()
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: frames can't be kept there ({error})") from None

    def _open(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)  # a plain meter's frames tell when somebody is at home
        database = sqlite3.connect(self._path, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(_SCHEMA)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _set_aside(self, reason: str) -> None:
        _LOGGER.warning(
            "%s is damaged (%s): set aside as %s.damaged, frames are kept anew",
            self._path,
            reason,
            self._path.name,
        )
        self._path.replace(self._path.with_name(self._path.name + ".damaged"))
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()

    def close(self) -> None:
        """Leave the file."""
        self._database.close()

    def add(self, title: str, frame: bytes, arrived_s: int) -> bool:
        """Keep a frame if it is the first of its length in its quarter-hour; whether it was."""
        quarter, length = arrived_s // QUARTER_S, len(frame)
        if not 0 < length <= LONGEST_FRAME or not 0 <= arrived_s <= LATEST_S:
            return False
        known, lengths = self._filled.get(title, (None, set()))
        if known == quarter and (length in lengths or len(lengths) >= MOST_LENGTHS):
            return False
        try:
            if not self._knows(title):
                return False
            if known != quarter:
                lengths = self._begin(title, quarter)
            if length in lengths or len(lengths) >= MOST_LENGTHS:
                return False
            self._database.execute(
                "INSERT INTO frame VALUES (?, ?, ?, ?, ?)",
                (title, quarter, length, arrived_s, frame),
            )
        except sqlite3.Error as error:
            self._complain(error)
            return False
        lengths.add(length)
        self._complained = False
        return True

    def _begin(self, title: str, quarter: int) -> set[int]:
        """Begin a quarter-hour: return the lengths that it has already.

        What is older than the days is pruned by the number of quarter-hours and not by their age:
        a clock that leaps ahead must not cost what is kept.
        """
        rows = self._database.execute(
            "SELECT length FROM frame WHERE title = ? AND quarter = ?", (title, quarter)
        )
        lengths = {length for (length,) in rows}
        most = self.days * QUARTERS_A_DAY
        self._database.execute(
            "DELETE FROM frame WHERE title = ?1 AND quarter <= (SELECT quarter FROM (SELECT "
            "DISTINCT quarter FROM frame WHERE title = ?1 ORDER BY quarter DESC) "
            "LIMIT 1 OFFSET ?2)",
            (title, most - (0 if lengths else 1)),
        )
        self._filled[title] = (quarter, lengths)
        return lengths

    def _knows(self, title: str) -> bool:
        """Whether the meter is one of those that are kept, or may become one."""
        if title in self._filled:
            return True
        titles = self.titles() | self._filled.keys()
        return title in titles or len(titles) < MOST_METERS

    def titles(self) -> set[str]:
        """Return the meters of which frames are kept."""
        return {title for (title,) in self._database.execute("SELECT DISTINCT title FROM frame")}

    def of(self, title: str, first_s: int, end_s: int) -> Iterator[KeptFrame]:
        """Give a meter's frames that arrived in that time, in the order in which they arrived.

        Raises sqlite3.Error where the disk does not give them.
        """
        rows = self._database.execute(
            "SELECT arrived_s, frame FROM frame WHERE title = ? AND quarter BETWEEN ? AND ? "
            "AND arrived_s >= ? AND arrived_s < ? ORDER BY quarter, arrived_s, length",
            (title, first_s // QUARTER_S, end_s // QUARTER_S, first_s, end_s),
        )
        for arrived_s, frame in rows:
            yield KeptFrame(arrived_s, frame)

    def _complain(self, error: sqlite3.Error) -> None:
        # A full disk must not fill the log, and is no reason not to forward.
        if not self._complained:
            self._complained = True
            _LOGGER.warning("%s: a frame could not be kept (%s)", self._path, error)
