"""An M-Bus master by somebody else: reads a slave over TCP, prints its records as JSON.

Runs in an environment and a process of its own, with pyMeterBus (BSD) and without anything of this
project; nothing here imports it, and it imports nothing from here.

    meterbus_reader.py HOST PORT PRIMARY            reads the slave with a primary address
    meterbus_reader.py HOST PORT SECONDARY          selects it first: sixteen digits
    meterbus_reader.py HOST PORT SECONDARY --find   only tells whether one answers
"""

import json
import sys

import meterbus
import serial

SELECTED = 253


def records(line, address):
    """All records of a slave's telegrams."""
    frame = None
    found, telegrams = [], 0
    while True:
        frame = meterbus.send_request_frame_multi(line, address, req=frame)
        answer = meterbus.load(meterbus.recv_frame(line))
        telegrams += 1
        found += answer.records
        if not answer.more_records_follow:
            return answer, telegrams, [one for one in found if not one.more_records_follow]
        frame.header.cField.parts[0] ^= meterbus.CONTROL_MASK_FCB


def main():
    host, port, address = sys.argv[1:4]
    line = serial.serial_for_url(f"socket://{host}:{port}", timeout=2)
    if len(address) == 16:
        meterbus.send_ping_frame(line, SELECTED)
        meterbus.recv_frame(line, 1)
        meterbus.send_select_frame(line, address)
        found = meterbus.recv_frame(line, 1) is not None
        if "--find" in sys.argv:
            print(json.dumps({"found": found}))
            return
        number = SELECTED
    else:
        number = int(address)
        meterbus.send_ping_frame(line, number)
        meterbus.load(meterbus.recv_frame(line, 1))
    last, telegrams, told = records(line, number)
    shown = []
    for record in told:
        storage, tariff, _ = record.dib.parse_dife()
        shown.append(
            {
                "value": str(record.value),
                "unit": record.unit,
                "function": record.interpreted["function"],
                "storage": storage,
                "tariff": tariff or 0,
                "vif": bytes(record.vib.parts).hex(),
            }
        )
    header = last.body.bodyHeader.interpreted
    secondary = last.secondary_address
    document = {"header": header, "secondary": secondary, "telegrams": telegrams, "records": shown}
    print(json.dumps(document, default=str))


main()
