"""What a request about subscriptions must be: each rule has a request that breaks it alone."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from orders.api.purchases import read_paid_attempt
from orders.api.subscriptions import (
    read_begin,
    read_customer_owner,
    read_refusal,
    read_sighting,
    read_subscription_key,
    read_subscriptions_page,
)
from orders.domain.pagination import Cursor, PageRequest, write_page_token

from .reports import line
from .subscription_reports import YEAR, cart, invoice, recurring_line, shown
from .test_pages import AT
from .test_requests import fields_refused

Purchase = pb.RecordPurchaseRequest
Activate = pb.ActivateSubscriptionRequest
ID = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"
DAY = common_pb2.Recurring.INTERVAL_DAY
WEEK = common_pb2.Recurring.INTERVAL_WEEK


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda r: r.context.ClearField("stripe_customer_id"), "context.stripe_customer_id"),
        (lambda r: r.payment.ClearField("payment_method_id"), "payment.payment_method_id"),
        (lambda r: r.payment.received.CopyFrom(r.context.total), "payment.received"),
    ],
)
def test_a_spoiled_subscription_is_refused_by_field(spoil: Callable[[Purchase], object], field: str) -> None:
    """A violation names the field by its path. checkout_rules tests the rules of the cart."""
    report = cart(recurring_line(1))
    spoil(report)

    assert fields_refused(lambda: read_paid_attempt(report)) == [field]


def test_recurring_lines_are_not_in_the_total() -> None:
    """In a mixed cart the intent takes the one-time lines and the shipping alone (P5)."""
    paid = read_paid_attempt(cart(line(1), recurring_line(2), recurring_line(3, interval=YEAR)))

    assert paid.context.total.minor_units == 2500 + 490 == paid.context.items_minor + paid.context.shipping_minor


def sighting() -> Activate:
    """Return what was seen at Stripe, with every field set."""
    return Activate(subscription_id=ID, expected_version=1, state=shown(), invoice=invoice())


SIGHTINGS: list[tuple[str, Callable[[Activate], object], str]] = [
    ("no id", lambda r: r.ClearField("subscription_id"), "subscription_id"),
    ("an upper-case id", lambda r: setattr(r, "subscription_id", ID.upper()), "subscription_id"),
    ("no version", lambda r: r.ClearField("expected_version"), "expected_version"),
    ("the last version", lambda r: setattr(r, "expected_version", 2**63 - 1), "expected_version"),
    ("no state", lambda r: r.ClearField("state"), "state"),
    ("no Stripe id", lambda r: r.state.ClearField("stripe_subscription_id"), "state.stripe_subscription_id"),
    ("no status", lambda r: r.state.ClearField("status"), "state.status"),
    ("a status of ours", lambda r: setattr(r.state, "status", pb.SUBSCRIPTION_STATUS_PENDING), "state.status"),
    ("a NUL", lambda r: setattr(r.state, "latest_invoice_id", "\0"), "state.latest_invoice_id"),
    ("a year 10000", lambda r: r.state.trial_end.MergeFrom(Timestamp(seconds=2**60)), "state.trial_end"),
    ("a moment before 1970", lambda r: r.state.ended_at.MergeFrom(Timestamp(seconds=-1)), "state.ended_at"),
    ("no invoice id", lambda r: r.invoice.ClearField("stripe_invoice_id"), "invoice.stripe_invoice_id"),
    ("no invoice status", lambda r: r.invoice.ClearField("status"), "invoice.status"),
    ("no total", lambda r: r.invoice.ClearField("total"), "invoice.total"),
    ("no sum paid", lambda r: r.invoice.ClearField("amount_paid"), "invoice.amount_paid"),
    (
        "less than nothing paid",
        lambda r: setattr(r.invoice.amount_paid, "minor_units", -1),
        "invoice.amount_paid.minor_units",
    ),
    ("paid otherwise", lambda r: setattr(r.invoice.amount_paid, "currency", "usd"), "invoice.amount_paid.currency"),
    ("no date", lambda r: r.invoice.ClearField("created_at"), "invoice.created_at"),
    ("fewer than no tries", lambda r: setattr(r.invoice, "attempt_count", -1), "invoice.attempt_count"),
]


@pytest.mark.parametrize(
    ("spoil", "field"), [(case[1], case[2]) for case in SIGHTINGS], ids=[case[0] for case in SIGHTINGS]
)
def test_a_spoiled_sighting_is_refused_by_field(spoil: Callable[[Activate], object], field: str) -> None:
    """Each violation names the field by its path."""
    request = sighting()
    spoil(request)

    assert fields_refused(lambda: read_sighting(request)) == [field]


def test_a_valid_sighting_is_read() -> None:
    """The request that every other test here spoils has no fault."""
    _, seen = read_sighting(sighting())

    assert seen.expected_version == 1
    assert seen.state.current_period_end == datetime(2026, 5, 28, tzinfo=UTC)
    assert seen.invoice is not None


REFUSED: list[tuple[str, Callable[[], object], str]] = [
    ("which subscription", lambda: read_subscription_key(pb.GetSubscriptionRequest()), "by"),
    (
        "an id that is none",
        lambda: read_subscription_key(pb.GetSubscriptionRequest(subscription_id="1")),
        "subscription_id",
    ),
    (
        "an empty Stripe id",
        lambda: read_subscription_key(pb.GetSubscriptionRequest(stripe_subscription_id="")),
        "stripe_subscription_id",
    ),
    (
        "a generation below 0",
        lambda: read_begin(pb.BeginActivationRequest(subscription_id=ID, abandon_generation=-1)),
        "abandon_generation",
    ),
    (
        "a failure without a word",
        lambda: read_refusal(pb.FailActivationRequest(subscription_id=ID, expected_version=1)),
        "failure",
    ),
    ("whose customer", lambda: read_customer_owner(pb.GetCustomerRequest()), "user_id"),
    ("whose subscriptions", lambda: read_subscriptions_page(pb.ListSubscriptionsRequest()), "user_id"),
    (
        "a page of orders",
        lambda: read_subscriptions_page(
            pb.ListSubscriptionsRequest(user_id="user_1", page_token=write_page_token("orders", Cursor(AT, ID)))
        ),
        "page_token",
    ),
    (
        "101 rows",
        lambda: read_subscriptions_page(pb.ListSubscriptionsRequest(user_id="user_1", page_size=101)),
        "page_size",
    ),
]


@pytest.mark.parametrize(("read", "field"), [(case[1], case[2]) for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_says_too_little_is_refused(read: Callable[[], object], field: str) -> None:
    """By field."""
    assert fields_refused(read) == [field]


def test_a_page_of_subscriptions_has_20_rows_unless_asked_otherwise() -> None:
    """Like one of orders."""
    assert read_subscriptions_page(pb.ListSubscriptionsRequest(user_id="user_1")).page == PageRequest(20, None)
