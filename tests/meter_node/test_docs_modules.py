"""The examples in the documentation of modules and installation are taken as they stand there."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest

from meter_node import config
from meter_node.ports.mbus.port import MbusSettings
from meter_node.ports.wmbus.port import WmbusSettings

DOCS = Path(__file__).parents[2] / "docs"
MODULES = (DOCS / "modules.md").read_text("utf-8")
INSTALLATION = (DOCS / "installation.md").read_text("utf-8")
METER = '[[meter]]\nname = "house"\nmodel = "382M"\n[meter.source]\nkind = "simulated"\n'


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def loaded(folder: Path, example: str) -> config.Config:
    path = folder / "meter_node.toml"
    path.write_text(METER + example)
    return config.load(path)


EXAMPLES = blocks(MODULES, "toml")


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_a_module_is_a_configuration(tmp_path: Path, example: str) -> None:
    assert len(loaded(tmp_path, example).meter[0].module) == 1


def test_there_is_an_example_of_every_kind(tmp_path: Path) -> None:
    kinds = {loaded(tmp_path, example).meter[0].module[0].kind for example in EXAMPLES}
    assert kinds == set(config.MODULE_KINDS)


def example_of[S](settings: type[S], folder: Path) -> S:
    modules = [loaded(folder, example).meter[0].module[0] for example in EXAMPLES]
    return next(module for module in modules if isinstance(module, settings))


def test_the_m_bus_example_is_read_at_the_address_that_it_is_given(tmp_path: Path) -> None:
    address = example_of(MbusSettings, tmp_path).address
    asked = re.findall(r"^meterbus\.send_\w+\(line, (\d+)\)", MODULES, re.MULTILINE)
    assert asked == [str(address)] * 2
    assert f" p{address} NOKEY" in MODULES


def test_the_wireless_example_writes_where_the_services_unit_makes_a_folder(
    tmp_path: Path,
) -> None:
    (unit,) = (block for block in blocks(INSTALLATION) if block.startswith("[Unit]"))
    (folder,) = re.findall(r"^RuntimeDirectory=(.+)$", unit, re.MULTILINE)
    path = urlsplit(example_of(WmbusSettings, tmp_path).bearer).path
    assert PurePosixPath(path).parent == PurePosixPath("/run", folder)


def test_the_bridges_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = (block for block in blocks(INSTALLATION) if block.startswith("[bridge]"))
    assert loaded(tmp_path, example).bridge is not None
