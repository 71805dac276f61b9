"""What a homeowner chooses for a load relay: what switches and selects share."""

from __future__ import annotations

from collections.abc import Callable

from .channel import axdr, objects, services
from .control import async_command
from .coordinator import MeterNodeCoordinator
from .data import VALUE, MeterData

CHOICES = ("automatic", "on", "off")
"""By their numbers in the object."""


def has_relay(number: int) -> Callable[[MeterData], bool]:
    """Return whether a meter has that relay, and somebody may choose for it."""
    return lambda data: (
        data.states.flag(objects.RELAYS[number]) is not None
        and data.states.number(objects.RELAY_COMMANDS[number]) is not None
    )


def chosen(data: MeterData, number: int) -> str | None:
    """Return what was chosen for a relay, None where the meter says what is not known here."""
    choice = data.states.number(objects.RELAY_COMMANDS[number])
    return CHOICES[choice] if choice is not None and 0 <= choice < len(CHOICES) else None


async def async_choose(meter: MeterNodeCoordinator, number: int, choice: str) -> None:
    """Choose for a relay, and show what it does then. Raises AskError."""
    command = objects.RELAY_COMMANDS[number]
    await async_command(
        meter,
        services.put(command, axdr.enum(CHOICES.index(choice))),
        (objects.RELAYS[number], VALUE),
        (command, VALUE),
        (objects.RELAY_PENDING[number], VALUE),
    )
