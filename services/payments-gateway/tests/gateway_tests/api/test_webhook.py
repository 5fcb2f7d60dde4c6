"""The webhook's route: 200 once the effect is committed, 400 for what Stripe did not sign, 503 to get it again."""

import json
import logging
from dataclasses import replace

import aiohttp
import pytest

from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.subscriptions import SubscriptionStatus
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import WEBHOOK, ask, deliver, event_body, post_raw, signature_of
from ..subscribers import set_up, setup_event


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
@pytest.mark.parametrize("call", ["attempts.find", "orders.record_purchase"])
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


async def test_an_endpoint_of_another_account_has_no_effect(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Signed with a secret that is not configured: 403, so that Stripe shows it, and a line that tells the cause."""
    body = event_body(gateway.paid_attempt())
    signature = signature_of(body, gateway.clock.seconds(), "whsec_of_another_account")

    answer = await post_raw(http, WEBHOOK, body, Stripe_Signature=signature)

    assert (answer.status, answer.kind) == (403, "bad_signature")
    assert gateway.wire.calls == []
    assert [(record.levelname, record.message) for record in caplog.records if record.levelno >= logging.WARNING] == [
        ("WARNING", "webhook signed with an unknown secret: of another endpoint, account or mode, or forged")
    ]


async def test_a_thin_payload_says_what_to_do(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Stripe shows the answer to the operator."""
    body = json.dumps({"id": "evt_1", "object": "v2.core.event", "type": "v1.payment_intent.succeeded"}).encode()

    answer = await deliver(http, gateway, body)

    assert (answer.status, answer.kind) == (400, "thin_payload")
    assert "`payments-gateway webhook-endpoint ensure`" in answer.json["title"]


def event_of_another_version(paid: StripeIntent) -> bytes:
    """Return an event whose intent has another form than ours."""
    shown = {"object": "payment_intent", "id": paid.ref.id, "status": "succeeded", "amount_received": "12.50"}
    return event_body(paid, api_version="2011-01-01", data={"object": shown})


async def test_p3_a_payment_shown_in_another_api_version_is_fulfilled(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Stripe is asked for the intent in our version."""
    paid = gateway.paid_attempt()

    answers = [await deliver(http, gateway, event_of_another_version(paid)) for _ in range(2)]

    assert [answer.status for answer in answers] == [200] * 2
    assert [purchase.intent_id for purchase in gateway.orders.purchases()] == [paid.ref.id]


async def test_p3_what_another_api_version_leaves_out_is_asked_for(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Without its payment method a subscription would fail for good."""
    paid = set_up(gateway)
    gateway.intents.put(paid)

    answer = await deliver(http, gateway, setup_event(replace(paid, payment_method_id=None), api_version="2018-02-28"))

    assert answer.status == 200
    assert {each.status for each in gateway.subscriptions.by_id.values()} == {SubscriptionStatus.ACTIVE}


async def test_a_payment_of_other_software_is_acknowledged_in_any_api_version(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Without asking Stripe, whose limit is that of paid checkouts, and which has no intent of another account."""
    paid = replace(gateway.paid_attempt(), attempt_id=None)
    elsewhere = replace(paid, ref=replace(paid.ref, id="pi_elsewhere"))

    answer = await deliver(http, gateway, event_body(elsewhere, api_version="2018-02-28"))

    assert answer.status == 200
    assert gateway.orders.decisions == {}


async def test_a_payment_of_the_other_mode_is_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """In any form: both modes' secrets may be configured, but our key would find nothing."""
    paid = replace(gateway.paid_attempt(), livemode=True)
    unreadable = {"object": "payment_intent", "id": "pi_live", "status": "succeeded", "livemode": True}

    answers = [
        await deliver(http, gateway, body)
        for body in (event_body(paid), event_body(paid, api_version="2011-01-01", data={"object": unreadable}))
    ]

    assert [answer.status for answer in answers] == [200, 200]
    assert gateway.orders.decisions == {}


async def test_a_payment_that_cannot_be_read_is_delivered_again(
    http: aiohttp.ClientSession, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """404 if the key's account does not have it, 503 if Stripe shows another status; both are errors in the log."""
    paid = gateway.paid_attempt()
    gateway.intents.change(paid.ref, status=IntentStatus.PROCESSING)

    answers = [
        await deliver(http, gateway, event_of_another_version(replace(paid, ref=replace(paid.ref, id="pi_elsewhere")))),
        await deliver(http, gateway, event_of_another_version(paid)),
    ]

    assert [(answer.status, answer.kind) for answer in answers] == [
        (404, "intent_not_found"),
        (503, "temporarily_unavailable"),
    ]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "succeeded intent not found at Stripe: key and webhook secret may be of two accounts",
        "intent of a succeeded event has not succeeded",
    ]
    assert gateway.orders.decisions == {}


async def test_a_large_event_is_accepted(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """1 MiB, more than any other body; a subscription with many items is larger than those."""
    body = event_body(gateway.paid_attempt())

    accepted = await deliver(http, gateway, body + b" " * (1024 * 1024 - len(body)))
    refused = await deliver(http, gateway, body + b" " * (1024 * 1024 - len(body) + 1))

    assert (accepted.status, len(gateway.orders.purchases())) == (200, 1)
    assert (refused.status, refused.kind) == (413, "body_too_large")
