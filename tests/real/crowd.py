"""A crowd before the utility's port, in a process of its own: slow, silent, greedy and mad clients.

    python -m tests.real.crowd <wrapper's port> <HDLC's port> <clients> [list]

With "list" all of them are of one kind: strangers without a key who ask for everything they may,
sixty-four times in one request, again and again.

Goes on until it is ended; says each second how many connections it opened and answers it got.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from meter_node.cosem import wrapper
from meter_node.cosem.wrapper import Message
from tests.meter_node.cosem.site import aarq, get


class Crowd:
    """Clients of every unpleasant kind, as many as there shall be, coming back when put out."""

    def __init__(self, ports: tuple[int, int], *, lists: bool = False) -> None:
        self._ports = ports
        self._kinds = (
            (self._lists,) if lists else (self._silent, self._slow, self._asks, self._nonsense)
        )
        self.opened = self.answered = 0

    async def one(self, number: int) -> None:
        behave = self._kinds[number % len(self._kinds)]
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._ports[number // 4 % 2 if len(self._kinds) > 1 else 0]
                )
                self.opened += 1
                try:
                    await behave(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(1)

    async def _silent(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # half open: never says anything

    async def _slow(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in wrapper.encode(Message(16, 1, aarq())):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.2)

    async def _asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for apdu_asked in [aarq(), *[get(15, "0.0.40.0.0.255", 2)] * 50]:
            writer.write(wrapper.encode(Message(16, 1, apdu_asked)))
            head = await reader.readexactly(8)
            await reader.readexactly(int.from_bytes(head[6:]))
            self.answered += 1

    async def _lists(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = get(15, "0.0.40.0.0.255", 2)[3:]
        writer.write(wrapper.encode(Message(16, 1, aarq())))
        while True:
            head = await reader.readexactly(8)
            await reader.readexactly(int.from_bytes(head[6:]))
            self.answered += 1
            writer.write(wrapper.encode(Message(16, 1, b"\xc0\x03\xc1\x40" + one * 64)))

    async def _nonsense(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x7e\xa0" * 2000)
        await writer.drain()
        await reader.read(1)


async def main() -> None:
    """Let all of them come."""
    tcp, hdlc_tcp, count = map(int, sys.argv[1:4])
    crowd = Crowd((tcp, hdlc_tcp), lists=sys.argv[4:] == ["list"])
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(crowd.one(number))
        while True:
            await asyncio.sleep(1)
            print(crowd.opened, crowd.answered, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
