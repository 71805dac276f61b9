"""Consumers' requests to one meter, whichever way they come: limits, duplicates, and an answer.

An answer is given once what it tells of is kept. Must not know a transport or keys, nor what is
asked: the COSEM server judges what may have been held, repeated, swapped or made up on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from meter_node.channel import apdu, hello
from meter_node.channel.requests import MAX_REQUEST_BYTES
from meter_node.cosem.access import Client
from meter_node.cosem.connection import DlmsConnection

from .conversation import Settled

_LOGGER = logging.getLogger(__name__)

_SERVER_SAP = 1
PER_SECOND, AT_ONCE = 5.0, 20
"""How many requests are looked at: of one asker, and four times as many of all on one way."""
_ALL = 4
FREE_S = 0.05
"""A request that takes longer counts as several of its asker's, and one that takes longer than a
quarter of it as several of all: so each, and all on one way, take a quarter of the time at most."""
MOST_REQUESTERS = 64
MOST_ANSWERS = 8
LONGEST_REMEMBERED = 16_384
"""Bytes of an answer that is kept for a duplicate of its request."""
_MOST_NAMES = 256
_MOST_WAITING = 32
_TELL_AGAIN_S = 3600.0
_WAIT_FOR_THE_TIME_S = 0.1


@dataclass(slots=True)
class Allowance:
    """How many more requests are looked at now: it refills steadily, up to some at once."""

    per_second: float
    at_once: float
    left: float
    at_s: float

    def is_there(self, now_s: float) -> bool:
        """Take one, if there is one."""
        self.left = min(self.at_once, self.left + (now_s - self.at_s) * self.per_second)
        self.at_s = now_s
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Requester:
    """What was answered to one requester last, by the digest of the request.

    The answer is there until it was sent once more; then further duplicates get nothing.
    """

    answers: OrderedDict[bytes, bytes | None] = field(default_factory=OrderedDict)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as the way of his requests knows him."""

    source: str
    """The way, as logs name it: titles can be made up, and each would fill them anew."""
    name: str
    """Whom limits hold for."""
    answer: Callable[[bytes], None]
    """Takes an answer; who is gone by then gets none."""
    title: str | None = None
    """The title that all his requests must have; None where the way names none."""


class Requests:
    """Answers requests to one meter."""

    def __init__(
        self,
        title: str,
        connect: Callable[[str], DlmsConnection],
        now_ns: Callable[[], int | None],
        settled: Settled,
        *,
        misled: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``take`` takes a meter's requests; ``run`` answers them.

        ``connect`` gives a source's connection to the meter's server; ``now_ns``: UTC by the
        meter's clock, None while it is not known: until then requests wait, as none could be told
        from an old one; ``settled`` is awaited before each answer; ``misled`` counts a request that
        came by another's name, by its source.
        """
        self._title = title
        self._connect = connect
        self._now_ns = now_ns
        self._settled = settled
        self._misled = misled
        self._clock = clock
        self._queue: asyncio.Queue[tuple[Asker, bytes]] = asyncio.Queue(_MOST_WAITING)
        self._connections: dict[str, DlmsConnection] = {}
        self._all: dict[str, Allowance] = {}
        self._allowances: OrderedDict[tuple[str, str], Allowance] = OrderedDict()
        self._requesters: OrderedDict[bytes, _Requester] = OrderedDict()
        self._told_s = -math.inf

    def _allowance(self, times: int = 1) -> Allowance:
        most = float(AT_ONCE * times)
        return Allowance(PER_SECOND * times, most, most, self._clock())

    def take(self, asker: Asker, payload: bytes) -> None:
        """Take a message; what is no request, or too much, is dropped here."""
        if len(payload) > MAX_REQUEST_BYTES:
            self._tell(f"a request of {len(payload)} bytes is not looked at")
            return
        if not self._may_ask(asker):
            self._tell("more requests than are looked at: the rest is dropped")
            return
        try:
            self._queue.put_nowait((asker, payload))
        except asyncio.QueueFull:
            self._tell("requests come faster than they are answered: the rest is dropped")

    def _may_ask(self, asker: Asker) -> bool:
        who = (asker.source, asker.name)
        own = self._allowances.setdefault(who, self._allowance())
        self._allowances.move_to_end(who)
        while len(self._allowances) > _MOST_NAMES:
            self._allowances.popitem(last=False)
        now_s = self._clock()
        # Each way by itself: whoever is in radio reach must not crowd out who asks by the broker.
        together = self._all.setdefault(asker.source, self._allowance(_ALL))
        return own.is_there(now_s) and together.is_there(now_s)

    async def run(self) -> None:
        """Answer what comes, one after the other, until cancelled."""
        while True:
            asker, payload = await self._queue.get()
            while (now_ns := self._now_ns()) is None:  # noqa: ASYNC110 - a second after the start
                await asyncio.sleep(_WAIT_FOR_THE_TIME_S)
            try:
                await self._answer(asker, payload, now_ns)
            except TimeoutError:
                self._tell("the store is busy: a request got no answer")
            except Exception:
                _LOGGER.exception("a request to %s could not be answered", self._title)
            await asyncio.sleep(0)

    async def _answer(self, asker: Asker, payload: bytes, now_ns: int) -> None:
        try:
            originator = apdu.decode_general_ciphering(payload).originator
        except apdu.ApduError as error:
            _LOGGER.debug("%s: no request: %s", self._title, error)
            return
        if asker.title not in (None, hello.topic_title(originator)):
            self._misled(asker.source)
            return
        digest = hashlib.sha256(payload).digest()
        known = self._requesters.get(originator)
        if known is not None and digest in known.answers:
            answered = known.answers[digest]
            known.answers[digest] = None
        else:
            answered = self._ask(asker, payload, now_ns)
            await self._settled()
            if answered is not None and answered[0] == apdu.GENERAL_CIPHERING:
                self._remember(originator, digest, answered)
        if answered is not None:
            asker.answer(answered)

    def _ask(self, asker: Asker, payload: bytes, now_ns: int) -> bytes | None:
        connection = self._connections.get(asker.source)
        if connection is None:
            connection = self._connections[asker.source] = self._connect(asker.source)
        began_s = self._clock()
        answer = connection.receive(Client.CONSUMER, _SERVER_SAP, payload, now_ns)
        took_s = self._clock() - began_s
        who = (asker.source, asker.name)
        for allowance, free_s in (
            (self._all.get(asker.source), FREE_S / _ALL),
            (self._allowances.get(who), FREE_S),
        ):
            if allowance is not None and took_s > free_s:
                allowance.left -= took_s / free_s - 1
        return answer

    def _remember(self, originator: bytes, digest: bytes, answer: bytes) -> None:
        """Keep an answer under the tag: who made it could be verified."""
        own = self._requesters.setdefault(originator, _Requester())
        self._requesters.move_to_end(originator)
        own.answers[digest] = answer if len(answer) <= LONGEST_REMEMBERED else None
        while len(own.answers) > MOST_ANSWERS:
            own.answers.popitem(last=False)
        while len(self._requesters) > MOST_REQUESTERS:
            self._requesters.popitem(last=False)

    def _tell(self, text: str) -> None:
        # Whoever sends all night must not fill the log.
        now_s = self._clock()
        known = now_s - self._told_s < _TELL_AGAIN_S
        _LOGGER.log(logging.DEBUG if known else logging.WARNING, "%s: %s", self._title, text)
        if not known:
            self._told_s = now_s
