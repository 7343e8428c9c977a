"""The record in memory, for tests: the same promises as on disk, except that it ends with the process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from detectors.finding import Entity, Finding, Severity
from monitor.audit import GENESIS, AuditEntry, ChainedEntry, chain
from monitor.decoders import DeadLetter
from monitor.durable import boundary
from monitor.refusal import refusals_told
from monitor.stores import (
    CONTROLS_KEPT,
    AppRecord,
    Controlled,
    LetterBounds,
    Mark,
    Progress,
    Segment,
    StaleTurn,
    Standing,
    Turn,
)
from monitor.stores.granting import TooManyTokens, revoked_token, token_entry
from monitor.stores.letters import dead_letter_id, excess, letter_bytes
from monitor.stores.operating import expired, import_entry, revoked, standing_entry
from monitor.stores.record import (
    CLOCK_MODES,
    DECISIONS_PER_ENTITY_MAX,
    EVERYTHING,
    NOT_ENDED,
    RECENT_DECISIONS_MAX,
    AlreadyEnded,
    Counts,
    DeadLetterRow,
    Delivery,
    DeliveryState,
    LetterAccount,
    NotFound,
    Query,
    UnknownFilter,
)
from monitor.stores.turn import merged
from monitor.tokens import TOKENS_MAX, Token
from playbooks.decision import Considered, Decision, DecisionState, Mode
from playbooks.incident import Incident, IncidentState
from playbooks.risk import Risk

_Item = TypeVar("_Item")
_Read = Callable[[Any], Any]

_ENTITY: Final[dict[str, _Read]] = {"scope": lambda item: item.entity.scope, "value": lambda item: item.entity.value}
_FILTERS: Final[dict[str, dict[str, _Read]]] = {
    "findings": {**_ENTITY, "rule": lambda item: item.rule.id, "severity_min": lambda item: item.severity},
    "incidents": {**_ENTITY, "state": lambda item: item.state, "severity_min": lambda item: item.severity},
    "decisions": {
        **_ENTITY,
        **{name: attrgetter(name) for name in ("rule", "state", "mode", "incident")},
    },
    "dead_letters": {"partition": lambda item: item.partition, "reason": lambda item: item.reason},
}


class MemoryStore:
    """A `Record` of dictionaries. A write passes the same boundaries as on disk and is whole or not at all."""

    def __init__(self, letter_bounds: LetterBounds = LetterBounds()) -> None:  # noqa: B008 - frozen
        self._letter_bounds = letter_bounds
        self._accounts: dict[tuple[str, str], LetterAccount] = {}
        self._lock = threading.RLock()
        self._last_turn = 0
        self._uncertain: Turn | None = None
        self._marks: dict[int, Mark] = {}
        self._controls: list[Controlled] = []
        self._contents: dict[str, bytes] = {}
        self._progress: dict[str, Progress] = {}
        self._dead_letters: dict[str, DeadLetterRow] = {}
        self._findings: dict[str, Finding] = {}
        self._risks: dict[Entity, Risk] = {}
        self._incidents: dict[str, Incident] = {}
        self._decisions: dict[str, Decision] = {}
        self._considered: dict[str, Considered] = {}
        self._outbox: dict[str, Delivery] = {}
        self._segments: dict[str, Segment] = {}
        self._standings: dict[str, Standing] = {}
        self._apps: dict[tuple[str, int], AppRecord] = {}
        self._tokens: dict[str, Token] = {}
        self._audit: list[ChainedEntry] = []

    def close(self) -> None:
        """Nothing to let go."""

    def _write(self, kind: str, change: Callable[[], _Item], audit: Iterable[AuditEntry] = ()) -> _Item:
        """Pass the boundaries of a commit around a change that cannot fail half-way."""
        with self._lock, refusals_told(Path("memory")):
            boundary(f"commit:{kind}")
            done = change()
            self._append_audit(audit)
            boundary(f"commit:{kind}:done")
        return done

    def _append_audit(self, entries: Iterable[AuditEntry]) -> None:
        seq, head = (self._audit[-1].seq, self._audit[-1].hash) if self._audit else (0, GENESIS)
        self._audit.extend(chain(entries, seq, head))

    # The pipeline's side.

    def last_turn(self) -> int:
        return self._last_turn

    def progress(self) -> dict[str, Progress]:
        return dict(self._progress)

    def last_mark(self) -> Mark | None:
        return self._marks[max(self._marks)] if self._marks else None

    def marks(self, after_turn: int) -> Sequence[tuple[int, int]]:
        return [(turn, mark.watermark) for turn, mark in sorted(self._marks.items()) if turn > after_turn]

    def controls(self, subject: str) -> Sequence[Controlled]:
        return [one for one in self._controls if one.subject == subject]

    def content(self, digest: str) -> bytes | None:
        return self._contents.get(digest)

    def forget_marks(self, before_turn: int) -> None:
        kept = {turn: mark for turn, mark in self._marks.items() if turn >= min(before_turn, max(self._marks))}
        begun = {one.subject: one.turn for one in self._controls if one.turn <= before_turn}
        newest = {subject: self.controls(subject)[-CONTROLS_KEPT:][0].turn for subject in begun}
        controls = [
            one for one in self._controls if one.turn >= min(begun.get(one.subject, 0), newest.get(one.subject, 0))
        ]

        def forget() -> None:
            self._marks, self._controls = kept, controls
            self._contents = {one.digest: self._contents[one.digest] for one in controls}

        self._write("marks", forget)

    def commit(self, turn: Turn) -> None:
        if turn is self._uncertain and self._last_turn == turn.number:
            self._uncertain = None
            return
        if turn.number <= self._last_turn:
            raise StaleTurn(f"turn {turn.number} comes after turn {self._last_turn}, which is committed")
        self._uncertain = turn
        taken = msgspec.structs.replace(  # whatever the sequences are, they are read before anything changes
            turn,
            **{
                name: list(getattr(turn, name))
                for name in turn.__struct_fields__
                if name not in {"number", "time", "mark"}
            },
        )
        self._write("turn", lambda: self._take(taken))
        self._uncertain = None

    def _take(self, turn: Turn) -> None:
        if turn.mark is not None:
            self._marks[turn.number] = turn.mark
        self._controls += [
            Controlled(
                turn=turn.number, time=turn.time, subject=one.subject, digest=one.digest, positions=one.positions
            )
            for one in turn.controls
        ]
        self._contents |= {one.digest: one.content for one in turn.controls}
        self._progress.update((progress.partition, progress) for progress in turn.progress)
        self._keep_letters(dict(_dead_letters(turn)))
        stored = [self._findings[key] for key in {part.id for part in turn.findings} & self._findings.keys()]
        self._findings.update((finding.id, finding) for finding in merged(stored, turn.findings))
        self._risks.update((risk.entity, risk) for risk in turn.risks)
        self._incidents.update((incident.id, incident) for incident in turn.incidents)
        self._decisions.update((decision.id, decision) for decision in turn.decisions)
        self._considered.update((considered.finding, considered) for considered in turn.considered)
        for message in turn.messages:
            self._outbox.setdefault(message.key, Delivery(message=message, next_attempt=message.created))
        self._segments.update((segment.path, segment) for segment in turn.segments)
        self._append_audit(turn.audit)
        self._last_turn = turn.number

    def _keep_letters(self, letters: Mapping[str, DeadLetterRow]) -> None:
        self._dead_letters.update(letters)
        for row in letters.values():
            key = (row.partition, row.reason.value)
            account = self._accounts.get(key) or LetterAccount(partition=key[0], reason=key[1])
            self._accounts[key] = account.grown(row.lines, letter_bytes(len(row.sealed)))
        for partition in {row.partition for row in letters.values()}:
            for unit, most in self._letter_bounds.units:
                sizes = {key[1]: getattr(one, unit) for key, one in self._accounts.items() if key[0] == partition}
                for reason, over in excess(sizes, most).items():
                    self._drop_letters((partition, reason), unit, over)

    def _drop_letters(self, key: tuple[str, str], unit: str, over: int) -> None:
        left = getattr(self._accounts[key], unit) - over
        for row in [one for one in self._dead_letters.values() if (one.partition, one.reason.value) == key]:
            if getattr(self._accounts[key], unit) <= left:
                break
            del self._dead_letters[row.id]
            self._accounts[key] = self._accounts[key].without(row.lines, letter_bytes(len(row.sealed)))

    def dead_letter_accounts(self) -> Sequence[LetterAccount]:
        return [self._accounts[key] for key in sorted(self._accounts)]

    def forget_dead_letters(self, before: int) -> int:
        old = [row for row in self._dead_letters.values() if row.time < before]

        def forget() -> None:
            for row in old:
                del self._dead_letters[row.id]
                key = (row.partition, row.reason.value)
                gone = self._accounts[key].without(row.lines, letter_bytes(len(row.sealed)))
                self._accounts[key] = msgspec.structs.replace(gone, dropped=self._accounts[key].dropped)

        self._write("retention", forget)
        return len(old)

    def known_findings(self, ids: Collection[str]) -> set[str]:
        return {key for key in ids if key in self._findings}

    def risks(self, entities: Collection[Entity]) -> dict[Entity, Risk]:
        return {entity: self._risks[entity] for entity in entities if entity in self._risks}

    def open_incidents(self, entities: Collection[Entity]) -> dict[Entity, Incident]:
        wanted = set(entities)
        opened = [one for one in self._incidents.values() if one.entity in wanted and one.state is IncidentState.OPEN]
        return {one.entity: one for one in sorted(opened, key=lambda one: (one.opened, one.id))}

    def decisions_of(self, entities: Collection[Entity]) -> Mapping[Entity, Sequence[Decision]]:
        found: dict[Entity, list[Decision]] = {entity: [] for entity in entities}
        for decision in _newest_first(self._decisions.values()):
            if decision.entity in found:
                found[decision.entity].append(decision)
        return {entity: _remembered(decisions) for entity, decisions in found.items()}

    def decisions_of_owners(self, owners: Collection[str]) -> Mapping[str, Sequence[Decision]]:
        of = {owner: [one for one in self._decisions.values() if one.owner == owner] for owner in owners}
        return {owner: _remembered(_newest_first(decisions)) for owner, decisions in of.items()}

    # Lists.

    def findings(self, query: Query = EVERYTHING) -> Iterator[Finding]:
        rows = dict(self._findings)
        if query.incident is not None:
            rows = {key: one for key, one in rows.items() if self._incident_of(key) == query.incident}
            query = msgspec.structs.replace(query, incident=None)
        return _listed("findings", rows.values(), query, lambda one: one.time)

    def _incident_of(self, finding: str) -> str | None:
        considered = self._considered.get(finding)
        return considered.incident if considered else None

    def incidents(self, query: Query = EVERYTHING) -> Iterator[Incident]:
        return _listed("incidents", self._incidents.values(), query, lambda one: one.opened)

    def decisions(self, query: Query = EVERYTHING) -> Iterator[Decision]:
        return _listed("decisions", self._decisions.values(), query, lambda one: one.time)

    def dead_letters(self, query: Query = EVERYTHING) -> Iterator[DeadLetterRow]:
        return _listed("dead_letters", self._dead_letters.values(), query, lambda one: one.time)

    def finding(self, key: str) -> Finding | None:
        return self._findings.get(key)

    def incident(self, key: str) -> Incident | None:
        return self._incidents.get(key)

    def decision(self, key: str) -> Decision | None:
        return self._decisions.get(key)

    def dead_letter(self, key: str) -> DeadLetterRow | None:
        return self._dead_letters.get(key)

    def unseal(self, row: DeadLetterRow) -> DeadLetter:
        return DeadLetter(
            row.partition, row.position, row.reason, row.detail, row.sealed, row.length, row.lines, row.format
        )

    def considered(self, finding: str) -> Considered | None:
        return self._considered.get(finding)

    def recent_decisions(self, since: int) -> Sequence[Decision]:
        return [one for one in _newest_first(self._decisions.values()) if one.time >= since][:RECENT_DECISIONS_MAX]

    def decisions_in_force(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> Sequence[Decision]:
        active = [one for one in self._decisions.values() if one.state is DecisionState.ACTIVE and one.expires > now]
        return _newest_first(one for one in active if one.mode in modes)

    def counts(self) -> Counts:
        severities = Counter(one.severity.value for one in self._findings.values())
        return Counts(
            tables={name: len(rows) for name, rows in self._tables().items()},
            findings_by_severity=severities,
            findings_by_rule=Counter(one.rule.id for one in self._findings.values()),
            incidents_by_state=Counter(one.state.value for one in self._incidents.values()),
            decisions_by_type=Counter(one.type.value for one in self._decisions.values()),
            decisions_by_state=Counter(one.state.value for one in self._decisions.values()),
            dead_letters_by_reason=_lines_by_reason(self._accounts.values()),
            messages_by_state=Counter(one.state.value for one in self._outbox.values()),
            archived_events=sum(one.rows for one in self._segments.values()),
            archived_bytes=sum(one.bytes for one in self._segments.values()),
        )

    def _tables(self) -> dict[str, Collection[Any]]:
        return {
            "marks": self._marks,
            "progress": self._progress,
            "dead_letters": self._dead_letters,
            "dead_letter_accounts": self._accounts,
            "findings": self._findings,
            "risks": self._risks,
            "incidents": self._incidents,
            "decisions": self._decisions,
            "considered": self._considered,
            "outbox": self._outbox,
            "segments": self._segments,
            "standings": self._standings,
            "tokens": self._tokens,
            "apps": self._apps,
            "audit": self._audit,
        }

    def audit_entries(self, after_seq: int = 0) -> Iterator[ChainedEntry]:
        return iter(self._audit[after_seq:])

    # People.

    def audit(self, entry: AuditEntry) -> None:
        self._write("operator", lambda: None, [entry])

    def revoke_decision(self, key: str, actor: str, reason: str, now: int) -> Decision:
        decision = self._decisions.get(key)
        if decision is None:
            raise NotFound("decision", key)
        if decision.state not in NOT_ENDED:
            raise AlreadyEnded(decision)
        return self._write("operator", lambda: self._replace([revoked(decision, actor, reason, now)]))[0]

    def expire_decisions(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> list[Decision]:
        due = [
            one
            for one in self._decisions.values()
            if one.state in NOT_ENDED and one.expires <= now and one.mode in modes
        ]
        due.sort(key=lambda one: (one.expires, one.id))
        return self._write("expiry", lambda: self._replace([expired(one, now) for one in due]))

    def _replace(self, changes: Sequence[tuple[Decision, AuditEntry]]) -> list[Decision]:
        self._decisions.update((decision.id, decision) for decision, _ in changes)
        self._append_audit(entry for _, entry in changes)
        return [decision for decision, _ in changes]

    def add_standing(self, standing: Standing) -> None:
        entry = standing_entry(standing, "add", standing.actor, standing.reason, standing.created)
        self._write("operator", lambda: self._standings.update({standing.id: standing}), [entry])

    def remove_standing(self, key: str, actor: str, reason: str, now: int) -> Standing:
        standing = self._standings.get(key)
        if standing is None:
            raise NotFound("exemption or exception", key)
        entry = standing_entry(standing, "remove", actor, reason, now)
        self._write("operator", lambda: self._standings.pop(key), [entry])
        return standing

    def standings(self, now: int) -> Sequence[Standing]:
        valid = [one for one in self._standings.values() if one.expires > now]
        return sorted(valid, key=lambda one: (one.created, one.id))

    def add_token(self, token: Token, reason: str) -> None:
        kept = self._tokens
        if len(kept) >= TOKENS_MAX:
            kept = {key: one for key, one in kept.items() if one.state(token.created) == "valid"}
            if len(kept) >= TOKENS_MAX:
                raise TooManyTokens
        entry = token_entry(token, "add", token.actor, reason, token.created)

        def add() -> None:
            self._tokens = {**kept, token.id: token}

        self._write("operator", add, [entry])

    def tokens(self) -> Sequence[Token]:
        return sorted(self._tokens.values(), key=lambda one: (one.created, one.id))

    def revoke_token(self, key: str, actor: str, reason: str, now: int) -> Token:
        token = self._tokens.get(key)
        if token is None:
            raise NotFound("token", key)
        revoked, entry = revoked_token(token, actor, reason, now)
        self._write("operator", lambda: self._tokens.update({key: revoked}), [entry])
        return revoked

    def import_apps(self, records: Sequence[AppRecord], actor: str, now: int) -> None:
        lines = {(record.app_id, record.as_of): record for record in records}
        entry = import_entry(records, actor, now)
        self._write("operator", lambda: self._apps.update(lines), [entry])

    def apps(self) -> Iterator[AppRecord]:
        return iter([self._apps[key] for key in sorted(self._apps)])

    def mark_replayed(self, keys: Collection[str], now: int) -> int:
        found = {key: self._dead_letters[key] for key in keys if key in self._dead_letters}
        marked = {key: msgspec.structs.replace(row, replayed=now) for key, row in found.items()}
        self._write("operator", lambda: self._dead_letters.update(marked))
        return len(marked)

    # The outbox's worker.

    def due_messages(self, now: int, limit: int) -> Sequence[Delivery]:
        due = [one for one in self._outbox.values() if one.state is DeliveryState.PENDING and one.next_attempt <= now]
        return sorted(due, key=lambda one: (one.next_attempt, one.message.key))[:limit]

    def message_sent(self, key: str, receipt: str, now: int) -> None:
        self._change_message(key, state=DeliveryState.SENT, receipt=receipt, sent=now, last_error="")

    def message_failed(self, key: str, error: str, next_attempt: int, *, dead: bool) -> None:
        state = DeliveryState.DEAD if dead else DeliveryState.PENDING
        self._change_message(key, state=state, last_error=error, next_attempt=next_attempt)

    def _change_message(self, key: str, **values: str | int) -> None:
        if (now := self._outbox.get(key)) is None:
            raise NotFound("message", key)
        changed = msgspec.structs.replace(now, attempts=now.attempts + 1, **values)
        self._write("outbox", lambda: self._outbox.update({key: changed}))

    def forget_messages(self, before: int) -> int:
        old = [key for key, one in self._outbox.items() if one.sent is not None and one.sent < before]
        self._write("outbox", lambda: [self._outbox.pop(key) for key in old])
        return len(old)

    def delivery(self, key: str) -> Delivery | None:
        return self._outbox.get(key)

    # The archive's manifest.

    def segments(self, day: str | None = None) -> Sequence[Segment]:
        found = [one for one in self._segments.values() if day in {None, one.day}]
        return sorted(found, key=lambda one: (one.turn_first, one.day, one.path))

    def replace_segments(self, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None = None) -> None:
        if missing := [segment.path for segment in old if segment.path not in self._segments]:
            raise NotFound("segment", missing[0])
        kept = {path: one for path, one in self._segments.items() if path not in {segment.path for segment in old}}
        kept.update((segment.path, segment) for segment in new)

        def swap() -> None:
            self._segments = kept

        self._write("segments", swap, [audit] if audit else [])


def _dead_letters(turn: Turn) -> Iterator[tuple[str, DeadLetterRow]]:
    for ordinal, letter in enumerate(turn.dead_letters):
        key = dead_letter_id(turn.number, ordinal)
        yield (
            key,
            DeadLetterRow(
                id=key,
                turn=turn.number,
                time=turn.time,
                partition=letter.partition,
                position=letter.position,
                reason=letter.reason,
                detail=letter.detail,
                sealed=letter.raw,
                length=letter.length,
                lines=letter.lines,
                format=letter.format,
            ),
        )


def _lines_by_reason(accounts: Iterable[LetterAccount]) -> Counter[str]:
    lines: Counter[str] = Counter()
    for account in accounts:
        lines[account.reason] += account.lines
    return lines


def _newest_first(decisions: Iterable[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda one: (one.time, one.id), reverse=True)


def _remembered(decisions: Sequence[Decision]) -> list[Decision]:
    newest = {one.id for one in decisions[:DECISIONS_PER_ENTITY_MAX]}
    return [one for one in decisions if one.id in newest or one.state in NOT_ENDED]


def _listed(table: str, rows: Iterable[_Item], query: Query, clock: Callable[[_Item], int]) -> Iterator[_Item]:
    """The rows that a query wants, newest first."""
    known = _FILTERS[table]
    wanted = {
        name: value
        for name, value in msgspec.structs.asdict(query).items()
        if value is not None and name not in {"since", "until", "limit"}
    }
    for name in wanted:
        if name not in known:
            raise UnknownFilter(table, name)
    chosen: list[Any] = [
        row
        for row in rows
        if (query.since is None or clock(row) >= query.since)
        and (query.until is None or clock(row) < query.until)
        and all(_holds(name, known[name](row), value) for name, value in wanted.items())
    ]
    chosen.sort(key=lambda row: (clock(row), row.id), reverse=True)
    return islice(iter(chosen), query.limit)


def _holds(name: str, found: Any, wanted: Any) -> bool:
    if name == "severity_min":
        return Severity(found).rank >= Severity(wanted).rank
    return bool(found == wanted)
