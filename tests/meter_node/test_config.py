"""The configuration: every fault with file, key and reason, before anything starts."""

import json
from pathlib import Path

import pytest

from meter_node import backup, config, kept_frames, keys, store
from meter_node.ports.ami import AmiSettings
from meter_node.ports.bearers import Endpoint
from meter_node.ports.conversation import SerialLine

METER = """
[[meter]]
name = "house"
model = "382M"
[meter.source]
kind = "simulated"
"""
DISPLAY = f"{METER}[meter.display]\n"
P1 = f"{METER}[[meter.module]]\nkind = 'p1'\n"
STREAM = """kind = "stream"
url = "tcp://10.0.0.7:4901"
sampling_rate_hz = 8000
voltage_gain_v = 6e-5
current_gain_a = [1e-5, -1e-5, 1e-5]
"""
IIO = """kind = "iio"
device = "iio:device0"
channels = { U1 = "in_voltage0", I1 = "in_voltage1" }
sampling_rate_hz = 8000
voltage_ratio = 1000
current_ratio_a_per_v = 250.0
"""
RECORDING = """kind = "recording"
file = "mains.wav"
channels = { U1 = 1, I1 = "current" }
voltage_gain_v = 1
"""


def of(source: str) -> str:
    """A meter with this source."""
    return METER.replace('kind = "simulated"\n', source)


def written(folder: Path, text: str) -> Path:
    """Write a configuration and return its path."""
    path = folder / "meter_node.toml"
    path.write_text(text)
    return path


def test_a_display_is_set_as_it_is_written(tmp_path: Path) -> None:
    text = f"{DISPLAY}views = ['time']\nenergy_digits = '6.1'\nlanguage = 'da'\n[display]\n"
    loaded = config.load(written(tmp_path, text))
    settings = loaded.meter[0].display.settings(breaker_hold_s=8)
    assert (settings.views, settings.language, settings.breaker_hold_s) == (("time",), "da", 8)
    assert settings.energy_digits.text(1_234_567, -3) == "001234.5"
    assert loaded.display is not None
    assert (loaded.display.host, loaded.display.port) == ("127.0.0.1", 8162)


def test_without_its_section_there_is_no_page(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, METER)).display is None


def test_bluetooth_is_off_until_it_is_enabled(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, METER)).bluetooth is None
    given = config.load(written(tmp_path, f"{METER}[bluetooth]\n")).bluetooth
    assert given is not None
    assert (given.enabled, given.transport, given.most_connections) == (False, "hci-socket:0", 4)


@pytest.mark.parametrize(
    "transport", ["hci-socket:1", "usb:0", "serial:/dev/ttyUSB0,1000000", "tcp-client:[::1]:6402"]
)
def test_an_adapter_is_named_as_bumble_does(tmp_path: Path, transport: str) -> None:
    text = f"{METER}[bluetooth]\nenabled = true\ntransport = '{transport}'\n"
    given = config.load(written(tmp_path, text)).bluetooth
    assert given is not None
    assert (given.enabled, given.transport) == (True, transport)


