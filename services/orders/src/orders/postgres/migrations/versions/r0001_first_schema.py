"""The first schema: decisions on payments, orders with their items, subscriptions, the outbox."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TYPES = {
    "intent_kind": "'payment', 'setup'",
    "payment_outcome": "'purchase', 'quarantined'",
    "quarantine_reason": "'attempt_missing', 'amount_mismatch', 'intent_mismatch', 'duplicate_payment', 'unrecordable'",
    "report_channel": "'webhook', 'browser_return', 'reconciler'",
    "order_status": "'paid'",
    "subscription_status": "'pending', 'activation_failed', 'incomplete', 'incomplete_expired', "
    "'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled'",
    "billing_interval": "'day', 'week', 'month', 'year'",
}

_PAYMENTS = """
CREATE TABLE payments (
    intent_id text NOT NULL,
    kind intent_kind NOT NULL,
    attempt_id text NOT NULL,
    outcome payment_outcome NOT NULL,
    amount_minor bigint,
    currency text,
    livemode boolean NOT NULL,
    user_id text,
    quarantine_reason quarantine_reason,
    attempt_content bytea,
    channel report_channel NOT NULL,
    stripe_event_id text,
    decided_at timestamptz NOT NULL,
    resolved_at timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (intent_id),
    CONSTRAINT payments_received_key UNIQUE (intent_id, outcome, amount_minor, currency),
    CONSTRAINT payments_reason_iff_quarantined_check
        CHECK ((outcome = 'quarantined') = (quarantine_reason IS NOT NULL)),
    CONSTRAINT payments_amount_iff_payment_check CHECK ((kind = 'payment') = (amount_minor IS NOT NULL)),
    CONSTRAINT payments_amount_with_currency_check CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT payments_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT payments_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT payments_content_only_quarantined_check CHECK (outcome = 'quarantined' OR attempt_content IS NULL),
    CONSTRAINT payments_resolved_only_quarantined_check CHECK (outcome = 'quarantined' OR resolved_at IS NULL)
)
"""

_ORDERS = """
CREATE TABLE orders (
    id uuid NOT NULL,
    number text NOT NULL,
    checkout_attempt_id text,
    payment_intent_id text NOT NULL,
    payment_outcome payment_outcome DEFAULT 'purchase'::payment_outcome NOT NULL,
    user_id text,
    status order_status NOT NULL,
    total_minor bigint NOT NULL,
    items_minor bigint NOT NULL,
    shipping_minor bigint NOT NULL,
    currency text NOT NULL,
    contact_name text NOT NULL,
    contact_email text NOT NULL,
    contact_phone text,
    shipping_line1 text,
    shipping_line2 text,
    shipping_city text,
    shipping_state text,
    shipping_postal_code text,
    shipping_country text,
    shipping_rate_id text,
    shipping_rate_name text,
    created_at timestamptz NOT NULL,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_number_key UNIQUE (number),
    CONSTRAINT orders_checkout_attempt_id_key UNIQUE (checkout_attempt_id),
    CONSTRAINT orders_payment_intent_id_key UNIQUE (payment_intent_id),
    CONSTRAINT orders_total_is_what_was_received
        FOREIGN KEY (payment_intent_id, payment_outcome, total_minor, currency)
        REFERENCES payments (intent_id, outcome, amount_minor, currency),
    CONSTRAINT orders_payment_outcome_check CHECK (payment_outcome = 'purchase'),
    CONSTRAINT orders_total_is_items_and_shipping_check CHECK (total_minor = items_minor + shipping_minor),
    CONSTRAINT orders_sums_check CHECK (total_minor >= 0 AND items_minor >= 0 AND shipping_minor >= 0),
    CONSTRAINT orders_address_whole_or_none_check CHECK ((shipping_line1 IS NULL) = (shipping_country IS NULL)),
    CONSTRAINT orders_rate_whole_or_none_check CHECK ((shipping_rate_id IS NULL) = (shipping_rate_name IS NULL)),
    CONSTRAINT orders_no_shipping_no_amount_check CHECK (shipping_rate_id IS NOT NULL OR shipping_minor = 0)
)
"""

_ORDER_ITEMS = """
CREATE TABLE order_items (
    order_id uuid NOT NULL,
    position integer NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint NOT NULL,
    unit_amount_minor bigint NOT NULL,
    CONSTRAINT order_items_pkey PRIMARY KEY (order_id, position),
    CONSTRAINT order_items_quantity_check CHECK (quantity >= 1),
    CONSTRAINT order_items_unit_amount_minor_check CHECK (unit_amount_minor >= 0),
    CONSTRAINT order_items_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id)
)
"""

_SUBSCRIPTIONS = """
CREATE TABLE subscriptions (
    id uuid NOT NULL,
    checkout_attempt_id text,
    intent_id text,
    user_id text,
    stripe_customer_id text,
    stripe_payment_method_id text,
    stripe_subscription_id text,
    status subscription_status NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    interval billing_interval NOT NULL,
    interval_count integer NOT NULL,
    current_period_end timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (id),
    CONSTRAINT subscriptions_one_per_interval UNIQUE (checkout_attempt_id, interval, interval_count),
    CONSTRAINT subscriptions_stripe_subscription_id_key UNIQUE (stripe_subscription_id),
    CONSTRAINT subscriptions_interval_count_check CHECK (interval_count >= 1),
    CONSTRAINT subscriptions_version_check CHECK (version >= 1),
    CONSTRAINT subscriptions_intent_id_fkey FOREIGN KEY (intent_id) REFERENCES payments (intent_id)
)
"""

_OUTBOX = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    aggregate_id text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (id)
)
"""

_INDEXES = (
    "CREATE UNIQUE INDEX payments_one_purchase_per_attempt ON payments (attempt_id) WHERE outcome = 'purchase'",
    "CREATE INDEX payments_quarantined ON payments (decided_at, intent_id) WHERE outcome = 'quarantined'",
    "CREATE INDEX orders_of_user ON orders (user_id, created_at, id)",
    "CREATE INDEX subscriptions_of_user ON subscriptions (user_id, created_at, id)",
    "CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL",
)


def upgrade() -> None:
    """Create everything."""
    for name, words in _TYPES.items():
        op.execute(f"CREATE TYPE {name} AS ENUM ({words})")
    for statement in (_PAYMENTS, _ORDERS, _ORDER_ITEMS, _SUBSCRIPTIONS, _OUTBOX, *_INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    for table in ("outbox", "subscriptions", "order_items", "orders", "payments"):
        op.execute(f"DROP TABLE {table}")
    for name in _TYPES:
        op.execute(f"DROP TYPE {name}")
