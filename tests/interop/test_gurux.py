"""The Gurux client (gurux-dlms 1.0.203) understands the meter, in each security.

It does not check tags: what is ciphered is checked at each test's end, with `cryptography` alone.
"""

from __future__ import annotations

from typing import Any

import pytest

from meter_node.channel import axdr, obis
from meter_node.cosem.access import Client
from meter_node.cosem.long_value import pieces
from tests.interop.conftest import Gurux, Meter
from tests.meter_node.cosem.site import CONSUMER, HOME_TITLE, MANAGEMENT, PASSWORD, UTILITY_TITLE

HOME_PASSWORD = b"the home's own password"

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def ciphered(sap: int) -> dict[str, Any]:
    title, keys = (UTILITY_TITLE, MANAGEMENT) if sap == 1 else (HOME_TITLE, CONSUMER)
    return {
        "sap": sap,
        "authentication": "gmac",
        "system_title": title.hex(),
        "encryption": keys.encryption.hex(),
        "authentication_key": keys.authentication.hex(),
        "counter": 1,
    }


SECURITIES = {
    "public": {"sap": 16, "authentication": "none"},
    "password": {"sap": 20, "authentication": "lls", "password": PASSWORD.decode()},
    "consumer": ciphered(20),
    "consumer_without_proof": {**ciphered(20), "authentication": "none"},
    "consumer_by_password": {
        **ciphered(20),
        "authentication": "lls",
        "password": HOME_PASSWORD.decode(),
    },
    "utility": ciphered(1),
}
WAYS: dict[str, dict[str, Any]] = {
    "wrapper": {},
    "hdlc_128": {"information": 128},
    "hdlc_1024": {"information": 1024},
}


def connect(
    gurux: Gurux, meter: Meter, security: str, way: str = "wrapper", **more: Any
) -> dict[str, Any]:
    meter.site.home.password = HOME_PASSWORD
    port = meter.port("tcp" if way == "wrapper" else "hdlc_tcp")
    given = {**SECURITIES[security], **WAYS[way], **more}
    gurux.ask("connect", host="127.0.0.1", port=port, **given)
    return given


