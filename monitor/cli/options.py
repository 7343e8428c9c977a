"""What commands share: options, so that they are spelled alike everywhere, and the manner of groups."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Option, Typer
from typer.core import TyperGroup

from monitor.cli.moments import expiry, moment

ROWS_MAX: Final = 50
"""Rows of a table when nobody asks for more."""


CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""How every command's help is laid out."""


class Branch(TyperGroup):
    """A group whose own help option is never in doubt: an absent one would be settled by loading pydantic."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def group(about: str) -> Typer:
    """A group of commands, in the manner of all others."""
    return Typer(
        cls=Branch,
        help=about,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
    )


class Form(StrEnum):
    """How a result is written. `ndjson` is a stable contract: one object a line."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"


ConfigFile = Annotated[
    Path | None,
    Option(
        "--config",
        "-c",
        envvar="MINIWATCH_CONFIG",
        metavar="FILE",
        help="Configuration file. Default: ./config.toml if there is one, else the built-in defaults.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    Option("--data-dir", metavar="FOLDER", help="Where everything is kept; wins over data_dir.", show_default=False),
]
Output = Annotated[Form, Option("--output", "-o", help="How the result is written.")]
Since = Annotated[
    int | None,
    Option("--since", parser=moment, metavar="TIME", help="From this time on: a date, a time, or 2h, 7d ago."),
]
Until = Annotated[int | None, Option("--until", parser=moment, metavar="TIME", help="Before this time.")]
App = Annotated[str | None, Option("--app", metavar="APP_ID", help="About this app.")]
ScopeName = Annotated[str | None, Option("--scope", metavar="SCOPE", help="About this kind of entity: AppId, Ip …")]
Value = Annotated[
    str | None,
    Option("--value", metavar="VALUE", help="About the entity of this name; people are found by their id too."),
]
RuleId = Annotated[str | None, Option("--rule", metavar="RULE", help="Of this rule: its id, or the beginning of it.")]
SeverityWord = Annotated[str | None, Option("--severity", metavar="SEVERITY", help="Of at least this severity.")]
Limit = Annotated[
    int | None,
    Option(
        "--limit",
        min=1,
        metavar="N",
        help=f"At most so many. Default: {ROWS_MAX} for a table, else all.",
        show_default=False,
    ),
]
ReasonText = Annotated[str, Option("--reason", metavar="TEXT", help="Why; kept in the audit.", show_default=False)]
Expires = Annotated[
    int | None,
    Option("--expires", parser=expiry, metavar="TIME", help="How long it holds: 12h, a date … Default: 30d."),
]
