"""Controls say when they came into force, and at which position of each partition."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("controls") as controls:
        controls.add_column(sa.Column("positions", sa.Text(), nullable=False, server_default="{}"))
        controls.add_column(sa.Column("time", sa.BigInteger(), nullable=False, server_default="0"))