def test_the_example_is_a_good_configuration(tmp_path: Path) -> None:
    text = config.EXAMPLE.format(model="162M", seed=1)
    loaded = config.load(written(tmp_path, text))
    assert loaded.meter[0].variant().phases == 1
    assert loaded.mqtt is not None


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[[meter]", "not TOML", "line 1"),
        ("colour = 1", "colour", "there is no such key; there are mqtt, store, display, meter"),
        ("[bluetooth]\ntransport = 'hci0'", "bluetooth.transport", "hci-socket:0"),
        ("[bluetooth]\ntransport = 'usb:'", "bluetooth.transport", "none of"),
        ("[bluetooth]\nmost_connections = 0", "bluetooth.most_connections", "equal to 1"),
        ("[display]\nport = 0", "display.port", "greater than or equal to 1"),
        (f"{DISPLAY}views = ['volts']", "meter[0].display.views[0]", "no view 'volts'"),
        (f"{DISPLAY}energy_digits = '5.2'", "meter[0].display.energy_digits", "'6.1'"),
        (f"{DISPLAY}scroll_s = 1", "meter[0].display.scroll_s", "equal to 2"),
        ('[mqtt]\nhost = ""', "mqtt.host", "at least 1 character"),
        ('[mqtt]\nhost = "a"\nport = 70000', "mqtt.port", "65535"),
        ('[mqtt]\nhost = "a"\nport = "1883"', "mqtt.port", "integer"),
        ('[mqtt]\nhost = "a"\npassword = "x"', "mqtt", "needs a username"),
        ('[mqtt]\nhost = "a"\nclient_key = "k"', "mqtt", "go together"),
        ('[mqtt]\nhost = "a"\nca_file = "k"', "mqtt", "tls = true"),
        ("[store]\ncommit_interval_s = 61", "store.commit_interval_s", "60"),
        ("[ami]", "ami", "name at least one of tcp, hdlc_tcp, dial, serial, modem"),
        ('[ami]\ntcp = "4059"', "ami.tcp", "'4059' is not host:port; for example 127.0.0.1:4059"),
        ('[ami]\ntcp = "localhost:99999"', "ami.tcp", "is not host:port"),
        ('[ami]\nhdlc_tcp = "localhost:0"', "ami.hdlc_tcp", "is not host:port"),
        ('[ami]\nserial = "/dev/ttyUSB0"', "ami.serial", "serial:///dev/ttyUSB0?baudrate=9600"),
        ('[ami]\nmodem = "serial:///dev/ttyS0?baudrate=fast"', "ami.modem",
         "a baudrate of fast; possible are 50, 75"),
        ('[ami]\nserial = "serial:///dev/a?parity=E"', "ami.serial", "'parity' can't be set"),
        ('[ami]\ntcp = "a:1"\nhdlc_tcp = "a:1"', "ami", "a:1 can't be two things at once"),
        ('[ami]\nserial = "serial:///dev/a?baudrate=300"\nmodem = "serial:///dev/a"', "ami",
         "serial:///dev/a can't be two things at once"),
        ('[ami]\ntcp = "a:1"\nmodem_commands = ["AT+CPIN=1"]', "ami", "only used with a modem"),
        ('[ami]\nmodem = "serial:///dev/a"\nmodem_commands = ["1234"]', "ami.modem_commands[0]",
         "begins with AT"),
        ('[ami]\ntcp = "a:1"\nphysical_address = 17', "ami", "only used on a serial line"),
        ('[ami]\ntcp = "a:1"\ninactivity_s = 5', "ami.inactivity_s", "10"),
        ('[ami]\ntcp = "a:1"\nmost_connections = 0', "ami.most_connections", "1"),
        (METER.replace("382M", "500M"), "meter[0].model", "162M"),
        (METER.replace("house", "The House"), "meter[0].name", "pattern"),
        (METER.replace("[meter.source]", "push_interval_s = 7\n[meter.source]"),
         "meter[0].push_interval_s", "does not divide a day"),
        (METER.replace("[meter.source]", 'time_zone = "Mars"\n[meter.source]'),
         "meter[0].time_zone", "no time zone 'Mars'"),
        (METER.replace("[meter.source]", 'breaker=true\ncurrent_range="5(100)"\n[meter.source]'),
         "meter[0]", "not made with a breaker"),
        (METER + "[meter.parameters.demand]\ninterval_min = 7", "meter[0]",
         "parameters: demand.interval_min: an interval of 7 min"),
        (METER + "[meter.parameters.tariff]\na = 1", "meter[0]", "name a preset by the meter's"),
        (METER + "[meter.parameters.credit]\nenabled = true", "meter[0]", "has no breaker"),
        (METER + "[meter.parameters]\nrelays = [{}]", "meter[0]", "this meter has 0"),
        (METER + "[meter.lines]\nrelays = [{ offset = 4 }]", "meter[0]", "drives 1"),
        (METER + "[meter.lines.contacts]\nknob = { offset = 4 }", "meter[0].lines", "'knob'"),
        (of(STREAM).replace("[meter.source]", "breaker = true\n[meter.source]"), "meter[0]",
         "which lines drive it? write [meter.lines.breaker]"),
        (of(STREAM).replace("[meter.source]", "relays = 1\n[meter.source]"), "meter[0]",
         "relays: 1, but [meter.lines] drives 0"),
        (METER.replace("simulated", "real"), "meter[0].source.kind", "simulated"),
        (of("seed = 1\n"), "meter[0].source.kind", "simulated, recording, stream, iio"),
        (METER + 'seed = "one"', "meter[0].source.seed", "integer"),
        (METER + "url = 1", "meter[0].source.url", "no such key; there are kind, nominal_"),
        (METER + "sead = 1", "meter[0].source.sead", "no such key; seed is meant?"),
        ('[mqtt]\nhots = "a"', "mqtt.host", "required"),
        (P1 + "intervall_s = 5", "meter[0].module[0].intervall_s",
         "there is no such key; interval_s is meant?; there are kind, bearer, variant, interval_s"),
        (METER + "[meter.module]\nkind = 'p1'", "meter[0].module",
         "write it in double brackets, [[meter.module]]"),
        (METER.replace("[[meter]]", "[meter]"), "meter", "double brackets, [[meter]]"),
        ("[[mqtt]]\nhost = 'a'", "mqtt", "write it in single brackets, [mqtt]"),
        (of(STREAM.replace("tcp://10.0.0.7:4901", "tcp://10.0.0.7")), "meter[0].source.url",
         "serial:///dev/ttyACM0?baudrate=921600, stdin:"),
        (of(STREAM.replace(":4901", ":many")), "meter[0].source.url", "tcp://host:port"),
        (of(STREAM.replace("8000", "1000")), "meter[0].source.sampling_rate_hz", "2000"),
        (of(STREAM.replace("6e-5", '"much"')), "meter[0].source.voltage_gain_v", "valid tuple"),
        (of(STREAM.replace("-1e-5", '"x"')), "meter[0].source.current_gain_a[1]", "valid number"),
        (of(STREAM.replace("voltage_gain_v = 6e-5", "")), "meter[0].source",
         "give voltage_gain_v and current_gain_a, or calibration_file"),
        (of(STREAM + 'calibration_file = "c.json"'), "meter[0].source",
         "calibration_file already says current_gain_a, voltage_gain_v"),
        (of(IIO.replace("iio:device0", "adc")), "meter[0].source.device", "pattern"),
        (of(IIO.replace("voltage_ratio = 1000", "")), "meter[0].source", "or voltage_ratio and"),
        (of(RECORDING.replace("U1", "U4")), "meter[0].source.channels.U4", "'U1', 'U2'"),
        (of(RECORDING.replace("= 1,", "= 1.5,")), "meter[0].source.channels.U1", " or: "),
        (METER + "annual_consumption_kwh = 1", "meter[0].source.annual_consumption_kwh", "500"),
        (METER + METER, "(file)", "two meters are called house"),
        ('[bridge]\nsource = "usb0"', "bridge.source", "tcp://host:port"),
        ('[bridge]\nsource = "serial:///dev/x?baudrate=fast"', "bridge.source", "baudrate"),
        ('[bridge]\nsource = "serial:///dev/x?baud=9600"', "bridge.source", "'baud' can't be set"),
        (of(STREAM.replace("tcp://10.0.0.7:4901", "serial:///dev/x?baud=9600")),
         "meter[0].source.url", "'baud' can't be set; only baudrate"),
        ('[bridge]\nsource = "serial:///dev/x?baudrate=0"', "bridge.source", "baudrate"),
        ('[bridge]\nsource = "tcp://a:70000"', "bridge.source", "Port out of range"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_key_and_reason(
    tmp_path: Path, text: str, key: str, reason: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(config.ConfigError) as refused:
        config.load(path)
    told = str(refused.value)
    assert told.startswith(f"{path}: {key}")
    assert reason in told


def module(kind: str, **chosen: object) -> str:
    values = "".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items())
    return f"[[meter.module]]\nkind = {kind!r}\n{values}"


BARN = METER.replace("house", "barn")
AT_2100 = module("p1", bearer="listen://127.0.0.1:2100")


@pytest.mark.parametrize(
    ("text", "both", "what"),
    [
        (METER + module("p1", bearer="serial:///dev/ttyX")
         + module("han", bearer="serial:///dev/ttyX?baudrate=9600"),
         ("meter house: module[0] (p1)", "meter house: module[1] (han)"), "/dev/ttyX"),
        (METER + module("p1", bearer="serial:///dev/ttyX")
         + BARN + module("mbus", bearer="serial:///dev/../dev/ttyX"),
         ("meter house: module[0] (p1)", "meter barn: module[0] (mbus)"), "ttyX"),
        (METER + module("p1", bearer="file:/tmp/x") + module("s0", file="/tmp/./x"),
         ("module[0] (p1)", "module[1] (s0)"), "/tmp/./x"),
        (METER + module("p1", bearer="stdout:") + module("wmbus", bearer="stdout:"),
         ("module[0] (p1)", "module[1] (wmbus)"), "standard output"),
        (METER + module("p1", bearer="stdout:") + module("han", bearer="file:/dev/stdout"),
         ("module[0] (p1)", "module[1] (han)"), "/dev/stdout"),
        (METER + module("p1", bearer="listen://[::1]:2100")
         + module("han", bearer="listen://localhost:2100"),
         ("module[0] (p1)", "module[1] (han)"), "TCP port 2100"),
        (METER + module("p1", bearer="listen://[::1]:2100")
         + module("han", bearer="listen://[0:0:0:0:0:0:0:1]:2100"),
         ("module[0] (p1)", "module[1] (han)"), "TCP port 2100"),
        (METER + AT_2100 + module("han", bearer="listen://0.0.0.0:2100"),
         ("module[0] (p1)", "module[1] (han)"), "TCP port 2100"),
        (METER + AT_2100 + module("han", bearer="listen://localhost:2100"),
         ("module[0] (p1)", "module[1] (han)"), "TCP port 2100"),
        (METER + module("p1") + BARN + module("p1"),
         ("meter house: module[0] (p1)", "meter barn: module[0] (p1)"), "TCP port 2100"),
        (METER + AT_2100 + "[display]\nport = 2100", ("module[0] (p1)", "display"), "port 2100"),
        (METER + AT_2100 + "[ami]\ntcp = '127.0.0.1:2100'", ("module[0] (p1)", "ami: tcp"),
         "port 2100"),
        (METER + module("p1", bearer="serial:///dev/ttyX") + "[ami]\nmodem = 'serial:///dev/ttyX'",
         ("module[0] (p1)", "ami: modem"), "/dev/ttyX"),
        (of(STREAM.replace("tcp://10.0.0.7:4901", "serial:///dev/ttyX?baudrate=921600"))
         + module("p1", bearer="serial:///dev/ttyX"),
         ("meter house: source", "module[0] (p1)"), "/dev/ttyX"),
        (METER + module("s0", offset=4) + module("s0", offset=4, energy="export_active_energy"),
         ("module[0] (s0)", "module[1] (s0)"), "offset 4 of /dev/gpiochip0"),
        (METER.replace("[meter.source]", "relays = 1\n[meter.source]")
         + "[meter.lines]\nrelays = [{ offset = 4 }]\n" + module("s0", offset=4),
         ("meter house: lines", "module[0] (s0)"), "offset 4 of /dev/gpiochip0"),
        (METER + 2 * module("p1", bearer="dial://host:1"), ("module[0]", "module[1]"), "the same"),
    ],
)  # fmt: skip
def test_what_only_one_port_can_have_is_not_given_to_two(
    tmp_path: Path, text: str, both: tuple[str, str], what: str
) -> None:
    with pytest.raises(config.ConfigError) as refused:
        config.load(written(tmp_path, text))
    told = str(refused.value)
    assert all(who in told for who in both)
    assert what in told


def test_a_tcp_port_of_one_address_and_of_another_are_two(tmp_path: Path) -> None:
    other = module("han", bearer="listen://[::1]:2100")
    (meter,) = config.load(written(tmp_path, METER + AT_2100 + other)).meter
    assert len(meter.module) == 2


def test_a_device_is_one_whichever_of_its_names_is_used(tmp_path: Path) -> None:
    (tmp_path / "by-id").symlink_to(tmp_path / "ttyX")
    text = METER
    for kind, name in (("p1", "ttyX"), ("han", "by-id")):
        text += module(kind, bearer=f"serial://{tmp_path / name}")
    with pytest.raises(config.ConfigError, match=r"module\[0\] \(p1\) and .* both have"):
        config.load(written(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        METER + AT_2100 + module("han", bearer="listen://127.0.0.2:2100"),
        METER + module("p1", bearer="dial://host:1") + BARN + module("p1", bearer="dial://host:1"),
        METER + module("s0", offset=4) + module("s0", offset=4, chip="/dev/gpiochip1"),
    ],
)
def test_what_two_ports_can_have_side_by_side_is_given(tmp_path: Path, text: str) -> None:
    config.load(written(tmp_path, text))


def numbered(meter: str, number: str, bus: str) -> str:
    return meter.replace("[meter.source]", f"meter_number = {number!r}\n[meter.source]") + bus


WIRE = module("mbus", bearer="serial:///dev/ttyX")
RADIO = module("wmbus")


@pytest.mark.parametrize(
    ("first", "second"), [("A1", "B1"), ("1012345678", "2012345678"), ("1", "01")]
)
def test_two_meters_that_readers_of_m_bus_cannot_tell_apart_are_refused(
    tmp_path: Path, first: str, second: str
) -> None:
    text = numbered(METER, first, WIRE) + numbered(BARN, second, RADIO)
    with pytest.raises(config.ConfigError, match="give one of them another identification") as told:
        config.load(written(tmp_path, text))
    assert "meter house: module[0] (mbus)" in str(told.value)
    assert "meter barn: module[0] (wmbus)" in str(told.value)
    other = module("wmbus", identification="00000002")
    config.load(written(tmp_path, numbered(METER, first, WIRE) + numbered(BARN, second, other)))


def test_one_meter_has_the_same_name_on_all_its_buses(tmp_path: Path) -> None:
    config.load(written(tmp_path, numbered(METER, "A1", WIRE + RADIO)))


def test_meters_whose_numbers_have_no_digits_are_told_apart(tmp_path: Path) -> None:
    text = numbered(METER, "ABC", WIRE) + numbered(BARN, "XYZ", RADIO)
    config.load(written(tmp_path, text))


def at_intervals(*intervals_s: int) -> str:
    return METER + "".join(
        module("wmbus", interval_s=interval_s, bearer=f"dial://radio:{number}")
        for number, interval_s in enumerate(intervals_s, start=1)
    )


@pytest.mark.parametrize(
    ("intervals_s", "a_minute"),
    # 60 s over each interval: half of the 32 numbers a minute that the clock gives may be sent.
    [((8, 8, 8), "22.5"), ((8, 9, 30), "16.17"), ((10, 10, 12), "17")],
)
def test_radio_modules_of_a_meter_that_send_more_than_its_key_has_numbers_for_are_refused(
    tmp_path: Path, intervals_s: tuple[int, ...], a_minute: str
) -> None:
    path = written(tmp_path, at_intervals(*intervals_s))
    with pytest.raises(config.ConfigError) as refused:
        config.load(path)
    told = str(refused.value)
    assert "module[0], module[1], module[2]" in told
    assert f"{a_minute} telegrams a minute under the meter's wireless key" in told
    assert "for 16: leave some of them out, or raise interval_s" in told


def test_radio_modules_of_a_meter_may_send_all_that_its_key_has_numbers_for(tmp_path: Path) -> None:
    # 60 / 8 + 60 / 8 + 60 / 60 = 16
    config.load(written(tmp_path, at_intervals(8, 8, 60)))


def test_radio_modules_of_two_meters_have_a_key_each(tmp_path: Path) -> None:
    pair = [numbered(at_intervals(8, 8), "1", ""), numbered(at_intervals(8, 8), "2", "")]
    config.load(written(tmp_path, pair[0] + pair[1].replace("house", "barn")))


def test_ciphered_lists_of_a_meter_are_no_more_than_their_keys_have_numbers_for(
    tmp_path: Path,
) -> None:
    # Six a minute each; the clock gives two numbers a second, half of which are 60: 10 modules'.
    lists = [module("han", ciphered=True, bearer=f"dial://list:{port}") for port in range(1, 12)]
    config.load(written(tmp_path, METER + "".join(lists[:10])))
    with pytest.raises(config.ConfigError, match=r"66 telegrams a minute .* are numbers for 60"):
        config.load(written(tmp_path, METER + "".join(lists)))
    plain = [one.replace("true", "false") for one in lists]
    config.load(written(tmp_path, METER + "".join(plain)))


def test_a_file_without_a_meter_is_none_to_run_by(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    assert config.load(path).meter == ()
    with pytest.raises(config.ConfigError, match=r"there is no \[\[meter\]\] to run"):
        config.load_to_run(path, tmp_path)


OWN_FILES = (
    config.FILE_NAME,
    keys.FILE_NAME,
    "keys.new",
    store.DATABASE,
    f"{store.DATABASE}-wal",
    kept_frames.FILE_NAME,
    f"{kept_frames.FILE_NAME}.damaged",
    backup.INSTANCE,
    "restore.sqlite",
    "lock",
    "link",
)


@pytest.mark.parametrize("name", OWN_FILES)
@pytest.mark.parametrize("kind", ["p1", "s0"])
def test_a_modules_file_is_none_of_the_nodes_own(tmp_path: Path, name: str, kind: str) -> None:
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data_dir.mkdir()
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(data_dir / "keys.json")
    file = (elsewhere if name == "link" else data_dir) / name
    chosen = {"file": str(file)} if kind == "s0" else {"bearer": f"file:{file}"}
    path = written(elsewhere, METER + module(kind, **chosen))
    said = rf"module\[0\] \({kind}\) has {file}, which is a name of the node's own files"
    with pytest.raises(config.ConfigError, match=said):
        config.load_to_run(path, data_dir)


@pytest.mark.parametrize("name", ["here.toml", "password", "gains.json", "yesterday.dat"])
def test_a_modules_file_is_none_that_the_node_reads(tmp_path: Path, name: str) -> None:
    (tmp_path / "password").write_text("secret")
    path = tmp_path / "here.toml"
    path.write_text(
        '[mqtt]\nhost = "broker"\nusername = "me"\n'
        f'password_file = "{tmp_path}/password"\n'
        '[[meter]]\nname = "house"\nmodel = "382M"\n'
        f'[meter.source]\nkind = "recording"\nfile = "{tmp_path}/yesterday.dat"\n'
        f'calibration_file = "{tmp_path}/gains.json"\n'
        + module("p1", bearer=f"file:{tmp_path}/there/../{name}")
    )
    said = r"module\[0\] \(p1\) has .*, which the node reads"
    with pytest.raises(config.ConfigError, match=said):
        config.load_to_run(path, tmp_path / "data")


@pytest.mark.parametrize("name", ["pulses.csv", "pulses/keys.json"])
def test_a_modules_file_may_be_beside_the_nodes_own_ones_or_below(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, METER + module("s0", file=str(tmp_path / name)))
    assert config.load_to_run(path, tmp_path).meter


def test_each_kind_of_source_is_read(tmp_path: Path) -> None:
    kinds = (config.StreamSourceConfig, config.IioSourceConfig, config.RecordingSourceConfig)
    for text, kind in zip((STREAM, IIO, RECORDING), kinds, strict=True):
        source = config.load(written(tmp_path, of(text))).meter[0].source
        assert isinstance(source, kind)
    stream = config.load(written(tmp_path, of(STREAM))).meter[0].source
    assert isinstance(stream, config.StreamSourceConfig)
    assert (stream.voltage_gain_v, stream.current_gain_a) == ((6e-5,), (1e-5, -1e-5, 1e-5))


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, '[mqtt]\nport = 0\n[store]\ncommit_interval_s = "often"\n')
    with pytest.raises(config.ConfigError) as refused:
        config.load(path)
    keys = [line.split(": ")[1] for line in str(refused.value).splitlines()]
    assert keys == ["mqtt.host", "mqtt.port", "store.commit_interval_s"]


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="meter-node init writes one"):
        config.load(tmp_path / "meter_node.toml")


def test_a_password_is_read_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    settings = config.MqttConfig(host="a", username="u", password_file=str(secret))
    assert config.password(settings) == "correct horse"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('username = "u"\npassword_file = "{0}/none"', "mqtt.password_file: {0}/none"),
        ('username = "u"\npassword_file = "{0}/bytes"', "mqtt.password_file: {0}/bytes"),
        ('tls = true\nca_file = "{0}/none"', "mqtt.ca_file: {0}/none"),
        ('tls = true\nca_file = "{0}/bytes"', "mqtt.ca_file: {0}/bytes"),
        (
            'tls = true\nclient_certificate = "{0}/none"\nclient_key = "{0}/none"',
            "mqtt.client_certificate: {0}/none",
        ),
    ],
)
def test_a_file_that_is_named_and_no_use_is_told_before_anything_begins(
    tmp_path: Path, line: str, key: str
) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    path = written(tmp_path, '[mqtt]\nhost = "a"\n' + line.format(tmp_path))
    with pytest.raises(config.ConfigError) as refused:
        config.load(path)
    assert str(refused.value).startswith(f"{path}: {key.format(tmp_path)}")


