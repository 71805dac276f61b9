"""Which list a push carries, and its reading: one row a list.

A new list is a file of its own and a row here. Must not know any key.
"""

from __future__ import annotations

from . import apdu, kamstrup_v0001, meter_node_v1
from .apdu import DataNotification
from .kamstrup_v0001 import ScalerProfile
from .reading import ListError, Reading

SELF_DESCRIBING = frozenset({meter_node_v1.LIST_NAME})
"""Lists that bring their scalers; any other needs a scaler profile."""


def list_name(notification: DataNotification) -> str:
    """Return the name with which the list begins. Raises ListError where there is none."""
    body = notification.body
    if isinstance(body, tuple) and body and isinstance(body[0], str):
        return body[0]
    raise ListError("the push carries no named list")


def read(notification: DataNotification, profile: ScalerProfile) -> Reading:
    """Return the reading. Raises ListError naming a list that this program does not know."""
    name = list_name(notification)
    if name == meter_node_v1.LIST_NAME:
        return meter_node_v1.decode(notification)
    if name == kamstrup_v0001.LIST_NAME:
        return kamstrup_v0001.decode(notification, profile)
    raise ListError(f"the list {name!r} is not one of those that are understood")


class Pushes:
    """Reads one meter's pushes one after another: the next costs little that is like the last."""

    def __init__(self, profile: ScalerProfile) -> None:
        """Know no push yet; ``profile`` for a list that does not bring its scalers."""
        self._profile = profile
        self._known: meter_node_v1.Known | None = None

    def read(self, plaintext: bytes) -> Reading:
        """Return the reading of a push. Raises ApduError and ListError, as ``read`` does."""
        if self._known is not None and (known := self._known.next(plaintext)) is not None:
            self._known = known
            return known.reading
        notification = apdu.decode_data_notification(plaintext)
        reading = read(notification, self._profile)
        if reading.list_name == meter_node_v1.LIST_NAME:
            self._known = meter_node_v1.Known.of(plaintext, notification, reading)
        return reading
