"""Power cuts at the store: its process killed at random points, its files torn at every offset.

A plain model in memory tells what must be there after each commit. Whatever a cut leaves must be
exactly that of the last commit that was confirmed, or of the one that was under way.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import sqlite3
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from zoneinfo import ZoneInfo

from meter_node import backup, store
from meter_node.channel.event_codes import LOGS, Log
from meter_node.ciphering import InvocationCounter
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import EventLogs, verify
from meter_node.meter.rows import BillingKind, BillingRow, Image, LogRow, ProfileRow
from meter_node.meter.snapshot import NANO

SEED = 2026
TITLE = b"MTNpower"
KEY = "key"
PROFILE = "load"
DAILY: BillingKind = "daily"
PROFILE_DEPTH, BILLING_DEPTH = 12, 5
LONGEST_RUN_S = 0.06
TORN_COMMITS = 4
_START_S = 1_768_478_400  # 2026-01-15 12:00 UTC
_STEP_S = 61
_ACKNOWLEDGED = struct.Struct(">QQ")
# Torn copies are by the hundred thousand: in memory where the system has such a place.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a place to be fast in, nothing is trusted there


class Part:
    """A meter as small as can be: counts energy, holds a delay and an open event, logs, profiles.

    Only what it would keep goes from one step to the next, so that what is lost or counted twice
    over a cut stays wrong ever after.
    """

    def __init__(self, kept: store.Kept | None = None) -> None:
        """Begin, or go on from what the store has."""
        kept = kept or store.Kept()
        state = {part: json.loads(text) for part, text in kept.states.items()}
        self.step = state["steps"]["count"] if state else 0
        self.relay_until_s = state["relays"]["until_s"] if state else 0
        self.open_since_s = state["quality"]["open_since_s"] if state else None
        self.energies = {
            "import_active_energy": 0,
            "import_active_energy_l1": 0,
            "import_active_energy_l2": 0,
        } | dict(kept.energies_nwh)
        self.logs = EventLogs(
            LocalTime(ZoneInfo("Europe/Copenhagen")), kept.log_heads, state.get("logs")
        )

    def advance(self) -> Image:
        """Take a step and give what the store shall keep."""
        self.step += 1
        now_s = _START_S + _STEP_S * self.step
        for phase, energy in ((1, 1_234_567_891), (2, 7 * self.step)):
            self.energies[f"import_active_energy_l{phase}"] += energy
            self.energies["import_active_energy"] += energy
        rows = self.logs.advance(now_s) + self.logs.counted("replay", "10.0.0.7", now_s)
        if now_s >= self.relay_until_s:
            self.relay_until_s = now_s + 5 * _STEP_S
            rows += self.logs.append([Event.of("relay_switched", now_s, f"{self.step}")])
        if self.step % 3 == 0:
            opens = self.open_since_s is None
            rows += self.logs.append(
                [Event.of("magnet_on" if opens else "magnet_off", now_s, f"{self.open_since_s}")]
            )
            self.open_since_s = now_s if opens else None
        if self.step % 71 == 0:
            rows.append(self.logs.clear(Log.FRAUD, now_s, "client 1"))
        states = {
            "steps": {"count": self.step},
            "relays": {"until_s": self.relay_until_s},
            "quality": {"open_since_s": self.open_since_s},
            "logs": self.logs.state(),
        }
        energies = dict(self.energies)
        values = (self.step, None, energies["import_active_energy"] // NANO)
        profile = [ProfileRow(PROFILE, self.step // 2, now_s, 3600, 0, values)]
        billing = [BillingRow(DAILY, self.step // 5, now_s, 3600, "", energies)]
        return Image(
            now_s * NANO,
            energies,
            {part: json.dumps(state) for part, state in states.items()},
            rows,
            profile if self.step % 2 == 0 else [],
            billing if self.step % 5 == 0 else [],
            profile_depths={PROFILE: PROFILE_DEPTH},
            billing_depths={DAILY: BILLING_DEPTH},
        )


@dataclass(slots=True)
class Truth:
    """What must be in the store after a step, by a meter that nobody ever interrupted."""

    part: Part = field(default_factory=Part)
    image: Image = field(default_factory=lambda: Image(0))
    logs: dict[Log, list[LogRow]] = field(default_factory=dict)
    profile: deque[ProfileRow] = field(default_factory=lambda: deque(maxlen=PROFILE_DEPTH))
    billing: deque[BillingRow] = field(default_factory=lambda: deque(maxlen=BILLING_DEPTH))

    def advance_to(self, step: int) -> None:
        """Take the steps up to this one."""
        while self.part.step < step:
            self.image = self.part.advance()
            self.profile.extend(self.image.profile_rows)
            self.billing.extend(self.image.billing_rows)
            for row in self.image.log_rows:
                rows = self.logs.setdefault(row.log, [])
                if row.code == 255:
                    rows.clear()
                rows.append(row)
                del rows[: -LOGS[row.log].depth]

    def faults(self, database: store.Store) -> list[str]:
        """Return in what the store differs, and where a log's chain does not hold."""
        kept = database.kept(TITLE)
        faults = []
        if kept.energies_nwh != self.image.energies_nwh:
            faults.append(f"energies {kept.energies_nwh}, not {self.image.energies_nwh}")
        if kept.states != self.image.states:
            faults.append(f"states {kept.states}, not {self.image.states}")
        for log in Log:
            evidence = database.evidence(TITLE, log) or store.LogEvidence.empty()
            if list(evidence.rows) != self.logs.get(log, []):
                faults.append(f"the log {log.value} has other entries")
            found = verify(log, evidence.rows, evidence.anchors, evidence.head, evidence.depth)
            faults += [f"{log.value}: entry {fault.entry} {fault.text}" for fault in found]
        if database.profile_rows(TITLE, PROFILE) != list(self.profile):
            faults.append("the profile has other rows")
        if database.billing_rows(TITLE, DAILY) != list(self.billing):
            faults.append("billing has other rows")
        return [f"after step {self.part.step}: {fault}" for fault in faults]


