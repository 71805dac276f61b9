"""Who may prove to be a client: keys and passwords of each, and the numbers that were used.

Must not know what a client may do, nor where keys and numbers are kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from meter_node.channel.security import Aead, Keys
from meter_node.ciphering import InvocationCounter
from meter_node.cosem.access import Client
from meter_node.keys import counter_name

READS_UNKEPT = 64
"""How many reads a client may send before the number of the last is kept durably. What changes
something is kept before it is done; a repeated read tells nobody anything."""


MOST_REMEMBERED = 512
"""Bounds that are held in memory; all others are where they are kept."""


MOST_KEPT = 256
"""Senders under one key whose bounds are kept each: programs take another title at every start."""


class NumberStore(Protocol):
    """Where bounds of invocation counters are kept durably, by name."""

    def reserved_counter(self, key_name: str, /) -> int:
        """Return the bound below which numbers may have been used; 0 at first."""

    def reserve_counter(self, key_name: str, bound: int, /) -> None:
        """Keep a new bound durably, which can only rise; or raise."""

    def forget_counters(self, group: str, most: int, floor_name: str, /) -> None:
        """Keep at most so many of the bounds named `group` and a dot, the highest.

        The highest of those that go is kept as `floor_name`, which can only rise; or raise.
        """


@dataclass(slots=True, repr=False)
class Credential:
    """One that may associate as a client: by keys, or by a password that travels in the clear.

    Who has keys must cipher everything. `master` is what new keys come wrapped under, `keep` makes
    changed ones durable before they are used (or raises); without it they can't be changed. With
    `pre_established` it may ask without associating first, by general ciphering.
    """

    client: Client
    name: str
    keys: Keys | None = None
    password: bytes | None = None
    master: bytes | None = None
    keep: Callable[[Keys, bytes], None] | None = None
    pre_established: bool = False

    def __repr__(self) -> str:
        """Return a text without the secrets."""
        return f"Credential({self.client.name}, {self.name!r})"

    @property
    def is_revoked(self) -> bool:
        """Whether nothing is left by which anybody could be this one."""
        return self.keys is None and not self.password

    def change(self, keys: Keys, master: bytes) -> None:
        """Use other keys from now on. Raises whatever `keep` raises: then the old ones stay."""
        assert self.keep is not None
        self.keep(keys, master)
        self.keys, self.master = keys, master


def _of_anybody(key: bytes) -> str:
    return counter_name("received", b"", key)


def _of_sender(title: bytes, key: bytes) -> str:
    return f"{_of_anybody(key)}.{counter_name('received', title, key)}"


def _floor_of(group: str) -> str:
    return f"{group}-floor"


class Numbers:
    """Invocation counters, own and received: no own number twice, and no other's taken twice.

    Of the senders under one key those with the highest bounds are remembered each. Whoever is not
    among them begins no lower than the highest bound that was forgotten: so nothing that was taken
    once is taken again.
    """

    def __init__(self, store: NumberStore, system_title: bytes, floor: int) -> None:
        """`floor`: see `ciphering.time_floor`."""
        self._store = store
        self._title = system_title
        self._floor = floor
        self._own: dict[str, InvocationCounter] = {}
        self._bounds: dict[str, int] = {}
        self._unkept: dict[str, int] = {}
        self._new: set[str] = set()
        """Senders whose bounds are not in the store yet."""

    def take(self, key: bytes) -> int:
        """Return our next number under a key. Raises CounterExhaustedError, or as a store does."""
        name = counter_name("own", self._title, key)
        counter = self._own.get(name)
        if counter is None:
            counter = self._own[name] = InvocationCounter(
                self._store.reserved_counter(name),
                self._floor,
                lambda bound: self._store.reserve_counter(name, bound),
            )
        return counter.take()

    def expected(self, title: bytes, key: bytes) -> int:
        """Return the lowest number that is taken of a sender under a key."""
        return self._bound(_of_sender(title, key)) or self._bound(_floor_of(_of_anybody(key)))

    def highest(self, key: bytes) -> int:
        """Return the highest number that was sent under a key and is told; 0 for none."""
        return max(self._bound(_of_anybody(key)) - 1, 0)

    def received(
        self, title: bytes, key: bytes, number: int, *, durable: bool, told: bool = True
    ) -> None:
        """Take note of a number that was verified. `durable`: it is kept when this returns.

        `told`: it shows in what the public reads as the highest. Who never associates takes another
        title at every start, and begins at 1.
        """
        own, anybodys = _of_sender(title, key), _of_anybody(key)
        if not self._bound(own):
            self._new.add(own)
        for name in (own, anybodys) if told else (own,):
            self._bounds[name] = max(self._bound(name), number + 1)
            self._unkept[name] = self._unkept.get(name, 0) + 1
            # What anybody has sent is only told, so that a client knows where to go on.
            if (durable and name == own) or self._unkept[name] >= READS_UNKEPT:
                self._keep(name)

    def keep(self) -> None:
        """Keep all numbers that are not kept yet."""
        for name in list(self._unkept):
            self._keep(name)

    def _keep(self, name: str) -> None:
        self._store.reserve_counter(name, self._bounds[name])
        self._unkept.pop(name, None)
        if name in self._new:
            self._new.discard(name)
            group = name.partition(".")[0]
            self._store.forget_counters(group, MOST_KEPT, _floor_of(group))
            self._bounds.pop(_floor_of(group), None)

    def _bound(self, name: str) -> int:
        # The one that was asked for last stands last: the first goes, once it is kept.
        bound = self._bounds.pop(name, None)
        self._bounds[name] = self._store.reserved_counter(name) if bound is None else bound
        while len(self._bounds) > MOST_REMEMBERED:
            oldest = next(iter(self._bounds))
            if oldest in self._unkept:
                self._keep(oldest)
            del self._bounds[oldest]
        return self._bounds[name]


class Credentials:
    """All that may associate with one meter."""

    MOST_WRONG, WITHIN_NS = 10, 600 * 10**9

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._all = list(credentials)
        self._wrong_ns: list[int] = []

    def are_locked(self, now_ns: int) -> bool:
        """Whether so many wrong passwords came that none is looked at for a while.

        Keys are not locked: nobody guesses one, and a stranger could lock the utility out.
        """
        self._wrong_ns = [at for at in self._wrong_ns if 0 <= now_ns - at < self.WITHIN_NS]
        return len(self._wrong_ns) >= self.MOST_WRONG

    def was_wrong(self, now_ns: int) -> None:
        """Take note of a wrong password."""
        self._wrong_ns.append(now_ns)

    def of(self, client: Client) -> list[Credential]:
        """Return those of a client."""
        return [one for one in self._all if one.client is client]

    def with_keys(self, client: Client) -> list[Credential]:
        """Return those of a client that cipher."""
        return [one for one in self.of(client) if one.keys is not None]

    def add(self, credential: Credential) -> None:
        """Let one more associate."""
        self._all.append(credential)

    def remove(self, name: str) -> None:
        """Let nobody of this name associate any more; what is associated ends."""
        for one in self._all:
            if one.name == name:
                one.keys = one.password = None
        self._all = [one for one in self._all if one.name != name]


@dataclass(frozen=True, slots=True)
class Security:
    """What a server ciphers with and by whom it may be asked."""

    title: bytes
    aead: Aead
    credentials: Credentials
    numbers: Numbers
    random: Callable[[int], bytes] = secrets.token_bytes
