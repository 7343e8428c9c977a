"""What people do about incidents: say that they have seen one, give it to somebody, note what is done, close it.

Each stops the clocks that it answers: acknowledging and assigning the first, a note that and the one for the first answer, closing all. Whoever repeats
what was done changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from monitor.alerts import Channel, tended_alerts
from monitor.audit import AuditEntry
from monitor.notifiers.alert import Occasion, Word
from monitor.responding.adding import REASON_CHARACTERS_MAX, check_actor
from monitor.responding.persons import short_name
from monitor.responding.refusals import ActRefused, No
from monitor.stores.acting import Acting, ActingRecord
from monitor.stores.clocks import IncidentAct, IncidentWord
from monitor.stores.record import NotFound
from playbooks.clocks import Clock, ClockKind, latest
from playbooks.decision import Tier
from playbooks.incident import Incident, IncidentState

NOTE_CHARACTERS_MAX: Final = 10_000
ASSIGNEE_CHARACTERS_MAX: Final = 200

WORDS_MAX: Final = 1_000
"""What can be said about one incident."""

STOPS: Final = {
    IncidentAct.ACKNOWLEDGE: (ClockKind.ACKNOWLEDGE,),
    IncidentAct.ASSIGN: (ClockKind.ACKNOWLEDGE,),
    IncidentAct.NOTE: (ClockKind.ACKNOWLEDGE, ClockKind.RESPOND),
    IncidentAct.CLOSE: tuple(ClockKind),
}


class Tended(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as it stands, its clocks, what people have said of it, and whether this act changed anything."""

    incident: Incident
    clocks: tuple[Clock, ...]
    words: tuple[IncidentWord, ...]
    changed: bool


def acknowledge(
    store: ActingRecord,
    key: str,
    *,
    actor: str,
    now: int,
    channels: Sequence[Channel] = (),
    reason: str = "seen",
) -> Tended:
    """Say that somebody looks at it. Once for each episode: who comes later changes nothing."""
    _check_text(reason, REASON_CHARACTERS_MAX)
    with store.acting() as acting:
        incident = _open_one(acting, key, actor)
        if _is_acknowledged(acting, incident):
            return _stands(acting, incident, changed=False)
        return _said(acting, incident, IncidentAct.ACKNOWLEDGE, reason, actor, now, channels)


def assign(
    store: ActingRecord,
    key: str,
    *,
    to: str,
    actor: str,
    now: int,
    channels: Sequence[Channel] = (),
    reason: str = "assigned",
) -> Tended:
    """Give it to somebody; whoever had it before has it no more."""
    _check_text(reason, REASON_CHARACTERS_MAX)
    to = to.strip()
    if not 0 < len(to) <= ASSIGNEE_CHARACTERS_MAX or not to.isprintable():
        raise ActRefused(No.NO_PERSON, f"say to whom, in 1 to {ASSIGNEE_CHARACTERS_MAX} printable characters")
    with store.acting() as acting:
        incident = _open_one(acting, key, actor)
        if assignee_of(acting.words_about(key)) == to:
            return _stands(acting, incident, changed=False)
        return _said(acting, incident, IncidentAct.ASSIGN, reason, actor, now, channels, assignee=to)


def note(
    store: ActingRecord,
    key: str,
    *,
    text: str,
    actor: str,
    now: int,
    channels: Sequence[Channel] = (),
    name: str | None = None,
) -> Tended:
    """Write down what is known or done, also of one that is closed. `name` makes it safe to send again: the same name is the same note."""
    _check_text(text, NOTE_CHARACTERS_MAX)
    with store.acting() as acting:
        incident = _one(acting, key, actor)
        known = acting.known_word(name) if name is not None else None
        if known is not None:
            if (known.incident, known.text) != (key, text):
                raise ActRefused(No.OTHER_CONTENT, "this key is that of another note")
            return _stands(acting, incident, changed=False)
        return _said(acting, incident, IncidentAct.NOTE, text, actor, now, channels, name=name)


def close(
    store: ActingRecord, key: str, *, actor: str, reason: str, now: int, channels: Sequence[Channel] = ()
) -> Tended:
    """Say that it is over, and why. What is found about the entity from then on opens another incident."""
    _check_text(reason, REASON_CHARACTERS_MAX)
    with store.acting() as acting:
        incident = _one(acting, key, actor)
        if incident.state is IncidentState.CLOSED:
            return _stands(acting, incident, changed=False)
        return _said(acting, incident, IncidentAct.CLOSE, reason, actor, now, channels)


