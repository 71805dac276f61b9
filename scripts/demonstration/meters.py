"""The demonstration's four meters: three simulated ones, and a real one's captured frame.

Written and started by the node's own command line, as a homeowner would. Must not know Home
Assistant.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from meter_node import keys
from meter_node.ciphering import COUNTER_EPOCH
from meter_node.meter import token

from .broker import User
from .client import ClientError
from .ports import LOOPBACK
from .processes import Child, Children

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ROOT / "tests" / "fixtures" / "real_frames.json"
CAPTURE = "omnipower_3p_dk_ciphered"
"""The frame that a Danish grid company published together with both of its keys."""
CAPTURED_IMPORT_KWH = 866.636
CAPTURED_VOLTAGES_V = (224, 223, 223)

ZONE = ZoneInfo("Europe/Copenhagen")
"""The meters' local time, if nothing else is asked for."""
PAST_DAYS = 31
"""Thirty whole ones, whenever the demonstration is started."""
CREDIT_WH = 50_000
_DISPLAY_WITHIN_S = 60.0
_PAIRED = (
    "system_title",
    "encryption_key",
    "authentication_key",
    "control_encryption_key",
    "control_authentication_key",
)
_METER_NODE = Path(sys.executable).with_name("meter-node")

_NODE = """\
[[meter]]
name = "house"
model = "382M"
breaker = true
relays = 2
push_interval_s = 10
time_zone = "{zone}"
tariff = "denmark_n1"
[meter.parameters]
# a water heater in the low tariff, lamps by a table
relays = [
    {{ own = "tariff", tariffs = [1] }},
    {{ own = "table", table = [{{ days = {week}, changes = [[420, true], [1380, false]] }}] }},
]
[meter.source]
kind = "simulated"
solar_peak_w = 6000
annual_consumption_kwh = 4000
latitude_deg = {latitude_deg:.1f}
longitude_deg = {longitude_deg:.1f}
seed = 1

# The same sun and the same seed: what the roof gives, of which the house exports what it does not
# use. It hangs beside the inverter, with the least that a house may use: a garage.
[[meter]]
name = "roof"
model = "382M"
push_interval_s = 10
time_zone = "{zone}"
[meter.source]
kind = "simulated"
solar_peak_w = 6000
annual_consumption_kwh = 500
latitude_deg = {latitude_deg:.1f}
longitude_deg = {longitude_deg:.1f}
seed = 1

[[meter]]
name = "apartment"
model = "162M"
breaker = true
relays = 1
push_interval_s = 10
time_zone = "{zone}"
[meter.parameters.credit]
enabled = true
[meter.parameters.limiter]
prepaid_maximum_w = 9000
[meter.source]
kind = "simulated"
annual_consumption_kwh = 2000
seed = 2
"""

_BRIDGE = """\
[bridge]
source = "tcp://{host}:{port}"
"""

_DISPLAY = """
[display]
port = {port}
"""

_MQTT = """
[mqtt]
host = "{host}"
port = {port}
username = "{user.name}"
password = "{user.password}"
"""


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter, as Home Assistant and a reader of the page need it."""

    name: str
    """What Home Assistant calls its device."""
    system_title: str
    data: Mapping[str, str]
    """What its entry keeps: title and keys, of a simulated meter those for control, too."""
    simulated: bool
    what: str
    """What it is, for the table."""
    has_prices: bool = False
    """Whether its energy is priced."""


@dataclass(frozen=True, slots=True)
class Meters:
    """The four meters with the names on the broker of the two processes that speak for them."""

    house: Meter
    roof: Meter
    apartment: Meter
    real: Meter
    node: str
    bridge: str

    def __iter__(self) -> Iterator[Meter]:
        """Yield the meters."""
        return iter((self.house, self.roof, self.apartment, self.real))


def sunny_place(now: datetime) -> tuple[float, float]:
    """Return latitude and longitude (degrees) where it is 11 by the sun, and summer.

    Whoever starts the demonstration at night still sees the house export.
    """
    declination_deg = 23.44 * math.sin(math.tau * (now.timetuple().tm_yday - 81) / 365)
    hours_utc = now.hour + now.minute / 60
    longitude_deg = (11 - hours_utc) * 15
    return declination_deg + 30, (longitude_deg + 180) % 360 - 180


def sunny_zone(now: datetime) -> ZoneInfo:
    """Return a zone whose clocks say about noon at that place, as in summer time."""
    _, longitude_deg = sunny_place(now)
    east_h = round(longitude_deg / 15) + 1
    return ZoneInfo(f"Etc/GMT{-east_h:+d}")  # the names of these have their sign turned round


async def prepare(
    children: Children, folder: Path, line_port: int, zone: ZoneInfo = ZONE
) -> Meters:
    """Write the configurations, have the keys made, and return the meters. Raises ChildError."""
    node, bridge = folder / "node", folder / "bridge"
    latitude_deg, longitude_deg = sunny_place(datetime.now(UTC))
    _write(
        node,
        _NODE.format(
            latitude_deg=latitude_deg,
            longitude_deg=longitude_deg,
            week=list(range(7)),
            zone=zone,
        ),
    )
    _write(bridge, _BRIDGE.format(host=LOOPBACK, port=line_port))
    await asyncio.gather(
        *(
            children.run(f"init {data.name}", [_METER_NODE, "init", "--data-dir", data])
            for data in (node, bridge)
        )
    )
    if not (node / "store.sqlite").exists():
        await _meter_the_past(children, node)
    house, roof, apartment = await asyncio.gather(
        pair(
            children,
            node,
            "house",
            "House",
            "simulated 382M: three phases, 6 kW of solar, two relays, a month behind it",
            prices=True,
        ),
        pair(
            children,
            node,
            "roof",
            "Roof",
            "simulated 382M beside the inverter of the house's solar",
        ),
        pair(children, node, "apartment", "Apartment", "simulated 162M: one phase, prepaid"),
    )
    return Meters(house, roof, apartment, _captured(), _name_of(node), _name_of(bridge))


def connect(folder: Path, port: int, node: User, bridge: User, display_port: int) -> None:
    """Add the broker to the configurations, and the page of the simulated meters' displays."""
    with (folder / "node" / "meter_node.toml").open("a") as file:
        file.write(_DISPLAY.format(port=display_port))
    for name, user in (("node", node), ("bridge", bridge)):
        with (folder / name / "meter_node.toml").open("a") as file:
            file.write(_MQTT.format(host=LOOPBACK, port=port, user=user))


