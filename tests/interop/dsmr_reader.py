"""Reads a P1 port by dsmr-parser, as it is published: ``dsmr_reader.py PORT SPECIFICATION``.

Prints the first telegram as one line of JSON. Runs without anything of this project.
"""

import json
import socket
import sys

from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import TelegramBuffer
from dsmr_parser.parsers import TelegramParser

parser = TelegramParser(getattr(telegram_specifications, sys.argv[2]))
buffer = TelegramBuffer()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as line:
    telegrams = []
    while not telegrams:
        data = line.recv(4096)
        if not data:
            sys.exit("the port closed the connection")
        buffer.append(data.decode("ascii"))
        telegrams = list(buffer.get_all())
# Raises where a check sequence or a line is wrong.
telegram = parser.parse(telegrams[0], throw_ex=True)
print(json.dumps(json.loads(telegram.to_json())))
