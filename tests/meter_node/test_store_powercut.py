"""Power cuts at the store: what is there is exactly what was confirmed, or one commit more."""

import subprocess
import sys
from pathlib import Path

import pytest

from meter_node import store
from meter_node.meter.rows import Image
from scripts.benches import powercut_store

CHECKOUT = Path(__file__).parents[2]


def test_twenty_kills_of_the_stores_process_lose_repeat_and_tear_nothing() -> None:
    # In a process of its own: the server that it forks from listens on a socket.
    code = "from scripts.benches.powercut_store import kills; print(*kills(20), sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == ""


@pytest.mark.parametrize(("page_size", "stride"), [(512, 61), (4096, 2003)])
def test_files_torn_at_some_offsets_hold_the_last_whole_commit(page_size: int, stride: int) -> None:
    count, violations = powercut_store.tears(page_size, stride)
    assert violations == []
    assert count > 1000


def test_a_store_that_commits_in_two_steps_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bench must see what it is there to see.
    commit = store.Store.commit

    def in_two_steps(database: store.Store, title: bytes, image: Image) -> None:
        commit(database, title, Image(image.time_ns, image.energies_nwh))
        commit(database, title, image)

    monkeypatch.setattr(store.Store, "commit", in_two_steps)
    _, violations = powercut_store.tears(4096, 4001)
    assert any("energies" in violation for violation in violations)
