from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System


async def test_p1_an_intent_carries_exactly_the_attempt_id(
    system: System, members_shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """What Stripe was sent and what it holds is `metadata: {checkoutAttemptId}`, before and after the payment."""
    mark = await knobs.requests_so_far()

    checkout = await members_shop.checkout(system.cart(mug=2, tote=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)

    (sent,) = await knobs.requests("POST", "/v1/payment_intents", after=mark)
    held = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    assert sent["params"]["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert held.to_dict()["metadata"] == {"checkoutAttemptId": checkout.attempt_id}


async def test_p1_nothing_the_buyer_typed_reaches_stripe_with_the_intent(
    system: System, members_shop: Shop, knobs: Knobs
) -> None:
    """Of name, e-mail, phone, address and user id, nothing is in any request that initiate sends to Stripe."""
    system.faults.forget_calls()

    await members_shop.checkout(system.cart(poster=1))

    sent = b" ".join(call.body for call in system.faults.stripe_api.checkpoint.calls)
    assert b"checkoutAttemptId" in sent
    for typed in (b"Ada", b"ada%40", b"ada@", b"5550100", b"Harbour", b"97201", b"user-1"):
        assert typed not in sent
