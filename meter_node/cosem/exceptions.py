"""The exception-response: a request that is not even looked at (IEC 62056-5-3)."""

from __future__ import annotations

from enum import IntEnum

from meter_node.channel.security import LAST_COUNTER

_TAG = 0xD8


class StateError(IntEnum):
    """Whether the service is known at all."""

    SERVICE_NOT_ALLOWED = 1
    SERVICE_UNKNOWN = 2


class Fault(IntEnum):
    """Why a request is not carried out."""

    OPERATION_NOT_POSSIBLE = 1
    SERVICE_NOT_SUPPORTED = 2
    OTHER = 3
    PDU_TOO_LONG = 4
    DECIPHERING = 5
    INVOCATION_COUNTER = 6


class ExceptionResponse(Exception):  # noqa: N818 - the standard's name
    """An answer in place of the one that was asked for; `counter` is the lowest that is taken."""

    def __init__(
        self, fault: Fault, state: StateError = StateError.SERVICE_NOT_ALLOWED, counter: int = 0
    ) -> None:
        super().__init__(fault.name)
        self._bytes = bytes((_TAG, state, fault))
        if fault is Fault.INVOCATION_COUNTER:
            # Behind the last number there is none that would be taken.
            self._bytes += min(counter, LAST_COUNTER).to_bytes(4)

    def encode(self) -> bytes:
        """Return the APDU."""
        return self._bytes
