"""The breaker as COSEM disconnect control (class 70): why it is open, and what may close it.

Must not know coils or lines: what it wants is `closed_wanted`. Nor what limits, credit or a lost
neutral are: they are causes that others tell it of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.refused import RefusedError
from meter_node.meter.step import Step

HIGHEST_MODE = 6


class ControlState(IntEnum):
    """`control_state` of class 70."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2


class Transition(StrEnum):
    """The arrows of the state diagram of class 70 (IEC 62056-6-2, "Disconnect control")."""

    REMOTE_RECONNECT = "a"
    """Disconnected → connected, without anybody at the meter."""
    REMOTE_DISCONNECT = "b"
    """Connected → disconnected."""
    REMOTE_WITHDRAW = "c"
    """Ready for reconnection → disconnected; the standard calls it remote_disconnect as well."""
    REMOTE_READY = "d"
    """Disconnected → ready for reconnection; the standard calls it remote_reconnect as well."""
    MANUAL_RECONNECT = "e"
    """Ready for reconnection → connected, by the button."""
    MANUAL_DISCONNECT = "f"
    """Connected → ready for reconnection, by the button."""
    LOCAL_DISCONNECT = "g"
    """Connected → ready for reconnection, by the meter (limiter, credit)."""
    LOCAL_RECONNECT = "h"
    """Ready for reconnection → connected, by the meter once its own causes are gone."""


MODES: dict[int, frozenset[Transition]] = {
    mode: frozenset(map(Transition, letters))
    for mode, letters in {
        0: "",
        1: "bcfg" + "de",
        2: "bcfg" + "ae",
        3: "bcg" + "de",
        4: "bcg" + "ae",
        5: "bcfg" + "deh",
        6: "bcg" + "deh",
    }.items()
}
"""`control_mode` → what it allows: disconnections, then reconnections (IEC 62056-6-2, class 70,
attribute 4). Mode 0: always connected."""


class Cause(StrEnum):
    """Why the breaker is open. It closes only when none of them is left (facts, rule 12)."""

    NEUTRAL = "neutral"
    REMOTE = "remote"
    CREDIT = "credit"
    LIMITER = "limiter"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Precedence:
    """One row of `PRIORITIES`.

    `removed_by`: nobody else takes the cause away. `state`: what `control_state` says while it is
    the strongest; the standard's for what the button or the meter opened is "ready", though only
    `button_reconnects` tells whether a press would do anything yet.
    """

    cause: Cause
    removed_by: Literal["utility", "meter", "button"]
    state: ControlState


PRIORITIES: tuple[Precedence, ...] = (
    Precedence(Cause.NEUTRAL, "utility", ControlState.DISCONNECTED),
    Precedence(Cause.REMOTE, "utility", ControlState.DISCONNECTED),
    Precedence(Cause.CREDIT, "meter", ControlState.READY_FOR_RECONNECTION),
    Precedence(Cause.LIMITER, "meter", ControlState.READY_FOR_RECONNECTION),
    Precedence(Cause.MANUAL, "button", ControlState.READY_FOR_RECONNECTION),
)
"""Causes, the strongest first: of several it says what is shown and what the state is.

A lost neutral outranks all: it looks gone as soon as the breaker is open, so it latches, even
against a remote reconnection, until the utility says that it is mended.
"""
_ROWS: dict[Cause, Precedence] = {row.cause: row for row in PRIORITIES}
_LOCAL = frozenset(row.cause for row in PRIORITIES if row.removed_by == "meter")

type By = Literal["remote", "consumer"]