# --- the process is killed ---


def kills(times: int, advance: Callable[[], None] = lambda: None) -> list[str]:
    """Kill the store's process again and again; return what was violated."""
    folder = Path(tempfile.mkdtemp(prefix="meter-node-store-"))
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    context = multiprocessing.get_context("forkserver")
    # Imported once and not by every process: what they import would be most of their lives.
    context.set_forkserver_preload(["__main__", __name__])
    truth, violations = Truth(), list[str]()
    highest = -1
    try:
        for _ in range(times):
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(folder, sending), daemon=True)
            process.start()
            sending.close()
            if chance.random() < 0.9:
                # Nine of ten from the first commit on, the tenth also while it opens.
                receiving.poll(10)
            time.sleep(chance.uniform(0, LONGEST_RUN_S))
            process.kill()
            process.join()
            confirmed, numbers = _received(receiving, truth.part.step)
            receiving.close()
            if any(number <= before for before, number in pairwise([highest, *numbers])):
                violations.append(f"a counter twice: {numbers[:5]} after {highest}")
            highest = max([highest, *numbers])
            violations += _left(folder, truth, confirmed)
            advance()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return violations


def _work(folder: Path, sending: Connection) -> None:
    """Be the store's process: commit without pause and confirm each commit, until killed."""
    database = store.Store(folder / store.DATABASE)
    backup.claim(folder, database, _START_S, {})
    counter = InvocationCounter(
        database.reserved_counter(KEY), 0, lambda bound: database.reserve_counter(KEY, bound)
    )
    part = Part(database.kept(TITLE))
    while True:
        image = part.advance()
        database.commit(TITLE, image)
        if part.step % 7 == 0:
            database.commit(TITLE, image)  # the answer was lost: offered once more
        sending.send_bytes(_ACKNOWLEDGED.pack(part.step, counter.take()))


def _received(receiving: Connection, step: int) -> tuple[int, list[int]]:
    numbers = []
    with suppress(EOFError, OSError):
        while receiving.poll():
            step, number = _ACKNOWLEDGED.unpack(receiving.recv_bytes())
            numbers.append(number)
    return step, numbers


def _left(folder: Path, truth: Truth, confirmed: int) -> list[str]:
    """Hold what a kill left against the truth, which then goes on from there."""
    path = folder / store.DATABASE
    if not path.exists():
        return [] if confirmed == 0 else ["the store is gone"]
    with closing(store.Store(path)) as database:
        step = Part(database.kept(TITLE)).step
        if step not in (confirmed, confirmed + 1):
            return [f"step {confirmed} was confirmed, {step} is there"]
        truth.advance_to(step)
        return truth.faults(database)


# --- the files are torn ---


@dataclass(frozen=True, slots=True)
class Tear:
    """Files as a cut leaves them, at one offset; and the step that must be in them."""

    what: str
    database: bytes
    journal: bytes
    step: int


