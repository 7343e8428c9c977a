"""Findings keep when and in which order they were weighed; marks of findings, undos, and what became of each decision in one."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _maybe(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Text(), nullable=True) for name in names]


def _whole(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    with op.batch_alter_table("considered") as considered:
        considered.add_column(sa.Column("turn", sa.BigInteger(), nullable=False, server_default="0"))
        considered.add_column(sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"))
        considered.add_column(sa.Column("clock", sa.BigInteger(), nullable=False, server_default="0"))
        considered.add_column(sa.Column("mode", sa.Text(), nullable=False, server_default="live"))
    if op.get_bind().dialect.name == "sqlite":  # no other database has a record that is so old
        op.execute("UPDATE considered SET place = rowid")  # in the order in which they were written
    op.execute(
        "UPDATE considered SET clock = coalesce("
        "(SELECT min(time) FROM decisions WHERE decisions.id = considered.decision AND decisions.finding = considered.finding), "
        "(SELECT last_event FROM findings WHERE findings.id = considered.finding), 0)"
    )
    op.execute(
        "UPDATE considered SET mode = 'replay', clock = coalesce("
        "(SELECT time FROM findings WHERE findings.id = considered.finding), 0) "
        "WHERE EXISTS (SELECT 1 FROM decisions WHERE mode = 'replay') "
        "AND NOT EXISTS (SELECT 1 FROM decisions WHERE mode = 'live')"
    )
    op.create_index("ix_considered_turn", "considered", ["turn"])
    op.create_index("ix_findings_owner", "findings", ["owner"])
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_table(
        "finding_marks",
        sa.Column("finding", sa.Text(), nullable=False),
        *_maybe("verdict", "undo"),
        *_text("reason", "actor"),
        *_whole("time"),
        sa.PrimaryKeyConstraint("finding", name="pk_finding_marks"),
    )
    op.create_table(
        "undos",
        sa.Column("id", sa.Text(), nullable=False),
        *_text("kind", "subject", "reason", "actor"),
        *_whole("time"),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        *_whole("findings", "lifted", "released", "waiting", "kept"),
        sa.PrimaryKeyConstraint("id", name="pk_undos"),
    )
    op.create_index("ix_undos_time", "undos", ["time"])
    op.create_table(
        "undone",
        sa.Column("undo", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        *_text("fate"),
        sa.PrimaryKeyConstraint("undo", "decision", name="pk_undone"),
    )
    op.create_index("ix_undone_decision", "undone", ["decision"])
