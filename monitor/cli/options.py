"""What commands share: options, so that they are spelled alike everywhere, and the manner of groups."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Option, Typer
from typer.core import TyperGroup

from monitor.cli.moments import expiry, moment
from monitor.listing import filters

ROWS_MAX: Final = 50
"""Rows of a table when nobody asks for more."""


CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
"""How every command's help is laid out."""


class Branch(TyperGroup):
    """A group whose own help option is never in doubt: an absent one would be settled by loading pydantic.

    Of each command it shows the first sentence whole, where Click would cut it to a line.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _sentence(command.help or "")) for name, command in commands if command is not None]
            )

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def _sentence(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).split(". ")[0].rstrip(".") + "."


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


class Whence(StrEnum):
    """Where events and findings are read."""

    ARCHIVE = "archive"
    ELASTICSEARCH = "elasticsearch"


From = Annotated[
    Whence | None,
    Option(
        "--from",
        help="Where to read: the archive and the record, or the search, which may be a little behind. Default: elasticsearch.lists.",
        show_default=False,
    ),
]


def read_from(whence: Whence | None) -> dict[str, object]:
    """What the option says, as a key of the configuration."""
    return {} if whence is None else {"elasticsearch.lists": whence.value}


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
Since = Annotated[int | None, Option("--since", parser=moment, metavar=filters.SINCE.metavar, help=filters.SINCE.about)]
Until = Annotated[int | None, Option("--until", parser=moment, metavar=filters.UNTIL.metavar, help=filters.UNTIL.about)]
App = Annotated[str | None, Option("--app", metavar=filters.APP.metavar, help=filters.APP.about)]
ScopeName = Annotated[str | None, Option("--scope", metavar=filters.SCOPE.metavar, help=filters.SCOPE.about)]
Value = Annotated[str | None, Option("--value", metavar=filters.VALUE.metavar, help=filters.VALUE.about)]
RuleId = Annotated[str | None, Option("--rule", metavar=filters.RULE.metavar, help=filters.RULE.about)]
SeverityWord = Annotated[
    str | None, Option("--severity", metavar=filters.SEVERITY.metavar, help=filters.SEVERITY.about)
]
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
