"""The door: what comes in is made fit to be kept. People become keyed hashes, secrets become their kind, once, for all.

Everything behind it (rules, archive, search, back-tests) sees the same redacted line and the same columns.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import numpy as np
import polars as pl

from detectors.event import FIELDS, LINE, PEOPLE, POSITION
from monitor.decoders import DeadLetter, Decoded, Decoder
from monitor.decoders.ndjson import DEAD_LETTER_BYTES_MAX
from monitor.decoders.tree import Numeral, read_tree, written
from monitor.door.ids import ENCODED, is_id, spellings
from monitor.door.redaction import masked, redact, redact_tree, suspects, unmasked
from monitor.sources import RawBatch

HASH_CACHE_MAX: Final = 500_000
"""Remembered hashes of people; about 100 bytes each. When full, the older half is forgotten."""

FREE_TEXT: Final = frozenset(
    {
        "message",
        "error.message",
        "event.original",
        "user.name",
        "user_agent.original",
        "resource.id",
        "miniprogram.api_args",
        "miniprogram.page",
        "miniprogram.query",
        "miniprogram.extra_data",
        "url.original",
        "url.full",
        "url.path",
        "url.query",
        "http.request.referrer",
        "http.request.headers",
        "http.request.body.content",
        "http.response.headers",
        "http.response.body.content",
    }
)
"""Fields that hold what somebody wrote: of a person's value, what is an id is replaced in them, and below them."""

STRUCTURAL: Final = FIELDS.keys() - FREE_TEXT - set(PEOPLE) - {"session.id"}
"""Fields in which no person's value is ever replaced; nor is it in keys.

Whoever sends an event chooses what its people are called. An app may call its device ``getLocation``, by its own app id, or
by the address that it sends data to. That a word of the event's own equals it tells nothing about a person; but were it
replaced, no rule would know the event any more. So what is not shaped like an id is replaced in its own field, and where it
is the whole of a field outside the schema, which may hold people too. A session's id may be its token.
"""

_HASH: Final = r"\A[0-9a-f]{32}\z"
_PATH_CHARACTERS_MAX: Final = max(len(name) for name in FIELDS)


class PeopleHash:
    """HMAC-SHA256 of a text, its first 32 hexadecimal digits; keyed, so that only the key's owner can look a person up."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the people key has fewer than 16 bytes")
        self._keyed = hmac.new(key, digestmod="sha256")  # copied for each value: the key is worked in once
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        known = self._young.get(value)
        if known is None:
            known = self._old.get(value) or self._digest(value.encode())[:32]
            if len(self._young) >= HASH_CACHE_MAX // 2:
                self._old, self._young = self._young, {}
            self._young[value] = known
        return known

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling the key."""
        return self._digest(b"fingerprint")[:16]

    def _digest(self, value: bytes) -> str:
        mac = self._keyed.copy()
        mac.update(value)
        return mac.hexdigest()


