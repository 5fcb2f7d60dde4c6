"""Requests as they should be, to be spoiled."""

import copy
import uuid
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from checkout.session.v1 import checkout_session_pb2
from tests.e2e.harness.shop import ADDRESS, CONTACT

_FAR = 4_000_000_000
_SUBSCRIPTION = "00000000-0000-4000-8000-000000000008"


def _context() -> common_pb2.CheckoutContext:
    price = common_pb2.Money(minor_units=2500, currency="usd")
    line = common_pb2.LineItem(price_id="price_1", product_id="prod_1", name="Mug", quantity=2, unit_price=price)
    monthly = common_pb2.LineItem(price_id="price_2", product_id="prod_1", name="Club", quantity=1, unit_price=price)
    monthly.recurring.CopyFrom(
        common_pb2.Recurring(interval=common_pb2.Recurring.INTERVAL_MONTH, interval_count=1, trial_days=14)
    )
    context = common_pb2.CheckoutContext(
        user_id="user-1",
        contact=common_pb2.Contact(name="Ada", email="ada@example.com", phone="+15550100"),
        shipping_address=common_pb2.Address(line1="1 Harbour Street", city="Portland", country="US"),
        shipping_option=common_pb2.ShippingOption(
            shipping_rate_id="shr_1", name="Post", amount=common_pb2.Money(minor_units=500, currency="usd")
        ),
        items=[line, monthly],
        stripe_customer_id="cus_1",
        total=common_pb2.Money(minor_units=5500, currency="usd"),
        supersedes="00000000-0000-4000-8000-000000000001",
    )
    context.pay_by.FromSeconds(_FAR)
    return context


def _payment() -> orders_pb2.Payment:
    return orders_pb2.Payment(
        intent=common_pb2.Intent(id="pi_1", kind=common_pb2.Intent.KIND_PAYMENT),
        attempt_id="00000000-0000-4000-8000-000000000002",
        received=common_pb2.Money(minor_units=5500, currency="usd"),
        payment_method_id="pm_1",
    )


def _state() -> orders_pb2.StripeSubscriptionState:
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id="sub_1",
        status=orders_pb2.SUBSCRIPTION_STATUS_ACTIVE,
        current_period_end=Timestamp(seconds=_FAR),
        latest_invoice_id="in_1",
    )


def _invoice() -> orders_pb2.SubscriptionInvoice:
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id="in_1",
        status=orders_pb2.INVOICE_STATUS_PAID,
        billing_reason="subscription_create",
        total=common_pb2.Money(minor_units=2500, currency="usd"),
        amount_paid=common_pb2.Money(minor_units=2500, currency="usd"),
        attempt_count=1,
        created_at=Timestamp(seconds=_FAR),
    )


_WEBHOOK = orders_pb2.PaymentReport(channel=orders_pb2.REPORT_CHANNEL_WEBHOOK, stripe_event_id="evt_1")

