from dataclasses import replace

import aiohttp
import pytest

from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.money import Money
from servicekit.grpc_client import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import WEBHOOK, ask, deliver, event_body, post_raw, signature_of
from ..samples import ATTEMPT_ID, CONTEXT


async def test_p3_a_paid_checkout_is_recorded_before_stripe_is_told_so(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """200 means that the effect is committed."""
    paid = gateway.intents.pay(gateway.stored_attempt().intent)

    answer = await deliver(http, gateway, event_body(paid))

    assert (answer.status, answer.json) == (200, {"received": True})
    assert [purchase.intent_id for purchase in gateway.orders.purchases()] == [paid.ref.id]
    assert gateway.orders.reports[0].stripe_event_id == "evt_1"


async def test_p3_a_delivery_that_comes_twice_changes_nothing(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Both are acknowledged, and there is one purchase."""
    body = event_body(gateway.intents.pay(gateway.stored_attempt().intent))

    answers = [await deliver(http, gateway, body) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert len(gateway.orders.purchases()) == 1


@pytest.mark.parametrize("failure", [ServiceUnavailable("it"), ConflictRetriesExhausted()])
@pytest.mark.parametrize("call", ["attempts.find", "orders.record_purchase", "attempts.delete"])
async def test_stripe_is_asked_to_deliver_again_while_a_service_is_away(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception
) -> None:
    """503 until it is back, then 200; nothing is lost and nothing is doubled."""
    body = event_body(gateway.intents.pay(gateway.stored_attempt().intent))
    gateway.wire.fail(call, failure)

    away = await deliver(http, gateway, body)
    gateway.wire.heal()
    back = await deliver(http, gateway, body)

    assert (away.status, away.kind) == (503, "temporarily_unavailable")
    assert back.status == 200
    assert len(gateway.orders.purchases()) == 1


@pytest.mark.parametrize("signature", [None, "", "t=1,v1=0", "t=\xe9"])
async def test_an_unsigned_delivery_records_nothing(
    http: aiohttp.ClientSession, gateway: Gateway, signature: str | None
) -> None:
    """400, and the attempt stays as it was."""
    stored = gateway.stored_attempt()
    headers = {} if signature is None else {"Stripe_Signature": signature}

    answer = await post_raw(http, WEBHOOK, event_body(gateway.intents.pay(stored.intent)), **headers)

    assert (answer.status, answer.kind) == (400, "bad_signature")
    assert gateway.wire.calls == []


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_a_stale_or_future_delivery_records_nothing(
    http: aiohttp.ClientSession, gateway: Gateway, seconds: int
) -> None:
    """400, although it was signed with our secret."""
    body = event_body(gateway.intents.pay(gateway.stored_attempt().intent))

    answer = await post_raw(http, WEBHOOK, body, Stripe_Signature=signature_of(body, gateway.clock.seconds() + seconds))

    assert (answer.status, answer.kind) == (400, "bad_signature")
    assert gateway.wire.calls == []


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"{}"])
async def test_a_signed_body_that_is_no_event_is_refused(
    http: aiohttp.ClientSession, gateway: Gateway, body: bytes
) -> None:
    """400 as well, with a kind of its own for whoever reads the problem."""
    answer = await deliver(http, gateway, body)

    assert (answer.status, answer.kind) == (400, "bad_event")


async def test_a_body_that_is_not_utf_8_is_refused(http: aiohttp.ClientSession) -> None:
    """Never a 500."""
    answer = await post_raw(http, WEBHOOK, b"\xff\xfe", Stripe_Signature="t=1,v1=0")

    assert (answer.status, answer.kind) == (400, "bad_signature")


async def test_foreign_intents_are_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Else Stripe would deliver them for three days and switch the endpoint off."""
    paid = gateway.intents.pay(gateway.intents.another(ATTEMPT_ID, CONTEXT.total))

    answer = await deliver(http, gateway, event_body(replace(paid, attempt_id=None)))

    assert answer.status == 200
    assert gateway.orders.decisions == {}


async def test_events_of_connected_accounts_are_left_alone(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Even one that names an attempt of ours."""
    stored = gateway.stored_attempt()

    answer = await deliver(http, gateway, event_body(gateway.intents.pay(stored.intent), account="acct_other"))

    assert answer.status == 200
    assert gateway.attempts.stored() == [stored]


async def test_other_events_are_acknowledged(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A late failure or cancellation changes nothing."""
    stored = gateway.stored_attempt()
    body = event_body(gateway.intents.pay(stored.intent), type="payment_intent.payment_failed")

    answer = await deliver(http, gateway, body)

    assert answer.status == 200
    assert gateway.attempts.stored() == [stored]


async def test_p5_a_payment_of_another_sum_is_acknowledged_once_it_is_quarantined(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """Delivering it again would not help."""
    paid = gateway.intents.pay(gateway.stored_attempt().intent, Money(3299, "usd"))

    answer = await deliver(http, gateway, event_body(paid))

    assert answer.status == 200
    assert gateway.orders.purchases() == []
    assert list(gateway.orders.decisions) == [paid.ref.id]


async def test_a_delivery_must_be_json(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Stripe's deliveries are; nothing else is read."""
    body = event_body(gateway.intents.pay(gateway.stored_attempt().intent))
    signature = signature_of(body, gateway.clock.seconds())

    answer = await ask(
        http, "POST", WEBHOOK, body=body, headers={"Content-Type": "text/plain", "Stripe-Signature": signature}
    )

    assert (answer.status, answer.kind) == (415, "unsupported_media_type")
