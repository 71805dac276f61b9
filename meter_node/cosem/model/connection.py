"""Associations, security and links as objects: who may ask, under which keys, and which way.

Must not know APDUs.
"""

from __future__ import annotations

from collections.abc import Callable

from meter_node.channel import axdr, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.security import Keys
from meter_node.channel.typed import fields, items, octets, whole
from meter_node.ciphering import KeyWrapError, unwrap
from meter_node.cosem import acse
from meter_node.cosem.access import (
    IDENTITY_READERS,
    READERS,
    UTILITY,
    AccessError,
    Client,
    DataAccessResult,
)
from meter_node.cosem.credentials import Credential
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.model.profiles import register_class
from meter_node.cosem.model.registers import logical_device_name
from meter_node.cosem.table import SIZES, Attribute, Caller, Method, ObjectTable, Row, row
from meter_node.cosem.values import constant

_ASSOCIATED = 2
_ASSOCIATION_VERSION = 1
_DLMS_VERSION = 6
_ENCRYPTION, _AUTHENTICATION, _MASTER = 0, 2, 3
"""key_id of global_key_transfer: global unicast encryption key, authentication key, and, as the
newer version of the class has it, the master key."""
_KEY_LENGTH = 16
_AUTHENTICATED_AND_ENCRYPTED = 3
_SUITE_0 = 0
_SPEED_OF_THE_PORT = 5  # 9600 Bd
_INTER_OCTET_MS = 25
_SEGMENT = 1280
_BEYOND_COUNTING = 1 << 31
_PUSH_SCRIPTS = bytes((0, 0, 10, 0, 108, 255))
_TIMES_MAY_DIFFER = 5
_ANY, _ANY_DAY = 0xFF, b"\xff" * 5
_MINUTE_S, _HOUR_MIN = 60, 60
_TCP = 0
"""Transport of a push: what MQTT goes over, since it has no number of its own."""


def rows(parts: Parts, table: ObjectTable) -> list[Row]:
    """Return these objects; the lists of objects are the table's."""
    return [
        _association(parts, table, objects.ASSOCIATION, None),
        *(
            _association(parts, table, which, Client(client))
            for client, which in objects.ASSOCIATIONS.items()
        ),
        _saps(parts),
        *(_security(parts, Client(client), which) for client, which in objects.SECURITY.items()),
        *(
            _counter(parts, Client(client), which)
            for client, which in objects.INVOCATION_COUNTERS.items()
        ),
        *_links(parts),
        _image_transfer(),
    ]


# --- associations ---------------------------------------------------------------------------------


def object_list(table: ObjectTable, client: Client) -> bytes:
    """Return the objects of which a client may read, write or call anything, with his rights."""
    elements = []
    for one in table:
        attributes, methods = one.rights(client)
        if not any(mode for _, mode, _ in attributes) and not methods:
            continue
        elements.append(
            axdr.structure(
                axdr.long_unsigned(one.class_id),
                axdr.unsigned(one.version),
                axdr.octet_string(one.logical_name),
                axdr.structure(
                    axdr.array(*(_attribute_access(*attribute) for attribute in attributes)),
                    axdr.array(
                        *(
                            axdr.structure(axdr.integer(method), axdr.enum(method in methods))
                            for method in range(1, SIZES[ClassId(one.class_id)][1] + 1)
                        )
                    ),
                ),
            )
        )
    return axdr.array(*elements)


def _attribute_access(number: int, mode: int, selectors: tuple[int, ...]) -> bytes:
    listed = axdr.array(*map(axdr.integer, selectors)) if selectors else axdr.null_data()
    return axdr.structure(axdr.integer(number), axdr.enum(mode), listed)


