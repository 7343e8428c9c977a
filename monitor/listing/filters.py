"""The filters of every list. Nothing heavy is imported here, so that help on the command line costs nothing."""

# ruff: noqa: PLC0415 - the words of a filter are imported when one is given

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Form(StrEnum):
    """What is given for a filter: any text, one of a few words, a time, or nothing but that it is wanted."""

    TEXT = "text"
    WORD = "word"
    TIME = "time"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: ``--name`` on the command line, ``name=`` over HTTP. `words` gives what a word may be."""

    name: str
    about: str
    form: Form = Form.TEXT
    metavar: str = ""
    words: Callable[[], type[StrEnum]] | None = None


class Order(StrEnum):
    """In which order incidents are listed."""

    TIME = "time"
    RISK = "risk"


def _scopes() -> type[StrEnum]:
    from detectors.finding import Scope

    return Scope


def _severities() -> type[StrEnum]:
    from detectors.finding import Severity

    return Severity


def _incident_states() -> type[StrEnum]:
    from playbooks.incident import IncidentState

    return IncidentState


def _decision_states() -> type[StrEnum]:
    from playbooks.decision import DecisionState

    return DecisionState


def _appeal_states() -> type[StrEnum]:
    from monitor.stores.appeals import AppealState

    return AppealState


def _modes() -> type[StrEnum]:
    from playbooks.decision import Mode

    return Mode


def _letter_reasons() -> type[StrEnum]:
    from monitor.decoders import DeadLetterReason

    return DeadLetterReason


SINCE: Final = Filter("since", "From this time on: a date, a time, or 2h, 7d ago.", Form.TIME, "TIME")
UNTIL: Final = Filter("until", "Before this time.", Form.TIME, "TIME")
APP: Final = Filter("app", "About this app.", metavar="APP_ID")
SCOPE: Final = Filter("scope", "About this kind of entity: AppId, Ip …", Form.WORD, "SCOPE", _scopes)
VALUE: Final = Filter("value", "About the entity of this name; people are found by their id too.", metavar="VALUE")
RULE: Final = Filter("rule", "Of this rule: its id, the beginning of it, its name or file.", metavar="RULE")
SEVERITY: Final = Filter("severity", "Of at least this severity.", Form.WORD, "SEVERITY", _severities)
INCIDENT: Final = Filter("incident", "Of this incident.", metavar="ID")
INCIDENT_STATE: Final = Filter(
    "state", "In this state; acknowledged ones are open too.", Form.WORD, "STATE", _incident_states
)
DECISION_STATE: Final = Filter("state", "In this state.", Form.WORD, "STATE", _decision_states)
APPEAL_STATE: Final = Filter("state", "In this state.", Form.WORD, "STATE", _appeal_states)
DECISION: Final = Filter("decision", "Against this decision.", metavar="ID")
MODE: Final = Filter("mode", "Only live, shadow or replay ones; else all.", Form.WORD, "MODE", _modes)
WAITING: Final = Filter("waiting", "Those that wait for a person, the most urgent first; no other filters.", Form.FLAG)
SORT: Final = Filter("sort", "By the time of opening, or by risk, the greatest first.", Form.WORD, words=lambda: Order)
LETTER_REASON: Final = Filter("reason", "With this reason: broken-json, too-long …", Form.WORD, "WORD", _letter_reasons)
LETTER_SOURCE: Final = Filter("source", "Of this source, as the ledger names it.", metavar="NAME")
DEVELOPER: Final = Filter("developer", "Of this developer.", metavar="ID")
CATEGORY: Final = Filter("category", "Of this category.", metavar="NAME")
PROTECTED: Final = Filter("protected", "Only those that nothing is done to automatically.", Form.FLAG)
EXPIRED: Final = Filter("expired", "Those whose time is over too.", Form.FLAG)
ALL_TOKENS: Final = Filter("all", "Those that were revoked or have expired too.", Form.FLAG)
TAG: Final = Filter("tag", "With this tag: behaviour.8, attack.t1190 …", metavar="TAG")
