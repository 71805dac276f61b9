"""The display's own page: one LCD a meter, live, with its button, by HTTP.

Bound to loopback unless told otherwise, and without a log-in: whoever reaches the port may read the
meters and push their buttons. Other sites that a browser has open may not: requests that name
another host are refused (DNS rebinding), and so are posts that come from another site's page. Must
not know how a face comes about.

    GET  /                       the meters, or the page of the only one
    GET  /meters                 JSON: every meter with what it shows now
    GET  /meter/NAME             the page
    GET  /meter/NAME/live        server-sent events, one a second, for every move and pulse
    GET  /meter/NAME/faces       JSON: the face now and the faces of all views
    POST /meter/NAME/button      {"down": true}, again each half second while it is held
    POST /meter/NAME/token       {"token": "..."}
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from meter_node.channel import objects, registers
from meter_node.cosem.oscillogram import Phasors, Waveforms
from meter_node.ports.display import face
from meter_node.ports.display.screen import Screen, TokenAnswer, Watcher
from meter_node.ports.display.texts import TEXTS
from meter_node.ports.display.views import Language

_LOGGER = logging.getLogger(__name__)

TICK_S = 1.0
MOST_BYTES = 4096
LONGEST_TOKEN = 128
_FILES = {
    "meter.html": "text/html",
    "meters.html": "text/html",
    "meter.js": "text/javascript",
    "meters.js": "text/javascript",
    "lcd.js": "text/javascript",
    "diagrams.js": "text/javascript",
    "display.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_RETRY_S = 30.0
type _Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageError(Exception):
    """The page can't be served; the text says where and why."""