async def start_node(children: Children, folder: Path) -> Child:
    """Start the simulated meters."""
    return await children.start("node", [_METER_NODE, "run", "--data-dir", folder / "node"])


async def top_up(folder: Path, display_port: int) -> str:
    """Buy credit for the flat and type its token in at the meter; return what the meter answers.

    As its vendor would: with the vending key and a sequence number above all before.
    """
    own_keys = keys.load(folder / "node").meters["apartment"]
    assert own_keys.vending is not None  # made with the others
    sequence = int(time.time() - COUNTER_EPOCH.timestamp())
    bought = token.make(own_keys.vending, own_keys.system_title, sequence, CREDIT_WH)
    url = f"http://{LOOPBACK}:{display_port}/meter/apartment/token"
    begun = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while time.monotonic() - begun < _DISPLAY_WITHIN_S:
            try:
                async with session.post(url, json={"token": bought}) as response:
                    if response.status == HTTPStatus.OK:
                        return str((await response.json())["text"])
            except aiohttp.ClientConnectionError:
                pass  # not there yet
            await asyncio.sleep(0.2)
    raise ClientError(f"no display at {url} takes a token within {_DISPLAY_WITHIN_S:.0f} s")


async def start_bridge(children: Children, folder: Path) -> Child:
    """Start the bridge on the real meter's line; it waits for the line to be there."""
    return await children.start("bridge", [_METER_NODE, "bridge", "--data-dir", folder / "bridge"])


async def start_line(children: Children, port: int, *, continued: bool) -> Child:
    """Start what stands in for the real meter's port: the capture once, or its continuation."""
    options: Sequence[str] = ("--recipher",) if continued else ()
    return await children.start(
        "continuation" if continued else "capture",
        [
            _METER_NODE,
            "replay",
            FRAMES,
            "--frame",
            CAPTURE,
            "--listen",
            f"{LOOPBACK}:{port}",
            *options,
        ],
    )


async def _meter_the_past(children: Children, data: Path) -> None:
    """Let the house and its roof have a month behind them."""
    for meter in ("house", "roof"):
        await children.run(
            f"simulate {meter}",
            [
                *(_METER_NODE, "simulate", "--data-dir", data, "--meter", meter),
                *("--days", str(PAST_DAYS), "--json"),
            ],
        )


async def pair(
    children: Children, data: Path, name: str, shown: str, what: str, *, prices: bool = False
) -> Meter:
    """Pair anew at each start: what an earlier one had is revoked. ``shown``: its device's name."""

    async def run(*options: str) -> dict[str, Any]:
        command: list[str | Path] = [_METER_NODE, "pair", "--data-dir", data]
        command += ["--meter", name, "--json", *options]
        answer: dict[str, Any] = json.loads(await children.run(f"pair {name}", command))
        return answer

    for pairing in (await run("--list"))["pairings"]:
        await run("--revoke", pairing)
    made = await run()
    data_of_entry = {key: made[key] for key in _PAIRED} | {"pairing_name": made["name"]}
    return Meter(
        shown, made["system_title"], data_of_entry, simulated=True, what=what, has_prices=prices
    )


def _captured() -> Meter:
    entry = next(one for one in json.loads(FRAMES.read_text()) if one["name"] == CAPTURE)
    title = entry["expected"]["system_title"]
    return Meter(
        "Real meter",
        title,
        {
            "system_title": title,
            "encryption_key": entry["key_encryption"].lower(),
            "authentication_key": entry["key_authentication"].lower(),
        },
        simulated=False,
        what="a real meter's captured frame, sent verbatim once and then continued "
        "under its published keys",
    )


def _name_of(data: Path) -> str:
    """Return the name under which a data directory's process goes on the broker."""
    name = json.loads((data / "keys.json").read_text())["node"]
    assert isinstance(name, str)
    return name


def _write(folder: Path, configuration: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "meter_node.toml"
    path.touch(mode=0o600)
    path.write_text(configuration)
