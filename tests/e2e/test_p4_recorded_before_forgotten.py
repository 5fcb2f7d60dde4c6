import asyncio

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System

RECORD = "/checkout.orders.v1.OrdersService/RecordPurchase"
QUARANTINE = "/checkout.orders.v1.OrdersService/QuarantinePayment"
CANCEL = "POST /v1/payment_intents/{id}/cancel"


async def test_p4_the_content_stays_until_the_purchase_is_committed(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """While RecordPurchase is not answered the attempt is still whole; once it is, the attempt is gone."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    trap = system.faults.orders.checkpoint.hold_next(RECORD)

    returning = asyncio.create_task(shop.come_back(checkout))
    await trap.sprung()
    kept_meanwhile = await system.attempts.has_content(checkout.attempt_id)
    trap.release()
    (await returning).ok()

    assert kept_meanwhile
    assert not await system.attempts.has_content(checkout.attempt_id)
    assert await system.attempts.is_closed(checkout.attempt_id)
    assert await system.attempts.due_at(checkout.attempt_id) is None


async def test_p4_the_content_stays_when_the_purchase_cannot_be_committed(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """With the database frozen completion fails and the attempt stays whole; afterwards the retry completes it."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()

    await system.backend.pause("postgres")
    try:
        refused = await shop.come_back(checkout)
        kept = await system.attempts.has_content(checkout.attempt_id)
    finally:
        await system.backend.resume("postgres")
    completed = await shop.come_back(checkout)

    assert refused.status == 503
    assert kept
    assert completed.ok()["status"] == "completed"


async def test_p4_quarantined_content_is_stored_before_the_attempt_goes(
    system: System, shop: Shop, knobs: Knobs
) -> None:
    """While the quarantine of a wrong sum is unanswered the attempt is whole; then its content is with the payment."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    checkout = await shop.checkout(system.cart(mug=1))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
    (await shop.pay(checkout)).ok()
    trap = system.faults.orders.checkpoint.hold_next(QUARANTINE)

    returning = asyncio.create_task(shop.come_back(checkout))
    await trap.sprung()
    kept_meanwhile = await system.attempts.has_content(checkout.attempt_id)
    trap.release()
    (await returning).ok()

    content = await system.records.content_set_aside(checkout.intent_id)
    assert kept_meanwhile
    assert content is not None
    assert content.contact.email == "ada@example.com"
    assert not await system.attempts.has_content(checkout.attempt_id)


async def test_p4_after_a_foreign_payment_the_attempt_still_waits_for_its_own(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """A paid intent that only names the attempt is set aside; the attempt stays, and its own payment is the order."""
    checkout = await shop.checkout(system.cart(mug=1))
    stranger = await system.stripe.v1.payment_intents.create_async(
        {"amount": checkout.amount, "currency": "usd", "metadata": {"checkoutAttemptId": checkout.attempt_id}}
    )
    await knobs.pay(stranger.id)
    await knobs.idle()
    kept = await system.attempts.has_content(checkout.attempt_id)

    (await shop.pay(checkout)).ok()
    await settled(checkout)

    payments = {row["intent_id"]: row for row in await system.books.payments_of(checkout.attempt_id)}
    assert kept
    assert payments[stranger.id]["quarantine_reason"] == "intent_mismatch"
    assert payments[checkout.intent_id]["outcome"] == "purchase"


async def test_p4_a_superseded_attempt_is_closed_before_its_intent_is_cancelled(system: System, shop: Shop) -> None:
    """When the cancel is on its way the old attempt takes no more saves and is whole; once cancelled it is gone."""
    old = await shop.checkout(system.cart(mug=1))
    trap = system.faults.stripe_api.checkpoint.hold_next(CANCEL)

    replacing = asyncio.create_task(shop.checkout(system.cart(mug=2).superseding(old.attempt_id)))
    await trap.sprung()
    closed, kept = await system.attempts.is_closed(old.attempt_id), await system.attempts.has_content(old.attempt_id)
    trap.release()
    new = await replacing

    intent = await system.stripe.v1.payment_intents.retrieve_async(old.intent_id)
    assert (closed, kept) == (True, True)
    assert intent.status == "canceled"
    assert not await system.attempts.has_content(old.attempt_id)
    assert await system.attempts.has_content(new.attempt_id)
