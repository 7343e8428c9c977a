"""Dead letters say how many lines they stand for and the format these were read in; accounts of them by source and reason."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = ("lines", "rows", "kept", "bytes", "dropped")


def upgrade() -> None:
    with op.batch_alter_table("dead_letters") as letters:
        letters.add_column(sa.Column("lines", sa.BigInteger(), nullable=False, server_default="1"))
        letters.add_column(sa.Column("format", sa.Text(), nullable=False, server_default="ndjson"))
    op.execute("UPDATE dead_letters SET format = 'combined' WHERE reason = 'not-combined'")
    op.create_index("ix_dead_letters_partition_reason_id", "dead_letters", ["partition", "reason", "id"])
    op.create_table(
        "dead_letter_accounts",
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("partition", "reason", name="pk_dead_letter_accounts"),
    )
    op.execute(
        "INSERT INTO dead_letter_accounts (partition, reason, lines, rows, kept, bytes, dropped) "
        "SELECT partition, reason, count(*), count(*), count(*), sum(length(sealed) + 200), 0 "
        "FROM dead_letters GROUP BY partition, reason"
    )
