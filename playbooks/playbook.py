"""What a playbook file says: read with every mistake at its place; nothing permanent, nothing unknown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from detectors.finding import Scope, Severity
from playbooks.action import (
    AIM_CHARACTERS_MAX,
    LIMIT_MAX,
    Action,
    Ban,
    Captcha,
    ForceUpdate,
    FunctionBan,
    Remove,
    Throttle,
    Warn,
    is_aim,
)
from playbooks.decision import Act, Mode, Tier, Unanswered
from playbooks.duration import parse_duration_s
from playbooks.ladder import ENFORCEABLE, MEMORY_DAYS, Match, Playbook, Step, When
from playbooks.reading import Problem, Reader, Value
from playbooks.versions import LATEST, is_version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import StrEnum

__all__ = ["PLAYBOOKS_MAX", "Playbook", "Problem", "parse_playbooks"]

PLAYBOOKS_MAX: Final = 1_000
STEPS_MAX: Final = 20
ACTIONS_MAX: Final = 10

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PLAYBOOK_KEYS: Final = frozenset(
    {"name", "title", "priority", "match", "mode", "per_owner", "memory_days", "steps"},
)
_MATCH_KEYS: Final = frozenset({"scopes", "behaviours", "tags", "rules", "kinds", "min_severity"})
_STEP_KEYS: Final = frozenset({"tier", "when", "actions", "answer_within", "when_unanswered"})
_WHEN_KEYS: Final = frozenset({"risk", "findings", "repeats", "deadlines_missed"})
_ACTION_KEYS: Final = {
    Act.WARN: (frozenset({"deadline"}), frozenset[str]()),
    Act.THROTTLE: (frozenset({"for", "limit", "per"}), frozenset({"target"})),
    Act.CAPTCHA: (frozenset({"for"}), frozenset[str]()),
    Act.FUNCTION_BAN: (frozenset({"for", "target"}), frozenset[str]()),
    Act.FORCE_UPDATE: (frozenset({"for", "version_min"}), frozenset({"deadline"})),
    Act.REMOVE: (frozenset({"for"}), frozenset[str]()),
    Act.BAN: (frozenset({"for"}), frozenset[str]()),
}
"""Keys that an action must have, and may have, besides its type."""


def parse_playbooks(sources: Sequence[tuple[str, str]]) -> tuple[tuple[Playbook, ...], list[Problem]]:
    """The playbooks of some files, given as (path, text), in the order in which they are asked; and all problems.

    A file with a problem gives no playbook; the others are unharmed.
    """
    playbooks: dict[str, Playbook] = {}
    problems: list[Problem] = []
    for index, (path, text) in enumerate(sources):
        reader = Reader(path)
        document = reader.read(text)
        playbook = _playbook(reader, document) if document is not None else None
        if playbook is not None and playbook.name in playbooks:
            reader.problem(1, f"a second playbook {playbook.name!r}", "each name once", "Rename one of the two.")
        if index >= PLAYBOOKS_MAX:
            reader.problem(1, f"file {index + 1:,}", f"at most {PLAYBOOKS_MAX:,} files", "Join playbooks or drop some.")
        if playbook is not None and not reader.problems:
            playbooks[playbook.name] = playbook
        problems += reader.problems
    return tuple(sorted(playbooks.values(), key=lambda playbook: (playbook.priority, playbook.name))), problems


def _playbook(reader: Reader, document: Value) -> Playbook:
    keys = reader.mapping(document, "a playbook", _PLAYBOOK_KEYS, frozenset({"name", "title", "priority", "steps"}))
    name = reader.text(keys.get("name"), "the name", "unnamed")
    if not _NAME.fullmatch(name):
        reader.problem(keys["name"].line, repr(name), "a name like login-storm", "Use small letters, digits and -.")
    return Playbook(
        name=name,
        title=reader.text(keys.get("title"), "the title"),
        priority=reader.whole(keys.get("priority"), "priority", 0, 1_000_000, 0),
        match=_match(reader, keys.get("match")),
        mode=Mode(reader.choice(keys.get("mode"), "mode", [Mode.LIVE, Mode.SHADOW]) or Mode.LIVE),
        per_owner=reader.flag(keys.get("per_owner"), "per_owner"),
        memory_days=reader.whole(keys.get("memory_days"), "memory_days", 1, 3650, MEMORY_DAYS),
        steps=_steps(reader, keys.get("steps")),
    )


def _match(reader: Reader, value: Value | None) -> Match:
    if value is None:
        return Match()
    keys = reader.mapping(value, "match", _MATCH_KEYS, frozenset())
    kinds = ["rule", "statistical", "learned", "integrity"]
    behaviours = reader.items(keys.get("behaviours"), "behaviours")
    severity = reader.choice(keys.get("min_severity"), "min_severity", _words(Severity))
    scopes = _chosen(reader, keys.get("scopes"), "a scope", [scope.value for scope in ENFORCEABLE])
    return Match(
        scopes=frozenset(Scope(scope) for scope in scopes) or frozenset(ENFORCEABLE),
        behaviours=frozenset(reader.whole(item, "a behaviour", 1, 999, 1) for item in behaviours),
        tags=frozenset(reader.text(item, "a tag") for item in reader.items(keys.get("tags"), "tags")),
        rules=frozenset(reader.text(item, "a rule's id") for item in reader.items(keys.get("rules"), "rules")),
        kinds=frozenset(_chosen(reader, keys.get("kinds"), "a kind", kinds)),
        min_severity=Severity(severity or Severity.INFORMATIONAL),
    )


def _words(words: type[StrEnum]) -> list[str]:
    return [word.value for word in words]


def _chosen(reader: Reader, value: Value | None, what: str, choices: list[str]) -> list[str]:
    """The members of a list, each one of a few words."""
    chosen = [reader.choice(item, what, choices) for item in reader.items(value, f"{what}s")]
    return [choice for choice in chosen if choice is not None]


def _steps(reader: Reader, value: Value | None) -> tuple[Step, ...]:
    steps: list[Step] = []
    items = reader.items(value, "steps")
    if value is not None and not 1 <= len(items) <= STEPS_MAX:
        reader.problem(value.line, f"{len(items)} steps", f"1 to {STEPS_MAX} steps", "Say what is done at which tier.")
    for item in items[:STEPS_MAX]:
        step = _step(reader, item)
        if steps and step.tier.rank < steps[-1].tier.rank:
            found = f"{step.tier} after {steps[-1].tier}"
            reader.problem(item.line, found, "steps from the lowest tier to the highest", "Put them in order.")
        steps.append(step)
    return tuple(steps)


def _step(reader: Reader, value: Value) -> Step:
    keys = reader.mapping(value, "a step", _STEP_KEYS, frozenset({"tier", "when"}))
    tier = Tier(reader.choice(keys.get("tier"), "tier", _words(Tier)) or Tier.BAN)
    items = reader.items(keys.get("actions"), "actions")
    if len(items) > ACTIONS_MAX:
        reader.problem(keys["actions"].line, f"{len(items)} actions", f"at most {ACTIONS_MAX}", "Drop some.")
    actions = [(item, _action(reader, item)) for item in items[:ACTIONS_MAX]]
    for item, action in actions:
        if action is not None and action.tier.rank > tier.rank:
            found = f"{action.act} in a step of tier {tier}"
            reader.problem(
                item.line, found, f"acts of tier {tier} or lower", f"Move it to a step of tier {action.tier}."
            )
    aims = [(action.act, action.aim) for _, action in actions if action is not None]
    if len(set(aims)) < len(aims):
        reader.problem(value.line, "the same act twice", "each act once for each target", "Remove one of them.")
    if not items and tier is not Tier.OBSERVE:
        reader.problem(value.line, f"a step of tier {tier} without actions", "actions", "Say what is done there.")
    return Step(
        tier=tier,
        when=_when(reader, keys["when"]) if "when" in keys else When(),
        actions=tuple(action for _, action in actions if action is not None),
        answer_within_s=_duration_s(reader, keys["answer_within"]) if "answer_within" in keys else None,
        unanswered=_unanswered(reader, keys.get("when_unanswered"), tier),
    )


def _unanswered(reader: Reader, value: Value | None, tier: Tier) -> Unanswered:
    """What becomes of what was held; what takes an app away never comes about because nobody answered."""
    chosen = Unanswered(reader.choice(value, "when_unanswered", _words(Unanswered)) or Unanswered.LAPSE)
    if value is not None and chosen is Unanswered.DECIDE_AGAIN and tier.rank > Tier.THROTTLE.rank:
        found = f"when_unanswered: {chosen} in a step of tier {tier}"
        expected = f"{Unanswered.LAPSE}, or a step of tier {Tier.THROTTLE} or lower"
        reader.problem(value.line, found, expected, "Removal and ban need a person: leave the line out.")
    return chosen


def _when(reader: Reader, value: Value) -> When:
    keys = reader.mapping(value, "when", _WHEN_KEYS, frozenset())
    return When(
        risk=reader.whole(keys.get("risk"), "risk", 0, 100, 0),
        findings=reader.whole(keys.get("findings"), "findings", 1, 1_000_000, 1),
        repeats=reader.whole(keys.get("repeats"), "repeats", 0, 1_000, 0),
        deadlines_missed=reader.whole(keys.get("deadlines_missed"), "deadlines_missed", 0, 1_000, 0),
    )


def _action(reader: Reader, value: Value) -> Action | None:
    """One action of a step, or None when it could not be read."""
    kind = value.content.get("type") if isinstance(value.content, dict) else None
    if kind is None:
        reader.problem(value.line, value.shown, "an action with its type", "Write {type: warn, deadline: 72h}.")
        return None
    act = reader.choice(kind, "the type of an action", _words(Act))
    if act is None:
        return None
    needed, allowed = _ACTION_KEYS[Act(act)]
    before = len(reader.problems)
    keys = reader.mapping(value, f"a {act}", needed | allowed | {"type"}, needed)
    duration_s = _duration_s(reader, keys.get("for") or keys.get("deadline"))
    per_s = _duration_s(reader, keys.get("per"))
    limit = reader.whole(keys.get("limit"), "limit", 1, LIMIT_MAX, 1)
    target = _target(reader, keys["target"]) if "target" in keys else None
    update = _update(reader, keys, duration_s) if Act(act) is Act.FORCE_UPDATE else None
    if len(reader.problems) > before:
        return None
    match Act(act):
        case Act.WARN:
            return Warn(duration_s=duration_s)
        case Act.THROTTLE:
            return Throttle(duration_s=duration_s, target=target, limit=limit, per_s=per_s)
        case Act.CAPTCHA:
            return Captcha(duration_s=duration_s)
        case Act.FUNCTION_BAN:
            return FunctionBan(duration_s=duration_s, target=target or "")
        case Act.FORCE_UPDATE:
            return update
        case Act.REMOVE:
            return Remove(duration_s=duration_s)
        case Act.BAN:
            return Ban(duration_s=duration_s)


def _target(reader: Reader, value: Value) -> str:
    name = reader.text(value, "target")
    if name and not is_aim(name):
        expected = f"1 to {AIM_CHARACTERS_MAX} printable characters"
        reader.problem(value.line, value.shown, expected, "Write the name of an API or function, as gateways know it.")
    return name


def _update(reader: Reader, keys: dict[str, Value], duration_s: int) -> ForceUpdate | None:
    """An update with its version and, where it has one, the time for which callers are only warned."""
    version, deadline = keys.get("version_min"), keys.get("deadline")
    text = reader.text(version, "version_min")
    if version is not None and text and text != LATEST and not is_version(text):
        advice = "Write it in quotes, so that YAML takes it for no number."
        reader.problem(version.line, version.shown, f"a version like '2.1.0', or {LATEST}", advice)
        return None
    grace_s = _duration_s(reader, deadline) if deadline is not None else 0
    if deadline is not None and grace_s >= duration_s:
        reader.problem(deadline.line, deadline.shown, "a deadline before the end", "Shorten it, or lengthen `for`.")
        return None
    return ForceUpdate(duration_s=duration_s, version_min=text, grace_s=grace_s) if text else None


def _duration_s(reader: Reader, value: Value | None) -> int:
    """Seconds of a duration; a missing one has been reported with its key."""
    if value is None:
        return 1
    try:
        return parse_duration_s(str(value.content))
    except ValueError as error:
        advice = "Nothing is permanent by itself: give an end, and renew it by hand if need be."
        reader.problem(value.line, str(error), "a duration like 30m, 24h or 7d, up to 365d", advice)
        return 1
