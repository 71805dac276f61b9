"""The configuration: every fault with file, key and reason, before anything starts."""

from pathlib import Path

import pytest

from meter_node import config
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
        ("colour = 1", "colour", "Extra inputs"),
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
        ('[ami]\nmodem = "serial:///dev/ttyS0?baudrate=fast"', "ami.modem", "baudrate=9600"),
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
        (METER + "url = 1", "meter[0].source.url", "Extra inputs"),
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
