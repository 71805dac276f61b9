"""The whole chain over a real broker and a real Home Assistant process, as scripts/demo --check.

A process of its own, so that what the other tests forbid (sockets, for one) does not reach it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_meters_reach_home_assistant_through_a_real_broker() -> None:
    run = subprocess.run(
        # Without the five minutes that Home Assistant takes to its first statistics: history has
        # tests of its own, and scripts/bench history.
        [
            *(sys.executable, "-P", "-m", "scripts.demonstration"),
            *("--check", "--no-history", "--within", "150"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    lines = run.stdout.splitlines()
    assert len(lines) == 1, run.stderr
    shown = json.loads(lines[0])
    # Reason and logs stand on stderr: without Mosquitto, for one, it says how to get it.
    assert shown["ok"], f"{shown.get('reason')}\n{run.stderr}"
    assert run.returncode == 0
    # What the grid company's own document says that the captured frame holds.
    assert shown["bridged_import_kwh"] == 866.636
    assert shown["bridged_voltages"] == [224, 223, 223]
    # Three meters with power, energy, and voltage and current of seven phases at the least.
    assert shown["entities"] >= 3 * 2 + 7 * 2
    assert 0 < shown["seconds_to_first_state"] < 120
    assert shown["processes_left"] == 0
