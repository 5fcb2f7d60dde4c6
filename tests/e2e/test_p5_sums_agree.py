import pytest

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System


@pytest.mark.parametrize("cents", [-1, 1])
async def test_p5_one_cent_off_is_quarantined_with_its_content(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter, cents: int
) -> None:
    """Stripe received a cent more or less than the attempt says: no order, one quarantined payment, content kept."""
    checkout = await shop.checkout(system.cart(mug=1, tote=2))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + cents})

    (await shop.pay(checkout)).ok()
    await settled(checkout)
    await knobs.idle()

    (payment,) = await system.books.payments_of(checkout.attempt_id)
    assert (payment["outcome"], payment["quarantine_reason"]) == ("quarantined", "amount_mismatch")
    assert payment["amount_minor"] == checkout.amount + cents
    content = await system.records.content_set_aside(checkout.intent_id)
    assert content is not None
    assert "Harbour Street" in content.shipping_address.line1
    assert await system.books.orders_of(checkout.attempt_id) == []
    assert (await shop.status(checkout.attempt_id)).ok() == {"status": "needs_review", "purchase": None}


async def test_p5_items_and_shipping_come_to_what_stripe_received(system: System, shop: Shop, settled: Waiter) -> None:
    """The order's total, the sum of its lines and shipping, and amount_received are one number."""
    checkout = await shop.checkout(system.cart(mug=3, notebook=7, poster=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    (order,) = await system.books.orders_of(checkout.attempt_id)
    items = await system.books.items_of(checkout.attempt_id)
    lines = sum(item["quantity"] * item["unit_amount_minor"] for item in items)
    assert (
        order["total_minor"] == lines + order["shipping_minor"] == intent.amount_received == 3 * 1800 + 7 * 950 + 4150
    )
