"""What can be done to an entity, as values: each says what it is, how long it lasts and how it is lifted."""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

import msgspec

from playbooks.decision import Act, Decision, Tier
from playbooks.duration import DURATION_S_MAX, DURATION_S_MIN, duration_text

LIMIT_MAX: Final = 1_000_000


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
        if not (1 <= self.limit <= LIMIT_MAX and self.per_s >= 1):
            raise ValueError(
                f"limit {self.limit} per {self.per_s} s; both must be 1 or more, limit at most {LIMIT_MAX}"
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

    @property
    def aim(self) -> str | None:
        return self.target


class ForceUpdate(Bounded, frozen=True, kw_only=True, tag="force-update"):
    """Let the app start only in a version, or newer; `latest` is the one released last."""

    act: ClassVar = Act.FORCE_UPDATE
    tier: ClassVar = Tier.THROTTLE
    lifted: ClassVar = "Older versions may start again."

    version: str

    @property
    def parameters(self) -> dict[str, int | str]:
        return {"version": self.version}


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
        case ForceUpdate(version=version):
            return f"must be updated to version {version}, {lasting}"
        case Remove():
            return f"removed, {lasting}"
        case Ban():
            return f"banned, {lasting}"
