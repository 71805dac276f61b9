"""Ciphered associations: what is not proved changes nothing, no number twice, no downgrade."""

from __future__ import annotations

import pytest

from meter_node.channel import axdr, objects
from meter_node.channel.event_codes import Log
from meter_node.channel.security import Keys
from meter_node.cosem.access import Client
from meter_node.cosem.credentials import MOST_KEPT, Credential
from tests.meter_node.cosem.site import (
    CONSUMER,
    HOME_TITLE,
    MANAGEMENT,
    MASTER,
    NANO,
    START_S,
    TITLE,
    UTILITY_TITLE,
    Peer,
    Refused,
    Site,
    Store,
    aarq,
    action,
    consumer,
    fields,
    gcm_open,
    gcm_seal,
    get,
    public,
    tlv,
    utility,
)

REGISTER = get(3, "1.0.1.8.0.255", 2)
OPEN_BREAKER = action(70, "0.0.96.3.10.255", 1, axdr.integer(0))
DECIPHERING = b"\xd8\x01\x05"


def replayed(expected: int) -> bytes:
    """invocation-counter-error, with the lowest number that is taken."""
    return b"\xd8\x01\x06" + expected.to_bytes(4)


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_repeated_request_is_refused_counted_and_done_once(site: Site) -> None:
    peer = utility(site)
    request = peer.seal(OPEN_BREAKER)
    assert peer.open(peer.send(request) or b"")[3] == 0
    commits = site.store.commits
    assert peer.send(request) == replayed(peer.counter + 1)
    assert site.counted == [("replay", "test, client 1")]
    assert site.store.commits == commits


def test_an_older_number_is_refused_whatever_it_asks(site: Site) -> None:
    peer = utility(site)
    held = peer.seal(OPEN_BREAKER)
    peer.get(3, "1.0.1.8.0.255", 2)
    assert peer.send(held) == replayed(peer.counter + 1)
    assert site.device.committed.breaker is not None
    assert site.device.committed.breaker.closed_wanted


def test_a_flipped_bit_is_refused_and_uses_up_no_number(site: Site) -> None:
    peer = utility(site)
    request = peer.seal(REGISTER)
    for place in range(2, len(request)):
        forged = bytearray(request)
        forged[place] ^= 0x01
        answer = peer.send(bytes(forged))
        assert answer is not None
        assert answer[0] == 0xD8, place
    assert {name for name, _ in site.counted} == {"decryption_failed"}
    assert peer.open(peer.send(request) or b"")[:4] == bytes.fromhex("c401c100")


@pytest.mark.parametrize("control", [0x00, 0x10, 0x20, 0x31, 0x70, 0xB0])
def test_a_lower_level_of_protection_is_not_taken(site: Site, control: int) -> None:
    peer = utility(site)
    peer.counter += 1
    content = bytes((control,)) + peer.counter.to_bytes(4) + REGISTER + bytes(12)
    assert peer.send(tlv(0xC8, content)) == DECIPHERING


def test_a_plain_request_within_a_ciphered_association_is_not_taken(site: Site) -> None:
    peer = utility(site)
    assert peer.send(REGISTER) == b"\xd8\x01\x03"
    assert peer.send(OPEN_BREAKER) == b"\xd8\x01\x03"


def test_a_service_that_its_envelope_does_not_name_is_not_taken(site: Site) -> None:
    peer = utility(site)
    sealed = peer.seal(OPEN_BREAKER)
    assert peer.send(b"\xc8" + sealed[1:]) == b"\xd8\x01\x03"
    assert site.device.committed.breaker is not None
    assert site.device.committed.breaker.closed_wanted


def test_after_a_restart_nothing_that_changed_the_meter_is_taken_again() -> None:
    store = Store()
    first = utility(Site(store=store))
    opening = Peer(first.connection, first.site, 1, UTILITY_TITLE, MANAGEMENT, first.counter)
    recorded = opening.opening()
    first.send(recorded)
    again = Site(store=store)
    answer = again.connect().receive(1, 1, recorded, again.now_ns)
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x01"
    assert again.counted == [("replay", "test, client 1")]


def test_over_restarts_and_connections_no_own_number_comes_twice() -> None:
    store, seen = Store(), []
    counter = 0
    for _ in range(3):
        site = Site(store=store)
        for _ in range(2):
            peer = utility(site, counter=counter, seen=seen)
            for _ in range(5):
                peer.get(3, "1.0.1.8.0.255", 2)
            counter = peer.counter
    assert len(seen) == len(set(seen)) == 3 * 2 * (5 + 3)


