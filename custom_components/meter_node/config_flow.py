"""Setting a meter up: found by its hello or by hand, and accepted only with a frame as proof."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, override

import probatio as vol
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlow,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo

from . import bluetooth, links, mqtt, raw_topic
from .channel import lists
from .channel import pairing as pairing_text
from .channel.hello import Hello, is_shown
from .channel.kamstrup_v0001 import (
    DEFAULT_SCALER_PROFILE,
    SCALER_PROFILE_OF_COUNTRY,
    SCALER_PROFILES,
)
from .channel.pairing import Pairing, PairingError
from .channel.reading import Reading
from .channel.security import Keys
from .const import (
    CONF_AUTHENTICATION_KEY,
    CONF_CONTROL_AUTHENTICATION_KEY,
    CONF_CONTROL_ENCRYPTION_KEY,
    CONF_ENCRYPTION_KEY,
    CONF_PAIRING_NAME,
    CONF_RAW_TOPIC,
    CONF_SCALER_PROFILE,
    CONF_SYSTEM_TITLE,
    DOMAIN,
    PAIRING_REVOKED,
)
from .coordinator import pairing_of
from .options_flow import PROFILE, MeterNodeOptionsFlow
from .proof import async_prove, wait_s
from .reader import MeterReader, NotTakenError, Verified
from .store import MeterRecord, async_get_store, fingerprint

if TYPE_CHECKING:
    from homeassistant.components.bluetooth import BluetoothServiceInfoBleak

CONF_METER = "meter"
CONF_PAIRING_TEXT = "pairing_text"

_NAMELESS = "Meter Node"
HEAR_S = 2.0
"""A broker hands retained hellos over at once; Home Assistant may take a second to subscribe."""

_SECRET = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="off"))
_TEXT = TextSelector(TextSelectorConfig(type=TextSelectorType.TEXT, autocomplete="off"))
_TEXT_FIELD: dict[vol.Marker, Any] = {vol.Optional(CONF_PAIRING_TEXT): _TEXT}
_KEY_FIELDS: dict[vol.Marker, Any] = {
    **_TEXT_FIELD,
    vol.Optional(CONF_ENCRYPTION_KEY): _SECRET,
    vol.Optional(CONF_AUTHENTICATION_KEY): _SECRET,
}


class FieldError(Exception):
    """What was typed does not serve: which field, and the key of what to say about it."""

    def __init__(self, field: str, key: str) -> None:
        """Keep both."""
        super().__init__(field, key)
        self.errors = {field: key}


def read_pairing(text: str) -> Pairing:
    """Return what a pairing text says. Raises FieldError."""
    try:
        return Pairing.from_text(text)
    except PairingError:
        begins = "".join(text.split()).upper().startswith(pairing_text.PREFIXES)
        key = "pairing_text_mistyped" if begins else "no_pairing_text"
        raise FieldError(CONF_PAIRING_TEXT, key) from None


def read_key(typed: Mapping[str, Any], field: str) -> bytes:
    """Return a key of 32 hexadecimal digits, however they are grouped. Raises FieldError."""
    digits = "".join(typed.get(field, "").split()).replace(":", "").replace("-", "")
    if not digits:
        raise FieldError(field, "key_missing")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        raise FieldError(field, "key_not_hexadecimal") from None
    if len(key) != 16:
        raise FieldError(field, "key_length")
    return key


def read_keys(typed: Mapping[str, Any], title: str) -> Pairing | None:
    """Return what was given of either kind, None where nothing was typed. Raises FieldError.

    Keys alone, as a text without control keys, let a meter be read and not be asked.
    """
    text = typed.get(CONF_PAIRING_TEXT, "").strip()
    any_key = any(typed.get(field) for field in (CONF_ENCRYPTION_KEY, CONF_AUTHENTICATION_KEY))
    if text and any_key:
        raise FieldError("base", "text_or_keys")
    if text:
        pairing = read_pairing(text)
        if pairing.system_title.hex() != title:
            raise FieldError(CONF_PAIRING_TEXT, "pairing_text_of_other_meter")
        return pairing
    if not any_key:
        return None
    keys = Keys(read_key(typed, CONF_ENCRYPTION_KEY), read_key(typed, CONF_AUTHENTICATION_KEY))
    return Pairing(bytes.fromhex(title), keys)


def _data_of(pairing: Pairing | None) -> dict[str, str]:
    """Return what an entry keeps of a pairing."""
    if pairing is None:
        return {}
    data = {
        CONF_ENCRYPTION_KEY: pairing.keys.encryption.hex(),
        CONF_AUTHENTICATION_KEY: pairing.keys.authentication.hex(),
    }
    if pairing.control is not None:
        data[CONF_CONTROL_ENCRYPTION_KEY] = pairing.control.encryption.hex()
        data[CONF_CONTROL_AUTHENTICATION_KEY] = pairing.control.authentication.hex()
        data[CONF_PAIRING_NAME] = pairing.name
    return data


def _advertised_label(title: str, name: str) -> str:
    """Name a meter of which only an advertisement was heard, be its name what it may."""
    return f"{name if is_shown(name) else _NAMELESS} ({title})"


def _label(hello: Hello) -> str:
    return f"{hello.model} ({hello.system_title})"


def _name(hello: Hello, reading: Reading) -> str:
    """Return a name that tells a meter from its neighbour without giving its number away."""
    texts = reading.texts
    number = texts.get("meter_number") or texts.get("gs1_number") or hello.system_title
    return f"{hello.model} {number[-4:]}"


class MeterNodeConfigFlow(ConfigFlow, domain=DOMAIN):
    """Sets a meter up, or gives it new keys."""

    VERSION = 1

    # Set by the proof, without which no step needs them.
    _reader: MeterReader
    _verified: Verified

    def __init__(self) -> None:
        """Know no meter yet."""
        self._title = ""
        self._heard: dict[str, Hello] = {}
        self._advertised: dict[str, str] = {}  # names by title, of meters in reach of Bluetooth
        self._pairing: Pairing | None = None
        self._profile: str | None = None
        self._form = "keys"
        self._typed: dict[str, Any] = {}
        self._failure: str | None = None
        self._proving: asyncio.Task[Verified | NotTakenError] | None = None
        self._topic: str | None = None
        self._finding: asyncio.Task[raw_topic.Found | None] | None = None

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> OptionsFlow:
        """Return the flow of what may be chosen later."""
        return MeterNodeOptionsFlow()

    # --- which meter ---------------------------------------------------------------------------

    @override
    async def async_step_mqtt(self, discovery_info: MqttServiceInfo) -> ConfigFlowResult:
        """Begin with a hello."""
        hello = mqtt.parse_hello(discovery_info.topic, discovery_info.payload)
        if hello is None:
            return self.async_abort(reason="invalid_discovery_info")
        await self.async_set_unique_id(hello.system_title)
        self._abort_if_unique_id_configured()
        self.context["title_placeholders"] = {"name": _label(hello)}
        return await self._async_choose(hello)

    @override
    async def async_step_bluetooth(
        self, discovery_info: BluetoothServiceInfoBleak
    ) -> ConfigFlowResult:
        """Begin with what a meter advertises; it is not connected to before somebody wants it."""
        title = bluetooth.title_of(discovery_info)
        if title is None:
            return self.async_abort(reason="invalid_discovery_info")
        await self.async_set_unique_id(title)
        self._abort_if_unique_id_configured()
        self._title = title
        self._advertised[title] = discovery_info.name
        self.context["title_placeholders"] = {"name": self._label}
        return await self.async_step_keys()

    @override
    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Choose one of the meters that are heard, or say which by its pairing text."""
        if not await links.async_any_ready(self.hass):
            return self.async_abort(reason="no_channel")
        errors: dict[str, str] = {}
        if user_input is not None:
            try:
                return await self._async_step_chosen(user_input)
            except FieldError as error:
                errors = error.errors
        elif self._failure is not None:
            errors, self._failure = {CONF_RAW_TOPIC: self._failure}, None
            user_input = {CONF_RAW_TOPIC: self._topic}
        self._heard |= await links.async_hear_all(self.hass, HEAR_S)
        self._advertised |= bluetooth.advertised(self.hass)
        known = self._async_current_ids(include_ignore=False)
        labels = {title: _advertised_label(title, name) for title, name in self._advertised.items()}
        labels |= {title: _label(hello) for title, hello in self._heard.items()}
        offered = {title: label for title, label in labels.items() if title not in known}
        fields: dict[vol.Marker, Any] = {}
        if offered:
            options = [
                SelectOptionDict(value=title, label=label)
                for title, label in sorted(offered.items(), key=lambda one: one[1])
            ]
            fields[vol.Optional(CONF_METER)] = SelectSelector(
                SelectSelectorConfig(options=options, mode=SelectSelectorMode.LIST)
            )
        fields[vol.Optional(CONF_PAIRING_TEXT)] = _TEXT
        fields[vol.Optional(CONF_RAW_TOPIC)] = _TEXT
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(vol.Schema(fields), user_input),
            errors=errors,
            description_placeholders={"count": str(len(offered))},
        )

    async def _async_step_chosen(self, typed: Mapping[str, Any]) -> ConfigFlowResult:
        chosen = typed.get(CONF_METER)
        text = typed.get(CONF_PAIRING_TEXT, "").strip()
        if topic := typed.get(CONF_RAW_TOPIC, "").strip():
            if chosen or text:
                raise FieldError(CONF_RAW_TOPIC, "topic_alone")
            if not raw_topic.is_topic(topic):
                raise FieldError(CONF_RAW_TOPIC, "topic_invalid")
            if not await mqtt.async_ready(self.hass):
                raise FieldError(CONF_RAW_TOPIC, "topic_needs_mqtt")
            self._topic = topic
            return await self.async_step_find()
        pairing = read_pairing(text) if text else None
        title = chosen if pairing is None else pairing.system_title.hex()
        if title is None:
            raise FieldError("base", "meter_or_text")
        if chosen not in (None, title):
            raise FieldError(CONF_PAIRING_TEXT, "pairing_text_of_other_meter")
        # A discovery of the same meter may be waiting; it ends when this flow makes the entry.
        await self.async_set_unique_id(title, raise_on_progress=False)
        self._abort_if_unique_id_configured()
        if pairing is None and title not in self._heard and title in self._advertised:
            self._title = title
            return await self.async_step_keys()
        hello = await self._async_hear(title)
        if pairing is None:
            return await self._async_choose(hello)
        self._title, self._pairing = title, pairing
        self._typed = {CONF_PAIRING_TEXT: text}
        return await (self.async_step_scale() if self._scale_wanted else self.async_step_prove())

    async def _async_hear(self, title: str) -> Hello:
        """Return a meter's hello, of which it may be heard only now. Raises FieldError."""
        hello = self._heard.get(title) or await links.async_hear(self.hass, title, HEAR_S)
        if hello is None:
            raise FieldError("base", "meter_not_heard")
        self._heard[title] = hello
        return hello

    @property
    def _label(self) -> str:
        """How the meter is called to people, before its frames say more."""
        if (hello := self._heard.get(self._title)) is not None:
            return _label(hello)
        name = self._advertised.get(self._title)
        return self._title if name is None else _advertised_label(self._title, name)

    async def async_step_find(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Wait for a frame on the topic, to see whose it is."""
        assert self._topic is not None
        if self._finding is None:
            self._finding = self.hass.async_create_task(
                raw_topic.async_find(self.hass, self._topic, raw_topic.FIND_S), eager_start=False
            )
        if not self._finding.done():
            return self.async_show_progress(
                step_id="find",
                progress_action="waiting_for_reader",
                description_placeholders={"seconds": f"{raw_topic.FIND_S:.0f}"},
                progress_task=self._finding,
            )
        try:
            found, failure = self._finding.result(), "topic_silent"
        except HomeAssistantError:  # MQTT was taken away meanwhile
            found, failure = None, "topic_needs_mqtt"
        self._finding = None
        if found is None:
            self._failure = failure
            return self.async_show_progress_done(next_step_id="user")
        await self.async_set_unique_id(found.title, raise_on_progress=False)
        self._title = found.title
        self._heard[found.title] = found.hello()
        return self.async_show_progress_done(next_step_id="found")

    async def async_step_found(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Go on with the meter that was found on the topic."""
        self._abort_if_unique_id_configured()
        return await self._async_choose(self._heard[self._title])

    async def _async_choose(self, hello: Hello) -> ConfigFlowResult:
        self._title = hello.system_title
        self._heard[hello.system_title] = hello
        return await (self.async_step_keys() if hello.ciphered else self.async_step_scale())

    @property
    def _scale_wanted(self) -> bool:
        """Whether the meter's list leaves its scale open, as far as its hello tells."""
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            return CONF_SCALER_PROFILE in self._entry.options
        hello = self._heard.get(self._title)  # what is only advertised is a node's own meter
        return hello is not None and hello.protocol not in lists.SELF_DESCRIBING

    @property
    def _entry(self) -> ConfigEntry:
        if self.source == SOURCE_REAUTH:
            return self._get_reauth_entry()
        return self._get_reconfigure_entry()

    # --- its keys and its scale ----------------------------------------------------------------

    async def async_step_keys(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the keys, and for the scale where the list does not bring it."""
        return await self._async_ask("keys", user_input, _KEY_FIELDS, scale=self._scale_wanted)

    async def async_step_scale(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the scale alone: a plain meter's, or one whose keys are known already."""
        return await self._async_ask("scale", user_input, {}, scale=True)

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Begin anew for a meter whose keys do not open its frames any more."""
        self._begin_with_entry()
        if PAIRING_REVOKED in entry_data:
            return await self.async_step_reauth_pairing()
        return await self.async_step_reauth_confirm()

    def _begin_with_entry(self) -> None:
        """Know which meter it is, and where its frames are."""
        self._title = self._entry.data[CONF_SYSTEM_TITLE]
        self._topic = self._entry.data.get(CONF_RAW_TOPIC)
        if self._topic is not None:  # where no hello will come
            ciphered = CONF_ENCRYPTION_KEY in self._entry.data
            found = raw_topic.Found(self._title, ciphered, self._entry.title.partition(" ")[0])
            self._heard[self._title] = found.hello()

    async def async_step_reauth_pairing(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another pairing with a meter that can still be read."""
        return await self._async_ask("reauth_pairing", user_input, _TEXT_FIELD, scale=False)

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for new keys."""
        return await self._async_ask("reauth_confirm", user_input, _KEY_FIELDS, scale=False)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for what may have changed; keys that are left empty stay as they are."""
        self._begin_with_entry()
        fields = {} if pairing_of(self._entry) is None else {**_KEY_FIELDS}
        if self._topic is not None:
            suggested = {"suggested_value": self._topic}
            fields[vol.Optional(CONF_RAW_TOPIC, description=suggested)] = _TEXT
        # Another scale changes the past: the options show how before they take it.
        return await self._async_ask("reconfigure", user_input, fields, scale=False)

    async def _async_ask(
        self,
        step_id: str,
        user_input: dict[str, Any] | None,
        fields: dict[vol.Marker, Any],
        *,
        scale: bool,
    ) -> ConfigFlowResult:
        """Show a form until what was typed is well-formed, then go and have it proven."""
        errors: dict[str, str] = {}
        if user_input is not None:
            # Keys that came before the question of scale are kept, and asked for if they fail.
            self._typed = user_input if fields else self._typed | user_input
            self._form = step_id if fields or self._pairing is None else "keys"
            try:
                return await self._async_typed(fields)
            except FieldError as error:
                errors = error.errors
        elif self._failure is not None:
            errors, self._failure = {"base": self._failure}, None
        if scale:
            default = self._scaler_profile
            fields = {**fields, vol.Required(CONF_SCALER_PROFILE, default=default): PROFILE}
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(vol.Schema(fields), self._typed),
            errors=errors,
            description_placeholders={"meter": self._label},
        )

    async def _async_typed(self, fields: Mapping[vol.Marker, Any]) -> ConfigFlowResult:
        self._profile = self._typed.get(CONF_SCALER_PROFILE)
        if topic := self._typed.get(CONF_RAW_TOPIC, "").strip():
            if not raw_topic.is_topic(topic):
                raise FieldError(CONF_RAW_TOPIC, "topic_invalid")
            self._topic = topic
        if self.source == SOURCE_RECONFIGURE and pairing_of(self._entry) is None:
            self._pairing = None
        elif fields:
            self._pairing = read_keys(self._typed, self._title)
            if self._pairing is None and self.source == SOURCE_RECONFIGURE:
                self._pairing = pairing_of(self._entry)
            if self._pairing is None and fields is _TEXT_FIELD:
                raise FieldError(CONF_PAIRING_TEXT, "pairing_text_missing")
            if self._pairing is None:
                raise FieldError("base", "text_or_keys")
        if not await links.async_any_ready(self.hass):
            return self.async_abort(reason="no_channel")
        if self._topic is not None and not await mqtt.async_ready(self.hass):
            raise FieldError(CONF_RAW_TOPIC if topic else "base", "topic_needs_mqtt")
        await self._async_hear(self._title)
        return await self.async_step_prove()

    @property
    def _keys(self) -> Keys | None:
        return None if self._pairing is None else self._pairing.keys

    @property
    def _scaler_profile(self) -> str:
        """What was chosen, else what the entry has, else what is usual in this country."""
        if self._profile is not None:
            return self._profile
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE) and self._scale_wanted:
            profile: str = self._entry.options[CONF_SCALER_PROFILE]
            return profile
        country = self.hass.config.country or ""
        return SCALER_PROFILE_OF_COUNTRY.get(country, DEFAULT_SCALER_PROFILE)

    # --- the proof -----------------------------------------------------------------------------

    async def async_step_prove(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Wait for a live frame, and open it."""
        interval_s = self._heard[self._title].push_interval
        if self._proving is None:
            self._reader = MeterReader(
                self._title, self._keys, SCALER_PROFILES[self._scaler_profile]
            )
            self._proving = self.hass.async_create_task(
                async_prove(
                    self.hass,
                    self._title,
                    self._reader,
                    interval_s,
                    self.async_update_progress,
                    self._topic,
                    None if self._pairing is None else self._pairing.control,
                ),
                eager_start=False,
            )
        if not self._proving.done():
            return self.async_show_progress(
                step_id="prove",
                progress_action="waiting_for_frame",
                description_placeholders={"seconds": f"{wait_s(interval_s):.0f}"},
                progress_task=self._proving,
            )
        answer = self._proving.result()
        self._proving = None
        if isinstance(answer, NotTakenError):
            self._failure = answer.reason
            return self.async_show_progress_done(next_step_id=self._form)
        self._verified = answer
        return self.async_show_progress_done(next_step_id="finish")

    async def async_step_finish(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Make the entry, or give it its new keys; it goes on from the counter just proven."""
        hello, reading = self._heard[self._title], self._verified.reading
        data = {CONF_SYSTEM_TITLE: self._title} | _data_of(self._pairing)
        if self._topic is not None:
            data[CONF_RAW_TOPIC] = self._topic
        options: dict[str, Any] = {}
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            options = {**self._entry.options}
            options.pop(CONF_SCALER_PROFILE, None)
        if reading.list_name not in lists.SELF_DESCRIBING:
            options[CONF_SCALER_PROFILE] = self._scaler_profile
        store = await async_get_store(self.hass)
        known = store.records.get(self._title)
        keys = fingerprint(self._keys)
        if known is None:
            known = MeterRecord("", self._scaler_profile, push_interval_s=hello.push_interval)
            store.records[self._title] = known
        if known.keys != keys:
            state = self._reader.state
            store.records[self._title] = known.with_keys(keys, state.highest, state.digest)
        store.async_changed()
        if self.source in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            return self.async_update_reload_and_abort(self._entry, data=data, options=options)
        return self.async_create_entry(title=_name(hello, reading), data=data, options=options)
