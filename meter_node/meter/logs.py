"""The event logs: entries numbered and hash-chained, noise counted, and their verification.

Must not know where entries are kept, nor what an event means beyond the log it belongs to. First
in, first out by depth is the store's work; the chain goes on over entries that are gone.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meter_node.channel.event_codes import BY_NAME, LOGS, EventCode, Log
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.rows import ChainHead, LogRow

CHAIN_LENGTH = 16
"""SHA-256 cut to 16 bytes: nine heads travel in every push. What must not be found is another
entry for a head that was published, and that takes 2^128 trials."""
GENESIS = ChainHead(0, bytes(CHAIN_LENGTH))
LOG_CLEARED = BY_NAME["log_cleared"]
MOST_DETAIL = 200
"""Characters of a detail that are kept: a source may call itself what it likes."""

QUARTER_S = 900
MOST_SOURCES = 4
"""Sources that are counted by name at a time; all further ones of a code are one, `OTHERS`."""
OTHERS = "*"


def link(before: bytes, row: LogRow) -> bytes:
    """Return the hash that chains an entry to the one before it (`row.chain` is not looked at).

    Over: chain before (16 bytes), logical name of the log (6), entry (8), time (8, UTC seconds),
    offset (4, seconds), code (2), length of the detail in UTF-8 (4), all big-endian, and the
    detail. Every field has its width or its length, so that nothing can be shifted between two.
    """
    detail = row.detail.encode()
    fields = struct.pack(
        f">{CHAIN_LENGTH}s6sQqiHI",
        before,
        LOGS[row.log].logical_name,
        row.entry,
        row.time_s,
        row.offset_s,
        row.code,
        len(detail),
    )
    return hashlib.sha256(fields + detail).digest()[:CHAIN_LENGTH]


@dataclass(slots=True)
class _Noise:
    """Repetitions of one event from one source since its last entry, until a quarter-hour ends."""

    name: str
    source: str
    until_s: int
    count: int


class EventLogs:
    """Where events become entries. Gives rows; who keeps them is the caller's to see to."""

    def __init__(
        self,
        local: LocalTime,
        heads: Mapping[Log, ChainHead] | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Go on from the heads that the store has, and from the state kept with them."""
        self._local = local
        self._heads: dict[Log, ChainHead] = dict.fromkeys(Log, GENESIS) | dict(heads or {})
        self._noises = {
            (name, source): _Noise(name, source, until_s, count)
            for name, source, until_s, count in (kept or {}).get("counts", ())
        }
        self._due_s: int | None = None
        self._look_ahead()

    def state(self) -> dict[str, Any]:
        """What was counted and is not in an entry yet."""
        return {
            "counts": [
                [noise.name, noise.source, noise.until_s, noise.count]
                for noise in self._noises.values()
            ]
        }

    def heads(self) -> dict[Log, ChainHead]:
        """The last entry of each log and the hash over all of it."""
        return dict(self._heads)

    def append(self, events: Iterable[Event]) -> list[LogRow]:
        """Return the entries of events. Raises ValueError for a clearing, which is `clear`'s."""
        rows = []
        for event in events:
            if event.code is LOG_CLEARED:
                raise ValueError("a log is cleared by clear()")
            rows.append(self._row(event.code.log, event.code, event.time_s, event.detail))
        return rows

    def clear(self, log: Log, now_s: int, who: str) -> LogRow:
        """Empty a log: the returned entry is then its first.

        Its number and its hash go on from the last entry that was cleared, so that a clearing
        can be seen and what was there can still be proved by who has it.
        """
        return self._row(log, LOG_CLEARED, now_s, who)

    def counted(self, name: str, source: str, now_s: int) -> list[LogRow]:
        """Count an event that may come in floods (failed authentication, replay).

        The first of a source is an entry at once, detail "source, 1". What follows is counted,
        and its sum is one entry when the quarter-hour ends. A source that goes on costs one
        entry a quarter-hour; the counts of all entries together are the number of events. Raises
        KeyError for no such event.
        """
        code = BY_NAME[name]
        rows = self.advance(now_s)
        source = _clean(source)
        named = sum(noise.source != OTHERS for noise in self._noises.values())
        if (name, source) not in self._noises and named >= MOST_SOURCES:
            source = OTHERS
        noise = self._noises.get((name, source))
        if noise is not None:
            noise.count += 1
            return rows
        self._noises[name, source] = _Noise(name, source, _quarter_end(now_s), 0)
        self._look_ahead()
        return [*rows, self._row(code.log, code, now_s, f"{source}, 1")]

    def advance(self, now_s: int) -> list[LogRow]:
        """Return the sums of quarter-hours that have ended; nearly always none."""
        if self._due_s is None or now_s < self._due_s:
            return []
        rows = []
        for noise in list(self._noises.values()):
            if now_s < noise.until_s:
                continue
            if noise.count:
                rows.append(self._sum(noise, now_s))
            else:
                del self._noises[noise.name, noise.source]  # quiet for a whole quarter-hour
        self._look_ahead()
        return rows

    def clock_changed(self, old_s: int, new_s: int) -> list[LogRow]:
        """End the counting at the old time, so that no sum waits for a quarter that is far away."""
        rows = [self._sum(noise, old_s) for noise in self._noises.values() if noise.count]
        for noise in self._noises.values():
            noise.until_s = _quarter_end(new_s)
        self._look_ahead()
        return rows

    def _sum(self, noise: _Noise, now_s: int) -> LogRow:
        code = BY_NAME[noise.name]
        row = self._row(code.log, code, now_s, f"{noise.source}, {noise.count}")
        noise.count = 0
        noise.until_s = _quarter_end(now_s)
        return row

    def _row(self, log: Log, code: EventCode, time_s: int, detail: str) -> LogRow:
        before = self._heads[log]
        entry = before.entry + 1
        offset_s = self._local.offset_s(time_s)
        row = LogRow(log, entry, time_s, offset_s, code.code, _clean(detail), b"")
        chain = link(before.chain, row)
        self._heads[log] = ChainHead(entry, chain)
        return LogRow(log, entry, time_s, offset_s, code.code, row.detail, chain)

    def _look_ahead(self) -> None:
        self._due_s = min((noise.until_s for noise in self._noises.values()), default=None)


def _quarter_end(now_s: int) -> int:
    return now_s // QUARTER_S * QUARTER_S + QUARTER_S


def _clean(detail: str) -> str:
    """Text that can be encoded and printed, whoever chose it."""
    printable = "".join(c if c.isprintable() else "?" for c in detail[:MOST_DETAIL])
    return printable.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a log, and at which entry."""

    log: Log
    entry: int
    text: str


def verify(
    log: Log,
    rows: Sequence[LogRow],
    anchors: Sequence[ChainHead],
    head: ChainHead,
    depth: int | None = None,
    published: Iterable[ChainHead] = (),
) -> list[Fault]:
    """Return what was changed, removed or inserted in one log; nothing for a whole one.

    `rows` in the order of their numbers. `anchors`: the entries that are not there and from which
    one goes on: the last that was pushed out or cleared, and the one before the first after a jump
    of numbers (a restored copy). `depth`: how many entries the log kept when one was last pushed
    out or cleared, None for never. `published`: heads that somebody else has from pushes; only
    they find a log that was rewritten from some entry to its end.
    """
    faults = []
    jumps = {anchor.entry: anchor.chain for anchor in anchors}
    first = GENESIS
    if depth is not None:
        first = min(anchors, key=lambda anchor: anchor.entry, default=GENESIS)
    before = first
    fits = {before.chain}
    for row in rows:
        if row.entry > head.entry:
            faults.append(Fault(log, row.entry, "stands behind the last entry: inserted"))
            continue
        if row.entry != before.entry + 1:
            if row.entry <= before.entry:
                faults.append(Fault(log, row.entry, "is not in its place: inserted"))
                continue
            if jumps.get(row.entry - 1) in fits:
                before = ChainHead(row.entry - 1, jumps[row.entry - 1])
                fits = {before.chain}
            else:
                faults.append(_missing(log, before.entry + 1, row.entry - 1))
                fits = set()
        links = _links(fits, row)
        if fits and row.chain not in links:
            text = "was changed, or the one before it was changed together with its hash"
            faults.append(Fault(log, row.entry, text))
        # Whether the entry or only its hash was changed, the next one shows which hash was true.
        fits = {row.chain} | links
        before = ChainHead(row.entry, row.chain)
    if before.entry < head.entry and jumps.get(head.entry) not in fits:
        faults.append(_missing(log, before.entry + 1, head.entry))
    elif head.chain not in fits:
        faults.append(Fault(log, head.entry, "is not the entry that the log's head belongs to"))
    faults += _pruned_too_far(log, rows, first, depth)
    known = {row.entry: row.chain for row in rows} | jumps
    for seen in published:
        if seen.entry > head.entry:
            faults.append(Fault(log, seen.entry, "was published and is not there"))
        elif known.get(seen.entry, seen.chain) != seen.chain:
            faults.append(Fault(log, seen.entry, "was published with another hash"))
    return faults


def _pruned_too_far(
    log: Log, rows: Sequence[LogRow], first: ChainHead, depth: int | None
) -> list[Fault]:
    """A log that lost entries at its beginning is full, or begins with its clearing."""
    if first.entry == 0 or (rows and rows[0].code == LOG_CLEARED.code):
        return []
    if depth is not None and len(rows) >= depth:
        return []
    return [Fault(log, first.entry, "and those before it were removed: the log is not full")]


def _links(fits: set[bytes], row: LogRow) -> set[bytes]:
    try:
        return {link(chain, row) for chain in fits}
    except (struct.error, UnicodeEncodeError):
        return set()  # no entry of ours: its numbers don't even fit


def _missing(log: Log, first: int, last: int) -> Fault:
    return Fault(log, first, "is missing" if first == last else f"to {last} are missing")
