"""What callers ask about subscriptions and customers, from protobuf into the domain's terms."""

from dataclasses import dataclass
from uuid import UUID

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from checkout_rules.limits import MAX_ID_CHARACTERS
from orders.api.carts import BILLING_INTERVALS
from orders.api.common import (
    write_address,
    write_contact,
    write_intent,
    write_moment,
    write_moment_if_any,
    write_money,
)
from orders.api.field_reader import FieldChecks
from orders.api.paging import UserPage, read_user_page
from orders.domain.checkout import LineItem, Money, Recurring
from orders.domain.subscriptions import (
    InvoiceStatus,
    Sighting,
    StripeState,
    Subscription,
    SubscriptionInvoice,
    SubscriptionStatus,
)

SUBSCRIPTIONS_LIST = "subscriptions"
_STATE = "state"
_INVOICE = "invoice"

_STRIPES_STATUSES = {
    orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE: SubscriptionStatus.INCOMPLETE,
    orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED: SubscriptionStatus.INCOMPLETE_EXPIRED,
    orders_pb2.SUBSCRIPTION_STATUS_TRIALING: SubscriptionStatus.TRIALING,
    orders_pb2.SUBSCRIPTION_STATUS_ACTIVE: SubscriptionStatus.ACTIVE,
    orders_pb2.SUBSCRIPTION_STATUS_PAST_DUE: SubscriptionStatus.PAST_DUE,
    orders_pb2.SUBSCRIPTION_STATUS_UNPAID: SubscriptionStatus.UNPAID,
    orders_pb2.SUBSCRIPTION_STATUS_PAUSED: SubscriptionStatus.PAUSED,
    orders_pb2.SUBSCRIPTION_STATUS_CANCELED: SubscriptionStatus.CANCELED,
}
_INVOICE_STATUSES = {
    orders_pb2.INVOICE_STATUS_DRAFT: InvoiceStatus.DRAFT,
    orders_pb2.INVOICE_STATUS_OPEN: InvoiceStatus.OPEN,
    orders_pb2.INVOICE_STATUS_PAID: InvoiceStatus.PAID,
    orders_pb2.INVOICE_STATUS_UNCOLLECTIBLE: InvoiceStatus.UNCOLLECTIBLE,
    orders_pb2.INVOICE_STATUS_VOID: InvoiceStatus.VOID,
}


@dataclass(frozen=True, slots=True)
class BeginOrder:
    """Which activation is about to be tried. `abandon_generation` is 0 to go on with the one that stands."""

    subscription_id: UUID
    abandon_generation: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Stripe's word for why it will not create a subscription."""

    subscription_id: UUID
    expected_version: int
    failure: str


@dataclass(frozen=True, slots=True)
class CustomerClaim:
    """A Stripe customer that is to be a user's. `replaced` is None unless Stripe no longer knows that one."""

    user_id: str
    stripe_customer_id: str
    replaced: str | None


def read_subscription_key(request: orders_pb2.GetSubscriptionRequest) -> UUID | str:
    """Read which subscription is asked for: our id is a UUID, Stripe's a text."""
    checks = FieldChecks()
    by = request.WhichOneof("by")
    checks.objects_to("by", "is required", unless=by is not None)
    checks.refuse_if_any()
    key: UUID | str = (
        checks.uuid("subscription_id", request.subscription_id)
        if by == "subscription_id"
        else checks.text("stripe_subscription_id", request.stripe_subscription_id, MAX_ID_CHARACTERS)
    )
    checks.refuse_if_any()
    return key


def read_subscriptions_page(request: orders_pb2.ListSubscriptionsRequest) -> UserPage:
    """Read whose subscriptions, and which page."""
    return read_user_page(request, SUBSCRIPTIONS_LIST)


def read_begin(request: orders_pb2.BeginActivationRequest) -> BeginOrder:
    """Read which activation is about to be tried."""
    checks = FieldChecks()
    subscription_id = checks.uuid("subscription_id", request.subscription_id)
    in_order = request.abandon_generation >= 0
    checks.objects_to("abandon_generation", "must not be negative", unless=in_order)
    checks.refuse_if_any()
    return BeginOrder(subscription_id, request.abandon_generation)


def read_refusal(request: orders_pb2.FailActivationRequest) -> Refusal:
    """Read why Stripe refused."""
    checks = FieldChecks()
    refusal = Refusal(
        subscription_id=checks.uuid("subscription_id", request.subscription_id),
        expected_version=checks.version("expected_version", request.expected_version),
        failure=checks.text("failure", request.failure, MAX_ID_CHARACTERS),
    )
    checks.refuse_if_any()
    return refusal


