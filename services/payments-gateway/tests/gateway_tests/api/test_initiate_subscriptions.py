import asyncio
from typing import Any

import aiohttp
import pytest

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.grpc_client import ServiceUnavailable

from ..assembly import Gateway
from ..http_edge import INITIATE, get, post, token_for
from ..samples import address_json, checkout_json

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"


def cart_json(*price_ids: str, **changes: Any) -> dict[str, Any]:
    """Return the body of a request to begin a checkout of one piece of each."""
    return checkout_json(items=[{"priceId": price_id, "quantity": 1} for price_id in price_ids], **changes)


def monthly(amount: int) -> dict[str, Any]:
    """Return a monthly sum as the answer shows it."""
    return {"interval": "month", "intervalCount": 1, "amount": amount, "currency": "usd", "trialDays": 0}


FORTNIGHT_FREE = {"interval": "week", "intervalCount": 1, "amount": 200, "currency": "usd", "trialDays": 14}


@pytest.mark.parametrize(
    ("price_ids", "expected"),
    [
        (
            ["price_mug"],
            {"intentType": "payment", "intentAmount": 1250, "amountDueToday": 1250, "recurring": []},
        ),
        (
            ["price_club", "price_care"],
            {"intentType": "setup", "intentAmount": 0, "amountDueToday": 1250, "recurring": [monthly(1250)]},
        ),
        (
            ["price_paper_trial"],
            {"intentType": "setup", "intentAmount": 0, "amountDueToday": 0, "recurring": [FORTNIGHT_FREE]},
        ),
        (
            ["price_mug", "price_paper_trial", "price_club"],
            {
                "intentType": "payment",
                "intentAmount": 1250,
                "amountDueToday": 2150,
                "recurring": [FORTNIGHT_FREE, monthly(900)],
            },
        ),
    ],
    ids=["one-time", "subscription", "trial", "mixed"],
)
async def test_the_answer_says_what_is_taken_now_today_and_again(
    http: aiohttp.ClientSession, price_ids: list[str], expected: dict[str, Any]
) -> None:
    """The page can show all of it before the buyer pays."""
    answer = await post(http, INITIATE, cart_json(*price_ids))

    shown = {name: value for name, value in answer.json.items() if name in expected}
    assert answer.status == 200
    assert shown == expected
    assert answer.json["currency"] == "usd"
    assert answer.json["clientSecret"].startswith("seti_" if expected["intentType"] == "setup" else "pi_")


@pytest.mark.parametrize("price_ids", [["price_club"], ["price_mug", "price_club"]], ids=["subscription", "mixed"])
async def test_a_retry_gets_the_same_answer(
    http: aiohttp.ClientSession, gateway: Gateway, price_ids: list[str]
) -> None:
    """Twelve equal requests at once, and one more: one checkout, one intent, one customer."""
    body = cart_json(*price_ids)
    answers = await asyncio.gather(*(post(http, INITIATE, body, Idempotency_Key=KEY) for _ in range(12)))

    late = await post(http, INITIATE, body, Idempotency_Key=KEY)

    assert {answer.text for answer in answers} == {late.text}
    assert late.status == 200
    assert len(gateway.attempts.stored()) == len(gateway.intents.all()) == len(gateway.stripe_customers.emails) == 1


