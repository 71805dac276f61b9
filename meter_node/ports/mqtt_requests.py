"""Consumers' requests over MQTT: limits, duplicates, and an answer once what it tells of is kept.

One of these belongs to one meter. Must not know keys, nor what is asked: the COSEM server judges
what a broker may have held, repeated, swapped or made up.
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
from .mqtt import MqttPort

_LOGGER = logging.getLogger(__name__)

SOURCE = "mqtt"
"""How logs name who asks this way: titles can be made up, and each would fill them anew."""
_SERVER_SAP = 1
PER_SECOND, AT_ONCE = 5.0, 20
"""How many requests are looked at: of one requester, and four times as many of all."""
_ALL = 4
FREE_S = 0.05
"""A request that takes longer counts as several of its requester's, and one that takes longer than
a quarter of it as several of all: so each, and all together, take a quarter of the time at most."""
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


class RequestPort:
    """Answers requests to one meter."""

    def __init__(
        self,
        port: MqttPort,
        title: str,
        connection: DlmsConnection,
        now_ns: Callable[[], int | None],
        settled: Settled,
        *,
        misled: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen for a meter's requests; ``run`` answers them.

        ``connection`` is to the meter's server; ``now_ns``: UTC by the meter's clock, None while it
        is not known: until then requests wait, as none could be told from an old one; ``settled``
        is awaited before each answer; ``misled`` counts a request that came by another's topic.
        """
        self._port = port
        self._title = title
        self._connection = connection
        self._now_ns = now_ns
        self._settled = settled
        self._misled = misled
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_MOST_WAITING)
        self._all = self._allowance(_ALL)
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        self._requesters: OrderedDict[str, _Requester] = OrderedDict()
        self._told_s = -math.inf
        port.listen(hello.request_topic(title, "+"), self.take)

    def _allowance(self, times: int = 1) -> Allowance:
        most = float(AT_ONCE * times)
        return Allowance(PER_SECOND * times, most, most, self._clock())

    def take(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message; what is no request, or too much, is dropped here."""
        requester = topic.rpartition("/")[2]
        if retained or not payload:
            _LOGGER.debug("a retained or empty message on %s is no request", topic)
            return
        if len(payload) > MAX_REQUEST_BYTES:
            self._tell(f"a request of {len(payload)} bytes is not looked at")
            return
        if not self._may_ask(requester):
            self._tell("more requests than are looked at: the rest is dropped")
            return
        try:
            self._queue.put_nowait((requester, payload))
        except asyncio.QueueFull:
            self._tell("requests come faster than they are answered: the rest is dropped")

    def _may_ask(self, requester: str) -> bool:
        own = self._allowances.setdefault(requester, self._allowance())
        self._allowances.move_to_end(requester)
        while len(self._allowances) > _MOST_NAMES:
            self._allowances.popitem(last=False)
        now_s = self._clock()
        return own.is_there(now_s) and self._all.is_there(now_s)

    async def run(self) -> None:
        """Answer what comes, one after the other, until cancelled."""
        while True:
            requester, payload = await self._queue.get()
            while (now_ns := self._now_ns()) is None:  # noqa: ASYNC110 - a second after the start
                await asyncio.sleep(_WAIT_FOR_THE_TIME_S)
            try:
                await self._answer(requester, payload, now_ns)
            except TimeoutError:
                self._tell("the store is busy: a request got no answer")
            except Exception:
                _LOGGER.exception("a request to %s could not be answered", self._title)
            await asyncio.sleep(0)

    async def _answer(self, requester: str, payload: bytes, now_ns: int) -> None:
        try:
            originator = apdu.decode_general_ciphering(payload).originator
        except apdu.ApduError as error:
            _LOGGER.debug("%s: no request: %s", self._title, error)
            return
        if hello.topic_title(originator) != requester:
            self._misled()
            return
        digest = hashlib.sha256(payload).digest()
        known = self._requesters.get(requester)
        if known is not None and digest in known.answers:
            answered = known.answers[digest]
            known.answers[digest] = None
        else:
            answered = self._ask(requester, payload, now_ns)
            await self._settled()
            if answered is not None and answered[0] == apdu.GENERAL_CIPHERING:
                self._remember(requester, digest, answered)
        if answered is not None:
            self._port.say(hello.response_topic(self._title, requester), answered)

    def _ask(self, requester: str, payload: bytes, now_ns: int) -> bytes | None:
        began_s = self._clock()
        answer = self._connection.receive(Client.CONSUMER, _SERVER_SAP, payload, now_ns)
        took_s = self._clock() - began_s
        for allowance, free_s in (
            (self._all, FREE_S / _ALL),
            (self._allowances.get(requester), FREE_S),
        ):
            if allowance is not None and took_s > free_s:
                allowance.left -= took_s / free_s - 1
        return answer

    def _remember(self, requester: str, digest: bytes, answer: bytes) -> None:
        """Keep an answer under the tag: who made it could be verified."""
        own = self._requesters.setdefault(requester, _Requester())
        self._requesters.move_to_end(requester)
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
