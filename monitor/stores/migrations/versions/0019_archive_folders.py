"""A record knows which archive folder holds what, and how far the search has come in each."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("segments") as segments:
        segments.add_column(sa.Column("folder", sa.Text(), nullable=False, server_default=""))
    op.create_index("ix_segments_folder_stream_turn_last", "segments", ["folder", "stream", "turn_last"])
    with op.batch_alter_table("indexed") as indexed:
        indexed.add_column(sa.Column("folder", sa.Text(), nullable=False, server_default=""))
        indexed.drop_constraint("pk_indexed", type_="primary")
        indexed.create_primary_key("pk_indexed", ["what", "stream", "folder"])
    op.create_table(
        "folders",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_folders"),
    )
