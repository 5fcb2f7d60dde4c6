"""Subscriptions in full: their items, invoices and activation, and the Stripe customer of a user."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PAYMENTS_UP = (
    "ALTER TABLE payments ADD COLUMN stripe_payment_method_id text",
    "ALTER TABLE payments DROP CONSTRAINT payments_amount_iff_payment_check",
    """
    ALTER TABLE payments
        ADD CONSTRAINT payments_outcome_key UNIQUE (intent_id, outcome, currency),
        ADD CONSTRAINT payments_amount_unless_setup_aside_check
            CHECK ((kind = 'payment' OR outcome = 'purchase') = (amount_minor IS NOT NULL)),
        ADD CONSTRAINT payments_setup_takes_nothing_check
            CHECK (kind = 'payment' OR coalesce(amount_minor, 0) = 0)
    """,
)

_SUBSCRIPTIONS_UP = (
    "ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_intent_id_fkey",
    """
    ALTER TABLE subscriptions
        ALTER COLUMN intent_id SET NOT NULL,
        ALTER COLUMN stripe_customer_id SET NOT NULL,
        ALTER COLUMN stripe_payment_method_id SET NOT NULL,
        ADD COLUMN payment_outcome payment_outcome DEFAULT 'purchase'::payment_outcome NOT NULL,
        ADD COLUMN currency text NOT NULL,
        ADD COLUMN position integer NOT NULL,
        ADD COLUMN trial_days integer NOT NULL,
        ADD COLUMN activation_generation integer DEFAULT 1 NOT NULL,
        ADD COLUMN activation_began_at timestamptz,
        ADD COLUMN activation_failure text,
        ADD COLUMN trial_end timestamptz,
        ADD COLUMN cancel_at_period_end boolean DEFAULT false NOT NULL,
        ADD COLUMN cancel_at timestamptz,
        ADD COLUMN canceled_at timestamptz,
        ADD COLUMN ended_at timestamptz,
        ADD COLUMN latest_invoice_id text,
        ADD COLUMN contact_name text,
        ADD COLUMN contact_email text,
        ADD COLUMN contact_phone text,
        ADD COLUMN shipping_line1 text,
        ADD COLUMN shipping_line2 text,
        ADD COLUMN shipping_city text,
        ADD COLUMN shipping_state text,
        ADD COLUMN shipping_postal_code text,
        ADD COLUMN shipping_country text,
        ADD COLUMN erased_at timestamptz
    """,
    """
    ALTER TABLE subscriptions
        ADD CONSTRAINT subscriptions_hang_on_a_purchase
            FOREIGN KEY (intent_id, payment_outcome, currency) REFERENCES payments (intent_id, outcome, currency),
        ADD CONSTRAINT subscriptions_payment_outcome_check CHECK (payment_outcome = 'purchase'),
        ADD CONSTRAINT subscriptions_position_check CHECK (position >= 0),
        ADD CONSTRAINT subscriptions_trial_days_check CHECK (trial_days BETWEEN 0 AND 730),
        ADD CONSTRAINT subscriptions_activation_generation_check CHECK (activation_generation >= 1),
        ADD CONSTRAINT subscriptions_bound_iff_created_check
            CHECK ((stripe_subscription_id IS NULL) = (status IN ('pending', 'activation_failed'))),
        ADD CONSTRAINT subscriptions_state_only_when_bound_check
            CHECK (stripe_subscription_id IS NOT NULL OR NOT cancel_at_period_end
                   AND num_nonnulls(current_period_end, trial_end, cancel_at, canceled_at, ended_at,
                                    latest_invoice_id) = 0),
        ADD CONSTRAINT subscriptions_failure_iff_failed_check
            CHECK ((activation_failure IS NULL) = (status <> 'activation_failed')),
        ADD CONSTRAINT subscriptions_address_whole_or_none_check
            CHECK ((shipping_line1 IS NULL) = (shipping_country IS NULL)),
        ADD CONSTRAINT subscriptions_contact_unless_erased_check
            CHECK (erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL),
        ADD CONSTRAINT subscriptions_erased_holds_nobody_check
            CHECK (erased_at IS NULL OR num_nonnulls(user_id, contact_name, contact_email, contact_phone,
                   shipping_line1, shipping_line2, shipping_city, shipping_state, shipping_postal_code,
                   shipping_country) = 0)
    """,
    """
    CREATE INDEX subscriptions_unbound ON subscriptions (created_at, id) WHERE stripe_subscription_id IS NULL
    """,
)

_ITEMS = """
CREATE TABLE subscription_items (
    subscription_id uuid NOT NULL,
    position integer NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint NOT NULL,
    unit_amount_minor bigint NOT NULL,
    CONSTRAINT subscription_items_pkey PRIMARY KEY (subscription_id, position),
    CONSTRAINT subscription_items_quantity_check CHECK (quantity >= 1),
    CONSTRAINT subscription_items_unit_amount_minor_check CHECK (unit_amount_minor >= 0),
    CONSTRAINT subscription_items_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES subscriptions (id)
)
"""

_INVOICES = """
CREATE TABLE subscription_invoices (
    stripe_invoice_id text NOT NULL,
    subscription_id uuid NOT NULL,
    status invoice_status NOT NULL,
    billing_reason text,
    total_minor bigint NOT NULL,
    amount_paid_minor bigint NOT NULL,
    currency text NOT NULL,
    attempt_count integer NOT NULL,
    created_at timestamptz NOT NULL,
    period_start timestamptz,
    period_end timestamptz,
    next_payment_attempt timestamptz,
    updated_at timestamptz NOT NULL,
    CONSTRAINT subscription_invoices_pkey PRIMARY KEY (stripe_invoice_id),
    CONSTRAINT subscription_invoices_amount_paid_minor_check CHECK (amount_paid_minor >= 0),
    CONSTRAINT subscription_invoices_attempt_count_check CHECK (attempt_count >= 0),
    CONSTRAINT subscription_invoices_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT subscription_invoices_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES subscriptions (id)
)
"""

_CUSTOMERS = """
CREATE TABLE customers (
    user_id text NOT NULL,
    stripe_customer_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT customers_pkey PRIMARY KEY (user_id),
    CONSTRAINT customers_stripe_customer_id_key UNIQUE (stripe_customer_id)
)
"""

_IDS_AND_SUMS = (
    "ALTER TABLE outbox ADD CONSTRAINT outbox_ids_and_sums_only_check CHECK (payload - ARRAY['order_id',{others}"
    " 'attempt_id', 'intent_id', 'reason', 'total_minor', 'amount_minor', 'currency'] = '{{}}'::jsonb)"
)

_REFUSE_LOSS = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM subscriptions) THEN
        RAISE EXCEPTION 'there are subscriptions, for which the schema before this one has no place'
            USING ERRCODE = 'restrict_violation';
    END IF;
END $$
"""

