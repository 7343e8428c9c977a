"""``miniwatch tokens``: who may do what over HTTP."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.lists import Id
from monitor.cli.moments import MICROSECONDS, expiry, short
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText, group
from monitor.cli.printing import Column, at, write_one, write_rows, write_text
from monitor.clock import now_us
from monitor.listing import filters

if TYPE_CHECKING:
    from monitor.tokens import Token

tokens = group("Who may do what over HTTP: tokens with roles, shown once, each with an end.")

EXPIRES_US_DEFAULT: Final = 90 * 86_400 * MICROSECONDS


def _columns(now: int) -> list[Column[Token]]:
    return [
        ("ID", lambda row: row.id),
        ("NAME", lambda row: row.name),
        ("ROLES", lambda row: ", ".join(row.roles)),
        ("STATE", lambda row: row.state(now)),
        ("UNTIL (UTC)", at("expires")),
        ("MADE BY", lambda row: row.actor),
    ]


@tokens.command("add", epilog="Example: miniwatch tokens add gateway-logs --role ingest --expires 30d")
def add_token(
    name: Annotated[
        str, Argument(metavar="NAME", help="Who will use it, for lists and the audit.", show_default=False)
    ],
    role: Annotated[
        list[str],
        Option("--role", metavar="ROLE", help="ingest, bouncer, viewer, responder, approver or admin; many times."),
    ],
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="Why; kept in the audit.", show_default=False)] = "",
    expires: Annotated[
        int | None,
        Option("--expires", parser=expiry, metavar="TIME", help="How long it holds: 12h, a date … Default: 90d."),
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it. It is kept as a hash and cannot be shown again."""
    from monitor.cli.filters import word
    from monitor.cli.opening import actor, record
    from monitor.listing.wire import token_told
    from monitor.tokens import NAME_CHARACTERS_MAX, Role, new_token

    if not 0 < len(name.strip()) <= NAME_CHARACTERS_MAX:
        raise typer.BadParameter(f"1 to {NAME_CHARACTERS_MAX} characters are expected", param_hint="NAME")
    roles = [Role(word(each, Role, "--role")) for each in role]
    with record(config, data_dir, make=True) as opened:
        now = now_us()
        until = now + EXPIRES_US_DEFAULT if expires is None else expires
        token, text = new_token(name.strip(), roles, created=now, expires=until, actor=actor())
        opened.store.add_token(token, reason)
    if output is Form.TABLE:
        write_text(text)
    else:
        write_one(output, {**token_told(token), "token": text}, [])
    say(
        f"Made token {token.id}, valid until {short(until)} UTC. It is shown this once: keep it where only its user reads it."
    )


@tokens.command("list", epilog="Example: miniwatch tokens list -o json")
def list_tokens(
    over: Annotated[bool, Option("--all", help=filters.ALL_TOKENS.about)] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List tokens: all but their secrets, which nobody has."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import TOKENS

    now = now_us()
    with record(config, data_dir) as opened:
        rows = rows_of(opened, TOKENS, all=over)
    if output is Form.TABLE:
        write_rows(output, rows, _columns(now), none="There is no token: miniwatch tokens add NAME makes one.")
    else:
        write_rows(output, (TOKENS.told(row, now) for row in rows), [])


@tokens.command("revoke", epilog='Example: miniwatch tokens revoke 9f2c41 --reason "The gateway was replaced"')
def revoke_token(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """End a token before its time; a running daemon refuses it within seconds."""
    from monitor.cli.opening import actor, record, whole_id

    with record(config, data_dir) as opened:
        known = [row.id for row in opened.store.tokens() if row.id.startswith(key)]
        whole = whole_id(sorted(known), "token", key)
        revoked = opened.store.revoke_token(whole, actor(), reason, now_us())
    say(f"Revoked token {revoked.id} ({revoked.name}).")
