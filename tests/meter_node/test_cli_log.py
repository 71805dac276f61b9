"""The log: whoever does not read it makes nobody wait."""

from __future__ import annotations

import os
import sys
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from meter_node import cli

HELD = 131_072
"""More than a terminal or a pipe holds of what nobody reads."""


@pytest.mark.parametrize("pair", [os.openpty, os.pipe], ids=["terminal", "pipe"])
def test_a_log_that_nobody_reads_makes_nobody_wait(
    pair: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pair()
    if os.isatty(writer):
        tty.setraw(writer)
    os.set_blocking(reader, False)
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with cli._log_stream() as log:
            for _ in range(2 * HELD // 64):
                log.write("x" * 63 + "\n")
            with suppress(BlockingIOError):
                while os.read(reader, HELD):
                    pass
            log.write("heard again\n")
            assert os.read(reader, HELD) == b"heard again\n"
            assert os.get_blocking(terminal.fileno()), "others print there, and know nothing of it"
    os.close(reader)


def test_a_log_in_a_file_goes_where_standard_error_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        assert cli._log_stream() is file
