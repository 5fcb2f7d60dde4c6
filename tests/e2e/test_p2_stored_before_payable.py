import asyncio

from .harness.shop import Shop
from .harness.system import System

SAVE = "/checkout.session.v1.CheckoutSessionService/SaveAttempt"
CREATE = "POST /v1/payment_intents"


async def test_p2_no_secret_leaves_while_the_attempt_is_not_stored(system: System, shop: Shop) -> None:
    """As long as SaveAttempt is on its way, initiate has not answered; then the stored attempt names the intent."""
    trap = system.faults.checkout_session.checkpoint.hold_next(SAVE)
    asking = asyncio.create_task(shop.checkout(system.cart(mug=1)))

    await trap.sprung()
    answered_early = (await asyncio.wait({asking}, timeout=0.5))[0]
    trap.release()
    checkout = await asking

    assert not answered_early
    stored = await system.records.attempt(checkout.attempt_id)
    assert stored.intent.id == checkout.intent_id


async def test_p2_no_secret_leaves_when_the_attempt_cannot_be_stored(system: System, shop: Shop) -> None:
    """With the attempt's store away, initiate answers 503 without a secret, though the intent was made."""
    system.faults.forget_calls()
    await system.backend.pause("valkey")
    try:
        reply = await shop.initiate(system.cart(mug=1))
    finally:
        await system.backend.resume("valkey")

    assert reply.status == 503, reply.body
    assert CREATE in system.faults.roads
    assert "_secret_" not in str(reply.body)
    assert reply.headers["Retry-After"]
