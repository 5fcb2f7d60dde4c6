import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import Attempt
from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Order, PaymentReport, Purchase, ReportChannel
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import deliver, event_body, get, post, token_for
from ..samples import ADA, ATTEMPT_ID, CONTEXT, LONDON, OTHER_ATTEMPT_ID

STATUS = f"/api/checkout/{ATTEMPT_ID}"


def complete_json(stored: Attempt, **changes: Any) -> dict[str, Any]:
    """Return the body that a browser sends when it is back."""
    return {"checkoutAttemptId": stored.attempt_id, "paymentIntentId": stored.intent.id, **changes}


async def bought(gateway: Gateway, user_id: str | None, count: int = 1) -> list[Order]:
    """Let a user buy several times; returns the orders, oldest first."""
    orders = []
    for number in range(count):
        attempt_id = f"{ATTEMPT_ID[:-4]}{len(gateway.orders.decisions):04}"
        stored = gateway.stored_attempt(user_id=user_id, attempt_id=attempt_id)
        paid = gateway.intents.pay(stored.intent)
        decision = await gateway.fulfilment.fulfil(paid, PaymentReport(ReportChannel.WEBHOOK, f"evt_{number}"))
        assert isinstance(decision, Purchase)
        assert decision.order is not None
        orders.append(decision.order)
    return orders


