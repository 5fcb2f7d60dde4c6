"""The largest page of each list fits into a gRPC message: the arithmetic, with the largest possible rows."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb
from checkout_rules.carts import context_violations
from checkout_rules.limits import (
    MAX_ADDRESS_CHARACTERS,
    MAX_ATTEMPT_ID_CHARACTERS,
    MAX_CART_LINES,
    MAX_CONTEXT_BYTES,
    MAX_ID_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_SUBSCRIPTION_DISCOUNTS,
    MAX_SUBSCRIPTION_ITEMS,
    MAX_TEXT_CHARACTERS,
)
from orders.api.paging import MAX_ORDERS, MAX_QUARANTINED_PAYMENTS, MAX_SUBSCRIPTIONS
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES

WIDE = "\U0001f600"
"""Four bytes in UTF-8, as many as a character can have."""
ID = "x" * MAX_ID_BYTES
NAME = WIDE * MAX_NAME_CHARACTERS
TEXT = WIDE * MAX_TEXT_CHARACTERS
ATTEMPT_ID = WIDE * MAX_ATTEMPT_ID_CHARACTERS
AMOUNT = 2**63 - 1
TIME = Timestamp(seconds=2**37, nanos=999_999_999)
MONEY = common_pb2.Money(minor_units=AMOUNT, currency="eur")
CONTACT = common_pb2.Contact(name=NAME, email=TEXT, phone=TEXT)
LINE = WIDE * MAX_ADDRESS_CHARACTERS
ADDRESS = common_pb2.Address(line1=LINE, line2=LINE, city=LINE, state=LINE, postal_code=LINE, country="GB")
OPTION = common_pb2.ShippingOption(shipping_rate_id=ID, name=NAME, amount=MONEY)
ITEM: dict[str, Any] = {"price_id": ID, "product_id": ID, "name": NAME, "quantity": AMOUNT, "unit_price": MONEY}
ALL_OTHER_FIELDS = 1024
"""More than the bytes of all fields that are not set here: numbers, times, enums and short texts."""


def test_the_largest_page_of_orders_fits_into_a_message() -> None:
    """Two hundred lines with the longest texts in each order."""
    order = pb.Order(
        checkout_attempt_id=ATTEMPT_ID,
        payment_intent_id=ID,
        user_id=ID,
        contact=CONTACT,
        shipping_address=ADDRESS,
        shipping_option=OPTION,
        items=[pb.OrderItem(**ITEM)] * MAX_CART_LINES,
    )

    assert MAX_ORDERS * (order.ByteSize() + ALL_OTHER_FIELDS) < DEFAULT_MAX_MESSAGE_BYTES


def test_the_largest_page_of_subscriptions_fits_into_a_message() -> None:
    """As many lines, items and discounts as are stored, with the longest texts in each subscription."""
    item = pb.BilledItem(
        stripe_item_id=ID,
        price_id=ID,
        product_id=ID,
        name=NAME,
        quantity=AMOUNT,
        unit_amount_minor=AMOUNT,
        currency="eur",
        interval_count=AMOUNT >> 32,
        current_period_end=TIME,
    )
    discount = pb.Discount(
        stripe_discount_id=ID, coupon_id=ID, name=NAME, amount_off=MONEY, ends_at=TIME, stripe_item_id=ID, duration=ID
    )
    state = pb.StripeSubscriptionState(
        stripe_subscription_id=ID,
        latest_invoice_id=ID,
        items=[item] * MAX_SUBSCRIPTION_ITEMS,
        discounts=[discount] * MAX_SUBSCRIPTION_DISCOUNTS,
        pause_collection=pb.PauseCollection(behavior=ID),
        default_payment_method_id=ID,
        collection_method=ID,
    )
    subscription = pb.Subscription(
        checkout_attempt_id=ATTEMPT_ID,
        intent=common_pb2.Intent(id=ID),
        user_id=ID,
        stripe_customer_id=ID,
        payment_method_id=ID,
        activation_failure=ID,
        stripe_subscription_id=ID,
        state=state,
        items=[pb.SubscriptionItem(**ITEM)] * MAX_SUBSCRIPTION_ITEMS,
    )

    assert MAX_SUBSCRIPTIONS * (subscription.ByteSize() + ALL_OTHER_FIELDS) < DEFAULT_MAX_MESSAGE_BYTES


def test_the_largest_page_of_quarantined_payments_fits_into_a_message() -> None:
    """Content of the largest size in each payment."""
    payment = pb.Payment(intent=common_pb2.Intent(id=ID), attempt_id=ATTEMPT_ID, received=MONEY, payment_method_id=ID)
    quarantined = pb.QuarantinedPayment(payment=payment, report=pb.PaymentReport(stripe_event_id=ID))
    row = quarantined.ByteSize() + MAX_CONTEXT_BYTES + ALL_OTHER_FIELDS

    assert MAX_QUARANTINED_PAYMENTS * row < DEFAULT_MAX_MESSAGE_BYTES


def test_p4_every_valid_content_is_small_enough_for_the_quarantine() -> None:
    """The largest cart with the longest texts; no other one is larger."""
    items = [
        common_pb2.LineItem(**ITEM | {"price_id": str(number).rjust(MAX_ID_BYTES, "x"), "quantity": 1})
        for number in range(MAX_CART_LINES)
    ]
    context = common_pb2.CheckoutContext(
        user_id=ID,
        contact=CONTACT,
        shipping_address=ADDRESS,
        shipping_option=OPTION,
        items=items,
        total=MONEY,
        stripe_customer_id=ID,
    )

    violations = [violation.field for violation in context_violations(context, common_pb2.Intent.KIND_PAYMENT)]

    # The sum of the largest amounts overflows; a valid cart has smaller ones, and no customer without subscriptions.
    assert violations == ["stripe_customer_id", "total.minor_units"]
    assert context.ByteSize() + ALL_OTHER_FIELDS < MAX_CONTEXT_BYTES
