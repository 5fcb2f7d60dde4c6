"""Indexes of the few rows that operators and erasures look for among all that were ever written."""

from orders.postgres.migrations.steps import create_index_concurrently

revision = "0003_indexes_of_rare_rows"
down_revision = "0002_unfinished_subscriptions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build them beside running services."""
    create_index_concurrently(
        "payments_unresolved", "payments (decided_at, intent_id) WHERE outcome = 'quarantined' AND resolved_at IS NULL"
    )
    create_index_concurrently("payments_quarantined_users", "payments (user_id) WHERE outcome = 'quarantined'")
    create_index_concurrently("customers_erased", "customers (stripe_customer_id) WHERE erased_at IS NOT NULL")
