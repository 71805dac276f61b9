"""The form of the one object table, and the only way to an object: by class, name, number and role.

What is not declared in an object's row can be neither read, written nor called. Must not know what
an object is for, nor how a request came.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from meter_node.channel import axdr, obis
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.typed import TypeMismatchError
from meter_node.cosem.access import NOBODY, AccessError, Client, DataAccessResult
from meter_node.cosem.credentials import Credential
from meter_node.cosem.long_value import Data
from meter_node.meter.refused import RefusedError
from meter_node.meter.snapshot import Snapshot

_LOGGER = logging.getLogger(__name__)

LOGICAL_NAME = 1
RANGE, ENTRY = 1, 2
"""Access selectors of a profile's buffer (IEC 62056-6-2, "Profile generic")."""


class Association(Protocol):
    """What objects know of the association that asks."""

    server_sap: int
    title: bytes
    credential: Credential | None
    mechanism: int
    ciphered: bool
    conformance: int
    max_send: int
    """Bytes of an APDU that the client takes; 0 is no limit."""
    max_receive: int
    refusal: str
    """Why its last request was refused."""

    def prove(self, proof: bytes) -> bytes:
        """Take the client's answer to the challenge (HLS, pass 3) and return the server's.

        Raises AccessError.
        """


@dataclass(slots=True)
class Caller:
    """Who asks, and the image of the meter that he is shown: one for all that an APDU asks."""

    client: Client
    name: str
    """Goes to the logs."""
    snapshot: Snapshot
    now_ns: int
    """By the meter's clock (UTC)."""
    association: Association


type Getter = Callable[[Caller], bytes]
"""Returns A-XDR."""
type Setter = Callable[[Caller, Value], None]
"""Takes a decoded value; raises RefusedError or TypeMismatchError, and then nothing is changed."""
type Selection = Callable[[Caller, int, Value], Data]
"""Selective access: selector and its parameters, to A-XDR."""
type Action = Callable[[Caller, Value], bytes | None]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: who may read it and how, who may write it and how."""

    readers: Collection[Client]
    get: Callable[[Caller], Data]
    writers: Collection[Client] = NOBODY
    set: Setter | None = None
    select: Selection | None = None
    selectors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """One method: who may call it, and what it does."""

    callers: Collection[Client]
    act: Action
    changes: bool = True
    """Whether there may be something to keep afterwards."""


SIZES: dict[ClassId, tuple[int, int]] = {
    ClassId.DATA: (2, 0),
    ClassId.REGISTER: (3, 1),
    ClassId.EXTENDED_REGISTER: (5, 1),
    ClassId.DEMAND_REGISTER: (9, 2),
    ClassId.REGISTER_ACTIVATION: (4, 3),
    ClassId.PROFILE_GENERIC: (8, 2),
    ClassId.CLOCK: (9, 6),
    ClassId.SCRIPT_TABLE: (2, 1),
    ClassId.SPECIAL_DAYS_TABLE: (2, 2),
    ClassId.ASSOCIATION_LN: (9, 4),
    ClassId.SAP_ASSIGNMENT: (2, 1),
    ClassId.IMAGE_TRANSFER: (7, 4),
    ClassId.ACTIVITY_CALENDAR: (10, 1),
    ClassId.ACTION_SCHEDULE: (4, 0),
    ClassId.IEC_HDLC_SETUP: (9, 0),
    ClassId.PUSH_SETUP: (7, 1),
    ClassId.TCP_UDP_SETUP: (6, 0),
    ClassId.SECURITY_SETUP: (5, 2),
    ClassId.ARBITRATOR: (6, 2),
    ClassId.DISCONNECT_CONTROL: (4, 2),
    ClassId.LIMITER: (11, 0),
    ClassId.ACCOUNT: (19, 3),
    ClassId.CREDIT: (11, 3),
    ClassId.CHARGE: (13, 5),
    ClassId.TOKEN_GATEWAY: (6, 1),
}
"""How many attributes and methods each class has, in the version that is served: a client takes
what an object list does not name for allowed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One object. `attributes` are those from number 2 on; number 1 is its name."""

    class_id: int
    version: int
    logical_name: obis.LogicalName
    attributes: Mapping[int, Attribute]
    methods: Mapping[int, Method] = field(default_factory=dict)

    def attribute(self, number: int) -> Attribute | None:
        """Return an attribute; the name may be read by whoever may read anything of it."""
        if number == LOGICAL_NAME:
            name = axdr.octet_string(self.logical_name)
            readers = {who for one in self.attributes.values() for who in one.readers}
            readers |= {who for one in self.methods.values() for who in one.callers}
            return Attribute(readers, lambda _: name)
        return self.attributes.get(number)

    def rights(self, client: Client) -> tuple[list[tuple[int, int, tuple[int, ...]]], list[int]]:
        """Return what a client may do: attributes (number, access mode, selectors) and methods.

        Access mode: 0 none, 1 read, 2 write, 3 both (IEC 62056-6-2, "Association LN").
        """
        most, _ = SIZES[ClassId(self.class_id)]
        attributes = []
        for number in range(LOGICAL_NAME, most + 1):
            one = self.attribute(number)
            mode = 0 if one is None else (client in one.readers) + 2 * (client in one.writers)
            attributes.append((number, mode, () if one is None else one.selectors))
        return attributes, [n for n, one in sorted(self.methods.items()) if client in one.callers]


def row(
    which: CosemObject,
    attributes: Mapping[int, Attribute],
    methods: Mapping[int, Method] | None = None,
    version: int = 0,
) -> Row:
    """Return the row of an object of the channel's table."""
    return Row(which.class_id, version, which.logical_name, attributes, methods or {})


