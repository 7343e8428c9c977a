"""A record keeps how full and how busy everything was, so that it can be said when it will be full."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measurements",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("what", "host", "place")),
        sa.Column("time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("bound", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("what", "host", "place", "time", name="pk_measurements"),
    )
    op.create_index("ix_measurements_time", "measurements", ["time"])
