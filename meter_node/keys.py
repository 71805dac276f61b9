"""The node's keys and identity: made by the system's random numbers, in a file of mode 0600.

Must not know what they cipher. Nobody gives a key on a command line.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from meter_node.channel.apdu import TITLE_LENGTH
from meter_node.channel.security import Keys
from meter_node.ciphering import make_keys

FILE_NAME = "keys.json"
_NODE = re.compile(r"[0-9a-z]{1,32}")
MAKER = b"MTN"


class KeyFileError(Exception):
    """The key file can't be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """One meter's system title and keys. `vending` is shared with who sells credit."""

    system_title: bytes
    push: Keys
    vending: bytes | None = None


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
    path = data_dir / FILE_NAME
    keys = _load(path) if path.exists() else NodeKeys(secrets.token_hex(4), {})
    made = {
        name: MeterKeys(MAKER + secrets.token_bytes(5), make_keys(), secrets.token_bytes(16))
        for name in names
        if name not in keys.meters
    }
    # A meter of a version that knew no prepayment gets its vending key now.
    made |= {
        name: replace(keys.meters[name], vending=secrets.token_bytes(16))
        for name in names
        if name in keys.meters and keys.meters[name].vending is None
    }
    if made or not path.exists():
        keys = NodeKeys(keys.node, keys.meters | made)
        _save(path, keys)
    return keys


def renew(data_dir: Path, titles: dict[str, bytes]) -> NodeKeys:
    """Make new keys for meters that keep their system titles (by name); return all keys.

    What was sent under the old keys can't be repeated under the new ones. Every display must be
    paired anew. Raises KeyFileError.
    """
    path = data_dir / FILE_NAME
    keys = _load(path) if path.exists() else NodeKeys(secrets.token_hex(4), {})
    made = {
        name: MeterKeys(title, make_keys(), secrets.token_bytes(16))
        for name, title in titles.items()
    }
    keys = NodeKeys(keys.node, keys.meters | made)
    _save(path, keys)
    return keys


def push_counter(meter: MeterKeys) -> str:
    """Return the name of a push key's counter: it belongs to that key and does not tell it."""
    digest = hashlib.sha256(b"push" + meter.system_title + meter.push.encryption)
    return digest.hexdigest()[:32]


def load(data_dir: Path) -> NodeKeys:
    """Return the keys. Raises KeyFileError when there are none yet."""
    path = data_dir / FILE_NAME
    if not path.exists():
        raise KeyFileError(f"{path}: there are no keys yet; run meter-node init first")
    return _load(path)


def _load(path: Path) -> NodeKeys:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyFileError(
            f"{path}: others on this machine can read the keys (mode {mode:04o}); chmod 600 it"
        )
    try:
        data = json.loads(path.read_text())
        meters = {
            name: MeterKeys(
                bytes.fromhex(entry["system_title"]),
                Keys(
                    bytes.fromhex(entry["push"]["encryption"]),
                    bytes.fromhex(entry["push"]["authentication"]),
                ),
                bytes.fromhex(entry["vending"]) if "vending" in entry else None,
            )
            for name, entry in data["meters"].items()
        }
        if not _NODE.fullmatch(data["node"]):
            raise ValueError("'node' is no name for a topic")
        if any(len(meter.system_title) != TITLE_LENGTH for meter in meters.values()):
            raise ValueError("a system title has 8 bytes")
        return NodeKeys(data["node"], meters)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyFileError(
            f"{path}: the key file is broken ({error!r}); put back a copy of it. Without it "
            "every display must be paired anew"
        ) from None


def _save(path: Path, keys: NodeKeys) -> None:
    data = {
        "node": keys.node,
        "meters": {
            name: {
                "system_title": meter.system_title.hex(),
                "push": {
                    "encryption": meter.push.encryption.hex(),
                    "authentication": meter.push.authentication.hex(),
                },
            }
            | ({} if meter.vending is None else {"vending": meter.vending.hex()})
            for name, meter in keys.meters.items()
        },
    }
    # Written beside and moved over: a cut leaves the old file or the new one, never half of one.
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
