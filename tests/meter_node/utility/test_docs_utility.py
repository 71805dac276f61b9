"""What docs/utility.md tells people to type is what the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meter_node import cli_utility_acts
from meter_node.channel import presets
from meter_node.utility import link
from meter_node.utility.errors import UtilityError
from meter_node.utility.session import Link

DOCUMENT = Path(__file__).parents[3] / "docs" / "utility.md"
EXAMPLES = re.findall(r"^meter-node utility (.*?)\s*(?:#.*)?$", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_can_be_typed(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.meter_node.utility.counter import key_file

    class AskedError(UtilityError):
        """The arguments were good: the meter would be asked now."""

    def ask(*_: object) -> Link:
        raise AskedError

    monkeypatch.setattr(link, "connect", ask)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METER_NODE_UTILITY_KEYS", str(key_file(tmp_path)))
    calendar = presets.load("denmark_n1").calendar.to_json()
    (tmp_path / "mine.json").write_text(str(calendar).replace("'", '"'))
    (tmp_path / "data").mkdir()

    result = CliRunner().invoke(cli_utility_acts.app, shlex.split(example))

    needs_nobody = example.startswith("credit vend 50000") or "keys export" in example
    told = isinstance(result.exception, AskedError) or "no token was made" in str(result.exception)
    assert told or needs_nobody, result.output
    assert result.exit_code != 2, result.output


def test_the_document_names_every_command() -> None:
    printed = CliRunner().invoke(cli_utility_acts.app, ["--help"]).stdout
    commands = re.findall(r"^  ([a-z]+)  ", printed.split("Commands:")[1], re.MULTILINE)
    assert len(commands) == 15
    named = {example.split()[0] for example in EXAMPLES} | {
        word for example in EXAMPLES for word in example.split()
    }

    assert set(commands) <= named
