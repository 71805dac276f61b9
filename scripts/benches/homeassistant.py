"""The integration: how fast it decodes, how soon it shows, and what a street of meters costs.

Home Assistant runs in a process of its own against a real broker, a second process sends; all is
timed in CPU seconds and each share is the best of several turns, so that a busy machine does not
decide. Home Assistant has a processor to itself, and its memory is held where it is (as far as the
system lets it): a thousand senders, which no home has under its roof, would else take its caches
from it a hundred times a second, and a kernel that takes back what is seldom used its memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.benches import homeassistant_street as street
from scripts.benches import strangers
from scripts.benches.result import Result
from scripts.benches.strangers import ROOT
from scripts.demonstration import broker, meters, ports, storage
from scripts.demonstration.storage import Entry

METERS = 1000
ENTITIES = 30
TURNS = 10
FRAMES = 2000
ROUNDS = 7

STATE_MS_BUDGET = 5.0
CPU_SHARE_BUDGET = 0.12
FRAMES_32_BUDGET = 9000
FRAMES_FULL_BUDGET = 4000
DLMS_COSEM_BUDGET = 7.0

_CAPTURES = ROOT / "tests" / "fixtures" / "real_frames.json"
_CAPTURE = "omnipower_3p_dk_ciphered"


@dataclass(frozen=True, slots=True)
class Street:
    """What one run with a street of meters found."""

    cpu_share: float
    state_ms: float
    changed: float
    """Entities of a meter that changed in a turn."""
    writing_share: float
    """What Home Assistant's own writing of so many states takes, in the same run."""
    memory_held: bool
    """Whether the system let Home Assistant's memory be held where it is."""


def run() -> Result:
    """Run the bench and return its result."""
    status = Console(stderr=True)
    with status.status("dlms-cosem's environment"):
        python = strangers.python()
    with status.status("frames a second, by turns"):
        real_s, full_s, cosem_s = _decoding(python)
    with status.status(f"{METERS} meters in one Home Assistant"):
        bare = _street(recorder=False)
    with status.status(f"{METERS} meters, with recorder"):
        recorded = _street(recorder=True)
    return _result(bare, recorded, 1 / real_s, 1 / full_s, cosem_s / real_s)


def _result(bare: Street, recorded: Street, real: float, full: float, factor: float) -> Result:
    recorder_share = recorded.cpu_share - bare.cpu_share
    result = Result(
        "homeassistant",
        {
            "state_ms": round(bare.state_ms, 2),
            "cpu_share_1000_meters": round(bare.cpu_share, 4),
            "state_writing_share": round(bare.writing_share, 4),
            "recorder_share": round(recorder_share, 4),
            "changed_entities": round(bare.changed, 1),
            "memory_held": bare.memory_held,
            "frames_per_s_32": round(real),
            "frames_per_s_full": round(full),
            "dlms_cosem_factor": round(factor, 2),
        },
        [
            ("push received to state written", f"{bare.state_ms:.2f} ms", f"{STATE_MS_BUDGET} ms"),
            (
                f"{METERS} meters, {bare.changed:.0f} changing entities each, every 10 s",
                f"{bare.cpu_share:.1%} of a core",
                f"{CPU_SHARE_BUDGET:.0%}",
            ),
            ("of which its own state writing", f"{bare.writing_share:.1%} of a core", ""),
            ("and recorder beside", f"{recorder_share:.1%} of a core", ""),
            ("real frame of 32 registers", f"{real:.0f} a second", f"{FRAMES_32_BUDGET}"),
            ("full push of ours", f"{full:.0f} a second", f"{FRAMES_FULL_BUDGET}"),
            ("over dlms-cosem 25.1.0", f"{factor:.1f} ×", f"{DLMS_COSEM_BUDGET:.0f}"),
        ],
    )
    for holds, text in (
        (bare.state_ms <= STATE_MS_BUDGET, f"a state after {bare.state_ms:.2f} ms"),
        (bare.cpu_share <= CPU_SHARE_BUDGET, f"{bare.cpu_share:.1%} of a core"),
        (bare.changed >= ENTITIES - 0.5, f"only {bare.changed:.1f} entities changed"),
        (real >= FRAMES_32_BUDGET, f"{real:.0f} real frames a second"),
        (full >= FRAMES_FULL_BUDGET, f"{full:.0f} full pushes a second"),
        (factor >= DLMS_COSEM_BUDGET, f"{factor:.2f} × dlms-cosem"),
    ):
        if not holds:
            result.missed.append(text)
    return result


# --- decoding ------------------------------------------------------------------------------------


