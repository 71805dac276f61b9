"""One meter's logical device: its objects by class, OBIS code and attribute, with roles.

Shows the last committed snapshot and nothing newer, so that nobody is shown a value that a power
cut could take back. Must not know a transport, a key or a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from meter_node.channel import axdr, obis, registers
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.cosem.access import (
    IDENTITY_READERS,
    READERS,
    AccessError,
    Client,
    DataAccessResult,
)
from meter_node.cosem.identity import Identity
from meter_node.meter.snapshot import NANO, Snapshot

DATA, REGISTER, CLOCK = 1, 3, 8
LOGICAL_NAME, VALUE, SCALER_UNIT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Attribute:
    """One readable attribute: who may read it, and its A-XDR value from a snapshot."""

    readers: frozenset[Client]
    value: Callable[[Snapshot], bytes]


class LogicalDevice:
    """The objects of one meter, read from the last committed snapshot."""

    def __init__(self, identity: Identity, phases: int, zone: ZoneInfo) -> None:
        """Build the object table of a meter with so many phases; ``zone`` is its local time."""
        self.identity = identity
        self.zone = zone
        self.registers = registers.registers_of(phases)
        self._objects: dict[bytes, tuple[int, dict[int, Attribute]]] = {}
        self._committed: Snapshot | None = None
        for register in self.registers:
            self._add_register(register)
        for logical_name, text in (
            (registers.METER_NUMBER, identity.meter_number),
            (registers.MODEL, identity.model),
            (registers.SOFTWARE, identity.software),
        ):
            value = axdr.visible_string(text)
            self._add(DATA, logical_name, IDENTITY_READERS, {VALUE: partial(_constant, value)})
        self._add(DATA, registers.ACTIVE_TARIFF, READERS, {VALUE: _active_tariff})
        self._add(CLOCK, registers.CLOCK, READERS, {VALUE: self._clock})

    def commit(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on: the store has it."""
        self._committed = snapshot

    @property
    def committed(self) -> Snapshot:
        """The snapshot that is shown. Raises AccessError while there is none yet."""
        if self._committed is None:
            raise AccessError(DataAccessResult.TEMPORARY_FAILURE, "nothing is committed yet")
        return self._committed

    def get(self, client: Client, class_id: int, logical_name: bytes, attribute: int) -> bytes:
        """Return an attribute as A-XDR (B = 0 and B = 1 name the same object).

        Raises AccessError: undefined object, other class, or not for this client.
        """
        name = obis.any_channel(logical_name)
        found = self._objects.get(name)
        if found is None:
            raise AccessError(
                DataAccessResult.OBJECT_UNDEFINED, f"no object {obis.text(logical_name)}"
            )
        own_class, attributes = found
        if own_class != class_id:
            raise AccessError(
                DataAccessResult.OBJECT_CLASS_INCONSISTENT,
                f"{obis.text(logical_name)} is of class {own_class}, not {class_id}",
            )
        entry = attributes.get(attribute)
        if entry is None or client not in entry.readers:
            raise AccessError(
                DataAccessResult.READ_WRITE_DENIED,
                f"client {int(client)} may not read attribute {attribute} of "
                f"{obis.text(logical_name)}",
            )
        return entry.value(self.committed)

    def raw(self, client: Client, register: registers.Register) -> int | None:
        """Return a register's value in units of its scaler, None where it has none now.

        Raises AccessError where the client may not read it.
        """
        if client not in self._objects[register.logical_name][1][VALUE].readers:
            raise AccessError(
                DataAccessResult.READ_WRITE_DENIED,
                f"client {int(client)} may not read {register.key}",
            )
        return self.committed.raw(register.key)

    def local_time(self) -> CosemDateTime:
        """Return the committed time as the meter's local time."""
        committed = self.committed
        return at(committed.time_ns, self.zone, clock_invalid=not committed.clock_valid)

    def _add_register(self, register: registers.Register) -> None:
        quantity = register.quantity
        scaler_unit = axdr.structure(axdr.integer(quantity.scaler), axdr.enum(quantity.unit))
        self._add(
            REGISTER,
            register.logical_name,
            READERS,
            {
                VALUE: partial(_register_value, register),
                SCALER_UNIT: partial(_constant, scaler_unit),
            },
        )

    def _add(
        self,
        class_id: int,
        logical_name: bytes,
        readers: frozenset[Client],
        values: dict[int, Callable[[Snapshot], bytes]],
    ) -> None:
        own_name = partial(_constant, axdr.octet_string(logical_name))
        attributes = {LOGICAL_NAME: Attribute(readers, own_name)}
        attributes |= {number: Attribute(readers, value) for number, value in values.items()}
        self._objects[logical_name] = (class_id, attributes)

    def _clock(self, _: Snapshot) -> bytes:
        return axdr.octet_string(self.local_time().to_bytes())


def at(time_ns: int, zone: ZoneInfo, *, clock_invalid: bool = False) -> CosemDateTime:
    """Return a moment (UTC) as local time in the zone."""
    seconds, nanoseconds = divmod(time_ns, NANO)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return CosemDateTime.at(moment, zone, clock_invalid=clock_invalid)


def _active_tariff(snapshot: Snapshot) -> bytes:
    return axdr.unsigned(snapshot.tariff)


def _constant(value: bytes, _: Snapshot) -> bytes:
    return value


def _register_value(register: registers.Register, snapshot: Snapshot) -> bytes:
    raw = snapshot.raw(register.key)
    return axdr.null_data() if raw is None else axdr.number(register.quantity.wire, raw)
