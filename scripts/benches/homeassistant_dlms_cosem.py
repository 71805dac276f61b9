"""dlms-cosem on the bench's real frame: a worker in an environment of its own.

Takes the frame's APDU and the two keys in hexadecimal, and prints the CPU seconds for one frame.
"""

from __future__ import annotations

import sys
import time

from dlms_cosem.protocol.xdlms import DataNotification, GeneralGlobalCipher
from dlms_cosem.utils import parse_as_dlms_data

FRAMES = 500
ROUNDS = 3


def main(apdu: bytes, encryption: bytes, authentication: bytes) -> float:
    """Open, verify and decode the frame to Python values, again and again."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(FRAMES):
            ciphered = GeneralGlobalCipher.from_bytes(apdu)
            plain = ciphered.to_plain_apdu(encryption, authentication)
            values = parse_as_dlms_data(DataNotification.from_bytes(plain).body)
        times.append((time.process_time() - began) / FRAMES)
    if values[0] != "Kamstrup_V0001" and values[0] != b"Kamstrup_V0001":
        raise ValueError(f"not the frame's list: {values[0]!r}")
    return min(times)


if __name__ == "__main__":
    print(main(*map(bytes.fromhex, sys.argv[1:4])))
