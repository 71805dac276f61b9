"""meter-node backup and restore: the store into one file, and back without turning anything back.

Must not know what makes a restored store safe: backup.py does; this asks the broker and prints.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import aiomqtt
import typer

from meter_node import backup, config, keys, node
from meter_node.channel.registers import BY_KEY, Unit
from meter_node.cli_output import check_writable, console
from meter_node.data_directory import DEFAULT_DATA_DIR, DataDir
from meter_node.meter.local_time import LocalTime
from meter_node.meter.snapshot import NANO
from meter_node.published import Published


def back_up(
    file: Annotated[Path, typer.Argument(help="The back-up to write.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Back up registers, states, logs and profiles into one file. The node may be running.

    Keys and configuration are not in it: keep copies of keys.json and meter_node.toml apart.
    """
    check_writable("FILE", file)
    backup.back_up(data_dir, file, int(time.time()))
    console().print(
        f"{file}: written. Keys and configuration are not in it", highlight=False, soft_wrap=True
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A back-up.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    new_keys: Annotated[
        bool,
        typer.Option(
            "--new-keys",
            help="Make new keys where what was published since can't be had; every display must "
            "then be paired anew.",
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the store here is newer.")
    ] = False,
) -> None:
    """Put a back-up into a data directory, while no node runs there.

    No register goes back and no counter is used twice: registers are raised to what the broker
    retains of the last push. A supply that was cut stays cut, and where nobody can know it waits
    for the meter's button. Tokens of a prepaid meter wait until the utility has confirmed, unless
    the store here knows which are spent.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = console()
    last: dict[bytes, Published] = {}
    local: dict[bytes, LocalTime] = {}
    path = data_dir / config.FILE_NAME
    if path.exists() and (data_dir / keys.FILE_NAME).exists():
        settings, own_keys = config.load(path), keys.load(data_dir)
        local = {
            own_keys.meters[meter.name].system_title: LocalTime(meter.zone())
            for meter in settings.meter
            if meter.name in own_keys.meters
        }
        if settings.mqtt is not None:
            try:
                last = asyncio.run(node.last_published(settings.mqtt, own_keys))
            except (aiomqtt.MqttError, OSError) as error:
                out.print(f"The broker can't be asked: {error}", highlight=False, soft_wrap=True)
    done = backup.restore(
        file,
        data_dir,
        now_s=int(time.time()),
        last=last,
        local=local,
        new_keys=new_keys,
        replace=replace,
    )
    for title, raised in done.raised_nwh.items():
        out.print(f"{title.hex()}: restored", highlight=False)
        for line in raised_lines(raised):
            out.print(f"  {line}", highlight=False)
        if title in done.off:
            out.print(
                "  the supply is off: it was cut since, or nothing says that it was not",
                highlight=False,
                soft_wrap=True,
            )
    if done.new_keys:
        out.print("The keys are new: pair every display anew (meter-node pair)", highlight=False)


def raised_lines(raised_nwh: Mapping[str, int]) -> list[str]:
    """Return what was raised (nWh, nvarh), totals first; nothing that would be told as zero."""
    raised_wh = {key: wh for key, nwh in raised_nwh.items() if (wh := (nwh + NANO // 2) // NANO)}
    registers = sorted(
        (BY_KEY[key] for key in raised_wh if key in BY_KEY),
        key=lambda register: (register.phase is not None, register.tariff is not None),
    )
    return [
        f"{register.key}: raised by {raised_wh[register.key] / 1000:.3f} "
        f"{'kWh' if register.quantity.unit is Unit.WATT_HOUR else 'kvarh'}"
        for register in registers
    ]