async def test_a_users_checkouts_are_charged_to_one_customer(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """A guest's has one of its own."""
    for user_id in ("user_ada", "user_ada", "user_bob"):
        await post(http, INITIATE, cart_json("price_club"), Authorization=token_for(user_id))
    await post(http, INITIATE, cart_json("price_club"))

    charged = [stored.context.stripe_customer_id for stored in gateway.attempts.stored()]
    assert charged == ["cus_1", "cus_1", "cus_2", "cus_3"]
    assert gateway.customers.customers == {"user_ada": "cus_1", "user_bob": "cus_2"}


@pytest.mark.parametrize(
    ("price_ids", "changes", "fields"),
    [
        (["price_mug", "price_metered"], {}, ["items[1].priceId"]),
        (["price_club", "price_tiered"], {}, ["items[1].priceId"]),
        (["price_club", "price_club_eur"], {}, ["items[1].priceId"]),
        (["price_club", "price_box_trial"], {}, ["items[1].priceId"]),
        ([f"price_box_{number}" for number in range(1, 22)], {}, ["items[20].priceId"]),
        (
            ["price_club"],
            {"shippingOptionId": "shr_post", "shippingAddress": address_json()},
            ["shippingOptionId"],
        ),
        (["price_gift"], {}, ["items"]),
    ],
    ids=["metered", "tiered", "two currencies", "two trials", "too many lines", "shipping", "free"],
)
async def test_a_cart_that_cannot_be_sold_is_refused_by_name(
    http: aiohttp.ClientSession, gateway: Gateway, price_ids: list[str], changes: dict[str, Any], fields: list[str]
) -> None:
    """422 naming the line; nothing is made anywhere."""
    answer = await post(http, INITIATE, cart_json(*price_ids, **changes))

    assert (answer.status, answer.kind, answer.fields) == (422, "invalid_request", fields)
    assert gateway.wire.calls == []


@pytest.mark.parametrize(
    ("call", "failure"),
    [
        ("customers.find", ServiceUnavailable("orders")),
        ("stripe_customers.create", StripeUnavailable()),
        ("stripe_customers.update_email", StripeUnavailable()),
        ("customers.put", ServiceUnavailable("orders")),
    ],
)
async def test_without_a_customer_no_checkout_is_begun(
    http: aiohttp.ClientSession, gateway: Gateway, call: str, failure: Exception
) -> None:
    """503, no intent, nothing stored; the retry is granted."""
    gateway.wire.fail(call, failure)

    away = await post(http, INITIATE, cart_json("price_club"), Authorization=token_for("user_ada"))
    gateway.wire.heal()
    again = await post(http, INITIATE, cart_json("price_club"), Authorization=token_for("user_ada"))

    assert (away.status, away.kind, again.status) == (503, "temporarily_unavailable", 200)
    assert len(gateway.intents.all()) == len(gateway.attempts.stored()) == len(gateway.stripe_customers.emails) == 1


async def test_the_page_sees_where_a_setup_stands(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Open, then refused by the bank."""
    begun = await post(http, INITIATE, cart_json("price_club"))
    path = f"/api/checkout/{begun.json['checkoutAttemptId']}"

    opened = await get(http, path)
    gateway.intents.change(gateway.intents.all()[0].ref, last_payment_failed=True)
    declined = await get(http, path)

    assert [opened.json["status"], declined.json["status"]] == ["open", "payment_failed"]


async def test_the_document_describes_the_sums(http: aiohttp.ClientSession) -> None:
    """Every field of a recurring sum has its type; none is left open."""
    document = (await get(http, "/openapi.json")).json

    schemas = document["components"]["schemas"]
    [reference] = schemas["CheckoutBody"]["properties"]["recurring"]["items"].values()
    charged = schemas[reference.rpartition("/")[2]]
    assert set(charged["required"]) == {"interval", "intervalCount", "trialDays", "amount", "currency"}
    assert charged["properties"]["interval"]["enum"] == ["day", "week", "month", "year"]


async def test_the_intent_of_the_other_kind_is_not_this_checkouts(
    http: aiohttp.ClientSession, gateway: Gateway
) -> None:
    """A setup intent's id is not looked for among payment intents, and the other way round."""
    begun = await post(http, INITIATE, cart_json("price_club"))
    [intent] = gateway.intents.all()
    body = {"checkoutAttemptId": begun.json["checkoutAttemptId"], "setupIntentId": intent.ref.id}

    unpaid = await post(http, "/api/orders", body)
    other = await post(http, "/api/orders", {**body, "setupIntentId": None, "paymentIntentId": "pi_1"})

    assert intent.ref.kind is IntentKind.SETUP
    assert (unpaid.status, unpaid.kind) == (409, "payment_not_succeeded")
    assert (other.status, other.kind) == (404, "intent_not_found")