def tears(
    page_size: int, stride: int = 1, advance: Callable[[int], None] = lambda _: None
) -> tuple[int, list[str]]:
    """Tear journal and database at offsets; return how many times, and what was violated.

    At every `stride`-th offset, and at each around the ends of the journal's frames.
    """
    memory = _MEMORY if _MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="meter-node-torn-", dir=memory))
    violations: list[str] = []
    count = 0
    truths: dict[int, Truth] = {}
    try:
        for tear in _tears(folder / "whole", page_size, stride):
            count += 1
            truth = truths.setdefault(tear.step, Truth())
            truth.advance_to(tear.step)
            path = folder / store.DATABASE
            path.write_bytes(tear.database)
            path.with_name(f"{path.name}-wal").write_bytes(tear.journal)
            try:
                with closing(store.Store(path)) as database:
                    faults = truth.faults(database)
                    if not faults and count % 101 == 0:
                        faults = _goes_on(database, tear.step)
            except store.StoreError as error:
                faults = [str(error)]
            violations += [f"{tear.what}: {fault}" for fault in faults]
            if count % 1000 == 0:
                advance(1000)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count, violations


def _goes_on(database: store.Store, step: int) -> list[str]:
    """Take a further step on what a cut left."""
    part, truth = Part(database.kept(TITLE)), Truth()
    database.commit(TITLE, part.advance())
    truth.advance_to(step + 1)
    return truth.faults(database)


def _tears(folder: Path, page_size: int, stride: int) -> Iterator[Tear]:
    folder.mkdir()
    path = folder / store.DATABASE
    with closing(sqlite3.connect(path)) as plain:
        plain.execute(f"PRAGMA page_size={page_size}")
        plain.execute("VACUUM")
    journal = path.with_name(f"{path.name}-wal")
    with closing(store.Store(path)) as database:
        # Checkpoints come where they are wanted here.
        database._database.execute("PRAGMA wal_autocheckpoint=0")
        part = Part()
        for _ in range(2 * BILLING_DEPTH):
            database.commit(TITLE, part.advance())
        database._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        before, first = path.read_bytes(), part.step
        fresh, fresh_ends = _commits(database, part, journal, page_size)
        assert path.read_bytes() == before
        # To a journal that begins anew; what the disk had not taken is missing, zero or anything.
        junk = random.Random(SEED).randbytes(len(fresh))  # noqa: S311 - any bytes
        for offset in _offsets(len(fresh), stride, page_size):
            for tail, rest in (
                ("cut", b""),
                ("zero", bytes(len(fresh) - offset)),
                ("junk", junk[offset:]),
            ):
                torn = fresh[:offset] + rest
                step = first + _whole(torn, fresh, fresh_ends)
                yield Tear(f"journal {tail} from {offset}", before, torn, step)
        database._database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        after, second = path.read_bytes(), part.step
        # While the database is written from the journal, which stays until that is done.
        for offset in _offsets(len(after), stride, page_size):
            mixed = after[:offset] + before[offset:]
            yield Tear(f"database torn at {offset}", mixed, fresh, second)
        again, again_ends = _commits(database, part, journal, page_size)
        assert path.read_bytes() == after
        # To a journal that is used again from its beginning: the old frames stand behind.
        for offset in _offsets(again_ends[-1], stride, page_size):
            torn = again[:offset] + fresh[offset:]
            step = second + _whole(torn, again, again_ends)
            yield Tear(f"journal old from {offset}", after, torn, step)


def _whole(torn: bytes, journal: bytes, ends: list[int]) -> int:
    """Return how many commits are whole: also where what was torn off happens to be the same."""
    return sum(torn[:end] == journal[:end] for end in ends)


def _commits(
    database: store.Store, part: Part, journal: Path, page_size: int
) -> tuple[bytes, list[int]]:
    """Return the journal after some commits, and where each of them ends in it."""
    frame = page_size + 24
    ends = []
    content = journal.read_bytes() if journal.exists() else b""
    for _ in range(TORN_COMMITS):
        database.commit(TITLE, part.advance())
        old, content = content, journal.read_bytes()
        old = old.ljust(len(content), b"\0")
        last = next(at for at in range(len(content) - 1, -1, -1) if content[at] != old[at])
        ends.append(32 + -(-(last + 1 - 32) // frame) * frame)
    return content, ends


def _offsets(length: int, stride: int, page_size: int) -> list[int]:
    around = {
        border + offset
        for border in (*range(0, length, page_size), *range(32, length, page_size + 24), length)
        for offset in (-1, 0, 1, 8, 16, 24, 25)
    }
    return sorted({*range(0, length + 1, stride), *(at for at in around if 0 <= at <= length)})
