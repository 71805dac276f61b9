"""The display's page: who may ask it, what it streams, and when a held button is let go."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from display_meters import SNAPSHOT, device, flat, profile_reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter_node.cosem.access import Client
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.cosem.oscillogram import Oscillogram, PhaseWave
from meter_node.cosem.profile_entry import LOAD_PROFILE, ProfileEntry
from meter_node.meter.variant import Variant
from meter_node.ports.display import page as page_module
from meter_node.ports.display.page import DisplayPage, PageError
from meter_node.ports.display.screen import Screen, TokenAnswer
from meter_node.ports.display.views import Settings

pytestmark = pytest.mark.usefixtures("socket_enabled")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens() -> list[str]:
    return []


@pytest.fixture
def screens(clock: Clock, tokens: list[str]) -> dict[str, Screen]:
    async def enter(token: str) -> TokenAnswer:
        tokens.append(token)
        return TokenAnswer(ok=token == "GOOD", text="taken" if token == "GOOD" else "mistyped")

    shown = device()
    wave = PhaseWave([0.0, 325.0, 0.0, -325.0], [0.0, 7.0, 0.0, -7.0], 230 + 0j, -5 + 0j)
    shown.show(Oscillogram(0, 10**9, 200.0, (wave,) * 3))
    return {
        "house": Screen(shown, settings=Settings(), clock=clock),
        "flat": Screen(flat(), settings=Settings(language="da"), clock=clock, enter_token=enter),
    }


@pytest.fixture
async def client(screens: dict[str, Screen]) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(DisplayPage("127.0.0.1", 0, screens).app())) as made:
        yield made


async def push(client: TestClient[Any, Any], down: bool, **headers: str) -> ClientResponse:
    return await client.post("/meter/house/button", json={"down": down}, headers=headers)


async def now(client: TestClient[Any, Any], meter: str = "house") -> dict[str, Any]:
    answer = await client.get(f"/meter/{meter}/faces")
    assert answer.status == 200
    document: dict[str, Any] = await answer.json()
    return document


@asynccontextmanager
async def live(
    client: TestClient[Any, Any], meter: str = "house"
) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with client.get(f"/meter/{meter}/live") as answer:
        assert answer.content_type == "text/event-stream"

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in answer.content:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

        yield events()


# --- who may ask -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/meters", "/meter/house", "/meter/house/live"])
async def test_another_hosts_name_is_refused(client: TestClient[Any, Any], path: str) -> None:
    """DNS rebinding: the name of an attacker's site that leads to this machine."""
    port = client.port
    for host in (f"attacker.example:{port}", "attacker.example", "127.0.0.1:1", "", "[::1"):
        answer = await client.get(path, headers={"Host": host})
        assert answer.status == 403, host


async def test_the_address_and_localhost_are_served(client: TestClient[Any, Any]) -> None:
    for host in (
        f"127.0.0.1:{client.port}",
        f"localhost:{client.port}",
        f"LOCALHOST:{client.port}",
    ):
        assert (await client.get("/", headers={"Host": host})).status == 200


async def test_a_name_that_is_configured_is_served(screens: dict[str, Screen]) -> None:
    page = DisplayPage("127.0.0.1", 0, screens, names=("meter.home",))
    async with TestClient(TestServer(page.app())) as client:
        assert (await client.get("/", headers={"Host": "meter.home"})).status == 200
        assert (await client.get("/", headers={"Host": "other.home"})).status == 403


async def test_another_sites_page_may_not_push_the_button(
    client: TestClient[Any, Any], screens: dict[str, Screen]
) -> None:
    for origin in ("http://attacker.example", "null", f"http://localhost:{client.port}"):
        assert (await push(client, True, Origin=origin)).status == 403
    assert not screens["house"].button


async def test_the_pages_own_origin_and_programs_without_one_may(
    client: TestClient[Any, Any],
) -> None:
    assert (await push(client, True, Origin=f"http://127.0.0.1:{client.port}")).status == 200
    assert (await push(client, False)).status == 200


async def test_a_form_of_another_site_is_no_json(
    client: TestClient[Any, Any], screens: dict[str, Screen]
) -> None:
    """A form needs no permission from the browser; its content type tells it."""
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await client.post(
            "/meter/house/button", data='{"down": true}', headers={"Content-Type": content_type}
        )
        assert answer.status == 415
    assert not screens["house"].button


