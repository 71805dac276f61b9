"""Reading an APDU field by field, and writing its small parts. Must not know any service."""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.channel import axdr, obis
from meter_node.channel.axdr import Value

MOST_IN_A_LIST = 64
"""Attributes or methods of one request with a list."""


class WireError(ValueError):
    """The bytes are no such APDU: cut short, a length that lies, or something left over."""


class Reader:
    """Takes fields from the front of some bytes. Every method raises WireError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        end = self._at + count
        if end > len(self._data):
            raise WireError(f"byte {self._at}: {count} bytes wanted, {self.left} there")
        found = self._data[self._at : end]
        self._at = end
        return found

    def unsigned(self, size: int = 1) -> int:
        """Return an unsigned number of so many bytes."""
        return int.from_bytes(self.take(size))

    def signed(self) -> int:
        """Return a signed byte."""
        return int.from_bytes(self.take(1), signed=True)

    def length(self) -> int:
        """Return a length, never beyond what is there."""
        try:
            length, self._at = axdr.decode_length(self._data, self._at)
        except axdr.AxdrError as error:
            raise WireError(str(error)) from None
        if length > self.left:
            raise WireError(f"byte {self._at}: a length of {length}, {self.left} bytes there")
        return length

    def octets(self) -> bytes:
        """Return an octet-string with its length before it."""
        return self.take(self.length())

    def count(self) -> int:
        """Return how many elements a list has."""
        count = self.length()
        if count > MOST_IN_A_LIST:
            raise WireError(f"a list of {count}; at most {MOST_IN_A_LIST}")
        return count

    def optional(self) -> bool:
        """Return whether an optional field is there."""
        return self.unsigned() != 0

    def data(self) -> Value:
        """Return COSEM data."""
        try:
            value, self._at = axdr.decode(self._data, self._at)
        except axdr.AxdrError as error:
            raise WireError(str(error)) from None
        return value

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)

    def end(self) -> None:
        """Raise WireError where bytes are left over."""
        if self.left:
            raise WireError(f"{self.left} bytes left over")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An attribute or a method, and for an attribute the part that is selected."""

    class_id: int
    logical_name: obis.LogicalName
    number: int
    selection: tuple[int, Value] | None = None


def attribute(reader: Reader) -> Descriptor:
    """Read an attribute descriptor with its selection."""
    class_id, name, number = reader.unsigned(2), reader.take(6), reader.signed()
    selection = (reader.unsigned(), reader.data()) if reader.optional() else None
    return Descriptor(class_id, name, number, selection)


def method(reader: Reader) -> Descriptor:
    """Read a method descriptor."""
    return Descriptor(reader.unsigned(2), reader.take(6), reader.signed())


def octet_string(value: bytes) -> bytes:
    """Return bytes with their length before them."""
    return axdr.encode_length(len(value)) + value
