"""The node's keys and identity: made by the system's random numbers, in a file of mode 0600.

Must not know what they cipher. Nobody gives a key on a command line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meter_node.channel.apdu import TITLE_LENGTH
from meter_node.channel.pairing import is_name
from meter_node.channel.security import Keys
from meter_node.ciphering import make_keys, own_proof

_LOGGER = logging.getLogger(__name__)

FILE_NAME = "keys.json"
_NODE = re.compile(r"[0-9a-z]{1,32}")
MAKER = b"MTN"


MOST_PAIRINGS = 32
"""Of one meter: every request without a known sender is tried with the keys of each."""


class KeyFileError(Exception):
    """The key file can't be used; the text says why and what to do."""


class PairingRefusedError(Exception):
    """A pairing can't be made or revoked; the text says why."""


@dataclass(frozen=True, slots=True, repr=False)
class Management:
    """The utility's keys (client 1); under `master` it sends new ones (RFC 3394)."""

    keys: Keys
    master: bytes

    def __post_init__(self) -> None:
        """Refuse a key of another length."""
        if len(self.master) != 16:
            raise ValueError(f"the master key has {len(self.master)} bytes, not 16")

    def __repr__(self) -> str:
        """Return a text without the keys."""
        return "Management(…)"


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """One meter's system title and keys. `vending` is shared with who sells credit.

    `wireless` is under which wireless M-Bus telegrams are, and nothing else is; `serial_list` is
    the pair of the ciphered serial list, whose numbers thus rise by one a list.
    `consumers` has a pair of control keys (client 20) for each pairing, by its name. `own` is the
    meter's alone, by which it knows its own pushes: no display is ever given it.
    """

    system_title: bytes
    push: Keys
    vending: bytes | None = None
    management: Management | None = None
    consumers: Mapping[str, Keys] = field(default_factory=dict)
    wireless: bytes | None = None
    serial_list: Keys | None = None
    own: bytes | None = field(default=None, repr=False)

    def prove(self, number: int, text: bytes) -> bytes:
        """Return what proves one of the meter's own pushes to itself. Raises KeyFileError."""
        if self.own is None:
            raise KeyFileError("this meter has no secret of its own yet: the node makes it")
        return own_proof(self.own, number, text)


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """All that is secret in a data directory, and the node's own name on the broker."""

    node: str
    meters: dict[str, MeterKeys]


def load_or_make(data_dir: Path, names: list[str]) -> NodeKeys:
    """Return the keys of the named meters; what is missing is made and kept first.

    A meter that left the configuration keeps its keys. Raises KeyFileError for a file that others
    can read, or that is broken.
    """
    with _alone(data_dir):
        return _load_or_make(data_dir / FILE_NAME, names)


def _load_or_make(path: Path, names: list[str]) -> NodeKeys:
    keys = _load(path) if path.exists() else NodeKeys(secrets.token_hex(4), {})
    made = {
        name: _complete(MeterKeys(MAKER + secrets.token_bytes(5), make_keys()))
        for name in names
        if name not in keys.meters
    }
    # A meter of a version that knew no prepayment, management, radio, list or proof gets those now.
    made |= {
        name: complete
        for name in names
        if name in keys.meters and (complete := _complete(keys.meters[name])) != keys.meters[name]
    }
    if made or not path.exists():
        keys = NodeKeys(keys.node, keys.meters | made)
        _save(path, keys)
    return keys


def _complete(meter: MeterKeys) -> MeterKeys:
    """Make what a meter lacks."""
    return replace(
        meter,
        vending=meter.vending or secrets.token_bytes(16),
        own=meter.own or secrets.token_bytes(32),
        management=meter.management or Management(make_keys(), secrets.token_bytes(16)),
        wireless=meter.wireless or secrets.token_bytes(16),
        serial_list=meter.serial_list or make_keys(),
    )


def change_management(data_dir: Path, name: str, management: Management) -> None:
    """Keep a meter's new management keys: the old ones or the new ones, never a mixture.

    Raises KeyFileError, OSError: then the old ones stay.
    """
    with _alone(data_dir):
        keys = load(data_dir)
        _save_meter(data_dir, keys, name, replace(keys.meters[name], management=management))