def _association(
    parts: Parts, table: ObjectTable, which: CosemObject, client: Client | None
) -> Row:
    """The association that asks (`client` None), or the one that a client would have."""
    views: dict[Client, bytes] = {}
    readers = IDENTITY_READERS if client is None else READERS | {client}

    def of(caller: Caller) -> Client:
        return caller.client if client is None else client

    def view(whose: Client) -> bytes:
        # Tens of milliseconds, for who may ask without a key as well: once in the table's life.
        if whose not in views:
            views[whose] = object_list(table, whose)
        return views[whose]

    def partners(caller: Caller) -> bytes:
        return axdr.structure(axdr.integer(of(caller)), axdr.long_unsigned(parts.links.server_sap))

    def is_ciphered(caller: Caller) -> bool:
        return caller.association.ciphered if client is None else client is not Client.PUBLIC

    def context(caller: Caller) -> bytes:
        return axdr.octet_string(
            acse.context_name(acse.LN_CIPHERED if is_ciphered(caller) else acse.LN)
        )

    def mechanism(caller: Caller) -> bytes:
        which = caller.association.mechanism if client is None else _MECHANISMS[client]
        return axdr.octet_string(acse.mechanism_name(which))

    def negotiated(caller: Caller) -> bytes:
        own = caller.association
        return axdr.structure(
            acse.conformance_data(own.conformance if client is None else acse.SERVED),
            axdr.long_unsigned(own.max_receive),
            axdr.long_unsigned(own.max_send),
            axdr.unsigned(_DLMS_VERSION),
            axdr.integer(0),
            axdr.octet_string(b""),
        )

    def status(caller: Caller) -> bytes:
        own = client is None or client is caller.client
        return axdr.enum(_ASSOCIATED if own else 0)

    def security(caller: Caller) -> bytes:
        setup = objects.SECURITY.get(int(of(caller)))
        return axdr.octet_string(bytes(6) if setup is None else setup.logical_name)

    getters: dict[int, Callable[[Caller], bytes]] = {
        2: lambda caller: view(of(caller)),
        3: partners,
        4: context,
        5: negotiated,
        6: mechanism,
        8: status,
        9: security,
    }
    methods = {}
    if client is None:

        def reply(caller: Caller, value: Value) -> bytes:
            proof = octets(value, "the proof of identity")
            return axdr.octet_string(caller.association.prove(proof))

        methods[1] = Method(READERS, reply, changes=False)
    return row(
        which,
        {number: Attribute(readers, get) for number, get in getters.items()},
        methods,
        _ASSOCIATION_VERSION,
    )


_MECHANISMS = {
    Client.PUBLIC: acse.Mechanism.NONE,
    Client.CONSUMER: acse.Mechanism.HLS_GMAC,
    Client.MANAGEMENT: acse.Mechanism.HLS_GMAC,
}


def _saps(parts: Parts) -> Row:
    own = parts.device.identity.system_title
    devices = parts.links.logical_devices or ((parts.links.server_sap, own),)
    listed = axdr.array(
        *(
            axdr.structure(axdr.long_unsigned(sap), axdr.octet_string(logical_device_name(title)))
            for sap, title in devices
        )
    )
    return row(objects.SAP_ASSIGNMENT, {2: Attribute(IDENTITY_READERS, constant(listed))})


# --- security -------------------------------------------------------------------------------------


def _security(parts: Parts, client: Client, which: CosemObject) -> Row:
    readers = UTILITY | {client}
    title = axdr.octet_string(parts.security.title)

    def client_title(caller: Caller) -> bytes:
        own = caller.association.title if client is caller.client else b""
        return axdr.octet_string(own)

    attributes = {
        2: Attribute(readers, constant(axdr.enum(_AUTHENTICATED_AND_ENCRYPTED))),
        3: Attribute(readers, constant(axdr.enum(_SUITE_0))),
        4: Attribute(readers, client_title),
        5: Attribute(readers, constant(title)),
    }
    methods = {}
    if client is Client.MANAGEMENT:
        methods[2] = Method(UTILITY, lambda caller, value: _transfer(parts, caller, value))
    return row(which, attributes, methods)


def _transfer(parts: Parts, caller: Caller, value: Value) -> None:
    """Take new keys, all or none. The answer still goes under the old ones."""
    credential: Credential | None = caller.association.credential
    if credential is None or credential.keys is None or credential.master is None:
        raise ValueError("who asks has no master key")
    if credential.keep is None:
        raise ValueError("these keys can't be changed")
    found: dict[int, bytes] = {}
    for one in items(value, "keys"):
        key_id, wrapped = fields(one, "a key", 2)
        number = whole(key_id, "key_id", 0, 0xFF)
        if number not in (_ENCRYPTION, _AUTHENTICATION, _MASTER) or number in found:
            raise ValueError(f"key {number} is not one that can be sent here, once")
        try:
            key = unwrap(credential.master, octets(wrapped, "a wrapped key"))
        except KeyWrapError as error:
            raise ValueError(str(error)) from None
        if len(key) != _KEY_LENGTH:
            raise ValueError(f"a key of {len(key)} bytes")
        found[number] = key
    if not found:
        raise ValueError("no key was sent")
    old = credential.keys
    keys = Keys(
        found.get(_ENCRYPTION, old.encryption), found.get(_AUTHENTICATION, old.authentication)
    )
    try:
        credential.change(keys, found.get(_MASTER, credential.master))
    except Exception as error:  # whatever keeps them could not: the old ones stay
        raise AccessError(DataAccessResult.HARDWARE_FAULT, f"not kept: {error}") from error
    parts.commands.keys_changed(caller.name)


