"""Index of the subscriptions that are to be finished, without those whose activation failed.

Failed ones stay until an operator retries or gives them up, so the reconciler read past all of them in each round.
`subscriptions_not_activated` is for the code of 0.1.0, and goes once that may no longer run.
"""

from orders.postgres.migrations.steps import create_index_concurrently

revision = "0002_unfinished_subscriptions"
down_revision = "0001_first_schema"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build the index beside running services."""
    create_index_concurrently(
        "subscriptions_unfinished",
        "subscriptions (created_at, id) WHERE stripe_subscription_id IS NULL AND status <> 'activation_failed'"
        " AND (status <> 'canceled' OR activation_began_at IS NOT NULL)",
    )
