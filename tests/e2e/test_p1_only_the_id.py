"""An intent carries the attempt's id and nothing else (P1)."""

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.products import Plans, plan_cart
from .harness.shop import Shop
from .harness.system import System


@pytest.mark.parametrize("call", [OutgoingCall.CREATE_INTENT, OutgoingCall.CREATE_SETUP])
async def test_p1_an_intent_carries_exactly_the_attempt_id(
    system: System, plans: Plans, members_shop: Shop, control_api: ControlApi, settled: Waiter, call: OutgoingCall
) -> None:
    """Stripe is sent, and holds after the payment, `metadata: {checkoutAttemptId}`."""
    mark = await control_api.request_count()
    method, _, path = call.partition(" ")
    cart = system.cart(mug=2, tote=1) if call is OutgoingCall.CREATE_INTENT else plan_cart(plans, tea=1)

    checkout = await members_shop.checkout(cart)
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)

    (sent,) = await control_api.requests(method, path, after=mark)
    intents = system.stripe.v1.setup_intents if checkout.sets_up else system.stripe.v1.payment_intents
    held = await intents.retrieve_async(checkout.intent_id)
    assert sent["params"]["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert held.to_dict()["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
