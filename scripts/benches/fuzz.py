"""A million broken APDUs and HDLC frames against the server: no crash, no hang, nothing changed.

Inputs are valid ones that were changed in a few places, half of the frames with a check sequence
that fits, so that what is behind it is reached. They come from nobody with a key. By their first
bytes the answers tell how far inputs came: 7e is a frame, 61 an association's answer, c4, c5 and c7
those of a service, d8 and 0e a refusal.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import time
from collections import Counter
from typing import Any

from scripts.benches.result import Result

INPUTS = int(os.environ.get("METER_NODE_FUZZ_INPUTS", "1000000"))
SLOWEST_MS = 50.0
"""Of this process's own time: what else the machine does meanwhile is not the meter's."""
SLOWEST_WALL_MS = 1000.0
"""By the clock on the wall: nothing sleeps or waits in there."""
MOST_GROWTH_KB = 20_000
SEED = 20260601
_ONE_CONNECTION = 200
"""Inputs on one connection, before a new one is made."""
_LIES = (0x00, 0x7F, 0x80, 0x81, 0x82, 0x84, 0x85, 0xFF)


class _Faults(logging.Handler):
    """Counts what the server had to catch of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.count = 0
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.first = self.first or f"{record.getMessage()}: {record.exc_info}"


def run() -> Result:
    """Feed all inputs and count what must not be."""
    from tests.meter_node.cosem import site as sites
    from tests.meter_node.cosem.test_cosem_hostile import SEEDS, state

    site = sites.Site()
    counted = Counter[str]()

    def count(name: str, source: str) -> None:
        counted[name] += 1
        site.commands.count(name, source)

    site.server.count = count
    chance = random.Random(SEED)  # noqa: S311 - the same inputs each time
    faults = _Faults()
    logging.getLogger("meter_node").addHandler(faults)
    before = state(site)
    crashes, slowest_s, slowest_wall_s, kinds = 0, 0.0, 0.0, Counter[str]()
    answers: Counter[str] = Counter()
    first_crash = ""
    feed: Any = None
    warm_kb = 0
    for number in range(INPUTS):
        if number % _ONE_CONNECTION == 0:
            kind = ("apdu", "associated", "hdlc", "wrapper")[number // _ONE_CONNECTION % 4]
            feed = _feeder(kind, site, sites, chance)
        if number == INPUTS // 10:
            warm_kb = _resident_kb()
        apdu = _mutated(chance, chance.choice(SEEDS))
        begun, begun_wall = time.process_time(), time.perf_counter()
        try:
            answer = feed(apdu)
        except Exception as error:
            crashes += 1
            first_crash = first_crash or f"{error!r} at {apdu.hex()}"
        else:
            answers["none" if answer is None else f"{answer[0]:02x}"] += 1
        slowest_s = max(slowest_s, time.process_time() - begun)
        slowest_wall_s = max(slowest_wall_s, time.perf_counter() - begun_wall)
        kinds[kind] += 1
    logging.getLogger("meter_node").removeHandler(faults)
    changes = sum(one != other for one, other in zip(before, state(site), strict=True))
    growth_kb = _resident_kb() - warm_kb
    figures: dict[str, object] = {
        "inputs": INPUTS,
        "kinds": dict(kinds),
        "answers": dict(answers.most_common()),
        "crashes": crashes + faults.count,
        "slowest_ms": round(slowest_s * 1000, 3),
        "slowest_wall_ms": round(slowest_wall_s * 1000, 3),
        "state_changes": changes,
        "growth_kb": growth_kb,
        "counted_events": dict(counted),
        "first_crash": first_crash or faults.first,
    }
    rows = [
        ("inputs", str(INPUTS), ""),
        ("crashes", str(crashes + faults.count), "0"),
        ("slowest", f"{slowest_s * 1000:.1f} ms", f"{SLOWEST_MS:.0f} ms"),
        (
            "slowest by the wall clock",
            f"{slowest_wall_s * 1000:.1f} ms",
            f"{SLOWEST_WALL_MS:.0f} ms",
        ),
        ("changes of the meter's state", str(changes), "0"),
        ("memory after the first tenth", f"+{growth_kb} kB", f"{MOST_GROWTH_KB} kB"),
    ]
    missed = []
    if crashes or faults.count:
        missed.append(f"{crashes + faults.count} crashes; the first: {figures['first_crash']}")
    if slowest_s * 1000 > SLOWEST_MS:
        missed.append(f"one input took {slowest_s * 1000:.0f} ms")
    if slowest_wall_s * 1000 > SLOWEST_WALL_MS:
        missed.append(f"one input was waited for {slowest_wall_s * 1000:.0f} ms")
    if changes:
        missed.append(f"{changes} parts of the meter's state were changed")
    if growth_kb > MOST_GROWTH_KB:
        missed.append(f"{growth_kb} kB more memory")
    return Result("fuzz", figures, rows, missed)


def _feeder(kind: str, site: Any, sites: Any, chance: random.Random) -> Any:
    """What takes one broken APDU, bare or on a line."""
    from meter_node.channel import hdlc
    from meter_node.cosem.hdlc_session import HdlcServer
    from meter_node.cosem.wrapper import HEADER_BYTES, Message, WrapperServer, encode

    if kind in ("apdu", "associated"):
        connection = site.connect()
        if kind == "associated":
            connection.receive(16, 1, sites.aarq(), site.now_ns)
        return lambda apdu: connection.receive(chance.choice((16, 20, 1)), 1, apdu, site.now_ns)
    if kind == "wrapper":
        wrapper = WrapperServer(site.connect())

        def to_wrapper(apdu: bytes) -> bytes | None:
            nonlocal wrapper
            message = encode(Message(chance.choice((16, 20, 1)), 1, apdu or b"\x00"))
            if chance.random() < 0.3:
                message = _mutated(chance, message)
            answers = list(wrapper.feed(message, site.now_ns))
            if wrapper.damage is not None:
                wrapper = WrapperServer(site.connect())
            return answers[0][HEADER_BYTES:] if answers else None

        return to_wrapper
    line = HdlcServer(site.connect)
    controls = (0x93, 0x10, 0x11, 0x12, 0x32, 0x53, 0x13, 0x73, 0x0F)

    def to_line(apdu: bytes) -> bytes | None:
        source = bytes((chance.choice((16, 20, 1)) << 1 | 1,))
        frame = hdlc.Frame(
            b"\x03",
            source,
            chance.choice(controls) if chance.random() < 0.8 else chance.randrange(256),
            (b"\xe6\xe6\x00" + apdu)[:300] if chance.random() < 0.8 else b"",
            chance.random() < 0.2,
        )
        data = hdlc.encode(frame)
        if chance.random() < 0.5:
            data = _mutated(chance, data)
        return next(iter(list(line.feed(data, site.now_ns))), None)

    return to_line


def _mutated(chance: random.Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randrange(4)):
        if not data:
            break
        place = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                data[place] ^= 1 << chance.randrange(8)
            case 2:
                data[place] = chance.choice(_LIES)
            case 3:
                del data[place:]
            case 4:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
            case _:
                data += data[place:]
    return bytes(data[:4096])


def _resident_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
