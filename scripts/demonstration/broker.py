"""A Mosquitto of the demonstration's own: on loopback, a password and few rights for each user."""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .ports import LOOPBACK, wait_until_open
from .processes import Child, ChildError, Children

_ITERATIONS = 101  # mosquitto_passwd's own
_TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin"
_ELSEWHERE = (str(_TOOLS), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


@dataclass(frozen=True, slots=True)
class User:
    """Who may connect, and what to."""

    name: str
    password: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


_SPOKEN = ("hello", "push", "response/#", "kept/response/#")
_HEARD = ("request/#", "kept/request/#", "push")


def meter_user(name: str, titles: Sequence[str], node: str) -> User:
    """Return a user for a process that speaks for the meters ``titles`` and for nobody else."""
    writes = [f"meter_node/node/{node}/status"]
    for title in titles:
        writes += [f"meter_node/{title}/{topic}" for topic in _SPOKEN]
    return User(
        name,
        secrets.token_urlsafe(18),
        # Its own last push, too: a node that starts holds its store against it.
        reads=tuple(f"meter_node/{title}/{topic}" for title in titles for topic in _HEARD),
        writes=tuple(writes),
    )


def home_assistant_user() -> User:
    """Return a user that sees all meters, asks them, and can pretend to be none."""
    return User(
        "home-assistant",
        secrets.token_urlsafe(18),
        reads=("meter_node/#", "homeassistant/#"),
        writes=("meter_node/+/request/#", "meter_node/+/kept/request/#", "homeassistant/status"),
    )


async def start(children: Children, folder: Path, port: int, users: Sequence[User]) -> Child:
    """Start the broker and return once it listens. Raises ChildError."""
    program = find()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "mosquitto.conf": _configuration(folder, port),
        "acl": _rights(users),
        "passwords": "".join(f"{user.name}:{_hash(user.password)}\n" for user in users),
    }
    _write_private(folder, files)
    child = await children.start("mosquitto", [program, "-c", folder / "mosquitto.conf"])
    try:
        await wait_until_open(port)
    except TimeoutError as error:
        raise ChildError(f"mosquitto does not answer: {error}", child.log) from None
    return child


def find() -> str:
    """Return the path of Mosquitto. Raises ChildError that says how to get it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE))
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise ChildError(
            "Mosquitto is missing: run scripts/setup, or install it (apt-get install mosquitto)"
        )
    return program


def _configuration(folder: Path, port: int) -> str:
    lines = (
        f"listener {port} {LOOPBACK}",
        "allow_anonymous false",
        f"password_file {folder / 'passwords'}",
        f"acl_file {folder / 'acl'}",
        # Started by root it would become another user, who can't read these files.
        f"user {getpass.getuser()}",
        "persistence false",
        "log_dest stdout",
        "log_timestamp_format %Y-%m-%d %H:%M:%S",
    )
    return "\n".join(lines) + "\n"


def _rights(users: Sequence[User]) -> str:
    lines = []
    for user in users:
        lines.append(f"user {user.name}")
        lines += [f"topic read {topic}" for topic in user.reads]
        lines += [f"topic write {topic}" for topic in user.writes]
        lines.append("")
    return "\n".join(lines)


def _hash(password: str) -> str:
    """Return the password as mosquitto_passwd writes it (PBKDF2, SHA-512)."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    salted = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("", "7", str(_ITERATIONS), *salted))


def _write_private(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(content)
