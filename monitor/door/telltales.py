"""What tells a secret: the keys under which they stand, the words that betray them, and the regular expression of all.

Nothing is judged here: what matches may be harmless.
"""

from __future__ import annotations

from typing import Final, NamedTuple

KEYED: Final = {
    "sessionkey": "session_key",
    "accesstoken": "access_token",
    "refreshtoken": "access_token",
    "idtoken": "access_token",
    "authorization": "access_token",
    "cookie": "cookie",
    "secret": "app_secret",
    "secretkey": "app_secret",
    "apikey": "app_secret",
    "password": "password",
    "passwd": "password",
    "pwd": "password",
    "openid": "openid",
    "unionid": "openid",
    "touser": "openid",
    "fromusername": "openid",
    "jscode": "code",
    "code": "code",
    "token": "token",
    "session": "token",
    "sessionid": "token",
}
"""Keys, in lower case and without ``_`` and ``-``, whose texts are secrets or people, and as what they count.

``code`` and ``token`` are ``auth.*``; a ``cookie`` counts as an access token.
"""

STRONG: Final = (
    r"session[_-]?(?:key|id)|(?:access[_-]?|refresh[_-]?|id[_-]?)?token|secret(?:[_-]?key)?|api[_-]?key"
    r"|password|passwd|pwd|open_?id|unionid|touser|fromusername|js_?code"
)
"""Keys that tell as the end of a longer one, too: ``sub_openid``."""

LONG: Final = "authorization|cookie"
"""Such keys whose value, where no quotes end it, goes on to the end of the line."""

WEAK: Final = "code|session"
"""Keys that tell only where they stand alone: ``status_code`` is harmless."""

_SCHEMES: Final = r"sql|postgres|redis|rediss|mongodb|mongodb\+srv|amqp|amqps|ftp|ftps"
"""Ends of what stands before ``://`` in addresses that often carry a password."""


class Word(NamedTuple):
    """A word, in lower case, without which `MATCH` finds nothing but digits: what is replaced must be a suspect first.

    Its first `key` characters are a key, which tells nothing without ``:``, ``=``, ``>`` or a percent sign after it, and a
    list or a value of `value_min` characters; 0: the word tells alone.
    """

    text: str
    key: int = 0
    value_min: int = 0


TOKEN_MIN: Final = 12
"""A login code or a session token has at least so many characters."""

_KEYS: Final = (
    *("session_key", "sessionkey", "session-key", "session_id", "sessionid", "session-id", "token"),
    *("authorization", "cookie", "secret_key", "secretkey", "secret-key", "secret", "password", "passwd", "pwd"),
    *("openid", "open_id", "unionid", "touser", "js_code", "jscode"),
    *("pi_key", "pikey", "pi-key", "omusername"),  # their ends: "api" and "from" stand in ordinary lines
)
_WEAK_KEYS: Final = (("code", TOKEN_MIN), ("session", 0))
_WEAK_ENDS: Final = ("=", ":", "\\", "'", "%", ">")
_LONE: Final = (
    *("private key", "eyj", "+86", "%2b86", "00861"),
    *("sql://", "postgres://", "redis://", "rediss://", "mongodb", "amqp", "ftp://", "ftps://"),
)

WORDS: Final = (
    *(Word(key, len(key)) for key in _KEYS),
    *(Word(f"{key}{end}", len(key), least) for key, least in _WEAK_KEYS for end in _WEAK_ENDS),
    *(Word(f'"{key}":{opened}', len(key) + 1, least) for key, least in _WEAK_KEYS for opened in ('"', ' "', "[", " [")),
    *(Word(text) for text in _LONE),
)
"""Whatever `MATCH` finds holds one of these or a run of digits."""

