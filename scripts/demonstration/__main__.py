"""The command line of the demonstration: for a person until Ctrl-C, or as a check without one."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from . import prove, show
from .life import folder_for, until_done
from .processes import Children

PORT = 8123


def main() -> int:
    """Return the exit code."""
    arguments = _arguments()
    with folder_for(arguments.data_dir) as folder:
        children = Children(folder / "logs")
        work = (
            _check(children, folder, arguments.within, history=arguments.history)
            if arguments.check
            else show.run(children, folder, arguments.port)
        )
        return asyncio.run(until_done(children, work))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Three simulated meters, a real meter's captured frame, a broker and Home "
        "Assistant with everything configured, on this machine alone. Ctrl-C ends all of it.",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="without a person: free ports, one JSON line on stdout, exit code 0 or 1",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"where Home Assistant is opened ({PORT})"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="keep everything there; without it all is in a temporary folder that is removed",
    )
    parser.add_argument(
        "--within",
        type=float,
        metavar="SECONDS",
        help=f"how long the check may take ({prove.HISTORY_WITHIN_S:.0f}; without the history "
        f"{prove.WITHIN_S:.0f})",
    )
    parser.add_argument(
        "--no-history",
        dest="history",
        action="store_false",
        help="do not have the check wait until the house's past is shown, up to five minutes",
    )
    arguments = parser.parse_args()
    if arguments.check and arguments.data_dir is not None and arguments.data_dir.exists():
        parser.error("--check wants a folder that is not there yet: it proves a first start")
    return arguments


async def _check(children: Children, folder: Path, within_s: float | None, *, history: bool) -> int:
    result = await prove.run(children, folder, within_s, history=history)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