class BreakerSettings(BaseModel):
    """What a utility sets. `feedback_delay_ms`: how long the contacts may take to follow.

    Mode 5 is the default: button, remote with button, limiter and prepayment, as the real meter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    control_mode: int = 5
    button_hold_s: Annotated[int, within(1, 60, "a button held for {}")] = 6
    feedback_delay_ms: Annotated[int, within(0, 60_000, "a feedback delay of {}", "ms")] = 2500
    consumer_may_reconnect: bool = False

    @field_validator("control_mode")
    @classmethod
    def _known(cls, mode: int) -> int:
        if mode not in MODES:
            raise ValueError(f"a control mode of {mode}; possible are 0 to {HIGHEST_MODE}")
        return mode


class Breaker:
    """Disconnect control with a set of open causes. Bistable: as kept, so it stays."""

    def __init__(self, settings: BreakerSettings, kept: Mapping[str, Any] | None = None) -> None:
        """`kept` is a `state` of before; a new breaker is closed."""
        kept = kept or {}
        self._settings = settings
        self._allowed = MODES[settings.control_mode]
        self._closed: bool = kept.get("closed", True)
        self._causes: set[Cause] = {Cause(name) for name in kept.get("causes", ())}
        # A remote or a final order wants a person at the meter, whatever the meter allows itself.
        self._wants_button: bool = kept.get("wants_button", False)
        self._held_s: int | None = kept.get("held_s")
        self._press_used: bool = kept.get("press_used", False)
        self._differs_s: int = kept.get("differs_s", 0)
        self._failed: bool = kept.get("failed", False)
        self._feedback: bool | None = kept.get("feedback")

    @property
    def settings(self) -> BreakerSettings:
        """As they are now; `configure` changes them."""
        return self._settings

    @property
    def closed_wanted(self) -> bool:
        """Where the breaker is to stand."""
        return self._closed

    @property
    def output_state(self) -> bool:
        """Attribute 2: where it stands by its own feedback, or is to stand where it gives none."""
        return self._closed if self._feedback is None else self._feedback

    @property
    def control_state(self) -> ControlState:
        """Attribute 3."""
        if self._closed:
            return ControlState.CONNECTED
        strongest = self.cause
        return _ROWS[strongest].state if strongest else ControlState.READY_FOR_RECONNECTION

    @property
    def control_mode(self) -> int:
        """Attribute 4."""
        return self._settings.control_mode

    @property
    def causes(self) -> frozenset[Cause]:
        """Why it is open; empty while it is closed, and when only the button is waited for."""
        return frozenset(self._causes)

    @property
    def cause(self) -> Cause | None:
        """The strongest of `causes`."""
        if not self._causes:
            return None
        return next(row.cause for row in PRIORITIES if row.cause in self._causes)

    @property
    def failed(self) -> bool:
        """Alarm: the contacts are not where they are wanted, since more than the delay."""
        return self._failed

    @property
    def button_reconnects(self) -> bool:
        """Whether a press at the meter would close it now."""
        return (
            not self._closed
            and self._causes <= {Cause.MANUAL}
            and Transition.MANUAL_RECONNECT in self._allowed
        )

    @property
    def consumer_reconnects(self) -> bool:
        """Whether the consumer's command would close it now (`reconnect` says why not)."""
        return not self._closed and self._against_consumer() is None

    def state(self) -> dict[str, Any]:
        """For a store to keep. The control mode is among the parameters."""
        return {
            "closed": self._closed,
            "causes": sorted(map(str, self._causes)),
            "wants_button": self._wants_button,
            "held_s": self._held_s,
            "press_used": self._press_used,
            "differs_s": self._differs_s,
            "failed": self._failed,
            "feedback": self._feedback,
        }

    def advance(self, step: Step) -> list[Event]:
        """Look at the button and at the breaker's feedback."""
        inputs = step.inputs
        # What was wanted so far is what the contacts can have followed.
        wanted = self._closed
        events: list[Event] = []
        if inputs.button or self._held_s is not None:
            events = self._look_at_button(step)
        feedback = self._feedback = inputs.breaker_closed
        if feedback is None or feedback == wanted:
            self._differs_s = 0
            self._failed = False
        elif not self._failed:
            self._differs_s = step.duration_s + (0 if step.gap else self._differs_s)
            if self._differs_s * 1000 >= self._settings.feedback_delay_ms:
                self._failed = True
                detail = "open, wanted closed" if wanted else "closed, wanted open"
                events.append(Event.of("breaker_failure", step.end_s, detail))
        if self._closed != wanted:
            self._differs_s = 0
        return events

    def disconnect(self, now_s: int, by: By = "remote", who: str = "") -> list[Event]:
        """Method remote_disconnect. `who` goes to the log. Raises RefusedError."""
        if by == "consumer":
            raise RefusedError("a consumer switches the supply off by the button alone")
        if Transition.REMOTE_DISCONNECT not in self._allowed:
            raise RefusedError("in control mode 0 the supply is always connected")
        if Cause.REMOTE in self._causes:
            return []
        self._open_for(Cause.REMOTE)
        return [Event.of("remote_disconnection", now_s, who or by)]

    def reconnect(self, now_s: int, by: By = "remote", who: str = "") -> list[Event]:
        """Method remote_reconnect. `who` goes to the log. Raises RefusedError.

        Takes away the remote cause. With no other left it closes in modes 2 and 4, as the method's
        text says from whichever state; in the others it waits for the button, also where the meter
        closes by itself what it opened by itself. The consumer closes only what is ready, and never
        where a button is wanted.
        """
        if by == "consumer":
            if self._closed:
                return []
            reason = self._against_consumer()
            if reason:
                raise RefusedError(reason)
            return self._close("remote_connection", now_s, who or by)
        if Cause.NEUTRAL in self._causes:
            raise RefusedError("a neutral fault has cut the supply and is not yet cleared")
        if self._closed:
            return []
        was_ready = self.button_reconnects
        if Cause.REMOTE in self._causes and Transition.REMOTE_READY in self._allowed:
            self._wants_button = True
        self._causes.discard(Cause.REMOTE)
        if Transition.REMOTE_RECONNECT in self._allowed and not self._causes:
            return self._close("remote_connection", now_s, who or by)
        return self._ready(was_ready, now_s, who or by)

    def check(self, settings: BreakerSettings) -> None:
        """Raise RefusedError where these settings can't be taken now."""
        if settings.control_mode == 0 and not self._closed:
            # Mode 0 is "always connected": it would energise a house without a button.
            raise RefusedError("control mode 0 is always connected, and the breaker is open")

    def configure(self, settings: BreakerSettings) -> None:
        """Take other settings from now on; nothing moves. Raises RefusedError."""
        self.check(settings)
        self._settings = settings
        self._allowed = MODES[settings.control_mode]

    def cause_arisen(self, cause: Cause, now_s: int, detail: str = "") -> list[Event]:
        """The limiter or the credit wants it open. Repeating it is harmless."""
        _only_local(cause)
        if cause in self._causes or Transition.LOCAL_DISCONNECT not in self._allowed:
            return []
        was_closed = self._closed
        self._open_for(cause)
        if not was_closed:
            return []
        return [Event.of("local_disconnection", now_s, _joined(cause, detail))]

    def cause_gone(
        self, cause: Cause, now_s: int, detail: str = "", *, button: bool = False
    ) -> list[Event]:
        """The limiter or the credit has no objection any more: this cause goes, and no other.

        `button`: whatever the mode allows, a person is wanted at the meter.
        """
        _only_local(cause)
        if cause not in self._causes:
            return []
        was_ready = self.button_reconnects
        self._causes.discard(cause)
        self._wants_button = self._wants_button or button
        if (
            not self._causes
            and not self._wants_button
            and Transition.LOCAL_RECONNECT in self._allowed
        ):
            return self._close("local_connection", now_s, _joined(cause, detail))
        return self._ready(was_ready, now_s, _joined(cause, detail))

    def trip_neutral(self, now_s: int, detail: str = "") -> list[Event]:
        """The neutral is lost. Latches until `clear_neutral`; mode 0 has no breaker to open."""
        if Cause.NEUTRAL in self._causes or not self._allowed:
            return []
        was_closed = self._closed
        self._open_for(Cause.NEUTRAL)
        if not was_closed:
            return []
        return [Event.of("local_disconnection", now_s, _joined(Cause.NEUTRAL, detail))]

    def clear_neutral(self, now_s: int, who: str = "remote") -> list[Event]:
        """The utility says that the neutral is mended. Never energises by itself."""
        if Cause.NEUTRAL not in self._causes:
            return []
        was_ready = self.button_reconnects
        self._causes.discard(Cause.NEUTRAL)
        self._wants_button = True
        return self._ready(was_ready, now_s, _joined(Cause.NEUTRAL, who))

    def _against_consumer(self) -> str | None:
        if not self._settings.consumer_may_reconnect:
            return "the utility does not let the consumer reconnect"
        if self._causes:
            return f"the supply is off for another reason: {', '.join(sorted(self._causes))}"
        if Transition.REMOTE_RECONNECT not in self._allowed:
            return f"control mode {self.control_mode} wants the button on the meter"
        if self._wants_button:
            return "the button on the meter is wanted"
        return None

    def _look_at_button(self, step: Step) -> list[Event]:
        """One press does one thing, and what is decided by how it stood when it began."""
        if not step.inputs.button:
            self._held_s, self._press_used = None, False
            return []
        if step.gap:
            # Found pressed after a gap: stuck, or held by nobody knows whom since when.
            self._held_s, self._press_used = 0, True
            return []
        begins = self._held_s is None
        self._held_s = (self._held_s or 0) + step.duration_s
        if begins and not self._closed:
            self._press_used = True
            if not self.button_reconnects:
                return []
            return self._close("manual_connection", step.end_s, "button")
        if (
            self._press_used
            or not self._closed
            or Transition.MANUAL_DISCONNECT not in self._allowed
            or self._held_s < self._settings.button_hold_s
        ):
            return []
        self._press_used = True
        self._open_for(Cause.MANUAL)
        return [Event.of("manual_disconnection", step.end_s, f"button, {self._held_s} s")]

    def _open_for(self, cause: Cause) -> None:
        self._causes.add(cause)
        self._move(closed=False)

    def _close(self, name: str, now_s: int, detail: str) -> list[Event]:
        self._causes.clear()
        self._wants_button = False
        self._move(closed=True)
        return [Event.of(name, now_s, detail)]

    def _move(self, *, closed: bool) -> None:
        if closed != self._closed:
            self._closed = closed
            self._differs_s = 0

    def _ready(self, was_ready: bool, now_s: int, detail: str) -> list[Event]:
        if was_ready or not self.button_reconnects:
            return []
        return [Event.of("breaker_ready", now_s, detail)]


def _only_local(cause: Cause) -> None:
    if cause not in _LOCAL:
        raise ValueError(f"{cause} is not for the meter to set or take away")


def _joined(cause: Cause, detail: str) -> str:
    return f"{cause}, {detail}" if detail else str(cause)
