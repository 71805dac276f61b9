"""Recordings in every format: one load, one energy; and what is wrong in them is told."""

import tempfile
import wave
from collections.abc import Callable
from pathlib import Path

import comtrade  # the package of that name, which the node does not need
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import (
    CURRENT_GAIN_A,
    ENERGY_NWH,
    NANO,
    RATE_HZ,
    SECONDS,
    START_NS,
    VOLTAGE_GAIN_V,
    codes,
    values,
    write_comtrade,
    write_csv,
    write_wav,
)

from meter_node.metrology import Engine, Measurement, SampleBlock
from meter_node.sources import Damage, Kind, Source, SourceError, calibration_file
from meter_node.sources.comtrade import configuration
from meter_node.sources.recording import Options, RecordedSource, open_recording
from meter_node.sources.scaling import Scaling

GAINS = Scaling((VOLTAGE_GAIN_V,), (CURRENT_GAIN_A,))
GAINS_16 = Scaling((VOLTAGE_GAIN_V * 256,), (CURRENT_GAIN_A * 256,))
NAMES = {"U1": 1, "U2": 2, "I1": 3, "I2": 4}


def opened(path: Path, options: Options | None = None, block_samples: int = 0) -> RecordedSource:
    options = options or Options()
    return RecordedSource(open_recording(path, options), options, block_samples=block_samples)


def played(source: Source) -> tuple[list[Measurement], list[Damage]]:
    """All measurements and all damage of a source."""
    engine = Engine(source.calibration, source.phases, source.sampling_rate_hz)
    seconds: list[Measurement] = []
    damage: list[Damage] = []
    for item in source.blocks():
        if isinstance(item, Damage):
            damage.append(item)
        else:
            seconds += engine.push(item)
    rest = engine.flush()
    return seconds + ([rest] if rest else []), damage


def an_npz(path: Path) -> Path:
    data = codes()
    np.savez(
        path,
        voltage=data[:2],
        current=data[2:],
        sampling_rate_hz=RATE_HZ,
        start_ns=START_NS,
        voltage_gain_v=[VOLTAGE_GAIN_V] * 2,
        current_gain_a=CURRENT_GAIN_A,
    )
    return path


def an_npy(path: Path) -> Path:
    np.save(path, values().astype(np.float32))
    return path


def a_structured_npy(path: Path) -> Path:
    names = ("Ua", "Ub", "ia", "ib")
    table = np.zeros(SECONDS * RATE_HZ, [(name, "f8") for name in names])
    for name, row in zip(names, values(), strict=True):
        table[name] = row
    np.save(path, table)
    return path


RATE = Options(sampling_rate_hz=RATE_HZ)
# name, writer, options, and to what share the energy must agree: half a step of the coarser channel
# over its peak, which averages out over thousands of samples by far more than ten times.
FORMATS: list[tuple[str, Callable[[Path], Path], Options, float]] = [
    ("a.wav", lambda p: write_wav(p, codes(bits=16), 2), Options(scaling=GAINS_16), 1e-4),
    ("b.wav", lambda p: write_wav(p, codes(), 3), Options(scaling=GAINS), 1e-6),
    ("c.wav", lambda p: write_wav(p, codes() * 256, 4), Options(scaling=GAINS), 1e-6),
    ("d.cfg", lambda p: write_comtrade(p, values(), "ASCII", year="1999"), Options(), 1e-4),
    ("e.cfg", lambda p: write_comtrade(p, values(), "BINARY", year="1999"), Options(), 1e-4),
    ("f.cfg", lambda p: write_comtrade(p, values(), "ASCII"), Options(), 1e-4),
    ("g.cfg", lambda p: write_comtrade(p, values(), "BINARY"), Options(), 1e-4),
    ("h.cfg", lambda p: write_comtrade(p, values(), "BINARY32"), Options(), 1e-4),
    ("i.cfg", lambda p: write_comtrade(p, values(), "FLOAT32"), Options(), 1e-6),
    ("j.csv", lambda p: write_csv(p, values()), Options(), 1e-6),
    ("k.csv", lambda p: write_csv(p, values(), ";"), Options(), 1e-6),
    ("l.tsv", lambda p: write_csv(p, values(), "\t", times=True), Options(), 1e-6),
    ("m.npz", an_npz, Options(), 1e-6),
    ("n.npy", an_npy, RATE, 1e-6),
    ("o.npy", a_structured_npy, RATE, 1e-6),
]


