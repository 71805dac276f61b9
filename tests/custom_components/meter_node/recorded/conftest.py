"""A recorder that is there before Home Assistant, and a house for it to keep."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.components.recorder import Recorder
from integration_home import Home
from recorded_house import MORNING, PRICED, House

from custom_components.meter_node.coordinator import MeterNodeCoordinator
from custom_components.meter_node.history import importer, load_profile


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: Any) -> None:
    """Have the recorder's database before Home Assistant, as the plugin wants it."""


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)
    with patch.object(importer, "SPREAD_S", 1), patch.object(load_profile, "PAUSE_S", 0):
        yield


@pytest.fixture
async def house(recorder_mock: Recorder, home: Home) -> AsyncIterator[House]:
    """The home is not set up yet; its meter can be asked, once it is."""
    home.freezer.move_to(MORNING)
    house = House(home)
    prepared = MeterNodeCoordinator._async_setup

    async def with_asker(self: MeterNodeCoordinator) -> None:
        await prepared(self)
        self.asker = house.profile

    with patch.object(MeterNodeCoordinator, "_async_setup", with_asker):
        yield house


@pytest.fixture
async def priced(house: House) -> House:
    """A house in Denmark that has prices."""
    hass = house.home.hass
    hass.config.currency = "DKK"
    await hass.config.async_set_time_zone("Europe/Copenhagen")
    hass.config_entries.async_update_entry(house.home.entry, options=PRICED)
    await house.home.set_up()
    return house
