"""Whole cycles found in a voltage."""

import numpy as np
import pytest

from meter_node.metrology.cycles import CycleTracker
from tests.meter_node.metrology.waveforms import Harmonic, wave


def test_each_window_opens_where_the_one_before_closed() -> None:
    voltage = wave(230, 50.07, 0.3, (Harmonic(5, 0.1, 1.0),), seconds=5)
    tracker = CycleTracker(8000, 50.0)
    closed = None
    for second in range(5):
        start = max(second * 8000 - tracker.lookback, 0)
        window, _ = tracker.track(voltage[start : (second + 1) * 8000], second * 8000 - start, 10)
        assert window
        if closed is not None:
            assert window.start + start == pytest.approx(closed, abs=1e-6)
        closed = window.stop + start


def test_windows_are_whole_cycles_by_the_clock() -> None:
    window, frequency_hz = CycleTracker(8000, 50.0).track(wave(230, 50, seconds=1), 0, 10)
    assert window
    assert window.length == pytest.approx(window.cycles * 160, abs=1e-4)
    assert frequency_hz == pytest.approx(50, abs=1e-4)


def test_too_few_samples_give_no_window() -> None:
    assert CycleTracker(8000, 50.0).track(np.zeros(100), 0, 10) == (None, None)


def test_noise_alone_gives_no_window() -> None:
    noise = np.random.default_rng(1).standard_normal(8000)
    assert CycleTracker(8000, 50.0).track(noise, 0, 10) == (None, None)
