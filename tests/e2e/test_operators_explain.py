"""`holdfast explain`: one timeline of what Redis, PostgreSQL and Stripe know, and what happens next."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.operator_command import run_command
from .harness.products import Plans, mixed_cart
from .harness.shop import CONTACT, Checkout, Shop
from .harness.system import System

NOBODY: Final = "127.0.0.1:1"
"""Address where nothing listens."""


async def explained(system: System, subject: str) -> Any:
    """Return the document about a subject."""
    result = await run_command(system, "explain", subject)
    assert result.code == 0, result.stderr
    return result.document


def events(document: Any) -> list[tuple[str, str]]:
    """Return the timeline's events in order, with the place that knows each."""
    return [(each["knownBy"], each["event"]) for each in document["timeline"]]


async def bought(system: System, shop: Shop, plans: Plans, settled: Waiter) -> Checkout:
    """Buy a mixed cart."""
    checkout = await shop.checkout(mixed_cart(system, plans, {"mug": 1}, {"tea": 1}))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    return checkout


async def test_whatever_names_a_purchase_explains_it(
    system: System, members_shop: Shop, plans: Plans, settled: Waiter
) -> None:
    """Attempt, intent, order by number and id, subscription by either id: the same document, without the buyer."""
    checkout = await bought(system, members_shop, plans, settled)
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    subscription, *_ = await system.orders_db.subscriptions_of(checkout.attempt_id)

    subjects = (
        checkout.attempt_id,
        checkout.intent_id,
        order["number"],
        order["id"],
        subscription["id"],
        subscription["stripe_subscription_id"],
    )
    documents = await asyncio.gather(*(explained(system, str(subject)) for subject in subjects))

    document = documents[0]
    assert documents == [document] * len(documents)
    assert (document["attempt"], document["intents"]) == (checkout.attempt_id, [checkout.intent_id])
    assert ("Stripe", f"{checkout.intent_id} created for {checkout.amount} usd") == events(document)[0]
    assert ("orders", f"order {order['number']} recorded, {checkout.amount} usd") in events(document)
    assert document["next"] == ["Nothing."]
    assert not any(value in str(document) for value in (*CONTACT.values(), "Harbour Street", "user-1"))


@pytest.mark.long
async def test_an_open_checkout_waits_for_its_buyer(system: System, shop: Shop) -> None:
    """With the time that is left, and the checkout that it replaced."""
    first = await shop.checkout(system.cart(mug=1))
    checkout = await shop.checkout(system.cart(mug=2).superseding(first.attempt_id))

    document = await explained(system, checkout.attempt_id)
    replaced = await explained(system, first.intent_id)

    states = {each["knownBy"]: each["state"] for each in document["states"]}
    assert states["checkout-session"].startswith(f"attempt open, supersedes {first.attempt_id}, to be paid until ")
    assert states["Stripe"] == f"{checkout.intent_id}: requires_payment_method, received 0 usd"
    assert events(document)[-1] == ("checkout-session", "the time to pay ends")
    assert document["next"] == [
        f"The buyer may pay {checkout.intent_id} until then; after that the reconciler cancels it."
    ]
    assert f"superseded by {checkout.attempt_id}" in str(replaced["states"])
    assert replaced["next"] == [f"Nothing: {first.intent_id} is canceled."]


async def test_a_quarantined_payment_waits_for_a_person(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Also by its attempt, which is gone; a refund in full resolves it."""
    checkout = await shop.checkout(system.cart(mug=1))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    waiting = await explained(system, checkout.attempt_id)
    await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id})
    await control_api.until_idle()
    refunded = await explained(system, checkout.attempt_id)

    assert waiting["next"] == [
        f"A person settles {checkout.intent_id}: holdfast quarantine settle {checkout.intent_id}"
    ]
    assert ("orders", f"{checkout.intent_id} quarantined: amount_mismatch") in events(waiting)
    assert refunded["next"] == ["Nothing."]
    assert [place for place, event in events(refunded) if event.startswith("refund re_")] == ["Stripe"]


@pytest.mark.long
async def test_a_lost_attempt_that_can_be_paid_is_cancelled_later(system: System, shop: Shop) -> None:
    """Redis came back empty: the intent alone is left."""
    checkout = await shop.checkout(system.cart(mug=1))
    await system.attempt_store.lose(checkout.attempt_id)

    document = await explained(system, checkout.intent_id)

    assert document["next"] == [
        f"No attempt is stored: the reconciler cancels {checkout.intent_id} once nobody can be about to pay it."
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("away", "settings"),
    [
        ("checkout-session", {"GATEWAY_CHECKOUT_SESSION_TARGET": NOBODY}),
        ("orders", {"GATEWAY_ORDERS_TARGET": NOBODY}),
        ("Stripe", {"GATEWAY_STRIPE_API_BASE": f"http://{NOBODY}"}),
    ],
)
async def test_what_does_not_answer_says_nothing_else(
    system: System, members_shop: Shop, plans: Plans, settled: Waiter, away: str, settings: Mapping[str, str]
) -> None:
    """Neither that it knows nothing, nor an unknown status; the others say what they know."""
    checkout = await bought(system, members_shop, plans, settled)
    settings = {**settings, "GATEWAY_SERVICE_TIMEOUT_SECONDS": "1", "GATEWAY_STRIPE_MAX_RETRIES": "0"}

    result = await run_command(system, "explain", checkout.attempt_id, settings=settings)

    document = result.document
    said = defaultdict[str, list[str]](list)
    for each in document["states"]:
        said[each["knownBy"]].append(each["state"])
    assert (result.code, document["unavailable"], said[away]) == (3, [away], ["did not answer"])
    assert said.keys() - {away}
    assert "unknown" not in str(document["states"])


@pytest.mark.long
async def test_what_nobody_knows_is_refused(system: System) -> None:
    """Exit code 1, in words."""
    subjects = ("pi_unknown", "sub_unknown", "AAA-AAA-AAA", "b5a8ab2e-0c4e-4c0a-8d4c-5c5d0d8a2f11", "?")

    results = await asyncio.gather(*(run_command(system, "explain", subject) for subject in subjects))

    assert [result.code for result in results] == [1] * len(results)
    assert {result.stderr.splitlines()[-1] for result in results} == {
        "holdfast: no attempt, intent, order or subscription is known by this"
    }
