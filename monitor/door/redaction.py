"""Secrets and personal data inside of lines: found by shape and by the key they stand under, replaced by their kind.

Two steps, so that ordinary lines cost little: `suspects` marks the lines that could hold something, in a few passes over the
bytes; `redact` then looks at those with one regular expression, judges each *distinct* match once (check digits, masks) and
replaces it. What a match is replaced by depends on nothing but its own text and the key.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from detectors.event import FIELDS, LINE, Kind
from monitor.decoders.tree import Numeral, read_tree, written
from monitor.door.telltales import (
    BARE,
    BLANKS,
    CDATA,
    ITEMS,
    JOINT,
    KEYED,
    LONG,
    LONG_NUMBER,
    MARKS,
    MATCH,
    PLAIN_MATCH,
    QUOTED_LIST,
    STRONG,
    TO_FIRST,
    TOKEN_MIN,
    WEAK,
    WORDS,
)

KINDS: Final = (
    "phone",
    "id_card",
    "bank_card",
    "app_secret",
    "session_key",
    "access_token",
    "password",
    "private_key",
    "jwt",
    "openid",
)
"""What can stand in ``redaction.kinds``."""

ROUNDS_MAX: Final = 8
"""Matches in one line that are replaced round by round, many lines at a time; a line with more is gone through on its own."""

NESTED_MAX: Final = 3
"""How often a harmless value is looked into for what may stand inside of it."""

_BLOCK_LINES: Final = 200  # looked at in one go: they and what is made of them stay in the processor's cache
_MARGIN: Final = b"\n" * 32


def _for_python(pattern: str) -> str:
    """The same regular expression, ASCII throughout, as Python writes it."""
    return pattern.replace("(?i-u:", "(?i:").replace(r"(?-u:\b)", r"\b")


_PYTHON_MATCH: Final = re.compile(_for_python(MATCH), re.ASCII)
_KEYED_MATCH: Final = re.compile(
    rf"(?P<before>\"|%[0-9A-F][0-9A-F])?(?P<key>{STRONG}|{LONG}|{WEAK})"
    rf"(?P<between>%22(?:[:=]|%3[AD])(?:%20|\+)*(?:%22)?|%3[AD](?:%22)?"
    rf"|(?P<closed>\\*[\"'])?{JOINT}(?P<opened>\\*[\"'])?)(?P<scheme>Bearer )?(?P<value>.*)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_MARKED_MATCH: Final = re.compile(
    rf"(?:<[a-z0-9_.:-]*?|u003c)?(?P<key>{STRONG}|{LONG}|{WEAK})(?:>|\\+u003e){BLANKS}(?:{CDATA})?{BLANKS}(?P<value>.*)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_TELLING_KEY: Final = re.compile(rf".*?({STRONG}|{LONG})|({WEAK})", re.IGNORECASE | re.DOTALL | re.ASCII)
_LIST_MATCH: Final = re.compile(
    _for_python(rf"(?=\[{TO_FIRST}(?P<quote>\\*[\"']))(?:{QUOTED_LIST}).*"), re.DOTALL | re.ASCII
)
_ITEM: Final = {
    quote: re.compile(rf"(?P<text>{item})(?:{re.escape(quote)})?|\\+[nrt]|(?P<bare>{BARE})".replace("(?i-u:", "(?i:"))
    for quote, item in {**ITEMS, "": "(?!)"}.items()
}
_SCHEME: Final = "bearer "
_DIGITS_MATCH: Final = re.compile(rf'(?:"(?P<key>[A-Za-z_.]+)(?P<quote>\\*"): ?|\.)?(?P<digits>{LONG_NUMBER})')
_PHONE: Final = re.compile(r"1[3-9][0-9]{9}")
_CARD: Final = re.compile(r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}")  # first digits of known issuers
_NONCE: Final = secrets.token_hex(8)
_DONE: Final = re.compile(rf"<[a-z_]+:[0-9a-f]{{8}}>|<{_NONCE}:[0-9a-f]{{32}}>")
_WORD: Final = re.compile(r"[A-Za-z0-9_.~+/=%@!#$^*-]+")
_SLASH: Final = re.compile(r"\\+/")  # as some write it in JSON
_NOTHING: Final = frozenset({"null", "undefined", "none", "true", "false"})
_CONSTANT: Final = re.compile(r"[A-Z_.-]+|[a-z_.-]+|[a-z]+(?:[A-Z][a-z]+)*|(?:[A-Z][a-z]+)+")
_COUNTS: Final = frozenset(
    name.rpartition(".")[2] for name, kind in FIELDS.items() if kind in (Kind.INTEGER, Kind.NUMBER, Kind.TIME)
) | {"timestamp", "time", "ts", "id", "order_id", "transaction_id"}
"""Keys whose long numbers are counts, times or serial numbers, not phones."""

Hash = Callable[[str], str]


def masked(hashed: str) -> str:
    """A person's hash as `redact` and `redact_tree` know it from a secret that has the same shape; see `unmasked`.

    The mark is another in every process: nobody can write it into a line.
    """
    return f"<{_NONCE}:{hashed}>"


def unmasked(text: str) -> str:
    """A text with the hashes that `masked` has marked as they were."""
    return _MASKED.sub(r"\1", text) if _NONCE in text else text


_MASKED: Final = re.compile(rf"<{_NONCE}:([0-9a-f]{{32}})>")


def suspects(lines: pl.Series) -> np.ndarray[Any, Any]:
    """Which lines could hold a secret: a telling word, or a run of digits as long as a phone's, an ID's or a card's."""
    words: np.ndarray[Any, Any] = lines.str.contains_any(
        [word.text for word in WORDS], ascii_case_insensitive=True
    ).to_numpy()
    runs: np.ndarray[Any, Any] = words | _digit_runs(lines)
    return runs


