"""HDLC links at the server: connecting, numbering, segments, windows, addresses, silence, noise."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.hdlc import Frame, encode
from meter_node.cosem.hdlc_control import (
    Control,
    Kind,
    LinkParameters,
    control,
    link_parameters,
    server_address,
)
from meter_node.cosem.hdlc_session import MOST_LINKS, HdlcServer, HdlcSettings
from tests.meter_node.cosem.hdlc_client import NANO, Client, Echo, feed, frames, group

# "Examples for DLMS/COSEM information exchange" by Gyozo Kmethy (DLMS UA): client 16, logical
# device 1, physical device 17, no parameters proposed.
SNRM = bytes.fromhex("7EA00A00020023219318717E")
UA = bytes.fromhex(
    "7EA023210002002373F6C58180140502008006020080070400000001080400000001CE6A7E"
)  # fmt: skip
AARQ_FRAME = bytes.fromhex(
    "7EA02E0002002321107ECBE6E600601DA109060760857405080101BE10040E01000000"
    "065F1F040000301DFFFFD4C57E"
)
AARQ = bytes.fromhex("601DA109060760857405080101BE10040E01000000065F1F040000301DFFFF")
# IEC 62056-53: the answer to it, accepted, 0x1F4 bytes, conformance 0x00301D.
AARE = bytes.fromhex(
    "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000301D01F40007"
)


def server(
    connection: Echo | None = None, settings: HdlcSettings | None = None
) -> tuple[HdlcServer, Echo]:
    connection = connection or Echo()
    return HdlcServer(lambda: connection, settings), connection


def connected(
    connection: Echo | None = None, *, information: int = 128, window: int = 1
) -> tuple[Client, Echo]:
    ours, connection = server(connection)
    client = Client(ours, information=information, window=window)
    client.connect()
    return client, connection


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("byte", "meaning"),
    [
        (0x93, Control(Kind.SNRM)),
        (0x73, Control(Kind.UA)),
        (0x53, Control(Kind.DISC)),
        (0x1F, Control(Kind.DM)),
        (0x97, Control(Kind.FRMR)),
        (0x13, Control(Kind.UI)),
        (0x03, Control(Kind.UI, poll=False)),
        (0x10, Control(Kind.I)),
        (0x30, Control(Kind.I, receive=1)),
        (0x32, Control(Kind.I, send=1, receive=1)),
        (0x11, Control(Kind.RR)),
        (0xF5, Control(Kind.RNR, receive=7)),
    ],
)
def test_a_control_byte_is_read_and_written_as_the_standard_has_it(
    byte: int, meaning: Control
) -> None:
    assert control(byte) == meaning
    assert meaning.encode() == byte


@pytest.mark.parametrize("byte", [0x19, 0x1D, 0x0B, 0x2F, 0xFF])
def test_a_control_byte_that_the_standard_does_not_have_means_nothing(byte: int) -> None:
    assert control(byte) is None  # 0x19 is REJ, 0x1D is SREJ


def test_every_control_byte_with_a_meaning_comes_back() -> None:
    for byte in range(256):
        meaning = control(byte)
        assert meaning is None or meaning.encode() == byte


@pytest.mark.parametrize(
    ("wire", "upper", "lower"),
    [
        ("03", 1, None),
        ("21", 16, None),
        ("0223", 1, 17),
        ("00020023", 1, 17),
        ("0002FEFF", 1, 0x3FFF),
        ("02FF", 1, 0x7F),
    ],
)
def test_a_server_address_names_the_logical_and_the_physical_device(
    wire: str, upper: int, lower: int | None
) -> None:
    address = server_address(bytes.fromhex(wire))
    assert (address.upper, address.lower) == (upper, lower)
    assert address.encode() == bytes.fromhex(wire)


def test_short_forms_of_the_parameters_are_read() -> None:
    # The Green Book's own example: one byte of length 128, windows of four bytes.
    info = bytes.fromhex("818012050180060180070400000001080400000001")
    assert link_parameters(info) == LinkParameters(128, 128, 1, 1)


@pytest.mark.parametrize(
    "info", ["", "81", "8180", "818014", "8180020502", "818003050100", "FFFFFF", "81800305FF01"]
)
def test_parameters_that_make_no_sense_have_their_defaults(info: str) -> None:
    assert link_parameters(bytes.fromhex(info)) == LinkParameters(128, 128, 1, 1)


@given(st.binary(max_size=60))
def test_whatever_a_proposal_says_the_parameters_are_possible_ones(info: bytes) -> None:
    found = link_parameters(b"\x81\x80" + info)
    assert 1 <= found.information_sent <= 2030
    assert 1 <= found.information_received <= 2030
    assert 1 <= found.window_sent <= 7
    assert 1 <= found.window_received <= 7


# --- connecting ----------------------------------------------------------------------------------


def test_the_published_snrm_is_answered_by_the_published_ua() -> None:
    ours, _ = server()
    assert b"".join(ours.feed(SNRM, NANO)) == UA


def test_the_published_aarq_reaches_the_connection_and_its_answer_the_client() -> None:
    ours, connection = server(Echo(lambda _: AARE))
    list(ours.feed(SNRM, NANO))
    (answer,) = feed(ours, AARQ_FRAME, 7)
    assert connection.asked == [(16, 1, AARQ, 7)]
    # Destination and source change places; N(R) 1, final, N(S) 0.
    assert answer == Frame(b"\x21", bytes.fromhex("00020023"), 0x30, b"\xe6\xe7\x00" + AARE)


def test_of_each_parameter_the_smaller_is_agreed_on_as_the_server_sees_it() -> None:
    ours, _ = server(settings=HdlcSettings(offered=LinkParameters(512, 128, 3, 2)))
    ua = Client(ours).ask(0x93, group(200, 300, 7, 2))[0]
    # It sends no more than the client takes (300 of 512, 2 of 3) and the other way (128, 2).
    assert ua.information == group(300, 128, 2, 2)


def test_a_client_that_proposes_more_than_can_be_gets_what_can_be() -> None:
    ours, _ = server()
    ua = Client(ours).ask(0x93, group(0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))[0]
    assert ua.information == group(2030, 2030, 7, 7)


def test_disconnecting_is_acknowledged_and_told_to_the_connection() -> None:
    client, connection = connected()
    assert [frame.control for frame in client.ask(0x53)] == [0x73]
    assert connection.closed_times == 1
    assert client.server.links == 0


@pytest.mark.parametrize("asked", [0x53, 0x11, 0x10, 0x15, 0x19])
def test_whoever_is_not_connected_is_told_so(asked: int) -> None:
    ours, connection = server()
    assert [frame.control for frame in Client(ours).ask(asked)] == [0x1F]
    assert connection.asked == []


def test_connecting_again_begins_anew() -> None:
    client, connection = connected()
    client.request(b"one")
    client.connect()
    assert connection.closed_times == 1
    assert client.request(b"two") == b"two"


def test_each_client_has_a_link_and_a_connection_of_its_own() -> None:
    made: list[Echo] = []

    def connect() -> Echo:
        made.append(Echo())
        return made[-1]

    ours = HdlcServer(connect)
    one, two = Client(ours, 16), Client(ours, 1)
    one.connect()
    two.connect()
    assert (one.request(b"a"), two.request(b"b"), one.request(b"c")) == (b"a", b"b", b"c")
    two.ask(0x53)
    assert [echo.closed_times for echo in made] == [0, 1]
    assert [[asked[:3] for asked in echo.asked] for echo in made] == [
        [(16, 1, b"a"), (16, 1, b"c")],
        [(1, 1, b"b")],
    ]


def test_one_client_more_than_there_is_room_for_is_refused() -> None:
    ours, _ = server()
    for sap in range(1, 1 + MOST_LINKS):
        Client(ours, sap).connect()
    assert [frame.control for frame in Client(ours, 100).ask(0x93)] == [0x1F]
    assert Client(ours, 1).ask(0x93)[0].control == 0x73  # who has a link may begin anew


def test_the_end_of_the_line_closes_all() -> None:
    client, connection = connected()
    client.server.close()
    client.server.close()
    assert connection.closed_times == 1


# --- APDUs ---------------------------------------------------------------------------------------


@given(
    st.binary(min_size=1, max_size=5000),
    st.integers(1, 2030),
    st.integers(1, 7),
)
def test_any_apdu_comes_back_through_any_frame_size_and_window(
    apdu: bytes, information: int, window: int
) -> None:
    if len(apdu) > 100 * information:
        information = len(apdu) // 100  # some hundred frames tell as much as thousands
    client, connection = connected(information=information, window=window)
    assert client.request(apdu) == apdu
    assert [asked[2] for asked in connection.asked] == [apdu]
    assert client.request(apdu[::-1]) == apdu[::-1]


def test_a_window_saves_polls() -> None:
    # 3 of LLC and 997 of APDU are 10 frames of 100: 10 and 9 further polls, or 2 and 1 by sevens.
    polls = []
    for window in (1, 7):
        client, _ = connected(information=100, window=window)
        assert client.request(bytes(997)) == bytes(997)
        polls.append(client.polls)
    assert polls == [10 + 9, 2 + 1]


def test_an_apdu_without_an_answer_is_acknowledged() -> None:
    client, _ = connected(Echo(lambda _: None))
    assert client.request(b"unconfirmed") is None


def test_an_answer_waits_for_the_poll() -> None:
    client, _ = connected()
    assert feed(client.server, client.i(b"\xe6\xe6\x00ask", poll=False)) == []
    assert client.collect(client.ask(0x11)) == b"ask"


@pytest.mark.parametrize("information", [b"", b"\xe6\xe6", b"\xe6\xe6\x00", b"\xe6\xe7\x00x", b"x"])
def test_what_has_no_llc_header_is_acknowledged_and_goes_no_further(information: bytes) -> None:
    client, connection = connected()
    assert [frame.control for frame in feed(client.server, client.i(information))] == [0x31]
    assert connection.asked == []


def test_an_apdu_longer_than_is_taken_is_rejected() -> None:
    ours, connection = server(settings=HdlcSettings(longest_apdu=256))
    client = Client(ours)
    client.connect()
    # 3 of LLC and 256: the third frame of 128 goes beyond 259.
    for _ in range(2):
        (answer,) = feed(ours, client.i(bytes(128), segmented=True))
        assert answer.control & 0x1F == 0x11
    (answer,) = feed(ours, client.i(bytes(128)))
    assert answer.control == 0x97
    assert connection.asked == []


# --- what goes wrong on the line -----------------------------------------------------------------


def test_a_lost_request_is_taken_when_it_is_sent_again() -> None:
    client, connection = connected()
    lost = client.i(b"\xe6\xe6\x00ask")
    assert client.collect(feed(client.server, lost)) == b"ask"
    assert len(connection.asked) == 1


def test_a_lost_answer_is_sent_again_and_the_request_not_done_twice() -> None:
    client, connection = connected()
    request = client.i(b"\xe6\xe6\x00switch")
    first = feed(client.server, request)
    assert feed(client.server, request) == first
    assert client.collect(client.ask(0x11)) == b"switch"  # by the other way to ask for it
    assert len(connection.asked) == 1


def test_the_frame_lost_from_a_window_is_sent_again_with_those_behind_it() -> None:
    client, _ = connected(Echo(lambda _: bytes(range(200))), information=50, window=3)
    first = feed(client.server, client.i(b"\xe6\xe6\x00ask"))
    assert [frame.control >> 1 & 7 for frame in first] == [0, 1, 2]
    again = client.ask(0x11 | 1 << 5)  # it has the first only
    assert [frame.control >> 1 & 7 for frame in again] == [1, 2, 3]
    assert [frame.information for frame in again[:2]] == [frame.information for frame in first[1:]]


def test_a_request_that_skips_a_number_is_not_taken() -> None:
    client, connection = connected()
    client.sent = 1
    (answer,) = feed(client.server, client.i(b"\xe6\xe6\x00ask"))
    assert answer.control == 0x11  # number 0 is awaited
    assert connection.asked == []


def test_a_segment_lost_from_a_window_is_asked_for() -> None:
    client, connection = connected(information=10, window=7)
    parts = [b"\xe6\xe6\x00" + bytes(7), b"1" * 10, b"2" * 10]
    line = [client.i(part, poll=n == 2, segmented=n < 2) for n, part in enumerate(parts)]
    (answer,) = feed(client.server, line[0] + line[2])
    assert answer.control == 0x11 | 1 << 5
    feed(client.server, line[1] + line[2])
    assert [asked[2] for asked in connection.asked] == [bytes(7) + b"1" * 10 + b"2" * 10]


def test_a_client_that_is_not_ready_is_sent_nothing_until_it_is() -> None:
    client, _ = connected(Echo(lambda _: bytes(300)))
    feed(client.server, client.i(b"\xe6\xe6\x00ask"))
    assert [frame.control for frame in client.ask(0x15)] == [0x31]
    # It had taken the first segment all the same.
    (segment,) = client.ask(0x31)
    assert segment.control == 0x32


def test_a_request_before_the_last_answer_was_taken_waits() -> None:
    client, connection = connected()
    for number in range(20):
        feed(client.server, client.i(b"\xe6\xe6\x00" + bytes([number]), poll=False))
    assert len(connection.asked) == 1  # and no more answers pile up
    (answer,) = client.ask(0x11)
    assert answer.control == 0x30  # number 1 is awaited next


def test_a_number_that_was_never_sent_is_rejected_and_the_link_is_gone() -> None:
    client, connection = connected()
    (answer,) = client.ask(0xB1)  # RR 5
    # The control byte, V(R) 0 and V(S) 0, and Z.
    assert (answer.control, answer.information) == (0x97, b"\xb1\x00\x08")
    assert connection.closed_times == 1
    assert client.ask(0x11)[0].control == 0x97
    client.connect()
    assert connection.closed_times == 1
    assert client.request(b"again") == b"again"


@pytest.mark.parametrize(
    ("asked", "information", "why"),
    [
        pytest.param(0x19, b"", 0x01, id="REJ, which the standard does not have"),
        pytest.param(0xFF, b"", 0x01, id="undefined"),
        pytest.param(0x11, b"x", 0x03, id="RR with information"),
        pytest.param(0x10, bytes(129), 0x04, id="longer than agreed"),
        pytest.param(0x30, b"x", 0x08, id="acknowledges what was not sent"),
    ],
)
def test_what_a_link_can_not_take_is_rejected_with_the_reason(
    asked: int, information: bytes, why: int
) -> None:
    client, connection = connected()
    (answer,) = client.ask(asked, information)
    assert (answer.control, answer.information) == (0x97, bytes((asked, 0, why)))
    assert connection.asked == []


@pytest.mark.parametrize("response", [0x73, 0x1F, 0x97])
def test_the_echo_of_a_response_is_never_answered(response: int) -> None:
    client, connection = connected()
    assert client.ask(response) == []
    assert Client(client.server, 77).ask(response) == []
    assert connection.closed_times == 0


def test_without_a_poll_nothing_is_sent() -> None:
    client, _ = connected()
    for asked in (0x83, 0x01, 0x05, 0x43, 0x0B, 0x00):
        assert client.ask(asked) == []


def test_noise_between_frames_does_not_matter() -> None:
    client, _ = connected()
    line = b"\x00\xff" + client.i(b"\xe6\xe6\x00ask") + b"\x55\x7e\x7e"
    assert client.collect(feed(client.server, line)) == b"ask"


def test_half_a_header_before_a_frame_does_not_hold_it_up() -> None:
    client, _ = connected()
    assert client.collect(feed(client.server, b"\x7e\xa7" + client.i(b"\xe6\xe6\x00ask"))) == b"ask"


def test_a_frame_that_broke_off_long_ago_is_forgotten() -> None:
    client, _ = connected()
    whole = client.frame(0x11)
    feed(client.server, client.frame(0x10, bytes(100))[:50], NANO)
    assert len(feed(client.server, whole, 8 * NANO)) == 1


def test_several_frames_at_once_are_all_answered() -> None:
    ours, _ = server()
    line = Client(ours, 1).frame(0x93) + Client(ours, 2).frame(0x93) + Client(ours, 3).frame(0x53)
    assert [frame.control for frame in feed(ours, line)] == [0x73, 0x73, 0x1F]


def conversation() -> bytes:
    """All that a client says to connect, ask twice and go; what is answered is known before."""
    client = Client(HdlcServer(Echo))
    line = client.frame(0x93, group(64, 64, 3, 3))
    line += client.i(b"\xe6\xe6\x00" + bytes(61), poll=False, segmented=True)
    line += client.i(b"end of it")
    line += client.frame(0x11 | 1 << 5)
    client.received = 2
    line += client.i(b"\xe6\xe6\x00short")
    return line + client.frame(0x53)


LINE = conversation()


def test_the_whole_conversation_is_answered_as_the_numbers_say() -> None:
    ours, connection = server()
    answers = [frame.control for frame in feed(ours, LINE)]
    # UA; both segments I0, I1 F; the second again, as it was not acknowledged; I2 F; UA.
    assert answers == [0x73, 0x40, 0x52, 0x52, 0x74, 0x73]
    assert [asked[2] for asked in connection.asked] == [bytes(61) + b"end of it", b"short"]


@given(st.lists(st.integers(0, len(LINE)), max_size=20))
def test_it_does_not_matter_how_the_line_is_cut(cuts: list[int]) -> None:
    whole, _ = server()
    cut, _ = server()
    edges = [0, *sorted(cuts), len(LINE)]
    answers = [
        answer for begin, end in pairwise(edges) for answer in cut.feed(LINE[begin:end], NANO)
    ]
    assert answers == list(whole.feed(LINE, NANO))


@given(
    st.lists(
        st.tuples(st.integers(0, len(LINE) - 1), st.sampled_from("xid"), st.integers(0, 255)),
        max_size=6,
    )
)
def test_an_altered_line_is_survived_and_nothing_wrong_gets_through(
    changes: list[tuple[int, str, int]],
) -> None:
    line = bytearray(LINE)
    for wanted, what, byte in changes:
        place = min(wanted, len(line) - 1)
        if what == "x":
            line[place] ^= byte
        elif what == "i":
            line.insert(place, byte)
        else:
            del line[place]
    ours, connection = server()
    frames(b"".join(ours.feed(bytes(line), NANO)))
    assert {asked[2] for asked in connection.asked} <= {bytes(61) + b"end of it", b"short"}
    client = Client(ours)
    client.ask(0x11, now_ns=9 * NANO)
    client.connect(now_ns=10 * NANO)
    assert client.request(b"still there", now_ns=10 * NANO) == b"still there"


CONTROLS = st.one_of(st.integers(0, 255), st.sampled_from([0x93, 0x53, 0x10, 0x11, 0x15, 0x13]))
ANY_FRAMES = st.builds(
    Frame,
    st.sampled_from([b"\x03", b"\x02\x23", b"\x00\x02\x00\x23", b"\xff", b"\x01", b"\x02\xff"]),
    st.sampled_from([b"\x21", b"\x03", b"\x02\x23", b"\xff", b"\x01"]),
    CONTROLS,
    st.one_of(
        st.binary(max_size=140),
        st.binary(max_size=20).map(lambda apdu: b"\xe6\xe6\x00" + apdu),
        st.just(group(1, 1, 7, 7)),
    ),
    st.booleans(),
)


@given(st.lists(ANY_FRAMES, max_size=60))
def test_whatever_good_frames_come_the_server_lives_and_stays_small(given: list[Frame]) -> None:
    ours = HdlcServer(lambda: Echo(lambda apdu: apdu * 3), HdlcSettings(longest_apdu=1000))
    for frame in given:
        frames(b"".join(ours.feed(encode(frame), NANO)))
    assert ours.links <= MOST_LINKS
    ours.idle(NANO + 120 * NANO)
    assert ours.links == 0


def test_a_long_random_walk_of_frames_keeps_the_server_small() -> None:
    chance = random.Random(2026)
    ours = HdlcServer(_Answering, HdlcSettings(longest_apdu=1000))
    for _ in range(3000):
        client = Client(ours, chance.randrange(1, 12))
        information = chance.choice([b"", b"\xe6\xe6\x00ask", bytes(128), group(30, 30, 7, 7)])
        client.ask(chance.randrange(256), information, segmented=chance.random() < 0.5)
    # 8 links with 1 003 bytes in and 2 003 out, and what pickle writes besides.
    assert len(pickle.dumps(ours._links)) < 8 * (1003 + 2003) * 2


class _Answering:
    proven = False

    def receive(self, client_sap: int, server_sap: int, apdu: bytes, now_ns: int) -> bytes:
        return bytes(2000)

    def closed(self) -> None:
        pass


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["03", "0223", "00020023"])
def test_a_server_answers_from_the_address_it_was_called_by(address: str) -> None:
    ours, connection = server()
    client = Client(ours, address=bytes.fromhex(address))
    assert client.connect().source == bytes.fromhex(address)
    assert client.request(b"x") == b"x"
    assert connection.asked[0][:2] == (16, 1)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("01", id="no station"),
        pytest.param("0001", id="no station, no device"),
        pytest.param("0201", id="no device"),
        pytest.param("0225", id="another device"),
        pytest.param("00020025", id="another device, four bytes"),
        pytest.param("05", id="a logical device that is not here"),
        pytest.param("FF", id="all stations"),
        pytest.param("02FF", id="all devices"),
        pytest.param("FEFEFEFF", id="all stations of all devices"),
    ],
)
def test_a_call_that_is_not_for_this_server_alone_is_not_answered(address: str) -> None:
    settings = HdlcSettings(physical_address=17, server_saps=frozenset({1}))
    ours, _ = server(settings=settings)
    client = Client(ours, address=bytes.fromhex(address))
    assert client.ask(0x93) == []
    assert client.ask(0x53) == []
    assert (ours.links, ours.heard) == (0, 0)


@pytest.mark.parametrize("source", [b"\x01", b"\xff", b"\x02\x23"])
def test_who_is_no_client_is_not_answered(source: bytes) -> None:
    ours, _ = server()
    assert feed(ours, encode(Frame(b"\x03", source, 0x93, b""))) == []


@pytest.mark.parametrize(
    ("address", "sap"),
    [
        ("FF", 0x7F),
        ("FEFF", 0x7F),
        ("FE23", 0x7F),
        ("FEFEFEFF", 0x7F),
        ("02FF", 1),
        ("0002FEFF", 1),
    ],
)
def test_what_is_for_all_is_told_and_not_answered(address: str, sap: int) -> None:
    ours, connection = server(settings=HdlcSettings(physical_address=17))
    client = Client(ours, address=bytes.fromhex(address))
    for llc in (b"\xe6\xe6\x00", b"\xff\xe6\x00"):
        assert client.ask(0x03, llc + b"set the clock") == []
    assert [asked[:3] for asked in connection.asked] == [(16, sap, b"set the clock")] * 2


def test_what_is_for_all_and_asks_for_an_answer_is_not_heard() -> None:
    ours, connection = server()
    assert Client(ours, address=b"\xff").ask(0x13, b"\xe6\xe6\x00x") == []
    assert connection.asked == []


def test_unnumbered_information_needs_no_link() -> None:
    ours, connection = server()
    client = Client(ours)
    (answer,) = client.ask(0x13, b"\xe6\xe6\x00get")
    assert (answer.control, answer.information) == (0x13, b"\xe6\xe7\x00get")
    assert client.ask(0x03, b"\xe6\xe6\x00set") == []
    assert [asked[2] for asked in connection.asked] == [b"get", b"set"]


def test_unnumbered_information_of_a_link_belongs_to_its_connection() -> None:
    made: list[Echo] = []

    def connect() -> Echo:
        made.append(Echo())
        return made[-1]

    client = Client(HdlcServer(connect))
    client.connect()
    client.ask(0x03, b"\xe6\xe6\x00set")
    assert [asked[2] for asked in made[0].asked] == [b"set"]


def test_an_answer_too_long_for_one_frame_is_no_unnumbered_one() -> None:
    ours, _ = server(Echo(lambda _: bytes(2028)))
    assert Client(ours).ask(0x13, b"\xe6\xe6\x00get") == []


# --- silence -------------------------------------------------------------------------------------


def test_a_link_that_is_silent_for_the_whole_time_is_closed() -> None:
    client, connection = connected()
    client.server.idle(NANO + 120 * NANO - 1)
    assert client.server.links == 1
    client.server.idle(NANO + 120 * NANO)
    assert (client.server.links, connection.closed_times) == (0, 1)


def test_each_frame_begins_the_time_anew() -> None:
    client, _ = connected()
    client.ask(0x11, now_ns=100 * NANO)
    client.server.idle(130 * NANO)
    assert client.server.links == 1


def test_a_clock_that_is_set_back_does_not_keep_a_link_for_longer() -> None:
    client, _ = connected()
    client.ask(0x11, now_ns=3600 * NANO)
    client.server.idle(0)
    client.server.idle(120 * NANO)
    assert client.server.links == 0


def test_what_was_asked_without_a_link_ends_with_silence_too() -> None:
    ours, connection = server()
    Client(ours).ask(0x03, b"\xe6\xe6\x00set")
    ours.idle(NANO + 120 * NANO)
    assert connection.closed_times == 1
