"""Whatever anybody sends on any topic: nothing breaks, one warning at most, no entity moves."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration_home import NOON, STATUS_TOPIC, Home, Meter

from custom_components.meter_node.channel import frames, kamstrup_v0001
from custom_components.meter_node.channel.hello import (
    kept_response_topic,
    response_topic,
)
from custom_components.meter_node.channel.kept import KeptError, KeptFrame, KeptResponse
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.mqtt import parse_hello
from custom_components.meter_node.raw_topic import whose
from custom_components.meter_node.reader import MeterReader, NotTakenError

OTHER = Keys(b"\xaa" * 16, b"\xbb" * 16)
REQUESTER = "00112233aabbccdd"

TOPICS: dict[str, Callable[[Meter], str]] = {
    "hello": lambda meter: meter.hello_topic,
    "status": lambda _: STATUS_TOPIC,
    "push": lambda meter: meter.push_topic,
    "response": lambda meter: response_topic(meter.title, REQUESTER),
    "kept response": lambda meter: kept_response_topic(meter.title, REQUESTER),
}

# One of a kind is refused with one warning an hour, so each kind is sent by itself.
PAYLOADS: dict[str, Callable[[Meter, bytes], bytes]] = {
    "empty": lambda meter, old: b"",
    "replayed": lambda meter, old: old,
    "forged": lambda meter, old: meter.seal(
        meter.body({"import_active_energy": 1}), counter=0xFFFFFFF0, keys=OTHER
    ),
    "one bit flipped": lambda meter, old: old[:60] + bytes((old[60] ^ 4,)) + old[61:],
    "cut short": lambda meter, old: meter.push(counter=5000)[:-1],
    "cut to its head": lambda meter, old: meter.push(counter=5000)[:12],
    "with more behind it": lambda meter, old: meter.push(counter=5000) + b"\x00",
    "oversized": lambda meter, old: b"\xdb\x08" + meter.system_title + b"\x00" * 300_000,
    "oversized text": lambda meter, old: b"{" * 300_000,
    "plain": lambda meter, old: meter.body({"import_active_energy": 1}),
    "of another meter": lambda meter, old: Meter(b"MTN\x01\x00\x00\x99\x99").push(),
    "P1": lambda meter, old: b"/KAM5\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n!0000\r\n",
    "M-Bus": lambda meter, old: bytes.fromhex("68FAFA6853FF000167DB084B464D67"),
    "JSON": lambda meter, old: b'{"state": "ON"}',
    "JSON of a wrong shape": lambda meter, old: b'[[{"push_interval": true}]]',
    "no UTF-8": lambda meter, old: b"\xc3\x28\xff\xfe",
    "a hello of another": lambda meter, old: meter.hello(system_title="4d544e0100009999").encode(),
    "a hello with a wildcard": lambda meter, old: meter.hello(status_topic="#").encode(),
    "a hello cut short": lambda meter, old: meter.hello().encode()[:-3],
    "kept frames": lambda meter, old: KeptResponse(
        "a", (KeptFrame(1, meter.push(counter=7000)),), 9, last=True
    ).to_bytes(),
    "nested without end": lambda meter, old: b"\x0f\x00\x00\x00\x00\x00" + b"\x02\x01" * 2000,
    "a number of elements that lies": lambda meter, old: (
        b"\x0f\x00\x00\x00\x00\x00\x01\x84\xff\xff\xff\xff"
    ),
}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("topic", TOPICS)
async def test_no_payload_on_any_topic_breaks_or_moves_anything(
    home: Home, topic: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    old = home.meter.push(voltage_l1=1)
    await home.push(old)
    await home.push()
    before, counter = home.states(), home.coordinator.invocation_counter
    caplog.clear()
    for _ in range(3):
        payload = PAYLOADS[kind](home.meter, old)
        home.broker.send(TOPICS[topic](home.meter), payload, keep=False)
        await home.settle()
    assert home.states() == before
    assert home.coordinator.invocation_counter == counter
    assert len(warnings(caplog)) <= 1
    assert not any(one.exc_info for one in caplog.records)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_flood_of_noise_is_one_warning_a_kind(
    home: Home, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    before = home.states()
    caplog.clear()
    chance = random.Random(2026)
    begins = (b"", b"\x7e\xa1", b"\xdb\x08" + home.meter.system_title, b"\x0f\x00", b"MNK1", b"{")
    for number in range(300):
        noise = begins[number % len(begins)] + chance.randbytes(chance.randrange(600))
        home.broker.send(TOPICS[topic](home.meter), noise, keep=False)
    await home.settle()
    assert home.states() == before
    # Foreign, damaged, downgraded and forged are different things to be told of.
    assert len(warnings(caplog)) <= 4
    assert "Traceback" not in caplog.text


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"", b"\x7e", b"\xdb\x08MTN\x01\x00\x00\x47\x11"]))
def test_random_bytes_are_read_by_nobody(noise: bytes, begin: bytes) -> None:
    payload = begin + noise
    profile = kamstrup_v0001.SCALER_PROFILES["energy_1_wh"]
    for keys in (Meter().keys, None):
        reader = MeterReader(Meter().title, keys, profile)
        with pytest.raises(NotTakenError):
            reader.read(payload, retained=False, arrived=NOON)
        with pytest.raises(NotTakenError):
            reader.read_past(payload)
        assert reader.state.highest is None
    assert parse_hello(Meter().hello_topic, payload) is None
    for data in frames.apdus_of(payload):
        whose(data)
    with suppress(KeptError):
        KeptResponse.from_bytes(payload)