class Door:
    """Takes a decoded batch with raw values; gives the same rows with people hashed and secrets replaced."""

    def __init__(
        self,
        people: PeopleHash,
        decoder: Decoder,
        *,
        hashed: bool = False,
        dead_letter_bytes_max: int = DEAD_LETTER_BYTES_MAX,
    ) -> None:
        self._people = people
        self._decoder = decoder
        self._hashed = hashed
        self._dead_letter_bytes_max = dead_letter_bytes_max

    def admit(self, decoded: Decoded, fields: frozenset[str], *, suspected: bool = False) -> Decoded:
        """The batch, made fit. A line that redaction changed beyond the people's own fields is decoded anew.

        `suspected` says that every line is known to be a suspect.
        """
        frame = decoded.frame.with_columns(pl.lit(None, dtype=pl.String).alias("redaction.kinds"))
        if not frame.height:
            return Decoded(frame, decoded.dead_letters)
        again = np.zeros(frame.height, dtype=bool)
        if not self._hashed:
            frame, again = self._hash_people(frame)
        frame, changed = self._replace_secrets(frame, suspected=suspected)
        again |= changed
        letters: list[DeadLetter] = []
        if again.any():
            frame, letters = self._decode_again(frame, decoded.frame[LINE], again, fields)
        every = [*decoded.dead_letters, *letters]
        return Decoded(frame, sorted(every, key=lambda letter: letter.position) if letters else every)

    def _hash_people(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
        """Columns and lines with hashes; rows in which a person's value may stand elsewhere too."""
        unsure = np.zeros(frame.height, dtype=bool)
        before = lines = frame[LINE]
        values = {name: frame[name] for name in PEOPLE if frame[name].null_count() < frame.height}
        hashes: dict[str, pl.Series] = {}
        for name, value in values.items():
            distinct = value.unique().drop_nulls()
            hashed = pl.Series([self._people(person) for person in distinct], dtype=pl.String)
            ids = pl.Series([is_id(person) for person in distinct], dtype=pl.Boolean)
            shaped = value.replace_strict(distinct, ids, default=None)
            for earlier in hashes.values():
                unsure |= _holds(earlier, value)
            hashes[name] = value.replace_strict(distinct, hashed, default=None)
            fields = np.sum([(other == value).fill_null(value=False).to_numpy() for other in values.values()], axis=0)
            unsure |= _unsure(before, value, shaped, pl.Series(fields))
            lines = _replaced(lines, value, shaped, hashes[name])
        rows = np.flatnonzero(unsure)
        if len(rows):
            fit = []
            for row in rows.tolist():
                people = {name: (value[row], hashes[name][row]) for name, value in values.items()}
                fit.append(_fit(before[row], lines[row], people))
            lines = lines.scatter(rows, fit)
        return frame.with_columns(lines.alias(LINE), *(hashed.alias(name) for name, hashed in hashes.items())), unsure

    def _replace_secrets(self, frame: pl.DataFrame, *, suspected: bool) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
        """Columns and lines without secrets; rows whose line changed."""
        rows = np.arange(frame.height) if suspected else np.flatnonzero(suspects(frame[LINE]))
        changed = np.zeros(frame.height, dtype=bool)
        if not len(rows):
            return frame, changed
        before = frame[LINE].gather(rows)
        marked = _masked(before, [frame[name].gather(rows) for name in PEOPLE])
        clean = redact(marked, self._people)
        differs = marked != clean[LINE]
        rows, marked, clean = rows[differs.to_numpy()], marked.filter(differs), clean.filter(differs)
        if not len(rows):
            return frame, changed
        changed[rows] = True
        lines, kinds = clean[LINE].to_list(), clean["kinds"].to_list()
        for index, line in enumerate(lines):
            if not _is_json(line):
                lines[index], kinds[index] = redact_tree(marked[index], self._people)
        found = {
            LINE: pl.Series([unmasked(line) for line in lines], dtype=pl.String),
            "redaction.kinds": pl.Series([json.dumps(words) if words else None for words in kinds], dtype=pl.String),
        }
        for name, hashed in (("auth.code", clean["code"]), ("auth.token", clean["token"])):
            held = frame[name].gather(rows)
            found[name] = held.zip_with(held.is_not_null(), hashed)
        return frame.with_columns(
            frame[name].scatter(rows, values).alias(name) for name, values in found.items()
        ), changed

    def _decode_again(
        self, frame: pl.DataFrame, raw: pl.Series, again: np.ndarray[Any, Any], fields: frozenset[str]
    ) -> tuple[pl.DataFrame, list[DeadLetter]]:
        """The rows with what their lines say now. One that says nothing any more is no event: it is a dead letter."""
        rows = np.flatnonzero(again)
        lines = frame[LINE].gather(rows)
        data = lines.str.join("\n")[0].encode() + b"\n"
        decoded = self._decoder.decode(RawBatch("", "ndjson", data, 0, len(data)), fields)
        letters: list[DeadLetter] = []
        if decoded.dead_letters:
            row_at = dict(zip(_starts(lines).tolist(), rows.tolist(), strict=True))
            lost = [(row_at[letter.position], letter) for letter in decoded.dead_letters]
            letters = [self._of_row(frame, raw, row, letter) for row, letter in lost]
            rows = np.setdiff1d(rows, [row for row, _ in lost])
        kept = {LINE, POSITION, "redaction.kinds", "auth.code", "auth.token"}
        names = [name for name in decoded.frame.columns if name not in kept and name in frame.columns]
        frame = frame.with_columns(frame[name].scatter(rows, decoded.frame[name]).alias(name) for name in names)
        if letters:
            gone = pl.Series([letter.position for letter in letters], dtype=pl.Int64)
            frame = frame.filter(~pl.col(POSITION).is_in(gone.implode()))
        return frame, letters

    def _of_row(self, frame: pl.DataFrame, raw: pl.Series, row: int, letter: DeadLetter) -> DeadLetter:
        """A dead letter in the place, and with the bytes, of the line that came in."""
        detail = f"once people were hashed and secrets replaced: {letter.detail}"
        placed = msgspec.structs.replace(letter, position=int(frame[POSITION][row]), detail=detail)
        return holding(placed, raw[row].encode(), self._dead_letter_bytes_max)


def holding(letter: DeadLetter, line: bytes, bytes_max: int) -> DeadLetter:
    """The dead letter with another line, cut at the bound."""
    return msgspec.structs.replace(letter, raw=line[:bytes_max], length=len(line))


def _starts(lines: pl.Series) -> np.ndarray[Any, Any]:
    """Where each line begins in all of them together."""
    ends = np.cumsum(lines.str.len_bytes().to_numpy().astype(np.int64) + 1)
    return np.concatenate([[0], ends[:-1]])


def _masked(lines: pl.Series, people: Sequence[pl.Series]) -> pl.Series:
    """Lines in which the hashes of their own people are marked: they may stand where secrets of the same shape do."""
    done: list[pl.Series] = []
    for column in people:
        if column.null_count() == len(column):
            continue
        other = ~column.str.contains(_HASH)  # a source that hashes itself may do so otherwise
        for earlier in done:
            other |= (column == earlier).fill_null(value=False)  # marked already
        hashed = column.set(other.fill_null(value=False), None)
        if hashed.null_count() < len(hashed):
            distinct = hashed.unique().drop_nulls()
            marked = hashed.replace_strict(distinct, pl.Series([masked(one) for one in distinct], dtype=pl.String))
            lines = _replaced(lines, hashed, hashed.is_not_null(), marked)
            done.append(hashed)
    return lines


def _holds(texts: pl.Series, values: pl.Series) -> np.ndarray[Any, Any]:
    """Rows in which a text holds the value."""
    holds = pl.col("text").str.contains(pl.col("value"), literal=True).fill_null(value=False)
    found: np.ndarray[Any, Any] = (
        pl.DataFrame([texts.alias("text"), values.alias("value")]).select(holds).to_series().to_numpy()
    )
    return found


def _unsure(lines: pl.Series, values: pl.Series, ids: pl.Series, fields: pl.Series) -> np.ndarray[Any, Any]:
    """Rows where replacing text may hit something else than the person's own fields, of which there are so many."""
    line, value, own = pl.col("line"), pl.col("value"), pl.col("own")
    quoted = line.str.count_matches(pl.concat_str(pl.lit('"'), value, pl.lit('"')), literal=True)
    free = line.str.count_matches(value, literal=True) != own
    word = ~pl.col("id") & ~value.str.contains(r"^(?:[-0-9]|true$|false$)")
    structured = value.str.contains(r'["\\\[\]{}]')
    hidden = (value.str.contains("/", literal=True) & line.str.contains(r"\/", literal=True)) | (
        value.str.contains(r"[^\x00-\x7f]") & line.str.contains(r"\u", literal=True)
    )
    encoded = pl.col("id") & value.str.contains_any(list(ENCODED)) & line.str.contains("%", literal=True)
    frame = pl.DataFrame([lines.alias("line"), values.alias("value"), ids.alias("id"), fields.alias("own")])
    astray = (quoted != own) | (free & ~word) | structured | hidden | encoded
    found: np.ndarray[Any, Any] = (
        frame.select((value.is_not_null() & astray).fill_null(value=False)).to_series().to_numpy()
    )
    return found


def _is_json(line: str) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _replaced(lines: pl.Series, values: pl.Series, ids: pl.Series, instead: pl.Series) -> pl.Series:
    """Lines with every occurrence of the row's value replaced; of what is no id, only those that are a whole text."""
    frame = pl.DataFrame([lines.alias("line"), values.alias("value"), ids.alias("id"), instead.alias("instead")])
    value, new = pl.col("value"), pl.col("instead")
    sought = pl.when("id").then(value).otherwise(pl.concat_str(pl.lit('"'), value, pl.lit('"')))
    new = pl.when("id").then(new).otherwise(pl.concat_str(pl.lit('"'), new, pl.lit('"')))
    parts = frame.select("line", "value", pl.col("line").str.split(sought).alias("parts"), new.alias("new"))
    joined = pl.col("parts").list.join(pl.col("new"))
    return parts.select(pl.when(value.is_null()).then("line").otherwise(joined).alias("line"))["line"]


People = Mapping[str, tuple[str | None, str | None]]
"""By field: a person's value and its hash, or nothing where the event has no such field."""


def _fit(line: str, replaced: str, people: People) -> str:
    """The line with people replaced where they may be: the replaced text if it says just that, else written anew."""
    tree = _replace_in_tree(read_tree(line), people)
    return replaced if _is_json(replaced) and read_tree(replaced) == tree else written(tree)


def _replace_in_tree(tree: Any, people: People) -> Any:
    """What a line says, with people's own fields hashed, and their values replaced where else they may stand."""
    own = {name: hashed for name, (_, hashed) in people.items() if hashed is not None}
    values = {value: hashed for value, hashed in people.values() if value and hashed}
    ids = sorted(filter(is_id, values), key=len, reverse=True)
    inside = re.compile("|".join(map(spellings, ids))) if ids else None  # in one go: nothing is sought in a hash
    structures = [(_structure(value), hashed) for value, hashed in values.items()]

    def walk(node: Any, path: str, *, kept: bool, free: bool) -> Any:
        if node is None:
            return None
        if path in own:
            return own[path]
        kept, free = kept or path in STRUCTURAL, free or path in FREE_TEXT
        if free or not kept:
            node = replaced(node, whole=not free)
        if isinstance(node, dict):
            return {key: walk(below, joined(path, key), kept=kept, free=free) for key, below in node.items()}
        return [walk(below, path, kept=kept, free=free) for below in node] if isinstance(node, list) else node

    def replaced(node: Any, *, whole: bool) -> Any:
        text = node.text if isinstance(node, Numeral) else str(node) if type(node) is int else node
        if isinstance(text, str) and text in values and (whole or is_id(text)):
            return values[text]
        if isinstance(node, str):
            return inside.sub(lambda match: values[unquote(match[0])], node) if inside else node
        found = [hashed for structure, hashed in structures if structure == node] if whole else []
        return found[0] if found else node

    def joined(path: str, key: str) -> str:
        """No longer than it takes to know it from every path of the schema: keys may be long and deep."""
        return f"{path}.{key}" if len(path) <= _PATH_CHARACTERS_MAX else path

    return {key: walk(below, key, kept=False, free=False) for key, below in tree.items()}


def _structure(value: str) -> Any:
    """The list, object, number or other constant that a person's value is the text of; else the text itself."""
    return read_tree(value) if value[:1] in ("[", "{") and _is_json(value) else value