_SUBSCRIPTION_COLUMNS = (
    "payment_outcome",
    "currency",
    "position",
    "trial_days",
    "activation_generation",
    "activation_began_at",
    "activation_failure",
    "trial_end",
    "cancel_at_period_end",
    "cancel_at",
    "canceled_at",
    "ended_at",
    "latest_invoice_id",
    "contact_name",
    "contact_email",
    "contact_phone",
    "shipping_line1",
    "shipping_line2",
    "shipping_city",
    "shipping_state",
    "shipping_postal_code",
    "shipping_country",
    "erased_at",
)


def upgrade() -> None:
    """Add what recording and following a subscription needs. No version before this one wrote a subscription."""
    op.execute("CREATE TYPE invoice_status AS ENUM ('draft', 'open', 'paid', 'uncollectible', 'void')")
    for statement in (*_PAYMENTS_UP, *_SUBSCRIPTIONS_UP, _ITEMS, _INVOICES, _CUSTOMERS):
        op.execute(statement)
    op.execute(
        "CREATE INDEX subscription_invoices_newest ON subscription_invoices"
        " (subscription_id, created_at, stripe_invoice_id)"
    )
    op.execute("ALTER TABLE outbox DROP CONSTRAINT outbox_ids_and_sums_only_check")
    op.execute(_IDS_AND_SUMS.format(others=" 'subscription_id', 'subscription_ids',"))


def downgrade() -> None:
    """Take it back while there is no subscription; what was bought is not for a migration to lose.

    Which Stripe customer is whose is lost: the next checkout of a user makes another.
    """
    op.execute("LOCK TABLE subscriptions")  # else one that is being recorded would not be seen
    op.execute(_REFUSE_LOSS)
    op.execute("ALTER TABLE outbox DROP CONSTRAINT outbox_ids_and_sums_only_check")
    op.execute(_IDS_AND_SUMS.format(others=""))
    for table in ("customers", "subscription_invoices", "subscription_items"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP INDEX subscriptions_unbound")
    op.execute(
        "ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_hang_on_a_purchase,"
        " DROP CONSTRAINT subscriptions_bound_iff_created_check"
    )
    op.execute("ALTER TABLE subscriptions " + ", ".join(f"DROP COLUMN {name}" for name in _SUBSCRIPTION_COLUMNS))
    op.execute(
        "ALTER TABLE subscriptions ALTER COLUMN intent_id DROP NOT NULL,"
        " ALTER COLUMN stripe_customer_id DROP NOT NULL, ALTER COLUMN stripe_payment_method_id DROP NOT NULL,"
        " ADD CONSTRAINT subscriptions_intent_id_fkey FOREIGN KEY (intent_id) REFERENCES payments (intent_id)"
    )
    op.execute(
        "ALTER TABLE payments DROP CONSTRAINT payments_amount_unless_setup_aside_check,"
        " DROP CONSTRAINT payments_setup_takes_nothing_check, DROP CONSTRAINT payments_outcome_key,"
        " DROP COLUMN stripe_payment_method_id,"
        " ADD CONSTRAINT payments_amount_iff_payment_check CHECK ((kind = 'payment') = (amount_minor IS NOT NULL))"
    )
    op.execute("DROP TYPE invoice_status")