def _decoding(python: Path) -> tuple[float, float, float]:
    """Return the CPU seconds for a real frame, for a full push, and for dlms-cosem's real frame."""
    from custom_components.meter_node.channel import frames, hdlc, security
    from custom_components.meter_node.channel.apdu import encode_general_glo_ciphering
    from custom_components.meter_node.channel.security import Keys
    from custom_components.meter_node.ciphering import AesGcm

    capture = next(one for one in json.loads(_CAPTURES.read_text()) if one["name"] == _CAPTURE)
    raw = bytes.fromhex(capture["hex"])
    encryption, authentication = capture["key_encryption"], capture["key_authentication"]
    keys = Keys(bytes.fromhex(encryption), bytes.fromhex(authentication))
    title = bytes.fromhex(capture["expected"]["system_title"])
    plain = security.Receiver(AesGcm(), title, keys).accept(frames.apdu_of(raw)).plaintext

    def again(counter: int) -> bytes:
        sealed = security.seal(AesGcm(), keys, title, counter, plain)
        data = hdlc.LLC_TO_CLIENT + encode_general_glo_ciphering(sealed)
        return hdlc.encode(hdlc.Frame(b"\x41", b"\x03", hdlc.UI, data))

    real = [again(counter) for counter in range(1, FRAMES + 1)]
    full = [street.seal(1, turn) for turn in range(FRAMES)]
    command = [python, Path(__file__).with_name("homeassistant_dlms_cosem.py")]
    times = [
        (
            _seconds(real, title, keys),
            _seconds(full, street.title(1), street.KEYS),
            float(_output([*command, raw.hex(), encryption, authentication])),
        )
        for _ in range(ROUNDS)
    ]
    return min(one[0] for one in times), min(one[1] for one in times), min(one[2] for one in times)


def _seconds(payloads: Sequence[bytes], title: bytes, keys: Any) -> float:
    """The integration's own way from a payload to a verified reading."""
    from custom_components.meter_node.channel.kamstrup_v0001 import SCALER_PROFILES
    from custom_components.meter_node.reader import MeterReader

    reader = MeterReader(title.hex(), keys, SCALER_PROFILES["energy_1_wh"])
    arrived = datetime.now(UTC)
    began = time.process_time()
    for payload in payloads:
        reader.read(payload, retained=False, arrived=arrived)
    return (time.process_time() - began) / len(payloads)


def _output(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


# --- a street of meters --------------------------------------------------------------------------


def _street(*, recorder: bool) -> Street:
    with tempfile.TemporaryDirectory(prefix="meter-node-street-") as name:
        folder = Path(name)
        port, http = ports.free_ports(2)
        _write(folder, port, http, recorder=recorder)
        mosquitto = folder / "mosquitto.conf"
        lines = (f"listener {port} 127.0.0.1", "user root", "allow_anonymous true")
        mosquitto.write_text("\n".join([*lines, "max_queued_messages 0\n"]))
        others, own = _processors()
        with _process([broker.find(), "-c", mosquitto], others):
            time.sleep(1)
            with _process(_worker("street", port, METERS, TURNS + 2), others) as sending:
                _line(sending)
                with _process(_worker("home", folder, METERS, TURNS), own) as home:
                    _line(home)
                    time.sleep(5)  # what is left of the start
                    for child in (sending, home):
                        print("go", file=child.stdin, flush=True)
                    found = json.loads(_line(home))
    writing_share = found["writing_s"] * METERS * ENTITIES / street.INTERVAL_S
    return Street(
        min(found["shares"]),
        found["state_ms"],
        found["changed"],
        writing_share,
        found["memory_held"],
    )


def _write(folder: Path, port: int, http: int, *, recorder: bool) -> None:
    """Write Home Assistant's folder: as little of it as there can be, and the meters."""
    lines = ["homeassistant:", "  time_zone: Europe/Copenhagen", "logger:", "  default: error"]
    if recorder:
        lines.append("recorder:")
    (folder / "configuration.yaml").write_text("\n".join([*lines, ""]))
    (folder / "custom_components").symlink_to(ROOT / "custom_components")
    mqtt = {"broker": "127.0.0.1", "port": port, "protocol": "5"}
    entries = [Entry("mqtt", "broker", mqtt, {"discovery": False}, version=2)]
    for number in range(METERS):
        title = street.title(number).hex()
        data = {
            "system_title": title,
            "encryption_key": street.KEYS.encryption.hex(),
            "authentication_key": street.KEYS.authentication.hex(),
        }
        entries.append(Entry("meter_node", f"Meter {number}", data, unique_id=title))
    storage.write(folder, http, meters.ZONE, entries, [])


def _worker(name: str, *arguments: object) -> list[str]:
    module = f"scripts.benches.homeassistant_{name}"
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def _processors() -> tuple[set[int], set[int]]:
    """Return the processors for those who send, and the one for Home Assistant."""
    *others, own = sorted(os.sched_getaffinity(0))
    return set(others) or {own}, {own}


@contextmanager
def _process(command: Sequence[str | Path], on: set[int]) -> Iterator[subprocess.Popen[str]]:
    """A child process on those processors that ends with the block."""
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    os.sched_setaffinity(child.pid, on)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def _line(child: subprocess.Popen[str]) -> str:
    """Return the next line that is the worker's own."""
    while child.stdout is not None and (line := child.stdout.readline()):
        if line.startswith(("{", "announced")):
            return line
    raise RuntimeError(f"{child.args!r} ended before it had said what it should")