def end_emptied(
    acting: Acting, incidents: Sequence[Incident], *, actor: str, said: str, now: int, channels: Sequence[Channel]
) -> None:
    """Of incidents that are closed because none of their findings counts any more: stop what is owed, and tell whoever was told."""
    for incident in incidents:
        if acting.stop_clocks(incident.id, tuple(ClockKind), now, actor):
            word = Word(occasion=Occasion.CLOSED, by=short_name(actor), said=said)
            acting.send(tended_alerts(incident, word, latest(acting.clocks_of(incident.id)), channels, now))


def assignee_of(words: Sequence[IncidentWord]) -> str:
    """Who has an incident, by what was said about it; nobody at first."""
    return next((word.assignee for word in reversed(words) if word.act is IncidentAct.ASSIGN), "")


def tended_state(incident: Incident, clocks: Sequence[Clock], words: Sequence[IncidentWord]) -> str:
    """``open``, ``acknowledged`` or ``closed``."""
    if incident.state is IncidentState.CLOSED:
        return incident.state.value
    return "acknowledged" if is_acknowledged(clocks, words) else incident.state.value


def is_acknowledged(clocks: Sequence[Clock], words: Sequence[IncidentWord]) -> bool:
    """Whether somebody has seen an incident since it has been so severe."""
    running = [one for one in latest(clocks) if one.kind is ClockKind.ACKNOWLEDGE]
    return all(one.stopped is not None for one in running) if running else bool(words)


def _said(
    acting: Acting,
    incident: Incident,
    act: IncidentAct,
    text: str,
    actor: str,
    now: int,
    channels: Sequence[Channel],
    *,
    assignee: str = "",
    name: str | None = None,
) -> Tended:
    """Keep what was said, stop the clocks that it answers, and tell whoever is to know."""
    words = acting.words_about(incident.id)
    if len(words) >= WORDS_MAX:
        raise ActRefused(No.TOO_MANY, f"{len(words):,} words were said about this incident, and no more are taken")
    was_seen = _is_acknowledged(acting, incident)
    stood = incident
    if act is IncidentAct.CLOSE:
        incident = msgspec.structs.replace(incident, state=IncidentState.CLOSED)
    word = IncidentWord(
        id=name or secrets.token_hex(16),
        incident=incident.id,
        time=now,
        actor=actor,
        act=act,
        text=text.strip(),
        assignee=assignee,
    )
    acting.add_word(word, incident if incident is not stood else None, _entry(word, stood, assignee_of(words)))
    acting.stop_clocks(incident.id, STOPS[act], now, actor)
    occasion = Occasion.CLOSED if act is IncidentAct.CLOSE else Occasion.ACKNOWLEDGED
    if occasion is Occasion.CLOSED or (not was_seen and stood.state is IncidentState.OPEN):
        said = Word(occasion=occasion, by=short_name(actor), said=text.strip())
        acting.send(tended_alerts(incident, said, latest(acting.clocks_of(incident.id)), channels, now))
    return _stands(acting, incident, changed=True)


def _entry(word: IncidentWord, incident: Incident, assignee: str) -> AuditEntry:
    before, after = {
        IncidentAct.ACKNOWLEDGE: (incident.state.value, "acknowledged"),
        IncidentAct.ASSIGN: (assignee, word.assignee),
        IncidentAct.NOTE: ("", word.id),
        IncidentAct.CLOSE: (incident.state.value, IncidentState.CLOSED.value),
    }[word.act]
    return AuditEntry(
        time=word.time,
        actor=word.actor,
        action=f"incident.{word.act.value}",
        subject=word.incident,
        reason=word.text,
        before=before,
        after=after,
    )


def _one(acting: Acting, key: str, actor: str) -> Incident:
    check_actor(acting, actor, Tier.OBSERVE)
    found = acting.incident(key)
    if found is None:
        raise NotFound("incident", key)
    return found


def _open_one(acting: Acting, key: str, actor: str) -> Incident:
    incident = _one(acting, key, actor)
    if incident.state is IncidentState.CLOSED:
        raise ActRefused(No.NOT_WAITING, f"incident {key} is closed already; what is new opens another one")
    return incident


def _is_acknowledged(acting: Acting, incident: Incident) -> bool:
    return is_acknowledged(acting.clocks_of(incident.id), acting.words_about(incident.id))


def _stands(acting: Acting, incident: Incident, *, changed: bool) -> Tended:
    return Tended(
        incident=incident,
        clocks=tuple(acting.clocks_of(incident.id)),
        words=tuple(acting.words_about(incident.id)),
        changed=changed,
    )


def _check_text(text: str, characters_max: int) -> None:
    if not 0 < len(text.strip()) <= characters_max:
        raise ActRefused(No.NO_REASON, f"say it in 1 to {characters_max:,} characters; it is kept in the audit")


def overdue(clocks: Collection[Clock], now: int) -> list[Clock]:
    """Clocks whose time is over and that nobody has stopped."""
    return [clock for clock in clocks if clock.stopped is None and clock.due <= now]
