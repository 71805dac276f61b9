"""Clients, and the answers that a refused access gets (IEC 62056-5-3, data-access-result)."""

from __future__ import annotations

from enum import IntEnum


class Client(IntEnum):
    """Client SAPs: what each may do stands with the objects."""

    MANAGEMENT = 1
    PUBLIC = 16
    CONSUMER = 20


class DataAccessResult(IntEnum):
    """Why an attribute was not given."""

    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9


class AccessError(Exception):
    """An access was refused; ``result`` says why."""

    def __init__(self, result: DataAccessResult, text: str) -> None:
        """Keep the result beside the text."""
        super().__init__(text)
        self.result = result


IDENTITY_READERS = frozenset(Client)
"""Identity and counters are for everyone."""
READERS = frozenset({Client.MANAGEMENT, Client.CONSUMER})
"""Registers are for those who have keys."""