def _digit_runs(lines: pl.Series) -> np.ndarray[Any, Any]:
    """Lines with a free-standing run of digits that could be a phone, an ID number or a bank card."""
    found = np.zeros(len(lines), dtype=bool)
    lengths = lines.str.len_bytes().to_numpy() + 1
    for first in range(0, len(lines), _BLOCK_LINES):
        text = lines.slice(first, _BLOCK_LINES).str.join("\n")[0].encode()
        starts = _runs_in(np.frombuffer(b"\n" + text + _MARGIN, np.uint8))
        if len(starts):
            ends = np.cumsum(lengths[first : first + _BLOCK_LINES]) + 1
            found[first + np.searchsorted(ends, starts, side="right")] = True
    return found


def _runs_in(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where in these bytes (which begin with one and end in `_MARGIN` bytes of no interest) such runs start.

    By doubling: a run of 2, of 4, of 8 … digits starts where two shorter ones do: a handful of passes that the
    processor does many bytes at a time, a third of what a regular expression takes.
    """
    digit = (data - 48) < 10  # unsigned: what is below '0' wraps round to a large number
    two = digit[:-1] & digit[1:]
    four = two[:-2] & two[2:]
    eight = four[:-4] & four[4:]
    eleven = eight[:-3] & eight[3:]
    words = eleven[: len(eleven) // 8 * 8].view(np.uint64)  # eight at a time: most are nothing
    near = np.flatnonzero(words)
    starts: np.ndarray[Any, Any] = (near[:, None] * 8 + np.arange(8)).ravel()
    starts = starts[eleven[starts]]
    starts = starts[~digit[starts - 1]]
    if not len(starts):
        return starts
    length = np.full(len(starts), 20)
    for count in range(19, 10, -1):
        length[~digit[starts + count]] = count
    first = data[starts] - 48
    card = (length >= 16) & (length < 20) & (first >= 4) & (first <= 6)
    starts = starts[((length == 11) & (first == 1)) | (length == 17) | (length == 18) | card]
    free: np.ndarray[Any, Any] = starts[~_is_letter(data[starts - 1])]
    return free


def _is_letter(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lower = data | 32
    letter: np.ndarray[Any, Any] = (lower >= 97) & (lower <= 122)
    return letter


class Replaced(NamedTuple):
    """What stands in place of a text, the kinds that were found in it, and the hash of a login code or a session token."""

    text: str
    kinds: tuple[str, ...] = ()
    code: str | None = None
    token: str | None = None


_VERDICTS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "match": pl.String,
    "text": pl.String,
    "kinds": pl.List(pl.String),
    "code": pl.String,
    "token": pl.String,
}
_TOLD: Final = ("kinds", "code", "token")


def redact(lines: pl.Series, hash_of: Hash) -> pl.DataFrame:
    """These lines with secrets replaced: ``_line``, ``kinds`` (list of words), ``code`` and ``token`` (hashes, or null).

    `hash_of` gives the keyed hash of a text: 32 hexadecimal digits.
    """
    frame = lines.alias(LINE).to_frame().with_row_index("row")
    matches = _matches(frame)
    if not matches["match"].list.len().sum():
        return frame.select(LINE, *(pl.lit(None, dtype=_VERDICTS[name]).alias(name) for name in _TOLD))
    crowded = matches.filter(pl.col("match").list.len() > ROUNDS_MAX)["row"]
    found = (
        matches.filter(pl.col("match").list.len().is_between(1, ROUNDS_MAX))
        .explode("match", empty_as_null=True)
        .group_by("row", "match", maintain_order=True)
        .agg(pl.len().alias("times"))
    )
    judged = {match: judge(match, hash_of) for match in found["match"].unique()}
    verdicts = pl.DataFrame(
        [(match, *verdict) for match, verdict in judged.items() if verdict is not None], schema=_VERDICTS, orient="row"
    )
    hits = found.join(verdicts, on="match", how="inner", maintain_order="left")
    replaced, astray = _round_by_round(frame, hits)
    told = hits.group_by("row").agg(
        pl.col("kinds").explode().drop_nulls().unique().sort(),
        pl.col("code").drop_nulls().first(),
        pl.col("token").drop_nulls().first(),
    )
    told = replaced.join(told, on="row", how="left", maintain_order="left").select(LINE, *_TOLD)
    return _one_by_one(told, lines, sorted({*crowded, *astray}), hash_of)


def _matches(frame: pl.DataFrame) -> pl.DataFrame:
    """All that may be a secret, by row."""
    line = pl.col(LINE)
    marked = frame.filter(line.str.contains_any(["[", ">", "u003"]))
    marked = marked.filter(line.str.contains(MARKS)) if marked.height else marked
    plain = frame.filter(~pl.col("row").is_in(marked["row"].implode())) if marked.height else frame
    groups = [(plain, PLAIN_MATCH), (marked, MATCH)]
    return pl.concat(
        [part.select("row", line.str.extract_all(told).alias("match")) for part, told in groups if part.height]
    )


def _round_by_round(frame: pl.DataFrame, hits: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
    """The lines with hits replaced; and the rows in which a hit's text stood where it was no match, too."""
    hits = hits.with_columns(pl.int_range(pl.len()).over("row").alias("round"))
    astray: list[int] = []
    for _, round_hits in sorted(hits.partition_by("round", as_dict=True).items()):
        change = frame.join(round_hits.select("row", "match", "text", "times"), on="row", how="inner")
        parts = change.select("row", "text", "times", pl.col(LINE).str.split(pl.col("match")).alias("parts"))
        astray += parts.filter(pl.col("parts").list.len() != pl.col("times") + 1)["row"].to_list()
        changed = parts.select("row", pl.col("parts").list.join(pl.col("text")).alias("new"))
        frame = frame.join(changed, on="row", how="left", maintain_order="left").select(
            "row", pl.coalesce("new", LINE).alias(LINE)
        )
    return frame, astray


def _one_by_one(told: pl.DataFrame, lines: pl.Series, rows: list[int], hash_of: Hash) -> pl.DataFrame:
    """The same with these rows made anew, each from left to right."""
    if not rows:
        return told
    anew = [replace_in(lines[row], hash_of) for row in rows]
    return told.with_columns(
        told[LINE].scatter(rows, [one.text for one in anew]),
        pl.Series("kinds", _with(told["kinds"], rows, [list(one.kinds) for one in anew]), dtype=pl.List(pl.String)),
        told["code"].scatter(rows, pl.Series([one.code for one in anew], dtype=pl.String)),
        told["token"].scatter(rows, pl.Series([one.token for one in anew], dtype=pl.String)),
    )


def _with(column: pl.Series, rows: list[int], values: list[list[str]]) -> list[list[str] | None]:
    """Polars cannot yet scatter lists."""
    every: list[list[str] | None] = column.to_list()
    for row, value in zip(rows, values, strict=True):
        every[row] = value
    return every


def replace_in(text: str, hash_of: Hash, nested: int = 0) -> Replaced:
    """One text with all that is found in it replaced, from left to right; its length alone says how long that takes."""
    found: list[Replaced] = []

    def instead(match: re.Match[str]) -> str:
        verdict = judge(match[0], hash_of, nested)
        if verdict is None:
            return match[0]
        found.append(verdict)
        return verdict.text

    return _all_of(_PYTHON_MATCH.sub(instead, text), found)


def _all_of(text: str, found: Sequence[Replaced]) -> Replaced:
    """A text in which all that was found stands replaced."""
    return Replaced(
        text,
        tuple(sorted({kind for one in found for kind in one.kinds})),
        next((one.code for one in found if one.code is not None), None),
        next((one.token for one in found if one.token is not None), None),
    )


def judge(match: str, hash_of: Hash, nested: int = 0) -> Replaced | None:
    """What a match is replaced by; None: it is harmless. `nested` counts the harmless values that it stands in."""
    if match.startswith("-----"):
        return _named("private_key", match, hash_of)
    if match.startswith("eyJ"):
        return _named("jwt", match, hash_of) if match.count(".") > 1 else None
    if not match[0].isdigit():
        if (keyed := _KEYED_MATCH.fullmatch(match)) is not None:
            return _judge_keyed_match(keyed, hash_of, nested)
        if (marked := _MARKED_MATCH.fullmatch(match)) is not None:
            return _judge_marked(marked, hash_of, nested)
    if match.endswith("@"):
        opened, value = match[:-1].split("://", 1)
        user, _, password = value.partition(":")
        return _around(f"{opened}://{user}:", _named("password", password, hash_of), "@")
    digits = _DIGITS_MATCH.fullmatch(match)
    if digits is None:  # of another country's network: the last eleven digits are the phone
        return _named("phone", re.sub("[^0-9]", "", match)[-11:], hash_of)
    return _judge_digits(digits, hash_of)


def _judge_digits(match: re.Match[str], hash_of: Hash) -> Replaced | None:
    key, digits = match["key"], match["digits"]
    kind = kind_of_digits(digits.upper())
    opened = match[0][: -len(digits)]
    if kind is None or opened == "." or (key and key.rpartition(".")[2] in _COUNTS):
        return None
    quote = match["quote"] or ""  # it stood as a number
    return _around(opened + quote, _named(kind, digits, hash_of), quote)


def _judge_keyed_match(match: re.Match[str], hash_of: Hash, nested: int) -> Replaced | None:
    value = match["value"]
    opened = match[0][: len(match[0]) - len(value)]
    if not match["opened"] and value.startswith("["):
        listed = _LIST_MATCH.fullmatch(value)
        if listed or not re.fullmatch(LONG, match["key"], re.IGNORECASE):
            return _judge_list(match, listed["quote"] if listed else "", hash_of, nested)
    verdict = judge_keyed(match["key"], value, hash_of)
    if verdict is not None:
        quote = (match["closed"] or "") if not match["opened"] else ""  # it stood as a number
        return _around(opened + quote, verdict, quote)
    inside = _inside(value, hash_of, nested)
    return _around(opened, inside, "") if inside.text != value else None


def _judge_list(match: re.Match[str], quote: str, hash_of: Hash, nested: int) -> Replaced | None:
    """Each text and number of a list as if it stood alone; `quote` is what its texts begin with, if any do."""
    outer = match["closed"] or ""  # around what stood as a number
    found: list[Replaced] = []

    def instead(item: re.Match[str]) -> str:
        text = (item["text"] or "")[len(quote) :] or item["bare"]
        verdict = _judge_value(match["key"], text, hash_of, nested) if text else None
        if verdict is None:
            return item[0]
        found.append(verdict)
        return outer + verdict.text + outer if item["bare"] else item[0].replace(text, verdict.text)

    text = _ITEM[quote].sub(instead, match["value"])
    return _around(match[0][: -len(match["value"])], _all_of(text, found), "") if found else None


def _judge_marked(match: re.Match[str], hash_of: Hash, nested: int) -> Replaced | None:
    """The value of a tag; the blanks around it are none of it."""
    value = _without_blanks(match["value"])
    verdict = _judge_value(match["key"], value, hash_of, nested) if value else None
    start = match.start("value")
    return _around(match[0][:start], verdict, match[0][start + len(value) :]) if verdict else None


def _without_blanks(text: str) -> str:
    """The text without the blanks, escaped or not, at its end."""
    while text.endswith((" ", "\t", "\r", "\n", "\\n", "\\r", "\\t")):
        text = text.rstrip() if text[-1].isspace() else text[:-2].rstrip("\\")
    return text


def _judge_value(key: str, value: str, hash_of: Hash, nested: int) -> Replaced | None:
    """A value, with the word before its token if it has one, or what stands inside of it; None: nothing of it goes."""
    scheme = value[: len(_SCHEME)] if value[: len(_SCHEME)].lower() == _SCHEME else ""
    verdict = judge_keyed(key, value[len(scheme) :], hash_of)
    if verdict is not None:
        return _around(scheme, verdict, "")
    inside = _inside(value, hash_of, nested)
    return inside if inside.text != value else None


def _inside(value: str, hash_of: Hash, nested: int) -> Replaced:
    """A harmless value with what stands inside of it replaced."""
    return replace_in(value, hash_of, nested + 1) if nested < NESTED_MAX else Replaced(value)


def judge_keyed(key: str, value: str, hash_of: Hash) -> Replaced | None:
    """What the value of a telling key is replaced by; None: such a value is harmless."""
    kind = KEYED[key.lower().replace("_", "").replace("-", "")]
    if not value.strip("*xX.-") or value.lower() in _NOTHING or _DONE.fullmatch(value):
        return None
    if key == "PWD" and value.startswith("/"):
        return None  # the folder that a program works in
    value = unmasked(value)
    if "\\" in value:
        value = _SLASH.sub("/", value)
    if kind == "code":
        named = key.lower() == "code" and _CONSTANT.fullmatch(value)
        return None if named or not _is_token(value) else Replaced(hashed := hash_of(value), (), hashed, None)
    if kind == "token":
        part_of_it = any(_is_token(part) for part in value.split())
        return Replaced(hashed := hash_of(value), (), None, hashed) if part_of_it else None
    if kind == "openid":
        return Replaced(hash_of(value), (kind,)) if len(value) >= 16 else None
    if kind == "cookie":
        return _named("access_token", value, hash_of) if "=" in value else None
    if len(value) < 6 and (kind != "password" or (len(value) < 4 and value.isdigit())):
        return None
    return _named(kind, value, hash_of)


def _is_token(value: str) -> bool:
    """Long enough, of the letters of one, and neither a number nor a path."""
    return (
        len(value) >= TOKEN_MIN
        and bool(_WORD.fullmatch(value))
        and not value.isdigit()
        and not ("." in value[:-1] and "/" in value)
    )


def _named(kind: str, value: str, hash_of: Hash) -> Replaced:
    return Replaced(f"<{kind}:{hash_of(unmasked(value))[:8]}>", (kind,))


def _around(before: str, replaced: Replaced, after: str) -> Replaced:
    return Replaced(before + replaced.text + after, replaced.kinds, replaced.code, replaced.token)


def redact_tree(line: str, hash_of: Hash) -> tuple[str, list[str]]:
    """One JSON line with secrets replaced text by text: slower than `redact`, and always JSON again."""
    kinds: set[str] = set()

    def told(replaced: Replaced) -> str:
        kinds.update(replaced.kinds)
        return replaced.text

    def walk(node: Any, key: str) -> Any:
        if isinstance(node, dict):
            return {name: walk(below, name) for name, below in node.items()}
        if isinstance(node, list):
            return [walk(below, key) for below in node]
        if isinstance(node, bool) or not isinstance(node, str | int | float):
            return node
        text = node.text if isinstance(node, Numeral) else str(node)
        telling = _TELLING_KEY.fullmatch(key)
        scheme = text[: len(_SCHEME)] if text[: len(_SCHEME)].lower() == _SCHEME else ""
        verdict = judge_keyed(telling[1] or telling[2], text[len(scheme) :], hash_of) if telling else None
        if verdict is not None:
            return scheme + told(verdict)
        if isinstance(node, str):
            return told(replace_in(node, hash_of))
        kind = kind_of_digits(text) if key.rpartition(".")[2] not in _COUNTS else None
        return told(_named(kind, text, hash_of)) if kind else node

    return written(walk(read_tree(line), "")), sorted(kinds)


def kind_of_digits(digits: str) -> str | None:
    """What a run of digits is: a phone, an ID number (GB 11643: a date of birth, check digit by ISO 7064 MOD 11-2), a bank
    card (Luhn, a known issuer's first digits), or nothing of the kind.
    """
    if len(digits) == 11:
        return "phone" if _PHONE.fullmatch(digits) else None
    if len(digits) == 18 and _is_id_number(digits):
        return "id_card"
    if _CARD.fullmatch(digits) and _luhn(digits):
        return "bank_card"
    return None


def _is_id_number(digits: str) -> bool:
    if not digits[:17].isdigit():
        return False
    try:
        born = date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(digits[:17]))
    return 1900 <= born.year < 2100 and "10X98765432"[total % 11] == digits[17]


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
