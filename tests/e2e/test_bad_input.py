"""Bad input: a 4xx problem that names the field, no attempt stored, no intent made."""

import json
from typing import Any

import pytest

from .conftest import until
from .harness.knobs import Knobs
from .harness.shop import Reply, Shop
from .harness.system import System

INITIATE = "/api/stripe/initiate-checkout"


@pytest.mark.parametrize(
    ("quantity"), [0, -1, 1.5, True, "2", 10**9, None], ids=["0", "-1", "1.5", "true", "string", "10^9", "null"]
)
async def test_a_quantity_that_is_none(system: System, shop: Shop, knobs: Knobs, quantity: Any) -> None:
    """Every quantity but a whole number of at least one is refused by name."""
    body = system.cart(mug=1).as_body()
    body["items"][0]["quantity"] = quantity

    await _refused(system, shop, knobs, body, field="items[0].quantity")


async def test_a_price_that_is_not_for_sale(system: System, shop: Shop, knobs: Knobs) -> None:
    """Unknown, archived, foreign-currency, metered, tiered and free prices are refused, naming the line."""
    product = (await system.stripe.v1.products.create_async({"name": "Odd ware"})).id
    make = system.stripe.v1.prices.create_async
    archived = await make({"product": product, "currency": "usd", "unit_amount": 900})
    await system.stripe.v1.prices.update_async(archived.id, {"active": False})
    foreign = await make({"product": product, "currency": "eur", "unit_amount": 900})
    metered = await make(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 900,
            "recurring": {"interval": "month", "usage_type": "metered"},
        }
    )
    tiered = await make(
        {
            "product": product,
            "currency": "usd",
            "billing_scheme": "tiered",
            "tiers_mode": "volume",
            "tiers": [{"up_to": "inf", "unit_amount": 5}],
        }
    )
    free = await make({"product": product, "currency": "usd", "unit_amount": 0})
    cheap = await make({"product": product, "currency": "usd", "unit_amount": 49})
    await until(lambda: _on_sale(shop, cheap.id), "the new prices on sale")

    for price, field in {
        "price_unknown": "items[1].priceId",
        archived.id: "items[1].priceId",
        foreign.id: "items[1].priceId",
        metered.id: "items[1].priceId",
        tiered.id: "items[1].priceId",
    }.items():
        body = system.cart(mug=1).as_body()
        body["items"].append({"priceId": price, "quantity": 1})
        await _refused(system, shop, knobs, body, field=field)
    for price in (free.id, cheap.id):
        body = system.cart(mug=1).as_body() | {"items": [{"priceId": price, "quantity": 1}]}
        del body["shippingOptionId"]
        await _refused(system, shop, knobs, body, field="items")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userId": "user-1"}, "userId"),
        ({"items": []}, "items"),
        ({"contact": {"name": "Ada"}}, "contact.email"),
        ({"contact": {"name": "A\u0000da", "email": "ada@example.com"}}, "contact.name"),
        ({"contact": {"name": "Ada", "email": "not an address"}}, "contact.email"),
        ({"shippingAddress": {"line1": "1 Harbour Street", "country": "us"}}, "shippingAddress.country"),
        ({"shippingAddress": None}, "shippingAddress"),
        ({"shippingOptionId": "shr_unknown"}, "shippingOptionId"),
        ({"supersedes": "not-a-uuid"}, "supersedes"),
    ],
)
async def test_a_field_that_is_not_acceptable(
    system: System, shop: Shop, knobs: Knobs, change: dict[str, Any], field: str
) -> None:
    """The problem names the field as the client spells it."""
    await _refused(system, shop, knobs, system.cart(mug=1).as_body() | change, field=field)


async def test_more_than_two_hundred_lines(system: System, shop: Shop, knobs: Knobs) -> None:
    """A cart of 201 lines is refused as a whole."""
    body = system.cart(mug=1).as_body()

    await _refused(system, shop, knobs, body | {"items": body["items"] * 201}, field="items")


async def test_a_body_that_cannot_be_read(system: System, shop: Shop, knobs: Knobs) -> None:
    """Too large is 413, no JSON is 400, another media type is 415; nothing is stored or made."""
    mark, stored = await knobs.requests_so_far(), await system.attempts.content_keys()
    good = json.dumps(system.cart(mug=1).as_body())

    async def send(data: str, media_type: str = "application/json") -> Reply:
        return await shop.request("POST", INITIATE, data=data.encode(), headers={"Content-Type": media_type})

    replies = [
        await send(good + " " * 300 * 1024),
        await send(good[:-1]),
        await send("[" * 100_000),
        await send(good, "text/plain"),
        await send(good, "application/x-www-form-urlencoded"),
    ]

    assert [reply.status for reply in replies] == [413, 400, 400, 415, 415]
    assert [reply.problem for reply in replies] == [
        "body_too_large",
        *["malformed_json"] * 2,
        *["unsupported_media_type"] * 2,
    ]
    assert all(reply.headers["Content-Type"] == "application/problem+json" for reply in replies)
    assert await knobs.requests("POST", "/v1/payment_intents", after=mark) == []
    assert await system.attempts.content_keys() == stored


async def _refused(system: System, shop: Shop, knobs: Knobs, body: dict[str, Any], *, field: str) -> None:
    mark, stored = await knobs.requests_so_far(), await system.attempts.content_keys()

    reply = await shop.request("POST", INITIATE, json=body)

    assert reply.status == 422, reply.body
    assert reply.fields == [field]
    assert reply.body["requestId"] == reply.headers["X-Request-Id"]
    assert await knobs.requests("POST", "/v1/payment_intents", after=mark) == []
    assert await system.attempts.content_keys() == stored


async def _on_sale(shop: Shop, price_id: str) -> bool:
    await shop.request(
        "POST",
        INITIATE,
        json={"items": [{"priceId": price_id, "quantity": 10**6}], "contact": {"email": "a@example.com", "name": "A"}},
    )  # a cart with a price it does not know makes the price book look again
    return any(item["priceId"] == price_id for item in (await shop.catalogue()).ok()["items"])
