"""Supply and credit of a restored meter: what was cut stays cut, what was spent stays spent.

Must not know stores, files or brokers: what a back-up, the store that ran here last and a push say
is handed in. What comes out are the ordinary states of the meter's parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from meter_node.channel import alarms, objects
from meter_node.channel.reading import State
from meter_node.meter.limiter import LimiterSettings
from meter_node.meter.snapshot import NANO, ROLLOVER_NWH
from meter_node.meter.supply import MODES, PRIORITIES, BreakerSettings, Cause, ControlState

IMPORT = "import_active_energy"
_PARTS = ("parameters", "neutral", "breaker", "limiter", "credit")
_SECTIONS = ("breaker", "limiter", "credit", "neutral")
"""Of the parameters: a threshold or a prepayment that were not there yet would cut nothing."""

_BY_UTILITY = {row.cause for row in PRIORITIES if row.removed_by == "utility"}

type _Parts = dict[str, dict[str, Any]]


class Was(Protocol):
    """A meter as a store has it, and as of when."""

    @property
    def time_ns(self) -> int:
        """Of its last commit (UTC)."""

    @property
    def energies_nwh(self) -> Mapping[str, int]:
        """Register key to nWh or nvarh."""

    @property
    def states(self) -> Mapping[str, str]:
        """Part of the meter to its state as JSON."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a push shows of the supply; nothing of a meter without a breaker."""

    control_state: ControlState | None = None
    control_mode: int | None = None
    causes: frozenset[Cause] = frozenset()
    credit_wh: int | None = None
    """Truncated downwards; None while prepayment is off."""
    neutral_fault: bool = False


NOTHING_SHOWN = Shown()


def shown(states: Iterable[State]) -> Shown:
    """Read what the states of a push show. Raises ValueError for what is no such state."""
    values = {(state.logical_name, state.attribute): state.value for state in states}

    def of(which: objects.CosemObject, attribute: int = 2) -> int | None:
        value = values.get((which.logical_name, attribute))
        if value is None or isinstance(value, int):
            return value
        raise ValueError(f"{which.logical_name.hex(' ')}: {value!r} is no number")

    control_state = of(objects.BREAKER, 3)
    names = values.get((objects.BREAKER_CAUSES.logical_name, 2))
    # Causes that only a newer version knows are passed over; open is open all the same.
    known = names.split(",") if isinstance(names, str) else ()
    causes = {cause for cause in Cause if cause in known}
    if control_state == ControlState.DISCONNECTED and not causes & _BY_UTILITY:
        causes.add(Cause.REMOTE)
    return Shown(
        None if control_state is None else ControlState(control_state),
        of(objects.BREAKER, 4),
        frozenset(causes),
        of(objects.CREDIT),
        "neutral_fault" in alarms.names(of(objects.ALARMS) or 0),
    )


def taken_over(
    back_up: Was, ran: Was | None, last: Shown, import_nwh: int, moment_s: int
) -> dict[str, str]:
    """Return the states with which a back-up goes on, where they have to do with supply.

    `ran`: what ran here last, None where that is not known; then `last` counts, the push that the
    broker retains. `import_nwh` is total A+ as it was raised. Open is what was open in either: no
    restore energises a house that was cut. Where neither can be had the breaker waits for its
    button. In control mode 0 nothing can be open.
    """
    here = _parts(back_up)
    newer, older, parts = back_up, None, here
    if ran is not None:
        newer, older = (ran, back_up) if ran.time_ns >= back_up.time_ns else (back_up, ran)
        parts = _merged(_parts(newer), _parts(older))
        if "parameters" in here:
            parts["parameters"] = _with_sections(here["parameters"], parts["parameters"])
    if "credit" in parts:
        of = newer if older is None or "credit" in newer.states else older
        _spend(parts["credit"], (import_nwh - of.energies_nwh.get(IMPORT, 0)) % ROLLOVER_NWH)
    if ran is None:
        _as_shown(parts, last, moment_s)
    return {part: json.dumps(state) for part, state in parts.items()}


def is_open(states: Mapping[str, str]) -> bool:
    """Whether there is a breaker that is to stand open."""
    return not json.loads(states.get("breaker", "{}")).get("closed", True)


def _parts(was: Was) -> _Parts:
    return {part: json.loads(was.states[part]) for part in _PARTS if part in was.states}


# --- two stores -----------------------------------------------------------------------------------


