"""Decisions of a state are found in the order of their numbers, a page at a time."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_decisions_state_number", "decisions", ["state", "number"])