PIECES: Final = (
    *("2b86", "assw", "peni", "i-ke", "edis", "ooki", "gres", "thor", "js_c", "amqp", "pen_", "e ke", "ode=", "ikey"),
    *("ode>", "sql:", "ouse", '"cod', "ngod", "ode:", "ode'", "oken", "ode\\", "sess", "omus", "jsco", "onid", "i_ke"),
    *("ode%", "ecre", "0086"),
    *("pwd", "eyj", "+86", "ftp"),
)
"""The kernel looks for the words by these: one stands in each word, and few of them in ordinary lines.

Those of four bytes are compared eight at a time, and what a mixture of two of the same place looks like must be looked at closer:
their order keeps apart which would be mixed up often.
"""

# Keys may stand in JSON, in JSON inside a JSON text (with \" for quotes, and with \\\" inside of that one), in a query string
# or in prose (key: value). A value in quotes ends at the next quote of its own level.
# A list ends at its first bracket; a value in XML at the next tag, in CDATA at the end of that.
# No counted repetitions of more than digits and no Unicode classes: they would take the regular expression off its fast
# automaton. What begins like a match is one, whatever follows: so no text is gone through again and again in vain.
_SPACE: Final = r"(?:[ \t]|\\+t)*"
JOINT: Final = rf"{_SPACE}[:=]{_SPACE}"
BARE: Final = r"(?:(?i-u:Bearer) )?[A-Za-z0-9_.~+/=%@!#$^*-]+"
_PERCENT_CLASS: Final = r"[A-Za-z0-9_.~/=@!#$^*()'+-]*"
_PERCENT: Final = (
    r"(?:%22(?:[:=]|%3[AaDd])(?:%20|\+)*(?:%22)?|%3[AaDd](?:%22)?)"
    rf"{_PERCENT_CLASS}(?:%(?:5[Cc]%22|[013-9A-Fa-f][0-9A-Fa-f]|2[013-57-9A-Fa-f]){_PERCENT_CLASS})*"
)


def _quoted(slashes: int, joint: str = "") -> str:
    """A value in quotes that have so many backslashes before them; quotes inside of it have twice as many and one."""
    inner = r"\\" * (2 * slashes + 1)
    return rf'{joint}{_quote(slashes)}[^"\\]*(?:(?:{inner}["\\]|\\+[^"\\])[^"\\]*)*'


def _quote(slashes: int) -> str:
    return r"\\" * slashes + '"'


_NESTED_LEVELS: Final = (1, 3)  # backslashes before quotes in JSON inside of JSON, once and twice
TO_FIRST: Final = r"(?:[ \t\r\n\[]|\\+[nrt])*"


def _listed(slashes: int) -> str:
    """A list whose first text stands in quotes that have so many backslashes before them."""
    text = f"{_quoted(slashes)}(?:{_quote(slashes)})?"
    return rf"\[{TO_FIRST}{text}(?:{text}|\\+[nrt]|[^\"\\\[\]{{}}])*"


QUOTED_LIST: Final = "|".join(
    [*(_listed(slashes) for slashes in (0, *_NESTED_LEVELS)), rf"\[{TO_FIRST}'[^\"\\\[\]{{}}]*"]
)
_LIST: Final = rf"{QUOTED_LIST}|\[(?:[^\"\\\[\]{{}}]|\\+[nrt])*"

ITEMS: Final = {
    '"': _quoted(0),
    **{"\\" * slashes + '"': _quoted(slashes) for slashes in _NESTED_LEVELS},
    "'": "'[^'\"\\\\]*",
}
"""A text in a list, with the quote before it and without the one behind it, by what that quote is."""

