"""Topics of the channel over MQTT, and the retained ``hello`` by which a meter is discovered.

Must not hold anything private: everyone on the broker reads it. Must not know an MQTT library.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

PREFIX = "meter_node"
DISCOVERY_FILTER = f"{PREFIX}/+/hello"
ONLINE = "online"
OFFLINE = "offline"

MAX_HELLO_BYTES = 2048
LONGEST_PUSH_INTERVAL_S = 3600
MOST_KEPT_DAYS = 400
_TITLE = re.compile("[0-9a-z]{1,32}")
_STATUS_TOPIC = re.compile(f"{PREFIX}/node/[0-9a-z]{{1,32}}/status")
"""What ``node_status_topic`` makes. Nobody signs a hello, and whoever subscribes to what a broker
takes for malformed loses the connection, with all that others hear over it."""
_SHOWN = re.compile("(?!.*www[.])[0-9A-Z][0-9A-Z .,+()/-]{0,39}", re.IGNORECASE | re.ASCII)
"""Texts that people are shown, in forms too: nothing that Markdown takes for markup or a link."""


def hello_topic(title: str) -> str:
    """Return the topic of a meter's hello; ``title`` as ``topic_title`` gives it."""
    return f"{PREFIX}/{title}/hello"


def push_topic(title: str) -> str:
    """Return the topic of a meter's pushes."""
    return f"{PREFIX}/{title}/push"


def request_topic(title: str, requester: str) -> str:
    """Return where a meter is asked; ``requester`` is the asking side's title, as a topic."""
    return f"{PREFIX}/{title}/request/{requester}"


def response_topic(title: str, requester: str) -> str:
    """Return where a meter answers who asked."""
    return f"{PREFIX}/{title}/response/{requester}"


def kept_request_topic(title: str, requester: str) -> str:
    """Return where a bridge is asked for the frames that it kept of a meter."""
    return f"{PREFIX}/{title}/kept/request/{requester}"


def kept_response_topic(title: str, requester: str) -> str:
    """Return where a bridge sends kept frames to who asked."""
    return f"{PREFIX}/{title}/kept/response/{requester}"


def node_status_topic(node: str) -> str:
    """Return the topic of a node's status, which is its will too: many meters a node.

    ``node``: 1 to 32 digits and lower-case letters.
    """
    return f"{PREFIX}/node/{node}/status"


def is_shown(text: str) -> bool:
    """Return whether people may be shown a text as it is: a model, a version, a name."""
    return _SHOWN.fullmatch(text) is not None


def topic_title(system_title: bytes) -> str:
    """Return a system title as topics hold it: lower-case hexadecimal."""
    return system_title.hex()


class HelloError(ValueError):
    """A payload that is no hello; the text says why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a meter says of itself to everyone."""

    protocol: str
    """``MeterNode_V1``, or the list that a bridged meter sends where the bridge can see it."""
    system_title: str
    """Lower-case hexadecimal; a plain meter without one gives its meter number."""
    model: str
    """As ``software``: at most 40 letters, digits, blanks and ``.,+-/()``, for people."""
    software: str
    push_interval: int
    """Seconds between two pushes."""
    status_topic: str
    """As ``node_status_topic`` makes it."""
    ciphered: bool = True
    fault: str | None = None
    """Why nothing is published at the moment (``store``: the disk takes no more)."""
    keeps: int | None = None
    """For how many days a bridge keeps frames, and sends them again when asked."""

    def to_json(self) -> str:
        """Return the payload."""
        fields: dict[str, str | int] = {
            "protocol": self.protocol,
            "system_title": self.system_title,
            "model": self.model,
            "software": self.software,
            "push_interval": self.push_interval,
            "status_topic": self.status_topic,
            "ciphered": self.ciphered,
        }
        if self.fault is not None:
            fields["fault"] = self.fault
        if self.keeps is not None:
            fields["keeps"] = self.keeps
        return json.dumps(fields)

    @classmethod
    def from_json(cls, payload: str | bytes) -> Hello:
        """Read a payload from anyone. Raises HelloError; unknown keys are passed over."""
        if len(payload) > MAX_HELLO_BYTES:
            raise HelloError(f"longer than {MAX_HELLO_BYTES} bytes")
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            raise HelloError("not JSON") from None
        if not isinstance(data, dict):
            raise HelloError("not a JSON object")
        for key in ("protocol", "system_title", "model", "software", "status_topic"):
            if not isinstance(data.get(key), str) or not data[key]:
                raise HelloError(f"{key!r} is missing or no text")
            if not data[key].isprintable():  # half a surrogate could not even be stored
                raise HelloError(f"{key!r} holds characters that cannot be shown")
        for key in ("model", "software"):
            if not is_shown(data[key]):
                raise HelloError(f"{key!r} is too long to be shown, or holds more than plain text")
        interval = data.get("push_interval")
        if type(interval) is not int or not 1 <= interval <= LONGEST_PUSH_INTERVAL_S:  # not true
            raise HelloError(f"'push_interval' is not 1 to {LONGEST_PUSH_INTERVAL_S} seconds")
        title = data["system_title"]
        if not _TITLE.fullmatch(title):
            raise HelloError("'system_title' is no system title or meter number")
        if not _STATUS_TOPIC.fullmatch(data["status_topic"]):
            raise HelloError("'status_topic' is not that of a node's status")
        fault, keeps = data.get("fault"), data.get("keeps")
        return cls(
            data["protocol"],
            title,
            data["model"],
            data["software"],
            interval,
            data["status_topic"],
            data.get("ciphered") is not False,
            fault if isinstance(fault, str) and fault.isprintable() else None,
            keeps if type(keeps) is int and 1 <= keeps <= MOST_KEPT_DAYS else None,  # not true
        )
