"""How far each client of CrowdSec's protocol has been told; and no change lies before the floor that a restore has set."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pulls",
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client", name="pk_pulls"),
    )
    floor = "(SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'decision_floor')"
    op.execute(f"UPDATE decisions SET changed = changed + {floor} WHERE changed <= {floor}")  # noqa: S608 - ours
    op.execute(
        "UPDATE meta SET value = (SELECT CAST(max(changed) AS TEXT) FROM decisions) WHERE key = 'decision_change' "
        "AND (SELECT max(changed) FROM decisions) > CAST(value AS BIGINT)"
    )
