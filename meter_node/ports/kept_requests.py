"""Sends a bridge's kept frames again when asked over MQTT, within limits.

A request carries no key: whoever the broker lets ask gets what was published before, ciphered as it
was, a bounded message a request. Must not know what is in a frame.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from meter_node.channel import hello
from meter_node.channel.kept import (
    MAX_REQUEST_BYTES,
    NAME,
    KeptError,
    KeptFrame,
    KeptRequest,
    fitting,
)

from .mqtt import MqttPort
from .requests import Allowance

_LOGGER = logging.getLogger(__name__)

PER_SECOND, AT_ONCE = 4.0, 8
"""Requests that are answered: of one requester, and twice as many of all."""
_ALL = 2
_MOST_NAMES = 64
_TELL_AGAIN_S = 3600.0

type Kept = Callable[[str, int, int], Iterator[KeptFrame]]
"""Gives a meter's frames of a period by the time of their arrival. May raise sqlite3.Error."""


class KeptRequestPort:
    """Answers requests for kept frames, of whichever meters the bridge hears."""

    def __init__(
        self,
        port: MqttPort,
        kept: Kept,
        has: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen from now on; ``has`` tells whether a meter is one of this bridge's."""
        self._port = port
        self._kept = kept
        self._has = has
        self._clock = clock
        self._all = self._allowance(_ALL)
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        self._told_s = -math.inf
        port.listen(hello.kept_request_topic("+", "+"), self.take)

    def _allowance(self, times: int = 1) -> Allowance:
        most = float(AT_ONCE * times)
        return Allowance(PER_SECOND * times, most, most, self._clock())

    def take(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message; what is no request, or too much, is dropped here."""
        _, title, _, _, requester = topic.split("/")
        if retained or not payload or not self._has(title):
            return  # another bridge's, or of who knows when
        if not NAME.fullmatch(requester):
            self._tell(title, f"a requester's name that is not understood: {requester[:40]!r}")
            return
        if len(payload) > MAX_REQUEST_BYTES:
            self._tell(title, f"a request of {len(payload)} bytes is not looked at")
            return
        if not self._may_ask(requester):
            self._tell(title, "more requests for kept frames than are answered")
            return
        try:
            request = KeptRequest.from_json(payload)
            frames = self._kept(title, request.first_s, request.end_s)
            response = fitting(request, frames)
        except KeptError as error:
            self._tell(title, f"no request for kept frames: {error}")
            return
        except sqlite3.Error as error:
            self._tell(title, f"kept frames can't be read: {error}")
            return
        self._port.say(hello.kept_response_topic(title, requester), response.to_bytes())

    def _may_ask(self, requester: str) -> bool:
        own = self._allowances.setdefault(requester, self._allowance())
        self._allowances.move_to_end(requester)
        while len(self._allowances) > _MOST_NAMES:
            self._allowances.popitem(last=False)
        now_s = self._clock()
        return own.is_there(now_s) and self._all.is_there(now_s)

    def _tell(self, title: str, text: str) -> None:
        # Whoever sends all night must not fill the log.
        now_s = self._clock()
        known = now_s - self._told_s < _TELL_AGAIN_S
        _LOGGER.log(logging.DEBUG if known else logging.WARNING, "%s: %s", title, text)
        if not known:
            self._told_s = now_s
