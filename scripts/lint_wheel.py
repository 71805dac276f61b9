"""Checks that the built wheel is whole: every module and data file once, the linked ones included.

A wheel that lost what is behind the symbolic link would install without a word and fail at the
first import, on somebody else's machine.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


# Modules, and what they read from the package: the tariff presets, the display's page.
WANTED = ("*.py", "*.json", "*.html", "*.css", "*.js", "*.svg")


def wanted_files() -> set[str]:
    """Return the wheel's files as they should be, read from the tree through the link."""
    package = ROOT / "meter_node"
    return {
        str(path.relative_to(ROOT))
        for pattern in WANTED
        for path in package.rglob(pattern, recurse_symlinks=True)
    }


def wheel_contents() -> list[str]:
    """Build the wheel into a temporary folder and return the names in it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        return zipfile.ZipFile(wheel).namelist()


def complaints() -> list[str]:
    """Return what is wrong with the wheel, one sentence each."""
    names = Counter(wheel_contents())
    found = [f"missing from the wheel: {name}" for name in sorted(wanted_files() - set(names))]
    found += [f"twice in the wheel: {name}" for name, times in sorted(names.items()) if times > 1]
    found += [
        f"does not belong into the wheel: {name}"
        for name in sorted(names)
        if not name.startswith(("meter_node/", "meter_node-"))
    ]
    if not (ROOT / "meter_node" / "channel").is_symlink():
        found.append("meter_node/channel is no longer a symbolic link: there would be two copies")
    return found


if __name__ == "__main__":
    found = complaints()
    print("\n".join(found) if found else "The wheel is whole.")
    sys.exit(bool(found))