def pair(data_dir: Path, name: str, who: str | None, default: str) -> tuple[MeterKeys, str]:
    """Make control keys for one pairing of a meter; return all its keys and the pairing's name.

    Without a name it is the default, or that with the lowest number that is free. Raises
    PairingRefusedError, KeyFileError, OSError.
    """
    with _alone(data_dir):
        keys = load(data_dir)
        meter = keys.meters[name]
        who = _free(default, meter.consumers) if who is None else who
        if not is_name(who):
            raise PairingRefusedError(
                f"a pairing can't be named {who!r}: lower-case letters, digits, - and _, at most 32"
            )
        if who in meter.consumers:
            raise PairingRefusedError(
                f"there is a pairing {who} already: revoke it first, or choose another name"
            )
        if len(meter.consumers) >= MOST_PAIRINGS:
            raise PairingRefusedError(f"there are {MOST_PAIRINGS} pairings: revoke one first")
        meter = replace(meter, consumers={**meter.consumers, who: make_keys()})
        _save_meter(data_dir, keys, name, meter)
        return meter, who


def revoke(data_dir: Path, name: str, who: str) -> None:
    """Forget a pairing's control keys. Raises PairingRefusedError, KeyFileError, OSError."""
    with _alone(data_dir):
        keys = load(data_dir)
        meter = keys.meters[name]
        left = {one: pair for one, pair in meter.consumers.items() if one != who}
        if len(left) == len(meter.consumers):
            there = ", ".join(meter.consumers) or "none"
            raise PairingRefusedError(f"no pairing {who!r} to revoke; there are: {there}")
        _save_meter(data_dir, keys, name, replace(meter, consumers=left))


def renew_push(data_dir: Path, name: str) -> MeterKeys:
    """Make new push keys and forget all pairings, whose displays can't read them; return all keys.

    Raises KeyFileError, OSError.
    """
    with _alone(data_dir):
        keys = load(data_dir)
        meter = replace(keys.meters[name], push=make_keys(), consumers={})
        _save_meter(data_dir, keys, name, meter)
        return meter


class PairingWatch:
    """Looks whether somebody has paired or revoked, or made new push keys, while the node runs."""

    def __init__(self, data_dir: Path, name: str) -> None:
        """Watch one meter's keys."""
        self._path = data_dir / FILE_NAME
        self._name = name
        self._seen: tuple[int, int, int] | None = None
        self._told = ""

    def changed(self) -> MeterKeys | None:
        """Return the keys where the file is another one than at the last look, else None.

        A file that can't be used is told once, and changes nothing.
        """
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp == self._seen:
                return None
            found = _load(self._path).meters[self._name]
        except (OSError, KeyFileError, KeyError) as error:
            if str(error) != self._told:
                self._told = str(error)
                _LOGGER.error("who is paired stays as it was: %s", error)
            return None
        self._seen, self._told = stamp, ""
        return found


def _free(wanted: str, taken: Mapping[str, Keys]) -> str:
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def _save_meter(data_dir: Path, keys: NodeKeys, name: str, meter: MeterKeys) -> None:
    _save(data_dir / FILE_NAME, NodeKeys(keys.node, {**keys.meters, name: meter}))


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile: node and command line both do."""
    directory = os.open(data_dir, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def renew(data_dir: Path, titles: dict[str, bytes]) -> NodeKeys:
    """Make new keys for meters that keep their system titles (by name); return all keys.

    What was sent under the old keys can't be repeated under the new ones. Every display must be
    paired anew. Raises KeyFileError.
    """
    path = data_dir / FILE_NAME
    with _alone(data_dir):
        keys = _load(path) if path.exists() else NodeKeys(secrets.token_hex(4), {})
        made = {name: _complete(MeterKeys(title, make_keys())) for name, title in titles.items()}
        keys = NodeKeys(keys.node, keys.meters | made)
        _save(path, keys)
    return keys


def push_counter(meter: MeterKeys) -> str:
    """Return the name of a push key's counter: it belongs to that key and does not tell it."""
    return counter_name("push", meter.system_title, meter.push.encryption)


_WIRELESS = "wireless"


def wireless_counter(meter: MeterKeys) -> str:
    """Return the name of a wireless key's counter: it tells what it counts, and not the key."""
    name = counter_name(_WIRELESS, meter.system_title, meter.wireless or b"")
    return f"{_WIRELESS}-{name}"


def counts_wireless(name: str) -> bool:
    """Whether a counter's numbers are the shorter ones of wireless telegrams."""
    return name.startswith(_WIRELESS)


