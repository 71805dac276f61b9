"""Who may have a load relay moved, as the standard's arbitrator: one for each relay, read only.

Commands go to the relay and to what stands beside it. Must not know when a relay moves.
"""

from __future__ import annotations

from meter_node.channel import axdr, objects
from meter_node.channel.axdr import BitString
from meter_node.cosem.access import READERS
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Row, row
from meter_node.cosem.values import constant
from meter_node.meter.relays import PRIORITIES, Source

_SCRIPTS = (10, 0, 106, 255)
"""C to F of the disconnect scripts: 1 disconnects, 2 reconnects."""
_OFF, _ON = 1, 2
_BITS = {"off": 0b10, "on": 0b01, "automatic": 0b00}
"""Which of the two actions an actor asks for, the first is off."""
_ALL, _NONE = 0b11, 0b00
_ACTORS = [one.source for one in PRIORITIES if one.source is not Source.OWN]
"""The strongest first. Where none of them asks, the relay's own tariff or table decides."""


def rows(parts: Parts) -> list[Row]:
    """Return one for each relay."""
    return [_arbitrator(number) for number in range(1, parts.variant.relays + 1)]


def _arbitrator(number: int) -> Row:
    script = axdr.octet_string(bytes((0, number, *_SCRIPTS)))
    actions = [axdr.structure(script, axdr.long_unsigned(which)) for which in (_OFF, _ON)]
    weights = [
        axdr.array(*[axdr.long_unsigned(len(_ACTORS) - place)] * len(actions))
        for place in range(len(_ACTORS))
    ]

    def permissions(caller: Caller) -> bytes:
        may = settings(caller).parameters.relays[number - 1].consumer_may_command
        allowed = {Source.UTILITY: _ALL, Source.CONSUMER: _ALL if may else _NONE}
        return axdr.array(*(_bits(allowed[actor]) for actor in _ACTORS))

    def requests(caller: Caller) -> bytes:
        relay = caller.snapshot.relays[number - 1]
        asked = {Source.UTILITY: relay.utility_command, Source.CONSUMER: relay.consumer_command}
        return axdr.array(*(_bits(_BITS[asked[actor]]) for actor in _ACTORS))

    def outcome(caller: Caller) -> bytes:
        return axdr.unsigned(_ON if caller.snapshot.relays[number - 1].on else _OFF)

    getters = {
        2: constant(axdr.array(*actions)),
        3: permissions,
        4: constant(axdr.array(*weights)),
        5: requests,
        6: outcome,
    }
    which = objects.ARBITRATORS[number]
    return row(which, {place: Attribute(READERS, get) for place, get in getters.items()})


def _bits(allowed: int) -> bytes:
    return axdr.bit_string(BitString(allowed, 2))
