"""What the set-up objects tell of a node: all its meters behind one address, and its broker."""

from __future__ import annotations

from pathlib import Path

from meter_node import config, keys, node

TWO_METERS = """
[mqtt]
host = "192.0.2.9"
port = 8883
username = "node"
password = "secret"
[ami]
tcp = "127.0.0.1:4059"
[[meter]]
name = "main"
model = "382M"
[meter.source]
kind = "simulated"
[[meter]]
name = "flat"
model = "162M"
[meter.source]
kind = "simulated"
"""


def test_each_meter_knows_all_logical_devices_and_the_brokers_address(tmp_path: Path) -> None:
    path = tmp_path / config.FILE_NAME
    path.write_text(TWO_METERS)
    # the key file has them in another order
    made = keys.load_or_make(tmp_path, ["flat", "main"])

    links = node._links(config.load(path), made)

    main, flat = (made.meters[name].system_title for name in ("main", "flat"))
    assert links.logical_devices == ((1, main), (2, flat))
    assert links.push_destination == "192.0.2.9:8883"
    assert links.tcp_port == 4059
    assert node._links(config.load(path), made, 2).server_sap == 2
