"""The hello: what anyone may publish, and what is taken of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import hello
from meter_node.channel.hello import Hello, HelloError

HELLO = Hello(
    protocol="MeterNode_V1",
    system_title="4d544e0000001267",
    model="382M",
    software="0.1.0",
    push_interval=10,
    status_topic="meter_node/node/cellar/status",
)
FIELDS = {
    "protocol": "MeterNode_V1",
    "system_title": "4d544e0000001267",
    "model": "382M",
    "software": "0.1.0",
    "push_interval": 10,
    "status_topic": "meter_node/node/cellar/status",
}


def payload(**changes: Any) -> str:
    return json.dumps(FIELDS | changes)


def without(key: str) -> str:
    return json.dumps({name: value for name, value in FIELDS.items() if name != key})


# --- good ----------------------------------------------------------------------------------------


def test_a_hello_is_read() -> None:
    assert Hello.from_json(payload()) == HELLO


def test_a_hello_is_read_from_bytes() -> None:
    assert Hello.from_json(payload().encode()) == HELLO


def test_a_hello_comes_back() -> None:
    assert Hello.from_json(HELLO.to_json()) == HELLO


def test_a_fault_comes_back() -> None:
    ailing = replace(HELLO, fault="store")
    assert Hello.from_json(ailing.to_json()) == ailing


def test_a_plain_meter_comes_back() -> None:
    plain = replace(HELLO, ciphered=False, system_title="27581522")
    assert Hello.from_json(plain.to_json()) == plain


def test_a_hello_holds_what_the_design_lists_and_nothing_private() -> None:
    assert json.loads(HELLO.to_json()) == FIELDS | {"ciphered": True}


def test_a_newer_meters_unknown_key_is_passed_over() -> None:
    assert Hello.from_json(payload(colour="grey")) == HELLO


def test_a_meter_that_does_not_say_so_is_taken_for_ciphered() -> None:
    assert Hello.from_json(payload()).ciphered


@pytest.mark.parametrize("value", [None, 0, "", "false", 1])
def test_only_a_plain_false_makes_a_meter_plain(value: Any) -> None:
    assert Hello.from_json(payload(ciphered=value)).ciphered


@pytest.mark.parametrize("value", [None, 5, [], {"a": 1}, "\x1b[2J", "\ud800"])
def test_a_fault_that_is_no_text_to_show_is_none(value: Any) -> None:
    assert Hello.from_json(payload(fault=value)).fault is None


@pytest.mark.parametrize("seconds", [1, 3600])
def test_the_shortest_and_longest_intervals_are_taken(seconds: int) -> None:
    assert Hello.from_json(payload(push_interval=seconds)).push_interval == seconds


def test_a_hello_of_2048_bytes_is_read() -> None:
    padded = payload() + " " * (2048 - len(payload()))
    assert Hello.from_json(padded) == HELLO


# --- malformed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", FIELDS)
def test_a_hello_without_one_of_its_keys_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(HelloError, match=key):
        Hello.from_json(without(key))


@pytest.mark.parametrize("key", [key for key in FIELDS if key != "push_interval"])
@pytest.mark.parametrize("value", ["", None, 5, True, ["a"], {"a": 1}, "a\nb", "\x00", "\ud800"])
def test_a_text_that_is_none_is_refused_by_its_name(key: str, value: Any) -> None:
    with pytest.raises(HelloError, match=key):
        Hello.from_json(payload(**{key: value}))


@pytest.mark.parametrize("key", ["model", "software"])
@pytest.mark.parametrize(
    "text",
    [
        "382M",
        "OMNIPOWER",
        "Kamstrup meter",
        "meter-node bridge 0.1.0",
        "1.0+ab.2 (A/B), x",
        "x" * 40,
    ],
)
def test_a_text_for_people_is_taken_as_it_is(key: str, text: str) -> None:
    assert getattr(Hello.from_json(payload(**{key: text})), key) == text


@pytest.mark.parametrize("key", ["model", "software"])
@pytest.mark.parametrize(
    "text",
    [
        "x" * 41,
        "[382M](x)",
        "<b>382M",
        "![x]",
        "**382M**",
        "_382M_",
        "`382M`",
        "# 382M",
        "- 382M",
        " 382M",
        "https://x.example",
        "382M at WWW.x.example",
        "mail@x.example",
        "382M\n",
        "382M\u202e",
        "382M{name}",
        "382M&lt;",
        "382M\\",
        "3\u06632M",
    ],
)
def test_a_text_for_people_that_could_pass_for_more_is_refused(key: str, text: str) -> None:
    with pytest.raises(HelloError, match=key):
        Hello.from_json(payload(**{key: text}))


@pytest.mark.parametrize("value", [0, -1, 3601, 10.0, "10", None, True, [], 10**30])
def test_an_interval_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(HelloError, match="push_interval"):
        Hello.from_json(payload(push_interval=value))


@pytest.mark.parametrize(
    "title",
    ["4D544E", "a/b", "a+b", "#", "a b", "../x", "0" * 33, "ä", "²", "٣", "4d54\n", "$sys", "a-b"],
)
def test_a_title_that_could_not_stand_in_a_topic_is_refused(title: str) -> None:
    with pytest.raises(HelloError, match="system_title"):
        Hello.from_json(payload(system_title=title))


@pytest.mark.parametrize(
    "topic",
    [
        "meter_node/#",
        "+/status",
        "meter_node/node/+/status",
        "a/+/b",
        "/" * 300,  # a broker ends the connection over more than 200 levels
        "meter_node/node" + "/a" * 300 + "/status",
        f"meter_node/node/{'a' * 33}/status",
        "meter_node/node//status",
        "meter_node/node/cellar/status/",
        "$share/all/meter_node/node/cellar/status",
        "$SYS/broker/uptime",
        "homeassistant/status",
        "meter_node/4d544e0000001267/push",
    ],
)
def test_a_status_topic_that_no_node_has_is_refused(topic: str) -> None:
    with pytest.raises(HelloError, match="status_topic"):
        Hello.from_json(payload(status_topic=topic))


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", "{'a': 1}", "[" * 1000, '{"push_interval": ' + "9" * 1500 + "}x"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(HelloError, match="not JSON"):
        Hello.from_json(text)


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\x80{}", b"\xdb\x08KAM"])
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(HelloError, match="not JSON"):
        Hello.from_json(raw)


@pytest.mark.parametrize("text", ["[]", "5", '"hello"', "null", "true", "NaN"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(HelloError, match="not a JSON object"):
        Hello.from_json(text)


def test_a_hello_of_2049_bytes_is_refused_unread() -> None:
    padded = payload() + " " * (2049 - len(payload()))
    with pytest.raises(HelloError, match="longer than 2048"):
        Hello.from_json(padded)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*FIELDS, "ciphered", "fault"), JSON)))
def test_whatever_anyone_publishes_is_a_hello_or_a_hello_error(changes: dict[str, Any]) -> None:
    try:
        taken = Hello.from_json(json.dumps(FIELDS | changes))
    except HelloError:
        return
    assert Hello.from_json(taken.to_json()) == taken


@given(st.binary(max_size=100))
def test_any_bytes_are_a_hello_or_a_hello_error(data: bytes) -> None:
    with pytest.raises(HelloError):
        Hello.from_json(data)


# --- topics --------------------------------------------------------------------------------------


def test_topics_are_those_of_the_design() -> None:
    title = hello.topic_title(bytes.fromhex("4D544E0000001267"))
    assert (hello.hello_topic(title), hello.push_topic(title)) == (
        "meter_node/4d544e0000001267/hello",
        "meter_node/4d544e0000001267/push",
    )


@pytest.mark.parametrize("node", ["n", "cellar", "0f3a9c21", "z" * 32])
def test_each_node_may_name_its_own_status_topic(node: str) -> None:
    said = replace(HELLO, status_topic=hello.node_status_topic(node))
    assert Hello.from_json(said.to_json()) == said


def test_a_nodes_status_topic_is_no_hello() -> None:
    # MQTT: "+" stands for one level.
    status, listened_to = hello.node_status_topic("cellar"), hello.DISCOVERY_FILTER
    assert (status.count("/"), listened_to) == (3, "meter_node/+/hello")
