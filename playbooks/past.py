"""The past of some entities as it is needed to weigh it again: findings in their order, decisions, and what people said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from playbooks.decision import RELEASED, Act, Decision, Mode, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from detectors.finding import Entity, Finding

Key: TypeAlias = "tuple[str, Act, str | None, Mode, int, tuple[tuple[str, int | str], ...]]"
"""One act of one finding, as strong and as long: by it the decisions of two worlds are compared, whatever their ids are."""

AFTER_UNDO: Final = "undo:"
"""How the label begins of a decision that waits because of an undo; the undo's id follows."""

LASTING: Final = "lasting:"
"""How the label begins that says how many seconds such a decision was meant to last from its beginning on."""


INSTEAD_OF: Final = "instead-of:"
"""How the label begins that says for which decision without a finding, a person's, such a one stands; its id follows."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as it was weighed: in which turn, as which of its findings, by which clock, and whether it counted then."""

    finding: Finding
    turn: int
    place: int
    clock: int
    mode: Mode  # live or replay
    incident: str | None
    excepted: bool = False

    @property
    def order(self) -> tuple[int, int]:
        return self.turn, self.place


class Word(msgspec.Struct, frozen=True):
    """When a decision was taken back or refused, and whether a person spoke of it alone (or an undo lifted it with others)."""

    time: int
    of_person: bool


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """All that was decided about some entities, and all findings that it rested on, as far as they are kept.

    `decisions` are all rows, the oldest first; `words` say of those lifted or refused when that was; `undone` are the times of
    earlier undos. All is there of `entities`; of others only what their developer's risk and repetition rest on.
    """

    entities: AbstractSet[Entity]
    weighed: Sequence[Weighed]
    decisions: Sequence[Decision]
    words: Mapping[str, Word]
    undone: Sequence[int]


def key_of(decision: Decision) -> Key:
    """By what a decision is known in another world; one without a finding by itself, or by that for which it stands."""
    lasting = _said(decision, LASTING)
    duration_s = decision.duration_s if lasting is None else int(lasting)
    name = decision.finding or _said(decision, INSTEAD_OF) or decision.id
    return name, decision.type, decision.target, decision.mode, duration_s, tuple(sorted(decision.parameters.items()))


def _said(decision: Decision, beginning: str) -> str | None:
    """What a label says that begins like that."""
    return next((label.removeprefix(beginning) for label in decision.labels if label.startswith(beginning)), None)


def is_persons(decision: Decision) -> bool:
    """Whether a person made or approved it: no machine takes it back."""
    return decision.reason is Reason.OPERATOR


def is_after_undo(decision: Decision) -> bool:
    """Whether it was written because of an undo, beside what was decided at the time."""
    return any(label.startswith(AFTER_UNDO) for label in decision.labels)


def is_released(decision: Decision) -> bool:
    """Whether an undo lifted it because of what it rested on."""
    return RELEASED in decision.labels
