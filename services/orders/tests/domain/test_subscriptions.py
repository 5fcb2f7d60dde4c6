from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from orders.domain.checkout import BillingInterval, CheckoutContext, Contact, LineItem, Money, Recurring
from orders.domain.orders import Order
from orders.domain.payments import Intent, IntentKind, Payment
from orders.domain.refunds import RefundSums
from orders.domain.subscriptions import SubscriptionStatus, subscriptions_from_payment

AT = datetime(2026, 5, 4, tzinfo=UTC)
PAYMENT = Payment(
    Intent("pi_1", IntentKind.PAYMENT),
    "attempt-1",
    Money(0, "eur"),
    livemode=False,
    intent_created_at=AT,
    payment_method_id="pm",
)
MONTH, QUARTER, YEAR = (
    Recurring(BillingInterval.MONTH, 1, 14),
    Recurring(BillingInterval.MONTH, 3, 0),
    Recurring(BillingInterval.YEAR, 1, 0),
)


def context(*recurring: Recurring | None) -> CheckoutContext:
    """Return a cart with one line for each argument; None is a one-time line."""
    items = tuple(
        LineItem(f"price_{number}", "prod", "Mug", 1, Money(500, "eur"), each) for number, each in enumerate(recurring)
    )
    return CheckoutContext(
        "user_1", Contact("Ada", "ada@shop.example", None), None, None, items, Money(0, "eur"), "cus_1"
    )


@pytest.mark.parametrize(
    ("lines", "subscriptions"),
    [
        ([None], {}),
        ([MONTH], {MONTH: ["price_0"]}),
        ([MONTH, MONTH], {MONTH: ["price_0", "price_1"]}),
        ([YEAR, MONTH], {YEAR: ["price_0"], MONTH: ["price_1"]}),
        ([QUARTER, MONTH], {QUARTER: ["price_0"], MONTH: ["price_1"]}),
        ([None, MONTH, None, YEAR, MONTH], {MONTH: ["price_1", "price_4"], YEAR: ["price_3"]}),
    ],
)
def test_p3_recurring_lines_become_one_subscription_for_each_billing_interval(
    lines: list[Recurring | None], subscriptions: dict[Recurring, list[str]]
) -> None:
    """In the order of the cart; the one-time lines become the order."""
    cart = context(*lines)

    built = subscriptions_from_payment(PAYMENT, cart, at=AT)
    order = Order.from_payment(PAYMENT, cart, RefundSums({}, {}), order_id=uuid4(), number="1", at=AT)

    assert [(each.recurring, [item.price_id for item in each.items]) for each in built] == list(subscriptions.items())
    assert {each.status for each in built} <= {SubscriptionStatus.PENDING}
    assert len(order.items) == lines.count(None)


def test_a_purchase_that_is_recorded_again_gets_the_same_subscriptions() -> None:
    """After a restore of the database: each is created at Stripe under the key that it had before."""
    cart = context(MONTH, YEAR)

    first, again = [subscriptions_from_payment(PAYMENT, cart, at=AT + timedelta(hours=hours)) for hours in (0, 1)]
    other = subscriptions_from_payment(replace(PAYMENT, attempt_id="attempt-2"), cart, at=AT)

    assert [each.id for each in again] == [each.id for each in first]
    assert len({each.id for each in first + other}) == 4


@pytest.mark.parametrize(("hours", "began_at"), [(12, None), (14, AT)])
def test_a_purchase_that_is_recorded_late_may_have_begun_its_activation(hours: int, began_at: datetime | None) -> None:
    """Stripe may have forgotten the key by then, so the subscription is searched before another one is created."""
    (built,) = subscriptions_from_payment(PAYMENT, context(MONTH), at=AT + timedelta(hours=hours))

    assert built.activation.began_at == began_at
