"""What Miniwatch says of its decisions (``GET /api/v1/decisions/changes``), and which of them are in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""The longest answer that is read."""


class UnreadableAnswer(Exception):
    """An answer is not what the interface promises."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision in force. `expires` is in milliseconds since 1970 UTC."""

    number: int
    id: str
    scope: str
    value: str
    type: str
    target: str | None
    parameters: tuple[tuple[str, int | str], ...]
    expires: int

    def parameter(self, name: str) -> int | str | None:
        """A parameter by its name; None where it is not said."""
        return dict(self.parameters).get(name)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of changes: decisions that are in force as they now stand, and the numbers of those that have ended.

    `anew`: it does not go on from the position that was asked for, but begins with all that is in force.
    """

    position: int
    more: bool
    anew: bool
    in_force: tuple[Decision, ...]
    ended: tuple[int, ...]


@dataclass(slots=True)
class InForce:
    """The decisions in force, by number, as far as they are known: up to `position` in the sequence of changes."""

    position: int = 0
    decisions: dict[int, Decision] = field(default_factory=dict)

    def take(self, answer: Answer) -> None:
        """Go on by one answer."""
        for number in answer.ended:
            self.decisions.pop(number, None)
        for decision in answer.in_force:
            self.decisions[decision.number] = decision
        self.position = answer.position

    def end(self, now: int) -> bool:
        """Forget what has expired by now (milliseconds), and say whether there was any: no word of Miniwatch is needed."""
        over = [number for number, decision in self.decisions.items() if decision.expires <= now]
        for number in over:
            del self.decisions[number]
        return bool(over)

    @property
    def next_end(self) -> int | None:
        """When the next decision expires, in milliseconds since 1970; None where nothing is in force."""
        return min((decision.expires for decision in self.decisions.values()), default=None)


def read_answer(body: bytes) -> Answer:
    """An answer from its JSON. Raises `UnreadableAnswer`; what it has beyond the promised is left alone."""
    try:
        said = json.loads(body)
        position, more, anew, changes = said["position"], said["more"], said["anew"], said["changes"]
        if type(position) is not int or type(more) is not bool or type(anew) is not bool or type(changes) is not list:
            raise UnreadableAnswer("position, more, anew and changes are not a number, two truth values and a list")
        ended = tuple(_number(change) for change in changes if not change["in_force"])
        return Answer(position, more, anew, tuple(_decision(change) for change in changes if change["in_force"]), ended)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableAnswer(f"{type(error).__name__}: {error}") from None


def milliseconds(moment: str) -> int:
    """RFC 3339 as milliseconds since 1970 UTC. Raises `ValueError`, also where no zone is said."""
    read = datetime.fromisoformat(moment)
    if read.tzinfo is None:
        raise ValueError(f"{moment} says no zone")
    return int(read.timestamp() * 1000)


def _decision(change: Mapping[str, Any]) -> Decision:
    target = change["target"]
    return Decision(
        number=_number(change),
        id=_text(change["id"]),
        scope=_text(change["scope"]),
        value=_text(change["value"]),
        type=_text(change["type"]),
        target=None if target is None else _text(target),
        parameters=_parameters(change["parameters"]),
        expires=milliseconds(_text(change["expires"])),
    )


def _number(change: Mapping[str, Any]) -> int:
    number = change["number"]
    if type(number) is not int:
        raise UnreadableAnswer(f"{number!r} is no number of a decision")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UnreadableAnswer(f"{value!r} stands where a text is expected")
    return value


def _parameters(value: object) -> tuple[tuple[str, int | str], ...]:
    if not isinstance(value, dict) or not all(type(one) in (int, str) for one in value.values()):
        raise UnreadableAnswer(f"{value!r} are no parameters")
    return tuple(value.items())
