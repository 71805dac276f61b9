"""A meter that keeps a load profile and is asked for it: its answers as docs/dlms.md has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from homeassistant.exceptions import HomeAssistantError

from custom_components.meter_node.channel import axdr, registers, services
from custom_components.meter_node.channel.axdr import Value
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.objects import (
    ENTRY,
    LOAD_PROFILE,
    PROFILE_STATUS,
    ClassId,
    CosemObject,
    column,
)

HOUR_S = 3600
_NUMBER = column(LOAD_PROFILE.logical_name, ENTRY)
_CLOCK = CosemObject(ClassId.CLOCK, registers.CLOCK)


class NoAnswerError(HomeAssistantError):
    """The meter did not answer."""

    reason = "no_answer"


@dataclass(frozen=True)
class KeptRow:
    """One interval; ``end_s`` in UTC seconds, values in Wh in the order of the captures."""

    entry: int
    end_s: int
    values: tuple[int | None, ...]
    status: int = 0


@dataclass
class KeptProfile:
    """Answers what is asked of a load profile."""

    zone: tzinfo = UTC
    period_s: int = 900
    captures: tuple[str, ...] = ("import_active_energy", "export_active_energy")
    rows: list[KeptRow] = field(default_factory=list)
    depth: int = 38_400
    silent: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)
    """The ranges of entries that were asked for."""

    def keep(self, end_s: int, *values: int | None, status: int = 0) -> None:
        """Keep one more row."""
        entry = self.rows[-1].entry + 1 if self.rows else 1
        self.rows.append(KeptRow(entry, end_s, values, status))

    def heard(self, meter_time: datetime) -> None:
        """Its clock is nobody's concern here."""

    async def async_ask(self, service: bytes) -> Value:
        """Answer a get-request."""
        if self.silent:
            raise NoAnswerError("the meter does not answer")
        assert service[0] == services.GET
        name, attribute = service[5:11], service[11]
        if name == _NUMBER.logical_name:
            return self.rows[-1].entry if self.rows else 0
        if name != LOAD_PROFILE.logical_name:
            raise NoAnswerError("it is asked for its load profile alone here")
        selection = service[13:] if service[12] else None
        return axdr.decode_all(self._attribute(attribute, selection))

    def _attribute(self, attribute: int, selection: bytes | None) -> bytes:
        match attribute:
            case 2:
                assert selection is not None, "the whole buffer is too much to ask for"
                return self._selected(selection)
            case 3:
                fixed = (_CLOCK, PROFILE_STATUS[LOAD_PROFILE], _NUMBER)
                names = [*fixed, *(self._register(key) for key in self.captures)]
                return axdr.array(*map(_definition, names))
            case 4:
                return axdr.double_long_unsigned(self.period_s)
            case 8:
                return axdr.double_long_unsigned(self.depth)
        raise AssertionError(f"attribute {attribute}")

    def _selected(self, selection: bytes) -> bytes:
        assert selection[0] == 1, "a range"
        restriction: Any = axdr.decode_all(selection[1:])
        (_, which, _, _), first, last, _ = restriction
        assert which == _NUMBER.logical_name
        self.asked.append((first, last))
        return axdr.array(*(self._row(row) for row in self.rows if first <= row.entry <= last))

    def _row(self, row: KeptRow) -> bytes:
        moment = CosemDateTime.at(datetime.fromtimestamp(row.end_s, UTC), self.zone)
        return axdr.structure(
            axdr.octet_string(moment.to_bytes()),
            axdr.unsigned(row.status),
            axdr.double_long_unsigned(row.entry),
            *(
                axdr.null_data() if value is None else axdr.long64_unsigned(value)
                for value in row.values
            ),
        )

    @staticmethod
    def _register(key: str) -> CosemObject:
        return CosemObject(ClassId.REGISTER, registers.BY_KEY[key].logical_name)


def _definition(which: CosemObject) -> bytes:
    return axdr.structure(
        axdr.long_unsigned(which.class_id),
        axdr.octet_string(which.logical_name),
        axdr.integer(2),
        axdr.long_unsigned(0),
    )
