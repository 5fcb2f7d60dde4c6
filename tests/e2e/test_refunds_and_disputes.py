"""Refunds and disputes show on the order, whichever event arrives first and however many there are."""

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.shop import Checkout, Shop
from .harness.system import System


async def test_refunds_and_disputes_of_an_order_follow_stripe(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Refunds add up and a failed one is taken out; a dispute counts until it is won. Both gateways get every event."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    shown = [await _taken_back(shop, checkout)]

    await _refund(system, checkout, 100)
    failing = await _refund(system, checkout, 30)
    dispute_id = await control_api.open_dispute(checkout.intent_id, amount=70)
    await control_api.until_idle()
    shown.append(await _taken_back(shop, checkout))
    await control_api.finish_refund(failing, "failed")
    await control_api.move_dispute(dispute_id, "won")
    await control_api.until_idle()
    shown.append(await _taken_back(shop, checkout))

    assert shown == [(None, None), (130, 70), (100, None)]


async def test_a_refund_before_the_order_shows_on_it(
    system: System, members_shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """A refund and a dispute that Stripe reports before the payment are on the order when it is recorded."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True)
    checkout = await members_shop.checkout(system.cart(mug=1))
    (await members_shop.pay(checkout)).ok()
    await _refund(system, checkout, 100)
    await control_api.open_dispute(checkout.intent_id, amount=70)
    await control_api.until_idle()
    unrecorded = await system.orders_db.payment(checkout.intent_id)

    await control_api.release_deliveries()
    await settled(checkout)

    listed = (await members_shop.orders(limit="1")).ok()["orders"][0]
    read = (await members_shop.order(listed["id"])).ok()
    assert unrecorded is None
    assert await _taken_back(members_shop, checkout) == (100, 70)
    assert (listed["refundedAmount"], listed["disputedAmount"]) == (100, 70)
    assert (read["refundedAmount"], read["disputedAmount"]) == (100, 70)


async def _refund(system: System, checkout: Checkout, amount: int) -> str:
    created = await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id, "amount": amount})
    return created.id


async def _taken_back(shop: Shop, checkout: Checkout) -> tuple[int | None, int | None]:
    """Return the refunded and the disputed amount that the order shows."""
    order = (await shop.status(checkout.attempt_id)).ok()["purchase"]["order"]
    return order["refundedAmount"], order["disputedAmount"]