@pytest.mark.parametrize("body", ["", "[]", "{", '{"down": 1}', '{"down": "true"}', "[" * 3000])
async def test_what_is_no_push_is_refused(client: TestClient[Any, Any], body: str) -> None:
    answer = await client.post(
        "/meter/house/button", data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400


async def test_a_body_without_end_is_refused(client: TestClient[Any, Any]) -> None:
    answer = await client.post(
        "/meter/house/button", data=b" " * 5000, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 413


async def test_every_answer_says_what_a_browser_may_load(client: TestClient[Any, Any]) -> None:
    for path in ("/", "/meter/house", "/static/meter.js", "/meters", "/nothing"):
        headers: Mapping[str, str] = (await client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["page.py", "..%2fpage.py", "%2e%2e/page.py", "nothing.js"])
async def test_only_the_pages_files_are_served(client: TestClient[Any, Any], name: str) -> None:
    assert (await client.get(f"/static/{name}")).status == 404


async def test_the_pages_files_load_nothing_from_elsewhere(client: TestClient[Any, Any]) -> None:
    for name in page_module._FILES:
        text = await (await client.get(f"/static/{name}")).text()
        foreign = text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in foreign
        assert "https://" not in foreign
        assert " style=" not in text, "the policy forbids it"


# --- what is shown -----------------------------------------------------------------------------


async def test_many_meters_have_a_list_and_one_has_its_page(screens: dict[str, Screen]) -> None:
    async with TestClient(TestServer(DisplayPage("127.0.0.1", 0, screens).app())) as many:
        meters = (await (await many.get("/meters")).json())["meters"]
        assert [(meter["name"], meter["model"]) for meter in meters] == [
            ("house", "382M"),
            ("flat", "162M"),
        ]
        assert (await many.get("/", allow_redirects=False)).status == 200
        assert (await many.get("/meter/cellar")).status == 404
    alone = {"house": screens["house"]}
    async with TestClient(TestServer(DisplayPage("127.0.0.1", 0, alone).app())) as one:
        answer = await one.get("/", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (302, "/meter/house")


async def test_the_stream_begins_with_face_picture_and_texts(client: TestClient[Any, Any]) -> None:
    async with live(client) as events:
        first = await anext(events)
    assert first["face"]["digits"] == "0012345"
    assert first["face"]["cells"][1] == [63, ""]  # the first 0 behind the empty cell
    assert first["name"] == "house"
    assert first["texts"]["phasors"] == "Phasors"
    assert first["phasors"][0] == {"u": 230.0, "u_deg": 0.0, "i": 5.0, "i_deg": 180.0}
    assert first["waveforms"]["rate"] == 200
    assert first["waveforms"]["phases"][1]["u"] == [0, 325, 0, -325]
    assert (first["breaker"], first["relays"], first["credit_wh"]) == (
        "closed",
        [True, False],
        None,
    )
    assert first["prepaid"] is False


async def test_the_stream_tells_pay_credit_and_alarms_in_the_meters_language(
    client: TestClient[Any, Any],
) -> None:
    async with live(client, "flat") as events:
        first = await anext(events)
    assert first["face"]["symbols"]["pay"] is True
    assert first["face"]["caption"] == "Saldo opbrugt"
    assert first["alarms"] == ["Saldo opbrugt"]
    assert (first["credit_wh"], first["prepaid"], first["breaker"]) == (-12, True, "open")
    assert first["phasors"] is None


async def test_the_stream_goes_on_each_second(
    client: TestClient[Any, Any], screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "TICK_S", 0.02)
    async with live(client) as events:
        assert "texts" in await anext(events)
        second = await anext(events)
    assert "texts" not in second
    assert second["waveforms"]["rate"] == 200


async def test_a_contact_that_rests_wakes_nobody_and_takes_no_picture_away(
    client: TestClient[Any, Any], screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "TICK_S", 0.2)
    async with live(client) as events:
        await anext(events)
        coming = asyncio.ensure_future(anext(events))
        while not coming.done():
            # The meter tells of its contact with each measurement, oftener than a tick here.
            screens["house"].press(False)
            await asyncio.sleep(0.01)
        document = await coming
    assert document["waveforms"]["rate"] == 200


async def test_a_push_is_on_the_glass_at_once(client: TestClient[Any, Any], clock: Clock) -> None:
    async with asyncio.timeout(0.9), live(client) as events:
        await anext(events)
        await push(client, True)
        held = await anext(events)
        assert held["face"]["hint"] == "Release: next"
        assert "waveforms" not in held
        clock.now_s += 0.3
        await push(client, False)
        after = await anext(events)
    assert after["face"]["view"] == "import_active_energy_t1"
    assert after["face"]["digits"] == "0001000"


async def test_who_has_gone_is_forgotten(
    client: TestClient[Any, Any], screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "TICK_S", 0.02)
    async with live(client) as events:
        await anext(events)
        assert screens["house"]._watchers
    async with asyncio.timeout(5):
        while screens["house"]._watchers:
            await asyncio.sleep(0.02)


async def test_all_views_can_be_asked_for_in_either_language(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/meter/house/faces", headers={"Accept-Language": "da"})
    document = await answer.json()
    faces = {drawn["view"]: drawn for drawn in document["faces"]}
    assert faces["export_active_energy_l3"]["caption"] == "Levering L3"
    assert faces["export_active_energy_l3"]["digits"] == "0003053"
    assert document["time"] == "2026-07-01T14:00:05"


# --- the button --------------------------------------------------------------------------------


async def test_a_held_button_is_the_meters_input(
    client: TestClient[Any, Any], screens: dict[str, Screen], clock: Clock
) -> None:
    assert not screens["house"].button
    for _ in range(13):  # heartbeats of a page that holds it for six seconds
        await push(client, True)
        assert screens["house"].button
        clock.now_s += 0.5
    drawn = (await now(client))["now"]
    assert (drawn["view"], drawn["held"]) == ("breaker", "long")
    await push(client, False)
    assert not screens["house"].button


async def test_a_page_that_vanished_lets_go_after_a_second(
    client: TestClient[Any, Any], screens: dict[str, Screen], clock: Clock
) -> None:
    await push(client, True)
    clock.now_s += 0.99
    assert screens["house"].button
    clock.now_s += 0.01
    assert not screens["house"].button
    assert (await now(client))["now"]["view"] == "import_active_energy", "nothing was meant by it"


async def test_quick_pushes_never_look_like_a_long_one_to_a_meter_that_looks_once_a_second(
    screens: dict[str, Screen], clock: Clock
) -> None:
    screen, seen = screens["house"], []
    for _ in range(8):
        # Down again a moment after it went up, and up a moment after the meter looked.
        screen.press_from_page(True)
        clock.now_s += 0.98
        screen.press_from_page(True)
        seen.append(screen.button)
        clock.now_s += 0.01
        screen.press_from_page(False)
        clock.now_s += 0.01
    assert seen[0]
    assert not any(one and other for one, other in pairwise(seen))


@pytest.mark.parametrize("looks_s", [0.0, 0.05, 0.5, 0.999])
async def test_a_short_push_is_seen_by_a_meter_that_looks_once_a_second(
    screens: dict[str, Screen], clock: Clock, looks_s: float
) -> None:
    screen = screens["house"]
    screen.press_from_page(True)
    clock.now_s += 0.001
    screen.press_from_page(False)
    seen = []
    for _ in range(4):
        clock.now_s += looks_s if not seen else 1
        seen.append(screen.button)
    assert any(seen)
    assert not seen[-1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.booleans()), max_size=40), st.floats(0, 1, width=32)
)
def test_down_is_seen_no_longer_than_the_page_held_it_and_a_moment(
    moves: list[tuple[float, bool]], first_look_s: float
) -> None:
    """However it is pushed: as many looks in a row as one push had seconds, and one or two."""
    clock = Clock()
    screen = Screen(device(), settings=Settings(), clock=clock)
    looks_s, longest_s, down_since = clock.now_s + first_look_s, 0.0, None
    row = rows = 0
    for wait_s, down in moves:
        until_s = clock.now_s + wait_s
        beats_s = clock.now_s + 0.5
        while min(looks_s, beats_s) < until_s:
            clock.now_s = min(looks_s, beats_s)
            if clock.now_s == beats_s:
                beats_s += 0.5
                if down_since is not None:
                    screen.press_from_page(True)
            if clock.now_s == looks_s:
                looks_s += 1
                row = row + 1 if screen.button else 0
                rows = max(rows, row)
        clock.now_s = until_s
        if down_since is not None:
            longest_s = max(longest_s, clock.now_s - down_since)
        down_since = (clock.now_s if down_since is None else down_since) if down else None
        screen.press_from_page(down)
    assert rows <= longest_s + 2


async def test_the_contact_moves_the_display_and_is_not_the_pages_button(
    screens: dict[str, Screen], clock: Clock
) -> None:
    screen = screens["house"]
    screen.press(True)
    clock.now_s += 0.5
    assert not screen.button
    screen.press(False)
    assert (await screen.now()).view == "import_active_energy_t1"


async def test_a_page_that_vanishes_does_not_let_go_of_the_contact(
    screens: dict[str, Screen], clock: Clock
) -> None:
    screen = screens["house"]
    screen.press(True)
    screen.press_from_page(True)
    clock.now_s += 3
    assert not screen.button
    assert (await screen.now()).held == "medium"


# --- the profile's browser ---------------------------------------------------------------------


async def test_the_profile_is_browsed_with_the_button(clock: Clock) -> None:
    shown = LogicalDevice(
        Identity(b"MTN12345", "1", "382M", "0"),
        Variant(),
        device().zone,
        profile_reader({4: (1_000, 0), 5: (2_000, 0)}),
    )
    shown.commit(SNAPSHOT)

    async def profile(back: int) -> ProfileEntry | None:
        return shown.profile_entry(Client.CONSUMER, LOAD_PROFILE, back)

    screen = Screen(shown, settings=Settings(), clock=clock, profile=profile)

    async def pushed(length_s: float) -> str:
        screen.press(True)
        clock.now_s += length_s
        screen.press(False)
        drawn = await screen.now()
        return f"{drawn.digits} {drawn.caption}"

    await pushed(2)
    assert await pushed(2) == "0002.000 2026-07-01 14:00 #5 Import"
    assert await pushed(0.2) == "0001.000 2026-07-01 13:45 #4 Import"
    assert await pushed(0.2) == "0002.000 2026-07-01 14:00 #5 Import", "behind the oldest"
    assert await pushed(3) == "0012345 Import"


# --- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "ok", "text"), [("GOOD", True, "taken"), ("X", False, "mistyped")]
)
async def test_a_token_is_handed_on_and_its_answer_told(
    client: TestClient[Any, Any], tokens: list[str], token: str, ok: bool, text: str
) -> None:
    answer = await client.post("/meter/flat/token", json={"token": token})
    assert await answer.json() == {"ok": ok, "text": text}
    assert tokens == [token]


async def test_without_prepayment_there_is_no_keypad(client: TestClient[Any, Any]) -> None:
    assert (await client.post("/meter/house/token", json={"token": "GOOD"})).status == 404


@pytest.mark.parametrize("token", ["", "A" * 129, 5, None])
async def test_what_is_no_token_is_not_handed_on(
    client: TestClient[Any, Any], tokens: list[str], token: object
) -> None:
    assert (await client.post("/meter/flat/token", json={"token": token})).status == 400
    assert tokens == []


# --- serving -----------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_told_clearly(screens: dict[str, Screen]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PageError, match=rf"127\.0\.0\.1:{port}: .*another port"):
            await DisplayPage("127.0.0.1", port, screens).start()


async def test_running_waits_for_a_port_that_is_taken(
    screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page_module, "_RETRY_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        page = DisplayPage("127.0.0.1", taken.getsockname()[1], screens)
        running = asyncio.create_task(page.run())
        await asyncio.sleep(0.1)
        assert not running.done()
        assert "metering goes on" in caplog.text
    async with asyncio.timeout(10):
        while page._runner is None:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert page._runner is None, "the port is free again"


async def test_it_ends_though_somebody_looks(screens: dict[str, Screen]) -> None:
    page = DisplayPage("127.0.0.1", 0, screens)
    await page.start()
    host, port = page.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /meter/house/live HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert b"200 OK" in await reader.readline()
    async with asyncio.timeout(5):
        await page.close()
    writer.close()


# --- the LED ------------------------------------------------------------------------------------


async def test_each_pulse_of_an_s0_port_is_told_at_once(
    client: TestClient[Any, Any], screens: dict[str, Screen]
) -> None:
    screen = screens["house"]
    with screen.led_follows(640):
        async with asyncio.timeout(5), client.get("/meter/house/live") as answer:
            first = await answer.content.readuntil(b"\n\n")
            assert json.loads(first.removeprefix(b"data: "))["constant"] == 640
            told = 0
            for _ in range(3):
                screen.blink()
                said = await answer.content.readuntil(b"\n\n")
                while not said.startswith(b"event: pulse\n"):
                    said = await answer.content.readuntil(b"\n\n")
                told += int(said.split(b"data: ")[1])
    assert told == 3


def test_the_led_goes_on_with_the_s0_port_that_stays(screens: dict[str, Screen]) -> None:
    screen = screens["house"]
    with screen.led_follows(1000):
        with screen.led_follows(500):
            assert screen.constant == 500
        assert screen.constant == 1000
    assert screen.constant is None


def test_the_led_goes_on_with_the_s0_port_that_came_last(screens: dict[str, Screen]) -> None:
    screen = screens["house"]
    with ExitStack() as first, ExitStack() as last:
        first.enter_context(screen.led_follows(1000))
        last.enter_context(screen.led_follows(500))
        first.close()
        assert screen.constant == 500


async def test_without_an_s0_port_there_is_no_constant(client: TestClient[Any, Any]) -> None:
    async with live(client) as events:
        assert (await anext(events))["constant"] is None