def read_sighting(
    request: orders_pb2.ActivateSubscriptionRequest | orders_pb2.ApplySubscriptionStateRequest,
) -> tuple[UUID, Sighting]:
    """Read what was seen at Stripe, and of which subscription."""
    checks = FieldChecks()
    subscription_id = checks.uuid("subscription_id", request.subscription_id)
    version = checks.version("expected_version", request.expected_version)
    checks.objects_to(_STATE, "is required", unless=request.HasField("state"))
    checks.refuse_if_any()
    state = _read_state(checks, request.state)
    invoice = _read_invoice(checks, request.invoice) if request.HasField("invoice") else None
    checks.refuse_if_any()
    return subscription_id, Sighting(version, state, invoice)


def read_customer_owner(request: orders_pb2.GetCustomerRequest) -> str:
    """Read whose customer is asked for."""
    checks = FieldChecks()
    user_id = checks.text("user_id", request.user_id, MAX_ID_CHARACTERS)
    checks.refuse_if_any()
    return user_id


def read_customer_claim(request: orders_pb2.PutCustomerRequest) -> CustomerClaim:
    """Read which customer is to be whose."""
    checks = FieldChecks()
    claim = CustomerClaim(
        user_id=checks.text("user_id", request.user_id, MAX_ID_CHARACTERS),
        stripe_customer_id=checks.text("stripe_customer_id", request.stripe_customer_id, MAX_ID_CHARACTERS),
        replaced=checks.optional_text("replaces", request.replaces, MAX_ID_CHARACTERS),
    )
    checks.refuse_if_any()
    return claim


def _read_state(checks: FieldChecks, state: orders_pb2.StripeSubscriptionState) -> StripeState:
    status = _STRIPES_STATUSES.get(state.status)
    checks.objects_to(f"{_STATE}.status", "must be one of Stripe's", unless=status is not None)
    moments = {
        name: checks.optional_moment(f"{_STATE}.{name}", getattr(state, name), present=state.HasField(name))
        for name in ("current_period_end", "trial_end", "cancel_at", "canceled_at", "ended_at")
    }
    bound_to = checks.text(f"{_STATE}.stripe_subscription_id", state.stripe_subscription_id, MAX_ID_CHARACTERS)
    return StripeState(
        stripe_subscription_id=bound_to,
        status=status or SubscriptionStatus.CANCELED,
        cancel_at_period_end=state.cancel_at_period_end,
        latest_invoice_id=checks.optional_text(
            f"{_STATE}.latest_invoice_id", state.latest_invoice_id, MAX_ID_CHARACTERS
        ),
        **moments,
    )


def _read_invoice(checks: FieldChecks, invoice: orders_pb2.SubscriptionInvoice) -> SubscriptionInvoice:
    status = _INVOICE_STATUSES.get(invoice.status)
    checks.objects_to(f"{_INVOICE}.status", "is required", unless=status is not None)
    checks.objects_to(f"{_INVOICE}.attempt_count", "must not be negative", unless=invoice.attempt_count >= 0)
    moments = {
        name: checks.optional_moment(f"{_INVOICE}.{name}", getattr(invoice, name), present=invoice.HasField(name))
        for name in ("period_start", "period_end", "next_payment_attempt")
    }
    total, amount_paid = _read_sums(checks, invoice)
    return SubscriptionInvoice(
        stripe_invoice_id=checks.text(f"{_INVOICE}.stripe_invoice_id", invoice.stripe_invoice_id, MAX_ID_CHARACTERS),
        status=status or InvoiceStatus.VOID,
        billing_reason=checks.optional_text(f"{_INVOICE}.billing_reason", invoice.billing_reason, MAX_ID_CHARACTERS),
        total=total,
        amount_paid=amount_paid,
        attempt_count=invoice.attempt_count,
        created_at=checks.moment(f"{_INVOICE}.created_at", invoice.created_at, present=invoice.HasField("created_at")),
        **moments,
    )


def _read_sums(checks: FieldChecks, invoice: orders_pb2.SubscriptionInvoice) -> tuple[Money, Money]:
    # A credit makes an invoice's total negative, so only the currency of the total is checked.
    owed = common_pb2.Money(currency=invoice.total.currency)
    currency = checks.money(f"{_INVOICE}.total", owed, present=invoice.HasField("total")).currency
    paid = checks.money(f"{_INVOICE}.amount_paid", invoice.amount_paid, present=invoice.HasField("amount_paid"))
    checks.objects_to(
        f"{_INVOICE}.amount_paid.currency", "must be the total's", unless=paid.currency == currency or checks.found_any
    )
    return Money(invoice.total.minor_units, currency), paid


