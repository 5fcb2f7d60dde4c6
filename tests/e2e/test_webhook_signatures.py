"""Who may report payments: Stripe, with one of our secrets, just now."""

import json
import time
import uuid

import stripe

from .harness.knobs import Knobs
from .harness.shop import Reply, Shop
from .harness.system import System

SECOND = "whsec_second"


def forged(system: System) -> str:
    """Return a succeeded payment for an attempt that does not exist, as Stripe would report it."""
    intent = {
        "id": f"pi_{uuid.uuid4().hex}",
        "object": "payment_intent",
        "status": "succeeded",
        "amount_received": 5000,
        "currency": "usd",
        "livemode": False,
        "metadata": {"checkoutAttemptId": str(uuid.uuid4())},
    }
    return json.dumps(
        {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": intent}}
    )


async def test_a_signature_that_is_missing_wrong_stale_or_of_the_future_is_refused(system: System, shop: Shop) -> None:
    """Each is 400 bad_signature and leaves no record; so does a second timestamp put before a captured one."""
    body, secret, now = forged(system), system.backend.addresses.webhook_secret, int(time.time())
    before = await system.books.tally()
    stale = stripe.WebhookSignature.generate_signature_header(body, secret, now - 301)
    headers = [
        None,
        "",
        "t=abc,v1=00",
        stripe.WebhookSignature.generate_signature_header(body, "whsec_wrong", now),
        stripe.WebhookSignature.generate_signature_header(body + " ", secret, now),
        stale,
        stripe.WebhookSignature.generate_signature_header(body, secret, now + 600),
        f"t={now},{stale}",
    ]

    replies = [await _deliver(shop, body, header) for header in headers]

    assert [(reply.status, reply.problem) for reply in replies] == [(400, "bad_signature")] * len(headers)
    assert await system.books.tally() == before


async def test_a_signed_body_that_is_no_event_is_refused(system: System, shop: Shop) -> None:
    """A valid signature over garbage is 400 bad_event and leaves no record."""
    before = await system.books.tally()
    broken = json.dumps({"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {}}})
    secret = system.backend.addresses.webhook_secret

    replies = [
        await _deliver(shop, body, stripe.WebhookSignature.generate_signature_header(body, secret))
        for body in ("[]", "{}", "null", '{"type": 1', broken)
    ]

    assert {(reply.status, reply.problem) for reply in replies} == {(400, "bad_event")}
    assert await system.books.tally() == before


async def test_two_secrets_are_accepted_while_one_is_rotated(system: System, knobs: Knobs) -> None:
    """With the old and the new secret set, deliveries signed by either are taken; by a third, not."""
    usual = system.backend.settings_of("gateway-2")["STRIPE_WEBHOOK_SECRETS"]
    own = usual.partition(",")[0]
    await system.backend.restart("gateway-2", {"STRIPE_WEBHOOK_SECRETS": f"{own},{SECOND}"})
    try:
        async with system.shop(gateway=1) as shop:
            replies = []
            for secret in (own, SECOND, "whsec_third"):
                body = json.dumps({"id": "evt_1", "object": "event", "type": "charge.updated"})
                replies.append(
                    await _deliver(shop, body, stripe.WebhookSignature.generate_signature_header(body, secret))
                )
    finally:
        await system.backend.restart("gateway-2", {"STRIPE_WEBHOOK_SECRETS": usual})

    assert [reply.status for reply in replies] == [200, 200, 400]


async def _deliver(shop: Shop, body: str, signature: str | None) -> Reply:
    headers = {"Content-Type": "application/json"} | ({} if signature is None else {"Stripe-Signature": signature})
    return await shop.request("POST", "/api/stripe/webhook", data=body.encode(), headers=headers)