@pytest.mark.parametrize(("name", "write", "options", "share"), FORMATS, ids=lambda v: str(v)[:6])
def test_one_load_is_one_energy_in_every_format(
    tmp_path: Path, name: str, write: Callable[[Path], Path], options: Options, share: float
) -> None:
    source = opened(write(tmp_path / name), options)
    assert (source.phases, source.sampling_rate_hz) == (2, RATE_HZ)
    seconds, damage = played(source)
    assert not damage
    assert [second.complete for second in seconds] == [True, True]
    for phase in range(2):
        energy = sum(second.phases[phase].active_energy_nwh for second in seconds)
        assert energy == pytest.approx(ENERGY_NWH, rel=share)
        assert seconds[1].phases[phase].voltage_v == pytest.approx(230, rel=share)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npz", an_npz),
        ("b.csv", lambda p: write_csv(p, values())),
        ("c.cfg", lambda p: write_comtrade(p, values(), "BINARY")),  # local time is UTC + 1 h
    ],
)
def test_a_recording_that_knows_its_start_is_stamped_by_it(
    tmp_path: Path, name: str, write: Callable[[Path], Path]
) -> None:
    path = write(tmp_path / name)
    first, second = (b for b in opened(path).blocks() if isinstance(b, SampleBlock))
    assert (first.start_ns, second.start_ns) == (START_NS, START_NS + NANO)
    again = next(opened(path, Options(start_ns=7 * NANO)).blocks())
    assert again.start_ns == 7 * NANO


def test_however_a_recording_is_cut_into_blocks_it_has_the_same_energy(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", codes(), 3)
    options = Options(scaling=GAINS)
    whole, _ = played(opened(path, options))
    for block_samples in (777, 5 * RATE_HZ):
        assert played(opened(path, options, block_samples))[0] == whole


def test_any_channel_can_be_any_phase(tmp_path: Path) -> None:
    data = codes(3)
    path = write_wav(tmp_path / "a.wav", data[[5, 0, 3, 1, 4, 2]], 3)
    wanted = {"U1": 2, "U2": 4, "U3": 6, "I1": 3, "I2": 5, "I3": "1"}
    block = next(opened(path, Options(wanted, scaling=GAINS)).blocks())
    assert isinstance(block, SampleBlock)
    np.testing.assert_array_equal(block.voltage, data[:3, :RATE_HZ])
    np.testing.assert_array_equal(block.current, data[3:, :RATE_HZ])


def test_a_meter_of_one_phase_takes_the_first_of_two(tmp_path: Path) -> None:
    source = opened(write_wav(tmp_path / "a.wav", codes(), 3), Options(phases=1, scaling=GAINS))
    assert source.phases == 1


def test_comtrade_skew_becomes_the_currents_delay(tmp_path: Path) -> None:
    path = write_comtrade(tmp_path / "a.cfg", values(), "BINARY", skew_us=25)
    phase = opened(path).calibration.phases[1]
    assert phase.current_delay_s == pytest.approx(25e-6)
    assert phase.voltage_gain_v == pytest.approx(0.02)


def test_comtrade_values_of_a_transformers_secondary_side_are_brought_to_the_primary() -> None:
    text = (
        "s,r,1999\n2,2A,0D\n1,U1,,,kV,0.5,0.25,0,-1,1,100,1,S\n2,I1,,,A,2,0,0,-1,1,5,1,P\n"
        "50\n1\n8000,9\n01/01/2026,00:00:00.5\n01/01/2026,00:00:00.5\nASCII\n1\n"
    )
    cfg = configuration(text)
    voltage, current = cfg.analogs
    assert (voltage.gain, voltage.offset, voltage.factor) == (0.5, 0.25, 1000 * 100)
    assert current.factor == 1
    assert cfg.start_ns == START_NS + NANO // 2


def test_comtrade_without_a_rate_is_read_by_its_times(tmp_path: Path) -> None:
    path = write_comtrade(tmp_path / "a.cfg", values(), "ASCII", rate=f"0/0,{SECONDS * RATE_HZ}")
    assert opened(path).sampling_rate_hz == RATE_HZ


# What is damaged


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=120), st.integers(1, 50))
def test_whatever_is_missing_every_sample_is_there_or_told(
    missing: list[bool], block_samples: int
) -> None:
    data = np.arange(2.0 * len(missing)).reshape(2, -1)
    data[1, missing] = np.nan
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npy"
        np.save(path, data)
        items = list(opened(path, RATE, block_samples).blocks())
    due = 0
    for item in items:
        assert item.first_sample == due
        stretch = missing[due : due + item.samples]
        assert stretch == [isinstance(item, Damage)] * item.samples
        due += item.samples
    assert due == len(missing)


