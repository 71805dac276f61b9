"""What a meter pushes: its readable registers and identity as one ``MeterNode_V1`` notification.

Read through the logical device like any other client, so that a push can't show more than its
role may read. Must not know a key or a transport: a proof is made by who is handed in.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

from meter_node.channel import apdu, axdr, meter_node_v1, objects, registers
from meter_node.channel.event_codes import LOGS
from meter_node.channel.objects import ClassId
from meter_node.channel.reading import LoggedEvent, LogHead
from meter_node.cosem.access import Client
from meter_node.cosem.logical_device import VALUE, LogicalDevice, at
from meter_node.meter.rows import LogRow
from meter_node.meter.snapshot import NANO

INVOKE_ID_MASK = 0xFFFFFF
"""The number's bits in long-invoke-id-and-priority; those above are flags."""
_IDENTITY = (registers.METER_NUMBER, registers.MODEL, registers.SOFTWARE)


type Prove = Callable[[int, bytes], bytes]
"""Makes 16 bytes that nobody else can make of a push's number and text."""
_UNPROVED = bytes(16)
_PROOF_HEAD = meter_node_v1.encode_state(
    ClassId.DATA, objects.PUSH_PROOF.logical_name, VALUE, axdr.octet_string(_UNPROVED)
).removesuffix(_UNPROVED)


def notification(
    device: LogicalDevice,
    number: int,
    new_entries: Iterable[LogRow] = (),
    prove: Prove | None = None,
) -> bytes:
    """Return the plain data-notification of the committed snapshot, to go under this number.

    With it go where each log stands, and the log entries that no push had yet; with `prove` a state
    by which the meter knows it again. Raises AccessError while nothing is committed.
    """
    time = device.local_time()
    values = {
        register.key: raw
        for register in device.registers
        if _travels(register, device.committed.tariffs)
        if (raw := device.raw(Client.CONSUMER, register)) is not None
    }
    attributes = [(ClassId.DATA, name, VALUE) for name in _IDENTITY]
    attributes += [
        (row.object.class_id, row.object.logical_name, row.attribute)
        for row in device.states
        if row.pushed
    ]
    states = [
        meter_node_v1.encode_state(*attribute, device.get(Client.CONSUMER, *attribute))
        for attribute in attributes
    ]
    if prove is not None:
        states.append(_PROOF_HEAD + _UNPROVED)
    heads = [
        LogHead(LOGS[log].logical_name, head.entry, head.chain)
        for log, head in device.committed.log_heads.items()
    ]
    events = [_event(row, device.zone) for row in new_entries]
    plain = apdu.encode_data_notification(
        number & INVOKE_ID_MASK, time, meter_node_v1.encode(time, values, states, heads, events)
    )
    return plain if prove is None else proved(plain, number, prove)


def proved(unproved: bytes, number: int, prove: Prove) -> bytes:
    """Put the proof into a push that has room for it: it is over all, with zeros in its place."""
    before, _, behind = unproved.partition(_PROOF_HEAD + _UNPROVED)
    return before + _PROOF_HEAD + prove(number, unproved) + behind


def is_proved(plain: bytes, number: int, prove: Prove) -> bool:
    """Whether a push has the proof that it should have."""
    before, head, rest = plain.partition(_PROOF_HEAD)
    proof, behind = rest[: len(_UNPROVED)], rest[len(_UNPROVED) :]
    wanted = prove(number, before + head + _UNPROVED + behind)
    return bool(head) and hmac.compare_digest(proof, wanted)


def _travels(register: registers.Register, tariffs: int) -> bool:
    """Whether a register is in every push. Of one tariff alone the registers are the totals."""
    if register.tariff is None:
        return register.quantity.pushed
    is_active = register.quantity.unit is registers.Unit.WATT_HOUR
    return is_active and 1 < tariffs >= register.tariff


def _event(row: LogRow, zone: ZoneInfo) -> LoggedEvent:
    time = at(row.time_s * NANO, zone)
    return LoggedEvent(LOGS[row.log].logical_name, row.entry, time, row.code, row.detail)
