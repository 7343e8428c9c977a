"""A mark of a finding says until when it is input of allow-lists and training; marks from before are for half a year from when they were made."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

HALF_A_YEAR_US = 180 * 86_400 * 1_000_000


def upgrade() -> None:
    with op.batch_alter_table("finding_marks") as marks:
        marks.add_column(sa.Column("expires", sa.BigInteger(), nullable=True))
    op.execute(f"UPDATE finding_marks SET expires = time + {HALF_A_YEAR_US} WHERE verdict IS NOT NULL")  # noqa: S608 - a number of ours
    op.create_index("ix_finding_marks_verdict", "finding_marks", ["verdict"])
