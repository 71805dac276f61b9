"""Home Assistant's own ``dsmr`` integration, in a process of its own, on the P1 port's socket."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from module_strangers import HOME_ASSISTANTS_DSMR, overlay_of
from test_list_and_text_readers import VARIANTS, house, port_of, register

from scripts.demonstration import ports, storage
from scripts.demonstration.client import Client
from scripts.demonstration.meters import ZONE
from scripts.demonstration.processes import Children

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(300)]

CONFIGURATION = """\
homeassistant:
  name: Home
  country: NL
  time_zone: Europe/Amsterdam
  unit_system: metric
  auth_providers:
    - type: trusted_networks
      trusted_networks: [127.0.0.1/32]
      allow_bypass_login: true
websocket_api:
"""
VERSIONS = {"nl": "5", "be": "5B", "se": "5S"}
# The integration's keys are dsmr-parser's names in small letters, but for these.
NAMES = {
    "belgium_current_average_demand": "BELGIUM_CURRENT_AVERAGE_DEMAND",
    "belgium_maximum_demand_current_month": "BELGIUM_MAXIMUM_DEMAND_MONTH",
}
UNSHOWN = {"nl": 0, "be": 0, "se": 8}
"""Of what dsmr-parser knows the integration has no entity for reactive energy and power."""
OTHERS = {
    "timestamp",
    "electricity_active_tariff",
    "short_power_failure_count",
    "long_power_failure_count",
    "belgium_max_power_per_phase",
    "belgium_max_current_per_phase",
}


def entry(variant: str, port: int) -> storage.Entry:
    """What the integration's own dialogue would have made."""
    serial = f"meter-{variant}"
    return storage.Entry(
        "dsmr",
        f"P1 {variant}",
        data={
            "port": f"socket://127.0.0.1:{port}",
            "dsmr_version": VERSIONS[variant],
            "protocol": "dsmr_protocol",
            "serial_id": serial,
            "serial_id_gas": None,
        },
        options={"time_between_update": 0},
        unique_id=serial,
    )


async def enable_all(client: Client) -> None:
    """Enable what the integration hides at first, as its user can."""
    registry = await client.ask("config/entity_registry/list")
    hidden = [one for one in registry if one["platform"] == "dsmr" and one["disabled_by"]]
    for one in hidden:
        entity_id = one["entity_id"]
        await client.ask("config/entity_registry/update", entity_id=entity_id, disabled_by=None)
    shown = {one["config_entry_id"]: one["entity_id"] for one in registry if one not in hidden}
    for entity_id in {
        one: shown[one] for one in {one["config_entry_id"] for one in hidden}
    }.values():
        await client.act("homeassistant", "reload_config_entry", entity_id)


async def states_of(client: Client, variant: str) -> dict[str, dict[str, Any]]:
    """The integration's states of one entry, by its own keys."""
    registry = await client.ask("config/entity_registry/list")
    states = await client.states()
    mark = f"meter-{variant}_"
    return {
        one["unique_id"].removeprefix(mark): states[one["entity_id"]]
        for one in registry
        if one["platform"] == "dsmr"
        and one["unique_id"].startswith(mark)
        and one["entity_id"] in states
    }


async def test_every_state_is_the_register(tmp_path: Path, socket_enabled: None) -> None:
    overlay = await asyncio.to_thread(overlay_of, HOME_ASSISTANTS_DSMR)
    meter = house()
    folder = tmp_path / "home_assistant"
    folder.mkdir()
    (folder / "configuration.yaml").write_text(CONFIGURATION)
    (own_port,) = ports.free_ports(1)
    environment = {**os.environ, "PYTHONPATH": str(overlay)}
    async with AsyncExitStack() as stack:
        numbers = {
            variant: await stack.enter_async_context(port_of(meter, "p1", variant=variant))
            for variant in VARIANTS
        }
        entries = [entry(*each) for each in numbers.items()]
        storage.write(folder, own_port, ZONE, entries, [])
        children = await stack.enter_async_context(Children(tmp_path / "logs"))
        child = await children.start(
            "home assistant",
            [sys.executable, "-P", "-m", "homeassistant", "--skip-pip", "--config", folder],
            environment=environment,
        )
        client = await stack.enter_async_context(Client(own_port))
        await children.while_all_run(client.connect())
        async with asyncio.timeout(60):
            while not all([await states_of(client, variant) for variant in VARIANTS]):
                await asyncio.sleep(0.5)
        await enable_all(client)
        for variant, (_, table) in VARIANTS.items():
            found: dict[str, dict[str, Any]] = {}
            async with asyncio.timeout(60):
                while not found or any(
                    one["state"] in ("unknown", "unavailable") for one in found.values()
                ):
                    await asyncio.sleep(0.5)
                    found = await states_of(client, variant)
            wanted = {}
            for name, state in found.items():
                if name in OTHERS:
                    continue
                key, step, kilo = table[NAMES.get(name, name.upper())]
                assert state["attributes"].get("unit_of_measurement") == {
                    "_power": "kW", "_energy": "kWh", "_demand": "kW",
                    "voltage": "V", "current": "A",
                }.get(unit_key(key)), name  # fmt: skip
                wanted[name] = register(meter, key, step, kilo)
            assert len(wanted) >= len(table) - UNSHOWN[variant], child.log.read_text()
            assert {name: Decimal(found[name]["state"]) for name in wanted} == wanted
        dutch = await states_of(client, "nl")
        assert dutch["electricity_active_tariff"]["state"] == "normal"
        belgian = await states_of(client, "be")
        assert belgian["electricity_active_tariff"]["state"] == "low"


def unit_key(key: str) -> str:
    for part in ("_demand", "_energy", "_power", "voltage", "current"):
        if part in key and "count" not in key:
            return part
    return ""
