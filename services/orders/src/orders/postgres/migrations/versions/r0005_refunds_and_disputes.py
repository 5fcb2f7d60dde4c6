"""Refunds and disputes: copies of Stripe's objects, found by intent. No foreign key: they may come before the order."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TYPES = {
    "refund_status": "'pending', 'requires_action', 'succeeded', 'failed', 'canceled'",
    "dispute_status": "'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', "
    "'under_review', 'won', 'lost', 'prevented', 'appeal_needs_response', 'appeal_under_review'",
}

_REFUNDS = """
CREATE TABLE refunds (
    stripe_refund_id text NOT NULL,
    intent_id text NOT NULL,
    charge_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status refund_status NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT refunds_pkey PRIMARY KEY (stripe_refund_id),
    CONSTRAINT refunds_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT refunds_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT refunds_version_check CHECK (version >= 1)
)
"""

_DISPUTES = """
CREATE TABLE disputes (
    stripe_dispute_id text NOT NULL,
    intent_id text NOT NULL,
    charge_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status dispute_status NOT NULL,
    reason text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT disputes_pkey PRIMARY KEY (stripe_dispute_id),
    CONSTRAINT disputes_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT disputes_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT disputes_version_check CHECK (version >= 1)
)
"""

_INDEXES = (
    "CREATE INDEX refunds_of_intent ON refunds (intent_id)",
    "CREATE INDEX disputes_of_intent ON disputes (intent_id)",
)


def upgrade() -> None:
    """Create both tables."""
    for name, words in _TYPES.items():
        op.execute(f"CREATE TYPE {name} AS ENUM ({words})")
    for statement in (_REFUNDS, _DISPUTES, *_INDEXES):
        op.execute(statement)


_REFUSE_LOSS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM refunds) OR EXISTS (SELECT FROM disputes) THEN
        RAISE EXCEPTION 'there are refunds or disputes, for which the schema before this one has no place'
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$
"""


def downgrade() -> None:
    """Drop both tables while they are empty: what was given back must not look as if it had not been."""
    op.execute("LOCK TABLE refunds, disputes")
    op.execute(_REFUSE_LOSS)
    for table in ("disputes", "refunds"):
        op.execute(f"DROP TABLE {table}")
    for name in _TYPES:
        op.execute(f"DROP TYPE {name}")
