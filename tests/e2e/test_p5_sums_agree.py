"""An order's total is the amount that Stripe received, or the payment is quarantined (P5)."""

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.shop import Shop
from .harness.system import System


@pytest.mark.parametrize("cents", [-1, 1])
async def test_p5_one_cent_off_is_quarantined_with_its_content(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, cents: int
) -> None:
    """Stripe received a cent more or less than the attempt says: no order, one quarantined payment, content kept."""
    checkout = await shop.checkout(system.cart(mug=1, tote=2))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + cents})

    (await shop.pay(checkout)).ok()
    await settled(checkout)
    await control_api.until_idle()

    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    content = await system.rpc.quarantined_content(checkout.intent_id)
    assert (payment["outcome"], payment["quarantine_reason"]) == ("quarantined", "amount_mismatch")
    assert payment["amount_minor"] == checkout.amount + cents
    assert content is not None
    assert "Harbour Street" in content.shipping_address.line1
    assert await system.orders_db.orders_of(checkout.attempt_id) == []
    assert (await shop.status(checkout.attempt_id)).ok() == {"status": "needs_review", "purchase": None}
