"""How long the demonstration lives, and where: until it is done or somebody asks it to end."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .processes import Children

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def folder_for(wanted: Path | None) -> Iterator[Path]:
    """Give the wanted folder, or a temporary one that is removed afterwards."""
    if wanted is not None:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield wanted.resolve()
        return
    prefix = "meter-node-demo-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        yield Path(name)


async def until_done(children: Children, work: Coroutine[Any, Any, int]) -> int:
    """Do the work and return its exit code; cancel it when asked to end, kill when asked twice."""
    task = asyncio.ensure_future(work)

    def asked() -> None:
        if task.cancelling():
            children.kill()
        else:
            task.cancel()

    for number in _ASKING:
        asyncio.get_running_loop().add_signal_handler(number, asked)
    try:
        return await task
    except asyncio.CancelledError:
        return 1