@pytest.mark.parametrize("form", ["ASCII", "BINARY", "BINARY32", "FLOAT32"])
def test_a_sample_that_comtrade_marks_as_missing_is_a_flagged_gap(
    tmp_path: Path, form: str
) -> None:
    path = write_comtrade(tmp_path / "a.cfg", values(), form, blank=(3, 12_000))
    seconds, damage = played(opened(path))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 12_000, 1)]
    assert damage[0].start_ns == START_NS + 3 * NANO // 2
    # The second with the gap comes in two parts, neither of them complete.
    assert [second.complete for second in seconds] == [True, False, False]


def test_samples_that_comtrade_leaves_out_are_a_flagged_gap(tmp_path: Path) -> None:
    numbers = [at + 1 if at < 12_000 else at + 101 for at in range(SECONDS * RATE_HZ)]
    path = write_comtrade(tmp_path / "a.cfg", values(), "BINARY", numbers=numbers)
    seconds, damage = played(opened(path))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 12_000, 100)]
    assert [second.complete for second in seconds] == [True, False, False, False]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_a_flagged_gap(tmp_path: Path, wrong: float) -> None:
    data = values()
    data[1, 4000:4100] = wrong
    np.save(tmp_path / "a.npy", data)
    seconds, damage = played(opened(tmp_path / "a.npy", RATE))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 4000, 100)]
    assert [second.complete for second in seconds] == [False, False, True]
    lengths = [second.end_ns - second.start_ns for second in seconds]
    assert lengths == [NANO // 2, NANO // 2 - 100 * NANO // RATE_HZ, NANO]


def test_an_empty_field_of_a_csv_file_is_a_flagged_gap(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", values())
    lines = path.read_text().splitlines()
    lines[3 + 4000] = ",,,"
    path.write_text("\n".join(lines))
    seconds, damage = played(opened(path))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 4000, 1)]
    assert [second.complete for second in seconds] == [False, False, True]


def test_a_csv_file_that_jumps_in_time_has_a_flagged_gap(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", values(), times=True)
    lines = path.read_text().splitlines()
    del lines[2 + 4000 : 2 + 4080]
    path.write_text("\n".join(lines))
    _, damage = played(opened(path))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 4000, 80)]


def test_a_clipped_converter_is_told_and_counted(tmp_path: Path) -> None:
    data = codes(bits=16)
    data[0] = np.clip(2 * data[0], -(2**15), 2**15 - 1)  # 650 V peak where 500 V fit
    path = write_wav(tmp_path / "a.wav", data, 2)
    source = opened(path, Options(scaling=GAINS_16))
    seconds, damage = played(source)
    assert {d.kind for d in damage} == {Kind.CLIPPED}
    assert all("U1" in d.detail for d in damage)
    assert sum(second.end_ns - second.start_ns for second in seconds) == SECONDS * NANO
    engine = Engine(source.calibration, 2, RATE_HZ, full_scale_codes=source.full_scale_codes)
    (second,) = engine.push(next(b for b in source.blocks() if isinstance(b, SampleBlock)))
    assert [phase.clipped for phase in second.phases] == [True, False]


