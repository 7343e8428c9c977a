"""Incidents have clocks, and people say what they do about them."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "clocks",
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("episode", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.SmallInteger(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=True),
        sa.Column("stopped", sa.BigInteger(), nullable=True),
        *_text("stopped_by"),
        sa.Column("breached", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("incident", "episode", "kind", name="pk_clocks"),
    )
    op.create_index("ix_clocks_next", "clocks", ["next"])
    op.create_index("ix_clocks_kind_stopped", "clocks", ["kind", "stopped"])
    op.create_table(
        "incident_words",
        *_text("id", "incident", "actor", "act", "text", "assignee"),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident_words"),
    )
    op.create_index("ix_incident_words_incident_time", "incident_words", ["incident", "time"])
