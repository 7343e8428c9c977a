"""How far the search has come; changes of findings have an order."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "indexed",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("sent_until", sa.BigInteger(), nullable=False),
        sa.Column("set_aside", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("what", "stream", name="pk_indexed"),
    )
    op.create_table(
        "set_aside",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("what", "id", name="pk_set_aside"),
    )
    op.create_index("ix_set_aside_time", "set_aside", ["time"])
    with op.batch_alter_table("findings") as findings:
        findings.add_column(sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE findings SET changed = ranked.place FROM "
        "(SELECT id, row_number() OVER (ORDER BY time, id) AS place FROM findings) AS ranked "
        "WHERE ranked.id = findings.id"
    )
    op.execute("INSERT INTO meta (key, value) SELECT 'finding_change', CAST(count(*) AS TEXT) FROM findings")
    op.create_index("ix_findings_changed", "findings", ["changed"], unique=True)
