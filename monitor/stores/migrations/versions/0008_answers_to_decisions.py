"""Decisions that wait for a person can be answered until a time."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("decisions") as decisions:
        decisions.add_column(sa.Column("answer_by", sa.BigInteger(), nullable=True))
    op.execute("UPDATE decisions SET answer_by = expires WHERE state IN ('held', 'awaiting-approval')")
    op.create_index("ix_decisions_state_answer_by", "decisions", ["state", "answer_by"])
