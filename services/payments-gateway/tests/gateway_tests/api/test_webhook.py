"""The webhook's route: 200 once the effect is committed, 400 for what Stripe did not sign, 503 to get it again."""

from dataclasses import replace

import aiohttp
import pytest

from payments_gateway.domain.errors import ConflictRetriesExhausted
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import WEBHOOK, ask, deliver, event_body, post_raw, signature_of


async def test_p3_a_delivery_is_acknowledged_once_its_effect_is_committed(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """A second one changes nothing."""
    paid = gateway.paid_attempt()

    answers = [await deliver(http, gateway, event_body(paid)) for _ in range(2)]

    assert [(answer.status, answer.json) for answer in answers] == [(200, {"received": True})] * 2
    assert [purchase.intent_id for purchase in gateway.orders.purchases()] == [paid.ref.id]
    assert gateway.orders.reports[0].stripe_event_id == "evt_1"


@pytest.mark.parametrize("failure", [ServiceUnavailable("it"), ConflictRetriesExhausted()])
@pytest.mark.parametrize("call", ["attempts.find", "orders.record_purchase", "attempts.delete"])
async def test_stripe_is_asked_to_deliver_again_while_a_service_is_away(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception
) -> None:
    """503 until it is back, then 200; nothing is lost and nothing is doubled."""
    body = event_body(gateway.paid_attempt())
    gateway.wire.fail(call, failure)

    away = await deliver(http, gateway, body)
    gateway.wire.heal()
    back = await deliver(http, gateway, body)

    assert (away.status, away.kind) == (503, "temporarily_unavailable")
    assert back.status == 200
    assert len(gateway.orders.purchases()) == 1


async def test_a_delivery_without_a_current_signature_has_no_effect(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """403; a body that is no event is a 400."""
    body = event_body(gateway.paid_attempt())
    now = gateway.clock.seconds()

    answers = [
        await post_raw(http, WEBHOOK, body),
        await post_raw(http, WEBHOOK, body, Stripe_Signature="t=\xe9"),
        await post_raw(http, WEBHOOK, body, Stripe_Signature=signature_of(body, now - 301)),
        await post_raw(http, WEBHOOK, body, Stripe_Signature=signature_of(body, now + 301)),
        await post_raw(http, WEBHOOK, b"\xff\xfe", Stripe_Signature="t=1,v1=0"),
        await deliver(http, gateway, b"nonsense"),
    ]

    assert [answer.status for answer in answers] == [403] * 5 + [400]
    assert [answer.kind for answer in answers] == ["bad_signature"] * 5 + ["bad_event"]
    assert gateway.wire.calls == []


async def test_an_event_without_effect_is_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Another software's intent, a connected account, another type: else Stripe would disable the endpoint."""
    stored = gateway.stored_attempt()
    paid = gateway.intents.pay(stored.intent)

    answers = [
        await deliver(http, gateway, event_body(replace(paid, attempt_id=None))),
        await deliver(http, gateway, event_body(paid, account="acct_other")),
        await deliver(http, gateway, event_body(paid, type="payment_intent.payment_failed")),
    ]

    assert [answer.status for answer in answers] == [200] * 3
    assert gateway.attempts.stored() == [stored]
    assert gateway.orders.decisions == {}


async def test_a_delivery_must_be_json(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """As all of Stripe's are."""
    body = event_body(gateway.paid_attempt())
    headers = {"Content-Type": "text/plain", "Stripe-Signature": signature_of(body, gateway.clock.seconds())}

    answer = await ask(http, "POST", WEBHOOK, body=body, headers=headers)

    assert (answer.status, answer.kind) == (415, "unsupported_media_type")