def test_the_general_form_is_answered_in_the_general_form(site: Site) -> None:
    peer = utility(site, form=0xDB)
    answer = peer.send(peer.seal(REGISTER))
    assert answer is not None
    assert answer[0] == 0xDB
    assert peer.open(answer)[:4] == bytes.fromhex("c401c100")


def test_another_title_within_an_association_is_not_taken(site: Site) -> None:
    peer = utility(site, form=0xDB)
    other = Peer(peer.connection, site, 1, b"OTHER000", MANAGEMENT, 100, form=0xDB)
    assert other.send(other.seal(REGISTER)) == DECIPHERING


def test_a_consumers_keys_open_nothing_of_the_utility(site: Site) -> None:
    stranger = Peer(site.connect(), site, 1, HOME_TITLE, CONSUMER)
    answer = stranger.send(stranger.opening())
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x01"
    assert site.counted == [("decryption_failed", "test, client 1")]


def test_a_wrong_proof_ends_the_association_and_is_counted(site: Site) -> None:
    peer = Peer(site.connect(), site, 1, UTILITY_TITLE, MANAGEMENT)
    peer.send(peer.opening())
    wrong = axdr.octet_string(b"\x10" + bytes(4) + bytes(12))
    answer = peer.open(peer.send(peer.seal(action(15, "0.0.40.0.0.255", 1, wrong))) or b"")
    assert answer[3] != 0
    assert site.counted == [("authentication_failed", "test, client 1")]
    assert peer.send(peer.seal(REGISTER)) == b"\xd8\x01\x03"


def test_a_recorded_proof_does_not_fit_the_next_challenge(site: Site) -> None:
    peer = Peer(site.connect(), site, 1, UTILITY_TITLE, MANAGEMENT)
    aare = fields(fields(peer.send(peer.opening()) or b"")[0x61])
    (challenge,) = fields(aare[0xAA]).values()
    peer.counter += 1
    number = peer.counter.to_bytes(4)
    associated = b"\x10" + MANAGEMENT.authentication + challenge
    tag = gcm_seal(MANAGEMENT.encryption, UTILITY_TITLE + number, associated, b"")
    recorded = axdr.octet_string(b"\x10" + number + tag)
    assert peer.act(15, "0.0.40.0.0.255", 1, recorded)[0] == 0
    later = Peer(site.connect(), site, 1, UTILITY_TITLE, MANAGEMENT, peer.counter)
    later.send(later.opening())
    assert later.act(15, "0.0.40.0.0.255", 1, recorded)[0] != 0


def test_whoever_calls_himself_by_the_meters_name_is_refused(site: Site) -> None:
    mirror = Peer(site.connect(), site, 1, TITLE, MANAGEMENT)
    answer = mirror.send(mirror.opening())
    assert answer is not None
    assert fields(fields(answer)[0x61])[0xA2] == b"\x02\x01\x01"


def test_the_public_can_read_from_which_number_on_to_send(site: Site) -> None:
    peer = utility(site)
    connection = public(site)
    answer = connection.receive(16, 1, get(1, "0.0.43.1.0.255", 2), site.now_ns)
    assert answer == bytes.fromhex("c401c100") + axdr.double_long_unsigned(peer.counter)


def test_noise_without_keys_changes_nothing_but_the_counted_entry(site: Site) -> None:
    connection = site.connect()
    before = site.meter.snapshot()
    for number in range(50):
        forged = tlv(0xDB, b"FORGER00") + tlv(0x00, b"\x30" + number.to_bytes(4) + bytes(40))[1:]
        connection.receive(20, 1, forged, site.now_ns)
        opening = aarq(3, 5, b"12345678", b"FORGER00", forged)
        connection.receive(1, 1, opening, site.now_ns)
    after = site.meter.snapshot()
    site.commit()
    assert site.log(Log.COMMUNICATION) == [(49, "test, client 1, 1")]
    assert after.energies_nwh == before.energies_nwh
    assert after.breaker == before.breaker
    assert after.settings == before.settings


# --- without an association: general ciphering ----------------------------------------------------

NOW = bytes.fromhex("07ea0601 01 0a000200 0000 00")
"""2026-06-01, Monday, 10:00:02 UTC, deviation 0."""


def general(
    plaintext: bytes,
    counter: int,
    *,
    title: bytes = HOME_TITLE,
    recipient: bytes = TITLE,
    date_time: bytes = NOW,
    keys: Keys = CONSUMER,
) -> bytes:
    head = b"".join(
        bytes((len(field),)) + field for field in (b"\x01\x02", title, recipient, date_time, b"")
    )
    sealed = gcm_seal(
        keys.encryption,
        title + counter.to_bytes(4),
        b"\x30" + keys.authentication + head,
        plaintext,
    )
    content = b"\x30" + counter.to_bytes(4) + sealed
    return b"\xdd" + head + b"\x00" + axdr.encode_length(len(content)) + content


