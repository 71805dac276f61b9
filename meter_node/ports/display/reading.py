"""Reads a logical device as the consumer: plain values, None where there is none. Nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from meter_node.channel import alarms, axdr, objects, registers
from meter_node.channel.cosem_time import ClockStatus, CosemDateTime
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.logical_device import VALUE, LogicalDevice
from meter_node.cosem.oscillogram import Phasors, Waveforms, decode_phasors, decode_waveforms

PRESENT_FROM_V = 160.0
"""Below it a phase counts as dark: the maker's limit of an outage."""


class Reading:
    """What the display may know of its meter."""

    def __init__(self, device: LogicalDevice) -> None:
        """Read this device from now on."""
        self._device = device
        self.phases = tuple(
            phase
            for phase in registers.PHASES
            if self.has(ClassId.REGISTER, registers.BY_KEY[f"voltage_l{phase}"].logical_name)
        )
        """The phases that this meter has."""

    def has(self, class_id: int, logical_name: bytes) -> bool:
        """Whether the meter has such an object for the consumer, with a value or without."""
        try:
            self._device.get(Client.CONSUMER, class_id, logical_name, VALUE)
        except AccessError as error:
            return error.result is DataAccessResult.TEMPORARY_FAILURE
        except axdr.AxdrError:
            return True
        return True

    def value(self, class_id: int, logical_name: bytes, attribute: int = VALUE) -> axdr.Value:
        """Return an attribute's value; None for null-data, and where it can't be read.

        A measured value beyond what its type can carry is none: the rest is shown all the same.
        """
        try:
            return axdr.decode_all(
                self._device.get(Client.CONSUMER, class_id, logical_name, attribute)
            )
        except (AccessError, axdr.AxdrError):
            return None

    def number(self, which: CosemObject, attribute: int = VALUE) -> int | None:
        """Return a whole number, None where there is none."""
        value = self.value(which.class_id, which.logical_name, attribute)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def truth(self, which: CosemObject, attribute: int = VALUE) -> bool | None:
        """Return a boolean, None where there is none."""
        value = self.value(which.class_id, which.logical_name, attribute)
        return value if isinstance(value, bool) else None

    def text(self, logical_name: bytes) -> str:
        """Return a Data object's text, empty where there is none."""
        value = self.value(ClassId.DATA, logical_name)
        return value if isinstance(value, str) else ""

    def register(self, key: str) -> int | None:
        """Return a register in units of its scaler, None where it has no value."""
        value = self.value(ClassId.REGISTER, registers.BY_KEY[key].logical_name)
        return value if isinstance(value, int) else None

    def clock(self) -> tuple[datetime, bool] | None:
        """Return the meter's local time and whether it is valid; None before the first commit."""
        value = self.value(ClassId.CLOCK, registers.CLOCK)
        if not isinstance(value, bytes):
            return None
        time = CosemDateTime.from_bytes(value)
        return time.local, not (time.status or 0) & ClockStatus.INVALID_VALUE

    def alarms(self) -> Sequence[alarms.Alarm]:
        """Return the alarms that hold now, in the order of their bits."""
        bits = self.number(objects.ALARMS) or 0
        return tuple(alarm for alarm in alarms.ALARMS if bits >> alarm.bit & 1)

    def credit_exhausted(self) -> bool:
        """Whether what was bought is used up, on a meter with prepayment on."""
        credit_wh = self.number(objects.CREDIT)
        told = any(alarm.name == "credit_exhausted" for alarm in self.alarms())
        return credit_wh is not None and (told or credit_wh <= 0)

    def net_power(self, kind: str, phase: int | None = None) -> int | None:
        """Return import less export in 0.1 W or 0.1 var; None without both."""
        suffix = "" if phase is None else f"_l{phase}"
        drawn = self.register(f"import_{kind}_power{suffix}")
        fed = self.register(f"export_{kind}_power{suffix}")
        return None if drawn is None or fed is None else drawn - fed

    def is_present(self, phase: int) -> bool:
        """Whether a phase has its voltage."""
        register = registers.BY_KEY[f"voltage_l{phase}"]
        raw = self.register(register.key)
        return raw is not None and raw * 10.0**register.quantity.scaler >= PRESENT_FROM_V

    def phasors(self) -> Phasors | None:
        """Return the last second's phasors, None where there is no picture."""
        try:
            which = objects.PHASORS
            return decode_phasors(
                self._device.get(Client.CONSUMER, which.class_id, which.logical_name, VALUE)
            )
        except AccessError:
            return None

    def waveforms(self) -> Waveforms | None:
        """Return the last cycles, None where there is no picture."""
        try:
            which = objects.WAVEFORMS
            return decode_waveforms(
                self._device.get(Client.CONSUMER, which.class_id, which.logical_name, VALUE)
            )
        except AccessError:
            return None
