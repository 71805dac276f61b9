"""A whole meter behind its DLMS server, and a client that ciphers with `cryptography` alone.

The client writes its APDUs by hand from the Green Book's tables and shares no code with the server
but A-XDR, which has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from meter_node.channel import axdr, obis
from meter_node.channel.event_codes import Log
from meter_node.channel.objects import CosemObject
from meter_node.channel.security import Keys
from meter_node.ciphering import PycryptodomeAead
from meter_node.cosem import model
from meter_node.cosem.access import Client
from meter_node.cosem.credentials import Credential, Credentials, Numbers, Security
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.server import Connection, Server
from meter_node.meter.commands import Commands
from meter_node.meter.meter import Meter
from meter_node.meter.parameters import Parameters
from meter_node.meter.rows import BillingRow, LogRow, ProfileRow
from meter_node.meter.variant import Variant
from tests.meter_node.meter.steps import step, utc

NANO = 10**9
ZONE = ZoneInfo("Europe/Copenhagen")
START_S = utc("2026-06-01 10:00")
TITLE = b"MTN\x00\x00\x00\x00\x2a"
UTILITY_TITLE = b"UTI\x00\x00\x00\x00\x01"
HOME_TITLE = b"HOM00001"
MANAGEMENT = Keys(bytes(range(16)), bytes(range(16, 32)))
CONSUMER = Keys(bytes(range(32, 48)), bytes(range(48, 64)))
MASTER = bytes(range(64, 80))
VENDING = bytes(range(80, 96))
PASSWORD = b"a long password"
WHOLE = Variant("382M", 3, "5(65)", breaker=True, relays=2)


class Store:
    """What a meter's rows and numbers are kept in, in memory."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.logs: list[LogRow] = []
        self.profiles: list[ProfileRow] = []
        self.billing: list[BillingRow] = []
        self.commits = 0
        self.fetched: list[int] = []
        """How many rows of profiles each fetch gave."""

    def reserved_counter(self, key_name: str, /) -> int:
        return self.numbers.get(key_name, 0)

    def reserve_counter(self, key_name: str, bound: int, /) -> None:
        self.numbers[key_name] = max(bound, self.numbers.get(key_name, 0))

    def forget_counters(self, group: str, most: int, floor_name: str, /) -> None:
        own = [name for name in self.numbers if name.startswith(f"{group}.")]
        gone = sorted(own, key=lambda name: self.numbers[name])[: max(len(own) - most, 0)]
        for name in gone:
            self.reserve_counter(floor_name, self.numbers.pop(name))

    def log_rows(self, log: Log) -> list[LogRow]:
        rows = [row for row in self.logs if row.log is log]
        cleared = max((row.entry for row in rows if row.code == 255), default=0)
        return [row for row in rows if row.entry >= cleared]

    def profile_rows(
        self,
        profile: str,
        *,
        entries: tuple[int, int | None] = (1, None),
        stamps_s: tuple[int | None, int | None] = (None, None),
        most: int | None = None,
        skip: int = 0,
    ) -> list[ProfileRow]:
        found = [
            row for row in self.profiles if row.profile == profile and _in(row, entries, stamps_s)
        ][skip : None if most is None else skip + most]
        self.fetched.append(len(found))
        return found

    def billing_rows(
        self,
        kind: str,
        *,
        entries: tuple[int, int | None] = (1, None),
        stamps_s: tuple[int | None, int | None] = (None, None),
        most: int | None = None,
        skip: int = 0,
    ) -> list[BillingRow]:
        found = [row for row in self.billing if row.kind == kind and _in(row, entries, stamps_s)]
        return found[skip : None if most is None else skip + most]

    def count_rows(
        self,
        kind: Literal["profile", "billing"],
        name: str,
        *,
        entries: tuple[int, int | None] = (1, None),
        stamps_s: tuple[int | None, int | None] = (None, None),
    ) -> int:
        if kind == "profile":
            return sum(one.profile == name and _in(one, entries, stamps_s) for one in self.profiles)
        return sum(one.kind == name and _in(one, entries, stamps_s) for one in self.billing)