def _counter(parts: Parts, client: Client, which: CosemObject) -> Row:
    security = parts.security

    def highest(_: Caller) -> bytes:
        used = [
            security.numbers.highest(one.keys.encryption)
            for one in security.credentials.with_keys(client)
            if one.keys is not None
        ]
        if client is Client.CONSUMER:
            # Nobody counts so far: one pairing must not use up the numbers of all others.
            used = [number for number in used if number < _BEYOND_COUNTING]
        return axdr.double_long_unsigned(max(used, default=0))

    return row(which, {2: Attribute(IDENTITY_READERS, highest)})


# --- links ----------------------------------------------------------------------------------------


def _read_only(which: CosemObject, values: dict[int, bytes], version: int = 0) -> Row:
    return row(
        which,
        {number: Attribute(READERS, constant(value)) for number, value in values.items()},
        version=version,
    )


def _links(parts: Parts) -> list[Row]:
    links = parts.links
    pushed = axdr.array(
        *(
            axdr.structure(
                axdr.long_unsigned(which.class_id),
                axdr.octet_string(which.logical_name),
                axdr.integer(2),
                axdr.long_unsigned(0),
            )
            for which in (
                CosemObject(ClassId.CLOCK, registers.CLOCK),
                *(
                    CosemObject(register_class(one.key), one.logical_name)
                    for one in parts.device.registers
                    if one.quantity.pushed and one.tariff is None
                ),
            )
        )
    )
    destination = axdr.structure(
        axdr.enum(_TCP),
        axdr.octet_string(links.push_destination.encode()),
        axdr.enum(0),
    )
    push = {
        2: pushed,
        3: destination,
        4: axdr.array(),
        5: axdr.long_unsigned(0),
        6: axdr.unsigned(0),
        7: axdr.long_unsigned(0),
    }
    hdlc = {
        2: axdr.enum(_SPEED_OF_THE_PORT),
        3: axdr.unsigned(links.hdlc_window),
        4: axdr.unsigned(links.hdlc_window),
        5: axdr.long_unsigned(links.hdlc_information),
        6: axdr.long_unsigned(links.hdlc_information),
        7: axdr.long_unsigned(_INTER_OCTET_MS),
        8: axdr.long_unsigned(links.inactivity_s),
        9: axdr.long_unsigned(links.hdlc_address),
    }
    tcp = {
        2: axdr.long_unsigned(links.tcp_port),
        3: axdr.octet_string(bytes(6)),
        4: axdr.long_unsigned(_SEGMENT),
        5: axdr.unsigned(links.most_connections),
        6: axdr.long_unsigned(links.inactivity_s),
    }
    return [
        _read_only(objects.PUSH_SETUP, push),
        _push_interval(parts),
        _push_schedule(),
        _read_only(objects.IEC_HDLC_SETUP, hdlc, version=1),
        _read_only(objects.TCP_UDP_SETUP, tcp),
    ]


def _push_interval(parts: Parts) -> Row:
    def get(caller: Caller) -> bytes:
        return axdr.double_long_unsigned(settings(caller).parameters.push.interval_s)

    def put(caller: Caller, value: Value) -> None:
        changes = {"push": {"interval_s": whole(value, "the interval")}}
        parts.commands.change_parameters(changes, caller.name)

    return row(objects.PUSH_INTERVAL, {2: Attribute(READERS, get, UTILITY, put)})


def _push_schedule() -> Row:
    """The interval as times of the day, as far as wildcards can say it: by the minute or hour."""

    def times(caller: Caller) -> bytes:
        moments = _moments(settings(caller).parameters.push.interval_s)
        any_day = axdr.octet_string(_ANY_DAY)
        return axdr.array(*(axdr.structure(axdr.octet_string(one), any_day) for one in moments))

    script = axdr.structure(axdr.octet_string(_PUSH_SCRIPTS), axdr.long_unsigned(1))
    values = {
        2: constant(script),
        3: constant(axdr.enum(_TIMES_MAY_DIFFER)),
        4: times,
    }
    return row(objects.PUSH_SCHEDULE, {n: Attribute(READERS, get) for n, get in values.items()})


def _moments(interval_s: int) -> list[bytes]:
    """Return times with wildcards, none where they can't say it."""
    if _MINUTE_S % interval_s == 0:
        return [bytes((_ANY, _ANY, second, 0)) for second in range(0, _MINUTE_S, interval_s)]
    minutes, rest = divmod(interval_s, _MINUTE_S)
    if rest or _HOUR_MIN % minutes:
        return []
    return [bytes((_ANY, minute, 0, 0)) for minute in range(0, _HOUR_MIN, minutes)]


def _image_transfer() -> Row:
    """Firmware is not sent this way: the class is there to say so."""
    return _read_only(
        objects.IMAGE_TRANSFER,
        {
            2: axdr.double_long_unsigned(0),
            3: axdr.bit_string(axdr.BitString(0, 0)),
            4: axdr.double_long_unsigned(0),
            5: axdr.boolean(False),
            6: axdr.enum(0),
            7: axdr.array(),
        },
    )
