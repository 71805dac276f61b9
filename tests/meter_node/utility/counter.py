"""A whole meter at the other end of a link, and the utility's command line before it.

What is between can be made hostile: it is told each APDU on its way there, and back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from meter_node import cli_utility_acts
from meter_node.cli_utility import Reach
from meter_node.keys import Management, management_entry
from meter_node.utility import link
from meter_node.utility.errors import NoAnswerError
from meter_node.utility.keyring import Keyring
from meter_node.utility.opening import Manager
from tests.meter_node.cosem.site import MANAGEMENT, MASTER, TITLE, VENDING, Site

type Change = Callable[[bytes], bytes | None]
"""What becomes of an APDU on its way; None: it is lost, and the link with it."""


def same(apdu: bytes) -> bytes | None:
    """It arrives as it was sent."""
    return apdu


@dataclass
class InProcess:
    """A link to a site's server."""

    site: Site
    sap: int
    there: Change = same
    back: Change = same
    max_pdu: int = 1024

    def __post_init__(self) -> None:
        self.connection = self.site.connect(self.max_pdu)

    def exchange(self, apdu: bytes) -> bytes:
        sent = self.there(apdu)
        if sent is None:
            raise NoAnswerError("the meter does not answer")
        answer = self.connection.receive(self.sap, 1, sent, self.site.now_ns)
        came = None if answer is None else self.back(answer)
        if came is None:
            raise NoAnswerError("the meter does not answer")
        return came

    def close(self) -> None:
        self.connection.closed()


def key_file(folder: Path, **more: object) -> Path:
    """The utility's key file for the site's meter."""
    path = folder / "utility.json"
    entry = {
        "system_title": TITLE.hex(),
        "management": management_entry(Management(MANAGEMENT, MASTER)),
        "vending": VENDING.hex(),
        **more,
    }
    path.write_text(json.dumps({"meters": {"main": entry}}))
    path.chmod(0o600)
    return path


@dataclass
class Utility:
    """The command line, with keys, before a site."""

    folder: Path
    site: Site = field(default_factory=Site)
    there: Change = same
    back: Change = same
    max_pdu: int = 1024
    links: list[InProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = key_file(self.folder)

    def connect(self, sap: int) -> InProcess:
        self.links.append(InProcess(self.site, sap, self.there, self.back, self.max_pdu))
        return self.links[-1]

    def reach(self, *, public: bool = False) -> Reach:
        keyring = None if public else Keyring.from_file(self.path)
        nowhere = link.Tcp("127.0.0.1", 9)
        return Reach(nowhere, link.Address(), 1.0, lambda: keyring, None, self.connect)

    def manager(self) -> Manager:
        return self.reach().manager()

    def invoke(self, *arguments: object, public: bool = False) -> Result:
        runner = CliRunner()
        words = [str(one) for one in arguments]
        return runner.invoke(cli_utility_acts.app, words, obj=self.reach(public=public))

    def run(self, *arguments: object, public: bool = False) -> str:
        """What a command prints; it must not fail."""
        result = self.invoke(*arguments, public=public)
        if result.exception is not None:
            raise result.exception
        self.site.commit()
        return result.stdout

    def json(self, *arguments: object, public: bool = False) -> Any:
        return json.loads(self.run(*arguments, "--json", public=public))
