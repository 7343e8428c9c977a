"""What can be done to an entity, as values: each says what it is, how long it lasts and how it is lifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final, TypeAlias

import msgspec

from playbooks.decision import Act, Decision, Tier
from playbooks.duration import DURATION_S_MAX, DURATION_S_MIN, duration_text
from playbooks.risk import MICROSECONDS
from playbooks.versions import LATEST, is_version

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LIMIT_MAX: Final = 1_000_000
AIM_CHARACTERS_MAX: Final = 128
"""Of the name of an API or function."""


class Bounded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every action has: an act, the rung it stands on, an end, and words for lifting it."""

    act: ClassVar[Act]
    tier: ClassVar[Tier]
    lifted: ClassVar[str]
    """What undoing it does, for people."""

    duration_s: int

    def __post_init__(self) -> None:
        if not DURATION_S_MIN <= self.duration_s <= DURATION_S_MAX:
            raise ValueError(f"duration_s is {self.duration_s}; it must lie in {DURATION_S_MIN}..{DURATION_S_MAX}")

    @property
    def type(self) -> Act:
        return self.act

    @property
    def aim(self) -> str | None:
        """The one API or function meant, if any."""
        return None

    @property
    def parameters(self) -> dict[str, int | str]:
        """What the enforcer needs besides target and duration."""
        return {}

    def parameters_at(self, _begun: int) -> dict[str, int | str]:
        """The same, of an act that begins at a time (microseconds): what is counted from there is a time of its own."""
        return self.parameters

    @property
    def undo(self) -> str:
        """One sentence: what lifting it restores."""
        return self.lifted

    def idempotency_key(self, decision_id: str) -> str:
        """The same act of the same decision always has the same key, however often it is sent."""
        return f"{self.act}:{decision_id}"

    def undo_key(self, decision_id: str) -> str:
        """The key under which lifting it is sent."""
        return f"undo:{self.act}:{decision_id}"


class Warn(Bounded, frozen=True, kw_only=True, tag="warn"):
    """Tell the owner what is wrong and until when it must be put right; the deadline is the duration."""

    act: ClassVar = Act.WARN
    tier: ClassVar = Tier.WARN
    lifted: ClassVar = "The warning is withdrawn and its deadline no longer runs."


class Throttle(Bounded, frozen=True, kw_only=True, tag="throttle"):
    """Let through at most `limit` calls per `per_s` seconds, of one API or of all."""

    act: ClassVar = Act.THROTTLE
    tier: ClassVar = Tier.THROTTLE
    lifted: ClassVar = "The calls are let through at their usual rate again."

    target: str | None = None
    limit: int
    per_s: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None:
            _check_aim(self.target)
        if not (1 <= self.limit <= LIMIT_MAX and 1 <= self.per_s <= DURATION_S_MAX):
            raise ValueError(
                f"limit {self.limit} per {self.per_s} s; both must be 1 or more, limit at most {LIMIT_MAX}, per_s at most a year"
            )

    @property
    def aim(self) -> str | None:
        return self.target

    @property
    def parameters(self) -> dict[str, int | str]:
        return {"limit": self.limit, "per_s": self.per_s}


class Captcha(Bounded, frozen=True, kw_only=True, tag="captcha"):
    """Ask for proof that a person is there."""

    act: ClassVar = Act.CAPTCHA
    tier: ClassVar = Tier.THROTTLE
    lifted: ClassVar = "No proof of a person is asked for any more."


class FunctionBan(Bounded, frozen=True, kw_only=True, tag="function-ban"):
    """Switch off one function of the app (share, pay, login, location …)."""

    act: ClassVar = Act.FUNCTION_BAN
    tier: ClassVar = Tier.THROTTLE
    lifted: ClassVar = "The function works again."

    target: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_aim(self.target)

    @property
    def aim(self) -> str | None:
        return self.target


class ForceUpdate(Bounded, frozen=True, kw_only=True, tag="force-update"):
    """Refuse versions of the app below one; in the first `grace_s` seconds the caller is only warned.

    `latest` is the version that the registry calls released when it is decided. What is carried out is told as
    `version_min` and `deadline`, the RFC 3339 time from which on versions below are refused.
    """

    act: ClassVar = Act.FORCE_UPDATE
    tier: ClassVar = Tier.THROTTLE
    lifted: ClassVar = "Older versions may start again."

    version_min: str
    grace_s: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version_min != LATEST and not is_version(self.version_min):
            raise ValueError(
                f"version_min is {self.version_min!r}; numbers with dots between, or {LATEST}, are expected"
            )
        if not 0 <= self.grace_s < self.duration_s:
            raise ValueError(f"its deadline is after {self.grace_s} s, and it ends after {self.duration_s} s")

    @property
    def parameters(self) -> dict[str, int | str]:
        return {"version_min": self.version_min}

    def parameters_at(self, begun: int) -> dict[str, int | str]:
        return {**self.parameters, "deadline": _told_time(begun + self.grace_s * MICROSECONDS)}


class Remove(Bounded, frozen=True, kw_only=True, tag="remove"):
    """Take the app out of search, sharing and opening for some days."""

    act: ClassVar = Act.REMOVE
    tier: ClassVar = Tier.REMOVE
    lifted: ClassVar = "The app is listed and can be opened again."


class Ban(Bounded, frozen=True, kw_only=True, tag="ban"):
    """Close the account for some time; always waits for a person."""

    act: ClassVar = Act.BAN
    tier: ClassVar = Tier.BAN
    lifted: ClassVar = "The account is open again."


Action: TypeAlias = Warn | Throttle | Captcha | FunctionBan | ForceUpdate | Remove | Ban
"""All that can be done: a new member makes the type checker name every enforcer that must learn it."""


def action_of(decision: Decision) -> Action:
    """The action that a decision carries out, as a value again."""
    fields: dict[str, object] = {"type": decision.type.value, "duration_s": decision.duration_s, **decision.parameters}
    if decision.target is not None:
        fields["target"] = decision.target
    if (deadline := fields.pop("deadline", None)) is not None:
        fields["grace_s"] = (_read_time(str(deadline)) - decision.time) // MICROSECONDS
    action: Action = msgspec.convert(fields, Action)
    return action


def describe(action: Action) -> str:
    """The act in plain words: `login limited to 60 calls in 60 seconds, for 24 hours`."""
    lasting = f"for {duration_text(action.duration_s)}"
    match action:
        case Warn():
            return f"warned, with {duration_text(action.duration_s)} to put it right"
        case Throttle(target=target, limit=limit, per_s=per_s):
            return f"{target or 'all calls'} limited to {limit:,} in {duration_text(per_s)}, {lasting}"
        case Captcha():
            return f"asked for proof of a person, {lasting}"
        case FunctionBan(target=target):
            return f"function {target} switched off, {lasting}"
        case ForceUpdate(version_min=version, grace_s=grace_s):
            after = f" after {duration_text(grace_s)} of warning" if grace_s else ""
            return f"versions below {version} refused{after}, {lasting}"
        case Remove():
            return f"removed, {lasting}"
        case Ban():
            return f"banned, {lasting}"


def is_aim(name: str) -> bool:
    """Whether this can be the name of an API or function: it goes to gateways and terminals as it is."""
    return 0 < len(name) <= AIM_CHARACTERS_MAX and name.isprintable()


def _check_aim(name: str) -> None:
    if not is_aim(name):
        raise ValueError(
            f"target is {name[:32]!r}; 1 to {AIM_CHARACTERS_MAX} printable characters name an API or function"
        )


def _told_time(at: int) -> str:
    """RFC 3339 in UTC, exact to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_time(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
