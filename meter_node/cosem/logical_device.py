"""One meter's logical device: its objects by class, OBIS code and attribute, with roles.

Shows the last committed snapshot and nothing newer, so that nobody is shown a value that a power
cut could take back. Must not know a transport, a key or a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from meter_node.channel import axdr, obis, objects, registers
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.objects import ClassId
from meter_node.cosem.access import (
    IDENTITY_READERS,
    READERS,
    AccessError,
    Client,
    DataAccessResult,
)
from meter_node.cosem.identity import Identity
from meter_node.cosem.oscillogram import Oscillogram, encode_phasors, encode_waveforms
from meter_node.cosem.profile_entry import LOAD_PROFILE, ProfileEntry, ProfileReader
from meter_node.cosem.state_objects import ROWS
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant

LOGICAL_NAME, VALUE, SCALER_UNIT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Attribute:
    """One readable attribute: who may read it, and its A-XDR value from a snapshot."""

    readers: frozenset[Client]
    value: Callable[[Snapshot], bytes]


class LogicalDevice:
    """The objects of one meter, read from the last committed snapshot."""

    def __init__(
        self,
        identity: Identity,
        variant: Variant,
        zone: ZoneInfo,
        profile: ProfileReader | None = None,
    ) -> None:
        """Build the object table of a meter of that make; ``zone`` is its local time."""
        self.identity = identity
        self.zone = zone
        self.registers = registers.registers_of(variant.phases)
        self.states = tuple(row for row in ROWS if row.has(variant))
        self._objects: dict[bytes, tuple[int, dict[int, Attribute]]] = {}
        self._committed: Snapshot | None = None
        self._oscillogram: Oscillogram | None = None
        self._profile = profile
        for register in self.registers:
            self._add_register(register)
        for logical_name, text in (
            (registers.METER_NUMBER, identity.meter_number),
            (registers.MODEL, identity.model),
            (registers.SOFTWARE, identity.software),
        ):
            value = axdr.visible_string(text)
            self._add(
                ClassId.DATA, logical_name, IDENTITY_READERS, {VALUE: partial(_constant, value)}
            )
        self._add(ClassId.CLOCK, registers.CLOCK, READERS, {VALUE: self._clock})
        for row in self.states:
            which = row.object
            self._add(which.class_id, which.logical_name, READERS, {row.attribute: row.value})
        for which, encode in (
            (objects.PHASORS, encode_phasors),
            (objects.WAVEFORMS, encode_waveforms),
        ):
            value_of = partial(self._picture, encode)
            self._add(which.class_id, which.logical_name, READERS, {VALUE: value_of})

    def commit(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on: the store has it."""
        self._committed = snapshot

    def show(self, oscillogram: Oscillogram) -> None:
        """Show this picture of the moment: it counts nothing that a power cut could take back."""
        self._oscillogram = oscillogram

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
        # Only of registers and the clock: a load relay's channel 1 is not the breaker's 0.
        found = self._objects.get(logical_name)
        if found is None and class_id in (ClassId.REGISTER, ClassId.CLOCK):
            found = self._objects.get(obis.any_channel(logical_name))
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

    def profile_entry(self, client: Client, name: str, back: int) -> ProfileEntry | None:
        """Return a row of a profile, the newest for ``back`` 0, None where there are no more.

        Raises AccessError: no such profile, or not for this client; and what its reader raises.
        """
        if name != LOAD_PROFILE or self._profile is None:
            raise AccessError(DataAccessResult.OBJECT_UNDEFINED, f"no profile {name}")
        if client not in READERS:
            raise AccessError(
                DataAccessResult.READ_WRITE_DENIED, f"client {int(client)} may not read {name}"
            )
        row = self._profile.row(back) if back >= 0 else None
        if row is None:
            return None
        local = datetime.fromtimestamp(row.time_s, UTC) + timedelta(seconds=row.offset_s)
        captures = self._profile.captures()
        # Rows of other captures than today's were deleted with the change; never guess which.
        values = zip(captures, row.values, strict=True) if len(captures) == len(row.values) else ()
        return ProfileEntry(row.entry, local.replace(tzinfo=None), row.status, tuple(values))

    def local_time(self) -> CosemDateTime:
        """Return the committed time as the meter's local time."""
        committed = self.committed
        return at(committed.time_ns, self.zone, clock_invalid=not committed.clock_valid)

    def _add_register(self, register: registers.Register) -> None:
        quantity = register.quantity
        scaler_unit = axdr.structure(axdr.integer(quantity.scaler), axdr.enum(quantity.unit))
        self._add(
            ClassId.REGISTER,
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
        named = (class_id, {LOGICAL_NAME: Attribute(readers, own_name)})
        _, attributes = self._objects.setdefault(logical_name, named)
        attributes.update({number: Attribute(readers, value) for number, value in values.items()})

    def _picture(self, encode: Callable[[Oscillogram], bytes], _: Snapshot) -> bytes:
        shown = self._oscillogram
        return axdr.null_data() if shown is None else encode(shown)

    def _clock(self, _: Snapshot) -> bytes:
        return axdr.octet_string(self.local_time().to_bytes())


def at(time_ns: int, zone: ZoneInfo, *, clock_invalid: bool = False) -> CosemDateTime:
    """Return a moment (UTC) as local time in the zone."""
    seconds, nanoseconds = divmod(time_ns, NANO)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)
    return CosemDateTime.at(moment, zone, clock_invalid=clock_invalid)


def _constant(value: bytes, _: Snapshot) -> bytes:
    return value


def _register_value(register: registers.Register, snapshot: Snapshot) -> bytes:
    raw = snapshot.raw(register.key)
    return axdr.null_data() if raw is None else axdr.number(register.quantity.wire, raw)
