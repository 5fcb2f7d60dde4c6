"""Quarantined content says in its first byte whether it is encrypted; what is stored already is not."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Mark content that was stored as it came. No serialized message begins with 0 or 1: fields count from 1."""
    op.execute(
        r"UPDATE payments SET attempt_content = '\x00'::bytea || attempt_content"
        r" WHERE substring(attempt_content, 1, 1) NOT IN ('\x00', '\x01')"
    )


def downgrade() -> None:
    """Take the mark away. Encrypted content stays, readable again after the next upgrade only."""
    op.execute(
        r"UPDATE payments SET attempt_content = substring(attempt_content, 2)"
        r" WHERE substring(attempt_content, 1, 1) = '\x00'"
    )
