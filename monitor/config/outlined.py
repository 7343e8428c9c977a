"""What of a setting strangers may see, such as those who read a report: whether it was given and what kind of thing it is, never what people named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args, get_origin
from urllib.parse import parse_qsl

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from monitor.config.lines import KeyPath
from monitor.config.problems import SECRET, field_at, shown

TEXT: Final = "<text>"
SCHEMES: Final = ("file", "stdin", "http", "https", "kafka", "postgresql")
FORMATS: Final = ("ndjson", "combined")
PARAMETERS: Final = ("follow", "format", "group", "hashed")
"""Parts of a URI that are told by name."""


def outlined(path: KeyPath, value: object) -> str:
    """A setting's value, as far as it is a number, a switch, the default or one of the words that it may be."""
    if isinstance(value, SecretStr):
        return SECRET
    field = field_at(path)
    if value is None or isinstance(value, bool | int | float) or _is_ours(field, value):
        return "" if value is None else shown(value)
    if isinstance(value, Mapping):
        return f"<a table of {len(value)}>"
    if isinstance(value, tuple | list):
        return f"<a list of {len(value)}>"
    return _uri(value) if path[-1] in {"uri", "url"} and isinstance(value, str) else TEXT


def _is_ours(field: FieldInfo | None, value: object) -> bool:
    """Whether a value is the default, or one of a few words that are all that it may be."""
    if field is None:
        return False
    if not field.is_required() and value == field.get_default(call_default_factory=True):
        return True
    kinds = set(_kinds(field.annotation))
    return str not in kinds and bool(kinds) and kinds <= {Literal, int, float, bool, type(None)}


def _kinds(annotation: object) -> Iterator[object]:
    """The plain types in an annotation; `Literal` for words that are listed."""
    if get_origin(annotation) is Literal:
        yield Literal
    elif inner := get_args(annotation):
        for one in inner:
            if isinstance(one, type) or get_args(one):
                yield from _kinds(one)
    elif isinstance(annotation, type):
        yield annotation


def _uri(text: str) -> str:
    """A URI by its scheme, and by what is asked of it in words of ours."""
    scheme, colon, rest = text.partition(":")
    if scheme not in SCHEMES or not colon:
        return TEXT
    asked = []
    for name, value in parse_qsl(rest.partition("?")[2], keep_blank_values=True):
        if name in PARAMETERS:
            asked.append(f"{name}={value}" if value in FORMATS else name)
    return f"{scheme}:{TEXT if rest else ''}{'?' if asked else ''}{'&'.join(asked)}"
