"""Times for samples that are counted by their sender. Reads no clock: the time is handed in.

A sender's crystal is not the node's clock. The first block ties the one to the other; from then on
samples are counted, and what the crystal is off is slewed away, more slowly than anyone can see.
"""

from dataclasses import dataclass

NANO = 10**9
# Blocks come late, never early: the least late one of a while tells how the clocks really stand.
# The first one may be very late (what a buffer held before anyone listened), so it is looked at
# again soon.
WINDOW_NS = 10 * NANO
FIRST_WINDOW_NS = NANO
# Crystals are within 100 ppm; twice that is a step of 2 ms in a window, far within what the engine
# takes for no jump.
MOST_SLEW = 200e-6
# A difference that slewing takes minutes for: samples were lost without a word, or a clock was set.
MOST_OFFSET_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block belongs: the index of its first sample in the node's own count, and its time.

    `broken` says why this is a new stream, if it is.
    """

    first_sample: int
    start_ns: int
    broken: str = ""


class Timeline:
    """One stream against one clock.

    Counts so that sample k·rate lies on a whole second of the clock when the stream begins: the
    engine's seconds are then the clock's, but for what the crystal drifts.
    """

    def __init__(self, sampling_rate_hz: int) -> None:
        self._rate_hz = sampling_rate_hz
        self._shift: int | None = None  # the node's count less the sender's
        self._origin_ns = 0  # the time of the node's sample 0
        self._window_ns = 0, 0
        self._least_late_ns: int | None = None

    def restart(self) -> None:
        """Forgets the sender's count: the next block begins a new stream."""
        self._shift = None

    def place(self, first_sample: int, samples: int, now_ns: int) -> Place:
        """For a block of the sender's count whose last sample was there by `now_ns`."""
        length_ns = samples * NANO // self._rate_hz
        if self._shift is None:
            return self._anchor(first_sample, now_ns - length_ns, "")
        start_ns = self._time_ns(first_sample + self._shift)
        late_ns = now_ns - length_ns - start_ns
        if self._least_late_ns is None or late_ns < self._least_late_ns:
            self._least_late_ns = late_ns
        if not self._window_ns[0] <= now_ns < self._window_ns[1]:
            offset_ns = self._least_late_ns
            if abs(offset_ns) > MOST_OFFSET_NS:
                apart = f"the samples and the clock are {offset_ns / NANO:+.2f} s apart"
                return self._anchor(first_sample, now_ns - length_ns, apart)
            most_ns = round(WINDOW_NS * MOST_SLEW)
            self._origin_ns += max(-most_ns, min(most_ns, offset_ns))
            self._begin_window(now_ns, WINDOW_NS)
            start_ns = self._time_ns(first_sample + self._shift)
        return Place(first_sample + self._shift, start_ns)

    def _anchor(self, first_sample: int, start_ns: int, broken: str) -> Place:
        second, rest_ns = divmod(start_ns, NANO)
        within = round(rest_ns * self._rate_hz / NANO)
        self._shift = within - first_sample
        self._origin_ns = second * NANO + rest_ns - within * NANO // self._rate_hz
        self._begin_window(start_ns, FIRST_WINDOW_NS)
        return Place(within, self._time_ns(within), broken)

    def _begin_window(self, now_ns: int, length_ns: int) -> None:
        self._window_ns = now_ns, now_ns + length_ns
        self._least_late_ns = None

    def _time_ns(self, own_sample: int) -> int:
        return self._origin_ns + own_sample * NANO // self._rate_hz
