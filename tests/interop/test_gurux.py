"""The Gurux client (gurux-dlms 1.0.203) understands the meter, in each security.

It does not check tags: what is ciphered is checked by the server's own tests with `cryptography`.
"""

from __future__ import annotations

from typing import Any

import pytest

from meter_node.channel import axdr
from tests.interop.conftest import Gurux, Wrapper
from tests.meter_node.cosem.site import CONSUMER, HOME_TITLE, MANAGEMENT, PASSWORD, UTILITY_TITLE

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
    "utility": ciphered(1),
}


def connect(gurux: Gurux, wrapper: Wrapper, security: str, **more: Any) -> None:
    gurux.ask("connect", host="127.0.0.1", port=wrapper.port, **SECURITIES[security], **more)


@pytest.mark.parametrize("security", SECURITIES)
def test_it_reads_the_association_view_and_every_attribute_in_it(
    gurux: Gurux, wrapper: Wrapper, security: str
) -> None:
    connect(gurux, wrapper, security)
    view = gurux.ask("view")
    assert [1, "0.0.96.1.0.255", 0] in view
    read = gurux.ask("read_all")
    assert read["failed"] == []
    assert read["values"]["1 0.0.96.1.0.255 2"] == "8675309"
    if security != "public":
        site = wrapper.site
        raw = site.device.committed.raw("import_active_energy")
        assert read["values"]["3 1.0.1.8.0.255 2"] == raw
        assert len(view) > 200
    gurux.ask("close")


RANGE_FROM, RANGE_TO = "2026-06-01T14:00:00+02:00", "2026-06-01T15:00:00+02:00"


@pytest.mark.parametrize("security", ["password", "consumer", "utility"])
def test_it_reads_a_profile_by_range_by_place_and_whole_in_blocks(
    gurux: Gurux, wrapper: Wrapper, security: str
) -> None:
    connect(gurux, wrapper, security, max_pdu=256)
    gurux.ask("view")
    kept = wrapper.site.store.profile_rows("load_profile")
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
    blocks = [apdu for apdu in wrapper.answered if len(apdu) > 200]
    assert len(blocks) > 20
    assert max(map(len, wrapper.answered)) <= 256


def test_it_opens_and_closes_the_breaker_and_switches_a_relay(
    gurux: Gurux, wrapper: Wrapper
) -> None:
    connect(gurux, wrapper, "utility")
    site = wrapper.site
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


def test_it_uploads_a_tariff_and_activates_it(gurux: Gurux, wrapper: Wrapper) -> None:
    connect(gurux, wrapper, "utility")
    gurux.ask("view")
    gurux.ask(
        "tariff",
        name="evening",
        week=[1, 1, 1, 1, 1, 2, 2],
        days=[[1, [[0, 1], [17, 3], [21, 1]]], [2, [[0, 2]]]],
    )
    settings = wrapper.site.device.committed.settings
    assert settings is not None
    calendar = settings.parameters.tariff.calendar
    assert calendar.name == "evening"
    assert calendar.tariffs == 3
    assert calendar.days[0].switches == ((0, 1), (17 * 60, 3), (21 * 60, 1))
    assert calendar.weeks[0].days == (1, 1, 1, 1, 1, 2, 2)


def test_it_sets_the_clock(gurux: Gurux, wrapper: Wrapper) -> None:
    connect(gurux, wrapper, "utility")
    site = wrapper.site
    gurux.ask("view")
    before_ns = site.now_ns
    gurux.ask("method", **{"class": 8}, name="0.0.1.0.0.255", method=6, value=600, type=16)
    assert site.now_ns - before_ns == 600 * 10**9


def test_every_ciphered_byte_is_beyond_its_reach(gurux: Gurux, wrapper: Wrapper) -> None:
    connect(gurux, wrapper, "consumer")
    gurux.ask("view")
    gurux.ask("read", **{"class": 3}, name="1.0.1.8.0.255", attribute=2)
    # after the AARE (0x61), ciphered answers alone: to its proof in the service-specific form, and
    # general-glo as soon as general protection is agreed on
    assert {apdu[0] for apdu in wrapper.answered} == {0x61, 0xCF, 0xDB}
    assert axdr.visible_string("8675309") not in b"".join(wrapper.answered)
