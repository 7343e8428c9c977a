"""Secrets and personal data inside of lines: found by shape and by the key they stand under, replaced by their kind.

Two steps, so that ordinary lines cost little: `suspects` marks the lines that could hold something, in a few passes over the
bytes; `redact` then looks at those with one regular expression, judges each *distinct* match once (check digits, masks) and
replaces it. What a match is replaced by depends on nothing but its own text and the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.event import FIELDS, LINE, Kind

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
"""Matches replaced in one line by the fast way; a line with more goes match by match."""

_BLOCK_LINES: Final = 200  # looked at in one go: they and what is made of them stay in the processor's cache
_MARGIN: Final = b"\n" * 32

_KEYED: Final = {
    "session_key": "session_key",
    "sessionkey": "session_key",
    "access_token": "access_token",
    "accesstoken": "access_token",
    "authorization": "access_token",
    "app_secret": "app_secret",
    "appsecret": "app_secret",
    "secret": "app_secret",
    "password": "password",
    "passwd": "password",
    "openid": "openid",
    "open_id": "openid",
    "unionid": "openid",
    "js_code": "code",
    "code": "code",
    "token": "token",
    "session": "token",
}
"""Keys, in lower case, whose texts are secrets or people, and as what they count; ``code`` and ``token`` are ``auth.*``."""

WORDS: Final = (
    "session_key",
    "sessionkey",
    "session=",
    'session\\"',
    '"session":"',
    "access_token",
    "accesstoken",
    "authorization",
    "secret",
    "password",
    "passwd",
    "private key",
    "eyj",
    "openid",
    "open_id",
    "unionid",
    "code=",
    'code\\"',
    "js_code",
    "token",
)
_KEYS: Final = "|".join(sorted(_KEYED, key=len, reverse=True))
# Keys may stand in JSON, in JSON inside a JSON text (with \" for quotes), in a query string or in prose (key: value).
# No counted repetitions and no Unicode classes: both would take the regular expression off its fast automaton.
_MATCH: Final = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\\ rn\n-]*-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    rf'|(?i-u:\b(?:{_KEYS})\b)(?:\\*["\'])? *[:=] *(?:\\*["\'])?(?:Bearer )?[A-Za-z0-9_.~+/=%@!#$^*-]+'
    r'|(?:"[a-z_]+": ?|(?:"[a-z_]+": ?)?(?:^|[^0-9A-Za-z_.]))(?:1[3-9][0-9]{9}|[0-9]{16,19}|[0-9]{17}[Xx])(?:$|[^0-9A-Za-z_])'
)
_KEYED_MATCH: Final = re.compile(
    rf'({_KEYS})((?:\\*["\'])? *[:=] *(?:\\*["\'])?(?:Bearer )?)(.+)', re.IGNORECASE | re.DOTALL
)
_DIGITS_MATCH: Final = re.compile(r'("([a-z_]+)": ?)?([^0-9]*)([0-9]{11,19}[Xx]?)([^0-9]*)', re.DOTALL)
_PYTHON_MATCH: Final = re.compile(_MATCH.replace("(?i-u:", "(?i:"), re.ASCII)
_DONE: Final = re.compile(r"<[a-z_]+:[0-9a-f]{8}>|[0-9a-f]{32}")
_COUNTS: Final = frozenset(
    name.rpartition(".")[2] for name, kind in FIELDS.items() if kind in (Kind.INTEGER, Kind.NUMBER, Kind.TIME)
) | {"timestamp", "time", "ts", "id", "order_id", "transaction_id"}
"""Keys whose long numbers are counts, times or serial numbers, not phones."""

Hash = Callable[[str], str]


def suspects(lines: pl.Series) -> np.ndarray[Any, Any]:
    """Which lines could hold a secret: a telling word, or a run of digits as long as a phone's, an ID's or a card's."""
    words: np.ndarray[Any, Any] = lines.str.contains_any(list(WORDS), ascii_case_insensitive=True).to_numpy()
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


def redact(lines: pl.Series, hash_of: Hash) -> pl.DataFrame:
    """These lines with secrets replaced: ``_line``, ``kinds`` (list of words), ``code`` and ``token`` (hashes, or null).

    `hash_of` gives the keyed hash of a text: 32 hexadecimal digits.
    """
    frame = lines.alias(LINE).to_frame().with_row_index("row")
    found = (
        frame.select("row", pl.col(LINE).str.extract_all(_MATCH).alias("match"))
        .explode("match", empty_as_null=True)
        .drop_nulls("match")
    )
    judged = {match: judge(match, hash_of) for match in found["match"].unique()}
    verdicts = pl.DataFrame(
        [(match, *verdict) for match, verdict in judged.items() if verdict is not None],
        schema={"match": pl.String, "instead": pl.String, "kind": pl.String, "code": pl.String, "token": pl.String},
        orient="row",
    )
    hits = found.join(verdicts, on="match", how="inner", maintain_order="left").unique(
        ["row", "match"], maintain_order=True
    )
    hits = hits.with_columns(pl.int_range(pl.len()).over("row").alias("round"))
    for _, round_hits in sorted(hits.partition_by("round", as_dict=True).items()):
        change = frame.join(round_hits.select("row", "match", "instead"), on="row", how="inner")
        changed = change.select(
            "row", pl.col(LINE).str.split(pl.col("match")).list.join(pl.col("instead")).alias("new")
        )
        frame = frame.join(changed, on="row", how="left", maintain_order="left").select(
            "row", pl.coalesce("new", LINE).alias(LINE)
        )
    told = hits.group_by("row").agg(
        pl.col("kind").drop_nulls().unique().sort().alias("kinds"),
        pl.col("code").drop_nulls().first(),
        pl.col("token").drop_nulls().first(),
    )
    return frame.join(told, on="row", how="left", maintain_order="left").select(LINE, "kinds", "code", "token")


