"""The utility's keys of its meters, and the numbers it has used: files of mode 0600.

Two files: the keys, and beside them a state (`<keys>.utility`) with invocation counters, sequences
of tokens and, where the key file is a node's own, the keys that a meter was sent and has not yet
answered for. A node's key file is only read here. Must not know a link or an object.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from meter_node.channel.apdu import TITLE_LENGTH
from meter_node.channel.security import LAST_COUNTER
from meter_node.ciphering import COUNTER_EPOCH, CounterExhaustedError, make_keys, time_floor
from meter_node.keys import (
    KeyFileError,
    Management,
    check_private,
    counter_name,
    management_entry,
    read_management,
    what_is_wrong,
    write_privately,
)

ENVIRONMENT = "METER_NODE_UTILITY_KEYS"
OWN_MAKER = b"UTI"
"""Begins the system title of this tool; the rest is random in every process."""
AHEAD = 256
_STATE_SUFFIX = ".utility"


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """One meter as the utility knows it. `pending`: keys sent to it and not yet answered for."""

    name: str
    system_title: bytes
    management: Management
    vending: bytes | None = None
    pending: Management | None = None
    server: int | None = None
    """The logical device that it is behind its address, where the key file says so."""

    @property
    def candidates(self) -> list[Management]:
        """The keys that the meter may have: one pair, or two where a change was cut short."""
        if self.pending is None or self.pending == self.management:
            return [self.management]
        return [self.management, self.pending]


class Keyring:
    """All meters of one key file, or of keys that came in the environment."""

    def __init__(self, document: Mapping[str, Any], path: Path | None, state: Path) -> None:
        """`path` None: the keys can't be changed, for there is no file to keep new ones in."""
        self._given = document
        self._path = path
        self._state = state

    @classmethod
    def from_file(cls, path: Path) -> Keyring:
        """Use a key file. Raises KeyFileError, OSError."""
        if not path.exists():
            raise KeyFileError(f"{path}: there is no such key file")
        return cls(_read(path), path, path.with_name(path.name + _STATE_SUFFIX))

    @classmethod
    def from_environment(cls, text: str, environment: Mapping[str, str]) -> Keyring:
        """Use what METER_NODE_UTILITY_KEYS holds: the path of a key file, or its JSON.

        With JSON the state is in $XDG_STATE_HOME/meter-node (~/.local/state). Raises KeyFileError,
        OSError.
        """
        if not text.lstrip().startswith("{"):
            return cls.from_file(Path(text).expanduser())
        home = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(home) / "meter-node"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(_parse(text, ENVIRONMENT), None, folder / ("environment" + _STATE_SUFFIX))

    @property
    def names(self) -> list[str]:
        """The meters that there are keys for."""
        return list(self._document()["meters"])

    def choose(self, name: str | None) -> MeterEntry:
        """Return a meter, the only one where no name is given. Raises KeyFileError."""
        names = self.names
        if name is None:
            if len(names) != 1:
                raise KeyFileError(f"--meter: which one? There are: {', '.join(names) or 'none'}")
            name = names[0]
        if name not in names:
            raise KeyFileError(f"--meter: no keys of {name!r}; there are: {', '.join(names)}")
        found = self._document()["meters"][name]
        pending = self._pending_of(name, self._kept(self._pending_path))
        try:
            entry = MeterEntry(
                name,
                bytes.fromhex(found["system_title"]),
                read_management(found["management"]),
                bytes.fromhex(found["vending"]) if "vending" in found else None,
                None if pending is None else read_management(pending),
                None if "server" not in found else int(found["server"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KeyFileError(
                f"{self._where}: the keys of {name} are broken: {what_is_wrong(error)}"
            ) from None
        if len(entry.system_title) != TITLE_LENGTH:
            raise KeyFileError(f"{self._where}: {name}: a system title has 8 bytes")
        return entry

    # --- numbers ---------------------------------------------------------------------------------

    def numbers(self, now: datetime) -> Numbers:
        """Return this process's invocation counters."""
        return Numbers(self, now)

    def reserve(self, name: str, floor: int, count: int) -> int:
        """Return the first of so many numbers that nobody else gets, kept durably by then.

        Raises CounterExhaustedError, OSError: then none was given.
        """
        with self._locked():
            state = self._kept(self._state)
            counters = state.setdefault("counters", {})
            first = max(int(counters.get(name, 0)), floor)
            if first + count > LAST_COUNTER + 1:
                raise CounterExhaustedError(
                    "the numbers of this key are used up: nothing is sent until the keys are "
                    "changed at the meter"
                )
            counters[name] = first + count
            write_privately(self._state, state)
        return first

    def next_sequence(self, meter: MeterEntry, now: datetime) -> int:
        """Return the sequence of a meter's next token, kept as used by then.

        No less than the seconds since 2026-01-01, so that a lost state repeats none at up to one
        token a second. Raises OSError, CounterExhaustedError.
        """
        seconds = max(1, int((now - COUNTER_EPOCH).total_seconds()))
        return self.reserve(_tokens_of(meter), seconds, 1)

    def last_sequence(self, meter: MeterEntry) -> int | None:
        """Return the sequence of the last token that was made here; None for none."""
        bound = self._kept(self._state).get("counters", {}).get(_tokens_of(meter))
        return None if bound is None else int(bound) - 1

    # --- a change of keys ------------------------------------------------------------------------

    def prepare(self, name: str, *, master: bool) -> Management:
        """Return the keys that a meter is to have next, kept durably as pending by then.

        Where a change was cut short these are the keys of then: a meter may have them already, and
        with a third pair nobody would know which. Raises KeyFileError, OSError.
        """
        if self._path is None:
            raise KeyFileError(
                f"{ENVIRONMENT}: new keys need a file that they can be kept in; use --keys"
            )
        with self._locked():
            entry = self.choose(name)
            if entry.pending is not None and len(entry.candidates) > 1:
                return entry.pending
            made = Management(
                make_keys(), secrets.token_bytes(16) if master else entry.management.master
            )
            document = self._kept(self._pending_path)
            meter = document.setdefault("meters", {}).setdefault(name, {})
            meter["pending"] = management_entry(made)
            write_privately(self._pending_path, document)
        return made

    def withdraw(self, name: str) -> None:
        """Forget pending keys that the meter has refused. Raises KeyFileError, OSError."""
        with self._locked():
            document = self._kept(self._pending_path)
            if document.get("meters", {}).get(name, {}).pop("pending", None) is not None:
                write_privately(self._pending_path, document)

    def confirm(self, name: str, keys: Management) -> None:
        """A meter has proved that it has these keys: they are its keys from now on.

        Raises KeyFileError, OSError: then they stay pending, and are found again.
        """
        with self._locked():
            entry = self.choose(name)
            if entry.pending is None or self._path is None:
                return
            if not self._is_a_nodes and keys == entry.pending:
                document = self._kept(self._path)
                document["meters"][name]["management"] = management_entry(keys)
                del document["meters"][name]["pending"]
                write_privately(self._path, document)
            elif self._is_a_nodes and entry.pending == entry.management:
                # The node has written its own file; what was kept beside it has served.
                document = self._kept(self._pending_path)
                del document["meters"][name]["pending"]
                write_privately(self._pending_path, document)

    # --- files -----------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return ENVIRONMENT if self._path is None else str(self._path)

    @property
    def _is_a_nodes(self) -> bool:
        return "node" in self._given

    @property
    def _pending_path(self) -> Path:
        return self._state if self._path is None or self._is_a_nodes else self._path

    def _document(self) -> Mapping[str, Any]:
        return self._given if self._path is None else _read(self._path)

    def _pending_of(self, name: str, document: Mapping[str, Any]) -> Any:
        return document.get("meters", {}).get(name, {}).get("pending")

    def _kept(self, path: Path) -> dict[str, Any]:
        if not path.exists():
            return {}
        check_private(path)
        try:
            found = json.loads(path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise ValueError("no object")
        except ValueError as error:
            # Never begun anew: numbers that were used would be used again.
            raise KeyFileError(f"{path}: the file is broken ({error})") from None
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be alone among the processes that use these files."""
        lock = self._state.with_name(self._state.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _tokens_of(meter: MeterEntry) -> str:
    return f"token {meter.system_title.hex()}"


class Numbers:
    """Invocation counters of one process: each (key, number) once, whoever else runs.

    Its own system title is random, so that a copy of the files on another machine repeats nothing
    either.
    """

    def __init__(self, keyring: Keyring, now: datetime) -> None:
        self.title = OWN_MAKER + secrets.token_bytes(TITLE_LENGTH - len(OWN_MAKER))
        self._keyring = keyring
        self._floor = time_floor(now)
        self._left: dict[bytes, range] = {}

    def take(self, key: bytes) -> int:
        """Return the next number of a key. Raises CounterExhaustedError, KeyFileError, OSError."""
        left = self._left.get(key)
        if not left:
            name = counter_name("utility", b"", key)
            first = self._keyring.reserve(name, self._floor, AHEAD)
            left = range(first, first + AHEAD)
        self._left[key] = left[1:]
        return left[0]


def export(keyring: Keyring, name: str, path: Path, server: int, *, force: bool = False) -> None:
    """Write a meter's management keys into a key file of the utility's own.

    `server`: the logical device that it is at its node. A file that holds other keys than an
    earlier export of this meter is only changed with `force`: then what it has of others stays.
    Raises KeyFileError, OSError.
    """
    entry = keyring.choose(name)
    document: dict[str, Any] = {"meters": {}}
    if path.exists():
        document = dict(_read(path))
        if "node" in document:
            raise KeyFileError(f"{path}: that is a node's own key file")
        others = [
            one
            for one, there in document["meters"].items()
            if one != name or there.get("system_title") != entry.system_title.hex()
        ]
        if others and not force:
            raise KeyFileError(
                f"{path}: it holds the keys of another meter: {', '.join(others)}. --force writes "
                f"those of {name} into it as well, in the place of another {name}"
            )
    document["meters"][name] = {
        "system_title": entry.system_title.hex(),
        "server": server,
        "management": management_entry(entry.management),
        **({} if entry.vending is None else {"vending": entry.vending.hex()}),
    }
    write_privately(path, document)


def _read(path: Path) -> dict[str, Any]:
    check_private(path)
    return _parse(path.read_text("utf-8", errors="replace"), str(path))


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found["meters"], dict):
            raise ValueError("'meters' is no object")
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(
            f"{where}: no key file: {what_is_wrong(error)}. Wanted is what meter-node utility keys "
            "export writes"
        ) from None
    return dict(found)
