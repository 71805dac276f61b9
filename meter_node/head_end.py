"""One meter's DLMS server put together: its objects, its credentials, and the store behind both.

Must not know a transport, nor how one meter runs: what keeps a change is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Literal

from meter_node.channel.event_codes import Log
from meter_node.channel.security import Keys
from meter_node.ciphering import PycryptodomeAead
from meter_node.cosem import model
from meter_node.cosem.access import Client
from meter_node.cosem.credentials import Credential, Credentials, Numbers, Security
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.server import Server
from meter_node.keys import Management, MeterKeys
from meter_node.meter.commands import Commands
from meter_node.meter.rows import BillingKind, BillingRow, LogRow, ProfileRow
from meter_node.meter.variant import Variant
from meter_node.store import Store

MOST_SENT = 2048
"""Bytes of an APDU that a transport takes: longer answers go in blocks."""
AS_THE_REAL_METER = 16
"""The server SAP under which the real meter's clients ask for its one logical device."""

type _Stamps = tuple[int | None, int | None]
type _Entries = tuple[int, int | None]


class StoreInThread:
    """One meter's rows and numbers, asked for where the database may be used: in its thread.

    The caller waits: a few milliseconds for a number that must be durable before it is used.
    """

    def __init__(self, store: Store, title: bytes, thread: Executor) -> None:
        self._store = store
        self._title = title
        self._thread = thread

    def log_rows(self, log: Log) -> list[LogRow]:
        """Return all entries of a log."""
        return self._wait(partial(self._store.log_rows, self._title, log))

    def profile_rows(
        self,
        profile: str,
        *,
        entries: _Entries = (1, None),
        stamps_s: _Stamps = (None, None),
        most: int | None = None,
        skip: int = 0,
    ) -> list[ProfileRow]:
        """Return rows of a profile by number and by stamp, some of them."""
        return self._wait(
            partial(
                self._store.profile_rows,
                self._title,
                profile,
                entries=entries,
                stamps_s=stamps_s,
                most=most,
                skip=skip,
            )
        )

    def billing_rows(
        self,
        kind: BillingKind,
        *,
        entries: _Entries = (1, None),
        stamps_s: _Stamps = (None, None),
        most: int | None = None,
        skip: int = 0,
    ) -> list[BillingRow]:
        """Return rows of billing by number and by stamp, some of them."""
        return self._wait(
            partial(
                self._store.billing_rows,
                self._title,
                kind,
                entries=entries,
                stamps_s=stamps_s,
                most=most,
                skip=skip,
            )
        )

    def count_rows(
        self,
        kind: Literal["profile", "billing"],
        name: str,
        *,
        entries: _Entries = (1, None),
        stamps_s: _Stamps = (None, None),
    ) -> int:
        """Return how many rows there are, by number and by stamp."""
        return self._wait(
            partial(
                self._store.count_rows,
                self._title,
                kind,
                name,
                entries=entries,
                stamps_s=stamps_s,
            )
        )

    def reserved_counter(self, key_name: str, /) -> int:
        """Return the bound below which numbers of a key may have been used."""
        return self._wait(partial(self._store.reserved_counter, key_name))

    def reserve_counter(self, key_name: str, bound: int, /) -> None:
        """Keep a new bound durably. Raises StoreError."""
        self._wait(partial(self._store.reserve_counter, key_name, bound))

    def forget_counters(self, group: str, most: int, floor_name: str, /) -> None:
        """Keep the highest bounds of a group alone. Raises StoreError."""
        self._wait(partial(self._store.forget_counters, group, most, floor_name))

    def _wait[Found](self, doing: Callable[[], Found]) -> Found:
        return self._thread.submit(doing).result()


def credentials(
    keys: MeterKeys, change_management: Callable[[Management], None], password: bytes | None = None
) -> Credentials:
    """Return who may associate: the utility, each pairing, and who has a password where one is set.

    `change_management` keeps new keys of the utility durably, or raises.
    """
    found = [
        Credential(Client.CONSUMER, name, pair, pre_established=True)
        for name, pair in keys.consumers.items()
    ]
    if keys.management is not None:

        def keep(pair: Keys, master: bytes) -> None:
            change_management(Management(pair, master))

        found.append(
            Credential(
                Client.MANAGEMENT,
                "utility",
                keys.management.keys,
                master=keys.management.master,
                keep=keep,
            )
        )
    if password:
        found.append(Credential(Client.CONSUMER, "password", password=password))
    return Credentials(found)


def pair_anew(known: Credentials, pairings: Mapping[str, Keys]) -> list[str]:
    """Let those pairings ask, and none else that could before; return what changed, for the log."""
    before = {one.name: one.keys for one in known.with_keys(Client.CONSUMER)}
    changes = []
    for name, pair in before.items():
        if pairings.get(name) != pair:
            known.remove(name)
            changes.append(f"{name} revoked")
    for name, pair in pairings.items():
        if before.get(name) != pair:
            known.add(Credential(Client.CONSUMER, name, pair, pre_established=True))
            changes.append(f"{name} paired")
    return changes


def serve(
    device: LogicalDevice,
    variant: Variant,
    commands: Commands,
    kept: StoreInThread,
    known: Credentials,
    *,
    floor: int,
    links: model.Links,
    commit: Callable[[], None],
    knows_time: Callable[[], bool],
    look: Callable[[], None],
) -> Server:
    """Return a meter's server.

    `floor`: see `ciphering.time_floor`; `commit`: see `ObjectTable`; `knows_time` and `look`: see
    `Server`.
    """
    title = device.identity.system_title
    security = Security(title, PycryptodomeAead(), known, Numbers(kept, title, floor))
    parts = model.Parts(device, variant, commands, kept, security, links)
    table = model.build(parts, commit)
    return Server(table, security, lambda: device.committed, commands.count, knows_time, look)


class Switchboard:
    """One client's way to all meters of a node: server SAP 1 is the first, 2 the next."""

    def __init__(
        self, servers: Sequence[Server], clocks_ns: Sequence[Callable[[], int]], source: str
    ) -> None:
        """`clocks_ns` give each meter's own time (UTC); `source`: who it is from, for the logs."""
        self._connections = [server.connect(source, MOST_SENT) for server in servers]
        self._clocks_ns = clocks_ns

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, now_ns: int) -> bytes | None:
        """Return the answer of the meter that is asked for; see `DlmsConnection`."""
        place = 0 if server_sap == AS_THE_REAL_METER else server_sap - 1
        if not 0 <= place < len(self._connections):
            return None
        return self._connections[place].receive(client_sap, 1, apdu, self._clocks_ns[place]())

    @property
    def proven(self) -> bool:
        """Whether the client has proved to one of them who he is."""
        return any(connection.proven for connection in self._connections)

    def closed(self) -> None:
        """The client is gone."""
        for connection in self._connections:
            connection.closed()