def list_counter(meter: MeterKeys) -> str:
    """Return the name of the serial list's counter."""
    key = meter.serial_list.encryption if meter.serial_list else b""
    return counter_name("serial list", meter.system_title, key)


def counter_name(purpose: str, system_title: bytes, key: bytes) -> str:
    """Return under which name the numbers of a title and key are kept."""
    return hashlib.sha256(purpose.encode() + system_title + key).hexdigest()[:32]


def load(data_dir: Path) -> NodeKeys:
    """Return the keys. Raises KeyFileError when there are none yet."""
    path = data_dir / FILE_NAME
    if not path.exists():
        raise KeyFileError(f"{path}: there are no keys yet; run meter-node init first")
    return _load(path)


def check_private(path: Path) -> None:
    """Raise KeyFileError where others can read a file."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyFileError(
            f"{path}: others on this machine can read the keys (mode {mode:04o}); chmod 600 it"
        )


def _load(path: Path) -> NodeKeys:
    check_private(path)
    try:
        data = json.loads(path.read_text())
        meters = {
            name: MeterKeys(
                bytes.fromhex(entry["system_title"]),
                _read_pair(entry["push"]),
                bytes.fromhex(entry["vending"]) if "vending" in entry else None,
                read_management(entry["management"]) if "management" in entry else None,
                {who: _read_pair(pair) for who, pair in entry.get("consumers", {}).items()},
                bytes.fromhex(entry["wireless"]) if "wireless" in entry else None,
                _read_pair(entry["serial_list"]) if "serial_list" in entry else None,
                bytes.fromhex(entry["own"]) if "own" in entry else None,
            )
            for name, entry in data["meters"].items()
        }
        if not _NODE.fullmatch(data["node"]):
            raise ValueError("'node' is no name for a topic")
        if any(len(meter.system_title) != TITLE_LENGTH for meter in meters.values()):
            raise ValueError("a system title has 8 bytes")
        if any(meter.wireless and len(meter.wireless) != 16 for meter in meters.values()):
            raise ValueError("a wireless key has 16 bytes")
        return NodeKeys(data["node"], meters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyFileError(
            f"{path}: the key file is broken: {what_is_wrong(error)}; put back a copy of it. "
            "Without it every display must be paired anew"
        ) from None


def what_is_wrong(error: Exception) -> str:
    """Return in words why a key file could not be read."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno} is no JSON"
    if isinstance(error, (TypeError, AttributeError)):
        return "something in it is of another kind than it should be"
    return "a key or a title is not hexadecimal" if "hexadecimal" in str(error) else str(error)


def _read_pair(entry: Mapping[str, str]) -> Keys:
    return Keys(bytes.fromhex(entry["encryption"]), bytes.fromhex(entry["authentication"]))


def read_management(entry: Mapping[str, str]) -> Management:
    """Read the utility's keys as they stand in a key file. Raises KeyError, ValueError."""
    return Management(_read_pair(entry), bytes.fromhex(entry["master"]))


def _pair(keys: Keys) -> dict[str, str]:
    return {"encryption": keys.encryption.hex(), "authentication": keys.authentication.hex()}


def management_entry(management: Management) -> dict[str, str]:
    """Return the utility's keys as they stand in a key file."""
    return _pair(management.keys) | {"master": management.master.hex()}


def _entry(meter: MeterKeys) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "system_title": meter.system_title.hex(),
        "push": _pair(meter.push),
    }
    if meter.vending is not None:
        entry["vending"] = meter.vending.hex()
    if meter.management is not None:
        entry["management"] = management_entry(meter.management)
    if meter.wireless is not None:
        entry["wireless"] = meter.wireless.hex()
    if meter.serial_list is not None:
        entry["serial_list"] = _pair(meter.serial_list)
    if meter.own is not None:
        entry["own"] = meter.own.hex()
    if meter.consumers:
        entry["consumers"] = {who: _pair(pair) for who, pair in meter.consumers.items()}
    return entry


def _save(path: Path, keys: NodeKeys) -> None:
    data = {
        "node": keys.node,
        "meters": {name: _entry(meter) for name, meter in keys.meters.items()},
    }
    write_privately(path, data)


def write_privately(path: Path, document: object) -> None:
    """Write JSON to a file of mode 0600: a cut leaves the old file or the new one, never half.

    Durable when it returns. Raises OSError.
    """
    # Written beside and moved over.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if path.exists() and os.geteuid() == 0:
            # Root may pair, too: the node's own user must be able to read it afterwards.
            owner = path.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
