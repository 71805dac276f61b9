"""Strangers that read the list and text ports: each in an environment and a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.met import meet

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "strangers"
HERE = Path(__file__).parent
AMSHAN, DSMR = "amshan==2.1.1", "dsmr-parser==1.11.2"
HOME_ASSISTANTS_DSMR = (
    "dsmr-parser==1.11.1",
    "dlms-cosem==21.3.2",
    "tailer==0.4.1",
    "asn1crypto==1.5.1",
)
"""What the requirement of Home Assistant's ``dsmr`` brings beside what it ships."""
_UV = [sys.executable, "-m", "uv"]


def environment_of(requirement: str) -> Path:
    """Return the interpreter of an environment with one package; made once, kept between runs."""
    folder = PLACE / requirement.replace("==", "-")
    python = folder / "bin" / "python"
    name = requirement.partition("==")[0]
    if not python.exists() or _run(_UV, "pip", "show", "--python", str(python), name).returncode:
        _make("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _make("pip", "install", "--quiet", "--python", str(python), requirement)
    meet(f"{requirement.replace('==', ' ')}, in a process of its own")
    return python


def overlay_of(requirements: tuple[str, ...]) -> Path:
    """Return a folder for PYTHONPATH with just these packages; made once, kept between runs."""
    folder = PLACE / f"{requirements[0].replace('==', '-')}-overlay"
    done = folder / "complete"
    if not done.exists():
        target = ("--target", str(folder), "--python", sys.executable)
        _make("pip", "install", "--quiet", "--no-deps", *target, *requirements)
        done.touch()
    meet(f"Home Assistant's own dsmr, with {requirements[0].replace('==', ' ')}")
    return folder


async def read(requirement: str, script: str, port: int, *arguments: str) -> list[dict[str, Any]]:
    """Let a script of this folder read a TCP port in a stranger's environment; return its lines."""
    python = await asyncio.to_thread(environment_of, requirement)
    reader = await asyncio.create_subprocess_exec(
        str(python),
        str(HERE / script),
        str(port),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, said = await reader.communicate()
    except TimeoutError:
        reader.kill()
        _, said = await reader.communicate()
        pytest.fail(f"{requirement} read nothing: {said.decode()[-2000:]}")
    if reader.returncode:
        pytest.fail(f"{requirement} ended: {said.decode()[-2000:]}")
    return [json.loads(line) for line in out.splitlines()]


def _make(*arguments: str) -> None:
    done = _run(_UV, *arguments)
    if done.returncode:
        pytest.fail(f"{arguments[-1]} can't be had: {done.stderr.strip()}")


def _run(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