def test_a_peak_at_the_converters_end_is_not_clipped(tmp_path: Path) -> None:
    data = codes()
    data[0, 40] = 2**23 - 1
    _, damage = played(opened(write_wav(tmp_path / "a.wav", data, 3), Options(scaling=GAINS)))
    assert not damage


def test_a_wav_file_that_ends_early_is_told_to_miss_its_end(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", codes(), 3)
    path.write_bytes(path.read_bytes()[: -1000 * 12 - 5])
    seconds, damage = played(opened(path, Options(scaling=GAINS)))
    assert [(d.kind, d.first_sample, d.samples) for d in damage] == [(Kind.MISSING, 14_999, 1001)]
    assert [second.complete for second in seconds] == [True, False]


def text_file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


REFUSED: list[tuple[str, Callable[[Path], Path], Options, str]] = [
    ("a.mp3", lambda p: text_file(p, ""), Options(), "ends in .wav, .cfg"),
    ("a.wav", lambda p: text_file(p, "RIFF"), Options(), "no PCM WAV file"),
    ("b.wav", lambda p: write_wav(p, codes(), 3), Options(), "U1 is in codes: give voltage"),
    ("c.wav", lambda p: write_wav(p, codes()[:3], 3), Options(scaling=GAINS), "no channel for U1"),
    ("d.wav", lambda p: write_wav(p, codes(), 3), Options(phases=3, scaling=GAINS), "for U3, I3"),
    ("e.wav", lambda p: write_wav(p, codes(), 3), Options({"U1": 9, "I1": 1}), "no channel 9"),
    ("f.wav", lambda p: write_wav(p, codes(), 3), Options({"U1": 1, "I1": 1}), "I1 and U1 at once"),
    ("g.wav", lambda p: write_wav(p, codes(), 3), Options(sampling_rate_hz=4000, scaling=GAINS),
     "sampled at 8000 Hz, not at 4000 Hz"),
    ("h.wav", lambda p: write_wav(p, codes(), 3), Options(scaling=Scaling((-1.0,), (1.0,))),
     "voltage gain must be positive"),
    ("a.csv", lambda p: text_file(p, "U1,I1\n1,2\n"), Options(), "has no unit"),
    ("b.csv", lambda p: text_file(p, "U1 [V],I1 [m/s]\n1,2\n"), Options(), "known are V"),
    ("c.csv", lambda p: text_file(p, "U1 [V],I1 [A]\n1,2\n"), Options(), "no sampling rate"),
    ("d.csv", lambda p: text_file(p, "U1 [V],I1 [A]\n1,2\n1,zero\n"), RATE, "line 3: 'zero'"),
    ("e.csv", lambda p: text_file(p, "U1 [V],I1 [A]\n1,2\n1\n"), RATE, "line 3: 1 fields, not 2"),
    ("f.csv", lambda p: text_file(p, "t [s],U1 [V],I1 [A]\n0,1,2\n1,1,2\n1,1,2\n"), RATE,
     "sampled at 2 Hz, not at 8000 Hz"),
    ("g.csv", lambda p: text_file(p, "t [s],U1 [V],I1 [A]\n0.5,1,2\n0.4,1,2\n"), RATE,
     "no later than the one before"),
    ("h.csv", lambda p: text_file(p, "U1 [V],I1 [A]\n1,2\n9999,1\n"), RATE,
     "U1: sample 1 is 9999 V; raise voltage_full_scale_v"),
    ("i.csv", lambda p: text_file(p, "U1 [codes],I1 [codes]\n1.5,2\n"),
     Options(sampling_rate_hz=8000, scaling=GAINS), "U1: sample 0 is no whole code"),
    ("j.csv", lambda p: text_file(p, "U1 [codes],I1 [codes]\n1,9999999\n"),
     Options(sampling_rate_hz=8000, scaling=GAINS), "I1: sample 0 is 9999999, more than 24 bits"),
    ("k.csv", lambda p: text_file(p, "# nothing\n"), RATE, "no header"),
    ("l.csv", lambda p: text_file(p, "t [s],U1 [V],I1 [A]\n0,1,2\n0.37,1,2\n"), Options(),
     "no whole number of hertz"),
    ("m.csv", lambda p: write_csv(p, values()), Options(sampling_rate_hz=4000),
     "sampled at 8000 Hz, not at 4000 Hz"),
    ("a.npz", lambda p: np.savez(p, voltage=values()) or p, Options(), "no current in it"),
    ("b.npz", lambda p: np.savez(p, voltage=values(), current=values()) or p, Options(),
     "no sampling_rate_hz"),
    ("a.npy", lambda p: np.save(p, values()[0]) or p, RATE, r"\[channels, samples\] needed"),
    ("b.npy", lambda p: np.save(p, np.array([{}])) or p, RATE, "Python objects"),
    ("a.cfg", lambda p: write_comtrade(p, values(), "BINARY", year="1991"), Options(), "1991"),
    ("b.cfg", lambda p: write_comtrade(p, values(), "BINARY", rate="2/8000,9/4000,18"), Options(),
     "more than one sampling rate"),
    ("c.cfg", lambda p: text_file(p, "s,r,1999\n2,2A,0D\n1,U1\n"), Options(), "line 3"),
    ("d.cfg", lambda p: write_comtrade(p, values(), "ASCII", numbers=[1] * 16_000), Options(),
     "numbers don't rise"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "write", "options", "reason"), REFUSED, ids=[name for name, *_ in REFUSED]
)
def test_a_recording_that_can_not_be_used_is_refused_with_its_reason(
    tmp_path: Path, name: str, write: Callable[[Path], Path], options: Options, reason: str
) -> None:
    path = write(tmp_path / name)
    with pytest.raises(SourceError, match=reason):
        list(opened(path, options).blocks())


def test_a_wav_file_of_floats_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", codes(), 4)
    data = bytearray(path.read_bytes())
    data[20] = 3  # the format tag: IEEE float
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="convert them to 24 bit"):
        opened(path, Options(scaling=GAINS))


