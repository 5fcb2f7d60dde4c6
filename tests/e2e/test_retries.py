"""A client that asks again: the same answer, one payable intent, or a clear reason why not."""

import asyncio
import uuid
from collections import Counter

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.shop import Cart, Line, Shop
from .harness.system import System


def key() -> str:
    """Return a random UUID, as a frontend makes one for each checkout."""
    return str(uuid.uuid4())


async def test_the_same_key_gets_the_same_answer(system: System, shop: Shop) -> None:
    """A retry of a granted checkout is answered the same id and the same secret."""
    checkout_key = key()

    first = await shop.initiate(system.cart(mug=1), idempotency_key=checkout_key)
    second = await shop.initiate(system.cart(mug=1), idempotency_key=checkout_key)

    assert first.ok() == second.ok()


async def test_twelve_at_the_same_moment_make_one_payable_intent(system: System, shop: Shop) -> None:
    """Twelve equal requests with one key, over two gateways at once: one answer, one attempt, one payable intent."""
    checkout_key, before = key(), await system.attempts.content_keys()

    async with system.shop(gateway=1) as other_door:
        replies = await asyncio.gather(
            *(door.initiate(system.cart(tote=1), idempotency_key=checkout_key) for door in [shop, other_door] * 6)
        )

    answers = {str(reply.ok()) for reply in replies}
    attempt_id = replies[0].body["checkoutAttemptId"]
    intents = await _intents_of(system, attempt_id)
    assert len(answers) == 1
    assert Counter(intents.values()) == {"requires_payment_method": 1}
    assert len(await system.attempts.content_keys()) == len(before) + 1


async def test_other_content_with_the_same_key_is_refused(system: System, shop: Shop) -> None:
    """Another cart with a used key is 409, and the first checkout is untouched and payable."""
    checkout_key = key()
    first = await shop.checkout(system.cart(mug=1), idempotency_key=checkout_key)

    reply = await shop.initiate(system.cart(mug=2), idempotency_key=checkout_key)

    assert (reply.status, reply.problem) == (409, "idempotency_key_reused")
    assert await _intents_of(system, first.attempt_id) == {first.intent_id: "requires_payment_method"}


async def test_other_content_of_the_same_sum_at_once_leaves_the_winner_payable(system: System, shop: Shop) -> None:
    """One key and one sum but other contacts, at once: one request is granted and stays payable, the other is 409."""
    checkout_key, cart = key(), system.cart(mug=1)
    other = Cart(
        cart.lines, contact={"name": "Bob", "email": "bob@example.com"}, shipping_option_id=cart.shipping_option_id
    )
    trap = system.faults.checkout_session.checkpoint.hold_next(
        "/checkout.session.v1.CheckoutSessionService/SaveAttempt"
    )

    slow = asyncio.create_task(shop.initiate(other, idempotency_key=checkout_key))
    await trap.sprung()
    quick = await shop.checkout(cart, idempotency_key=checkout_key)
    trap.release()
    refused = await slow

    assert refused.status == 409
    assert await _intents_of(system, quick.attempt_id) == {quick.intent_id: "requires_payment_method"}


async def test_a_paid_checkout_is_not_begun_again(system: System, shop: Shop, settled: Waiter) -> None:
    """After the purchase the key is answered 409 already_paid, with what was bought."""
    checkout_key = key()
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=checkout_key)
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    reply = await shop.initiate(system.cart(mug=1), idempotency_key=checkout_key)

    assert (reply.status, reply.problem) == (409, "already_paid")
    assert reply.body["purchase"]["order"]["totalAmount"] == checkout.amount


async def test_a_paid_checkout_that_nobody_reported_is_fulfilled_by_the_retry(
    system: System, shop: Shop, knobs: Knobs
) -> None:
    """The webhook was lost and the tab reloaded: the retry records the purchase and answers already_paid with it."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    checkout_key = key()
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=checkout_key)
    (await shop.pay(checkout)).ok()

    reply = await shop.initiate(system.cart(mug=1), idempotency_key=checkout_key)

    (order,) = await system.books.orders_of(checkout.attempt_id)
    assert reply.status == 409
    assert reply.body["purchase"]["order"]["number"] == order["number"]


async def test_a_payment_at_the_bank_is_shown_as_processing_everywhere(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """A slow debit: status and return say processing, a retry and a new cart are refused, and then the order comes."""
    checkout_key = key()
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=checkout_key)
    await knobs.pay(checkout.intent_id, payment_method="pm_usBankAccount")

    returned = await shop.come_back(checkout)
    status = await shop.status(checkout.attempt_id)
    retried = await shop.initiate(system.cart(mug=1), idempotency_key=checkout_key)
    replaced = await shop.initiate(system.cart(mug=2).superseding(checkout.attempt_id))
    await knobs.settle(checkout.intent_id)
    await settled(checkout)

    assert (returned.status, returned.body["status"]) == (202, "processing")
    assert status.ok()["status"] == "processing"
    assert [retried.problem, replaced.problem] == ["payment_processing"] * 2
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1


async def test_a_changed_cart_makes_the_old_intent_unpayable(system: System, shop: Shop, settled: Waiter) -> None:
    """A stale tab cannot pay the superseded checkout; the new one is bought, once."""
    old = await shop.checkout(system.cart(mug=1))

    new = await shop.checkout(system.cart(mug=3).superseding(old.attempt_id))
    stale = await shop.pay(old)
    (await shop.pay(new)).ok()
    await settled(new)

    assert stale.status == 400
    assert (await shop.status(old.attempt_id)).ok()["status"] == "superseded"
    assert await system.books.orders_of(old.attempt_id) == []
    assert len(await system.books.orders_of(new.attempt_id)) == 1


async def test_a_cart_changed_after_paying_is_refused(system: System, shop: Shop, knobs: Knobs) -> None:
    """The buyer paid in one tab and changed the cart in another: 409 already_paid, and only the first is recorded."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    old = await shop.checkout(system.cart(mug=1))
    (await shop.pay(old)).ok()

    reply = await shop.initiate(system.cart(mug=3).superseding(old.attempt_id))

    assert (reply.status, reply.problem) == (409, "already_paid")
    assert len(await system.books.orders_of(old.attempt_id)) == 1


