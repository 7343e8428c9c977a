"""All kinds of misbehaviour that can be staged, each with the behaviour it shows, and the staging of a whole run's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import polars as pl

from monitor.simulate import misbehaviour_privacy as privacy
from monitor.simulate import misbehaviour_runtime as runtime
from monitor.simulate import misbehaviour_session as session
from monitor.simulate.letters import hexadecimal, instants, scramble, texts
from monitor.simulate.stage import Incident, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.simulate.world import World

KINDS: Final[dict[str, tuple[int, Callable[[Stage], Incident]]]] = {
    "plain-http": (15, runtime.plain_http),
    "login-storm": (8, session.login_storm),
    "sandbox-escape": (16, runtime.sandbox_escape),
    "secrets-in-logs": (20, privacy.secrets_in_logs),
    "payment-forgery": (11, session.payment_forgery),
    "hidden-api": (17, runtime.hidden_api),
    "off-list-host": (15, runtime.off_list_host),
    "covert-location": (2, privacy.covert_location),
    "credential-stuffing": (8, session.credential_stuffing),
    "injection": (19, runtime.injection),
    "undeclared-privacy": (1, privacy.undeclared_privacy),
    "use-after-revocation": (1, privacy.use_after_revocation),
    "exfiltration": (3, privacy.exfiltration),
    "collusion": (4, privacy.collusion),
    "page-forgery": (5, runtime.page_forgery),
    "content-switch": (6, runtime.content_switch),
    "induced-sharing": (7, runtime.induced_sharing),
    "code-replay": (9, session.code_replay),
    "resource-enumeration": (10, session.resource_enumeration),
    "carding": (12, session.carding),
    "debug-in-production": (18, runtime.debug_in_production),
    "resource-abuse": (21, runtime.resource_abuse),
    "bot-traffic": (22, session.bot_traffic),
    "box-app": (23, runtime.box_app),
    "clipboard-abuse": (24, privacy.clipboard_abuse),
    "fraud-complaints": (25, runtime.complaints),
    "quota-evasion": (26, session.quota_evasion),
    "update-not-taken": (27, runtime.update_not_taken),
}
"""Kind to the number of its behaviour in the taxonomy, and its staging. When a run is short, earlier kinds come first."""

STREAM: Final = 20
EVENTS_PER_ROUND: Final = 1_000_000  # one incident of each kind for so many events
ROUNDS_MAX: Final = 20
SHARE_MAX: Final = 0.5  # of a run's events that may be misbehaviour; what does not fit is left out
IDS_MAX: Final = 20
ID_BASE: Final = 2**48  # numbers of staged events begin here; honest ones stay far below


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one incident. Times are RFC 3339."""

    kind: str
    behaviour: int
    scope: str
    value: str
    variant: str
    start: str
    end: str
    events: int
    event_ids: tuple[str, ...]


def event_ids(world: World, numbers: np.typing.NDArray[np.int64]) -> pl.Series:
    """An id an event; no two numbers share one, nor do two days of the same seed."""
    words = scramble(np.array([world.seed]), 51) ^ scramble(np.array([world.start]), 50)
    salt = int(words[0] & np.uint64(2**62 - 1))
    return texts(hexadecimal(scramble(numbers ^ salt, 52)))


def staged(world: World, kinds: frozenset[str], *, loud: bool) -> tuple[pl.DataFrame, list[Label]]:
    """The events of all incidents of a run in the order of time, and their labels."""
    rounds = min(ROUNDS_MAX, max(1, world.events // EVENTS_PER_ROUND))
    rng = world.generator(STREAM)
    # Offenders come from the less popular half, so that the most visited apps stay honest; each offends once while they last.
    unpopular = world.count // 2 + rng.permutation(world.count - world.count // 2)
    frames, labels = [], []
    left = int(world.events * SHARE_MAX)
    for turn in range(rounds):
        for place, (kind, (behaviour, stage_it)) in enumerate(KINDS.items()):
            if kind not in kinds:
                continue
            number = turn * len(KINDS) + place
            stage = Stage(
                world, world.generator(STREAM, number), int(unpopular[number % len(unpopular)]), number, loud=loud
            )
            incident = stage_it(stage)
            if incident.frame.height > left:
                continue
            left -= incident.frame.height
            numbers = ID_BASE + number * 100_000 + np.arange(incident.frame.height)
            frame = incident.frame.with_columns(event_ids(world, numbers).alias("event.id"))
            frames.append(frame.drop("_release", "_slug", "_merchant", strict=False))
            labels.append(_label(kind, behaviour, incident, frame, loud=loud))
    every = pl.concat(frames, how="diagonal_relaxed").sort("_time", maintain_order=True) if frames else pl.DataFrame()
    return every, labels


def _label(kind: str, behaviour: int, incident: Incident, frame: pl.DataFrame, *, loud: bool) -> Label:
    times = instants(np.array([frame["_time"][0], frame["_time"][-1]]))
    return Label(
        kind=kind,
        behaviour=behaviour,
        scope=incident.scope,
        value=incident.value,
        variant="loud" if loud else "quiet",
        start=times[0],
        end=times[1],
        events=frame.height,
        event_ids=tuple(frame["event.id"].head(IDS_MAX)),
    )
