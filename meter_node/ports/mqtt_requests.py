"""A meter's requests from a broker: its topics, and what on them is none.

Must not know what is asked: `requests` answers, whichever way it came.
"""

from __future__ import annotations

import logging

from meter_node.channel import hello

from .mqtt import MqttPort
from .requests import Asker, Requests

_LOGGER = logging.getLogger(__name__)

SOURCE = "mqtt"


def listen(port: MqttPort, title: str, requests: Requests) -> None:
    """Have what is asked on a meter's topics answered there, from the next connection on."""

    def take(topic: str, payload: bytes, retained: bool) -> None:
        if retained or not payload:
            _LOGGER.debug("a retained or empty message on %s is no request", topic)
            return
        requester = topic.rpartition("/")[2]
        answers = hello.response_topic(title, requester)
        asker = Asker(SOURCE, requester, lambda answer: port.say(answers, answer), requester)
        requests.take(asker, payload)

    port.listen(hello.request_topic(title, "+"), take)
