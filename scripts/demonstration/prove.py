"""The demonstration without a person: proves that it works, and says so in one JSON object."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from . import bill, check, past, stage
from .client import Client, ClientError
from .meters import ZONE
from .past import Past
from .ports import free_ports
from .processes import ChildError, Children
from .progress import fail, say, show_log
from .view import View

WITHIN_S = 180.0
HISTORY_WITHIN_S = 400.0
"""Longer by the five minutes until Home Assistant has statistics to go on from."""


async def run(
    children: Children, folder: Path, within_s: float | None = None, *, history: bool = True
) -> dict[str, Any]:
    """Start everything, watch it, end it; return what was seen, with ``ok`` and the ``reason``.

    Without ``history`` nothing is waited for that the house's past takes.
    """
    if within_s is None:
        within_s = HISTORY_WITHIN_S if history else WITHIN_S
    began = time.monotonic()
    proof = _Proof(history=history)
    logs: list[Path] = []
    try:
        async with children:
            async with asyncio.timeout(within_s):
                await children.while_all_run(proof.collect(children, folder))
            say("ending everything")
    except TimeoutError:
        proof.reason = f"not within {within_s:.0f} s: {proof.lacking()}"
        logs = [log for log in sorted(children.logs.glob("*.log")) if log.stat().st_size]
    except asyncio.CancelledError:
        proof.reason = "interrupted"
    except ChildError as error:
        proof.reason = str(error)
        logs = [error.log] if error.log else []
    except ClientError as error:
        proof.reason = str(error)
        logs = [children.logs / "home_assistant.log"]
    if children.left:
        proof.reason = proof.reason or f"{children.left} processes did not end; they were killed"
    result = proof.result(began) | {"processes_left": children.left}
    if proof.reason is not None:
        result["reason"] = proof.reason
        fail(proof.reason)
    for log in logs:
        show_log(log)
    return result


class _Proof:
    """What was seen so far."""

    def __init__(self, *, history: bool) -> None:
        self.reason: str | None = None
        self._view: View | None = None
        self._history = history
        self._past = Past()

    async def collect(self, children: Children, folder: Path) -> None:
        """Go through the demonstration until all was seen; leave a reason where it is not good."""
        [port] = free_ports(1)
        async with Client(port) as client:
            running = await stage.begin(children, folder, port, client, say)
            view = self._view = running.view
            await stage.show_real_meter(children, folder, running, say)
            say("waiting for the simulated meters' power to change and for the real one's import")
            await view.until(client, lambda: not check.missing(view))
            if self._history:
                await self._wait_for_history(client, running)
            say("all was seen; looking for faults")
            faults = await check.faults(client, view, has_statistics=self._history)
            self.reason = "; ".join(faults) or None

    async def _wait_for_history(self, client: Client, running: stage.Stage) -> None:
        say("waiting for the house's month of history and what it cost (up to six minutes)")
        async for found in past.until_filled(client, running.view, running.began, ZONE):
            self._past = found

    def lacking(self) -> str:
        """Return in words what was not seen."""
        if self._view is None:
            return "Home Assistant did not start"
        missing = check.missing(self._view)
        if self._history:
            missing += self._past.lacking()
        return "; ".join(missing) or "the faults could not be looked for"

    def result(self, began: float) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        view = self._view
        first = view.first_reading_at if view else None
        voltages = view.captured_voltages_v if view else None
        return {
            "ok": self.reason is None,
            "entities": len(view.states) if view else 0,
            "seconds_to_first_state": None if first is None else round(first - began, 1),
            "bridged_import_kwh": view.captured_import_kwh if view else None,
            "bridged_voltages": None if voltages is None else list(voltages),
            "history_days": self._past.history_days,
            "cost_days": self._past.cost.days,
            "cost": round(self._past.cost.said, 2),
            "cost_due": round(self._past.cost.due, 2),
            "compensation_days": self._past.compensation.days,
            "compensation": round(self._past.compensation.said, 2),
            "compensation_due": round(self._past.compensation.due, 2),
            "currency": bill.CURRENCY,
            "billed_capacity_kw": self._past.shown_kw,
            "billed_capacity_due_kw": (
                None if self._past.billed_kw is None else round(self._past.billed_kw, 3)
            ),
        }
