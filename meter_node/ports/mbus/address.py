"""Secondary addresses: who a meter is on every M-Bus, wired or not. Pure.

Must not know frames nor what a meter tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.cosem.identity import digits_of

ELECTRICITY = 0x02
VERSION = 0x01
"""The generation of our records: a reader may choose its driver by it."""
MANUFACTURER = "MTN"
_DIGITS = 8
_WILD_NIBBLE = 0xF
_WILD_BYTE = 0xFF


@dataclass(frozen=True, slots=True)
class SecondaryAddress:
    """Identification number (8 digits), manufacturer (3 letters), version and medium."""

    identification: str
    manufacturer: str = MANUFACTURER
    version: int = VERSION
    medium: int = ELECTRICITY

    @property
    def manufacturer_code(self) -> bytes:
        """The manufacturer as two bytes, the lower first (EN 13757-3, five bits a letter)."""
        code = 0
        for letter in self.manufacturer:
            code = code << 5 | ord(letter) - ord("A") + 1
        return code.to_bytes(2, "little")

    @property
    def identification_code(self) -> bytes:
        """The number as four bytes of two digits each, the lower first."""
        return bytes.fromhex(self.identification)[::-1]

    def to_bytes(self) -> bytes:
        """Return the eight bytes of a wired header and of a selection."""
        return (
            self.identification_code + self.manufacturer_code + bytes((self.version, self.medium))
        )

    def matches(self, selection: bytes) -> bool:
        """Whether the eight bytes of a selection mean this meter.

        A nibble F of the number stands for any digit, FF FF for any manufacturer, FF for any
        version or medium.
        """
        own = self.to_bytes()
        if len(selection) != len(own):
            return False
        number = zip(selection[:4].hex(), own[:4].hex(), strict=True)
        if not all(asked in (f"{_WILD_NIBBLE:x}", digit) for asked, digit in number):
            return False
        if selection[4:6] not in (b"\xff\xff", own[4:6]):
            return False
        rest = zip(selection[6:], own[6:], strict=True)
        return all(asked in (_WILD_BYTE, byte) for asked, byte in rest)


def identification_of(meter_number: str) -> str:
    """Return the eight digits that a meter's number ends with; zeros before where it has fewer.

    One that has no digits has some of its own all the same (see ``digits_of``).
    """
    return digits_of(meter_number)[-_DIGITS:].rjust(_DIGITS, "0")


def name_on_bus(
    identification: str | None, manufacturer: str, meter_number: str | None
) -> tuple[str, str] | None:
    """Return what readers tell meters apart by; None while the meter's number is the node's own."""
    if identification is None and meter_number is None:
        return None
    return identification or identification_of(meter_number or ""), manufacturer