def _merged(newer: _Parts, older: _Parts) -> _Parts:
    """What the newer one says, but for what the older one has cut."""
    parts = older | newer
    if "credit" in newer and "credit" in older:
        spent_up_to = max(state["credit"].get("sequence", 0) for state in (newer, older))
        parts["credit"] = newer["credit"] | {"sequence": spent_up_to}
    if "neutral" in older and older["neutral"]["tripped"] and not parts["neutral"]["tripped"]:
        parts["neutral"] = older["neutral"]
    if "limiter" in newer and "limiter" in older:
        parts["limiter"] = _limiter(newer["limiter"], older["limiter"])
    if "breaker" in newer and "breaker" in older and _control_mode(newer) != 0:
        parts["breaker"] = _breaker(newer["breaker"], older["breaker"])
    return parts


def _breaker(newer: Mapping[str, Any], older: Mapping[str, Any]) -> dict[str, Any]:
    both = (newer, older)
    return {
        **newer,
        "closed": all(state.get("closed", True) for state in both),
        "causes": sorted({cause for state in both for cause in state.get("causes", ())}),
        "wants_button": any(map(_wants_button, both)),
    }


def _wants_button(breaker: Mapping[str, Any]) -> bool:
    """Also where it is open without a cause: the other's, once gone, would close it."""
    waits = not breaker.get("closed", True) and not breaker.get("causes")
    return waits or bool(breaker.get("wants_button"))


def _limiter(newer: Mapping[str, Any], older: Mapping[str, Any]) -> dict[str, Any]:
    state = {**newer, "final": bool(newer.get("final") or older.get("final"))}
    dues_s = [each.get("due_s") for each in (newer, older) if each.get("opens")]
    if dues_s:
        # Without a time to come back at it waits for the utility.
        due_s = None if None in dues_s else max(filter(None, dues_s))
        state |= {"opens": True, "exceeded": True, "due_s": due_s}
    return state


def _with_sections(into: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """Take over what decides about supply, as it was configured and as it is in force."""
    return {
        which: sections | {name: of[which][name] for name in _SECTIONS if name in of[which]}
        for which, sections in into.items()
    }


# --- a push, or nothing ---------------------------------------------------------------------------


def _as_shown(parts: _Parts, last: Shown, moment_s: int) -> None:
    if "neutral" in parts and (last.neutral_fault or Cause.NEUTRAL in last.causes):
        _trip(parts["neutral"], moment_s)
    if "credit" in parts and last.credit_wh is not None:
        _lower(parts, last.credit_wh, cut=Cause.CREDIT in last.causes)
    if "breaker" not in parts:
        return
    if "parameters" in parts and last.control_mode and last.control_mode in MODES:
        parts["parameters"]["in_force"]["breaker"]["control_mode"] = last.control_mode
    if last.control_state is None:
        if _control_mode(parts) != 0:
            parts["breaker"] |= {"closed": False, "wants_button": True}
    elif last.control_state is not ControlState.CONNECTED:
        causes = sorted({*parts["breaker"].get("causes", ()), *map(str, last.causes)})
        # Whether a button was wanted is in no push; that it is energises nobody.
        parts["breaker"] |= {"closed": False, "causes": causes, "wants_button": True}
        if "limiter" in parts and Cause.LIMITER in last.causes:
            _open_limiter(parts, moment_s)


def _trip(neutral: dict[str, Any], moment_s: int) -> None:
    if not neutral["tripped"]:
        # Since when, only the logs knew; a fault without a beginning could not be cleared.
        neutral |= {"tripped": True, "since_ns": moment_s * NANO}


def _open_limiter(parts: _Parts, moment_s: int) -> None:
    """As after the last of its retries: nobody knows how many there were."""
    settings = _section(parts, "limiter")
    default = LimiterSettings()
    stays = settings.get("final", default.final) == "open"
    due_s = moment_s + settings.get("waiting_s", default.waiting_s)
    parts["limiter"] |= {
        "opens": True,
        "exceeded": True,
        "final": True,
        "due_s": None if stays else due_s,
    }


def _spend(credit: dict[str, Any], drawn_nwh: int) -> None:
    if credit.get("enabled"):
        credit["credit_nwh"] -= drawn_nwh


def _lower(parts: _Parts, credit_wh: int, *, cut: bool) -> None:
    """Never above what was shown; of a back-up from before there was prepayment, just that."""
    credit, shown_nwh = parts["credit"], credit_wh * NANO
    if credit.get("enabled"):
        shown_nwh = min(shown_nwh, credit["credit_nwh"])
    credit |= {"enabled": True, "credit_nwh": shown_nwh, "cut": cut or bool(credit.get("cut"))}
    if "parameters" in parts:
        parts["parameters"]["in_force"]["credit"]["enabled"] = True


def _section(parts: _Parts, name: str) -> Mapping[str, Any]:
    section: Mapping[str, Any] = parts.get("parameters", {}).get("in_force", {}).get(name, {})
    return section


def _control_mode(parts: _Parts) -> int:
    mode: int = _section(parts, "breaker").get("control_mode", BreakerSettings().control_mode)
    return mode
