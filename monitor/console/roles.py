"""Who may ask for which page: the table of it, made from the pages themselves."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.console.pages import Page
from monitor.tokens import Role, Token

STRANGERS = "nobody"
"""Heads the column of those without a token."""


def may(page: Page, role: Role | None) -> bool:
    """Whether somebody with a token of this role gets the page; None stands for a stranger."""
    if page.is_open:
        return True
    return role is not None and _holder(role).may(page.role)


def table(pages: Iterable[Page]) -> str:
    """A line for each page, in Markdown: ● who gets it."""
    heads = ["page", "methods", STRANGERS, *Role]
    lines = [_line(heads), _line("---" for _ in heads)]
    for page in sorted(pages, key=lambda page: (page.path, page.methods)):
        marks = ["●" if may(page, role) else "" for role in (None, *Role)]
        lines.append(_line([f"`{page.path}`", ", ".join(page.methods), *marks]))
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _holder(role: Role) -> Token:
    return Token(id="", name="", roles=(role,), digest="", created=0, expires=1, actor="")
