"""What is taken back of a payment shows on its order, whichever Stripe tells first."""

from .conftest import Waiter, until
from .harness.knobs import Knobs
from .harness.shop import Checkout, Shop
from .harness.system import System

SUCCEEDED = "payment_intent.succeeded"
FOREIGN_METADATA = {"order": "of another shop"}


async def bought(system: System, shop: Shop, settled: Waiter) -> Checkout:
    """Buy something, and wait until its order is recorded."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    return checkout


async def refund(system: System, checkout: Checkout, amount: int) -> str:
    """Refund a part of a payment; return the refund's id."""
    created = await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id, "amount": amount})
    return created.id


async def taken_back(shop: Shop, checkout: Checkout) -> tuple[int | None, int | None]:
    """Return what the order of a checkout shows as refunded and as disputed."""
    order = (await shop.status(checkout.attempt_id)).ok()["purchase"]["order"]
    return order["refundedAmount"], order["disputedAmount"]


async def test_partial_refunds_add_up_and_a_failed_one_is_taken_out(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Reported by several events each, at the same moment, to both gateways."""
    checkout = await bought(system, shop, settled)
    before = await taken_back(shop, checkout)
    await refund(system, checkout, 100)
    sent_back = await refund(system, checkout, 30)
    await knobs.idle()
    both = await taken_back(shop, checkout)

    await knobs.finish_refund(sent_back, "failed")

    await knobs.idle()
    assert (before, both) == ((None, None), (130, None))
    assert await taken_back(shop, checkout) == (100, None)


async def test_a_dispute_that_is_won_is_taken_out_again(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """While it is open it counts."""
    checkout = await bought(system, shop, settled)
    dispute_id = await knobs.dispute(checkout.intent_id, amount=70)
    await knobs.idle()
    while_open = await taken_back(shop, checkout)

    await knobs.move_dispute(dispute_id, "won")

    await knobs.idle()
    assert (while_open, await taken_back(shop, checkout)) == ((None, 70), (None, None))


async def test_an_inquiry_takes_nothing_back_until_it_becomes_a_dispute(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Then it counts, and stays when it is lost."""
    checkout = await bought(system, shop, settled)
    dispute_id = await knobs.dispute(checkout.intent_id, amount=70, status="warning_needs_response")
    await knobs.idle()
    asked = await taken_back(shop, checkout)
    await knobs.move_dispute(dispute_id, "needs_response")
    await knobs.move_dispute(dispute_id, "lost")

    await knobs.idle()

    assert (asked, await taken_back(shop, checkout)) == ((None, None), (None, 70))


async def test_what_was_refunded_before_the_order_was_recorded_shows_on_it(
    system: System, members_shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """From the first time that its owner sees it."""
    await knobs.deliver(types=[SUCCEEDED], hold=True)
    checkout = await members_shop.checkout(system.cart(mug=1))
    (await members_shop.pay(checkout)).ok()
    await refund(system, checkout, 100)
    await knobs.dispute(checkout.intent_id, amount=70)
    await knobs.idle()
    unrecorded = await system.books.payment(checkout.intent_id)

    await knobs.release_deliveries()
    await settled(checkout)

    listed = (await members_shop.orders(limit="1")).ok()["orders"][0]
    read = (await members_shop.order(listed["id"])).ok()
    assert unrecorded is None
    assert await taken_back(members_shop, checkout) == (100, 70)
    assert (listed["refundedAmount"], listed["disputedAmount"]) == (100, 70)
    assert (read["refundedAmount"], read["disputedAmount"]) == (100, 70)


async def test_a_slow_look_at_an_old_state_does_not_replace_a_newer_one(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Stripe's answer to the first delivery is late; meanwhile the refund failed and that was written."""
    checkout = await bought(system, shop, settled)
    fault = await knobs.fault(kind="latency_after", method="GET", path="/v1/refunds/*", seconds=1.5, count=1)
    refund_id = await refund(system, checkout, 100)

    async def looked_at() -> bool:
        return await knobs.hits(fault) > 0

    await until(looked_at, "a look at the refund")

    await knobs.finish_refund(refund_id, "failed")

    await knobs.idle()
    assert await taken_back(shop, checkout) == (None, None)


async def test_refunds_of_foreign_intents_are_left_alone(system: System, knobs: Knobs) -> None:
    """Other software on the same account: acknowledged, and nothing is kept."""
    intent = await system.stripe.v1.payment_intents.create_async(
        {"amount": 2000, "currency": "usd", "metadata": FOREIGN_METADATA}
    )
    await knobs.pay(intent.id)
    refunded = await system.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    await knobs.dispute(intent.id)

    await knobs.idle()

    deliveries = await knobs.deliveries(object_id=refunded.id)
    kept = [*await system.books.refunds_of(intent.id), *await system.books.disputes_of(intent.id)]
    assert {delivery["state"] for delivery in deliveries} == {"delivered"}
    assert kept == []
