"""First schema. The reasons for its constraints are in `orders.postgres.tables` and `subscription_tables`."""

from alembic import op

revision = "0001_first_schema"
down_revision = None
branch_labels = None
depends_on = None

_TYPES = {
    "intent_kind": "'payment', 'setup'",
    "payment_outcome": "'purchase', 'quarantined'",
    "quarantine_reason": "'attempt_missing', 'amount_mismatch', 'intent_mismatch', 'duplicate_payment', "
    "'unrecordable', 'attempt_unreadable', 'refunded'",
    "report_channel": "'webhook', 'browser_return', 'reconciler'",
    "order_status": "'paid', 'partially_refunded', 'refunded', 'disputed'",
    "subscription_status": "'pending', 'activation_failed', 'incomplete', 'incomplete_expired', "
    "'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled', 'unknown'",
    "billing_interval": "'day', 'week', 'month', 'year'",
    "invoice_status": "'draft', 'open', 'paid', 'uncollectible', 'void'",
    "refund_status": "'pending', 'requires_action', 'succeeded', 'failed', 'canceled'",
    "dispute_status": "'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', "
    "'under_review', 'won', 'lost', 'prevented', 'appeal_needs_response', 'appeal_under_review'",
    "settlement": "'order', 'refunded', 'written_off'",
    "operator_verb": "'show_personal_data', 'begin_refund', 'abandon_refund', 'settle_payment', 'refund_order', "
    "'retry_subscription', 'give_up_subscription'",
    "event_kind": "'payment_succeeded', 'setup_succeeded', 'refund_changed', 'charge_refunded', 'dispute_changed', "
    "'subscription_changed', 'subscription_item_changed'",
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
    intent_created_at timestamptz NOT NULL,
    stripe_payment_method_id text,
    stripe_customer_id text,
    user_id text,
    quarantine_reason quarantine_reason,
    reason_before_refund quarantine_reason,
    attempt_content bytea,
    encrypted_content bytea,
    encrypted_key_id text,
    channel report_channel NOT NULL,
    stripe_event_id text,
    decided_at timestamptz NOT NULL,
    resolved_at timestamptz,
    refund_begun_at timestamptz,
    settlement settlement,
    erased_at timestamptz,
    CONSTRAINT payments_pkey PRIMARY KEY (intent_id),
    CONSTRAINT payments_amount_key UNIQUE (intent_id, outcome, amount_minor, currency),
    CONSTRAINT payments_outcome_key UNIQUE (intent_id, outcome, currency),
    CONSTRAINT payments_reason_iff_quarantined_check
        CHECK ((outcome = 'quarantined') = (quarantine_reason IS NOT NULL)),
    CONSTRAINT payments_amount_unless_quarantined_setup_check
        CHECK ((kind = 'payment' OR outcome = 'purchase') = (amount_minor IS NOT NULL)),
    CONSTRAINT payments_setup_amount_is_zero_check CHECK (kind = 'payment' OR coalesce(amount_minor, 0) = 0),
    CONSTRAINT payments_amount_with_currency_check CHECK ((amount_minor IS NULL) = (currency IS NULL)),
    CONSTRAINT payments_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT payments_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT payments_reason_before_refund_check
        CHECK (reason_before_refund IS NULL OR coalesce(quarantine_reason = 'refunded', false)),
    CONSTRAINT payments_content_only_if_quarantined_check
        CHECK (outcome = 'quarantined' OR num_nonnulls(stripe_customer_id, attempt_content, encrypted_content) = 0),
    CONSTRAINT payments_one_content_check CHECK (num_nonnulls(attempt_content, encrypted_content) <= 1),
    CONSTRAINT payments_encrypted_content_with_key_check
        CHECK ((encrypted_content IS NULL) = (encrypted_key_id IS NULL)),
    CONSTRAINT payments_resolved_only_if_quarantined_check CHECK (outcome = 'quarantined' OR resolved_at IS NULL),
    CONSTRAINT payments_order_iff_settled_as_order_check
        CHECK (settlement IS NULL OR (settlement = 'order') = (outcome = 'purchase')),
    CONSTRAINT payments_settled_is_resolved_check
        CHECK (settlement IS NULL OR outcome = 'purchase' OR resolved_at IS NOT NULL),
    CONSTRAINT payments_no_refund_begun_of_purchase_check CHECK (outcome = 'quarantined' OR refund_begun_at IS NULL),
    CONSTRAINT payments_erased_has_no_personal_data_check
        CHECK (erased_at IS NULL OR num_nonnulls(stripe_customer_id, user_id, attempt_content, encrypted_content) = 0)
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
    adjustment_minor bigint DEFAULT 0 NOT NULL,
    currency text NOT NULL,
    contact_name text,
    contact_email text,
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
    erased_at timestamptz,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_number_key UNIQUE (number),
    CONSTRAINT orders_checkout_attempt_id_key UNIQUE (checkout_attempt_id),
    CONSTRAINT orders_payment_intent_id_key UNIQUE (payment_intent_id),
    CONSTRAINT orders_total_equals_payment_fkey
        FOREIGN KEY (payment_intent_id, payment_outcome, total_minor, currency)
        REFERENCES payments (intent_id, outcome, amount_minor, currency),
    CONSTRAINT orders_payment_outcome_check CHECK (payment_outcome = 'purchase'),
    CONSTRAINT orders_total_is_items_shipping_and_adjustment_check
        CHECK (total_minor = items_minor + shipping_minor + adjustment_minor),
    CONSTRAINT orders_amounts_check CHECK (total_minor >= 0 AND items_minor >= 0 AND shipping_minor >= 0),
    CONSTRAINT orders_address_complete_check CHECK ((shipping_line1 IS NULL) = (shipping_country IS NULL)),
    CONSTRAINT orders_shipping_rate_complete_check CHECK ((shipping_rate_id IS NULL) = (shipping_rate_name IS NULL)),
    CONSTRAINT orders_shipping_amount_needs_rate_check CHECK (shipping_rate_id IS NOT NULL OR shipping_minor = 0),
    CONSTRAINT orders_contact_unless_erased_check
        CHECK (erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL),
    CONSTRAINT orders_erased_has_no_personal_data_check
        CHECK (erased_at IS NULL OR num_nonnulls(user_id, contact_name, contact_email, contact_phone, shipping_line1,
               shipping_line2, shipping_city, shipping_state, shipping_postal_code, shipping_country) = 0)
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
    intent_id text NOT NULL,
    payment_outcome payment_outcome DEFAULT 'purchase'::payment_outcome NOT NULL,
    currency text NOT NULL,
    position integer NOT NULL,
    interval billing_interval NOT NULL,
    interval_count integer NOT NULL,
    trial_days integer NOT NULL,
    user_id text,
    contact_name text,
    contact_email text,
    contact_phone text,
    shipping_line1 text,
    shipping_line2 text,
    shipping_city text,
    shipping_state text,
    shipping_postal_code text,
    shipping_country text,
    stripe_customer_id text NOT NULL,
    stripe_payment_method_id text,
    version bigint DEFAULT 1 NOT NULL,
    activation_generation integer DEFAULT 1 NOT NULL,
    activation_began_at timestamptz,
    activation_failure text,
    activation_failed_at timestamptz,
    stripe_subscription_id text,
    status subscription_status NOT NULL,
    current_period_end timestamptz,
    trial_end timestamptz,
    cancel_at_period_end boolean DEFAULT false NOT NULL,
    cancel_at timestamptz,
    canceled_at timestamptz,
    ended_at timestamptz,
    latest_invoice_id text,
    pause_behavior text,
    pause_resumes_at timestamptz,
    discounts jsonb DEFAULT '[]'::jsonb NOT NULL,
    default_payment_method_id text,
    collection_method text,
    created_at timestamptz NOT NULL,
    erased_at timestamptz,
    cancel_requested_at timestamptz,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (id),
    CONSTRAINT subscriptions_one_per_interval UNIQUE (checkout_attempt_id, interval, interval_count),
    CONSTRAINT subscriptions_stripe_subscription_id_key UNIQUE (stripe_subscription_id),
    CONSTRAINT subscriptions_belong_to_purchase_fkey
        FOREIGN KEY (intent_id, payment_outcome, currency) REFERENCES payments (intent_id, outcome, currency),
    CONSTRAINT subscriptions_payment_outcome_check CHECK (payment_outcome = 'purchase'),
    CONSTRAINT subscriptions_interval_count_check CHECK (interval_count >= 1),
    CONSTRAINT subscriptions_version_check CHECK (version >= 1),
    CONSTRAINT subscriptions_position_check CHECK (position >= 0),
    CONSTRAINT subscriptions_trial_days_check CHECK (trial_days BETWEEN 0 AND 730),
    CONSTRAINT subscriptions_activation_generation_check CHECK (activation_generation >= 1),
    CONSTRAINT subscriptions_stripe_id_iff_activated_check
        CHECK ((stripe_subscription_id IS NULL) = (status IN ('pending', 'activation_failed')
               OR status = 'canceled' AND cancel_requested_at IS NOT NULL AND stripe_subscription_id IS NULL)),
    CONSTRAINT subscriptions_cancelled_has_ended_check
        CHECK (cancel_requested_at IS NULL OR status NOT IN ('pending', 'activation_failed')),
    CONSTRAINT subscriptions_pending_can_be_created_check
        CHECK (stripe_payment_method_id IS NOT NULL OR status <> 'pending'),
    CONSTRAINT subscriptions_stripe_state_needs_stripe_id_check
        CHECK (stripe_subscription_id IS NOT NULL OR NOT cancel_at_period_end AND discounts = '[]'::jsonb
               AND num_nonnulls(current_period_end, trial_end, cancel_at, canceled_at, ended_at, latest_invoice_id,
                                pause_behavior, default_payment_method_id, collection_method) = 0),
    CONSTRAINT subscriptions_pause_complete_check CHECK (pause_behavior IS NOT NULL OR pause_resumes_at IS NULL),
    CONSTRAINT subscriptions_discounts_check CHECK (jsonb_typeof(discounts) = 'array'),
    CONSTRAINT subscriptions_failure_iff_failed_check
        CHECK ((activation_failure IS NULL) = (status <> 'activation_failed')),
    CONSTRAINT subscriptions_failed_has_time_check
        CHECK (activation_failure IS NULL OR activation_failed_at IS NOT NULL),
    CONSTRAINT subscriptions_address_complete_check CHECK ((shipping_line1 IS NULL) = (shipping_country IS NULL)),
    CONSTRAINT subscriptions_contact_unless_erased_check
        CHECK (erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL),
    CONSTRAINT subscriptions_erased_has_no_personal_data_check
        CHECK (erased_at IS NULL OR num_nonnulls(user_id, contact_name, contact_email, contact_phone, shipping_line1,
               shipping_line2, shipping_city, shipping_state, shipping_postal_code, shipping_country) = 0)
)
"""

_SUBSCRIPTION_ITEMS = """
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

