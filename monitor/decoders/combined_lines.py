"""What stands where in a line of the combined log format: by byte positions for ordinary lines, by pattern for the rest.

Both ways give the same columns (`PARTS`); a property test holds them together. Positions are four times as fast.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PARTS: Final = {
    "_row": pl.Int64(),
    "@timestamp": pl.Int64(),
    "source.ip": pl.String(),
    "user.name": pl.String(),
    "http.request.method": pl.String(),
    "url.original": pl.String(),
    "http.version": pl.String(),
    "http.response.status_code": pl.Int64(),
    "http.response.bytes": pl.Int64(),
    "http.request.referrer": pl.String(),
    "user_agent.original": pl.String(),
}
"""The columns that a line is taken apart into; ``_row`` is its number in the batch."""

_ADDRESS_BYTES_MAX: Final = 46  # an IPv6 address with an IPv4 tail; longer host names take the pattern's way
_NAME_BYTES_MAX: Final = 16
_DIGITS_MAX: Final = 18  # of a number that surely fits 64 bits
_TIME_BYTES: Final = 26  # 10/Oct/2026:13:55:36 +0800

_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_LINE: Final = rf"(?s)^([^ ]+) ([^ ]+) (.*?) \[([^\[\]]*)\] {_QUOTED} ([0-9]{{3}}) ([0-9]+|-)(?: {_QUOTED})?(?: {_QUOTED})?(?: .*)?$"
_REQUEST: Final = r"(?s)^([A-Z][A-Z_-]{0,15}) ([^ ].*?)(?: HTTP/([0-9](?:\.[0-9])?))?$"
_ESCAPES: Final = {
    "\\\\": "\\",
    **{f"\\x{code:02x}": chr(code) for code in range(0x20, 0x7F)},
    **{f"\\x{code:02X}": chr(code) for code in range(0x20, 0x7F)},
    '\\"': '"',
}

_VERSIONS: Final = {code: f"{code // 10}.{code % 10}" for code in range(100)}
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS: Final = sorted((int.from_bytes(name.encode(), "big"), number) for number, name in enumerate(MONTHS))
_MONTH_CODES: Final = np.array([code for code, _ in _MONTHS])
_MONTH_NUMBERS: Final = np.array([number for _, number in _MONTHS])


def instants(text: Bytes) -> tuple[Integers, Flags]:
    """Times of 26 bytes each, such as ``10/Oct/2026:13:55:36 +0800``, as microseconds, and which are times at all.

    A leap second is the next one's beginning.
    """
    column = np.ascontiguousarray(text.T).astype(np.int32)
    digit = column - 48
    day, hour, minute, second, zone_hour, zone_minute = (
        digit[at] * 10 + digit[at + 1] for at in (0, 12, 15, 18, 22, 24)
    )
    year = ((digit[7] * 10 + digit[8]) * 10 + digit[9]) * 10 + digit[10]
    code = (column[3] << 16) + (column[4] << 8) + column[5]
    place = np.minimum(np.searchsorted(_MONTH_CODES, code), 11)
    numbers = digit[[0, 1, 7, 8, 9, 10, 12, 13, 15, 16, 18, 19, 22, 23, 24, 25]]
    good = ((numbers >= 0) & (numbers <= 9)).all(axis=0) & (_MONTH_CODES[place] == code)
    for at, letter in ((2, "/"), (6, "/"), (11, ":"), (14, ":"), (17, ":"), (20, " ")):
        good &= column[at] == ord(letter)
    good &= (column[21] == ord("+")) | (column[21] == ord("-"))
    good &= (hour < 24) & (minute < 60) & (second <= 60) & (zone_hour < 24) & (zone_minute < 60) & (year >= 1970)
    month = np.where(good, (year - 1970) * 12 + _MONTH_NUMBERS[place], 0)
    first, following = (months.astype("M8[M]").astype("M8[D]").astype(np.int64) for months in (month, month + 1))
    good &= (day >= 1) & (first + day <= following)
    zone = (zone_hour * 60 + zone_minute) * np.where(column[21] == ord("-"), -60, 60)
    seconds = (first + day - 1) * np.int64(86_400) + hour * 3_600 + minute * 60 + second - zone
    good &= seconds >= 0
    return seconds * 1_000_000, good


def read_by_position(data: bytes, starts: Integers, ends: Integers, lines: pl.Series, rows: Integers) -> pl.DataFrame:
    """Take apart the ordinary ones of `rows`; the others are left out. `lines` holds the bytes from `starts` on."""
    text = np.frombuffer(data + bytes(_ADDRESS_BYTES_MAX + 1), np.uint8)  # so that one may look a little beyond the end
    quotes = np.flatnonzero(text == 34)
    first = np.searchsorted(quotes, starts)
    rows = rows[first[rows] + 5 < len(quotes)]
    rows = rows[(quotes[first[rows] + 5] < ends[rows]) & (quotes[first[rows]] - starts[rows] >= 33)]
    if b"\\" in data:
        escapes = np.flatnonzero(text == 92)
        rows = rows[np.searchsorted(escapes, starts[rows]) == np.searchsorted(escapes, ends[rows])]
    marks = _Marks(text, rows, starts, ends, quotes, first)
    return marks.parts(lines)


class _Marks:
    """Where the quotes and spaces of ordinary lines stand; each step keeps the lines that are as expected."""

    def __init__(
        self, text: Bytes, rows: Integers, starts: Integers, ends: Integers, quotes: Integers, first: Integers
    ) -> None:
        self.text = text
        self.at: dict[str, Integers] = {"row": rows, "start": starts[rows], "end": ends[rows]}
        for number in range(6):
            self.at[f"q{number}"] = quotes[first[rows] + number]
        self._keep_framed()
        self.micros = self._keep_timed()
        self._find_space("address", self.at["start"], _ADDRESS_BYTES_MAX)
        self._find_space("ident", self.at["address"] + 1, _NAME_BYTES_MAX)
        self._keep(self.at["ident"] <= self.at["q0"] - 31)
        self._find_space("method", self.at["q0"] + 1, _NAME_BYTES_MAX, capitals=True)
        self._keep((self.at["method"] + 1 < self.at["q1"] - 9) & (self.text[self.at["method"] + 1] != 32))
        self.size = self._keep_sized()

    def _keep(self, good: Flags) -> None:
        if not good.all():
            self.at = {name: places[good] for name, places in self.at.items()}
            if hasattr(self, "micros"):
                self.micros = self.micros[good]

    def _keep_framed(self) -> None:
        """`` [`` time ``] "request" status bytes "referrer" "agent"``, and ``HTTP/`` version at the request's end."""
        at, text = self.at, self.text
        self._keep((at["q2"] - at["q1"] >= 8) & (at["q4"] == at["q3"] + 2) & (at["q1"] - at["q0"] >= 13))
        at = self.at
        good = np.ones(len(at["row"]), dtype=bool)
        for mark, literals in (
            ("q0", {-30: " [", -2: "] "}),
            ("q1", {-9: " HTTP/", -2: ".", 1: " ", 5: " "}),
            ("q2", {-1: " "}),
        ):
            for offset, literal in literals.items():
                for place, letter in enumerate(literal, offset):
                    good &= text[at[mark] + place] == ord(letter)
        for mark, places in (("q1", (-3, -1, 2, 3, 4)),):
            for place in places:
                good &= text[at[mark] + place] - np.uint8(48) < 10
        good &= text[at["q3"] + 1] == 32
        after = at["q5"] + 1
        good &= (after >= at["end"]) | (text[after] == 32)
        self._keep(good)

    def _keep_timed(self) -> Integers:
        micros, good = instants(_windows(self.text, _TIME_BYTES)[self.at["q0"] - 28])
        self._keep(good)
        return micros[good]

    def _find_space(self, name: str, begin: Integers, length_max: int, *, capitals: bool = False) -> None:
        """The next space, at least one byte on; lines without one so near are dropped."""
        near = _windows(self.text, length_max + 1)[begin]
        length = np.argmax(near == 32, axis=1)
        good = (length > 0) & (begin + length < self.at["q1"])
        if capitals:
            letters = (near - np.uint8(65) < 26) | (near == 45) | (near == 95)
            good &= np.argmin(letters, axis=1) == length
            good &= near[:, 0] - np.uint8(65) < 26
        self.at[name] = begin + length
        self._keep(good)

    def _keep_sized(self) -> Integers:
        """The number before the referrer; -1 for a dash."""
        begin, end = self.at["q1"] + 6, self.at["q2"] - 1
        dash = (end - begin == 1) & (self.text[begin] == 45)
        good = end - begin <= _DIGITS_MAX
        size = np.zeros(len(begin), dtype=np.int64)
        for place in range(min(_DIGITS_MAX, int((end - begin).max(initial=0)))):
            inside = begin + place < end
            digit = self.text[np.where(inside, begin + place, begin)] - np.uint8(48)
            good &= ~inside | (digit < 10) | dash
            size = np.where(inside, size * 10 + digit, size)
        size = np.where(dash, -1, size)
        self._keep(good)
        return size[good]

    def parts(self, lines: pl.Series) -> pl.DataFrame:
        """The columns of the lines that were kept."""
        at, text = self.at, self.text
        names = at["ident"] + 1
        pieces = {
            "source.ip": (at["start"], at["address"]),
            "http.request.method": (at["q0"] + 1, at["method"]),
            "url.original": (at["method"] + 1, at["q1"] - 9),
            "http.request.referrer": (at["q2"] + 1, at["q3"]),
            "user_agent.original": (at["q4"] + 1, at["q5"]),
        }
        if (text[names] != 45).any() or (at["q0"] - 30 - names != 1).any():
            pieces["user.name"] = (names, at["q0"] - 30)
        digit = _windows(text, 8)[at["q1"] - 3].astype(np.int64) - 48
        columns = {
            "line": lines if len(at["row"]) == len(lines) else lines.gather(at["row"]),
            "_row": at["row"],
            "@timestamp": self.micros,
            "http.version": (digit[:, 0] * 10 + digit[:, 2]).astype(np.uint8),
            "http.response.status_code": (digit[:, 5] * 10 + digit[:, 6]) * 10 + digit[:, 7],
            "http.response.bytes": self.size,
        }
        for name, (begin, end) in pieces.items():  # as columns: a literal of this length would be hashed by the planner
            columns[name + " begin"], columns[name + " length"] = begin - at["start"], end - begin
        size, none = pl.col("http.response.bytes"), pl.lit(None, dtype=pl.String)
        frame = pl.DataFrame(columns).with_columns(
            pl.when(size >= 0).then(size),
            pl.col("http.version").replace_strict(list(_VERSIONS), list(_VERSIONS.values()), return_dtype=pl.String),
            *(
                pl.col("line").bin.slice(pl.col(name + " begin"), pl.col(name + " length")).cast(pl.String).alias(name)
                for name in pieces
            ),
        )
        optional = ("http.request.referrer", "user_agent.original", *(("user.name",) if "user.name" in pieces else ()))
        frame = frame.with_columns(_absent(pl.col(name)) for name in optional)
        return frame.select(pl.col(name) if name in frame.columns else none.alias(name) for name in PARTS)


