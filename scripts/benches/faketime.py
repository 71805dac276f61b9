"""Another clock for child processes: libfaketime, found and set up. Must not know what they do."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PLACES = (
    (_ROOT / ".tools" / "faketime", "usr/lib/*"),
    (Path("/usr/lib"), "*"),
    (Path("/usr"), "lib*"),
)


class NoFaketimeError(Exception):
    """libfaketime is not there; the text says how to get it."""


def library() -> Path:
    """Return the path of libfaketime. Raises NoFaketimeError."""
    for folder, pattern in _PLACES:
        for found in sorted(folder.glob(f"{pattern}/faketime/libfaketime.so.1")):
            return found
    raise NoFaketimeError(
        "libfaketime is missing: run scripts/setup, or install it (apt-get install faketime)"
    )


def environment(now: datetime) -> Mapping[str, str]:
    """Return the environment of processes for which it is ``now``, at the real pace.

    One environment gives one clock to all its processes, whenever they are started. Intervals are
    measured by the real monotonic clock, and files keep their real times.
    """
    offset_s = now.timestamp() - time.time()
    return os.environ | {
        "LD_PRELOAD": str(library()),
        "FAKETIME": f"{offset_s:+.3f}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
