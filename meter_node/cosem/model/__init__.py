"""A meter's object model: every function of it as objects of the one table.

Getters read the last committed image and kept rows; setters and methods call the meter's commands.
Must not know APDUs, transports or where anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable

from meter_node.channel import objects
from meter_node.cosem.model import (
    arbitration,
    clock,
    connection,
    logs,
    prepayment,
    profiles,
    registers,
    settings,
    supply,
    tariff,
)
from meter_node.cosem.model.parts import Links, Parts, Rows
from meter_node.cosem.table import ObjectTable

__all__ = ["Links", "Parts", "Rows", "build"]

_RELAY_CHANNELS = (
    objects.RELAYS,
    objects.ARBITRATORS,
    objects.RELAY_PENDING,
    objects.RELAY_COMMANDS,
    objects.RELAY_UTILITY_COMMANDS,
)


def build(parts: Parts, commit: Callable[[], None]) -> ObjectTable:
    """Return the objects of a meter. `commit`: see `ObjectTable`."""
    table = ObjectTable(lambda: parts.device.committed, commit)
    parts_of_it = (
        registers,
        clock,
        tariff,
        supply,
        arbitration,
        prepayment,
        settings,
        profiles,
        logs,
    )
    for make in parts_of_it:
        table.add(*make.rows(parts))
    table.add(*connection.rows(parts, table))
    # Load relays are channels 1 and 2 by themselves: never the breaker by another name.
    for names in _RELAY_CHANNELS:
        table.keep_apart(*(which.logical_name for which in names.values()))
    return table
