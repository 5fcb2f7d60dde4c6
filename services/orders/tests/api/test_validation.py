"""Requests that break one rule are refused by field. checkout_rules tests the rules of carts."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from orders.api.customers import customer_assignment_from_proto, customer_owner_from_proto
from orders.api.paging import (
    UserPageRequest,
    orders_page_from_proto,
    quarantine_page_from_proto,
    subscriptions_page_from_proto,
)
from orders.api.purchases import (
    attempt_id_from_proto,
    order_id_from_proto,
    paid_attempt_from_proto,
    quarantined_from_proto,
)
from orders.api.refunds import dispute_from_proto, dispute_id_from_proto, refund_from_proto, refund_id_from_proto
from orders.api.subscriptions import (
    activation_failure_from_proto,
    activation_retry_from_proto,
    begin_activation_from_proto,
    snapshot_from_proto,
    subscription_key_from_proto,
)
from orders.domain.checkout import AttemptContent
from orders.domain.pagination import Cursor, PageRequest, encode_page_token
from servicekit.violations import InvalidRequest

from ..builders import (
    billed_item,
    cart,
    discount,
    dispute,
    invoice,
    line,
    money,
    purchase,
    quarantine,
    recurring_line,
    refund,
    stripe_state,
)

ID = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"
LONG_ID = "x" * 256
AT = datetime(2026, 5, 4, tzinfo=UTC)

Change: TypeAlias = Callable[[Any], object]


def violated_fields(read: Callable[[], object]) -> list[str]:
    """Return the fields of the violations."""
    with pytest.raises(InvalidRequest) as refused:
        read()
    return [violation.field for violation in refused.value.violations]


def setting(path: str, value: object) -> Change:
    """Return a change that sets the field at a path."""

    def change(request: Any) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            request = getattr(request, parent)
        setattr(request, name, value)

    return change


def having(name: str, value: Any) -> Change:
    """Return a change that replaces a field of the state, which may be a message or several."""
    return lambda request: (
        request.state.ClearField(name),
        request.state.MergeFrom(pb.StripeSubscriptionState(**{name: value})),
    )


def clearing(path: str) -> Change:
    """Return a change that clears the field at a path."""

    def change(request: Any) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            request = getattr(request, parent)
        request.ClearField(name)

    return change


def add_one_cent(request: pb.RecordPurchaseRequest) -> None:
    """Make the total no sum of the lines, and let Stripe receive it."""
    request.context.total.minor_units += 1
    request.payment.received.CopyFrom(request.context.total)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (clearing("payment.intent.id"), "payment.intent.id"),
        (setting("payment.intent.id", LONG_ID), "payment.intent.id"),
        (clearing("payment.intent.kind"), "payment.intent.kind"),
        (setting("payment.intent.kind", 99), "payment.intent.kind"),
        (clearing("payment.attempt_id"), "payment.attempt_id"),
        (setting("payment.attempt_id", "a\0"), "payment.attempt_id"),
        (setting("payment.attempt_id", "a" * 501), "payment.attempt_id"),
        (clearing("payment.received"), "payment.received"),
        (setting("payment.received.minor_units", 7989), "payment.received"),
        (setting("payment.received.currency", "usd"), "payment.received"),
        (setting("payment.payment_method_id", LONG_ID), "payment.payment_method_id"),
        (clearing("context"), "context"),
        (add_one_cent, "context.total.minor_units"),
        (clearing("context.contact"), "context.contact.name"),
        (clearing("report.channel"), "report.channel"),
        (clearing("report.stripe_event_id"), "report.stripe_event_id"),
        (setting("report.channel", pb.REPORT_CHANNEL_BROWSER_RETURN), "report.stripe_event_id"),
    ],
)
def test_an_invalid_purchase_is_refused_by_field(change: Change, field: str) -> None:
    """The payment, the report, and the agreement of the sums (P5)."""
    request = purchase()
    change(request)

    assert violated_fields(lambda: paid_attempt_from_proto(request))[0] == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (clearing("context.stripe_customer_id"), "context.stripe_customer_id"),
        (lambda request: request.payment.received.CopyFrom(request.context.total), "payment.received"),
    ],
)
def test_an_invalid_setup_is_refused_by_field(change: Change, field: str) -> None:
    """A subscription needs a customer, and a setup intent takes no money."""
    request = cart(recurring_line(1))
    change(request)

    assert violated_fields(lambda: paid_attempt_from_proto(request)) == [field]


def test_p5_a_valid_purchase_is_read() -> None:
    """The total is that of the one-time lines and the shipping, without the recurring lines."""
    request = cart(line(1), recurring_line(2))

    paid = paid_attempt_from_proto(request)

    assert paid.context.total.minor_units == 2500 + 490 == paid.context.items_minor + paid.context.shipping_minor
    assert paid.content.serialized == request.context.SerializeToString()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (clearing("reason"), "reason"),
        (clearing("payment.received"), "payment.received"),
        (setting("payment.received.minor_units", -1), "payment.received.minor_units"),
        (setting("payment.received.currency", "EUR"), "payment.received.currency"),
        (setting("payment.intent.kind", common_pb2.Intent.KIND_SETUP), "payment.received"),
        (clearing("payment.attempt_id"), "payment.attempt_id"),
        (lambda request: request.context.SetInParent(), "context"),
        (lambda request: request.encrypted_content.SetInParent(), "encrypted_content"),
        (setting("reason", pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE), "encrypted_content"),
        (setting("reason", pb.QUARANTINE_REASON_REFUNDED), "reason"),
        (clearing("report.channel"), "report.channel"),
    ],
)
def test_an_invalid_quarantine_is_refused_by_field(change: Change, field: str) -> None:
    """The payment and the report; a missing attempt has no content."""
    request = quarantine(purchase())
    change(request)

    assert violated_fields(lambda: quarantined_from_proto(request)) == [field]


def test_p4_a_quarantine_keeps_invalid_content() -> None:
    """Only a user id that PostgreSQL cannot store is left out of its column."""
    request = quarantine(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True)
    request.context.user_id = "user\0"

    content = quarantined_from_proto(request).content

    assert content == AttemptContent(None, request.context.SerializeToString())


@pytest.mark.parametrize("apply", [refund, dispute])
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (clearing("intent_id"), "intent_id"),
        (clearing("status"), "status"),
        (clearing("amount"), "amount"),
        (setting("amount.minor_units", 10**15 + 1), "amount.minor_units"),
        (setting("amount.currency", "EUR"), "amount.currency"),
        (clearing("created_at"), "created_at"),
        (setting("created_at.seconds", -1), "created_at"),
        (setting("created_at.seconds", 253_402_300_800), "created_at"),
        (setting("charge_id", "ch\0"), "charge_id"),
        (setting("version", -1), "version"),
        (setting("version", 2**63 - 1), "version"),
    ],
)
def test_an_invalid_refund_or_dispute_is_refused_by_field(
    apply: Callable[..., Any], change: Change, field: str
) -> None:
    """The same rules for both."""
    request = apply("pi_1")
    kind, read = ("refund", refund_from_proto) if apply is refund else ("dispute", dispute_from_proto)
    change(getattr(request, kind))

    assert violated_fields(lambda: read(request))[0] == f"{kind}.{field}"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (clearing("subscription_id"), "subscription_id"),
        (setting("subscription_id", ID.upper()), "subscription_id"),
        (clearing("expected_version"), "expected_version"),
        (setting("expected_version", 2**63 - 1), "expected_version"),
        (clearing("state"), "state"),
        (clearing("state.stripe_subscription_id"), "state.stripe_subscription_id"),
        (setting("state.status", pb.SUBSCRIPTION_STATUS_PENDING), "state.status"),
        (setting("state.latest_invoice_id", "\0"), "state.latest_invoice_id"),
        (setting("state.trial_end.seconds", 2**60), "state.trial_end"),
        (setting("state.ended_at.seconds", -1), "state.ended_at"),
        (having("items", [billed_item()] * 21), "state.items"),
        (having("items", [billed_item(quantity=-1)]), "state.items[0].quantity"),
        (having("items", [billed_item(unit_amount_minor=-1)]), "state.items[0].unit_amount_minor"),
        (having("items", [billed_item(interval_count=0)]), "state.items[0].interval_count"),
        (having("items", [billed_item(interval=99)]), "state.items[0].interval"),
        (having("items", [billed_item(currency="EUR")]), "state.items[0].currency"),
        (having("items", [billed_item(name="x" * 251)]), "state.items[0].name"),
        (having("items", [billed_item(price_id=LONG_ID)]), "state.items[0].price_id"),
        (having("discounts", [discount()] * 51), "state.discounts"),
        (having("discounts", [discount(percent_off=0)]), "state.discounts[0].percent_off"),
        (having("discounts", [discount(percent_off=math.nan)]), "state.discounts[0].percent_off"),
        (having("discounts", [discount(amount_off=money(-1))]), "state.discounts[0].amount_off.minor_units"),
        (having("discounts", [pb.Discount()]), "state.discounts[0].stripe_discount_id"),
        (having("pause_collection", pb.PauseCollection()), "state.pause_collection.behavior"),
        (clearing("invoice.stripe_invoice_id"), "invoice.stripe_invoice_id"),
        (clearing("invoice.status"), "invoice.status"),
        (clearing("invoice.total"), "invoice.total"),
        (clearing("invoice.amount_paid"), "invoice.amount_paid"),
        (setting("invoice.amount_paid.minor_units", -1), "invoice.amount_paid.minor_units"),
        (setting("invoice.amount_paid.currency", "usd"), "invoice.amount_paid.currency"),
        (clearing("invoice.created_at"), "invoice.created_at"),
        (setting("invoice.attempt_count", -1), "invoice.attempt_count"),
    ],
)
def test_an_invalid_state_is_refused_by_field(change: Change, field: str) -> None:
    """The state at Stripe, its version, and the invoice."""
    request = pb.ActivateSubscriptionRequest(
        subscription_id=ID, expected_version=1, state=stripe_state(), invoice=invoice()
    )
    change(request)

    assert field in violated_fields(lambda: snapshot_from_proto(request))


@pytest.mark.parametrize(
    ("read", "request_", "field"),
    [
        (order_id_from_proto, pb.GetOrderRequest(order_id="1"), "order_id"),
        (order_id_from_proto, pb.GetOrderRequest(order_id=ID.replace("-", "")), "order_id"),
        (attempt_id_from_proto, pb.GetPurchaseRequest(), "attempt_id"),
        (subscription_key_from_proto, pb.GetSubscriptionRequest(), "by"),
        (subscription_key_from_proto, pb.GetSubscriptionRequest(subscription_id="1"), "subscription_id"),
        (subscription_key_from_proto, pb.GetSubscriptionRequest(stripe_subscription_id=""), "stripe_subscription_id"),
        (
            begin_activation_from_proto,
            pb.BeginActivationRequest(subscription_id=ID, abandon_generation=-1),
            "abandon_generation",
        ),
        (activation_failure_from_proto, pb.FailActivationRequest(subscription_id=ID, expected_version=1), "failure"),
        (
            activation_retry_from_proto,
            pb.RetryActivationRequest(subscription_id=ID, expected_version=-1),
            "expected_version",
        ),
        (
            activation_retry_from_proto,
            pb.RetryActivationRequest(subscription_id=ID, payment_method_id="\0"),
            "payment_method_id",
        ),
        (customer_owner_from_proto, pb.GetCustomerRequest(currency="eur"), "user_id"),
        (customer_owner_from_proto, pb.GetCustomerRequest(user_id="user_1"), "currency"),
        *(
            (
                customer_assignment_from_proto,
                pb.PutCustomerRequest(
                    **{"user_id": "user_1", "currency": "eur", "stripe_customer_id": "cus_1"} | {field: value}
                ),
                field,
            )
            for field, value in (("user_id", ""), ("stripe_customer_id", ""), ("currency", "EUR"), ("replaces", "\0"))
        ),
        (refund_id_from_proto, pb.GetRefundRequest(), "stripe_refund_id"),
        (dispute_id_from_proto, pb.GetDisputeRequest(), "stripe_dispute_id"),
        (orders_page_from_proto, pb.ListOrdersRequest(), "user_id"),
        (subscriptions_page_from_proto, pb.ListSubscriptionsRequest(), "user_id"),
        (quarantine_page_from_proto, pb.ListQuarantinedPaymentsRequest(page_size=-1), "page_size"),
        (quarantine_page_from_proto, pb.ListQuarantinedPaymentsRequest(page_token="x"), "page_token"),
        *(
            (orders_page_from_proto, pb.ListOrdersRequest(user_id="user_1", page_token=token), "page_token")
            for token in (
                "x",
                encode_page_token("subscriptions", Cursor(AT, ID)),
                encode_page_token("orders", Cursor(AT, "pi_1")),
            )
        ),
    ],
)
def test_other_invalid_requests_are_refused_by_field(
    read: Callable[[Any], object], request_: object, field: str
) -> None:
    """Ids, page sizes and page tokens."""
    assert violated_fields(lambda: read(request_)) == [field]


@pytest.mark.parametrize(
    ("asked", "orders", "subscriptions", "quarantined"), [(0, 20, 20, 10), (5, 5, 5, 5), (500, 20, 25, 10)]
)
def test_page_sizes_have_a_default_and_a_maximum(asked: int, orders: int, subscriptions: int, quarantined: int) -> None:
    """0 is the default, and larger values are read as the maximum."""
    orders_request = pb.ListOrdersRequest(user_id="user_1", page_size=asked)
    subscriptions_request = pb.ListSubscriptionsRequest(user_id="user_1", page_size=asked)
    quarantine_request = pb.ListQuarantinedPaymentsRequest(page_size=asked)

    assert orders_page_from_proto(orders_request) == UserPageRequest("user_1", PageRequest(orders, None))
    assert subscriptions_page_from_proto(subscriptions_request).page.size == subscriptions
    assert quarantine_page_from_proto(quarantine_request).size == quarantined