_STATUSES = {
    SubscriptionStatus.PENDING: orders_pb2.SUBSCRIPTION_STATUS_PENDING,
    SubscriptionStatus.ACTIVATION_FAILED: orders_pb2.SUBSCRIPTION_STATUS_ACTIVATION_FAILED,
    SubscriptionStatus.INCOMPLETE: orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE,
    SubscriptionStatus.INCOMPLETE_EXPIRED: orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED,
    SubscriptionStatus.TRIALING: orders_pb2.SUBSCRIPTION_STATUS_TRIALING,
    SubscriptionStatus.ACTIVE: orders_pb2.SUBSCRIPTION_STATUS_ACTIVE,
    SubscriptionStatus.PAST_DUE: orders_pb2.SUBSCRIPTION_STATUS_PAST_DUE,
    SubscriptionStatus.UNPAID: orders_pb2.SUBSCRIPTION_STATUS_UNPAID,
    SubscriptionStatus.PAUSED: orders_pb2.SUBSCRIPTION_STATUS_PAUSED,
    SubscriptionStatus.CANCELED: orders_pb2.SUBSCRIPTION_STATUS_CANCELED,
}
_INVOICE_STATUS_WORDS = {
    InvoiceStatus.DRAFT: orders_pb2.INVOICE_STATUS_DRAFT,
    InvoiceStatus.OPEN: orders_pb2.INVOICE_STATUS_OPEN,
    InvoiceStatus.PAID: orders_pb2.INVOICE_STATUS_PAID,
    InvoiceStatus.UNCOLLECTIBLE: orders_pb2.INVOICE_STATUS_UNCOLLECTIBLE,
    InvoiceStatus.VOID: orders_pb2.INVOICE_STATUS_VOID,
}


def write_subscription(subscription: Subscription) -> orders_pb2.Subscription:
    """Write one subscription."""
    activation, state = subscription.activation, subscription.state
    return orders_pb2.Subscription(
        id=str(subscription.id),
        checkout_attempt_id=subscription.checkout_attempt_id,
        intent=write_intent(subscription.intent),
        user_id=subscription.user_id or "",
        stripe_customer_id=subscription.stripe_customer_id,
        payment_method_id=subscription.payment_method_id,
        recurring=_write_recurring(subscription.recurring),
        items=map(_write_item, subscription.items),
        version=subscription.version,
        created_at=write_moment(subscription.created_at),
        activation_generation=activation.generation,
        activation_began_at=write_moment_if_any(activation.began_at),
        activation_failure=activation.failure or "",
        status=_STATUSES[subscription.status],
        stripe_subscription_id=subscription.stripe_subscription_id or "",
        state=_write_state(state) if state else None,
        invoices=map(_write_invoice, subscription.invoices),
        contact=write_contact(subscription.contact) if subscription.contact else None,
        shipping_address=write_address(subscription.shipping_address) if subscription.shipping_address else None,
        erased_at=write_moment_if_any(subscription.erased_at),
    )


def _write_recurring(recurring: Recurring) -> common_pb2.Recurring:
    return common_pb2.Recurring(
        interval=BILLING_INTERVALS.to_proto(recurring.interval),
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def _write_item(item: LineItem) -> orders_pb2.SubscriptionItem:
    return orders_pb2.SubscriptionItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=write_money(item.unit_price),
    )


def _write_state(state: StripeState) -> orders_pb2.StripeSubscriptionState:
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id=state.stripe_subscription_id,
        status=_STATUSES[state.status],
        current_period_end=write_moment_if_any(state.current_period_end),
        trial_end=write_moment_if_any(state.trial_end),
        cancel_at_period_end=state.cancel_at_period_end,
        cancel_at=write_moment_if_any(state.cancel_at),
        canceled_at=write_moment_if_any(state.canceled_at),
        ended_at=write_moment_if_any(state.ended_at),
        latest_invoice_id=state.latest_invoice_id or "",
    )


def _write_invoice(invoice: SubscriptionInvoice) -> orders_pb2.SubscriptionInvoice:
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id=invoice.stripe_invoice_id,
        status=_INVOICE_STATUS_WORDS[invoice.status],
        billing_reason=invoice.billing_reason or "",
        total=write_money(invoice.total),
        amount_paid=write_money(invoice.amount_paid),
        attempt_count=invoice.attempt_count,
        created_at=write_moment(invoice.created_at),
        period_start=write_moment_if_any(invoice.period_start),
        period_end=write_moment_if_any(invoice.period_end),
        next_payment_attempt=write_moment_if_any(invoice.next_payment_attempt),
    )
