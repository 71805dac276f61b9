"""Getting in: the public client, or management by whichever of its keys the meter has.

Must not know what is done then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meter_node.ciphering import PycryptodomeAead
from meter_node.cosem.access import Client
from meter_node.keys import Management
from meter_node.utility.client import DlmsClient, Protection
from meter_node.utility.errors import RejectedError, UtilityError
from meter_node.utility.keyring import Keyring, MeterEntry, Numbers
from meter_node.utility.session import Link, Session

type Connect = Callable[[int], Link]
"""Opens a link for a client SAP. Raises UtilityError."""


@dataclass(slots=True)
class Manager:
    """What the management client of one meter gets in with."""

    keyring: Keyring
    numbers: Numbers
    meter: MeterEntry
    connect: Connect

    def open(self, first: Management | None = None) -> tuple[Session, Management]:
        """Return an open session, and the keys that the meter has.

        `first`: which of the two are tried first, where a change of keys was cut short. Those that
        the meter has prove to be its keys, and are kept as such. Raises UtilityError.
        """
        self.meter = self.keyring.choose(self.meter.name)
        candidates = self.meter.candidates
        if first in candidates:
            candidates.sort(key=lambda one: one != first)
        refused: UtilityError | None = None
        for keys in candidates:
            client = DlmsClient(
                Protection(
                    PycryptodomeAead(),
                    keys.keys,
                    self.numbers.title,
                    self.meter.system_title,
                    self.numbers.take,
                )
            )
            try:
                session = Session(self.connect(int(client.sap)), client)
            except RejectedError as error:
                if not error.keys:
                    raise
                refused = refused or error
                continue
            self.keyring.confirm(self.meter.name, keys)
            return session, keys
        assert refused is not None
        raise refused


def open_public(connect: Connect) -> Session:
    """Return a session of the public client. Raises UtilityError."""
    return Session(connect(int(Client.PUBLIC)), DlmsClient())