def test_a_wav_file_is_what_the_standard_library_says_it_is(tmp_path: Path) -> None:
    with wave.open(str(write_wav(tmp_path / "a.wav", codes(), 3))) as file:
        assert (file.getnchannels(), file.getnframes()) == (4, SECONDS * RATE_HZ)


def test_codes_take_their_gains_from_a_calibration_file(tmp_path: Path) -> None:
    file = text_file(
        tmp_path / "calibration.json",
        '{"date": "2026-01-01", "phases": ['
        '{"voltage_gain_v": 6e-5, "current_gain_a": 1.2e-5, "current_delay_s": 1e-6},'
        '{"voltage_gain_v": 6.1e-5, "current_gain_a": 1.3e-5, "current_offset_codes": 5}]}',
    )
    scaling = Scaling(calibration=calibration_file.load(file))
    phases = opened(
        write_wav(tmp_path / "a.wav", codes(), 3), Options(scaling=scaling)
    ).calibration.phases
    assert (phases[0].voltage_gain_v, phases[0].current_delay_s) == (6e-5, 1e-6)
    assert phases[1].current_offset_codes == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "no list of phases"),
        ('{"phases": [{}]}', "L1: no current_gain_a and no voltage_gain_v"),
        ('{"phases": [{"voltage_gain_v": "1", "current_gain_a": 1}]}', "L1: voltage_gain_v is no"),
        ('{"phases": [{"voltage_gain_v": -1, "current_gain_a": 1}]}', "must be positive"),
    ],
)
def test_a_calibration_file_that_is_none_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        calibration_file.load(text_file(tmp_path / "c.json", text))


def test_other_software_reads_our_comtrade_test_files_alike(tmp_path: Path) -> None:
    path = write_comtrade(tmp_path / "a.cfg", values(), "BINARY")
    theirs = comtrade.load(str(path), ignore_warnings=True)
    source = opened(path)
    block = next(b for b in source.blocks() if isinstance(b, SampleBlock))
    gain = source.calibration.phases[0].voltage_gain_v
    ours = block.voltage[0] * gain
    np.testing.assert_allclose(ours, np.array(theirs.analog[0])[:RATE_HZ], atol=1e-4)
