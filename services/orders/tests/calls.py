"""Calls of the subscription and customer rpcs, with the arguments that tests vary."""

from checkout.orders.v1 import orders_pb2 as pb

from .builders import cart, recurring_line, stripe_state
from .service import Client


async def begin(orders: Client, subscription: pb.Subscription, abandon_generation: int = 0) -> pb.Subscription:
    """Begin an activation."""
    request = pb.BeginActivationRequest(subscription_id=subscription.id, abandon_generation=abandon_generation)
    return (await orders.BeginActivation(request)).subscription


async def begun(orders: Client) -> pb.Subscription:
    """Record a subscription and begin its activation."""
    (recorded,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions
    return await begin(orders, recorded)


async def activate(
    orders: Client,
    subscription: pb.Subscription,
    state: pb.StripeSubscriptionState | None = None,
    invoice: pb.SubscriptionInvoice | None = None,
) -> pb.Subscription:
    """Bind a subscription at its version, to a Stripe subscription of its own unless given."""
    request = pb.ActivateSubscriptionRequest(
        subscription_id=subscription.id,
        expected_version=subscription.version,
        state=state or stripe_state(f"sub_of_{subscription.id}"),
        invoice=invoice,
    )
    return (await orders.ActivateSubscription(request)).subscription


async def cancel(orders: Client, subscription: pb.Subscription) -> pb.Subscription:
    """Cancel a pending subscription at its version."""
    request = pb.CancelPendingSubscriptionRequest(
        subscription_id=subscription.id, expected_version=subscription.version
    )
    return (await orders.CancelPendingSubscription(request)).subscription


async def fail(orders: Client, subscription: pb.Subscription, failure: str = "resource_missing") -> pb.Subscription:
    """Record a definite refusal at the subscription's version."""
    request = pb.FailActivationRequest(
        subscription_id=subscription.id, expected_version=subscription.version, failure=failure
    )
    return (await orders.FailActivation(request)).subscription


async def apply(
    orders: Client,
    subscription: pb.Subscription,
    state: pb.StripeSubscriptionState,
    invoice: pb.SubscriptionInvoice | None = None,
) -> pb.Subscription:
    """Write a state at the subscription's version."""
    request = pb.ApplySubscriptionStateRequest(
        subscription_id=subscription.id, expected_version=subscription.version, state=state, invoice=invoice
    )
    return (await orders.ApplySubscriptionState(request)).subscription


async def read(orders: Client, subscription: pb.Subscription) -> pb.Subscription:
    """Read a subscription by our id."""
    return (await orders.GetSubscription(pb.GetSubscriptionRequest(subscription_id=subscription.id))).subscription


async def retry(
    orders: Client, subscription: pb.Subscription, *, expected_version: int = 0, payment_method_id: str = ""
) -> pb.Subscription:
    """Let a failed activation begin again."""
    request = pb.RetryActivationRequest(
        subscription_id=subscription.id, expected_version=expected_version, payment_method_id=payment_method_id
    )
    return (await orders.RetryActivation(request)).subscription


async def put_customer(
    orders: Client, customer_id: str, *, user_id: str = "user_1", currency: str = "eur", replaces: str = ""
) -> str:
    """Assign a customer; return the user's customer of the currency afterwards."""
    request = pb.PutCustomerRequest(
        user_id=user_id, currency=currency, stripe_customer_id=customer_id, replaces=replaces
    )
    return (await orders.PutCustomer(request)).stripe_customer_id


async def get_customer(orders: Client, user_id: str = "user_1", currency: str = "eur") -> str:
    """Read a user's customer."""
    return (await orders.GetCustomer(pb.GetCustomerRequest(user_id=user_id, currency=currency))).stripe_customer_id


async def list_quarantined(orders: Client) -> list[pb.QuarantinedPayment]:
    """List all quarantined payments, newest first."""
    listed: list[pb.QuarantinedPayment] = []
    token = None
    while token != "":
        page = await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_token=token or ""))
        listed += page.quarantined_payments
        token = page.next_page_token
    return listed
