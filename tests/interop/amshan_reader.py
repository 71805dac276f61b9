"""Reads a serial list by amshan, as it is published: ``amshan_reader.py PORT HOW_MANY``.

Prints each list as one line of JSON. Runs without anything of this project.
"""

import json
import socket
import sys

from han.autodecoder import AutoDecoder
from han.hdlc import HdlcFrameReader

reader, decoder = HdlcFrameReader(), AutoDecoder()
left = int(sys.argv[2])
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as line:
    while left:
        data = line.recv(4096)
        if not data:
            sys.exit("the port closed the connection")
        for frame in reader.read(data):
            if not frame.is_valid:
                sys.exit("a frame is damaged")
            said = decoder.decode_message(frame)
            if said is None:
                sys.exit("a list can't be decoded")
            print(json.dumps(said, default=str), flush=True)
            left -= 1
