"""A client that repeats a request gets the same checkout, with one payable intent, or a reason why not."""

import asyncio
import uuid
from collections import Counter

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.shop import Shop
from .harness.system import System


async def test_p2_twelve_equal_requests_at_once_make_one_payable_intent(system: System, shop: Shop) -> None:
    """Twelve equal requests with one key at two gateways: one answer, one attempt, one payable intent."""
    key, before = str(uuid.uuid4()), await system.attempt_store.content_keys()

    async with system.shop(gateway=1) as second_gateway:
        replies = await asyncio.gather(
            *(door.initiate(system.cart(tote=1), idempotency_key=key) for door in [shop, second_gateway] * 6)
        )

    answers = {str(reply.ok()) for reply in replies}
    intents = await _intents_of(system, replies[0].body["checkoutAttemptId"])
    assert len(answers) == 1
    assert Counter(intents.values()) == {"requires_payment_method": 1}
    assert len(await system.attempt_store.content_keys()) == len(before) + 1


async def test_a_processing_payment_is_shown_and_protected_everywhere(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """During a slow bank debit, status and return say processing, and a repeat and a new cart are refused."""
    key = str(uuid.uuid4())
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=key)
    await control_api.pay(checkout.intent_id, payment_method="pm_usBankAccount")

    returned = await shop.complete(checkout)
    status = await shop.status(checkout.attempt_id)
    repeated = await shop.initiate(system.cart(mug=1), idempotency_key=key)
    replaced = await shop.initiate(system.cart(mug=2).superseding(checkout.attempt_id))
    await control_api.settle_debit(checkout.intent_id)
    await settled(checkout)

    assert (returned.status, returned.body["status"]) == (202, "processing")
    assert status.ok()["status"] == "processing"
    assert [repeated.problem, replaced.problem] == ["payment_processing"] * 2
    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == 1


async def test_p3_an_abandoned_intent_is_quarantined_if_it_is_paid(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Stripe created an intent and stored a 500 for it: the checkout goes on with the next key (ADR 8)."""
    await control_api.add_fault(kind="error_after", method="POST", path="/v1/payment_intents", count=1)
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=str(uuid.uuid4()))
    (abandoned,) = (await _intents_of(system, checkout.attempt_id)).keys() - {checkout.intent_id}

    await control_api.pay(abandoned)  # possible with the secret key alone
    await control_api.until_idle()
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    payments = await system.orders_db.payments_of(checkout.attempt_id)
    assert {row["intent_id"]: (row["outcome"], row["quarantine_reason"]) for row in payments} == {
        abandoned: ("quarantined", "intent_mismatch"),
        checkout.intent_id: ("purchase", None),
    }
    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == 1


async def _intents_of(system: System, attempt_id: str) -> dict[str, str]:
    """Return the status of every intent that names an attempt, by id."""
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    return {
        intent.id: str(intent.status)
        async for intent in listed.auto_paging_iter()
        if intent.metadata.to_dict().get("checkoutAttemptId") == attempt_id
    }
