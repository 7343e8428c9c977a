"""Why a person may not do something to a decision: a word for programs, a sentence that says what to do instead."""

from __future__ import annotations

from enum import StrEnum


class No(StrEnum):
    """The words for programs. They are stable."""

    PROTECTED = "protected"
    EXEMPT = "exempt"
    SECOND_PERSON = "second-person"
    NO_PERSON = "no-person"
    NOT_WAITING = "not-waiting"
    NOT_LIVE = "not-live"
    TOO_LATE = "too-late"
    BAD_ENTITY = "bad-entity"
    NO_REASON = "no-reason"
    TOO_LONG = "too-long"
    OTHER_CONTENT = "other-content"
    TOO_MANY = "too-many"
    NO_VERSION = "no-version"


class ActRefused(Exception):
    """The rules of responding say no; nothing has been changed."""

    def __init__(self, why: No, message: str) -> None:
        super().__init__(message)
        self.why = why