class DisplayPage:
    """Serves the displays of a node's meters."""

    def __init__(
        self, host: str, port: int, screens: Mapping[str, Screen], names: tuple[str, ...] = ()
    ) -> None:
        """Nothing is bound yet. `names`: by which the page is reached too, from behind a proxy."""
        self._host = host
        self._port = port
        self._screens = dict(screens)
        self._names = frozenset(name.lower() for name in names)
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """Where the page is, once it is served; with the port that the system gave for port 0."""
        port = self._port
        if self._runner is not None and self._runner.addresses:
            port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}"

    def app(self) -> web.Application:
        """Return the application, for a server of one's own."""
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guard])
        app.router.add_get("/", self._index)
        app.router.add_get("/meters", self._meters)
        app.router.add_get("/static/{file}", self._static)
        app.router.add_get("/meter/{name}", self._meter)
        app.router.add_get("/meter/{name}/live", self._live)
        app.router.add_get("/meter/{name}/faces", self._faces)
        app.router.add_post("/meter/{name}/button", self._button)
        app.router.add_post("/meter/{name}/token", self._token)
        return app

    async def start(self) -> None:
        """Bind and serve. Raises PageError for an address or port that can't be had."""
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            reason = getattr(error, "strerror", None) or str(error)
            raise PageError(
                f"the display's page can't be served at {self._host}:{self._port}: {reason}; "
                "give [display] another port, or end what listens there"
            ) from None
        self._runner = runner

    async def run(self) -> None:
        """Serve until cancelled. A port that is taken is told and tried again, never raised."""
        try:
            while self._runner is None:
                try:
                    await self.start()
                except PageError as error:
                    _LOGGER.error("%s; metering goes on", error)
                    await asyncio.sleep(_RETRY_S)
            _LOGGER.info("the display is at %s", self.address)
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop serving."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse what another site's page makes a browser ask, and set what every answer needs."""
        try:
            self._check(request)
            response = await handler(request)
        except web.HTTPException as refused:
            refused.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _check(self, request: web.Request) -> None:
        if not self._is_own(request):
            raise web.HTTPForbidden(text="this is not the host that the page is served for\n")
        if request.method != "POST":
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            raise web.HTTPForbidden(text="another site's page may not do this\n")
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="application/json is wanted\n")

    def _is_own(self, request: web.Request) -> bool:
        """Whether the host asked for is this machine by its address, and no name of another's."""
        try:
            asked = urlsplit(f"//{request.host}")
            host, port = (asked.hostname or "").lower(), asked.port or 80
        except ValueError:
            return False
        transport = request.transport
        own = transport.get_extra_info("sockname") if transport is not None else None
        if own is None:
            return False
        address, own_port = str(own[0]), own[1]
        if host in self._names:  # a proxy before it may have a port of its own
            return True
        is_loopback = address == "::1" or address.startswith("127.")
        hosts = {address, self._host.lower()} | ({"localhost"} if is_loopback else set())
        return port == own_port and host in hosts

    def _screen(self, request: web.Request) -> Screen:
        try:
            return self._screens[request.match_info["name"]]
        except KeyError:
            raise web.HTTPNotFound(text="no such meter\n") from None

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if len(self._screens) == 1:
            raise web.HTTPFound(f"/meter/{next(iter(self._screens))}")
        return _file("meters.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return _file(request.match_info["file"])

    async def _meter(self, request: web.Request) -> web.StreamResponse:
        self._screen(request)
        return _file("meter.html")

    async def _meters(self, request: web.Request) -> web.StreamResponse:
        language = _language(request, next(iter(self._screens.values())).settings.language)
        meters = [
            {"name": name, **_identity(screen), "face": (await screen.now()).as_json()}
            for name, screen in self._screens.items()
        ]
        return web.json_response({"meters": meters, "title": TEXTS["meters"].of(language)})

    async def _faces(self, request: web.Request) -> web.StreamResponse:
        screen = self._screen(request)
        clock = screen.reading.clock()
        language = _language(request, screen.settings.language)
        return web.json_response(
            {
                **_identity(screen),
                "time": None if clock is None else clock[0].isoformat(timespec="seconds"),
                "now": (await screen.now()).as_json(),
                "faces": [drawn.as_json() for drawn in screen.every_view(language)],
            }
        )

    async def _button(self, request: web.Request) -> web.StreamResponse:
        screen = self._screen(request)
        down = (await _body(request)).get("down")
        if not isinstance(down, bool):
            raise web.HTTPBadRequest(text='{"down": true} or {"down": false} is wanted\n')
        screen.press_from_page(down)
        return web.json_response({"down": down})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        screen = self._screen(request)
        if screen.enter_token is None or not screen.prepaid:
            raise web.HTTPNotFound(text="prepayment is not on\n")
        token = (await _body(request)).get("token")
        if not isinstance(token, str) or not 0 < len(token) <= LONGEST_TOKEN:
            raise web.HTTPBadRequest(text='{"token": "..."} is wanted\n')
        answer: TokenAnswer = await screen.enter_token(token)
        return web.json_response({"ok": answer.ok, "text": answer.text})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        name, screen = request.match_info["name"], self._screen(request)
        response = web.StreamResponse(
            headers={**_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        watcher = screen.watch()
        language, hold_s = screen.settings.language, screen.settings.breaker_hold_s
        first = {
            "name": name,
            "language": language,
            "texts": {key: text.of(language, hold_s=hold_s) for key, text in TEXTS.items()},
            "hold_s": hold_s,
            "meters": list(self._screens),
        }
        try:
            whole = True
            while True:
                document = {**first, **await _state(screen, pictures=whole)}
                await response.write(f"data: {json.dumps(document)}\n\n".encode())
                first = {}
                whole = await _a_tick(watcher, response)
        except ConnectionError:
            pass  # the page was closed
        finally:
            screen.unwatch(watcher)
        return response


async def _a_tick(watcher: Watcher, response: web.StreamResponse) -> bool:
    """Let a tick pass, telling each pulse of the LED; return False where something moved first."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TICK_S):
            while not watcher.moved:
                await watcher.wake.wait()
                watcher.wake.clear()
                pulses, watcher.pulses = watcher.pulses, 0
                if pulses:
                    await response.write(f"event: pulse\ndata: {pulses}\n\n".encode())
    moved, watcher.moved = watcher.moved, False
    return not moved


async def _state(screen: Screen, *, pictures: bool) -> dict[str, Any]:
    reading = screen.reading
    shown = await screen.now()
    state: dict[str, Any] = {
        "face": shown.as_json(),
        **_identity(screen),
        "alarms": [
            alarm.danish if screen.settings.language == "da" else alarm.english
            for alarm in reading.alarms()
        ],
        "breaker": face.breaker_state(reading),
        "relays": list(shown.symbols.relays),
        "credit_wh": reading.number(objects.CREDIT),
        "prepaid": screen.prepaid,
        "constant": screen.constant,
    }
    if pictures:
        state["phasors"] = _phasors(reading.phasors())
        state["waveforms"] = _waveforms(reading.waveforms())
    return state


def _phasors(shown: Phasors | None) -> list[dict[str, float]] | None:
    if shown is None:
        return None
    return [
        {
            "u": abs(voltage),
            "u_deg": math.degrees(math.atan2(voltage.imag, voltage.real)),
            "i": abs(current),
            "i_deg": math.degrees(math.atan2(current.imag, current.real)),
        }
        for voltage, current in shown.phases
    ]


def _waveforms(shown: Waveforms | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    return {
        "rate": shown.sampling_rate_hz,
        "phases": [
            {"u": [round(it, 1) for it in voltages], "i": [round(it, 3) for it in currents]}
            for voltages, currents in shown.phases
        ],
    }


def _identity(screen: Screen) -> dict[str, Any]:
    return {
        "model": screen.reading.text(registers.MODEL),
        "meter_number": screen.reading.text(registers.METER_NUMBER),
        "software": screen.reading.text(registers.SOFTWARE),
    }


def _language(request: web.Request, otherwise: Language) -> Language:
    wanted = request.headers.get("Accept-Language", "")[:2].lower()
    return "da" if wanted == "da" else "en" if wanted == "en" else otherwise


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="a JSON object is wanted\n")
    return body


def _file(name: str) -> web.Response:
    content_type = _FILES.get(name)
    if content_type is None:
        raise web.HTTPNotFound(text="no such file\n")
    folder = resources.files("meter_node.ports.display") / "static"
    text = (folder / name).read_text("utf-8")
    return web.Response(text=text, content_type=content_type, charset="utf-8")
