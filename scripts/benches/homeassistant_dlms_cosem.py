"""dlms-cosem on the bench's real frame: a worker in an environment of its own.

Takes the frame and its two keys in hexadecimal, and prints the CPU seconds that one frame takes.
"""

from __future__ import annotations

import sys
import time

from dlms_cosem.hdlc.frames import UnnumberedInformationFrame
from dlms_cosem.protocol.xdlms import DataNotification, GeneralGlobalCipher
from dlms_cosem.utils import parse_as_dlms_data

FRAMES = 300
ROUNDS = 3
LLC = 3


def main(frame: bytes, encryption: bytes, authentication: bytes) -> float:
    """Check, open, verify and decode the frame to Python values, again and again."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(FRAMES):
            apdu = UnnumberedInformationFrame.from_bytes(frame).payload[LLC:]
            plain = GeneralGlobalCipher.from_bytes(apdu).to_plain_apdu(encryption, authentication)
            values = parse_as_dlms_data(DataNotification.from_bytes(plain).body)
        times.append((time.process_time() - began) / FRAMES)
    if values[0] != "Kamstrup_V0001" or len(values) != 65:
        raise ValueError(f"not the frame's list: {values!r}")
    return min(times)


if __name__ == "__main__":
    print(main(*map(bytes.fromhex, sys.argv[1:4])))
