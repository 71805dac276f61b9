"""The package itself can be run."""

import subprocess
import sys

from meter_node import __version__


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "meter_node", "version"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"meter-node {__version__}\n"