def test_a_paired_program_asks_without_associating_and_is_answered_alike(site: Site) -> None:
    assert site.now_ns == (START_S + 2) * NANO
    answer = site.connect().receive(20, 1, general(REGISTER, 1), site.now_ns)
    assert answer is not None
    # its transaction back, from the meter to who asked, with the meter's time, all under the tag
    head = b"\x02\x01\x02\x08" + TITLE + b"\x08" + HOME_TITLE + b"\x0c" + NOW + b"\x00"
    assert answer[:1] + answer[1 : 1 + len(head)] == b"\xdd" + head
    length, at = axdr.decode_length(answer, 1 + len(head) + 1)
    content = answer[at:]
    assert len(content) == length
    plain = gcm_open(
        CONSUMER.encryption,
        TITLE + content[1:5],
        b"\x30" + CONSUMER.authentication + head,
        content[5:],
    )
    assert plain[:4] == bytes.fromhex("c401c100")


def test_before_the_meter_knows_the_time_nothing_is_taken_without_an_association(
    site: Site,
) -> None:
    site.server.knows_time = lambda: False
    connection = site.connect()
    # held back, or sent again: by a clock that stands still both would be fresh
    assert connection.receive(20, 1, general(REGISTER, 1), site.now_ns) == b"\xd8\x01\x01"
    site.server.knows_time = lambda: True
    # no number was used up by that
    answer = connection.receive(20, 1, general(REGISTER, 1), site.now_ns)
    assert answer is not None
    assert answer[0] == 0xDD


def test_of_many_requesters_the_latest_are_kept_and_nothing_is_taken_twice(site: Site) -> None:
    connection = site.connect()
    requests = [
        general(action(70, "0.1.96.3.10.255", 1, axdr.integer(0)), 1000 + n, title=b"H%07d" % n)
        for n in range(MOST_KEPT + 20)
    ]
    for one in requests:
        answer = connection.receive(20, 1, one, site.now_ns)
        assert answer is not None
        assert answer[0] == 0xDD
    assert len([name for name in site.store.numbers if "." in name]) == MOST_KEPT
    # repeated, with what the meter has in memory and with what it has kept alone
    for again in (site, Site(store=site.store)):
        connection = again.connect()
        for n, one in enumerate(requests):
            answer = connection.receive(20, 1, one, site.now_ns)
            assert answer is not None
            assert answer[:3] == b"\xd8\x01\x06", n
    # 20 are forgotten, the last of them with 1019: who comes new begins above that
    fresh = Site(store=site.store).connect()
    low = fresh.receive(20, 1, general(REGISTER, 5, title=b"NEWCOMER"), site.now_ns)
    assert low == b"\xd8\x01\x06" + (1020).to_bytes(4)
    high = fresh.receive(20, 1, general(REGISTER, 1020, title=b"NEWCOMER"), site.now_ns)
    assert high is not None
    assert high[0] == 0xDD


@pytest.mark.parametrize(
    ("sap", "request_"),
    [
        (20, general(REGISTER, 1, recipient=b"MTN00000")),  # for another meter
        (20, general(REGISTER, 1, recipient=b"")),
        (1, general(REGISTER, 1, title=UTILITY_TITLE, keys=MANAGEMENT)),  # the utility associates
        (16, general(REGISTER, 1)),
    ],
)
def test_what_is_for_another_or_of_another_role_is_not_answered(
    site: Site, sap: int, request_: bytes
) -> None:
    assert site.connect().receive(sap, 1, request_, site.now_ns) == b"\xd8\x01\x03"


def test_a_request_in_the_meters_own_name_is_refused(site: Site) -> None:
    mirror = general(REGISTER, 1, title=TITLE)
    assert site.connect().receive(20, 1, mirror, site.now_ns) == b"\xd8\x01\x03"
    assert site.security.numbers.expected(TITLE, CONSUMER.encryption) == 0, "no number is used up"


