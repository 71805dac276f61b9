"""Child processes that never outlive the demonstration. Must not know what they are for.

Each child leads a session of its own, writes to a log of its own and carries a marker in its
environment, by which whatever it leaves behind is found again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MARKER = "METER_NODE_DEMONSTRATION"
_GRACE_S = 20.0
_PR_SET_PDEATHSIG = 1


class ChildError(Exception):
    """A child failed or ended by itself; ``log`` is what it wrote."""

    def __init__(self, text: str, log: Path | None = None) -> None:
        """Keep the log beside the text."""
        super().__init__(text)
        self.log = log


@dataclass(slots=True)
class Child:
    """One running child."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process


class Children:
    """Starts children; leaving the ``async with`` ends all of them, whatever happened."""

    def __init__(self, logs: Path, environment: Mapping[str, str] = os.environ) -> None:
        """Write the children's logs into the folder ``logs``; what they find in theirs."""
        self.logs = logs
        self.environment = environment
        self._marker = secrets.token_hex(8)
        self._running: list[Child] = []
        self._watches: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Queue[Child] = asyncio.Queue()
        self._hurry = False
        self.left = 0
        """How many processes were still there after the end; they were killed then."""

    async def __aenter__(self) -> Self:
        """Make the folder for the logs."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every child, the last started first, and count what is left."""
        for child in reversed(self._running.copy()):
            await self.end(child)
        for watch in self._watches:
            watch.cancel()
        self.left = await self._count_survivors()

    async def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        again_after: int | None = None,
    ) -> Child:
        """Start a child that runs until it is ended, in the children's environment or its own.

        With the exit code ``again_after`` it asks to be started once more, and is.
        """
        child = await self._spawn(
            name, command, self.environment if environment is None else environment
        )
        watch = asyncio.create_task(self._watch(child, again_after))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return child

    async def run(self, name: str, command: Sequence[str | Path]) -> str:
        """Run a short command to its end and return its output. Raises ChildError."""
        child = await self._spawn(name, command, self.environment, asyncio.subprocess.PIPE)
        output, _ = await child.process.communicate()
        self._running.remove(child)
        if child.process.returncode != 0:
            raise _ended(child)
        return output.decode()

    async def while_all_run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work and return its result. Raises ChildError as soon as a child ends."""
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._ended.get())
        try:
            await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not working.cancelled() and working.exception():
                # It may have failed because a child has just ended: that is the better reason.
                await asyncio.wait((ending,), timeout=0.5)
            if ending.done():
                raise _ended(ending.result())
            return working.result()
        finally:
            ending.cancel()
            working.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def end(self, child: Child) -> None:
        """End a child and its whole process group: ask, wait, then kill."""
        if child in self._running:
            self._running.remove(child)
        if child.process.returncode is None:
            _signal_group(child.process, signal.SIGKILL if self._hurry else signal.SIGTERM)
            try:
                await asyncio.wait_for(child.process.wait(), _GRACE_S)
            except TimeoutError:
                _signal_group(child.process, signal.SIGKILL)
                await child.process.wait()
        _signal_group(child.process, signal.SIGKILL)

    def kill(self) -> None:
        """End everything at once: somebody has lost patience."""
        self._hurry = True
        for process_id in processes_marked(self._marker):
            _signal(process_id, signal.SIGKILL)

    async def _spawn(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        stdout: int | None = None,
    ) -> Child:
        log = self.logs / f"{name.replace(' ', '_')}.log"
        process = await self._execute(name, command, environment, log, stdout)
        child = Child(name, tuple(command), environment, log, process)
        self._running.append(child)
        return child

    async def _execute(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        stdout: int | None = None,
    ) -> asyncio.subprocess.Process:
        with log.open("ab") as output:
            starting = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *command,
                    env={**environment, MARKER: self._marker},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output if stdout is None else stdout,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            )
            try:
                return await asyncio.shield(starting)
            except asyncio.CancelledError:
                # A Ctrl-C in this very instant: what did start is not forgotten.
                _signal_group(await starting, signal.SIGKILL)
                raise
            except OSError as error:
                raise ChildError(f"{name} could not be started: {error}") from error

    async def _watch(self, child: Child, again_after: int | None) -> None:
        while True:
            code = await child.process.wait()
            if child not in self._running:
                return
            if code != again_after:
                self._ended.put_nowait(child)
                return
            child.process = await self._execute(
                child.name, child.command, child.environment, child.log
            )

    async def _count_survivors(self) -> int:
        deadline = time.monotonic() + 2
        while (left := processes_marked(self._marker)) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for process_id in left:
            _signal(process_id, signal.SIGKILL)
        return len(left)


def tail(log: Path, lines: int = 40) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


def processes_marked(marker: str) -> list[int]:
    """Return the ids of living processes that carry the marker (none where there is no /proc)."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return found


def _ended(child: Child) -> ChildError:
    code = child.process.returncode
    how = (
        f"was ended by {signal.Signals(-code).name}"
        if code is not None and code < 0
        else f"ended with exit code {code}"
    )
    return ChildError(f"{child.name} {how}", child.log)


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left in it
        os.killpg(process.pid, number)


def _signal(process_id: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process_id, number)


if sys.platform == "linux":
    _prctl = ctypes.CDLL(None).prctl

    def _ask_kernel() -> None:
        """Between fork and exec: have the kernel kill this child when its parent is killed."""
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    _die_with_parent: Callable[[], None] | None = _ask_kernel
else:
    _die_with_parent = None