def _in(row: Any, entries: tuple[int, int | None], stamps_s: tuple[int | None, int | None]) -> bool:
    for value, (least, most) in ((row.entry, entries), (row.time_s, stamps_s)):
        if (least is not None and value < least) or (most is not None and value > most):
            return False
    return True


class Site:
    """A meter that runs, with its server."""

    def __init__(
        self,
        variant: Variant = WHOLE,
        parameters: Parameters | None = None,
        store: Store | None = None,
        links: model.Links | None = None,
    ) -> None:
        self.store = store or Store()
        self.meter = Meter(
            variant,
            zone=ZONE,
            parameters=parameters,
            system_title=TITLE,
            vending_key=VENDING,
        )
        self.commands = Commands(self.meter)
        self.device = LogicalDevice(Identity(TITLE, "8675309", "382M", "0.1.0"), variant, ZONE)
        self.kept_keys: list[tuple[Keys, bytes]] = []
        self.utility = Credential(
            Client.MANAGEMENT,
            "utility",
            MANAGEMENT,
            master=MASTER,
            keep=lambda keys, master: self.kept_keys.append((keys, master)),
        )
        self.home = Credential(Client.CONSUMER, "home", CONSUMER, pre_established=True)
        self.reader = Credential(Client.CONSUMER, "reader", password=PASSWORD)
        self.security = Security(
            TITLE,
            PycryptodomeAead(),
            Credentials([self.utility, self.home, self.reader]),
            Numbers(self.store, TITLE, 1000),
        )
        self.counted: list[tuple[str, str]] = []
        self.table = model.build(
            model.Parts(
                self.device,
                variant,
                self.commands,
                self.store,
                self.security,
                links or model.Links(),
            ),
            self.commit,
        )
        self.server = Server(self.table, self.security, lambda: self.device.committed, self._count)
        self._end_s = START_S
        self.run(seconds=2)

    def _count(self, name: str, source: str) -> None:
        self.counted.append((name, source))
        self.commands.count(name, source)

    def run(self, seconds: int = 0, minutes: int = 0, power_w: float = 1000.0) -> None:
        """Let time pass, with as much power on each phase."""
        for length in [1] * seconds + [60] * minutes:
            self.meter.advance(
                step(self._end_s, length, (power_w,) * self.meter.variant.phases).measurement
            )
            self._end_s += length
        self.commit()

    def commit(self) -> None:
        image = self.meter.image()
        self.store.logs += image.log_rows
        self.store.profiles += [row for row in image.profile_rows if row not in self.store.profiles]
        self.store.billing += image.billing_rows
        for profile, first in image.profile_firsts.items():
            self.store.profiles = [
                row for row in self.store.profiles if row.profile != profile or row.entry >= first
            ]
        self.meter.is_kept(image)
        self.store.commits += 1
        self.device.commit(self.meter.snapshot())

    @property
    def now_ns(self) -> int:
        return self.meter.clock.now_ns

    def connect(self, max_pdu: int = 1024) -> Connection:
        return self.server.connect("test", max_pdu)

    def log(self, log: Log) -> list[tuple[int, str]]:
        """Codes and details of a log."""
        return [(row.code, row.detail) for row in self.store.log_rows(log)]


def gcm_seal(key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(associated)
    return cipher.update(plaintext) + cipher.finalize() + cipher.tag[:12]


def gcm_open(key: bytes, nonce: bytes, associated: bytes, protected: bytes) -> bytes:
    tag = protected[-12:]
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce, tag, min_tag_length=12)).decryptor()
    cipher.authenticate_additional_data(associated)
    return cipher.update(protected[:-12]) + cipher.finalize()


CONFORMANCE = bytes.fromhex("605e1d")
"""General protection, general blocks, priority, blocks with get, set and action, lists, get, set,
selective access, action: bits 1, 2, 9, 11 to 14, 19 to 21 and 23 of the block."""


def initiate(max_pdu: int = 0xFFFF, conformance: bytes = CONFORMANCE) -> bytes:
    return bytes.fromhex("01 00 00 00 06 5f1f0400") + conformance + max_pdu.to_bytes(2)


