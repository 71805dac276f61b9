"""What the object model is made of: a meter's image, its commands, its rows, and how it is reached.

Must not know any object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from meter_node.channel.event_codes import Log
from meter_node.cosem.access import READERS, AccessError, DataAccessResult
from meter_node.cosem.credentials import Security
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.state_objects import StateRow
from meter_node.cosem.table import Attribute, Caller
from meter_node.meter.commands import Commands
from meter_node.meter.rows import BillingKind, BillingRow, LogRow, ProfileRow
from meter_node.meter.snapshot import Settings
from meter_node.meter.variant import Variant

type Stamps = tuple[int | None, int | None]
"""From and to, UTC seconds, both included; None is no limit."""


class Rows(Protocol):
    """One meter's rows as they are kept, the oldest first."""

    def log_rows(self, log: Log) -> list[LogRow]:
        """Return all entries of a log."""

    def profile_rows(
        self,
        profile: str,
        *,
        entries: tuple[int, int | None] = ...,
        stamps_s: Stamps = ...,
        most: int | None = ...,
        skip: int = ...,
    ) -> list[ProfileRow]:
        """Return rows of a profile by number and by stamp, `most` of them after `skip`."""

    def billing_rows(
        self,
        kind: BillingKind,
        *,
        entries: tuple[int, int | None] = ...,
        stamps_s: Stamps = ...,
        most: int | None = ...,
        skip: int = ...,
    ) -> list[BillingRow]:
        """Return rows of billing by number and by stamp, `most` of them after `skip`."""

    def count_rows(
        self,
        kind: Literal["profile", "billing"],
        name: str,
        *,
        entries: tuple[int, int | None] = ...,
        stamps_s: Stamps = ...,
    ) -> int:
        """Return how many rows there are, by number and by stamp."""


@dataclass(frozen=True, slots=True)
class Links:
    """How the meter is reached, for the set-up objects: what the transports were given."""

    push_destination: str = ""
    logical_devices: tuple[tuple[int, bytes], ...] = ()
    """Server SAP and system title of each meter behind the same address; empty: this one alone."""
    tcp_port: int = 4059
    inactivity_s: int = 180
    hdlc_address: int = 16
    hdlc_window: int = 1
    hdlc_information: int = 512
    most_connections: int = 16
    server_sap: int = 1


@dataclass(frozen=True, slots=True)
class Parts:
    """All that objects get at."""

    device: LogicalDevice
    variant: Variant
    commands: Commands
    rows: Rows
    security: Security
    links: Links

    def states(self) -> dict[bytes, dict[int, Attribute]]:
        """Return what the logical device shows of states, by name and attribute."""
        found: dict[bytes, dict[int, Attribute]] = {}
        for row in self.device.states:
            attributes = found.setdefault(row.object.logical_name, {})
            attributes[row.attribute] = _of_state(row)
        return found


def _of_state(row: StateRow) -> Attribute:
    return Attribute(READERS, lambda caller: row.value(caller.snapshot))


def settings(caller: Caller) -> Settings:
    """Return what the utility has set, as committed. Raises AccessError before the first image."""
    found = caller.snapshot.settings
    if found is None:
        raise AccessError(DataAccessResult.TEMPORARY_FAILURE, "no settings are committed yet")
    return found
