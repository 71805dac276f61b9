"""What a meter pushes: its readable registers and identity as one ``MeterNode_V1`` notification.

Read through the logical device like any other client, so that a push can't show more than its
role may read. Must not know a key or a transport.
"""

from __future__ import annotations

from meter_node.channel import apdu, meter_node_v1, registers
from meter_node.cosem.access import Client
from meter_node.cosem.logical_device import DATA, VALUE, LogicalDevice

INVOKE_ID_MASK = 0xFFFFFF
"""The number's bits in long-invoke-id-and-priority; those above are flags."""
_IDENTITY = (registers.METER_NUMBER, registers.MODEL, registers.SOFTWARE)


def notification(device: LogicalDevice, invoke_id: int) -> bytes:
    """Return the plain data-notification of the committed snapshot.

    Raises AccessError while nothing is committed.
    """
    time = device.local_time()
    values = {
        register.key: raw
        for register in device.registers
        if (raw := device.raw(Client.CONSUMER, register)) is not None
    }
    states = [
        meter_node_v1.encode_state(
            DATA, name, VALUE, device.get(Client.CONSUMER, DATA, name, VALUE)
        )
        for name in _IDENTITY
    ]
    return apdu.encode_data_notification(
        invoke_id & INVOKE_ID_MASK, time, meter_node_v1.encode(time, values, states)
    )
