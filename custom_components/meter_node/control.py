"""Has a meter do something and shows what has become of it: never more than what it has said.

What entities and actions share. Must not know how a meter is asked, nor what an object is for.
"""

from __future__ import annotations

from homeassistant.exceptions import ServiceValidationError

from . import verdicts
from .asking import Asker, AskError
from .channel import services
from .channel.axdr import Value
from .channel.objects import CosemObject
from .const import DOMAIN
from .coordinator import MeterNodeCoordinator

type Attribute = tuple[CosemObject, int]


def asker_of(meter: MeterNodeCoordinator) -> Asker:
    """Return the way to ask a meter. Raises ServiceValidationError where there is none."""
    if meter.asker is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="cannot_be_asked",
            translation_placeholders={"meter": meter.name},
        )
    return meter.asker


async def async_command(
    meter: MeterNodeCoordinator, service: bytes, *shown: Attribute
) -> dict[Attribute, Value]:
    """Have a meter do something, show how these attributes stand then, and return them.

    Raises AskError, and ServiceValidationError where the meter can't be asked.

    Where it is not known whether it was done, they are read behind the caller's back.
    """
    try:
        await asker_of(meter).async_ask(service)
    except AskError as error:
        if verdicts.leaves_doubt(error.reason, error.result):
            meter.config_entry.async_create_background_task(
                meter.hass, async_read_back(meter, *shown), f"{meter.name}: how it stands"
            )
        raise
    return await async_read_back(meter, *shown)


async def async_read_back(meter: MeterNodeCoordinator, *shown: Attribute) -> dict[Attribute, Value]:
    """Show how these attributes stand, and return those that the meter answered to.

    The next push tells of the others.
    """
    asker = asker_of(meter)
    states: dict[Attribute, Value] = {}
    try:
        for which, attribute in shown:
            states[which, attribute] = await asker.async_ask(services.get(which, attribute))
    except AskError:
        pass
    meter.async_take_states(states)
    return states
