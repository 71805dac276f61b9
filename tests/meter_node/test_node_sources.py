"""A node on real sources: what comes over a line or from a recording is what its registers show."""

import asyncio
import math
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from meter_node import config, keys, node, store
from meter_node.sources.framing import StreamBlock, encode

RATE_HZ = 8000
COUNT = 800
GAIN = 1e-4  # V and A a code
POWER_W = 230 * 5 * 0.5


def waves(seconds: float) -> np.ndarray:
    """230 V, 5 A, 60° behind [U1, I1]."""
    turn = 2 * math.pi * 50 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return math.sqrt(2) * np.array([230 * np.sin(turn), 5 * np.sin(turn - math.pi / 3)])


def settings(source: str) -> str:
    return f"""
[store]
commit_interval_s = 1
[[meter]]
name = "house"
model = "162M"
[meter.source]
{source}
"""


async def metered(folder: Path, source: str, seconds: float) -> dict[str, int]:
    """The registers (nWh) after so many seconds."""
    path = folder / config.FILE_NAME
    path.write_text(settings(source))
    running = asyncio.create_task(node.run(config.load(path), folder))
    done, _ = await asyncio.wait({running}, timeout=seconds)
    for task in done:
        task.result()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    title = keys.load(folder).meters["house"].system_title
    database = store.Store(folder / store.DATABASE)
    try:
        return dict(database.kept(title).energies_nwh)
    finally:
        database.close()


@pytest.mark.usefixtures("socket_enabled")
async def test_a_stream_with_a_lost_block_is_metered_but_for_that_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codes = np.rint(waves(1) / GAIN).astype(np.int32)
    sent = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = time.monotonic()
        for number in range(13):
            await asyncio.sleep(start + (number + 1) / 10 - time.monotonic())
            at = number % 10 * COUNT
            part = codes[:, at : at + COUNT]
            if number != 7:
                writer.write(
                    encode(StreamBlock(number, number * COUNT, RATE_HZ, part[:1], part[1:]))
                )
                sent[0] += 1
        await writer.drain()
        await reader.read()  # until the node hangs up
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = f"""kind = "stream"
url = "tcp://127.0.0.1:{port}"
sampling_rate_hz = {RATE_HZ}
voltage_gain_v = {GAIN}
current_gain_a = {GAIN}"""
    try:
        energies = await metered(tmp_path, source, 2.2)
    finally:
        server.close()
        server.close_clients()
    assert sent == [12]
    # The partial second at the end is booked too: 12 blocks of a tenth of a second.
    assert energies["import_active_energy"] == pytest.approx(POWER_W * 1.2 / 3600 * 1e9, rel=1e-4)
    assert "house: samples missing: 1 blocks lost" in caplog.text


async def test_a_recording_is_metered_once_and_its_end_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = waves(0.5)
    np.savez(tmp_path / "a.npz", voltage=data[:1], current=data[1:], sampling_rate_hz=RATE_HZ)
    source = f"""kind = "recording"
file = "{tmp_path / "a.npz"}\""""
    energies = await metered(tmp_path, source, 2.2)
    assert energies["import_active_energy"] == pytest.approx(POWER_W * 0.5 / 3600 * 1e9, rel=1e-4)
    assert "house: its source has ended" in caplog.text


async def test_a_source_of_no_use_is_told_before_anything_runs(tmp_path: Path) -> None:
    slow = tmp_path / "slow.npz"
    np.savez(slow, voltage=np.zeros((1, 9)), current=np.zeros((1, 9)), sampling_rate_hz=1000)
    for source, reason in (
        ('kind = "recording"\nfile = "/nowhere/a.wav"', "meter house: source: .*a.wav"),
        (
            """kind = "iio"
device = "iio:device99"
sampling_rate_hz = 8000
channels = { U1 = "in_voltage0", I1 = "in_voltage1" }
voltage_gain_v = 1
current_gain_a = 1""",
            "no IIO device with a buffer",
        ),
        (f'kind = "recording"\nfile = "{slow}"', "at least 2000 Hz needed, not 1000 Hz"),
    ):
        with pytest.raises(config.ConfigError, match=reason):
            await metered(tmp_path, source, 5)


async def test_a_simulated_house_is_metered_as_before(tmp_path: Path) -> None:
    energies = await metered(tmp_path, 'kind = "simulated"', 2.4)
    assert energies["import_active_energy"] > 0
