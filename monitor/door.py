"""The door: what comes in is made fit to be kept. People become keyed hashes, secrets become their kind, once, for all.

Everything behind it (rules, archive, search, back-tests) sees the same redacted line and the same columns.
"""

from __future__ import annotations

import hmac
import json
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import LINE, PEOPLE, POSITION
from monitor.decoders import DeadLetter, Decoded, Decoder
from monitor.decoders.ndjson import DEAD_LETTER_BYTES_MAX
from monitor.redaction import redact, redact_tree, suspects
from monitor.sources import RawBatch

HASH_CACHE_MAX: Final = 500_000
"""Remembered hashes of people; about 100 bytes each. When full, the older half is forgotten."""

SHORT: Final = 8
"""A person's id of fewer characters is replaced only where it stands as a whole JSON text: inside of others it may be anything."""


class PeopleHash:
    """HMAC-SHA256 of a text, its first 32 hexadecimal digits; keyed, so that only the key's owner can look a person up."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the people key has fewer than 16 bytes")
        self._key = key
        self._young: dict[str, str] = {}
        self._old: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        known = self._young.get(value)
        if known is None:
            known = self._old.get(value) or hmac.digest(self._key, value.encode(), "sha256").hex()[:32]
            if len(self._young) >= HASH_CACHE_MAX // 2:
                self._old, self._young = self._young, {}
            self._young[value] = known
        return known

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling the key."""
        return hmac.digest(self._key, b"fingerprint", "sha256").hex()[:16]