class ObjectTable:
    """The objects of one logical device, and who may do what with them."""

    def __init__(self, shown: Callable[[], Snapshot], commit: Callable[[], None]) -> None:
        """Begin empty.

        `shown`: the last committed image; `commit`: keeps a change durably and shows it, before it
        is answered.
        """
        self._shown = shown
        self._rows: dict[obis.LogicalName, Row] = {}
        self._channels: set[obis.LogicalName] = set()
        self._commit = commit

    def add(self, *rows: Row) -> None:
        """Add objects. Raises ValueError where a name is there already."""
        for one in rows:
            if one.logical_name in self._rows:
                raise ValueError(f"two objects {obis.text(one.logical_name)}")
            self._rows[one.logical_name] = one

    def keep_apart(self, *names: obis.LogicalName) -> None:
        """These are channels of their own: they never stand for the same name with B = 0."""
        self._channels.update(names)

    def __iter__(self) -> Iterator[Row]:
        """All objects, in order of class and name."""
        return iter(sorted(self._rows.values(), key=lambda one: (one.class_id, one.logical_name)))

    def find(self, class_id: int, logical_name: bytes) -> Row:
        """Return an object (B = 0 and B = 1 name the same one). Raises AccessError."""
        found = self._rows.get(logical_name)
        if found is None and logical_name not in self._channels:
            found = self._rows.get(obis.any_channel(logical_name))
        if found is None:
            raise AccessError(
                DataAccessResult.OBJECT_UNDEFINED, f"no object {obis.text(logical_name)}"
            )
        if found.class_id != class_id:
            raise AccessError(
                DataAccessResult.OBJECT_CLASS_INCONSISTENT,
                f"{obis.text(logical_name)} is of class {found.class_id}, not {class_id}",
            )
        return found

    def get(
        self,
        caller: Caller,
        class_id: int,
        logical_name: bytes,
        number: int,
        selection: tuple[int, Value] | None = None,
    ) -> Data:
        """Return an attribute as A-XDR, or the part that is selected. Raises AccessError."""
        found = self.find(class_id, logical_name)
        attribute = found.attribute(number)
        if attribute is None or caller.client not in attribute.readers:
            raise _denied(caller, "read attribute", number, found)
        if selection is None:
            with _Told():
                return attribute.get(caller)
        selector, parameters = selection
        if attribute.select is None or selector not in attribute.selectors:
            raise AccessError(
                DataAccessResult.SCOPE_OF_ACCESS_VIOLATED, f"no selection {selector} here"
            )
        with _Told():
            return attribute.select(caller, selector, parameters)

    def set(
        self, caller: Caller, class_id: int, logical_name: bytes, number: int, value: Value
    ) -> None:
        """Set an attribute; it is kept when this returns. Raises AccessError, nothing changed."""
        found = self.find(class_id, logical_name)
        attribute = found.attribute(number)
        if attribute is None or attribute.set is None or caller.client not in attribute.writers:
            raise _denied(caller, "write attribute", number, found)
        with _Told():
            attribute.set(caller, value)
        self._keep(caller)

    def act(
        self, caller: Caller, class_id: int, logical_name: bytes, number: int, value: Value
    ) -> bytes | None:
        """Call a method; what it did is kept when this returns. Raises AccessError."""
        found = self.find(class_id, logical_name)
        method = found.methods.get(number)
        if method is None or caller.client not in method.callers:
            raise _denied(caller, "call method", number, found)
        with _Told():
            answer = method.act(caller, value)
        if method.changes:
            self._keep(caller)
        return answer

    def _keep(self, caller: Caller) -> None:
        try:
            self._commit()
        except Exception as error:
            _LOGGER.exception("what a client changed could not be kept at once")
            raise AccessError(
                DataAccessResult.HARDWARE_FAULT,
                "done, and not yet kept: the store does not take it",
            ) from error
        caller.snapshot = self._shown()


class _Told:
    """Turns what a part of the meter says into what a client is told."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TypeMismatchError):
            raise AccessError(DataAccessResult.TYPE_UNMATCHED, str(error)) from error
        # Settings and calendars that can't be are ValueErrors, as RefusedError is.
        if isinstance(error, (RefusedError, ValueError)):
            raise AccessError(DataAccessResult.OTHER_REASON, str(error)) from error


def _denied(caller: Caller, what: str, number: int, found: Row) -> AccessError:
    return AccessError(
        DataAccessResult.READ_WRITE_DENIED,
        f"client {int(caller.client)} may not {what} {number} of {obis.text(found.logical_name)}",
    )
