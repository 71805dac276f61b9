"""Many meters for the bench of the integration: says hello, then pushes at a steady pace.

A process of its own, so that its work is not counted as Home Assistant's. It says on standard
output that all are announced, and pushes after a line on standard input.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

import aiomqtt

from meter_node.channel import apdu, hello, meter_node_v1, registers, security
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.security import Keys
from meter_node.ciphering import PycryptodomeAead

INTERVAL_S = 10
WATCHED = 20
"""Of so many meters it is timed when a state is written."""
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))

FAST = (
    *(
        f"{way}_active_power{phase}"
        for way in ("import", "export")
        for phase in ("", "_l1", "_l2", "_l3")
    ),
    *(
        f"{way}_reactive_power{phase}"
        for way in ("import", "export")
        for phase in ("", "_l1", "_l2", "_l3")
    ),
    *(f"apparent_power{phase}" for phase in ("", "_l1")),
    *(f"{name}_l{phase}" for name in ("voltage", "current") for phase in (1, 2, 3)),
)
"""Registers that change with every push: with the four net powers and the two totals, thirty."""
WATCHED_REGISTER = "apparent_power"


def title(number: int) -> bytes:
    """Return a meter's system title."""
    return b"MTN\x7e" + number.to_bytes(4)


def values(number: int, turn: int) -> dict[str, int]:
    """Return a full push's registers, of which the fast ones change at every turn."""
    found = {}
    for place, register in enumerate(registers.REGISTERS):
        if not register.quantity.pushed:
            continue
        if register.key in FAST:
            step = 20 if register.key.startswith("export") else 10
            found[register.key] = 1000 * (1 + place % 7) + step * (turn % 50) + number % 10
        elif register.key in ("import_active_energy", "export_active_energy"):
            found[register.key] = 1_000_000 * (1 + place) + 30 * turn
        else:
            found[register.key] = 500 + place % 11
    return found


def seal(number: int, turn: int) -> bytes:
    """Return one ciphered push."""
    moment = CosemDateTime.at(datetime.now(UTC), UTC)
    plain = apdu.encode_data_notification(
        0, moment, meter_node_v1.encode(moment, values(number, turn))
    )
    counter = int(time.time()) + turn
    sealed = security.seal(PycryptodomeAead(), KEYS, title(number), counter, plain)
    return apdu.encode_general_glo_ciphering(sealed)


async def street(port: int, meters: int, turns: int) -> None:
    """Announce all, wait for the word, push all in every turn."""
    async with aiomqtt.Client(
        "127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, max_queued_outgoing_messages=0
    ) as client:
        status = hello.node_status_topic("street")
        await client.publish(status, hello.ONLINE, qos=1, retain=True)
        for number in range(meters):
            name = title(number).hex()
            said = hello.Hello(meter_node_v1.LIST_NAME, name, "382M", "0", INTERVAL_S, status)
            await client.publish(hello.hello_topic(name), said.to_json(), qos=1, retain=True)
            await client.publish(hello.push_topic(name), seal(number, 0), qos=1, retain=True)
        print("announced", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.monotonic()
        for turn in range(1, turns + 1):
            for number in range(meters):
                frame = seal(number, turn)
                due = began + INTERVAL_S * (turn - 1 + number / meters)
                if (ahead := due - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                topic = hello.push_topic(title(number).hex())
                await client.publish(topic, frame, qos=0, retain=True)


if __name__ == "__main__":
    asyncio.run(street(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
