"""Two simulated meters behind the display's page, to look at or to photograph.

They measure as a node's do (samples, engine, meter); what is switched and paid is set by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from PIL import Image

from meter_node import config, feeds, oscilloscope
from meter_node.cosem.identity import Identity
from meter_node.cosem.logical_device import LogicalDevice
from meter_node.meter.meter import Meter
from meter_node.meter.snapshot import NANO, BreakerState, CreditState, RelayState, Snapshot
from meter_node.meter.variant import Variant
from meter_node.metrology import DigitalInputs, Engine, SampleBlock
from meter_node.ports.display.page import DisplayPage
from meter_node.ports.display.screen import Screen, TokenAnswer
from meter_node.ports.display.views import Settings
from meter_node.sources.front_end import FrontEnd
from meter_node.sources.simulated import SimulatedSource

from .meters import ROOT
from .photographer import Picture
from .progress import fail, say

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1280, 840
COLOURS = 256
ZONE = ZoneInfo("Europe/Copenhagen")
WARM_UP_S = 4
_KWH = 1000 * NANO


class Played:
    """A simulated meter: its device, and seconds that follow each other."""

    def __init__(
        self,
        variant: Variant,
        identity: Identity,
        source: config.SimulatedSourceConfig,
        registers_kwh: dict[str, float],
        shown: dict[str, object],
        start_ns: int,
        *,
        closed: bool,
    ) -> None:
        """`shown`: fields of the snapshot that nothing here measures; an open breaker cuts off."""
        self.device = LogicalDevice(identity, variant, ZONE)
        self._shown = shown
        self._source = SimulatedSource(
            feeds.house(source, variant.phases),
            FrontEnd(),
            feeds.SIMULATED_RATE_HZ,
            start_ns,
            world=lambda: DigitalInputs(breaker_closed=closed),
        )
        self._engine = Engine(
            self._source.calibration,
            variant.phases,
            self._source.sampling_rate_hz,
            50,
            starting_current_a=0.02,
            full_scale_codes=self._source.full_scale_codes,
        )
        energies = {key: round(value * _KWH) for key, value in registers_kwh.items()}
        self._meter = Meter(variant, energies, zone=ZONE)
        self._blocks = self._source.blocks()

    def play_second(self) -> None:
        """Measure one second and show it."""
        block = next(self._blocks)
        assert isinstance(block, SampleBlock)
        for measurement in self._engine.push(block):
            self._meter.advance(measurement)
            snapshot: Snapshot = replace(self._meter.snapshot(), **self._shown)  # type: ignore[arg-type]
            self.device.commit(snapshot)
            self.device.show(oscilloscope.of_block(block, self._source.calibration, measurement))


def house(start_ns: int) -> Played:
    """A 382M at noon in summer: the roof feeds in."""
    of_phases = {
        "import_active_energy_l1": 5120.4,
        "import_active_energy_l2": 3987.9,
        "import_active_energy_l3": 4238.6,
        "export_active_energy_l1": 2610.2,
        "export_active_energy_l2": 2599.8,
        "export_active_energy_l3": 2605.1,
    }
    totals = {
        f"{kind}_active_energy": sum(it for key, it in of_phases.items() if key.startswith(kind))
        for kind in ("import", "export")
    }
    return Played(
        Variant("382M", 3, "5(65)", breaker=True, relays=2),
        Identity(b"MTN00001", "21046378", "382M", "0.1.0"),
        config.SimulatedSourceConfig(kind="simulated", solar_peak_w=6000, seed=3),
        totals | of_phases,
        {
            "breaker": BreakerState(True, 1, 4, closed_wanted=True),
            "relays": (RelayState(True), RelayState(False)),
            "tariff": 2,
            "tariffs": 3,
        },
        start_ns,
        closed=True,
    )


def flat(start_ns: int) -> Played:
    """A 162M whose credit is used up: its breaker is open for that."""
    return Played(
        Variant("162M", 1, "5(65)", breaker=True),
        Identity(b"MTN00002", "16209155", "162M", "0.1.0"),
        config.SimulatedSourceConfig(kind="simulated", annual_consumption_kwh=1800, seed=5),
        {"import_active_energy": 8412.7, "import_active_energy_l1": 8412.7},
        {
            "breaker": BreakerState(False, 0, 4, closed_wanted=False, causes=("credit",)),
            "credit": CreditState(-12, 0, exhausted=True),
            "alarms": frozenset({"credit_exhausted"}),
        },
        start_ns,
        closed=False,
    )


async def _enter_token(token: str) -> TokenAnswer:
    return TokenAnswer(ok=False, text="the token is mistyped: compare it with what you were given")


async def _play(port: int) -> tuple[DisplayPage, asyncio.Task[None]]:
    noon = datetime.now(ZONE).replace(month=6, day=21, hour=12, minute=30, second=0, microsecond=0)
    start_ns = int(noon.timestamp()) * NANO
    meters = {"house": house(start_ns), "flat": flat(start_ns)}
    for _ in range(WARM_UP_S):
        for played in meters.values():
            played.play_second()
    settings = Settings(scroll_s=60)
    screens = {
        name: Screen(
            played.device, settings=settings, clock=time.monotonic, enter_token=_enter_token
        )
        for name, played in meters.items()
    }
    screens["house"].communicating = True
    page = DisplayPage("127.0.0.1", port, screens)
    await page.start()

    async def go_on() -> None:
        while True:
            await asyncio.sleep(1)
            for played in meters.values():
                await asyncio.to_thread(played.play_second)

    return page, asyncio.create_task(go_on())


async def _serve(port: int) -> int:
    page, _ = await _play(port)
    say(f"the display is at {page.address}; Ctrl-C ends it")
    await asyncio.Event().wait()
    return 0


async def _photograph(images: Path) -> int:
    page, going = await _play(0)
    pictures = [
        Picture(path, str(images / name), WIDTH, HEIGHT)
        for path, name in (("/meter/house", "display.png"), ("/meter/flat", "display-pay.png"))
    ]
    with tempfile.TemporaryDirectory() as profile:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.photographer",
            page.address,
            str(ZONE),
            profile,
            *(picture.to_text() for picture in pictures),
        )
        code = await child.wait()
    going.cancel()
    await page.close()
    if code:
        fail(f"the photographer ended with {code}")
        return 1
    for picture in pictures:
        _shrink(Path(picture.file))
        say(f"written: {picture.file}")
    return 0


def _shrink(file: Path) -> None:
    """Keep a picture in few colours, to a third of its size; the case's shades need the dither."""
    picture = Image.open(file).convert("RGB")
    # This method keeps the few pixels of the phases' colours; by area alone all would be grey.
    palette = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(file, optimize=True)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/photograph-display")
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder (docs/images)")
    parser.add_argument("--serve", type=int, metavar="PORT", help="serve the page, take no picture")
    arguments = parser.parse_args()
    if arguments.serve is not None:
        try:
            return asyncio.run(_serve(arguments.serve))
        except KeyboardInterrupt:
            return 0
    return asyncio.run(_photograph(arguments.into.resolve()))


if __name__ == "__main__":
    sys.exit(main())
