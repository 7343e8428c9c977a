"""Messages stand in lines, tell of decisions, and have a place."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("outbox") as outbox:
        outbox.add_column(sa.Column("line", sa.Text(), nullable=False, server_default=""))
        outbox.add_column(sa.Column("about", sa.Text(), nullable=False, server_default=""))
        outbox.add_column(sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE outbox SET place = ranked.place FROM "
        "(SELECT key, row_number() OVER (ORDER BY created, key) AS place FROM outbox) AS ranked "
        "WHERE ranked.key = outbox.key"
    )
    op.create_index("ix_outbox_channel_line_state_place", "outbox", ["channel", "line", "state", "place"])
    op.create_index("ix_outbox_about", "outbox", ["about"])
    op.create_index("ix_outbox_place", "outbox", ["place"])
