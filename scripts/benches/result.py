"""What every bench gives back: figures for programs, rows for people, budgets that were missed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "bench"


@dataclass(slots=True)
class Result:
    """One bench's outcome."""

    name: str
    figures: dict[str, object]
    rows: list[tuple[str, str, str]]
    """What, figure, budget."""
    missed: list[str] = field(default_factory=list)

    def write(self) -> Path:
        """Write build/bench/<name>.json and return its path."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        path.write_text(json.dumps(self.figures, indent=1) + "\n")
        return path