async def test_anothers_attempt_cannot_be_superseded(system: System, members_shop: Shop, shop: Shop) -> None:
    """Somebody else's attempt and an unknown one are the same 404, and stay as they are."""
    theirs = await members_shop.checkout(system.cart(mug=1))

    refusals = [
        await shop.initiate(system.cart(mug=2).superseding(attempt_id)) for attempt_id in (theirs.attempt_id, key())
    ]

    assert [reply.status for reply in refusals] == [404, 404]
    assert (await members_shop.status(theirs.attempt_id)).ok()["status"] == "open"


async def test_a_declined_card_can_be_followed_by_a_good_one(system: System, shop: Shop, settled: Waiter) -> None:
    """After a decline the checkout says payment_failed and stays payable."""
    checkout = await shop.checkout(system.cart(mug=1))

    declined = await shop.pay(checkout, payment_method="pm_card_chargeDeclined")
    told = (await shop.status(checkout.attempt_id)).ok()["status"]
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    assert declined.status == 402
    assert told == "payment_failed"
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1


async def test_a_key_that_replays_a_cancelled_intent_gets_a_fresh_one(system: System, shop: Shop, knobs: Knobs) -> None:
    """The save was lost and the intent swept: the retry is given an intent that can be paid, not the cancelled one."""
    checkout_key = key()
    system.faults.forget_calls()
    trap = system.faults.checkout_session.checkpoint.hold_next(
        "/checkout.session.v1.CheckoutSessionService/SaveAttempt"
    )
    first = asyncio.create_task(shop.initiate(system.cart(mug=1), idempotency_key=checkout_key))
    await trap.sprung()
    (sent,) = (await knobs.requests("POST", "/v1/payment_intents"))[-1:]
    attempt_id = sent["params"]["metadata"]["checkoutAttemptId"]
    (swept,) = await _intents_of(system, attempt_id)
    await system.stripe.v1.payment_intents.cancel_async(swept)
    trap.drop()
    await first
    await system.attempts.lose_content(attempt_id)

    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=checkout_key)

    assert checkout.attempt_id == attempt_id
    assert checkout.intent_id != swept
    assert await _intents_of(system, attempt_id) == {swept: "canceled", checkout.intent_id: "requires_payment_method"}


async def test_a_replayed_failure_of_stripe_is_left_behind(system: System, shop: Shop, knobs: Knobs) -> None:
    """Stripe stored a 500 for the key: the checkout goes on with the next key, and one payable secret is released."""
    await knobs.fault(kind="error_after", method="POST", path="/v1/payment_intents", count=1)

    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=key())

    assert (await shop.pay(checkout)).status == 200


async def test_p3_an_intent_that_was_left_behind_is_set_aside_if_it_is_paid(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Stripe made an intent and stored a 500 for it: nobody has its secret, but should it be paid, it is quarantined.

    The checkout itself went on with the next key, and stays what the buyer pays.
    """
    await knobs.fault(kind="error_after", method="POST", path="/v1/payment_intents", count=1)
    checkout = await shop.checkout(system.cart(mug=1), idempotency_key=key())
    intents = await _intents_of(system, checkout.attempt_id)
    (left_behind,) = intents.keys() - {checkout.intent_id}

    await knobs.pay(left_behind)  # as only somebody with the secret key could
    await knobs.idle()
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    payments = await system.books.payments_of(checkout.attempt_id)
    assert {row["intent_id"]: (row["outcome"], row["quarantine_reason"]) for row in payments} == {
        left_behind: ("quarantined", "intent_mismatch"),
        checkout.intent_id: ("purchase", None),
    }
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1


async def test_a_guests_key_must_be_a_random_uuid(system: System, shop: Shop, members_shop: Shop) -> None:
    """A guessable key of a guest is 422 by name; a user, who shares keys with nobody, may choose any."""
    guest = await shop.initiate(system.cart(mug=1), idempotency_key="cart-1")
    member = await members_shop.initiate(system.cart(mug=1), idempotency_key=f"cart-{key()}")

    assert (guest.status, guest.fields) == (422, ["Idempotency-Key"])
    assert member.status == 200


async def test_two_lines_of_one_price_become_one(system: System, shop: Shop, settled: Waiter) -> None:
    """Equal lines are merged, in the order and in the sum."""
    mug = system.backend.catalogue.prices["mug"]
    checkout = await shop.checkout(Cart([Line(mug, 1), Line(mug, 2)]))
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    (item,) = await system.books.items_of(checkout.attempt_id)
    assert (item["quantity"], checkout.amount) == (3, 3 * 1800)


async def _intents_of(system: System, attempt_id: str) -> dict[str, str]:
    """Return the status of every intent at Stripe that names an attempt, by id."""
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    return {
        intent.id: str(intent.status)
        async for intent in listed.auto_paging_iter()
        if intent.metadata.to_dict().get("checkoutAttemptId") == attempt_id
    }