def test_behind_the_last_number_a_repeat_is_answered_as_any_other(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    connection = site.connect()
    last = general(REGISTER, 0xFFFF_FFFF)
    answer = connection.receive(20, 1, last, site.now_ns)
    assert answer is not None
    assert answer[0] == 0xDD
    assert connection.receive(20, 1, last, site.now_ns) == replayed(0xFFFF_FFFF)
    assert not caplog.records


def counter_of_consumers(site: Site) -> int:
    answer = public(site).receive(16, 1, get(1, "0.0.43.1.1.255", 2), site.now_ns)
    assert answer is not None
    assert answer[:5] == bytes.fromhex("c401c10006")
    return int.from_bytes(answer[5:])


def test_one_pairing_does_not_use_up_the_numbers_of_the_others(site: Site) -> None:
    other = Keys(b"o" * 16, b"p" * 16)
    site.security.credentials.add(Credential(Client.CONSUMER, "other", other))
    honest = consumer(site)
    assert counter_of_consumers(site) == honest.counter
    spoiling = Peer(site.connect(), site, 20, b"SPOILER1", other, 0xFFFF_FFF0)
    spoiling.associate()
    assert counter_of_consumers(site) == honest.counter
    # each title keeps numbers of its own, and a fresh one begins at 1
    Peer(site.connect(), site, 20, b"FRESH001", CONSUMER).associate()


def test_requesters_that_never_associate_do_not_show_in_the_counter(site: Site) -> None:
    connection = site.connect()
    assert connection.receive(20, 1, general(REGISTER, 70_000), site.now_ns)
    assert counter_of_consumers(site) == 0


def test_a_field_of_its_head_can_not_be_exchanged(site: Site) -> None:
    request = bytearray(general(REGISTER, 1))
    request[2] ^= 1  # the transaction
    assert site.connect().receive(20, 1, bytes(request), site.now_ns) == DECIPHERING


def test_each_requester_has_numbers_of_his_own(site: Site) -> None:
    connection = site.connect()
    for title in (b"HOM00001", b"HOM00002"):
        answer = connection.receive(20, 1, general(REGISTER, 5, title=title), site.now_ns)
        assert answer is not None
        assert answer[0] == 0xDD
    again = connection.receive(20, 1, general(REGISTER, 5), site.now_ns)
    assert again == replayed(6)


# --- new keys -------------------------------------------------------------------------------------


def wrapped(key: bytes, under: bytes = MASTER) -> bytes:
    """By the other library."""
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    return aes_key_wrap(under, key)


def key_data(*keys: tuple[int, bytes]) -> bytes:
    return axdr.array(
        *(axdr.structure(axdr.enum(number), axdr.octet_string(key)) for number, key in keys)
    )


NEW = Keys(b"n" * 16, b"a" * 16)


def test_new_keys_are_kept_then_used_and_the_answer_goes_under_the_old_ones(site: Site) -> None:
    peer = utility(site)
    sent = key_data((0, wrapped(NEW.encryption)), (2, wrapped(NEW.authentication)))
    assert peer.call(objects.SECURITY[1], 2, sent) == 0  # opened with the old keys
    assert site.kept_keys == [(NEW, MASTER)]
    assert (48, "utility") in site.log(Log.STATUS)
    assert peer.send(peer.seal(REGISTER)) == DECIPHERING  # old keys open nothing any more
    peer.keys, peer.seen = NEW, []
    assert not isinstance(peer.get(3, "1.0.1.8.0.255", 2), Refused)
    later = Peer(site.connect(), site, 1, UTILITY_TITLE, NEW, peer.counter)
    later.associate()


@pytest.mark.parametrize(
    "sent",
    [
        key_data((0, wrapped(NEW.encryption)), (2, wrapped(NEW.authentication, b"x" * 16))),
        key_data((0, wrapped(NEW.encryption)), (2, bytes(24))),
        key_data((0, wrapped(NEW.encryption)), (0, wrapped(NEW.encryption))),
        key_data((0, wrapped(NEW.encryption)), (1, wrapped(NEW.encryption))),
        key_data((0, wrapped(bytes(32)))),
        key_data(),
        axdr.null_data(),
    ],
)
def test_of_new_keys_all_are_taken_or_none(site: Site, sent: bytes) -> None:
    peer = utility(site)
    assert peer.call(objects.SECURITY[1], 2, sent) != 0
    assert site.kept_keys == []
    assert not isinstance(peer.get(3, "1.0.1.8.0.255", 2), Refused)


def test_keys_that_can_not_be_kept_are_not_used(site: Site) -> None:
    def full(keys: Keys, master: bytes) -> None:
        raise OSError("no space left")

    site.utility.keep = full
    peer = utility(site)
    sent = key_data((0, wrapped(NEW.encryption)))
    assert peer.call(objects.SECURITY[1], 2, sent) == 1  # hardware-fault
    assert not isinstance(peer.get(3, "1.0.1.8.0.255", 2), Refused)


def test_the_consumer_reads_what_he_may_and_opens_no_breaker(site: Site) -> None:
    peer = consumer(site)
    assert not isinstance(peer.get(3, "1.0.1.8.0.255", 2), Refused)
    assert peer.call(objects.BREAKER, 1, axdr.integer(0)) == 3