REQUESTS: Final[Sequence[Message]] = (
    checkout_session_pb2.SaveAttemptRequest(
        attempt_id="00000000-0000-4000-8000-000000000003",
        request_hash=b"h" * 32,
        context=_context(),
        intent=common_pb2.Intent(id="pi_1", kind=common_pb2.Intent.KIND_PAYMENT),
    ),
    checkout_session_pb2.GetAttemptRequest(attempt_id="00000000-0000-4000-8000-000000000003"),
    checkout_session_pb2.CloseAttemptRequest(
        attempt_id="00000000-0000-4000-8000-000000000004", reason=checkout_session_pb2.CLOSE_REASON_SUPERSEDED
    ),
    checkout_session_pb2.DeleteAttemptRequest(
        attempt_id="00000000-0000-4000-8000-000000000005", reason=checkout_session_pb2.DELETE_REASON_RECORDED
    ),
    orders_pb2.RecordPurchaseRequest(payment=_payment(), context=_context(), report=_WEBHOOK),
    orders_pb2.QuarantinePaymentRequest(
        payment=_payment(), reason=orders_pb2.QUARANTINE_REASON_UNRECORDABLE, context=_context(), report=_WEBHOOK
    ),
    orders_pb2.ListOrdersRequest(user_id="user-1", page_size=2, page_token="b3JkZXJzOjE6eA"),
    orders_pb2.ListQuarantinedPaymentsRequest(page_size=2, page_token="cXVhcmFudGluZToxOng"),
    orders_pb2.GetPurchaseRequest(attempt_id="00000000-0000-4000-8000-000000000002"),
    orders_pb2.GetOrderRequest(order_id="00000000-0000-4000-8000-000000000006"),
    orders_pb2.ApplyRefundRequest(
        refund=orders_pb2.Refund(
            stripe_refund_id="re_1",
            intent_id="pi_1",
            charge_id="ch_1",
            amount=common_pb2.Money(minor_units=500, currency="usd"),
            status=orders_pb2.REFUND_STATUS_SUCCEEDED,
            created_at=Timestamp(seconds=_FAR),
        )
    ),
    orders_pb2.GetRefundRequest(stripe_refund_id="re_1"),
    orders_pb2.ApplyDisputeRequest(
        dispute=orders_pb2.Dispute(
            stripe_dispute_id="du_1",
            intent_id="pi_1",
            charge_id="ch_1",
            amount=common_pb2.Money(minor_units=700, currency="usd"),
            status=orders_pb2.DISPUTE_STATUS_NEEDS_RESPONSE,
            reason="fraudulent",
            created_at=Timestamp(seconds=_FAR),
        )
    ),
    orders_pb2.GetDisputeRequest(stripe_dispute_id="du_1"),
    orders_pb2.GetSubscriptionRequest(subscription_id=_SUBSCRIPTION),
    orders_pb2.ListSubscriptionsRequest(user_id="user-1", page_size=2, page_token="c3Vic2NyaXB0aW9uczoxOng"),
    orders_pb2.BeginActivationRequest(subscription_id=_SUBSCRIPTION, abandon_generation=1),
    orders_pb2.ActivateSubscriptionRequest(
        subscription_id=_SUBSCRIPTION, expected_version=1, state=_state(), invoice=_invoice()
    ),
    orders_pb2.FailActivationRequest(subscription_id=_SUBSCRIPTION, expected_version=1, failure="resource_missing"),
    orders_pb2.ApplySubscriptionStateRequest(
        subscription_id=_SUBSCRIPTION, expected_version=2, state=_state(), invoice=_invoice()
    ),
    orders_pb2.GetCustomerRequest(user_id="user-1"),
    orders_pb2.PutCustomerRequest(user_id="user-1", stripe_customer_id="cus_1", replaces="cus_2"),
)
"""One for each rpc that does more with some values than with others."""


def sample_of(name: str, default: Message) -> Message:
    """Return the sample of a message by its full name; the default if there is none."""
    return next((sample for sample in REQUESTS if sample.DESCRIPTOR.full_name == name), default)


def renumbered(sample: Message, number: uuid.UUID) -> Message:
    """Return the same request about another attempt and another intent."""
    other: Any = copy.deepcopy(sample)
    fields = other.DESCRIPTOR.fields_by_name
    payment = other.payment if "payment" in fields else other
    if "attempt_id" in payment.DESCRIPTOR.fields_by_name:
        payment.attempt_id = str(number)
    if "payment" in fields:
        payment.intent.id = f"pi_{number.hex}"
    return other  # type: ignore[no-any-return] # a copy of a message


def initiate_body(price_id: str, shipping_option_id: str) -> dict[str, Any]:
    """Return what a frontend sends to begin a checkout."""
    return {
        "items": [{"priceId": price_id, "quantity": 2}],
        "contact": dict(CONTACT),
        "shippingAddress": dict(ADDRESS),
        "shippingOptionId": shipping_option_id,
        "supersedes": "00000000-0000-4000-8000-000000000007",
    }


def succeeded_event(attempt_id: str, intent_id: str, *, kind: str = "payment_intent") -> dict[str, Any]:
    """Return an event that says that an intent succeeded, with no more than is read of it."""
    money = {"amount_received": 2500, "currency": "usd"} if kind == "payment_intent" else {}
    return {
        "id": f"evt_{uuid.UUID(int=7).hex}",
        "type": f"{kind}.succeeded",
        "data": {
            "object": {
                "id": intent_id,
                "object": kind,
                "status": "succeeded",
                "livemode": False,
                "metadata": {"checkoutAttemptId": attempt_id},
                "last_payment_error": None,
                **money,
            }
        },
    }
