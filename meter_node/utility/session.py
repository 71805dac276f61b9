"""A conversation with one meter: requests in the words of objects, one after the other.

Must not know what is on the link between, nor what an object is for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from meter_node.channel import axdr, obis
from meter_node.channel.axdr import Value
from meter_node.channel.objects import REFUSAL, CosemObject
from meter_node.cosem.access import DataAccessResult
from meter_node.utility.client import DlmsClient, Talk
from meter_node.utility.errors import (
    NoAnswerError,
    NotGenuineError,
    RefusedError,
    UnreachableError,
    UtilityError,
)
from meter_node.utility.requests import Wanted

LIST = 32
"""Attributes asked for at once."""


class Link(Protocol):
    """A way to the meter, open."""

    def exchange(self, apdu: bytes) -> bytes:
        """Send an APDU and return the one that comes back. Raises UtilityError."""

    def close(self) -> None:
        """Hang up; never raises."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an object; its value by default."""

    object: CosemObject
    number: int = 2


class Session:
    """One open association on one link."""

    def __init__(self, link: Link, client: DlmsClient) -> None:
        """Associate. Raises UtilityError; the link is closed then."""
        self._link = link
        self._client = client
        self._is_lost = False
        try:
            self._run(client.associate())
        except BaseException:
            link.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release, and hang up."""
        if not self._is_lost:  # who was silent is not waited for once more
            with contextlib.suppress(UtilityError, OSError):
                self._run(self._client.release())
        self._link.close()

    def get(
        self,
        wanted: Attribute,
        selection: tuple[int, bytes] | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Value:
        """Return an attribute's value, or the selected part. Raises RefusedError."""
        asked = _wanted(wanted, selection)
        (result,) = self._run(self._client.get([asked], progress))
        if isinstance(result, DataAccessResult):
            raise self._refused(f"{_name(wanted)}", result)
        return _decoded(result)

    def get_all(self, wanted: Sequence[Attribute]) -> list[Value | DataAccessResult]:
        """Return many attributes, of each its value or why there is none."""
        found: list[Value | DataAccessResult] = []
        for start in range(0, len(wanted), LIST):
            asked = [_wanted(one) for one in wanted[start : start + LIST]]
            results = self._run(self._client.get(asked))
            found += [
                one if isinstance(one, DataAccessResult) else _decoded(one) for one in results
            ]
        return found

    def put(self, wanted: Attribute, value: bytes, what: str = "") -> None:
        """Write an attribute (A-XDR). Raises RefusedError with `what` was to be done."""
        result = self._run(self._client.put(_wanted(wanted), value))
        if result is not DataAccessResult.SUCCESS:
            raise self._refused(what or _name(wanted), result)

    def act(self, wanted: Attribute, value: bytes | None = None, what: str = "") -> Value:
        """Call a method; without a parameter it gets the integer 0, as the standard has it.

        Raises RefusedError.
        """
        given = axdr.integer(0) if value is None else value
        result, returned = self._run(self._client.act(_wanted(wanted), given))
        if result is not DataAccessResult.SUCCESS:
            raise self._refused(what or _name(wanted), result)
        return returned

    def _refused(self, what: str, result: DataAccessResult) -> RefusedError:
        """Ask for the reason, which a meter of this make gives as a sentence."""
        reason = ""
        with contextlib.suppress(UtilityError):
            (said,) = self._run(self._client.get([_wanted(Attribute(REFUSAL))]))
            if isinstance(said, bytes):
                value = _decoded(said)
                reason = printable(value) if isinstance(value, str) else ""
        return RefusedError(what, result, reason)

    def _run[T](self, talk: Talk[T]) -> T:
        try:
            apdu = next(talk)
            while True:
                apdu = talk.send(self._link.exchange(apdu))
        except (NoAnswerError, UnreachableError):
            self._is_lost = True
            raise
        except StopIteration as done:
            result: T = done.value
            return result


def printable(text: str) -> str:
    """Return a text of a meter without what could move a terminal's cursor."""
    return "".join(symbol if symbol.isprintable() else "\ufffd" for symbol in text)


def _wanted(one: Attribute, selection: tuple[int, bytes] | None = None) -> Wanted:
    return Wanted(one.object.class_id, one.object.logical_name, one.number, selection)


def _name(one: Attribute) -> str:
    return f"{obis.text(one.object.logical_name)} attribute {one.number}"


def _decoded(data: bytes) -> Value:
    try:
        return axdr.decode_all(data)
    except axdr.AxdrError as error:
        raise NotGenuineError(f"what came back is no COSEM data: {error}") from None
