"""No client secret leaves the gateway before the attempt is stored with its intent (P2)."""

import asyncio

from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Shop
from .harness.system import System


async def test_p2_no_secret_leaves_while_the_attempt_is_not_stored(system: System, shop: Shop) -> None:
    """Initiate does not answer while SaveAttempt is held; then the stored attempt has the intent's id."""
    held = system.proxies.break_before(OutgoingCall.SAVE_ATTEMPT)
    request = asyncio.create_task(shop.checkout(system.cart(mug=1)))

    await held.hit()
    answered_early = (await asyncio.wait({request}, timeout=0.5))[0]
    held.release()
    checkout = await request

    assert not answered_early
    stored = await system.rpc.attempt(checkout.attempt_id)
    assert stored.intent.id == checkout.intent_id


async def test_p2_no_secret_leaves_when_the_attempt_cannot_be_stored(system: System, shop: Shop) -> None:
    """With Redis frozen, initiate creates the intent and answers 503 without a secret."""
    system.proxies.clear_calls()
    await system.backend.pause("valkey")
    try:
        reply = await shop.initiate(system.cart(mug=1))
    finally:
        await system.backend.resume("valkey")

    assert reply.status == 503, reply.body
    assert OutgoingCall.CREATE_INTENT in system.proxies.call_names
    assert "_secret_" not in str(reply.body)
    assert reply.headers["Retry-After"]
