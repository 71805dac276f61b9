"""Other people's programs that benches measure ours against, in an environment of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ENVIRONMENT = ROOT / "build" / "bench-env"
_REQUIREMENTS = ROOT / "requirements" / "bench.txt"


def python() -> Path:
    """Return the interpreter of their environment, which is made once a version."""
    interpreter = _ENVIRONMENT / "bin" / "python"
    stamp = _ENVIRONMENT / "meter-node-bench"
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("no uv: run scripts/setup first")
    environment = dict(os.environ)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        environment["UV_SYSTEM_CERTS"] = "1"
    shutil.rmtree(_ENVIRONMENT, ignore_errors=True)
    commands: tuple[list[str | Path], ...] = (
        ["venv", "--python", sys.executable, _ENVIRONMENT],
        ["pip", "sync", "--require-hashes", "--python", interpreter, _REQUIREMENTS],
    )
    for arguments in commands:
        subprocess.run(
            [uv, *arguments, "--quiet", "--no-config"], env=environment, cwd=ROOT, check=True
        )
    stamp.write_text(wanted)
    return interpreter
