from dataclasses import replace
from datetime import UTC, datetime

from payments_gateway.api.order_bodies import order_to_body
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, OrderStatus

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
