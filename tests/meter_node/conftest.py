"""Fixtures of the node's tests: a real broker, and the captured frames."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mosquitto import Mosquitto

FRAMES = Path(__file__).parents[1] / "fixtures" / "real_frames.json"


@pytest.fixture
async def broker(tmp_path: Path, socket_enabled: None) -> AsyncIterator[Mosquitto]:
    """A running broker that anyone may use."""
    made = await Mosquitto(tmp_path).start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def captures() -> dict[str, bytes]:
    """The captured frames by name, as they were on the line."""
    return {entry["name"]: bytes.fromhex(entry["hex"]) for entry in json.loads(FRAMES.read_text())}