def test_a_file_nested_without_end_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="not TOML"):
        config.load(written(tmp_path, "a = " + "[" * 100_000))


def test_a_password_is_not_shown_by_repr() -> None:
    assert "sesame" not in repr(config.MqttConfig(host="a", username="u", password="sesame"))


def test_without_a_section_no_utility_can_reach_the_node(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, METER)).ami is None


def test_the_utilitys_port_is_configured_as_it_takes_it(tmp_path: Path) -> None:
    loaded = config.load(
        written(
            tmp_path,
            """[ami]
tcp = "[::1]:4059"
hdlc_tcp = "127.0.0.1:4060"
serial = "serial:///dev/ttyUSB0?baudrate=2400"
modem = "serial:///dev/ttyUSB1"
modem_commands = ["AT+CBST=71,0,1"]
physical_address = 17
""",
        )
    )
    assert loaded.ami is not None
    assert loaded.ami.settings() == AmiSettings(
        tcp=Endpoint("::1", 4059),
        hdlc_tcp=Endpoint("127.0.0.1", 4060),
        serial=SerialLine("/dev/ttyUSB0", 2400),
        modem=SerialLine("/dev/ttyUSB1", 9600),
        modem_commands=("AT+CBST=71,0,1",),
        physical_address=17,
        inactivity_s=120,
        most_connections=32,
    )