Verdict = tuple[str, str | None, str | None, str | None]


def judge(match: str, hash_of: Hash) -> Verdict | None:
    """What a match is replaced by, its kind, and its hash if it is a login code or a session token; None: it is harmless."""
    if match[:10].upper() == "-----BEGIN":
        return _named("private_key", match, hash_of), "private_key", None, None
    if match.startswith("eyJ"):
        return _named("jwt", match, hash_of), "jwt", None, None
    keyed = _KEYED_MATCH.fullmatch(match)
    if keyed is not None:
        return _judge_keyed(keyed.group(1), keyed.group(2), keyed.group(3), hash_of)
    digits = _DIGITS_MATCH.fullmatch(match)
    if digits is None:
        return None
    kind = kind_of_digits(digits.group(4).upper())
    if kind is None or (digits.group(2) in _COUNTS):
        return None
    opened, value, closed = (digits.group(1) or "") + digits.group(3), digits.group(4), digits.group(5)
    named = _named(kind, value, hash_of)
    if opened.rstrip().endswith(":") or (opened.endswith((",", "[")) and closed[:1] in (",", "]", "}")):
        named = f'"{named}"'  # it stood as a number
    return opened + named + closed, kind, None, None


def _judge_keyed(key: str, between: str, value: str, hash_of: Hash) -> Verdict | None:
    kind = _KEYED[key.lower()]
    if _DONE.fullmatch(value) or set(value) <= set("*xX.-") or value.lower() in ("null", "undefined", "true", "false"):
        return None
    if kind in ("code", "token"):
        if len(value) < 12 or value.isdigit() or ("." in value[:-1] and "/" in value):
            return None
        hashed = hash_of(value)
        return key + between + hashed, None, hashed if kind == "code" else None, hashed if kind == "token" else None
    if kind == "openid":
        return (key + between + hash_of(value), kind, None, None) if len(value) >= 16 else None
    if len(value) < 6 and kind != "password":
        return None
    return key + between + _named(kind, value, hash_of), kind, None, None


def _named(kind: str, value: str, hash_of: Hash) -> str:
    return f"<{kind}:{hash_of(value)[:8]}>"


def redact_tree(line: str, hash_of: Hash) -> tuple[str, list[str]]:
    """One JSON line with secrets replaced text by text: slower than `redact`, and always JSON again."""
    kinds: set[str] = set()

    def told(verdict: Verdict | None, otherwise: str) -> str:
        if verdict is None:
            return otherwise
        if verdict[1] is not None:
            kinds.add(verdict[1])
        return verdict[0]

    def walk(node: Any, key: str) -> Any:
        if isinstance(node, dict):
            return {name: walk(below, name) for name, below in node.items()}
        if isinstance(node, list):
            return [walk(below, key) for below in node]
        if isinstance(node, int) and not isinstance(node, bool) and key not in _COUNTS:
            kind = kind_of_digits(str(node))
            return told((_named(kind, str(node), hash_of), kind, None, None), "") if kind else node
        if not isinstance(node, str):
            return node
        if key.lower() in _KEYED:
            node = told(_judge_keyed(key, "", node, hash_of), key + node)[len(key) :]
        return _PYTHON_MATCH.sub(lambda match: told(judge(match[0], hash_of), match[0]), node)

    return json.dumps(walk(json.loads(line), ""), ensure_ascii=False, separators=(",", ":")), sorted(kinds)


def kind_of_digits(digits: str) -> str | None:
    """What a run of digits is: a phone, an ID number (GB 11643: a date of birth, check digit by ISO 7064 MOD 11-2), a bank
    card (Luhn, a known issuer's first digits), or nothing of the kind.
    """
    if len(digits) == 11 and re.fullmatch(r"1[3-9][0-9]{9}", digits):
        return "phone"
    if len(digits) == 18 and _is_id_number(digits):
        return "id_card"
    if re.fullmatch(r"62[0-9]{14,17}|4[0-9]{15}|5[1-5][0-9]{14}", digits) and _luhn(digits):
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