async def test_a_paid_checkout_is_completed_when_the_browser_is_back(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """200 with what was bought; its sums add up."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent)

    answer = await post(http, "/api/orders", complete_json(stored))

    order = answer.json["order"]
    assert (answer.status, answer.json["status"], answer.json["subscriptions"]) == (200, "completed", [])
    assert (order["checkoutAttemptId"], order["status"], order["currency"]) == (ATTEMPT_ID, "paid", "usd")
    assert order["totalAmount"] == order["shippingOption"]["amount"] + sum(
        item["unitAmount"] * item["quantity"] for item in order["items"]
    )


async def test_p3_browser_and_webhook_at_once_are_one_purchase(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Whoever comes first records it, and all are told the same order."""
    stored = gateway.stored_attempt()
    body = event_body(gateway.intents.pay(stored.intent))

    answers = await asyncio.gather(
        *(deliver(http, gateway, body) for _ in range(4)),
        *(post(http, "/api/orders", complete_json(stored)) for _ in range(4)),
    )

    [purchase] = gateway.orders.purchases()
    assert [answer.status for answer in answers] == [200] * 8
    assert {answer.json["order"]["id"] for answer in answers[4:]} == {purchase.order and purchase.order.id}


async def test_p7_a_guests_purchase_shows_nothing_personal(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The attempt id is a capability for order number, lines and sums: no name, address or secret comes with it."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent)

    completed = await post(http, "/api/orders", complete_json(stored))
    status = await get(http, STATUS)

    assert status.json["purchase"] == completed.json
    for personal in (ADA.name, ADA.email, ADA.phone, LONDON.line1, LONDON.postal_code, "hush", stored.intent.id):
        assert str(personal) not in completed.text + status.text


async def test_a_payment_at_the_bank_is_accepted_but_not_completed(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """202: neither success nor failure."""
    stored = gateway.stored_attempt()
    gateway.intents.change(stored.intent, status=IntentStatus.PROCESSING)

    answer = await post(http, "/api/orders", complete_json(stored))

    assert (answer.status, answer.json) == (202, {"status": "processing", "order": None, "subscriptions": []})


async def test_p5_a_payment_of_another_sum_needs_review(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """The buyer is told neither that it failed nor that it is an order."""
    stored = gateway.stored_attempt()
    gateway.intents.pay(stored.intent, Money(3299, "usd"))

    answer = await post(http, "/api/orders", complete_json(stored))

    assert (answer.status, answer.json["status"], answer.json["order"]) == (200, "needs_review", None)


async def test_an_unpaid_checkout_is_a_conflict(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Whatever the browser believes."""
    stored = gateway.stored_attempt()

    answer = await post(http, "/api/orders", complete_json(stored))

    assert (answer.status, answer.kind) == (409, "payment_not_succeeded")


async def test_an_intent_of_another_checkout_is_a_conflict(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """One payment completes one checkout."""
    stored = gateway.stored_attempt()
    other = gateway.stored_attempt(attempt_id=OTHER_ATTEMPT_ID)
    gateway.intents.pay(other.intent)

    answer = await post(http, "/api/orders", complete_json(stored, paymentIntentId=other.intent.id))

    assert (answer.status, answer.kind) == (409, "intent_mismatch")


async def test_an_unknown_intent_is_not_found(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """404 in the words of this API, not Stripe's."""
    stored = gateway.stored_attempt()

    answer = await post(http, "/api/orders", complete_json(stored, paymentIntentId="pi_made_up"))

    assert (answer.status, answer.kind) == (404, "intent_not_found")


async def test_somebody_elses_checkout_is_not_found(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """To complete it or to look at it; its owner may do both."""
    stored = gateway.stored_attempt(user_id="user_ada")
    gateway.intents.pay(stored.intent)

    refused = [
        await post(http, "/api/orders", complete_json(stored)),
        await post(http, "/api/orders", complete_json(stored), Authorization=token_for("user_bob")),
        await get(http, STATUS),
        await get(http, STATUS, Authorization=token_for("user_bob")),
    ]
    owner = await post(http, "/api/orders", complete_json(stored), Authorization=token_for("user_ada"))

    assert [(answer.status, answer.kind) for answer in refused] == [(404, "checkout_not_found")] * 4
    assert owner.status == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"checkoutAttemptId": "x"}, "checkoutAttemptId"),
        ({"checkoutAttemptId": "\ud800"}, "checkoutAttemptId"),
        ({"checkoutAttemptId": None}, "checkoutAttemptId"),
        ({"paymentIntentId": "ch_1"}, "paymentIntentId"),
        ({"paymentIntentId": "pi_1/../x"}, "paymentIntentId"),
        ({"paymentIntentId": None}, "paymentIntentId"),
        ({"setupIntentId": "seti_1"}, "paymentIntentId"),
        ({"setupIntentId": "pi_1"}, "setupIntentId"),
        ({"amount": 1}, "amount"),
    ],
)
async def test_what_completes_a_checkout_is_checked(
    http: aiohttp.ClientSession, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    """An attempt and exactly one intent, by ids that look like Stripe's: they become part of a path there."""
    stored = gateway.stored_attempt()

    answer = await post(http, "/api/orders", complete_json(stored, **changes))

    assert (answer.status, answer.fields) == (422, [field])
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (IntentStatus.REQUIRES_PAYMENT_METHOD, "open"),
        (IntentStatus.REQUIRES_ACTION, "requires_action"),
        (IntentStatus.PROCESSING, "processing"),
        (IntentStatus.SUCCEEDED, "processing"),
        (IntentStatus.CANCELED, "expired"),
    ],
)
async def test_where_a_checkout_stands(
    http: aiohttp.ClientSession, gateway: Gateway, status: IntentStatus, shown: str
) -> None:
    """In one word."""
    gateway.intents.change(gateway.stored_attempt().intent, status=status)

    answer = await get(http, STATUS)

    assert (answer.status, answer.json["status"]) == (200, shown)


async def test_an_unknown_checkout_is_not_found(http: aiohttp.ClientSession) -> None:
    """404 in the words of this API."""
    answer = await get(http, STATUS)

    assert (answer.status, answer.kind) == (404, "checkout_not_found")


async def test_an_attempt_id_that_is_none_is_refused(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """It is named, not looked up."""
    answer = await get(http, "/api/checkout/" + ATTEMPT_ID.upper())

    assert (answer.status, answer.fields) == (422, ["checkout_attempt_id"])
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    ("call", "failure"),
    [("attempts.find", ServiceUnavailable("checkout-session")), ("intents.retrieve", StripeUnavailable())],
)
async def test_what_is_away_is_worth_another_try(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception
) -> None:
    """503 for the status and for the browser's return."""
    stored = gateway.stored_attempt()
    gateway.wire.fail(call, failure)

    answers = [await get(http, STATUS), await post(http, "/api/orders", complete_json(stored))]

    assert [(answer.status, answer.headers.get("Retry-After")) for answer in answers] == [(503, "2")] * 2


async def test_an_owner_reads_an_order_with_contact_and_address(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Everything that was stored with it, as it was."""
    [order] = await bought(gateway, "user_ada")

    answer = await get(http, f"/api/orders/{order.id}", Authorization=token_for("user_ada"))

    assert answer.status == 200
    assert answer.json["contact"] == {"email": ADA.email, "name": ADA.name, "phone": ADA.phone}
    assert answer.json["shippingAddress"] == {
        "line1": LONDON.line1,
        "line2": None,
        "city": "London",
        "state": None,
        "postalCode": "SW1Y 4JH",
        "country": "GB",
    }
    assert (answer.json["number"], answer.json["totalAmount"]) == ("H-0001", CONTEXT.total.minor_units)


@pytest.mark.parametrize("owner", [None, "user_bob"])
async def test_nobody_else_reads_an_order(http: aiohttp.ClientSession, gateway: Gateway, owner: str | None) -> None:
    """Neither another user's nor a guest's: 404."""
    [order] = await bought(gateway, owner)

    answer = await get(http, f"/api/orders/{order.id}", Authorization=token_for("user_ada"))

    assert (answer.status, answer.kind) == (404, "order_not_found")


async def test_an_unknown_order_is_not_found(http: aiohttp.ClientSession) -> None:
    """404, the same as for somebody else's."""
    answer = await get(http, f"/api/orders/{ATTEMPT_ID}", Authorization=token_for("user_ada"))

    assert (answer.status, answer.kind) == (404, "order_not_found")


@pytest.mark.parametrize("path", ["/api/orders", f"/api/orders/{ATTEMPT_ID}"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
async def test_a_guest_has_no_orders(http: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> None:
    """401: only a token tells whose orders are meant."""
    answer = await get(http, path, **headers)

    assert (answer.status, answer.kind) == (401, "unauthenticated")


async def test_a_user_pages_through_the_own_orders(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Newest first, each once, and nobody else's among them."""
    orders = await bought(gateway, "user_ada", 5)
    await bought(gateway, "user_bob", 2)

    numbers: list[str] = []
    path = "/api/orders?limit=2"
    while path:
        page = (await get(http, path, Authorization=token_for("user_ada"))).json
        numbers += [order["number"] for order in page["orders"]]
        path = f"/api/orders?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert numbers == [order.number for order in reversed(orders)]


async def test_a_user_without_orders_has_an_empty_page(http: aiohttp.ClientSession) -> None:
    """And no next one."""
    answer = await get(http, "/api/orders", Authorization=token_for("user_ada"))

    assert (answer.status, answer.json) == (200, {"orders": [], "nextCursor": None})


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=zzz", "cursor"),
        (f"cursor={'1' * 501}", "cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(http: aiohttp.ClientSession, query: str, field: str) -> None:
    """The parameter is named as the client spells it."""
    answer = await get(http, f"/api/orders?{query}", Authorization=token_for("user_ada"))

    assert (answer.status, answer.kind, answer.fields) == (422, "invalid_request", [field])


async def test_the_storefront_sees_how_often_a_price_is_charged(http: aiohttp.ClientSession) -> None:
    """A recurring price shows its interval and its trial; a one-time price has none."""
    answer = await get(http, "/api/catalog")

    items = {item["priceId"]: item for item in answer.json["items"]}
    assert items["price_paper_trial"] == {
        "priceId": "price_paper_trial",
        "productId": "prod_paper_trial",
        "name": "Name of price_paper_trial",
        "description": None,
        "imageUrl": None,
        "unitAmount": 200,
        "currency": "usd",
        "type": "recurring",
        "recurring": {"interval": "week", "intervalCount": 1, "trialDays": 14},
    }
    assert items["price_mug"]["recurring"] is None


async def test_the_storefront_sees_what_can_be_bought(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Prices that cannot be put into a cart are not shown; caches may keep the answer for a moment."""
    answer = await get(http, "/api/catalog")

    items = {item["priceId"]: item for item in answer.json["items"]}
    assert answer.headers["Cache-Control"] == "public, max-age=15"
    assert not {"price_tiered", "price_metered"} & set(items)
    assert items["price_mug"] == {
        "priceId": "price_mug",
        "productId": "prod_mug",
        "name": "Name of price_mug",
        "description": None,
        "imageUrl": None,
        "unitAmount": 1250,
        "currency": "usd",
        "type": "one_time",
        "recurring": None,
    }
    assert answer.json["shippingOptions"][0] == {
        "id": "shr_post",
        "name": "Name of shr_post",
        "amount": 500,
        "currency": "usd",
    }


async def test_the_storefront_learns_how_to_load_stripe_js(http: aiohttp.ClientSession) -> None:
    """The publishable key and nothing secret."""
    answer = await get(http, "/api/config")

    assert answer.json == {"publishableKey": "pk_test_1", "stripeJsUrl": "https://js.example/"}


async def test_without_prices_there_is_no_catalogue(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """503 rather than prices that nobody would be sold by."""
    gateway.clock.advance(7201)

    answer = await get(http, "/api/catalog")

    assert (answer.status, answer.kind) == (503, "temporarily_unavailable")


async def test_a_product_changes_without_a_restart(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """What the shop changes at Stripe shows once the book has been read again."""
    known = gateway.source.catalogue
    renamed = replace(known.prices["price_mug"], name="Cup")
    gateway.source.catalogue = replace(known, prices={"price_mug": renamed})
    gateway.clock.advance(3)
    await gateway.catalogue.with_prices(["price_that_is_not_known"])

    answer = await get(http, "/api/catalog")

    assert [item["name"] for item in answer.json["items"]] == ["Cup"]