def _windows(text: Bytes, length: int) -> Bytes:
    """Every run of so many bytes, by where it begins; nothing is copied until some are chosen."""
    return np.lib.stride_tricks.sliding_window_view(text, length)


def read_by_pattern(lines: pl.Series, rows: Integers) -> tuple[pl.DataFrame, Integers]:
    """Take apart any line of text that is in the format; also give the rows that are but for their time."""
    groups = pl.DataFrame({"_row": rows, "line": lines}).with_columns(pl.col("line").str.extract_groups(_LINE))
    frame = groups.unnest("line").filter(pl.col("4").is_not_null())
    shaped = (frame["4"].str.len_bytes() == _TIME_BYTES).to_numpy()
    text = np.frombuffer("".join(frame["4"].filter(pl.Series(shaped))).encode(), np.uint8).reshape(-1, _TIME_BYTES)
    micros, good = instants(text)
    is_time = shaped.copy()
    is_time[shaped] = good
    bad = frame["_row"].filter(pl.Series(~is_time)).to_numpy()
    frame = frame.filter(pl.Series(is_time)).with_columns(pl.Series("@timestamp", micros[good], dtype=pl.Int64))
    frame = frame.with_columns(_unescaped(frame, name) for name in ("3", "5", "8", "9"))
    request = pl.col("request").struct
    method = request.field("1")
    parts = frame.with_columns(pl.col("5").str.extract_groups(_REQUEST).alias("request")).with_columns(
        # Without a version it is a request of the oldest kind only if it asks for a path.
        (method.is_not_null() & (request.field("3").is_not_null() | request.field("2").str.starts_with("/"))).alias(
            "ok"
        )
    )
    columns = parts.select(
        "_row",
        "@timestamp",
        pl.col("1").alias("source.ip"),
        _absent(pl.col("3")).alias("user.name"),
        pl.when("ok").then(method).alias("http.request.method"),
        _absent(pl.when("ok").then(request.field("2")).otherwise("5")).alias("url.original"),
        pl.when("ok").then(request.field("3")).alias("http.version"),
        pl.col("6").cast(pl.Int64).alias("http.response.status_code"),
        pl.col("7").cast(pl.Int64, strict=False).alias("http.response.bytes"),
        _absent(pl.col("8")).alias("http.request.referrer"),
        _absent(pl.col("9")).alias("user_agent.original"),
    )
    return columns.cast(PARTS), bad  # type: ignore[arg-type]


def _absent(column: pl.Expr) -> pl.Expr:
    """A dash or nothing at all is how servers write that there was none."""
    return pl.when((column != "-") & (column != "")).then(column)


def _unescaped(frame: pl.DataFrame, name: str) -> pl.Expr | pl.Series:
    """Printable characters that the server wrote with a backslash or by number as themselves; other escapes stay."""
    column = frame[name]
    if not column.str.contains("\\", literal=True).any():
        return column
    return pl.col(name).str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))


def shown(value: Any, length_max: int = 60) -> str:
    """A piece of a line for a message."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= length_max else text[:length_max] + "…")
