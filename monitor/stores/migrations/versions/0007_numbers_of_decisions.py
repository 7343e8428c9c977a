"""Decisions have a number, and their changes an order."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("decisions") as decisions:
        decisions.add_column(sa.Column("number", sa.BigInteger(), nullable=False, server_default="0"))
        decisions.add_column(sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE decisions SET number = ranked.place, changed = ranked.place FROM "
        "(SELECT id, row_number() OVER (ORDER BY time, id) AS place FROM decisions) AS ranked "
        "WHERE ranked.id = decisions.id"
    )
    op.execute("INSERT INTO meta (key, value) SELECT 'decision_number', CAST(count(*) AS TEXT) FROM decisions")
    op.execute(
        "INSERT INTO meta (key, value) SELECT 'decision_change', CAST(count(*) AS TEXT) FROM decisions "
        "WHERE true ON CONFLICT (key) DO NOTHING"  # a backup that was restored has it
    )
    op.create_index("ix_decisions_number", "decisions", ["number"], unique=True)
    op.create_index("ix_decisions_changed", "decisions", ["changed"], unique=True)
