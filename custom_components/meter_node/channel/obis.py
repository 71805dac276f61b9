"""Logical names (OBIS, IEC 62056-61) as six bytes on the wire and as text for people.

Must not know what a name means: that is the register table's subject.
"""

from __future__ import annotations

type LogicalName = bytes
"""Six bytes A B C D E F."""


def parse(text: str) -> LogicalName:
    """Return the six bytes of ``1.0.1.8.0.255`` (also ``1-0:1.8.0`` and ``1-0:1.8.0*255``).

    Raises ValueError naming the text when it is not a logical name.
    """
    parts = text.replace("-", ".").replace(":", ".").replace("*", ".").split(".")
    if len(parts) == 5:
        parts.append("255")
    try:
        name = bytes(int(part) for part in parts)
    except ValueError:
        name = b""
    if len(name) != 6:
        raise ValueError(f"not a logical name (A.B.C.D.E.F, each 0 to 255): {text!r}")
    return name


def text(name: LogicalName) -> str:
    """Return ``A.B.C.D.E.F``."""
    return ".".join(str(group) for group in name)


def any_channel(name: LogicalName) -> LogicalName:
    """Return the name with B = 0: IDIS meters write B = 0, the channel's real meters B = 1."""
    return name[:1] + b"\x00" + name[2:] if name[1:2] == b"\x01" else name
