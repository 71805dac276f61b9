"""What a bridge keeps of a real meter's frames: which, for how long, and over a power cut."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest

from meter_node.kept_frames import FILE_NAME, MOST_LENGTHS, MOST_METERS, KeptFrames

NOON = 1_795_176_000  # 2026-11-20 12:00 UTC, a quarter-hour's beginning
A, B = "4b414d4501a4dc52", "4b414d4501349083"
assert NOON % 900 == 0

type Keep = Callable[[int], KeptFrames]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[int], KeptFrames]]:
    """Open what is kept of so many days; all are closed at the end."""
    with ExitStack() as opened:
        yield lambda days: opened.enter_context(closing(KeptFrames(tmp_path, days)))


@pytest.fixture
def kept(keep: Keep) -> KeptFrames:
    return keep(130)


def arrivals(kept: KeptFrames, title: str = A) -> list[int]:
    return [frame.arrived_s for frame in kept.of(title, 0, 0xFFFFFFFF)]


def test_of_each_quarter_hour_the_first_frame_is_kept(kept: KeptFrames) -> None:
    for second in range(2, 2700, 10):  # 45 minutes of pushes
        kept.add(A, second.to_bytes(480), NOON + second)
    found = list(kept.of(A, 0, 0xFFFFFFFF))
    assert [frame.arrived_s for frame in found] == [NOON + 2, NOON + 902, NOON + 1802]
    assert [int.from_bytes(frame.frame) for frame in found] == [2, 902, 1802]


def test_frames_of_another_length_are_another_list_and_kept_too(kept: KeptFrames) -> None:
    for second, size in ((0, 225), (10, 225), (12, 299), (20, 225), (30, 299)):
        kept.add(A, bytes(size), NOON + second)
    assert arrivals(kept) == [NOON, NOON + 12]


def test_lengths_without_end_do_not_fill_the_disk(kept: KeptFrames) -> None:
    for size in range(1, 100):
        kept.add(A, bytes(size), NOON + size)
    assert len(arrivals(kept)) == MOST_LENGTHS
    assert not kept.add(A, bytes(5000), NOON + 900)
    assert not kept.add(A, b"", NOON + 900)


def test_meters_without_end_do_not_fill_the_disk(kept: KeptFrames) -> None:
    taken = [kept.add(f"meter{number}", b"frame", NOON) for number in range(20)]
    assert taken == [True] * MOST_METERS + [False] * (20 - MOST_METERS)


def test_two_meters_on_one_port_are_kept_apart(kept: KeptFrames) -> None:
    kept.add(A, b"of A", NOON)
    kept.add(B, b"of B", NOON + 1)
    assert arrivals(kept, A) == [NOON]
    assert arrivals(kept, B) == [NOON + 1]
    assert kept.titles() == {A, B}


def test_the_oldest_quarter_hour_goes_when_the_days_are_full(
    keep: Keep,
) -> None:
    kept = keep(1)
    for quarter in range(100):
        kept.add(A, bytes(480), NOON + 900 * quarter)
        kept.add(A, bytes(225), NOON + 900 * quarter + 1)
    found = arrivals(kept)
    assert len(found) == 2 * 96
    assert found[0] == NOON + 900 * 4
    assert found[-1] == NOON + 900 * 99 + 1


def test_a_clock_that_leaps_costs_one_quarter_hour_and_not_the_history(
    keep: Keep,
) -> None:
    kept = keep(1)
    for quarter in range(96):
        kept.add(A, bytes(480), NOON + 900 * quarter)
    kept.add(A, bytes(480), NOON + 900 * 35_000)  # a year ahead
    assert len(arrivals(kept)) == 96
    kept.add(A, bytes(480), 900)  # and in 1970
    kept.add(A, bytes(480), NOON + 900 * 96)
    assert len(arrivals(kept)) == 96


def test_130_days_of_a_real_meter_take_ten_megabytes_at_most(tmp_path: Path) -> None:
    kept = KeptFrames(tmp_path, 130)
    # 478 bytes: the APDU of a ciphered Danish push.
    kept._database.execute("PRAGMA synchronous=OFF")  # the disk is not what is tried here
    kept._database.execute("BEGIN")
    for quarter in range(130 * 96 + 50):
        kept.add(A, bytes(478), NOON + 900 * quarter)
    kept._database.execute("COMMIT")
    assert len(arrivals(kept)) == 130 * 96
    kept.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 10_000_000


def test_after_a_restart_in_the_middle_of_a_quarter_hour_nothing_is_kept_twice(
    keep: Keep,
) -> None:
    kept = keep(130)
    kept.add(A, bytes(480), NOON)
    kept.close()
    kept = keep(130)
    assert not kept.add(A, bytes(480), NOON + 300)
    assert kept.add(A, bytes(480), NOON + 900)
    assert arrivals(kept) == [NOON, NOON + 900]


WRITER = """
import sys
from pathlib import Path
from meter_node.kept_frames import KeptFrames
kept = KeptFrames(Path(sys.argv[1]), 130)
for quarter in range(int(sys.argv[2]), 1_000_000):
    kept.add("4b414d4501a4dc52", bytes(480), 900 * quarter)
    print(quarter, flush=True)
"""


def test_what_was_kept_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    begin = 1
    for length in (3, 40, 7):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(begin)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(length):
            told = int(writer.stdout.readline())
        writer.kill()
        told = max([told, *map(int, writer.stdout.read().split())])
        writer.wait()
        kept = KeptFrames(tmp_path, 130)
        found = [arrived // 900 for arrived in arrivals(kept)]
        kept.close()
        assert found[-1] in (told, told + 1)  # it may have been killed before it could tell
        assert all(later == earlier + 1 for earlier, later in pairwise(found))
        begin = found[-1] + 1


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\x00" + bytes(84)]
)
def test_a_damaged_file_is_set_aside(
    tmp_path: Path,
    keep: Keep,
    content: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    kept = keep(130)
    assert kept.add(A, b"frame", NOON)
    assert "set aside" in caplog.text
    assert (tmp_path / (FILE_NAME + ".damaged")).read_bytes() == content


def test_where_nothing_can_be_kept_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(OSError, match=FILE_NAME):
        KeptFrames(tmp_path, 130)


def test_a_disk_that_takes_no_more_is_told_once_and_forwarding_goes_on(
    kept: KeptFrames, caplog: pytest.LogCaptureFixture
) -> None:
    kept.add(A, b"frame", NOON)
    kept._database.execute("PRAGMA max_page_count=1")
    (pages,) = kept._database.execute("PRAGMA page_count").fetchone()
    kept._database.execute(f"PRAGMA max_page_count={pages}")
    taken = [kept.add(A, bytes(4000), NOON + 900 * quarter) for quarter in range(1, 20)]
    assert not all(taken)
    assert caplog.text.count("could not be kept") == 1


def test_the_file_is_for_its_owner_alone(kept: KeptFrames, tmp_path: Path) -> None:
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_a_period_is_given_by_the_time_of_arrival(kept: KeptFrames) -> None:
    for quarter in range(8):
        kept.add(A, bytes(480), NOON + 900 * quarter + 2)
    found = [frame.arrived_s for frame in kept.of(A, NOON + 902, NOON + 2702)]
    assert found == [NOON + 902, NOON + 1802]


def test_frames_come_in_order_where_the_clock_was_set_within_a_quarter_hour(
    kept: KeptFrames,
) -> None:
    kept.add(A, bytes(480), NOON + 500)
    kept.add(A, bytes(225), NOON + 100)
    assert arrivals(kept) == [NOON + 100, NOON + 500]
