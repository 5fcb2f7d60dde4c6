"""An attempt's content is deleted only after its payment is recorded or its intent cancelled (P4)."""

import asyncio

from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Shop
from .harness.system import System

SUCCEEDED = "payment_intent.succeeded"


async def test_p4_the_content_stays_until_the_purchase_is_committed(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """The attempt is whole while RecordPurchase is held, and deleted afterwards."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], drop=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    held = system.proxies.break_before(OutgoingCall.RECORD_PURCHASE)

    returning = asyncio.create_task(shop.complete(checkout))
    await held.hit()
    kept_meanwhile = await system.attempt_store.has_content(checkout.attempt_id)
    held.release()
    (await returning).ok()

    assert kept_meanwhile
    assert not await system.attempt_store.has_content(checkout.attempt_id)
    assert await system.attempt_store.is_closed(checkout.attempt_id)
    assert await system.attempt_store.due_at(checkout.attempt_id) is None


async def test_p4_quarantined_content_is_stored_before_the_attempt_goes(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """The attempt is whole while the quarantine of a wrong sum is held; then its content is with the payment."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], drop=True)
    checkout = await shop.checkout(system.cart(mug=1))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
    (await shop.pay(checkout)).ok()
    held = system.proxies.break_before(OutgoingCall.QUARANTINE_PAYMENT)

    returning = asyncio.create_task(shop.complete(checkout))
    await held.hit()
    kept_meanwhile = await system.attempt_store.has_content(checkout.attempt_id)
    held.release()
    (await returning).ok()

    content = await system.rpc.quarantined_content(checkout.intent_id)
    assert kept_meanwhile
    assert content is not None
    assert content.contact.email == "ada@example.com"
    assert not await system.attempt_store.has_content(checkout.attempt_id)


async def test_p4_a_superseded_attempt_is_closed_before_its_intent_is_cancelled(system: System, shop: Shop) -> None:
    """While the cancel is held the old attempt is closed and whole; once the intent is cancelled it is deleted."""
    old = await shop.checkout(system.cart(mug=1))
    held = system.proxies.break_before(OutgoingCall.CANCEL_INTENT)

    replacing = asyncio.create_task(shop.checkout(system.cart(mug=2).superseding(old.attempt_id)))
    await held.hit()
    closed = await system.attempt_store.is_closed(old.attempt_id)
    kept = await system.attempt_store.has_content(old.attempt_id)
    held.release()
    new = await replacing

    intent = await system.stripe.v1.payment_intents.retrieve_async(old.intent_id)
    assert (closed, kept) == (True, True)
    assert intent.status == "canceled"
    assert not await system.attempt_store.has_content(old.attempt_id)
    assert await system.attempt_store.has_content(new.attempt_id)
