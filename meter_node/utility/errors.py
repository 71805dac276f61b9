"""Why something could not be done at a meter, in words for the person who asked."""

from __future__ import annotations

from meter_node.cosem.access import DataAccessResult

_RESULTS = {
    DataAccessResult.HARDWARE_FAULT: "it could not keep or do it",
    DataAccessResult.TEMPORARY_FAILURE: "it can't say or do that just now",
    DataAccessResult.READ_WRITE_DENIED: "this client may not",
    DataAccessResult.OBJECT_UNDEFINED: "it has no such object",
    DataAccessResult.OBJECT_CLASS_INCONSISTENT: "the object is of another class",
    DataAccessResult.OBJECT_UNAVAILABLE: "the object is not there now",
    DataAccessResult.TYPE_UNMATCHED: "the value is not of the type it wants",
    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED: "that part can't be selected",
    DataAccessResult.OTHER_REASON: "it will not",
}


class UtilityError(Exception):
    """Something could not be done; the text says what and why."""


class UnreachableError(UtilityError):
    """There is no way to the meter, or it ended."""


class NoAnswerError(UtilityError):
    """The meter is silent."""


class NotGenuineError(UtilityError):
    """What came is not what the meter would have answered: nothing of it is used."""


class RejectedError(UtilityError):
    """The meter does not let this client in. `keys`: it is because of the keys."""

    def __init__(self, text: str, *, keys: bool = False) -> None:
        super().__init__(text)
        self.keys = keys


class RefusedError(UtilityError):
    """The meter, genuine, refused; `result` is what it said, `reason` its sentence if any."""

    def __init__(self, what: str, result: int, reason: str = "") -> None:
        try:
            known = DataAccessResult(result)
            name = known.name.lower().replace("_", "-")
            text = f"{name}: {_RESULTS.get(known, 'refused')}"
        except ValueError:
            text = f"result {result}"
        super().__init__(f"{what}: the meter refused ({text})" + (f": {reason}" if reason else ""))
        self.what = what
        self.result = result
        self.reason = reason
