from dataclasses import replace
from datetime import UTC, datetime

import pytest

from payments_gateway.api.order_bodies import decision_to_body, order_to_body
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    Order,
    OrderStatus,
    PaymentDecision,
    Purchase,
    QuarantinedPayment,
    QuarantineReason,
)

from ..samples import ADA, ATTEMPT_ID

ORDER = Order(
    id="00000000-0000-4000-8000-000000000001",
    number="H-0001",
    checkout_attempt_id=ATTEMPT_ID,
    user_id="user_ada",
    status=OrderStatus.PAID,
    total=Money(2000, "usd"),
    contact=ADA,
    shipping_address=None,
    shipping_option=None,
    items=(),
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
)


def test_an_order_shows_refunded_and_disputed_amounts() -> None:
    """They are in minor units, and null if there are none."""
    untouched = order_to_body(ORDER)
    returned = order_to_body(replace(ORDER, refunded=Money(500, "usd"), disputed=Money(700, "usd")))

    assert (untouched.refunded_amount, untouched.disputed_amount) == (None, None)
    assert (returned.refunded_amount, returned.disputed_amount) == (500, 700)


def test_an_order_shows_the_difference_from_its_cart() -> None:
    """Negative if less was paid; null without one."""
    body = order_to_body(replace(ORDER, adjustment=Money(-490, "usd")))

    assert (body.adjustment_amount, order_to_body(ORDER).adjustment_amount) == (-490, None)


@pytest.mark.parametrize("status", OrderStatus)
def test_every_status_of_an_order_is_shown(status: OrderStatus) -> None:
    """The OpenAPI document lists each, also the one that stands for those of a newer version."""
    body = order_to_body(replace(ORDER, status=status))

    assert body.status == status.value


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (None, "processing"),
        (QuarantinedPayment(QuarantineReason.AMOUNT_MISMATCH, content_kept=True), "needs_review"),
        (Purchase("pi_1", ORDER), "completed"),
    ],
)
def test_a_decision_is_shown_by_its_outcome(decision: PaymentDecision | None, status: str) -> None:
    """A quarantined payment is neither failed nor an order; a payment without decision is processing."""
    body = decision_to_body(decision, None)

    assert (body.status, body.order is not None) == (status, status == "completed")