def plain(value: axdr.Value) -> Any:
    """A value of the meter's as the client's process tells it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, axdr.BitString):
        return {"bits": f"{value.bits:0{value.length}b}" if value.length else ""}
    return value


COUNTERS = {"0.0.43.1.0.255", "0.0.43.1.1.255"}
"""What changes by being asked for."""


@pytest.mark.parametrize(
    ("security", "way"),
    [
        *((security, "wrapper") for security in SECURITIES),
        ("public", "hdlc_128"),
        ("password", "hdlc_1024"),
        ("consumer", "hdlc_1024"),
        ("utility", "hdlc_128"),
    ],
)
def test_it_reads_every_attribute_of_the_association_view_and_values_are_the_meters(
    gurux: Gurux, meter: Meter, security: str, way: str
) -> None:
    sap = connect(gurux, meter, security, way)["sap"]
    view = gurux.ask("view")
    assert [1, "0.0.96.1.0.255", 0] in view
    read = gurux.ask("read_all")
    assert read["failed"] == []

    site, client = meter.site, Client(sap)
    own: dict[str, Any] = {}
    for row in site.table:
        for number in (1, *row.attributes):
            attribute = row.attribute(number)
            assert attribute is not None
            if client in attribute.readers:
                place = f"{row.class_id} {obis.text(row.logical_name)} {number}"
                caller = meter.connections[-1].caller(client)
                raw = site.table.get(caller, row.class_id, row.logical_name, number)
                # Of an array without elements the library gives None.
                value = axdr.decode_all(b"".join(pieces(raw)))
                own[place] = None if value == [] else plain(value)
    assert sorted(read["came"].keys() ^ own.keys()) == []
    differ = [
        place
        for place, value in own.items()
        if read["came"][place] != value and place.split()[1] not in COUNTERS
    ]
    assert [(place, read["came"][place], own[place]) for place in differ] == []
    assert all(0 <= read["came"][f"1 {name} 2"] <= own[f"1 {name} 2"] for name in COUNTERS)
    assert read["values"]["1 0.0.96.1.0.255 2"] == "8675309"
    if client is not Client.PUBLIC:
        # and not by the objects' own account alone
        raw_wh = site.device.committed.raw("import_active_energy")
        assert read["values"]["3 1.0.1.8.0.255 2"] == raw_wh
        # 2 s and 26 h of three times 1000 W
        assert raw_wh == 3000 * (26 * 3600 + 2) // 3600
        assert len(view) > 200
    gurux.ask("close")
    meter.audit.check()
    ciphered = "system_title" in SECURITIES[security]
    # besides the view: one or more answers for each attribute
    assert (meter.audit.opened > len(own)) is ciphered
    assert meter.audit.proofs == (SECURITIES[security]["authentication"] == "gmac")


RANGE_FROM, RANGE_TO = "2026-06-01T14:00:00+02:00", "2026-06-01T15:00:00+02:00"


@pytest.mark.parametrize(
    ("security", "way"),
    [
        ("password", "wrapper"),
        ("consumer", "wrapper"),
        ("utility", "wrapper"),
        ("consumer", "hdlc_128"),
        ("utility", "hdlc_1024"),
    ],
)
def test_it_reads_a_profile_by_range_by_place_and_whole_in_blocks(
    gurux: Gurux, meter: Meter, security: str, way: str
) -> None:
    connect(gurux, meter, security, way, max_pdu=256)
    gurux.ask("view")
    kept = meter.site.store.profile_rows("load_profile")
    # a new meter's first quarter is partial; 26 hours from 12:00 on have 104 of them
    assert len(kept) == 104
    rows = gurux.ask("range", name="1.0.99.1.0.255", **{"from": RANGE_FROM, "to": RANGE_TO})
    # 14:00, 14:15, 14:30, 14:45 and 15:00, both ends included
    assert len(rows) == 5
    wanted = [row for row in kept if row.entry in range(rows[0][2], rows[0][2] + 5)]
    assert [row[2:] for row in rows] == [[row.entry, *row.values] for row in wanted]
    few = gurux.ask("entries", name="1.0.99.1.0.255", first=3, count=2)
    assert [row[2] for row in few] == [3, 4]
    whole = gurux.ask("read", **{"class": 7}, name="1.0.99.1.0.255", attribute=2)
    assert [row[3:] for row in whole] == [list(row.values) for row in kept]
    # 104 rows of some 60 bytes each, 256 bytes an APDU: more than 20 blocks
    blocks = [apdu for apdu in meter.answered if len(apdu) > 200]
    assert len(blocks) > 20
    assert max(map(len, meter.answered)) <= 256


@pytest.mark.parametrize("way", WAYS)
def test_it_opens_and_closes_the_breaker_and_switches_a_relay(
    gurux: Gurux, meter: Meter, way: str
) -> None:
    connect(gurux, meter, "utility", way)
    site = meter.site
    gurux.ask("view")
    breaker = {"class": 70, "name": "0.0.96.3.10.255"}
    gurux.ask("method", **breaker, method=1, type=15)
    assert gurux.ask("read", **breaker, attribute=3) == 0  # disconnected
    assert site.device.committed.breaker is not None
    assert site.device.committed.breaker.causes == ("remote",)
    gurux.ask("method", **breaker, method=2, type=15)
    # mode 5 wants the button: ready for reconnection
    assert site.device.committed.breaker.control_state == 2
    gurux.ask("method", **{"class": 70}, name="0.1.96.3.10.255", method=2, type=15)
    assert site.device.committed.relays[0].on


@pytest.mark.parametrize("way", WAYS)
def test_it_uploads_a_tariff_and_activates_it(gurux: Gurux, meter: Meter, way: str) -> None:
    connect(gurux, meter, "utility", way)
    gurux.ask("view")
    gurux.ask(
        "tariff",
        name="evening",
        week=[1, 1, 1, 1, 1, 2, 2],
        days=[[1, [[0, 1], [17, 3], [21, 1]]], [2, [[0, 2]]]],
    )
    settings = meter.site.device.committed.settings
    assert settings is not None
    calendar = settings.parameters.tariff.calendar
    assert calendar.name == "evening"
    assert calendar.tariffs == 3
    assert calendar.days[0].switches == ((0, 1), (17 * 60, 3), (21 * 60, 1))
    assert calendar.weeks[0].days == (1, 1, 1, 1, 1, 2, 2)


def test_it_sets_the_clock(gurux: Gurux, meter: Meter) -> None:
    connect(gurux, meter, "utility")
    site = meter.site
    gurux.ask("view")
    before_ns = site.now_ns
    gurux.ask("method", **{"class": 8}, name="0.0.1.0.0.255", method=6, value=600, type=16)
    assert site.now_ns - before_ns == 600 * 10**9


def test_every_ciphered_byte_is_beyond_its_reach(gurux: Gurux, meter: Meter) -> None:
    connect(gurux, meter, "consumer")
    gurux.ask("view")
    gurux.ask("read", **{"class": 3}, name="1.0.1.8.0.255", attribute=2)
    # after the AARE (0x61), ciphered answers alone: to its proof in the service-specific form, and
    # general-glo as soon as general protection is agreed on
    assert {apdu[0] for apdu in meter.answered} == {0x61, 0xCF, 0xDB}
    assert axdr.visible_string("8675309") not in b"".join(meter.answered)
