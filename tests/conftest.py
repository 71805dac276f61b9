"""What holds for every test: hypothesis draws the same examples each time; strangers are named."""

from typing import Any

import pytest
from hypothesis import settings

from tests.interop.met import MET, meet

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have what a worker process met go to the one that reports."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["met"] = list(MET)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a worker process met."""
    for stranger in getattr(node, "workeroutput", {}).get("met", ()):
        meet(stranger)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each program of others that was met, and its version."""
    for stranger in MET:
        terminalreporter.write_line(f"interop: {stranger}")