BLANKS: Final = r"(?:[ \t\r\n]|\\+[nrt])*"
CDATA: Final = r"(?:<|\\+u003[Cc])!\[CDATA\["
_ESCAPED: Final = r"\\+(?:[^\"\\u]|u[^0]|u0[^0]|u00[^3]|u003[^Cc])"
_MARKED_VALUE: Final = (
    rf"(?:{BLANKS}{CDATA}(?:[^\]\"\\]|\](?:[^\]\"\\]|\]+[^\]>\"\\])|{_ESCAPED})+|(?:[^<\"\\]|{_ESCAPED})+)"
)
_TAGS: Final = (
    rf"<[A-Za-z0-9_.:-]*?(?i-u:{STRONG}|{LONG})>{_MARKED_VALUE}",
    rf"<(?:[A-Za-z0-9_.-]+:)?(?i-u:{WEAK})>{_MARKED_VALUE}",
    rf"(?:(?i-u:{STRONG}|{LONG})|u003[Cc](?i-u:{WEAK}))\\+u003[Ee]{_MARKED_VALUE}",  # as Go's JSON has it
)
_STRONG_QUOTED: Final = "|".join(
    [
        *(_quoted(slashes, f"(?:{_quote(slashes)})?{JOINT}") for slashes in (0, *_NESTED_LEVELS)),
        rf'(?:\\+")?{JOINT}\\+"[^"\\]*',
        rf"'?{JOINT}'[^'\"\\]*",
        _PERCENT,
    ]
)
_PEM_TEXT: Final = r'(?:[^"\\]|\\+[^"\\])'
_PEM_END: Final = r"[A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
LONG_NUMBER: Final = r"(?:1[3-9][0-9]{9}|[0-9]{16,19}|[0-9]{17}[Xx])"
_ABROAD: Final = (
    r"(?:(?:\+|%2[Bb])86[ -]?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}|(?-u:\b)00861[3-9][0-9]{9})(?-u:\b)"  # a phone
)


def _match(*, lists: bool) -> str:
    """What tells, of lists and tags only if wanted."""
    listed, quoted_list, tags = (
        (f"|{_LIST}", rf"|(?:\\*[\"'])?{JOINT}(?:{QUOTED_LIST})", _TAGS) if lists else ("", "", ())
    )
    weak_value = "|".join(
        [
            _quoted(0, f"[:=]{_SPACE}"),
            *(_quoted(slashes, f"(?:{_quote(slashes)}{JOINT}|[:=]{_SPACE})") for slashes in _NESTED_LEVELS),
            rf'(?:\\+"{JOINT}|[:=]{_SPACE})\\+"[^"\\]*',
            rf"(?:'{JOINT}|[:=]{_SPACE})'[^'\"\\]*",
            _PERCENT,
            rf"(?:\\+[\"']{JOINT}|'{JOINT}|[:=]{_SPACE})(?:{BARE}{listed})",
        ]
    )
    return "|".join(
        [
            rf"-----BEGIN {_PEM_END}(?:{_PEM_TEXT}*?-----END {_PEM_END}|{_PEM_TEXT}*)",
            r"eyJ[A-Za-z0-9_.-]+",
            rf"(?i-u:{STRONG})(?:{_STRONG_QUOTED}|(?:\\*[\"'])?{JOINT}(?:{BARE}{listed}))",
            rf"(?i-u:{LONG})(?:{_STRONG_QUOTED}{quoted_list}|{JOINT}[^\"'\\\r\n]+)",
            *tags,
            rf'"(?i-u:{WEAK})": ?(?:{_quoted(0)}{listed})',
            rf"(?i-u:(?:\b|%[0-9A-F][0-9A-F])(?:{WEAK}))(?:{weak_value})",
            rf'(?i-u:{_SCHEMES})://[^/@"\\ :]*:[^/@"\\ ]+@',
            _ABROAD,
            rf'(?:"[A-Za-z_.]+\\*": ?|\.)?(?-u:\b){LONG_NUMBER}(?-u:\b)',
        ]
    )


MATCH: Final = _match(lists=True)
"""All that may be a secret."""

PLAIN_MATCH: Final = _match(lists=False)
"""The same where nothing is as `MARKS` says: it takes a third of the time to get going."""

MARKS: Final = rf"(?i-u:{STRONG}|{LONG}|{WEAK})(?:(?:\\*[\"'])?{JOINT}\[|>|\\+u003[Ee])"
"""A list or a tag of a telling key."""
