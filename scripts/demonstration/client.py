"""A client of the running Home Assistant: logs in as a browser would, then asks by WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from .ports import LOOPBACK

_START_WITHIN_S = 120.0


class ClientError(Exception):
    """Home Assistant answered something else than expected; the text says what."""


class Client:
    """One logged-in connection."""

    def __init__(self, port: int) -> None:
        """Address the instance on that port of this machine."""
        self.address = f"http://{LOOPBACK}:{port}"
        self._session = aiohttp.ClientSession(self.address)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._last_id = 0
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Nothing yet: the server may not be there."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        if self._socket is not None:
            await self._socket.close()
        await self._session.close()

    async def connect(self) -> None:
        """Wait until Home Assistant has started wholly, and be logged in then.

        Raises ClientError.
        """
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                await self._wait_for_log_in()
                while (configuration := await self.ask("get_config"))["state"] != "RUNNING":
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise ClientError(
                f"Home Assistant did not start within {_START_WITHIN_S:.0f} s"
            ) from None
        if configuration["recovery_mode"]:
            raise ClientError("Home Assistant could not use its configuration (recovery mode)")

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Send a command and return its result. Raises ClientError."""
        if self._socket is None:
            raise ClientError("not connected")
        async with self._turn:
            self._last_id += 1
            await self._send({"id": self._last_id, "type": command, **arguments})
            answer = await self._receive()
        if not answer.get("success"):
            raise ClientError(f"{command}: {answer.get('error')}")
        return answer["result"]

    async def text(self, path: str) -> str:
        """Return what a browser gets there without logging in. Raises ClientError."""
        try:
            async with self._session.get(path) as response:
                response.raise_for_status()
                return await response.text()
        except aiohttp.ClientError as error:
            raise ClientError(f"{path}: {error}") from None

    async def act(self, domain: str, action: str, entity_id: str, **data: Any) -> None:
        """Call an action of an entity and wait for its end. Raises ClientError."""
        await self.ask(
            "call_service",
            domain=domain,
            service=action,
            service_data=data,
            target={"entity_id": entity_id},
        )

    async def states(self) -> dict[str, dict[str, Any]]:
        """Return every entity's state object by entity id."""
        return {state["entity_id"]: state for state in await self.ask("get_states")}

    async def _wait_for_log_in(self) -> None:
        while True:
            try:
                await self._log_in()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.2)
            else:
                return

    async def _log_in(self) -> None:
        """Take the way of the page itself: it needs no name and no password on this machine."""
        here = f"{self.address}/"
        flow = await self._post(
            "/auth/login_flow",
            json={
                "client_id": here,
                "handler": ["trusted_networks", None],
                "redirect_uri": here,
            },
        )
        if flow.get("type") != "create_entry":
            raise ClientError(f"Home Assistant asks who we are: {flow}")
        token = await self._post(
            "/auth/token",
            data={"client_id": here, "grant_type": "authorization_code", "code": flow["result"]},
        )
        self._socket = await self._session.ws_connect("/api/websocket", max_msg_size=0)
        await self._receive()
        await self._send({"type": "auth", "access_token": token["access_token"]})
        answer = await self._receive()
        if answer.get("type") != "auth_ok":
            raise ClientError(f"the log-in was refused: {answer}")

    async def _post(self, path: str, **arguments: Any) -> dict[str, Any]:
        async with self._session.post(path, **arguments) as response:
            response.raise_for_status()
            content: dict[str, Any] = await response.json()
            return content

    async def _send(self, message: Mapping[str, Any]) -> None:
        assert self._socket is not None
        try:
            await self._socket.send_json(message)
        except (aiohttp.ClientError, OSError):
            raise ClientError("Home Assistant closed the connection") from None

    async def _receive(self) -> Mapping[str, Any]:
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ClientError("Home Assistant closed the connection")
        content: Mapping[str, Any] = message.json()
        return content