def tlv(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + axdr.encode_length(len(value)) + value


def aarq(
    context: int = 1,
    mechanism: int = 0,
    authentication: bytes = b"",
    title: bytes = b"",
    information: bytes | None = None,
) -> bytes:
    parts = [tlv(0xA1, tlv(0x06, bytes.fromhex("608574050801") + bytes((context,))))]
    if title:
        parts.append(tlv(0xA6, tlv(0x04, title)))
    if mechanism:
        parts.append(bytes.fromhex("8a020780"))
        parts.append(tlv(0x8B, bytes.fromhex("608574050802") + bytes((mechanism,))))
        parts.append(tlv(0xAC, tlv(0x80, authentication)))
    parts.append(tlv(0xBE, tlv(0x04, initiate() if information is None else information)))
    return tlv(0x60, b"".join(parts))


def fields(data: bytes) -> dict[int, bytes]:
    """The fields of a BER sequence, one level deep."""
    found, at = {}, 0
    while at < len(data):
        length, start = axdr.decode_length(data, at + 1)
        found[data[at]] = data[start : start + length]
        at = start + length
    return found


@dataclass
class Peer:
    """A client with keys, at one connection."""

    connection: Connection
    site: Site
    sap: int
    title: bytes
    keys: Keys
    counter: int = 0
    form: int = 0
    """0 service-specific, 0xDB general-glo."""
    max_pdu: int = 0xFFFF
    conformance: bytes = CONFORMANCE
    seen: list[int] = field(default_factory=list)
    """Counters of the server."""
    meter_title: bytes = TITLE

    def send(self, apdu: bytes) -> bytes | None:
        return self.connection.receive(self.sap, 1, apdu, self.site.now_ns)

    def seal(self, plaintext: bytes) -> bytes:
        self.counter += 1
        number = self.counter.to_bytes(4)
        sealed = gcm_seal(
            self.keys.encryption, self.title + number, b"\x30" + self.keys.authentication, plaintext
        )
        content = b"\x30" + number + sealed
        if self.form == 0xDB:
            return tlv(0xDB, self.title) + axdr.encode_length(len(content)) + content
        return tlv(plaintext[0] + 8 if plaintext[0] > 0x80 else 0x21, content)

    def open(self, apdu: bytes, keys: Keys | None = None) -> bytes:
        keys = keys or self.keys
        at = 1
        if apdu[0] == 0xDB:
            assert apdu[1:10] == b"\x08" + self.meter_title
            at = 10
        else:
            assert apdu[0] in (0xCC, 0xCD, 0xCF, 0x28), apdu.hex()
        length, at = axdr.decode_length(apdu, at)
        content = apdu[at:]
        assert len(content) == length
        assert content[0] == 0x30
        number = int.from_bytes(content[1:5])
        assert number not in self.seen, "a number twice"
        self.seen.append(number)
        return gcm_open(
            keys.encryption,
            self.meter_title + content[1:5],
            b"\x30" + keys.authentication,
            content[5:],
        )

    def opening(self, challenge: bytes = b"12345678") -> bytes:
        return aarq(
            3, 5, challenge, self.title, self.seal(initiate(self.max_pdu, self.conformance))
        )

    def associate(self, challenge: bytes = b"12345678") -> None:
        """HLS5-GMAC, all four passes, the server's proof checked."""
        answer = self.send(self.opening(challenge))
        assert answer is not None
        aare = fields(fields(answer)[0x61])
        assert aare[0xA2] == b"\x02\x01\x00", answer.hex()
        assert aare[0xA4] == b"\x04\x08" + self.meter_title
        assert self.open(fields(aare[0xBE])[0x04])[0] == 0x08
        (to_client,) = fields(aare[0xAA]).values()
        self.counter += 1
        number = self.counter.to_bytes(4)
        tag = gcm_seal(
            self.keys.encryption,
            self.title + number,
            b"\x10" + self.keys.authentication + to_client,
            b"",
        )
        proof = axdr.octet_string(b"\x10" + number + tag)
        result, returned = self.act(15, "0.0.40.0.0.255", 1, proof)
        assert result == 0
        assert isinstance(returned, bytes)
        assert returned[0] == 0x10
        expected = gcm_seal(
            self.keys.encryption,
            self.meter_title + returned[1:5],
            b"\x10" + self.keys.authentication + challenge,
            b"",
        )
        assert returned[5:] == expected
        number_of_server = int.from_bytes(returned[1:5])
        assert number_of_server not in self.seen
        self.seen.append(number_of_server)

    def exchange(self, plaintext: bytes) -> bytes:
        answer = self.send(self.seal(plaintext))
        assert answer is not None
        return self.open(answer)

    def get(self, class_id: int, name: str, attribute: int, selection: bytes = b"\x00") -> Any:
        """The value, whole or in blocks, or `Refused`."""
        return got(self.exchange, get(class_id, name, attribute, selection))

    def set(self, class_id: int, name: str, attribute: int, value: bytes) -> int:
        answer = self.exchange(set_request(class_id, name, attribute, value))
        assert answer[:3] == b"\xc5\x01\xc1"
        return answer[3]

    def act(self, class_id: int, name: str, method: int, value: bytes | None) -> tuple[int, Any]:
        answer = self.exchange(action(class_id, name, method, value))
        assert answer[:3] == b"\xc7\x01\xc1", answer.hex()
        returned = axdr.decode_all(answer[6:]) if answer[4] else None
        return answer[3], returned

    # objects of the channel's table
    def read(self, which: CosemObject, attribute: int = 2) -> Any:
        return self.get(which.class_id, obis.text(which.logical_name), attribute)

    def write(self, which: CosemObject, value: bytes, attribute: int = 2) -> int:
        return self.set(which.class_id, obis.text(which.logical_name), attribute, value)

    def call(self, which: CosemObject, method: int, value: bytes | None = None) -> int:
        return self.act(which.class_id, obis.text(which.logical_name), method, value)[0]


def got(ask: Callable[[bytes], bytes], request: bytes) -> Any:
    """What a GET gives, fetching all blocks."""
    answer = ask(request)
    if answer[:2] == b"\xc4\x01":
        return Refused(answer[4]) if answer[3] else axdr.decode_all(answer[4:])
    raw = b""
    while True:
        assert answer[:2] == b"\xc4\x02"
        assert answer[8] == 0, answer.hex()
        length, start = axdr.decode_length(answer, 9)
        assert len(answer) == start + length
        raw += answer[start:]
        if answer[3]:
            return axdr.decode_all(raw)
        answer = ask(b"\xc0\x02\xc1" + answer[4:8])


@dataclass(frozen=True)
class Refused:
    """A data-access-result that is no success."""

    result: int


def descriptor(class_id: int, name: str, number: int) -> bytes:
    return class_id.to_bytes(2) + obis.parse(name) + number.to_bytes(1, signed=True)


def get(class_id: int, name: str, attribute: int, selection: bytes = b"\x00") -> bytes:
    return b"\xc0\x01\xc1" + descriptor(class_id, name, attribute) + selection


def set_request(class_id: int, name: str, attribute: int, value: bytes) -> bytes:
    return b"\xc1\x01\xc1" + descriptor(class_id, name, attribute) + b"\x00" + value


def action(class_id: int, name: str, method: int, value: bytes | None) -> bytes:
    data = b"\x00" if value is None else b"\x01" + value
    return b"\xc3\x01\xc1" + descriptor(class_id, name, method) + data


def utility(site: Site, **given: Any) -> Peer:
    """The utility, associated; it goes on from the number that the meter saw last."""
    given.setdefault("counter", site.security.numbers.highest(MANAGEMENT.encryption))
    peer = Peer(site.connect(), site, 1, UTILITY_TITLE, MANAGEMENT, **given)
    peer.associate()
    return peer


def consumer(site: Site, **given: Any) -> Peer:
    """A consumer's program, associated."""
    given.setdefault("counter", site.security.numbers.highest(CONSUMER.encryption))
    peer = Peer(site.connect(), site, 20, HOME_TITLE, CONSUMER, **given)
    peer.associate()
    return peer


def public(site: Site) -> Connection:
    """Anybody, associated."""
    connection = site.connect()
    answer = connection.receive(16, 1, aarq(), site.now_ns)
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x00"
    return connection
