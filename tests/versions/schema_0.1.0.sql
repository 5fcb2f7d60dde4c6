CREATE TYPE public.billing_interval AS ENUM (
    'day',
    'week',
    'month',
    'year'
);
CREATE TYPE public.dispute_status AS ENUM (
    'warning_needs_response',
    'warning_under_review',
    'warning_closed',
    'needs_response',
    'under_review',
    'won',
    'lost',
    'prevented',
    'appeal_needs_response',
    'appeal_under_review'
);
CREATE TYPE public.event_kind AS ENUM (
    'payment_succeeded',
    'setup_succeeded',
    'refund_changed',
    'charge_refunded',
    'dispute_changed',
    'subscription_changed',
    'subscription_item_changed'
);
CREATE TYPE public.intent_kind AS ENUM (
    'payment',
    'setup'
);
CREATE TYPE public.invoice_status AS ENUM (
    'draft',
    'open',
    'paid',
    'uncollectible',
    'void'
);
CREATE TYPE public.operator_verb AS ENUM (
    'show_personal_data',
    'begin_refund',
    'abandon_refund',
    'settle_payment',
    'refund_order',
    'retry_subscription',
    'give_up_subscription'
);
CREATE TYPE public.order_status AS ENUM (
    'paid',
    'partially_refunded',
    'refunded',
    'disputed'
);
CREATE TYPE public.payment_outcome AS ENUM (
    'purchase',
    'quarantined'
);
CREATE TYPE public.quarantine_reason AS ENUM (
    'attempt_missing',
    'amount_mismatch',
    'intent_mismatch',
    'duplicate_payment',
    'unrecordable',
    'attempt_unreadable',
    'refunded'
);
CREATE TYPE public.refund_status AS ENUM (
    'pending',
    'requires_action',
    'succeeded',
    'failed',
    'canceled'
);
CREATE TYPE public.report_channel AS ENUM (
    'webhook',
    'browser_return',
    'reconciler'
);
CREATE TYPE public.settlement AS ENUM (
    'order',
    'refunded',
    'written_off'
);
CREATE TYPE public.subscription_status AS ENUM (
    'pending',
    'activation_failed',
    'incomplete',
    'incomplete_expired',
    'trialing',
    'active',
    'past_due',
    'unpaid',
    'paused',
    'canceled',
    'unknown'
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.cursors (
    name text NOT NULL,
    "position" timestamp with time zone,
    leased_until timestamp with time zone NOT NULL
);
CREATE TABLE public.customers (
    stripe_customer_id text NOT NULL,
    user_id text,
    currency text,
    erased_at timestamp with time zone,
    CONSTRAINT customers_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text)),
    CONSTRAINT customers_owner_unless_erased_check CHECK ((num_nonnulls(user_id, currency) =
CASE
    WHEN (erased_at IS NULL) THEN 2
    ELSE 0
END))
);
CREATE TABLE public.disputes (
    stripe_dispute_id text NOT NULL,
    intent_id text NOT NULL,
    charge_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status public.dispute_status NOT NULL,
    reason text,
    version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT disputes_amount_minor_check CHECK ((amount_minor >= 0)),
    CONSTRAINT disputes_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text)),
    CONSTRAINT disputes_version_check CHECK ((version >= 1))
);
CREATE TABLE public.event_retries (
    id text NOT NULL,
    type text,
    kind public.event_kind NOT NULL,
    stripe_id text NOT NULL,
    subscription_id text,
    stripe_invoice_id text,
    created_at timestamp with time zone NOT NULL,
    failures integer NOT NULL,
    next_try_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    not_understood_by text,
    CONSTRAINT event_retries_failures_check CHECK ((failures >= 1))
);
CREATE TABLE public.operator_actions (
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    operator text NOT NULL,
    action public.operator_verb NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    CONSTRAINT operator_actions_no_personal_data_check CHECK ((((before || after) - ARRAY['outcome'::text, 'reason'::text, 'settlement'::text, 'resolved'::text, 'cart'::text, 'order_id'::text, 'subscription_ids'::text, 'total_minor'::text, 'adjustment_minor'::text, 'amount_minor'::text, 'currency'::text, 'idempotency_key'::text, 'refund_id'::text, 'status'::text, 'version'::text, 'payment_method_id'::text]) = '{}'::jsonb)),
    CONSTRAINT operator_actions_operator_and_reason_check CHECK (((operator <> ''::text) AND (reason <> ''::text)))
);
CREATE TABLE public.order_items (
    order_id uuid NOT NULL,
    "position" integer NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint NOT NULL,
    unit_amount_minor bigint NOT NULL,
    CONSTRAINT order_items_quantity_check CHECK ((quantity >= 1)),
    CONSTRAINT order_items_unit_amount_minor_check CHECK ((unit_amount_minor >= 0))
);
CREATE TABLE public.orders (
    id uuid NOT NULL,
    number text NOT NULL,
    checkout_attempt_id text,
    payment_intent_id text NOT NULL,
    payment_outcome public.payment_outcome DEFAULT 'purchase'::public.payment_outcome NOT NULL,
    user_id text,
    status public.order_status NOT NULL,
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
    created_at timestamp with time zone NOT NULL,
    erased_at timestamp with time zone,
    CONSTRAINT orders_address_complete_check CHECK (((shipping_line1 IS NULL) = (shipping_country IS NULL))),
    CONSTRAINT orders_amounts_check CHECK (((total_minor >= 0) AND (items_minor >= 0) AND (shipping_minor >= 0))),
    CONSTRAINT orders_contact_unless_erased_check CHECK (((erased_at IS NOT NULL) OR ((contact_name IS NOT NULL) AND (contact_email IS NOT NULL)))),
    CONSTRAINT orders_erased_has_no_personal_data_check CHECK (((erased_at IS NULL) OR (num_nonnulls(user_id, contact_name, contact_email, contact_phone, shipping_line1, shipping_line2, shipping_city, shipping_state, shipping_postal_code, shipping_country) = 0))),
    CONSTRAINT orders_payment_outcome_check CHECK ((payment_outcome = 'purchase'::public.payment_outcome)),
    CONSTRAINT orders_shipping_amount_needs_rate_check CHECK (((shipping_rate_id IS NOT NULL) OR (shipping_minor = 0))),
    CONSTRAINT orders_shipping_rate_complete_check CHECK (((shipping_rate_id IS NULL) = (shipping_rate_name IS NULL))),
    CONSTRAINT orders_total_is_items_shipping_and_adjustment_check CHECK ((total_minor = ((items_minor + shipping_minor) + adjustment_minor)))
);
CREATE TABLE public.outbox (
    id bigint NOT NULL,
    topic text NOT NULL,
    aggregate_id text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    published_at timestamp with time zone,
    CONSTRAINT outbox_no_personal_data_check CHECK (((payload - ARRAY['order_id'::text, 'subscription_id'::text, 'subscription_ids'::text, 'attempt_id'::text, 'intent_id'::text, 'refund_id'::text, 'dispute_id'::text, 'reason'::text, 'status'::text, 'order_status'::text, 'total_minor'::text, 'amount_minor'::text, 'refunded_minor'::text, 'disputed_minor'::text, 'adjustment_minor'::text, 'currency'::text]) = '{}'::jsonb))
);
ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.payments (
    intent_id text NOT NULL,
    kind public.intent_kind NOT NULL,
    attempt_id text NOT NULL,
    outcome public.payment_outcome NOT NULL,
    amount_minor bigint,
    currency text,
    livemode boolean NOT NULL,
    intent_created_at timestamp with time zone NOT NULL,
    stripe_payment_method_id text,
    stripe_customer_id text,
    user_id text,
    quarantine_reason public.quarantine_reason,
    reason_before_refund public.quarantine_reason,
    attempt_content bytea,
    encrypted_content bytea,
    encrypted_key_id text,
    channel public.report_channel NOT NULL,
    stripe_event_id text,
    decided_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    refund_begun_at timestamp with time zone,
    settlement public.settlement,
    erased_at timestamp with time zone,
    CONSTRAINT payments_amount_minor_check CHECK ((amount_minor >= 0)),
    CONSTRAINT payments_amount_unless_quarantined_setup_check CHECK ((((kind = 'payment'::public.intent_kind) OR (outcome = 'purchase'::public.payment_outcome)) = (amount_minor IS NOT NULL))),
    CONSTRAINT payments_amount_with_currency_check CHECK (((amount_minor IS NULL) = (currency IS NULL))),
    CONSTRAINT payments_content_only_if_quarantined_check CHECK (((outcome = 'quarantined'::public.payment_outcome) OR (num_nonnulls(stripe_customer_id, attempt_content, encrypted_content) = 0))),
    CONSTRAINT payments_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text)),
    CONSTRAINT payments_encrypted_content_with_key_check CHECK (((encrypted_content IS NULL) = (encrypted_key_id IS NULL))),
    CONSTRAINT payments_erased_has_no_personal_data_check CHECK (((erased_at IS NULL) OR (num_nonnulls(stripe_customer_id, user_id, attempt_content, encrypted_content) = 0))),
    CONSTRAINT payments_no_refund_begun_of_purchase_check CHECK (((outcome = 'quarantined'::public.payment_outcome) OR (refund_begun_at IS NULL))),
    CONSTRAINT payments_one_content_check CHECK ((num_nonnulls(attempt_content, encrypted_content) <= 1)),
    CONSTRAINT payments_order_iff_settled_as_order_check CHECK (((settlement IS NULL) OR ((settlement = 'order'::public.settlement) = (outcome = 'purchase'::public.payment_outcome)))),
    CONSTRAINT payments_reason_before_refund_check CHECK (((reason_before_refund IS NULL) OR COALESCE((quarantine_reason = 'refunded'::public.quarantine_reason), false))),
    CONSTRAINT payments_reason_iff_quarantined_check CHECK (((outcome = 'quarantined'::public.payment_outcome) = (quarantine_reason IS NOT NULL))),
    CONSTRAINT payments_resolved_only_if_quarantined_check CHECK (((outcome = 'quarantined'::public.payment_outcome) OR (resolved_at IS NULL))),
    CONSTRAINT payments_settled_is_resolved_check CHECK (((settlement IS NULL) OR (outcome = 'purchase'::public.payment_outcome) OR (resolved_at IS NOT NULL))),
    CONSTRAINT payments_setup_amount_is_zero_check CHECK (((kind = 'payment'::public.intent_kind) OR (COALESCE(amount_minor, (0)::bigint) = 0)))
);
CREATE TABLE public.refunds (
    stripe_refund_id text NOT NULL,
    intent_id text NOT NULL,
    charge_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status public.refund_status NOT NULL,
    version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT refunds_amount_minor_check CHECK ((amount_minor >= 0)),
    CONSTRAINT refunds_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text)),
    CONSTRAINT refunds_version_check CHECK ((version >= 1))
);
CREATE TABLE public.schema_compatibility (
    only_row boolean DEFAULT true NOT NULL,
    oldest_code integer NOT NULL,
    CONSTRAINT schema_compatibility_only_row_check CHECK (only_row)
);
CREATE TABLE public.stripe_events (
    event_id text NOT NULL,
    type text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    handled_at timestamp with time zone NOT NULL
);
CREATE TABLE public.subscription_billed_items (
    subscription_id uuid NOT NULL,
    "position" integer NOT NULL,
    stripe_item_id text NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint,
    unit_amount_minor bigint,
    currency text NOT NULL,
    "interval" public.billing_interval,
    interval_count integer,
    current_period_end timestamp with time zone,
    CONSTRAINT subscription_billed_items_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text)),
    CONSTRAINT subscription_billed_items_interval_count_check CHECK ((interval_count >= 1)),
    CONSTRAINT subscription_billed_items_quantity_check CHECK ((quantity >= 0)),
    CONSTRAINT subscription_billed_items_unit_amount_minor_check CHECK ((unit_amount_minor >= 0))
);
CREATE TABLE public.subscription_invoices (
    stripe_invoice_id text NOT NULL,
    subscription_id uuid NOT NULL,
    status public.invoice_status NOT NULL,
    billing_reason text,
    total_minor bigint NOT NULL,
    amount_paid_minor bigint NOT NULL,
    currency text NOT NULL,
    attempt_count integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    period_start timestamp with time zone,
    period_end timestamp with time zone,
    next_payment_attempt timestamp with time zone,
    CONSTRAINT subscription_invoices_amount_paid_minor_check CHECK ((amount_paid_minor >= 0)),
    CONSTRAINT subscription_invoices_attempt_count_check CHECK ((attempt_count >= 0)),
    CONSTRAINT subscription_invoices_currency_check CHECK ((currency ~ '^[a-z]{3}$'::text))
);
CREATE TABLE public.subscription_items (
    subscription_id uuid NOT NULL,
    "position" integer NOT NULL,
    price_id text NOT NULL,
    product_id text NOT NULL,
    name text NOT NULL,
    quantity bigint NOT NULL,
    unit_amount_minor bigint NOT NULL,
    CONSTRAINT subscription_items_quantity_check CHECK ((quantity >= 1)),
    CONSTRAINT subscription_items_unit_amount_minor_check CHECK ((unit_amount_minor >= 0))
);
CREATE TABLE public.subscriptions (
    id uuid NOT NULL,
    checkout_attempt_id text,
    intent_id text NOT NULL,
    payment_outcome public.payment_outcome DEFAULT 'purchase'::public.payment_outcome NOT NULL,
    currency text NOT NULL,
    "position" integer NOT NULL,
    "interval" public.billing_interval NOT NULL,
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
    activation_began_at timestamp with time zone,
    activation_failure text,
    activation_failed_at timestamp with time zone,
    stripe_subscription_id text,
    status public.subscription_status NOT NULL,
    current_period_end timestamp with time zone,
    trial_end timestamp with time zone,
    cancel_at_period_end boolean DEFAULT false NOT NULL,
    cancel_at timestamp with time zone,
    canceled_at timestamp with time zone,
    ended_at timestamp with time zone,
    latest_invoice_id text,
    pause_behavior text,
    pause_resumes_at timestamp with time zone,
    discounts jsonb DEFAULT '[]'::jsonb NOT NULL,
    default_payment_method_id text,
    collection_method text,
    created_at timestamp with time zone NOT NULL,
    erased_at timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    CONSTRAINT subscriptions_activation_generation_check CHECK ((activation_generation >= 1)),
    CONSTRAINT subscriptions_address_complete_check CHECK (((shipping_line1 IS NULL) = (shipping_country IS NULL))),
    CONSTRAINT subscriptions_cancelled_has_ended_check CHECK (((cancel_requested_at IS NULL) OR (status <> ALL (ARRAY['pending'::public.subscription_status, 'activation_failed'::public.subscription_status])))),
    CONSTRAINT subscriptions_contact_unless_erased_check CHECK (((erased_at IS NOT NULL) OR ((contact_name IS NOT NULL) AND (contact_email IS NOT NULL)))),
    CONSTRAINT subscriptions_discounts_check CHECK ((jsonb_typeof(discounts) = 'array'::text)),
    CONSTRAINT subscriptions_erased_has_no_personal_data_check CHECK (((erased_at IS NULL) OR (num_nonnulls(user_id, contact_name, contact_email, contact_phone, shipping_line1, shipping_line2, shipping_city, shipping_state, shipping_postal_code, shipping_country) = 0))),
    CONSTRAINT subscriptions_failed_has_time_check CHECK (((activation_failure IS NULL) OR (activation_failed_at IS NOT NULL))),
    CONSTRAINT subscriptions_failure_iff_failed_check CHECK (((activation_failure IS NULL) = (status <> 'activation_failed'::public.subscription_status))),
    CONSTRAINT subscriptions_interval_count_check CHECK ((interval_count >= 1)),
    CONSTRAINT subscriptions_pause_complete_check CHECK (((pause_behavior IS NOT NULL) OR (pause_resumes_at IS NULL))),
    CONSTRAINT subscriptions_payment_outcome_check CHECK ((payment_outcome = 'purchase'::public.payment_outcome)),
    CONSTRAINT subscriptions_pending_can_be_created_check CHECK (((stripe_payment_method_id IS NOT NULL) OR (status <> 'pending'::public.subscription_status))),
    CONSTRAINT subscriptions_position_check CHECK (("position" >= 0)),
    CONSTRAINT subscriptions_stripe_id_iff_activated_check CHECK (((stripe_subscription_id IS NULL) = ((status = ANY (ARRAY['pending'::public.subscription_status, 'activation_failed'::public.subscription_status])) OR ((status = 'canceled'::public.subscription_status) AND (cancel_requested_at IS NOT NULL) AND (stripe_subscription_id IS NULL))))),
    CONSTRAINT subscriptions_stripe_state_needs_stripe_id_check CHECK (((stripe_subscription_id IS NOT NULL) OR ((NOT cancel_at_period_end) AND (discounts = '[]'::jsonb) AND (num_nonnulls(current_period_end, trial_end, cancel_at, canceled_at, ended_at, latest_invoice_id, pause_behavior, default_payment_method_id, collection_method) = 0)))),
    CONSTRAINT subscriptions_trial_days_check CHECK (((trial_days >= 0) AND (trial_days <= 730))),
    CONSTRAINT subscriptions_version_check CHECK ((version >= 1))
);
INSERT INTO public.alembic_version VALUES ('0001_first_schema');
INSERT INTO public.schema_compatibility VALUES (true, 1);
SELECT pg_catalog.setval('public.outbox_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.cursors
    ADD CONSTRAINT cursors_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (stripe_customer_id);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_user_id_currency_key UNIQUE (user_id, currency);
ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_pkey PRIMARY KEY (stripe_dispute_id);
ALTER TABLE ONLY public.event_retries
    ADD CONSTRAINT event_retries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.operator_actions
    ADD CONSTRAINT operator_actions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.order_items
    ADD CONSTRAINT order_items_pkey PRIMARY KEY (order_id, "position");
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_checkout_attempt_id_key UNIQUE (checkout_attempt_id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_number_key UNIQUE (number);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_payment_intent_id_key UNIQUE (payment_intent_id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_amount_key UNIQUE (intent_id, outcome, amount_minor, currency);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_outcome_key UNIQUE (intent_id, outcome, currency);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (intent_id);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT refunds_pkey PRIMARY KEY (stripe_refund_id);
ALTER TABLE ONLY public.schema_compatibility
    ADD CONSTRAINT schema_compatibility_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.stripe_events
    ADD CONSTRAINT stripe_events_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.subscription_billed_items
    ADD CONSTRAINT subscription_billed_items_pkey PRIMARY KEY (subscription_id, "position");
ALTER TABLE ONLY public.subscription_invoices
    ADD CONSTRAINT subscription_invoices_pkey PRIMARY KEY (stripe_invoice_id);
ALTER TABLE ONLY public.subscription_items
    ADD CONSTRAINT subscription_items_pkey PRIMARY KEY (subscription_id, "position");
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_one_per_interval UNIQUE (checkout_attempt_id, "interval", interval_count);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_stripe_subscription_id_key UNIQUE (stripe_subscription_id);
CREATE INDEX disputes_intent_id_idx ON public.disputes USING btree (intent_id);
CREATE INDEX event_retries_next_try_at_idx ON public.event_retries USING btree (next_try_at);
CREATE INDEX operator_actions_by_subject ON public.operator_actions USING btree (subject, at, id);
CREATE INDEX orders_by_user ON public.orders USING btree (user_id, created_at, id);
CREATE INDEX outbox_unpublished ON public.outbox USING btree (id) WHERE (published_at IS NULL);
CREATE INDEX payments_by_intent_creation ON public.payments USING btree (kind, intent_created_at, intent_id);
CREATE UNIQUE INDEX payments_one_purchase_per_attempt ON public.payments USING btree (attempt_id) WHERE (outcome = 'purchase'::public.payment_outcome);
CREATE INDEX payments_quarantined ON public.payments USING btree (decided_at, intent_id) WHERE (outcome = 'quarantined'::public.payment_outcome);
CREATE INDEX payments_quarantined_attempts ON public.payments USING btree (attempt_id) WHERE (outcome = 'quarantined'::public.payment_outcome);
CREATE INDEX refunds_intent_id_idx ON public.refunds USING btree (intent_id);
CREATE INDEX stripe_events_created_at_idx ON public.stripe_events USING btree (created_at);
CREATE INDEX subscription_invoices_newest ON public.subscription_invoices USING btree (subscription_id, created_at, stripe_invoice_id);
CREATE INDEX subscriptions_by_user ON public.subscriptions USING btree (user_id, created_at, id);
CREATE INDEX subscriptions_not_activated ON public.subscriptions USING btree (created_at, id) WHERE ((stripe_subscription_id IS NULL) AND ((status <> 'canceled'::public.subscription_status) OR (activation_began_at IS NOT NULL)));
ALTER TABLE ONLY public.order_items
    ADD CONSTRAINT order_items_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_total_equals_payment_fkey FOREIGN KEY (payment_intent_id, payment_outcome, total_minor, currency) REFERENCES public.payments(intent_id, outcome, amount_minor, currency);
ALTER TABLE ONLY public.subscription_billed_items
    ADD CONSTRAINT subscription_billed_items_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES public.subscriptions(id);
ALTER TABLE ONLY public.subscription_invoices
    ADD CONSTRAINT subscription_invoices_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES public.subscriptions(id);
ALTER TABLE ONLY public.subscription_items
    ADD CONSTRAINT subscription_items_subscription_id_fkey FOREIGN KEY (subscription_id) REFERENCES public.subscriptions(id);
ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_belong_to_purchase_fkey FOREIGN KEY (intent_id, payment_outcome, currency) REFERENCES public.payments(intent_id, outcome, currency);