_SUBSCRIPTION_BILLED_ITEMS = """
CREATE TABLE subscription_billed_items (
    subscription_id uuid NOT NULL,
    position integer NOT NULL,
    stripe_item_id text NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint,
    unit_amount_minor bigint,
    currency text NOT NULL,
    interval billing_interval,
    interval_count integer,
    current_period_end timestamptz,
    CONSTRAINT subscription_billed_items_pkey PRIMARY KEY (subscription_id, position),
    CONSTRAINT subscription_billed_items_quantity_check CHECK (quantity >= 0),
    CONSTRAINT subscription_billed_items_unit_amount_minor_check CHECK (unit_amount_minor >= 0),
    CONSTRAINT subscription_billed_items_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT subscription_billed_items_interval_count_check CHECK (interval_count >= 1),
    CONSTRAINT subscription_billed_items_subscription_id_fkey
        FOREIGN KEY (subscription_id) REFERENCES subscriptions (id)
)
"""

_SUBSCRIPTION_INVOICES = """
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
    CONSTRAINT subscription_invoices_pkey PRIMARY KEY (stripe_invoice_id),
    CONSTRAINT subscription_invoices_amount_paid_minor_check CHECK (amount_paid_minor >= 0),
    CONSTRAINT subscription_invoices_attempt_count_check CHECK (attempt_count >= 0),
    CONSTRAINT subscription_invoices_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT subscription_invoices_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES subscriptions (id)
)
"""

