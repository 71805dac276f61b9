"""docs/proofs.md names tests that exist, for every row of the table "must be proved"."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PROOFS = (CHECKOUT / "docs" / "proofs.md").read_text()
NAMED = re.findall(r"^\|[^|]+\| `([^`]+)` \|$", PROOFS, re.MULTILINE)


def names_in(path: Path) -> set[str]:
    """Every test of a file, by its name as pytest has it."""
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.name
        for node in tree.body
        if isinstance(node, functions) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("named", sorted(set(NAMED)))
def test_a_proof_names_a_test_that_exists(named: str) -> None:
    file, _, name = named.partition("::")
    path = CHECKOUT / "tests" / file
    assert path.is_file(), f"docs/proofs.md: there is no tests/{file}"
    assert name in names_in(path), f"docs/proofs.md: tests/{file} has no {name}"


def test_every_row_of_the_proofs_names_a_test() -> None:
    rows = [line for line in PROOFS.splitlines() if line.startswith("| ")]
    headings = [line for line in rows if line == "| what must hold | shown by |"]
    assert len(NAMED) == len(rows) - len(headings) > 0
