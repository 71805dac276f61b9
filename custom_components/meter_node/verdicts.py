"""What is made of a request's answer, or of none: why it failed, and whether it may be asked anew.

Must not know Home Assistant, a clock, a transport or ciphers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .channel import services
from .channel.services import Fault, RefusedError, Result

REVOCATIONS_BELIEVED = 2
"""So many requests in a row that only met a hint of revocation, and somebody is told."""


class Reason(StrEnum):
    """Why a meter did not do, or not say, what it was asked for."""

    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    REVOKED = "revoked"
    TOO_LONG = "too_long"
    NOT_NOW = "not_now"
    OTHER_TIME = "other_time"
    NOT_UNDERSTOOD = "not_understood"
    NO_LINK = "no_link"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed; ``key`` is the sentence by which a user is told."""

    reason: Reason
    key: str
    result: Result | None = None


NO_LINK = Failure(Reason.NO_LINK, "ask_no_link")
NOT_UNDERSTOOD = Failure(Reason.NOT_UNDERSTOOD, "ask_not_understood")
TOO_LONG = Failure(Reason.TOO_LONG, "ask_too_long")
_FAULTS = {
    Fault.OPERATION_NOT_POSSIBLE: Failure(Reason.NOT_NOW, "ask_not_now"),
    Fault.PDU_TOO_LONG: TOO_LONG,
    Fault.OTHER: Failure(Reason.OTHER_TIME, "ask_other_time"),
}
_RESULTS = {
    Result.HARDWARE_FAULT: "ask_not_kept",
    Result.READ_WRITE_DENIED: "ask_not_allowed",
    Result.OBJECT_UNDEFINED: "ask_not_there",
}


def is_command(service: bytes) -> bool:
    """Whether a service changes something at the meter."""
    return service[0] != services.GET


def of_refusal(error: RefusedError) -> Failure:
    """Return what a refusal under the tag means."""
    if error.result is None:
        assert error.fault is not None
        return _FAULTS.get(error.fault, NOT_UNDERSTOOD)
    return Failure(Reason.REFUSED, _RESULTS.get(error.result, "ask_refused"), error.result)


def of_silence(service: bytes, hint: Fault | None) -> Failure:
    """Return what it means that no answer came; ``hint``: what anybody may have sent meanwhile."""
    if hint is Fault.DECIPHERING:
        return Failure(Reason.REVOKED, "ask_revoked")
    key = "ask_no_answer_to_command" if is_command(service) else "ask_no_answer"
    return Failure(Reason.NO_ANSWER, key)


def may_be_repeated(service: bytes, failure: Failure) -> bool:
    """Whether asking anew can help and can't do a thing twice.

    A command without an answer may have been carried out. One that the meter took for too old or
    too new was not, and its refusal has told the meter's time.
    """
    if failure.reason is Reason.OTHER_TIME:
        return True
    return failure.reason is Reason.NO_ANSWER and not is_command(service)


def leaves_doubt(reason: Reason, result: Result | None) -> bool:
    """Whether something may have been done all the same."""
    return reason is Reason.NO_ANSWER or result is Result.HARDWARE_FAULT


def has_a_sentence(failure: Failure) -> bool:
    """Whether the meter may have said in words why it refused."""
    return failure.result is Result.OTHER_REASON
