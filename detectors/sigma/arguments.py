"""What stands inside of a call's arguments. They are JSON texts; each is read once, whatever is asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOWHERE: Final[dict[int, msgspec.Raw]] = {}


class Arguments:
    """Texts of arguments, and by key where it stands in which of them. What is no JSON object holds nothing."""

    def __init__(self, texts: Iterable[str | None], keys: Container[str]) -> None:
        """`keys` are those that will be asked for: of a stranger's object no other is kept."""
        self._size = 0
        self._found: dict[str, dict[int, msgspec.Raw]] = {}
        for place, text in enumerate(texts):
            self._size += 1
            if text is None:
                continue
            try:
                arguments = _DECODER.decode(text)
            except (msgspec.DecodeError, RecursionError):
                continue
            for key, value in arguments.items():
                if key in keys:
                    self._found.setdefault(key, {})[place] = value

    def at(self, path: str) -> list[str | None]:
        """What stands at a dotted path in each text, as text; None where there is nothing.

        A key may itself contain dots: ``a.b`` is looked for as ``b`` in ``a``, then as the key ``a.b``.
        """
        told: list[str | None] = [None] * self._size
        first, *names = path.split(".")
        for place, raw in self._found.get(path, _NOWHERE).items():
            told[place] = _plain(_value(raw))
        for place, raw in self._found.get(first, _NOWHERE).items() if names else ():
            value = _value(raw)
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                told[place] = _plain(value)
        return told


def keys_of(path: str) -> set[str]:
    """The keys of the outermost object by which a dotted path may be found."""
    return {path, path.partition(".")[0]}


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