class Door:
    """Takes a decoded batch with raw values; gives the same rows with people hashed and secrets replaced."""

    def __init__(self, people: PeopleHash, decoder: Decoder, *, hashed: bool = False) -> None:
        self._people = people
        self._decoder = decoder
        self._hashed = hashed

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
        """Columns and lines with hashes; rows in which a person's id stood elsewhere too."""
        again = np.zeros(frame.height, dtype=bool)
        for name in PEOPLE:
            values = frame[name]
            if values.null_count() == len(values):
                continue
            distinct = values.unique().drop_nulls()
            hashes = pl.Series([self._people(value) for value in distinct], dtype=pl.String)
            hashed = values.replace_strict(distinct, hashes, default=None)
            before = frame[LINE]
            lines, times = _replaced(before, values, hashed)
            astray = _astray(before, values, lines, times)
            again |= (times != 1) | astray
            frame = frame.with_columns(lines.alias(LINE), hashed.alias(name))
            lost = np.flatnonzero(astray)
            if len(lost):
                rewritten = [_replace_in_tree(before[row], values[row], hashed[row]) for row in lost.tolist()]
                frame = frame.with_columns(frame[LINE].scatter(lost, rewritten))
        return frame, again

    def _replace_secrets(self, frame: pl.DataFrame, *, suspected: bool) -> tuple[pl.DataFrame, np.ndarray[Any, Any]]:
        """Columns and lines without secrets; rows whose line changed."""
        rows = np.arange(frame.height) if suspected else np.flatnonzero(suspects(frame[LINE]))
        changed = np.zeros(frame.height, dtype=bool)
        if not len(rows):
            return frame, changed
        before = frame[LINE].gather(rows)
        clean = redact(before, self._people)
        differs = before != clean[LINE]
        rows, before, clean = rows[differs.to_numpy()], before.filter(differs), clean.filter(differs)
        if not len(rows):
            return frame, changed
        changed[rows] = True
        lines, kinds = clean[LINE].to_list(), clean["kinds"].to_list()
        for index, line in enumerate(lines):
            if not _is_json(line):
                lines[index], kinds[index] = redact_tree(before[index], self._people)
        found = {
            LINE: pl.Series(lines, dtype=pl.String),
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
            letters = [_of_row(frame, raw, row, letter) for row, letter in lost]
            rows = np.setdiff1d(rows, [row for row, _ in lost])
        kept = {LINE, POSITION, "redaction.kinds", "auth.code", "auth.token"}
        names = [name for name in decoded.frame.columns if name not in kept and name in frame.columns]
        frame = frame.with_columns(frame[name].scatter(rows, decoded.frame[name]).alias(name) for name in names)
        if letters:
            gone = pl.Series([letter.position for letter in letters], dtype=pl.Int64)
            frame = frame.filter(~pl.col(POSITION).is_in(gone.implode()))
        return frame, letters


def _starts(lines: pl.Series) -> np.ndarray[Any, Any]:
    """Where each line begins in all of them together."""
    ends = np.cumsum(lines.str.len_bytes().to_numpy().astype(np.int64) + 1)
    return np.concatenate([[0], ends[:-1]])


def _of_row(frame: pl.DataFrame, raw: pl.Series, row: int, letter: DeadLetter) -> DeadLetter:
    """A dead letter in the place, and with the bytes, of the line that came in."""
    line = raw[row].encode()
    return msgspec.structs.replace(
        letter,
        position=int(frame[POSITION][row]),
        detail=f"once people were hashed and secrets replaced: {letter.detail}",
        raw=line[:DEAD_LETTER_BYTES_MAX],
        length=len(line),
    )


def _astray(
    before: pl.Series, values: pl.Series, lines: pl.Series, times: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Rows where replacing text may have hit something else than the person: a number, the syntax, or not the person."""
    line, value = pl.col("line"), pl.col("value")
    stands = line.str.contains(pl.concat_str(pl.lit('"'), value, pl.lit('"')), literal=True)
    structured = value.str.contains(r'["\\\[\]{}]')
    hidden = (value.str.contains("/", literal=True) & line.str.contains(r"\/", literal=True)) | (
        value.str.contains(r"[^\x00-\x7f]") & line.str.contains(r"\u", literal=True)
    )
    frame = pl.DataFrame([before.alias("line"), values.alias("value")])
    astray = frame.select((~stands | structured | hidden).fill_null(value=False)).to_series().to_numpy().copy()
    for row in np.flatnonzero((times > 1) & ~astray).tolist():
        astray[row] = not _is_json(lines[row])
    found: np.ndarray[Any, Any] = astray | (times == 0)
    return found


def _is_json(line: str) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _replaced(lines: pl.Series, values: pl.Series, hashed: pl.Series) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Lines with every occurrence of the row's value replaced, and how many there were (1 where there is no value)."""
    frame = pl.DataFrame([lines.alias("line"), values.alias("value"), hashed.alias("hash")])
    short = pl.col("value").str.len_chars() < SHORT
    quoted = pl.concat_str(pl.lit('"'), pl.col("value"), pl.lit('"'))
    sought = pl.when(short).then(quoted).otherwise(pl.col("value"))
    instead = pl.when(short).then(pl.concat_str(pl.lit('"'), pl.col("hash"), pl.lit('"'))).otherwise(pl.col("hash"))
    parts = frame.select("line", "value", pl.col("line").str.split(sought).alias("parts"), instead.alias("instead"))
    result = parts.select(
        pl.when(pl.col("value").is_null())
        .then("line")
        .otherwise(pl.col("parts").list.join(pl.col("instead")))
        .alias("line"),
        pl.when(pl.col("value").is_null())
        .then(1)
        .otherwise(pl.col("parts").list.len().cast(pl.Int64) - 1)
        .alias("times"),
    )
    return result["line"], result["times"].to_numpy()


def _replace_in_tree(line: str, value: str, hashed: str) -> str:
    """A line whose text hides the value (an escape, a number): rewritten with every text and number that is it replaced."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(below) for key, below in node.items()}
        if isinstance(node, list):
            return [walk(below) for below in node]
        if isinstance(node, str):
            return hashed if node == value else (node.replace(value, hashed) if len(value) >= SHORT else node)
        if isinstance(node, int | float) and not isinstance(node, bool) and str(node) == value:
            return hashed
        return node

    def standing(node: Any) -> Any:
        """Lists and objects that are themselves the value are one text to us."""
        if isinstance(node, dict):
            return hashed if node == sought else {key: standing(below) for key, below in node.items()}
        if isinstance(node, list):
            return hashed if node == sought else [standing(below) for below in node]
        return node

    sought = json.loads(value) if value[:1] in ("[", "{") and _is_json(value) else None
    return _text(walk(json.loads(line) if sought is None else standing(json.loads(line))))


def _text(node: Any) -> str:
    """As it stands in an archived line."""
    return json.dumps(node, ensure_ascii=False, separators=(",", ":"))
