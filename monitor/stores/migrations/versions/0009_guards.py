"""Standing words begin at a time, decisions are found by their reason, and it is kept since when rules have been in force."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("standings") as standings:
        standings.add_column(sa.Column("begins", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("decisions") as decisions:
        decisions.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    said = "json_extract(document, '$.reason')" if is_sqlite else "CAST(document AS json) ->> 'reason'"
    op.execute(f"UPDATE decisions SET reason = {said}")  # noqa: S608 - ours
    op.create_index("ix_decisions_reason_time", "decisions", ["reason", "time"])
    op.create_table(
        "rules_since",
        sa.Column("rule", sa.Text(), primary_key=True),
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
    )
