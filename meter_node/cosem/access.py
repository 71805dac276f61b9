"""Clients, and the answers that a refused access gets (IEC 62056-5-3, data-access-result)."""

from __future__ import annotations

from enum import IntEnum


class Client(IntEnum):
    """Client SAPs: what each may do stands with the objects."""

    MANAGEMENT = 1
    PUBLIC = 16
    CONSUMER = 20


class DataAccessResult(IntEnum):
    """Why an attribute was not given or taken; action-result uses the same numbers."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


LONG_ACTION_ABORTED, NO_LONG_ACTION_IN_PROGRESS = 15, 16
"""Where action-result differs from data-access-result."""


class AccessError(Exception):
    """An access was refused; ``result`` says why."""

    def __init__(self, result: DataAccessResult, text: str) -> None:
        """Keep the result beside the text."""
        super().__init__(text)
        self.result = result


NOBODY: frozenset[Client] = frozenset()
IDENTITY_READERS = frozenset(Client)
"""Identity and counters are for everyone."""
READERS = frozenset({Client.MANAGEMENT, Client.CONSUMER})
"""Registers are for those who have keys."""
UTILITY = frozenset({Client.MANAGEMENT})
CONSUMER = frozenset({Client.CONSUMER})
