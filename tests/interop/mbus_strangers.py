"""Strangers that read M-Bus: pyMeterBus (BSD) and wmbusmeters (GPL), each in a process of its own.

Fixtures for the tests that import them. Whoever can't be had fails the test and says why.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.met import meet

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "strangers"
METERBUS_VERSION = "0.8.5"
METERBUS_READER = Path(__file__).with_name("meterbus_reader.py")
WMBUSMETERS_SERIES = "2."
OUR_DRIVER = ROOT / "docs" / "wmbusmeters" / "meter_node.xmq"
IDENTIFICATION = "11000123"
"""Of the one meter that all of these tests' telegrams are of."""
_PACKAGES = (
    "wmbusmeters librtlsdr0 libusb-1.0-0 libudev1 libcap2 libxml2-16 libstdc++6 libgcc-s1 libc6 "
    "zlib1g liblzma5"
)


@pytest.fixture(scope="session")
def meterbus_python() -> Path:
    """The interpreter of an environment that has pyMeterBus; made once, kept between runs."""
    folder = PLACE / f"pymeterbus-{METERBUS_VERSION}"
    python = folder / "bin" / "python"
    if not python.exists() or _run([str(python), "-c", "import meterbus"]).returncode:
        uv = [sys.executable, "-m", "uv"]
        wanted = f"pyMeterBus=={METERBUS_VERSION}"
        for command in (
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [*uv, "pip", "install", "--quiet", "--python", str(python), wanted],
        ):
            done = _run(command)
            if done.returncode:
                pytest.fail(f"{wanted} can't be had: {done.stderr.strip()}")
    meet(f"pyMeterBus {METERBUS_VERSION}, in a process of its own")
    return python


@dataclass(frozen=True)
class Wmbusmeters:
    """The program; ``command`` starts it."""

    command: tuple[str, ...]

    def read(
        self, source: str, driver: str, key: str, *options: str, given: str = ""
    ) -> list[dict[str, Any]]:
        """Return what it makes of telegrams: of its device ``source``, or a telegram as it is.

        ``given`` is its standard input.
        """
        arguments = ["--format=json", *options, source, "house", driver, IDENTIFICATION, key]
        done = subprocess.run(
            [*self.command, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return documents(done.stdout.splitlines())


def documents(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The readings among lines of output."""
    return [json.loads(line) for line in lines if line.startswith('{"_":"telegram"')]


@pytest.fixture(scope="session")
def wmbusmeters() -> Wmbusmeters:
    """The machine's own wmbusmeters 2, or Debian testing's, unpacked; kept between runs."""
    own = shutil.which("wmbusmeters")
    if own and _version([own]).startswith(WMBUSMETERS_SERIES):
        return _told((own,))
    prefix = PLACE / "wmbusmeters"
    if not _version(_unpacked(prefix)).startswith(WMBUSMETERS_SERIES):
        shutil.rmtree(prefix, ignore_errors=True)
        done = _run(["bash", "-c", _GET, "get", str(ROOT), str(prefix), _PACKAGES])
        if done.returncode or not _version(_unpacked(prefix)).startswith(WMBUSMETERS_SERIES):
            pytest.fail(
                "wmbusmeters 2 can't be had: it is not on the path, and Debian testing's could not "
                f"be unpacked: {done.stderr.strip()[-1000:]}"
            )
    return _told(_unpacked(prefix))


_GET = """
set -euo pipefail
TOOLS=$2.apt
. "$1/scripts/lib/debian.sh"
has_apt
update_testing
unpack "$2" testing_apt $3
rm -rf "$TOOLS"
"""


def _unpacked(prefix: Path) -> tuple[str, ...]:
    """What starts an unpacked one, on the C library that came with it."""
    for loader in prefix.glob("usr/lib/*/ld-linux*.so.*"):
        program = prefix / "usr" / "bin" / "wmbusmeters"
        return (str(loader), "--library-path", str(loader.parent), str(program))
    return ()


def _version(command: Iterable[str]) -> str:
    command = [*command]
    if not command:
        return ""
    found = re.search(r"wmbusmeters: (\S+)", _run([*command, "--version"]).stdout)
    return found[1] if found else ""


def _told(command: tuple[str, ...]) -> Wmbusmeters:
    meet(f"wmbusmeters {_version(command)}, in a process of its own")
    return Wmbusmeters(command)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