_CUSTOMERS = """
CREATE TABLE customers (
    stripe_customer_id text NOT NULL,
    user_id text,
    currency text,
    erased_at timestamptz,
    CONSTRAINT customers_pkey PRIMARY KEY (stripe_customer_id),
    CONSTRAINT customers_user_id_currency_key UNIQUE (user_id, currency),
    CONSTRAINT customers_currency_check CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT customers_owner_unless_erased_check
        CHECK (num_nonnulls(user_id, currency) = CASE WHEN erased_at IS NULL THEN 2 ELSE 0 END)
)
"""

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

_OUTBOX = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    aggregate_id text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_no_personal_data_check
        CHECK (payload - ARRAY['order_id', 'subscription_id', 'subscription_ids', 'attempt_id', 'intent_id',
                               'refund_id', 'dispute_id', 'reason', 'status', 'order_status', 'total_minor',
                               'amount_minor', 'refunded_minor', 'disputed_minor', 'adjustment_minor', 'currency']
               = '{}'::jsonb)
)
"""

_OPERATOR_ACTIONS = """
CREATE TABLE operator_actions (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    operator text NOT NULL,
    action operator_verb NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    CONSTRAINT operator_actions_pkey PRIMARY KEY (id),
    CONSTRAINT operator_actions_operator_and_reason_check CHECK (operator <> '' AND reason <> ''),
    CONSTRAINT operator_actions_no_personal_data_check
        CHECK ((before || after) - ARRAY['outcome', 'reason', 'settlement', 'resolved', 'cart', 'order_id',
                                         'subscription_ids', 'total_minor', 'adjustment_minor', 'amount_minor',
                                         'currency', 'idempotency_key', 'refund_id', 'status', 'version',
                                         'payment_method_id'] = '{}'::jsonb)
)
"""

_STRIPE_EVENTS = """
CREATE TABLE stripe_events (
    event_id text NOT NULL,
    type text NOT NULL,
    created_at timestamptz NOT NULL,
    handled_at timestamptz NOT NULL,
    CONSTRAINT stripe_events_pkey PRIMARY KEY (event_id)
)
"""

_EVENT_RETRIES = """
CREATE TABLE event_retries (
    id text NOT NULL,
    type text,
    kind event_kind NOT NULL,
    stripe_id text NOT NULL,
    subscription_id text,
    stripe_invoice_id text,
    created_at timestamptz NOT NULL,
    failures integer NOT NULL,
    next_try_at timestamptz NOT NULL,
    reason text NOT NULL,
    not_understood_by text,
    CONSTRAINT event_retries_pkey PRIMARY KEY (id),
    CONSTRAINT event_retries_failures_check CHECK (failures >= 1)
)
"""

_CURSORS = """
CREATE TABLE cursors (
    name text NOT NULL,
    position timestamptz,
    leased_until timestamptz NOT NULL,
    CONSTRAINT cursors_pkey PRIMARY KEY (name)
)
"""

_SCHEMA_COMPATIBILITY = """
CREATE TABLE schema_compatibility (
    only_row boolean DEFAULT true NOT NULL,
    oldest_code integer NOT NULL,
    CONSTRAINT schema_compatibility_pkey PRIMARY KEY (only_row),
    CONSTRAINT schema_compatibility_only_row_check CHECK (only_row)
)
"""

_TABLES = (
    _PAYMENTS,
    _ORDERS,
    _ORDER_ITEMS,
    _SUBSCRIPTIONS,
    _SUBSCRIPTION_ITEMS,
    _SUBSCRIPTION_BILLED_ITEMS,
    _SUBSCRIPTION_INVOICES,
    _CUSTOMERS,
    _REFUNDS,
    _DISPUTES,
    _OUTBOX,
    _OPERATOR_ACTIONS,
    _STRIPE_EVENTS,
    _EVENT_RETRIES,
    _CURSORS,
    _SCHEMA_COMPATIBILITY,
)

_INDEXES = (
    "CREATE UNIQUE INDEX payments_one_purchase_per_attempt ON payments (attempt_id) WHERE outcome = 'purchase'",
    "CREATE INDEX payments_by_intent_creation ON payments (kind, intent_created_at, intent_id)",
    "CREATE INDEX payments_quarantined_attempts ON payments (attempt_id) WHERE outcome = 'quarantined'",
    "CREATE INDEX payments_quarantined ON payments (decided_at, intent_id) WHERE outcome = 'quarantined'",
    "CREATE INDEX orders_by_user ON orders (user_id, created_at, id)",
    "CREATE INDEX subscriptions_by_user ON subscriptions (user_id, created_at, id)",
    "CREATE INDEX subscriptions_not_activated ON subscriptions (created_at, id) WHERE stripe_subscription_id IS NULL AND (status <> 'canceled' OR activation_began_at IS NOT NULL)",  # noqa: E501 - one statement a line
    "CREATE INDEX subscription_invoices_newest ON subscription_invoices (subscription_id, created_at, stripe_invoice_id)",  # noqa: E501 - one statement a line
    "CREATE INDEX refunds_intent_id_idx ON refunds (intent_id)",
    "CREATE INDEX disputes_intent_id_idx ON disputes (intent_id)",
    "CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL",
    "CREATE INDEX operator_actions_by_subject ON operator_actions (subject, at, id)",
    "CREATE INDEX stripe_events_created_at_idx ON stripe_events (created_at)",
    "CREATE INDEX event_retries_next_try_at_idx ON event_retries (next_try_at)",
)


def upgrade() -> None:
    """Create everything."""
    for name, words in _TYPES.items():
        op.execute(f"CREATE TYPE {name} AS ENUM ({words})")
    for statement in (*_TABLES, *_INDEXES):
        op.execute(statement)
    op.execute("INSERT INTO schema_compatibility (oldest_code) VALUES (1)")
